/*
 * Events on their way into the store.
 *
 * The socket thread copies them into a job, which it hands over at the end
 * of each round; the pool checks and verifies them; the writer takes
 * finished jobs in order, stores what is ready in one transaction, and
 * answers.  So events of one connection are stored and answered in the
 * order in which they came.
 *
 * Where a policy decides about events, those that are good leave their job
 * and are held until it has; the writer then takes them with the jobs that
 * are ready, in the order in which they were decided.
 */
#include "relay/internal.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "event/pow.h"
#include "event/tags.h"
#include "relay/policy.h"
#include "relay/siblings.h"
#include "util/err.h"
#include "util/hex.h"
#include "util/times.h"
#include "wire/message.h"

#define JOB_EVENTS	64
#define JOB_BYTES	((size_t)256 * 1024)
#define JOBS		128
#define BATCH_EVENTS	2000	/* in one transaction, about */
#define TEND_MS		1000

/* An event and what is to be answered. */
struct entry {
	struct nr_conn	*conn;
	size_t		 at, len;	/* of its JSON in the job's text */
	int		 store;		/* the item is good */
	int		 held;		/* it is no entry of its job any more */
	struct nr_item	 item;
	size_t		 line_at;	/* of its line in the job's lines */
	int		 accepted;
	const char	*message;
	char		 text[96];	/* for messages that are made up */
	char		 id[64];
	int		 has_id;
	int		 kind;		/* -1: not known */
	int64_t		 received;	/* ms */
};

struct job {
	struct nr_buf	 text;		/* JSON as it came */
	struct nr_buf	 lines;		/* normal lines */
	struct entry	 entry[JOB_EVENTS];
	size_t		 n;
};

/* An event that a policy is asked about. */
struct held {
	struct nr_asked	 asked;		/* the first member */
	struct nr_ingest *ingest;
	struct held	*next;
	struct entry	 entry;
	char		 why[NR_POLICY_WHY];
	char		 line[];
};

struct nr_ingest {
	struct nr_relay		*relay;
	struct nr_pool		*pool;
	struct nr_verifier	**verifier;
	struct nr_snap		**snap;		/* one a worker */
	struct nr_buf		*scratch;	/* likewise */
	unsigned		 nworkers;
	struct job		*filling;	/* the socket thread's */
	atomic_size_t		 bytes;		/* on their way */
	atomic_size_t		 events;
	pthread_t		 writer;
	int			 started;
	pthread_mutex_t		 decided_lock;
	struct held		*decided, **decided_end;
};

/* ---- the socket thread's side --------------------------------------------- */

/* Has it, or have all, enough that a policy is still to decide on? */
static int
must_wait(struct nr_ingest *in, struct nr_conn *c)
{
	struct nr_relay *r = in->relay;

	return nr_policy_asks(r, NR_ASK_NEW) &&
	    (atomic_load(&in->events) >= r->config->policy_queue ||
	    atomic_load(&c->unanswered) >= nr_policy_share(r));
}

int
nr_ingest_push(struct nr_ingest *in, struct nr_conn *c, struct nr_view json)
{
	struct job *job = in->filling;
	struct entry *e;

	if (must_wait(in, c))
		return 0;
	if (job != NULL && (job->n == JOB_EVENTS ||
	    job->text.len + json.len > JOB_BYTES)) {
		nr_ingest_flush(in);
		job = NULL;
	}
	if (job == NULL) {
		if (atomic_load(&in->bytes) >
		    in->relay->config->input_pause ||
		    (job = nr_pool_try_claim(in->pool)) == NULL)
			return 0;
		job->n = 0;
		job->text.len = 0;
		in->filling = job;
	}
	e = &job->entry[job->n];
	e->at = job->text.len;
	e->len = json.len;
	if (nr_buf_add(&job->text, json.p, json.len) != NR_OK)
		return 0;
	nr_conn_ref(c);
	e->conn = c;
	e->held = 0;
	e->kind = -1;
	e->received = nr_now_ms();
	job->n++;
	atomic_fetch_add(&c->unanswered, 1);
	atomic_fetch_add(&in->bytes, json.len);
	atomic_fetch_add(&in->events, 1);
	return 1;
}

void
nr_ingest_flush(struct nr_ingest *in)
{
	if (in->filling == NULL)
		return;
	in->filling = NULL;
	nr_pool_submit(in->pool);
}

void
nr_ingest_decided(struct nr_ingest *in)
{
	int any;

	if (in == NULL)
		return;
	pthread_mutex_lock(&in->decided_lock);
	any = in->decided != NULL;
	pthread_mutex_unlock(&in->decided_lock);
	if (any)
		nr_pool_nudge(in->pool);
}

size_t
nr_ingest_events(struct nr_ingest *in)
{
	return atomic_load(&in->events);
}

size_t
nr_ingest_bytes(struct nr_ingest *in)
{
	return atomic_load(&in->bytes);
}

int
nr_ingest_idle(struct nr_ingest *in)
{
	return atomic_load(&in->events) == 0;
}

/* ---- checking, in the pool ---------------------------------------------------- */

static void
refuse(struct entry *e, const char *message)
{
	e->accepted = 0;
	e->message = message;
}

static struct nr_event_limits
limits_of(const struct nr_relay_config *c)
{
	struct nr_event_limits l = {
		.bytes = c->max_event,
		.tags = (unsigned)c->max_event_tags,
		.tag_items = (unsigned)c->max_event,
		.tag_bytes = c->max_tag_value,
		.depth = 16
	};

	return l;
}

/* A repost must not carry a protected event inside (NIP-70). */
static int
embeds_protected(struct nr_ingest *in, unsigned worker,
    const struct nr_event *ev)
{
	struct nr_event_limits limits = limits_of(in->relay->config);
	struct nr_buf *b = &in->scratch[worker];
	struct nr_event inner;
	size_t len, pos;

	if ((ev->kind != 6 && ev->kind != 16) || ev->content.len == 0)
		return 0;
	b->len = 0;
	if (nr_buf_reserve(b, 2 * (ev->content.len + 64)) != NR_OK)
		return 0;
	len = nr_json_decode(b->p, ev->content.p, ev->content.len);
	if (nr_event_read(&inner, b->p, len, &limits, &pos) != NR_VALID)
		return 0;
	nr_event_normalise(&inner, b->p + len);
	return nr_event_protected(&inner);
}

/* How many characters a text in normal form stands for. */
static uint64_t
characters(struct nr_view text)
{
	const char *p = text.p, *end = p + text.len;
	uint64_t n = 0;

	for (; p < end; p++) {
		if (*p == '\\')
			p += p[1] == 'u' ? 5 : 1;
		n += ((unsigned char)*p & 0xc0) != 0x80;
	}
	return n;
}

/* What this relay's settings and NIP-70 say; NULL where nothing does. */
static const char *
policy(struct nr_ingest *in, unsigned worker, struct entry *e,
    const struct nr_event *ev)
{
	const struct nr_relay_config *config = in->relay->config;
	int64_t now = time(NULL);
	const char *why;

	if (ev->created_at > now &&
	    (uint64_t)(ev->created_at - now) > config->max_future)
		return "invalid: created_at is too far ahead";
	if (config->max_age > 0 && ev->created_at < now &&
	    (uint64_t)(now - ev->created_at) > config->max_age)
		return "invalid: created_at is too long ago";
	if (characters(ev->content) > config->max_content)
		return "invalid: content is too long";
	/* The store sees neither ephemeral ones nor what it has already. */
	if (nr_event_expiration(ev) <= now)
		return "invalid: expired";
	/* Whoever may write here or not, he may ask to be forgotten. */
	if (ev->kind == NR_KIND_VANISH)
		return nr_access_vanish(e->conn, ev);
	if ((why = nr_access_write(e->conn, ev)) != NULL)
		return why;
	if (nr_pow_bits(ev->id) < config->min_pow) {
		snprintf(e->text, sizeof(e->text), "pow: the id has %u "
		    "leading zero bits, %" PRIu64 " are needed",
		    nr_pow_bits(ev->id), config->min_pow);
		return e->text;
	}
	if (embeds_protected(in, worker, ev))
		return "blocked: the repost embeds a protected event";
	return NULL;
}

/* Take the id from what could not be read, for the answer. */
static void
peek_id(struct entry *e, const char *json)
{
	const char *id = nr_event_peek_id(json, e->len);

	e->has_id = id != NULL;
	if (id != NULL)
		memcpy(e->id, id, sizeof(e->id));
}

/* The host's thread: the writer goes on with it. */
static void
on_decision(struct nr_asked *a, enum nr_host_end end,
    const struct nr_decision *d)
{
	struct held *h = (struct held *)(void *)a;
	struct nr_ingest *in = h->ingest;

	nr_policy_count(in->relay, a);
	if (end != NR_HOST_DECIDED)
		refuse(&h->entry, nr_policy_failed);
	else if (d->action == NR_REJECT)
		refuse(&h->entry, nr_policy_why(h->why, d->msg));
	else {
		/* In the shadow it is as if it had been stored. */
		h->entry.store = d->action == NR_ACCEPT;
		h->entry.accepted = 1;
		h->entry.message = "";
	}
	h->next = NULL;
	pthread_mutex_lock(&in->decided_lock);
	*in->decided_end = h;
	in->decided_end = &h->next;
	pthread_mutex_unlock(&in->decided_lock);
}

static struct held *
copy_entry(struct nr_ingest *in, const struct entry *e)
{
	const char *line = e->item.line.p;
	struct nr_item *item;
	struct held *h;

	if ((h = malloc(sizeof(*h) + e->item.line.len)) == NULL)
		return NULL;
	memcpy(h->line, line, e->item.line.len);
	memset(&h->asked, 0, sizeof(h->asked));
	h->ingest = in;
	h->entry = *e;
	h->entry.store = 0;
	item = &h->entry.item;
	item->line.p = h->line;
	item->ev.tags.p = h->line + (item->ev.tags.p - line);
	item->ev.content.p = h->line + (item->ev.content.p - line);
	h->asked.request.type = NR_ASK_NEW;
	h->asked.request.event = item->line;
	h->asked.request.ev = item->ev;
	h->asked.done = on_decision;
	return h;
}

/* Ask the policy: from here on the entry is not the job's. */
static void
hold(struct nr_ingest *in, struct entry *e)
{
	struct held *h;

	e->store = 0;
	if ((h = copy_entry(in, e)) == NULL) {
		refuse(e, "error: out of memory");
		return;
	}
	e->held = 1;
	if (nr_policy_ask(e->conn, &h->asked) == NR_OK)
		return;
	e->held = 0;
	refuse(e, nr_policy_failed);
	free(h);
}

static void
check_entry(struct nr_ingest *in, unsigned worker, struct job *job,
    struct entry *e)
{
	const char *json = job->text.p + e->at, *why;
	char *line = job->lines.p + job->lines.len;
	struct nr_event_limits limits = limits_of(in->relay->config);
	struct nr_item *item = &e->item;
	enum nr_verdict v;
	struct nr_hit hit;
	size_t pos;

	e->store = 0;
	v = nr_event_read(&item->ev, json, e->len, &limits, &pos);
	if (v != NR_VALID) {
		peek_id(e, json);
		snprintf(e->text, sizeof(e->text), "invalid: %s",
		    nr_verdict_str(v));
		refuse(e, e->text);
		return;
	}
	e->has_id = 1;
	e->kind = (int)item->ev.kind;
	nr_hex_encode(e->id, item->ev.id, 32);
	item->line.p = line;
	item->line.len = nr_event_normalise(&item->ev, line);
	item->vanish = item->ev.kind == NR_KIND_VANISH;
	if ((why = policy(in, worker, e, &item->ev)) != NULL) {
		refuse(e, why);
		return;
	}
	/* What is there already needs no signature checked. */
	if (nr_snap_get(in->snap[worker], &hit, item->ev.id) == NR_OK &&
	    hit.line.p != NULL) {
		e->accepted = 1;
		e->message = "duplicate: already have this event";
		return;
	}
	v = nr_verify_event(in->verifier[worker], &item->ev,
	    NR_TRUST_NOTHING);
	if (v != NR_VALID) {
		snprintf(e->text, sizeof(e->text), "invalid: %s",
		    nr_verdict_str(v));
		refuse(e, e->text);
		return;
	}
	/* Whoever may write here or not, he may ask to be forgotten. */
	if (!item->vanish && nr_policy_asks(in->relay, NR_ASK_NEW)) {
		hold(in, e);
		return;
	}
	job->lines.len += item->line.len;
	e->store = 1;
}

static void
check_job(void *ctx, unsigned worker, void *arg)
{
	struct nr_ingest *in = ctx;
	struct job *job = arg;
	int rc, any_held = 0;
	size_t i;

	nr_relay_reading(in->relay);
	job->lines.len = 0;
	rc = nr_buf_reserve(&job->lines, job->text.len +
	    job->n * NR_EVENT_LINE_MAX(0));
	if (rc == NR_OK)
		rc = nr_snap_renew(in->snap[worker]);
	for (i = 0; i < job->n; i++) {
		if (rc == NR_OK) {
			check_entry(in, worker, job, &job->entry[i]);
			any_held |= job->entry[i].held;
			continue;
		}
		job->entry[i].store = 0;
		peek_id(&job->entry[i], job->text.p + job->entry[i].at);
		refuse(&job->entry[i], rc == ENOMEM ? "error: out of memory" :
		    "error: the store cannot be read");
	}
	nr_snap_release(in->snap[worker]);
	if (any_held)
		nr_policy_go(in->relay);
	nr_relay_read(in->relay);
}

/* ---- storing and answering ------------------------------------------------------ */

/* The batch: jobs taken, and their good items in one array. */
struct batch {
	struct job	*job[JOBS];
	size_t		 njobs;
	struct held	*held;		/* and decided */
	struct nr_item	*item;
	struct entry	**entry;
	size_t		 n, cap;
};

/* Room for n items in all. */
static int
make_room(struct batch *b, size_t n)
{
	void *p;

	if (n <= b->cap)
		return NR_OK;
	if ((p = realloc(b->item, 2 * n * sizeof(*b->item))) == NULL)
		return ENOMEM;
	b->item = p;
	if ((p = realloc(b->entry, 2 * n * sizeof(*b->entry))) == NULL)
		return ENOMEM;
	b->entry = p;
	b->cap = 2 * n;
	return NR_OK;
}

/* Without memory events are refused, not forgotten. */
static void
add_entry(struct batch *b, struct entry *e)
{
	if (e->held || !e->store || nr_kind_ephemeral(e->item.ev.kind))
		return;
	if (make_room(b, b->n + 1) != NR_OK) {
		e->store = 0;
		refuse(e, "error: out of memory");
		return;
	}
	b->item[b->n] = e->item;
	b->entry[b->n++] = e;
}

static void
add_job(struct batch *b, struct job *job)
{
	size_t i;

	b->job[b->njobs++] = job;
	for (i = 0; i < job->n; i++)
		add_entry(b, &job->entry[i]);
}

/* Take in what has been decided since. */
static void
add_decided(struct nr_ingest *in, struct batch *b)
{
	struct held *h, **end = &b->held;

	pthread_mutex_lock(&in->decided_lock);
	h = in->decided;
	in->decided = NULL;
	in->decided_end = &in->decided;
	pthread_mutex_unlock(&in->decided_lock);
	while (*end != NULL)
		end = &(*end)->next;
	*end = h;
	for (; h != NULL; h = h->next)
		add_entry(b, &h->entry);
}

static void
stored_answer(struct entry *e, enum nr_put result)
{
	static const struct {
		int accepted;
		const char *message;
	} answer[NR_PUT_NRESULTS] = {
		[NR_PUT_STORED] = { 1, "" },
		[NR_PUT_DUPLICATE] = { 1,
		    "duplicate: already have this event" },
		[NR_PUT_SUPERSEDED] = { 0, "duplicate: have a newer version" },
		[NR_PUT_DELETED] = { 0, "blocked: deleted" },
		[NR_PUT_EXPIRED] = { 0, "invalid: expired" },
		[NR_PUT_EPHEMERAL] = { 0, "mute: no one was listening" },
	};

	e->accepted = answer[result].accepted;
	e->message = answer[result].message;
}

static const char *
failure(int rc)
{
	switch (rc) {
	case NR_EBUSY:
		return "error: the store is busy, try again";
	case NR_EFULL:
	case ENOSPC:
		return "error: no space left";
	}
	return "error: the event could not be stored";
}

static int
is_fatal(int rc)
{
	return rc == NR_ESYNC || rc == NR_EGONE || rc == NR_EINDEX ||
	    rc == NR_ECORRUPT;
}

static void
store_batch(struct nr_ingest *in, struct batch *b)
{
	struct nr_relay *r = in->relay;
	size_t i;
	int rc = NR_OK;

	if (b->n > 0)
		nr_latency_value(&r->metrics.batch, (int64_t)b->n);
	if (b->n > 0)
		rc = nr_store_put(r->st, b->item, b->n, 0, time(NULL));
	for (i = 0; i < b->n; i++) {
		if (rc == NR_OK)
			stored_answer(b->entry[i], b->item[i].result);
		else
			refuse(b->entry[i], failure(rc));
	}
	if (rc != NR_OK && !is_fatal(rc))
		nr_relay_note(r, NR_LOG_WARN, "store", NULL, "store: %s",
		    nr_strerror(rc));
	if (is_fatal(rc))
		nr_relay_fail(r, rc);
}

/* Ephemeral events are for those who listen now, here or beside us. */
static void
publish_ephemeral(struct nr_relay *r, struct entry *e)
{
	size_t n = nr_live_publish(r->live, &e->item.ev, e->item.line,
	    UINT64_MAX) + nr_siblings_pass(r->siblings, e->item.line);

	stored_answer(e, n > 0 ? NR_PUT_STORED : NR_PUT_EPHEMERAL);
}

static void
answer(struct nr_ingest *in, struct entry *e, struct nr_buf *b)
{
	int rc;

	if (e->store && nr_kind_ephemeral(e->item.ev.kind))
		publish_ephemeral(in->relay, e);
	nr_count_event(in->relay, e->kind, e->accepted, e->message,
	    e->received);
	b->len = 0;
	rc = e->has_id ? nr_write_ok(b, e->id, e->accepted, e->message) :
	    nr_write_notice(b, e->message);
	if (rc == NR_OK)
		nr_conn_send(e->conn, b->p, b->len);
	else
		nr_conn_doom(e->conn, NR_CLOSE_ERROR, "out of memory");
	if (!e->has_id)		/* it is not even known what it was */
		nr_conn_bad(e->conn);
	atomic_fetch_sub(&e->conn->unanswered, 1);
	nr_conn_unref(e->conn);
}

/* Answer what was decided. */
static void
finish_held(struct nr_ingest *in, struct batch *b, struct nr_buf *text,
    size_t *events, size_t *bytes)
{
	struct held *h;

	while ((h = b->held) != NULL) {
		b->held = h->next;
		answer(in, &h->entry, text);
		*bytes += h->entry.len;
		++*events;
		free(h);
	}
}

/* Answer what is in a job, but for what has left it. */
static void
finish_job(struct nr_ingest *in, struct job *job, struct nr_buf *text,
    size_t *events, size_t *bytes)
{
	size_t i;

	for (i = 0; i < job->n; i++) {
		if (job->entry[i].held)
			continue;
		answer(in, &job->entry[i], text);
		*bytes += job->entry[i].len;
		++*events;
	}
}

static void
finish_batch(struct nr_ingest *in, struct batch *b, struct nr_buf *text)
{
	size_t i, events = 0, bytes = 0;
	struct job *job;

	nr_relay_reading(in->relay);
	finish_held(in, b, text, &events, &bytes);
	for (i = 0; i < b->njobs; i++) {
		job = b->job[i];
		finish_job(in, job, text, &events, &bytes);
		/* One huge message must not be remembered for ever. */
		if (job->text.cap > 2 * JOB_BYTES) {
			nr_buf_free(&job->text);
			nr_buf_free(&job->lines);
		}
	}
	nr_relay_read(in->relay);
	for (i = 0; i < b->njobs; i++)
		nr_pool_release(in->pool);
	atomic_fetch_sub(&in->events, events);
	atomic_fetch_sub(&in->bytes, bytes);
	b->njobs = b->n = 0;
	/* Somebody may be waiting for room, or for the end. */
	atomic_store(&in->relay->room, 1);
	nr_relay_wake(in->relay);
}

void
nr_store_trouble(struct nr_relay *r, int rc)
{
	if (is_fatal(rc))
		nr_relay_fail(r, rc);
	else if (rc != NR_OK && rc != NR_EBUSY)
		nr_relay_note(r, NR_LOG_WARN, "store", NULL, "store: %s",
		    nr_strerror(rc));
}

static void
tend(struct nr_relay *r, int64_t *last)
{
	int64_t now = nr_now_ms();
	size_t swept;

	if (now - *last < TEND_MS)
		return;
	*last = now;
	nr_store_trouble(r, nr_store_tend(r->st, &swept, 1000, time(NULL)));
}

static void
write_batch(struct nr_ingest *in, struct batch *b, struct nr_buf *text)
{
	int any = b->n > 0;

	store_batch(in, b);
	if (any)
		nr_feed_ring(in->relay->feed);
	finish_batch(in, b, text);
	if (any)
		nr_store_trouble(in->relay, nr_store_settle(
		    in->relay->st, 0));
}

static void *
writer_main(void *arg)
{
	struct nr_ingest *in = arg;
	struct batch b = { .n = 0 };
	struct nr_buf text = { 0 };
	int64_t tended = nr_now_ms();
	void *job;
	int rc;

	for (;;) {
		/* Whatever is ready goes into the next transaction. */
		rc = nr_pool_take(in->pool, &job,
		    b.njobs == 0 ? TEND_MS : 0);
		if (rc == NR_OK)
			add_job(&b, job);
		if (rc == NR_OK && b.n < BATCH_EVENTS && b.njobs < JOBS)
			continue;
		add_decided(in, &b);
		if (b.njobs > 0 || b.held != NULL)
			write_batch(in, &b, &text);
		if (rc == NR_EOF)
			break;
		tend(in->relay, &tended);
	}
	nr_buf_free(&text);
	free(b.item);
	free(b.entry);
	return NULL;
}

/* ---- beginning and end ------------------------------------------------------------ */

static void
clear_job(void *arg)
{
	struct job *job = arg;

	nr_buf_free(&job->text);
	nr_buf_free(&job->lines);
}

void
nr_ingest_free(struct nr_ingest *in)
{
	unsigned i;

	if (in == NULL)
		return;
	if (in->pool != NULL) {
		nr_ingest_flush(in);
		nr_pool_close(in->pool);
	}
	if (in->started)
		pthread_join(in->writer, NULL);
	nr_pool_free(in->pool, clear_job);
	pthread_mutex_destroy(&in->decided_lock);
	for (i = 0; i < in->nworkers; i++) {
		nr_verifier_free(in->verifier[i]);
		nr_snap_free(in->snap[i]);
		nr_buf_free(&in->scratch[i]);
	}
	free(in->verifier);
	free(in->snap);
	free(in->scratch);
	free(in);
}

static int
start(struct nr_ingest *in, unsigned n)
{
	unsigned i;
	int rc;

	in->verifier = calloc(n, sizeof(in->verifier[0]));
	in->snap = calloc(n, sizeof(in->snap[0]));
	in->scratch = calloc(n, sizeof(in->scratch[0]));
	if (in->verifier == NULL || in->snap == NULL || in->scratch == NULL)
		return ENOMEM;
	in->nworkers = n;
	for (i = 0; i < n; i++)
		if ((rc = nr_verifier_new(&in->verifier[i])) != NR_OK ||
		    (rc = nr_snap_new(&in->snap[i], in->relay->st)) != NR_OK)
			return rc;
	rc = nr_pool_new(&in->pool, n, JOBS, sizeof(struct job), check_job,
	    NULL, in);
	if (rc == NR_OK)
		rc = pthread_create(&in->writer, NULL, writer_main, in);
	in->started = rc == NR_OK;
	return rc;
}

int
nr_ingest_new(struct nr_ingest **out, struct nr_relay *r)
{
	const struct nr_relay_config *c = r->config;
	unsigned n = (unsigned)c->verify_threads;
	struct nr_ingest *in;
	int rc;

	if ((in = calloc(1, sizeof(*in))) == NULL)
		return ENOMEM;
	in->relay = r;
	pthread_mutex_init(&in->decided_lock, NULL);
	in->decided_end = &in->decided;
	rc = start(in, n > 0 ? n : nr_pool_cores());
	if (rc != NR_OK) {
		nr_ingest_free(in);
		return rc;
	}
	*out = in;
	return NR_OK;
}
