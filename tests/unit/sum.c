/*
 * Sums of ids, against additions byte by byte.
 */
#include "unit.h"

#include "util/rng.h"
#include "util/sum.h"

/* Mostly bytes that carry. */
static void
random_id(struct nr_rng *r, unsigned char id[32])
{
	size_t i;

	for (i = 0; i < 32; i++)
		id[i] = nr_rng_below(r, 3) == 0 ?
		    (unsigned char)nr_rng_next(r) :
		    nr_rng_below(r, 4) == 0 ? 0 : 0xff;
}

static void
naive_add(unsigned char sum[32], const unsigned char id[32])
{
	unsigned carry = 0;
	size_t i;

	for (i = 0; i < 32; i++) {
		carry += sum[i] + id[i];
		sum[i] = (unsigned char)carry;
		carry >>= 8;
	}
}

static void
test_adds(void **state)
{
	struct nr_rng r = { 4711 };
	unsigned char ids[64][32], want[32] = { 0 }, got[32];
	struct nr_sum s = {{ 0 }};
	size_t i;

	(void)state;
	print_message("# seed %ju\n", (uintmax_t)r.state);
	for (i = 0; i < 64; i++) {
		random_id(&r, ids[i]);
		naive_add(want, ids[i]);
		nr_sum_add_id(&s, ids[i]);
		nr_sum_bytes(got, &s);
		assert_memory_equal(got, want, 32);
	}
	for (i = 0; i < 64; i++)
		nr_sum_sub_id(&s, ids[i]);
	nr_sum_bytes(got, &s);
	for (i = 0; i < 32; i++)
		assert_int_equal(got[i], 0);
}

static void
test_wraps(void **state)
{
	struct nr_sum s = {{ 0, 0, 0, 0 }}, one = {{ 1, 0, 0, 0 }};
	size_t i;

	(void)state;
	nr_sum_sub(&s, &one);
	for (i = 0; i < 4; i++)
		assert_true(s.word[i] == UINT64_MAX);
	nr_sum_add(&s, &one);
	for (i = 0; i < 4; i++)
		assert_true(s.word[i] == 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_adds),
		cmocka_unit_test(test_wraps)
	};

	return NR_RUN(tests);
}
