/*
 * Merging the newest events' entries into the index, some thousands at a
 * time and in the order of the keys, so that each page is written once
 * for many entries.  Entries of events that have died are removed in the
 * same pass; until then they are hints that lead nowhere.
 *
 * A merge belongs to one process, which holds the byte MERGE.  It can be
 * given up at any moment and begun anew, by anybody: putting an entry that
 * is there and removing one that is not change nothing.  Where the holder
 * does not get on (it is stopped, or waits for input), another process
 * begins its own; nr_head.merge_seq tells the first one so.
 */
#include "store/internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "store/snap.h"
#include "util/buf.h"
#include "util/err.h"
#include "util/times.h"

/* A share of all events waits to be merged, within limits. */
#define SHARE		16
#define LEAST		4096
#define MOST		65536

#define ENTRIES		UINT64_C(600000)	/* that wait */

#define COLLECT		2000	/* events looked at in one step */
#define SLICE_MS	10	/* of merging in one transaction */
#define LOOK		256	/* entries between looks at the clock */
#define STALE_MS	2000	/* without a step: does not get on */
#define AWAY_MS		5000	/* after somebody else has taken over */
#define HURRY_MS	50	/* for each call, when too many wait */
#define HELD		((size_t)48 << 20)

struct nr_merge {
	uint64_t	 seq;
	uint64_t	 target;	/* events below are merged at the end */
	uint64_t	 entries;	/* head.entries as of then */
	uint64_t	 collected;	/* the next to be read */
	int		 collecting;
	struct nr_sorter *sorter;
	struct nr_snap	*sn;
	struct nr_buf	 dead;		/* numbers whose entries are removed */
	uint64_t	 dead_from;	/* the next to be read */
	size_t		 removed;	/* bytes of dead */
};

static void
merge_free(struct nr_store *st)
{
	struct nr_merge *m = st->merge;

	if (m == NULL)
		return;
	nr_sorter_free(m->sorter);
	nr_snap_free(m->sn);
	nr_buf_free(&m->dead);
	free(m);
	st->merge = NULL;
	if (st->merge_held)
		nr_lock_drop(st->lockfd, NR_LOCK_MERGE);
	st->merge_held = 0;
}

void
nr_merge_abandon(struct nr_store *st)
{
	merge_free(st);
}

/* How many may wait before a merge is due. */
static uint64_t
limit(uint64_t events)
{
	uint64_t n = events / SHARE;

	return n < LEAST ? LEAST : n > MOST ? MOST : n;
}

/*
 * What there is to do.  Memory is taken by entries, of which one event can
 * have thousands: where there are too many, more events seem to wait.
 */
struct situation {
	uint64_t	waiting, limit;
	int		stale;		/* nobody's merge gets on */
};

/* Has anybody's merge made a step since we last looked? */
static int
stale(struct nr_store *st, const struct nr_head *head)
{
	uint64_t seen = head->merge_seq + head->merge_step;
	int64_t now = nr_now_ms();

	if (seen != st->merge_seen || st->merge_seen_at == 0) {
		st->merge_seen = seen;
		st->merge_seen_at = now;
	}
	/* Who has done nothing since ours began has lost his. */
	return now - st->merge_seen_at > STALE_MS ||
	    (head->merge_seq > 0 && head->merge_seq == st->merge_ours);
}

static int
look(struct nr_store *st, struct situation *s)
{
	uint64_t events = 0, dead = 0, entries;
	struct nr_head head;
	MDB_txn *txn = NULL;
	MDB_stat ms;
	int rc;

	if ((rc = nr_index_read(st, &txn)) != 0)
		return rc;
	rc = nr_head_get(txn, st, &head);
	if (rc == 0 && (rc = mdb_stat(txn, st->dbi[NR_T_EVENT], &ms)) == 0)
		events = ms.ms_entries;
	if (rc == 0 && (rc = mdb_stat(txn, st->dbi[NR_T_DEAD], &ms)) == 0)
		dead = ms.ms_entries;
	mdb_txn_abort(txn);
	nr_index_read_end(st);
	if (rc != 0)
		return rc;
	s->waiting = head.next - head.merged + dead;
	s->limit = limit(events);
	entries = head.entries - head.merged_entries;
	if (s->waiting > 0 && s->waiting / s->limit < entries / ENTRIES)
		s->waiting = entries / ENTRIES * s->limit;
	s->stale = stale(st, &head);
	return NR_OK;
}

/* ---- beginning ------------------------------------------------------------- */

/* Say in the index that a merge up to the present end has begun. */
static int
announce(struct nr_writer *w, void *ctx, int *changed)
{
	struct nr_merge *m = ctx;

	(void)changed;
	w->head.merge_seq++;
	w->head.merge_step++;
	/* What one has put that was given up is there. */
	if (w->head.target == 0)
		w->head.put_some = 0;
	w->head.put_all = 0;
	w->head.target = w->head.next;
	m->seq = w->head.merge_seq;
	m->target = w->head.target;
	m->entries = w->head.entries;
	m->collected = w->head.merged;
	return NR_OK;
}

static int
begin(struct nr_store *st)
{
	struct nr_merge *m;
	int rc;

	if ((m = calloc(1, sizeof(*m))) == NULL)
		return ENOMEM;
	st->merge = m;
	m->collecting = 1;
	rc = nr_sorter_new(&m->sorter, st->dirfd, HELD);
	if (rc == NR_OK)
		rc = nr_snap_new(&m->sn, st);
	if (rc == NR_OK)
		rc = nr_transact(st, announce, m, 1);
	if (rc != NR_OK)
		merge_free(st);
	else
		st->merge_ours = m->seq;
	return rc;
}

/* ---- collecting --------------------------------------------------------------- */

struct collect {
	struct nr_sorter	*sorter;
	enum nr_op		 op;
};

static int
collect_entry(void *ctx, enum nr_table t, const struct nr_key *key)
{
	struct collect *c = ctx;

	return nr_sorter_add(c->sorter, t, c->op, key);
}

/* Some of the young events that are alive. */
static int
collect_young(struct nr_merge *m)
{
	struct collect c = { m->sorter, NR_OP_PUT };
	struct nr_event ev;
	struct nr_hit hit;
	unsigned n;
	int rc = NR_OK;

	for (n = 0; rc == NR_OK && n < COLLECT &&
	    m->collected < m->target; n++) {
		rc = nr_snap_raw_at(m->sn, &hit, m->collected, INT64_MIN);
		if (rc != NR_OK)
			break;
		if (hit.line.p == NULL || hit.number >= m->target) {
			m->collected = m->target;
			break;
		}
		m->collected = hit.number + 1;
		if (!nr_event_view_head(&ev, hit.line.p, hit.line.len))
			return NR_ECORRUPT;
		rc = nr_entries(&ev, hit.number, collect_entry, &c);
	}
	return rc;
}

/* Some of those that have died. */
static int
collect_dead(struct nr_merge *m)
{
	struct collect c = { m->sorter, NR_OP_DEL };
	struct nr_place at;
	struct nr_event ev;
	struct nr_view line;
	uint64_t number;
	MDB_cursor *cur;
	MDB_val k, v;
	unsigned n;
	int rc;

	if ((rc = nr_snap_cursor_of(m->sn, &cur, NR_T_DEAD)) != NR_OK)
		return rc;
	k.mv_size = sizeof(m->dead_from);
	k.mv_data = &m->dead_from;
	rc = mdb_cursor_get(cur, &k, &v, MDB_SET_RANGE);
	for (n = 0; rc == 0 && n < COLLECT; n++) {
		if (k.mv_size != sizeof(number) || v.mv_size != sizeof(at))
			return NR_ECORRUPT;
		memcpy(&number, k.mv_data, sizeof(number));
		memcpy(&at, v.mv_data, sizeof(at));
		if ((rc = nr_maps_line(&m->sn->maps, &line, &at)) != NR_OK)
			return rc;
		if (!nr_event_view_head(&ev, line.p, line.len))
			return NR_ECORRUPT;
		rc = nr_entries(&ev, number, collect_entry, &c);
		if (rc == NR_OK)
			rc = nr_buf_add(&m->dead, &number, sizeof(number));
		m->dead_from = number + 1;
		if (rc == NR_OK)
			rc = mdb_cursor_get(cur, &k, &v, MDB_NEXT);
	}
	if (rc == MDB_NOTFOUND)
		m->collecting = 0;
	return rc == MDB_NOTFOUND ? NR_OK : rc;
}

static int
collect(struct nr_merge *m)
{
	int rc;

	if ((rc = nr_snap_renew(m->sn)) != NR_OK)
		return rc;
	if (m->collected < m->target)
		rc = collect_young(m);
	else
		rc = collect_dead(m);
	nr_snap_release(m->sn);
	/* The next step takes a newer snapshot and goes on there. */
	return rc == NR_ESTALE ? NR_OK : rc;
}

/* ---- merging --------------------------------------------------------------------- */

/* By time, an event that came back has the key of the dead one. */
static int
put_time(struct nr_writer *w, MDB_cursor *c, const struct nr_key *key)
{
	MDB_val k = { key->klen, (void *)(uintptr_t)key->k };
	MDB_val v = { key->vlen, (void *)(uintptr_t)key->v };
	int rc = mdb_cursor_put(c, &k, &v, MDB_NOOVERWRITE), fresh = rc == 0;

	if (rc == MDB_KEYEXIST) {
		if (v.mv_size == key->vlen &&
		    memcmp(v.mv_data, key->v, key->vlen) == 0)
			return NR_OK;
		v.mv_size = key->vlen;
		v.mv_data = (void *)(uintptr_t)key->v;
		rc = mdb_cursor_put(c, &k, &v, 0);
	}
	return rc != 0 ? rc : nr_sums_put(w, key, fresh);
}

/* Entries come by time: note how far they are put. */
static void
note_put(struct nr_head *head, enum nr_table t, const struct nr_key *key)
{
	int64_t time;

	if (t != NR_T_TIME) {
		head->put_all = head->put_some = UINT64_MAX;
		return;
	}
	(void)nr_get_time(key->k, &time);
	head->put_all = (uint64_t)time;
	if (head->put_some <= (uint64_t)time)
		head->put_some = (uint64_t)time + 1;
}

static int
apply_entry(struct nr_writer *w, enum nr_table t, enum nr_op op,
    const struct nr_key *key)
{
	MDB_val k = { key->klen, (void *)(uintptr_t)key->k };
	MDB_val v = { key->vlen, (void *)(uintptr_t)key->v };
	MDB_cursor *c;
	int rc;

	if ((rc = nr_writer_cursor(w, &c, t)) != NR_OK)
		return rc;
	if (op == NR_OP_PUT)
		return t == NR_T_TIME ? put_time(w, c, key) :
		    mdb_cursor_put(c, &k, &v, 0);
	if ((rc = mdb_cursor_get(c, &k, &v, MDB_SET)) != 0)
		return rc == MDB_NOTFOUND ? NR_OK : rc;
	/* What has come back since is not what is to go. */
	if (v.mv_size != key->vlen || memcmp(v.mv_data, key->v, v.mv_size) != 0)
		return NR_OK;
	rc = mdb_cursor_del(c, 0);
	return rc != 0 || t != NR_T_TIME ? rc : nr_sums_removed(w, key);
}

/*
 * Forget the dead, whose entries are gone, until the time is up; then
 * everything is in the index: say so.
 */
static int
finish(struct nr_writer *w, struct nr_merge *m, int64_t until, int *done)
{
	uint64_t number;
	MDB_cursor *c;
	MDB_val k, v;
	unsigned n;
	int rc;

	if ((rc = nr_writer_cursor(w, &c, NR_T_DEAD)) != NR_OK)
		return rc;
	for (n = 1; m->removed < m->dead.len; n++) {
		if (n % LOOK == 0 && nr_now_ms() >= until)
			return NR_OK;
		memcpy(&number, m->dead.p + m->removed, sizeof(number));
		m->removed += sizeof(number);
		k.mv_size = sizeof(number);
		k.mv_data = &number;
		rc = mdb_cursor_get(c, &k, &v, MDB_SET);
		if (rc == 0)
			rc = mdb_cursor_del(c, 0);
		if (rc != 0 && rc != MDB_NOTFOUND)
			return rc;
	}
	w->head.merged = m->target;
	w->head.merged_entries = m->entries;
	w->head.target = 0;
	*done = 1;
	return NR_OK;
}

struct slice {
	struct nr_merge	*m;
	int		 tried, done, lost;
};

static int
apply_slice(struct nr_writer *w, void *ctx, int *changed)
{
	int64_t until = nr_now_ms() + SLICE_MS;
	struct slice *s = ctx;
	struct nr_key key;
	enum nr_table t;
	enum nr_op op;
	unsigned n;
	int rc, more = 1;

	/* The map was full: the entries of the first try are gone. */
	if (s->tried++) {
		*changed = 0;
		s->done = 1;
		return NR_OK;
	}
	/* Somebody else has begun one: ours is of no use any more. */
	if (w->head.merge_seq != s->m->seq ||
	    w->head.target != s->m->target) {
		*changed = 0;
		s->lost = 1;
		return NR_OK;
	}
	w->head.merge_step++;
	for (n = 1; s->m->sorter != NULL; n++) {
		if (n % LOOK == 0 && nr_now_ms() >= until)
			return NR_OK;
		if ((rc = nr_sorter_next(s->m->sorter, &more, &t, &op,
		    &key)) != NR_OK)
			return rc;
		if (!more) {
			nr_sorter_free(s->m->sorter);
			s->m->sorter = NULL;
			break;
		}
		if ((rc = apply_entry(w, t, op, &key)) != NR_OK)
			return rc;
		note_put(&w->head, t, &key);
	}
	return finish(w, s->m, until, &s->done);
}

/* One step of the merge that is under way. */
static int
step(struct nr_store *st)
{
	struct slice s = { .m = st->merge };
	int rc;

	if (st->merge->collecting) {
		rc = collect(st->merge);
		if (rc == NR_OK && !st->merge->collecting)
			rc = nr_sorter_begin(st->merge->sorter);
	} else
		rc = nr_transact(st, apply_slice, &s, 1);
	/*
	 * A failed slice has consumed entries that were not written: the
	 * next merge begins from the log again.
	 */
	if (rc != NR_OK || s.done || s.lost)
		merge_free(st);
	if (s.lost)
		st->merge_after = nr_now_ms() + AWAY_MS;
	st->merge_failed = rc;
	return rc;
}

/* Begin one, unless it is somebody else's turn. */
static int
try_begin(struct nr_store *st, const struct situation *s)
{
	int rc;

	if (nr_now_ms() < st->merge_after)
		return NR_OK;
	rc = nr_lock_take(st->lockfd, NR_LOCK_MERGE, 1, 0);
	if (rc == NR_EBUSY)
		return s->stale ? begin(st) : NR_OK;
	if (rc != NR_OK)
		return rc;
	st->merge_held = 1;
	if ((rc = begin(st)) != NR_OK) {
		nr_lock_drop(st->lockfd, NR_LOCK_MERGE);
		st->merge_held = 0;
	}
	return rc;
}

static int
settle(struct nr_store *st, int ms)
{
	int64_t until = ms < 0 ? INT64_MAX : nr_now_ms() + ms;
	struct situation s;
	int rc;

	if ((rc = look(st, &s)) != NR_OK)
		return rc;
	if (ms == 0 && s.waiting > 2 * s.limit)
		until += HURRY_MS;
	do {
		if (st->merge == NULL) {
			if ((rc = look(st, &s)) != NR_OK || s.waiting == 0 ||
			    (ms == 0 && s.waiting < s.limit))
				break;
			rc = st->merge_failed = try_begin(st, &s);
			if (rc == NR_OK && st->merge == NULL)
				return s.waiting > 2 * s.limit ? NR_EBUSY :
				    NR_OK;
		}
		if (rc == NR_OK)
			rc = step(st);
	} while (rc == NR_OK && nr_now_ms() < until);
	return rc;
}

int
nr_store_settle(struct nr_store *st, int ms)
{
	int64_t last_write = st->last_write;
	int rc;

	pthread_mutex_lock(&st->merge_lock);
	rc = settle(st, ms);
	pthread_mutex_unlock(&st->merge_lock);
	/* This does not count as something new. */
	st->last_write = last_write;
	return nr_store_rc(st, rc);
}

int
nr_merge_waits(struct nr_store *st, int *yes)
{
	struct situation s;
	int rc;

	pthread_mutex_lock(&st->merge_lock);
	if ((rc = look(st, &s)) == NR_OK)
		*yes = s.waiting > 0;
	pthread_mutex_unlock(&st->merge_lock);
	return rc;
}

int
nr_merge_overdue(struct nr_store *st, size_t n)
{
	struct situation s;
	int rc, failed;

	pthread_mutex_lock(&st->merge_lock);
	rc = look(st, &s);
	failed = st->merge_failed;
	pthread_mutex_unlock(&st->merge_lock);
	if (rc != NR_OK || s.waiting <= 4 * s.limit)
		return rc;
	rc = nr_store_settle(st, HURRY_MS + (int)(n / 20));
	return failed == NR_OK || rc == NR_EBUSY ? NR_OK : rc;
}
