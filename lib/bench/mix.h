/*
 * mix.h - the mix of queries that clients ask of a relay, drawn from
 * events that it holds.
 *
 *	25 %	profiles (kind 0) of 1 to 20 authors
 *	15 %	feeds: kinds 1 and 6 of 50 to 300 authors, limit 50
 *	20 %	1 to 20 ids
 *	15 %	reactions and zaps (7, 9735) to 1 to 30 events
 *	10 %	mentions: kinds 1, 6, 7 with one #p, limit 50
 *	5 %	older notes: kind 1 until a time, limit 100
 *	5 %	one common hashtag, limit 30
 *	5 %	kind 1 within one hour, limit 200
 */
#ifndef NR_BENCH_MIX_H
#define NR_BENCH_MIX_H

#include <stddef.h>
#include <stdint.h>

#include "util/view.h"

struct nr_mix;

/*
 * Draw n filters from events, which are normal lines.
 * Returns  0, ENOMEM, or NR_EINVAL where there are no events.
 */
int	nr_mix_new(struct nr_mix **out, const char *events, size_t len,
	    unsigned n, uint64_t seed);
/* One filter, always; returns 0 or ENOMEM. */
int	nr_mix_one(struct nr_mix **out, const char *filter);
void	nr_mix_free(struct nr_mix *m);		/* NULL is allowed */

/* Any one of the filters; returns which. */
unsigned nr_mix_pick(struct nr_mix *m, struct nr_view *filter);

/*
 * Filter i got so many events, with this sum of what stands for each.
 * Returns 0 where either differs from the first time.
 */
int	nr_mix_answered(struct nr_mix *m, unsigned i, uint64_t events,
	    uint64_t sum);

/*
 * So many events a relay has for filter i that was given all the events:
 * known where it asks for ids of such as nothing replaces, deletes or hides;
 * else 0.
 */
unsigned nr_mix_least(const struct nr_mix *m, unsigned i);

#endif
