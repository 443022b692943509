/*
 * NIP-01's messages of one connection.
 */
#include "relay/session.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "relay/internal.h"
#include "relay/policy.h"
#include "util/err.h"
#include "util/times.h"
#include "wire/message.h"

static void
closed(struct nr_conn *c, struct nr_view subid, const char *why)
{
	struct nr_buf *b = &c->relay->reply;

	nr_count_closed(c->relay, why);
	b->len = 0;
	if (nr_write_closed(b, subid, why) == NR_OK)
		nr_conn_send(c, b->p, b->len);
	else
		nr_conn_doom(c, NR_CLOSE_ERROR, "out of memory");
	nr_relay_wake(c->relay);
}

void
nr_session_bad(struct nr_conn *c, const char *why)
{
	struct nr_buf *b = &c->relay->reply;

	b->len = 0;
	if (nr_write_notice(b, why) == NR_OK)
		nr_conn_send(c, b->p, b->len);
	nr_conn_bad(c);
	nr_relay_wake(c->relay);
}

/* A client that asked for something by an id does not get it. */
static void
deny(struct nr_conn *c, enum nr_sub_sort sort, struct nr_view id,
    const char *why)
{
	if (sort == NR_SUB_SYNC)
		nr_sync_refuse(c, id, why, 0);
	else
		closed(c, id, why);
}

/* ---- subscriptions ----------------------------------------------------------- */

/* It is off the connection's list. */
static void
forget(struct nr_conn *c, const struct nr_sub *s)
{
	c->nsubs--;
	c->nvalues -= s->nvalues;
}

/* Where the one with this id is in the connection's list. */
static struct nr_sub **
find(struct nr_conn *c, struct nr_view id, enum nr_sub_sort sort)
{
	struct nr_sub **p, *s;

	for (p = &c->subs; (s = *p) != NULL; p = &s->next)
		if (nr_sub_sort(s) == sort && s->idlen == id.len &&
		    memcmp(s->id, id.p, id.len) == 0)
			break;
	return p;
}

static void
end_sub(struct nr_conn *c, struct nr_sub *s)
{
	nr_conn_cancel(c, &s->closed);
	nr_live_remove(c->relay->live, s);
	nr_sub_unref(s);
}

/* End what this id stands for, if it stands for something. */
static void
drop(struct nr_conn *c, struct nr_view id, enum nr_sub_sort sort)
{
	struct nr_sub **p = find(c, id, sort), *s = *p;

	if (s == NULL)
		return;
	*p = s->next;
	forget(c, s);
	end_sub(c, s);
}

/* Forget those that were closed from our side. */
static void
sweep_closed(struct nr_conn *c)
{
	struct nr_sub **p = &c->subs, *s;

	while ((s = *p) != NULL) {
		if (!atomic_load(&s->closed)) {
			p = &s->next;
			continue;
		}
		*p = s->next;
		forget(c, s);
		nr_sub_unref(s);
	}
}

void
nr_session_end(struct nr_conn *c)
{
	struct nr_sub *s;

	while ((s = c->subs) != NULL) {
		c->subs = s->next;
		forget(c, s);
		end_sub(c, s);
	}
}

static struct nr_sub *
new_sub(struct nr_conn *c, struct nr_view id)
{
	struct nr_sub *s;

	if ((s = calloc(1, sizeof(*s))) == NULL)
		return NULL;
	if ((s->id = malloc(id.len)) == NULL) {
		free(s);
		return NULL;
	}
	memcpy(s->id, id.p, id.len);
	s->idlen = id.len;
	s->conn = c;
	nr_conn_ref(c);
	s->begun = nr_now_ms();
	atomic_init(&s->refs, 1);
	atomic_init(&s->closed, 0);
	return s;
}

/* A filter's limit as this relay grants it. */
static void
clamp_limit(const struct nr_relay_config *c, struct nr_filter *f)
{
	if (!(f->has & NR_FILTER_LIMIT)) {
		/* Who goes on before the last one's time misses nothing. */
		f->limit = c->default_limit;
		if (f->limit < c->max_limit)
			f->ties = c->max_limit - f->limit;
	}
	if (f->limit > c->max_limit)
		f->limit = c->max_limit;
	f->has |= NR_FILTER_LIMIT;
}

/*
 * Read a filter into the subscription, and go behind it.
 * why  set where it is refused
 */
static int
read_filter(struct nr_conn *c, struct nr_sub *s, struct nr_view *rest,
    const char **why)
{
	const struct nr_filter_limits limits = {
		(size_t)c->relay->config->max_filter_values
	};
	struct nr_json j = { rest->p, rest->p + rest->len };
	struct nr_filter *f;
	int rc;

	f = realloc(s->filters, (s->nfilters + 1) * sizeof(*f));
	if (f == NULL)
		return ENOMEM;
	s->filters = f;
	rc = nr_filter_read(&f[s->nfilters], &j, &limits, why);
	if (rc != NR_OK || *why != NULL)
		return rc;
	s->nfilters++;
	rest->p = j.p;
	rest->len = (size_t)(j.end - j.p);
	return NR_OK;
}

/*
 * Read the filters of a REQ into the subscription.
 * why  NULL, or why it is refused
 */
static int
read_filters(struct nr_conn *c, struct nr_sub *s, struct nr_view rest,
    const char **why)
{
	const struct nr_relay_config *config = c->relay->config;
	int more, rc;

	*why = NULL;
	while ((more = nr_client_next_filter(&rest)) > 0) {
		if (s->nfilters == config->max_filters) {
			nr_limits_hit(c->relay, NR_LIMIT_FILTERS);
			*why = "invalid: too many filters";
			return NR_OK;
		}
		rc = read_filter(c, s, &rest, why);
		if (rc != NR_OK || *why != NULL)
			return rc;
		if (s->count == NULL)
			clamp_limit(config, &s->filters[s->nfilters - 1]);
	}
	if (more < 0)
		*why = "invalid: message is not a JSON array";
	else if (s->nfilters == 0)
		*why = "invalid: no filter";
	return NR_OK;
}

/*
 * Read the filter of a NEG-OPEN, and make the session.  A limit in it is
 * the client's: it reconciles the newest so many.
 */
static int
read_sync(struct nr_conn *c, struct nr_sub *s, struct nr_view rest,
    const char **why)
{
	struct nr_view hex;
	int rc;

	*why = NULL;
	if (c->relay->config->max_sync == 0)
		*why = "unsupported: no reconciliation here";
	else if (nr_client_next_filter(&rest) <= 0)
		*why = "invalid: no filter";
	if (*why != NULL)
		return NR_OK;
	rc = read_filter(c, s, &rest, why);
	if (rc != NR_OK || *why != NULL)
		return rc;
	if (!nr_client_neg_message(rest, &hex)) {
		*why = "invalid: no message in lower-case hexadecimal";
		return NR_OK;
	}
	return nr_sync_new(&s->sync, s, hex);
}

static int
visible(void *ctx, const struct nr_event *ev)
{
	return nr_may_read(ctx, ev);
}

static size_t
count_values(const struct nr_sub *s)
{
	const struct nr_filter *f;
	size_t i, j, n = 0;

	for (i = 0; i < s->nfilters; i++) {
		f = &s->filters[i];
		n += f->ids.n + f->authors.n + f->nkinds;
		for (j = 0; j < f->ntags; j++)
			n += f->tags[j].n;
	}
	return n;
}

/* The query of a session, in the order of negentropy, about. */
static int
query_for_sync(struct nr_sub *s, const struct nr_filter *f, size_t n)
{
	const struct nr_query_options o = {
		.now = time(NULL), .visible = visible, .ctx = s->conn,
		.reverse = !(s->filters->has & NR_FILTER_LIMIT)
	};

	return nr_query_new(&s->query, f, n, &o);
}

int
nr_session_gather(struct nr_sub *s)
{
	return query_for_sync(s, s->filters, s->nfilters);
}

/* Prepare the query, and what else there is to it. */
static int
make_query(struct nr_conn *c, struct nr_sub *s)
{
	struct nr_query_options o = {
		.now = time(NULL), .visible = visible, .ctx = c
	};
	const struct nr_filter *f;
	uint64_t before;
	size_t n;
	int rc;

	if (s->sync != NULL)
		return (rc = nr_sync_plan(s, &f, &n)) != NR_OK ? rc :
		    query_for_sync(s, f, n);
	if (s->count != NULL)
		s->count->has_hll = s->nfilters == 1 && nr_hll_offset(
		    &s->filters[0], c->relay->sha, &s->count->offset);
	else if ((rc = nr_live_add(c->relay->live, s, c->relay->snap,
	    &before)) != NR_OK)
		return rc;
	else {
		/* Number 0 is the first: nothing is below it. */
		o.before = before;
		o.nothing = before == 0;
	}
	rc = nr_query_new(&s->query, s->filters, s->nfilters, &o);
	if (rc != NR_OK)
		nr_live_remove(c->relay->live, s);
	return rc;
}

/* It is on the connection's list. */
static void
enlist(struct nr_conn *c, struct nr_sub *s)
{
	s->next = c->subs;
	c->subs = s;
	c->nsubs++;
	c->nvalues += s->nvalues;
}

/* Start answering. */
static int
start_sub(struct nr_conn *c, struct nr_sub *s)
{
	int rc;

	if ((rc = make_query(c, s)) == NR_OK)
		nr_queries_add(c->relay->queries, s);
	return rc;
}

/* ---- what a policy decides ------------------------------------------------ */

static const char *
failure(int rc)
{
	return rc == ENOMEM ? "error: out of memory" :
	    rc == EAGAIN ? nr_policy_failed :
	    "error: the store cannot be read";
}

/* The filters of a REQ or COUNT, the one of a NEG-OPEN: an array. */
static int
write_filters(struct nr_buf *b, const struct nr_client_message *m)
{
	struct nr_view rest = m->rest;
	struct nr_json j;
	size_t n = 0;
	int rc = NR_OK;

	b->len = 0;
	while (rc == NR_OK && nr_client_next_filter(&rest) > 0 &&
	    (n == 0 || m->verb != NR_CLIENT_NEG_OPEN)) {
		j.p = rest.p;
		j.end = rest.p + rest.len;
		(void)nr_json_skip(&j, NR_JSON_DEPTH_MAX);
		rc = nr_buf_add(b, n++ == 0 ? "[" : ",", 1);
		if (rc == NR_OK)
			rc = nr_buf_add(b, rest.p, (size_t)(j.p - rest.p));
		rest.len -= (size_t)(j.p - rest.p);
		rest.p = j.p;
	}
	return rc != NR_OK ? rc : nr_buf_add(b, "]", 1);
}

/* Begin with it, once a policy says so where there is one. */
static int
ask_or_start(struct nr_conn *c, struct nr_sub *s,
    const struct nr_client_message *m)
{
	struct nr_buf *b = &c->relay->reply;
	int rc;

	if (!nr_policy_asks(c->relay, NR_ASK_REQ))
		return start_sub(c, s);
	if ((rc = write_filters(b, m)) != NR_OK)
		return rc;
	return nr_policy_ask_read(s, m->name,
	    (struct nr_view){ b->p, b->len });
}

/* As it would be answered if nothing matched. */
static void
show_nothing(struct nr_conn *c, struct nr_sub *s)
{
	static const unsigned char none[NR_HLL_REGISTERS];
	struct nr_view id = { s->id, s->idlen };
	struct nr_buf *b = &c->relay->reply;
	unsigned offset;
	int hll, rc;

	b->len = 0;
	if (s->count != NULL) {
		hll = s->nfilters == 1 && nr_hll_offset(&s->filters[0],
		    c->relay->sha, &offset);
		rc = nr_write_count(b, id, 0, 0, hll ? none : NULL);
	} else if ((rc = nr_buf_adds(b, "[\"EOSE\",\"")) == NR_OK &&
	    (rc = nr_buf_add(b, id.p, id.len)) == NR_OK)
		rc = nr_buf_adds(b, "\",[\"finish\"]]");
	if (rc == NR_OK)
		nr_conn_send(c, b->p, b->len);
	else
		nr_conn_doom(c, NR_CLOSE_ERROR, "out of memory");
	nr_relay_wake(c->relay);
}

void
nr_session_decided(struct nr_sub *s, enum nr_action action, const char *why)
{
	enum nr_sub_sort sort = nr_sub_sort(s);
	struct nr_view id = { s->id, s->idlen };
	struct nr_conn *c = s->conn;
	int rc = NR_OK;

	if (atomic_load(&s->closed) || nr_conn_lost(c))
		return;
	if (action == NR_ACCEPT && (rc = start_sub(c, s)) == NR_OK)
		return;
	/* It stands for nothing any more, once the list is swept. */
	atomic_store(&s->closed, 1);
	if (action == NR_SHADOW_REJECT && sort != NR_SUB_SYNC)
		show_nothing(c, s);
	else
		deny(c, sort, id, rc != NR_OK ? failure(rc) : why);
}

static enum nr_sub_sort
sort_of(enum nr_client_verb verb)
{
	switch (verb) {
	case NR_CLIENT_COUNT:
		return NR_SUB_COUNT;
	case NR_CLIENT_NEG_OPEN:
	case NR_CLIENT_NEG_MSG:
	case NR_CLIENT_NEG_CLOSE:
		return NR_SUB_SYNC;
	default:
		return NR_SUB_REQ;
	}
}

/* What is behind the id: filters, and what else there is. */
static int
read_request(struct nr_conn *c, struct nr_sub *s, enum nr_sub_sort sort,
    struct nr_view rest, const char **why)
{
	if (sort == NR_SUB_SYNC)
		return read_sync(c, s, rest, why);
	if (sort == NR_SUB_COUNT &&
	    (s->count = calloc(1, sizeof(*s->count))) == NULL)
		return ENOMEM;
	return read_filters(c, s, rest, why);
}

/* REQ, COUNT and NEG-OPEN. */
static void
req(struct nr_conn *c, const struct nr_client_message *m)
{
	struct nr_view id = { m->subid, m->subid_len };
	enum nr_sub_sort sort = sort_of(m->verb);
	const char *why = NULL;
	struct nr_sub *s;
	int rc = NR_OK;

	/* One on an id that is in use replaces what it stood for. */
	drop(c, id, sort);
	sweep_closed(c);
	if (c->nsubs >= c->relay->config->max_subscriptions) {
		nr_limits_hit(c->relay, NR_LIMIT_SUBSCRIPTIONS);
		deny(c, sort, id, "rate-limited: too many subscriptions");
		return;
	}
	if ((s = new_sub(c, id)) == NULL)
		rc = ENOMEM;
	if (rc == NR_OK)
		rc = read_request(c, s, sort, m->rest, &why);
	if (rc == NR_OK && why == NULL) {
		s->nvalues = count_values(s);
		if (s->nvalues + c->nvalues > c->relay->config->max_values) {
			nr_limits_hit(c->relay, NR_LIMIT_VALUES);
			why = "rate-limited: too many filter values in all "
			    "subscriptions";
		}
	}
	if (rc == NR_OK && why == NULL)
		why = nr_access_read(c, s->filters, s->nfilters);
	if (rc == NR_OK && why == NULL &&
	    (rc = ask_or_start(c, s, m)) == NR_OK) {
		enlist(c, s);
		return;
	}
	deny(c, sort, id, why != NULL ? why : failure(rc));
	if (s != NULL)
		nr_sub_unref(s);
}

/* NEG-MSG: the next message of a session. */
static void
next_message(struct nr_conn *c, const struct nr_client_message *m)
{
	struct nr_view id = { m->subid, m->subid_len }, hex;
	const char *why = NULL;
	struct nr_sub *s;
	int rc = NR_OK;

	sweep_closed(c);
	if ((s = *find(c, id, NR_SUB_SYNC)) == NULL)
		why = "closed: there is no session with this id";
	else if (!nr_client_neg_message(m->rest, &hex))
		why = "invalid: no message in lower-case hexadecimal";
	else if ((rc = nr_sync_message(s->sync, hex)) == EBUSY)
		why = "invalid: the last message has not been answered";
	else if (rc != NR_OK)
		why = "error: out of memory";
	if (why == NULL) {
		nr_queries_add(c->relay->queries, s);
		return;
	}
	drop(c, id, NR_SUB_SYNC);
	nr_sync_refuse(c, id, why, 0);
}

void
nr_session_expire(struct nr_conn *c, int64_t now)
{
	int64_t most = (int64_t)c->relay->config->sync_seconds * 1000, since;
	struct nr_sub *s, *next;

	for (s = c->subs; s != NULL; s = next) {
		struct nr_view id = { s->id, s->idlen };

		next = s->next;
		since = s->sync == NULL ? 0 : nr_sync_idle_since(s->sync);
		if (since == 0 || now - since < most)
			continue;
		nr_sync_refuse(c, id, "closed: you took too long to respond",
		    0);
		drop(c, id, NR_SUB_SYNC);
	}
}

/* ---- limits in time ---------------------------------------------------------- */

/* The answer to an event, or to AUTH, of which nothing is done. */
static void
refuse_event(struct nr_conn *c, struct nr_view json, const char *why)
{
	struct nr_buf *b = &c->relay->reply;
	const char *id = nr_event_peek_id(json.p, json.len);
	int rc;

	b->len = 0;
	rc = id != NULL ? nr_write_ok(b, id, 0, why) : nr_write_notice(b, why);
	if (rc == NR_OK)
		nr_conn_send(c, b->p, b->len);
	nr_relay_wake(c->relay);
}

static void
refuse(struct nr_conn *c, const struct nr_client_message *m,
    const char *why)
{
	struct nr_view id = { m->subid, m->subid_len };

	switch (m->verb) {
	case NR_CLIENT_EVENT:
		nr_count_event(c->relay, -1, 0, why, nr_now_ms());
		/* fall through */
	case NR_CLIENT_AUTH:
		refuse_event(c, m->event, why);
		break;
	case NR_CLIENT_REQ:
	case NR_CLIENT_COUNT:
	case NR_CLIENT_NEG_OPEN:
	case NR_CLIENT_NEG_MSG:
		drop(c, id, sort_of(m->verb));
		deny(c, sort_of(m->verb), id, why);
		break;
	case NR_CLIENT_CLOSE:
	case NR_CLIENT_NEG_CLOSE:
	case NR_CLIENT_OTHER:
		refuse_event(c, (struct nr_view){ NULL, 0 }, why);
		break;
	}
}

/* Returns 1; 0: it has been refused; -1: it has to wait. */
static int
admit(struct nr_conn *c, const struct nr_client_message *m, int bad,
    size_t len)
{
	static const enum nr_want want[] = {
		[NR_CLIENT_EVENT] = NR_WANT_EVENT,
		[NR_CLIENT_REQ] = NR_WANT_QUERY,
		[NR_CLIENT_COUNT] = NR_WANT_COUNT,
		[NR_CLIENT_CLOSE] = NR_WANT_OTHER,
		[NR_CLIENT_AUTH] = NR_WANT_OTHER,
		[NR_CLIENT_NEG_OPEN] = NR_WANT_QUERY,
		[NR_CLIENT_NEG_MSG] = NR_WANT_QUERY,
		[NR_CLIENT_NEG_CLOSE] = NR_WANT_OTHER,
		[NR_CLIENT_OTHER] = NR_WANT_OTHER,
	};
	char why[NR_LIMITS_WHY];
	int64_t after;
	int rc;

	/* One that only waited for room comes again. */
	if (c->admitted)
		return 1;
	rc = nr_limits_take(c, bad ? NR_WANT_OTHER : want[m->verb], len, why,
	    &after);
	if (rc < 0)
		nr_relay_later(c, after);
	else if (rc == 0 && bad)
		refuse_event(c, (struct nr_view){ NULL, 0 }, why);
	else if (rc == 0)
		refuse(c, m, why);
	return rc;
}

/* ---- messages ------------------------------------------------------------------ */

int
nr_session_message(struct nr_conn *c, const char *text, size_t len)
{
	struct nr_client_message m;
	struct nr_view id;
	const char *why;
	int has_sub, rc;

	nr_client_read(&m, text, len, &why, &has_sub);
	if ((rc = admit(c, &m, why != NULL, len)) <= 0)
		return rc == 0;
	if (why != NULL) {
		atomic_fetch_add(
		    &c->relay->metrics.messages[NR_CLIENT_OTHER], 1);
		if (has_sub && m.verb != NR_CLIENT_CLOSE &&
		    m.verb != NR_CLIENT_NEG_CLOSE)
			deny(c, sort_of(m.verb), m.given, why);
		else
			nr_session_bad(c, why);
		return 1;
	}
	id.p = m.subid;
	id.len = m.subid_len;
	/* One that has to wait comes again. */
	if (m.verb != NR_CLIENT_EVENT)
		atomic_fetch_add(&c->relay->metrics.messages[m.verb], 1);
	switch (m.verb) {
	case NR_CLIENT_EVENT:
		c->admitted = !nr_ingest_push(c->relay->ingest, c, m.event);
		if (c->admitted)
			return 0;
		atomic_fetch_add(&c->relay->metrics.messages[m.verb], 1);
		break;
	case NR_CLIENT_REQ:
	case NR_CLIENT_COUNT:
	case NR_CLIENT_NEG_OPEN:
		req(c, &m);
		break;
	case NR_CLIENT_NEG_MSG:
		next_message(c, &m);
		break;
	case NR_CLIENT_CLOSE:
	case NR_CLIENT_NEG_CLOSE:
		drop(c, id, sort_of(m.verb));
		break;
	case NR_CLIENT_AUTH:
		nr_access_auth(c, m.event);
		break;
	case NR_CLIENT_OTHER:
		break;
	}
	return 1;
}
