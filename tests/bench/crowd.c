/*
 * crowd - many subscribers, and events published at a rate.
 *
 *	crowd [-n connections] [-g group] [-r rate] [-s seconds]
 *	    [-k stalled] [-p pid] -f events URL
 *
 * Each group of connections subscribes to one author of the file, so that
 * an event matches as many subscriptions as a group has; regular events of
 * these authors are published at the rate.  A delivery's latency counts
 * from the moment its event was due.  -k adds connections that ask for
 * much, and for all that is live, and never read.  -p names the relay, to
 * see its memory before and after the subscriptions.
 *
 * A JSON line on stdout; status 1 where deliveries are missing.
 */
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bench/hist.h"
#include "bench/peers.h"
#include "event/event.h"
#include "util/err.h"
#include "util/hex.h"
#include "util/times.h"

#define AUTHORS_MAX	60000
#define QUIET_MS	3000	/* without a delivery, at the end */

struct sent {
	const char	*id;		/* 64 digits, in the file */
	int64_t		 due;		/* ns */
};

struct crowd {
	unsigned	 n, group, stalled;
	double		 rate, seconds;
	const char	*next, *end;	/* of the file */

	unsigned char	(*author)[32];
	unsigned	 nauthors;

	struct nr_peers	*peers;
	struct nr_bench_peer	*publisher;
	struct nr_hist	 delivery, ok;
	struct sent	*sent;		/* hashed by id */
	size_t		 nsent;		/* a power of two */
	uint64_t	 published, accepted, refused, eose;
	uint64_t	 delivered, expected, unknown;
	int64_t		 last;		/* ns, of a delivery */
};

static void
need(int rc, const char *what)
{
	if (rc != NR_OK)
		errx(3, "%s: %s", what, nr_strerror(rc));
}

static void *
need_memory(size_t n, size_t size)
{
	void *p = calloc(n, size);

	if (p == NULL)
		err(3, NULL);
	return p;
}

/* ---- events ------------------------------------------------------------------ */

static int
next_line(struct crowd *c, struct nr_view *line)
{
	const char *lf = memchr(c->next, '\n', (size_t)(c->end - c->next));

	if (lf == NULL)
		return 0;
	line->p = c->next;
	line->len = (size_t)(lf - c->next);
	c->next = lf + 1;
	return 1;
}

static int
find_author(const struct crowd *c, const unsigned char key[32])
{
	unsigned i;

	for (i = 0; i < c->nauthors; i++)
		if (memcmp(c->author[i], key, 32) == 0)
			return (int)i;
	return -1;
}

static int
is_plain(const struct nr_event *ev)
{
	return ev->kind == 1 || ev->kind == 6 || ev->kind == 7;
}

/* The first authors of the file, one a group. */
static void
find_authors(struct crowd *c)
{
	const char *start = c->next;
	unsigned want = c->n / c->group;
	struct nr_view line;
	struct nr_event ev;

	c->author = need_memory(want, sizeof(*c->author));
	while (c->nauthors < want && next_line(c, &line)) {
		if (!nr_event_view_head(&ev, line.p, line.len) ||
		    !is_plain(&ev) || find_author(c, ev.pubkey) >= 0)
			continue;
		memcpy(c->author[c->nauthors++], ev.pubkey, 32);
	}
	if (c->nauthors < want)
		errx(2, "%u authors are needed, there are %u", want,
		    c->nauthors);
	c->next = start;
}

static struct sent *
slot(struct crowd *c, const char *id)
{
	uint64_t h;
	size_t i;

	memcpy(&h, id + 40, sizeof(h));
	h *= UINT64_C(0x9e3779b97f4a7c15);
	for (i = (size_t)(h >> 20); ; i++) {
		i &= c->nsent - 1;
		if (c->sent[i].id == NULL ||
		    memcmp(c->sent[i].id, id, 64) == 0)
			return &c->sent[i];
	}
}

static void
publish(struct crowd *c, int64_t due)
{
	struct nr_view part[3] = { { "[\"EVENT\",", 9 }, { NULL, 0 },
	    { "]", 1 } };
	struct nr_event ev;
	struct sent *s;

	do {
		if (!next_line(c, &part[1]))
			errx(2, "the file has too few events");
	} while (!nr_event_view_head(&ev, part[1].p, part[1].len) ||
	    !is_plain(&ev) || find_author(c, ev.pubkey) < 0);
	s = slot(c, part[1].p + 7);
	s->id = part[1].p + 7;
	s->due = due;
	c->published++;
	need(nr_bench_send(c->publisher, part, 3), "send");
	nr_bench_flush(c->publisher);
}

/* ---- what comes in -------------------------------------------------------------- */

static void
take_event(struct crowd *c, const char *id)
{
	struct sent *s = slot(c, id);

	if (s->id == NULL) {
		c->unknown++;
		return;
	}
	c->delivered++;
	c->last = nr_now_ns();
	nr_hist_add(&c->delivery, (c->last - s->due) / 1000);
}

static void
take_ok(struct crowd *c, const char *text)
{
	struct sent *s = slot(c, text + 7);

	if (s->id == NULL)
		c->unknown++;
	else if (memcmp(text + 73, "true", 4) == 0) {
		c->accepted++;
		c->expected += c->group;
		nr_hist_add(&c->ok, (nr_now_ns() - s->due) / 1000);
	} else
		c->refused++;
}

static void
on_text(struct nr_bench_peer *p, const char *text, size_t len)
{
	struct crowd *c = p->all->user;

	if (len > 90 && memcmp(text, "[\"EVENT\",\"s\",{\"id\":\"", 20) == 0)
		take_event(c, text + 20);
	else if (len > 76 && memcmp(text, "[\"OK\"", 5) == 0)
		take_ok(c, text);
	else if (len > 7 && memcmp(text, "[\"EOSE\"", 7) == 0)
		c->eose++;
	else if (len < 7 || memcmp(text, "[\"AUTH\"", 7) != 0)
		c->unknown++;
}

/* ---- steps ------------------------------------------------------------------------ */

/* A line of the relay's status, in bytes. */
static uint64_t
memory_of(long pid, const char *name)
{
	char path[64], line[256];
	unsigned long kb = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%ld/status", pid);
	if (pid == 0 || (f = fopen(path, "r")) == NULL)
		return 0;
	while (fgets(line, sizeof(line), f) != NULL)
		if (strncmp(line, name, strlen(name)) == 0)
			(void)sscanf(line + strlen(name), ": %lu", &kb);
	fclose(f);
	return (uint64_t)kb * 1024;
}

static void
subscribe(struct crowd *c)
{
	char hex[65], text[128];
	struct nr_view part;
	unsigned i;

	for (i = 0; i < c->n; i++) {
		nr_hex_encode(hex, c->author[i / c->group], 32);
		hex[64] = '\0';
		part.len = (size_t)snprintf(text, sizeof(text), "[\"REQ\","
		    "\"s\",{\"authors\":[\"%s\"],\"limit\":0}]", hex);
		part.p = text;
		need(nr_bench_send(&c->peers->peer[i], &part, 1), "send");
		nr_bench_flush(&c->peers->peer[i]);
		if (i % 100 == 0)
			need(nr_peers_wait(c->peers, 0), "wait");
	}
	while (c->eose < c->n)
		need(nr_peers_wait(c->peers, 10000), "subscribe");
}

/* They ask for much and are never read from. */
static void
stall(struct crowd *c)
{
	struct nr_view all = { "[\"REQ\",\"s\",{\"limit\":0}]", 23 };
	char text[64];
	struct nr_view part = { text, 0 };
	struct nr_bench_peer *p;
	unsigned i, j;

	for (i = 0; i < c->stalled; i++) {
		p = &c->peers->peer[c->n + 1 + i];
		need(nr_bench_send(p, &all, 1), "send");
		for (j = 0; j < 20; j++) {
			part.len = (size_t)snprintf(text, sizeof(text),
			    "[\"REQ\",\"q%u\",{\"limit\":5000}]", j);
			need(nr_bench_send(p, &part, 1), "send");
		}
		nr_bench_flush(p);
		(void)epoll_ctl(c->peers->epoll, EPOLL_CTL_DEL, p->fd, NULL);
	}
}

static void
publish_all(struct crowd *c)
{
	int64_t start = nr_now_ns(), now = start, step, due = start;

	step = (int64_t)(1e9 / c->rate);
	while (now < start + (int64_t)(c->seconds * 1e9)) {
		for (; due <= now; due += step)
			publish(c, due);
		need(nr_peers_wait(c->peers,
		    due - now > 2000000 ? (int)((due - now) / 1000000) : 0),
		    "wait");
		now = nr_now_ns();
	}
	c->last = now;
	while ((c->accepted + c->refused < c->published ||
	    c->delivered < c->expected) &&
	    nr_now_ns() - c->last < QUIET_MS * INT64_C(1000000))
		need(nr_peers_wait(c->peers, 100), "wait");
}

static void
map_file(struct crowd *c, const char *path)
{
	struct stat s;
	void *p;
	int fd;

	if ((fd = open(path, O_RDONLY | O_CLOEXEC)) < 0 ||
	    fstat(fd, &s) != 0)
		err(3, "%s", path);
	p = mmap(NULL, (size_t)s.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (p == MAP_FAILED)
		err(3, "%s", path);
	close(fd);
	c->next = p;
	c->end = c->next + s.st_size;
}

static void
report(const struct crowd *c, uint64_t before, uint64_t after,
    uint64_t peak)
{
	struct nr_buf b = { 0 };

	need(nr_buf_addf(&b, "{\"connections\":%u,\"group\":%u"
	    ",\"stalled\":%u,\"rate\":%.0f,\"published\":%" PRIu64
	    ",\"accepted\":%" PRIu64 ",\"refused\":%" PRIu64
	    ",\"delivered\":%" PRIu64 ",\"missing\":%" PRIu64
	    ",\"lost_connections\":%u,\"bytes_per_connection\":%" PRIu64
	    ",\"relay_bytes_at_end\":%" PRIu64 ",\"delivery_ms\":", c->n,
	    c->group, c->stalled, c->rate, c->published, c->accepted,
	    c->refused, c->delivered, c->expected - c->delivered,
	    c->peers->nfailed, after > before ?
	    (after - before) / (c->n + 1 + c->stalled) : 0, peak), "report");
	need(nr_hist_write(&c->delivery, &b), "report");
	need(nr_buf_adds(&b, ",\"ok_ms\":"), "report");
	need(nr_hist_write(&c->ok, &b), "report");
	need(nr_buf_adds(&b, "}\n"), "report");
	if (fwrite(b.p, 1, b.len, stdout) != b.len || fflush(stdout) != 0)
		err(3, "stdout");
	nr_buf_free(&b);
}

static _Noreturn void
usage(void)
{
	fprintf(stderr, "usage: crowd [-n connections] [-g group] [-r rate] "
	    "[-s seconds]\n           [-k stalled] [-p pid] -f events url\n");
	exit(2);
}

int
main(int argc, char *argv[])
{
	static const struct nr_bench_calls calls = { .text = on_text };
	struct nr_bench_fault fault;
	static struct crowd c = {
		.n = 5000, .group = 20, .rate = 500, .seconds = 20
	};
	uint64_t before, after;
	const char *file = NULL;
	long pid = 0;
	int ch;

	while ((ch = getopt(argc, argv, "f:g:k:n:p:r:s:")) != -1)
		switch (ch) {
		case 'f':
			file = optarg;
			break;
		case 'g':
			c.group = (unsigned)strtoul(optarg, NULL, 10);
			break;
		case 'k':
			c.stalled = (unsigned)strtoul(optarg, NULL, 10);
			break;
		case 'n':
			c.n = (unsigned)strtoul(optarg, NULL, 10);
			break;
		case 'p':
			pid = strtol(optarg, NULL, 10);
			break;
		case 'r':
			c.rate = strtod(optarg, NULL);
			break;
		case 's':
			c.seconds = strtod(optarg, NULL);
			break;
		default:
			usage();
		}
	if (argc - optind != 1 || file == NULL || c.group == 0 ||
	    c.n < c.group || c.n % c.group != 0 || c.n > AUTHORS_MAX ||
	    c.rate <= 0 || c.seconds <= 0)
		usage();
	map_file(&c, file);
	find_authors(&c);
	for (c.nsent = 1024; (double)c.nsent < 4 * c.rate * (c.seconds + 1);
	    c.nsent *= 2)
		;
	c.sent = need_memory(c.nsent, sizeof(*c.sent));
	before = memory_of(pid, "RssAnon");
	need(nr_peers_open(&c.peers, argv[optind], c.n + 1 + c.stalled, NULL,
	    &calls, &c, &fault), argv[optind]);
	while (c.peers->nopen < c.peers->n && c.peers->nfailed == 0)
		need(nr_peers_wait(c.peers, 10000), "connect");
	if (c.peers->nfailed > 0)
		errx(3, "%u connections were refused", c.peers->nfailed);
	c.publisher = &c.peers->peer[c.n];
	subscribe(&c);
	after = memory_of(pid, "RssAnon");
	stall(&c);
	publish_all(&c);
	report(&c, before, after, memory_of(pid, "RssAnon"));
	nr_peers_free(c.peers);
	free(c.author);
	free(c.sent);
	return c.delivered != c.expected || c.unknown > 0;
}
