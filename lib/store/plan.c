/*
 * Choosing a plan.
 *
 * Every candidate covers all matches; they differ in how many ranges must
 * be sought and how many entries read besides.  A handful of ranges of
 * each is probed where reading would begin: ranges that end within the
 * probe tell their size, the others how dense they are, and the densities
 * tell how many entries one candidate must read for each that another
 * one would.
 */
#include "store/plan.h"

#include <stdlib.h>
#include <string.h>

#include "util/err.h"

#define SEEK_COST	10.0	/* in entries read */
#define SAMPLES		6	/* ranges probed of each candidate */
#define PROBE		16	/* entries looked at in each */
#define MAX_STREAMS	20000
#define UNLIMITED	1e6

const char *
nr_plan_name(enum nr_plan_kind k)
{
	static const char *const name[] = {
		"ids", "tag", "author_kind", "author", "kind", "time"
	};

	return name[k];
}

void
nr_plan_stream(const struct nr_plan *p, const struct nr_range *r, size_t i,
    struct nr_stream *s)
{
	const struct nr_filter *f = r->f;

	memset(s, 0, sizeof(*s));
	switch (p->kind) {
	case NR_PLAN_TAG:
		s->table = NR_T_TAG;
		s->plen = (unsigned char)nr_tag_prefix(s->prefix,
		    f->tags[p->tag].letter, f->tags[p->tag].v[i]);
		break;
	case NR_PLAN_AKIND:
		s->table = NR_T_AKIND;
		s->plen = (unsigned char)nr_akind_prefix(s->prefix,
		    f->authors.v[i / f->nkinds], f->kinds[i % f->nkinds]);
		break;
	case NR_PLAN_AUTHOR:
		s->table = NR_T_AUTHOR;
		s->plen = (unsigned char)nr_author_prefix(s->prefix,
		    f->authors.v[i]);
		break;
	case NR_PLAN_KIND:
		s->table = NR_T_KIND;
		s->plen = (unsigned char)nr_kind_prefix(s->prefix,
		    f->kinds[i]);
		break;
	case NR_PLAN_IDS:
	case NR_PLAN_TIME:
		s->table = NR_T_TIME;
		break;
	}
}

static int
estimate(struct nr_plan *p, struct nr_snap *sn,
    const struct nr_young *young, const struct nr_range *r,
    struct nr_query_cost *cost)
{
	size_t samples = p->nstreams < SAMPLES ? p->nstreams : SAMPLES, i;
	double scale = (double)p->nstreams / (double)samples;
	struct nr_stream s;
	struct nr_probe seen;
	int rc, open_ended = 0;

	p->entries = p->rate = 0;
	for (i = 0; i < samples; i++) {
		nr_plan_stream(p, r, i * p->nstreams / samples, &s);
		rc = nr_stream_probe(&s, sn, young, r, PROBE, &seen);
		if (rc != NR_OK)
			return rc;
		cost->seeks++;
		cost->entries += seen.n;
		p->entries += scale * seen.n;
		p->rate += scale * seen.rate;
		open_ended |= seen.more;
	}
	if (open_ended)
		p->entries = -1;	/* unknown, and not small */
	return NR_OK;
}

struct candidates {
	struct nr_plan	plan[64 + 4];
	size_t		n;
};

static void
add(struct candidates *c, enum nr_plan_kind kind, size_t tag, size_t n)
{
	struct nr_plan *p;

	if (n > MAX_STREAMS || c->n == sizeof(c->plan) / sizeof(c->plan[0]))
		return;
	p = &c->plan[c->n++];
	memset(p, 0, sizeof(*p));
	p->kind = kind;
	p->tag = tag;
	p->nstreams = n;
}

static void
collect(struct candidates *c, const struct nr_filter *f)
{
	size_t i;

	c->n = 0;
	for (i = 0; i < f->ntags && i < 64; i++)
		add(c, NR_PLAN_TAG, i, f->tags[i].n);
	if ((f->has & NR_FILTER_AUTHORS) && (f->has & NR_FILTER_KINDS))
		add(c, NR_PLAN_AKIND, 0, f->authors.n * f->nkinds);
	if (f->has & NR_FILTER_AUTHORS)
		add(c, NR_PLAN_AUTHOR, 0, f->authors.n);
	if (f->has & NR_FILTER_KINDS)
		add(c, NR_PLAN_KIND, 0, f->nkinds);
	add(c, NR_PLAN_TIME, 0, 1);
}

/*
 * Is the first candidate good enough to need no comparison?  A few ranges
 * that hold nothing but matches cannot be beaten by much.
 */
static int
obvious(const struct candidates *c, const struct nr_filter *f)
{
	const struct nr_plan *p = &c->plan[0];

	if (c->n == 1)
		return 1;
	if (f->ntags > 0 || p->nstreams > 64)
		return 0;
	return p->kind == NR_PLAN_AKIND || p->kind == NR_PLAN_KIND ||
	    p->kind == NR_PLAN_AUTHOR;
}

static void
price(struct candidates *c, double limit)
{
	struct nr_plan *p;
	double least = -1, matches = limit;
	size_t i;

	/* The sparsest candidate bounds how dense matches are. */
	for (i = 0; i < c->n; i++) {
		p = &c->plan[i];
		if (p->entries >= 0 && p->entries < matches)
			matches = p->entries;
		if (p->entries < 0 && (least < 0 || p->rate < least))
			least = p->rate;
	}
	for (i = 0; i < c->n; i++) {
		p = &c->plan[i];
		p->cost = (double)p->nstreams * SEEK_COST;
		if (p->entries >= 0)
			p->cost += p->entries;
		else if (matches < limit)
			/* It must be read to its end to know that. */
			p->cost += UNLIMITED * (p->rate / least);
		else
			p->cost += limit * (p->rate / least);
	}
}

int
nr_plan_choose(struct nr_plan *out, struct nr_snap *sn,
    const struct nr_young *young, const struct nr_range *r, uint64_t limit,
    struct nr_query_cost *cost)
{
	struct candidates c;
	size_t i, best = 0;
	int rc;

	if (r->f->has & NR_FILTER_IDS) {
		memset(out, 0, sizeof(*out));
		out->kind = NR_PLAN_IDS;
		out->nstreams = 1;
		return NR_OK;
	}
	collect(&c, r->f);
	if (!obvious(&c, r->f)) {
		for (i = 0; i < c.n; i++)
			if ((rc = estimate(&c.plan[i], sn, young, r,
			    cost)) != NR_OK)
				return rc;
		price(&c, limit < (uint64_t)UNLIMITED ? (double)limit :
		    UNLIMITED);
		for (i = 1; i < c.n; i++)
			if (c.plan[i].cost < c.plan[best].cost)
				best = i;
	}
	*out = c.plan[best];
	return NR_OK;
}
