/*
 * Building a whole index at once: an import into an empty store, and the
 * rebuild from the log.
 *
 * Tables that verdicts depend on are filled as events come; the entries
 * of all others go through the sorter and are appended to LMDB at the end,
 * which is several times faster and leaves full pages.  Until then the
 * state file says "building", so that a half-built index is never
 * trusted.
 */
#include "store/internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "util/err.h"
#include "util/pool.h"

#define HELD		((size_t)48 << 20)	/* entries kept in memory */
#define COMMIT_EVENTS	20000			/* between commits */
#define COMMIT_BYTES	((size_t)12 << 20)	/* likewise, when appending */
#define MAP_ROOM	((size_t)512 << 20)	/* for one of them */
#define FLUSH_BYTES	((size_t)1 << 20)	/* of log lines */

struct nr_bulk {
	struct nr_writer	 w;
	struct nr_sorter	*sorter;
	struct nr_bitmap	 dead;
	uint64_t		 since_commit;
	uint32_t		 unsynced;	/* first segment to be synced */
	/* While appending: */
	size_t			 appended;
	enum nr_table		 last_table;
	struct nr_key		 last;
	uint64_t		 done;
};

static int
mark_building(struct nr_store *st)
{
	uint64_t epoch = 0;
	int rc;

	if ((rc = nr_state_system(st->dirfd, &st->state)) != NR_OK)
		return rc;
	if (getrandom(&epoch, sizeof(epoch), 0) != (ssize_t)sizeof(epoch))
		return errno;
	st->state.epoch = st->epoch = epoch;
	st->state.clean = 0;
	snprintf(st->state.boot, sizeof(st->state.boot), "building");
	return nr_state_write(st->dirfd, &st->state);
}

static int
mark_built(struct nr_store *st)
{
	int rc;

	if ((rc = nr_state_system(st->dirfd, &st->state)) != NR_OK)
		return rc;
	st->state.clean = 0;
	return nr_state_write(st->dirfd, &st->state);
}

static void
bulk_free(struct nr_bulk *b)
{
	nr_writer_free(&b->w);
	nr_sorter_free(b->sorter);
	free(b->dead.bits);
	free(b);
}

/*
 * A map that is full in the middle of a transaction would lose it: have
 * room in it before each one.
 */
static int
begin(struct nr_bulk *b)
{
	struct nr_store *st = b->w.st;
	MDB_envinfo info;
	MDB_stat s;
	int rc;

	for (;;) {
		if ((rc = mdb_env_info(st->env, &info)) != 0 ||
		    (rc = mdb_env_stat(st->env, &s)) != 0)
			return rc;
		if (info.me_mapsize / s.ms_psize > info.me_last_pgno +
		    MAP_ROOM / s.ms_psize)
			break;
		/* Without the address space, what there is must do. */
		if (nr_index_grow(st) != 0)
			break;
	}
	return nr_writer_open(st, &b->w);
}

static int
bulk_new(struct nr_bulk **out, struct nr_store *st)
{
	struct nr_bulk *b;
	int rc;

	if ((b = calloc(1, sizeof(*b))) == NULL)
		return ENOMEM;
	b->w.st = st;
	b->w.dead = &b->dead;
	rc = nr_sorter_new(&b->sorter, st->dirfd, HELD);
	b->w.sorter = b->sorter;
	if (rc == NR_OK)
		rc = begin(b);
	if (rc != NR_OK) {
		bulk_free(b);
		return rc;
	}
	*out = b;
	return NR_OK;
}

/* Commit what is in the tables so far, and go on. */
static int
bulk_commit(struct nr_bulk *b)
{
	struct nr_writer *w = &b->w;
	struct nr_end pending_at = w->pending_at;
	int rc;

	rc = nr_sums_flush(w);
	if (rc == NR_OK)
		rc = nr_writer_put_segments(w);
	if (rc == NR_OK)
		rc = nr_writer_put_head(w);
	if (rc == NR_OK) {
		rc = mdb_txn_commit(w->txn);
		w->txn = NULL;
	}
	if (rc == NR_OK)
		rc = begin(b);
	w->pending_at = pending_at;
	b->since_commit = 0;
	return rc;
}

/* The number in an entry: at the end of the key, or first in the value. */
static uint64_t
entry_number(enum nr_table t, const struct nr_key *key)
{
	return nr_get_be(t == NR_T_TIME ? key->v :
	    key->k + key->klen - NR_NUMBER_LEN, NR_NUMBER_LEN);
}

static int
append_entry(void *ctx, enum nr_table t, enum nr_op op,
    const struct nr_key *key)
{
	struct nr_bulk *b = ctx;
	struct nr_writer *w = &b->w;
	MDB_val k = { key->klen, (void *)(uintptr_t)key->k };
	MDB_val v = { key->vlen, (void *)(uintptr_t)key->v };
	MDB_cursor *c;
	int rc;

	(void)op;		/* nothing is deleted here, see w->dead */
	if (w->st->progress != NULL && ++b->done % 65536 == 0)
		w->st->progress->step(w->st->progress->ctx, "indexing",
		    b->done, nr_sorter_count(b->sorter));
	if (nr_bitmap_has(&b->dead, entry_number(t, key)))
		return NR_OK;
	/* A tag that the event has twice. */
	if (t == b->last_table && key->klen == b->last.klen &&
	    memcmp(key->k, b->last.k, key->klen) == 0)
		return NR_OK;
	if (b->appended > COMMIT_BYTES) {
		if ((rc = bulk_commit(b)) != NR_OK)
			return rc;
		b->appended = 0;
	}
	if ((rc = nr_writer_cursor(w, &c, t)) != NR_OK ||
	    (rc = mdb_cursor_put(c, &k, &v, MDB_APPEND)) != 0)
		return rc;
	if (t == NR_T_TIME && (rc = nr_sums_put(w, key, 1)) != NR_OK)
		return rc;
	b->last_table = t;
	b->last = *key;
	b->appended += key->klen + key->vlen + 10;
	return NR_OK;
}

/* Sync what was written to the log since the last time. */
static int
sync_log(struct nr_bulk *b)
{
	struct nr_store *st = b->w.st;
	int rc = NR_OK;

	if (b->unsynced == 0 || b->w.head.end.segment == 0)
		return NR_OK;
	for (; rc == NR_OK && b->unsynced < b->w.head.end.segment; b->unsynced++)
		rc = nr_log_sync(&st->log, b->unsynced);
	if (rc == NR_OK)
		rc = nr_log_sync(&st->log, b->w.head.end.segment);
	if (rc != NR_OK)
		st->poisoned = NR_ESYNC;
	return rc;
}

static int
bulk_finish(struct nr_bulk *b)
{
	struct nr_writer *w = &b->w;
	int rc;

	if ((rc = nr_writer_flush_log(w)) != NR_OK ||
	    (rc = sync_log(b)) != NR_OK)
		return rc;
	/* It counts at the end only, when the state file says so too. */
	w->head.merged = w->head.next;
	w->head.merged_entries = w->head.entries;
	if ((rc = bulk_commit(b)) != NR_OK ||
	    (rc = nr_sorter_walk(b->sorter, append_entry, b)) != NR_OK ||
	    (rc = nr_sums_flush(w)) != NR_OK)
		return rc;
	rc = mdb_txn_commit(w->txn);
	w->txn = NULL;
	return rc;
}

/* One event, at its place in the log or to be appended. */
static int
bulk_apply(struct nr_bulk *b, struct nr_item *item,
    const struct nr_place *at, unsigned flags, int64_t now)
{
	int rc;

	if ((rc = nr_rules_apply(&b->w, item, at, flags, now)) != NR_OK)
		return rc;
	if (++b->since_commit >= COMMIT_EVENTS)
		rc = bulk_commit(b);
	if (rc == NR_OK && (b->w.pending.len >= FLUSH_BYTES ||
	    b->w.head.end.offset >= b->w.st->log.segment_bytes)) {
		rc = nr_writer_flush_log(&b->w);
		/* Let the disk begin, so that the sync at the end is short. */
		if (rc == NR_OK)
			(void)sync_file_range(b->w.st->log.fd, 0, 0,
			    SYNC_FILE_RANGE_WRITE);
	}
	return rc;
}

/* ---- an import into an empty store -------------------------------------- */

int
nr_bulk_begin(struct nr_store *st)
{
	struct nr_bulk *b;
	uint64_t size;
	int rc;

	/* The door first: nobody can come in while we find out. */
	rc = nr_lock_take(st->lockfd, NR_LOCK_DOOR, 1, 0);
	if (rc != NR_OK)
		return rc;
	nr_lock_sign(st->lockfd, NR_LOCK_DOOR, st->program);
	rc = nr_lock_take(st->lockfd, NR_LOCK_PRESENCE, 1, 0);
	if (rc != NR_OK)
		goto out;
	if ((rc = bulk_new(&b, st)) != NR_OK)
		goto back;
	if (b->w.head.next != 0 || b->w.head.deaths != 0 ||
	    nr_log_size(&st->log, b->w.head.end.segment + 1, 0,
	    &size) != ENOENT ||
	    (b->w.head.end.segment != 0 && nr_log_size(&st->log,
	    b->w.head.end.segment, 0, &size) == NR_OK &&
	    size > b->w.head.end.offset))
		rc = NR_EBUSY;
	if (rc == NR_OK)
		rc = mark_building(st);
	if (rc == NR_OK) {
		b->unsynced = b->w.head.end.segment == 0 ? 1 : b->w.head.end.segment;
		st->bulk = b;
		return NR_OK;
	}
	bulk_free(b);
back:
	nr_lock_take(st->lockfd, NR_LOCK_PRESENCE, 0, 0);
out:
	nr_lock_drop(st->lockfd, NR_LOCK_DOOR);
	return nr_store_rc(st, rc);
}

int
nr_bulk_put(struct nr_store *st, struct nr_item *items, size_t n,
    unsigned flags, int64_t now)
{
	size_t i;
	int rc = NR_OK;

	for (i = 0; rc == NR_OK && i < n; i++)
		rc = bulk_apply(st->bulk, &items[i], NULL, flags, now);
	return nr_store_rc(st, rc);
}

int
nr_bulk_wanted(struct nr_store *st)
{
	return nr_lock_held(st->lockfd, NR_LOCK_WANTED, 1);
}

int
nr_bulk_end(struct nr_store *st)
{
	int rc;

	rc = bulk_finish(st->bulk);
	if (rc == NR_OK)
		rc = mark_built(st);
	bulk_free(st->bulk);
	st->bulk = NULL;
	if (rc != NR_OK) {
		/* Half an index: nobody may trust it, nor we use it. */
		st->poisoned = rc = nr_store_rc(st, rc);
		return rc;
	}
	rc = nr_lock_take(st->lockfd, NR_LOCK_PRESENCE, 0, 0);
	nr_lock_drop(st->lockfd, NR_LOCK_DOOR);
	return rc;
}

/* ---- the rebuild ----------------------------------------------------------- */

#define BLOCK	((size_t)512 * 1024)

/* Some lines of a segment, being checked by a worker. */
struct block {
	struct nr_buf	 text;
	uint32_t	 segment;
	uint32_t	 gen;
	uint64_t	 offset;
	struct nr_item	*item;		/* line {NULL, 0}: not an event */
	size_t		 nitems, capitems;
	int		 rc;
};

struct rebuild {
	struct nr_store		*st;
	struct nr_logfile	*file;		/* a segment each */
	size_t			 nfiles;
	struct nr_bulk		*b;
	struct nr_deaths	 deaths;
	struct nr_verifier	**verifier;
	unsigned		 nworkers;
	struct nr_pool		*pool;
	unsigned		 pending;	/* blocks under way */
	uint64_t		 total, read;	/* bytes of the log */
};

static int
add_item(struct block *blk, struct nr_verifier *v, struct nr_view line)
{
	struct nr_item *p;

	if (blk->nitems == blk->capitems) {
		p = realloc(blk->item,
		    (blk->capitems * 2 + 256) * sizeof(*p));
		if (p == NULL)
			return ENOMEM;
		blk->item = p;
		blk->capitems = blk->capitems * 2 + 256;
	}
	p = &blk->item[blk->nitems++];
	if (!nr_log_line_valid(v, p, line)) {
		p->line.p = NULL;
		p->line.len = line.len;
	}
	return NR_OK;
}

static void
check_block(void *ctx, unsigned worker, void *job)
{
	struct rebuild *r = ctx;
	struct block *blk = job;
	const char *p = blk->text.p, *end = p + blk->text.len, *lf;
	struct nr_view line;

	blk->nitems = 0;
	blk->rc = NR_OK;
	while (blk->rc == NR_OK && p < end) {
		lf = memchr(p, '\n', (size_t)(end - p));
		line.p = p;
		line.len = (size_t)((lf != NULL ? lf : end) - p);
		blk->rc = add_item(blk, r->verifier[worker], line);
		p = lf != NULL ? lf + 1 : end;
	}
}

/*
 * An event that is recorded as dead dies when it has had its effect, for
 * that it has had.
 */
static int
apply_line(struct rebuild *r, struct nr_item *item, struct nr_place *at)
{
	int rc;

	if (item->line.p == NULL)
		return NR_OK;
	if ((rc = bulk_apply(r->b, item, at, 0, -1)) != NR_OK ||
	    item->result != NR_PUT_STORED ||
	    !nr_rules_doomed(&r->deaths, &item->ev))
		return rc;
	return nr_rules_end(&r->b->w, item->number);
}

static int
apply_block(struct rebuild *r, struct block *blk)
{
	struct nr_writer *w = &r->b->w;
	struct nr_place at = { .segment = blk->segment };
	uint64_t offset = blk->offset;
	size_t i;
	int rc = blk->rc;

	for (i = 0; rc == NR_OK && i < blk->nitems; i++) {
		at.offset = (uint32_t)offset;
		at.len = (uint32_t)blk->item[i].line.len | (blk->gen & 1 ?
		    NR_PLACE_ODD : 0);
		rc = apply_line(r, &blk->item[i], &at);
		offset += blk->item[i].line.len + 1;
	}
	if (rc == NR_OK)
		rc = nr_writer_count(w, blk->segment,
		    (int64_t)blk->text.len, (int64_t)blk->nitems);
	w->head.end.segment = blk->segment;
	w->head.end.offset = blk->offset + blk->text.len;
	w->pending_at = w->head.end;
	r->read += blk->text.len;
	if (r->st->progress != NULL)
		r->st->progress->step(r->st->progress->ctx, "reading the log",
		    r->read, r->total);
	return rc;
}

/* Apply the oldest block that is under way. */
static int
apply_one(struct rebuild *r)
{
	void *blk;
	int rc;

	nr_pool_take(r->pool, &blk, -1);
	rc = apply_block(r, blk);
	nr_pool_release(r->pool);
	r->pending--;
	return rc;
}

/* A free block, made by applying others where there is none. */
static int
claim(struct rebuild *r, struct block **blk)
{
	int rc = NR_OK;

	while ((*blk = nr_pool_try_claim(r->pool)) == NULL && rc == NR_OK)
		rc = apply_one(r);
	return rc;
}

static void
clear_block(void *job)
{
	struct block *blk = job;

	nr_buf_free(&blk->text);
	free(blk->item);
}

/* What follows in a segment. */
enum next { LINES, TOO_LONG, TORN, END };

/* Read lines from offset on into the block. */
static int
read_block(int fd, struct block *blk, uint64_t offset, enum next *next)
{
	size_t want = BLOCK;
	char *last;
	ssize_t n;
	int rc;

	blk->text.len = 0;
	for (;;) {
		if ((rc = nr_buf_reserve(&blk->text, want)) != NR_OK)
			return rc;
		n = pread(fd, blk->text.p + blk->text.len, want,
		    (off_t)(offset + blk->text.len));
		if (n < 0)
			return errno;
		last = n == 0 ? NULL : memrchr(blk->text.p + blk->text.len,
		    '\n', (size_t)n);
		blk->text.len += (size_t)n;
		if (last != NULL) {
			blk->text.len = (size_t)(last + 1 - blk->text.p);
			*next = LINES;
			return NR_OK;
		}
		if (n == 0) {
			*next = blk->text.len > 0 ? TORN : END;
			return NR_OK;
		}
		if (blk->text.len > NR_PLACE_LEN / 2) {
			*next = TOO_LONG;
			return NR_OK;
		}
	}
}

/* One step through a segment; *next is END when it is done. */
static int
read_some(struct rebuild *r, int fd, const struct nr_logfile *f,
    uint64_t *offset, enum next *next)
{
	struct block *blk;
	uint64_t was = *offset;
	int found, rc;

	if ((rc = claim(r, &blk)) != NR_OK)
		return rc;
	blk->segment = f->segment;
	blk->gen = f->gen;
	blk->offset = *offset;
	if ((rc = read_block(fd, blk, *offset, next)) != NR_OK)
		return rc;
	if (*next == TOO_LONG) {
		/* It costs itself, unless nothing follows. */
		rc = nr_tail_line_end(fd, offset, &found);
		if (rc == NR_OK && found)
			return nr_writer_count(&r->b->w, f->segment,
			    (int64_t)(*offset - was), 1);
		*offset = was;
		*next = TORN;
	}
	if (rc != NR_OK || *next != LINES)
		return rc;
	if (*offset + blk->text.len > UINT32_MAX)
		return NR_ECORRUPT;
	*offset += blk->text.len;
	nr_pool_submit(r->pool);
	r->pending++;
	return NR_OK;
}

static int
read_segment(struct rebuild *r, const struct nr_logfile *f, int last)
{
	struct nr_segrec rec = { .first = UINT64_MAX, .gen = f->gen };
	char name[NR_LOG_NAME_MAX];
	enum next next = LINES;
	uint64_t offset = 0;
	int fd, rc = NR_OK;

	nr_log_name(name, f->segment, f->gen, 0);
	fd = openat(r->st->log.dirfd, name, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return errno;
	if (f->gen > 0)
		rc = nr_writer_segment_put(&r->b->w, f->segment, &rec);
	while (rc == NR_OK && next != END && next != TORN)
		rc = read_some(r, fd, f, &offset, &next);
	close(fd);
	if (rc == NR_OK && next == TORN && last && f->gen == 0)
		rc = nr_tail_set_aside(r->st, f->segment, offset);
	return rc;
}

static int
start_workers(struct rebuild *r)
{
	unsigned i;
	int rc;

	r->nworkers = nr_pool_cores();
	r->verifier = calloc(r->nworkers, sizeof(r->verifier[0]));
	if (r->verifier == NULL)
		return ENOMEM;
	for (i = 0; i < r->nworkers; i++)
		if ((rc = nr_verifier_new(&r->verifier[i])) != NR_OK)
			return rc;
	return nr_pool_new(&r->pool, r->nworkers, 2 * r->nworkers + 2,
	    sizeof(struct block), check_block, NULL, r);
}

/*
 * The newest generation of each segment; what it replaces, and what was
 * never finished, is removed.
 */
static int
choose_files(struct rebuild *r)
{
	struct nr_log *l = &r->st->log;
	size_t i, n = 0;
	int rc;

	if ((rc = nr_log_list(l, &r->file, &r->nfiles)) != NR_OK)
		return rc;
	for (i = 0; rc == NR_OK && i < r->nfiles; i++) {
		if (r->file[i].tmp) {
			rc = nr_log_remove(l, &r->file[i]);
			continue;
		}
		if (n > 0 && r->file[n - 1].segment == r->file[i].segment)
			rc = nr_log_remove(l, &r->file[--n]);
		r->file[n++] = r->file[i];
	}
	r->nfiles = n;
	return rc;
}

/* Is there each segment from the first to the last? */
static int
complete(const struct rebuild *r)
{
	return r->nfiles == 0 ||
	    r->file[r->nfiles - 1].segment == r->nfiles;
}

static int
replay(struct rebuild *r)
{
	const struct nr_logfile *f = r->file;
	uint64_t size;
	size_t i;
	int rc = NR_OK;

	for (i = 0; i < r->nfiles; i++)
		if (nr_log_size(&r->st->log, f[i].segment, f[i].gen,
		    &size) == NR_OK)
			r->total += size;
	for (i = 0; rc == NR_OK && i < r->nfiles; i++)
		rc = read_segment(r, &f[i], i == r->nfiles - 1);
	while (rc == NR_OK && r->pending > 0)
		rc = apply_one(r);
	nr_pool_free(r->pool, clear_block);
	return rc;
}

static int
remember(struct rebuild *r, const struct nr_death *d, size_t n)
{
	size_t i;
	int rc = NR_OK;

	for (i = 0; rc == NR_OK && i < n; i++) {
		rc = nr_rules_remember(&r->b->w, &d[i]);
		if (rc == NR_OK && ++r->b->since_commit >= COMMIT_EVENTS)
			rc = bulk_commit(r->b);
	}
	return rc;
}

/*
 * A killed writer may have left lines that nobody has synced.  What has
 * been compacted is not appended to any more.
 */
static int
end_log(struct rebuild *r)
{
	const struct nr_logfile *last;
	struct nr_end *end = &r->b->w.head.end;
	int rc;

	if (r->nfiles == 0)
		return NR_OK;
	last = &r->file[r->nfiles - 1];
	if (last->gen == 0)
		rc = nr_log_sync(&r->st->log, last->segment);
	else
		rc = nr_log_create(&r->st->log, last->segment + 1);
	if (last->gen > 0 || end->segment < last->segment) {
		end->segment = last->segment + (last->gen > 0);
		end->offset = 0;
		r->b->w.pending_at = *end;
	}
	return rc;
}

static int
rebuild(struct rebuild *r)
{
	uint64_t deaths = 0;
	int rc;

	if ((rc = nr_deaths_load(r->st, &r->deaths, &deaths)) != NR_OK ||
	    /* Addresses may be dead before their lines, which do no more. */
	    (rc = remember(r, r->deaths.address,
	    r->deaths.naddresses)) != NR_OK ||
	    (rc = start_workers(r)) != NR_OK ||
	    (rc = replay(r)) != NR_OK ||
	    (rc = remember(r, r->deaths.id, r->deaths.nids)) != NR_OK ||
	    (rc = remember(r, r->deaths.vanish, r->deaths.nvanish)) != NR_OK ||
	    (rc = end_log(r)) != NR_OK)
		return rc;
	r->b->w.head.deaths = deaths;
	return bulk_finish(r->b);
}

int
nr_rebuild(struct nr_store *st, int lenient)
{
	struct rebuild r = { .st = st };
	unsigned i;
	int rc;

	if ((rc = mark_building(st)) != NR_OK ||
	    (rc = nr_index_remove(st)) != NR_OK ||
	    (rc = nr_index_open(st)) != NR_OK ||
	    (rc = choose_files(&r)) != NR_OK ||
	    (rc = bulk_new(&r.b, st)) != NR_OK) {
		free(r.file);
		return rc;
	}
	rc = lenient || complete(&r) ? rebuild(&r) : NR_ECORRUPT;
	bulk_free(r.b);
	for (i = 0; r.verifier != NULL && i < r.nworkers; i++)
		nr_verifier_free(r.verifier[i]);
	free(r.verifier);
	free(r.file);
	nr_deaths_free(&r.deaths);
	return rc != NR_OK ? rc : mark_built(st);
}
