/*
 * nr-sign: make events of drafts: fill in what is missing, do proof of
 * work, sign.
 *
 * Blocks of lines are signed in parallel and delivered in order, each as
 * soon as it is done.  Proof of work takes all threads for one event.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "blocks.h"
#include "event/pow.h"
#include "event/sign.h"
#include "keyopt.h"
#include "storeopt.h"
#include "tool.h"
#include "util/err.h"
#include "util/times.h"

#define WORK_MS	(60 * 60 * 1000)	/* for one event, unless told */

static const char usage[] =
    "usage: nr-sign [-qP] [-K file] [--key-fd fd] [-j threads] [-m bytes]\n"
    "    [-r file] [--now] [--pow bits] [--pow-time time] [file ...]\n";

enum {
	OPT_NOW = NR_OPT_FIRST,
	OPT_POW,
	OPT_POW_TIME
};

/* What a thread has for itself. */
struct hand {
	struct nr_verifier	*hasher;
	struct nr_buf		 normal, tags;
};

/* What the threads of one run share. */
struct run {
	struct nr_event_limits	 limits;
	struct nr_key		*key;
	struct hand		*hand;		/* one a worker */
	struct nr_rejects	*rejects;
	struct nr_pow_options	 pow;		/* bits 0: none is wanted */
	struct nr_meter		 meter;
	int			 progress, now;
	int			 rejected;	/* anything at all */
};

static void
need(int rc)
{
	if (rc != NR_OK)
		nr_die(rc, "sign");
}

static void
show_work(void *ctx, uint64_t tried)
{
	struct run *run = ctx;

	nr_meter_step(&run->meter, tried, 0);
}

static enum nr_verdict
work(struct run *run, struct hand *hand, struct nr_event *ev)
{
	int rc;

	hand->tags.len = 0;
	nr_meter_start(&run->meter, "ids tried", 0, run->progress);
	rc = nr_pow_mine(ev, &hand->tags, &run->pow);
	nr_meter_end(&run->meter);
	if (rc == NR_ETIMEOUT)
		return NR_BAD_NO_WORK;
	need(rc);
	return NR_VALID;
}

/* Fill in what the draft does not have. */
static enum nr_verdict
complete(struct run *run, struct hand *hand, struct nr_event *ev,
    unsigned has)
{
	const unsigned char *mine = nr_key_public(run->key);

	if (has & NR_DRAFT_PUBKEY && memcmp(ev->pubkey, mine, 32) != 0)
		return NR_BAD_OTHER_KEY;
	memcpy(ev->pubkey, mine, 32);
	if (run->now || !(has & NR_DRAFT_CREATED_AT))
		ev->created_at = time(NULL);
	if (!(ev->flags & NR_EVENT_NORMAL)) {
		hand->normal.len = 0;
		need(nr_buf_reserve(&hand->normal, NR_EVENT_LINE_MAX(
		    NR_EVENT_FRAME + ev->tags.len + ev->content.len)));
		(void)nr_event_normalise(ev, hand->normal.p);
	}
	return run->pow.bits > 0 ? work(run, hand, ev) : NR_VALID;
}

static enum nr_verdict
sign_line(struct run *run, struct hand *hand, struct nr_view line,
    struct nr_buf *out, size_t *pos)
{
	struct nr_event ev;
	enum nr_verdict v;
	unsigned has;

	v = nr_event_read_draft(&ev, line.p, line.len, &run->limits, &has,
	    pos);
	if (v == NR_VALID)
		v = complete(run, hand, &ev, has);
	if (v != NR_VALID)
		return v;
	need(nr_sign_event(run->key, hand->hasher, &ev));
	need(nr_buf_reserve(out, NR_EVENT_LINE_MAX(NR_EVENT_FRAME +
	    ev.tags.len + ev.content.len)));
	out->len += nr_event_normalise(&ev, out->p + out->len);
	need(nr_buf_add(out, "\n", 1));
	return NR_VALID;
}

/* What took work is not kept waiting for the rest of its block. */
static void
pass_on(struct nr_line_job *job)
{
	nr_out(job->out.p, job->out.len);
	nr_out_flush();
	job->out.len = 0;
}

static void
sign_block(void *ctx, unsigned worker, void *arg)
{
	struct run *run = ctx;
	struct nr_line_job *job = arg;
	struct nr_view line;
	enum nr_verdict v;
	size_t at = 0, pos;

	job->judged.n = 0;
	job->out.len = 0;
	while (nr_block_line(&job->block, &at, &line)) {
		pos = 0;
		v = line.len == 0 ? NR_VALID : sign_line(run,
		    &run->hand[worker], line, &job->out, &pos);
		nr_judged_add(&job->judged, v, pos);
		if (run->pow.bits > 0)
			pass_on(job);
	}
}

static void
deliver_block(void *ctx, unsigned worker, void *arg)
{
	struct run *run = ctx;
	struct nr_line_job *job = arg;

	(void)worker;
	run->rejected |= nr_line_job_reject(job, run->rejects);
	pass_on(job);
}

static void
start(struct run *run, unsigned workers)
{
	unsigned i;

	if ((run->hand = calloc(workers, sizeof(run->hand[0]))) == NULL)
		nr_die(ENOMEM, "sign");
	for (i = 0; i < workers; i++)
		need(nr_verifier_new(&run->hand[i].hasher));
}

static void
finish(struct run *run, unsigned workers)
{
	unsigned i;

	for (i = 0; i < workers; i++) {
		nr_verifier_free(run->hand[i].hasher);
		nr_buf_free(&run->hand[i].normal);
		nr_buf_free(&run->hand[i].tags);
	}
	free(run->hand);
	nr_key_free(run->key);
	nr_rejects_close(run->rejects);
	nr_out_close();
}

/* Read the key, then everything that is to be signed by it. */
static void
sign_all(struct run *run, const struct nr_key_args *key, char **file,
    int nfiles)
{
	unsigned workers = run->pow.bits > 0 ? 1 : run->pow.threads;
	struct nr_pool *pool;
	int i, rc;

	if ((run->key = nr_key_load(key)) == NULL)
		nr_bad_usage("no key: -K, --key-fd or $NOSTR_SECRET_KEY");
	start(run, workers);
	rc = nr_pool_new(&pool, workers, 2 * workers + 2, sizeof(struct nr_line_job),
	    sign_block, deliver_block, run);
	if (rc != NR_OK)
		nr_die(rc, "threads");
	if (nfiles == 0)
		nr_lines_through(pool, "-", run->limits.bytes);
	for (i = 0; i < nfiles; i++)
		nr_lines_through(pool, file[i], run->limits.bytes);
	nr_pool_free(pool, nr_line_job_clear);
	finish(run, workers);
}

int
main(int argc, char *argv[])
{
	static const struct option longopts[] = {
		{ "jobs", required_argument, NULL, 'j' },
		{ "max-bytes", required_argument, NULL, 'm' },
		{ "now", no_argument, NULL, OPT_NOW },
		{ "pow", required_argument, NULL, OPT_POW },
		{ "pow-time", required_argument, NULL, OPT_POW_TIME },
		{ "progress", no_argument, NULL, 'P' },
		{ "quiet", no_argument, NULL, 'q' },
		{ "rejects", required_argument, NULL, 'r' },
		NR_LONG_KEY, NR_LONG_COMMON, { NULL, 0, NULL, 0 }
	};
	struct run run = {
		.limits = nr_event_limits_pipe,
		.pow = { .threads = nr_pool_cores(), .timeout = WORK_MS,
		    .progress = show_work, .ctx = &run }
	};
	struct nr_key_args key = NR_KEY_ARGS;
	const char *rejects = NULL;
	int ch;

	nr_tool_init(argv[0], usage);
	while ((ch = getopt_long(argc, argv, NR_KEY_FLAGS "j:m:Pqr:",
	    longopts, NULL)) != -1)
		switch (ch) {
		case 'j':
			run.pow.threads = (unsigned)nr_number(optarg, "-j", 1,
			    256);
			break;
		case 'm':
			run.limits.bytes = nr_size(optarg, "-m", 1, 1 << 30);
			break;
		case 'P':
			run.progress = 1;
			break;
		case 'q':
			nr_quiet = 1;
			break;
		case 'r':
			rejects = optarg;
			break;
		case OPT_NOW:
			run.now = run.pow.now = 1;
			break;
		case OPT_POW:
			run.pow.bits = (unsigned)nr_number(optarg, "--pow", 0,
			    NR_POW_MAX);
			break;
		case OPT_POW_TIME:
			run.pow.timeout = nr_duration(optarg, "--pow-time", 1,
			    NR_YEAR_MS);
			break;
		default:
			if (!nr_key_option(&key, ch, optarg))
				nr_common_option(ch);
		}
	run.rejects = nr_rejects_open(rejects);
	sign_all(&run, &key, argv + optind, argc - optind);
	return run.rejected ? NR_EX_NO : NR_EX_OK;
}
