/*
 * bench.h - the verbs of nr-bench; each gets its own arguments, the
 * program at argv[0], and returns the exit status.
 */
#ifndef NR_CMD_BENCH_H
#define NR_CMD_BENCH_H

int	nr_bench_check(int argc, char *argv[]);
int	nr_bench_gen(int argc, char *argv[]);
int	nr_bench_load(int argc, char *argv[]);
int	nr_bench_compare(int argc, char *argv[]);
int	nr_bench_limits(int argc, char *argv[]);
int	nr_bench_probe(int argc, char *argv[]);

#endif
