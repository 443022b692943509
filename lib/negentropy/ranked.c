/*
 * A whole store as a set.
 */
#include "negentropy/ranked.h"

#include <assert.h>
#include <stddef.h>
#include <string.h>

#include "util/err.h"

/* So that the same bytes can be both. */
static_assert(sizeof(struct nr_rank_item) == sizeof(struct nr_neg_item) &&
    offsetof(struct nr_rank_item, time) == offsetof(struct nr_neg_item,
    time) && offsetof(struct nr_rank_item, id) == offsetof(struct nr_neg_item,
    id), "items are the same");

int
nr_neg_is_range(const struct nr_filter *f)
{
	return (f->has & ~(NR_FILTER_SINCE | NR_FILTER_UNTIL)) == 0 &&
	    f->ntags == 0;
}

int
nr_neg_in_range(const struct nr_filter *f, int64_t created_at)
{
	return (!(f->has & NR_FILTER_SINCE) || created_at >= f->since) &&
	    (!(f->has & NR_FILTER_UNTIL) || created_at <= f->until);
}

static struct nr_rank_item
rank_item(const struct nr_neg_item *item)
{
	struct nr_rank_item r;

	r.time = item->time;
	memcpy(r.id, item->id, sizeof(r.id));
	return r;
}

const struct nr_rank_item *
nr_neg_rank_items(const struct nr_neg_array *a)
{
	return (const struct nr_rank_item *)(const void *)a->item;
}

static int
ranked_find(void *ctx, uint64_t *rank, uint64_t lo, uint64_t hi,
    const struct nr_neg_item *item)
{
	struct nr_neg_ranked *r = ctx;
	struct nr_rank_item bound = rank_item(item);
	uint64_t found;
	int rc;

	rc = nr_ranks_find(r->ranks, &found, &bound, r->lo + lo, r->lo + hi);
	if (rc == NR_OK)
		*rank = found - r->lo;
	return rc;
}

static int
ranked_sum(void *ctx, struct nr_sum *out, uint64_t lo, uint64_t hi)
{
	struct nr_neg_ranked *r = ctx;

	return nr_ranks_sum(r->ranks, out, r->lo + lo, r->lo + hi);
}

struct each {
	nr_neg_each	*each;
	void		*arg;
};

static int
visit(void *ctx, const struct nr_rank_item *item)
{
	struct each *e = ctx;

	return e->each(e->arg, (const struct nr_neg_item *)(const void *)item);
}

static int
ranked_items(void *ctx, uint64_t lo, uint64_t hi, nr_neg_each *each,
    void *arg)
{
	struct nr_neg_ranked *r = ctx;
	struct each e = { each, arg };

	return nr_ranks_items(r->ranks, r->lo + lo, r->lo + hi, visit, &e);
}

int
nr_neg_ranked_init(struct nr_neg_ranked *r, struct nr_ranks *ranks,
    const struct nr_filter *f)
{
	struct nr_rank_item bound = { 0, { 0 } };
	uint64_t size = nr_ranks_size(ranks), lo = 0, hi = size;
	int rc = NR_OK;

	if ((f->has & NR_FILTER_SINCE) && f->since > 0) {
		bound.time = (uint64_t)f->since;
		rc = nr_ranks_find(ranks, &lo, &bound, 0, size);
	}
	if (rc == NR_OK && (f->has & NR_FILTER_UNTIL)) {
		bound.time = f->until < 0 ? 0 : (uint64_t)f->until + 1;
		rc = nr_ranks_find(ranks, &hi, &bound, 0, size);
	}
	if (rc != NR_OK)
		return rc;
	r->ranks = ranks;
	r->lo = lo;
	r->set = (struct nr_neg_set){ r, hi > lo ? hi - lo : 0, ranked_find,
	    ranked_sum, ranked_items };
	return NR_OK;
}
