/*
 * bench_limits.h - what a machine can do at most.
 */
#ifndef NR_CMD_BENCH_LIMITS_H
#define NR_CMD_BENCH_LIMITS_H

/*
 * Serve on a free port of 127.0.0.1, which is written to ready as an int.
 * Does not return: it is ended by a signal.
 */
_Noreturn void	nr_bench_empty(int ready);

#endif
