/*
 * set.h - what is reconciled: records in order.
 *
 * A record is a time and an id; records are ordered by time, then by id.
 * Their ranks count from 0.  A set may be an array, or an index that
 * answers by what it has summed up.  It does not change while a message is
 * handled; between messages it may.
 */
#ifndef NR_NEGENTROPY_SET_H
#define NR_NEGENTROPY_SET_H

#include <stddef.h>
#include <stdint.h>

#include "util/sum.h"

/* The end of all times: no record has it. */
#define NR_NEG_INFINITY	UINT64_MAX

struct nr_neg_item {
	uint64_t	time;
	unsigned char	id[32];
};

/* Below 0, 0 or above, as the order has them. */
int	nr_neg_item_cmp(const struct nr_neg_item *a,
	    const struct nr_neg_item *b);

/* Called for each record; anything but 0 ends that and is returned. */
typedef int	nr_neg_each(void *arg, const struct nr_neg_item *item);

struct nr_neg_set {
	void		*ctx;
	uint64_t	 size;
	/* Of the ranks from lo to hi, the first that is not below item. */
	int	(*find)(void *ctx, uint64_t *rank, uint64_t lo, uint64_t hi,
		    const struct nr_neg_item *item);
	/* The sum of the ids from rank lo to hi - 1. */
	int	(*sum)(void *ctx, struct nr_sum *out, uint64_t lo,
		    uint64_t hi);
	int	(*items)(void *ctx, uint64_t lo, uint64_t hi,
		    nr_neg_each *each, void *arg);
};

/* ---- an array ------------------------------------------------------------ */

struct nr_neg_array {
	struct nr_neg_item	*item;
	size_t			 n, cap;
	struct nr_sum		*sums;		/* of those before a block */
	struct nr_neg_set	 set;		/* once it is sealed */
};

/* Start from {0}.  Returns 0 or ENOMEM. */
int	nr_neg_array_add(struct nr_neg_array *a, uint64_t time,
	    const unsigned char id[32]);

/*
 * All have been added, in any order, but the fewer are out of order the
 * better; a record that came twice is there once.  No more can come.
 */
int	nr_neg_array_seal(struct nr_neg_array *a);

void	nr_neg_array_free(struct nr_neg_array *a);

/* Bytes that an array of n records needs. */
size_t	nr_neg_array_bytes(size_t n);

#endif
