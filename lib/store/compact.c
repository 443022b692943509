/*
 * Compacting a store: which segments, in which order, and what is left of
 * the old files.
 *
 * The lock COMPACT is held for one segment at a time, so that a check, or
 * somebody else's compaction, can come between.
 */
#include "store/compact.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

#include "util/err.h"
#include "util/times.h"

#define READERS_MS	3000	/* to wait for older snapshots */
#define SETTLE_MS	100	/* in one call */
#define SETTLES		50
#define MARGIN		((uint64_t)1 << 20)	/* of space, for the index */

int
nr_compact_lock(struct nr_store *st)
{
	int rc;

	if (pthread_mutex_lock(&st->compact_lock) != 0)
		return EDEADLK;
	rc = nr_lock_take(st->lockfd, NR_LOCK_COMPACT, 1, st->timeout);
	if (rc != NR_OK)
		pthread_mutex_unlock(&st->compact_lock);
	return rc;
}

void
nr_compact_unlock(struct nr_store *st)
{
	nr_lock_drop(st->lockfd, NR_LOCK_COMPACT);
	pthread_mutex_unlock(&st->compact_lock);
}

int
nr_compact_stopped(struct nr_compaction *c)
{
	if (!c->stopped && c->stop != NULL && c->stop(c->ctx))
		c->stopped = 1;
	return c->stopped;
}

void
nr_compact_pace(struct nr_compaction *c, size_t n)
{
	int64_t until;

	if (c->rate == 0)
		return;
	until = nr_now_ms() + (int64_t)((double)n * 1000 / (double)c->rate);
	while (nr_now_ms() < until && !nr_compact_stopped(c))
		nr_sleep_ms(until - nr_now_ms() < 50 ? 5 : 50);
}

/* ---- the records of all segments ---------------------------------------------- */

struct segment {
	uint32_t	 number;
	struct nr_segrec rec;
};

static int
list_segments(struct nr_store *st, struct nr_head *head, struct segment **out,
    size_t *n)
{
	struct nr_buf b = { 0 };
	struct segment s;
	MDB_txn *txn = NULL;
	MDB_cursor *c;
	MDB_val k, v;
	int rc;

	if ((rc = nr_index_read(st, &txn)) != 0)
		return rc;
	rc = nr_head_get(txn, st, head);
	if (rc == 0)
		rc = mdb_cursor_open(txn, st->dbi[NR_T_SEGMENT], &c);
	if (rc == 0) {
		while ((rc = mdb_cursor_get(c, &k, &v, MDB_NEXT)) == 0) {
			if (k.mv_size != 4 || v.mv_size != sizeof(s.rec))
				rc = NR_ECORRUPT;
			else {
				s.number = (uint32_t)nr_get_be(k.mv_data, 4);
				memcpy(&s.rec, v.mv_data, sizeof(s.rec));
				rc = nr_buf_add(&b, &s, sizeof(s));
			}
			if (rc != NR_OK)
				break;
		}
		mdb_cursor_close(c);
	}
	mdb_txn_abort(txn);
	nr_index_read_end(st);
	if (rc != MDB_NOTFOUND) {
		nr_buf_free(&b);
		return rc;
	}
	*out = (void *)b.p;
	*n = b.len / sizeof(s);
	return NR_OK;
}

/* ---- what is left ------------------------------------------------------------------ */

struct oldest {
	uint64_t	txn;
};

/* A line of LMDB's list of readers: process, thread, transaction or "-". */
static int
see_reader(const char *line, void *ctx)
{
	struct oldest *o = ctx;
	uint64_t txn;

	if (sscanf(line, "%*d %*x %" SCNu64, &txn) == 1 && txn < o->txn)
		o->txn = txn;
	return 0;
}

int
nr_compact_wait(struct nr_store *st)
{
	int64_t until = nr_now_ms() + READERS_MS;
	MDB_envinfo info;
	struct oldest o;
	uint64_t now;

	if (mdb_env_info(st->env, &info) != 0)
		return 0;
	now = info.me_last_txnid;
	do {
		o.txn = now;
		(void)mdb_reader_list(st->env, see_reader, &o);
		if (o.txn >= now)
			return 1;
		nr_sleep_ms(5);
	} while (nr_now_ms() < until);
	return 0;
}

static const struct segment *
find_segment(const struct segment *s, size_t n, uint32_t number)
{
	size_t i;

	for (i = 0; i < n; i++)
		if (s[i].number == number)
			return &s[i];
	return NULL;
}

/*
 * Remove files that are not a segment's: its older generations, one that
 * was copied and not moved to, and halves.
 */
static int
tidy(struct nr_store *st, const struct segment *s, size_t n)
{
	const struct segment *of;
	struct nr_logfile *f;
	size_t i, nfiles, removed = 0;
	int rc;

	if ((rc = nr_log_list(&st->log, &f, &nfiles)) != NR_OK)
		return rc;
	for (i = 0; rc == NR_OK && i < nfiles; i++) {
		of = find_segment(s, n, f[i].segment);
		if (!f[i].tmp && (of == NULL || f[i].gen == of->rec.gen ||
		    (of->rec.moving && f[i].gen == of->rec.gen + 1)))
			continue;
		rc = nr_log_remove(&st->log, &f[i]);
		removed++;
	}
	free(f);
	if (rc == NR_OK && removed > 0 && fsync(st->log.dirfd) != 0)
		rc = errno;
	return rc;
}

int
nr_compact_tidy(struct nr_store *st)
{
	struct segment *s;
	struct nr_head head;
	size_t n;
	int rc;

	if ((rc = list_segments(st, &head, &s, &n)) != NR_OK)
		return rc;
	rc = tidy(st, s, n);
	free(s);
	return rc;
}

int
nr_compact_resume(struct nr_store *st)
{
	struct segment *s;
	struct nr_head head;
	size_t i, n;
	int rc, moved = 0;

	if ((rc = list_segments(st, &head, &s, &n)) != NR_OK)
		return rc;
	for (i = 0; rc == NR_OK && i < n; i++)
		if (s[i].rec.moving) {
			rc = nr_move_segment(st, s[i].number);
			moved = 1;
		}
	free(s);
	/* Whoever is late finds a file gone, and takes a newer snapshot. */
	if (rc == NR_OK && moved)
		(void)nr_compact_wait(st);
	return rc != NR_OK ? rc : nr_compact_tidy(st);
}

/* ---- one segment ----------------------------------------------------------------------- */

/* Is there room for its live lines? */
static int
room_for(struct nr_store *st, const struct segment *s)
{
	struct statvfs v;

	if (fstatvfs(st->log.dirfd, &v) != 0)
		return errno;
	return (uint64_t)v.f_bavail * v.f_frsize < s->rec.live_bytes + MARGIN ?
	    ENOSPC : NR_OK;
}

/* Do the dead of a segment still have entries in the index? */
static int
dead_wait(struct nr_store *st, const struct segment *s, int *yes)
{
	uint64_t number = s->rec.first;
	MDB_val k = { sizeof(number), &number }, v;
	struct nr_place at;
	MDB_txn *txn = NULL;
	MDB_cursor *c;
	int rc;

	if ((rc = nr_index_read(st, &txn)) != 0)
		return rc;
	*yes = 0;
	rc = mdb_cursor_open(txn, st->dbi[NR_T_DEAD], &c);
	if (rc == 0) {
		rc = mdb_cursor_get(c, &k, &v, MDB_SET_RANGE);
		if (rc == 0 && v.mv_size == sizeof(at)) {
			memcpy(&at, v.mv_data, sizeof(at));
			*yes = at.segment == s->number;
		}
		mdb_cursor_close(c);
	}
	mdb_txn_abort(txn);
	nr_index_read_end(st);
	return rc == MDB_NOTFOUND ? NR_OK : rc;
}

/*
 * Have the entries of its dead removed, which are made from their lines.
 * Where that cannot be done now, those lines stay for the next time.
 */
static int
settle(struct nr_store *st, struct nr_compaction *c, const struct segment *s)
{
	int tries, rc, yes = 1;

	for (tries = 0; tries < SETTLES && !nr_compact_stopped(c); tries++) {
		rc = dead_wait(st, s, &yes);
		if (rc != NR_OK || !yes)
			return rc;
		rc = nr_store_settle(st, SETTLE_MS);
		if (rc != NR_OK && rc != NR_EBUSY && rc != NR_EFULL)
			return rc;
		nr_sleep_ms(SETTLE_MS / 10);
	}
	return NR_OK;
}

/* Begin a new segment, so that the last one does not change any more. */
static int
seal(struct nr_writer *w, void *ctx, int *changed)
{
	const struct segment *s = ctx;
	int rc;

	*changed = 0;
	if (w->head.end.segment != s->number || w->head.end.offset == 0)
		return NR_OK;
	if ((rc = nr_log_create(&w->st->log, s->number + 1)) != NR_OK)
		return rc;
	w->head.end.segment++;
	w->head.end.offset = 0;
	w->pending_at = w->head.end;
	*changed = 1;
	return NR_OK;
}

static int
compact_segment(struct nr_store *st, struct nr_compaction *c,
    struct segment *s, int last)
{
	struct nr_compacted done = { .segment = s->number };
	struct nr_copy copy;
	int rc;

	if ((rc = room_for(st, s)) != NR_OK)
		return rc;
	if (last && (rc = nr_transact(st, seal, s, 0)) != NR_OK)
		return rc;
	if ((rc = settle(st, c, s)) != NR_OK || c->stopped ||
	    (rc = nr_copy_segment(st, c, &copy, s->number)) != NR_OK ||
	    c->stopped)
		return rc;
	if ((rc = nr_move_segment(st, s->number)) != NR_OK)
		return rc;
	(void)nr_compact_wait(st);
	if ((rc = nr_compact_tidy(st)) != NR_OK)
		return rc;
	done.before = s->rec.bytes;
	done.after = copy.bytes;
	done.lines = s->rec.lines - copy.lines;
	if (c->report != NULL)
		c->report(c->ctx, &done);
	return NR_OK;
}

/* ---- all of them ------------------------------------------------------------------------- */

static uint64_t
dead_bytes(const struct segment *s)
{
	return s->rec.bytes - s->rec.live_bytes;
}

static int
asked_for(const struct nr_compaction *c, uint32_t number)
{
	size_t i;

	for (i = 0; i < c->nsegments; i++)
		if (c->segments[i] == number)
			return 1;
	return c->segments == NULL;
}

static int
worth_it(const struct nr_compaction *c, const struct segment *s, int last)
{
	uint64_t dead = dead_bytes(s);

	return asked_for(c, s->number) && dead > 0 &&
	    dead >= s->rec.bytes / 100 * c->min_dead &&
	    (!last || dead >= c->min_bytes);
}

/* The greatest share of dead bytes first. */
static int
share_cmp(const void *a, const void *b)
{
	const struct segment *x = a, *y = b;
	double p = (double)dead_bytes(x) / (double)(x->rec.bytes + 1);
	double q = (double)dead_bytes(y) / (double)(y->rec.bytes + 1);

	return (p < q) - (p > q);
}

static int
choose(struct nr_store *st, const struct nr_compaction *c,
    struct segment **out, size_t *n, uint32_t *last)
{
	struct segment *s;
	struct nr_head head;
	size_t i, all;
	int rc;

	if ((rc = list_segments(st, &head, &s, &all)) != NR_OK)
		return rc;
	*last = head.end.segment;
	for (i = *n = 0; i < all; i++)
		if (worth_it(c, &s[i], s[i].number == *last))
			s[(*n)++] = s[i];
	if (*n > 1)
		qsort(s, *n, sizeof(*s), share_cmp);
	*out = s;
	return NR_OK;
}

static void
pretend(const struct nr_compaction *c, const struct segment *s)
{
	struct nr_compacted would = {
		.segment = s->number,
		.before = s->rec.bytes, .after = s->rec.live_bytes,
		.lines = s->rec.lines - s->rec.live_lines
	};

	if (c->report != NULL)
		c->report(c->ctx, &would);
}

static int
locked(struct nr_store *st, struct nr_compaction *c, struct segment *s,
    int last)
{
	int rc;

	if ((rc = nr_compact_lock(st)) != NR_OK)
		return rc;
	rc = nr_compact_resume(st);
	if (rc == NR_OK && s != NULL && (rc = nr_segrec_read(st, s->number, &s->rec)) == NR_OK &&
	    worth_it(c, s, last))
		rc = compact_segment(st, c, s, last);
	nr_compact_unlock(st);
	return rc;
}

/* ---- scrubbing ----------------------------------------------------------------------------- */

struct scrub {
	uint64_t	deletions;	/* as of its beginning */
	int64_t		begun;
	int		late;		/* something is left for another time */
};

static int
scrub_one(struct nr_store *st, struct nr_compaction *c, struct segment *s,
    struct scrub *all)
{
	struct nr_compacted done = { .segment = s->number };
	struct nr_copy copy = { 0 };
	int rc, waits = 0;

	if ((rc = nr_compact_lock(st)) != NR_OK)
		return rc;
	if ((rc = nr_compact_resume(st)) == NR_OK &&
	    (rc = settle(st, c, s)) == NR_OK && !c->stopped &&
	    (rc = dead_wait(st, s, &waits)) == NR_OK)
		rc = nr_scrub_segment(st, c, &copy, s->number);
	nr_compact_unlock(st);
	all->late |= waits || rc == NR_EBUSY;
	done.scrubbed = copy.lines;
	if (copy.lines > 0 && c->report != NULL)
		c->report(c->ctx, &done);
	return rc == NR_EBUSY ? NR_OK : rc;
}

/* Nothing is left of what was deleted before the scrub began. */
static int
scrubbed(struct nr_writer *w, void *ctx, int *changed)
{
	struct scrub *all = ctx;

	(void)changed;
	w->head.scrub_since = w->head.deletions == all->deletions ? 0 :
	    all->begun;
	return NR_OK;
}

static int
scrub_all(struct nr_store *st, struct nr_compaction *c)
{
	struct scrub all = { .begun = time(NULL) };
	struct segment *s;
	struct nr_head head;
	size_t i, n;
	int rc;

	if ((rc = list_segments(st, &head, &s, &n)) != NR_OK)
		return rc;
	all.deletions = head.deletions;
	for (i = 0; rc == NR_OK && head.scrub_since != 0 && i < n &&
	    !nr_compact_stopped(c); i++) {
		if (dead_bytes(&s[i]) <= s[i].rec.blank ||
		    !asked_for(c, s[i].number))
			continue;
		rc = scrub_one(st, c, &s[i], &all);
	}
	free(s);
	if (rc != NR_OK || head.scrub_since == 0 || c->stopped || all.late ||
	    c->segments != NULL)
		return rc;
	return nr_transact(st, scrubbed, &all, 0);
}

int
nr_store_scrub_since(struct nr_store *st, int64_t *since)
{
	struct nr_head head;
	int rc = nr_head_read(st, &head);

	if (rc == NR_OK)
		*since = head.scrub_since;
	return nr_store_rc(st, rc);
}

int
nr_store_compact(struct nr_store *st, struct nr_compaction *c)
{
	struct segment *s = NULL;
	size_t i, n = 0;
	uint32_t last;
	int rc, full = 0;

	c->stopped = 0;
	rc = c->dry_run ? NR_OK : locked(st, c, NULL, 0);
	if (rc == NR_OK)
		rc = choose(st, c, &s, &n, &last);
	for (i = 0; rc == NR_OK && i < n && !nr_compact_stopped(c); i++) {
		if (c->dry_run) {
			pretend(c, &s[i]);
			continue;
		}
		rc = nr_store_rc(st, locked(st, c, &s[i],
		    s[i].number == last));
		/* A smaller one may fit, and make room. */
		if (rc == ENOSPC) {
			full = 1;
			rc = NR_OK;
		}
		nr_sleep_ms(5);		/* for whoever waits for the lock */
	}
	free(s);
	if (rc == NR_OK && c->scrub && !c->dry_run && !c->stopped)
		rc = scrub_all(st, c);
	return rc == NR_OK && full ? ENOSPC : nr_store_rc(st, rc);
}
