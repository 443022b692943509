/*
 * nr-bench load: closed-loop load on a relay, and what came of it as one
 * JSON line.
 *
 *	publish	 events of a file, some in flight on each connection
 *	query	 a mix of REQs drawn from the events of a file
 *	fanout	 subscribers to everything, one publisher
 */
#include "bench.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bench/hist.h"
#include "bench/mix.h"
#include "bench/peers.h"
#include "event/event.h"
#include "event/sign.h"
#include "event/verify.h"
#include "tool.h"
#include "util/err.h"
#include "util/hex.h"
#include "util/times.h"

#define IN_FLIGHT_MAX	256

/* An event sent and not yet answered. */
struct flight {
	const char	*id;		/* its 64 digits, in the file */
	int64_t		 sent;		/* ns */
};

struct publisher {
	struct flight	flight[IN_FLIGHT_MAX];
	unsigned	n;
};

struct load {
	const char	*url;
	int		 packed, authed;
	struct nr_key	*key;
	struct nr_verifier *hasher;
	unsigned	 known_as;		/* connections that are */
	unsigned	 connections, in_flight, seconds, filters;
	uint64_t	 seed, most;		/* events or queries */
	const char	*file;
	const char	*data, *end, *next;	/* of the file */
	struct nr_peers	*peers;
	struct nr_hist	*hist;

	uint64_t	 sent, accepted, known, refused, events, eose, wrong;
	struct publisher *publisher;
	int64_t		 start, stop, finished;
	int		 publishing;

	struct nr_mix	*mix;			/* of queries */
	int		 counting;		/* by COUNT */
	unsigned	*at_filter;		/* of each connection */
	uint64_t	*got;			/* events of its query */
	int64_t		*asked;
	uint64_t	 total_wanted;
	int		 cut_short;		/* the relay stopped answering */

	uint64_t	*ids;			/* fan-out: id to time sent */
	int64_t		*times;
	size_t		 nids;
	char		 first_refusal[200];
};

static void
need(int rc, const char *what)
{
	if (rc != NR_OK)
		nr_die(rc, "%s", what);
}

static void *
need_memory(size_t n, size_t size)
{
	void *p = calloc(n, size);

	if (p == NULL)
		nr_die(ENOMEM, "load");
	return p;
}

static void
map_file(struct load *l)
{
	struct stat s;
	void *p;
	int fd;

	if ((fd = open(l->file, O_RDONLY | O_CLOEXEC)) < 0 ||
	    fstat(fd, &s) != 0)
		nr_die(errno, "%s", l->file);
	if (s.st_size == 0)
		nr_bad_usage("%s: no events", l->file);
	p = mmap(NULL, (size_t)s.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (p == MAP_FAILED)
		nr_die(errno, "%s", l->file);
	close(fd);
	l->data = l->next = p;
	l->end = l->data + s.st_size;
}

/* Relays show events of these kinds to their parties only. */
static int
is_private(struct nr_view line)
{
	struct nr_event ev;

	return nr_event_view_head(&ev, line.p, line.len) &&
	    (ev.kind == 4 || ev.kind == 1059 || ev.kind == 21059);
}

/* The next line of the file, which must be a normal event. */
static int
next_event(struct load *l, struct nr_view *line)
{
	const char *lf;

	if (l->next == l->end || (l->most > 0 && l->sent == l->most))
		return 0;
	lf = memchr(l->next, '\n', (size_t)(l->end - l->next));
	line->p = l->next;
	line->len = (size_t)((lf != NULL ? lf : l->end) - l->next);
	l->next = lf != NULL ? lf + 1 : l->end;
	if (line->len < 71 || memcmp(line->p, "{\"id\":\"", 7) != 0)
		nr_bad_usage("%s: not events as nr-bench gen or nr-export "
		    "write them", l->file);
	return 1;
}

/* ---- publishing ------------------------------------------------------------- */

static uint64_t
short_id(const char *hex)
{
	uint64_t v;

	memcpy(&v, hex + 40, sizeof(v));
	return v;
}

static void
remember_time(struct load *l, const char *id, int64_t now)
{
	size_t i = (size_t)(short_id(id) * UINT64_C(0x9e3779b97f4a7c15) >>
	    20) & (l->nids - 1);

	if (l->nids == 0)
		return;
	while (l->ids[i] != 0)
		i = (i + 1) & (l->nids - 1);
	l->ids[i] = short_id(id);
	l->times[i] = now;
}

static int64_t
recall_time(const struct load *l, const char *id)
{
	size_t i = (size_t)(short_id(id) * UINT64_C(0x9e3779b97f4a7c15) >>
	    20) & (l->nids - 1);

	while (l->ids[i] != 0) {
		if (l->ids[i] == short_id(id))
			return l->times[i];
		i = (i + 1) & (l->nids - 1);
	}
	return -1;
}

static void
publish_more(struct load *l, struct nr_bench_peer *p)
{
	struct publisher *pub = p->user;
	struct nr_view part[3] = { { "[\"EVENT\",", 9 }, { NULL, 0 },
	    { "]", 1 } };
	struct flight *f;

	while (pub->n < l->in_flight && next_event(l, &part[1])) {
		if (l->nids > 0 && is_private(part[1]))
			continue;	/* everybody is to hear it */
		f = &pub->flight[pub->n++];
		f->id = part[1].p + 7;
		f->sent = nr_now_ns();
		remember_time(l, f->id, f->sent);
		need(nr_bench_send(p, part, 3), "send");
		l->sent++;
	}
}

static void
note_refusal(struct load *l, const char *text, size_t len)
{
	if (l->first_refusal[0] == '\0')
		snprintf(l->first_refusal, sizeof(l->first_refusal), "%.*s",
		    (int)len, text);
}

/* ["OK","<id>",true,...] */
static void
take_ok(struct load *l, struct nr_bench_peer *p, const char *text, size_t len)
{
	struct publisher *pub = p->user;
	unsigned i;

	if (len < 76) {
		l->wrong++;
		return;
	}
	for (i = 0; i < pub->n; i++)
		if (memcmp(pub->flight[i].id, text + 7, 64) == 0)
			break;
	if (i == pub->n) {
		l->wrong++;
		return;
	}
	nr_hist_add(l->hist, (nr_now_ns() - pub->flight[i].sent) / 1000);
	pub->flight[i] = pub->flight[--pub->n];
	if (memcmp(text + 73, "true", 4) == 0) {
		l->accepted++;
		l->known += memmem(text, len, "\"duplicate:", 11) != NULL;
	} else {
		l->refused++;
		note_refusal(l, text, len);
	}
	l->finished = nr_now_ns();
	publish_more(l, p);
}

/* ---- querying ------------------------------------------------------------------ */

static void
ask(struct load *l, struct nr_bench_peer *p)
{
	struct nr_view part[3] = { { "[\"REQ\",\"q\",", 11 }, { NULL, 0 },
	    { "]", 1 } };
	unsigned i = p->index;

	if (l->counting)
		part[0] = (struct nr_view){ "[\"COUNT\",\"q\",", 13 };

	if (l->most > 0 && l->sent == l->most)
		return;
	if (l->seconds > 0 && nr_now_ns() > l->stop)
		return;
	l->at_filter[i] = nr_mix_pick(l->mix, &part[1]);
	l->got[i] = 0;
	l->asked[i] = nr_now_ns();
	l->sent++;
	need(nr_bench_send(p, part, 3), "send");
}

/* ["COUNT","q",{"count":7}] */
static void
take_count(struct load *l, struct nr_bench_peer *p, const char *text, size_t len)
{
	const char *n = memmem(text, len, "{\"count\":", 9);

	if (n != NULL)
		l->got[p->index] = strtoull(n + 9, NULL, 10);
	else
		l->wrong++;
}

static void
take_end(struct load *l, struct nr_bench_peer *p)
{
	struct nr_view close_it = { "[\"CLOSE\",\"q\"]", 13 };
	unsigned i = p->index;

	nr_hist_add(l->hist, (nr_now_ns() - l->asked[i]) / 1000);
	l->eose++;
	/* The same question must get as many answers every time. */
	if (!nr_mix_answered(l->mix, l->at_filter[i], l->got[i]))
		l->wrong++;
	l->finished = nr_now_ns();
	if (!l->counting)
		need(nr_bench_send(p, &close_it, 1), "send");
	ask(l, p);
}

/* ---- who asks ------------------------------------------------------------------------ */

/* A key by seed: no secret. */
static void
make_key(struct load *l)
{
	unsigned char secret[32] = { 1 };

	memcpy(secret + 1, &l->seed, sizeof(l->seed));
	need(nr_key_new(&l->key, secret), "AUTH");
	need(nr_verifier_new(&l->hasher), "AUTH");
}

/* ["AUTH","<challenge>"] */
static void
prove(struct load *l, struct nr_bench_peer *p, const char *text, size_t len)
{
	struct nr_view part[3] = { { "[\"AUTH\",", 8 }, { NULL, 0 },
	    { "]", 1 } };
	struct nr_buf b = { 0 };

	if (len < 11)
		return;
	need(nr_sign_auth(l->key, l->hasher, &b, l->url,
	    (struct nr_view){ text + 9, len - 11 }), "AUTH");
	part[1] = (struct nr_view){ b.p, b.len };
	need(nr_bench_send(p, part, 3), "send");
	nr_buf_free(&b);
}

static void
take_proof(struct load *l, const char *text, size_t len)
{
	if (len < 77 || memcmp(text + 73, "true", 4) != 0)
		nr_die(EACCES, "AUTH: %.*s", (int)len, text);
	l->known_as++;
}

/* ---- what comes in ---------------------------------------------------------------- */

static void
on_text(struct nr_bench_peer *p, const char *text, size_t len)
{
	struct load *l = p->all->user;
	int64_t at;

	if (len > 8 && memcmp(text, "[\"EVENT\"", 8) == 0) {
		l->events++;
		if (l->got != NULL)
			l->got[p->index]++;
		/* ["EVENT","s",{"id":"<id>" */
		if (l->nids > 0 && len > 90) {
			at = recall_time(l, text + 20);
			if (at < 0)
				l->wrong++;
			else
				nr_hist_add(l->hist,
				    (nr_now_ns() - at) / 1000);
			l->finished = nr_now_ns();
		}
		return;
	}
	if (len > 5 && memcmp(text, "[\"OK\"", 5) == 0) {
		if (l->known_as < l->authed * l->peers->n)
			take_proof(l, text, len);
		else if (p->user == NULL)
			l->wrong++;
		else
			take_ok(l, p, text, len);
		return;
	}
	if (len > 7 && memcmp(text, "[\"EOSE\"", 7) == 0) {
		if (l->mix != NULL)
			take_end(l, p);
		else
			l->eose++;
		return;
	}
	if (len > 8 && memcmp(text, "[\"COUNT\"", 8) == 0 && l->counting) {
		take_count(l, p, text, len);
		take_end(l, p);
		return;
	}
	if (len > 7 && memcmp(text, "[\"AUTH\"", 7) == 0) {
		if (l->key != NULL)
			prove(l, p, text, len);
		return;
	}
	l->wrong++;
	note_refusal(l, text, len);
}

static void
on_closed(struct nr_bench_peer *p)
{
	struct load *l = p->all->user;

	if (!p->open)
		nr_die(ECONNREFUSED, "%s", l->url);
}

static void
connect_all(struct load *l, unsigned n)
{
	static const struct nr_bench_calls calls = {
		.text = on_text, .closed = on_closed
	};
	int rc;

	if (l->authed)
		make_key(l);
	if ((rc = nr_peers_open(&l->peers, l->url, n, l->packed, &calls,
	    l)) == NR_EINVAL)
		nr_bad_usage("%s: not a ws:// URL", l->url);
	need(rc, l->url);
	while (l->peers->nopen < n || (l->authed && l->known_as < n))
		need(nr_peers_wait(l->peers, 10000), "connect");
}

/* Go on until done() or nothing happens any more. */
static void
run_until(struct load *l, int (*done)(const struct load *))
{
	uint64_t last = 0, now;
	unsigned idle = 0;

	while (!done(l) && l->peers->nopen > 0 && idle < 300) {
		need(nr_peers_wait(l->peers, 100), "wait");
		now = l->peers->bytes_in;
		idle = now == last ? idle + 1 : 0;
		last = now;
	}
	if (!done(l)) {
		l->cut_short = 1;
		nr_warn("the relay stopped answering");
	}
}

static double
cpu_seconds(void)
{
	struct rusage u;

	getrusage(RUSAGE_SELF, &u);
	return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
	    (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

/* ---- reports ------------------------------------------------------------------------ */

static int
report(struct load *l, const char *mode, const char *what, uint64_t count,
    double cpu)
{
	double seconds = (double)(l->finished - l->start) / 1e9;
	struct nr_buf b = { 0 };

	need(nr_buf_addf(&b, "{\"load\":\"%s\",\"connections\":%u"
	    ",\"in_flight\":%u,\"%s\":%" PRIu64 ",\"seconds\":%.3f"
	    ",\"per_second\":%.0f,\"events\":%" PRIu64 ",\"accepted\":%"
	    PRIu64 ",\"refused\":%" PRIu64 ",\"wrong\":%" PRIu64
	    ",\"bytes_in\":%" PRIu64 ",\"bytes_out\":%" PRIu64
	    ",\"client_cpu\":%.2f,\"milliseconds\":", mode, l->connections,
	    l->in_flight, what, count, seconds,
	    seconds > 0 ? (double)count / seconds : 0, l->events,
	    l->accepted, l->refused, l->wrong, l->peers->bytes_in,
	    l->peers->bytes_out, seconds > 0 ? cpu / seconds : 0), "report");
	need(nr_hist_write(l->hist, &b), "report");
	need(nr_buf_adds(&b, "}\n"), "report");
	nr_out(b.p, b.len);
	nr_out_close();
	nr_buf_free(&b);
	if (l->first_refusal[0] != '\0')
		nr_warn("first refusal: %s", l->first_refusal);
	if (l->cut_short)
		return NR_EX_ENV;
	return l->refused > 0 || l->wrong > 0 ? NR_EX_NO : NR_EX_OK;
}

/* ---- modes ---------------------------------------------------------------------------- */

static int
published(const struct load *l)
{
	return (l->next == l->end || (l->most > 0 && l->sent == l->most)) &&
	    l->accepted + l->refused == l->sent;
}

static int
load_publish(struct load *l)
{
	double cpu;
	unsigned i;

	map_file(l);
	connect_all(l, l->connections);
	l->publisher = need_memory(l->connections, sizeof(*l->publisher));
	cpu = cpu_seconds();
	l->start = nr_now_ns();
	for (i = 0; i < l->connections; i++) {
		l->peers->peer[i].user = &l->publisher[i];
		publish_more(l, &l->peers->peer[i]);
		nr_bench_flush(&l->peers->peer[i]);
	}
	run_until(l, published);
	return report(l, "publish", "published", l->accepted + l->refused,
	    cpu_seconds() - cpu);
}

static int
answered(const struct load *l)
{
	return l->eose == l->sent && ((l->most > 0 && l->sent >= l->most) ||
	    (l->seconds > 0 && nr_now_ns() > l->stop));
}

static int
load_query(struct load *l)
{
	double cpu;
	unsigned i;

	map_file(l);
	need(nr_mix_new(&l->mix, l->data, (size_t)(l->end - l->data),
	    l->filters, l->seed), l->file);
	l->at_filter = need_memory(l->connections, sizeof(*l->at_filter));
	l->got = need_memory(l->connections, sizeof(*l->got));
	l->asked = need_memory(l->connections, sizeof(*l->asked));
	l->in_flight = 1;
	connect_all(l, l->connections);
	cpu = cpu_seconds();
	l->start = nr_now_ns();
	l->stop = l->start + (int64_t)l->seconds * 1000000000;
	for (i = 0; i < l->connections; i++) {
		ask(l, &l->peers->peer[i]);
		nr_bench_flush(&l->peers->peer[i]);
	}
	run_until(l, answered);
	return report(l, l->counting ? "count" : "query", "queries", l->eose, cpu_seconds() - cpu);
}

static int
load_count(struct load *l)
{
	l->counting = 1;
	return load_query(l);
}

static int
subscribed(const struct load *l)
{
	return l->eose == l->connections;
}

static int
fanned_out(const struct load *l)
{
	return published(l) &&
	    l->events == (l->accepted - l->known) * l->connections;
}

static int
load_fanout(struct load *l)
{
	struct nr_view all = { "[\"REQ\",\"s\",{\"limit\":0}]", 23 };
	struct nr_bench_peer *pub;
	double cpu;
	unsigned i;

	map_file(l);
	if (l->most == 0)
		l->most = 1000;
	connect_all(l, l->connections + 1);
	for (i = 0; i < l->connections; i++) {
		need(nr_bench_send(&l->peers->peer[i], &all, 1), "send");
		nr_bench_flush(&l->peers->peer[i]);
	}
	run_until(l, subscribed);
	for (l->nids = 1024; l->nids < 4 * l->most; l->nids *= 2)
		;
	l->ids = need_memory(l->nids, sizeof(*l->ids));
	l->times = need_memory(l->nids, sizeof(*l->times));
	l->publisher = need_memory(1, sizeof(*l->publisher));
	pub = &l->peers->peer[l->connections];
	pub->user = l->publisher;
	cpu = cpu_seconds();
	l->start = nr_now_ns();
	publish_more(l, pub);
	nr_bench_flush(pub);
	run_until(l, fanned_out);
	if (l->known > 0)
		nr_warn("%" PRIu64 " events were stored already, and are "
		    "not live", l->known);
	return report(l, "fanout", "deliveries", l->events,
	    cpu_seconds() - cpu);
}

typedef int	mode_fn(struct load *l);

static mode_fn *
find_mode(const char *name)
{
	static const struct {
		const char	*name;
		mode_fn		*run;
	} mode[] = {
		{ "publish", load_publish },
		{ "query", load_query },
		{ "count", load_count },
		{ "fanout", load_fanout },
	};
	size_t i;

	for (i = 0; i < sizeof(mode) / sizeof(mode[0]); i++)
		if (strcmp(name, mode[i].name) == 0)
			return mode[i].run;
	nr_bad_usage("%s: not publish, query, count or fanout", name);
}

int
nr_bench_load(int argc, char *argv[])
{
	enum { AUTH = NR_OPT_FIRST, DEFLATE, FILTERS, SECONDS, SEED };
	static const struct option longopts[] = {
		{ "auth", no_argument, NULL, AUTH },
		{ "connections", required_argument, NULL, 'c' },
		{ "count", required_argument, NULL, 'n' },
		{ "deflate", no_argument, NULL, DEFLATE },
		{ "filters", required_argument, NULL, FILTERS },
		{ "file", required_argument, NULL, 'f' },
		{ "in-flight", required_argument, NULL, 'w' },
		{ "quiet", no_argument, NULL, 'q' },
		{ "seconds", required_argument, NULL, SECONDS },
		{ "seed", required_argument, NULL, SEED },
		NR_LONG_COMMON, { NULL, 0, NULL, 0 }
	};
	struct load l = {
		.connections = 16, .in_flight = 16, .filters = 400, .seed = 1
	};
	mode_fn *mode;
	int ch, status;

	while ((ch = getopt_long(argc, argv, "c:f:n:qw:", longopts,
	    NULL)) != -1)
		switch (ch) {
		case AUTH:
			l.authed = 1;
			break;
		case DEFLATE:
			l.packed = 1;
			break;
		case FILTERS:
			l.filters = (unsigned)nr_number(optarg, "--filters",
			    1, 1000000);
			break;
		case SECONDS:
			l.seconds = (unsigned)nr_number(optarg, "--seconds",
			    1, 86400);
			break;
		case SEED:
			l.seed = nr_number(optarg, "--seed", 0, UINT64_MAX);
			break;
		case 'c':
			l.connections = (unsigned)nr_number(optarg, "-c", 1,
			    60000);
			break;
		case 'f':
			l.file = optarg;
			break;
		case 'n':
			l.most = nr_number(optarg, "-n", 1, UINT64_MAX / 2);
			break;
		case 'q':
			nr_quiet = 1;
			break;
		case 'w':
			l.in_flight = (unsigned)nr_number(optarg, "-w", 1,
			    IN_FLIGHT_MAX);
			break;
		default:
			nr_common_option(ch);
		}
	if (argc - optind != 2)
		nr_bad_usage("load needs publish, query, count or fanout, and a URL");
	mode = find_mode(argv[optind]);
	if (l.file == NULL)
		nr_bad_usage("load needs -f file");
	if (l.seconds == 0 && l.most == 0)
		l.seconds = 5;
	l.url = argv[optind + 1];
	if ((l.hist = calloc(1, sizeof(*l.hist))) == NULL)
		nr_die(ENOMEM, "load");
	/* Only queries end by time. */
	if (strcmp(argv[optind], "query") != 0 &&
	    strcmp(argv[optind], "count") != 0)
		l.seconds = 0;
	status = mode(&l);
	nr_mix_free(l.mix);
	nr_peers_free(l.peers);
	nr_key_free(l.key);
	nr_verifier_free(l.hasher);
	free(l.hist);
	free(l.publisher);
	free(l.at_filter);
	free(l.got);
	free(l.asked);
	free(l.ids);
	free(l.times);
	return status;
}
