/*
 * Figures for Prometheus.  nr-serve(1) has their names and labels.
 */
#include "relay/internal.h"

#include <dirent.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

#include "event/event.h"
#include "event/tags.h"
#include "relay/policy.h"
#include "relay/tls.h"
#include "util/err.h"
#include "util/times.h"
#include "util/version.h"
#include "wire/message.h"

/* By the word before the colon, in the order of nr_outcome. */
static const char *const outcome_name[NR_OUTCOMES] = {
	"ok", "duplicate", "auth-required", "blocked", "error", "invalid",
	"mute", "pow", "rate-limited", "restricted", "unsupported"
};

/* What relays see most of; others are counted by their sort. */
static const unsigned short kind_label[NR_METRIC_KINDS] = {
	0, 1, 3, 4, 5, 6, 7, 8, 9, 16, 20, 21, 22, 42, 62, 1059, 1063, 1111,
	1311, 1984, 9734, 9735, 9802, 10000, 10002, 10003, 10050, 13194,
	23194, 23195, 24133, 27235, 30000, 30003, 30023, 30078, 30311,
	30315, 30382, 31990
};

static const char *const sort_label[NR_METRIC_SORTS] = {
	"regular", "replaceable", "ephemeral", "addressable"
};

static const unsigned latency_bound[NR_LATENCIES] = {
	1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000
};

static enum nr_outcome
outcome_of(const char *message)
{
	size_t n = strcspn(message, ":");
	unsigned i;

	for (i = NR_OUT_DUPLICATE; i < NR_OUTCOMES; i++)
		if (strlen(outcome_name[i]) == n &&
		    memcmp(outcome_name[i], message, n) == 0)
			return (enum nr_outcome)i;
	return NR_OUT_OK;
}

void
nr_latency_value(struct nr_latency *l, int64_t value)
{
	unsigned i;

	for (i = 0; i < NR_LATENCIES && value > (int64_t)latency_bound[i];
	    i++)
		;
	atomic_fetch_add_explicit(&l->bucket[i], 1, memory_order_relaxed);
	atomic_fetch_add_explicit(&l->sum, (uint64_t)(value < 0 ? 0 : value),
	    memory_order_relaxed);
}

void
nr_latency_add(struct nr_latency *l, int64_t since)
{
	nr_latency_value(l, nr_now_ms() - since);
}

/* Where a kind is counted: with a label of its own, or by its sort. */
static unsigned
kind_slot(unsigned kind)
{
	unsigned i;

	for (i = 0; i < NR_METRIC_KINDS; i++)
		if (kind_label[i] == kind)
			return i;
	return NR_METRIC_KINDS + (nr_kind_replaceable(kind) ? 1 :
	    nr_kind_ephemeral(kind) ? 2 : nr_kind_addressable(kind) ? 3 : 0);
}

void
nr_count_event(struct nr_relay *r, int kind, int accepted,
    const char *message, int64_t received)
{
	enum nr_outcome outcome = outcome_of(message);
	enum nr_kind_result result = !accepted ? NR_KIND_REFUSED :
	    outcome == NR_OUT_DUPLICATE ? NR_KIND_DUPLICATE : NR_KIND_OK;

	atomic_fetch_add_explicit(
	    &r->metrics.events[outcome][accepted != 0], 1,
	    memory_order_relaxed);
	if (kind >= 0)
		atomic_fetch_add_explicit(&r->metrics.kinds[kind_slot(
		    (unsigned)kind)][result], 1, memory_order_relaxed);
	nr_latency_add(&r->metrics.ok, received);
	if (!accepted)
		nr_log_refused(r, "EVENT", message);
}

void
nr_count_closed(struct nr_relay *r, const char *message)
{
	atomic_fetch_add_explicit(&r->metrics.closed[outcome_of(message)], 1,
	    memory_order_relaxed);
	nr_log_refused(r, "REQ", message);
}

/* ---- writing -------------------------------------------------------------------- */

/* Errors are kept until the end. */
struct out {
	struct nr_buf	*b;
	int		 rc;
};

static void
put(struct out *o, const char *text)
{
	if (o->rc == NR_OK)
		o->rc = nr_buf_adds(o->b, text);
}

static void
head(struct out *o, const char *name, const char *type, const char *help)
{
	if (o->rc == NR_OK)
		o->rc = nr_buf_addf(o->b, "# HELP %s %s\n# TYPE %s %s\n",
		    name, help, name, type);
}

static void
sample(struct out *o, const char *name, const char *labels, uint64_t v)
{
	if (o->rc == NR_OK)
		o->rc = nr_buf_addf(o->b, "%s%s %" PRIu64 "\n", name, labels,
		    v);
}

static void
one(struct out *o, const char *name, const char *type, const char *help,
    uint64_t v)
{
	head(o, name, type, help);
	sample(o, name, "", v);
}

/* scale is what the values are divided by: 1000 for milliseconds. */
static void
histogram(struct out *o, const char *name, const char *help,
    const struct nr_latency *l, double scale)
{
	uint64_t n = 0;
	unsigned i;

	head(o, name, "histogram", help);
	for (i = 0; i < NR_LATENCIES && o->rc == NR_OK; i++) {
		n += atomic_load(&l->bucket[i]);
		o->rc = nr_buf_addf(o->b, "%s_bucket{le=\"%g\"} %" PRIu64
		    "\n", name, latency_bound[i] / scale, n);
	}
	n += atomic_load(&l->bucket[NR_LATENCIES]);
	if (o->rc == NR_OK)
		o->rc = nr_buf_addf(o->b, "%s_bucket{le=\"+Inf\"} %" PRIu64
		    "\n%s_sum %.15g\n%s_count %" PRIu64 "\n", name, n, name,
		    (double)atomic_load(&l->sum) / scale, name, n);
}

static void
latency(struct out *o, const char *name, const char *help,
    const struct nr_latency *l)
{
	histogram(o, name, help, l, 1000);
}

/* Kinds of which there was any, and all sorts. */
static void
kinds(struct out *o, const struct nr_metrics *m)
{
	static const char *const result[NR_KIND_RESULTS] = {
		"ok", "duplicate", "refused"
	};
	char labels[80], kind[16];
	unsigned i, j;
	uint64_t v;

	head(o, "nr_kind_events_total", "counter",
	    "Events that could be read, by kind.");
	for (i = 0; i < NR_METRIC_KINDS + NR_METRIC_SORTS; i++) {
		if (i < NR_METRIC_KINDS)
			snprintf(kind, sizeof(kind), "%d",
			    (int)kind_label[i]);
		else
			snprintf(kind, sizeof(kind), "%s",
			    sort_label[i - NR_METRIC_KINDS]);
		for (j = 0; j < NR_KIND_RESULTS; j++) {
			snprintf(labels, sizeof(labels),
			    "{kind=\"%s\",result=\"%s\"}", kind, result[j]);
			v = atomic_load(&m->kinds[i][j]);
			if (v > 0 || i >= NR_METRIC_KINDS)
				sample(o, "nr_kind_events_total", labels, v);
		}
	}
}

static void
traffic(struct out *o, const struct nr_metrics *m)
{
	static const char *const verb[NR_VERBS] = {
		[NR_CLIENT_EVENT] = "EVENT", [NR_CLIENT_REQ] = "REQ",
		[NR_CLIENT_COUNT] = "COUNT", [NR_CLIENT_CLOSE] = "CLOSE",
		[NR_CLIENT_AUTH] = "AUTH", [NR_CLIENT_NEG_OPEN] = "NEG-OPEN",
		[NR_CLIENT_NEG_MSG] = "NEG-MSG",
		[NR_CLIENT_NEG_CLOSE] = "NEG-CLOSE",
		[NR_CLIENT_OTHER] = "other"
	};
	char labels[80];
	unsigned i, yes;

	head(o, "nr_messages_total", "counter",
	    "Messages from clients; other: those that are none.");
	for (i = 0; i < NR_VERBS; i++) {
		snprintf(labels, sizeof(labels), "{verb=\"%s\"}", verb[i]);
		sample(o, "nr_messages_total", labels,
		    atomic_load(&m->messages[i]));
	}
	head(o, "nr_events_total", "counter",
	    "Events by the answer to them and its reason.");
	for (i = 0; i < NR_OUTCOMES; i++)
		for (yes = 0; yes < 2; yes++) {
			snprintf(labels, sizeof(labels),
			    "{accepted=\"%s\",reason=\"%s\"}",
			    yes ? "true" : "false", outcome_name[i]);
			if (yes ? i <= NR_OUT_DUPLICATE : i > NR_OUT_OK)
				sample(o, "nr_events_total", labels,
				    atomic_load(&m->events[i][yes]));
		}
	head(o, "nr_closed_total", "counter",
	    "REQs and COUNTs that were refused, by the reason.");
	for (i = NR_OUT_AUTH_REQUIRED; i < NR_OUTCOMES; i++) {
		snprintf(labels, sizeof(labels), "{reason=\"%s\"}",
		    outcome_name[i]);
		sample(o, "nr_closed_total", labels,
		    atomic_load(&m->closed[i]));
	}
	head(o, "nr_auth_total", "counter", "AUTH messages.");
	sample(o, "nr_auth_total", "{accepted=\"true\"}",
	    atomic_load(&m->auth[1]));
	sample(o, "nr_auth_total", "{accepted=\"false\"}",
	    atomic_load(&m->auth[0]));
	head(o, "nr_limited_total", "counter",
	    "What limits were in the way of.");
	for (i = 0; i < NR_LIMITS; i++) {
		snprintf(labels, sizeof(labels), "{limit=\"%s\"}",
		    nr_limit_name[i]);
		sample(o, "nr_limited_total", labels,
		    atomic_load(&m->limits[i]));
	}
	one(o, "nr_slowed_total", "counter", "Messages that had to wait for "
	    "a limit in time.", atomic_load(&m->slowed));
	one(o, "nr_bans_total", "counter", "Addresses banned for a while.",
	    atomic_load(&m->bans));
	one(o, "nr_deliveries_total", "counter",
	    "Stored events sent to live subscriptions.",
	    atomic_load(&m->delivered));
	kinds(o, m);
	histogram(o, "nr_batch_events", "Events of a transaction.",
	    &m->batch, 1);
	latency(o, "nr_ok_seconds", "From an event to its OK.", &m->ok);
	latency(o, "nr_query_seconds",
	    "From a REQ or COUNT to its EOSE or answer.", &m->query);
	latency(o, "nr_query_work_seconds",
	    "Work of a REQ or COUNT, without waiting.", &m->work);
	one(o, "nr_slow_queries_total", "counter",
	    "Queries that took slow_query_ms or more.",
	    atomic_load(&m->slow));
}

/* What came of the questions to a policy. */
static void
decisions(struct out *o, const struct nr_host_figures *f)
{
	const struct {
		const char	*label;
		uint64_t	 n;
	} answer[] = {
		{ "{answer=\"accept\"}", f->decided[NR_ACCEPT] },
		{ "{answer=\"reject\"}", f->decided[NR_REJECT] },
		{ "{answer=\"shadowReject\"}", f->decided[NR_SHADOW_REJECT] },
		{ "{answer=\"late\"}", f->late },
		{ "{answer=\"failed\"}", f->failed },
		{ "{answer=\"refused\"}", f->refused }
	};
	size_t i;

	head(o, "nr_policy_answers_total", "counter",
	    "What a policy was asked, by what came of it.");
	for (i = 0; i < sizeof(answer) / sizeof(answer[0]); i++)
		sample(o, "nr_policy_answers_total", answer[i].label,
		    answer[i].n);
}

static void
policy(struct out *o, const struct nr_relay *r)
{
	struct nr_host_figures f;

	nr_policy_figures(r, &f);
	decisions(o, &f);
	one(o, "nr_policy_strays_total", "counter",
	    "Answers of it that made no sense.", f.strays);
	one(o, "nr_policy_restarts_total", "counter",
	    "Times that it was started again.", f.restarts);
	one(o, "nr_policy_running", "gauge", "Whether it runs.",
	    (uint64_t)f.running);
	one(o, "nr_policy_waiting", "gauge", "Requests that wait for their "
	    "turn.", f.waiting);
	one(o, "nr_policy_in_flight", "gauge", "Requests that it has.",
	    f.in_flight);
	latency(o, "nr_policy_seconds", "From a request to its end.",
	    &r->metrics.policy);
}

static void
connections(struct out *o, struct nr_relay *r)
{
	uint64_t subs = 0, waiting = 0, most = 0, paused = 0, held = 0;
	const struct nr_sub *s;
	struct nr_conn *c;

	for (c = r->conns; c != NULL; c = c->next) {
		subs += c->nsubs;
		held += c->backlog.len > 0;
		pthread_mutex_lock(&c->lock);
		waiting += c->out.bytes;
		if (c->out.bytes > most)
			most = c->out.bytes;
		for (s = c->paused; s != NULL; s = s->next_task)
			paused++;
		pthread_mutex_unlock(&c->lock);
	}
	one(o, "nr_connections", "gauge", "Connections now.", r->nconns);
	one(o, "nr_connections_total", "counter", "Connections in all.",
	    atomic_load(&r->metrics.connections));
	one(o, "nr_subscriptions", "gauge", "Subscriptions now.", subs);
	one(o, "nr_connections_held", "gauge", "Connections that are not "
	    "read while there is no room for their events.", held);
	one(o, "nr_output_bytes", "gauge", "Waiting to be sent.", waiting);
	one(o, "nr_output_most_bytes", "gauge", "Waiting to be sent to the "
	    "connection that has most.", most);
	one(o, "nr_input_events", "gauge", "Events on their way into the "
	    "store.", nr_ingest_events(r->ingest));
	one(o, "nr_input_bytes", "gauge", "Their bytes.",
	    nr_ingest_bytes(r->ingest));
	one(o, "nr_queries_waiting", "gauge", "Queries that wait for a "
	    "thread.", nr_queries_waiting(r->queries, NULL));
	one(o, "nr_queries_paused", "gauge", "Queries that wait for their "
	    "client to read.", paused);
	one(o, "nr_sync_bytes", "gauge", "Memory of what is being "
	    "reconciled (NIP-77).", atomic_load(&r->sync_bytes));
	one(o, "nr_parties", "gauge", "Addresses and keys whose use of limits "
	    "is remembered.", nr_limits_parties(r->limits));
}

static void
store(struct out *o, struct nr_relay *r)
{
	struct nr_store_stat s;
	int rc;

	if ((rc = nr_snap_renew(r->snap)) == NR_OK) {
		rc = nr_snap_stat(r->snap, &s);
		nr_snap_release(r->snap);
	}
	if (rc != NR_OK) {
		o->rc = o->rc != NR_OK ? o->rc : rc;
		return;
	}
	one(o, "nr_store_events", "gauge", "Live events.", s.events);
	one(o, "nr_store_log_bytes", "gauge", "The log.", s.log_bytes);
	one(o, "nr_store_dead_bytes", "gauge",
	    "Lines of the log that are of no use any more.", s.dead_bytes);
	one(o, "nr_store_compacted_total", "counter",
	    "Segments that were rewritten.", atomic_load(
	    &r->metrics.compacted));
	one(o, "nr_store_reclaimed_bytes_total", "counter",
	    "Dead bytes that it dropped.", atomic_load(
	    &r->metrics.reclaimed));
	one(o, "nr_store_scrubbed_total", "counter",
	    "Lines of deleted events that were overwritten.", atomic_load(
	    &r->metrics.scrubbed));
	one(o, "nr_store_index_bytes", "gauge", "The index's file.",
	    s.index_bytes);
	one(o, "nr_store_index_free_bytes", "gauge", "Of these, in free "
	    "pages.", s.index_free);
	one(o, "nr_store_segments", "gauge", "Files of the log.",
	    s.segments);
	one(o, "nr_store_waiting_events", "gauge",
	    "Events that wait to be merged into the index.", s.waiting);
	one(o, "nr_store_readers", "gauge", "Readers of the index, of all "
	    "processes.", s.readers);
}

/* A line of /proc/self/status that has kilobytes, or a number. */
static uint64_t
status_of(const char *text, const char *name)
{
	const char *p = strstr(text, name);
	unsigned long v;

	return p != NULL && sscanf(p + strlen(name), ": %lu", &v) == 1 ? v : 0;
}

static void
memory(struct out *o)
{
	FILE *f = fopen("/proc/self/status", "re");
	char text[4096];
	size_t n = 0;

	if (f != NULL) {
		n = fread(text, 1, sizeof(text) - 1, f);
		fclose(f);
	}
	text[n] = '\0';
	one(o, "process_resident_memory_bytes", "gauge",
	    "Memory, with mapped pages of the index.",
	    status_of(text, "\nVmRSS") * 1024);
	one(o, "nr_anonymous_memory_bytes", "gauge",
	    "Memory of its own, without mapped files.",
	    status_of(text, "\nRssAnon") * 1024);
	one(o, "nr_threads", "gauge", "Threads.",
	    status_of(text, "\nThreads"));
}

static void
descriptors(struct out *o)
{
	DIR *d = opendir("/proc/self/fd");
	struct rlimit l = { 0, 0 };
	uint64_t n = 0;

	if (d != NULL) {
		while (readdir(d) != NULL)
			n++;
		closedir(d);
	}
	(void)getrlimit(RLIMIT_NOFILE, &l);
	/* Neither . and .. nor the one that looks. */
	one(o, "process_open_fds", "gauge", "Descriptors that are open.",
	    n > 3 ? n - 3 : 0);
	one(o, "process_max_fds", "gauge", "Descriptors there may be.",
	    (uint64_t)l.rlim_cur);
}

static void
process(struct out *o, const struct nr_relay *r)
{
	struct rusage u;

	memory(o);
	descriptors(o);
	if (getrusage(RUSAGE_SELF, &u) == 0 && o->rc == NR_OK) {
		head(o, "process_cpu_seconds_total", "counter",
		    "Processor time.");
		o->rc = nr_buf_addf(o->b, "process_cpu_seconds_total %.2f\n",
		    (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
		    (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6);
	}
	one(o, "nr_certificate_expires_seconds", "gauge",
	    "When the certificate expires; 0 without TLS.",
	    r->config->tls != NULL && nr_tls_expires(r->config->tls) > 0 ?
	    (uint64_t)nr_tls_expires(r->config->tls) : 0);
	one(o, "process_start_time_seconds", "gauge", "When it began.",
	    (uint64_t)r->started);
}

int
nr_metrics_write(struct nr_relay *r, struct nr_buf *b)
{
	struct out o = { b, NR_OK };

	put(&o, "# HELP nr_info What runs.\n# TYPE nr_info gauge\n"
	    "nr_info{version=\"" NR_VERSION "\"} 1\n");
	traffic(&o, &r->metrics);
	policy(&o, r);
	connections(&o, r);
	store(&o, r);
	process(&o, r);
	return o.rc;
}
