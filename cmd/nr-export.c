/*
 * nr-export: events of a store to stdout, by filter or in the order of
 * arrival.
 *
 * A snapshot is never held while output may block: some events are
 * gathered, the snapshot is released, and they are written.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "filteropt.h"
#include "sink.h"
#include "store/query.h"
#include "storeopt.h"
#include "tool.h"
#include "util/err.h"
#include "util/hex.h"
#include "util/times.h"

static const char usage[] =
    "usage: nr-export [-PqRz] [-a author] [-d value] [-e id] [-i id]\n"
    "           [-k kind] [-l limit] [-p author] [-s since]\n"
    "           [-t letter=value] [-u until] [-S dir] [-o file]\n"
    "           [--count | --ids] [--explain] [--force] [--manifest file]\n"
    "           [--log [--cursor file] [--follow]] [filter ...]\n"
    NR_FILTER_HELP;

#define GATHER	(256 * 1024)	/* bytes between two writes */
#define HOLD_MS	300		/* that a snapshot is held at most */

struct run {
	const char		*dir;
	struct nr_store		*st;
	struct nr_snap		*sn;
	struct nr_filter	*filters;
	size_t			 nfilters;
	uint64_t		*left;		/* of each filter's limit */
	struct nr_sink		*sink;
	struct nr_buf		 gathered;
	uint64_t		 events;	/* in gathered */
	uint64_t		 total;
	struct nr_meter		 meter;
	int			 count, ids, reverse, explain, follow;
	const char		*cursor;
	struct nr_cursor	 at;
};

static void
check(struct run *run, int rc)
{
	if (rc != NR_OK)
		nr_store_die(rc, run->dir);
}

/* Write what has been gathered, with no snapshot held. */
static void
write_out(struct run *run)
{
	nr_snap_release(run->sn);
	nr_sink_add(run->sink, run->gathered.p, run->gathered.len,
	    run->events);
	nr_meter_step(&run->meter, run->total, 0);
	run->gathered.len = 0;
	run->events = 0;
}

/* Add one event in the form that was asked for. */
static void
gather(struct run *run, const struct nr_view *line)
{
	struct nr_buf *b = &run->gathered;
	int rc;

	run->total++;
	if (run->count)
		return;
	run->events++;
	if (run->ids) {
		/* A line begins with {"id":" and the digits. */
		rc = nr_buf_add(b, line->p + 7, 64);
	} else
		rc = nr_buf_add(b, line->p, line->len);
	if (rc == NR_OK)
		rc = nr_buf_add(b, "\n", 1);
	check(run, rc);
}

/* ---- by filter ---------------------------------------------------------------- */

static void
explain(struct run *run, struct nr_query *q, int64_t start)
{
	struct nr_buf b = { 0 };

	check(run, nr_query_explain(q, &b));
	/* The time goes in before the closing brace. */
	b.len--;
	check(run, nr_buf_addf(&b, ",\"milliseconds\":%.3f}",
	    (double)(nr_now_ns() - start) / 1e6));
	fprintf(stderr, "%.*s\n", (int)b.len, b.p);
	nr_buf_free(&b);
}

static void
export_query(struct run *run)
{
	struct nr_query_options o = {
		.reverse = run->reverse, .now = time(NULL)
	};
	enum nr_query_state state = NR_QUERY_PAUSE;
	int64_t start = nr_now_ns(), held = 0, budget;
	struct nr_query *q;
	struct nr_hit hit;

	check(run, nr_query_new(&q, run->filters, run->nfilters, &o));
	while (state != NR_QUERY_END) {
		check(run, nr_snap_renew(run->sn));
		held = nr_now_ms();
		do {
			budget = 100000;
			check(run, nr_query_next(q, run->sn, &state, &hit,
			    &budget));
			if (state == NR_QUERY_HIT)
				gather(run, &hit.line);
		} while (state != NR_QUERY_END &&
		    run->gathered.len < GATHER &&
		    ((state == NR_QUERY_HIT && (run->total & 255) != 0) ||
		    nr_now_ms() - held < HOLD_MS));
		write_out(run);
	}
	if (run->explain)
		explain(run, q, start);
	nr_query_free(q);
}

/* ---- in the order of arrival ------------------------------------------------------ */

static void
read_cursor(struct run *run)
{
	char text[256];
	ssize_t n;
	int fd;

	if ((fd = open(run->cursor, O_RDONLY | O_CLOEXEC)) < 0) {
		if (errno == ENOENT)
			return;
		nr_die(errno, "%s", run->cursor);
	}
	n = read(fd, text, sizeof(text) - 1);
	if (n < 0)
		nr_die(errno, "%s", run->cursor);
	close(fd);
	text[n] = '\0';
	if (sscanf(text, "{\"epoch\":\"%" SCNx64 "\",\"number\":%" SCNu64
	    ",\"segment\":%" SCNu32 "}", &run->at.epoch, &run->at.number,
	    &run->at.segment) != 3)
		nr_bad_usage("%s: not a cursor", run->cursor);
}

static void
write_cursor(struct run *run)
{
	char text[256];
	int n;

	if (run->cursor == NULL)
		return;
	n = snprintf(text, sizeof(text), "{\"epoch\":\"%016" PRIx64
	    "\",\"number\":%" PRIu64 ",\"segment\":%" PRIu32 "}\n",
	    run->at.epoch, run->at.number, run->at.segment);
	nr_write_file(run->cursor, text, (size_t)n);
}

/* Does any filter that has some of its limit left want the event? */
static int
wanted(struct run *run, const struct nr_hit *hit)
{
	struct nr_event ev;
	size_t i;
	int yes = 0;

	if (!nr_event_view_head(&ev, hit->line.p, hit->line.len))
		nr_store_die(NR_ECORRUPT, run->dir);
	for (i = 0; i < run->nfilters; i++)
		if (run->left[i] > 0 &&
		    nr_filter_match(&run->filters[i], &ev)) {
			run->left[i]--;
			yes = 1;
		}
	return yes;
}

static int
exhausted(const struct run *run)
{
	size_t i;

	for (i = 0; i < run->nfilters; i++)
		if (run->left[i] > 0)
			return 0;
	return 1;
}

/* Go on to the end of the log, or of what is wanted. */
static void
export_to_end(struct run *run)
{
	int64_t held;
	uint64_t number;
	struct nr_hit hit;
	int end = 0, rc;

	while (!end) {
		check(run, nr_snap_renew(run->sn));
		held = nr_now_ms();
		check(run, nr_snap_cursor_number(run->sn, &number, &run->at));
		do {
			end = exhausted(run);
			if (end)
				break;
			rc = nr_snap_at(run->sn, &hit, number, time(NULL));
			if (rc == NR_ESTALE)
				break;	/* a newer snapshot will do */
			check(run, rc);
			if (hit.line.p == NULL) {
				number = nr_snap_next_number(run->sn);
				end = 1;
				break;
			}
			number = hit.number + 1;
			if (wanted(run, &hit))
				gather(run, &hit.line);
		} while (run->gathered.len < GATHER &&
		    ((number & 255) != 0 || nr_now_ms() - held < HOLD_MS));
		check(run, nr_snap_cursor(run->sn, &run->at, number));
		write_out(run);
	}
}

static void
follow(struct run *run)
{
	struct pollfd p = { .events = POLLIN };

	check(run, nr_store_bell_fd(run->st, &p.fd));
	for (;;) {
		export_to_end(run);
		nr_sink_flush(run->sink);
		write_cursor(run);
		if (exhausted(run))
			break;
		/* The bell may be missed: look once a second anyway. */
		if (poll(&p, 1, 1000) < 0 && errno != EINTR)
			nr_die(errno, "poll");
		nr_store_bell_read(p.fd);
	}
	close(p.fd);
}

static void
export_log(struct run *run)
{
	size_t i;

	run->left = calloc(run->nfilters, sizeof(run->left[0]));
	if (run->left == NULL)
		nr_die(ENOMEM, "export");
	for (i = 0; i < run->nfilters; i++)
		run->left[i] = nr_filter_void(&run->filters[i]) ? 0 :
		    run->filters[i].has & NR_FILTER_LIMIT ?
		    run->filters[i].limit : UINT64_MAX;
	if (run->cursor != NULL)
		read_cursor(run);
	if (run->follow)
		follow(run);
	else
		export_to_end(run);
	free(run->left);
}

int
main(int argc, char *argv[])
{
	enum { COUNT = NR_OPT_FIRST, CURSOR, EXPLAIN, FOLLOW, FORCE, IDS,
	    LOG, MANIFEST };
	static const struct option longopts[] = {
		{ "count", no_argument, NULL, COUNT },
		{ "cursor", required_argument, NULL, CURSOR },
		{ "explain", no_argument, NULL, EXPLAIN },
		{ "follow", no_argument, NULL, FOLLOW },
		{ "force", no_argument, NULL, FORCE },
		{ "ids", no_argument, NULL, IDS },
		{ "log", no_argument, NULL, LOG },
		{ "manifest", required_argument, NULL, MANIFEST },
		{ "output", required_argument, NULL, 'o' },
		{ "progress", no_argument, NULL, 'P' },
		{ "quiet", no_argument, NULL, 'q' },
		{ "reverse", no_argument, NULL, 'R' },
		{ "store", required_argument, NULL, 'S' },
		{ "zstd", no_argument, NULL, 'z' },
		NR_LONG_COMMON, { NULL, 0, NULL, 0 }
	};
	struct nr_filter_args args = { 0 };
	struct run run = { 0 };
	const char *output = NULL, *manifest = NULL;
	int ch, compress = 0, log = 0, progress = 0;
	unsigned flags = 0;
	char text[32];

	nr_tool_init(argv[0], usage);
	while ((ch = getopt_long(argc, argv, NR_FILTER_FLAGS "o:PqRS:z",
	    longopts, NULL)) != -1)
		switch (ch) {
		case COUNT:
			run.count = 1;
			break;
		case CURSOR:
			run.cursor = optarg;
			break;
		case EXPLAIN:
			run.explain = 1;
			break;
		case FOLLOW:
			run.follow = 1;
			break;
		case FORCE:
			flags |= NR_STORE_FORCE;
			break;
		case IDS:
			run.ids = 1;
			break;
		case LOG:
			log = 1;
			break;
		case MANIFEST:
			manifest = optarg;
			break;
		case 'P':
			progress = 1;
			break;
		case 'R':
			run.reverse = 1;
			break;
		case 'S':
			run.dir = optarg;
			break;
		case 'o':
			output = optarg;
			break;
		case 'q':
			nr_quiet = 1;
			break;
		case 'z':
			compress = 1;
			break;
		case NR_OPT_HELP:
		case NR_OPT_VERSION:
		case '?':
			nr_common_option(ch);
			break;
		default:
			nr_filter_option(&args, ch, optarg);
		}
	if ((run.cursor != NULL || run.follow) && !log)
		nr_bad_usage("--cursor and --follow go with --log");
	if (log && (run.reverse || run.explain))
		nr_bad_usage("-R and --explain do not go with --log");
	if (run.follow && output != NULL)
		nr_bad_usage("--follow never completes a file for -o");
	if (run.count && (run.ids || run.follow || run.cursor != NULL ||
	    manifest != NULL))
		nr_bad_usage("--count prints a number and nothing else");
	run.filters = nr_filter_need(&args, argv + optind, argc - optind,
	    &run.nfilters);
	run.dir = nr_store_name(run.dir);
	run.st = nr_store_need(run.dir, flags, 0, progress);
	check(&run, nr_snap_new(&run.sn, run.st));
	run.sink = nr_sink_open(output, compress, manifest);
	nr_meter_start(&run.meter, "events", 0, progress);
	if (log)
		export_log(&run);
	else
		export_query(&run);
	nr_meter_end(&run.meter);
	if (run.count)
		nr_sink_add(run.sink, text, (size_t)snprintf(text,
		    sizeof(text), "%" PRIu64 "\n", run.total), 0);
	nr_sink_close(run.sink);
	write_cursor(&run);
	nr_snap_free(run.sn);
	nr_store_close(run.st);
	nr_buf_free(&run.gathered);
	nr_filters_free(run.filters, run.nfilters);
	return NR_EX_OK;
}
