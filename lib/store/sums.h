/*
 * sums.h - counts and sums over ranges of the time index.  Internal to
 * lib/store; ranks.h is how they are read.
 *
 * NR_T_SUM divides all times and ids, in negentropy's order, into chunks:
 * each goes from its key up to the next one's, the first from zero.  It
 * counts the entries that NR_T_TIME has there, at most NR_CHUNK_MAX; and
 * has the number and sum of the ids of those that are members: their event
 * is plain, and alive, which is to say that NR_T_DEAD has no record of it.
 *
 * Chunks change in the transaction that changes what they count: where a
 * merge or the end of a bulk build puts or removes an entry, and where an
 * event dies that has one.  What waits to be merged is in none.
 */
#ifndef NR_STORE_SUMS_H
#define NR_STORE_SUMS_H

#include <lmdb.h>

#include "store/format.h"
#include "store/ranks.h"
#include "util/sum.h"

struct nr_writer;

#define NR_CHUNK_MAX	512

struct nr_chunk {
	struct nr_rank_item from;	/* the first that may be in it */
	uint32_t	entries;
	uint32_t	members;
	struct nr_sum	sum;		/* of the members' ids */
};

/* The chunk that a writer has at hand. */
struct nr_sums {
	int		have, dirty;
	int		last;		/* it has no end, or */
	struct nr_rank_item to;		/* the next one's beginning */
	struct nr_chunk	c;
};

/* An entry of NR_T_TIME. */
struct nr_timed {
	struct nr_rank_item item;
	uint64_t	number;
	unsigned	kind;
	int		plain;
};

/* Take a chunk apart; 0 where it is none. */
int	nr_chunk_get(struct nr_chunk *out, const MDB_val *k,
	    const MDB_val *v);

/* Likewise an entry of NR_T_TIME. */
int	nr_timed_get(struct nr_timed *out, const MDB_val *k,
	    const MDB_val *v);

/*
 * In the index ids descend within a time: turn them around.  An element
 * begins with a struct nr_rank_item, and has at most the size of a struct
 * nr_timed.
 */
void	nr_ties_turn(void *array, size_t n, size_t size);

/*
 * Read the entries from an item up to another (NULL: to the end), in
 * order.
 * Returns  0; NR_ECORRUPT, also where there are more than max; or LMDB's.
 */
int	nr_timed_read(MDB_cursor *time, struct nr_timed *out, size_t *n,
	    size_t max, const struct nr_rank_item *from,
	    const struct nr_rank_item *to);

/* Has the event died that an entry in the index is of? */
int	nr_timed_dead(MDB_cursor *dead, int *yes, uint64_t number);

/*
 * An entry of NR_T_TIME has just been put.
 * fresh    there was none with its key; else it was that of a dead event
 */
int	nr_sums_put(struct nr_writer *w, const struct nr_key *key, int fresh);

/* One has been removed, whose event is dead. */
int	nr_sums_removed(struct nr_writer *w, const struct nr_key *key);

/* An event is about to die; call this before it is in NR_T_DEAD. */
int	nr_sums_kill(struct nr_writer *w, const struct nr_event *ev,
	    uint64_t number);

/* Write the chunk at hand; before each commit. */
int	nr_sums_flush(struct nr_writer *w);

#endif
