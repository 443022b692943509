/*
 * nr-bench gen: deterministic events on stdout, a report on stderr.
 */
#include "bench.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "bench/gen.h"
#include "tool.h"
#include "util/err.h"
#include "util/hex.h"
#include "util/pool.h"
#include "util/times.h"

/* Some events in the making: written by one thread, signed by another. */
#define BATCH	64

struct job {
	struct nr_buf	line[BATCH];
	unsigned	author[BATCH];
	unsigned	n;
};

static void
sign(void *ctx, unsigned worker, void *arg)
{
	struct job *job = arg;
	unsigned i;

	(void)worker;
	for (i = 0; i < job->n; i++)
		nr_gen_sign(ctx, job->line[i].p, job->line[i].len,
		    job->author[i]);
}

static void
deliver(void *ctx, unsigned worker, void *arg)
{
	struct job *job = arg;
	unsigned i;

	(void)ctx;
	(void)worker;
	for (i = 0; i < job->n; i++)
		nr_out(job->line[i].p, job->line[i].len);
}

static void
clear(void *arg)
{
	struct job *job = arg;
	unsigned i;

	for (i = 0; i < BATCH; i++)
		nr_buf_free(&job->line[i]);
}

static void
generate(struct nr_gen *g, unsigned threads)
{
	struct nr_pool *pool;
	struct job *job;
	int rc;

	rc = nr_pool_new(&pool, threads, 4 * threads, sizeof(struct job),
	    sign, deliver, g);
	if (rc != NR_OK)
		nr_die(rc, "threads");
	do {
		job = nr_pool_claim(pool);
		for (job->n = 0; job->n < BATCH; job->n++) {
			rc = nr_gen_next(g, &job->line[job->n],
			    &job->author[job->n]);
			if (rc != NR_OK)
				break;
		}
		nr_pool_submit(pool);
	} while (rc == NR_OK);
	nr_pool_free(pool, clear);
	if (rc != NR_EOF)
		nr_die(rc, "gen");
}

static void
report(const struct nr_gen *g, const struct nr_gen_options *o)
{
	unsigned char digest[32];
	char hex[65] = "";
	int rc;

	if ((rc = nr_gen_fingerprint(g, digest)) != NR_OK)
		nr_die(rc, "fingerprint");
	nr_hex_encode(hex, digest, 32);
	fprintf(stderr, "{\"model\":\"%s\",\"version\":%d,\"seed\":%" PRIu64
	    ",\"events\":%" PRIu64 ",\"fingerprint\":\"%s\"}\n",
	    o->model == NR_GEN_NETWORK ? "network" : "churn",
	    NR_GEN_VERSION, o->seed, o->count, hex);
}

static int64_t
take_time(const char *arg, const char *what)
{
	int64_t t;

	if (!nr_time_parse(&t, arg, time(NULL)) || t < 0 ||
	    t > INT64_MAX / 2)
		nr_bad_usage("%s: not a time (2024-01-31, 3d, Unix seconds): "
		    "%s", what, arg);
	return t;
}

int
nr_bench_gen(int argc, char *argv[])
{
	enum { MODEL = NR_OPT_FIRST, SEED, AUTHORS, SINCE, UNTIL };
	static const struct option longopts[] = {
		{ "authors", required_argument, NULL, AUTHORS },
		{ "count", required_argument, NULL, 'n' },
		{ "jobs", required_argument, NULL, 'j' },
		{ "model", required_argument, NULL, MODEL },
		{ "quiet", no_argument, NULL, 'q' },
		{ "seed", required_argument, NULL, SEED },
		{ "since", required_argument, NULL, SINCE },
		{ "until", required_argument, NULL, UNTIL },
		NR_LONG_COMMON, { NULL, 0, NULL, 0 }
	};
	struct nr_gen_options o = {
		.count = 1000, .seed = 1, .authors = 5000,
		.since = 1700000000, .until = 1710368000	/* 120 days */
	};
	unsigned threads = nr_pool_cores();
	struct nr_gen *g;
	int ch, rc;

	while ((ch = getopt_long(argc, argv, "j:n:q", longopts, NULL)) != -1)
		switch (ch) {
		case AUTHORS:
			o.authors = (unsigned)nr_number(optarg, "--authors",
			    1, 1000000);
			break;
		case MODEL:
			if (!nr_gen_model_named(&o.model, optarg))
				nr_bad_usage("unknown model: %s", optarg);
			break;
		case SEED:
			o.seed = nr_number(optarg, "--seed", 0, UINT64_MAX);
			break;
		case SINCE:
			o.since = take_time(optarg, "--since");
			break;
		case UNTIL:
			o.until = take_time(optarg, "--until");
			break;
		case 'j':
			threads = (unsigned)nr_number(optarg, "-j", 1, 256);
			break;
		case 'n':
			o.count = nr_number(optarg, "-n", 0, UINT64_MAX / 2);
			break;
		case 'q':
			nr_quiet = 1;
			break;
		default:
			nr_common_option(ch);
		}
	if (optind != argc)
		nr_bad_usage("not expected: %s", argv[optind]);
	if (o.until < o.since)
		nr_bad_usage("--until is before --since");
	if ((rc = nr_gen_new(&g, &o)) != NR_OK)
		nr_die(rc, "gen");
	generate(g, threads);
	nr_out_close();
	if (!nr_quiet)
		report(g, &o);
	nr_gen_free(g);
	return NR_EX_OK;
}
