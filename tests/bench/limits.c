/*
 * limits: what this machine can do at most, for the figures of make bench
 * to stand beside.
 *
 *	limits verify FILE	signatures a second, one core: key parsing
 *				and verification of the file's events
 *	limits copy		bytes a second that memcpy moves
 *	limits sync DIR		fdatasync calls a second after 4 KiB each
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <secp256k1.h>
#include <secp256k1_extrakeys.h>
#include <secp256k1_schnorrsig.h>

#include "event/event.h"

#define EVENTS		40000
#define COPY_BYTES	((size_t)64 << 20)
#define SYNCS		200

static double
now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void
die(const char *what)
{
	perror(what);
	exit(3);
}

static int
verify(const char *path)
{
	struct nr_event *ev = calloc(EVENTS, sizeof(*ev));
	secp256k1_xonly_pubkey key;
	size_t cap = 0, n = 0, i, good = 0;
	char *line = NULL;
	double start;
	ssize_t len;
	FILE *f;

	if (ev == NULL || (f = fopen(path, "r")) == NULL)
		die(path);
	while (n < EVENTS && (len = getline(&line, &cap, f)) > 0)
		if (nr_event_view(&ev[n], line, (size_t)len - 1))
			n++;
	fclose(f);
	start = now();
	for (i = 0; i < n; i++)
		if (secp256k1_xonly_pubkey_parse(secp256k1_context_static,
		    &key, ev[i].pubkey) &&
		    secp256k1_schnorrsig_verify(secp256k1_context_static,
		    ev[i].sig, ev[i].id, 32, &key))
			good++;
	printf("%.0f\n", (double)n / (now() - start));
	free(line);
	free(ev);
	return good == n ? 0 : 1;
}

static int
copy(void)
{
	char *a = malloc(COPY_BYTES), *b = malloc(COPY_BYTES);
	double start;
	int i;

	if (a == NULL || b == NULL)
		die("copy");
	memset(a, 1, COPY_BYTES);
	memset(b, 2, COPY_BYTES);
	start = now();
	for (i = 0; i < 16; i++) {
		memcpy(b, a, COPY_BYTES);
		a[i] = b[COPY_BYTES - 1 - (size_t)i];
	}
	printf("%.0f\n", 16.0 * (double)COPY_BYTES / (now() - start));
	free(a);
	free(b);
	return 0;
}

static int
sync_rate(const char *dir)
{
	static const char page[4096];
	double start;
	int fd, i;

	if ((fd = open(dir, O_TMPFILE | O_RDWR, 0600)) < 0)
		die(dir);
	start = now();
	for (i = 0; i < SYNCS; i++)
		if (write(fd, page, sizeof(page)) != (ssize_t)sizeof(page) ||
		    fdatasync(fd) != 0)
			die(dir);
	printf("%.0f\n", SYNCS / (now() - start));
	close(fd);
	return 0;
}

int
main(int argc, char *argv[])
{
	if (argc == 3 && strcmp(argv[1], "verify") == 0)
		return verify(argv[2]);
	if (argc == 2 && strcmp(argv[1], "copy") == 0)
		return copy();
	if (argc == 3 && strcmp(argv[1], "sync") == 0)
		return sync_rate(argv[2]);
	fprintf(stderr, "usage: limits verify file | copy | sync dir\n");
	return 2;
}
