/*
 * Ids that wait.
 */
#include "sync/ids.h"

#include <string.h>

#include "util/err.h"

int
nr_ids_push(struct nr_ids *q, const unsigned char id[32])
{
	/* Move to the front what is left, when that is little. */
	if (q->at > 4096 && q->at > q->b.len / 2) {
		memmove(q->b.p, q->b.p + q->at, q->b.len - q->at);
		q->b.len -= q->at;
		q->at = 0;
	}
	return nr_buf_add(&q->b, id, 32);
}

const unsigned char *
nr_ids_first(const struct nr_ids *q)
{
	return (const unsigned char *)q->b.p + q->at;
}

void
nr_ids_pop(struct nr_ids *q, size_t n)
{
	q->at += 32 * n;
	if (q->at == q->b.len)
		q->at = q->b.len = 0;
}

void
nr_ids_clear(struct nr_ids *q)
{
	nr_buf_free(&q->b);
	q->at = 0;
}
