/*
 * ranks.h - the events that everybody may see, in negentropy's order, by
 * rank: how many there are, where a bound is among them, the sum of the
 * ids in a range.  Internal details are in sums.h.
 *
 * The store keeps counts and sums of ranges of its time index for the
 * plain events: alive, without an expiration, and of no kind that is
 * confidential (nr_kind_confidential() in event/event.h).  What else an
 * asker may read, the caller finds and gives as "extra".
 *
 * The order is created_at, then id by its bytes, both ascending.  Every
 * event has a place in it: created_at is from 0 to 2^63-1.
 *
 * A set is of one snapshot and is used while that is held; counts and the
 * newest events stay in memory until a newer snapshot is looked at.  So
 * one for each thread serves many askers, one after the other.
 */
#ifndef NR_STORE_RANKS_H
#define NR_STORE_RANKS_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "util/sum.h"

struct nr_snap;
struct nr_ranks;

struct nr_rank_item {
	uint64_t	time;
	unsigned char	id[32];
};

static inline int
nr_rank_cmp(const struct nr_rank_item *a, const struct nr_rank_item *b)
{
	if (a->time != b->time)
		return a->time < b->time ? -1 : 1;
	return memcmp(a->id, b->id, 32);
}

int	nr_ranks_new(struct nr_ranks **out);
void	nr_ranks_free(struct nr_ranks *r);	/* NULL is allowed */

/*
 * Look at a snapshot, which must be held until the last use of what this
 * has made; nothing below may be called before this, or after the release.
 *
 * extra    further items, in order, each once and none of a plain event;
 *	    borrowed until the next call.  NULL where nextra is 0.
 * ready    0: a request to vanish is being carried out, and what it hides
 *	    is still in the sums: query instead.  Nothing else is set then.
 * Returns  0; NR_ESTALE: renew the snapshot and try again; NR_ECORRUPT;
 *	    ENOMEM.
 * Cost     where nothing has been committed since the last time, that of
 *	    walking over extra; else also of reading 100 bytes for each 400
 *	    events or so, and all that wait to be merged.
 */
int	nr_ranks_renew(struct nr_ranks *r, int *ready, struct nr_snap *sn,
	    const struct nr_rank_item *extra, size_t nextra);

/* How many there are; ranks go from 0 to below that. */
uint64_t nr_ranks_size(const struct nr_ranks *r);

/*
 * The rank of the first item that is not below bound, at least from and
 * at most to.
 * Cost     reads the chunk that bound is in, unless it was just read.
 */
int	nr_ranks_find(struct nr_ranks *r, uint64_t *rank,
	    const struct nr_rank_item *bound, uint64_t from, uint64_t to);

/*
 * The sum of the ids with ranks from lo to hi - 1, where hi is at most the
 * size.
 * Cost     as of nr_ranks_find(), for each end.
 */
int	nr_ranks_sum(struct nr_ranks *r, struct nr_sum *out, uint64_t lo,
	    uint64_t hi);

/*
 * Visit those items in order.  Stops where each returns other than 0, and
 * returns that.
 * Cost     reads the chunks that they are in.
 */
typedef int	nr_each_rank(void *ctx, const struct nr_rank_item *item);
int	nr_ranks_items(struct nr_ranks *r, uint64_t lo, uint64_t hi,
	    nr_each_rank *each, void *ctx);

/* What there is, and what has been read so far. */
struct nr_ranks_stat {
	uint64_t	chunks;		/* in the table of sums */
	uint64_t	waiting;	/* plain events not yet in them */
	uint64_t	tables;		/* times that all sums were read */
	uint64_t	loads;		/* chunks whose entries were read, */
	uint64_t	entries;	/* and how many that were */
};

void	nr_ranks_stat(const struct nr_ranks *r, struct nr_ranks_stat *out);

#endif
