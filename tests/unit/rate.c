/*
 * Token buckets: what is written is what is had, in any order of taking.
 */
#include "unit.h"

#include "util/rate.h"
#include "util/rng.h"

#define SECOND	INT64_C(1000000000)

static void
test_parses(void **state)
{
	static const struct {
		const char	*text;
		uint64_t	 count, seconds, burst;
	} good[] = {
		{ "20/s", 20, 1, 20 }, { "1M/min", 1 << 20, 60, 1 << 20 },
		{ "5/10min", 5, 600, 5 }, { "1/d", 1, 86400, 1 },
		{ "100/h burst 7", 100, 3600, 7 },
		{ "2K/s burst 30K", 2048, 1, 30720 }
	};
	static const char *const bad[] = {
		"", "20", "20/", "/s", "0/s", "20/x", "20/s ", "-1/s",
		"20/s burst", "20/s burst 0", "20/s burst 5 ", "20/0s",
		"20/25h", "9999999999999999999/s", "20 /s", "OFF"
	};
	struct nr_rate r;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		assert_true(nr_rate_parse(&r, good[i].text));
		assert_int_equal(r.count, good[i].count);
		assert_int_equal(r.period, good[i].seconds * SECOND);
		assert_int_equal(r.burst, good[i].burst);
	}
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_false(nr_rate_parse(&r, bad[i]));
	assert_true(nr_rate_parse(&r, "off"));
	assert_int_equal(r.count, 0);
}

static void
test_takes(void **state)
{
	struct nr_rate r = { 10, SECOND, 5 };
	struct nr_bucket b = { 0 };
	int64_t now = 100 * SECOND;
	unsigned i;

	(void)state;
	for (i = 0; i < 5; i++) {
		assert_int_equal(nr_bucket_wait(&b, &r, 1, now), 0);
		nr_bucket_take(&b, &r, 1, now);
	}
	assert_int_equal(nr_bucket_wait(&b, &r, 0, now), 0);
	assert_int_equal(nr_bucket_wait(&b, &r, 1, now), SECOND / 10);
	assert_int_equal(nr_bucket_wait(&b, &r, 5, now), SECOND / 2);
	/* More than a burst: from a full bucket, and it owes the rest. */
	assert_int_equal(nr_bucket_wait(&b, &r, 50, now), SECOND / 2);
	now += SECOND / 2;
	assert_int_equal(nr_bucket_wait(&b, &r, 50, now), 0);
	nr_bucket_take(&b, &r, 50, now);
	assert_int_equal(nr_bucket_wait(&b, &r, 0, now), 9 * SECOND / 2);
	assert_int_equal(nr_bucket_wait(&b, &r, 1, now), 46 * SECOND / 10);
	/* A burst is no more after a long time. */
	now += 1000 * SECOND;
	assert_int_equal(nr_bucket_wait(&b, &r, 5, now), 0);
	nr_bucket_take(&b, &r, 5, now);
	assert_true(nr_bucket_wait(&b, &r, 1, now) > 0);
	/* Without a limit nothing is counted. */
	r.count = 0;
	nr_bucket_take(&b, &r, 1000000, now);
	assert_int_equal(nr_bucket_wait(&b, &r, 1000000, now), 0);
	/* No debt is for ever. */
	r.count = 1;
	nr_bucket_take(&b, &r, UINT64_MAX, now);
	assert_true(nr_bucket_wait(&b, &r, 1, now) <= 86406 * SECOND);
}

/* Whoever takes whenever there is no wait gets the burst and the rate. */
static void
test_adds_up(void **state)
{
	struct nr_rng rng = { 7 };
	struct nr_rate r = { 1000, 60 * SECOND, 40 };
	struct nr_bucket b = { 0 };
	int64_t now = 0;
	uint64_t n = 0;

	(void)state;
	while (now < 600 * SECOND) {
		now += (int64_t)nr_rng_below(&rng, SECOND / 50);
		if (nr_bucket_wait(&b, &r, 1, now) == 0) {
			nr_bucket_take(&b, &r, 1, now);
			n++;
		}
	}
	assert_in_range(n, 10030, 10041);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_parses), cmocka_unit_test(test_takes),
		cmocka_unit_test(test_adds_up)
	};

	return NR_RUN(tests);
}
