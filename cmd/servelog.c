/*
 * The log of nr-serve.  A supervisor's logger has clocks, so only JSON
 * lines have the time.
 */
#include "servelog.h"

#include <inttypes.h>
#include <stdatomic.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "tool.h"
#include "util/buf.h"
#include "util/err.h"

static atomic_int most = NR_LOG_INFO;
static atomic_int as_json;

void
nr_servelog_set(enum nr_log_level level, int json)
{
	atomic_store(&most, (int)level);
	atomic_store(&as_json, json);
}

static int
add_time(struct nr_buf *b)
{
	struct timespec now;
	char text[40];
	struct tm tm;

	clock_gettime(CLOCK_REALTIME, &now);
	gmtime_r(&now.tv_sec, &tm);
	strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &tm);
	return nr_buf_addf(b, "{\"time\":\"%s.%03dZ\"", text,
	    (int)(now.tv_nsec / 1000000));
}

static int
add_line(struct nr_buf *b, const char *level, const char *event,
    const char *text, const char *fields)
{
	int rc;

	if ((rc = add_time(b)) == NR_OK &&
	    (rc = nr_buf_addf(b, ",\"level\":\"%s\",\"event\":\"%s\""
	    ",\"text\":", level, event)) == NR_OK &&
	    (rc = nr_buf_addjson(b, text, strlen(text))) == NR_OK &&
	    fields != NULL)
		rc = nr_buf_addf(b, ",%s", fields);
	return rc != NR_OK ? rc : nr_buf_adds(b, "}\n");
}

void
nr_servelog(enum nr_log_level level, const char *event, const char *text,
    const char *fields)
{
	static const char *const name[] = {
		"error", "warning", "info", "debug"
	};
	struct nr_buf b = { 0 };

	if (level > (enum nr_log_level)atomic_load(&most) ||
	    (nr_quiet && level != NR_LOG_ERROR))
		return;
	if (atomic_load(&as_json) && add_line(&b, name[level], event, text,
	    fields) == NR_OK)
		(void)!write(STDERR_FILENO, b.p, b.len);
	else
		nr_say("%s: %s", name[level], text);
	nr_buf_free(&b);
}
