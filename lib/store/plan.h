/*
 * plan.h - which index serves a filter best.  Internal to lib/store.
 */
#ifndef NR_STORE_PLAN_H
#define NR_STORE_PLAN_H

#include "store/stream.h"

enum nr_plan_kind {
	NR_PLAN_IDS,
	NR_PLAN_TAG,		/* by the values of one tag letter */
	NR_PLAN_AKIND,		/* by author and kind */
	NR_PLAN_AUTHOR,
	NR_PLAN_KIND,
	NR_PLAN_TIME
};

struct nr_plan {
	enum nr_plan_kind kind;
	size_t		  tag;		/* which of the filter's, for TAG */
	size_t		  nstreams;
	double		  entries;	/* estimated, to be read in all */
	double		  rate;		/* entries a second, near the start */
	double		  cost;
};

const char	*nr_plan_name(enum nr_plan_kind k);

/*
 * Choose by looking at a few of each candidate's ranges.
 * limit  how many events are wanted at most
 */
int	nr_plan_choose(struct nr_plan *out, struct nr_snap *sn,
	    const struct nr_young *young, const struct nr_range *r,
	    uint64_t limit, struct nr_query_cost *cost);

/* Set up the i-th stream of a plan. */
void	nr_plan_stream(const struct nr_plan *p, const struct nr_range *r,
	    size_t i, struct nr_stream *s);

#endif
