/*
 * nr-import: store events from stdin or files.
 *
 * One thread reads, as many as there are cores check and normalise, and
 * the first one stores what they have done in order, in batches that are
 * short enough for others to write in between.
 */
#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "blocks.h"
#include "event/tags.h"
#include "event/verify.h"
#include "storeopt.h"
#include "tool.h"
#include "util/err.h"
#include "util/times.h"

static const char usage[] =
    "usage: nr-import [-nPq] [-j threads] [-m bytes] [-r file] [-S dir]\n"
    "           [--force] [--no-live] [--segment bytes] [file ...]\n";

#define HELD_MAX	24	/* blocks in one batch */
#define BATCH_MS	30	/* to wait for a batch to fill */
#define WRITE_MS	40	/* that a batch should take to write */
#define IDLE_MS		100	/* without input, filling ends */

/* A block of lines, what is wrong with each, and the good ones' items. */
struct job {
	struct nr_block	 block;
	struct nr_judged judged;
	struct nr_item	*item;
	size_t		 nitems, capitems;
	struct nr_buf	 normal;	/* the items' lines */
	const char	*file;
};

struct run {
	/* Set once. */
	const char		*dir;
	struct nr_event_limits	 limits;
	enum nr_trust		 trust;
	unsigned		 put_flags;
	char			**files;
	int			 nfiles;
	struct nr_store		*st;
	struct nr_pool		*pool;
	struct nr_verifier	**verifier;
	struct nr_rejects	*rejects;

	/* Written by the reading thread, read when the pool has ended. */
	const char		*failed_file;
	int			 failed_rc;
	uint64_t		 bytes_in;	/* atomic: for progress */

	/* The storing thread's. */
	struct job		*held[HELD_MAX];
	unsigned		 nheld;
	struct nr_item		*batch;
	size_t			 nbatch, capbatch, target;
	int			 filling;	/* an empty store, in bulk */
	int64_t			 batch_start;
	uint64_t		 lines, bytes;
	uint64_t		 result[NR_PUT_NRESULTS];
	uint64_t		 invalid[NR_NVERDICTS];
};

static volatile sig_atomic_t stop_signal;

static void
on_signal(int sig)
{
	stop_signal = sig;
}

/* ---- reading, in a thread of its own ---------------------------------------- */

static int
read_file(struct run *run, const char *path)
{
	struct nr_lines in;
	struct job *job;
	uint64_t before = run->bytes_in;
	int fd, rc;

	if ((rc = nr_open_input(&fd, path)) != NR_OK)
		return rc;
	if ((rc = nr_lines_init(&in, fd, run->limits.bytes, 0)) != NR_OK)
		return rc;
	for (;;) {
		job = nr_pool_claim(run->pool);
		job->file = strcmp(path, "-") == 0 ? NULL : path;
		if ((rc = nr_lines_block(&in, &job->block)) != NR_OK)
			break;
		__atomic_store_n(&run->bytes_in,
		    before + nr_lines_bytes(&in), __ATOMIC_RELAXED);
		nr_pool_submit(run->pool);
	}
	nr_lines_free(&in);
	if (fd != STDIN_FILENO)
		close(fd);
	return rc == NR_EOF ? NR_OK : rc;
}

static void *
read_all(void *arg)
{
	struct run *run = arg;
	int i;

	for (i = 0; i < run->nfiles; i++) {
		run->failed_rc = read_file(run, run->files[i]);
		if (run->failed_rc != NR_OK) {
			run->failed_file = run->files[i];
			break;
		}
	}
	nr_pool_close(run->pool);
	return NULL;
}

/* ---- checking, in the pool ----------------------------------------------------- */

static void
need(int rc)
{
	if (rc != NR_OK)
		nr_die(rc, "import");
}

static struct nr_item *
new_item(struct job *job)
{
	if (job->nitems == job->capitems) {
		job->capitems = job->capitems * 2 + 256;
		job->item = realloc(job->item,
		    job->capitems * sizeof(job->item[0]));
		if (job->item == NULL)
			nr_die(ENOMEM, "import");
	}
	return &job->item[job->nitems];
}

static enum nr_verdict
check_line(struct run *run, struct nr_verifier *v, struct job *job,
    struct nr_view line, size_t *pos)
{
	struct nr_item *item = new_item(job);
	enum nr_verdict what;
	char *out = job->normal.p + job->normal.len;

	what = nr_event_read(&item->ev, line.p, line.len, &run->limits, pos);
	if (what != NR_VALID)
		return what;
	item->line.p = out;
	item->line.len = nr_event_normalise(&item->ev, out);
	what = nr_verify_event(v, &item->ev, run->trust);
	/* Which relay this store is for is not known here. */
	item->vanish = what == NR_VALID && item->ev.kind == NR_KIND_VANISH &&
	    nr_event_vanish_all(&item->ev);
	if (what == NR_VALID) {
		job->normal.len += item->line.len;
		job->nitems++;
	}
	return what;
}

static void
check_block(void *ctx, unsigned worker, void *arg)
{
	struct run *run = ctx;
	struct job *job = arg;
	struct nr_view line;
	size_t at = 0, pos, lines = 0;
	enum nr_verdict what;

	job->judged.n = job->nitems = 0;
	job->normal.len = 0;
	while (nr_block_line(&job->block, &at, &line))
		lines++;
	/* All of them at once, so that no item's line moves. */
	need(nr_buf_reserve(&job->normal, job->block.text.len +
	    lines * NR_EVENT_LINE_MAX(0) + 1));
	for (at = 0; nr_block_line(&job->block, &at, &line);) {
		pos = 0;
		what = line.len == 0 ? NR_VALID : check_line(run,
		    run->verifier[worker], job, line, &pos);
		nr_judged_add(&job->judged, what, pos);
	}
}

static void
clear_job(void *arg)
{
	struct job *job = arg;

	nr_block_free(&job->block);
	nr_buf_free(&job->normal);
	free(job->judged.line);
	free(job->item);
}

/* ---- storing ---------------------------------------------------------------------- */

static void
count_invalid(struct run *run, struct job *job)
{
	struct nr_view line;
	size_t at = 0, i;

	if (job->block.too_long) {
		run->lines++;
		run->invalid[NR_BAD_TOO_LONG]++;
		nr_reject(run->rejects, job->file, job->block.first,
		    NR_BAD_TOO_LONG, 0, NULL, 0);
	}
	for (i = 0; nr_block_line(&job->block, &at, &line); i++) {
		run->bytes += line.len + 1;
		if (line.len == 0)
			continue;
		run->lines++;
		if (job->judged.line[i].what == NR_VALID)
			continue;
		run->invalid[job->judged.line[i].what]++;
		nr_reject(run->rejects, job->file, job->block.first + i,
		    job->judged.line[i].what, job->judged.line[i].pos, line.p,
		    line.len);
	}
}

static void
count_results(struct run *run, const struct nr_item *item, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++)
		run->result[item[i].result]++;
}

/* What is stored is safe: trouble here is only worth a word. */
static void
settle(struct run *run, int ms)
{
	static const struct timespec nap = { .tv_nsec = 50000000 };
	int rc = nr_store_settle(run->st, ms);

	if (rc == NR_EBUSY && ms == 0)
		nanosleep(&nap, NULL);
	else if (rc != NR_OK && rc != NR_EBUSY)
		nr_warn("%s: %s", run->dir, nr_strerror(rc));
}

/* A signal waits until it is let through at the end. */
static int
interrupted(void *ctx)
{
	sigset_t waiting;

	(void)ctx;
	return stop_signal != 0 || sigpending(&waiting) != 0 ||
	    sigismember(&waiting, SIGINT) || sigismember(&waiting, SIGTERM);
}

/* What was asked to vanish cannot be seen: whoever is next goes on. */
static void
vanish(struct run *run)
{
	int rc = nr_store_vanish(run->st, interrupted, NULL);

	if (rc != NR_OK)
		nr_warn("%s: %s", run->dir, nr_strerror(rc));
}

/* Write as many as should go into one transaction, and learn from it. */
static void
put_some(struct run *run, struct nr_item *item, size_t n)
{
	int64_t start = nr_now_ms(), took;
	int rc;

	rc = nr_store_put(run->st, item, n, run->put_flags, time(NULL));
	if (rc != NR_OK)
		nr_store_die(rc, run->dir);
	took = nr_now_ms() - start;
	settle(run, 0);
	if (took > WRITE_MS && run->target > 200)
		run->target -= run->target / 4;
	else if (took < WRITE_MS / 2 && n >= run->target &&
	    run->target < 10000)
		run->target += run->target / 4;
}

/* Store the batch, and give its blocks back. */
static void
flush(struct run *run)
{
	size_t done, n;

	for (done = 0; done < run->nbatch; done += n) {
		n = run->nbatch - done;
		if (n > run->target + run->target / 2)
			n = run->target;
		put_some(run, run->batch + done, n);
	}
	count_results(run, run->batch, run->nbatch);
	run->nbatch = 0;
	for (; run->nheld > 0; run->nheld--)
		nr_pool_release(run->pool);
}

/* Filling an empty store takes each block as it comes. */
static void
fill(struct run *run, struct job *job)
{
	int rc;

	rc = nr_bulk_put(run->st, job->item, job->nitems, run->put_flags,
	    time(NULL));
	if (rc != NR_OK)
		nr_store_die(rc, run->dir);
	count_results(run, job->item, job->nitems);
	nr_pool_release(run->pool);
}

static void
end_filling(struct run *run)
{
	int rc;

	if (!run->filling)
		return;
	run->filling = 0;
	if ((rc = nr_bulk_end(run->st)) != NR_OK)
		nr_store_die(rc, run->dir);
}

static void
add_to_batch(struct run *run, struct job *job)
{
	size_t want = run->nbatch + job->nitems;

	if (run->nheld == 0)
		run->batch_start = nr_now_ms();
	if (want > run->capbatch) {
		run->capbatch = want * 2;
		run->batch = realloc(run->batch,
		    run->capbatch * sizeof(run->batch[0]));
		if (run->batch == NULL)
			nr_die(ENOMEM, "import");
	}
	if (job->nitems > 0)
		memcpy(run->batch + run->nbatch, job->item,
		    job->nitems * sizeof(job->item[0]));
	run->nbatch = want;
	run->held[run->nheld++] = job;
	if (run->nheld == HELD_MAX || run->nbatch >= run->target)
		flush(run);
}

static int
take_timeout(const struct run *run)
{
	int64_t left;

	if (run->filling)
		return IDLE_MS;
	if (run->nheld == 0)
		return 1000;
	left = run->batch_start + BATCH_MS - nr_now_ms();
	return left > 0 ? (int)left : 0;
}

/*
 * Signals are let in only where nothing is half done and no lock is held:
 * so a stopped or interrupted import keeps nobody else from writing.
 */
static int
take(struct run *run, const sigset_t *ours, void **job)
{
	int rc;

	if (!run->filling && run->nheld == 0)
		pthread_sigmask(SIG_UNBLOCK, ours, NULL);
	rc = nr_pool_take(run->pool, job, take_timeout(run));
	pthread_sigmask(SIG_BLOCK, ours, NULL);
	return rc;
}

static void
store_all(struct run *run, const sigset_t *ours, struct nr_meter *meter)
{
	sigset_t waiting;
	void *job;
	int rc;

	for (;;) {
		sigpending(&waiting);
		if (stop_signal != 0 || sigismember(&waiting, SIGINT) ||
		    sigismember(&waiting, SIGTERM))
			break;
		rc = take(run, ours, &job);
		if (rc == NR_EOF)
			break;
		if (rc == NR_ETIMEOUT) {
			end_filling(run);
			flush(run);
			continue;
		}
		count_invalid(run, job);
		if (run->filling) {
			fill(run, job);
			if (nr_bulk_wanted(run->st))
				end_filling(run);
		} else
			add_to_batch(run, job);
		nr_meter_step(meter, run->lines,
		    __atomic_load_n(&run->bytes_in, __ATOMIC_RELAXED));
	}
	end_filling(run);
	flush(run);
}

/* ---- the rest ------------------------------------------------------------------------ */

static int
summary(const struct run *run, double seconds)
{
	static const char *const name[NR_PUT_NRESULTS] = {
		"stored", "duplicate", "replaced", "deleted", "expired",
		"ephemeral"
	};
	struct nr_buf b = { 0 };
	uint64_t bad = 0;
	int i, rc;

	rc = nr_buf_addf(&b, "{\"read\":%" PRIu64, run->lines);
	for (i = 0; rc == 0 && i < NR_PUT_NRESULTS; i++)
		rc = nr_buf_addf(&b, ",\"%s\":%" PRIu64, name[i],
		    run->result[i]);
	need(rc);
	need(nr_buf_adds(&b, ",\"invalid\":{"));
	for (i = 0; i < NR_NVERDICTS; i++) {
		if (run->invalid[i] == 0)
			continue;
		need(nr_buf_addf(&b, "%s\"%s\":%" PRIu64,
		    bad > 0 ? "," : "", nr_verdict_name(i),
		    run->invalid[i]));
		bad += run->invalid[i];
	}
	need(nr_buf_addf(&b, "},\"bytes\":%" PRIu64 ",\"seconds\":%.3f}\n",
	    run->bytes, seconds));
	nr_out(b.p, b.len);
	nr_buf_free(&b);
	return bad > 0 ? NR_EX_NO : NR_EX_OK;
}

/* Bytes of all input files, 0 where that cannot be known. */
static uint64_t
total_size(char **files, int n)
{
	struct stat s;
	uint64_t sum = 0;
	int i;

	for (i = 0; i < n; i++) {
		if ((strcmp(files[i], "-") == 0 ? fstat(STDIN_FILENO, &s) :
		    stat(files[i], &s)) != 0 || !S_ISREG(s.st_mode))
			return 0;
		sum += (uint64_t)s.st_size;
	}
	return sum;
}

static void
start(struct run *run, unsigned threads, sigset_t *ours)
{
	struct sigaction sa = { .sa_handler = on_signal };
	unsigned i;

	sigemptyset(ours);
	sigaddset(ours, SIGINT);
	sigaddset(ours, SIGTERM);
	sigaddset(ours, SIGTSTP);
	sigaction(SIGINT, &sa, NULL);
	sigaction(SIGTERM, &sa, NULL);
	/* Every thread that is started from here on has them blocked. */
	pthread_sigmask(SIG_BLOCK, ours, NULL);
	run->target = 2000;
	run->verifier = calloc(threads, sizeof(run->verifier[0]));
	if (run->verifier == NULL)
		nr_die(ENOMEM, "import");
	for (i = 0; i < threads; i++)
		need(nr_verifier_new(&run->verifier[i]));
	need(nr_pool_new(&run->pool, threads, HELD_MAX + 2 * threads + 2,
	    sizeof(struct job), check_block, NULL, run));
}

static int
import(struct run *run, unsigned threads, int progress)
{
	struct nr_meter meter;
	pthread_t reader;
	sigset_t ours;
	int64_t begun = nr_now_ms();
	int rc, status;
	unsigned i;

	start(run, threads, &ours);
	run->filling = nr_bulk_begin(run->st) == NR_OK;
	nr_meter_start(&meter, "events", total_size(run->files, run->nfiles),
	    progress);
	need(pthread_create(&reader, NULL, read_all, run));
	store_all(run, &ours, &meter);
	vanish(run);
	settle(run, -1);
	nr_meter_end(&meter);
	status = summary(run, (double)(nr_now_ms() - begun) / 1000);
	nr_rejects_close(run->rejects);
	nr_out_close();
	nr_store_close(run->st);
	pthread_sigmask(SIG_UNBLOCK, &ours, NULL);
	if (stop_signal != 0) {
		/* The reader may be waiting for input: leave it there. */
		signal(stop_signal, SIG_DFL);
		raise(stop_signal);
	}
	if ((rc = pthread_join(reader, NULL)) != 0)
		nr_die(rc, "import");
	nr_pool_free(run->pool, clear_job);
	for (i = 0; i < threads; i++)
		nr_verifier_free(run->verifier[i]);
	free(run->verifier);
	free(run->batch);
	if (run->failed_rc != NR_OK)
		nr_die(run->failed_rc, "%s",
		    strcmp(run->failed_file, "-") == 0 ? "stdin" :
		    run->failed_file);
	return status;
}

int
main(int argc, char *argv[])
{
	enum { NO_LIVE = NR_OPT_FIRST, SEGMENT, FORCE };
	static const struct option longopts[] = {
		{ "force", no_argument, NULL, FORCE },
		{ "jobs", required_argument, NULL, 'j' },
		{ "max-bytes", required_argument, NULL, 'm' },
		{ "no-live", no_argument, NULL, NO_LIVE },
		{ "no-verify", no_argument, NULL, 'n' },
		{ "progress", no_argument, NULL, 'P' },
		{ "quiet", no_argument, NULL, 'q' },
		{ "rejects", required_argument, NULL, 'r' },
		{ "segment", required_argument, NULL, SEGMENT },
		{ "store", required_argument, NULL, 'S' },
		NR_LONG_COMMON, { NULL, 0, NULL, 0 }
	};
	static char dash[] = "-";
	char *only_stdin[] = { dash };
	struct run run = { .limits = nr_event_limits_pipe };
	unsigned threads = nr_pool_cores(), flags = NR_STORE_CREATE;
	const char *rejects = NULL;
	size_t segment = 0;
	int ch, progress = 0;

	nr_tool_init(argv[0], usage);
	while ((ch = getopt_long(argc, argv, "j:m:nPqr:S:", longopts,
	    NULL)) != -1)
		switch (ch) {
		case FORCE:
			flags |= NR_STORE_FORCE;
			break;
		case NO_LIVE:
			run.put_flags |= NR_PUT_QUIET;
			break;
		case SEGMENT:
			segment = nr_size(optarg, "--segment", 4096,
			    (uint64_t)1 << 30);
			break;
		case 'P':
			progress = 1;
			break;
		case 'S':
			run.dir = optarg;
			break;
		case 'j':
			threads = (unsigned)nr_number(optarg, "-j", 1, 256);
			break;
		case 'm':
			run.limits.bytes = nr_size(optarg, "-m", 1, 1 << 27);
			break;
		case 'n':
			run.trust = run.trust == NR_TRUST_NOTHING ?
			    NR_TRUST_SIGNATURES : NR_TRUST_ALL;
			break;
		case 'q':
			nr_quiet = 1;
			break;
		case 'r':
			rejects = optarg;
			break;
		default:
			nr_common_option(ch);
		}
	run.dir = nr_store_name(run.dir);
	run.files = optind < argc ? argv + optind : only_stdin;
	run.nfiles = optind < argc ? argc - optind : 1;
	run.rejects = nr_rejects_open(rejects);
	run.st = nr_store_need(run.dir, flags, segment, progress);
	return import(&run, threads, progress);
}
