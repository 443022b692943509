/*
 * filteropt.h - filters on the command line of a program.
 */
#ifndef NR_CMD_FILTEROPT_H
#define NR_CMD_FILTEROPT_H

#include "filter/args.h"

/* For the usage of programs that take filters. */
#define NR_FILTER_HELP \
    "filters are NIP-01's, in JSON; these flags narrow them, or make one:\n" \
    "  -a author   -k kind   -i id      -s since (2024-01-31, 3d)\n" \
    "  -p pubkey   -e id     -d value   -u until\n" \
    "  -t letter=value       -l limit   nr(7) tells more\n"

/* Take a flag of NR_FILTER_FLAGS, or end with status 2. */
void	nr_filter_option(struct nr_filter_args *a, int ch,
	    const char *value);

/* The filters of flags and operands, or end with status 2. */
struct nr_filter *nr_filter_need(struct nr_filter_args *a, char **operands,
		    int n, size_t *nfilters);

/* Free what nr_filter_need() gave. */
void	nr_filters_free(struct nr_filter *f, size_t n);

#endif
