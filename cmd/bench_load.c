/*
 * nr-bench load: load on a relay, in a closed loop or at a rate, and what
 * came of it as one JSON line.
 */
#include "bench_load.h"

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "bench.h"
#include "relayopt.h"
#include "tool.h"
#include "util/err.h"
#include "util/times.h"

#define SECOND		INT64_C(1000000000)
#define TICK		(SECOND / 10)
#define QUIET		(3 * SECOND)	/* then no more deliveries come */
#define PARTS		10	/* of the way down, for pages */
#define FDS_MORE	32	/* than connections */
#define PAGE_EVENTS	500
#define DRIP_BYTES	1000
#define DRIP_NONE	UINT64_MAX	/* none is given */
#define REFUSED_MAX	100	/* questions, where none was answered */
#define BUSY		0.9	/* of a processor: then we are the limit */

void
nr_load_need(int rc, const char *what)
{
	if (rc != NR_OK)
		nr_die(rc, "%s", what);
}

void *
nr_load_memory(size_t n, size_t size)
{
	void *p = calloc(n, size);

	if (p == NULL)
		nr_die(ENOMEM, "load");
	return p;
}

/* ---- counting ------------------------------------------------------------ */

int
nr_load_counts(const struct nr_load *l, int64_t due)
{
	return due >= l->from;
}

void
nr_load_done(struct nr_load *l, enum nr_load_role role, int64_t due)
{
	if (!nr_load_counts(l, due))
		return;
	nr_load_answered(l, role);
	nr_hist_add(l->part[role].hist, (l->finished - due) / 1000);
}

void
nr_load_answered(struct nr_load *l, enum nr_load_role role)
{
	l->part[role].done++;
	l->finished = nr_now_ns();
}

static const char *const error_name[NR_LOAD_NERRORS] = {
	[NR_LOAD_INVALID] = "invalid", [NR_LOAD_BLOCKED] = "blocked",
	[NR_LOAD_RESTRICTED] = "restricted",
	[NR_LOAD_RATE_LIMITED] = "rate-limited",
	[NR_LOAD_POW] = "pow", [NR_LOAD_AUTH] = "auth-required",
	[NR_LOAD_ERROR] = "error", [NR_LOAD_MUTE] = "mute",
	[NR_LOAD_DUPLICATE] = "duplicate", [NR_LOAD_REPLACED] = "replaced",
	[NR_LOAD_DELETED] = "deleted", [NR_LOAD_UNSUPPORTED] = "unsupported",
	[NR_LOAD_OTHER] = "other",
	[NR_LOAD_CLOSED] = "closed", [NR_LOAD_TIMEOUT] = "timeout"
};
void
nr_load_refusal(struct nr_load *l, const char *text, size_t len)
{
	char word[32];
	unsigned i;
	size_t n;

	for (i = 0; i < NR_LOAD_OTHER; i++) {
		n = (size_t)snprintf(word, sizeof(word), "\"%s:",
		    error_name[i]);
		if (memmem(text, len, word, n) != NULL)
			break;
	}
	l->error[i]++;
	l->refused++;
	/* Who refuses every question does not get another thousand. */
	if (l->ask == NR_ASK_PAGE || (l->refused >= REFUSED_MAX &&
	    nr_load_main(l)->hist->count == 0 &&
	    nr_load_main(l) != &l->part[NR_ROLE_PUBLISH]))
		l->ending = 1;
	if (l->first_refusal[0] == '\0')
		snprintf(l->first_refusal, sizeof(l->first_refusal), "%.*s",
		    (int)(len < 190 ? len : 190), text);
}

void
nr_load_wrong(struct nr_load *l, const char *what)
{
	l->wrong++;
	if (l->first_wrong[0] == '\0')
		snprintf(l->first_wrong, sizeof(l->first_wrong), "%s", what);
}

int
nr_load_more(const struct nr_load *l)
{
	return !l->ending && (l->most == 0 || l->sent < l->most) &&
	    (l->stop == 0 || l->now < l->stop);
}

/* ---- the relay's process ------------------------------------------------------ */

static uint64_t
anonymous_memory(long pid)
{
	char path[64], line[256];
	unsigned long kb = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%ld/status", pid);
	if ((f = fopen(path, "re")) == NULL)
		return 0;
	while (fgets(line, sizeof(line), f) != NULL)
		if (sscanf(line, "RssAnon: %lu", &kb) == 1)
			break;
	fclose(f);
	return (uint64_t)kb * 1024;
}

/* Its name, in parentheses, may have anything in it. */
static double
cpu_of(long pid)
{
	unsigned long user = 0, system = 0;
	char path[64], line[512], *p;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%ld/stat", pid);
	if ((f = fopen(path, "re")) == NULL)
		return 0;
	if (fgets(line, sizeof(line), f) != NULL &&
	    (p = strrchr(line, ')')) != NULL)
		(void)sscanf(p + 1, " %*c %*d %*d %*d %*d %*d %*u %*u %*u "
		    "%*u %*u %lu %lu", &user, &system);
	fclose(f);
	return (double)(user + system) / (double)sysconf(_SC_CLK_TCK);
}

static struct nr_load_relay
look_at_relay(const struct nr_load *l)
{
	struct nr_load_relay r = { 0 };

	if (l->pid > 0) {
		r.memory = anonymous_memory(l->pid);
		r.cpu = cpu_of(l->pid);
	}
	return r;
}

/* ---- connections --------------------------------------------------------- */

static void
on_opened(struct nr_bench_peer *p)
{
	struct nr_load *l = p->all->user;

	if (l->lane != NULL && l->lane[p->index].role == NR_ROLE_CONNECT) {
		struct nr_view one = { "[\"REQ\",\"s\",{\"limit\":1}]", 23 };

		l->in_vain = 0;
		nr_load_need(nr_bench_send(p, &one, 1), "send");
	}
}

void
nr_load_unreachable(const struct nr_load *l)
{
	nr_say("%s: %s: %s", l->url, l->fault.class, l->fault.text);
	exit(NR_EX_ENV);
}

static void
on_closed(struct nr_bench_peer *p)
{
	struct nr_load *l = p->all->user;

	if (!p->open && (l->start == 0 || l->lane == NULL))
		nr_load_unreachable(l);
	l->lost++;
	l->in_vain += !p->open;
	if (l->lane[p->index].role == NR_ROLE_CONNECT)
		l->error[NR_LOAD_CLOSED]++;
	else
		nr_load_drop(l, p, INT64_MAX, NR_LOAD_CLOSED);
}

/* A key by seed: no secret. */
static void
make_key(struct nr_load *l)
{
	unsigned char secret[32] = { 1 };

	memcpy(secret + 1, &l->seed, sizeof(l->seed));
	nr_load_need(nr_key_new(&l->key, secret), "AUTH");
	nr_load_need(nr_verifier_new(&l->hasher), "AUTH");
}

void
nr_load_open(struct nr_load *l, unsigned n)
{
	static const struct nr_bench_calls calls = {
		.opened = on_opened, .text = nr_load_text, .closed = on_closed
	};
	struct nr_peers_options o = {
		.packed = l->packed, .ca_file = l->ca_file
	};
	int rc;

	nr_need_descriptors((uint64_t)n + FDS_MORE, "%u connections", n);
	l->lane = nr_load_memory(n, sizeof(*l->lane));
	rc = nr_peers_open(&l->peers, l->url, n, &o, &calls, l, &l->fault);
	if (rc == NR_EINVAL)
		nr_bad_usage("%s", l->fault.text);
	if (rc != NR_OK && l->fault.class != NULL)
		nr_load_unreachable(l);
	nr_load_need(rc, l->url);
}

void
nr_load_connect(struct nr_load *l, unsigned n)
{
	int64_t until = nr_now_ns() + (int64_t)(l->timeout * 1e9);

	if (l->authed)
		make_key(l);
	l->before = look_at_relay(l);
	nr_load_open(l, n);
	while (l->peers->nopen < n || (l->authed && l->known_as < n)) {
		if (l->peers->nfailed > 0)
			nr_load_unreachable(l);
		if (nr_now_ns() > until) {
			nr_say("%s: timeout: %u of %u connections are open",
			    l->url, l->peers->nopen, n);
			exit(NR_EX_ENV);
		}
		nr_load_need(nr_peers_wait(l->peers, 100), "connect");
	}
}

void
nr_load_reach(const struct nr_load *like, const char *url)
{
	struct nr_load l = *like;

	memset(l.part, 0, sizeof(l.part));
	l.url = url;
	l.shares = 1;
	nr_load_connect(&l, 1);
	nr_load_free(&l);
}

void
nr_load_roles(struct nr_load *l, unsigned from, unsigned n,
    enum nr_load_role role)
{
	unsigned i;

	for (i = from; i < from + n; i++) {
		l->lane[i].role = role;
		if (role == NR_ROLE_PUBLISH || role == NR_ROLE_QUERY)
			l->lane[i].flight = nr_load_memory(l->in_flight,
			    sizeof(struct nr_flight));
	}
}

static unsigned
count_role(const struct nr_load *l, enum nr_load_role role)
{
	unsigned i, n = 0;

	for (i = 0; i < l->peers->n; i++)
		n += l->lane[i].role == role;
	return n;
}

/* ---- the loop ------------------------------------------------------------ */

/* Send what is due; what no connection takes stays due. */
static void
send_due(struct nr_load *l)
{
	unsigned tried;
	int64_t due;

	l->stuck = 0;
	while (nr_load_more(l)) {
		due = l->start + (int64_t)((double)l->scheduled * 1e9 /
		    l->rate);
		if (due > l->now)
			return;
		for (tried = 0; tried < l->peers->n; tried++) {
			l->turn = (l->turn + 1) % l->peers->n;
			if (nr_load_send(l, &l->peers->peer[l->turn], due))
				break;
		}
		if (tried == l->peers->n) {
			/* Nothing is left to be sent, or all lanes are full. */
			l->stuck = 1;
			if (l->sent == l->answered)
				l->ending = 1;
			return;
		}
		nr_bench_flush(&l->peers->peer[l->turn]);
		l->scheduled++;
	}
}

static int64_t
until_due(const struct nr_load *l)
{
	int64_t left;

	/* Where all lanes are full, only an answer helps. */
	if (l->rate == 0 || l->stuck || !nr_load_more(l))
		return TICK;
	left = l->start + (int64_t)((double)l->scheduled * 1e9 / l->rate) -
	    nr_now_ns();
	return left < 0 ? 0 : left < TICK ? left : TICK;
}

/* An answer that takes too long is late, and the last thing waited for. */
static void
drop_late(struct nr_load *l)
{
	int64_t oldest = l->now - (int64_t)(l->timeout * 1e9);
	uint64_t before = l->error[NR_LOAD_TIMEOUT];
	unsigned i;

	for (i = 0; i < l->peers->n; i++)
		if (l->lane[i].n > 0 && !l->peers->peer[i].failed)
			nr_load_drop(l, &l->peers->peer[i], oldest,
			    NR_LOAD_TIMEOUT);
	if (l->error[NR_LOAD_TIMEOUT] > before)
		l->cut_short = l->ending = 1;
}

uint64_t
nr_load_expected(const struct nr_load *l)
{
	return l->fresh * (l->group > 0 ? l->group :
	    count_role(l, NR_ROLE_LISTEN));
}

static int
is_over(const struct nr_load *l)
{
	int publishing = count_role(l, NR_ROLE_PUBLISH) > 0;

	if (l->peers->nopen == 0)
		return 1;
	if (nr_load_more(l) && !(publishing && l->next >= l->last))
		return 0;
	if (l->sent > l->answered)
		return 0;
	return l->nids == 0 || l->warm_up > 0 ||
	    l->part[NR_ROLE_LISTEN].done >= nr_load_expected(l) ||
	    l->now - l->finished > QUIET;
}

static double
cpu_seconds(void)
{
	struct rusage u;

	getrusage(RUSAGE_SELF, &u);
	return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
	    (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

/*
 * Seconds that this thread was ready to run and no processor was free; 0
 * where the system does not say.
 */
static double
wait_seconds(void)
{
	unsigned long long waited = 0;
	FILE *f = fopen("/proc/self/schedstat", "re");

	if (f == NULL)
		return 0;
	if (fscanf(f, "%*u %llu", &waited) != 1)
		waited = 0;
	(void)fclose(f);
	return (double)waited / 1e9;
}

void
nr_load_begin(struct nr_load *l)
{
	unsigned i;

	l->start = l->now = l->finished = nr_now_ns();
	l->from = l->start + (int64_t)(l->warm_up * 1e9);
	l->warm = l->warm_up == 0;
	l->counted = l->start;
	l->cpu_began = cpu_seconds();
	l->wait_began = wait_seconds();
	l->begun = look_at_relay(l);
	l->stop = l->seconds > 0 ? l->from + (int64_t)(l->seconds * 1e9) : 0;
	for (i = 0; l->rate == 0 && i < l->peers->n; i++) {
		while (nr_load_send(l, &l->peers->peer[i], 0))
			;
		nr_bench_flush(&l->peers->peer[i]);
	}
}

/*
 * What came until now is forgotten.  Requests know by themselves whether
 * they count, and what was wrong stays wrong.
 */
void
nr_load_end_warm_up(struct nr_load *l)
{
	if (l->warm || l->now < l->from)
		return;
	l->warm = 1;
	l->events = 0;
	l->peers->bytes_in = l->peers->bytes_out = 0;
	l->counted = l->now;
	l->cpu_began = cpu_seconds();
	l->wait_began = wait_seconds();
	l->begun.cpu = look_at_relay(l).cpu;
}

void
nr_load_cpu(struct nr_load *l)
{
	int64_t ns = nr_now_ns() - l->counted;
	double s = (double)(ns > 0 ? ns : 1) / 1e9;

	l->cpu = (cpu_seconds() - l->cpu_began) / s;
	l->waited = (wait_seconds() - l->wait_began) / s;
	l->after = look_at_relay(l);
	l->relay_cpu = (l->after.cpu - l->begun.cpu) / s;
}

int
nr_load_bound(const struct nr_load *l)
{
	return l->cpu + l->waited > BUSY;
}

/* Requests that were due, that there were, and that were not sent. */
static uint64_t
count_late(const struct nr_load *l)
{
	int64_t end = l->stop > 0 && l->stop < l->now ? l->stop : l->now;
	uint64_t due = (uint64_t)((double)(end - l->start) / 1e9 * l->rate);

	if (l->most > 0 && due > l->most)
		due = l->most;
	if (count_role(l, NR_ROLE_PUBLISH) > 0 && l->next >= l->last)
		return 0;
	return due > l->scheduled ? due - l->scheduled : 0;
}

void
nr_load_loop(struct nr_load *l, void (*tick)(struct nr_load *l))
{
	int64_t ticked = 0;

	nr_load_begin(l);
	while (!is_over(l)) {
		nr_load_need(nr_peers_wait_ns(l->peers, until_due(l)),
		    "wait");
		l->now = nr_now_ns();
		nr_load_end_warm_up(l);
		if (l->rate > 0)
			send_due(l);
		if (l->now - ticked < TICK)
			continue;
		ticked = l->now;
		drop_late(l);
		if (tick != NULL)
			tick(l);
	}
	if (l->rate > 0)
		l->late = count_late(l);
	nr_load_cpu(l);
	if (l->peers->nopen == 0)
		l->cut_short = 1;
}

double
nr_load_seconds(const struct nr_load *l)
{
	return l->finished > l->from ? (double)(l->finished - l->from) / 1e9 :
	    0;
}

/* ---- reports ------------------------------------------------------------- */

const struct nr_load_part *
nr_load_main(const struct nr_load *l)
{
	return &l->part[nr_load_mode(l->mode)->main];
}

double
nr_load_per_second(const struct nr_load *l)
{
	double s = nr_load_seconds(l);

	return s > 0 ? (double)nr_load_main(l)->hist->count / s : 0;
}

static void
add_errors(const struct nr_load *l, struct nr_buf *b)
{

	const char *sep = "";
	unsigned i;

	nr_load_need(nr_buf_adds(b, ",\"errors\":{"), "report");
	for (i = 0; i < NR_LOAD_NERRORS; i++)
		if (l->error[i] > 0) {
			nr_load_need(nr_buf_addf(b, "%s\"%s\":%" PRIu64, sep,
			    error_name[i], l->error[i]), "report");
			sep = ",";
		}
	nr_load_need(nr_buf_adds(b, "}"), "report");
}

static void
add_part(struct nr_buf *b, const char *name, const struct nr_load_part *part,
    double s)
{
	nr_load_need(nr_buf_addf(b, ",\"%s\":{\"done\":%" PRIu64
	    ",\"per_second\":%.0f,\"milliseconds\":", name, part->done,
	    s > 0 ? (double)part->hist->count / s : 0), "report");
	nr_load_need(nr_hist_write(part->hist, b), "report");
	nr_load_need(nr_buf_adds(b, "}"), "report");
}

/* What the relay took of this machine, where its process is known. */
static void
add_relay(const struct nr_load *l, struct nr_buf *b)
{
	uint64_t was = l->before.memory, is = l->begun.memory;

	nr_load_need(l->after.memory == 0 ? nr_buf_adds(b,
	    ",\"relay_cpu\":null,\"relay_memory\":null") : nr_buf_addf(b,
	    ",\"relay_cpu\":%.2f,\"relay_memory\":%" PRIu64, l->relay_cpu,
	    l->after.memory), "report");
	nr_load_need(was == 0 || is <= was ?
	    nr_buf_adds(b, ",\"connection_memory\":null") :
	    nr_buf_addf(b, ",\"connection_memory\":%" PRIu64,
	    (is - was) / l->peers->n), "report");
}

static void
add_figures(const struct nr_load *l, struct nr_buf *b)
{
	const struct nr_load_mode *m = nr_load_mode(l->mode);

	nr_load_need(nr_buf_addf(b, "\"load\":\"%s\",\"connections\":%u"
	    ",\"in_flight\":%u,\"%s\":%" PRIu64 ",\"seconds\":%.3f"
	    ",\"per_second\":%.0f,\"events\":%" PRIu64 ",\"accepted\":%"
	    PRIu64 ",\"known\":%" PRIu64 ",\"refused\":%" PRIu64
	    ",\"missing\":%" PRIu64 ",\"wrong\":%" PRIu64 ",\"lost_connections\":%u", l->mode,
	    l->connections, l->in_flight, m->what, nr_load_main(l)->done,
	    nr_load_seconds(l), nr_load_per_second(l), l->events,
	    l->accepted, l->known, l->refused, l->missing, l->wrong,
	    l->lost), "report");
	nr_load_need(nr_buf_addf(b, ",\"bytes_in\":%" PRIu64
	    ",\"bytes_out\":%" PRIu64 ",\"client_cpu\":%.2f"
	    ",\"client_waited\":%.2f,\"client_bound\":%s",
	    l->peers->bytes_in, l->peers->bytes_out, l->cpu, l->waited,
	    nr_load_bound(l) ? "true" : "false"), "report");
	if (l->rate > 0)
		nr_load_need(nr_buf_addf(b, ",\"rate\":%g,\"late\":%" PRIu64,
		    l->rate, l->late), "report");
	if (l->warm_up > 0)
		nr_load_need(nr_buf_addf(b, ",\"warm_up\":%g", l->warm_up),
		    "report");
	if (l->pid > 0)
		add_relay(l, b);
}

static void
add_choice(struct nr_buf *b, const char *name, uint64_t value)
{
	if (value > 0)
		nr_load_need(nr_buf_addf(b, ",\"%s\":%" PRIu64, name, value),
		    "report");
}

/* Options without which the figures would be others. */
static void
add_choices(const struct nr_load *l, struct nr_buf *b)
{
	unsigned i, away = 0;

	if (l->authed)
		nr_load_need(nr_buf_adds(b, ",\"auth\":true"), "report");
	if (l->packed)
		nr_load_need(nr_buf_adds(b, ",\"deflate\":true"), "report");
	if (l->filter != NULL)
		nr_load_need(nr_buf_addf(b, ",\"filter\":%s", l->filter),
		    "report");
	add_choice(b, "group", l->group);
	if (l->ask == NR_ASK_PAGE)
		add_choice(b, "page", l->page);
	if (l->stalled == 0)
		return;
	for (i = 0; i < l->peers->n; i++)
		away += l->lane[i].role == NR_ROLE_SLOW &&
		    l->peers->peer[i].failed;
	nr_load_need(nr_buf_addf(b, ",\"stalled\":%u"
	    ",\"stalled_turned_away\":%u", l->stalled, away), "report");
}

static int
by_time(const void *a, const void *b)
{
	const struct nr_load_page *x = a, *y = b;

	return (x->ms > y->ms) - (x->ms < y->ms);
}

/* How long a page takes by depth, for ten equal parts of the way. */
static void
add_depths(const struct nr_load *l, struct nr_buf *b)
{
	struct nr_load_page *page = l->pages.page;
	size_t n = l->pages.n / PARTS, i;
	uint64_t passed;

	nr_load_need(nr_buf_addf(b, ",\"whole\":%s,\"depths\":[",
	    l->pages.whole ? "true" : "false"), "report");
	for (i = 0; n > 0 && i < PARTS; i++, page += n) {
		passed = page->passed;
		qsort(page, n, sizeof(*page), by_time);
		nr_load_need(nr_buf_addf(b, "%s{\"events\":%" PRIu64
		    ",\"p50\":%.3f,\"max\":%.3f}", i > 0 ? "," : "", passed,
		    page[n / 2].ms, page[n - 1].ms), "report");
	}
	nr_load_need(nr_buf_adds(b, "]"), "report");
}

static int
is_nothing(const struct nr_load *l)
{
	return nr_load_main(l)->hist->count == 0;
}

/*
 * What stands out, in words.
 * who      where there are several relays: which; else ""
 */
static void
remark(const struct nr_load *l, const char *who)
{
	if (l->first_refusal[0] != '\0')
		nr_warn("%sfirst refusal: %s", who, l->first_refusal);
	if (l->first_notice[0] != '\0')
		nr_warn("%sfirst notice: %s", who, l->first_notice);
	if (l->first_wrong[0] != '\0')
		nr_warn("%swrong: %s", who, l->first_wrong);
	if (l->known > 0)
		nr_warn("%s%" PRIu64 " events, or newer versions, were stored "
		    "already", who, l->known);
	if (l->missing > 0)
		nr_warn("%s%" PRIu64 " events that were asked for by id did "
		    "not come%s", who, l->missing, l->found > 0 ? "" :
		    ", nor others: the relay may be fast because it is empty");
	if (l->cut_short)
		nr_warn("%sthe relay stopped answering, or takes more than "
		    "%g s", who, l->timeout);
	else if (is_nothing(l))
		nr_warn("%snothing was measured", who);
	if (l->fault.class != NULL)
		nr_warn("%sthe last connection that was lost: %s: %s", who,
		    l->fault.class, l->fault.text);
	if (nr_load_bound(l) && !is_nothing(l))
		nr_warn("%sthis side was busy all the time%s: the relay may do "
		    "more", who, l->cpu > BUSY ? "" :
		    ", or waited for a processor");
	if (l->late > 0)
		nr_warn("%s%" PRIu64 " requests could not be sent in time, nor "
		    "before the end", who, l->late);
}

void
nr_load_report(struct nr_load *l, unsigned round)
{
	struct nr_buf b = { 0 };
	char who[256];

	nr_load_need(nr_buf_adds(&b, "{"), "report");
	if (round > 0)
		nr_load_need(nr_buf_addf(&b, "\"round\":%u,", round),
		    "report");
	nr_load_need(nr_buf_adds(&b, "\"url\":"), "report");
	nr_load_need(nr_buf_addjson(&b, l->url, strlen(l->url)), "report");
	nr_load_need(nr_buf_adds(&b, ","), "report");
	add_figures(l, &b);
	add_choices(l, &b);
	add_errors(l, &b);
	if (nr_load_main(l) == &l->part[NR_ROLE_LISTEN] ||
	    strcmp(l->mode, "mixed") == 0)
		add_part(&b, "publish", &l->part[NR_ROLE_PUBLISH],
		    nr_load_seconds(l));
	if (strcmp(l->mode, "mixed") == 0)
		add_part(&b, "deliver", &l->part[NR_ROLE_LISTEN],
		    nr_load_seconds(l));
	if (l->ask == NR_ASK_PAGE)
		add_depths(l, &b);
	if (l->alone.hist != NULL)
		add_part(&b, "alone", &l->alone, l->alone_seconds);
	nr_load_need(nr_buf_adds(&b, ",\"milliseconds\":"), "report");
	nr_load_need(nr_hist_write(nr_load_main(l)->hist, &b), "report");
	nr_load_need(nr_buf_adds(&b, "}\n"), "report");
	nr_out(b.p, b.len);
	nr_out_flush();
	nr_buf_free(&b);
	snprintf(who, sizeof(who), "%s: ", l->url);
	remark(l, round > 0 ? who : "");
}

int
nr_load_run(struct nr_load *l)
{
	const struct nr_load_mode *m = nr_load_mode(l->mode);
	size_t i;

	for (i = 0; i < NR_ROLES; i++)
		l->part[i].hist = nr_load_memory(1, sizeof(struct nr_hist));
	if (l->file != NULL && l->data == NULL)
		nr_load_open_file(l);
	if (l->file != NULL)
		nr_load_slice(l);
	m->run(l);
	if (l->cut_short)
		return NR_EX_ENV;
	return l->refused > 0 || l->wrong > 0 || l->missing > 0 ||
	    l->late > 0 || l->error[NR_LOAD_TIMEOUT] > 0 || is_nothing(l) ||
	    /* Who does not read may be turned away. */
	    (l->lost > 0 && l->stalled == 0 && strcmp(l->mode, "slow") != 0) ?
	    NR_EX_NO : NR_EX_OK;
}

/* ---- options ------------------------------------------------------------- */

static double
number(const char *arg, const char *what, double least, double most)
{
	char *end;
	double d = strtod(arg, &end);

	if (end == arg || *end != '\0' || !(d >= least && d <= most))
		nr_bad_usage("%s takes from %g to %g, not %s", what, least,
		    most, arg);
	return d;
}

static void
check_filter(const struct nr_load *l, const struct nr_load_mode *m)
{
	struct nr_filter f;
	const char *why;

	if (m->main != NR_ROLE_QUERY || strcmp(m->name, "mixed") == 0)
		nr_bad_usage("%s takes no --filter", m->name);
	if (nr_filter_parse(&f, l->filter, strlen(l->filter),
	    &nr_filter_limits_none, &why) != NR_OK || why != NULL)
		nr_bad_usage("--filter: %s", why != NULL ? why :
		    "not a filter");
	if (strcmp(m->name, "pages") == 0 &&
	    f.has & (NR_FILTER_UNTIL | NR_FILTER_LIMIT))
		nr_bad_usage("pages has an until and a limit of its own");
	nr_filter_free(&f);
}

static void
set_mode(struct nr_load *l, const char *name, int in_flight)
{
	const struct nr_load_mode *m = nr_load_mode(name);

	l->mode = name;
	if (l->filter != NULL)
		check_filter(l, m);
	if (m->file && l->file == NULL && l->filter == NULL)
		nr_bad_usage("%s needs -f file", name);
	if (l->filter != NULL && l->file != NULL)
		nr_bad_usage("a file or a filter, not both");
	if (l->group > 0 && (strcmp(name, "fanout") != 0 ||
	    l->connections % l->group != 0))
		nr_bad_usage("--group is for fanout, and divides -c");
	if (l->authed && m->main == NR_ROLE_CONNECT)
		nr_bad_usage("%s takes no --auth", name);
	if (l->page > 0 && strcmp(name, "pages") != 0)
		nr_bad_usage("--page is for pages");
	if (l->drip != DRIP_NONE && strcmp(name, "slow") != 0)
		nr_bad_usage("--drip is for slow");
	if (l->page == 0)
		l->page = PAGE_EVENTS;
	if (l->drip == DRIP_NONE)
		l->drip = DRIP_BYTES;
	if (l->pid > 0 && kill((pid_t)l->pid, 0) != 0 && errno == ESRCH)
		nr_bad_usage("--pid %ld: no such process", l->pid);
	if (l->stalled > 0 && strcmp(name, "fanout") != 0)
		nr_bad_usage("--stalled is for fanout");
	if (!m->file && l->file != NULL)
		nr_bad_usage("%s takes no file", name);
	if (!m->rate && l->rate > 0)
		nr_bad_usage("%s takes no --rate", name);
	if (m->main == NR_ROLE_QUERY && !in_flight && l->rate == 0)
		l->in_flight = 1;
	/* Those that take no events end by time. */
	if (l->seconds == 0 && l->most == 0 && (m->main == NR_ROLE_QUERY ||
	    m->main == NR_ROLE_CONNECT) && strcmp(name, "pages") != 0)
		l->seconds = 5;
	if (m->main == NR_ROLE_LISTEN && l->most == 0 && l->seconds == 0)
		l->most = 1000;
}

void
nr_load_options(struct nr_load *l, int argc, char *argv[], unsigned *rounds)
{
	enum { AUTH = NR_OPT_FIRST, CA_FILE, DEFLATE, DRIP, FILTER, FILTERS,
	    GROUP, PAGE, PID, RATE, ROUNDS, SECONDS, SEED, STALLED, TIMEOUT,
	    WARM_UP };
	static const struct option longopts[] = {
		{ "auth", no_argument, NULL, AUTH },
		{ "ca-file", required_argument, NULL, CA_FILE },
		{ "connections", required_argument, NULL, 'c' },
		{ "count", required_argument, NULL, 'n' },
		{ "deflate", no_argument, NULL, DEFLATE },
		{ "drip", required_argument, NULL, DRIP },
		{ "file", required_argument, NULL, 'f' },
		{ "filter", required_argument, NULL, FILTER },
		{ "filters", required_argument, NULL, FILTERS },
		{ "group", required_argument, NULL, GROUP },
		{ "in-flight", required_argument, NULL, 'w' },
		{ "page", required_argument, NULL, PAGE },
		{ "pid", required_argument, NULL, PID },
		{ "quiet", no_argument, NULL, 'q' },
		{ "rate", required_argument, NULL, RATE },
		{ "rounds", required_argument, NULL, ROUNDS },
		{ "seconds", required_argument, NULL, SECONDS },
		{ "seed", required_argument, NULL, SEED },
		{ "stalled", required_argument, NULL, STALLED },
		{ "timeout", required_argument, NULL, TIMEOUT },
		{ "warm-up", required_argument, NULL, WARM_UP },
		NR_LONG_COMMON, { NULL, 0, NULL, 0 }
	};
	int ch, in_flight = 0;

	memset(l, 0, sizeof(*l));
	l->connections = l->in_flight = 16;
	l->filters = 400;
	l->seed = 1;
	l->timeout = 30;
	l->drip = DRIP_NONE;
	while ((ch = getopt_long(argc, argv, "c:f:n:qw:", longopts,
	    NULL)) != -1)
		switch (ch) {
		case AUTH:
			l->authed = 1;
			break;
		case CA_FILE:
			l->ca_file = optarg;
			break;
		case DEFLATE:
			l->packed = 1;
			break;
		case DRIP:
			l->drip = nr_size(optarg, "--drip", 0, 1 << 30);
			break;
		case FILTER:
			l->filter = optarg;
			break;
		case FILTERS:
			l->filters = (unsigned)nr_number(optarg, "--filters",
			    1, 1000000);
			break;
		case GROUP:
			l->group = (unsigned)nr_number(optarg, "--group", 1,
			    60000);
			break;
		case PAGE:
			l->page = (unsigned)nr_number(optarg, "--page", 1,
			    100000);
			break;
		case PID:
			l->pid = (long)nr_number(optarg, "--pid", 1, INT_MAX);
			break;
		case RATE:
			l->rate = number(optarg, "--rate", 0.01, 1e7);
			break;
		case ROUNDS:
			if (rounds == NULL)
				nr_bad_usage("--rounds is for compare");
			*rounds = (unsigned)nr_number(optarg, "--rounds", 1,
			    1000);
			break;
		case SECONDS:
			l->seconds = number(optarg, "--seconds", 0.1, 86400);
			break;
		case SEED:
			l->seed = nr_number(optarg, "--seed", 0, UINT64_MAX);
			break;
		case STALLED:
			l->stalled = (unsigned)nr_number(optarg, "--stalled",
			    1, 10000);
			break;
		case TIMEOUT:
			l->timeout = number(optarg, "--timeout", 0.1, 3600);
			break;
		case WARM_UP:
			l->warm_up = number(optarg, "--warm-up", 0, 86400);
			break;
		case 'c':
			l->connections = (unsigned)nr_number(optarg, "-c", 1,
			    60000);
			break;
		case 'f':
			l->file = optarg;
			break;
		case 'n':
			l->most = nr_number(optarg, "-n", 1, UINT64_MAX / 2);
			break;
		case 'q':
			nr_quiet = 1;
			break;
		case 'w':
			l->in_flight = (unsigned)nr_number(optarg, "-w", 1,
			    NR_IN_FLIGHT_MAX);
			in_flight = 1;
			break;
		default:
			nr_common_option(ch);
		}
	if (optind == argc)
		nr_bad_usage("which load? " NR_LOAD_MODES);
	if (rounds != NULL && l->pid > 0)
		nr_bad_usage("--pid is for load");
	set_mode(l, argv[optind++], in_flight);
	/* TLS would be ended by a relay that hangs up. */
	(void)signal(SIGPIPE, SIG_IGN);
}

char *
nr_load_url(const char *text)
{
	const char *scheme;
	struct nr_url u;
	size_t size;
	char *url;

	nr_relay_operand(&u, text);
	scheme = strstr(text, "://") != NULL ? "" : u.tls ? "wss://" : "ws://";
	size = strlen(scheme) + strlen(text) + 1;
	url = nr_load_memory(size, 1);
	snprintf(url, size, "%s%s", scheme, text);
	return url;
}

int
nr_bench_load(int argc, char *argv[])
{
	struct nr_load l;
	char *url;
	int status;

	nr_load_options(&l, argc, argv, NULL);
	if (argc - optind != 1)
		nr_bad_usage("load needs one URL");
	l.url = url = nr_load_url(argv[optind]);
	status = nr_load_run(&l);
	nr_load_report(&l, 0);
	nr_load_free(&l);
	free(url);
	nr_out_close();
	return status;
}
