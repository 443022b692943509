/*
 * queue.h - requests that wait, fair between those who ask.  Internal to
 * lib/policy; the caller has a lock.
 */
#ifndef NR_POLICY_QUEUE_H
#define NR_POLICY_QUEUE_H

#include <stddef.h>
#include <stdint.h>

#include "policy/host.h"

#define NR_QUEUE_BUCKETS	1024

struct nr_queue {
	struct nr_lane_of_asked *first, *last;	/* in the order of turns */
	struct nr_lane_of_asked *bucket[NR_QUEUE_BUCKETS];	/* by key */
	struct nr_asked	*oldest, *youngest;
	size_t		 n, lanes, bytes;
};

/*
 * most	    of one asker
 * Returns  0, EAGAIN or ENOMEM.
 */
int	nr_queue_add(struct nr_queue *q, struct nr_asked *a, size_t most);

/* The first one of whose turn it is; NULL where there is none. */
struct nr_asked *nr_queue_take(struct nr_queue *q);

/* The oldest of all, where its time was up before that; else NULL. */
struct nr_asked *nr_queue_expired(struct nr_queue *q, int64_t when);

#endif
