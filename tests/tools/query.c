/*
 * query: answer lists of filters from a store, a JSON list of ids a line,
 * for comparison with oracle.py.  With a budget the query is interrupted
 * all the time and goes on in a new snapshot.
 *
 *	query STORE NOW [BUDGET [reverse]] < filters
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store/query.h"
#include "util/err.h"
#include "util/hex.h"

static void
check(int rc, const char *what)
{
	if (rc == NR_OK)
		return;
	fprintf(stderr, "query: %s: %s\n", what, nr_strerror(rc));
	exit(3);
}

/* The filters of a line [{...},{...}]. */
static size_t
read_filters(struct nr_filter *f, size_t max, const char *line, size_t len)
{
	struct nr_json j = { line, line + len };
	const char *why;
	size_t n = 0;

	if (nr_json_expect(&j, '[') != NR_JSON_OK)
		check(NR_EINVAL, line);
	for (;;) {
		check(nr_filter_read(&f[n], &j, &nr_filter_limits_none, &why),
		    "filter");
		if (why != NULL) {
			fprintf(stderr, "query: %s: %s\n", line, why);
			exit(1);
		}
		n++;
		if (n == max || nr_json_expect(&j, ',') != NR_JSON_OK)
			return n;
	}
}

static void
answer(struct nr_snap *sn, const struct nr_filter *f, size_t n, int64_t now,
    int64_t budget, int reverse)
{
	struct nr_query_options o = { .reverse = reverse, .now = now };
	enum nr_query_state state = NR_QUERY_HIT;
	struct nr_query *q;
	struct nr_hit hit;
	const char *comma = "";
	int64_t left = budget;

	check(nr_query_new(&q, f, n, &o), "new");
	check(nr_snap_renew(sn), "renew");
	putchar('[');
	while (state != NR_QUERY_END) {
		check(nr_query_next(q, sn, &state, &hit, &left), "next");
		if (state == NR_QUERY_HIT) {
			printf("%s\"%.64s\"", comma, hit.line.p + 7);
			comma = ", ";
		}
		if (left <= 0) {
			nr_snap_release(sn);
			check(nr_snap_renew(sn), "renew");
			left = budget;
		}
	}
	nr_snap_release(sn);
	nr_query_free(q);
	puts("]");
}

int
main(int argc, char *argv[])
{
	struct nr_store_options o = { .program = "query" };
	struct nr_filter f[16];
	struct nr_store *st;
	struct nr_snap *sn;
	int64_t now, budget;
	char *line = NULL;
	size_t cap = 0, n, i;
	ssize_t len;

	if (argc < 3)
		return 2;
	now = strtoll(argv[2], NULL, 10);
	budget = argc > 3 ? strtoll(argv[3], NULL, 10) : INT64_MAX;
	check(nr_store_open(&st, argv[1], &o), argv[1]);
	check(nr_snap_new(&sn, st), "snapshot");
	while ((len = getline(&line, &cap, stdin)) > 0) {
		n = read_filters(f, 16, line, (size_t)len);
		answer(sn, f, n, now, budget, argc > 4);
		for (i = 0; i < n; i++)
			nr_filter_free(&f[i]);
	}
	free(line);
	nr_snap_free(sn);
	nr_store_close(st);
	return 0;
}
