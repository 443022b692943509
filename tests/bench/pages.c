/*
 * pages - read an author's events backwards, as clients do: pages by
 * until, each from the last created_at of the one before.
 *
 *	pages [-l limit] [-t parts] AUTHOR URL
 *
 * Prints a table of how long a page takes by depth, in milliseconds from
 * REQ to EOSE, for so many equal parts of the way down; each line is the
 * events passed, the pages in this part, and their median and longest.
 * Status 1 where the way ends before it could be divided.
 */
#include <err.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench/peers.h"
#include "event/event.h"
#include "util/err.h"
#include "util/times.h"

struct reading {
	struct nr_peers	*peers;
	const char	*author;
	unsigned	 limit;

	int64_t		 oldest;	/* of this page */
	uint64_t	 got;		/* in this page */
	int		 done;		/* its EOSE has come */

	double		*ms;		/* of each page */
	size_t		 npages, cap;
	uint64_t	 events;
};

static void
need(int rc, const char *what)
{
	if (rc != NR_OK)
		errx(3, "%s: %s", what, nr_strerror(rc));
}

static void
on_text(struct nr_bench_peer *p, const char *text, size_t len)
{
	struct reading *r = p->all->user;
	struct nr_event ev;

	if (len > 21 && memcmp(text, "[\"EVENT\",\"p\",", 13) == 0 &&
	    nr_event_view_head(&ev, text + 13, len - 14)) {
		r->got++;
		r->oldest = ev.created_at;
	} else if (len > 7 && memcmp(text, "[\"EOSE\"", 7) == 0)
		r->done = 1;
	else if (len > 9 && memcmp(text, "[\"CLOSED\"", 9) == 0)
		errx(3, "%.*s", (int)len, text);
}

static void
ask(struct reading *r, int64_t until)
{
	char text[256];
	struct nr_view part = { text, 0 };

	part.len = (size_t)snprintf(text, sizeof(text), "[\"REQ\",\"p\","
	    "{\"authors\":[\"%s\"],\"until\":%" PRId64 ",\"limit\":%u}]",
	    r->author, until, r->limit);
	need(nr_bench_send(&r->peers->peer[0], &part, 1), "send");
	nr_bench_flush(&r->peers->peer[0]);
}

static void
keep(struct reading *r, double ms)
{
	if (r->npages == r->cap) {
		r->cap = r->cap * 2 + 64;
		r->ms = realloc(r->ms, r->cap * sizeof(*r->ms));
		if (r->ms == NULL)
			err(3, NULL);
	}
	r->ms[r->npages++] = ms;
}

/* All pages; the last, which is not full, does not count. */
static void
read_all(struct reading *r)
{
	int64_t until = INT64_MAX / 2, begun;

	for (;;) {
		r->got = 0;
		r->done = 0;
		begun = nr_now_ns();
		ask(r, until);
		while (!r->done && r->peers->nfailed == 0)
			need(nr_peers_wait(r->peers, 10000), "wait");
		if (!r->done)
			errx(3, "the relay has closed the connection");
		if (r->got < r->limit)
			return;
		keep(r, (double)(nr_now_ns() - begun) / 1e6);
		r->events += r->got;
		/* A page of one second would be asked for again for ever. */
		until = r->oldest < until ? r->oldest : until - 1;
	}
}

static int
by_value(const void *a, const void *b)
{
	const double *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

static void
table(const struct reading *r, unsigned parts)
{
	size_t n = r->npages / parts, i;

	for (i = 0; i < parts; i++) {
		qsort(r->ms + i * n, n, sizeof(*r->ms), by_value);
		printf("%10zu %6zu %8.3f %8.3f\n", i * n * r->limit, n,
		    r->ms[i * n + n / 2], r->ms[i * n + n - 1]);
	}
}

int
main(int argc, char *argv[])
{
	static const struct nr_bench_calls calls = { .text = on_text };
	struct nr_bench_fault fault;
	struct reading r = { .limit = 500 };
	unsigned parts = 10;
	int ch;

	while ((ch = getopt(argc, argv, "l:t:")) != -1)
		switch (ch) {
		case 'l':
			r.limit = (unsigned)strtoul(optarg, NULL, 10);
			break;
		case 't':
			parts = (unsigned)strtoul(optarg, NULL, 10);
			break;
		default:
			return 2;
		}
	if (argc - optind != 2 || strlen(argv[optind]) != 64 ||
	    r.limit == 0 || parts == 0) {
		fprintf(stderr, "usage: pages [-l limit] [-t parts] author "
		    "url\n");
		return 2;
	}
	r.author = argv[optind];
	need(nr_peers_open(&r.peers, argv[optind + 1], 1, NULL, &calls, &r,
	    &fault), argv[optind + 1]);
	while (r.peers->nopen == 0 && r.peers->nfailed == 0)
		need(nr_peers_wait(r.peers, 10000), "connect");
	read_all(&r);
	nr_peers_free(r.peers);
	if (r.npages >= parts)
		table(&r, parts);
	free(r.ms);
	return r.npages < parts;
}
