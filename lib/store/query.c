/*
 * The merge.
 *
 * For each filter a heap holds the streams by their next entry.  Entries
 * are taken from its top, their lines looked up and matched in full (an
 * entry is a hint), and come out in order.  Index keys hold only the first
 * bytes of an id, so entries that agree in time and these bytes are
 * gathered and put into order by the whole id.
 */
#include "store/query.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "event/tags.h"
#include "store/plan.h"
#include "store/snap.h"
#include "store/stream.h"
#include "util/err.h"

#define LINE_PRICE	10	/* of looking at a line, in entries read */

/* A match that waits to be given out. */
struct match {
	int64_t		created_at;
	unsigned char	id[32];
	struct nr_hit	hit;
	uint64_t	seq;		/* of the snapshot that hit is from */
};

/* One filter's part of the query. */
struct part {
	struct nr_range		 range;
	struct nr_plan		 plan;
	struct nr_stream	*stream;	/* of the index and of runs */
	size_t			 nstreams, capstreams;
	size_t			 ready;		/* streams in the heap so far */
	struct nr_stream	**heap;
	size_t			 nheap;
	struct match		*match;		/* of one time and id4 */
	size_t			 nmatches, capmatches, at;
	uint64_t		 left;		/* of the limit, or of ties */
	int			 tied;		/* to what has this time */
	int64_t			 tie_time;
	int			 planned;
	int			 gathering;	/* match is not complete yet */
	int64_t			 group_time;
	uint32_t		 group_id4;
};

struct nr_query {
	struct nr_query_options	 o;
	struct part		*part;
	size_t			 nparts;
	struct nr_query_cost	 cost;
	uint64_t		 before;	/* numbers from here on: no */
	struct nr_young		*young;		/* what is not in the index */
	uint64_t		 young_from;	/* for all there was then */
	int			 started;
	uint64_t		 last;		/* number given out last */
};

int
nr_query_new(struct nr_query **out, const struct nr_filter *filters,
    size_t n, const struct nr_query_options *o)
{
	struct nr_query *q;
	struct part *p;
	size_t i;
	int rc;

	if ((q = calloc(1, sizeof(*q))) == NULL)
		return ENOMEM;
	q->o = *o;
	q->last = UINT64_MAX;
	if ((q->part = calloc(n + 1, sizeof(q->part[0]))) == NULL) {
		free(q);
		return ENOMEM;
	}
	for (i = 0; i < n; i++) {
		p = &q->part[i];
		rc = nr_range_init(&p->range, &filters[i], o->reverse);
		q->nparts++;
		if (rc != NR_OK) {
			nr_query_free(q);
			return rc;
		}
		p->left = filters[i].has & NR_FILTER_LIMIT ?
		    filters[i].limit : UINT64_MAX;
		if (o->nothing || nr_filter_void(&filters[i]))
			p->left = 0;
	}
	*out = q;
	return NR_OK;
}

static void
free_streams(struct part *p)
{
	size_t i;

	for (i = 0; i < p->nstreams; i++)
		nr_stream_free(&p->stream[i]);
	p->nstreams = 0;
	free(p->heap);
	p->heap = NULL;
}

static void
part_free(struct part *p)
{
	free_streams(p);
	free(p->stream);
	free(p->match);
	nr_range_free(&p->range);
}

void
nr_query_free(struct nr_query *q)
{
	size_t i;

	if (q == NULL)
		return;
	for (i = 0; i < q->nparts; i++)
		part_free(&q->part[i]);
	nr_young_unpin(q->young);
	free(q->part);
	free(q);
}

/* ---- the heap of a part's streams ---------------------------------------- */

static const struct nr_entry *
head(const struct nr_stream *s)
{
	return &s->entry[s->at];
}

/* Which of two entries comes first; < 0 for a. */
static int
entry_cmp(const struct part *p, const struct nr_entry *a,
    const struct nr_entry *b)
{
	int c;

	if (a->created_at != b->created_at)
		c = a->created_at > b->created_at ? -1 : 1;
	else
		c = (a->id4 > b->id4) - (a->id4 < b->id4);
	return p->range.reverse ? -c : c;
}

static void
sift_down(struct part *p, size_t i)
{
	struct nr_stream *s = p->heap[i];
	size_t child;

	while ((child = 2 * i + 1) < p->nheap) {
		if (child + 1 < p->nheap && entry_cmp(p,
		    head(p->heap[child + 1]), head(p->heap[child])) < 0)
			child++;
		if (entry_cmp(p, head(p->heap[child]), head(s)) >= 0)
			break;
		p->heap[i] = p->heap[child];
		i = child;
	}
	p->heap[i] = s;
}

static void
heap_push(struct part *p, struct nr_stream *s)
{
	size_t i = p->nheap++, up;

	for (; i > 0; i = up) {
		up = (i - 1) / 2;
		if (entry_cmp(p, head(p->heap[up]), head(s)) <= 0)
			break;
		p->heap[i] = p->heap[up];
	}
	p->heap[i] = s;
}

/* The top stream has moved on; it has an entry, or is removed. */
static void
heap_fix(struct part *p)
{
	if (p->heap[0]->at == p->heap[0]->n) {
		p->heap[0] = p->heap[--p->nheap];
		if (p->nheap == 0)
			return;
	}
	sift_down(p, 0);
}

/* ---- setting a part up ------------------------------------------------------ */

static int
id_entry_cmp(const void *a, const void *b)
{
	const struct nr_entry *x = a, *y = b;

	if (x->created_at != y->created_at)
		return x->created_at > y->created_at ? -1 : 1;
	return (x->id4 > y->id4) - (x->id4 < y->id4);
}

/* Look every id up; the entries of the one stream are then complete. */
static int
look_up_ids(struct nr_query *q, struct part *p, struct nr_snap *sn,
    int64_t *budget)
{
	const struct nr_keys *ids = &p->range.f->ids;
	struct nr_stream *s = &p->stream[0];
	struct nr_entry *e, swap;
	struct nr_event ev;
	struct nr_hit hit;
	size_t i;
	int rc;

	if ((s->entry = calloc(ids->n, sizeof(*s->entry))) == NULL)
		return ENOMEM;
	for (i = 0; i < ids->n; i++) {
		q->cost.seeks++;
		*budget -= LINE_PRICE;
		if ((rc = nr_snap_get(sn, &hit, ids->v[i])) != NR_OK)
			return rc;
		if (hit.line.p == NULL)
			continue;
		if (!nr_event_view_head(&ev, hit.line.p, hit.line.len))
			return NR_ECORRUPT;
		e = &s->entry[s->n++];
		e->created_at = ev.created_at;
		e->number = hit.number;
		e->id4 = (uint32_t)nr_get_be(ev.id, 4);
	}
	s->cap = (unsigned)ids->n;
	s->done = 1;
	if (s->n > 1)
		qsort(s->entry, s->n, sizeof(*s->entry), id_entry_cmp);
	for (i = 0; p->range.reverse && i < s->n / 2; i++) {
		swap = s->entry[i];
		s->entry[i] = s->entry[s->n - 1 - i];
		s->entry[s->n - 1 - i] = swap;
	}
	return NR_OK;
}

/* How many entries a stream reads at first: enough to be used up. */
static unsigned
first_want(const struct part *p)
{
	uint64_t want = p->left;

	if (want > 64)
		want = 64;
	want = 2 * want / p->nstreams;
	return want < 2 ? 2 : want > 64 ? 64 : (unsigned)want;
}

static int
add_stream(struct part *p, const struct nr_stream *s)
{
	size_t cap = p->capstreams * 2 + p->plan.nstreams;
	struct nr_stream *v;

	if (p->nstreams == p->capstreams) {
		if ((v = realloc(p->stream, cap * sizeof(*v))) == NULL)
			return ENOMEM;
		p->stream = v;
		p->capstreams = cap;
	}
	p->stream[p->nstreams++] = *s;
	return NR_OK;
}

/* One range: in the index, and in each run that has some of it. */
static int
add_range(struct nr_query *q, struct part *p, size_t i)
{
	struct nr_stream s;
	struct nr_span span;
	size_t r;
	int rc;

	nr_plan_stream(&p->plan, &p->range, i, &s);
	rc = add_stream(p, &s);
	for (r = 0; rc == NR_OK && p->plan.kind != NR_PLAN_IDS &&
	    r < q->young->nruns; r++) {
		if (q->young->run[r]->end <= q->young_from)
			continue;
		span = nr_stream_span(&s, q->young->run[r], &p->range);
		if (span.lo == span.hi)
			continue;
		s.span = span;
		s.from = q->young_from;
		rc = add_stream(p, &s);
		s.span.run = NULL;
	}
	return rc;
}

static int
set_up(struct nr_query *q, struct part *p, struct nr_snap *sn,
    int64_t *budget)
{
	size_t i;
	int rc;

	/* A try that met a file that is gone has left something, perhaps. */
	free_streams(p);
	if (q->young == NULL && !(p->range.f->has & NR_FILTER_IDS)) {
		if ((rc = nr_young_pin(&q->young, sn)) != NR_OK)
			return rc;
		q->young_from = sn->head.merged;
	}
	rc = nr_plan_choose(&p->plan, sn, q->young, &p->range, p->left,
	    &q->cost);
	for (i = 0; rc == NR_OK && i < p->plan.nstreams; i++)
		rc = add_range(q, p, i);
	if (rc != NR_OK)
		return rc;
	if ((p->heap = calloc(p->nstreams, sizeof(p->heap[0]))) == NULL)
		return ENOMEM;
	q->cost.streams += p->nstreams;
	for (i = 0; i < p->nstreams; i++)
		p->stream[i].want = first_want(p);
	if (p->plan.kind == NR_PLAN_IDS &&
	    (rc = look_up_ids(q, p, sn, budget)) != NR_OK)
		return rc;
	p->planned = 1;
	return NR_OK;
}

/*
 * Have every stream's next entry in the heap, or *pause.
 */
static int
start_streams(struct nr_query *q, struct part *p, struct nr_snap *sn,
    int64_t *budget, int *pause)
{
	struct nr_stream *s;
	int rc;

	while (p->ready < p->nstreams) {
		s = &p->stream[p->ready];
		if (s->at == s->n && !s->done) {
			if (*budget <= 0) {
				*pause = 1;
				return NR_OK;
			}
			rc = nr_stream_fill(s, sn, &p->range, &q->cost,
			    budget);
			if (rc != NR_OK)
				return rc;
			if (s->at == s->n && !s->done)
				continue;
		}
		p->ready++;
		if (s->at < s->n)
			heap_push(p, s);
	}
	return NR_OK;
}

/* ---- matches ------------------------------------------------------------------ */

static int
add_match(struct part *p, const struct nr_hit *hit,
    const struct nr_event *ev, uint64_t seq)
{
	struct match *m;
	size_t i;

	for (i = 0; i < p->nmatches; i++)
		if (p->match[i].hit.number == hit->number)
			return NR_OK;	/* by another tag value */
	if (p->nmatches == p->capmatches) {
		m = realloc(p->match, (p->capmatches * 2 + 4) * sizeof(*m));
		if (m == NULL)
			return ENOMEM;
		p->match = m;
		p->capmatches = p->capmatches * 2 + 4;
	}
	m = &p->match[p->nmatches++];
	m->created_at = ev->created_at;
	memcpy(m->id, ev->id, 32);
	m->hit = *hit;
	m->seq = seq;
	return NR_OK;
}

/* Look an entry's event up and keep it if it matches in full. */
static int
consider(struct nr_query *q, struct part *p, struct nr_snap *sn,
    const struct nr_entry *e)
{
	struct nr_event ev;
	struct nr_hit hit;
	int rc;

	if (e->number >= q->before)
		return NR_OK;
	q->cost.lines++;
	if ((rc = nr_snap_hit(sn, &hit, e->number)) != NR_OK)
		return rc;
	if (hit.line.p == NULL)
		return NR_OK;		/* it has died since */
	if (!nr_event_view_head(&ev, hit.line.p, hit.line.len) ||
	    ev.created_at != e->created_at ||
	    (uint32_t)nr_get_be(ev.id, 4) != e->id4)
		return NR_ECORRUPT;
	if (!nr_filter_match(p->range.f, &ev))
		return NR_OK;
	if ((hit.flags & NR_HIT_EXPIRES) &&
	    nr_event_expiration(&ev) <= q->o.now)
		return NR_OK;
	if (q->o.visible != NULL && !q->o.visible(q->o.ctx, &ev))
		return NR_OK;
	return add_match(p, &hit, &ev, sn->seq);
}

static int
match_cmp(const void *a, const void *b)
{
	const struct match *x = a, *y = b;

	return memcmp(x->id, y->id, 32);
}

static void
sort_matches(struct part *p)
{
	struct match swap;
	size_t i, n = p->nmatches;

	if (n < 2)
		return;
	qsort(p->match, n, sizeof(p->match[0]), match_cmp);
	for (i = 0; p->range.reverse && i < n / 2; i++) {
		swap = p->match[i];
		p->match[i] = p->match[n - 1 - i];
		p->match[n - 1 - i] = swap;
	}
}

/* Take the entries of one time and id4 from the heap. */
static int
gather(struct nr_query *q, struct part *p, struct nr_snap *sn,
    int64_t *budget, int *pause)
{
	struct nr_stream *s;
	int rc;

	while (p->nheap > 0) {
		s = p->heap[0];
		if (s->at == s->n) {	/* paused while it was refilled */
			if (*budget <= 0) {
				*pause = 1;
				return NR_OK;
			}
			rc = nr_stream_fill(s, sn, &p->range, &q->cost,
			    budget);
			if (rc != NR_OK)
				return rc;
			if (s->at == s->n && !s->done)
				continue;
			heap_fix(p);
			continue;
		}
		if (!p->gathering) {
			p->group_time = head(s)->created_at;
			p->group_id4 = head(s)->id4;
			p->gathering = 1;
			p->nmatches = p->at = 0;
		} else if (head(s)->created_at != p->group_time ||
		    head(s)->id4 != p->group_id4)
			break;
		if (*budget <= 0) {
			*pause = 1;
			return NR_OK;
		}
		*budget -= LINE_PRICE;
		if ((rc = consider(q, p, sn, head(s))) != NR_OK)
			return rc;
		s->at++;
		if (s->at < s->n)
			heap_fix(p);
		else if (s->done)
			heap_fix(p);
	}
	p->gathering = 0;
	sort_matches(p);
	return NR_OK;
}

/* Have the part's next match ready, or none, or *pause. */
static int
next_match(struct nr_query *q, struct part *p, struct nr_snap *sn,
    int64_t *budget, int *pause)
{
	int rc;

	if (!p->gathering && p->at < p->nmatches)
		return NR_OK;
	if (p->left == 0) {
		p->nmatches = p->at = 0;
		return NR_OK;
	}
	if (!p->planned && (rc = set_up(q, p, sn, budget)) != NR_OK)
		return rc;
	rc = start_streams(q, p, sn, budget, pause);
	while (rc == NR_OK && !*pause && p->nheap > 0 &&
	    (p->gathering || p->at == p->nmatches))
		rc = gather(q, p, sn, budget, pause);
	return rc;
}

/* The part whose next match comes first; NULL where there is none. */
static struct part *
first_part(struct nr_query *q)
{
	struct part *p, *best = NULL;
	struct match *a, *b;
	size_t i;
	int c;

	for (i = 0; i < q->nparts; i++) {
		p = &q->part[i];
		if (p->left == 0 || p->at == p->nmatches)
			continue;
		if (best == NULL) {
			best = p;
			continue;
		}
		a = &p->match[p->at];
		b = &best->match[best->at];
		if (a->created_at != b->created_at)
			c = a->created_at > b->created_at ? -1 : 1;
		else
			c = memcmp(a->id, b->id, 32);
		if ((q->o.reverse ? -c : c) < 0)
			best = p;
	}
	return best;
}

/* One of the limit is used up; then ties of the last may follow. */
static void
use_one(struct part *p, const struct match *m)
{
	if (--p->left > 0 || p->tied)
		return;
	p->left = p->range.f->ties;
	p->tied = p->left > 0;
	p->tie_time = m->created_at;
}

/* Is there nothing left but what is no tie? */
static void
end_ties(struct part *p)
{
	if (p->tied && !p->gathering && p->at < p->nmatches &&
	    p->match[p->at].created_at != p->tie_time)
		p->left = 0;
}

/*
 * A match from an earlier snapshot: is it still there?
 */
static int
refresh(struct nr_query *q, struct nr_snap *sn, struct match *m, int *gone)
{
	int rc;

	*gone = 0;
	if (m->seq == sn->seq)
		return NR_OK;
	q->cost.lines++;
	if ((rc = nr_snap_hit(sn, &m->hit, m->hit.number)) != NR_OK)
		return rc;
	m->seq = sn->seq;
	*gone = m->hit.line.p == NULL;
	return NR_OK;
}

static int
step(struct nr_query *q, struct nr_snap *sn, enum nr_query_state *state,
    struct nr_hit *hit, int64_t *budget)
{
	struct match *m;
	struct part *p;
	uint64_t number;
	size_t i;
	int rc, gone, pause = 0;

	for (;;) {
		for (i = 0; i < q->nparts; i++) {
			rc = next_match(q, &q->part[i], sn, budget, &pause);
			if (rc != NR_OK)
				return rc;
			if (pause) {
				*state = NR_QUERY_PAUSE;
				return NR_OK;
			}
			end_ties(&q->part[i]);
		}
		if ((p = first_part(q)) == NULL) {
			*state = NR_QUERY_END;
			return NR_OK;
		}
		m = &p->match[p->at];
		number = m->hit.number;
		if ((rc = refresh(q, sn, m, &gone)) != NR_OK)
			return rc;
		p->at++;
		if (gone)
			continue;
		use_one(p, m);
		if (number == q->last)
			continue;	/* another filter's, too */
		q->last = number;
		q->cost.hits++;
		*hit = m->hit;
		*state = NR_QUERY_HIT;
		return NR_OK;
	}
}

int
nr_query_next(struct nr_query *q, struct nr_snap *sn,
    enum nr_query_state *state, struct nr_hit *hit, int64_t *budget)
{
	int rc;

	if (!q->started) {
		q->started = 1;
		q->before = nr_snap_next_number(sn);
		if (q->o.before > 0 && q->o.before < q->before)
			q->before = q->o.before;
	}
	rc = step(q, sn, state, hit, budget);
	/* Whoever calls again does so with a new snapshot, sooner or later. */
	if (rc == NR_ESTALE) {
		*state = NR_QUERY_PAUSE;
		rc = NR_OK;
	}
	return nr_store_rc(sn->st, rc);
}

/* Did its limit, and not the end of what there is, end the part? */
static int
was_cut(const struct part *p)
{
	return p->left == 0 && (p->range.f->has & NR_FILTER_LIMIT) &&
	    !nr_filter_void(p->range.f);
}

int
nr_query_more(struct nr_query *q, struct nr_snap *sn, int64_t budget,
    int *more)
{
	struct part *p = q->part;
	int rc, pause = 0;
	size_t i, cut = 0;

	for (i = 0; i < q->nparts; i++)
		cut += (size_t)was_cut(&q->part[i]);
	*more = cut == 0 ? 0 : -1;
	/* Of several, one's next match may have been another's. */
	if (cut == 0 || q->nparts > 1 || p->range.f->limit == 0 ||
	    q->o.nothing)
		return NR_OK;
	p->left = 1;
	rc = next_match(q, p, sn, &budget, &pause);
	p->left = 0;
	if (rc == NR_OK && !pause)
		*more = p->at < p->nmatches;
	return nr_store_rc(sn->st, rc);
}

void
nr_query_cost(const struct nr_query *q, struct nr_query_cost *out)
{
	*out = q->cost;
}

static int
add_plan(struct nr_buf *b, const struct part *p)
{
	if (!p->planned)
		return nr_buf_adds(b, "none");
	if (p->plan.kind == NR_PLAN_TAG)
		return nr_buf_addf(b, "%s %c", nr_plan_name(p->plan.kind),
		    p->range.f->tags[p->plan.tag].letter);
	return nr_buf_adds(b, nr_plan_name(p->plan.kind));
}

int
nr_query_plans(const struct nr_query *q, struct nr_buf *b, size_t max)
{
	size_t i, start = b->len;
	int rc = NR_OK;

	for (i = 0; rc == NR_OK && i < q->nparts; i++) {
		if (b->len - start >= max)
			return nr_buf_adds(b, ",...");
		rc = i > 0 ? nr_buf_adds(b, ",") : NR_OK;
		if (rc == NR_OK)
			rc = add_plan(b, &q->part[i]);
	}
	return rc;
}

int
nr_query_explain(const struct nr_query *q, struct nr_buf *b)
{
	const struct part *p;
	size_t i;
	int rc;

	rc = nr_buf_adds(b, "{\"plans\":[");
	for (i = 0; rc == NR_OK && i < q->nparts; i++) {
		p = &q->part[i];
		rc = nr_buf_addf(b, "%s{\"filter\":", i > 0 ? "," : "");
		if (rc == NR_OK)
			rc = nr_filter_format(b, p->range.f);
		if (rc == NR_OK)
			rc = nr_buf_adds(b, ",\"index\":\"");
		if (rc == NR_OK)
			rc = add_plan(b, p);
		if (rc == NR_OK)
			rc = nr_buf_addf(b, "\",\"ranges\":%zu}",
			    p->nstreams);
	}
	if (rc == NR_OK)
		rc = nr_buf_addf(b, "],\"seeks\":%" PRIu64 ",\"entries\":%"
		    PRIu64 ",\"lines\":%" PRIu64 ",\"events\":%" PRIu64 "}",
		    q->cost.seeks, q->cost.entries, q->cost.lines,
		    q->cost.hits);
	return rc;
}
