/*
 * nr-bench limits: what this machine can do at most, for other figures to
 * stand beside.
 */
#include "bench_limits.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <secp256k1.h>
#include <secp256k1_extrakeys.h>
#include <secp256k1_schnorrsig.h>

#include "bench.h"
#include "bench/gen.h"
#include "bench_load.h"
#include "event/event.h"
#include "tool.h"
#include "util/err.h"
#include "util/pool.h"
#include "util/times.h"

#define EVENTS		40000	/* of the file, at most */
#define GENERATED	20000	/* where there is none */
#define COPY_BYTES	((size_t)64 << 20)
#define COPIES		16
#define SYNCS		200

static double
per_second(double n, int64_t begun)
{
	return n * 1e9 / (double)(nr_now_ns() - begun);
}

/* ---- events -------------------------------------------------------------------- */

/* Events of the network model, in memory; returns their descriptor. */
static int
generate(void)
{
	struct nr_gen_options o = {
		.count = GENERATED, .seed = 1, .authors = 5000,
		.since = 1700000000, .until = 1710368000
	};
	int fd = memfd_create("events", MFD_CLOEXEC), rc;
	FILE *f = fd < 0 ? NULL : fdopen(dup(fd), "w");
	struct nr_buf line = { 0 };
	struct nr_gen *g;
	unsigned author;

	if (f == NULL)
		nr_die(errno, "events");
	nr_load_need(nr_gen_new(&g, &o), "events");
	while ((rc = nr_gen_next(g, &line, &author)) == NR_OK) {
		nr_gen_sign(g, line.p, line.len, author);
		(void)fwrite(line.p, 1, line.len, f);
		line.len = 0;
	}
	if (rc != NR_EOF)
		nr_die(rc, "events");
	if (ferror(f) || fclose(f) != 0)
		nr_die(errno, "events");
	nr_buf_free(&line);
	nr_gen_free(g);
	return fd;
}

/* ---- the machine ----------------------------------------------------------------- */

/* Signatures a second on one core: parsing the key, and verification. */
static double
verify(const char *path)
{
	struct nr_event *ev = nr_load_memory(EVENTS, sizeof(*ev));
	secp256k1_xonly_pubkey key;
	size_t cap = 0, n = 0, i, good = 0;
	char *line = NULL;
	int64_t begun;
	double rate;
	ssize_t len;
	FILE *f;

	if ((f = fopen(path, "re")) == NULL)
		nr_die(errno, "%s", path);
	while (n < EVENTS && (len = getline(&line, &cap, f)) > 0)
		if (nr_event_view(&ev[n], line, (size_t)len - 1))
			n++;
	fclose(f);
	begun = nr_now_ns();
	for (i = 0; i < n; i++)
		if (secp256k1_xonly_pubkey_parse(secp256k1_context_static,
		    &key, ev[i].pubkey) &&
		    secp256k1_schnorrsig_verify(secp256k1_context_static,
		    ev[i].sig, ev[i].id, 32, &key))
			good++;
	rate = per_second((double)n, begun);
	if (n == 0 || good < n)
		nr_bad_usage("%s: not events as nr-bench gen or nr-export "
		    "write them", path);
	free(line);
	free(ev);
	return rate;
}

/* Bytes a second that memcpy() moves. */
static double
copy(void)
{
	char *a = nr_load_memory(1, COPY_BYTES);
	char *b = nr_load_memory(1, COPY_BYTES);
	int64_t begun;
	double rate;
	size_t i;

	memset(a, 1, COPY_BYTES);
	memset(b, 2, COPY_BYTES);
	begun = nr_now_ns();
	for (i = 0; i < COPIES; i++) {
		memcpy(b, a, COPY_BYTES);
		a[i] = b[COPY_BYTES - 1 - i];
	}
	rate = per_second((double)COPY_BYTES * COPIES, begun);
	free(a);
	free(b);
	return rate;
}

/* 4 KiB written and fdatasync() called, a second. */
static double
sync_rate(const char *dir)
{
	static const char page[4096];
	int64_t begun;
	double rate;
	int fd, i;

	if ((fd = open(dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600)) < 0)
		nr_die(errno, "%s", dir);
	begun = nr_now_ns();
	for (i = 0; i < SYNCS; i++)
		if (write(fd, page, sizeof(page)) != (ssize_t)sizeof(page) ||
		    fdatasync(fd) != 0)
			nr_die(errno, "%s", dir);
	rate = per_second(SYNCS, begun);
	close(fd);
	return rate;
}

/* ---- WebSockets -------------------------------------------------------------------- */

/* Start the empty server; returns its process. */
static pid_t
start_empty(char *url, size_t size)
{
	int ready[2], port = 0;
	pid_t pid;

	if (pipe2(ready, O_CLOEXEC) != 0 || (pid = fork()) < 0)
		nr_die(errno, "the empty server");
	if (pid == 0) {
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
		nr_bench_empty(ready[1]);
	}
	close(ready[1]);
	if (read(ready[0], &port, sizeof(port)) != (ssize_t)sizeof(port))
		nr_die(EADDRNOTAVAIL, "the empty server");
	close(ready[0]);
	snprintf(url, size, "ws://127.0.0.1:%d", port);
	return pid;
}

/* What nr-bench load makes of it: answers, or deliveries, a second. */
static double
load(const char *url, const char *mode, const char *path, const char *count,
    const char *connections, const char *in_flight)
{
	const char *argv[] = { "limits", "-f", path, "-n", count, "-c",
	    connections, "-w", in_flight, mode, NULL };
	struct nr_load l;
	double rate;

	optind = 0;
	nr_load_options(&l, (int)(sizeof(argv) / sizeof(argv[0])) - 1,
	    (char **)(uintptr_t)argv, NULL);
	l.url = url;
	/* What it is asked for it does not have. */
	if (nr_load_run(&l) > NR_EX_NO || l.wrong + l.refused > 0)
		nr_die(EPROTO, "the empty server: %s", mode);
	rate = nr_load_per_second(&l);
	nr_load_free(&l);
	return rate;
}

static void
add(struct nr_buf *b, const char *name, double value)
{
	nr_load_need(nr_buf_addf(b, ",\"%s\":%.0f", name, value), "report");
}

static void
measure(const char *path, const char *dir)
{
	struct nr_buf b = { 0 };
	char url[64];
	pid_t empty;

	nr_load_need(nr_buf_addf(&b, "{\"limits\":1,\"cores\":%u",
	    nr_pool_cores()), "report");
	add(&b, "verify_per_second", verify(path));
	add(&b, "copy_bytes_per_second", copy());
	add(&b, "sync_per_second", sync_rate(dir));
	empty = start_empty(url, sizeof(url));
	add(&b, "publish_per_second",
	    load(url, "publish", path, "60000", "16", "16"));
	add(&b, "query_per_second",
	    load(url, "query", path, "40000", "16", "1"));
	add(&b, "fanout_per_second",
	    load(url, "fanout", path, "5000", "200", "64"));
	(void)kill(empty, SIGKILL);
	(void)waitpid(empty, NULL, 0);
	nr_load_need(nr_buf_adds(&b, "}\n"), "report");
	nr_out(b.p, b.len);
	nr_buf_free(&b);
}

int
nr_bench_limits(int argc, char *argv[])
{
	static const struct option longopts[] = {
		{ "directory", required_argument, NULL, 'd' },
		{ "file", required_argument, NULL, 'f' },
		NR_LONG_COMMON, { NULL, 0, NULL, 0 }
	};
	const char *file = NULL, *dir = ".";
	char path[64];
	int ch;

	while ((ch = getopt_long(argc, argv, "d:f:", longopts, NULL)) != -1)
		switch (ch) {
		case 'd':
			dir = optarg;
			break;
		case 'f':
			file = optarg;
			break;
		default:
			nr_common_option(ch);
		}
	if (optind != argc)
		nr_bad_usage("not expected: %s", argv[optind]);
	if (file == NULL) {
		snprintf(path, sizeof(path), "/proc/self/fd/%d", generate());
		file = path;
	}
	measure(file, dir);
	nr_out_close();
	return NR_EX_OK;
}
