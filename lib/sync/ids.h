/*
 * ids.h - a queue of ids, and a memory of those seen last.  Internal to
 * lib/sync.
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

/* The last so many; those with the same place in the table replace others. */
#define NR_RECENT	65536
struct nr_recent {
	unsigned char	id[NR_RECENT][32];
};
void	nr_recent_add(struct nr_recent *r, const unsigned char id[32]);
int	nr_recent_has(const struct nr_recent *r, const unsigned char id[32]);

#endif
