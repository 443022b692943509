/*
 * One write transaction, in this order:
 *
 *	locks; the index is still the one we opened; space is left
 *	the state file says dirty
 *	LMDB transaction; what the log has beyond its recorded end
 *	verdicts and index changes (rules.c)
 *	the log is written at its recorded end, and synced
 *	LMDB commit; locks are dropped; the bell is rung
 *
 * Until the log is written, a failure leaves nothing behind.  After it,
 * the lines are a tail, which the next writer indexes or sets aside.
 */
#include "store/young.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

#include "util/err.h"
#include "util/times.h"

/* What stays free for deleting and compacting: 64 MiB, or 1/20 if less. */
#define RESERVE	((uint64_t)64 << 20)

static int
space_left(struct nr_store *st)
{
	uint64_t total, left, reserve = RESERVE;
	struct statvfs v;

	if (fstatvfs(st->dirfd, &v) != 0)
		return errno;
	total = (uint64_t)v.f_blocks * v.f_frsize;
	left = (uint64_t)v.f_bavail * v.f_frsize;
	if (total / 20 < reserve)
		reserve = total / 20;
	return left < reserve ? NR_EFULL : NR_OK;
}

/* Read where the log ends and which number is next. */
static int
read_head(struct nr_writer *w)
{
	int rc;

	if ((rc = nr_head_get(w->txn, w->st, &w->head)) != NR_OK)
		return rc;
	w->first = w->head.next;
	w->pending_at = w->head.end;
	nr_maps_begin(&w->maps, w->st, w->txn, w->head.moves);
	return NR_OK;
}

int
nr_writer_open(struct nr_store *st, struct nr_writer *w)
{
	int rc;

	memset(w->cur, 0, sizeof(w->cur));
	memset(&w->sums, 0, sizeof(w->sums));
	rc = mdb_txn_begin(st->env, NULL, 0, &w->txn);
	if (rc == MDB_MAP_RESIZED) {
		pthread_rwlock_wrlock(&st->map_lock);
		rc = mdb_env_set_mapsize(st->env, 0);
		pthread_rwlock_unlock(&st->map_lock);
		if (rc == 0)
			rc = mdb_txn_begin(st->env, NULL, 0, &w->txn);
	}
	if (rc != 0) {
		w->txn = NULL;
		return rc;
	}
	return read_head(w);
}

void
nr_writer_free(struct nr_writer *w)
{
	if (w->txn != NULL)
		mdb_txn_abort(w->txn);
	w->txn = NULL;
	nr_buf_free(&w->pending);
	nr_buf_free(&w->deaths);
	free(w->delta);
	w->delta = NULL;
	w->ndeltas = w->capdeltas = 0;
}

int
nr_writer_cursor(struct nr_writer *w, MDB_cursor **out, enum nr_table t)
{
	int rc = NR_OK;

	if (w->cur[t] == NULL)
		rc = mdb_cursor_open(w->txn, w->st->dbi[t], &w->cur[t]);
	*out = w->cur[t];
	return rc;
}

static void
release(struct nr_writer *w)
{
	struct nr_store *st = w->st;

	nr_writer_free(w);
	nr_sorter_clear(st->sorter);
	nr_lock_drop(st->lockfd, NR_LOCK_WRITE);
	pthread_mutex_unlock(&st->write_lock);
}

/* The locks, and all that may speak against writing. */
static int
enter(struct nr_store *st)
{
	int rc;

	if (pthread_mutex_lock(&st->write_lock) != 0)
		return EDEADLK;
	rc = st->poisoned != 0 ? st->poisoned :
	    nr_lock_write(st->lockfd, st->timeout);
	if (rc != NR_OK) {
		pthread_mutex_unlock(&st->write_lock);
		return rc;
	}
	nr_lock_sign(st->lockfd, NR_LOCK_WRITE, st->program);
	if (nr_index_gone(st))
		rc = NR_EGONE;
	if (rc == NR_OK)
		rc = nr_trust_dirty(st);
	if (rc != NR_OK) {
		nr_lock_drop(st->lockfd, NR_LOCK_WRITE);
		pthread_mutex_unlock(&st->write_lock);
	}
	return rc;
}

int
nr_write_begin(struct nr_store *st, struct nr_writer *w, int grows)
{
	int rc;

	memset(w, 0, sizeof(*w));
	w->st = st;
	if ((rc = enter(st)) != NR_OK)
		return rc;
	/* A tail is committed on its own: it is not this caller's. */
	rc = nr_tail_take(st);
	if (rc == NR_OK && grows)
		rc = space_left(st);
	if (rc == NR_OK)
		rc = nr_writer_open(st, w);
	/* Collected only where somebody here reads them. */
	if (nr_young_wanted(st))
		w->sorter = st->sorter;
	if (rc == NR_OK)
		rc = nr_deaths_take(w);
	if (rc != NR_OK)
		release(w);
	return rc;
}

void
nr_write_abort(struct nr_writer *w)
{
	release(w);
}

static struct nr_segdelta *
delta_of(struct nr_writer *w, uint32_t segment)
{
	struct nr_segdelta *d;
	size_t i;

	for (i = w->ndeltas; i > 0; i--)
		if (w->delta[i - 1].segment == segment)
			return &w->delta[i - 1];
	if (w->ndeltas == w->capdeltas) {
		d = realloc(w->delta, (w->capdeltas * 2 + 8) * sizeof(*d));
		if (d == NULL)
			return NULL;
		w->delta = d;
		w->capdeltas = w->capdeltas * 2 + 8;
	}
	d = &w->delta[w->ndeltas++];
	memset(d, 0, sizeof(*d));
	d->segment = segment;
	d->first = UINT64_MAX;
	return d;
}

int
nr_writer_count(struct nr_writer *w, uint32_t segment, int64_t bytes,
    int64_t lines)
{
	struct nr_segdelta *d = delta_of(w, segment);

	if (d == NULL)
		return ENOMEM;
	d->bytes += bytes;
	d->lines += lines;
	return NR_OK;
}

int
nr_writer_count_live(struct nr_writer *w, uint32_t segment, int64_t bytes,
    int64_t lines)
{
	struct nr_segdelta *d = delta_of(w, segment);

	if (d == NULL)
		return ENOMEM;
	d->live_bytes += bytes;
	d->live_lines += lines;
	return NR_OK;
}

int
nr_writer_first(struct nr_writer *w, uint32_t segment, uint64_t number)
{
	struct nr_segdelta *d = delta_of(w, segment);

	if (d == NULL)
		return ENOMEM;
	if (d->first > number)
		d->first = number;
	return NR_OK;
}

int
nr_writer_segment_put(struct nr_writer *w, uint32_t segment,
    const struct nr_segrec *rec)
{
	unsigned char key[4];
	MDB_val k = { sizeof(key), key };
	MDB_val v = { sizeof(*rec), (void *)(uintptr_t)rec };
	MDB_cursor *c;
	int rc;

	nr_put_be(key, segment, 4);
	if ((rc = nr_writer_cursor(w, &c, NR_T_SEGMENT)) != NR_OK)
		return rc;
	return mdb_cursor_put(c, &k, &v, 0);
}

static int
put_segment(struct nr_writer *w, const struct nr_segdelta *d)
{
	struct nr_segrec rec = { .first = UINT64_MAX };
	int rc;

	rc = nr_segrec_get(w->txn, w->st->dbi[NR_T_SEGMENT], d->segment,
	    &rec);
	if (rc != NR_OK && rc != MDB_NOTFOUND)
		return rc;
	if (d->first < rec.first)
		rec.first = d->first;
	rec.bytes += (uint64_t)d->bytes;
	rec.live_bytes += (uint64_t)d->live_bytes;
	rec.lines += (uint64_t)d->lines;
	rec.live_lines += (uint64_t)d->live_lines;
	return nr_writer_segment_put(w, d->segment, &rec);
}

int
nr_writer_put_segments(struct nr_writer *w)
{
	size_t i;
	int rc = NR_OK;

	for (i = 0; rc == NR_OK && i < w->ndeltas; i++)
		rc = put_segment(w, &w->delta[i]);
	w->ndeltas = 0;
	return rc;
}

/* What deaths.jsonl has counts by the head. */
int
nr_writer_put_head(struct nr_writer *w)
{
	int rc;

	if ((rc = nr_deaths_append(w)) != NR_OK)
		return rc;
	if (w->deleted) {
		w->head.deletions++;
		if (w->head.scrub_since == 0)
			w->head.scrub_since = time(NULL);
	}
	w->deleted = 0;
	return nr_meta_put(w->txn, w->st->dbi[NR_T_META], "head", &w->head,
	    sizeof(w->head));
}

/* Begin a new segment where the present one is full, or there is none. */
int
nr_writer_rotate(struct nr_writer *w)
{
	int rc;

	if (w->head.end.segment != 0 &&
	    w->head.end.offset < w->st->log.segment_bytes)
		return NR_OK;
	if ((rc = nr_log_create(&w->st->log, w->head.end.segment + 1)) != NR_OK)
		return rc;
	w->head.end.segment++;
	w->head.end.offset = 0;
	w->pending_at = w->head.end;
	return NR_OK;
}

int
nr_writer_append(struct nr_writer *w, struct nr_place *at,
    struct nr_view line)
{
	int rc;

	if (w->pending.len == 0 && (rc = nr_writer_rotate(w)) != NR_OK)
		return rc;
	if ((rc = nr_buf_reserve(&w->pending, line.len + 1)) != NR_OK)
		return rc;
	at->segment = w->head.end.segment;
	at->offset = (uint32_t)w->head.end.offset;
	at->len = (uint32_t)line.len;
	memcpy(w->pending.p + w->pending.len, line.p, line.len);
	w->pending.p[w->pending.len + line.len] = '\n';
	w->pending.len += line.len + 1;
	w->head.end.offset += line.len + 1;
	return nr_writer_count(w, at->segment, (int64_t)line.len + 1, 1);
}

int
nr_writer_flush_log(struct nr_writer *w)
{
	int rc;

	if (w->pending.len == 0)
		return NR_OK;
	rc = nr_log_write(&w->st->log, w->pending_at.segment,
	    w->pending_at.offset, w->pending.p, w->pending.len);
	if (rc == NR_OK) {
		w->pending.len = 0;
		w->pending_at = w->head.end;
	}
	return rc;
}

/*
 * Write and sync the log.  Where that fails, cut it back to the recorded
 * end.  After a failed sync nothing that this process writes can be
 * trusted to be on the disk: the kernel may have dropped the pages and
 * will not say so again.
 */
static int
make_durable(struct nr_writer *w)
{
	struct nr_store *st = w->st;
	struct nr_end at = w->pending_at;
	int rc, synced = 1;

	if (w->pending.len == 0)
		return NR_OK;
	w->written_at = at;
	rc = nr_writer_flush_log(w);
	if (rc == NR_OK) {
		rc = nr_log_sync(&st->log, at.segment);
		synced = rc == NR_OK;
	}
	if (rc == NR_OK)
		return rc;
	(void)nr_log_truncate(&st->log, at.segment, at.offset);
	if (!synced)
		st->poisoned = NR_ESYNC;
	return synced ? rc : NR_ESYNC;
}

/* All of a commit but for the locks. */
int
nr_write_step(struct nr_writer *w)
{
	int rc;

	rc = nr_sums_flush(w);
	if (rc == NR_OK)
		rc = nr_writer_put_segments(w);
	if (rc == NR_OK)
		rc = nr_writer_put_head(w);
	if (rc == NR_OK)
		rc = make_durable(w);
	if (rc == NR_OK) {
		rc = mdb_txn_commit(w->txn);
		w->txn = NULL;
		/*
		 * Nothing of the index was written: neither is the log, but
		 * for a tail, which was there before.
		 */
		if (rc == MDB_MAP_FULL && w->written_at.segment != 0 &&
		    !w->tail)
			(void)nr_log_truncate(&w->st->log,
			    w->written_at.segment, w->written_at.offset);
		/* LMDB says EIO for a full disk. */
		if ((rc == ENOSPC || rc == EIO) && w->died)
			nr_deaths_undo(w->st, w->deaths_at);
	}
	if (rc == NR_OK && w->sorter != NULL)
		nr_young_add(w->st, w->sorter, w->first, &w->head);
	w->st->last_write = nr_now_ms();
	nr_sorter_clear(w->st->sorter);
	nr_writer_free(w);
	return rc;
}

int
nr_write_commit(struct nr_writer *w)
{
	struct nr_store *st = w->st;
	int rc;

	rc = nr_write_step(w);
	release(w);
	if (rc == NR_OK && st->bellfd >= 0)
		(void)!pwrite(st->bellfd, "\n", 1, 0);
	return rc;
}
