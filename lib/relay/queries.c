/*
 * Stored events: subscriptions wait, and some threads answer them a slice
 * at a time, so that no query keeps the others waiting and no snapshot is
 * held for long.  Those of one address wait in a lane of their own, and the
 * lanes take turns; one whose address owes work rests until that is paid.
 * A query whose connection has enough to send waits there until that has
 * gone.
 */
#include "relay/internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "util/err.h"
#include "util/times.h"
#include "wire/deflate.h"
#include "wire/message.h"

#define SLICE		10000		/* units of nr_query_next() */
#define LOOK_AHEAD	3000		/* to say that there is no more */
#define BYTES_UNIT	16		/* to be sent cost a unit */
#define SLICE_BYTES	((size_t)128 * 1024)

struct nr_queries {
	struct nr_relay	*relay;
	pthread_mutex_t	 lock;
	pthread_cond_t	 ready;
	struct nr_lane	*first, *last;	/* those with something to do */
	struct nr_lane	*resting;	/* those that may not do it yet */
	int64_t		 wakes;		/* the first of these; ns */
	size_t		 waiting;
	int		 ending;
	unsigned	 nthreads;
	pthread_t	 thread[];
};

/* What each thread has. */
struct worker {
	struct nr_snap		*snap;
	struct nr_deflater	*deflater;
	struct nr_buf		 packed;
	struct nr_ranks		*ranks;
};

/* At the end of those who have something to do. */
static void
add_lane(struct nr_queries *q, struct nr_lane *lane)
{
	lane->next = NULL;
	if (q->last != NULL)
		q->last->next = lane;
	else
		q->first = lane;
	q->last = lane;
}

static struct nr_lane *
first_lane(struct nr_queries *q)
{
	struct nr_lane *lane = q->first;

	if ((q->first = lane->next) == NULL)
		q->last = NULL;
	return lane;
}

static void
rest(struct nr_queries *q, struct nr_lane *lane)
{
	if (q->resting == NULL || lane->rests_until < q->wakes)
		q->wakes = lane->rests_until;
	lane->next = q->resting;
	q->resting = lane;
}

/* Those that have rested until now come again. */
static void
wake(struct nr_queries *q, int64_t now)
{
	struct nr_lane *lane = q->resting, *next;

	q->resting = NULL;
	for (; lane != NULL; lane = next) {
		next = lane->next;
		if (lane->rests_until > now)
			rest(q, lane);
		else
			add_lane(q, lane);
	}
}

static void
push(struct nr_queries *q, struct nr_sub *s)
{
	struct nr_lane *lane = nr_limits_lane(s->conn);

	pthread_mutex_lock(&q->lock);
	s->next_task = NULL;
	if (lane->tail != NULL)
		lane->tail->next_task = s;
	else {
		lane->head = s;
		add_lane(q, lane);
	}
	lane->tail = s;
	lane->waiting++;
	q->waiting++;
	pthread_cond_signal(&q->ready);
	pthread_mutex_unlock(&q->lock);
}

/*
 * One of the first lane, which comes again after all others: whoever asks
 * for much keeps nobody waiting but itself.
 */
static struct nr_sub *
take(struct nr_queries *q)
{
	struct nr_lane *lane = first_lane(q);
	struct nr_sub *s = lane->head;

	if ((lane->head = s->next_task) != NULL)
		add_lane(q, lane);
	else
		lane->tail = NULL;
	lane->waiting--;
	q->waiting--;
	return s;
}

/* Let who owes something rest. */
static void
sort_out(struct nr_queries *q)
{
	int64_t now = nr_now_ns();

	if (q->resting != NULL && q->wakes <= now)
		wake(q, now);
	while (q->first != NULL && q->first->rests_until > now)
		rest(q, first_lane(q));
}

static void
wait_for_work(struct nr_queries *q)
{
	struct timespec until = { (time_t)(q->wakes / 1000000000),
	    q->wakes % 1000000000 };

	if (q->resting != NULL)
		pthread_cond_timedwait(&q->ready, &q->lock, &until);
	else
		pthread_cond_wait(&q->ready, &q->lock);
}

/* The next subscription; NULL at the end. */
static struct nr_sub *
pop(struct nr_queries *q)
{
	struct nr_sub *s;

	pthread_mutex_lock(&q->lock);
	for (sort_out(q); q->first == NULL && !q->ending; sort_out(q))
		wait_for_work(q);
	s = q->ending ? NULL : take(q);
	pthread_mutex_unlock(&q->lock);
	return s;
}

/* Work has been done for the connection, and has its price. */
static void
charge(struct nr_queries *q, struct nr_conn *c, uint64_t units)
{
	int64_t most = (int64_t)q->relay->config->slow_ms * 1000000;
	int64_t wait = nr_limits_worked(c, units);

	if (wait == 0)
		return;
	if (wait > most)
		wait = most;
	pthread_mutex_lock(&q->lock);
	nr_limits_lane(c)->rests_until = nr_now_ns() + wait;
	pthread_mutex_unlock(&q->lock);
}

size_t
nr_queries_waiting(struct nr_queries *q, struct nr_lane *lane)
{
	size_t n;

	pthread_mutex_lock(&q->lock);
	n = lane != NULL ? lane->waiting : q->waiting;
	pthread_mutex_unlock(&q->lock);
	return n;
}

void
nr_queries_add(struct nr_queries *q, struct nr_sub *s)
{
	nr_sub_ref(s);
	push(q, s);
}

void
nr_queries_resume(struct nr_queries *q, struct nr_conn *c)
{
	struct nr_sub *s, *next;

	pthread_mutex_lock(&c->lock);
	s = c->paused;
	c->paused = NULL;
	pthread_mutex_unlock(&c->lock);
	for (; s != NULL; s = next) {
		next = s->next_task;
		push(q, s);
	}
}

/* Wait at the connection, if it has too much to send already. */
static int
pause_at(struct nr_conn *c, struct nr_sub *s)
{
	int full;

	pthread_mutex_lock(&c->lock);
	full = !c->closed && c->out.bytes > c->relay->config->output_pause;
	if (full) {
		s->next_task = c->paused;
		c->paused = s;
	}
	pthread_mutex_unlock(&c->lock);
	return full;
}

/*
 * To compress an event costs some times what it costs to find it: where
 * others wait for that they go before.
 */
static int
may_pack(struct nr_queries *q)
{
	return nr_queries_waiting(q, NULL) < q->nthreads;
}

/* Gather frames until the slice is used up. */
static int
slice(struct nr_sub *s, struct worker *w, struct nr_chunks *out,
    enum nr_query_state *state)
{
	int packs = s->conn->packs && may_pack(s->conn->relay->queries);
	struct nr_snap *sn = w->snap;
	int64_t budget = SLICE;
	struct nr_hit hit;
	int rc;

	if ((rc = nr_snap_renew(sn)) != NR_OK)
		return rc;
	do {
		rc = nr_query_next(s->query, sn, state, &hit, &budget);
		if (rc != NR_OK || *state != NR_QUERY_HIT)
			break;
		if (packs)
			rc = nr_pack(w->deflater, &w->packed, hit.line);
		if (rc == NR_OK)
			rc = nr_chunks_event(out, s, hit.line,
			    packs ? &w->packed : NULL);
	} while (rc == NR_OK && out->bytes < SLICE_BYTES);
	nr_snap_release(sn);
	s->units += (uint64_t)(SLICE - budget);
	charge(s->conn->relay->queries, s->conn, (uint64_t)(SLICE - budget) +
	    out->bytes / BYTES_UNIT);
	return rc;
}

/* Count until the slice is used up, or as far as is counted at all. */
static int
count_slice(struct nr_sub *s, struct nr_snap *sn,
    enum nr_query_state *state)
{
	uint64_t most = s->conn->relay->config->max_count;
	struct nr_count *count = s->count;
	int64_t budget = SLICE;
	struct nr_event ev;
	struct nr_hit hit;
	int rc;

	if ((rc = nr_snap_renew(sn)) != NR_OK)
		return rc;
	while (count->n < most) {
		rc = nr_query_next(s->query, sn, state, &hit, &budget);
		if (rc != NR_OK || *state != NR_QUERY_HIT)
			break;
		count->n++;
		if (count->has_hll && nr_event_view_head(&ev, hit.line.p,
		    hit.line.len))
			nr_hll_add(count->hll, count->offset, ev.pubkey);
	}
	nr_snap_release(sn);
	s->units += (uint64_t)(SLICE - budget);
	charge(s->conn->relay->queries, s->conn, (uint64_t)(SLICE - budget));
	return rc;
}

static void
send_count(struct nr_sub *s, int approximate)
{
	struct nr_view id = { s->id, s->idlen };
	struct nr_buf b = { 0 };

	if (nr_write_count(&b, id, s->count->n, approximate,
	    s->count->has_hll ? s->count->hll : NULL) == NR_OK)
		nr_conn_send(s->conn, b.p, b.len);
	else
		nr_conn_doom(s->conn, NR_CLOSE_ERROR, "out of memory");
	nr_buf_free(&b);
	nr_latency_add(&s->conn->relay->metrics.query, s->begun);
	atomic_store(&s->closed, 1);
}

/* Everything has been sent: is that all there is?  NIP-67. */
static const char *
hint_for(struct nr_sub *s, struct nr_snap *sn)
{
	static const char *const hint[] = { NULL, "finish", "more" };
	int more = -1;

	if (nr_snap_renew(sn) != NR_OK)
		return NULL;
	if (nr_query_more(s->query, sn, LOOK_AHEAD, &more) != NR_OK)
		more = -1;
	nr_snap_release(sn);
	return hint[more + 1];
}

static void
fail(struct nr_relay *r, struct nr_sub *s, int rc)
{
	struct nr_view id = { s->id, s->idlen };
	struct nr_buf b = { 0 };

	nr_relay_log(r, NR_LOG_ERROR, "query: %s", nr_strerror(rc));
	if (atomic_exchange(&s->closed, 1))
		return;
	if (s->sync != NULL) {
		nr_sync_refuse(s->conn, id, "error: the query failed", 0);
		return;
	}
	nr_live_remove(r->live, s);
	if (nr_write_closed(&b, id, "error: the query failed") == NR_OK)
		nr_conn_send(s->conn, b.p, b.len);
	nr_buf_free(&b);
}

/* The query has done what it was for. */
static void
end_query(struct nr_sub *s)
{
	nr_latency_value(&s->conn->relay->metrics.work, s->busy / 1000000);
	nr_log_slow(s, nr_now_ms());
	nr_query_free(s->query);
	s->query = NULL;
}

/* Reconciling: gather records first, then answer a message at a time. */
static void
run_sync(struct nr_queries *q, struct nr_sub *s, struct worker *w)
{
	enum nr_query_state state = NR_QUERY_END;
	struct nr_chunks out = { NULL, NULL, 0 };
	int64_t begun = nr_now_ns();
	uint64_t units = 0;
	int rc;

	rc = nr_sync_work(s, w->snap, SLICE, w->ranks, &state, &units,
	    &out);
	s->units += units;
	charge(q, s->conn, units + out.bytes / BYTES_UNIT);
	s->busy += nr_now_ns() - begun;
	s->slices++;
	if (rc == NR_OK && state == NR_QUERY_PAUSE) {
		push(q, s);
		return;
	}
	if (s->query != NULL)
		end_query(s);
	if (rc != NR_OK)
		fail(q->relay, s, rc);
	else if (out.head != NULL)
		nr_sync_send(s, &out);
	nr_chunks_free(&out);
	nr_relay_wake(q->relay);
	nr_sub_unref(s);
}

static void
run(struct nr_queries *q, struct nr_sub *s, struct worker *w)
{
	struct nr_chunks out = { NULL, NULL, 0 };
	enum nr_query_state state = NR_QUERY_END;
	int64_t begun = nr_now_ns();
	int rc;

	if (atomic_load(&s->closed) || nr_conn_lost(s->conn)) {
		if (s->slices > 0 && s->query != NULL)
			nr_log_slow(s, nr_now_ms());
		nr_sub_unref(s);
		return;
	}
	/* Before a slice too: there may be many queries, each with its own. */
	if (pause_at(s->conn, s))
		return;
	if (s->sync != NULL) {
		run_sync(q, s, w);
		return;
	}
	if (s->count != NULL)
		rc = count_slice(s, w->snap, &state);
	else {
		rc = slice(s, w, &out, &state);
		nr_conn_send_chunks(s->conn, &out, &s->closed);
	}
	s->busy += nr_now_ns() - begun;
	s->slices++;
	if (rc != NR_OK)
		fail(q->relay, s, rc);
	else if (s->count != NULL && state != NR_QUERY_PAUSE)
		send_count(s, state == NR_QUERY_HIT);
	else if (state == NR_QUERY_END) {
		nr_live_eose(q->relay->live, s, hint_for(s, w->snap));
		nr_latency_add(&q->relay->metrics.query, s->begun);
	}
	nr_relay_wake(q->relay);
	if (rc == NR_OK && (s->count != NULL ? state == NR_QUERY_PAUSE :
	    state != NR_QUERY_END)) {
		if (!pause_at(s->conn, s))
			push(q, s);
		return;
	}
	end_query(s);
	nr_sub_unref(s);
}

static void *
thread_main(void *arg)
{
	struct nr_queries *q = arg;
	struct worker w = { .snap = NULL };
	struct nr_sub *s;
	int rc;

	if ((rc = nr_snap_new(&w.snap, q->relay->st)) != NR_OK ||
	    (rc = nr_ranks_new(&w.ranks)) != NR_OK ||
	    (rc = nr_deflater_new(&w.deflater, NR_PACK_LEVEL)) != NR_OK) {
		nr_ranks_free(w.ranks);
		nr_snap_free(w.snap);
		nr_relay_fail(q->relay, rc);
		return NULL;
	}
	while ((s = pop(q)) != NULL) {
		nr_relay_reading(q->relay);
		run(q, s, &w);
		nr_relay_read(q->relay);
	}
	nr_buf_free(&w.packed);
	nr_deflater_free(w.deflater);
	nr_ranks_free(w.ranks);
	nr_snap_free(w.snap);
	return NULL;
}

int
nr_queries_new(struct nr_queries **out, struct nr_relay *r)
{
	unsigned n = (unsigned)r->config->query_threads;
	pthread_condattr_t clock;
	struct nr_queries *q;
	int rc = NR_OK;

	if (n == 0)
		n = nr_pool_cores();
	q = calloc(1, sizeof(*q) + n * sizeof(q->thread[0]));
	if (q == NULL)
		return ENOMEM;
	q->relay = r;
	pthread_mutex_init(&q->lock, NULL);
	pthread_condattr_init(&clock);
	pthread_condattr_setclock(&clock, CLOCK_MONOTONIC);
	pthread_cond_init(&q->ready, &clock);
	pthread_condattr_destroy(&clock);
	while (rc == NR_OK && q->nthreads < n) {
		rc = pthread_create(&q->thread[q->nthreads], NULL,
		    thread_main, q);
		if (rc == NR_OK)
			q->nthreads++;
	}
	if (rc != NR_OK) {
		nr_queries_free(q);
		return rc;
	}
	*out = q;
	return NR_OK;
}

void
nr_queries_stop(struct nr_queries *q)
{
	unsigned i;

	if (q == NULL)
		return;
	pthread_mutex_lock(&q->lock);
	q->ending = 1;
	pthread_cond_broadcast(&q->ready);
	pthread_mutex_unlock(&q->lock);
	for (i = 0; i < q->nthreads; i++)
		pthread_join(q->thread[i], NULL);
	q->nthreads = 0;
}

void
nr_queries_free(struct nr_queries *q)
{
	if (q == NULL)
		return;
	nr_queries_stop(q);
	wake(q, INT64_MAX);
	while (q->first != NULL)
		nr_sub_unref(take(q));
	pthread_cond_destroy(&q->ready);
	pthread_mutex_destroy(&q->lock);
	free(q);
}
