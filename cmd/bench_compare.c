/*
 * nr-bench compare: the same load on several relays, in turns, and their
 * medians side by side.
 */
#include <errno.h>
#include <inttypes.h>
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
	unsigned	 n;		/* rounds, */
	unsigned	 nms;		/* and those with an answer */
	uint64_t	 done, known, found, missing, wrong, refused;
	uint64_t	 lost, timeouts;
	int		 client_bound;
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
	l.shares = 1;
	status = nr_load_run(&l);
	nr_load_report(&l, round + 1);
	part = nr_load_main(&l);
	r->per_second[r->n++] = nr_load_per_second(&l);
	if (part->hist->count > 0) {
		r->p50[r->nms] = (double)nr_hist_at(part->hist, 0.5) / 1000;
		r->p99[r->nms] = (double)nr_hist_at(part->hist, 0.99) / 1000;
		r->max[r->nms++] = (double)part->hist->max / 1000;
	}
	r->done += part->hist->count;
	r->known += l.known;
	r->found += l.found;
	r->missing += l.missing;
	r->lost += l.lost;
	r->timeouts += l.error[NR_LOAD_TIMEOUT];
	r->client_bound |= nr_load_bound(&l);
	r->wrong += l.wrong;
	r->refused += l.refused;
	nr_load_free(&l);
	return status;
}

static void
add_figure(struct nr_buf *b, const char *name, int there, int digits,
    double v)
{
	nr_load_need(nr_buf_addf(b, ",\"%s\":", name), "report");
	nr_load_need(there ? nr_buf_addf(b, "%.*f", digits, v) :
	    nr_buf_adds(b, "null"), "report");
}

/*
 * Is its figure one of the work that was meant?  Not where it had nothing
 * of what was asked for, or most of what was published.
 */
static int
is_comparable(const struct relay *r)
{
	return r->done > 0 && (r->missing == 0 || r->found > 0) &&
	    r->known < r->done / 2 + 1;
}

/* Rounds that overlap show no difference. */
static void
doubt(const struct relay *r, const struct relay *first)
{
	if (r != first && r->n > 1 && r->per_second[0] <=
	    first->per_second[first->n - 1] && first->per_second[0] <=
	    r->per_second[r->n - 1])
		nr_warn("%s: its rounds and those of %s overlap: no difference "
		    "is shown", r->url, first->url);
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
	nr_load_need(nr_buf_addf(&b, ",\"rounds\":%u", r->n), "report");
	add_figure(&b, "per_second", r->done > 0, 0, is);
	add_figure(&b, "slowest", r->done > 0, 0, r->per_second[0]);
	add_figure(&b, "fastest", r->done > 0, 0, r->per_second[r->n - 1]);
	add_figure(&b, "ratio", is_comparable(r) && is_comparable(first), 3,
	    is / other);
	add_figure(&b, "p50", r->nms > 0, 3, median(r->p50, r->nms));
	add_figure(&b, "p99", r->nms > 0, 3, median(r->p99, r->nms));
	add_figure(&b, "max", r->nms > 0, 3, median(r->max, r->nms));
	nr_load_need(nr_buf_addf(&b, ",\"known\":%" PRIu64 ",\"refused\":%"
	    PRIu64 ",\"missing\":%" PRIu64 ",\"wrong\":%" PRIu64
	    ",\"lost_connections\":%" PRIu64 ",\"timeouts\":%" PRIu64
	    ",\"client_bound\":%s}\n", r->known, r->refused, r->missing,
	    r->wrong, r->lost, r->timeouts, r->client_bound ? "true" :
	    "false"), "report");
	nr_out(b.p, b.len);
	nr_buf_free(&b);
	doubt(r, first);
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
	if (l.file != NULL)
		nr_load_open_file(&l);
	relay = nr_load_memory(n, sizeof(*relay));
	for (i = 0; i < n; i++) {
		relay[i].url = nr_load_url(argv[optind + (int)i]);
		relay[i].per_second = nr_load_memory(4 * (size_t)rounds,
		    sizeof(double));
		relay[i].p50 = relay[i].per_second + rounds;
		relay[i].p99 = relay[i].p50 + rounds;
		relay[i].max = relay[i].p99 + rounds;
	}
	/* Before others are loaded. */
	for (i = 0; i < n; i++)
		nr_load_reach(&l, relay[i].url);
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
	nr_load_close_file(&l);
	nr_out_close();
	return status;
}
