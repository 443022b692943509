/*
 * nr-req: events from relays, each once, verified.
 *
 * One thread has the loop and all relays; a pool verifies and writes.  When
 * the pool is behind, the relays are not read.
 */
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "filteropt.h"
#include "keyopt.h"
#include "req.h"
#include "sink.h"
#include "tool.h"
#include "util/err.h"
#include "util/times.h"

static const char usage[] =
    "usage: nr-req [-nq] [-a author] [-d value] [-e id] [-i id] [-k kind]\n"
    "           [-l limit] [-p author] [-s since] [-t letter=value]\n"
    "           [-u until] [-K file | --key-fd fd] [--all] [--ca-file file]\n"
    "           [--connect-timeout time] [--count | --info]\n"
    "           [--ids-only] [--max-time time] [--overlap time]\n"
    "           [--paginate] [--relays file] [--report file]\n"
    "           [--retries number] [--stream] [--timeout time]\n"
    "           [--total number] [relay | filter ...]\n"
    NR_FILTER_HELP;

#define PAUSE_MS	10
#define RELAYS_MAX	1000

static void
stop(struct req *q, const char *why)
{
	unsigned i;

	if (q->stopping++ > 0) {
		nr_net_stop(q->net);	/* asked twice: at once */
		return;
	}
	for (i = 0; i < q->nrelays; i++)
		req_relay_stop(&q->relay[i], why);
}

void
req_done(struct req_relay *r)
{
	if (--r->req->left == 0)
		nr_net_stop(r->req->net);
}

/*
 * The end comes from outside.  For a stream that is as it should be, where
 * the relay is there.
 */
static void
cut_short(struct req *q, const char *why)
{
	unsigned i;

	for (i = 0; q->stream && q->stopping == 0 && i < q->nrelays; i++)
		if (q->relay[i].last.class != NR_FAULT_NONE)
			req_relay_stop(&q->relay[i], q->relay[i].last.text);
		else if (!q->relay[i].answered)
			req_relay_stop(&q->relay[i], "no answer");
	stop(q, q->stream ? NULL : why);
}

/* ---- events on their way to the pool ---- */

static void
pause_all(struct req *q, int on)
{
	unsigned i;

	q->paused = on;
	for (i = 0; i < q->nrelays; i++)
		if (q->relay[i].peer != NULL)
			nr_peer_pause(q->relay[i].peer, on);
}

static void
on_resume(void *ctx)
{
	struct req *q = ctx;

	if (nr_sieve_full(q->sieve))
		nr_timer_set(q->resume, PAUSE_MS);
	else
		pause_all(q, 0);
}

static void
on_push(void *ctx)
{
	struct req *q = ctx;

	q->pushing = 0;
	nr_sieve_push(q->sieve);
}

void
req_event(struct req_relay *r, const struct nr_event *ev,
    struct nr_view line)
{
	struct req *q = r->req;

	nr_sieve_add(q->sieve, r->index, ev, line);
	if (!q->pushing) {
		q->pushing = 1;
		nr_timer_set(q->push, 1);
	}
	if (!q->paused && nr_sieve_full(q->sieve)) {
		pause_all(q, 1);
		nr_timer_set(q->resume, PAUSE_MS);
	}
}

static void
wake(void *ctx)
{
	nr_net_wake(((struct req *)ctx)->net);
}

static void
on_wake(void *ctx)
{
	struct req *q = ctx;

	if (q->stopping == 0 && nr_sieve_enough(q->sieve))
		stop(q, NULL);
}

/* ---- the run ---- */

static void
on_signal(void *ctx, unsigned events)
{
	struct req *q = ctx;

	(void)events;
	if (nr_signals_take(&q->signals) != 0)
		cut_short(q, "interrupted");
}

static void
on_limit(void *ctx)
{
	struct req *q = ctx;

	cut_short(q, "time is up");
}

static void
start(struct req *q)
{
	struct nr_sieve_options o = {
		.sources = q->nrelays, .trust = q->trust, .ids = q->ids,
		.total = q->total, .wake = wake, .ctx = q
	};
	const char *why = NULL;
	unsigned i;
	int rc;

	rc = nr_net_new(&q->net, q->ca_file, q->nrelays, &why);
	if (why != NULL)
		nr_bad_usage("%s: %s", q->ca_file, why);
	if (rc != NR_OK ||
	    (rc = nr_timer_new(&q->push, q->net, on_push, q)) != NR_OK ||
	    (rc = nr_timer_new(&q->resume, q->net, on_resume, q)) != NR_OK ||
	    (rc = nr_timer_new(&q->limit, q->net, on_limit, q)) != NR_OK)
		nr_die(rc, "network");
	if (q->mode == REQ_FETCH) {
		q->sieve = nr_sieve_new(&o);
		nr_net_on_wake(q->net, on_wake, q);
	}
	if ((q->relay = calloc(q->nrelays, sizeof(q->relay[0]))) == NULL)
		nr_die(ENOMEM, "relays");
	q->left = q->nrelays;
	q->began = nr_now_ms();
	for (i = 0; i < q->nrelays; i++) {
		q->relay[i].req = q;
		q->relay[i].index = i;
		q->relay[i].url = q->relays.url[i];
		req_relay_start(&q->relay[i]);
	}
	if (q->max_ms > 0)
		nr_timer_set(q->limit, q->max_ms);
}

static void
run(struct req *q)
{
	static const int ends[] = { SIGINT, SIGTERM, 0 };
	struct nr_watch *signals;
	int rc;

	nr_signals_catch(&q->signals, ends);
	start(q);
	rc = nr_watch_new(&signals, q->net, q->signals.fd, NR_WATCH_IN,
	    on_signal, q);
	if (rc != NR_OK || (rc = nr_net_run(q->net)) != NR_OK)
		nr_die(rc, "network");
	nr_watch_free(signals);
	close(q->signals.fd);
	if (q->sieve != NULL)
		nr_sieve_drain(q->sieve);
}

static void
finish(struct req *q)
{
	unsigned i;

	for (i = 0; i < q->nrelays; i++)
		req_relay_free(&q->relay[i]);
	if (q->sieve != NULL)
		nr_sieve_free(q->sieve);
	nr_timer_free(q->push);
	nr_timer_free(q->resume);
	nr_timer_free(q->limit);
	nr_net_free(q->net);
	free(q->relay);
	nr_relays_free(&q->relays);
	nr_filters_free(q->filters, q->nfilters);
	nr_verifier_free(q->signer.hasher);
}

/* ---- the command line ---- */

/* A filter begins with a brace; anything else is a relay. */
static void
operands(struct req *q, struct nr_filter_args *args, char **operand, int n,
    int all)
{
	char **filter = calloc((size_t)n + 1, sizeof(*filter));
	int i, nfilters = 0;

	if (filter == NULL)
		nr_die(ENOMEM, "operands");
	for (i = 0; i < n; i++)
		if (*operand[i] == '{')
			filter[nfilters++] = operand[i];
		else
			nr_relays_add(&q->relays, operand[i]);
	if (q->relays.n == 0)
		nr_bad_usage("no relay is given");
	if (q->relays.n > RELAYS_MAX)
		nr_bad_usage("more than %d relays", RELAYS_MAX);
	q->nrelays = (unsigned)q->relays.n;
	q->filters = nr_filter_need(args, filter, nfilters, &q->nfilters);
	free(filter);
	for (i = 0; i < (int)q->nfilters; i++)
		if (q->mode != REQ_INFO && !all && (q->filters[i].has &
		    ~NR_FILTER_LIMIT) == 0 && q->filters[i].ntags == 0)
			nr_bad_usage("no filter: everything takes --all");
}

static void
check_options(const struct req *q, int count, int info)
{
	if (count && info)
		nr_bad_usage("--count and --info: one of them");
	if (q->mode != REQ_FETCH && (q->stream || q->paginate || q->ids ||
	    q->total > 0))
		nr_bad_usage("--count and --info go with no option about "
		    "events");
}

int
main(int argc, char *argv[])
{
	enum { ALL = NR_OPT_FIRST, CA_FILE, CONNECT, COUNT, IDS, INFO,
	    MAX_TIME, OVERLAP, PAGINATE, RELAYS, REPORT, RETRIES, STREAM,
	    TIMEOUT, TOTAL };
	static const struct option longopts[] = {
		{ "all", no_argument, NULL, ALL },
		{ "ca-file", required_argument, NULL, CA_FILE },
		{ "connect-timeout", required_argument, NULL, CONNECT },
		{ "count", no_argument, NULL, COUNT },
		{ "ids-only", no_argument, NULL, IDS },
		{ "info", no_argument, NULL, INFO },
		NR_LONG_KEY,
		{ "max-time", required_argument, NULL, MAX_TIME },
		{ "no-verify", no_argument, NULL, 'n' },
		{ "overlap", required_argument, NULL, OVERLAP },
		{ "paginate", no_argument, NULL, PAGINATE },
		{ "quiet", no_argument, NULL, 'q' },
		{ "relays", required_argument, NULL, RELAYS },
		{ "report", required_argument, NULL, REPORT },
		{ "retries", required_argument, NULL, RETRIES },
		{ "stream", no_argument, NULL, STREAM },
		{ "timeout", required_argument, NULL, TIMEOUT },
		{ "total", required_argument, NULL, TOTAL },
		NR_LONG_COMMON, { NULL, 0, NULL, 0 }
	};
	struct req q = {
		.timeout_ms = 30000, .connect_ms = 10000, .overlap = 600
	};
	struct nr_filter_args args = { 0 };
	struct nr_key_args key = NR_KEY_ARGS;
	struct nr_key *secret;
	int ch, all = 0, count = 0, info = 0, retries = -1, status;

	nr_tool_init(argv[0], usage);
	while ((ch = getopt_long(argc, argv, NR_FILTER_FLAGS NR_KEY_FLAGS
	    "nq", longopts, NULL)) != -1)
		switch (ch) {
		case ALL:
			all = 1;
			break;
		case CA_FILE:
			q.ca_file = optarg;
			break;
		case CONNECT:
			q.connect_ms = nr_duration(optarg,
			    "--connect-timeout", 1, 60000);
			break;
		case COUNT:
			q.mode = REQ_COUNT;
			count = 1;
			break;
		case IDS:
			q.ids = 1;
			break;
		case INFO:
			q.mode = REQ_INFO;
			info = 1;
			break;
		case MAX_TIME:
			q.max_ms = nr_duration(optarg, "--max-time", 1,
			    NR_YEAR_MS);
			break;
		case OVERLAP:
			q.overlap = nr_duration(optarg, "--overlap", 1,
			    10 * NR_YEAR_MS) / 1000;
			break;
		case PAGINATE:
			q.paginate = 1;
			break;
		case RELAYS:
			nr_relays_add_file(&q.relays, optarg);
			break;
		case REPORT:
			q.report = optarg;
			break;
		case RETRIES:
			retries = (int)nr_number(optarg, "--retries", 0,
			    1000000);
			break;
		case STREAM:
			q.stream = 1;
			break;
		case TIMEOUT:
			q.timeout_ms = nr_duration(optarg, "--timeout", 1,
			    NR_DAY_MS);
			break;
		case TOTAL:
			q.total = nr_number(optarg, "--total", 1, INT64_MAX);
			break;
		case 'n':
			q.trust = 1;
			break;
		case 'q':
			nr_quiet = 1;
			break;
		case NR_OPT_HELP:
		case NR_OPT_VERSION:
		case '?':
			nr_common_option(ch);
			break;
		default:
			if (!nr_key_option(&key, ch, optarg))
				nr_filter_option(&args, ch, optarg);
		}
	check_options(&q, count, info);
	operands(&q, &args, argv + optind, argc - optind, all);
	/* A stream comes back for ever. */
	q.tries = retries >= 0 ? (unsigned)retries + 1 : q.stream ? 0 : 4;
	secret = nr_key_load(&key);
	q.signer.key = secret;
	if (secret != NULL && nr_verifier_new(&q.signer.hasher) != NR_OK)
		nr_die(ENOMEM, "key");
	if (q.report != NULL)
		nr_write_file_check(q.report);
	run(&q);
	if (q.mode == REQ_COUNT)
		req_print_count(&q);
	else if (q.mode == REQ_INFO)
		req_print_info(&q);
	req_summary(&q);
	status = req_exit_status(&q);
	finish(&q);
	nr_key_free(secret);
	nr_out_close();
	return status;
}
