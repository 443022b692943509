/*
 * The store's calls and what they refuse; locks, cursors and snapshots.
 */
#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench/gen.h"
#include "store/lock.h"
#include "store/query.h"
#include "store/store.h"
#include "util/err.h"

static char dir[64];

static int
fresh_dir(void **state)
{
	(void)state;
	strcpy(dir, "/tmp/nr-unit.XXXXXX");
	return mkdtemp(dir) == NULL;
}

static int
remove_dir(void **state)
{
	char cmd[128];

	(void)state;
	snprintf(cmd, sizeof(cmd), "rm -rf '%s'", dir);
	return system(cmd);
}

static struct nr_store *
open_store(unsigned flags)
{
	struct nr_store_options o = { .flags = flags, .program = "unit",
	    .timeout = 200 };
	struct nr_store *st;

	assert_int_equal(nr_store_open(&st, dir, &o), 0);
	return st;
}

/* n events of the network model, put one batch at a time. */
static void
put_events(struct nr_store *st, uint64_t seed, unsigned n, unsigned batch)
{
	const struct nr_gen_options o = {
		.seed = seed, .count = n, .authors = 20, .since = 1000,
		.until = 2000
	};
	struct nr_item *item = calloc(batch, sizeof(*item));
	struct nr_buf *line = calloc(batch, sizeof(*line));
	struct nr_gen *g;
	unsigned i, author;

	assert_int_equal(nr_gen_new(&g, &o), 0);
	do {
		for (i = 0; i < batch; i++) {
			if (nr_gen_next(g, &line[i], &author) != 0)
				break;
			item[i].line.p = line[i].p;
			item[i].line.len = line[i].len - 1;
			assert_true(nr_event_view(&item[i].ev, line[i].p,
			    line[i].len - 1));
		}
		assert_int_equal(nr_store_put(st, item, i, 0, 0), 0);
	} while (i == batch);
	for (i = 0; i < batch; i++)
		nr_buf_free(&line[i]);
	nr_gen_free(g);
	free(line);
	free(item);
}

static void
test_absent(void **state)
{
	struct nr_store_options o = { .program = "unit" };
	struct nr_store *st = NULL;

	(void)state;
	assert_int_equal(nr_store_open(&st, "/nonexistent/x", &o), ENOENT);
	assert_int_equal(nr_store_open(&st, dir, &o), NR_ENOSTORE);
	assert_null(st);
	o.flags = NR_STORE_CREATE;
	assert_int_equal(nr_store_open(&st, "/proc/x", &o), ENOENT);
	assert_null(st);
}

static void
test_put_and_get(void **state)
{
	struct nr_store *st = open_store(NR_STORE_CREATE);
	unsigned char id[32] = { 0 };
	struct nr_store_stat s;
	struct nr_snap *sn;
	struct nr_hit hit;
	uint64_t n = 0, number = 0;
	struct nr_event ev;

	(void)state;
	put_events(st, 1, 500, 50);
	assert_int_equal(nr_snap_new(&sn, st), 0);
	assert_int_equal(nr_snap_renew(sn), 0);
	assert_int_equal(nr_snap_get(sn, &hit, id), 0);
	assert_null(hit.line.p);
	for (;; n++) {
		assert_int_equal(nr_snap_at(sn, &hit, number, 0), 0);
		if (hit.line.p == NULL)
			break;
		number = hit.number + 1;
		assert_true(nr_event_view(&ev, hit.line.p, hit.line.len));
		assert_int_equal(nr_snap_get(sn, &hit, ev.id), 0);
		assert_int_equal(hit.number + 1, number);
	}
	assert_int_equal(nr_snap_stat(sn, &s), 0);
	assert_int_equal(s.events, n);
	assert_true(n > 400);
	/* What is put again is there already. */
	nr_snap_release(sn);
	put_events(st, 1, 500, 500);
	assert_int_equal(nr_snap_renew(sn), 0);
	assert_int_equal(nr_snap_stat(sn, &s), 0);
	assert_int_equal(s.events, n);
	nr_snap_free(sn);
	nr_store_close(st);
}

static void *
put_more(void *st)
{
	put_events(st, 3, 100, 100);
	return NULL;
}

/* A snapshot does not see what another thread stores after it. */
static void
test_snapshot(void **state)
{
	struct nr_store *st = open_store(NR_STORE_CREATE);
	struct nr_snap *sn;
	struct nr_hit hit;
	pthread_t writer;
	uint64_t before;

	(void)state;
	put_events(st, 2, 100, 100);
	assert_int_equal(nr_snap_new(&sn, st), 0);
	assert_int_equal(nr_snap_renew(sn), 0);
	before = nr_snap_next_number(sn);
	assert_int_equal(pthread_create(&writer, NULL, put_more, st), 0);
	assert_int_equal(pthread_join(writer, NULL), 0);
	assert_int_equal(nr_snap_next_number(sn), before);
	assert_int_equal(nr_snap_at(sn, &hit, before, 0), 0);
	assert_null(hit.line.p);
	assert_int_equal(nr_snap_renew(sn), 0);
	assert_true(nr_snap_next_number(sn) > before);
	nr_snap_free(sn);
	nr_store_close(st);
}

static void
test_cursor(void **state)
{
	struct nr_store *st = open_store(NR_STORE_CREATE);
	struct nr_cursor c, other;
	struct nr_snap *sn;
	uint64_t number;

	(void)state;
	put_events(st, 4, 100, 100);
	assert_int_equal(nr_snap_new(&sn, st), 0);
	assert_int_equal(nr_snap_renew(sn), 0);
	assert_int_equal(nr_snap_cursor(sn, &c, 50), 0);
	assert_int_equal(nr_snap_cursor_number(sn, &number, &c), 0);
	assert_int_equal(number, 50);
	assert_int_equal(c.segment, 1);
	/* Of another epoch: from the start of its segment. */
	other = c;
	other.epoch++;
	assert_int_equal(nr_snap_cursor_number(sn, &number, &other), 0);
	assert_int_equal(number, 0);
	other.segment = 99;
	assert_int_equal(nr_snap_cursor_number(sn, &number, &other), 0);
	assert_int_equal(number, nr_snap_next_number(sn));
	nr_snap_free(sn);
	nr_store_close(st);
}

/* What the operator deletes stays away, through a rebuild too. */
static void
test_delete(void **state)
{
	struct nr_store *st = open_store(NR_STORE_CREATE);
	uint64_t numbers[3] = { 3, 7, 999999 };
	struct nr_snap *sn;
	struct nr_hit hit;
	struct nr_event ev;
	struct nr_item item = { 0 };
	struct nr_buf keep = { 0 };
	size_t n;
	int round;

	(void)state;
	put_events(st, 5, 50, 50);
	assert_int_equal(nr_snap_new(&sn, st), 0);
	assert_int_equal(nr_snap_renew(sn), 0);
	assert_int_equal(nr_snap_at(sn, &hit, 3, 0), 0);
	assert_int_equal(hit.number, 3);
	assert_int_equal(nr_buf_add(&keep, hit.line.p, hit.line.len), 0);
	nr_snap_free(sn);
	assert_int_equal(nr_store_delete(st, &n, numbers, 3), 0);
	assert_int_equal(n, 2);
	assert_true(nr_event_view(&ev, keep.p, keep.len));
	for (round = 0; round < 2; round++) {
		assert_int_equal(nr_snap_new(&sn, st), 0);
		assert_int_equal(nr_snap_renew(sn), 0);
		assert_int_equal(nr_snap_get(sn, &hit, ev.id), 0);
		assert_null(hit.line.p);
		nr_snap_free(sn);
		item.line.p = keep.p;
		item.line.len = keep.len;
		item.ev = ev;
		assert_int_equal(nr_store_put(st, &item, 1, 0, 0), 0);
		assert_int_equal(item.result, NR_PUT_DELETED);
		nr_store_close(st);
		st = open_store(round == 0 ? NR_STORE_REINDEX : 0);
	}
	nr_buf_free(&keep);
	nr_store_close(st);
}

/* Somebody else holds the write lock: busy, by name, in good time. */
static void
test_busy(void **state)
{
	struct nr_store *st = open_store(NR_STORE_CREATE);
	struct nr_item item = { 0 };
	char who[64], path[128];
	int fd, dirfd;

	(void)state;
	snprintf(path, sizeof(path), "%s", dir);
	dirfd = open(path, O_RDONLY | O_DIRECTORY);
	assert_int_equal(nr_lock_open(&fd, dirfd), 0);
	assert_int_equal(nr_lock_write(fd, 0), 0);
	nr_lock_sign(fd, NR_LOCK_WRITE, "other");
	assert_int_equal(nr_store_put(st, &item, 0, 0, 0), NR_EBUSY);
	nr_store_holder(dir, who, sizeof(who));
	assert_memory_equal(who, "other ", 6);
	nr_lock_drop(fd, NR_LOCK_WRITE);
	assert_int_equal(nr_store_put(st, &item, 0, 0, 0), 0);
	close(fd);
	close(dirfd);
	nr_store_close(st);
}

/* A waiting writer is next, however busy the first one is. */
static void
test_fair(void **state)
{
	int a, b, dirfd = open(dir, O_RDONLY | O_DIRECTORY);

	(void)state;
	assert_int_equal(nr_lock_open(&a, dirfd), 0);
	assert_int_equal(nr_lock_open(&b, dirfd), 0);
	assert_int_equal(nr_lock_write(a, 0), 0);
	/* b waits: it has NEXT, and so a cannot queue before it. */
	assert_int_equal(nr_lock_take(b, NR_LOCK_NEXT, 1, 0), 0);
	nr_lock_drop(a, NR_LOCK_WRITE);
	assert_int_equal(nr_lock_write(a, 20), NR_EBUSY);
	assert_int_equal(nr_lock_take(b, NR_LOCK_WRITE, 1, 0), 0);
	nr_lock_drop(b, NR_LOCK_NEXT);
	nr_lock_drop(b, NR_LOCK_WRITE);
	assert_int_equal(nr_lock_write(a, 0), 0);
	close(a);
	close(b);
	close(dirfd);
}

static void
test_gone(void **state)
{
	struct nr_store *st = open_store(NR_STORE_CREATE);
	struct nr_store_options o = { .program = "unit", .timeout = 200 };
	struct nr_item item = { 0 };
	struct nr_store *second;
	char cmd[128];

	(void)state;
	put_events(st, 6, 20, 20);
	snprintf(cmd, sizeof(cmd), "rm -rf '%s/index'", dir);
	assert_int_equal(system(cmd), 0);
	assert_int_equal(nr_store_put(st, &item, 0, 0, 0), NR_EGONE);
	assert_int_equal(nr_store_open(&second, dir, &o), NR_EGONE);
	nr_store_close(st);
	/* Alone again, it is built anew. */
	st = open_store(0);
	assert_int_equal(nr_store_put(st, &item, 0, 0, 0), 0);
	nr_store_close(st);
}

static void
test_bulk(void **state)
{
	struct nr_store *st = open_store(NR_STORE_CREATE);
	struct nr_store_options o = { .program = "unit", .timeout = 100 };
	struct nr_store *second;

	(void)state;
	assert_int_equal(nr_bulk_begin(st), 0);
	assert_false(nr_bulk_wanted(st));
	assert_int_equal(nr_store_open(&second, dir, &o), NR_EBUSY);
	assert_int_equal(nr_bulk_end(st), 0);
	assert_int_equal(nr_store_open(&second, dir, &o), 0);
	/* Not alone; then alone, but not empty. */
	assert_int_equal(nr_bulk_begin(st), NR_EBUSY);
	nr_store_close(second);
	put_events(st, 7, 10, 10);
	assert_int_equal(nr_bulk_begin(st), NR_EBUSY);
	assert_int_equal(nr_store_open(&second, dir, &o), 0);
	nr_store_close(second);
	nr_store_close(st);
}

static void
test_expiry(void **state)
{
	static const char *const text = "{\"id\":\"%064d\",\"pubkey\":\"%064d\""
	    ",\"created_at\":1,\"kind\":1,\"tags\":[[\"expiration\",\"%d\"]],"
	    "\"content\":\"\",\"sig\":\"%0128d\"}";
	struct nr_store *st = open_store(NR_STORE_CREATE);
	char line[3][600];
	struct nr_item item[3] = { 0 };
	struct nr_snap *sn;
	struct nr_hit hit;
	size_t swept;
	int i;

	(void)state;
	for (i = 0; i < 3; i++) {
		item[i].line.p = line[i];
		item[i].line.len = (size_t)snprintf(line[i], sizeof(line[i]),
		    text, i + 1, 1, 100 * (i + 1), 0);
		assert_true(nr_event_view(&item[i].ev, line[i],
		    item[i].line.len));
	}
	assert_int_equal(nr_store_put(st, item, 3, 0, 100), 0);
	assert_int_equal(item[0].result, NR_PUT_EXPIRED);
	assert_int_equal(item[1].result, NR_PUT_STORED);
	assert_int_equal(item[2].result, NR_PUT_STORED);
	assert_int_equal(nr_snap_new(&sn, st), 0);
	assert_int_equal(nr_snap_renew(sn), 0);
	/* Expired, not yet swept: hidden. */
	assert_int_equal(nr_snap_at(sn, &hit, 0, 200), 0);
	assert_int_equal(hit.number, item[2].number);
	nr_snap_release(sn);
	assert_int_equal(nr_store_tend(st, &swept, 10, 200), 0);
	assert_int_equal(swept, 1);
	assert_int_equal(nr_store_tend(st, &swept, 10, 200), 0);
	assert_int_equal(swept, 0);
	assert_int_equal(nr_snap_renew(sn), 0);
	assert_int_equal(nr_snap_get(sn, &hit, item[1].ev.id), 0);
	assert_null(hit.line.p);
	nr_snap_free(sn);
	nr_store_close(st);
}

/*
 * A query whose next match was found in one snapshot, and died, goes on in
 * another one that was renewed as often.
 */
static void
test_other_snapshot(void **state)
{
	struct nr_filter f[2] = { { .has = 0 } };
	struct nr_query_options o = { .now = 1 };
	struct nr_store *st = open_store(NR_STORE_CREATE);
	enum nr_query_state found;
	struct nr_snap *a, *b;
	struct nr_query *q;
	struct nr_hit hit;
	uint64_t newest;
	int64_t budget;
	size_t n;

	(void)state;
	put_events(st, 1, 600, 100);
	assert_int_equal(nr_snap_new(&a, st), 0);
	assert_int_equal(nr_snap_new(&b, st), 0);
	assert_int_equal(nr_snap_renew(a), 0);
	budget = 1000000;
	assert_int_equal(nr_query_new(&q, f, 1, &o), 0);
	assert_int_equal(nr_query_next(q, a, &found, &hit, &budget), 0);
	assert_int_equal(found, NR_QUERY_HIT);
	newest = hit.number;
	nr_query_free(q);
	nr_snap_free(a);
	/* Budgets that pause it at each place. */
	for (budget = 1; budget < 400; budget++) {
		int64_t first = budget, all = 1000000;

		assert_int_equal(nr_snap_new(&a, st), 0);
		nr_snap_free(b);
		assert_int_equal(nr_snap_new(&b, st), 0);
		assert_int_equal(nr_query_new(&q, f, 2, &o), 0);
		assert_int_equal(nr_snap_renew(a), 0);
		assert_int_equal(nr_query_next(q, a, &found, &hit, &first), 0);
		nr_snap_release(a);
		if (found != NR_QUERY_PAUSE) {
			nr_query_free(q);
			nr_snap_free(a);
			continue;
		}
		assert_int_equal(nr_store_delete(st, &n, &newest, 1), 0);
		assert_int_equal(nr_snap_renew(b), 0);
		assert_int_equal(nr_query_next(q, b, &found, &hit, &all), 0);
		assert_int_equal(found, NR_QUERY_HIT);
		assert_true(hit.number != newest);
		newest = hit.number;
		nr_snap_release(b);
		nr_query_free(q);
		nr_snap_free(a);
		/* So that no dead entry is in the way of the next. */
		assert_int_equal(nr_store_settle(st, -1), 0);
	}
	nr_snap_free(b);
	nr_store_close(st);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, fresh_dir, remove_dir)

/* Does this process have a file mapped whose name ends so? */
static int
mapped(const char *name)
{
	FILE *f = fopen("/proc/self/maps", "r");
	char line[512];
	int found = 0;

	assert_non_null(f);
	while (fgets(line, sizeof(line), f) != NULL)
		found |= strstr(line, name) != NULL;
	fclose(f);
	return found;
}

/*
 * What a snapshot lent stays there while its segment is compacted; later
 * the old file is let go, so that its space comes back.
 */
static void
test_compact(void **state)
{
	struct nr_store *st = open_store(NR_STORE_CREATE);
	struct nr_compaction c = { .min_dead = 1 };
	uint64_t doomed[50];
	struct nr_snap *sn;
	struct nr_hit hit;
	char line[64];
	size_t n, i;

	(void)state;
	put_events(st, 1, 600, 100);
	for (i = 0; i < 50; i++)
		doomed[i] = 2 * i;
	assert_int_equal(nr_store_delete(st, &n, doomed, 50), 0);
	assert_int_equal(nr_snap_new(&sn, st), 0);
	assert_int_equal(nr_snap_renew(sn), 0);
	assert_int_equal(nr_snap_at(sn, &hit, 500, 0), 0);
	memcpy(line, hit.line.p, sizeof(line));
	assert_int_equal(nr_store_compact(st, &c), 0);
	assert_int_equal(memcmp(line, hit.line.p, sizeof(line)), 0);
	assert_true(mapped("/00000001.jsonl"));
	assert_int_equal(nr_snap_renew(sn), 0);
	assert_int_equal(nr_snap_at(sn, &hit, 500, 0), 0);
	assert_int_equal(memcmp(line, hit.line.p, sizeof(line)), 0);
	assert_false(mapped("/00000001.jsonl"));
	assert_true(mapped("/00000001.1.jsonl"));
	nr_snap_free(sn);
	nr_store_close(st);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_absent),
		TEST(test_put_and_get),
		TEST(test_snapshot),
		TEST(test_cursor),
		TEST(test_delete),
		TEST(test_busy),
		TEST(test_fair),
		TEST(test_gone),
		TEST(test_bulk),
		TEST(test_expiry),
		TEST(test_other_snapshot),
		TEST(test_compact),
	};

	return NR_RUN(tests);
}
