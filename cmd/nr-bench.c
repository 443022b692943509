/*
 * nr-bench: measure relays.  This file only finds the verb.
 */
#include <stdio.h>
#include <string.h>

#include "bench.h"
#include "tool.h"

#define CHECK \
    "nr-bench check [-q] [-K file | --key-fd fd] [--ca-file file]\n" \
    "           [--json] [--nip n] [--timeout time] [--write] url\n"
#define GEN \
    "nr-bench gen [-q] [-n count] [--seed n] [--model network|churn]\n" \
    "           [--authors n] [--since time] [--until time] [-j threads]\n"
#define LIMITS	"nr-bench limits [-d directory] [-f file]\n"
#define LOADS \
    "publish|query|count|fanout|connect|mixed|slow|pages|negentropy"
#define LOAD \
    "nr-bench load " LOADS "\n" \
    "           [-q] [-c connections] [-f file] [-n count] [-w in-flight]\n" \
    "           [--auth] [--ca-file file] [--deflate] [--drip bytes]\n" \
    "           [--filter json] [--filters n] [--group n] [--page n]\n" \
    "           [--pid process] [--rate n] [--seconds n] [--seed n]\n" \
    "           [--stalled n] [--timeout seconds] [--warm-up seconds] url\n"
#define COMPARE \
    "nr-bench compare " LOADS "\n" \
    "           [--rounds n] [load's options] url url ...\n"
#define PROBE \
    "nr-bench probe [-q] [-f file] [-j jobs] [-K file | --key-fd fd]\n" \
    "           [--ca-file file] [--event file] [--every time] [--kinds list]\n" \
    "           [--monitor] [--nip66] [--timeout time] [--write] [url ...]\n"
#define FIRST	"usage: "
#define NEXT	"       "

static const char usage[] =
    FIRST CHECK NEXT GEN NEXT LIMITS NEXT LOAD NEXT COMPARE NEXT
    PROBE;

static const struct {
	const char *name;
	int (*run)(int, char *[]);
	const char *usage;
} verb[] = {
	{ "check", nr_bench_check, FIRST CHECK },
	{ "gen", nr_bench_gen, FIRST GEN },
	{ "limits", nr_bench_limits, FIRST LIMITS },
	{ "load", nr_bench_load, FIRST LOAD },
	{ "compare", nr_bench_compare, FIRST COMPARE },
	{ "probe", nr_bench_probe, FIRST PROBE },
};

int
main(int argc, char *argv[])
{
	static const struct option longopts[] = {
		NR_LONG_COMMON, { NULL, 0, NULL, 0 }
	};
	size_t i;
	int ch;

	nr_tool_init(argv[0], usage);
	while ((ch = getopt_long(argc, argv, "+", longopts, NULL)) != -1)
		nr_common_option(ch);
	if (optind == argc)
		nr_usage();
	for (i = 0; i < sizeof(verb) / sizeof(verb[0]); i++)
		if (strcmp(argv[optind], verb[i].name) == 0) {
			nr_tool_usage(verb[i].usage);
			/* getopt() names the program in front of an error. */
			argv[optind] = argv[0];
			argc -= optind;
			argv += optind;
			optind = 0;
			return verb[i].run(argc, argv);
		}
	nr_bad_usage("unknown verb: %s", argv[optind]);
}
