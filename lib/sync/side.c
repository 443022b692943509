/*
 * Our side of a reconciliation.
 */
#include "sync/side.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "store/query.h"
#include "util/err.h"

#define SLICE	2000000		/* units of a query in one snapshot */

struct nr_side {
	struct nr_store		*st;	/* NULL: a list */
	struct nr_snap		*sn;
	struct nr_neg_array	 all;	/* of a list, in order */
	struct nr_neg_array	 chosen;
};

static int
new_side(struct nr_side **out)
{
	return (*out = calloc(1, sizeof(**out))) == NULL ? ENOMEM : NR_OK;
}

int
nr_side_store(struct nr_side **out, struct nr_store *st)
{
	struct nr_side *s;
	int rc;

	if ((rc = new_side(&s)) != NR_OK)
		return rc;
	s->st = st;
	if ((rc = nr_snap_new(&s->sn, st)) != NR_OK) {
		nr_side_free(s);
		return rc;
	}
	*out = s;
	return NR_OK;
}

int
nr_side_list(struct nr_side **out, struct nr_neg_array *records)
{
	struct nr_side *s;
	int rc;

	if ((rc = nr_neg_array_seal(records)) != NR_OK ||
	    (rc = new_side(&s)) != NR_OK)
		return rc;
	s->all = *records;
	s->all.set.ctx = &s->all;
	memset(records, 0, sizeof(*records));
	*out = s;
	return NR_OK;
}

void
nr_side_free(struct nr_side *s)
{
	if (s == NULL)
		return;
	nr_snap_free(s->sn);
	nr_neg_array_free(&s->all);
	nr_neg_array_free(&s->chosen);
	free(s);
}

static int
in_time(const struct nr_filter *f, uint64_t time)
{
	if ((f->has & NR_FILTER_SINCE) && f->since > 0 &&
	    time < (uint64_t)f->since)
		return 0;
	return !(f->has & NR_FILTER_UNTIL) || (f->until >= 0 &&
	    time <= (uint64_t)f->until);
}

static int
select_list(struct nr_side *s, const struct nr_filter *f)
{
	size_t i;
	int rc = NR_OK;

	for (i = 0; rc == NR_OK && i < s->all.n; i++)
		if (in_time(f, s->all.item[i].time))
			rc = nr_neg_array_add(&s->chosen,
			    s->all.item[i].time, s->all.item[i].id);
	return rc;
}

static int
add_hit(struct nr_side *s, const struct nr_hit *hit)
{
	struct nr_event ev;

	if (!nr_event_view_head(&ev, hit->line.p, hit->line.len))
		return NR_ECORRUPT;
	return nr_neg_array_add(&s->chosen, (uint64_t)ev.created_at, ev.id);
}

static int
select_some(struct nr_side *s, struct nr_query *q,
    enum nr_query_state *state)
{
	int64_t budget = SLICE;
	struct nr_hit hit;
	int rc;

	if ((rc = nr_snap_renew(s->sn)) != NR_OK)
		return rc;
	do {
		rc = nr_query_next(q, s->sn, state, &hit, &budget);
		if (rc == NR_OK && *state == NR_QUERY_HIT)
			rc = add_hit(s, &hit);
	} while (rc == NR_OK && *state == NR_QUERY_HIT);
	nr_snap_release(s->sn);
	return rc;
}

static int
select_stored(struct nr_side *s, const struct nr_filter *f, int64_t now)
{
	struct nr_query_options o = {
		.now = now, .reverse = !(f->has & NR_FILTER_LIMIT)
	};
	enum nr_query_state state = NR_QUERY_PAUSE;
	struct nr_query *q;
	int rc;

	if ((rc = nr_query_new(&q, f, 1, &o)) != NR_OK)
		return rc;
	while (rc == NR_OK && state == NR_QUERY_PAUSE)
		rc = select_some(s, q, &state);
	nr_query_free(q);
	return rc;
}

int
nr_side_select(struct nr_side *s, const struct nr_filter *f, int64_t now)
{
	int rc;

	nr_neg_array_free(&s->chosen);
	rc = s->st != NULL ? select_stored(s, f, now) : select_list(s, f);
	return rc != NR_OK ? rc : nr_neg_array_seal(&s->chosen);
}

int
nr_side_begin(struct nr_side *s, const struct nr_neg_set **set)
{
	*set = &s->chosen.set;
	return NR_OK;
}

void
nr_side_end(struct nr_side *s)
{
	(void)s;
}
