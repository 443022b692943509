/*
 * nr-publish: send events to relays, a window in flight at each, and say
 * what became of every one.
 */
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "keyopt.h"
#include "publish.h"
#include "relayopt.h"
#include "signals.h"
#include "sink.h"
#include "storeopt.h"
#include "tool.h"
#include "util/err.h"
#include "util/pool.h"
#include "util/times.h"

#define RELAYS_MAX	500
#define WINDOW_MAX	1000
#define TICK_MS		100
#define SAVE_MS		1000	/* between writes of --resume's file */
#define BATCHES		4	/* taken at a time */

static const char usage[] =
    "usage: nr-publish [-nPq] [-K file] [--key-fd fd] [-j threads] [-m bytes]\n"
    "    [-r file] [-w events] [--attempts number] [--ca-file file]\n"
    "    [--deadline time] [--give-up time] [--min relays] [--patience time]\n"
    "    [--private] [--protected] [--queue bytes] [--relays file]\n"
    "    [--report file] [--resume file] [--timeout time] [relay ...] < events\n";

enum {
	OPT_ATTEMPTS = NR_OPT_FIRST,
	OPT_CA_FILE,
	OPT_DEADLINE,
	OPT_GIVE_UP,
	OPT_MIN,
	OPT_PATIENCE,
	OPT_PRIVATE,
	OPT_PROTECTED,
	OPT_QUEUE,
	OPT_RELAYS,
	OPT_REPORT,
	OPT_RESUME,
	OPT_TIMEOUT
};

struct run {
	struct nr_pub			 p;
	struct nr_pub_feed_options	 feed_options;
	struct nr_pub_feed		*feed;
	struct nr_key_args		 key;
	struct nr_relays		 relays;
	struct nr_timer			*tick;
	struct nr_watch			*signals;
	struct nr_signals		 caught;
	struct nr_meter			 meter;
	const char			*ca_file, *report, *resume, *rejects;
	int				 progress;
	int				 rc;	/* of the input: NR_EOF */
	int				 closing;
	int64_t				 saved, closed;
};

/* ---- relays */

static int
sign(void *ctx, struct nr_buf *out, const char *url, struct nr_view challenge)
{
	struct nr_pub *p = ctx;

	return nr_sign_auth(p->key, p->hasher, out, url, challenge);
}

static void
make_relays(struct run *run)
{
	struct nr_pub *p = &run->p;
	struct nr_peer_options o;
	unsigned i;

	nr_peer_options_init(&o);
	if (o.out_max < run->feed_options.limits.bytes + 1024)
		o.out_max = run->feed_options.limits.bytes + 1024;
	if (p->key != NULL) {
		o.sign = sign;
		o.sign_ctx = p;
	}
	p->relay = calloc(p->nrelays, sizeof(p->relay[0]));
	if (p->relay == NULL)
		nr_die(ENOMEM, "relays");
	for (i = 0; i < p->nrelays; i++) {
		p->relay[i].url = run->relays.url[i];
		nr_pub_relay_init(&p->relay[i], p, &o);
	}
	p->alive = p->nrelays;
}

/* ---- the loop */

static void
save(struct run *run)
{
	if (run->resume != NULL)
		nr_pub_places_write(&run->p, run->resume);
	run->saved = nr_now_ms();
}

/* Nothing is left to send, or nobody to send it to: say goodbye. */
static void
close_all(struct run *run)
{
	struct nr_pub *p = &run->p;
	unsigned i;

	if (run->closing || (p->alive > 0 && (p->count > 0 || run->rc == 0)))
		return;
	run->closing = 1;
	run->closed = nr_now_ms();
	for (i = 0; i < p->nrelays; i++)
		nr_peer_close(p->relay[i].peer);
}

static int
all_closed(const struct run *run)
{
	unsigned i;

	for (i = 0; i < run->p.nrelays; i++)
		if (nr_peer_state(run->p.relay[i].peer) != NR_PEER_IDLE)
			return nr_now_ms() - run->closed > 5000;
	return 1;
}

/* Relays that begin behind the end have not seen this input. */
static void
check_end(const struct nr_pub *p)
{
	unsigned i;

	for (i = 0; i < p->nrelays; i++)
		if (p->relay[i].start.line > p->here.line)
			nr_bad_usage("%s: the input has only %" PRIu64
			    " lines: it is not the one of --resume's file",
			    p->relay[i].name, p->here.line);
}

/* Take input, as long as there is room for it. */
static void
on_wake(void *ctx)
{
	struct run *run = ctx;
	struct nr_pub *p = &run->p;
	struct nr_pub_batch *b = NULL;
	unsigned n;

	p->blocked = 0;
	for (n = 0; n < BATCHES && run->rc == 0 && p->bytes < p->queue_max;
	    n++) {
		if ((b = nr_pub_feed_take(run->feed, &run->rc)) == NULL)
			break;
		nr_pub_add(p, b);
	}
	p->blocked = p->bytes >= p->queue_max;
	if (n == BATCHES)
		nr_net_wake(p->net);
	if (run->rc == NR_EOF)
		check_end(p);
	close_all(run);
}

static void
on_tick(void *ctx)
{
	struct run *run = ctx;
	struct nr_pub *p = &run->p;
	unsigned i;

	for (i = 0; i < p->nrelays && !run->closing; i++)
		nr_pub_relay_look(&p->relay[i], p->blocked);
	nr_out_flush();
	nr_meter_step(&run->meter, p->base, 0);
	if (nr_now_ms() - run->saved >= SAVE_MS)
		save(run);
	close_all(run);
	if (run->closing && all_closed(run))
		nr_net_stop(p->net);
	else
		nr_timer_set(run->tick, TICK_MS);
}

/* Asked to end: what is known is kept and said first. */
static void
on_signal(void *ctx, unsigned events)
{
	struct run *run = ctx;

	(void)events;
	if (nr_signals_take(&run->caught) != 0)
		nr_net_stop(run->p.net);
}

static _Noreturn void
end_by(struct run *run)
{
	nr_out_flush();
	nr_signals_die(&run->caught);
}

static void
need(int rc, const char *what)
{
	if (rc != NR_OK)
		nr_die(rc, "%s", what);
}

static void
loop(struct run *run)
{
	struct nr_pub *p = &run->p;

	need(nr_timer_new(&run->tick, p->net, on_tick, run), "timer");
	need(nr_watch_new(&run->signals, p->net, run->caught.fd, NR_WATCH_IN,
	    on_signal, run), "signals");
	nr_net_on_wake(p->net, on_wake, run);
	run->feed = nr_pub_feed_new(&run->feed_options, p->net);
	nr_timer_set(run->tick, TICK_MS);
	nr_meter_start(&run->meter, "events", 0, run->progress);
	need(nr_net_run(p->net), "network");
	nr_meter_end(&run->meter);
}

/* ---- beginning and end */

static void
start(struct run *run)
{
	static const int ends[] = { SIGHUP, SIGINT, SIGTERM, 0 };
	struct nr_pub *p = &run->p;
	const char *why = NULL;
	unsigned i;
	int rc;

	if (run->relays.n == 0)
		nr_bad_usage("no relay");
	if (run->relays.n > RELAYS_MAX)
		nr_bad_usage("more than %d relays", RELAYS_MAX);
	p->nrelays = (unsigned)run->relays.n;
	if (p->min > p->nrelays)
		nr_bad_usage("--min %u: of only %u relay%s", p->min,
		    p->nrelays, NR_S(p->nrelays));
	p->key = nr_key_load(&run->key);
	p->rejects = nr_rejects_open(run->rejects);
	if (run->report != NULL)
		nr_write_file_check(run->report);
	p->rng.state = (uint64_t)nr_now_ns() ^ (uint64_t)getpid() << 32;
	need(nr_verifier_new(&p->hasher), "memory");
	need(nr_sha256_new(&p->sha), "memory");
	nr_signals_catch(&run->caught, ends);
	rc = nr_net_new(&p->net, run->ca_file, p->nrelays, &why);
	if (rc == NR_EINVAL)
		nr_bad_usage("%s: %s", run->ca_file, why);
	need(rc, "network");
	make_relays(run);
	if (run->resume != NULL)
		nr_pub_places_read(p, run->resume);
	run->feed_options.pass = UINT64_MAX;
	for (i = 0; i < p->nrelays; i++)
		if (p->relay[i].start.line < run->feed_options.pass)
			run->feed_options.pass = p->relay[i].start.line;
}

static int
status(const struct run *run)
{
	const struct nr_pub *p = &run->p;

	if (p->alive == 0)
		return NR_EX_ENV;
	return p->enough != p->events || p->invalid > 0 ? NR_EX_NO :
	    NR_EX_OK;
}

static int
finish(struct run *run)
{
	struct nr_pub *p = &run->p;
	unsigned i;
	int st;

	save(run);
	nr_pub_settle(p);
	st = status(run);
	nr_pub_summary(p);
	if (run->report != NULL)
		nr_pub_report(p, run->report);
	nr_key_free(p->key);
	if (run->caught.last != 0)
		end_by(run);
	if (run->rc != 0 && run->rc != NR_EOF) {
		nr_out_flush();
		nr_die(run->rc, "stdin");
	}
	for (i = 0; i < p->nrelays; i++)
		nr_pub_relay_free(&p->relay[i]);
	nr_rejects_close(p->rejects);
	nr_out_close();
	return st;
}

static void
option(struct run *run, int ch)
{
	struct nr_pub *p = &run->p;

	switch (ch) {
	case 'j':
		run->feed_options.threads = (unsigned)nr_number(optarg, "-j",
		    1, 256);
		break;
	case 'm':
		run->feed_options.limits.bytes = nr_size(optarg, "-m", 1,
		    1 << 30);
		break;
	case 'n':
		run->feed_options.trust = NR_TRUST_ALL;
		break;
	case 'P':
		run->progress = 1;
		break;
	case 'q':
		nr_quiet = p->quiet = 1;
		break;
	case 'r':
		run->rejects = optarg;
		break;
	case 'w':
		p->window = (unsigned)nr_number(optarg, "-w", 1, WINDOW_MAX);
		break;
	case OPT_ATTEMPTS:
		p->attempts = (unsigned)nr_number(optarg, "--attempts", 1,
		    1000);
		break;
	case OPT_CA_FILE:
		run->ca_file = optarg;
		break;
	case OPT_DEADLINE:
		p->deadline = nr_duration(optarg, "--deadline", 1,
		    NR_YEAR_MS);
		break;
	case OPT_GIVE_UP:
		p->give_up = nr_duration(optarg, "--give-up", 1,
		    NR_YEAR_MS);
		break;
	case OPT_MIN:
		p->min = (unsigned)nr_number(optarg, "--min", 1, RELAYS_MAX);
		break;
	case OPT_PATIENCE:
		p->patience = nr_duration(optarg, "--patience", 1,
		    NR_YEAR_MS);
		break;
	case OPT_PRIVATE:
		p->send_private = 1;
		break;
	case OPT_PROTECTED:
		p->send_protected = 1;
		break;
	case OPT_QUEUE:
		p->queue_max = nr_size(optarg, "--queue", 1,
		    (uint64_t)1 << 40);
		break;
	case OPT_RELAYS:
		nr_relays_add_file(&run->relays, optarg);
		break;
	case OPT_REPORT:
		run->report = optarg;
		break;
	case OPT_RESUME:
		run->resume = optarg;
		break;
	case OPT_TIMEOUT:
		p->timeout = nr_duration(optarg, "--timeout", 1,
		    NR_YEAR_MS);
		break;
	default:
		if (!nr_key_option(&run->key, ch, optarg))
			nr_common_option(ch);
	}
}

int
main(int argc, char *argv[])
{
	static const struct option longopts[] = {
		{ "attempts", required_argument, NULL, OPT_ATTEMPTS },
		{ "ca-file", required_argument, NULL, OPT_CA_FILE },
		{ "deadline", required_argument, NULL, OPT_DEADLINE },
		{ "give-up", required_argument, NULL, OPT_GIVE_UP },
		{ "jobs", required_argument, NULL, 'j' },
		{ "max-bytes", required_argument, NULL, 'm' },
		{ "min", required_argument, NULL, OPT_MIN },
		{ "no-verify", no_argument, NULL, 'n' },
		{ "patience", required_argument, NULL, OPT_PATIENCE },
		{ "private", no_argument, NULL, OPT_PRIVATE },
		{ "progress", no_argument, NULL, 'P' },
		{ "protected", no_argument, NULL, OPT_PROTECTED },
		{ "queue", required_argument, NULL, OPT_QUEUE },
		{ "quiet", no_argument, NULL, 'q' },
		{ "rejects", required_argument, NULL, 'r' },
		{ "relays", required_argument, NULL, OPT_RELAYS },
		{ "report", required_argument, NULL, OPT_REPORT },
		{ "resume", required_argument, NULL, OPT_RESUME },
		{ "timeout", required_argument, NULL, OPT_TIMEOUT },
		{ "window", required_argument, NULL, 'w' },
		NR_LONG_KEY, NR_LONG_COMMON, { NULL, 0, NULL, 0 }
	};
	static struct run run = {
		.p = { .window = 32, .min = 1, .attempts = 10,
		    .timeout = 30000, .deadline = 600000,
		    .give_up = 60000, .patience = 60000,
		    .queue_max = (size_t)64 * 1024 * 1024 },
		.feed_options = { .fd = STDIN_FILENO },
		.key = NR_KEY_ARGS
	};
	int ch;

	nr_tool_init(argv[0], usage);
	run.feed_options.threads = nr_pool_cores();
	run.feed_options.limits = nr_event_limits_pipe;
	while ((ch = getopt_long(argc, argv, NR_KEY_FLAGS "j:m:nPqr:w:",
	    longopts, NULL)) != -1)
		option(&run, ch);
	for (; optind < argc; optind++)
		nr_relays_add(&run.relays, argv[optind]);
	start(&run);
	loop(&run);
	return finish(&run);
}
