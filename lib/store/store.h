/*
 * store.h - the event store: a log of JSONL segments and its LMDB index.
 *
 * The log is the truth and the index is how it is found; nr-store(5) has
 * the layout on disk.  Several processes may use one store at a time; one
 * of them writes at any moment.
 *
 * Conventions for every function here
 *   Return    0, or a code for nr_strerror(): > 0 is errno, < 0 is NR_E*.
 *             Absence is not an error: lookups say "none" through an
 *             output and still return 0.
 *   Order     handle, outputs, inputs.  No pointer may be NULL unless
 *             stated.
 *   Outputs   Untouched on failure, except where stated.
 *   Units     created_at is Unix seconds, sizes are bytes, timeouts are
 *             milliseconds.  Ids and keys are 32 raw bytes, never hex.
 *   Threads   A store may be shared; a snapshot or query belongs to one
 *             thread at a time.  Open a store after the last fork that
 *             does not exec, once per process, and close it there.
 */
#ifndef NR_STORE_STORE_H
#define NR_STORE_STORE_H

#include <stddef.h>
#include <stdint.h>

#include "event/event.h"
#include "util/buf.h"
#include "util/view.h"

struct nr_store;		/* an open log and index */
struct nr_snap;			/* a read snapshot */

/* Called now and then during long work; total is 0 where not known. */
struct nr_progress {
	void	(*step)(void *ctx, const char *what, uint64_t done,
		    uint64_t total);
	void	*ctx;
};

/* Flags of nr_store_options. */
#define NR_STORE_CREATE		1u	/* make one where there is none */
#define NR_STORE_FORCE		2u	/* on whatever file system */
#define NR_STORE_REINDEX	4u	/* rebuild the index in any case */

struct nr_store_options {
	unsigned		 flags;
	size_t			 segment_bytes;	/* 0: 256 MiB */
	int			 timeout;	/* for locks, 0: 10 s */
	const char		*program;	/* shown to those who wait */
	const struct nr_progress *progress;	/* may be NULL */
};

/*
 * Open the store in dir and bring its index up to the log's end; rebuild
 * the index where it cannot be trusted (see nr-store(5)).
 *
 * Returns   0; NR_EVERSION; NR_ECORRUPT; NR_EBUSY (nr_store_holder() says
 *           by whom); NR_EREMOTE; NR_EGONE: the index has been removed
 *           while others use it; or errno: ENOENT without
 *           NR_STORE_CREATE, ENOSPC, EROFS.
 */
int	nr_store_open(struct nr_store **out, const char *dir,
	    const struct nr_store_options *o);

/* Report long work to somebody else from now on; p may be NULL. */
void	nr_store_set_progress(struct nr_store *st,
	    const struct nr_progress *p);

/* Sync what is not yet, mark the index clean if nobody else is here. */
void	nr_store_close(struct nr_store *st);	/* NULL is allowed */

/*
 * Close it; and remove it, if this process has made it, nothing was ever
 * stored and nobody else is here.
 */
void	nr_store_unmake(struct nr_store *st);

/*
 * Who held the lock that made a call return NR_EBUSY, such as
 * "nr-import 123"; "" where it is not known.
 */
void	nr_store_holder(const char *dir, char *out, size_t size);

/* ---- Writing -------------------------------------------------------- */

/* What became of an event that was put. */
enum nr_put {
	NR_PUT_STORED,
	NR_PUT_DUPLICATE,	/* it was there already */
	NR_PUT_SUPERSEDED,	/* a newer version is there */
	NR_PUT_DELETED,		/* its deletion is there, or its author gone */
	NR_PUT_EXPIRED,
	NR_PUT_EPHEMERAL,	/* never stored */
	NR_PUT_NRESULTS
};

struct nr_item {
	struct nr_view	 line;	/* in: normal, no LF */
	struct nr_event	 ev;	/* in: a view of it */
	int		 vanish; /* in: a request to vanish, to be acted upon */
	enum nr_put	 result;
	uint64_t	 number;	/* out, where stored */
};

#define NR_PUT_QUIET	1u	/* not for live subscribers */

/*
 * Store a batch in one transaction, each item by the rules of NIP-01, 09
 * and 40 as of the Unix time now, in order.  When this returns 0 they are
 * on the disk and visible to every process.
 *
 * Items are trusted: verify them before.  An item with vanish set makes
 * all that its author wrote up to its created_at, and gift wraps to him of
 * that time, invisible at once (NIP-62); see nr_store_vanish().
 *
 * Returns   0; or nothing is stored (for all that can be known) and the
 *           code says why: NR_EBUSY, NR_EFULL, NR_EGONE, NR_ESYNC (this
 *           process cannot write any more), NR_EINDEX, errno.
 * Cost      one fdatasync; 10 to 60 microseconds an event.
 */
int	nr_store_put(struct nr_store *st, struct nr_item *items, size_t n,
	    unsigned flags, int64_t now);

/*
 * Fill an empty store fast: the index is built by sorting, in bounded
 * memory, when all is there.  Nobody else can open the store meanwhile.
 *
 * nr_bulk_begin    NR_EBUSY where the store is not empty or not alone
 * nr_bulk_put	    as nr_store_put(); durable at nr_bulk_end() only
 * nr_bulk_wanted   somebody is waiting to open the store
 * nr_bulk_end	    finish; then nr_store_put() goes on as usual
 */
int	nr_bulk_begin(struct nr_store *st);
int	nr_bulk_put(struct nr_store *st, struct nr_item *items, size_t n,
	    unsigned flags, int64_t now);
int	nr_bulk_wanted(struct nr_store *st);
int	nr_bulk_end(struct nr_store *st);

/*
 * Delete events by their numbers, on the operator's word: they will not
 * come back, nor after a rebuild.  In one transaction, where the disk has
 * room for that; after a failure some may be gone.
 * ndeleted  how many were there
 */
int	nr_store_delete(struct nr_store *st, size_t *ndeleted,
	    const uint64_t *numbers, size_t n);

/*
 * Remove from the index what requests to vanish have made invisible, some
 * of it in each transaction.  Returns at once where there is nothing.
 * stop     asked between two of them; may be NULL
 * Returns  0, also when stopped; or as nr_store_put().
 */
int	nr_store_vanish(struct nr_store *st, int (*stop)(void *ctx),
	    void *ctx);

/*
 * Housekeeping: remove at most max expired events from the index, clear
 * stale readers, mark the index clean after a quiet time.  For a
 * long-running process to call every second or so.
 * nswept    how many were removed; may be NULL
 */
int	nr_store_tend(struct nr_store *st, size_t *nswept, size_t max,
	    int64_t now);

/*
 * Merge the newest events' entries into the index.  For writers to call
 * after each batch; nr_store_put() does so itself only where it is
 * overdue.
 * ms       0: one step of some 10 ms, if enough of them wait, more if too
 *	    many; else what waits, for about that time; -1: all of it
 * Returns  0, also where another process is at it; NR_EBUSY: it is, and
 *	    falls behind: put more slowly; or as nr_store_put().
 */
int	nr_store_settle(struct nr_store *st, int ms);

/* What compacting a segment did, or would do. */
struct nr_compacted {
	uint32_t	segment;
	uint64_t	before, after;	/* bytes */
	uint64_t	lines;		/* that were dropped */
	uint64_t	scrubbed;	/* or only overwritten: then no more */
};

struct nr_compaction {
	unsigned	 min_dead;	/* percent of a segment's bytes, */
#define NR_COMPACT_NONE	101u		/* or this */
	uint64_t	 min_bytes;	/* dead ones, for the last segment */
	const uint32_t	*segments;	/* only these; NULL: all */
	size_t		 nsegments;
	int		 scrub;		/* overwrite what is not dropped */
	int		 dry_run;
	uint64_t	 rate;		/* bytes read a second; 0: any */
	int		(*stop)(void *ctx);	/* asked often; may be NULL */
	void		(*report)(void *ctx, const struct nr_compacted *c);
	void		*ctx;
	int		 stopped;	/* out: stop() said so */
};

/*
 * Rewrite segments without their dead lines, those with the greatest share
 * of them first, while others read and write.  Numbers stay; a rebuild
 * comes to the same events, and what was refused stays refused.  Lines of
 * events that expired less than a day ago are kept.  The last segment is
 * sealed first, where it is to be compacted.
 *
 * To scrub, lines of events that have been deleted, by their author, by
 * the operator or by a request to vanish, are overwritten with spaces in
 * the segments that were not rewritten, where anything has been deleted
 * since the last time.
 *
 * Needs space for one segment's live lines.  Killed at any moment it
 * leaves a whole store; what was half done is finished by the next call.
 *
 * Returns  0; ENOSPC (also where some segments were done); NR_EBUSY:
 *	    another one goes on; or as nr_store_put().
 */
int	nr_store_compact(struct nr_store *st, struct nr_compaction *c);

/*
 * When the first event was deleted that has not been scrubbed yet, in Unix
 * time; 0 where there is none.
 */
int	nr_store_scrub_since(struct nr_store *st, int64_t *since);

/* ---- Reading -------------------------------------------------------- */

/*
 * A snapshot sees the store as of nr_snap_renew().  It must be released
 * before anything that can block (a call that writes, by the same thread,
 * is one), and within a second; what it lent is then no longer valid.  New
 * ones are released.
 *
 * One that is held for longer than a compaction waits for it meets
 * NR_ESTALE, where it looks at a segment for the first time that has been
 * replaced since: renew it and go on.  Queries pause instead.
 */
int	nr_snap_new(struct nr_snap **out, struct nr_store *st);
void	nr_snap_free(struct nr_snap *sn);	/* NULL is allowed */
int	nr_snap_renew(struct nr_snap *sn);
void	nr_snap_release(struct nr_snap *sn);

/* The number that the next event will get. */
uint64_t nr_snap_next_number(const struct nr_snap *sn);

/* A stored event.  line is borrowed from the log until the release. */
struct nr_hit {
	uint64_t	 number;
	struct nr_view	 line;
	unsigned	 flags;		/* NR_HIT_* */
};

#define NR_HIT_EXPIRES	1u	/* has an expiration, perhaps passed */
#define NR_HIT_QUIET	2u	/* was stored with NR_PUT_QUIET */

/*
 * Find one event by id, expired or not; line is {NULL, 0} where there is
 * none.
 */
int	nr_snap_get(struct nr_snap *sn, struct nr_hit *hit,
	    const unsigned char id[32]);

/*
 * Is an event deleted, as far as the store knows?  For answers before
 * anything is verified.  deleted is not 0 where it is.
 */
int	nr_snap_is_deleted(struct nr_snap *sn, int *deleted,
	    const struct nr_event *ev);

/*
 * The first live event whose number is at least *number, expired ones
 * left out as of now; line is {NULL, 0} at the end.
 */
int	nr_snap_at(struct nr_snap *sn, struct nr_hit *hit, uint64_t number,
	    int64_t now);

/*
 * Visit the live events that have an expiration after now, in its order;
 * some at a time.
 * at	    where to go on; start from {0}; at->done is set at the end
 */
struct nr_expiring {
	unsigned char	key[13];
	int		begun, done;
};
int	nr_snap_expiring(struct nr_snap *sn, struct nr_expiring *at,
	    size_t max, int64_t now,
	    int (*each)(void *ctx, const struct nr_hit *hit), void *ctx);

/* A place in the order of arrival. */
struct nr_cursor {
	uint64_t	epoch;		/* numbers are of this epoch */
	uint64_t	number;		/* the next to be read */
	uint32_t	segment;	/* where that one is */
};

/*
 * Turn a cursor into a number: its own, or in another epoch that of its
 * segment's first event, so that nothing is left out.
 */
int	nr_snap_cursor_number(struct nr_snap *sn, uint64_t *number,
	    const struct nr_cursor *c);
/* A cursor for the event with this number, or for the end. */
int	nr_snap_cursor(struct nr_snap *sn, struct nr_cursor *c,
	    uint64_t number);

/*
 * A descriptor that polls readable when another process has stored
 * something; nr_store_bell_read() makes it quiet again.  A poll every
 * second must back it up.
 */
int	nr_store_bell_fd(struct nr_store *st, int *fd);
void	nr_store_bell_read(int fd);

/* ---- Reports -------------------------------------------------------- */

#define NR_STORE_NTABLES	16

struct nr_store_stat {
	uint64_t	epoch;
	uint64_t	next_number;
	uint64_t	events;		/* live ones, expired included */
	uint64_t	log_bytes, dead_bytes, log_lines;
	uint64_t	index_bytes;	/* of the file */
	uint64_t	index_free;	/* of these, in free pages */
	uint64_t	waiting;	/* events to be merged into it */
	uint64_t	segments;
	unsigned	readers;
	struct {
		const char	*name;
		uint64_t	 entries, bytes;
	} table[NR_STORE_NTABLES];
};

int	nr_snap_stat(struct nr_snap *sn, struct nr_store_stat *out);

struct nr_segment_stat {
	uint32_t	number;
	uint32_t	gen;	/* how often it has been compacted */
	uint64_t	bytes, live_bytes, lines, live_lines;
};

/* The segments in order; *out is the caller's to free(). */
int	nr_snap_segments(struct nr_snap *sn, struct nr_segment_stat **out,
	    size_t *n);

/* Live events of one kind, expired included. */
int	nr_snap_kinds(struct nr_snap *sn,
	    int (*each)(void *ctx, unsigned kind, uint64_t events),
	    void *ctx);

/* How many different authors the live events have. */
int	nr_snap_authors(struct nr_snap *sn, uint64_t *out);

/*
 * The store's directory, for as long as it is open: for what those who
 * share it want to leave there for each other.
 */
int	nr_store_dirfd(const struct nr_store *st);

/*
 * Check that log and index agree, and that what is live ought to be.
 * full also checks every signature.  Each finding is reported as a line
 * of text.
 */
struct nr_check {
	int		 full;
	void		(*report)(void *ctx, const char *text);
	void		*ctx;
	const struct nr_progress *progress;	/* may be NULL */
	uint64_t	 lines, live, findings;	/* out */
};

int	nr_store_check(struct nr_store *st, struct nr_check *c);

#endif
