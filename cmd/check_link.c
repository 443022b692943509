/*
 * nr-bench check: connections.  One waits for something at a time; what
 * comes meanwhile is kept, and looked at for what no relay may say.
 */
#include "check.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tool.h"
#include "util/err.h"
#include "util/times.h"

void
check_need(int rc)
{
	if (rc != NR_OK)
		nr_die(rc, "check");
}

static void *
memory(void *p)
{
	if (p == NULL)
		check_need(ENOMEM);
	return p;
}

static void
on_opened(struct nr_peer *p, void *ctx)
{
	struct check_link *l = ctx;

	(void)p;
	l->open = l->met = 1;
	nr_net_stop(l->check->net);
}

static void
on_closed(struct nr_peer *p, void *ctx, const struct nr_fault *why,
    int64_t again)
{
	struct check_link *l = ctx;

	(void)p;
	(void)again;
	l->open = 0;
	l->over = 1;
	l->fault = *why;
	nr_net_stop(l->check->net);
}

/* The event of a message, as a normal line behind its text. */
static void
read_event(struct check_msg *m)
{
	size_t pos;

	m->verdict = nr_event_read(&m->ev, m->a.event.p, m->a.event.len,
	    &nr_event_limits_pipe, &pos);
	if (m->verdict != NR_VALID)
		return;
	m->is_event = 1;
	m->line = m->text + m->len;
	m->line_len = nr_event_normalise(&m->ev, m->line);
}

static void
on_heard(struct nr_peer *p, void *ctx, const char *text, size_t len)
{
	struct check_link *l = ctx;
	struct check_msg *m;

	if (l->n == CHECK_MSGS || l->bytes + len > CHECK_BYTES) {
		nr_peer_fail(p, NR_FAULT_FLOOD, "more than was asked for");
		return;
	}
	m = memory(malloc(sizeof(*m) + len + NR_EVENT_LINE_MAX(len)));
	memset(m, 0, sizeof(*m));
	memcpy(m->text, text, len);
	m->len = len;
	m->why = nr_answer_read(&m->a, m->text, len);
	/* Relays may escape what we did not. */
	if (m->why == NULL && m->a.subid.len < sizeof(m->subid)) {
		m->a.subid.len = nr_json_normal(m->subid, m->a.subid.p,
		    m->a.subid.len);
		m->a.subid.p = m->subid;
	}
	if (m->why == NULL && m->a.verb == NR_ANSWER_EVENT)
		read_event(m);
	if (l->n == l->cap) {
		l->cap = l->cap == 0 ? 64 : 2 * l->cap;
		l->in = memory(realloc(l->in, l->cap * sizeof(*l->in)));
	}
	l->in[l->n++] = m;
	l->bytes += len;
	if (m->why == NULL && m->a.verb == NR_ANSWER_AUTH &&
	    m->a.text.len < sizeof(l->challenge)) {
		memcpy(l->challenge, m->a.text.p, m->a.text.len);
		l->challenge_len = m->a.text.len;
		l->challenge[l->challenge_len] = '\0';
	}
	check_judge(l, m);
	nr_net_stop(l->check->net);
}

static void
forget_messages(struct check_link *l)
{
	while (l->n > 0)
		free(l->in[--l->n]);
	l->bytes = 0;
}

static void
forget_filters(struct check_sub *s)
{
	while (s->nfilters > 0)
		nr_filter_free(&s->filter[--s->nfilters]);
	free(s->got);
	s->got = NULL;
	s->ngot = 0;
	s->known = 0;
}

void
check_drop(struct check_link *l)
{
	nr_peer_free(l->peer);
	l->peer = NULL;
	forget_messages(l);
	while (l->nsubs > 0)
		forget_filters(&l->sub[--l->nsubs]);
	free(l->sub);
	free(l->in);
	*l = (struct check_link){ .check = l->check };
}

static void
begin(struct check_link *l)
{
	static const struct nr_peer_calls calls = {
		.opened = on_opened, .heard = on_heard, .closed = on_closed
	};
	struct nr_peer_options o;

	nr_peer_options_init(&o);
	o.tries = 1;
	o.connect_ms = l->check->timeout;
	l->sub = memory(calloc(CHECK_SUBS, sizeof(*l->sub)));
	check_need(nr_peer_new(&l->peer, l->check->net, &l->check->url, &o,
	    &calls, l));
	nr_peer_open(l->peer);
}

void
check_spin(struct check *c, int64_t until)
{
	int64_t left = until - nr_now_ms();

	nr_timer_set(c->clock, left < 1 ? 1 : left);
	check_need(nr_net_run(c->net));
	nr_timer_stop(c->clock);
}

void
check_extend(struct check *c)
{
	if (c->signals.last == 0)
		c->deadline = nr_now_ms() + c->timeout;
}

/* ---- patience, which ends */

static int
is_patient(const struct check *c, enum check_sort sort)
{
	return c->in_vain[sort] < CHECK_PATIENCE &&
	    c->in_vain_all[sort] < CHECK_IN_VAIN;
}

int64_t
check_until(const struct check *c, enum check_sort sort)
{
	int64_t brief = c->timeout / 25;

	if (is_patient(c, sort))
		return c->deadline;
	brief = nr_now_ms() + (brief < 20 ? 20 : brief > 250 ? 250 : brief);
	return brief < c->deadline ? brief : c->deadline;
}

static void
say_patience_ends(const struct check *c, enum check_sort sort)
{
	static const char *const name[] = {
		[CHECK_OF_OPEN] = "connection",
		[CHECK_OF_REQ] = "EOSE or CLOSED to a REQ",
		[CHECK_OF_EVENT] = "OK to an EVENT",
		[CHECK_OF_COUNT] = "answer to a COUNT",
		[CHECK_OF_NEG] = "answer to a negentropy message",
		[CHECK_OF_LIVE] = "live event",
		[CHECK_OF_AUTH] = "AUTH challenge",
		[CHECK_OF_PROOF] = "OK to an AUTH"
	};

	nr_warn("check: several times no %s in time (%lld ms): from now on it "
	    "is waited for briefly, and what needs it is skipped", name[sort],
	    (long long)c->timeout);
}

void
check_waited(struct check_link *l, enum check_sort sort, int came)
{
	struct check *c = l->check;

	/* A connection's end, or a signal, says nothing of patience. */
	if (!came && (l->over || c->deadline == 0))
		return;
	c->brief = !came && !is_patient(c, sort);
	if (came)
		c->in_vain[sort] = 0;
	if (came || c->brief)
		return;
	c->in_vain[sort]++;
	c->in_vain_all[sort]++;
	if (!is_patient(c, sort) && !c->told[sort]) {
		c->told[sort] = 1;
		say_patience_ends(c, sort);
	}
}

struct check_link *
check_link(struct check *c, unsigned i)
{
	struct check_link *l = &c->link[i];
	int64_t until = check_until(c, CHECK_OF_OPEN);

	if (l->over)
		check_drop(l);
	if (l->peer == NULL)
		begin(l);
	while (!l->open && !l->over && nr_now_ms() < until)
		check_spin(c, until);
	check_waited(l, CHECK_OF_OPEN, l->open);
	if (l->open)
		return l;
	(void)check_missed(l, "no connection");
	return NULL;
}

struct check_link *
check_fresh(struct check *c)
{
	check_drop(&c->link[CHECK_LINKS - 1]);
	return check_link(c, CHECK_LINKS - 1);
}

/* The word for why there is no connection, as probe has it. */
static const char *
class_of(const struct check_link *l)
{
	if (l->fault.class == NR_FAULT_TLS)
		return nr_tls_fault_name(nr_peer_link(l->peer)->facts.fault);
	return nr_fault_name(l->fault.class);
}

const char *
check_why(const struct check_link *l, char out[CHECK_TEXT])
{
	if (l->over && !l->met)
		snprintf(out, CHECK_TEXT, "%s: %s", class_of(l),
		    l->fault.text);
	else if (l->over)
		snprintf(out, CHECK_TEXT, "the connection ended: %s",
		    l->fault.text);
	else
		snprintf(out, CHECK_TEXT, "nothing within %lld ms",
		    (long long)l->check->timeout);
	return out;
}

int
check_missed(struct check_link *l, const char *what)
{
	char why[CHECK_TEXT];

	if (l->check->brief && !l->over)
		return check_skip(l->check, "%s, as before: not waited for "
		    "any longer", what);
	return check_fail(l->check, "%s: %s", what, check_why(l, why));
}

/* It is not heard of again, but what was on its way may still come. */
static void
end_subscription(struct check_link *l, struct check_sub *s)
{
	if (!s->closed)
		(void)check_sayf(l, "[\"CLOSE\",\"%s\"]", s->id);
	s->closed = 1;
	forget_filters(s);
}

void
check_settle(struct check_link *l)
{
	unsigned i;

	if (l->peer == NULL)
		return;
	if (l->over || l->nsubs > CHECK_SUBS / 2) {
		check_drop(l);
		return;
	}
	for (i = 0; i < l->nsubs; i++)
		end_subscription(l, &l->sub[i]);
	forget_messages(l);
}

int
check_say(struct check_link *l, const char *text, size_t len)
{
	struct nr_view v = { text, len };
	char why[CHECK_TEXT];
	int rc = l->open ? nr_peer_send(l->peer, &v, 1) : ENOTCONN;

	if (rc == ENOMEM)
		check_need(rc);
	return rc == NR_OK || check_fail(l->check, "%s", check_why(l, why));
}

int
check_sayf(struct check_link *l, const char *fmt, ...)
{
	va_list ap;
	char *text;
	int n, rc;

	va_start(ap, fmt);
	n = vasprintf(&text, fmt, ap);
	va_end(ap);
	if (n < 0)
		check_need(ENOMEM);
	rc = check_say(l, text, (size_t)n);
	free(text);
	return rc;
}

struct check_sub *
check_sub_find(struct check_link *l, const char *id, size_t len)
{
	unsigned i;

	for (i = l->nsubs; i-- > 0; )
		if (strlen(l->sub[i].id) == len &&
		    memcmp(l->sub[i].id, id, len) == 0)
			return &l->sub[i];
	return NULL;
}

/* What cannot be read, nothing is known of. */
static void
read_filters(struct check_sub *s, const char *filters)
{
	struct nr_json j = { filters, filters + strlen(filters) };
	const char *why;

	s->known = 1;
	for (;;) {
		if (s->nfilters == CHECK_FILTERS) {
			s->known = 0;
			return;
		}
		check_need(nr_filter_read(&s->filter[s->nfilters], &j,
		    &nr_filter_limits_none, &why));
		if (why != NULL) {
			s->known = 0;
			return;
		}
		s->nfilters++;
		if (nr_json_expect(&j, ',') != NR_JSON_OK)
			return;
	}
}

struct check_sub *
check_subscribe(struct check_link *l, const char *id, const char *filters)
{
	struct check_sub *s = check_sub_find(l, id, strlen(id));

	if (s == NULL && l->nsubs < CHECK_SUBS) {
		s = &l->sub[l->nsubs++];
		snprintf(s->id, sizeof(s->id), "%s", id);
	}
	if (s == NULL)
		s = &l->sub[CHECK_SUBS - 1];
	forget_filters(s);
	s->closed = s->refused = s->eose = 0;
	if (filters != NULL)
		read_filters(s, filters);
	return s;
}

static struct check_msg *
take(struct check_link *l,
    int (*want)(const struct check_msg *m, const void *arg), const void *arg,
    size_t *from)
{
	for (; *from < l->n; ++*from)
		if (!l->in[*from]->taken && want(l->in[*from], arg)) {
			l->in[*from]->taken = 1;
			return l->in[*from];
		}
	return NULL;
}

struct check_msg *
check_wait(struct check_link *l,
    int (*want)(const struct check_msg *m, const void *arg), const void *arg,
    int64_t until)
{
	struct check_msg *m;
	size_t from = 0;

	if (until == 0 || until > l->check->deadline)
		until = l->check->deadline;
	/* A signal takes the deadline away. */
	while ((m = take(l, want, arg, &from)) == NULL && l->open &&
	    nr_now_ms() < until && l->check->deadline != 0)
		check_spin(l->check, until);
	return m;
}

struct check_msg *
check_await(struct check_link *l, enum check_sort sort,
    int (*want)(const struct check_msg *m, const void *arg), const void *arg)
{
	struct check_msg *m = check_wait(l, want, arg,
	    check_until(l->check, sort));

	check_waited(l, sort, m != NULL);
	return m;
}
