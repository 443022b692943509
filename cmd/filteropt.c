/*
 * Filters on a command line.
 */
#include "filteropt.h"

#include <stdlib.h>
#include <time.h>

#include "tool.h"
#include "util/err.h"

void
nr_filter_option(struct nr_filter_args *a, int ch, const char *value)
{
	const char *why;
	int rc;

	rc = nr_filter_args_flag(a, ch, value, time(NULL), &why);
	if (rc != NR_OK)
		nr_die(rc, "filter");
	if (why != NULL)
		nr_bad_usage("-%c %s: %s", ch, value, why);
}

struct nr_filter *
nr_filter_need(struct nr_filter_args *a, char **operands, int n,
    size_t *nfilters)
{
	struct nr_filter *f;
	const char *why;
	int i, rc;

	for (i = 0; i < n; i++) {
		if ((rc = nr_filter_args_json(a, operands[i], &why)) != NR_OK)
			nr_die(rc, "filter");
		if (why != NULL)
			nr_bad_usage("filter %s: %s", operands[i], why);
	}
	if ((rc = nr_filter_args_finish(a, &f, nfilters, &why)) != NR_OK)
		nr_die(rc, "filter");
	if (why != NULL)
		nr_bad_usage("filter: %s", why);
	nr_filter_args_free(a);
	return f;
}

void
nr_filters_free(struct nr_filter *f, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++)
		nr_filter_free(&f[i]);
	free(f);
}
