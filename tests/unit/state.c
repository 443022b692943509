/*
 * The state of policies: limits, authors and texts, over threads,
 * processes, restarts, kills, and clocks that go back.
 */
#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "policy/state.h"
#include "util/err.h"
#include "util/rng.h"
#include "util/siphash.h"

#define SECOND	INT64_C(1000000000)
#define DAY	INT64_C(86400)
#define START	INT64_C(1700000000)
#define BIG	((size_t)1 << 20)

static char dir[] = "/tmp/nr-state-XXXXXX";
static char path[64];

static struct nr_state *
open_state(const char *name, size_t bytes, int expect_fresh)
{
	struct nr_state *s = NULL;
	int fresh = -1;

	assert_int_equal(nr_state_open(&s, name, bytes, 0, &fresh), NR_OK);
	assert_int_equal(fresh, expect_fresh);
	return s;
}

static void
key_of(unsigned char key[32], uint64_t n)
{
	struct nr_rng r = { n };
	unsigned i;
	uint64_t x;

	for (i = 0; i < 32; i += 8) {
		x = nr_rng_next(&r);
		memcpy(key + i, &x, 8);
	}
}

/* The vector of the paper: key 00..0f, text 00..0e. */
static void
test_siphash(void **state)
{
	unsigned char key[16], text[15];
	unsigned i;

	(void)state;
	for (i = 0; i < 16; i++)
		key[i] = (unsigned char)i;
	for (i = 0; i < 15; i++)
		text[i] = (unsigned char)i;
	assert_true(nr_siphash(key, text, 15) ==
	    UINT64_C(0xa129ca6149be45e5));
	assert_true(nr_siphash(key, text, 0) ==
	    UINT64_C(0x726fdb47dd0e0e31));
}

static void
test_limits(void **state)
{
	struct nr_rate r = { 10, SECOND, 5 };
	struct nr_state *s = open_state(NULL, BIG, 1);
	int64_t now = START * SECOND;
	unsigned i;

	(void)state;
	for (i = 0; i < 5; i++)
		assert_int_equal(nr_state_take(s, &r, "a", 1, 1, now), 0);
	assert_int_equal(nr_state_take(s, &r, "a", 1, 1, now), SECOND / 10);
	assert_int_equal(nr_state_take(s, &r, "b", 1, 5, now), 0);
	assert_int_equal(nr_state_take(s, &r, "b", 1, 1, now), SECOND / 10);
	now += SECOND / 10;
	assert_int_equal(nr_state_take(s, &r, "a", 1, 1, now), 0);
	assert_true(nr_state_take(s, &r, "a", 1, 1, now) > 0);
	/* More than a burst is a burst, and nobody owes. */
	now += 10 * SECOND;
	assert_int_equal(nr_state_take(s, &r, "a", 1, 1000, now), 0);
	assert_int_equal(nr_state_take(s, &r, "a", 1, 1, now), SECOND / 10);
	r.count = 0;
	assert_int_equal(nr_state_take(s, &r, "a", 1, 1, now), 0);
	nr_state_close(s);
}

/* Nobody waits for longer than it takes to fill a bucket. */
static void
test_clock_goes_back(void **state)
{
	struct nr_rate r = { 10, 60 * SECOND, 5 };
	struct nr_state *s = open_state(NULL, BIG, 1);
	unsigned char who[32];
	int64_t now = (START + DAY) * SECOND;
	unsigned i;

	(void)state;
	key_of(who, 1);
	for (i = 0; i < 5; i++)
		assert_int_equal(nr_state_take(s, &r, "a", 1, 1, now), 0);
	now -= DAY * SECOND;
	for (i = 0; i < 5; i++)
		assert_int_equal(nr_state_take(s, &r, "a", 1, 1, now), 0);
	assert_int_equal(nr_state_take(s, &r, "a", 1, 1, now), 6 * SECOND);
	now += 6 * SECOND;
	assert_int_equal(nr_state_take(s, &r, "a", 1, 1, now), 0);
	assert_int_equal(nr_state_take(s, &r, "a", 1, 1, now), 6 * SECOND);
	nr_state_learn(s, who, START + DAY);
	assert_int_equal(nr_state_author(s, who), START + DAY);
	nr_state_learn(s, who, START);
	assert_int_equal(nr_state_author(s, who), START);
	nr_state_learn(s, who, -5);
	assert_int_equal(nr_state_author(s, who), 1);
	/* 400 days and more ahead is no time that a clock had. */
	assert_int_equal(nr_state_take(s, &r, "z", 1, 5, INT64_MAX / 4), 0);
	nr_state_close(s);
}

static void
test_authors(void **state)
{
	struct nr_state *s = open_state(NULL, BIG, 1);
	unsigned char who[32];
	unsigned i, known = 0;

	(void)state;
	key_of(who, 0);
	assert_int_equal(nr_state_author(s, who), 0);
	for (i = 0; i < 20000; i++) {
		key_of(who, i);
		nr_state_learn(s, who, START + i);
		nr_state_learn(s, who, START + i + DAY);
	}
	for (i = 0; i < 20000; i++) {
		key_of(who, i);
		known += nr_state_author(s, who) == START + i;
	}
	/* 65,000 places in sets of eight: hardly any set has overflown. */
	assert_in_range(known, 19950, 20000);
	for (; i < 21000; i++) {
		key_of(who, i);
		assert_int_equal(nr_state_author(s, who), 0);
	}
	nr_state_close(s);
}

/* What is of use stays, however many others come by. */
static void
test_gives_up_the_least(void **state)
{
	struct nr_rate slow = { 1, DAY * SECOND, 1 }, fast = { 1, SECOND, 1 };
	struct nr_state *s = open_state(NULL, NR_STATE_MIN, 1);
	unsigned char who[32];
	struct nr_sketch k = { NR_SKETCH_BANDS, { 0 } };
	struct nr_rng rng = { 3 };
	int64_t now = START * SECOND;
	unsigned i, j, kept = 0;

	(void)state;
	/* 31 sets: 16 are one in every other set. */
	for (i = 0; i < 16; i++) {
		key_of(who, i);
		nr_state_learn(s, who, START);
		assert_int_equal(nr_state_take(s, &slow, who, 32, 1, now), 0);
	}
	for (i = 0; i < 5000; i++) {
		assert_int_equal(nr_state_take(s, &fast, &i, sizeof(i), 1,
		    now), 0);
		for (j = 0; j < NR_SKETCH_BANDS; j++)
			k.band[j] = nr_rng_next(&rng);
		key_of(who, i);
		assert_int_equal(nr_state_alike(s, &k, who, START, 3600), 0);
	}
	for (i = 0; i < 16; i++) {
		key_of(who, i);
		kept += nr_state_author(s, who) == START;
		kept += nr_state_take(s, &slow, who, 32, 1, now) > 0;
	}
	assert_in_range(kept, 28, 32);
	/* Authors give way to authors. */
	for (i = 100; i < 5000; i++) {
		key_of(who, i);
		nr_state_learn(s, who, START + DAY);
	}
	for (kept = 0, i = 0; i < 16; i++) {
		key_of(who, i);
		kept += nr_state_take(s, &slow, who, 32, 1, now) > 0;
		assert_int_equal(nr_state_author(s, who), 0);
	}
	assert_in_range(kept, 13, 16);
	nr_state_close(s);
}

static void
test_alike(void **state)
{
	struct nr_sketch k = { NR_SKETCH_BANDS, { 1, 2, 3, 4, 5, 6 } };
	struct nr_sketch near = { NR_SKETCH_BANDS, { 9, 8, 3, 7, 10, 11 } };
	struct nr_sketch none = { 0 };
	struct nr_state *s = open_state(NULL, BIG, 1);
	unsigned char who[32];
	unsigned i, n;

	(void)state;
	key_of(who, 0);
	assert_int_equal(nr_state_alike(s, &none, who, START, 600), 0);
	assert_int_equal(nr_state_alike(s, &k, who, START, 600), 0);
	/* The same author does not count. */
	assert_int_equal(nr_state_alike(s, &k, who, START, 600), 0);
	/* One of 15 passes for the first: their hashes share a bit. */
	for (i = n = 0; n == 0 && i < 16; i++) {
		key_of(who, 2000 + i);
		n = nr_state_alike(s, &near, who, START + 1, 600);
	}
	assert_int_equal(n, 1);
	assert_int_equal(nr_state_alike(s, &near, who, START, 600), 1);
	assert_int_equal(nr_state_alike(s, &k, who, START + 1, 601), 0);
	for (i = 3; i < 500; i++) {
		key_of(who, i);
		n = nr_state_alike(s, &k, who, START + 2, 600);
		if (i == 12)
			assert_in_range(n, 3, 27);
	}
	assert_in_range(n, 37, 47);
	/* Still there after half of the time, and gone after all of it. */
	key_of(who, 1000);
	assert_true(nr_state_alike(s, &k, who, START + 301, 600) >= 37);
	assert_in_range(nr_state_alike(s, &k, who, START + 601, 600), 0, 1);
	assert_int_equal(nr_state_alike(s, &k, who, START + 5000, 600), 0);
	nr_state_close(s);
}

static void
test_restart(void **state)
{
	struct nr_rate r = { 1, 3600 * SECOND, 1 };
	int64_t now = START * SECOND;
	unsigned char who[32];
	struct nr_state *s, *t;
	struct stat st;

	(void)state;
	key_of(who, 1);
	s = open_state(path, BIG, 1);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	assert_int_equal(st.st_size, BIG);
	assert_int_equal(nr_state_take(s, &r, "a", 1, 1, now), 0);
	nr_state_learn(s, who, START);
	/* Who opens it now sees it at once, and the other way round. */
	t = open_state(path, BIG + 100, 0);
	assert_int_equal(nr_state_author(t, who), START);
	assert_true(nr_state_take(t, &r, "a", 1, 1, now) > 0);
	assert_int_equal(nr_state_take(t, &r, "b", 1, 1, now), 0);
	assert_true(nr_state_take(s, &r, "b", 1, 1, now) > 0);
	nr_state_close(s);
	nr_state_close(t);
	assert_int_equal(chmod(path, 0644), 0);
	s = open_state(path, BIG, 0);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	assert_int_equal(nr_state_author(s, who), START);
	/* Another size is another file; this one is still used. */
	t = open_state(path, 2 * BIG, 1);
	assert_int_equal(nr_state_author(t, who), 0);
	assert_int_equal(nr_state_author(s, who), START);
	nr_state_close(s);
	nr_state_close(t);
	assert_int_equal(unlink(path), 0);
}

/* No address can be read from the file. */
static void
test_hides_keys(void **state)
{
	struct nr_rate r = { 1, 3600 * SECOND, 1 };
	static const char address[] = "192.0.2.77 a key of some length";
	struct nr_state *s = open_state(path, BIG, 1);
	unsigned char who[32];
	static char text[BIG];
	int fd;

	(void)state;
	key_of(who, 7);
	assert_int_equal(nr_state_take(s, &r, address, sizeof(address), 1,
	    START * SECOND), 0);
	nr_state_learn(s, who, START);
	nr_state_close(s);
	fd = open(path, O_RDONLY);
	assert_int_equal(read(fd, text, BIG), BIG);
	close(fd);
	assert_null(memmem(text, BIG, address, 10));
	assert_null(memmem(text, BIG, who, 8));
	assert_int_equal(unlink(path), 0);
}

static void
put_file(const char *text, size_t len)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, len), (ssize_t)len);
	close(fd);
}

/* Whatever is there, it opens, and nothing in it can do harm. */
static void
test_damaged(void **state)
{
	struct nr_rate r = { 10, SECOND, 5 };
	struct nr_sketch k = { NR_SKETCH_BANDS, { 1, 2, 3, 4, 5, 6 } };
	static char text[BIG];
	struct nr_rng rng = { 11 };
	struct nr_state *s;
	unsigned char who[32];
	unsigned i, round;
	int fd;

	(void)state;
	put_file("", 0);
	nr_state_close(open_state(path, BIG, 1));
	assert_int_equal(unlink(path), 0);
	put_file("something else", 14);
	assert_int_equal(nr_state_open(&s, path, BIG, 0, NULL), EEXIST);
	assert_int_equal(nr_state_open(&s, path, BIG, 1, NULL), EEXIST);
	assert_int_equal(unlink(path), 0);
	nr_state_close(open_state(path, BIG, 1));
	assert_int_equal(truncate(path, BIG / 2), 0);
	nr_state_close(open_state(path, BIG, 1));
	nr_state_close(open_state(path, BIG, 0));
	for (round = 0; round < 20; round++) {
		for (i = 0; i < BIG; i++)
			text[i] = (char)nr_rng_next(&rng);
		fd = open(path, O_WRONLY);
		assert_int_equal(pwrite(fd, text, BIG - 4096, 4096),
		    BIG - 4096);
		close(fd);
		s = open_state(path, BIG, 0);
		for (i = 0; i < 2000; i++) {
			key_of(who, i);
			assert_in_range(nr_state_take(s, &r, who, 32, 1,
			    START * SECOND), 0, SECOND);
			nr_state_learn(s, who, START);
			assert_true(nr_state_author(s, who) <= START);
			k.band[0] = i;
			nr_state_alike(s, &k, who, START, 600);
		}
		nr_state_close(s);
	}
	assert_int_equal(unlink(path), 0);
}

/* A private one sees what is there, and leaves it as it is. */
static void
test_private(void **state)
{
	struct nr_rate r = { 3, 86400 * SECOND, 3 };
	int64_t now = START * SECOND;
	struct nr_state *s, *mine;
	int fresh;

	(void)state;
	assert_int_equal(nr_state_open(&mine, path, BIG, 1, &fresh), NR_OK);
	assert_int_equal(fresh, 1);
	assert_int_equal(access(path, F_OK), -1);
	nr_state_close(mine);
	s = open_state(path, BIG, 1);
	assert_int_equal(nr_state_take(s, &r, "a", 1, 2, now), 0);
	assert_int_equal(nr_state_open(&mine, path, BIG, 1, &fresh), NR_OK);
	assert_int_equal(fresh, 0);
	assert_int_equal(nr_state_take(mine, &r, "a", 1, 1, now), 0);
	assert_true(nr_state_take(mine, &r, "a", 1, 1, now) > 0);
	nr_state_close(mine);
	assert_int_equal(nr_state_take(s, &r, "a", 1, 1, now), 0);
	assert_true(nr_state_take(s, &r, "a", 1, 1, now) > 0);
	nr_state_close(s);
	assert_int_equal(unlink(path), 0);
}

static void
test_refuses(void **state)
{
	struct nr_state *s = NULL;
	char other[80];

	(void)state;
	assert_int_equal(nr_state_open(&s, path, 100, 0, NULL), EINVAL);
	assert_int_equal(nr_state_open(&s, path, SIZE_MAX, 0, NULL), EINVAL);
	assert_int_equal(nr_state_open(&s, dir, BIG, 0, NULL), EINVAL);
	snprintf(other, sizeof(other), "%s/none/state", dir);
	assert_int_equal(nr_state_open(&s, other, BIG, 0, NULL), ENOENT);
	assert_int_equal(mkfifo(path, 0600), 0);
	assert_int_equal(nr_state_open(&s, path, BIG, 0, NULL), EINVAL);
	assert_int_equal(unlink(path), 0);
	assert_null(s);
	nr_state_close(NULL);
}

#define THREADS	4
#define KEYS	50
#define BURST	100

struct work {
	struct nr_state	*s;
	unsigned	 taken[KEYS];
};

/* Each key is taken from until it is empty, by all at once. */
static void *
take_all(void *arg)
{
	struct nr_rate r = { 1, DAY * SECOND, BURST };
	struct nr_sketch k = { NR_SKETCH_BANDS, { 0 } };
	struct work *w = arg;
	unsigned char who[32];
	unsigned i, n;

	for (n = 0; n < BURST; n++)
		for (i = 0; i < KEYS; i++) {
			key_of(who, i);
			w->taken[i] += nr_state_take(w->s, &r, who, 32, 1,
			    START * SECOND) == 0;
			nr_state_learn(w->s, who, START);
			k.band[n % NR_SKETCH_BANDS] = i;
			nr_state_alike(w->s, &k, who, START, 60);
		}
	return NULL;
}

static void
test_threads(void **state)
{
	static struct work w[THREADS];
	pthread_t t[THREADS];
	unsigned i, j, sum;

	(void)state;
	w[0].s = open_state(NULL, BIG, 1);
	for (i = 0; i < THREADS; i++) {
		w[i].s = w[0].s;
		assert_int_equal(pthread_create(&t[i], NULL, take_all, &w[i]),
		    0);
	}
	for (i = 0; i < THREADS; i++)
		assert_int_equal(pthread_join(t[i], NULL), 0);
	for (j = 0; j < KEYS; j++) {
		for (sum = 0, i = 0; i < THREADS; i++)
			sum += w[i].taken[j];
		assert_int_equal(sum, BURST);
	}
	nr_state_close(w[0].s);
}

/* The same over processes, which open it for the first time together. */
static void
test_processes(void **state)
{
	struct nr_rate r = { 1, DAY * SECOND, BURST };
	struct nr_state *s;
	pid_t pid[THREADS];
	unsigned i, n, sum = 0;
	int status;

	(void)state;
	for (i = 0; i < THREADS; i++) {
		assert_true((pid[i] = fork()) >= 0);
		if (pid[i] > 0)
			continue;
		if (nr_state_open(&s, path, BIG, 0, NULL) != NR_OK)
			_exit(255);
		for (n = 0; nr_state_take(s, &r, "x", 1, 1,
		    START * SECOND) == 0 && n < 200; n++)
			;
		_exit((int)n);
	}
	for (i = 0; i < THREADS; i++) {
		assert_int_equal(waitpid(pid[i], &status, 0), pid[i]);
		assert_true(WIFEXITED(status));
		sum += (unsigned)WEXITSTATUS(status);
	}
	assert_int_equal(sum, BURST);
	assert_int_equal(unlink(path), 0);
}

/* Killed at any moment, also while the file is made. */
static void
test_kill(void **state)
{
	struct nr_rate r = { 10, SECOND, 5 };
	struct nr_rng rng = { 5 };
	struct nr_state *s;
	unsigned char who[32];
	unsigned i, round;
	int status;
	pid_t pid;

	(void)state;
	for (round = 0; round < 30; round++) {
		assert_true((pid = fork()) >= 0);
		if (pid == 0) {
			if (nr_state_open(&s, path, NR_STATE_MIN * 2, 0, NULL))
				_exit(1);
			for (i = 0;; i++) {
				key_of(who, i % 5000);
				nr_state_take(s, &r, who, 32, 1,
				    START * SECOND);
				nr_state_learn(s, who, START);
			}
		}
		usleep((useconds_t)nr_rng_below(&rng, 3000));
		kill(pid, SIGKILL);
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_true(WIFSIGNALED(status));
		assert_int_equal(nr_state_open(&s, path, NR_STATE_MIN * 2,
		    0, NULL), NR_OK);
		for (i = 0; i < 500; i++) {
			key_of(who, i);
			assert_in_range(nr_state_take(s, &r, who, 32, 1,
			    START * SECOND), 0, SECOND);
			nr_state_learn(s, who, START);
			assert_int_equal(nr_state_author(s, who), START);
		}
		nr_state_close(s);
	}
	unlink(path);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_siphash), cmocka_unit_test(test_limits),
		cmocka_unit_test(test_clock_goes_back),
		cmocka_unit_test(test_authors),
		cmocka_unit_test(test_gives_up_the_least),
		cmocka_unit_test(test_alike), cmocka_unit_test(test_restart),
		cmocka_unit_test(test_hides_keys),
		cmocka_unit_test(test_damaged),
		cmocka_unit_test(test_private), cmocka_unit_test(test_refuses),
		cmocka_unit_test(test_threads),
		cmocka_unit_test(test_processes), cmocka_unit_test(test_kill)
	};
	char command[64];
	int rc;

	if (mkdtemp(dir) == NULL)
		return 1;
	snprintf(path, sizeof(path), "%s/state", dir);
	rc = NR_RUN(tests);
	snprintf(command, sizeof(command), "rm -rf %s", dir);
	return system(command) == 0 ? rc : 1;
}
