/*
 * Reading ranges of the index.
 */
#include "store/stream.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "util/err.h"

#define WANT_MAX	256
#define SEEK_PRICE	5	/* of a seek, in entries read */

static int
u32_cmp(const void *a, const void *b)
{
	uint32_t x, y;

	memcpy(&x, a, sizeof(x));
	memcpy(&y, b, sizeof(y));
	return (x > y) - (x < y);
}

static int
u16_cmp(const void *a, const void *b)
{
	uint16_t x, y;

	memcpy(&x, a, sizeof(x));
	memcpy(&y, b, sizeof(y));
	return (x > y) - (x < y);
}

int
nr_range_init(struct nr_range *r, const struct nr_filter *f, int reverse)
{
	size_t i;

	memset(r, 0, sizeof(*r));
	r->f = f;
	r->reverse = reverse;
	r->since = f->has & NR_FILTER_SINCE ? f->since : 0;
	if (r->since < 0)
		r->since = 0;
	r->until = f->has & NR_FILTER_UNTIL ? f->until : INT64_MAX;
	if (!(f->has & NR_FILTER_AUTHORS) || f->authors.n == 0)
		return NR_OK;
	r->author4 = malloc(f->authors.n * sizeof(r->author4[0]));
	if (r->author4 == NULL)
		return ENOMEM;
	for (i = 0; i < f->authors.n; i++)
		r->author4[i] = (uint32_t)nr_get_be(f->authors.v[i] + 28, 4);
	r->nauthor4 = f->authors.n;
	qsort(r->author4, r->nauthor4, sizeof(r->author4[0]), u32_cmp);
	return NR_OK;
}

void
nr_range_free(struct nr_range *r)
{
	free(r->author4);
	r->author4 = NULL;
}

void
nr_stream_free(struct nr_stream *s)
{
	free(s->entry);
	s->entry = NULL;
}

/* Take a key and value apart. */
static void
decode(const struct nr_stream *s, const MDB_val *k, const MDB_val *v,
    struct nr_entry *e)
{
	const unsigned char *p = (const unsigned char *)k->mv_data + s->plen;
	const unsigned char *value = v->mv_data;

	p = nr_get_time(p, &e->created_at);
	e->id4 = ~(uint32_t)nr_get_be(p, 4);
	e->kind = UINT_MAX;
	e->author4 = 0;
	if (s->table == NR_T_TIME) {
		e->number = nr_get_be(value, NR_NUMBER_LEN);
		e->kind = (unsigned)nr_get_be(value + NR_NUMBER_LEN, 2);
		e->author4 = (uint32_t)nr_get_be(value + 7, 4);
		return;
	}
	e->number = nr_get_be(p + 4, NR_NUMBER_LEN);
	if (s->table == NR_T_AUTHOR || s->table == NR_T_TAG)
		e->kind = (unsigned)nr_get_be(value, 2);
	if (s->table == NR_T_TAG)
		e->author4 = (uint32_t)nr_get_be(value + 2, 4);
	else if (s->table == NR_T_KIND)
		e->author4 = (uint32_t)nr_get_be(value, 4);
}

/* Could the event match, by what the entry says? */
static int
promising(const struct nr_range *r, const struct nr_entry *e)
{
	const struct nr_filter *f = r->f;
	uint16_t kind = (uint16_t)e->kind;

	if (e->kind != UINT_MAX && (f->has & NR_FILTER_KINDS) &&
	    bsearch(&kind, f->kinds, f->nkinds, sizeof(kind), u16_cmp) == NULL)
		return 0;
	return e->author4 == 0 || r->nauthor4 == 0 ||
	    bsearch(&e->author4, r->author4, r->nauthor4,
	    sizeof(r->author4[0]), u32_cmp) != NULL;
}

#define BOUND_MAX	(10 + NR_TIME_MAX + 10)

/* A key before all of a time, or behind them. */
static size_t
bound(const struct nr_stream *s, unsigned char key[BOUND_MAX], int64_t t,
    int behind)
{
	unsigned char *p;

	memcpy(key, s->prefix, s->plen);
	p = nr_put_time(key + s->plen, t);
	if (behind) {
		memset(p, 0xff, 10);
		p += 10;
	}
	return (size_t)(p - key);
}

/* Move to the first entry that has not been read. */
static int
seek(const struct nr_stream *s, const struct nr_range *r, MDB_cursor *c,
    MDB_val *k, MDB_val *v)
{
	unsigned char key[sizeof(s->key) + 10];
	int rc;

	if (s->started) {
		memcpy(key, s->key, s->keylen);
		k->mv_size = s->keylen;
	} else
		k->mv_size = r->reverse ? bound(s, key, r->since, 0) :
		    bound(s, key, r->until, 1);
	k->mv_data = key;
	rc = mdb_cursor_get(c, k, v, MDB_SET_RANGE);
	if (r->reverse) {
		/* The last one read may have died since. */
		if (rc == 0 && s->started && k->mv_size == s->keylen &&
		    memcmp(k->mv_data, s->key, s->keylen) == 0)
			rc = mdb_cursor_get(c, k, v, MDB_NEXT);
		return rc;
	}
	if (rc != 0 && rc != MDB_NOTFOUND)
		return rc;
	return mdb_cursor_get(c, k, v, rc == 0 ? MDB_PREV : MDB_LAST);
}

static int
in_range(const struct nr_stream *s, const struct nr_range *r,
    const MDB_val *k, int64_t t)
{
	return k->mv_size > s->plen && (r->reverse ? t <= r->until :
	    t >= r->since);
}

static int
has_prefix(const struct nr_stream *s, const MDB_val *k)
{
	return k->mv_size > s->plen &&
	    memcmp(k->mv_data, s->prefix, s->plen) == 0;
}

static int
room(struct nr_stream *s)
{
	struct nr_entry *p;

	if (s->cap >= s->want)
		return NR_OK;
	p = realloc(s->entry, s->want * sizeof(*p));
	if (p == NULL)
		return ENOMEM;
	s->entry = p;
	s->cap = s->want;
	return NR_OK;
}

/* Remember where we are, for the next seek. */
static void
remember(struct nr_stream *s, const MDB_val *k)
{
	s->keylen = (unsigned char)k->mv_size;
	memcpy(s->key, k->mv_data, k->mv_size);
	s->started = 1;
}

struct nr_span
nr_stream_span(const struct nr_stream *s, const struct nr_run *run,
    const struct nr_range *r)
{
	unsigned char from[BOUND_MAX], to[BOUND_MAX];
	struct nr_span none = { run, 0, 0 };
	size_t nfrom, nto;

	if (!nr_run_may_have(run, s->table, s->prefix, s->plen))
		return none;
	nfrom = bound(s, from, r->since, 0);
	nto = bound(s, to, r->until, 1);
	return nr_run_span(run, s->table, from, nfrom, to, nto);
}

/* Take the next record of a span; returns 0 at its end. */
static int
next_record(const struct nr_stream *s, struct nr_span *span, int reverse,
    struct nr_entry *e)
{
	const unsigned char *kp, *vp;
	MDB_val k, v;
	uint32_t i;

	if (span->lo == span->hi)
		return 0;
	i = reverse ? span->lo++ : --span->hi;
	nr_run_record(span->run, i, &kp, &k.mv_size, &vp, &v.mv_size);
	k.mv_data = (void *)(uintptr_t)kp;
	v.mv_data = (void *)(uintptr_t)vp;
	decode(s, &k, &v, e);
	return 1;
}

static void
fill_from_run(struct nr_stream *s, const struct nr_range *r,
    struct nr_query_cost *cost, int64_t *budget)
{
	struct nr_entry e;

	while (s->n < s->want && *budget > 0) {
		if (!next_record(s, &s->span, r->reverse, &e)) {
			s->done = 1;
			break;
		}
		cost->entries++;
		--*budget;
		if (e.number >= s->from && promising(r, &e))
			s->entry[s->n++] = e;
	}
}

int
nr_stream_fill(struct nr_stream *s, struct nr_snap *sn,
    const struct nr_range *r, struct nr_query_cost *cost, int64_t *budget)
{
	MDB_cursor *c;
	MDB_val k, v, last = { 0, NULL };
	struct nr_entry e;
	int rc;

	s->at = s->n = 0;
	if (s->done)
		return NR_OK;
	if ((rc = room(s)) != NR_OK)
		return rc;
	if (s->span.run != NULL) {
		fill_from_run(s, r, cost, budget);
		goto out;
	}
	if ((rc = nr_snap_cursor_of(sn, &c, s->table)) != NR_OK)
		return rc;
	cost->seeks++;
	*budget -= SEEK_PRICE;
	rc = seek(s, r, c, &k, &v);
	while (rc == 0 && s->n < s->want) {
		if (!has_prefix(s, &k))
			break;
		decode(s, &k, &v, &e);
		if (!in_range(s, r, &k, e.created_at))
			break;
		cost->entries++;
		last = k;
		if (promising(r, &e))
			s->entry[s->n++] = e;
		if (--*budget <= 0)
			goto out;
		if (s->n < s->want)
			rc = mdb_cursor_get(c, &k, &v, r->reverse ?
			    MDB_NEXT : MDB_PREV);
	}
	if (rc != 0 && rc != MDB_NOTFOUND)
		return rc;
	if (s->n < s->want)
		s->done = 1;
out:
	if (last.mv_data != NULL)
		remember(s, &last);
	if (s->want < WANT_MAX)
		s->want *= 2;
	return NR_OK;
}

/* One source of a probe: how many entries, and from when to when. */
struct seen {
	unsigned	n;
	int64_t		first, last;
};

static void
see(struct seen *seen, int64_t t)
{
	if (seen->n++ == 0)
		seen->first = t;
	seen->last = t;
}

/* Densities add up: the sources are read side by side. */
static void
add_seen(struct nr_probe *p, const struct seen *seen, unsigned max)
{
	int64_t span = seen->first > seen->last ? seen->first - seen->last :
	    seen->last - seen->first;

	p->n += seen->n;
	if (seen->n < max)
		return;
	p->more = 1;
	p->rate += (double)seen->n / (double)(span > 0 ? span : 1);
}

static int
probe_index(struct nr_stream *s, struct nr_snap *sn,
    const struct nr_range *r, unsigned max, struct seen *seen)
{
	struct nr_entry e;
	MDB_cursor *c;
	MDB_val k, v;
	int rc;

	if ((rc = nr_snap_cursor_of(sn, &c, s->table)) != NR_OK)
		return rc;
	rc = seek(s, r, c, &k, &v);
	while (rc == 0 && seen->n < max) {
		if (!has_prefix(s, &k))
			break;
		decode(s, &k, &v, &e);
		if (!in_range(s, r, &k, e.created_at))
			break;
		see(seen, e.created_at);
		rc = mdb_cursor_get(c, &k, &v, r->reverse ? MDB_NEXT :
		    MDB_PREV);
	}
	return rc == MDB_NOTFOUND ? NR_OK : rc;
}

int
nr_stream_probe(struct nr_stream *s, struct nr_snap *sn,
    const struct nr_young *young, const struct nr_range *r, unsigned max,
    struct nr_probe *out)
{
	struct seen seen = { 0 };
	struct nr_entry e;
	struct nr_span sp;
	size_t i;
	int rc;

	memset(out, 0, sizeof(*out));
	if ((rc = probe_index(s, sn, r, max, &seen)) != NR_OK)
		return rc;
	add_seen(out, &seen, max);
	for (i = 0; young != NULL && i < young->nruns; i++) {
		sp = nr_stream_span(s, young->run[i], r);
		for (seen.n = 0; seen.n < max &&
		    next_record(s, &sp, r->reverse, &e);)
			see(&seen, e.created_at);
		add_seen(out, &seen, max);
	}
	return NR_OK;
}
