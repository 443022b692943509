/*
 * Figures for Prometheus.  nr-serve(1) has their names and labels.
 */
#include "relay/internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "util/err.h"
#include "util/times.h"
#include "util/version.h"
#include "wire/message.h"

/* By the word before the colon, in the order of nr_outcome. */
static const char *const outcome_name[NR_OUTCOMES] = {
	"ok", "duplicate", "auth-required", "blocked", "error", "invalid",
	"mute", "pow", "rate-limited", "restricted", "unsupported"
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
nr_latency_add(struct nr_latency *l, int64_t since)
{
	int64_t ms = nr_now_ms() - since;
	unsigned i;

	for (i = 0; i < NR_LATENCIES && ms > (int64_t)latency_bound[i]; i++)
		;
	atomic_fetch_add_explicit(&l->bucket[i], 1, memory_order_relaxed);
	atomic_fetch_add_explicit(&l->sum, (uint64_t)(ms < 0 ? 0 : ms),
	    memory_order_relaxed);
}

void
nr_count_event(struct nr_relay *r, int accepted, const char *message,
    int64_t received)
{
	atomic_fetch_add_explicit(
	    &r->metrics.events[outcome_of(message)][accepted != 0], 1,
	    memory_order_relaxed);
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

static void
latency(struct out *o, const char *name, const char *help,
    const struct nr_latency *l)
{
	uint64_t n = 0;
	unsigned i;

	head(o, name, "histogram", help);
	for (i = 0; i < NR_LATENCIES && o->rc == NR_OK; i++) {
		n += atomic_load(&l->bucket[i]);
		o->rc = nr_buf_addf(o->b, "%s_bucket{le=\"%g\"} %" PRIu64
		    "\n", name, latency_bound[i] / 1000.0, n);
	}
	n += atomic_load(&l->bucket[NR_LATENCIES]);
	if (o->rc == NR_OK)
		o->rc = nr_buf_addf(o->b, "%s_bucket{le=\"+Inf\"} %" PRIu64
		    "\n%s_sum %.3f\n%s_count %" PRIu64 "\n", name, n, name,
		    (double)atomic_load(&l->sum) / 1000, name, n);
}

static void
traffic(struct out *o, const struct nr_metrics *m)
{
	static const char *const verb[NR_VERBS] = {
		[NR_CLIENT_EVENT] = "EVENT", [NR_CLIENT_REQ] = "REQ",
		[NR_CLIENT_COUNT] = "COUNT", [NR_CLIENT_CLOSE] = "CLOSE",
		[NR_CLIENT_AUTH] = "AUTH", [NR_CLIENT_OTHER] = "other"
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
	one(o, "nr_deliveries_total", "counter",
	    "Stored events sent to live subscriptions.",
	    atomic_load(&m->delivered));
	one(o, "nr_batches_total", "counter", "Transactions of events.",
	    atomic_load(&m->batches));
	one(o, "nr_batch_events_total", "counter", "Events in them.",
	    atomic_load(&m->batch_events));
	latency(o, "nr_ok_seconds", "From an event to its OK.", &m->ok);
	latency(o, "nr_query_seconds",
	    "From a REQ or COUNT to its EOSE or answer.", &m->query);
	one(o, "nr_slow_queries_total", "counter",
	    "Queries that took slow_query_ms or more.",
	    atomic_load(&m->slow));
}

static void
connections(struct out *o, struct nr_relay *r)
{
	uint64_t subs = 0, waiting = 0;
	struct nr_conn *c;

	for (c = r->conns; c != NULL; c = c->next) {
		subs += c->nsubs;
		pthread_mutex_lock(&c->lock);
		waiting += c->out.bytes;
		pthread_mutex_unlock(&c->lock);
	}
	one(o, "nr_connections", "gauge", "Connections now.", r->nconns);
	one(o, "nr_connections_total", "counter", "Connections in all.",
	    atomic_load(&r->metrics.connections));
	one(o, "nr_subscriptions", "gauge", "Subscriptions now.", subs);
	one(o, "nr_output_bytes", "gauge", "Waiting to be sent.", waiting);
	one(o, "nr_input_bytes", "gauge", "Events on their way into the "
	    "store.", nr_ingest_bytes(r->ingest));
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
	one(o, "nr_store_index_bytes", "gauge", "The index's file.",
	    s.index_bytes);
	one(o, "nr_store_waiting_events", "gauge",
	    "Events that wait to be merged into the index.", s.waiting);
	one(o, "nr_store_readers", "gauge", "Readers of the index, of all "
	    "processes.", s.readers);
}

static uint64_t
resident(void)
{
	unsigned long pages = 0;
	FILE *f = fopen("/proc/self/statm", "re");

	if (f == NULL)
		return 0;
	if (fscanf(f, "%*u %lu", &pages) != 1)
		pages = 0;
	fclose(f);
	return (uint64_t)pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

static void
process(struct out *o, const struct nr_relay *r)
{
	struct rusage u;

	one(o, "process_resident_memory_bytes", "gauge",
	    "Memory, with mapped pages of the index.", resident());
	if (getrusage(RUSAGE_SELF, &u) == 0 && o->rc == NR_OK) {
		head(o, "process_cpu_seconds_total", "counter",
		    "Processor time.");
		o->rc = nr_buf_addf(o->b, "process_cpu_seconds_total %.2f\n",
		    (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
		    (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6);
	}
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
	connections(&o, r);
	store(&o, r);
	process(&o, r);
	return o.rc;
}
