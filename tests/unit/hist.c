/*
 * The histogram of latencies: percentiles of known values.
 */
#include "unit.h"

#include <stdlib.h>
#include <string.h>

#include "bench/hist.h"
#include "util/rng.h"

static struct nr_hist h;

static int
cmp(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

	return x < y ? -1 : x > y;
}

static void
near(uint64_t got, int64_t want)
{
	double share = (double)got / (double)want;

	assert_true(share > 0.999 && share < 1.001);
}

/* From microseconds to hours, against the sorted values themselves. */
static void
test_percentiles(void **state)
{
	static const double p[] = { 0.01, 0.5, 0.9, 0.95, 0.99, 0.999, 1 };
	static int64_t v[100000];
	struct nr_rng rng = { 5 };
	size_t i, n = sizeof(v) / sizeof(v[0]);

	(void)state;
	memset(&h, 0, sizeof(h));
	for (i = 0; i < n; i++) {
		v[i] = 1 + (int64_t)(nr_rng_next(&rng) >>
		    (30 + nr_rng_below(&rng, 34)));
		nr_hist_add(&h, v[i]);
	}
	qsort(v, n, sizeof(v[0]), cmp);
	assert_int_equal(h.count, n);
	assert_int_equal(h.max, v[n - 1]);
	for (i = 0; i < sizeof(p) / sizeof(p[0]); i++)
		near(nr_hist_at(&h, p[i]), v[(size_t)(p[i] *
		    (double)n + 0.9999999) - 1]);
}

static void
test_edges(void **state)
{
	(void)state;
	memset(&h, 0, sizeof(h));
	assert_int_equal(nr_hist_at(&h, 0.5), 0);
	nr_hist_add(&h, -5);
	assert_int_equal(nr_hist_at(&h, 1), 0);
	nr_hist_add(&h, INT64_C(3600) * 24 * 1000000);
	assert_int_equal(h.max, INT64_C(3600) * 24 * 1000000);
	assert_int_equal(nr_hist_at(&h, 0.5), 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_percentiles),
		cmocka_unit_test(test_edges),
	};

	return NR_RUN(tests);
}
