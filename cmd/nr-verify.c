/*
 * nr-verify: copy events whose id and signature are valid to stdout, byte
 * for byte and in order; name each other line on stderr.
 *
 * Blocks of lines are verified in parallel and delivered in order, each as
 * soon as it is done, so that a slow stream is passed on at once.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "blocks.h"
#include "event/verify.h"
#include "tool.h"
#include "util/err.h"

static const char usage[] =
    "usage: nr-verify [-qv] [-j threads] [-m bytes] [-r file] [file ...]\n";

/* What the threads of one run share. */
struct run {
	struct nr_event_limits	  limits;
	struct nr_verifier	**verifier;	/* one a worker */
	struct nr_buf		 *scratch;	/* likewise */
	struct nr_rejects	 *rejects;
	int			  invert;
	int			  rejected;	/* anything at all */
};

static enum nr_verdict
judge(struct run *run, unsigned worker, struct nr_view line, size_t *pos)
{
	struct nr_buf *scratch = &run->scratch[worker];
	struct nr_event ev;
	enum nr_verdict v;

	v = nr_event_read(&ev, line.p, line.len, &run->limits, pos);
	if (v != NR_VALID)
		return v;
	if (!(ev.flags & NR_EVENT_NORMAL)) {
		scratch->len = 0;
		if (nr_buf_reserve(scratch, NR_EVENT_LINE_MAX(line.len)) != 0)
			nr_die(ENOMEM, "verify");
		nr_event_normalise(&ev, scratch->p);
	}
	return nr_verify_event(run->verifier[worker], &ev, NR_TRUST_NOTHING);
}

static void
verify_block(void *ctx, unsigned worker, void *arg)
{
	struct run *run = ctx;
	struct nr_line_job *job = arg;
	struct nr_view line;
	enum nr_verdict v;
	size_t at = 0, pos;

	job->judged.n = 0;
	while (nr_block_line(&job->block, &at, &line)) {
		pos = 0;
		v = line.len == 0 ? NR_VALID :
		    judge(run, worker, line, &pos);
		nr_judged_add(&job->judged, v, pos);
	}
}

static void
deliver_block(void *ctx, unsigned worker, void *arg)
{
	struct run *run = ctx;
	struct nr_line_job *job = arg;
	struct nr_view line;
	size_t at = 0, i;

	(void)worker;
	run->rejected |= nr_line_job_reject(job, run->rejects);
	for (i = 0; nr_block_line(&job->block, &at, &line); i++) {
		if (line.len == 0)
			continue;	/* an empty line is no event */
		if ((job->judged.line[i].what == NR_VALID) != run->invert)
			nr_out(line.p, line.len + 1);
	}
	nr_out_flush();
}

static void
start(struct run *run, unsigned threads)
{
	unsigned i;

	run->verifier = calloc(threads, sizeof(run->verifier[0]));
	run->scratch = calloc(threads, sizeof(run->scratch[0]));
	if (run->verifier == NULL || run->scratch == NULL)
		nr_die(ENOMEM, "verify");
	for (i = 0; i < threads; i++)
		if (nr_verifier_new(&run->verifier[i]) != NR_OK)
			nr_die(ENOMEM, "verify");
}

static void
finish(struct run *run, unsigned threads)
{
	unsigned i;

	for (i = 0; i < threads; i++) {
		nr_verifier_free(run->verifier[i]);
		nr_buf_free(&run->scratch[i]);
	}
	free(run->verifier);
	free(run->scratch);
	nr_rejects_close(run->rejects);
	nr_out_close();
}

int
main(int argc, char *argv[])
{
	static const struct option longopts[] = {
		{ "invert", no_argument, NULL, 'v' },
		{ "jobs", required_argument, NULL, 'j' },
		{ "max-bytes", required_argument, NULL, 'm' },
		{ "quiet", no_argument, NULL, 'q' },
		{ "rejects", required_argument, NULL, 'r' },
		NR_LONG_COMMON, { NULL, 0, NULL, 0 }
	};
	struct run run = { .limits = nr_event_limits_pipe };
	unsigned threads = nr_pool_cores();
	const char *rejects = NULL;
	struct nr_pool *pool;
	int ch, i, rc;

	nr_tool_init(argv[0], usage);
	while ((ch = getopt_long(argc, argv, "j:m:qr:v", longopts,
	    NULL)) != -1)
		switch (ch) {
		case 'j':
			threads = (unsigned)nr_number(optarg, "-j", 1, 256);
			break;
		case 'm':
			run.limits.bytes = nr_size(optarg, "-m", 1, 1 << 30);
			break;
		case 'q':
			nr_quiet = 1;
			break;
		case 'r':
			rejects = optarg;
			break;
		case 'v':
			run.invert = 1;
			break;
		default:
			nr_common_option(ch);
		}
	run.rejects = nr_rejects_open(rejects);
	start(&run, threads);
	rc = nr_pool_new(&pool, threads, 2 * threads + 2, sizeof(struct nr_line_job),
	    verify_block, deliver_block, &run);
	if (rc != NR_OK)
		nr_die(rc, "threads");
	if (optind == argc)
		nr_lines_through(pool, "-", run.limits.bytes);
	for (i = optind; i < argc; i++)
		nr_lines_through(pool, argv[i], run.limits.bytes);
	nr_pool_free(pool, nr_line_job_clear);
	finish(&run, threads);
	return run.rejected ? NR_EX_NO : NR_EX_OK;
}
