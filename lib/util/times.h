/*
 * times.h - clocks, and times as people write them.
 */
#ifndef NR_UTIL_TIMES_H
#define NR_UTIL_TIMES_H

#include <stdint.h>

/* Milliseconds and nanoseconds of a clock that only moves forward. */
int64_t	nr_now_ms(void);
int64_t	nr_now_ns(void);

/* Less than that, where a signal comes. */
void	nr_sleep_ms(int64_t ms);

/*
 * Read a time: Unix seconds (1700000000), ISO 8601 (2023-11-14,
 * 2023-11-14T22:13:20Z, 2023-11-14T22:13+01:00; UTC where no zone is
 * given), "now", or an age before now (90s 15m 2h 3d 1w).
 * Returns 1, or 0 where text is none of these.
 */
int	nr_time_parse(int64_t *out, const char *text, int64_t now);

/*
 * Read a length of time with its unit: 250ms 90s 15m 2h 3d 1w, or plain
 * seconds.  In milliseconds.
 */
int	nr_duration_parse(int64_t *out, const char *text);

#endif
