/*
 * Clocks and times.
 */
#include "util/times.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

int64_t
nr_now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

int64_t
nr_now_ms(void)
{
	return nr_now_ns() / 1000000;
}

void
nr_sleep_ms(int64_t ms)
{
	struct timespec t = { (time_t)(ms / 1000), ms % 1000 * 1000000 };

	nanosleep(&t, NULL);
}

/* Digits to a number that may be multiplied by a week's milliseconds. */
static const char *
number(const char *p, int64_t *out)
{
	char *end;

	if (!isdigit((unsigned char)*p))
		return NULL;
	errno = 0;
	*out = strtoimax(p, &end, 10);
	return errno != 0 ? NULL : end;
}

static int64_t
unit_ms(const char *unit)
{
	static const struct {
		const char *name;
		int64_t ms;
	} known[] = {
		{ "ms", 1 }, { "s", 1000 }, { "", 1000 }, { "m", 60000 },
		{ "h", 3600000 }, { "d", 86400000 }, { "w", 604800000 },
	};
	size_t i;

	for (i = 0; i < sizeof(known) / sizeof(known[0]); i++)
		if (strcmp(unit, known[i].name) == 0)
			return known[i].ms;
	return 0;
}

int
nr_duration_parse(int64_t *out, const char *text)
{
	const char *unit;
	int64_t n, ms;

	if ((unit = number(text, &n)) == NULL || (ms = unit_ms(unit)) == 0 ||
	    n > INT64_MAX / ms)
		return 0;
	*out = n * ms;
	return 1;
}

/* A zone at p: nothing, Z, or +hh:mm; its seconds east of Greenwich. */
static int
zone(const char *p, int64_t *east)
{
	int h, m;

	*east = 0;
	if (*p == '\0' || strcmp(p, "Z") == 0 || strcmp(p, "z") == 0)
		return 1;
	if ((*p != '+' && *p != '-') || strlen(p) != 6 || p[3] != ':' ||
	    !isdigit((unsigned char)p[1]) || !isdigit((unsigned char)p[2]) ||
	    !isdigit((unsigned char)p[4]) || !isdigit((unsigned char)p[5]))
		return 0;
	h = (p[1] - '0') * 10 + p[2] - '0';
	m = (p[4] - '0') * 10 + p[5] - '0';
	if (h > 23 || m > 59)
		return 0;
	*east = (h * 60 + m) * 60 * (*p == '-' ? -1 : 1);
	return 1;
}

static int
iso8601(int64_t *out, const char *text)
{
	static const char *const form[] = {
		"%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M",
		"%Y-%m-%d %H:%M", "%Y-%m-%d",
	};
	const char *rest;
	int64_t east;
	struct tm tm;
	size_t i;

	for (i = 0; i < sizeof(form) / sizeof(form[0]); i++) {
		memset(&tm, 0, sizeof(tm));
		rest = strptime(text, form[i], &tm);
		if (rest != NULL && zone(rest, &east)) {
			*out = (int64_t)timegm(&tm) - east;
			return 1;
		}
	}
	return 0;
}

int
nr_time_parse(int64_t *out, const char *text, int64_t now)
{
	const char *rest;
	int64_t n, ms;

	if (strcmp(text, "now") == 0) {
		*out = now;
		return 1;
	}
	rest = number(text, &n);
	if (rest != NULL && *rest == '\0') {
		*out = n;
		return 1;
	}
	if (rest != NULL && *rest != '-' && nr_duration_parse(&ms, text)) {
		*out = now - ms / 1000;
		return 1;
	}
	return strlen(text) >= 10 && iso8601(out, text);
}
