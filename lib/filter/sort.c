/*
 * Orders for keys, kinds and texts.
 */
#include "filter/sort.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "util/view.h"

int
nr_key_cmp(const void *a, const void *b)
{
	return memcmp(a, b, 32);
}

int
nr_kind_cmp(const void *a, const void *b)
{
	uint16_t x, y;

	memcpy(&x, a, sizeof(x));
	memcpy(&y, b, sizeof(y));
	return (x > y) - (x < y);
}

int
nr_view_cmp(const void *a, const void *b)
{
	const struct nr_view *x = a, *y = b;

	if (x->len != y->len)
		return x->len < y->len ? -1 : 1;
	return memcmp(x->p, y->p, x->len);
}

size_t
nr_sort_unique(void *p, size_t n, size_t size,
    int (*cmp)(const void *, const void *))
{
	char *at = p;
	size_t i, kept = 1;

	if (n < 2)
		return n;
	qsort(p, n, size, cmp);
	for (i = 1; i < n; i++)
		if (cmp(at + i * size, at + (kept - 1) * size) != 0)
			memmove(at + kept++ * size, at + i * size, size);
	return kept;
}
