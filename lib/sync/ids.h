/*
 * ids.h - a queue of ids.  Internal to lib/sync.
 */
#ifndef NR_SYNC_IDS_H
#define NR_SYNC_IDS_H

#include <stddef.h>

#include "util/buf.h"

/* First in, first out; from {0}. */
struct nr_ids {
	struct nr_buf	b;
	size_t		at;	/* bytes that are gone */
};

static inline size_t
nr_ids_count(const struct nr_ids *q)
{
	return (q->b.len - q->at) / 32;
}

int	nr_ids_push(struct nr_ids *q, const unsigned char id[32]);
/* The first; borrowed until the next push. */
const unsigned char *nr_ids_first(const struct nr_ids *q);
void	nr_ids_pop(struct nr_ids *q, size_t n);
void	nr_ids_clear(struct nr_ids *q);

#endif
