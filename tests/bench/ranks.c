/*
 * ranks - what it costs to open a reconciliation of a whole store: the
 * sums of 16 ranges and the bounds between them, then of 256.
 *
 *	ranks STORE [EVENTS]
 *
 * First with none of the index in memory, then again; then, where a file
 * of events is given, with these waiting to be merged, and while they are.
 * Prints, for each step, milliseconds, page faults that went to the disk,
 * and what was read.
 */
#include <err.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include "store/ranks.h"
#include "store/store.h"
#include "util/err.h"
#include "util/times.h"

struct figures {
	int64_t	ns;
	long	faults;
	struct nr_ranks_stat stat;
};

static struct nr_ranks *ranks;

static void
need(int rc, const char *what)
{
	if (rc != NR_OK)
		errx(3, "%s: %s", what, nr_strerror(rc));
}

/* Have the system forget a file; what is mapped or dirty it keeps. */
static void
drop(const char *dir)
{
	char path[PATH_MAX];
	int fd;

	snprintf(path, sizeof(path), "%s/index/data.mdb", dir);
	if ((fd = open(path, O_RDONLY)) < 0)
		err(3, "%s", path);
	if (fsync(fd) != 0 || posix_fadvise(fd, 0, 0,
	    POSIX_FADV_DONTNEED) != 0)
		warn("%s", path);
	close(fd);
}

static struct figures
look(void)
{
	struct figures f = { .ns = nr_now_ns() };
	struct rusage ru;

	getrusage(RUSAGE_SELF, &ru);
	f.faults = ru.ru_majflt;
	nr_ranks_stat(ranks, &f.stat);
	return f;
}

static void
tell(const char *what, const struct figures *was)
{
	struct figures f = look();

	printf("%-24s %9.3f ms %6ld faults %5" PRIu64 " chunks read, %7"
	    PRIu64 " entries\n", what, (double)(f.ns - was->ns) / 1e6,
	    f.faults - was->faults, f.stat.loads - was->stat.loads,
	    f.stat.entries - was->stat.entries);
}

static int
keep(void *ctx, const struct nr_rank_item *item)
{
	*(struct nr_rank_item *)ctx = *item;
	return NR_OK;
}

/* Divide lo to hi into 16, as the protocol does. */
static void
divide(uint64_t lo, uint64_t hi, uint64_t at[17])
{
	struct nr_rank_item item;
	struct nr_sum sum;
	unsigned i;

	at[0] = lo;
	for (i = 1; i <= 16; i++) {
		at[i] = lo + (hi - lo) * i / 16;
		need(nr_ranks_sum(ranks, &sum, at[i - 1], at[i]), "sum");
		if (at[i] < 2 || at[i] >= hi)
			continue;
		/* The bound tells two items apart. */
		need(nr_ranks_items(ranks, at[i] - 2, at[i], keep, &item),
		    "items");
	}
}

static void
measure(struct nr_store *st, const char *name)
{
	uint64_t at[17], part[17], found;
	struct nr_rank_item item;
	struct nr_snap *sn;
	struct figures was;
	char what[64];
	unsigned i;
	int ready;

	need(nr_snap_new(&sn, st), "snapshot");
	need(nr_snap_renew(sn), "snapshot");
	was = look();
	need(nr_ranks_renew(ranks, &ready, sn, NULL, 0), "ranks");
	if (!ready)
		errx(1, "a request to vanish is being carried out");
	snprintf(what, sizeof(what), "%s: all sums", name);
	tell(what, &was);
	divide(0, nr_ranks_size(ranks), at);
	snprintf(what, sizeof(what), "%s: and 16 ranges", name);
	tell(what, &was);
	was = look();
	for (i = 0; i < 16; i++) {
		if (at[i] == at[i + 1])
			continue;
		need(nr_ranks_items(ranks, at[i], at[i] + 1, keep, &item),
		    "items");
		need(nr_ranks_find(ranks, &found, &item, 0,
		    nr_ranks_size(ranks)), "find");
		divide(found, at[i + 1], part);
	}
	snprintf(what, sizeof(what), "%s: then 256", name);
	tell(what, &was);
	nr_snap_free(sn);
}

#define BATCH	1000

/* Put the events of a file; nothing is merged, if they are not too many. */
static void
put_file(struct nr_store *st, const char *name)
{
	static struct nr_item item[BATCH];
	static struct nr_buf line[BATCH];
	char *p = NULL;
	size_t cap = 0, n = 0;
	ssize_t len;
	FILE *f;

	if ((f = fopen(name, "r")) == NULL)
		err(3, "%s", name);
	while ((len = getline(&p, &cap, f)) > 0) {
		line[n].len = 0;
		need(nr_buf_add(&line[n], p, (size_t)len - 1), name);
		item[n].line.p = line[n].p;
		item[n].line.len = line[n].len;
		if (!nr_event_view(&item[n].ev, line[n].p, line[n].len))
			errx(3, "%s: not an event", name);
		if (++n == BATCH) {
			need(nr_store_put(st, item, n, 0, 0), "put");
			n = 0;
		}
	}
	need(nr_store_put(st, item, n, 0, 0), "put");
	for (n = 0; n < BATCH; n++)
		nr_buf_free(&line[n]);
	free(p);
	fclose(f);
}

static void
waiting(struct nr_store *st, const char *events)
{
	struct nr_ranks_stat s;
	unsigned i;

	put_file(st, events);
	measure(st, "new");
	nr_ranks_stat(ranks, &s);
	printf("%" PRIu64 " waiting\n", s.waiting);
	for (i = 0; i < 12; i++)
		need(nr_store_settle(st, 1), "merge");
	need(nr_store_settle(st, 50), "merge");
	measure(st, "merging");
	nr_ranks_stat(ranks, &s);
	printf("%" PRIu64 " waiting\n", s.waiting);
}

static void
one(const char *dir, const char *name, const char *events)
{
	struct nr_store_options o = { .program = "ranks" };
	struct nr_ranks_stat s;
	struct nr_store *st;

	need(nr_store_open(&st, dir, &o), dir);
	need(nr_ranks_new(&ranks), "ranks");
	measure(st, name);
	nr_ranks_stat(ranks, &s);
	if (*name == 'w')
		printf("%" PRIu64 " items, %" PRIu64 " chunks, %" PRIu64
		    " waiting\n", nr_ranks_size(ranks), s.chunks, s.waiting);
	if (events != NULL)
		waiting(st, events);
	nr_ranks_free(ranks);
	nr_store_close(st);
}

int
main(int argc, char *argv[])
{
	if (argc != 2 && argc != 3) {
		fprintf(stderr, "usage: ranks STORE [EVENTS]\n");
		return 2;
	}
	one(argv[1], "open", NULL);	/* whatever it takes to come to rest */
	drop(argv[1]);
	one(argv[1], "cold", NULL);
	one(argv[1], "warm", argv[2]);
	return 0;
}
