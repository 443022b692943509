/*
 * internal.h - what the files of lib/store share.
 *
 * Inside the store, functions may also return LMDB's codes, which are far
 * below ours; nr_store_rc() turns them into the public ones at the border.
 */
#ifndef NR_STORE_INTERNAL_H
#define NR_STORE_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>

#include <lmdb.h>

#include "event/verify.h"
#include "store/format.h"
#include "store/lock.h"
#include "store/log.h"
#include "store/sorter.h"
#include "store/state.h"
#include "store/store.h"
#include "store/sums.h"
#include "util/sha256.h"

#define NR_READERS		512
#define NR_MAP_FIRST		((size_t)64 << 30)
#define NR_LOCK_TIMEOUT		10000		/* ms */
#define NR_SEGMENT_BYTES	((size_t)256 << 20)
#define NR_TAIL_CHUNK		((size_t)4 << 20)

struct nr_bulk;
struct nr_merge;
struct nr_vanish;
struct nr_young;

struct nr_store {
	char			*dir;
	char			*program;
	int			 timeout;
	int			 dirfd;
	int			 lockfd;
	int			 made;		/* the folder, by us */
	int			 bellfd;
	struct nr_log		 log;
	MDB_env			*env;
	MDB_dbi			 dbi[NR_T_COUNT];
	uint64_t		 index_dev, index_ino;	/* as opened */
	pthread_rwlock_t	 map_lock;	/* shared by every read txn */
	pthread_mutex_t		 write_lock;	/* threads; WRITE: processes */
	struct nr_verifier	*verifier;	/* for tails, under write_lock */
	struct nr_sha256	*sha;		/* likewise */
	struct nr_sorter	*sorter;	/* likewise: a batch's entries */
	struct nr_state		 state;		/* likewise: as last seen */
	atomic_int		 clean;		/* what it says, for all */
	uint64_t		 epoch;		/* likewise; fixed once open */
	atomic_uint_fast64_t	 renewals;	/* of snapshots */
	atomic_int		 poisoned;	/* no more writes: the reason */
	atomic_int_fast64_t	 last_write;	/* ms, for tending */
	struct nr_bulk		*bulk;		/* filling, or NULL */
	const struct nr_progress *progress;
	pthread_mutex_t		 merge_lock;
	struct nr_merge		*merge;		/* under way, or NULL */
	int			 merge_held;	/* the lock's byte, too */
	int64_t			 merge_after;	/* ms: not before */
	int			 merge_failed;	/* why the last step did */
	uint64_t		 merge_ours;	/* the last merge we began */
	uint64_t		 merge_seen;	/* others' progress, */
	int64_t			 merge_seen_at;	/* and when it was seen */
	pthread_mutex_t		 young_lock;
	struct nr_young		*young;		/* NULL: nobody has asked */
	uint64_t		 young_merged;	/* as last seen */
	uint64_t		 young_keep;	/* as seen before that */
	pthread_mutex_t		 compact_lock;	/* threads; COMPACT: processes */
	pthread_mutex_t		 snaps_lock;
	struct nr_snap		*snaps;		/* all of this process */
	atomic_uint_fast64_t	 forgotten;	/* nr_head.moves, see snap.c */
};

/* Bytes of the log, looked up with a small cache of maps. */
#define NR_MAPS_CACHED	32
struct nr_maps {
	struct nr_log	*log;
	MDB_txn		*txn;
	MDB_dbi		 segments;
	uint64_t	 moves;		/* the cache is as of then */
	struct nr_map	 map[NR_MAPS_CACHED];
};

/* ---- maps.c ------------------------------------------------------------ */

/* Look up by this transaction from now on; moves is its head's. */
void	nr_maps_begin(struct nr_maps *m, struct nr_store *st, MDB_txn *txn,
	    uint64_t moves);

/*
 * The bytes at a place, valid until the transaction ends.
 * Returns  0, NR_ECORRUPT, NR_ESTALE (a compaction has removed the file
 *	    since the transaction began), an LMDB code or errno.
 */
int	nr_maps_line(struct nr_maps *m, struct nr_view *line,
	    const struct nr_place *at);

/* A segment's record, or MDB_NOTFOUND; in a transaction or one of its own. */
int	nr_segrec_get(MDB_txn *txn, MDB_dbi segments, uint32_t segment,
	    struct nr_segrec *out);
int	nr_segrec_read(struct nr_store *st, uint32_t segment,
	    struct nr_segrec *out);

/* Changes to a segment's record that wait for the commit. */
struct nr_segdelta {
	uint32_t	segment;
	uint64_t	first;		/* UINT64_MAX: unknown */
	int64_t		bytes, live_bytes, lines, live_lines;
};

/*
 * A write transaction: held by one thread of one process, see write.c for
 * the order in which things happen.
 */
struct nr_writer {
	struct nr_store		*st;
	MDB_txn			*txn;
	MDB_cursor		*cur[NR_T_COUNT];
	struct nr_sorter	*sorter;	/* entries; NULL: no need */
	struct nr_head		 head;
	uint64_t		 first;		/* head.next as it was */
	int			 tail;		/* what the log has already */
	int			 deleted;	/* what must go from the disk */
	struct nr_buf		 pending;	/* log bytes not yet written */
	struct nr_buf		 deaths;	/* lines for deaths.jsonl */
	int			 died;		/* some have been written, */
	uint64_t		 deaths_at;	/* from here on */
	struct nr_end		 pending_at;	/* where they go */
	struct nr_end		 written_at;	/* where those went that are */
	struct nr_maps		 maps;
	struct nr_segdelta	*delta;
	size_t			 ndeltas, capdeltas;
	struct nr_bitmap	*dead;		/* bulk: who has died */
	struct nr_sums		 sums;
};

/* ---- index.c: LMDB --------------------------------------------------- */

int	nr_index_open(struct nr_store *st);
void	nr_index_close(struct nr_store *st);
int	nr_index_remove(struct nr_store *st);

/* Double the map, with no transaction of this process under way. */
int	nr_index_grow(struct nr_store *st);

/*
 * Begin a read transaction, or renew *txn where there is one, also after
 * another process has grown the map.  Holds map_lock, shared, until
 * nr_index_read_end(); nothing is held on failure.
 */
int	nr_index_read(struct nr_store *st, MDB_txn **txn);
void	nr_index_read_end(struct nr_store *st);

/*
 * For those who want to be alone: put our name where there is none of
 * anybody who is still here.  Who came first is likely to stay.
 */
void	nr_sign_in(struct nr_store *st);

/* Has the file been removed or replaced since it was opened? */
int	nr_index_gone(struct nr_store *st);

/* The public code for what a function inside returned. */
int	nr_store_rc(struct nr_store *st, int rc);

/* meta: small values by name; *len is the value's length or 0. */
int	nr_meta_get(MDB_txn *txn, MDB_dbi dbi, const char *name, void *p,
	    size_t size, size_t *len);
int	nr_head_get(MDB_txn *txn, struct nr_store *st, struct nr_head *out);
int	nr_head_read(struct nr_store *st, struct nr_head *out);
int	nr_meta_put(MDB_txn *txn, MDB_dbi dbi, const char *name,
	    const void *p, size_t size);

/* ---- trust.c: the state file ----------------------------------------- */

/* Mark the index dirty, if it is not; called under WRITE. */
int	nr_trust_dirty(struct nr_store *st);
/* Sync the index and mark it clean; called under WRITE. */
int	nr_trust_clean(struct nr_store *st, const struct nr_end *end);

/* ---- write.c: one transaction ---------------------------------------- */

/*
 * Take the locks, check that writing is allowed, index what the log has
 * beyond the recorded end, and begin.
 * grows    NR_EFULL where only the room is left that deleting needs
 */
int	nr_write_begin(struct nr_store *st, struct nr_writer *w, int grows);

/*
 * Write the log, sync it, commit.  Both end the writer in every case; the
 * first leaves the locks alone.
 */
int	nr_write_step(struct nr_writer *w);
int	nr_write_commit(struct nr_writer *w);
void	nr_write_abort(struct nr_writer *w);

/* The parts of these that filling the index shares. */
int	nr_writer_open(struct nr_store *st, struct nr_writer *w);
void	nr_writer_free(struct nr_writer *w);
int	nr_writer_cursor(struct nr_writer *w, MDB_cursor **out,
	    enum nr_table t);
int	nr_writer_flush_log(struct nr_writer *w);
int	nr_writer_rotate(struct nr_writer *w);
int	nr_writer_put_head(struct nr_writer *w);
int	nr_writer_put_segments(struct nr_writer *w);

/* Add a line to what is pending; says where it will be. */
int	nr_writer_append(struct nr_writer *w, struct nr_place *at,
	    struct nr_view line);

/* Count bytes and lines of a segment, live or not. */
int	nr_writer_count(struct nr_writer *w, uint32_t segment,
	    int64_t bytes, int64_t lines);
int	nr_writer_count_live(struct nr_writer *w, uint32_t segment,
	    int64_t bytes, int64_t lines);
int	nr_writer_segment_put(struct nr_writer *w, uint32_t segment,
	    const struct nr_segrec *rec);
int	nr_writer_first(struct nr_writer *w, uint32_t segment,
	    uint64_t number);

/* ---- put.c ------------------------------------------------------------ */

/*
 * Do a transaction's work, again with a larger map where necessary.
 * *changed (1 before) says whether to commit.
 */
typedef int	nr_work(struct nr_writer *w, void *ctx, int *changed);
int	nr_transact(struct nr_store *st, nr_work *work, void *ctx, int grows);

/* ---- merge.c ------------------------------------------------------------ */

/* Forget the merge that is under way in this process. */
void	nr_merge_abandon(struct nr_store *st);

/* Is there anything to merge? */
int	nr_merge_waits(struct nr_store *st, int *yes);

/*
 * Before n events are put: merge for a while, if far too many wait.  Where
 * that fails, and has before, no more may come.
 */
int	nr_merge_overdue(struct nr_store *st, size_t n);

/* ---- tail.c, deaths.c, bulk.c ----------------------------------------- */

int	nr_tail_take(struct nr_store *st);

/* Keep bytes that are no whole line in a file of their own, and cut. */
int	nr_tail_set_aside(struct nr_store *st, uint32_t segment,
	    uint64_t offset);

/* Move *offset behind the next LF, or to the end where there is none. */
int	nr_tail_line_end(int fd, uint64_t *offset, int *found);

/* lenient: a segment may be missing, since an operator wants it so. */
int	nr_rebuild(struct nr_store *st, int lenient);

#define NR_ADDRESS_LEN	(2 + 32 + 16)	/* kind, key, hash of d */

/* A line of deaths.jsonl. */
struct nr_death {
	enum { NR_DEATH_ID, NR_DEATH_ADDRESS, NR_DEATH_VANISH } type;
	unsigned char	id[32];
	unsigned char	who[32];	/* zeros: the operator */
	unsigned char	address[NR_ADDRESS_LEN];
	int64_t		until;		/* created_at of the last one */
};

/* Add it as a line. */
int	nr_death_write(struct nr_buf *b, const struct nr_death *d);

/* Write w->deaths to the file, durably; they count when w commits. */
int	nr_deaths_append(struct nr_writer *w);

/*
 * The commit failed: take what was written back, so that the next one need
 * not find room for all of it at once.
 */
void	nr_deaths_undo(struct nr_store *st, uint64_t at);

/* Do what the file has beyond what the index knows. */
int	nr_deaths_take(struct nr_writer *w);

/* All of the file, for a rebuild; free it also after a failure. */
struct nr_deaths {
	struct nr_death	*id;		/* sorted by it */
	size_t		 nids;
	struct nr_death	*address;
	size_t		 naddresses;
	struct nr_death	*vanish;
	size_t		 nvanish;
	struct nr_vanish *vanished;	/* the same, sorted, each key once */
	size_t		 nvanished;
};
int	nr_deaths_load(struct nr_store *st, struct nr_deaths *d,
	    uint64_t *bytes);
void	nr_deaths_of_id(const struct nr_deaths *d,
	    const struct nr_death **first, size_t *n,
	    const unsigned char id[32]);
void	nr_deaths_free(struct nr_deaths *d);

/* ---- vanish.c: NIP-62 ------------------------------------------------------ */

#define NR_VANISH_LEN	33
enum nr_vanish_state { NR_VANISHING, NR_VANISHED };

/* Who has vanished, and up to which time. */
struct nr_vanish {
	unsigned char	pubkey[32];
	int64_t		until;
};

/* Is the event of one who has vanished, or a gift wrap to him? */
int	nr_vanish_find(MDB_cursor *vanish, int *gone,
	    const struct nr_event *ev);
int	nr_vanish_among(const struct nr_vanish *v, size_t n,
	    const struct nr_event *ev);	/* sorted by key */

/* Sort, and keep the latest of each key. */
void	nr_vanish_sort(struct nr_vanish *v, size_t *n);

/* All who are vanishing, sorted; *out is the caller's to free(). */
int	nr_vanish_list(struct nr_vanish **out, size_t *n, MDB_txn *txn,
	    MDB_dbi dbi);

/* Remember that somebody has; sweep: there may be events of his. */
int	nr_vanish_mark(struct nr_writer *w, const unsigned char pubkey[32],
	    int64_t until, int sweep);

/* ---- rules.c: what an event does to the others ------------------------ */

/*
 * Decide about an event and, where it is stored, do all that follows from
 * it.  at is where its line is already, or NULL: then it is appended.
 * now < 0 leaves the clock out of it.
 */
int	nr_rules_apply(struct nr_writer *w, struct nr_item *item,
	    const struct nr_place *at, unsigned flags, int64_t now);

/* Remove a live event from every table. */
int	nr_rules_kill(struct nr_writer *w, uint64_t number);

/*
 * The same, for good: the versions that it replaced stay dead, too, where
 * they would come back once its line is gone.
 */
int	nr_rules_end(struct nr_writer *w, uint64_t number);

/* Do and remember what a line of deaths.jsonl says. */
int	nr_rules_death(struct nr_writer *w, const struct nr_death *d);

/* Is that what becomes of an event that a rebuild comes to? */
int	nr_rules_doomed(const struct nr_deaths *d, const struct nr_event *ev);

/* Only remember it: the event itself has been seen to. */
int	nr_rules_remember(struct nr_writer *w, const struct nr_death *d);

/*
 * Visit the lines that deaths.jsonl must have before ev's line, which is
 * dead, may be dropped: what it deleted, and up to when its address is.
 */
typedef int	nr_each_death(void *ctx, const struct nr_death *d);
int	nr_rules_legacy(struct nr_snap *sn, const struct nr_event *ev,
	    nr_each_death *each, void *ctx);

/* Where a live event is, and its line. */
int	nr_writer_line(struct nr_writer *w, struct nr_place *at,
	    struct nr_view *line, uint64_t number);
int	nr_writer_find_id(struct nr_writer *w, uint64_t *number,
	    struct nr_place *at, struct nr_view *line,
	    const unsigned char id[32]);

/* Find by id; *number is UINT64_MAX where there is none. */
int	nr_find_id(MDB_cursor *ids, MDB_cursor *events, struct nr_maps *maps,
	    uint64_t *number, struct nr_place *at, struct nr_view *line,
	    const unsigned char id[32]);

/*
 * Is it deleted by id, by address up to its time, or has it vanished?  One
 * that expires leaves its own time at its address.
 */
#define NR_GONE			1
#define NR_GONE_OR_EXPIRED	2
int	nr_find_gone(MDB_cursor *gone_id, MDB_cursor *gone_addr,
	    MDB_cursor *vanish, struct nr_sha256 *sha, int *gone,
	    const struct nr_event *ev);

/* ---- compact.c ---------------------------------------------------------- */

/*
 * Finish what a killed compaction left: places half moved over, files that
 * nobody reads any more.  Under the lock COMPACT, or alone.
 */
int	nr_compact_resume(struct nr_store *st);

/* Only remove the files that nobody reads any more. */
int	nr_compact_tidy(struct nr_store *st);

int	nr_compact_lock(struct nr_store *st);
void	nr_compact_unlock(struct nr_store *st);

/* ---- tail.c, bulk.c ------------------------------------------------------- */

/* Split text into lines and check each as an event of the log. */
int	nr_log_line_valid(struct nr_verifier *v, struct nr_item *item,
	    struct nr_view line);

/* A growing set of numbers. */
struct nr_bitmap {
	unsigned char	*bits;
	uint64_t	 n;
};
int	nr_bitmap_set(struct nr_bitmap *b, uint64_t i);
int	nr_bitmap_has(const struct nr_bitmap *b, uint64_t i);

#endif
