/*
 * Token buckets, as times.
 */
#include "util/rate.h"

#include <string.h>

#include "util/number.h"

#define DEBT_MAX	((double)86400 * 1e9)	/* nobody waits for longer */

#define COUNT_MAX	(UINT64_C(1) << 50)	/* times stay exact enough */

static int
read_count(const char **p, uint64_t *out)
{
	return nr_number_read(p, "KMG", out) == 1 && *out <= COUNT_MAX;
}

/* A time: a unit, which may have a number before it. */
static int
read_period(const char **p, uint64_t *out)
{
	static const struct {
		const char	*name;
		uint64_t	 seconds;
	} unit[] = { { "min", 60 }, { "s", 1 }, { "h", 3600 }, { "d", 86400 } };
	uint64_t n = 1;
	size_t i, len;

	if (**p >= '0' && **p <= '9' && !read_count(p, &n))
		return 0;
	for (i = 0; i < sizeof(unit) / sizeof(unit[0]); i++) {
		len = strlen(unit[i].name);
		if (strncmp(*p, unit[i].name, len) != 0)
			continue;
		*p += len;
		if (n == 0 || n > 86400 / unit[i].seconds)
			return 0;
		*out = n * unit[i].seconds * UINT64_C(1000000000);
		return 1;
	}
	return 0;
}

int
nr_rate_parse(struct nr_rate *out, const char *text)
{
	static const char burst[] = " burst ";
	struct nr_rate r;

	if (strcmp(text, "off") == 0) {
		memset(out, 0, sizeof(*out));
		return 1;
	}
	if (!read_count(&text, &r.count) || r.count == 0 || *text++ != '/' ||
	    !read_period(&text, &r.period))
		return 0;
	r.burst = r.count;
	if (strncmp(text, burst, strlen(burst)) == 0) {
		text += strlen(burst);
		if (!read_count(&text, &r.burst) || r.burst == 0)
			return 0;
	}
	if (*text != '\0')
		return 0;
	*out = r;
	return 1;
}

/* How long it takes until n have come. */
static double
time_of(const struct nr_rate *r, uint64_t n)
{
	return (double)n * (double)r->period / (double)r->count;
}

int64_t
nr_bucket_wait(const struct nr_bucket *b, const struct nr_rate *r,
    uint64_t n, int64_t now)
{
	double missing;

	if (r->count == 0 || b->full_at <= now)
		return 0;
	if (n > r->burst)
		n = r->burst;
	missing = (double)(b->full_at - now) - time_of(r, r->burst - n);
	/* Less than a microsecond is what rounding leaves. */
	return missing < 1000 ? 0 : (int64_t)missing;
}

void
nr_bucket_take(struct nr_bucket *b, const struct nr_rate *r, uint64_t n,
    int64_t now)
{
	double t;

	if (r->count == 0)
		return;
	if (b->full_at < now)
		b->full_at = now;
	t = (double)(b->full_at - now) + time_of(r, n);
	if (t > DEBT_MAX + time_of(r, r->burst))
		t = DEBT_MAX + time_of(r, r->burst);
	b->full_at = now + (int64_t)t;
}

int64_t
nr_bucket_try(struct nr_bucket *b, const struct nr_rate *r, uint64_t n,
    int64_t now)
{
	int64_t wait = nr_bucket_wait(b, r, n, now);

	if (wait == 0)
		nr_bucket_take(b, r, n, now);
	return wait;
}
