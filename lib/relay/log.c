/*
 * What the relay tells its operator: never an address, and nothing of an
 * event that was refused but why.
 */
#include "relay/internal.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "util/err.h"

#define TEXT_MAX	1024	/* bytes of a line */
#define FILTERS_MAX	600	/* bytes of filters in it */

int
nr_relay_logs(const struct nr_relay *r, enum nr_log_level level)
{
	return level <= (enum nr_log_level)atomic_load_explicit(
	    &r->log_level, memory_order_relaxed);
}

static void
write_line(struct nr_relay *r, enum nr_log_level level, const char *event,
    const char *fields, const char *fmt, va_list ap)
{
	char text[TEXT_MAX];

	vsnprintf(text, sizeof(text), fmt, ap);
	r->log(level, event, text, fields);
}

void
nr_relay_log(struct nr_relay *r, enum nr_log_level level, const char *fmt,
    ...)
{
	va_list ap;

	if (!nr_relay_logs(r, level))
		return;
	va_start(ap, fmt);
	write_line(r, level, "relay", NULL, fmt, ap);
	va_end(ap);
}

void
nr_relay_note(struct nr_relay *r, enum nr_log_level level,
    const char *event, const char *fields, const char *fmt, ...)
{
	va_list ap;

	if (!nr_relay_logs(r, level))
		return;
	va_start(ap, fmt);
	write_line(r, level, event, fields, fmt, ap);
	va_end(ap);
}

void
nr_log_opened(struct nr_conn *c)
{
	char fields[64];

	if (!nr_relay_logs(c->relay, NR_LOG_DEBUG))
		return;
	snprintf(fields, sizeof(fields), "\"connection\":%" PRIu64,
	    c->number);
	nr_relay_note(c->relay, NR_LOG_DEBUG, "opened", fields,
	    "connection %" PRIu64 " opened", c->number);
}

void
nr_log_closed(struct nr_conn *c, int64_t now)
{
	int64_t seconds = (now - c->opened) / 1000;
	char fields[256];
	const char *why;

	if (!nr_relay_logs(c->relay, NR_LOG_DEBUG))
		return;
	pthread_mutex_lock(&c->lock);
	why = c->doomed ? c->why : "by the client";
	pthread_mutex_unlock(&c->lock);
	snprintf(fields, sizeof(fields), "\"connection\":%" PRIu64
	    ",\"seconds\":%" PRId64 ",\"why\":\"%s\"", c->number, seconds,
	    why);
	nr_relay_note(c->relay, NR_LOG_DEBUG, "closed", fields,
	    "connection %" PRIu64 " closed after %" PRId64 " s: %s",
	    c->number, seconds, why);
}

void
nr_log_refused(struct nr_relay *r, const char *what, const char *why)
{
	struct nr_buf b = { 0 };

	if (!nr_relay_logs(r, NR_LOG_DEBUG))
		return;
	if (nr_buf_addf(&b, "\"what\":\"%s\",\"why\":", what) == NR_OK &&
	    nr_buf_addjson(&b, why, strlen(why)) == NR_OK &&
	    nr_buf_add(&b, "", 1) == NR_OK)
		nr_relay_note(r, NR_LOG_DEBUG, "refused", b.p,
		    "%s refused: %s", what, why);
	nr_buf_free(&b);
}

/* ---- slow queries -------------------------------------------------------------- */

/* The filters as JSON, as far as there is room. */
static int
add_filters(struct nr_buf *b, const struct nr_sub *s)
{
	size_t i;
	int rc = NR_OK;

	for (i = 0; rc == NR_OK && i < s->nfilters && b->len < FILTERS_MAX;
	    i++) {
		rc = i > 0 ? nr_buf_adds(b, ",") : NR_OK;
		if (rc == NR_OK)
			rc = nr_filter_format(b, &s->filters[i]);
	}
	if (rc == NR_OK && (b->len > FILTERS_MAX || i < s->nfilters)) {
		if (b->len > FILTERS_MAX)
			b->len = FILTERS_MAX;
		/* Not within a character. */
		while (b->len > 0 && ((unsigned char)b->p[b->len - 1] & 0x80))
			b->len--;
		rc = nr_buf_adds(b, "...");
	}
	return rc != NR_OK ? rc : nr_buf_add(b, "", 1);
}

static const char *
verb_of(const struct nr_sub *s)
{
	static const char *const verb[] = {
		[NR_SUB_REQ] = "REQ", [NR_SUB_COUNT] = "COUNT",
		[NR_SUB_SYNC] = "NEG-OPEN"
	};

	return verb[nr_sub_sort(s)];
}

static int
add_cost(struct nr_buf *b, const struct nr_sub *s, const char *filters,
    const char *plans, const struct nr_query_cost *cost, int64_t total)
{
	int rc;

	rc = nr_buf_addf(b, "\"verb\":\"%s\",\"ms\":%" PRId64
	    ",\"total_ms\":%" PRId64 ",\"slices\":%u,\"plan\":\"%s\""
	    ",\"ranges\":%" PRIu64 ",\"seeks\":%" PRIu64 ",\"entries\":%"
	    PRIu64 ",\"lines\":%" PRIu64 ",\"events\":%" PRIu64
	    ",\"cost\":%" PRIu64 ",\"filters\":",
	    verb_of(s), s->busy / 1000000, total,
	    s->slices, plans, cost->streams, cost->seeks, cost->entries,
	    cost->lines, cost->hits, s->units);
	if (rc == NR_OK)
		rc = nr_buf_addjson(b, filters, strlen(filters));
	return rc != NR_OK ? rc : nr_buf_add(b, "", 1);
}

void
nr_log_slow(struct nr_sub *s, int64_t now)
{
	struct nr_relay *r = s->conn->relay;
	uint64_t bound = r->config->slow_query_ms;
	struct nr_buf filters = { 0 }, plans = { 0 }, fields = { 0 };
	struct nr_query_cost cost;

	if (bound == 0 || s->busy / 1000000 < (int64_t)bound)
		return;
	atomic_fetch_add(&r->metrics.slow, 1);
	nr_query_cost(s->query, &cost);
	if (add_filters(&filters, s) == NR_OK &&
	    nr_query_plans(s->query, &plans, 100) == NR_OK &&
	    nr_buf_add(&plans, "", 1) == NR_OK &&
	    add_cost(&fields, s, filters.p, plans.p, &cost,
	    now - s->begun) == NR_OK)
		nr_relay_note(r, NR_LOG_INFO, "slow-query", fields.p,
		    "slow %s: %" PRId64 " ms of work in %" PRId64
		    " ms, by %s, cost %" PRIu64 ", %" PRIu64 " entries, %"
		    PRIu64 " lines, %" PRIu64 " events: %s",
		    verb_of(s), s->busy / 1000000,
		    now - s->begun, plans.p, s->units, cost.entries,
		    cost.lines, cost.hits, filters.p);
	nr_buf_free(&fields);
	nr_buf_free(&plans);
	nr_buf_free(&filters);
}
