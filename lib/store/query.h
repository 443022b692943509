/*
 * query.h - filters on a store, as resumable k-way merges.
 *
 * A query gives the events that match any of its filters in NIP-01's
 * order: newest first and, at equal times, lowest id first; or in exactly
 * the opposite order.  Each filter's limit counts on its own, and an event
 * that several filters match comes once.
 *
 * A query holds no snapshot between calls: it goes on in whichever it is
 * given, and never shows an event stored after the first one, nor one that
 * has since died or expired.
 */
#ifndef NR_STORE_QUERY_H
#define NR_STORE_QUERY_H

#include "filter/filter.h"
#include "store/store.h"

struct nr_query;

struct nr_query_options {
	int	 reverse;	/* oldest first */
	int64_t	 now;		/* what has expired by then is left out */
	uint64_t before;	/* only numbers below; 0: as of the start */
	int	 nothing;	/* no stored event at all */
	/*
	 * May this event be shown?  Asked before limits are counted; NULL
	 * shows everything.  ev has no signature and no content.
	 */
	int	(*visible)(void *ctx, const struct nr_event *ev);
	void	*ctx;
};

/*
 * filters are borrowed until nr_query_free().
 * Returns  0 or ENOMEM.
 */
int	nr_query_new(struct nr_query **out, const struct nr_filter *filters,
	    size_t n, const struct nr_query_options *o);
void	nr_query_free(struct nr_query *q);		/* NULL is allowed */

enum nr_query_state {
	NR_QUERY_HIT,		/* *hit is the next event */
	NR_QUERY_END,
	NR_QUERY_PAUSE		/* the budget is used up: call again */
};

/*
 * The next event.
 * budget   units of work that may be done, about 100 ns each; reduced by
 *	    what was done.  With some left the query goes on for ever.
 * hit	    its line is borrowed until the snapshot is released
 * Returns  0, ENOMEM, NR_ECORRUPT (index and log disagree), NR_EINDEX.
 */
int	nr_query_next(struct nr_query *q, struct nr_snap *sn,
	    enum nr_query_state *state, struct nr_hit *hit, int64_t *budget);

/*
 * At the end: are there matches that a limit left out?
 * budget   of work that the answer may cost
 * Returns  0; *more is 1, 0, or -1 where that is not known.
 */
int	nr_query_more(struct nr_query *q, struct nr_snap *sn,
	    int64_t budget, int *more);

/* What a query did so far, for its price and for explanations. */
struct nr_query_cost {
	uint64_t	streams;	/* ranges of the index that it reads */
	uint64_t	seeks;
	uint64_t	entries;	/* index entries read */
	uint64_t	lines;		/* lines of the log looked at */
	uint64_t	hits;
};

void	nr_query_cost(const struct nr_query *q, struct nr_query_cost *out);

/*
 * Write which index serves each filter, with commas between, at most
 * about max bytes.  Returns 0 or ENOMEM.
 */
int	nr_query_plans(const struct nr_query *q, struct nr_buf *b,
	    size_t max);

/* Write the plan and the cost so far as JSON.  Returns 0 or ENOMEM. */
int	nr_query_explain(const struct nr_query *q, struct nr_buf *b);

#endif
