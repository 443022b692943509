/*
 * The index's keys and the sorter: order is everything.
 */
#include "unit.h"

#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "store/format.h"
#include "store/sorter.h"
#include "util/rng.h"

/* Encoded times sort as the times do, those beyond five bytes included. */
static void
test_times(void **state)
{
	static const int64_t t[] = {
		0, 1, 255, 256, 1700000000, 0xfffffffffeLL, 0xffffffffffLL,
		0x10000000000LL, 1694192155914, INT64_MAX - 1, INT64_MAX
	};
	unsigned char a[32] = { 0 }, b[32] = { 0 };
	size_t i;
	int64_t back;

	(void)state;
	for (i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		unsigned char *end = nr_put_time(a, t[i]);

		assert_ptr_equal(nr_get_time(a, &back), end);
		assert_int_equal(back, t[i]);
		/* What follows a time must not matter. */
		memset(end, 0xff, 8);
		if (i + 1 < sizeof(t) / sizeof(t[0])) {
			memset(nr_put_time(b, t[i + 1]), 0, 8);
			assert_true(memcmp(a, b, 20) < 0);
		}
	}
}

static void
test_value7(void **state)
{
	static const char hex[] = "00112233445566778899aabbccddeeff"
	    "00112233445566778899aabbccddeeff";
	struct nr_view v = { hex, 64 };
	unsigned char a[7], b[7];

	(void)state;
	nr_value7(a, v);
	assert_memory_equal(a, "\x99\xaa\xbb\xcc\xdd\xee\xff", 7);
	v.len = 63;
	nr_value7(b, v);
	assert_memory_not_equal(a, b, 7);
	/* FNV-1a of nothing is its offset basis. */
	v.len = 0;
	nr_value7(a, v);
	assert_memory_equal(a, "\xcb\xf2\x9c\xe4\x84\x22\x23", 7);
}

struct seen {
	uint64_t	 n, wrong;
	enum nr_table	 t;
	struct nr_key	 key;
	uint64_t	 sum;
};

static int
see(void *ctx, enum nr_table t, enum nr_op op, const struct nr_key *key)
{
	struct seen *s = ctx;
	size_t n = key->klen < s->key.klen ? key->klen : s->key.klen;
	int c;

	(void)op;
	if (s->n++ > 0) {
		c = memcmp(s->key.k, key->k, n);
		if (s->t > t || (s->t == t && (c > 0 ||
		    (c == 0 && s->key.klen > key->klen))))
			s->wrong++;
	}
	s->t = t;
	s->key = *key;
	s->sum += key->v[0] + (uint64_t)key->k[key->klen - 1] * 256;
	return 0;
}

static int
stop(void *ctx, enum nr_table t, enum nr_op op, const struct nr_key *key)
{
	(void)t;
	(void)op;
	(void)key;
	return --*(int *)ctx == 0 ? 77 : 0;
}

/* In memory, in runs, and through the file: the same, and in order. */
static void
test_sorter(void **state)
{
	static const size_t limit[] = { 0, (size_t)1 << 30, 3 << 20 };
	struct nr_rng rng = { 5 };
	struct nr_sorter *s;
	struct nr_key key;
	struct seen seen;
	uint64_t sum;
	size_t i, j, k;
	int dir, count = 10;

	(void)state;
	dir = open("/tmp", O_RDONLY | O_DIRECTORY);
	for (i = 0; i < sizeof(limit) / sizeof(limit[0]); i++) {
		assert_int_equal(nr_sorter_new(&s, dir, limit[i]), 0);
		memset(&seen, 0, sizeof(seen));
		sum = 0;
		for (j = 0; j < 300000; j++) {
			enum nr_table t = (enum nr_table)
			    nr_rng_below(&rng, NR_T_COUNT);

			key.klen = 9 + nr_rng_below(&rng, 30);
			key.vlen = 1 + nr_rng_below(&rng, 11);
			for (k = 0; k < key.klen; k++)
				key.k[k] = (unsigned char)nr_rng_below(&rng,
				    k < 8 ? 2 : 256);
			key.v[0] = (unsigned char)j;
			sum += key.v[0] + (uint64_t)key.k[key.klen - 1] * 256;
			assert_int_equal(nr_sorter_add(s, t, NR_OP_PUT, &key),
			    0);
		}
		assert_int_equal(nr_sorter_count(s), 300000);
		assert_int_equal(nr_sorter_walk(s, see, &seen), 0);
		assert_int_equal(seen.n, 300000);
		assert_int_equal(seen.wrong, 0);
		assert_int_equal(seen.sum, sum);
		nr_sorter_clear(s);
		assert_int_equal(nr_sorter_walk(s, see, &seen), 0);
		assert_int_equal(seen.n, 300000);
		for (j = 0; j < 20; j++)
			assert_int_equal(nr_sorter_add(s, NR_T_KIND,
			    NR_OP_PUT, &key), 0);
		count = 10;
		assert_int_equal(nr_sorter_walk(s, stop, &count), 77);
		nr_sorter_free(s);
	}
	close(dir);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_times),
		cmocka_unit_test(test_value7),
		cmocka_unit_test(test_sorter),
	};

	return NR_RUN(tests);
}
