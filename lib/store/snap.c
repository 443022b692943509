/*
 * Read snapshots, and lookups in them.
 */
#include "store/snap.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "event/tags.h"
#include "util/err.h"

/* ---- maps of segments that have been replaced ------------------------------ */

static int
stale(void *ctx, uint32_t segment, uint32_t gen)
{
	struct nr_snap *sn = ctx;
	struct nr_segrec rec;

	return nr_segrec_get(sn->txn, sn->st->dbi[NR_T_SEGMENT], segment,
	    &rec) == NR_OK && gen < rec.gen;
}

/*
 * Unmap what the snapshot knows to have been replaced, so that the space
 * comes back, unless an older snapshot may still read it: then the next
 * one to be taken tries again.  One that is being taken says so before it
 * begins (pin is 0), and then sees what this one sees, or more.
 */
static void
forget(struct nr_snap *sn)
{
	struct nr_store *st = sn->st;
	struct nr_snap *p;
	int old = 0;

	pthread_mutex_lock(&st->snaps_lock);
	for (p = st->snaps; p != NULL; p = p->next)
		if (atomic_load(&p->pin) <= sn->head.moves)
			old = 1;
	pthread_mutex_unlock(&st->snaps_lock);
	if (old)
		return;
	nr_log_forget(&st->log, stale, sn);
	atomic_store(&st->forgotten, sn->head.moves);
}

/* ---- snapshots --------------------------------------------------------------- */

static void
enlist(struct nr_snap *sn)
{
	struct nr_store *st = sn->st;

	atomic_init(&sn->pin, NR_UNPINNED);
	pthread_mutex_lock(&st->snaps_lock);
	sn->next = st->snaps;
	if (sn->next != NULL)
		sn->next->prev = sn;
	st->snaps = sn;
	pthread_mutex_unlock(&st->snaps_lock);
}

static void
delist(struct nr_snap *sn)
{
	struct nr_store *st = sn->st;

	pthread_mutex_lock(&st->snaps_lock);
	if (sn->prev != NULL)
		sn->prev->next = sn->next;
	else
		st->snaps = sn->next;
	if (sn->next != NULL)
		sn->next->prev = sn->prev;
	pthread_mutex_unlock(&st->snaps_lock);
}

int
nr_snap_new(struct nr_snap **out, struct nr_store *st)
{
	struct nr_snap *sn;
	int rc;

	if ((sn = calloc(1, sizeof(*sn))) == NULL)
		return ENOMEM;
	sn->st = st;
	if ((rc = nr_sha256_new(&sn->sha)) != NR_OK) {
		free(sn);
		return rc;
	}
	enlist(sn);
	*out = sn;
	return NR_OK;
}

void
nr_snap_free(struct nr_snap *sn)
{
	int t;

	if (sn == NULL)
		return;
	nr_snap_release(sn);
	delist(sn);
	for (t = 0; t < NR_T_COUNT; t++)
		if (sn->cur[t] != NULL)
			mdb_cursor_close(sn->cur[t]);
	if (sn->txn != NULL)
		mdb_txn_abort(sn->txn);
	nr_sha256_free(sn->sha);
	free(sn->hidden);
	free(sn);
}

/* Whose events are not to be seen any more? */
static int
read_hidden(struct nr_snap *sn)
{
	free(sn->hidden);
	sn->hidden = NULL;
	sn->nhidden = 0;
	return sn->head.vanishing == 0 ? NR_OK : nr_vanish_list(&sn->hidden,
	    &sn->nhidden, sn->txn, sn->st->dbi[NR_T_VANISH]);
}

int
nr_snap_hides(const struct nr_snap *sn, const struct nr_event *ev)
{
	return !sn->raw && sn->nhidden > 0 &&
	    nr_vanish_among(sn->hidden, sn->nhidden, ev);
}

static int
hidden(const struct nr_snap *sn, struct nr_view line)
{
	struct nr_event ev;

	return sn->nhidden > 0 && line.p != NULL &&
	    nr_event_view_head(&ev, line.p, line.len) &&
	    nr_snap_hides(sn, &ev);
}

int
nr_snap_renew(struct nr_snap *sn)
{
	int rc, t;

	nr_snap_release(sn);
	atomic_store(&sn->pin, 0);
	if ((rc = nr_index_read(sn->st, &sn->txn)) != 0) {
		atomic_store(&sn->pin, NR_UNPINNED);
		return nr_store_rc(sn->st, rc);
	}
	sn->held = 1;
	sn->seq = atomic_fetch_add(&sn->st->renewals, 1) + 1;
	memset(&sn->head, 0, sizeof(sn->head));
	for (t = 0; t < NR_T_COUNT; t++)
		if (sn->cur[t] != NULL &&
		    (rc = mdb_cursor_renew(sn->txn, sn->cur[t])) != 0)
			break;
	if (rc == 0)
		rc = nr_head_get(sn->txn, sn->st, &sn->head);
	if (rc == 0)
		rc = read_hidden(sn);
	if (rc != 0) {
		nr_snap_release(sn);
		return nr_store_rc(sn->st, rc);
	}
	nr_maps_begin(&sn->maps, sn->st, sn->txn, sn->head.moves);
	atomic_store(&sn->pin, sn->head.moves + 1);
	if (atomic_load(&sn->st->forgotten) != sn->head.moves)
		forget(sn);
	return NR_OK;
}

void
nr_snap_release(struct nr_snap *sn)
{
	if (!sn->held)
		return;
	mdb_txn_reset(sn->txn);
	sn->held = 0;
	atomic_store(&sn->pin, NR_UNPINNED);
	nr_index_read_end(sn->st);
}

uint64_t
nr_snap_next_number(const struct nr_snap *sn)
{
	return sn->head.next;
}

int
nr_snap_cursor_of(struct nr_snap *sn, MDB_cursor **out, enum nr_table t)
{
	int rc = NR_OK;

	if (sn->cur[t] == NULL)
		rc = mdb_cursor_open(sn->txn, sn->st->dbi[t], &sn->cur[t]);
	*out = sn->cur[t];
	return rc;
}

static void
fill(struct nr_hit *hit, uint64_t number, const struct nr_place *at,
    struct nr_view line)
{
	hit->number = number;
	hit->line = line;
	hit->flags = 0;
	if (at->len & NR_PLACE_EXPIRES)
		hit->flags |= NR_HIT_EXPIRES;
	if (at->len & NR_PLACE_QUIET)
		hit->flags |= NR_HIT_QUIET;
}

int
nr_snap_hit(struct nr_snap *sn, struct nr_hit *hit, uint64_t number)
{
	MDB_val k = { sizeof(number), &number }, v;
	struct nr_place at;
	struct nr_view line;
	MDB_cursor *c;
	int rc;

	hit->line.p = NULL;
	if ((rc = nr_snap_cursor_of(sn, &c, NR_T_EVENT)) != NR_OK)
		return rc;
	rc = mdb_cursor_get(c, &k, &v, MDB_SET);
	if (rc != 0)
		return rc == MDB_NOTFOUND ? NR_OK : rc;
	if (v.mv_size != sizeof(at))
		return NR_ECORRUPT;
	memcpy(&at, v.mv_data, sizeof(at));
	if ((rc = nr_maps_line(&sn->maps, &line, &at)) != NR_OK)
		return rc;
	if (!hidden(sn, line))
		fill(hit, number, &at, line);
	return NR_OK;
}

int
nr_snap_get(struct nr_snap *sn, struct nr_hit *hit,
    const unsigned char id[32])
{
	static const struct nr_view none = { NULL, 0 };
	MDB_cursor *ids, *events;
	struct nr_place at;
	struct nr_view line;
	uint64_t number;
	int rc;

	if ((rc = nr_snap_cursor_of(sn, &ids, NR_T_ID)) == NR_OK &&
	    (rc = nr_snap_cursor_of(sn, &events, NR_T_EVENT)) == NR_OK)
		rc = nr_find_id(ids, events, &sn->maps, &number, &at, &line,
		    id);
	if (rc != NR_OK)
		return nr_store_rc(sn->st, rc);
	if (number == UINT64_MAX || hidden(sn, line))
		hit->line = none;
	else
		fill(hit, number, &at, line);
	return NR_OK;
}

int
nr_snap_is_deleted(struct nr_snap *sn, int *deleted,
    const struct nr_event *ev)
{
	MDB_cursor *ids, *addrs, *vanish;
	int rc, gone;

	if ((rc = nr_snap_cursor_of(sn, &ids, NR_T_GONE_ID)) == NR_OK &&
	    (rc = nr_snap_cursor_of(sn, &addrs, NR_T_GONE_ADDR)) == NR_OK &&
	    (rc = nr_snap_cursor_of(sn, &vanish, NR_T_VANISH)) == NR_OK)
		rc = nr_find_gone(ids, addrs, vanish, sn->sha, &gone, ev);
	if (rc != NR_OK)
		return nr_store_rc(sn->st, rc);
	*deleted = gone;
	return NR_OK;
}

int
nr_hit_expired(const struct nr_hit *hit, int64_t now)
{
	struct nr_event ev;

	return (hit->flags & NR_HIT_EXPIRES) &&
	    nr_event_view_head(&ev, hit->line.p, hit->line.len) &&
	    nr_event_expiration(&ev) <= now;
}

int
nr_snap_raw_at(struct nr_snap *sn, struct nr_hit *hit, uint64_t number,
    int64_t now)
{
	MDB_val k = { sizeof(number), &number }, v;
	struct nr_place at;
	struct nr_view line;
	MDB_cursor *c;
	uint64_t n;
	int rc;

	if ((rc = nr_snap_cursor_of(sn, &c, NR_T_EVENT)) != NR_OK)
		return nr_store_rc(sn->st, rc);
	rc = mdb_cursor_get(c, &k, &v, MDB_SET_RANGE);
	while (rc == 0) {
		if (k.mv_size != sizeof(n) || v.mv_size != sizeof(at))
			return NR_ECORRUPT;
		memcpy(&n, k.mv_data, sizeof(n));
		memcpy(&at, v.mv_data, sizeof(at));
		rc = nr_maps_line(&sn->maps, &line, &at);
		if (rc != NR_OK)
			break;
		fill(hit, n, &at, line);
		if (!nr_hit_expired(hit, now))
			return NR_OK;
		rc = mdb_cursor_get(c, &k, &v, MDB_NEXT);
	}
	if (rc == MDB_NOTFOUND) {
		hit->line.p = NULL;
		hit->line.len = 0;
		rc = NR_OK;
	}
	return nr_store_rc(sn->st, rc);
}

int
nr_snap_at(struct nr_snap *sn, struct nr_hit *hit, uint64_t number,
    int64_t now)
{
	struct nr_hit found = { .line = { NULL, 0 } };
	int rc;

	do {
		rc = nr_snap_raw_at(sn, &found, number, now);
		if (rc != NR_OK)
			return rc;
		number = found.number + 1;
	} while (hidden(sn, found.line));
	*hit = found;
	return NR_OK;
}

int
nr_snap_expiring(struct nr_snap *sn, struct nr_expiring *at, size_t max,
    int64_t now, int (*each)(void *ctx, const struct nr_hit *hit), void *ctx)
{
	MDB_val k = { sizeof(at->key), at->key }, v;
	struct nr_hit hit;
	MDB_cursor *c;
	size_t n;
	int rc;

	if (!at->begun)
		nr_expire_key(at->key, now < 0 ? 0 : now + 1, 0);
	at->begun = 1;
	if ((rc = nr_snap_cursor_of(sn, &c, NR_T_EXPIRE)) != NR_OK)
		return nr_store_rc(sn->st, rc);
	rc = mdb_cursor_get(c, &k, &v, MDB_SET_RANGE);
	for (n = 0; rc == 0 && n < max; n++) {
		if (k.mv_size != NR_EXPIRE_LEN)
			return NR_ECORRUPT;
		rc = nr_snap_hit(sn, &hit, nr_get_be((unsigned char *)
		    k.mv_data + 8, NR_NUMBER_LEN));
		if (rc == NR_OK && hit.line.p != NULL)
			rc = each(ctx, &hit);
		if (rc == NR_OK)
			rc = mdb_cursor_get(c, &k, &v, MDB_NEXT);
		if (rc == NR_OK && k.mv_size == sizeof(at->key))
			memcpy(at->key, k.mv_data, sizeof(at->key));
	}
	at->done = rc == MDB_NOTFOUND;
	return rc == MDB_NOTFOUND ? NR_OK : nr_store_rc(sn->st, rc);
}

/* The record of the first segment whose number is at least *segment. */
static int
segment_record(struct nr_snap *sn, uint32_t *segment, struct nr_segrec *rec)
{
	unsigned char key[4];
	MDB_val k = { sizeof(key), key }, v;
	MDB_cursor *c;
	int rc;

	if ((rc = nr_snap_cursor_of(sn, &c, NR_T_SEGMENT)) != NR_OK)
		return rc;
	nr_put_be(key, *segment, 4);
	rc = mdb_cursor_get(c, &k, &v, MDB_SET_RANGE);
	if (rc != 0)
		return rc;
	if (k.mv_size != 4 || v.mv_size != sizeof(*rec))
		return NR_ECORRUPT;
	*segment = (uint32_t)nr_get_be(k.mv_data, 4);
	memcpy(rec, v.mv_data, sizeof(*rec));
	return NR_OK;
}

int
nr_snap_cursor_number(struct nr_snap *sn, uint64_t *number,
    const struct nr_cursor *c)
{
	struct nr_segrec rec = { 0 };
	uint32_t segment = c->segment;
	int rc = NR_OK;

	if (c->epoch == sn->st->epoch) {
		*number = c->number;
		return NR_OK;
	}
	/* A segment without events, perhaps: the next that has some. */
	do
		rc = segment_record(sn, &segment, &rec);
	while (rc == NR_OK && rec.first == UINT64_MAX && segment++ < UINT32_MAX);
	if (rc == MDB_NOTFOUND) {
		*number = sn->head.next;
		return NR_OK;
	}
	if (rc == NR_OK)
		*number = rec.first;
	return nr_store_rc(sn->st, rc);
}

int
nr_snap_cursor(struct nr_snap *sn, struct nr_cursor *c, uint64_t number)
{
	MDB_val k = { sizeof(number), &number }, v;
	struct nr_place at;
	uint32_t segment = sn->head.end.segment;
	MDB_cursor *events;
	int rc;

	if ((rc = nr_snap_cursor_of(sn, &events, NR_T_EVENT)) != NR_OK)
		return nr_store_rc(sn->st, rc);
	rc = mdb_cursor_get(events, &k, &v, MDB_SET_RANGE);
	if (rc == 0 && v.mv_size == sizeof(at)) {
		memcpy(&at, v.mv_data, sizeof(at));
		segment = at.segment;
	} else if (rc == MDB_NOTFOUND)
		rc = NR_OK;
	if (rc != NR_OK)
		return nr_store_rc(sn->st, rc);
	c->epoch = sn->st->epoch;
	c->number = number;
	c->segment = segment == 0 ? 1 : segment;
	return NR_OK;
}

int
nr_snap_segments(struct nr_snap *sn, struct nr_segment_stat **out, size_t *n)
{
	struct nr_segment_stat *list = NULL, *p;
	struct nr_segrec rec;
	uint32_t segment = 0;
	size_t count = 0;
	int rc;

	while ((rc = segment_record(sn, &segment, &rec)) == NR_OK) {
		p = realloc(list, (count + 1) * sizeof(*p));
		if (p == NULL) {
			free(list);
			return ENOMEM;
		}
		list = p;
		p = &list[count++];
		p->number = segment;
		p->gen = rec.gen;
		p->bytes = rec.bytes;
		p->live_bytes = rec.live_bytes;
		p->lines = rec.lines;
		p->live_lines = rec.live_lines;
		if (segment++ == UINT32_MAX)
			break;
	}
	if (rc != MDB_NOTFOUND) {
		free(list);
		return nr_store_rc(sn->st, rc);
	}
	*out = list;
	*n = count;
	return NR_OK;
}
