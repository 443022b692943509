/*
 * grow: put events into a store batch by batch, as a relay does, and stay.
 * The newest events then wait to be merged into the index, and a merge may
 * have stopped half-way.  SIGUSR1 has it merge the rest, step by step.
 *
 *	grow STORE BATCH READY < events
 *
 * READY is a file that is made when all events are stored.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "store/store.h"
#include "util/err.h"

#define BATCH_MAX	10000

static volatile sig_atomic_t go;

static void
on_signal(int sig)
{
	(void)sig;
	go = 1;
}

static void
check(int rc, const char *what)
{
	if (rc == NR_OK)
		return;
	fprintf(stderr, "grow: %s: %s\n", what, nr_strerror(rc));
	exit(3);
}

/* Read a batch of lines; they are kept in one buffer. */
static size_t
read_batch(struct nr_item *item, struct nr_buf *text, size_t max)
{
	static size_t at[BATCH_MAX + 1];
	char *line = NULL;
	size_t cap = 0, n = 0, i;
	ssize_t len;

	text->len = 0;
	while (n < max && (len = getline(&line, &cap, stdin)) > 0) {
		at[n++] = text->len;
		check(nr_buf_add(text, line, (size_t)len - 1), "line");
	}
	at[n] = text->len;
	free(line);
	for (i = 0; i < n; i++) {
		item[i].line.p = text->p + at[i];
		item[i].line.len = at[i + 1] - at[i];
		if (!nr_event_view(&item[i].ev, item[i].line.p,
		    item[i].line.len))
			check(NR_EINVAL, "event");
	}
	return n;
}

int
main(int argc, char *argv[])
{
	static struct nr_item item[BATCH_MAX];
	struct timespec nap = { .tv_nsec = 20000000 };
	struct nr_store_options o = { .flags = NR_STORE_CREATE,
	    .program = "grow" };
	struct nr_buf text = { 0 };
	size_t batch, n, batches = 0;
	struct nr_store *st;

	if (argc < 4 || (batch = strtoul(argv[2], NULL, 10)) == 0 ||
	    batch > BATCH_MAX)
		return 2;
	signal(SIGUSR1, on_signal);
	check(nr_store_open(&st, argv[1], &o), argv[1]);
	while ((n = read_batch(item, &text, batch)) > 0) {
		check(nr_store_put(st, item, n, 0, time(NULL)), "put");
		if (++batches % 3 == 0)
			check(nr_store_settle(st, 0), "settle");
	}
	close(open(argv[3], O_WRONLY | O_CREAT, 0666));
	while (!go)
		nanosleep(&nap, NULL);
	for (;;) {
		check(nr_store_settle(st, 1), "settle");
		nanosleep(&nap, NULL);
	}
}
