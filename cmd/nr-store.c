/*
 * nr-store: look after a store.
 */
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "filteropt.h"
#include "store/query.h"
#include "storeopt.h"
#include "tool.h"
#include "util/err.h"
#include "util/hex.h"

static const char usage[] =
    "usage: nr-store [-Pq] [-S dir] [--force] stat [--json]\n"
    "       nr-store [-Pq] [-S dir] [--force] check [--full]\n"
    "       nr-store [-Pq] [-S dir] [--force] reindex\n"
    "       nr-store [-Pq] [-S dir] [--force] delete [--dry-run]\n"
    "           [filter flags] filter ...\n"
    "       nr-store [-Pq] [-S dir] [--force] compact [--dry-run]\n"
    "           [--min-dead percent] [--rate bytes] [--scrub]\n"
    "           [segment ...]\n"
    NR_FILTER_HELP;

/* What the command line says. */
struct args {
	const char		*dir;
	unsigned		 flags;
	int			 progress;
	int			 json, full, dry_run, scrub;
	const char		*min_dead, *rate;
	struct nr_filter_args	 filter;
	int			 filtered;
	char			**operands;
	int			 noperands;
};

static void
need(const struct args *a, int rc)
{
	if (rc != NR_OK)
		nr_store_die(rc, a->dir);
}

static struct nr_snap *
snapshot(const struct args *a, struct nr_store *st)
{
	struct nr_snap *sn;

	need(a, nr_snap_new(&sn, st));
	need(a, nr_snap_renew(sn));
	return sn;
}

/* ---- stat ------------------------------------------------------------------- */

struct stat_run {
	const struct args	*a;
	struct nr_buf		 b;
	int			 json;
	int			 first;
};

static void
addf(struct stat_run *r, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

static void
addf(struct stat_run *r, const char *fmt, ...)
{
	char text[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	need(r->a, nr_buf_adds(&r->b, text));
}

static int
one_kind(void *ctx, unsigned kind, uint64_t events)
{
	struct stat_run *r = ctx;

	if (r->json)
		addf(r, "%s\"%u\":%" PRIu64, r->first ? "" : ",", kind,
		    events);
	else
		addf(r, "  kind %-6u %12" PRIu64 "\n", kind, events);
	r->first = 0;
	return 0;
}

/* The oldest and newest created_at, by two short queries. */
static int
time_range(const struct args *a, struct nr_snap *sn, int64_t range[2])
{
	struct nr_filter f = { .has = NR_FILTER_LIMIT, .limit = 1 };
	struct nr_query_options o = { .now = -1 };
	enum nr_query_state state;
	struct nr_event ev;
	struct nr_query *q;
	struct nr_hit hit;
	int64_t budget = INT64_MAX;
	int i, found = 1;

	for (i = 0; i < 2 && found; i++) {
		o.reverse = i == 0;
		need(a, nr_query_new(&q, &f, 1, &o));
		need(a, nr_query_next(q, sn, &state, &hit, &budget));
		found = state == NR_QUERY_HIT && nr_event_view_head(&ev,
		    hit.line.p, hit.line.len);
		if (found)
			range[i] = ev.created_at;
		nr_query_free(q);
	}
	return found;
}

static const char *
date(char out[32], int64_t t)
{
	time_t when = (time_t)t;
	struct tm tm;

	if (gmtime_r(&when, &tm) == NULL ||
	    strftime(out, 32, "%Y-%m-%dT%H:%M:%SZ", &tm) == 0)
		snprintf(out, 32, "%" PRId64, t);
	return out;
}

static void
stat_text(struct stat_run *r, const struct nr_store_stat *s,
    const struct nr_segment_stat *seg, const int64_t *range,
    uint64_t authors)
{
	char from[32], to[32];
	uint64_t i;

	addf(r, "events       %12" PRIu64 "\n", s->events);
	addf(r, "authors      %12" PRIu64 "\n", authors);
	if (range != NULL)
		addf(r, "from %s to %s\n", date(from, range[0]),
		    date(to, range[1]));
	addf(r, "log          %12" PRIu64 " bytes, %" PRIu64 " dead, %"
	    PRIu64 " lines\n", s->log_bytes, s->dead_bytes, s->log_lines);
	addf(r, "index        %12" PRIu64 " bytes, %" PRIu64 " free, %"
	    PRIu64 " events waiting, %u reader slots\n", s->index_bytes,
	    s->index_free, s->waiting, s->readers);
	addf(r, "segments:\n");
	for (i = 0; i < s->segments; i++)
		addf(r, "  %08" PRIu32 "   %12" PRIu64 " bytes, %" PRIu64
		    " dead, %" PRIu64 " of %" PRIu64 " lines live\n",
		    seg[i].number, seg[i].bytes,
		    seg[i].bytes - seg[i].live_bytes, seg[i].live_lines,
		    seg[i].lines);
	addf(r, "indexes:\n");
	for (i = 0; i < NR_STORE_NTABLES; i++)
		addf(r, "  %-16s %12" PRIu64 " entries, %" PRIu64
		    " bytes\n", s->table[i].name, s->table[i].entries,
		    s->table[i].bytes);
	addf(r, "kinds:\n");
}

static void
stat_json(struct stat_run *r, const struct nr_store_stat *s,
    const struct nr_segment_stat *seg, const int64_t *range,
    uint64_t authors)
{
	uint64_t i;

	addf(r, "{\"epoch\":\"%016" PRIx64 "\",\"events\":%" PRIu64
	    ",\"authors\":%" PRIu64, s->epoch, s->events, authors);
	if (range != NULL)
		addf(r, ",\"oldest\":%" PRId64 ",\"newest\":%" PRId64,
		    range[0], range[1]);
	addf(r, ",\"log\":{\"bytes\":%" PRIu64 ",\"dead_bytes\":%" PRIu64
	    ",\"lines\":%" PRIu64 ",\"segments\":[", s->log_bytes,
	    s->dead_bytes, s->log_lines);
	for (i = 0; i < s->segments; i++)
		addf(r, "%s{\"number\":%" PRIu32 ",\"bytes\":%" PRIu64
		    ",\"live_bytes\":%" PRIu64 ",\"lines\":%" PRIu64
		    ",\"live_lines\":%" PRIu64 "}", i > 0 ? "," : "",
		    seg[i].number, seg[i].bytes, seg[i].live_bytes,
		    seg[i].lines, seg[i].live_lines);
	addf(r, "]},\"index\":{\"bytes\":%" PRIu64 ",\"free_bytes\":%" PRIu64
	    ",\"waiting\":%" PRIu64 ",\"reader_slots\":%u,\"tables\":{",
	    s->index_bytes, s->index_free, s->waiting, s->readers);
	for (i = 0; i < NR_STORE_NTABLES; i++)
		addf(r, "%s\"%s\":{\"entries\":%" PRIu64 ",\"bytes\":%"
		    PRIu64 "}", i > 0 ? "," : "", s->table[i].name,
		    s->table[i].entries, s->table[i].bytes);
	addf(r, "}},\"kinds\":{");
}

static int
do_stat(const struct args *a)
{
	struct nr_store *st = nr_store_need(a->dir, a->flags, 0, a->progress);
	struct nr_snap *sn = snapshot(a, st);
	struct stat_run r = { .a = a, .json = a->json, .first = 1 };
	struct nr_store_stat s;
	struct nr_segment_stat *seg;
	int64_t range[2];
	uint64_t authors;
	size_t n;
	int ranged;

	need(a, nr_snap_stat(sn, &s));
	need(a, nr_snap_segments(sn, &seg, &n));
	need(a, nr_snap_authors(sn, &authors));
	ranged = time_range(a, sn, range);
	(a->json ? stat_json : stat_text)(&r, &s, seg,
	    ranged ? range : NULL, authors);
	need(a, nr_snap_kinds(sn, one_kind, &r));
	if (a->json)
		addf(&r, "}}\n");
	nr_snap_free(sn);
	nr_store_close(st);
	nr_out(r.b.p, r.b.len);
	nr_buf_free(&r.b);
	free(seg);
	return NR_EX_OK;
}

/* ---- check -------------------------------------------------------------------- */

static void
report(void *ctx, const char *text)
{
	(void)ctx;
	nr_outs(text);
	nr_outs("\n");
}

static int
do_check(const struct args *a)
{
	struct nr_store *st = nr_store_need(a->dir, a->flags, 0, a->progress);
	struct nr_check c = { .full = a->full, .report = report };

	need(a, nr_store_check(st, &c));
	nr_store_close(st);
	if (c.findings > 0) {
		nr_warn("%s: %" PRIu64 " findings", a->dir, c.findings);
		return NR_EX_CORRUPT;
	}
	if (!nr_quiet)
		fprintf(stderr, "%s: %s: %" PRIu64 " lines, %" PRIu64
		    " live events, nothing wrong\n", nr_progname(), a->dir,
		    c.lines, c.live);
	return NR_EX_OK;
}

/* ---- reindex --------------------------------------------------------------------- */

static int
do_reindex(const struct args *a)
{
	struct nr_store_stat s;
	struct nr_store *st;
	struct nr_snap *sn;

	st = nr_store_need(a->dir, a->flags | NR_STORE_REINDEX, 0,
	    a->progress);
	sn = snapshot(a, st);
	need(a, nr_snap_stat(sn, &s));
	nr_snap_free(sn);
	nr_store_close(st);
	if (!nr_quiet)
		fprintf(stderr, "%s: %s: %" PRIu64 " lines, %" PRIu64
		    " live events\n", nr_progname(), a->dir, s.log_lines,
		    s.events);
	return NR_EX_OK;
}

/* ---- delete ------------------------------------------------------------------------ */

#define DELETE_BATCH	500

struct deletion {
	const struct args	*a;
	struct nr_store		*st;
	struct nr_snap		*sn;
	struct nr_query		*q;
	uint64_t		 number[DELETE_BATCH];
	unsigned char		 id[DELETE_BATCH][32];
	size_t			 n;
	uint64_t		 total;
};

/* Find some events; returns 0 when there are no more. */
static int
find_some(struct deletion *d)
{
	enum nr_query_state state = NR_QUERY_HIT;
	struct nr_hit hit;
	int64_t budget = 1000000;

	d->n = 0;
	need(d->a, nr_snap_renew(d->sn));
	while (d->n < DELETE_BATCH && state == NR_QUERY_HIT) {
		need(d->a, nr_query_next(d->q, d->sn, &state, &hit,
		    &budget));
		if (state != NR_QUERY_HIT)
			break;
		if (!nr_event_view_id(d->id[d->n], hit.line.p, hit.line.len))
			need(d->a, NR_ECORRUPT);
		d->number[d->n++] = hit.number;
	}
	nr_snap_release(d->sn);
	return state != NR_QUERY_END;
}

static void
delete_some(struct deletion *d)
{
	char hex[64], line[128];
	size_t done = d->n, i;
	int n;

	if (!d->a->dry_run && d->n > 0)
		need(d->a, nr_store_delete(d->st, &done, d->number, d->n));
	for (i = 0; i < d->n; i++) {
		nr_hex_encode(hex, d->id[i], 32);
		n = snprintf(line, sizeof(line), "{\"id\":\"%.64s\","
		    "\"deleted\":%s}\n", hex,
		    d->a->dry_run ? "false" : "true");
		nr_out(line, (size_t)n);
	}
	nr_out_flush();
	d->total += done;
}

static int
do_delete(struct args *a)
{
	struct nr_query_options o = { .now = -1 };
	struct deletion d = { .a = a };
	struct nr_filter *f;
	size_t n;
	int more;

	if (!a->filtered && a->noperands == 0)
		nr_bad_usage("delete: no filter given");
	f = nr_filter_need(&a->filter, a->operands, a->noperands, &n);
	d.st = nr_store_need(a->dir, a->flags, 0, a->progress);
	need(a, nr_snap_new(&d.sn, d.st));
	need(a, nr_query_new(&d.q, f, n, &o));
	do {
		more = find_some(&d);
		delete_some(&d);
	} while (more);
	nr_query_free(d.q);
	nr_snap_free(d.sn);
	nr_store_close(d.st);
	nr_filters_free(f, n);
	if (!nr_quiet)
		fprintf(stderr, "%s: %" PRIu64 " event%s%s\n", nr_progname(),
		    d.total, NR_S(d.total), a->dry_run ? " would be deleted" : " deleted");
	return NR_EX_OK;
}

/* ---- compact ----------------------------------------------------------------------- */

static volatile sig_atomic_t caught;

static void
on_signal(int sig)
{
	caught = sig;
}

static int
was_caught(void *ctx)
{
	(void)ctx;
	return caught != 0;
}

struct compacted {
	uint64_t	segments, before, after, lines, scrubbed;
};

static void
add_compacted(void *ctx, const struct nr_compacted *c)
{
	struct compacted *sum = ctx;
	char line[160];
	int n;

	if (c->scrubbed > 0)
		n = snprintf(line, sizeof(line), "{\"segment\":%" PRIu32
		    ",\"scrubbed\":%" PRIu64 "}\n", c->segment, c->scrubbed);
	else
		n = snprintf(line, sizeof(line), "{\"segment\":%" PRIu32
		    ",\"before\":%" PRIu64 ",\"after\":%" PRIu64
		    ",\"lines\":%" PRIu64 "}\n", c->segment, c->before,
		    c->after, c->lines);
	nr_out(line, (size_t)n);
	nr_out_flush();
	sum->segments += c->scrubbed == 0;
	sum->scrubbed += c->scrubbed;
	sum->before += c->before;
	sum->after += c->after;
	sum->lines += c->lines;
}

static uint64_t
number_of(const char *text, uint64_t most)
{
	char *end;
	uint64_t v = strtoull(text, &end, 10);

	if (*text < '0' || *text > '9' || *end != '\0' || v > most)
		nr_bad_usage("not a number from 0 to %" PRIu64 ": %s", most,
		    text);
	return v;
}

/* The operands as numbers of segments; the caller's to free(). */
static uint32_t *
segments_of(const struct args *a)
{
	uint32_t *list;
	int i;

	if ((list = calloc((size_t)a->noperands + 1, sizeof(*list))) == NULL)
		need(a, ENOMEM);
	for (i = 0; i < a->noperands; i++)
		list[i] = (uint32_t)number_of(a->operands[i], UINT32_MAX);
	return list;
}

static int
do_compact(const struct args *a)
{
	struct compacted sum = { 0 };
	struct nr_compaction c = {
		.min_dead = a->min_dead == NULL ? a->noperands > 0 ? 0 : 20 :
		    (unsigned)number_of(a->min_dead, 100),
		.rate = a->rate == NULL ? 0 : number_of(a->rate, UINT64_MAX),
		.dry_run = a->dry_run, .scrub = a->scrub,
		.nsegments = (size_t)a->noperands,
		.stop = was_caught, .report = add_compacted, .ctx = &sum
	};
	struct sigaction sa = { .sa_handler = on_signal };
	uint32_t *segments = segments_of(a);
	struct nr_store *st;
	int rc;

	c.segments = a->noperands > 0 ? segments : NULL;
	st = nr_store_need(a->dir, a->flags, 0, a->progress);
	/* A step is finished first. */
	(void)sigaction(SIGINT, &sa, NULL);
	(void)sigaction(SIGTERM, &sa, NULL);
	rc = nr_store_compact(st, &c);
	nr_store_close(st);
	free(segments);
	if (!nr_quiet)
		fprintf(stderr, "%s: %" PRIu64 " segments, %" PRIu64
		    " lines %s, %" PRIu64 " bytes to %" PRIu64 ", %" PRIu64
		    " lines overwritten%s\n", nr_progname(), sum.segments,
		    sum.lines, a->dry_run ? "would be dropped" : "dropped",
		    sum.before, sum.after, sum.scrubbed,
		    c.stopped ? ", interrupted" : "");
	need(a, rc);
	if (c.stopped) {
		nr_out_close();
		(void)signal(caught, SIG_DFL);
		(void)raise(caught);
	}
	return NR_EX_OK;
}

/* ---- the command line ---------------------------------------------------------------- */

enum { DRY_RUN = NR_OPT_FIRST, FORCE, FULL, JSON, MIN_DEAD, RATE,
    SCRUB };

static void
option(struct args *a, int ch)
{
	switch (ch) {
	case DRY_RUN:
		a->dry_run = 1;
		break;
	case FORCE:
		a->flags |= NR_STORE_FORCE;
		break;
	case FULL:
		a->full = 1;
		break;
	case JSON:
		a->json = 1;
		break;
	case MIN_DEAD:
		a->min_dead = optarg;
		break;
	case RATE:
		a->rate = optarg;
		break;
	case SCRUB:
		a->scrub = 1;
		break;
	case 'P':
		a->progress = 1;
		break;
	case 'S':
		a->dir = optarg;
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
		nr_filter_option(&a->filter, ch, optarg);
		a->filtered = 1;
	}
}

int
main(int argc, char *argv[])
{
	static const struct option longopts[] = {
		{ "dry-run", no_argument, NULL, DRY_RUN },
		{ "force", no_argument, NULL, FORCE },
		{ "full", no_argument, NULL, FULL },
		{ "json", no_argument, NULL, JSON },
		{ "min-dead", required_argument, NULL, MIN_DEAD },
		{ "progress", no_argument, NULL, 'P' },
		{ "quiet", no_argument, NULL, 'q' },
		{ "rate", required_argument, NULL, RATE },
		{ "scrub", no_argument, NULL, SCRUB },
		{ "store", required_argument, NULL, 'S' },
		NR_LONG_COMMON, { NULL, 0, NULL, 0 }
	};
	struct args a = { 0 };
	const char *verb;
	int ch, status;

	nr_tool_init(argv[0], usage);
	while ((ch = getopt_long(argc, argv, NR_FILTER_FLAGS "PqS:",
	    longopts, NULL)) != -1)
		option(&a, ch);
	if (optind == argc)
		nr_usage();
	verb = argv[optind++];
	a.operands = argv + optind;
	a.noperands = argc - optind;
	a.dir = nr_store_name(a.dir);
	if (strcmp(verb, "delete") == 0) {
		status = do_delete(&a);
		nr_out_close();
		return status;
	}
	if (a.filtered)
		nr_bad_usage("%s takes no filter", verb);
	if (strcmp(verb, "compact") == 0) {
		status = do_compact(&a);
		nr_out_close();
		return status;
	}
	if (a.noperands > 0)
		nr_bad_usage("%s takes no operand", verb);
	if (strcmp(verb, "stat") == 0)
		status = do_stat(&a);
	else if (strcmp(verb, "check") == 0)
		status = do_check(&a);
	else if (strcmp(verb, "reindex") == 0)
		status = do_reindex(&a);
	else
		nr_bad_usage("unknown verb: %s", verb);
	nr_out_close();
	return status;
}
