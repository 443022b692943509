/*
 * The policy plugin of a relay: its host, what is told of clients, and the
 * questions of which the socket thread waits for the answers.
 */
#include "relay/policy.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "relay/internal.h"
#include "relay/session.h"
#include "util/err.h"

const char nr_policy_failed[] =
    "error: the policy cannot be asked, try again later";

struct nr_policy {
	struct nr_relay	*relay;
	struct nr_host	*host;		/* NULL while there was none to run */
	atomic_size_t	 inquiries;	/* under way */

	pthread_mutex_t	 lock;
	struct inquiry	*first, *last;	/* that were decided */
};

/* Of a subscription, or (without one) of a connection. */
struct inquiry {
	struct nr_asked	 asked;		/* the first member */
	struct inquiry	*next;
	struct nr_conn	*conn;		/* a reference, */
	struct nr_sub	*sub;		/* likewise */
	enum nr_action	 action;
	char		 why[NR_POLICY_WHY];
	char		 verb[16];
	char		 filters[];
};

/* ---- the host --------------------------------------------------------------- */

static void
say(void *ctx, enum nr_host_news what, const char *text)
{
	struct nr_relay *r = ctx;

	if (what == NR_HOST_STDERR)
		nr_relay_note(r, NR_LOG_INFO, "policy", NULL, "policy: %s",
		    text);
	else
		nr_relay_note(r, what == NR_HOST_NEWS ? NR_LOG_INFO :
		    NR_LOG_WARN, "policy", NULL, "%s", text);
}

/* Some have been decided. */
static void
after(void *ctx)
{
	struct nr_relay *r = ctx;

	nr_ingest_decided(r->ingest);
	if (atomic_load(&r->policy->inquiries) > 0)
		nr_relay_wake(r);
}

static struct nr_host_options
options(struct nr_relay *r)
{
	const struct nr_relay_config *c = r->config;
	struct nr_host_options o = {
		.command = c->policy,
		.timeout = (int64_t)c->policy_timeout * 1000,
		/* Events, and as many of the others. */
		.queue = 2 * (size_t)c->policy_queue,
		.lane = 2 * (size_t)c->policy_queue,
		.bytes = 2 * (size_t)c->input_pause,
		.asks = c->policy_asks, .after = after, .say = say, .ctx = r
	};

	return o;
}

void
nr_policy_reload(struct nr_relay *r)
{
	struct nr_host_options o = options(r);
	struct nr_policy *p = r->policy;
	int rc = NR_OK;

	if (p->host != NULL)
		rc = nr_host_replace(p->host, &o);
	else if (o.command != NULL)
		rc = nr_host_new(&p->host, &o);
	if (rc != NR_OK)
		nr_relay_note(r, NR_LOG_ERROR, "policy", NULL,
		    "the policy cannot be run: %s", nr_strerror(rc));
}

int
nr_policy_new(struct nr_policy **out, struct nr_relay *r)
{
	struct nr_host_options o = options(r);
	struct nr_policy *p;
	int rc = NR_OK;

	if ((p = calloc(1, sizeof(*p))) == NULL)
		return ENOMEM;
	p->relay = r;
	pthread_mutex_init(&p->lock, NULL);
	if (o.command != NULL)
		rc = nr_host_new(&p->host, &o);
	if (rc != NR_OK) {
		nr_policy_free(p);
		return rc;
	}
	*out = p;
	return NR_OK;
}

void
nr_policy_stop(struct nr_policy *p)
{
	if (p != NULL)
		nr_host_stop(p->host);
}

static void
drop(struct inquiry *q)
{
	if (q->sub != NULL)
		nr_sub_unref(q->sub);
	nr_conn_unref(q->conn);
	free(q);
}

void
nr_policy_free(struct nr_policy *p)
{
	struct inquiry *q;

	if (p == NULL)
		return;
	nr_host_free(p->host);
	while ((q = p->first) != NULL) {
		p->first = q->next;
		drop(q);
	}
	pthread_mutex_destroy(&p->lock);
	free(p);
}

int
nr_policy_asks(const struct nr_relay *r, enum nr_ask what)
{
	return r->config->policy != NULL &&
	    (r->config->policy_asks & NR_ASK_BIT(what)) != 0;
}

size_t
nr_policy_share(const struct nr_relay *r)
{
	size_t most = (size_t)r->config->policy_queue / 4, share = most;

	if (r->policy->host != NULL)
		share = nr_host_share(r->policy->host);
	return share < most ? share : most;
}

void
nr_policy_figures(const struct nr_relay *r, struct nr_host_figures *out)
{
	memset(out, 0, sizeof(*out));
	if (r->policy->host != NULL)
		nr_host_figures(r->policy->host, out);
}

/* ---- asking ------------------------------------------------------------------- */

int
nr_policy_ask(struct nr_conn *c, struct nr_asked *a)
{
	struct nr_host *host = c->relay->policy->host;
	struct nr_request *q = &a->request;

	a->key = c->number;
	q->received = time(NULL);
	q->source = c->source;
	q->source_info.p = c->source_info;
	q->source_info.len = strlen(c->source_info);
	/* What it has proved is never taken back. */
	q->nauthed = atomic_load_explicit(&c->nkeys, memory_order_acquire);
	q->authed = (const unsigned char (*)[32])c->keys;
	return host == NULL ? EAGAIN : nr_host_add(host, a);
}

void
nr_policy_go(struct nr_relay *r)
{
	if (r->policy->host != NULL)
		nr_host_go(r->policy->host);
}

void
nr_policy_count(struct nr_relay *r, const struct nr_asked *a)
{
	nr_latency_add(&r->metrics.policy, a->asked);
}

/* Does it begin with one of NIP-01's words and a colon? */
static int
has_word(const char *msg)
{
	static const char *const word[] = {
		"duplicate", "pow", "blocked", "rate-limited", "invalid",
		"restricted", "mute", "error", "auth-required", "unsupported"
	};
	size_t n = strcspn(msg, ":"), i;

	for (i = 0; i < sizeof(word) / sizeof(word[0]); i++)
		if (strlen(word[i]) == n && memcmp(word[i], msg, n) == 0)
			return msg[n] == ':';
	return 0;
}

const char *
nr_policy_why(char out[NR_POLICY_WHY], const char *msg)
{
	if (*msg == '\0')
		msg = "not accepted here";
	snprintf(out, NR_POLICY_WHY, "%s%s", has_word(msg) ? "" :
	    "blocked: ", msg);
	return out;
}

/* ---- what the socket thread waits for -------------------------------------------- */

/* The host's thread: hand it over. */
static void
on_decision(struct nr_asked *a, enum nr_host_end end,
    const struct nr_decision *d)
{
	struct inquiry *q = (struct inquiry *)(void *)a;
	struct nr_relay *r = q->conn->relay;
	struct nr_policy *p = r->policy;

	nr_policy_count(r, a);
	if (end == NR_HOST_DECIDED) {
		q->action = d->action;
		nr_policy_why(q->why, d->msg);
	} else {
		q->action = NR_REJECT;
		nr_policy_why(q->why, nr_policy_failed);
	}
	pthread_mutex_lock(&p->lock);
	if (p->last != NULL)
		p->last->next = q;
	else
		p->first = q;
	p->last = q;
	pthread_mutex_unlock(&p->lock);
}

static int
ask(struct nr_conn *c, struct nr_sub *s, enum nr_ask type,
    struct nr_view verb, struct nr_view filters)
{
	struct nr_policy *p = c->relay->policy;
	struct inquiry *q;
	int rc;

	/* One that was given up is under way until it is decided. */
	if (atomic_load(&p->inquiries) >= c->relay->config->policy_queue ||
	    c->asking >= c->relay->config->max_subscriptions)
		return EAGAIN;
	if ((q = calloc(1, sizeof(*q) + filters.len)) == NULL)
		return ENOMEM;
	if (filters.len > 0)
		memcpy(q->filters, filters.p, filters.len);
	snprintf(q->verb, sizeof(q->verb), "%.*s", (int)verb.len, verb.p);
	q->asked.request.type = type;
	q->asked.request.filters = (struct nr_view){ q->filters,
	    filters.len };
	q->asked.request.verb = (struct nr_view){ q->verb,
	    strlen(q->verb) };
	q->asked.done = on_decision;
	q->conn = c;
	q->sub = s;
	nr_conn_ref(c);
	if (s != NULL)
		nr_sub_ref(s);
	c->asking++;
	atomic_fetch_add(&p->inquiries, 1);
	if ((rc = nr_policy_ask(c, &q->asked)) != NR_OK) {
		c->asking--;
		atomic_fetch_sub(&p->inquiries, 1);
		drop(q);
	}
	nr_policy_go(c->relay);
	return rc;
}

int
nr_policy_ask_read(struct nr_sub *s, struct nr_view verb,
    struct nr_view filters)
{
	return ask(s->conn, s, NR_ASK_REQ, verb, filters);
}

int
nr_policy_ask_connect(struct nr_conn *c)
{
	const struct nr_view none = { "", 0 };

	return ask(c, NULL, NR_ASK_CONNECT, none, none);
}

static void
go_on(struct inquiry *q)
{
	q->conn->asking--;
	if (q->sub != NULL)
		nr_session_decided(q->sub, q->action, q->why);
	else
		nr_relay_admit(q->conn, q->action == NR_ACCEPT,
		    q->action == NR_REJECT ? q->why : NULL);
}

void
nr_policy_serve(struct nr_relay *r)
{
	struct nr_policy *p = r->policy;
	struct inquiry *q, *next;

	if (p == NULL || atomic_load(&p->inquiries) == 0)
		return;
	pthread_mutex_lock(&p->lock);
	q = p->first;
	p->first = p->last = NULL;
	pthread_mutex_unlock(&p->lock);
	for (; q != NULL; q = next) {
		next = q->next;
		go_on(q);
		atomic_fetch_sub(&p->inquiries, 1);
		drop(q);
	}
}
