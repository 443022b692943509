/*
 * Our side of a reconciliation.
 */
#include "sync/side.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "negentropy/ranked.h"
#include "store/query.h"
#include "util/err.h"

#define SLICE	2000000		/* units of a query in one snapshot */
#define SOME	10000		/* events that expire, in one */

struct nr_side {
	struct nr_store		*st;	/* NULL: a list */
	struct nr_snap		*sn;
	struct nr_neg_array	 all;	/* of a list, in order */
	/* Those chosen; or, of a range of time, what is not in its sums. */
	struct nr_neg_array	 chosen;
	int			 ranged;
	struct nr_filter	 range;	/* has times only */
	struct nr_ranks		*ranks;
	struct nr_neg_ranked	 ranked;
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
	if ((rc = nr_snap_new(&s->sn, st)) != NR_OK ||
	    (rc = nr_ranks_new(&s->ranks)) != NR_OK) {
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
	nr_ranks_free(s->ranks);
	nr_snap_free(s->sn);
	nr_neg_array_free(&s->all);
	nr_neg_array_free(&s->chosen);
	free(s);
}

static int
select_list(struct nr_side *s, const struct nr_filter *f)
{
	size_t i;
	int rc = NR_OK;

	for (i = 0; rc == NR_OK && i < s->all.n; i++)
		if (nr_neg_in_range(f, (int64_t)s->all.item[i].time))
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

/* ---- a range of time, by what the store has summed up ----------------------- */

struct extra {
	struct nr_side		*side;
	const struct nr_filter	*range;
};

/* Those of confidential kinds come by a query. */
static int
add_expiring(void *ctx, const struct nr_hit *hit)
{
	struct extra *x = ctx;
	struct nr_event ev;

	if (!nr_event_view_head(&ev, hit->line.p, hit->line.len))
		return NR_ECORRUPT;
	if (nr_kind_confidential(ev.kind) ||
	    !nr_neg_in_range(x->range, ev.created_at))
		return NR_OK;
	return nr_neg_array_add(&x->side->chosen, (uint64_t)ev.created_at,
	    ev.id);
}

static int
select_expiring(struct nr_side *s, const struct nr_filter *f, int64_t now)
{
	struct nr_expiring at = { .begun = 0 };
	struct extra x = { s, f };
	int rc = NR_OK;

	while (rc == NR_OK && !at.done) {
		if ((rc = nr_snap_renew(s->sn)) != NR_OK)
			return rc;
		rc = nr_snap_expiring(s->sn, &at, SOME, now, add_expiring,
		    &x);
		nr_snap_release(s->sn);
		if (rc == NR_ESTALE)
			rc = NR_OK;
	}
	return rc;
}

/* Everybody's events are in the sums; find the others. */
static int
select_extra(struct nr_side *s, const struct nr_filter *f, int64_t now)
{
	static const char kinds[] =
	    "{\"kinds\":[" NR_KINDS_CONFIDENTIAL "]}";
	struct nr_filter private = { .has = 0 };
	const char *why;
	int rc;

	rc = nr_filter_parse(&private, kinds, sizeof(kinds) - 1,
	    &nr_filter_limits_none, &why);
	if (rc == NR_OK)
		rc = nr_filter_narrow(&private, f);
	if (rc == NR_OK)
		rc = select_stored(s, &private, now);
	nr_filter_free(&private);
	return rc == NR_OK ? select_expiring(s, f, now) : rc;
}

int
nr_side_select(struct nr_side *s, const struct nr_filter *f, int64_t now)
{
	int rc;

	nr_neg_array_free(&s->chosen);
	s->ranged = s->st != NULL && nr_neg_is_range(f);
	if (s->ranged) {
		s->range.has = f->has;
		s->range.since = f->since;
		s->range.until = f->until;
		rc = select_extra(s, f, now);
	} else if (s->st != NULL)
		rc = select_stored(s, f, now);
	else
		rc = select_list(s, f);
	return rc != NR_OK ? rc : nr_neg_array_seal(&s->chosen);
}

int
nr_side_lists(const struct nr_side *s, uint64_t time,
    const unsigned char id[32])
{
	struct nr_neg_item item = { .time = time };
	size_t lo = 0, hi = s->st == NULL ? s->chosen.n : 0, mid;
	int c;

	memcpy(item.id, id, 32);
	while (lo < hi) {
		mid = lo + (hi - lo) / 2;
		if ((c = nr_neg_item_cmp(&s->chosen.item[mid], &item)) == 0)
			return 1;
		if (c < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return 0;
}

/* Where the sums cannot be used, what would be in them is read. */
static int
give_up_ranks(struct nr_side *s)
{
	int rc;

	nr_snap_release(s->sn);
	nr_neg_array_free(&s->chosen);
	s->ranged = 0;
	rc = select_stored(s, &s->range, time(NULL));
	return rc != NR_OK ? rc : nr_neg_array_seal(&s->chosen);
}

static int
begin_ranked(struct nr_side *s)
{
	int rc, ready = 0, tries = 0;

	do {
		if ((rc = nr_snap_renew(s->sn)) != NR_OK)
			return rc;
		rc = nr_ranks_renew(s->ranks, &ready, s->sn,
		    nr_neg_rank_items(&s->chosen), s->chosen.n);
	} while (rc == NR_ESTALE && ++tries < 100);
	if (rc == NR_OK && !ready)
		return give_up_ranks(s);
	if (rc == NR_OK)
		rc = nr_neg_ranked_init(&s->ranked, s->ranks, &s->range);
	if (rc != NR_OK)
		nr_snap_release(s->sn);
	return rc;
}

int
nr_side_begin(struct nr_side *s, const struct nr_neg_set **set)
{
	int rc = s->ranged ? begin_ranked(s) : NR_OK;

	if (rc == NR_OK)
		*set = s->ranged ? &s->ranked.set : &s->chosen.set;
	return rc;
}

void
nr_side_end(struct nr_side *s)
{
	if (s->ranged)
		nr_snap_release(s->sn);
}
