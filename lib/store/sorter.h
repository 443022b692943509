/*
 * sorter.h - index entries, collected in any order and read back sorted by
 * table and key.  Internal to lib/store.
 *
 * A batch's entries are sorted in memory.  Building a whole index collects
 * more than memory holds: then sorted runs are kept, first in memory, then
 * in a temporary file, and merged.
 */
#ifndef NR_STORE_SORTER_H
#define NR_STORE_SORTER_H

#include <stddef.h>
#include <stdint.h>

#include "store/format.h"

enum nr_op {
	NR_OP_PUT,
	NR_OP_DEL
};

struct nr_sorter;

/*
 * dirfd  where the temporary file goes
 * limit  bytes to hold in memory before the file is used; 0: no limit,
 *	  and no runs either
 */
int	nr_sorter_new(struct nr_sorter **out, int dirfd, size_t limit);
void	nr_sorter_free(struct nr_sorter *s);	/* NULL is allowed */

/* Forget everything. */
void	nr_sorter_clear(struct nr_sorter *s);

/* Returns 0 or errno. */
int	nr_sorter_add(struct nr_sorter *s, enum nr_table t, enum nr_op op,
	    const struct nr_key *key);

uint64_t nr_sorter_count(const struct nr_sorter *s);

/*
 * Visit everything in order: by table, then key, then operation.  Stops
 * where visit returns other than 0, and returns that, or errno.
 */
typedef int	nr_visit(void *ctx, enum nr_table t, enum nr_op op,
		    const struct nr_key *key);
int	nr_sorter_walk(struct nr_sorter *s, nr_visit *visit, void *ctx);

/*
 * The same, one by one: begin, then next until *more is 0.  Nothing may be
 * added in between.
 */
int	nr_sorter_begin(struct nr_sorter *s);
int	nr_sorter_next(struct nr_sorter *s, int *more, enum nr_table *t,
	    enum nr_op *op, struct nr_key *key);

#endif
