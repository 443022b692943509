/*
 * rate.h - token buckets: how much of something may be had in a time, and
 * when the next is due.
 *
 * A bucket is the time at which it will be full again, so that one whose
 * rate is changed goes on with what was taken.  Times are of one clock of
 * the caller's, in nanoseconds.
 */
#ifndef NR_UTIL_RATE_H
#define NR_UTIL_RATE_H

#include <stdint.h>

struct nr_rate {
	uint64_t	count;		/* 0: no limit */
	uint64_t	period;		/* ns, in which so many come */
	uint64_t	burst;		/* what a full bucket holds */
};

struct nr_bucket {
	int64_t		full_at;
};

/*
 * Read "off", or COUNT/TIME, as in 20/s, 1M/min, 5/10min, 100/h, 1/d; with
 * " burst COUNT" behind it for another burst than COUNT.
 * Returns  1, or 0 where it is none of these; *out is as it was then.
 */
int	nr_rate_parse(struct nr_rate *out, const char *text);

/*
 * How long until n can be taken; 0: now.  More than a burst can be had
 * whenever the bucket is full, and 0 once nothing is owed.
 */
int64_t	nr_bucket_wait(const struct nr_bucket *b, const struct nr_rate *r,
	    uint64_t n, int64_t now);

/* Take n if they are there; else how long until they are. */
int64_t	nr_bucket_try(struct nr_bucket *b, const struct nr_rate *r,
	    uint64_t n, int64_t now);

/* Take n, whether they are there or not: what is owed has to come first. */
void	nr_bucket_take(struct nr_bucket *b, const struct nr_rate *r,
	    uint64_t n, int64_t now);

#endif
