/*
 * nr-bench compare: the same load on several relays, in turns, and their
 * medians side by side.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench.h"
#include "bench_load.h"
#include "tool.h"
#include "util/err.h"

#define ROUNDS	3

/* What one relay did in each round. */
struct relay {
	char		*url;
	double		*per_second, *p50, *p99, *max;
	unsigned	 n;
	uint64_t	 wrong, refused;
};

static int
cmp(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

static double
median(double *v, unsigned n)
{
	if (n == 0)
		return 0;
	qsort(v, n, sizeof(*v), cmp);
	return (v[(n - 1) / 2] + v[n / 2]) / 2;
}

static int
measure(const struct nr_load *like, struct relay *r, unsigned round,
    unsigned rounds)
{
	const struct nr_load_part *part;
	struct nr_load l = *like;
	int status;

	l.url = r->url;
	/* No event is published to a relay twice. */
	l.slice = round;
	l.slices = rounds;
	status = nr_load_run(&l);
	nr_load_report(&l, round + 1);
	part = nr_load_main(&l);
	r->per_second[r->n] = nr_load_per_second(&l);
	r->p50[r->n] = (double)nr_hist_at(part->hist, 0.5) / 1000;
	r->p99[r->n] = (double)nr_hist_at(part->hist, 0.99) / 1000;
	r->max[r->n++] = (double)part->hist->max / 1000;
	r->wrong += l.wrong;
	r->refused += l.refused;
	nr_load_free(&l);
	return status;
}

static void
tell(const struct nr_load *l, struct relay *r, struct relay *first)
{
	double is = median(r->per_second, r->n);
	double other = median(first->per_second, first->n);
	struct nr_buf b = { 0 };

	nr_load_need(nr_buf_addf(&b, "{\"compare\":\"%s\",\"url\":", l->mode),
	    "report");
	nr_load_need(nr_buf_addjson(&b, r->url, strlen(r->url)), "report");
	nr_load_need(nr_buf_addf(&b, ",\"rounds\":%u,\"per_second\":%.0f"
	    ",\"ratio\":%.3f,\"p50\":%.3f,\"p99\":%.3f,\"max\":%.3f"
	    ",\"refused\":%llu,\"wrong\":%llu}\n", r->n, is,
	    other > 0 ? is / other : 0, median(r->p50, r->n),
	    median(r->p99, r->n), median(r->max, r->n),
	    (unsigned long long)r->refused, (unsigned long long)r->wrong),
	    "report");
	nr_out(b.p, b.len);
	nr_buf_free(&b);
}

int
nr_bench_compare(int argc, char *argv[])
{
	unsigned rounds = ROUNDS, n, i, k;
	int status = NR_EX_OK, rc;
	struct relay *relay;
	struct nr_load l;

	nr_load_options(&l, argc, argv, &rounds);
	n = (unsigned)(argc - optind);
	if (n < 2)
		nr_bad_usage("compare needs two URLs or more");
	relay = nr_load_memory(n, sizeof(*relay));
	for (i = 0; i < n; i++) {
		relay[i].url = nr_load_url(argv[optind + (int)i]);
		relay[i].per_second = nr_load_memory(4 * (size_t)rounds,
		    sizeof(double));
		relay[i].p50 = relay[i].per_second + rounds;
		relay[i].p99 = relay[i].p50 + rounds;
		relay[i].max = relay[i].p99 + rounds;
	}
	for (k = 0; k < rounds; k++)
		for (i = 0; i < n; i++) {
			/* Each is the first of a round in its turn. */
			rc = measure(&l, &relay[(i + k) % n], k, rounds);
			if (rc > status)
				status = rc;
		}
	for (i = 0; i < n; i++)
		tell(&l, &relay[i], &relay[0]);
	for (i = 0; i < n; i++) {
		free(relay[i].per_second);
		free(relay[i].url);
	}
	free(relay);
	nr_out_close();
	return status;
}
