/*
 * nr-verify: copy events whose id and signature are valid to stdout, byte
 * for byte and in order; name each other line on stderr.
 *
 * Blocks of lines are verified in parallel and delivered in order, each as
 * soon as it is done, so that a slow stream is passed on at once.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "event/verify.h"
#include "tool.h"
#include "util/err.h"
#include "util/lines.h"
#include "util/pool.h"
#include "rejects.h"

static const char usage[] =
    "usage: nr-verify [-qv] [-j threads] [-m bytes] [-r file] [file ...]\n";

/* A block of lines and what was found out about each. */
struct job {
	struct nr_block	 block;
	struct verdict	*verdict;	/* one a line */
	size_t		 nverdicts, cap;
	const char	*file;		/* where it is from, for messages */
};

struct verdict {
	enum nr_verdict	what;
	size_t		pos;
};

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
note(struct job *job, enum nr_verdict v, size_t pos)
{
	if (job->nverdicts == job->cap) {
		job->cap = job->cap == 0 ? 256 : job->cap * 2;
		job->verdict = realloc(job->verdict,
		    job->cap * sizeof(job->verdict[0]));
		if (job->verdict == NULL)
			nr_die(ENOMEM, "verify");
	}
	job->verdict[job->nverdicts].what = v;
	job->verdict[job->nverdicts++].pos = pos;
}

static void
verify_block(void *ctx, unsigned worker, void *arg)
{
	struct run *run = ctx;
	struct job *job = arg;
	struct nr_view line;
	enum nr_verdict v;
	size_t at = 0, pos;

	job->nverdicts = 0;
	while (nr_block_line(&job->block, &at, &line)) {
		pos = 0;
		v = line.len == 0 ? NR_VALID :
		    judge(run, worker, line, &pos);
		note(job, v, pos);
	}
}

static void
deliver_block(void *ctx, unsigned worker, void *arg)
{
	struct run *run = ctx;
	struct job *job = arg;
	struct nr_view line;
	size_t at = 0, i;

	(void)worker;
	if (job->block.too_long) {
		run->rejected = 1;
		nr_reject(run->rejects, job->file, job->block.first,
		    NR_BAD_TOO_LONG, 0, NULL, 0);
	}
	for (i = 0; nr_block_line(&job->block, &at, &line); i++) {
		if (line.len == 0)
			continue;	/* an empty line is no event */
		if (job->verdict[i].what != NR_VALID) {
			run->rejected = 1;
			nr_reject(run->rejects, job->file,
			    job->block.first + i, job->verdict[i].what,
			    job->verdict[i].pos, line.p, line.len);
		}
		if ((job->verdict[i].what == NR_VALID) != run->invert)
			nr_out(line.p, line.len + 1);
	}
	nr_out_flush();
}

static void
clear_job(void *arg)
{
	struct job *job = arg;

	nr_block_free(&job->block);
	free(job->verdict);
}

/* What came before the failure is still delivered. */
static _Noreturn void
give_up(struct nr_pool *pool, const char *path, int rc)
{
	nr_pool_free(pool, clear_job);
	nr_out_flush();
	nr_die(rc, "%s", strcmp(path, "-") == 0 ? "stdin" : path);
}

static void
verify_file(struct run *run, struct nr_pool *pool, const char *path)
{
	struct nr_lines in;
	struct job *job;
	int fd, rc;

	if ((rc = nr_open_input(&fd, path)) != NR_OK)
		give_up(pool, path, rc);
	if ((rc = nr_lines_init(&in, fd, run->limits.bytes, 0)) != NR_OK)
		nr_die(rc, "%s", path);
	for (;;) {
		job = nr_pool_claim(pool);
		job->file = strcmp(path, "-") == 0 ? NULL : path;
		if ((rc = nr_lines_block(&in, &job->block)) != NR_OK)
			break;
		nr_pool_submit(pool);
	}
	if (rc != NR_EOF)
		give_up(pool, path, rc);
	nr_lines_free(&in);
	if (fd != STDIN_FILENO)
		close(fd);
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
	rc = nr_pool_new(&pool, threads, 2 * threads + 2, sizeof(struct job),
	    verify_block, deliver_block, &run);
	if (rc != NR_OK)
		nr_die(rc, "threads");
	if (optind == argc)
		verify_file(&run, pool, "-");
	for (i = optind; i < argc; i++)
		verify_file(&run, pool, argv[i]);
	nr_pool_free(pool, clear_job);
	finish(&run, threads);
	return run.rejected ? NR_EX_NO : NR_EX_OK;
}
