/*
 * Reconciliation with clients (NIP-77): a session gathers what its filter
 * matches, as its client may read it, and answers messages from that.  It
 * holds records in memory and no snapshot; how many, and how long it waits
 * for its client, is bounded.
 *
 * A filter that asks for everything, or everything of a time, is answered
 * by what the store has summed up: then only those events are gathered that
 * are not in its sums, since they expire, or not everybody may read them.
 */
#include "relay/internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "negentropy/negentropy.h"
#include "negentropy/ranked.h"
#include "relay/session.h"
#include "util/err.h"
#include "util/hex.h"
#include "util/times.h"
#include "wire/message.h"

/* Of a message, which is sent as twice as many digits. */
#define FRAME_LIMIT	250000

#define EXTRA_MAX	3	/* filters */
#define EXPIRING	2000	/* events looked at in a slice */
#define EXPIRING_COST	10	/* units for each */

struct nr_sync {
	struct nr_conn		*conn;	/* its subscription's */
	struct nr_buf		 message;
	atomic_int		 busy;	/* it has not been answered */
	atomic_int_fast64_t	 idle_since;	/* ms */
	struct nr_neg_array	 records;
	struct nr_neg		 neg;
	int			 sealed;
	size_t			 bytes;	/* what is counted of records */
	/* Of a range of time: */
	int			 ranged;
	struct nr_filter	 extra[EXTRA_MAX];	/* what to gather */
	size_t			 nextra;
	struct nr_expiring	 expiring;
};

/* ---- memory -------------------------------------------------------------- */

/*
 * Count what the records take, for all and for whose they are; one address
 * has no more than a quarter of it.
 * Returns whether they may.
 */
static int
take_memory(struct nr_sync *y)
{
	struct nr_relay *r = y->conn->relay;
	size_t now = nr_neg_array_bytes(y->records.cap), more, all, own;
	struct nr_lane *lane = nr_limits_lane(y->conn);
	uint64_t most = r->config->sync_memory;

	if (now <= y->bytes)
		return 1;
	more = now - y->bytes;
	all = atomic_fetch_add(&r->sync_bytes, more) + more;
	own = atomic_fetch_add(&lane->sync_bytes, more) + more;
	y->bytes = now;
	return all <= most && (lane == &y->conn->lane || own <= most / 4);
}

static void
give_back_memory(struct nr_sync *y)
{
	atomic_fetch_sub(&y->conn->relay->sync_bytes, y->bytes);
	atomic_fetch_sub(&nr_limits_lane(y->conn)->sync_bytes, y->bytes);
	y->bytes = 0;
}

/* ---- a session ------------------------------------------------------------- */

int
nr_sync_new(struct nr_sync **out, struct nr_sub *s, struct nr_view hex)
{
	struct nr_sync *y;

	if ((y = calloc(1, sizeof(*y))) == NULL)
		return ENOMEM;
	y->conn = s->conn;
	atomic_init(&y->busy, 0);
	atomic_init(&y->idle_since, 0);
	if (nr_neg_init(&y->neg, &y->records.set, FRAME_LIMIT) != NR_OK ||
	    nr_sync_message(y, hex) != NR_OK) {
		nr_sync_free(y);
		return ENOMEM;
	}
	*out = y;
	return NR_OK;
}

void
nr_sync_free(struct nr_sync *y)
{
	size_t i;

	if (y == NULL)
		return;
	for (i = 0; i < y->nextra; i++)
		nr_filter_free(&y->extra[i]);
	give_back_memory(y);
	nr_neg_free(&y->neg);
	nr_neg_array_free(&y->records);
	nr_buf_free(&y->message);
	free(y);
}

int
nr_sync_message(struct nr_sync *y, struct nr_view hex)
{
	size_t n = hex.len / 2;
	int rc;

	if (atomic_load(&y->busy))
		return EBUSY;
	y->message.len = 0;
	if ((rc = nr_buf_reserve(&y->message, n + 1)) != NR_OK)
		return rc;
	(void)nr_hex_decode((unsigned char *)y->message.p, hex.p, n);
	y->message.len = n;
	atomic_store(&y->idle_since, 0);
	atomic_store(&y->busy, 1);
	return NR_OK;
}

int64_t
nr_sync_idle_since(struct nr_sync *y)
{
	return atomic_load(&y->idle_since);
}

void
nr_sync_refuse(struct nr_conn *c, struct nr_view id, const char *why,
    uint64_t most)
{
	struct nr_buf b = { 0 };

	nr_count_closed(c->relay, why);
	if (nr_write_neg_err(&b, id, why, most) == NR_OK)
		nr_conn_send(c, b.p, b.len);
	else
		nr_conn_doom(c, NR_CLOSE_ERROR, "out of memory");
	nr_buf_free(&b);
	nr_relay_wake(c->relay);
}

/* It is over: its client is told, unless it has gone. */
static void
end(struct nr_sub *s, const char *why, uint64_t most)
{
	struct nr_view id = { s->id, s->idlen };

	if (!atomic_exchange(&s->closed, 1))
		nr_sync_refuse(s->conn, id, why, most);
}

/* ---- what is not in the sums -------------------------------------------------- */

/* Are all kinds that are private here left out of the sums? */
static int
sums_are_public(const struct nr_relay_config *c)
{
	unsigned i;

	for (i = 0; i < c->nprivate_kinds && !c->trusts; i++)
		if (!nr_kind_confidential(c->private_kinds[i]))
			return 0;
	return 1;
}

/* Of the kinds that are not in the sums, leave private ones or the others. */
static void
keep_kinds(struct nr_filter *f, const struct nr_relay_config *c, int private)
{
	size_t i, kept = 0;

	for (i = 0; i < f->nkinds; i++)
		if ((nr_kind_private(c, f->kinds[i]) && !c->trusts) ==
		    private)
			f->kinds[kept++] = f->kinds[i];
	f->nkinds = kept;
}

static int
add_keys(struct nr_buf *b, struct nr_conn *c, const char *name)
{
	unsigned i, n = atomic_load(&c->nkeys);
	char hex[65] = "";
	int rc = nr_buf_addf(b, ",\"%s\":[", name);

	for (i = 0; rc == NR_OK && i < n; i++) {
		nr_hex_encode(hex, c->keys[i], 32);
		rc = nr_buf_addf(b, "%s\"%s\"", i > 0 ? "," : "", hex);
	}
	return rc != NR_OK ? rc : nr_buf_adds(b, "]");
}

/* One filter of kinds; of private ones, by the tag or field that is ours. */
static int
add_extra(struct nr_sync *y, const struct nr_filter *range, const char *name)
{
	struct nr_filter *f = &y->extra[y->nextra];
	struct nr_buf b = { 0 };
	const char *why;
	int rc;

	rc = nr_buf_adds(&b, "{\"kinds\":[" NR_KINDS_CONFIDENTIAL "]");
	if (rc == NR_OK && name != NULL)
		rc = add_keys(&b, y->conn, name);
	if (rc == NR_OK)
		rc = nr_buf_adds(&b, "}");
	if (rc == NR_OK)
		rc = nr_filter_parse(f, b.p, b.len, &nr_filter_limits_none,
		    &why);
	nr_buf_free(&b);
	if (rc != NR_OK)
		return rc;
	y->nextra++;
	/* A list that is empty matches nothing. */
	keep_kinds(f, y->conn->relay->config, name != NULL);
	return nr_filter_narrow(f, range);
}

int
nr_sync_plan(struct nr_sub *s, const struct nr_filter **filters, size_t *n)
{
	struct nr_sync *y = s->sync;
	int rc;

	y->ranged = nr_neg_is_range(s->filters) &&
	    sums_are_public(s->conn->relay->config);
	*filters = s->filters;
	*n = s->nfilters;
	if (!y->ranged)
		return NR_OK;
	rc = add_extra(y, s->filters, NULL);
	if (rc == NR_OK && atomic_load(&s->conn->nkeys) > 0 &&
	    (rc = add_extra(y, s->filters, "authors")) == NR_OK)
		rc = add_extra(y, s->filters, "#p");
	*filters = y->extra;
	*n = y->nextra;
	return rc;
}

/* ---- gathering --------------------------------------------------------------- */

static int
add(struct nr_sub *s, const struct nr_hit *hit)
{
	uint64_t most = s->conn->relay->config->max_sync;
	struct nr_neg_array *a = &s->sync->records;
	struct nr_event ev;
	int rc;

	if (a->n >= most) {
		end(s, "blocked: this query is too big", most);
		return NR_OK;
	}
	if (!nr_event_view_head(&ev, hit->line.p, hit->line.len))
		return NR_ECORRUPT;
	rc = nr_neg_array_add(a, (uint64_t)ev.created_at, ev.id);
	if (rc == NR_OK && !take_memory(s->sync))
		end(s, "rate-limited: too much is being reconciled, try "
		    "again in 10 s", 0);
	return rc;
}

static int
add_expiring(void *ctx, const struct nr_hit *hit)
{
	struct nr_sub *s = ctx;
	struct nr_event ev;

	if (!nr_event_view_head(&ev, hit->line.p, hit->line.len))
		return NR_ECORRUPT;
	/* Those of confidential kinds have come by the query. */
	if (nr_kind_confidential(ev.kind) || atomic_load(&s->closed) ||
	    !nr_neg_in_range(s->filters, ev.created_at) ||
	    !nr_may_read(s->conn, &ev))
		return NR_OK;
	return add(s, hit);
}

/* The last part of gathering. */
static int
gather_expiring(struct nr_sub *s, struct nr_snap *sn, int64_t *budget,
    enum nr_query_state *state)
{
	struct nr_sync *y = s->sync;
	int rc;

	if (!y->ranged || y->expiring.done)
		return NR_OK;
	if ((rc = nr_snap_renew(sn)) != NR_OK)
		return rc;
	rc = nr_snap_expiring(sn, &y->expiring, EXPIRING, time(NULL),
	    add_expiring, s);
	nr_snap_release(sn);
	if (!y->expiring.done) {
		*state = NR_QUERY_PAUSE;
		*budget -= EXPIRING * EXPIRING_COST;
	}
	return rc == NR_ESTALE ? NR_OK : rc;
}

static int
gather(struct nr_sub *s, struct nr_snap *sn, int64_t *budget,
    enum nr_query_state *state)
{
	struct nr_hit hit;
	int rc;

	if ((rc = nr_snap_renew(sn)) != NR_OK)
		return rc;
	do {
		rc = nr_query_next(s->query, sn, state, &hit, budget);
		if (rc == NR_OK && *state == NR_QUERY_HIT)
			rc = add(s, &hit);
	} while (rc == NR_OK && *state == NR_QUERY_HIT &&
	    !atomic_load(&s->closed));
	nr_snap_release(sn);
	if (rc == NR_OK && *state == NR_QUERY_END &&
	    !atomic_load(&s->closed))
		rc = gather_expiring(s, sn, budget, state);
	return rc;
}

/* ---- answering ----------------------------------------------------------------- */

static int
frame(struct nr_sub *s, const struct nr_buf *message, struct nr_chunks *out)
{
	struct nr_view id = { s->id, s->idlen }, part;
	struct nr_buf b = { 0 };
	int rc;

	rc = nr_write_neg_msg(&b, id, message->p, message->len);
	part = (struct nr_view){ b.p, b.len };
	if (rc == NR_OK)
		rc = nr_chunks_frame(out, &part, 1);
	nr_buf_free(&b);
	return rc;
}

void
nr_sync_send(struct nr_sub *s, struct nr_chunks *out)
{
	nr_buf_free(&s->sync->message);
	/* The client may answer as soon as it has this. */
	atomic_store(&s->sync->idle_since, nr_now_ms());
	atomic_store(&s->sync->busy, 0);
	nr_conn_send_chunks(s->conn, out, &s->closed);
}

/*
 * The sums cannot be used while what a request to vanish hides is in them:
 * gather everything instead.
 */
static int
gather_all(struct nr_sub *s, enum nr_query_state *state)
{
	struct nr_sync *y = s->sync;

	give_back_memory(y);
	nr_neg_array_free(&y->records);
	y->ranged = y->sealed = 0;
	nr_query_free(s->query);
	s->query = NULL;
	*state = NR_QUERY_PAUSE;
	return nr_session_gather(s);
}

static int
answer(struct nr_sub *s, struct nr_chunks *chunks)
{
	struct nr_sync *y = s->sync;
	struct nr_buf out = { 0 };
	char text[128];
	const char *why;
	int rc;

	rc = nr_neg_reconcile(&y->neg, y->message.p, y->message.len, &out,
	    NULL, NULL, &why);
	if (rc == NR_EINVAL) {
		snprintf(text, sizeof(text), "invalid: %s", why);
		end(s, text, 0);
		nr_conn_bad(s->conn);
		rc = NR_OK;
	} else if (rc == NR_OK)
		rc = frame(s, &out, chunks);
	nr_buf_free(&out);
	return rc;
}

/* From the sums; *state is NR_QUERY_PAUSE where that is for another time. */
static int
answer_ranked(struct nr_sub *s, struct nr_snap *sn, struct nr_ranks *ranks,
    enum nr_query_state *state, struct nr_chunks *out)
{
	struct nr_sync *y = s->sync;
	struct nr_neg_ranked ranked;
	int rc, ready = 0;

	if ((rc = nr_snap_renew(sn)) != NR_OK)
		return rc;
	rc = nr_ranks_renew(ranks, &ready, sn, nr_neg_rank_items(&y->records),
	    y->records.n);
	if (rc == NR_OK && ready &&
	    (rc = nr_neg_ranked_init(&ranked, ranks, s->filters)) == NR_OK) {
		y->neg.set = &ranked.set;
		rc = answer(s, out);
	}
	nr_snap_release(sn);
	if (rc == NR_OK && !ready)
		return gather_all(s, state);
	if (rc == NR_ESTALE) {
		*state = NR_QUERY_PAUSE;
		rc = NR_OK;
	}
	return rc;
}

int
nr_sync_work(struct nr_sub *s, struct nr_snap *sn, int64_t budget,
    struct nr_ranks *ranks, enum nr_query_state *state, uint64_t *units,
    struct nr_chunks *out)
{
	struct nr_sync *y = s->sync;
	int64_t left = budget, begun;
	int rc = NR_OK;

	*state = NR_QUERY_END;
	if (!y->sealed)
		rc = gather(s, sn, &left, state);
	*units = (uint64_t)(budget - left);
	if (rc != NR_OK || *state != NR_QUERY_END || atomic_load(&s->closed))
		return rc;
	begun = nr_now_ns();
	if (!y->sealed && (rc = nr_neg_array_seal(&y->records)) != NR_OK)
		return rc;
	y->sealed = 1;
	rc = y->ranged ? answer_ranked(s, sn, ranks, state, out) :
	    answer(s, out);
	/* A unit is about 100 ns. */
	*units += (uint64_t)(nr_now_ns() - begun) / 100;
	return rc;
}
