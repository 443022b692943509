/*
 * The ordered pool: however long each job takes, results come in order,
 * each once, in both ways of getting them.
 */
#include "unit.h"

#include <time.h>

#include "util/err.h"
#include "util/pool.h"
#include "util/rng.h"

struct job {
	unsigned number;
	unsigned worked;
};

struct run {
	unsigned delivered;
	unsigned wrong;
};

static void
work(void *ctx, unsigned worker, void *arg)
{
	struct job *job = arg;
	struct nr_rng rng = { job->number };
	struct timespec t = { 0, (long)nr_rng_below(&rng, 200000) };

	(void)ctx;
	(void)worker;
	if (job->number % 3 == 0)
		nanosleep(&t, NULL);
	job->worked = job->number + 1;
}

static void
deliver(void *ctx, unsigned worker, void *arg)
{
	struct run *run = ctx;
	struct job *job = arg;

	(void)worker;
	if (job->number != run->delivered || job->worked != job->number + 1)
		run->wrong++;
	run->delivered++;
}

static void
test_delivered(void **state)
{
	struct run run = { 0, 0 };
	struct nr_pool *p;
	struct job *job;
	unsigned i;

	(void)state;
	assert_int_equal(nr_pool_new(&p, 4, 7, sizeof(*job), work, deliver,
	    &run), 0);
	for (i = 0; i < 5000; i++) {
		job = nr_pool_claim(p);
		job->number = i;
		job->worked = 0;
		nr_pool_submit(p);
	}
	nr_pool_free(p, NULL);
	assert_int_equal(run.delivered, 5000);
	assert_int_equal(run.wrong, 0);
}

static void
test_taken(void **state)
{
	struct nr_pool *p;
	unsigned in = 0, got = 0;
	struct job *job;
	void *v;

	(void)state;
	assert_int_equal(nr_pool_new(&p, 3, 5, sizeof(*job), work, NULL,
	    NULL), 0);
	assert_int_equal(nr_pool_take(p, &v, 1), NR_ETIMEOUT);
	while (got < 2000) {
		while (in < 2000 && (job = nr_pool_try_claim(p)) != NULL) {
			job->number = in++;
			job->worked = 0;
			nr_pool_submit(p);
		}
		if (in == 2000)
			nr_pool_close(p);
		assert_int_equal(nr_pool_take(p, &v, -1), 0);
		job = v;
		assert_int_equal(job->number, got);
		assert_int_equal(job->worked, got + 1);
		nr_pool_release(p);
		got++;
	}
	assert_int_equal(nr_pool_take(p, &v, -1), NR_EOF);
	nr_pool_free(p, NULL);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_delivered),
		cmocka_unit_test(test_taken),
	};

	return NR_RUN(tests);
}
