/*
 * hist.h - a histogram of latencies in microseconds, in the manner of
 * HdrHistogram: values are kept to within 0.1 %, from 1 microsecond to
 * hours, in constant memory.
 */
#ifndef NR_BENCH_HIST_H
#define NR_BENCH_HIST_H

#include <stdint.h>

#include "util/buf.h"

#define NR_HIST_SUB	1024		/* steps within a power of two */
#define NR_HIST_POWERS	26

struct nr_hist {
	uint64_t	count;
	uint64_t	max;
	uint64_t	bucket[NR_HIST_SUB * (NR_HIST_POWERS + 1)];
};

void	nr_hist_add(struct nr_hist *h, int64_t us);

/* The value that the share p of all values does not exceed. */
uint64_t nr_hist_at(const struct nr_hist *h, double p);

/*
 * Write {"p50":...,"max":...} in milliseconds, null where nothing was added.
 * Returns 0 or ENOMEM.
 */
int	nr_hist_write(const struct nr_hist *h, struct nr_buf *b);

#endif
