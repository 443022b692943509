/*
 * side.h - our side of a reconciliation: a store, or a list of records.
 *
 * Records are selected by a filter; then a set is there to reconcile with.
 * That of a store may be answered by what the store has summed up, which
 * needs a snapshot: so a set is used only between nr_side_begin() and
 * nr_side_end(), which must be short, and may have changed from one time to
 * the next.
 */
#ifndef NR_SYNC_SIDE_H
#define NR_SYNC_SIDE_H

#include "filter/filter.h"
#include "negentropy/set.h"
#include "store/store.h"

struct nr_side;

/* A store: all that is in it, and has not expired. */
int	nr_side_store(struct nr_side **out, struct nr_store *st);

/* Records in any order, which are taken over. */
int	nr_side_list(struct nr_side **out, struct nr_neg_array *records);

void	nr_side_free(struct nr_side *s);		/* NULL is allowed */

/*
 * Have what matches f from now on; of a list only its times count, for
 * whoever made the list has seen to the rest.  f is borrowed.
 * now	    Unix time; what has expired by then is left out
 */
int	nr_side_select(struct nr_side *s, const struct nr_filter *f,
	    int64_t now);

/* Is it among the records that a list has selected?  0 of a store. */
int	nr_side_lists(const struct nr_side *s, uint64_t time,
	    const unsigned char id[32]);

/* The set is borrowed until nr_side_end(). */
int	nr_side_begin(struct nr_side *s, const struct nr_neg_set **set);
void	nr_side_end(struct nr_side *s);

#endif
