/*
 * rng.h - a small deterministic generator (splitmix64) for test data and
 * for jitter.  Not for secrets.
 */
#ifndef NR_UTIL_RNG_H
#define NR_UTIL_RNG_H

#include <stdint.h>

struct nr_rng {
	uint64_t state;		/* the seed; any value will do */
};

static inline uint64_t
nr_rng_next(struct nr_rng *r)
{
	uint64_t z = r->state += UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
	return z ^ z >> 31;
}

/* From 0 to n - 1; n must not be 0. */
static inline uint64_t
nr_rng_below(struct nr_rng *r, uint64_t n)
{
	return nr_rng_next(r) % n;
}

/* From 0 to below 1. */
static inline double
nr_rng_unit(struct nr_rng *r)
{
	return (double)(nr_rng_next(r) >> 11) / 9007199254740992.0;
}

#endif
