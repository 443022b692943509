/*
 * idset.h - which ids have been here, in bounded memory.
 *
 * A set remembers at least the max/2 ids that were added last, and forgets
 * those before by halves.  Ids are told apart by their first 16 bytes: what
 * is a hash cannot be made to share them.
 */
#ifndef NR_UTIL_IDSET_H
#define NR_UTIL_IDSET_H

#include <stddef.h>

struct nr_idset;

/*
 * max	    ids that are remembered at most; 16 to 48 bytes each, as they come
 * Returns  0 or ENOMEM.
 */
int	nr_idset_new(struct nr_idset **out, size_t max);
void	nr_idset_free(struct nr_idset *s);	/* NULL is allowed */

int	nr_idset_has(const struct nr_idset *s, const unsigned char id[32]);

/* Returns 0 or ENOMEM; *added says whether it was not there. */
int	nr_idset_add(struct nr_idset *s, const unsigned char id[32],
	    int *added);

#endif
