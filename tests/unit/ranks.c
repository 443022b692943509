/*
 * The store's counts, sums and ranks, against a sorted array of what is
 * alive: in stores that grow, are filled, merged in part, deleted from,
 * swept, compacted, rebuilt.
 */
#include "unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "event/tags.h"
#include "event/verify.h"
#include "store/internal.h"
#include "store/ranks.h"
#include "store/snap.h"
#include "util/err.h"
#include "util/hex.h"
#include "util/rng.h"

#define AUTHORS		6
#define EXPIRY		1000000	/* expirations are around this time */

static char dir[64];
static struct nr_rng rng;
static struct nr_verifier *verifier;
static struct nr_store *st;
static struct nr_snap *sn;
static struct nr_ranks *ranks;
static uint64_t times;		/* created_at is from 1 to this */
static int64_t now;

static uint64_t
below(uint64_t n)
{
	return nr_rng_below(&rng, n);
}

/* ---- events -------------------------------------------------------------- */

struct ids {
	unsigned char	(*id)[32];
	size_t		 n, cap;
};

static struct ids known;	/* ids that were put once */

static void
remember(const unsigned char id[32])
{
	if (known.n == known.cap) {
		known.cap = known.cap * 2 + 1024;
		known.id = realloc(known.id, known.cap * 32);
		assert_non_null(known.id);
	}
	memcpy(known.id[known.n++], id, 32);
}

static void
write_event(struct nr_buf *out, unsigned author, uint64_t at, unsigned kind,
    const char *tags)
{
	static const char zeros[] = "0000000000000000000000000000000000000000"
	    "000000000000000000000000";
	unsigned char id[32];
	struct nr_event ev;
	char hex[65] = "";

	out->len = 0;
	assert_int_equal(nr_buf_addf(out, "{\"id\":\"%s\",\"pubkey\":\"%.62s"
	    "%02x\",\"created_at\":%ju,\"kind\":%u,\"tags\":[%s],"
	    "\"content\":\"%ju\",\"sig\":\"%s%s\"}", zeros, zeros, author,
	    (uintmax_t)at, kind, tags, (uintmax_t)nr_rng_next(&rng), zeros,
	    zeros), 0);
	assert_true(nr_event_view(&ev, out->p, out->len));
	nr_event_hash(verifier, &ev, 0, id);
	nr_hex_encode(hex, id, 32);
	memcpy(out->p + 7, hex, 64);
	remember(id);
}

static void
random_tags(char *tags, size_t size, unsigned kind)
{
	char hex[65] = "";

	*tags = '\0';
	if (kind == NR_KIND_DELETION && known.n > 0) {
		nr_hex_encode(hex, known.id[below(known.n)], 32);
		snprintf(tags, size, "[\"e\",\"%.64s\"]", hex);
	} else if (kind >= 30000)
		snprintf(tags, size, "[\"d\",\"%u\"]", (unsigned)below(20));
	else if (below(6) == 0)
		snprintf(tags, size, "[\"expiration\",\"%u\"]",
		    EXPIRY + (unsigned)below(1000));
}

static void
random_event(struct nr_buf *out)
{
	static const unsigned kinds[] = {
		1, 1, 1, 1, 1, 1, 7, 7, 0, 3, 4, 1059, 10002, 30023, 30023, 5
	};
	unsigned kind = kinds[below(sizeof(kinds) / sizeof(kinds[0]))];
	char tags[200];

	random_tags(tags, sizeof(tags), kind);
	write_event(out, (unsigned)below(AUTHORS), 1 + below(times), kind,
	    tags);
}

/* Put n random events, some of them for the second time. */
static void
put_some(size_t n, int bulk)
{
	struct nr_item *item = calloc(n, sizeof(*item));
	struct nr_buf *line = calloc(n, sizeof(*line));
	size_t i;

	for (i = 0; i < n; i++) {
		random_event(&line[i]);
		item[i].line.p = line[i].p;
		item[i].line.len = line[i].len;
		assert_true(nr_event_view(&item[i].ev, line[i].p,
		    line[i].len));
	}
	assert_int_equal(bulk ? nr_bulk_put(st, item, n, 0, now) :
	    nr_store_put(st, item, n, 0, now), 0);
	if (!bulk && n > 10)
		assert_int_equal(nr_store_put(st, item, n / 10, 0,
		    EXPIRY - 1), 0);
	for (i = 0; i < n; i++)
		nr_buf_free(&line[i]);
	free(line);
	free(item);
}

/* ---- the array --------------------------------------------------------------- */

struct list {
	struct nr_rank_item *item;
	size_t	n, cap;
};

static void
list_add(struct list *l, const struct nr_event *ev)
{
	if (l->n == l->cap) {
		l->cap = l->cap * 2 + 1024;
		l->item = realloc(l->item, l->cap * sizeof(l->item[0]));
		assert_non_null(l->item);
	}
	l->item[l->n].time = (uint64_t)ev->created_at;
	memcpy(l->item[l->n++].id, ev->id, 32);
}

static int
item_cmp(const void *a, const void *b)
{
	return nr_rank_cmp(a, b);
}

/* All that is alive and plain, and a share of the rest, the extra ones. */
static void
list_live(struct list *all, struct list *extra, unsigned share)
{
	struct nr_event ev;
	struct nr_hit hit;
	uint64_t number = 0;

	all->n = extra->n = 0;
	for (;; number = hit.number + 1) {
		assert_int_equal(nr_snap_at(sn, &hit, number, INT64_MIN), 0);
		if (hit.line.p == NULL)
			break;
		assert_true(nr_event_view(&ev, hit.line.p, hit.line.len));
		if (ev.kind == 4 || ev.kind == 1059 ||
		    nr_event_expiration(&ev) != INT64_MAX) {
			if (below(100) >= share)
				continue;
			list_add(extra, &ev);
		}
		list_add(all, &ev);
	}
	if (all->n > 0)
		qsort(all->item, all->n, sizeof(all->item[0]), item_cmp);
	if (extra->n > 0)
		qsort(extra->item, extra->n, sizeof(extra->item[0]),
		    item_cmp);
}

static void
compare_find(const struct list *l)
{
	struct nr_rank_item b = { .time = below(times + 3) };
	uint64_t from = below(l->n + 1), to = from + below(l->n - from + 1);
	uint64_t want, got;
	size_t i;

	for (i = 0; i < 32; i++)
		b.id[i] = i < below(3) ? (unsigned char)nr_rng_next(&rng) : 0;
	if (l->n > 0 && below(2) == 0) {
		b = l->item[below(l->n)];
		if (below(2) == 0)
			b.id[31]++;
	}
	if (below(20) == 0)
		b.time = below(2) == 0 ? UINT64_MAX : 0;
	if (below(2) == 0) {
		from = 0;
		to = l->n;
	}
	for (want = 0; want < l->n && nr_rank_cmp(&l->item[want], &b) < 0;
	    want++)
		;
	want = want < from ? from : want > to ? to : want;
	assert_int_equal(nr_ranks_find(ranks, &got, &b, from, to), 0);
	assert_int_equal(got, want);
}

struct visit {
	const struct nr_rank_item *next;
	uint64_t	left, stop;
};

static int
visit(void *ctx, const struct nr_rank_item *item)
{
	struct visit *v = ctx;

	assert_int_equal(nr_rank_cmp(item, v->next), 0);
	v->next++;
	v->left--;
	return v->left == v->stop ? NR_EINVAL : 0;
}

static void
compare_range(const struct list *l)
{
	uint64_t lo = below(l->n + 1), hi = lo + below(l->n - lo + 1), i;
	struct visit v = { l->item + lo, hi - lo, UINT64_MAX };
	struct nr_sum want = {{ 0 }}, got;

	for (i = lo; i < hi; i++)
		nr_sum_add_id(&want, l->item[i].id);
	assert_int_equal(nr_ranks_sum(ranks, &got, lo, hi), 0);
	assert_memory_equal(&got, &want, sizeof(got));
	assert_int_equal(nr_ranks_items(ranks, lo, hi, visit, &v), 0);
	assert_int_equal(v.left, 0);
	if (hi - lo > 1) {
		v = (struct visit){ l->item + lo, hi - lo, 1 };
		assert_int_equal(nr_ranks_items(ranks, lo, hi, visit, &v),
		    NR_EINVAL);
	}
}

static void
compare(void)
{
	static const unsigned share[] = { 0, 30, 100 };
	struct list all = { 0 }, extra = { 0 };
	int ready = -1;
	unsigned i;

	assert_int_equal(nr_snap_renew(sn), 0);
	list_live(&all, &extra, share[below(3)]);
	assert_int_equal(nr_ranks_renew(ranks, &ready, sn, extra.item,
	    extra.n), 0);
	assert_int_equal(ready, sn->head.vanishing == 0);
	if (ready) {
		assert_int_equal(nr_ranks_size(ranks), all.n);
		for (i = 0; i < 20; i++)
			compare_find(&all);
		for (i = 0; i < 10; i++)
			compare_range(&all);
	}
	nr_snap_release(sn);
	free(all.item);
	free(extra.item);
}

/* ---- the store ------------------------------------------------------------------ */

static void
open_store(unsigned flags)
{
	struct nr_store_options o = { .flags = flags, .program = "unit",
	    .segment_bytes = 200000 };

	assert_int_equal(nr_store_open(&st, dir, &o), 0);
	assert_int_equal(nr_snap_new(&sn, st), 0);
}

static void
close_store(void)
{
	nr_snap_free(sn);
	nr_store_close(st);
}

static void
report(void *ctx, const char *text)
{
	(void)ctx;
	print_message("# %s\n", text);
}

static uint64_t
findings(void)
{
	struct nr_check c = { .report = report };

	assert_int_equal(nr_store_check(st, &c), 0);
	return c.findings;
}

/* How many there are, and the sum of all. */
static uint64_t
total(struct nr_sum *sum)
{
	int ready;

	assert_int_equal(nr_snap_renew(sn), 0);
	assert_int_equal(nr_ranks_renew(ranks, &ready, sn, NULL, 0), 0);
	assert_true(ready);
	assert_int_equal(nr_ranks_sum(ranks, sum, 0, nr_ranks_size(ranks)),
	    0);
	nr_snap_release(sn);
	return nr_ranks_size(ranks);
}

static void
delete_some(size_t max)
{
	uint64_t *number = calloc(max, sizeof(*number));
	struct nr_hit hit;
	size_t n = 0, deleted;

	assert_int_equal(nr_snap_renew(sn), 0);
	while (n < max) {
		assert_int_equal(nr_snap_at(sn, &hit,
		    below(nr_snap_next_number(sn) + 1), INT64_MIN), 0);
		if (hit.line.p == NULL)
			break;
		number[n++] = hit.number;
	}
	nr_snap_release(sn);
	assert_int_equal(nr_store_delete(st, &deleted, number, n), 0);
	free(number);
}

/*
 * Put some of the entries that wait, as a merge does that is given up: up
 * to a time, and of that a share.
 */
struct half {
	struct nr_writer *w;
	uint64_t	 time;
	unsigned	 share;
};

static int
put_time(void *ctx, enum nr_table t, const struct nr_key *key)
{
	MDB_val k = { key->klen, (void *)(uintptr_t)key->k };
	MDB_val v = { key->vlen, (void *)(uintptr_t)key->v };
	struct half *h = ctx;
	MDB_cursor *c;
	int64_t time;
	int rc, fresh;

	(void)nr_get_time(key->k, &time);
	if (t != NR_T_TIME || (uint64_t)time > h->time ||
	    ((uint64_t)time == h->time && below(100) >= h->share))
		return NR_OK;
	if ((rc = nr_writer_cursor(h->w, &c, t)) != NR_OK)
		return rc;
	rc = mdb_cursor_put(c, &k, &v, MDB_NOOVERWRITE);
	fresh = rc == 0;
	if (rc == MDB_KEYEXIST) {
		if (memcmp(v.mv_data, key->v, key->vlen) == 0)
			return NR_OK;
		v.mv_data = (void *)(uintptr_t)key->v;
		rc = mdb_cursor_put(c, &k, &v, 0);
	}
	return rc != 0 ? rc : nr_sums_put(h->w, key, fresh);
}

static int
half_merge(struct nr_writer *w, void *ctx, int *changed)
{
	uint64_t number = w->head.merged;
	struct half h = { w, 1 + below(times), (unsigned)below(101) };
	struct nr_event ev;
	struct nr_view line;
	struct nr_place at;
	int rc = NR_OK;

	(void)ctx;
	(void)changed;
	w->head.merge_seq++;
	if (w->head.target == 0)
		w->head.put_some = 0;
	w->head.target = w->head.next;
	w->head.put_all = h.time;
	if (w->head.put_some <= h.time)
		w->head.put_some = h.time + 1;
	for (; rc == NR_OK && number < w->head.next; number++) {
		if ((rc = nr_writer_line(w, &at, &line, number)) ==
		    MDB_NOTFOUND) {
			rc = NR_OK;
			continue;
		}
		assert_int_equal(rc, 0);
		assert_true(nr_event_view(&ev, line.p, line.len));
		rc = nr_entries(&ev, number, put_time, &h);
	}
	return rc;
}

static void
merge_half(void)
{
	nr_merge_abandon(st);
	assert_int_equal(nr_transact(st, half_merge, NULL, 1), 0);
}

static int
kill_number(struct nr_writer *w, void *ctx, int *changed)
{
	(void)changed;
	return nr_rules_kill(w, *(uint64_t *)ctx);
}

/*
 * Some die without a trace, as versions do that are replaced, and come
 * back: the index has an entry with the same key, of the dead one.
 */
static void
come_back(void)
{
	struct nr_item item = { .vanish = 0 };
	struct nr_buf line = { 0 };
	struct nr_hit hit;
	unsigned i;

	for (i = 0; i < 5; i++) {
		assert_int_equal(nr_snap_renew(sn), 0);
		assert_int_equal(nr_snap_at(sn, &hit,
		    below(nr_snap_next_number(sn) + 1), INT64_MIN), 0);
		line.len = 0;
		if (hit.line.p != NULL)
			assert_int_equal(nr_buf_add(&line, hit.line.p,
			    hit.line.len), 0);
		nr_snap_release(sn);
		if (line.len == 0)
			break;
		assert_int_equal(nr_transact(st, kill_number, &hit.number,
		    1), 0);
		if (below(3) == 0)
			compare();
		item.line.p = line.p;
		item.line.len = line.len;
		assert_true(nr_event_view(&item.ev, line.p, line.len));
		assert_int_equal(nr_store_put(st, &item, 1, 0, 0), 0);
		assert_int_equal(item.result, NR_PUT_STORED);
	}
	nr_buf_free(&line);
}

/* One author goes; the sweep may come later. */
static void
vanish(void)
{
	struct nr_item item = { .vanish = 1 };
	struct nr_buf line = { 0 };

	write_event(&line, (unsigned)below(AUTHORS), 1 + below(times),
	    NR_KIND_VANISH, "[\"relay\",\"ALL_RELAYS\"]");
	item.line.p = line.p;
	item.line.len = line.len;
	assert_true(nr_event_view(&item.ev, line.p, line.len));
	assert_int_equal(nr_store_put(st, &item, 1, 0, now), 0);
	compare();
	if (below(2) == 0)
		assert_int_equal(nr_store_vanish(st, NULL, NULL), 0);
	nr_buf_free(&line);
}

static void
compact(void)
{
	struct nr_compaction c = { .min_dead = 5, .min_bytes = 1 };

	assert_int_equal(nr_store_compact(st, &c), 0);
}

/* A rebuild comes to the same sum. */
static void
rebuild(void)
{
	struct nr_sum before, after;
	uint64_t n;

	/* One that goes on vanishing would be done after it. */
	assert_int_equal(nr_store_vanish(st, NULL, NULL), 0);
	n = total(&before);
	close_store();
	open_store(NR_STORE_REINDEX);
	assert_int_equal(total(&after), n);
	assert_memory_equal(&after, &before, sizeof(after));
}

static void
random_step(void)
{
	size_t swept;

	switch (below(18)) {
	case 0: case 1: case 2: case 3: case 4:
		put_some(1 + below(400), 0);
		break;
	case 5:
		delete_some(1 + below(300));
		break;
	case 6: case 7:
		merge_half();
		break;
	case 8: case 9:
		assert_int_equal(nr_store_settle(st, 1), 0);
		break;
	case 10:
		assert_int_equal(nr_store_settle(st, -1), 0);
		break;
	case 11:
		nr_merge_abandon(st);
		break;
	case 12:
		now = EXPIRY + (int64_t)below(1000);
		assert_int_equal(nr_store_tend(st, &swept, 200, now), 0);
		break;
	case 13:
		compact();
		break;
	case 14:
		if (below(4) == 0)
			vanish();
		break;
	case 15:
		if (below(4) == 0)
			rebuild();
		else {
			close_store();
			open_store(0);
		}
		break;
	case 16: case 17:
		if (sn->head.vanishing == 0)
			come_back();
		break;
	}
}

static void
random_store(uint64_t t, unsigned steps)
{
	unsigned i;

	times = t;
	now = 0;
	open_store(NR_STORE_CREATE);
	compare();
	for (i = 0; i < steps; i++) {
		random_step();
		compare();
		if (i % 8 == 0)
			assert_int_equal(findings(), 0);
	}
	delete_some(3000);
	assert_int_equal(nr_store_settle(st, -1), 0);
	compare();
	assert_int_equal(findings(), 0);
	rebuild();
	compare();
	assert_int_equal(findings(), 0);
	close_store();
}

static void
test_spread(void **state)
{
	(void)state;
	random_store(UINT64_C(0x2ffffffffff), 100);
}

static void
test_ties(void **state)
{
	(void)state;
	random_store(10, 100);
}

static void
test_one_time(void **state)
{
	(void)state;
	random_store(1, 100);
}

/* A bound whose id is somebody's, or near it, or of few bytes. */
static struct nr_rank_item
random_bound(void)
{
	struct nr_rank_item b = { .time = below(times + 2) };
	size_t zero = 32 - below(3);

	if (below(3) > 0)
		memcpy(b.id, known.id[below(known.n)], 32);
	if (zero < 32 || below(3) == 0)
		memset(b.id + zero, 0, 32 - zero);
	return b;
}

/* Entries of a range, where a time's are in the index backwards. */
static void
test_timed_read(void **state)
{
	struct list all = { 0 }, extra = { 0 };
	struct nr_timed *got, *p;
	struct nr_rank_item from, to;
	MDB_cursor *time;
	size_t i, j, n;

	(void)state;
	times = 4;
	now = 0;
	open_store(NR_STORE_CREATE);
	put_some(1500, 0);
	assert_int_equal(nr_store_settle(st, -1), 0);
	assert_int_equal(nr_snap_renew(sn), 0);
	list_live(&all, &extra, 100);
	got = calloc(all.n, sizeof(*got));
	assert_int_equal(nr_snap_cursor_of(sn, &time, NR_T_TIME), 0);
	for (i = 0; i < 2000; i++) {
		from = random_bound();
		to = random_bound();
		assert_int_equal(nr_timed_read(time, got, &n, all.n, &from,
		    i % 10 == 0 ? NULL : &to), 0);
		for (j = 0; j < all.n &&
		    nr_rank_cmp(&all.item[j], &from) < 0; j++)
			;
		for (p = got; j < all.n && (i % 10 == 0 ||
		    nr_rank_cmp(&all.item[j], &to) < 0); j++, n--)
			assert_int_equal(nr_rank_cmp(&all.item[j],
			    &p++->item), 0);
		assert_int_equal(n, 0);
	}
	nr_snap_release(sn);
	close_store();
	free(got);
	free(all.item);
	free(extra.item);
}

/* One that was filled at once, and then grows. */
static void
test_bulk(void **state)
{
	struct nr_ranks_stat s;
	unsigned i;

	(void)state;
	times = 3000;
	now = 0;
	open_store(NR_STORE_CREATE);
	assert_int_equal(nr_bulk_begin(st), 0);
	for (i = 0; i < 10; i++)
		put_some(700, 1);
	assert_int_equal(nr_bulk_end(st), 0);
	compare();
	assert_int_equal(findings(), 0);
	nr_ranks_stat(ranks, &s);
	assert_in_range(s.chunks, 7000 / NR_CHUNK_MAX / 2,
	    7000 / NR_CHUNK_MAX * 3);
	for (i = 0; i < 20; i++) {
		random_step();
		compare();
	}
	assert_int_equal(findings(), 0);
	close_store();
}

/* After each step of a merge, which mostly stops within the index by time. */
static void
test_merging(void **state)
{
	unsigned i, within = 0;

	(void)state;
	times = 3000;
	now = 0;
	open_store(NR_STORE_CREATE);
	assert_int_equal(nr_bulk_begin(st), 0);
	put_some(110000, 1);
	assert_int_equal(nr_bulk_end(st), 0);
	for (i = 0; i < 3; i++)
		put_some(7500, 0);
	for (i = 0; i < 100; i++) {
		assert_int_equal(nr_store_settle(st, 1), 0);
		compare();
		if (sn->head.target == 0 && i > 0)
			break;
		within += sn->head.put_some > 0 &&
		    sn->head.put_some < UINT64_MAX;
	}
	print_message("# %u times within\n", within);
	assert_int_equal(sn->head.target, 0);
	assert_int_equal(findings(), 0);
	close_store();
}

/* What is deleted leaves no chunks behind, nor many small ones. */
static void
test_shrinks(void **state)
{
	struct nr_ranks_stat s;
	struct nr_sum sum;
	unsigned i;

	(void)state;
	times = 100000;
	now = 0;
	open_store(NR_STORE_CREATE);
	for (i = 0; i < 5; i++)
		put_some(1000, 0);
	assert_int_equal(nr_store_settle(st, -1), 0);
	for (i = 0; i < 50; i++)
		delete_some(1000);
	assert_int_equal(nr_store_settle(st, -1), 0);
	compare();
	assert_int_equal(findings(), 0);
	(void)total(&sum);
	nr_ranks_stat(ranks, &s);
	assert_in_range(s.chunks, 1, 3);
	close_store();
}

/* Only the chunks at the ends of a range are read, and only once. */
static void
test_reads_little(void **state)
{
	struct nr_ranks_stat before, after;
	struct nr_sum sum;
	uint64_t n;
	int ready;

	(void)state;
	times = 1000000;
	now = 0;
	open_store(NR_STORE_CREATE);
	assert_int_equal(nr_bulk_begin(st), 0);
	put_some(10000, 1);
	assert_int_equal(nr_bulk_end(st), 0);
	n = total(&sum);
	nr_ranks_stat(ranks, &before);
	assert_int_equal(nr_snap_renew(sn), 0);
	assert_int_equal(nr_ranks_renew(ranks, &ready, sn, NULL, 0), 0);
	assert_int_equal(nr_ranks_sum(ranks, &sum, n / 3, n / 2), 0);
	nr_ranks_stat(ranks, &after);
	assert_in_range(after.loads - before.loads, 1, 2);
	assert_in_range(after.entries - before.entries, 1, 2 * NR_CHUNK_MAX);
	assert_int_equal(after.tables, before.tables);
	before = after;
	assert_int_equal(nr_ranks_sum(ranks, &sum, n / 3, n / 2), 0);
	nr_ranks_stat(ranks, &after);
	assert_int_equal(after.loads, before.loads);
	/* Something was committed: all is looked at again. */
	nr_snap_release(sn);
	put_some(20, 0);
	assert_int_equal(nr_snap_renew(sn), 0);
	assert_int_equal(nr_ranks_renew(ranks, &ready, sn, NULL, 0), 0);
	nr_ranks_stat(ranks, &after);
	assert_int_equal(after.tables, before.tables + 1);
	nr_snap_release(sn);
	close_store();
}

/* ---- what must be found -------------------------------------------------------------- */

/* Change a byte of the last chunk: of a count, or of the sum. */
static int
spoil(struct nr_writer *w, void *ctx, int *changed)
{
	unsigned char key[NR_KEY_MAX], value[64];
	MDB_val k, v;
	MDB_cursor *c;

	(void)changed;
	assert_int_equal(nr_writer_cursor(w, &c, NR_T_SUM), 0);
	assert_int_equal(mdb_cursor_get(c, &k, &v, MDB_LAST), 0);
	memcpy(key, k.mv_data, k.mv_size);
	memcpy(value, v.mv_data, v.mv_size);
	value[*(size_t *)ctx] ^= 1;
	k.mv_data = key;
	v.mv_data = value;
	return mdb_cursor_put(c, &k, &v, 0);
}

static int
drop_last(struct nr_writer *w, void *ctx, int *changed)
{
	MDB_cursor *c;
	MDB_val k, v;

	(void)ctx;
	(void)changed;
	assert_int_equal(nr_writer_cursor(w, &c, NR_T_SUM), 0);
	assert_int_equal(mdb_cursor_get(c, &k, &v, MDB_LAST), 0);
	return mdb_cursor_del(c, 0);
}

static void
test_finds(void **state)
{
	static const size_t at[] = { 3, 7, 8, 39 };
	struct nr_rank_item bound = { .time = 99999 };
	uint64_t rank;
	size_t i, where;
	int ready;

	(void)state;
	times = 100000;
	now = 0;
	open_store(NR_STORE_CREATE);
	put_some(3000, 0);
	assert_int_equal(nr_store_settle(st, -1), 0);
	assert_int_equal(findings(), 0);
	for (i = 0; i < sizeof(at) / sizeof(at[0]); i++) {
		where = at[i];
		assert_int_equal(nr_transact(st, spoil, &where, 1), 0);
		assert_int_equal(findings(), 1);
		assert_int_equal(nr_snap_renew(sn), 0);
		assert_int_equal(nr_ranks_renew(ranks, &ready, sn, NULL, 0),
		    0);
		if (where < 8)
			assert_int_equal(nr_ranks_find(ranks, &rank, &bound,
			    0, 3000), NR_ECORRUPT);
		nr_snap_release(sn);
		assert_int_equal(nr_transact(st, spoil, &where, 1), 0);
		assert_int_equal(findings(), 0);
	}
	assert_int_equal(nr_transact(st, drop_last, NULL, 1), 0);
	assert_int_equal(findings(), 1);
	close_store();
	open_store(NR_STORE_REINDEX);
	assert_int_equal(findings(), 0);
	close_store();
}

/* The list for configurations is the one that the sums are by. */
static void
test_confidential(void **state)
{
	const char *p = NR_KINDS_CONFIDENTIAL;
	unsigned kind, next = (unsigned)strtoul(p, (char **)&p, 10);

	(void)state;
	for (kind = 0; kind < 65536; kind++) {
		assert_int_equal(nr_kind_confidential(kind), kind == next);
		if (kind == next && *p == ',')
			next = (unsigned)strtoul(p + 1, (char **)&p, 10);
	}
	assert_int_equal(*p, '\0');
}

static int
begin(void **state)
{
	(void)state;
	strcpy(dir, "/tmp/nr-unit.XXXXXX");
	known.n = 0;
	return mkdtemp(dir) == NULL || nr_ranks_new(&ranks) != 0 ||
	    nr_verifier_new(&verifier) != 0;
}

static int
end(void **state)
{
	char cmd[128];

	(void)state;
	nr_ranks_free(ranks);
	nr_verifier_free(verifier);
	free(known.id);
	memset(&known, 0, sizeof(known));
	snprintf(cmd, sizeof(cmd), "rm -rf '%s'", dir);
	return system(cmd);
}

#define TEST(f)	cmocka_unit_test_setup_teardown(f, begin, end)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_spread), TEST(test_ties), TEST(test_one_time),
		TEST(test_timed_read), TEST(test_merging),
		TEST(test_bulk), TEST(test_shrinks), TEST(test_reads_little),
		TEST(test_finds), cmocka_unit_test(test_confidential)
	};
	const char *seed = getenv("NR_SEED");

	rng.state = seed != NULL ? strtoull(seed, NULL, 10) :
	    (uint64_t)time(NULL);
	printf("# seed %ju\n", (uintmax_t)rng.state);
	return NR_RUN(tests);
}
