/*
 * The segment reader: any bytes in a log, found by a store that rebuilds
 * its index or that finds them behind what it has indexed.
 *
 * Opening succeeds.  The log's whole lines stay as they are; what follows
 * the last one in the last segment is set aside.  Each live event is one
 * of the lines that are events in normal form with the right id, none is
 * live twice, and each such line that no rule may hide is live.
 *
 * The first byte says what is done with the others:
 *	1	they follow a line that the store has indexed
 *	2	the ids of lines that are events are made right first, which
 *		no mutation would manage
 *	4	they are cut into two segments
 */
#include "fuzz.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bench/gen.h"
#include "event/tags.h"
#include "event/verify.h"
#include "store/store.h"
#include "util/err.h"
#include "util/hex.h"

static char dir[64];			/* of the store */
static struct nr_verifier *verifier;
static struct nr_buf base;		/* a line that is indexed before */

static const struct nr_event_limits no_limits = {
	.bytes = SIZE_MAX, .tags = UINT_MAX, .tag_items = UINT_MAX,
	.tag_bytes = SIZE_MAX, .depth = 1
};

/* A line that a store may take for an event. */
struct line {
	struct nr_event	 ev;
	int		 due;		/* nothing may hide it */
	int		 seen;
};

struct lines {
	struct line	*v;
	size_t		 n;
	int		 killers;	/* some line may delete others */
};

/* ---- files -------------------------------------------------------------- */

static const char *
path(const char *name)
{
	static char p[2][128];
	static int turn;

	turn = !turn;
	snprintf(p[turn], sizeof(p[turn]), "%s/%s", dir, name);
	return p[turn];
}

static void
remove_in(const char *sub)
{
	char name[512];
	struct dirent *e;
	DIR *d = opendir(path(sub));

	while (d != NULL && (e = readdir(d)) != NULL) {
		snprintf(name, sizeof(name), "%s/%s", path(sub), e->d_name);
		(void)unlink(name);
	}
	if (d != NULL)
		closedir(d);
}

static void
wipe(void)
{
	remove_in("index");
	remove_in("log");
	remove_in(".");
}

static void
end(void)
{
	wipe();
	(void)rmdir(path("index"));
	(void)rmdir(path("log"));
	(void)rmdir(dir);
}

static void
put_file(const char *name, const char *p, size_t n, int flags)
{
	int fd = open(path(name), O_WRONLY | O_CREAT | flags, 0666);

	MUST(fd >= 0);
	MUST(write(fd, p, n) == (ssize_t)n);
	MUST(close(fd) == 0);
}

/* Its bytes in *b; returns 0 where there is no such file. */
static int
get_file(const char *name, struct nr_buf *b)
{
	struct stat s;
	int fd = open(path(name), O_RDONLY);

	b->len = 0;
	if (fd < 0)
		return 0;
	MUST(fstat(fd, &s) == 0);
	MUST(nr_buf_reserve(b, (size_t)s.st_size + 1) == 0);
	MUST(read(fd, b->p, (size_t)s.st_size) == s.st_size);
	b->len = (size_t)s.st_size;
	close(fd);
	return 1;
}

/* ---- what is to be expected ------------------------------------------------ */

/* Is it a line that a store would have written? */
static int
is_event(struct nr_event *ev, const char *p, size_t n)
{
	struct nr_event e;
	size_t pos, len;
	char *out;
	int same;

	if (nr_event_read(&e, p, n, &no_limits, &pos) != NR_VALID)
		return 0;
	out = malloc(NR_EVENT_LINE_MAX(n));
	MUST(out != NULL);
	len = nr_event_normalise(&e, out);
	same = len == n && memcmp(out, p, n) == 0 && nr_verify_event(verifier,
	    &e, NR_TRUST_SIGNATURES) == NR_VALID;
	free(out);
	return same && nr_event_view(ev, p, n);
}

static void
add_line(struct lines *l, const char *p, size_t n)
{
	struct nr_event ev;
	struct line *v;
	size_t i;

	if (!is_event(&ev, p, n))
		return;
	if (ev.kind == 5 || ev.kind == 62)
		l->killers = 1;
	for (i = 0; i < l->n; i++)
		if (memcmp(l->v[i].ev.id, ev.id, 32) == 0)
			return;
	v = realloc(l->v, (l->n + 1) * sizeof(*v));
	MUST(v != NULL);
	l->v = v;
	v += l->n++;
	v->ev = ev;
	v->seen = 0;
	v->due = !nr_kind_replaceable(ev.kind) &&
	    !nr_kind_ephemeral(ev.kind) && !nr_kind_addressable(ev.kind) &&
	    nr_event_expiration(&ev) == INT64_MAX;
}

static void
add_lines(struct lines *l, const char *p, size_t n)
{
	const char *stop = p + n, *lf;

	while ((lf = memchr(p, '\n', (size_t)(stop - p))) != NULL) {
		add_line(l, p, (size_t)(lf - p));
		p = lf + 1;
	}
}

/* Give each line that reads as a normal event the id that it has. */
static void
right_ids(char *p, size_t n)
{
	unsigned char id[32];
	char *stop = p + n, *lf;
	struct nr_event ev;
	size_t pos;

	while ((lf = memchr(p, '\n', (size_t)(stop - p))) != NULL) {
		if (nr_event_read(&ev, p, (size_t)(lf - p), &no_limits,
		    &pos) == NR_VALID &&
		    nr_event_view_read(&ev, p, (size_t)(lf - p))) {
			nr_event_hash(verifier, &ev, 0, id);
			nr_hex_encode(p + 7, id, 32);
		}
		p = lf + 1;
	}
}

/* ---- the store ---------------------------------------------------------------- */

static struct nr_store *
open_store(unsigned flags)
{
	struct nr_store_options o = { .flags = flags, .program = "fuzz",
	    .segment_bytes = 1 << 20 };
	struct nr_store *st;

	MUST(nr_store_open(&st, dir, &o) == 0);
	return st;
}

/* A store that has indexed one line. */
static void
store_base(void)
{
	struct nr_store *st = open_store(NR_STORE_CREATE);
	struct nr_item item = { .line = { base.p, base.len - 1 } };

	MUST(nr_event_view(&item.ev, item.line.p, item.line.len));
	MUST(nr_store_put(st, &item, 1, 0, 1) == 0);
	MUST(item.result == NR_PUT_STORED);
	nr_store_close(st);
}

static void
take_hit(struct lines *l, const struct nr_hit *hit)
{
	unsigned char id[32];
	size_t i;

	MUST(nr_event_view_id(id, hit->line.p, hit->line.len));
	for (i = 0; i < l->n; i++)
		if (memcmp(l->v[i].ev.id, id, 32) == 0)
			break;
	MUST(i < l->n);
	MUST(!l->v[i].seen);
	l->v[i].seen = 1;
}

static void
look(struct nr_store *st, struct lines *l)
{
	struct nr_snap *sn;
	struct nr_hit hit;
	uint64_t number;
	size_t i;

	MUST(nr_snap_new(&sn, st) == 0);
	MUST(nr_snap_renew(sn) == 0);
	for (number = 0;; number = hit.number + 1) {
		MUST(nr_snap_at(sn, &hit, number, -1) == 0);
		if (hit.line.p == NULL)
			break;
		take_hit(l, &hit);
	}
	for (i = 0; i < l->n; i++) {
		MUST(nr_snap_get(sn, &hit, l->v[i].ev.id) == 0);
		MUST((hit.line.p != NULL) == l->v[i].seen);
		if (l->v[i].due && !l->killers)
			MUST(l->v[i].seen);
	}
	nr_snap_free(sn);
}

/* The file has the whole lines; cut says that it has nothing else. */
static void
compare(const char *name, const char *p, size_t n, int cut)
{
	const char *lf = n > 0 ? memrchr(p, '\n', n) : NULL;
	size_t whole = lf != NULL ? (size_t)(lf + 1 - p) : 0;
	struct nr_buf b = { 0 };
	char torn[64];

	MUST(get_file(name, &b));
	MUST(b.len >= whole && memcmp(b.p, p, whole) == 0);
	MUST(b.len == whole || b.len == n);
	if (cut) {
		MUST(b.len == whole);
		snprintf(torn, sizeof(torn), "%.12s-%zu.torn", name, whole);
		MUST(get_file(torn, &b) == (whole < n));
		MUST(b.len == n - whole);
		MUST(b.len == 0 || memcmp(b.p, p + whole, b.len) == 0);
	}
	nr_buf_free(&b);
}

static void
ignore(void *ctx, const char *text)
{
	(void)ctx;
	(void)text;
}

static void
try(char *p, size_t n, size_t indexed, size_t second)
{
	struct nr_check check = { .report = ignore };
	struct lines l = { NULL, 0, 0 };
	struct nr_store *st;
	size_t one = second > 0 ? second : n;
	int rc;

	wipe();
	if (indexed > 0)
		store_base();
	put_file("log/00000001.jsonl", p + indexed, one - indexed, O_APPEND);
	if (second > 0)
		put_file("log/00000002.jsonl", p + one, n - one, 0);
	add_lines(&l, p, one);
	add_lines(&l, p + one, n - one);
	st = open_store(0);
	look(st, &l);
	rc = nr_store_check(st, &check);
	MUST(rc == 0);
	nr_store_close(st);
	compare("log/00000001.jsonl", p, one, second == 0);
	if (second > 0)
		compare("log/00000002.jsonl", p + one, n - one, 1);
	free(l.v);
}

static void
begin(void)
{
	struct nr_gen_options o = { .model = NR_GEN_NETWORK, .seed = 3,
	    .count = 100, .authors = 3, .since = 1, .until = 1000 };
	const char *tmp = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
	struct nr_event ev;
	struct nr_gen *g;
	unsigned author;

	snprintf(dir, sizeof(dir), "%s/nr-fuzz.XXXXXX", tmp);
	MUST(mkdtemp(dir) != NULL);
	MUST(mkdir(path("log"), 0777) == 0);
	MUST(mkdir(path("index"), 0777) == 0);
	atexit(end);
	MUST(nr_verifier_new(&verifier) == 0);
	MUST(nr_gen_new(&g, &o) == 0);
	do {
		base.len = 0;
		MUST(nr_gen_next(g, &base, &author) == 0);
		MUST(nr_event_view(&ev, base.p, base.len - 1));
	} while (ev.kind != 1);
	nr_gen_free(g);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	size_t indexed = 0, second = 0, n;
	char *p;

	if (*dir == '\0')
		begin();
	if (size == 0)
		return 0;
	if (data[0] & 1)
		indexed = base.len;
	n = indexed + size - 1;
	p = malloc(n + 1);
	MUST(p != NULL);
	memcpy(p, base.p, indexed);
	memcpy(p + indexed, data + 1, size - 1);
	if (data[0] & 2)
		right_ids(p + indexed, size - 1);
	if (data[0] & 4)
		second = indexed + (size - 1) / 2;
	try(p, n, indexed, second);
	free(p);
	return 0;
}
