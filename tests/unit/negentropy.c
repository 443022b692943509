/*
 * Reconciliation of random sets, with limits and without: what is found is
 * exactly what differs, and messages are those of the reference
 * implementations.
 */
#include "unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "negentropy/negentropy.h"
#include "util/err.h"
#include "util/hex.h"
#include "util/rng.h"

static uint64_t seed;

/* ---- sets --------------------------------------------------------------- */

struct side {
	struct nr_neg_array	records;
	struct nr_neg		neg;
};

static void
make_id(unsigned char id[32], struct nr_rng *r, int similar)
{
	size_t i;

	for (i = 0; i < 32; i++)
		id[i] = (unsigned char)nr_rng_next(r);
	/* Ids that share much of their beginning need long bounds. */
	if (similar)
		memset(id, 7, 26);
}

/* Which of the sides have a record: 1, 2 or both. */
struct plan {
	unsigned	n;
	unsigned	only_a, only_b;	/* of 1000 */
	uint64_t	times;		/* different ones */
	int		similar;
};

static void
fill(struct side *a, struct side *b, const struct plan *p, struct nr_rng *r)
{
	unsigned char id[32];
	uint64_t t, dice;
	unsigned i;

	for (i = 0; i < p->n; i++) {
		make_id(id, r, p->similar && i % 3 == 0);
		t = 1677970534 + nr_rng_below(r, p->times);
		dice = nr_rng_below(r, 1000);
		if (dice >= p->only_b)
			assert_int_equal(nr_neg_array_add(&a->records, t, id),
			    0);
		if (dice < p->only_b || dice >= p->only_b + p->only_a)
			assert_int_equal(nr_neg_array_add(&b->records, t, id),
			    0);
	}
}

static void
begin(struct side *s, size_t limit)
{
	assert_int_equal(nr_neg_array_seal(&s->records), 0);
	assert_int_equal(nr_neg_init(&s->neg, &s->records.set, limit), 0);
}

static void
end(struct side *s)
{
	nr_neg_free(&s->neg);
	nr_neg_array_free(&s->records);
}

/* ---- what is found -------------------------------------------------------- */

struct found {
	unsigned char	(*id)[32];
	size_t		 n, cap;
};

static int
add(struct found *f, const unsigned char id[32])
{
	if (f->n == f->cap) {
		f->cap = 2 * f->cap + 64;
		f->id = realloc(f->id, 32 * f->cap);
		assert_non_null(f->id);
	}
	memcpy(f->id[f->n++], id, 32);
	return 0;
}

static int
have(void *arg, const struct nr_neg_item *item)
{
	return add(arg, item->id);
}

static int
need(void *arg, const unsigned char id[32])
{
	return add((struct found *)arg + 1, id);
}

static int
compare(const void *a, const void *b)
{
	return memcmp(a, b, 32);
}

static void
sort_ids(struct found *f)
{
	size_t i, kept = 0;

	if (f->n > 0)
		qsort(f->id, f->n, 32, compare);
	for (i = 0; i < f->n; i++)
		if (kept == 0 || memcmp(f->id[kept - 1], f->id[i], 32) != 0)
			memmove(f->id[kept++], f->id[i], 32);
	f->n = kept;
}

/* The ids of one that the other has not. */
static void
difference(struct found *out, const struct side *a, const struct side *b)
{
	struct found other = { NULL, 0, 0 };
	size_t i;

	for (i = 0; i < b->records.n; i++)
		add(&other, b->records.item[i].id);
	sort_ids(&other);
	for (i = 0; i < a->records.n; i++)
		if (other.n == 0 || bsearch(a->records.item[i].id, other.id,
		    other.n, 32, compare) == NULL)
			add(out, a->records.item[i].id);
	sort_ids(out);
	free(other.id);
}

static void
same(struct found *got, struct found *want)
{
	sort_ids(got);
	assert_int_equal(got->n, want->n);
	if (want->n > 0)
		assert_memory_equal(got->id, want->id, 32 * want->n);
	free(got->id);
	free(want->id);
}

/* Let a ask and b answer until a is done; all messages go into sha. */
static unsigned
talk(struct side *a, struct side *b, struct found f[2],
    struct nr_sha256 *sha)
{
	const struct nr_neg_diff diff = { have, need, f };
	struct nr_buf ask = { 0 }, answer = { 0 };
	unsigned rounds = 0;
	const char *why;
	int done = 0;

	assert_int_equal(nr_neg_initiate(&a->neg, &ask), 0);
	while (!done) {
		assert_true(a->neg.limit == 0 || ask.len <= a->neg.limit);
		answer.len = 0;
		assert_int_equal(nr_neg_reconcile(&b->neg, ask.p, ask.len,
		    &answer, NULL, NULL, &why), 0);
		assert_true(b->neg.limit == 0 || answer.len <= b->neg.limit);
		nr_sha256_add(sha, ask.p, ask.len);
		nr_sha256_add(sha, answer.p, answer.len);
		ask.len = 0;
		assert_int_equal(nr_neg_reconcile(&a->neg, answer.p,
		    answer.len, &ask, &diff, &done, &why), 0);
		assert_true(++rounds < 10000);
	}
	nr_buf_free(&ask);
	nr_buf_free(&answer);
	return rounds;
}

static void
reconcile(const struct plan *p, size_t limit_a, size_t limit_b,
    uint64_t from, struct nr_sha256 *sha)
{
	struct found got[2] = { { NULL, 0, 0 } }, want[2] = { { NULL, 0, 0 } };
	struct side a = { .records = { 0 } }, b = { .records = { 0 } };
	struct nr_rng r = { from };

	fill(&a, &b, p, &r);
	begin(&a, limit_a);
	begin(&b, limit_b);
	talk(&a, &b, got, sha);
	difference(&want[0], &a, &b);
	difference(&want[1], &b, &a);
	same(&got[0], &want[0]);
	same(&got[1], &want[1]);
	end(&a);
	end(&b);
}

static void
test_finds_what_differs(void **state)
{
	static const size_t limits[] = { 0, NR_NEG_FRAME_MIN, 10000, 60000 };
	struct nr_rng r = { seed };
	struct nr_sha256 *sha;
	struct plan p;
	unsigned i;

	(void)state;
	assert_int_equal(nr_sha256_new(&sha), 0);
	nr_sha256_start(sha);
	for (i = 0; i < 300; i++) {
		p.n = (unsigned)nr_rng_below(&r, i % 10 == 0 ? 20000 : 400);
		p.only_a = (unsigned)nr_rng_below(&r, 501);
		p.only_b = (unsigned)nr_rng_below(&r, 501);
		if (i % 4 == 0)
			p.only_a = p.only_b = (unsigned)nr_rng_below(&r, 5);
		p.times = i % 3 == 0 ? 1 + nr_rng_below(&r, 3) :
		    1 + nr_rng_below(&r, 100000);
		p.similar = i % 5 == 0;
		reconcile(&p, limits[nr_rng_below(&r, 4)],
		    limits[nr_rng_below(&r, 4)], nr_rng_next(&r), sha);
	}
	nr_sha256_free(sha);
}

/* The same records by the reference implementation (C++) gave these. */
static void
test_messages_are_the_references(void **state)
{
	static const struct {
		struct plan	plan;
		size_t		limit_a, limit_b;
		const char	*sha256;
	} known[] = {
		{ { 10000, 50, 50, 10000, 0 }, 0, 0,
		    "ba83c12b4f2585a77dc970bced1ab0ab51b9701e9bc40eb6169c728aa412b2b8" },
		{ { 10000, 500, 500, 10000, 0 }, 0, 0,
		    "51cd5e8f8ddb1b5e1c2840b261014b932c9d9186390b234552911b295c56e13e" },
		{ { 20000, 100, 20, 5000, 1 }, 30000, 8000,
		    "d851af4bdea98f97cf48a2f7c894dd521318d6f05a23fbd5079aabcba85a0c45" },
		{ { 20000, 0, 1000, 20000, 0 }, 60000, 30000,
		    "593b3bdce43525f8b09ad8f7cbd2476dc88d3cc115f5ca0318c645f199623bff" },
		{ { 31, 0, 1000, 3, 0 }, 0, 0,
		    "6fc9cffbeac83390d143f623e351f82a50b29528022b83e10ab9fb927031f7d2" },
		{ { 20000, 30, 30, 2, 1 }, 4096, 4096,
		    "afe0f0c55c50d677ebf503473214fbdcdb959a4e1e75c5db0c192b2e6704b0fd" },
	};
	unsigned char digest[32];
	struct nr_sha256 *sha;
	char hex[65] = "";
	size_t i;

	(void)state;
	assert_int_equal(nr_sha256_new(&sha), 0);
	for (i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
		nr_sha256_start(sha);
		reconcile(&known[i].plan, known[i].limit_a, known[i].limit_b,
		    i + 1, sha);
		nr_sha256_end(sha, digest);
		nr_hex_encode(hex, digest, 32);
		assert_string_equal(hex, known[i].sha256);
	}
	nr_sha256_free(sha);
}

/* ---- hostile messages ------------------------------------------------------ */

static int
handle(const char *hex, int initiator, const char **why)
{
	static const struct nr_neg_diff diff = { have, need, NULL };
	unsigned char message[256];
	struct side s = { .records = { 0 } };
	struct nr_buf out = { 0 };
	unsigned char id[32];
	struct nr_rng r = { 1 };
	int rc, done = 0, i;

	for (i = 0; i < 50; i++) {
		make_id(id, &r, 0);
		assert_int_equal(nr_neg_array_add(&s.records, 100, id), 0);
	}
	begin(&s, 0);
	s.neg.initiator = initiator;
	assert_true(nr_hex_decode(message, hex, strlen(hex) / 2));
	rc = nr_neg_reconcile(&s.neg, message, strlen(hex) / 2, &out,
	    initiator ? &diff : NULL, &done, why);
	assert_int_equal(out.len > 0, rc == NR_OK && !done);
	nr_buf_free(&out);
	end(&s);
	return rc;
}

static void
test_malformed_is_refused(void **state)
{
	static const char *const bad[] = {
		"", "00", "5f", "70",
		"6180", "6100", "610000", "610100",	/* cut short */
		"61000003", "61000080808001",		/* unknown modes */
		"6101210200",				/* an id of 33 bytes */
		"61000001", "6100000100112233445566778899aabbccddee",
		"6100000201", "61000002ffffffffffffffffff01",
		"61ffffffffffffffffffff0100",		/* a number of 77 bits */
		"6100000281808080808080808001",		/* 2^63 + 1 ids */
		"61650102000101000000",			/* ids that go back */
	};
	const char *why;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_int_equal(handle(bad[i], 0, &why), NR_EINVAL);
		assert_non_null(why);
		assert_int_equal(handle(bad[i], 1, &why), NR_EINVAL);
	}
	assert_int_equal(handle("62aabb", 0, &why), NR_OK);
	assert_int_equal(handle("62aabb", 1, &why), NR_EVERSION);
	assert_int_equal(handle("61", 0, &why), NR_OK);
	assert_int_equal(handle("61", 1, &why), NR_OK);
	assert_int_equal(handle("61000000", 0, &why), NR_OK);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_finds_what_differs),
		cmocka_unit_test(test_messages_are_the_references),
		cmocka_unit_test(test_malformed_is_refused),
	};

	seed = getenv("NR_SEED") != NULL ? strtoull(getenv("NR_SEED"), NULL,
	    10) : (uint64_t)time(NULL);
	printf("# seed %llu\n", (unsigned long long)seed);
	return NR_RUN(tests);
}
