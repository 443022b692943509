/*
 * Sorted runs of entries and sets of them.
 *
 * A new run is merged with the one before it while that is not much
 * larger, so there are few runs, of sizes that fall by powers of two.
 */
#include "store/young.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "store/snap.h"
#include "util/buf.h"
#include "util/err.h"

/* In one run, at most. */
#define RUN_EVENTS	16384
#define RUN_BYTES	((size_t)32 << 20)	/* of lines, but for the last */
#define RUN_RECORDS	2000000	/* of two that are merged */

/* A record: table, key length, value length, key, value. */
#define HEAD	3

static void
run_unref(struct nr_run *r)
{
	if (r == NULL ||
	    atomic_fetch_sub_explicit(&r->refs, 1, memory_order_acq_rel) > 1)
		return;
	free(r->at);
	free(r->bytes);
	free(r->bloom);
	free(r);
}

void
nr_young_unpin(struct nr_young *y)
{
	size_t i;

	if (y == NULL ||
	    atomic_fetch_sub_explicit(&y->refs, 1, memory_order_acq_rel) > 1)
		return;
	for (i = 0; i < y->nruns; i++)
		run_unref(y->run[i]);
	free(y);
}

/* ---- the filter of prefixes ------------------------------------------------- */

/* How much of a table's key comes before the time. */
static size_t
prefix_len(enum nr_table t)
{
	switch (t) {
	case NR_T_AUTHOR:
	case NR_T_TAG:
		return 8;
	case NR_T_AKIND:
		return 10;
	case NR_T_KIND:
		return 2;
	default:
		return 0;
	}
}

static uint64_t
prefix_hash(enum nr_table t, const unsigned char *p, size_t n)
{
	uint64_t h = (uint64_t)t * UINT64_C(0x9e3779b97f4a7c15), v = 0;

	memcpy(&v, p, n < 8 ? n : 8);
	h = (h ^ v) * UINT64_C(0xbf58476d1ce4e5b9);
	if (n > 8) {
		v = 0;
		memcpy(&v, p + 8, n - 8);
		h = (h ^ v ^ h >> 32) * UINT64_C(0x94d049bb133111eb);
	}
	return h ^ h >> 31;
}

/* Three bits of one word for each prefix. */
static uint64_t
bloom_bits(uint64_t h)
{
	return UINT64_C(1) << (h >> 58) | UINT64_C(1) << (h >> 52 & 63) |
	    UINT64_C(1) << (h >> 46 & 63);
}

int
nr_run_may_have(const struct nr_run *r, enum nr_table t,
    const unsigned char *prefix, size_t n)
{
	uint64_t h, bits;

	if (n == 0)
		return r->n > 0;
	h = prefix_hash(t, prefix, n);
	bits = bloom_bits(h);
	return (r->bloom[h & (r->nbloom - 1)] & bits) == bits;
}

static int
make_bloom(struct nr_run *r)
{
	const unsigned char *rec, *last = NULL;
	size_t n;
	uint64_t h;
	uint32_t i;

	/* Some ten bits for each record. */
	for (r->nbloom = 1; r->nbloom * 6 < r->n; r->nbloom *= 2)
		;
	if ((r->bloom = calloc(r->nbloom, sizeof(r->bloom[0]))) == NULL)
		return ENOMEM;
	for (i = 0; i < r->n; i++) {
		rec = r->bytes + r->at[i];
		if ((n = prefix_len((enum nr_table)rec[0])) == 0 ||
		    (last != NULL && last[0] == rec[0] &&
		    memcmp(last + HEAD, rec + HEAD, n) == 0))
			continue;
		h = prefix_hash((enum nr_table)rec[0], rec + HEAD, n);
		r->bloom[h & (r->nbloom - 1)] |= bloom_bits(h);
		last = rec;
	}
	return NR_OK;
}

/* ---- building runs ------------------------------------------------------------- */

struct builder {
	struct nr_buf	bytes, at;
	uint32_t	n;
};

static int
add_record(struct builder *b, const unsigned char *rec)
{
	uint32_t at = (uint32_t)b->bytes.len;
	int rc;

	rc = nr_buf_add(&b->bytes, rec, HEAD + (size_t)rec[1] + rec[2]);
	if (rc == NR_OK)
		rc = nr_buf_add(&b->at, &at, sizeof(at));
	b->n++;
	return rc;
}

static int
add_entry(void *ctx, enum nr_table t, enum nr_op op, const struct nr_key *key)
{
	unsigned char rec[HEAD + NR_KEY_MAX + 16];

	(void)op;
	rec[0] = (unsigned char)t;
	rec[1] = (unsigned char)key->klen;
	rec[2] = (unsigned char)key->vlen;
	memcpy(rec + HEAD, key->k, key->klen);
	memcpy(rec + HEAD + key->klen, key->v, key->vlen);
	return add_record(ctx, rec);
}

static int
builder_end(struct builder *b, struct nr_run **out, uint64_t first,
    uint64_t end)
{
	struct nr_run *r;
	int rc;

	if ((r = calloc(1, sizeof(*r))) == NULL) {
		nr_buf_free(&b->bytes);
		nr_buf_free(&b->at);
		return ENOMEM;
	}
	atomic_init(&r->refs, 1);
	r->first = first;
	r->end = end;
	r->n = b->n;
	r->bytes = (unsigned char *)b->bytes.p;
	r->at = (void *)b->at.p;
	if ((rc = make_bloom(r)) != NR_OK) {
		run_unref(r);
		return rc;
	}
	*out = r;
	return NR_OK;
}

static int
run_of_sorter(struct nr_run **out, struct nr_sorter *entries,
    uint64_t first, uint64_t end)
{
	struct builder b = { .n = 0 };
	int rc;

	rc = nr_sorter_walk(entries, add_entry, &b);
	if (rc == NR_OK)
		return builder_end(&b, out, first, end);
	nr_buf_free(&b.bytes);
	nr_buf_free(&b.at);
	return rc;
}

static int
record_cmp(const unsigned char *a, enum nr_table t, const unsigned char *k,
    size_t klen)
{
	size_t n = a[1] < klen ? a[1] : klen;
	int c;

	if (a[0] != (unsigned char)t)
		return a[0] < (unsigned char)t ? -1 : 1;
	if ((c = memcmp(a + HEAD, k, n)) != 0)
		return c;
	return (a[1] > klen) - (a[1] < klen);
}

static int
merge_runs(struct nr_run **out, const struct nr_run *a,
    const struct nr_run *b)
{
	struct builder to = { .n = 0 };
	const unsigned char *x, *y;
	uint32_t i = 0, j = 0;
	int rc = NR_OK;

	while (rc == NR_OK && (i < a->n || j < b->n)) {
		x = i < a->n ? a->bytes + a->at[i] : NULL;
		y = j < b->n ? b->bytes + b->at[j] : NULL;
		if (y == NULL || (x != NULL && record_cmp(x,
		    (enum nr_table)y[0], y + HEAD, y[1]) <= 0)) {
			rc = add_record(&to, x);
			i++;
		} else {
			rc = add_record(&to, y);
			j++;
		}
	}
	if (rc == NR_OK)
		return builder_end(&to, out, a->first, b->end);
	nr_buf_free(&to.bytes);
	nr_buf_free(&to.at);
	return rc;
}

/* ---- searching ------------------------------------------------------------------- */

/* The first record that is not before the key. */
static uint32_t
lower_bound(const struct nr_run *r, uint32_t lo, enum nr_table t,
    const unsigned char *k, size_t klen)
{
	uint32_t hi = r->n, mid;

	while (lo < hi) {
		mid = lo + (hi - lo) / 2;
		if (record_cmp(r->bytes + r->at[mid], t, k, klen) < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

struct nr_span
nr_run_span(const struct nr_run *r, enum nr_table t,
    const unsigned char *from, size_t fromlen, const unsigned char *to,
    size_t tolen)
{
	struct nr_span s = { r, 0, 0 };

	s.lo = lower_bound(r, 0, t, from, fromlen);
	s.hi = lower_bound(r, s.lo, t, to, tolen);
	return s;
}

void
nr_run_record(const struct nr_run *r, uint32_t i, const unsigned char **k,
    size_t *klen, const unsigned char **v, size_t *vlen)
{
	const unsigned char *rec = r->bytes + r->at[i];

	*klen = rec[1];
	*vlen = rec[2];
	*k = rec + HEAD;
	*v = rec + HEAD + rec[1];
}

/* ---- sets ---------------------------------------------------------------------------- */

static struct nr_young *
new_set(uint64_t from, uint64_t to, size_t nruns)
{
	struct nr_young *y;

	y = calloc(1, sizeof(*y) + nruns * sizeof(y->run[0]));
	if (y == NULL)
		return NULL;
	atomic_init(&y->refs, 1);
	y->from = from;
	y->to = to;
	return y;
}

static void
take_run(struct nr_young *y, struct nr_run *r)
{
	atomic_fetch_add_explicit(&r->refs, 1, memory_order_relaxed);
	y->run[y->nruns++] = r;
}

/*
 * A set with one run more, and without those that nobody needs whose
 * snapshot has events below keep in the index.  The run is taken over,
 * also on failure.
 */
static int
set_add(struct nr_young **out, const struct nr_young *old,
    struct nr_run *r, uint64_t keep)
{
	size_t first = 0, n = old->nruns, i;
	struct nr_run *last, *both;
	struct nr_young *y;
	int rc = NR_OK;

	while (first < n && old->run[first]->end <= keep)
		first++;
	while (rc == NR_OK && n > first) {
		last = old->run[n - 1];
		if (last->n / 2 > r->n ||
		    r->end - last->first > RUN_EVENTS ||
		    last->n + r->n > RUN_RECORDS)
			break;
		if ((rc = merge_runs(&both, last, r)) == NR_OK) {
			run_unref(r);
			r = both;
			n--;
		}
	}
	y = rc == NR_OK ? new_set(old->from, r->end, n - first + 1) : NULL;
	if (y == NULL) {
		run_unref(r);
		return rc != NR_OK ? rc : ENOMEM;
	}
	for (i = first; i < n; i++)
		take_run(y, old->run[i]);
	y->run[y->nruns++] = r;
	if (first > 0)
		y->from = y->run[0]->first;
	*out = y;
	return NR_OK;
}

/* Replace *set by one that has the run too. */
static int
add_run(struct nr_young **set, struct nr_run *r, uint64_t keep)
{
	struct nr_young *y;
	int rc;

	if ((rc = set_add(&y, *set, r, keep)) != NR_OK)
		return rc;
	nr_young_unpin(*set);
	*set = y;
	return NR_OK;
}

/* ---- catching up with the log ---------------------------------------------------------- */

static int
sort_entry(void *ctx, enum nr_table t, const struct nr_key *key)
{
	return nr_sorter_add(ctx, t, NR_OP_PUT, key);
}

/* A run of the live events from first on, to end - 1 at most. */
static int
run_of_log(struct nr_run **out, struct nr_snap *sn, uint64_t first,
    uint64_t end)
{
	size_t bytes = 0;
	struct nr_sorter *s;
	struct nr_event ev;
	struct nr_hit hit;
	uint64_t n = first;
	int rc;

	if ((rc = nr_sorter_new(&s, -1, 0)) != NR_OK)
		return rc;
	while (rc == NR_OK && n < end && bytes < RUN_BYTES) {
		/* Before all time nothing has expired. */
		rc = nr_snap_raw_at(sn, &hit, n, INT64_MIN);
		if (rc != NR_OK || hit.line.p == NULL || hit.number >= end)
			break;
		n = hit.number + 1;
		bytes += hit.line.len;
		if (!nr_event_view_head(&ev, hit.line.p, hit.line.len))
			rc = NR_ECORRUPT;
		else
			rc = nr_entries(&ev, hit.number, sort_entry, s);
	}
	if (rc == NR_OK)
		rc = run_of_sorter(out, s, first,
		    bytes < RUN_BYTES ? end : n);
	nr_sorter_free(s);
	return rc;
}

/* Have the set go up to the snapshot's end. */
static int
catch_up(struct nr_young **set, struct nr_snap *sn, uint64_t keep)
{
	struct nr_run *r;
	uint64_t end;
	int rc = NR_OK;

	while (rc == NR_OK && (*set)->to < sn->head.next) {
		end = sn->head.next;
		if (end - (*set)->to > RUN_EVENTS)
			end = (*set)->to + RUN_EVENTS;
		rc = run_of_log(&r, sn, (*set)->to, end);
		if (rc == NR_OK)
			rc = add_run(set, r, keep);
	}
	return rc;
}

/*
 * What has been merged since the last time is kept for those whose
 * snapshots are from before.  Under young_lock.
 */
static void
note_merged(struct nr_store *st, uint64_t merged)
{
	if (merged <= st->young_merged)
		return;
	st->young_keep = st->young_merged;
	st->young_merged = merged;
}

static int
pin(struct nr_young **out, struct nr_snap *sn)
{
	struct nr_store *st = sn->st;
	struct nr_young *y = st->young;
	int rc;

	note_merged(st, sn->head.merged);
	if (y != NULL && y->from <= sn->head.merged &&
	    y->to >= sn->head.merged) {
		rc = catch_up(&st->young, sn, st->young_keep);
		*out = st->young;
		if (rc == NR_OK)
			atomic_fetch_add(&st->young->refs, 1);
		return rc;
	}
	/* None yet, or one that has nothing of what is asked for. */
	y = new_set(sn->head.merged, sn->head.merged, 0);
	if (y == NULL)
		return ENOMEM;
	if ((rc = catch_up(&y, sn, 0)) != NR_OK) {
		nr_young_unpin(y);
		return rc;
	}
	if (st->young == NULL || st->young->to < y->to) {
		nr_young_unpin(st->young);
		st->young = y;
		atomic_fetch_add(&y->refs, 1);
	}
	*out = y;
	return NR_OK;
}

int
nr_young_pin(struct nr_young **out, struct nr_snap *sn)
{
	int rc;

	pthread_mutex_lock(&sn->st->young_lock);
	rc = pin(out, sn);
	pthread_mutex_unlock(&sn->st->young_lock);
	return rc;
}

int
nr_young_wanted(struct nr_store *st)
{
	int yes;

	pthread_mutex_lock(&st->young_lock);
	yes = st->young != NULL;
	pthread_mutex_unlock(&st->young_lock);
	return yes;
}

void
nr_young_add(struct nr_store *st, struct nr_sorter *entries, uint64_t first,
    const struct nr_head *head)
{
	struct nr_run *r;

	pthread_mutex_lock(&st->young_lock);
	note_merged(st, head->merged);
	/* Where this fails, the next to ask reads the log instead. */
	if (st->young != NULL && st->young->to == first &&
	    head->next > first &&
	    run_of_sorter(&r, entries, first, head->next) == NR_OK)
		(void)add_run(&st->young, r, st->young_keep);
	pthread_mutex_unlock(&st->young_lock);
}
