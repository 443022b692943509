/*
 * young.h - the newest events' index entries, in memory.  Internal to
 * lib/store.
 *
 * A B-tree on disk wants its entries many at a time: putting those of a
 * hundred events into a large index writes a thousand pages.  So events
 * are stored with what verdicts need (their places, ids, addresses), and
 * their other entries wait.  Every process that queries keeps them in
 * memory, as sorted runs that it makes from the log; a writer merges some
 * thousands of events at a time into the index (merge.c).
 *
 * Events with numbers below nr_head.merged are in the index; a set covers
 * those from there on.  Sets never change and are shared by reference.
 */
#ifndef NR_STORE_YOUNG_H
#define NR_STORE_YOUNG_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "store/internal.h"

struct nr_snap;

/* Entries of the events from first to end - 1, sorted. */
struct nr_run {
	atomic_uint	 refs;
	uint64_t	 first, end;
	uint32_t	 n;
	uint32_t	*at;		/* of each record in bytes */
	unsigned char	*bytes;
	uint64_t	*bloom;		/* which prefixes there are */
	size_t		 nbloom;	/* words, a power of two */
};

struct nr_young {
	atomic_uint	 refs;
	uint64_t	 from, to;	/* numbers covered, or more below */
	size_t		 nruns;
	struct nr_run	*run[];
};

/* What is behind a table's prefix in a run. */
struct nr_span {
	const struct nr_run	*run;
	uint32_t		 lo, hi;	/* records from lo to hi - 1 */
};

/*
 * The set that covers a snapshot's events that are not in the index; made
 * up to date from the log where necessary.
 */
int	nr_young_pin(struct nr_young **out, struct nr_snap *sn);
void	nr_young_unpin(struct nr_young *y);	/* NULL is allowed */

/* Does anybody in this process query, so that entries are worth keeping? */
int	nr_young_wanted(struct nr_store *st);

/*
 * A writer of this process has committed the events from first on, whose
 * entries are in the sorter; head is the index's new state.
 */
void	nr_young_add(struct nr_store *st, struct nr_sorter *entries,
	    uint64_t first, const struct nr_head *head);

/* Records between two keys, the second one exclusive. */
struct nr_span nr_run_span(const struct nr_run *r, enum nr_table t,
	    const unsigned char *from, size_t fromlen,
	    const unsigned char *to, size_t tolen);

/* Record i's key and value, borrowed from the run. */
void	nr_run_record(const struct nr_run *r, uint32_t i,
	    const unsigned char **k, size_t *klen, const unsigned char **v,
	    size_t *vlen);

/* May the run have entries with this prefix? */
int	nr_run_may_have(const struct nr_run *r, enum nr_table t,
	    const unsigned char *prefix, size_t n);

#endif
