/*
 * Ranks in the set of plain events and the caller's extra ones.
 *
 * The set has two parts: the chunks of NR_T_SUM, known by their counts and
 * sums until one's entries are asked for; and a sorted array in memory, of
 * the events that are in no chunk.  Where a chunk begins in the one it
 * begins in the other too, so a rank leads to a chunk, and within it to a
 * place in both parts.
 */
#include "store/ranks.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "store/snap.h"
#include "store/sums.h"
#include "store/young.h"
#include "util/buf.h"
#include "util/err.h"

#define CACHED	16	/* chunks whose members are kept */
#define STRIDE	64	/* items in memory for each sum of those before */

/* A chunk, and what comes before it. */
struct part {
	struct nr_rank_item from;
	uint32_t	entries, members;
	uint64_t	base;		/* members of the chunks before it */
	struct nr_sum	sum;		/* and the sum of their ids */
	size_t		mem;		/* items in memory below from */
};

struct slot {
	size_t		part;		/* SIZE_MAX: free */
	uint64_t	used;
	size_t		n;
	struct nr_rank_item *item;
};

struct nr_ranks {
	struct nr_snap	*sn;		/* held by the caller */
	struct nr_store	*st;
	size_t		txn;		/* what is known is as of this one */
	int		known;
	struct nr_buf	parts;		/* struct part, at least one */
	uint64_t	members;	/* of all */
	struct nr_sum	sum;
	struct nr_buf	young;		/* struct nr_rank_item, sorted */
	struct nr_buf	both;		/* the same and extra */
	const struct nr_rank_item *mem;	/* one of these */
	size_t		nmem;
	struct nr_buf	sums;		/* struct nr_sum, for each STRIDE */
	struct nr_timed	*entry;		/* room for a chunk's */
	struct slot	cache[CACHED];
	uint64_t	clock;
	struct nr_ranks_stat stat;
};

static const struct part *
part_at(const struct nr_ranks *r, size_t i)
{
	return (const struct part *)(const void *)r->parts.p + i;
}

static size_t
nparts(const struct nr_ranks *r)
{
	return r->parts.len / sizeof(struct part);
}

int
nr_ranks_new(struct nr_ranks **out)
{
	struct nr_ranks *r;

	if ((r = calloc(1, sizeof(*r))) == NULL)
		return ENOMEM;
	r->entry = malloc(NR_CHUNK_MAX * sizeof(*r->entry));
	if (r->entry == NULL) {
		free(r);
		return ENOMEM;
	}
	*out = r;
	return NR_OK;
}

void
nr_ranks_free(struct nr_ranks *r)
{
	size_t i;

	if (r == NULL)
		return;
	for (i = 0; i < CACHED; i++)
		free(r->cache[i].item);
	nr_buf_free(&r->parts);
	nr_buf_free(&r->young);
	nr_buf_free(&r->both);
	nr_buf_free(&r->sums);
	free(r->entry);
	free(r);
}

/* ---- the table of chunks --------------------------------------------------- */

static int
add_part(struct nr_ranks *r, const struct nr_chunk *c)
{
	struct part p = {
		.from = c->from, .entries = c->entries,
		.members = c->members, .base = r->members, .sum = r->sum
	};

	r->members += c->members;
	nr_sum_add(&r->sum, &c->sum);
	return nr_buf_add(&r->parts, &p, sizeof(p));
}

static int
read_parts(struct nr_ranks *r)
{
	struct nr_chunk c = { .entries = 0 };
	MDB_cursor *cur;
	MDB_val k, v;
	int rc;

	r->parts.len = 0;
	r->members = 0;
	memset(&r->sum, 0, sizeof(r->sum));
	if ((rc = nr_snap_cursor_of(r->sn, &cur, NR_T_SUM)) != NR_OK)
		return rc;
	rc = mdb_cursor_get(cur, &k, &v, MDB_FIRST);
	if (rc == MDB_NOTFOUND)
		return add_part(r, &c);
	while (rc == 0) {
		if (!nr_chunk_get(&c, &k, &v) || c.entries > NR_CHUNK_MAX)
			return NR_ECORRUPT;
		if ((rc = add_part(r, &c)) == NR_OK)
			rc = mdb_cursor_get(cur, &k, &v, MDB_NEXT);
	}
	return rc == MDB_NOTFOUND ? NR_OK : rc;
}

/* ---- what is in no chunk ------------------------------------------------------- */

/* Who is alive of those that wait to be merged. */
static int
read_alive(struct nr_snap *sn, struct nr_bitmap *alive)
{
	uint64_t number = sn->head.merged;
	MDB_val k = { sizeof(number), &number }, v;
	MDB_cursor *c;
	int rc;

	if ((rc = nr_snap_cursor_of(sn, &c, NR_T_EVENT)) != NR_OK)
		return rc;
	rc = mdb_cursor_get(c, &k, &v, MDB_SET_RANGE);
	while (rc == 0) {
		if (k.mv_size != sizeof(number))
			return NR_ECORRUPT;
		memcpy(&number, k.mv_data, sizeof(number));
		rc = nr_bitmap_set(alive, number - sn->head.merged);
		if (rc == NR_OK)
			rc = mdb_cursor_get(c, &k, &v, MDB_NEXT);
	}
	return rc == MDB_NOTFOUND ? NR_OK : rc;
}

/* Has a merge that is under way, or was given up, put its entry already? */
static int
is_merged(struct nr_snap *sn, int *yes, const struct nr_timed *young,
    const MDB_val *key)
{
	const struct nr_head *head = &sn->head;
	MDB_val k = *key, v;
	struct nr_timed e;
	MDB_cursor *c;
	int rc;

	*yes = young->number < head->target &&
	    young->item.time < head->put_all;
	if (*yes || young->number >= head->target ||
	    young->item.time >= head->put_some)
		return NR_OK;
	if ((rc = nr_snap_cursor_of(sn, &c, NR_T_TIME)) != NR_OK)
		return rc;
	rc = mdb_cursor_get(c, &k, &v, MDB_SET);
	if (rc == 0 && !nr_timed_get(&e, &k, &v))
		return NR_ECORRUPT;
	*yes = rc == 0 && e.number == young->number;
	return rc == MDB_NOTFOUND ? NR_OK : rc;
}

static int
wanted(struct nr_snap *sn, int *yes, const struct nr_bitmap *alive,
    const struct nr_timed *e, const MDB_val *key)
{
	int rc, merged;

	*yes = 0;
	if (!e->plain || e->number < sn->head.merged ||
	    !nr_bitmap_has(alive, e->number - sn->head.merged))
		return NR_OK;
	if ((rc = is_merged(sn, &merged, e, key)) == NR_OK)
		*yes = !merged;
	return rc;
}

static int
read_run(struct nr_snap *sn, struct nr_buf *out, const struct nr_run *run,
    const struct nr_bitmap *alive)
{
	unsigned char top[NR_KEY_MAX];
	const unsigned char *key, *value;
	struct nr_span s;
	struct nr_timed e;
	MDB_val k, v;
	uint32_t i;
	int rc = NR_OK, yes;

	memset(top, 0xff, sizeof(top));
	s = nr_run_span(run, NR_T_TIME, top, 0, top, sizeof(top));
	for (i = s.lo; rc == NR_OK && i < s.hi; i++) {
		nr_run_record(run, i, &key, &k.mv_size, &value, &v.mv_size);
		k.mv_data = (void *)(uintptr_t)key;
		v.mv_data = (void *)(uintptr_t)value;
		if (!nr_timed_get(&e, &k, &v))
			return NR_ECORRUPT;
		rc = wanted(sn, &yes, alive, &e, &k);
		if (rc == NR_OK && yes)
			rc = nr_buf_add(out, &e.item, sizeof(e.item));
	}
	nr_ties_turn(out->p, out->len / sizeof(e.item), sizeof(e.item));
	return rc;
}

/* Merge two sorted arrays; out is neither. */
static int
merge(struct nr_buf *out, const struct nr_rank_item *a, size_t na,
    const struct nr_rank_item *b, size_t nb)
{
	struct nr_rank_item *p;
	size_t i = 0, j = 0;
	int rc;

	out->len = 0;
	if ((rc = nr_buf_reserve(out, (na + nb) * sizeof(*p))) != NR_OK)
		return rc;
	out->len = (na + nb) * sizeof(*p);
	for (p = (void *)out->p; i < na || j < nb; p++)
		*p = j == nb || (i < na && nr_rank_cmp(&a[i], &b[j]) <= 0) ?
		    a[i++] : b[j++];
	return NR_OK;
}

static size_t
nitems(const struct nr_buf *b)
{
	return b->len / sizeof(struct nr_rank_item);
}

static const struct nr_rank_item *
items(const struct nr_buf *b)
{
	return (const void *)b->p;
}

/* From the newest run to the oldest, which is the largest. */
static int
read_runs(struct nr_ranks *r, const struct nr_young *y,
    const struct nr_bitmap *alive)
{
	struct nr_buf one = { 0 }, was;
	size_t i;
	int rc = NR_OK;

	r->young.len = 0;
	for (i = y->nruns; rc == NR_OK && i > 0; i--) {
		one.len = 0;
		rc = read_run(r->sn, &one, y->run[i - 1], alive);
		if (rc != NR_OK || one.len == 0)
			continue;
		rc = merge(&r->both, items(&r->young), nitems(&r->young),
		    items(&one), nitems(&one));
		was = r->young;
		r->young = r->both;
		r->both = was;
	}
	nr_buf_free(&one);
	return rc;
}

static int
read_young(struct nr_ranks *r)
{
	struct nr_bitmap alive = { 0 };
	struct nr_young *y;
	int rc;

	if ((rc = nr_young_pin(&y, r->sn)) != NR_OK)
		return rc;
	rc = read_alive(r->sn, &alive);
	if (rc == NR_OK)
		rc = read_runs(r, y, &alive);
	free(alive.bits);
	nr_young_unpin(y);
	return rc;
}

/* ---- a new set ---------------------------------------------------------------------- */

static int
sum_memory(struct nr_ranks *r)
{
	struct nr_sum s = {{ 0 }};
	size_t i;
	int rc = NR_OK;

	r->sums.len = 0;
	for (i = 0; rc == NR_OK && i < r->nmem; i++) {
		if (i % STRIDE == 0)
			rc = nr_buf_add(&r->sums, &s, sizeof(s));
		nr_sum_add_id(&s, r->mem[i].id);
	}
	return rc;
}

/* Where each chunk begins in memory. */
static void
place_parts(struct nr_ranks *r)
{
	struct part *p = (void *)r->parts.p;
	size_t i, j = 0;

	for (i = 0; i < nparts(r); i++) {
		while (j < r->nmem &&
		    nr_rank_cmp(&r->mem[j], &p[i].from) < 0)
			j++;
		p[i].mem = j;
	}
}

static int
set_memory(struct nr_ranks *r, const struct nr_rank_item *extra,
    size_t nextra)
{
	const struct nr_buf *mem = &r->young;
	int rc;

	if (nextra > 0) {
		rc = merge(&r->both, items(&r->young), nitems(&r->young),
		    extra, nextra);
		if (rc != NR_OK)
			return rc;
		mem = &r->both;
	}
	r->mem = items(mem);
	r->nmem = nitems(mem);
	place_parts(r);
	return sum_memory(r);
}

static int
read_all(struct nr_ranks *r)
{
	size_t i;
	int rc;

	r->known = 0;
	for (i = 0; i < CACHED; i++)
		r->cache[i].part = SIZE_MAX;
	if ((rc = read_parts(r)) != NR_OK || (rc = read_young(r)) != NR_OK)
		return rc;
	r->stat.tables++;
	r->known = 1;
	r->st = r->sn->st;
	r->txn = mdb_txn_id(r->sn->txn);
	return NR_OK;
}

int
nr_ranks_renew(struct nr_ranks *r, int *ready, struct nr_snap *sn,
    const struct nr_rank_item *extra, size_t nextra)
{
	int rc = NR_OK;

	if (sn->head.vanishing > 0) {
		*ready = 0;
		return NR_OK;
	}
	r->sn = sn;
	if (!r->known || r->st != sn->st || r->txn != mdb_txn_id(sn->txn))
		rc = read_all(r);
	if (rc == NR_OK)
		rc = set_memory(r, extra, nextra);
	if (rc != NR_OK)
		return nr_store_rc(sn->st, rc);
	*ready = 1;
	return NR_OK;
}

void
nr_ranks_stat(const struct nr_ranks *r, struct nr_ranks_stat *out)
{
	*out = r->stat;
	out->chunks = nparts(r);
	out->waiting = nitems(&r->young);
}

uint64_t
nr_ranks_size(const struct nr_ranks *r)
{
	return r->members + r->nmem;
}

/* ---- a chunk's members -------------------------------------------------------------- */

static struct slot *
oldest(struct nr_ranks *r)
{
	struct slot *s = &r->cache[0];
	size_t i;

	for (i = 1; i < CACHED; i++)
		if (r->cache[i].part == SIZE_MAX ||
		    (s->part != SIZE_MAX && r->cache[i].used < s->used))
			s = &r->cache[i];
	return s;
}

/* Of the n entries read, keep the members. */
static int
keep_members(struct nr_ranks *r, struct slot *s, size_t n)
{
	MDB_cursor *dead;
	size_t i;
	int rc, gone;

	if ((rc = nr_snap_cursor_of(r->sn, &dead, NR_T_DEAD)) != NR_OK)
		return rc;
	s->n = 0;
	for (i = 0; i < n; i++) {
		if (!r->entry[i].plain)
			continue;
		rc = nr_timed_dead(dead, &gone, r->entry[i].number);
		if (rc != NR_OK)
			return rc;
		if (!gone)
			s->item[s->n++] = r->entry[i].item;
	}
	return NR_OK;
}

static int
read_members(struct nr_ranks *r, struct slot *s, size_t i)
{
	const struct part *p = part_at(r, i);
	MDB_cursor *time;
	size_t n;
	int rc;

	if (s->item == NULL && (s->item = malloc(NR_CHUNK_MAX *
	    sizeof(*s->item))) == NULL)
		return ENOMEM;
	s->part = SIZE_MAX;
	if ((rc = nr_snap_cursor_of(r->sn, &time, NR_T_TIME)) != NR_OK ||
	    (rc = nr_timed_read(time, r->entry, &n, p->entries, &p->from,
	    i + 1 < nparts(r) ? &part_at(r, i + 1)->from : NULL)) != NR_OK ||
	    (rc = keep_members(r, s, n)) != NR_OK)
		return rc;
	r->stat.loads++;
	r->stat.entries += n;
	/* Else the ranks of all that follows would be wrong. */
	if (n != p->entries || s->n != p->members)
		return NR_ECORRUPT;
	s->part = i;
	return NR_OK;
}

/* A chunk's members, until the next call. */
static int
members(struct nr_ranks *r, const struct nr_rank_item **out, size_t i)
{
	struct slot *s = NULL;
	size_t j;
	int rc;

	*out = NULL;
	if (part_at(r, i)->members == 0)
		return NR_OK;
	for (j = 0; s == NULL && j < CACHED; j++)
		if (r->cache[j].part == i)
			s = &r->cache[j];
	if (s == NULL) {
		s = oldest(r);
		if ((rc = read_members(r, s, i)) != NR_OK)
			return nr_store_rc(r->st, rc);
	}
	s->used = ++r->clock;
	*out = s->item;
	return NR_OK;
}

/* ---- where a rank is -------------------------------------------------------------- */

/* A place between two items: the next is member at of part, or mem. */
struct place {
	size_t		part;
	size_t		at;
	size_t		mem;
	const struct nr_rank_item *item;	/* the part's; or NULL */
};

/* The end, in memory, of what belongs to a part. */
static size_t
mem_end(const struct nr_ranks *r, size_t i)
{
	return i + 1 < nparts(r) ? part_at(r, i + 1)->mem : r->nmem;
}

/* The last part that begins at a rank or before. */
static size_t
part_of_rank(const struct nr_ranks *r, uint64_t rank)
{
	size_t lo = 0, hi = nparts(r), mid;

	while (hi - lo > 1) {
		mid = lo + (hi - lo) / 2;
		if (part_at(r, mid)->base + part_at(r, mid)->mem <= rank)
			lo = mid;
		else
			hi = mid;
	}
	return lo;
}

/* How many of the first k of two sorted arrays together are in a? */
static size_t
share(const struct nr_rank_item *a, size_t na, const struct nr_rank_item *b,
    size_t nb, size_t k)
{
	size_t lo = k > nb ? k - nb : 0, hi = k < na ? k : na, mid;

	while (lo < hi) {
		mid = lo + (hi - lo) / 2;
		if (nr_rank_cmp(&a[mid], &b[k - mid - 1]) < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

static int
locate(struct nr_ranks *r, struct place *out, uint64_t rank)
{
	size_t i = part_of_rank(r, rank), k;
	const struct part *p = part_at(r, i);
	int rc;

	*out = (struct place){ .part = i, .mem = p->mem };
	if ((k = (size_t)(rank - p->base - p->mem)) == 0)
		return NR_OK;
	if (rank == nr_ranks_size(r)) {
		out->at = p->members;
		out->mem = r->nmem;
		return NR_OK;
	}
	if ((rc = members(r, &out->item, i)) != NR_OK)
		return rc;
	out->at = share(out->item, p->members, r->mem + p->mem,
	    mem_end(r, i) - p->mem, k);
	out->mem += k - out->at;
	return NR_OK;
}

/* How many of a sorted array are below an item? */
static size_t
below(const struct nr_rank_item *a, size_t n,
    const struct nr_rank_item *bound)
{
	size_t lo = 0, hi = n, mid;

	while (lo < hi) {
		mid = lo + (hi - lo) / 2;
		if (nr_rank_cmp(&a[mid], bound) < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

/* The last part that begins at an item or before. */
static size_t
part_of_item(const struct nr_ranks *r, const struct nr_rank_item *item)
{
	size_t lo = 0, hi = nparts(r), mid;

	while (hi - lo > 1) {
		mid = lo + (hi - lo) / 2;
		if (nr_rank_cmp(&part_at(r, mid)->from, item) <= 0)
			lo = mid;
		else
			hi = mid;
	}
	return lo;
}

int
nr_ranks_find(struct nr_ranks *r, uint64_t *rank,
    const struct nr_rank_item *bound, uint64_t from, uint64_t to)
{
	size_t i = part_of_item(r, bound);
	const struct part *p = part_at(r, i);
	const struct nr_rank_item *item;
	uint64_t found = p->base + p->mem;
	int rc;

	if (bound->time > INT64_MAX)
		found = nr_ranks_size(r);
	else if (nr_rank_cmp(&p->from, bound) < 0) {
		if ((rc = members(r, &item, i)) != NR_OK)
			return rc;
		found += below(item, p->members, bound) + below(r->mem +
		    p->mem, mem_end(r, i) - p->mem, bound);
	}
	*rank = found < from ? from : found > to ? to : found;
	return NR_OK;
}

/* ---- sums and items ------------------------------------------------------------------- */

/* The sum of the ids of all items below a rank. */
static int
sum_below(struct nr_ranks *r, struct nr_sum *out, uint64_t rank)
{
	const struct nr_sum *sums = (const void *)r->sums.p;
	struct place at;
	size_t i;
	int rc;

	if ((rc = locate(r, &at, rank)) != NR_OK)
		return rc;
	*out = part_at(r, at.part)->sum;
	if (at.at > 0 && at.item == NULL)
		*out = r->sum;		/* the end */
	else
		for (i = 0; i < at.at; i++)
			nr_sum_add_id(out, at.item[i].id);
	if (at.mem > 0) {
		i = (at.mem - 1) / STRIDE;
		nr_sum_add(out, &sums[i]);
		for (i *= STRIDE; i < at.mem; i++)
			nr_sum_add_id(out, r->mem[i].id);
	}
	return NR_OK;
}

int
nr_ranks_sum(struct nr_ranks *r, struct nr_sum *out, uint64_t lo,
    uint64_t hi)
{
	struct nr_sum below_lo, below_hi;
	int rc;

	assert(lo <= hi && hi <= nr_ranks_size(r));
	if ((rc = sum_below(r, &below_lo, lo)) != NR_OK ||
	    (rc = sum_below(r, &below_hi, hi)) != NR_OK)
		return rc;
	nr_sum_sub(&below_hi, &below_lo);
	*out = below_hi;
	return NR_OK;
}

/* Visit up to n of a part's items, from a place on; count them down. */
static int
visit_part(struct nr_ranks *r, const struct place *at, uint64_t *n,
    nr_each_rank *each, void *ctx)
{
	size_t na = part_at(r, at->part)->members, nb = mem_end(r, at->part);
	size_t i = at->at, j = at->mem;
	const struct nr_rank_item *a;
	int rc;

	if ((rc = members(r, &a, at->part)) != NR_OK)
		return rc;
	for (; *n > 0 && (i < na || j < nb); --*n)
		if ((rc = each(ctx, j == nb || (i < na && nr_rank_cmp(&a[i],
		    &r->mem[j]) <= 0) ? &a[i++] : &r->mem[j++])) != 0)
			return rc;
	return NR_OK;
}

int
nr_ranks_items(struct nr_ranks *r, uint64_t lo, uint64_t hi,
    nr_each_rank *each, void *ctx)
{
	uint64_t n = hi - lo;
	struct place at;
	int rc;

	assert(lo <= hi && hi <= nr_ranks_size(r));
	if (n == 0 || (rc = locate(r, &at, lo)) != NR_OK)
		return n == 0 ? NR_OK : rc;
	while ((rc = visit_part(r, &at, &n, each, ctx)) == NR_OK && n > 0) {
		at.part++;
		at.at = 0;
		at.mem = part_at(r, at.part)->mem;
	}
	return rc;
}
