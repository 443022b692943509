/*
 * Opening stores, showing progress.
 */
#include "storeopt.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "tool.h"
#include "util/err.h"
#include "util/times.h"

#define DEFAULT_STORE	"nostr.store"

const char *
nr_store_name(const char *option)
{
	const char *env = getenv("NR_STORE");

	if (option != NULL)
		return option;
	return env != NULL && *env != '\0' ? env : DEFAULT_STORE;
}

void
nr_store_die(int rc, const char *dir)
{
	char who[80];

	if (rc == NR_EBUSY) {
		nr_store_holder(dir, who, sizeof(who));
		if (*who != '\0')
			nr_die(rc, "%s: held by %s", dir, who);
	}
	if (rc == NR_ECORRUPT)
		nr_warn("%s: nr-store reindex keeps what can be read of its "
		    "log; see nr-store(5)", dir);
	nr_die(rc, "%s", dir);
}

/* What the store itself reports while it opens or checks. */
static void
report_step(void *ctx, const char *what, uint64_t done, uint64_t total)
{
	struct nr_meter *m = ctx;

	m->unit = what;
	m->total = total;
	nr_meter_step(m, done, done);
}

struct nr_store *
nr_store_need(const char *dir, unsigned flags, size_t segment_bytes,
    int progress)
{
	struct nr_meter meter;
	struct nr_progress p = { report_step, &meter };
	struct nr_store_options o = {
		.flags = flags, .segment_bytes = segment_bytes,
		.program = nr_progname(), .progress = &p
	};
	struct nr_store *st;
	int rc;

	nr_meter_start(&meter, "", 0, progress);
	rc = nr_store_open(&st, dir, &o);
	nr_meter_end(&meter);
	if (rc != NR_OK)
		nr_store_die(rc, dir);
	nr_store_set_progress(st, NULL);
	return st;
}

void
nr_meter_start(struct nr_meter *m, const char *unit, uint64_t total,
    int force)
{
	m->on = force || (!nr_quiet && isatty(STDERR_FILENO));
	m->unit = unit;
	m->total = total;
	m->start = m->last = nr_now_ms();
	m->shown = 0;
}

void
nr_meter_step(struct nr_meter *m, uint64_t done, uint64_t part)
{
	int64_t now;
	double seconds, rate, share;

	if (!m->on || (now = nr_now_ms()) - m->last < 500)
		return;
	m->last = now;
	seconds = (double)(now - m->start) / 1000;
	rate = (double)done / seconds;
	fprintf(stderr, "%s%s: %" PRIu64 " %s, %.0f/s",
	    isatty(STDERR_FILENO) ? "\r\033[K" : "", nr_progname(), done,
	    m->unit, rate);
	if (m->total > 0 && part > 0) {
		share = (double)part / (double)m->total;
		fprintf(stderr, ", %.0f %%, %.0f s left", 100 * share,
		    share < 1 ? seconds / share - seconds : 0);
	}
	if (!isatty(STDERR_FILENO))
		fputc('\n', stderr);
	m->shown = 1;
}

void
nr_meter_end(struct nr_meter *m)
{
	if (m->on && m->shown && isatty(STDERR_FILENO))
		fputs("\r\033[K", stderr);
}
