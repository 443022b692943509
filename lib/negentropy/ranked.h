/*
 * ranked.h - a whole store as a set, or what it has of a time: answered by
 * what the store has summed up, without reading it.
 */
#ifndef NR_NEGENTROPY_RANKED_H
#define NR_NEGENTROPY_RANKED_H

#include "filter/filter.h"
#include "negentropy/set.h"
#include "store/ranks.h"

struct nr_neg_ranked {
	struct nr_ranks		*ranks;
	uint64_t		 lo;	/* rank of the first */
	struct nr_neg_set	 set;
};

/* Does the filter ask for everything, or everything of a time? */
int	nr_neg_is_range(const struct nr_filter *f);

/* Is the event of a time that the filter asks for? */
int	nr_neg_in_range(const struct nr_filter *f, int64_t created_at);

/*
 * A set of such a filter, for as long as ranks are of this snapshot.
 * ranks    after nr_ranks_renew()
 * Returns  0, or what the store says.
 */
int	nr_neg_ranked_init(struct nr_neg_ranked *r, struct nr_ranks *ranks,
	    const struct nr_filter *f);

/* Items of an array as ranks.h has them. */
const struct nr_rank_item *nr_neg_rank_items(const struct nr_neg_array *a);

#endif
