/*
 * Records in an array.
 */
#include "negentropy/set.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "util/err.h"

#define BLOCK	64	/* records to a sum */

int
nr_neg_item_cmp(const struct nr_neg_item *a, const struct nr_neg_item *b)
{
	if (a->time != b->time)
		return a->time < b->time ? -1 : 1;
	return memcmp(a->id, b->id, 32);
}

static int
compare(const void *a, const void *b)
{
	return nr_neg_item_cmp(a, b);
}

int
nr_neg_array_add(struct nr_neg_array *a, uint64_t time,
    const unsigned char id[32])
{
	size_t cap = a->cap == 0 ? 64 : a->cap + a->cap / 2;
	struct nr_neg_item *p;

	if (a->n == a->cap) {
		if ((p = realloc(a->item, cap * sizeof(*p))) == NULL)
			return ENOMEM;
		a->item = p;
		a->cap = cap;
	}
	a->item[a->n].time = time;
	memcpy(a->item[a->n++].id, id, 32);
	return NR_OK;
}

/* Whoever reads a store has the times in order, and only ties are not. */
static int
times_ascend(const struct nr_neg_array *a)
{
	size_t i;

	for (i = 1; i < a->n; i++)
		if (a->item[i - 1].time > a->item[i].time)
			return 0;
	return 1;
}

static void
sort_ties(struct nr_neg_array *a)
{
	size_t i, from = 0;

	for (i = 1; i <= a->n; i++)
		if (i == a->n || a->item[i].time != a->item[from].time) {
			if (i - from > 1)
				qsort(a->item + from, i - from,
				    sizeof(a->item[0]), compare);
			from = i;
		}
}

static void
reverse(struct nr_neg_array *a)
{
	struct nr_neg_item t;
	size_t i;

	for (i = 0; i < a->n / 2; i++) {
		t = a->item[i];
		a->item[i] = a->item[a->n - 1 - i];
		a->item[a->n - 1 - i] = t;
	}
}

static void
sort(struct nr_neg_array *a)
{
	if (a->n > 1 && a->item[0].time > a->item[a->n - 1].time)
		reverse(a);
	if (times_ascend(a))
		sort_ties(a);
	else
		qsort(a->item, a->n, sizeof(a->item[0]), compare);
}

static void
drop_twins(struct nr_neg_array *a)
{
	size_t i, kept = 0;

	for (i = 0; i < a->n; i++)
		if (kept == 0 || nr_neg_item_cmp(&a->item[kept - 1],
		    &a->item[i]) != 0)
			a->item[kept++] = a->item[i];
	a->n = kept;
}

static int
array_find(void *ctx, uint64_t *rank, uint64_t lo, uint64_t hi,
    const struct nr_neg_item *item)
{
	const struct nr_neg_array *a = ctx;
	uint64_t mid;

	while (lo < hi) {
		mid = lo + (hi - lo) / 2;
		if (nr_neg_item_cmp(&a->item[mid], item) < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	*rank = lo;
	return NR_OK;
}

/* Of those before a rank. */
static struct nr_sum
sum_to(const struct nr_neg_array *a, uint64_t rank)
{
	struct nr_sum s = a->sums[rank / BLOCK];
	uint64_t i;

	for (i = rank - rank % BLOCK; i < rank; i++)
		nr_sum_add_id(&s, a->item[i].id);
	return s;
}

static int
array_sum(void *ctx, struct nr_sum *out, uint64_t lo, uint64_t hi)
{
	struct nr_sum before = sum_to(ctx, lo);

	*out = sum_to(ctx, hi);
	nr_sum_sub(out, &before);
	return NR_OK;
}

static int
array_items(void *ctx, uint64_t lo, uint64_t hi, nr_neg_each *each,
    void *arg)
{
	const struct nr_neg_array *a = ctx;
	int rc = 0;

	for (; rc == 0 && lo < hi; lo++)
		rc = each(arg, &a->item[lo]);
	return rc;
}

int
nr_neg_array_seal(struct nr_neg_array *a)
{
	struct nr_sum s = {{ 0 }};
	size_t i;

	sort(a);
	drop_twins(a);
	a->sums = malloc((a->n / BLOCK + 1) * sizeof(a->sums[0]));
	if (a->sums == NULL)
		return ENOMEM;
	for (i = 0; i < a->n; i++) {
		if (i % BLOCK == 0)
			a->sums[i / BLOCK] = s;
		nr_sum_add_id(&s, a->item[i].id);
	}
	if (i % BLOCK == 0)
		a->sums[i / BLOCK] = s;
	a->set = (struct nr_neg_set){ a, a->n, array_find, array_sum,
	    array_items };
	return NR_OK;
}

void
nr_neg_array_free(struct nr_neg_array *a)
{
	free(a->item);
	free(a->sums);
	memset(a, 0, sizeof(*a));
}

size_t
nr_neg_array_bytes(size_t n)
{
	return n * sizeof(struct nr_neg_item) + n / BLOCK *
	    sizeof(struct nr_sum);
}
