/*
 * Sorting entries.
 *
 * A chunk is small enough to be sorted in the processor's cache, which is
 * where most of the speed comes from.  Each element carries the first
 * eight bytes of its key, so that most comparisons touch nothing else.
 */
#include "store/sorter.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "store/log.h"
#include "util/buf.h"
#include "util/err.h"

#define CHUNK		((size_t)2 * 1024 * 1024)	/* bytes of records */
#define READ_AHEAD	((size_t)64 * 1024)

/*
 * A record: table, op, key length, value length, key, value.
 */
#define HEAD	4
#define RECORD_MAX	(HEAD + NR_KEY_MAX + 16)

struct element {
	uint64_t	prefix;		/* table and the key's first bytes */
	uint32_t	at;		/* of the record in the chunk */
};

/* A sorted run, in memory or in the file. */
struct run {
	struct nr_buf	mem;		/* all of it, or a window of it */
	uint64_t	at, end;	/* what of the file is not read yet */
	size_t		pos;		/* in mem, while merging */
	int		in_file;
};

/* A merge of runs: a heap of those that have something left. */
struct merge {
	struct nr_sorter	*s;
	struct run		**heap;
	const unsigned char	**head;
	size_t			 n;
};

struct nr_sorter {
	int		 dirfd;
	size_t		 limit;
	struct nr_buf	 chunk;
	struct element	*el;
	size_t		 n, cap;
	struct run	*run;
	size_t		 nruns, capruns;
	size_t		 held;		/* bytes of the runs in memory */
	int		 fd;		/* the temporary file, or -1 */
	uint64_t	 fd_len;
	uint64_t	 count;
	struct merge	 out;		/* what is read one by one */
	size_t		 at;		/* likewise, where there are no runs */
};

int
nr_sorter_new(struct nr_sorter **out, int dirfd, size_t limit)
{
	struct nr_sorter *s;

	if ((s = calloc(1, sizeof(*s))) == NULL)
		return ENOMEM;
	s->dirfd = dirfd;
	s->limit = limit;
	s->fd = -1;
	*out = s;
	return NR_OK;
}

static void
merge_end(struct merge *m)
{
	free(m->heap);
	free(m->head);
	m->heap = NULL;
	m->head = NULL;
	m->n = 0;
}

void
nr_sorter_clear(struct nr_sorter *s)
{
	size_t i;

	merge_end(&s->out);
	for (i = 0; i < s->nruns; i++)
		nr_buf_free(&s->run[i].mem);
	s->nruns = 0;
	s->held = 0;
	s->chunk.len = 0;
	s->n = 0;
	s->count = 0;
	if (s->fd >= 0)
		close(s->fd);
	s->fd = -1;
	s->fd_len = 0;
}

void
nr_sorter_free(struct nr_sorter *s)
{
	if (s == NULL)
		return;
	nr_sorter_clear(s);
	nr_buf_free(&s->chunk);
	free(s->el);
	free(s->run);
	free(s);
}

uint64_t
nr_sorter_count(const struct nr_sorter *s)
{
	return s->count;
}

static int
record_cmp(const unsigned char *a, const unsigned char *b)
{
	size_t la = a[2], lb = b[2], n = la < lb ? la : lb;
	int c;

	if (a[0] != b[0])
		return a[0] < b[0] ? -1 : 1;
	if ((c = memcmp(a + HEAD, b + HEAD, n)) != 0)
		return c;
	if (la != lb)
		return la < lb ? -1 : 1;
	return (int)a[1] - (int)b[1];
}

static int
element_cmp(const void *a, const void *b, void *chunk)
{
	const struct element *x = a, *y = b;
	const unsigned char *base = chunk;

	if (x->prefix != y->prefix)
		return x->prefix < y->prefix ? -1 : 1;
	return record_cmp(base + x->at, base + y->at);
}

static void
sort_chunk(struct nr_sorter *s)
{
	if (s->n > 1)
		qsort_r(s->el, s->n, sizeof(s->el[0]), element_cmp,
		    s->chunk.p);
}

static size_t
record_len(const unsigned char *r)
{
	return HEAD + (size_t)r[2] + r[3];
}

static struct run *
new_run(struct nr_sorter *s)
{
	struct run *p;

	if (s->nruns == s->capruns) {
		p = realloc(s->run, (s->capruns * 2 + 16) * sizeof(*p));
		if (p == NULL)
			return NULL;
		s->run = p;
		s->capruns = s->capruns * 2 + 16;
	}
	p = &s->run[s->nruns++];
	memset(p, 0, sizeof(*p));
	return p;
}

/* The next record of a run; NULL at its end, or with *rc set. */
static const unsigned char *
run_head(struct nr_sorter *s, struct run *r, int *rc)
{
	size_t have = r->mem.len - r->pos, want;
	ssize_t n;

	if (r->in_file && have < RECORD_MAX && r->at < r->end) {
		if (have > 0)
			memmove(r->mem.p, r->mem.p + r->pos, have);
		r->mem.len = have;
		r->pos = 0;
		if ((*rc = nr_buf_reserve(&r->mem, READ_AHEAD)) != NR_OK)
			return NULL;
		want = r->end - r->at < READ_AHEAD ?
		    (size_t)(r->end - r->at) : READ_AHEAD;
		n = pread(s->fd, r->mem.p + have, want, (off_t)r->at);
		if (n <= 0) {
			*rc = n < 0 ? errno : EIO;
			return NULL;
		}
		r->at += (uint64_t)n;
		r->mem.len += (size_t)n;
	}
	if (r->pos == r->mem.len)
		return NULL;
	return (const unsigned char *)r->mem.p + r->pos;
}

static void
sift(struct merge *m, size_t i)
{
	const unsigned char *h = m->head[i];
	struct run *r = m->heap[i];
	size_t child;

	for (;;) {
		child = 2 * i + 1;
		if (child >= m->n)
			break;
		if (child + 1 < m->n &&
		    record_cmp(m->head[child + 1], m->head[child]) < 0)
			child++;
		if (record_cmp(m->head[child], h) >= 0)
			break;
		m->heap[i] = m->heap[child];
		m->head[i] = m->head[child];
		i = child;
	}
	m->heap[i] = r;
	m->head[i] = h;
}

/* Pass over the first record of the heap; the next may be of any run. */
static int
advance(struct merge *m)
{
	struct run *r = m->heap[0];
	int rc = NR_OK;

	r->pos += record_len(m->head[0]);
	m->head[0] = run_head(m->s, r, &rc);
	if (rc != NR_OK)
		return rc;
	if (m->head[0] == NULL) {
		m->n--;
		m->heap[0] = m->heap[m->n];
		m->head[0] = m->head[m->n];
	}
	if (m->n > 1)
		sift(m, 0);
	return NR_OK;
}

typedef int	take_fn(void *ctx, const unsigned char *record);

/* Set up a merge of the runs from the one numbered first on. */
static int
merge_begin(struct nr_sorter *s, struct merge *m, size_t first)
{
	size_t i, n = s->nruns - first;
	int rc = NR_OK;

	m->s = s;
	m->n = 0;
	m->heap = calloc(n + 1, sizeof(*m->heap));
	m->head = calloc(n + 1, sizeof(*m->head));
	if (m->heap == NULL || m->head == NULL)
		rc = ENOMEM;
	for (i = first; rc == NR_OK && i < s->nruns; i++) {
		m->heap[m->n] = &s->run[i];
		m->head[m->n] = run_head(s, &s->run[i], &rc);
		if (m->head[m->n] != NULL)
			m->n++;
	}
	for (i = m->n / 2; rc == NR_OK && i > 0; i--)
		sift(m, i - 1);
	if (rc != NR_OK)
		merge_end(m);
	return rc;
}

typedef int	take_fn(void *ctx, const unsigned char *record);

/* Merge runs from the one numbered first on, giving records to take. */
static int
merge_runs(struct nr_sorter *s, size_t first, take_fn *take, void *ctx)
{
	struct merge m;
	int rc;

	if ((rc = merge_begin(s, &m, first)) != NR_OK)
		return rc;
	while (rc == NR_OK && m.n > 0)
		if ((rc = take(ctx, m.head[0])) == NR_OK)
			rc = advance(&m);
	merge_end(&m);
	return rc;
}

/* Records on their way into the file. */
struct spill {
	struct nr_sorter	*s;
	struct nr_buf		 buf;
	uint64_t		 at;
};

static int
spill_flush(struct spill *sp)
{
	int rc;

	rc = nr_write_at(sp->s->fd, sp->buf.p, sp->buf.len, sp->at);
	sp->at += sp->buf.len;
	sp->buf.len = 0;
	return rc;
}

static int
spill_take(void *ctx, const unsigned char *record)
{
	struct spill *sp = ctx;
	int rc;

	rc = nr_buf_add(&sp->buf, record, record_len(record));
	if (rc == NR_OK && sp->buf.len >= READ_AHEAD)
		rc = spill_flush(sp);
	return rc;
}

/* Merge all runs that are in memory into one in the file. */
static int
spill_runs(struct nr_sorter *s)
{
	struct spill sp = { .s = s, .at = s->fd_len };
	struct run *r;
	size_t i, first = 0;
	int rc;

	if (s->fd < 0) {
		s->fd = openat(s->dirfd, ".", O_TMPFILE | O_RDWR | O_CLOEXEC,
		    0600);
		if (s->fd < 0)
			return errno;
	}
	while (first < s->nruns && s->run[first].in_file)
		first++;
	rc = merge_runs(s, first, spill_take, &sp);
	if (rc == NR_OK)
		rc = spill_flush(&sp);
	nr_buf_free(&sp.buf);
	if (rc != NR_OK)
		return rc;
	for (i = first; i < s->nruns; i++)
		nr_buf_free(&s->run[i].mem);
	s->nruns = first;
	s->held = 0;
	r = new_run(s);		/* there is room: some were just removed */
	r->in_file = 1;
	r->at = s->fd_len;
	r->end = s->fd_len = sp.at;
	return NR_OK;
}

/* Turn the chunk into a run. */
static int
end_chunk(struct nr_sorter *s)
{
	const unsigned char *rec;
	struct run *r;
	size_t i;
	char *o;
	int rc;

	if (s->n == 0)
		return NR_OK;
	sort_chunk(s);
	if ((r = new_run(s)) == NULL)
		return ENOMEM;
	if ((r->mem.p = malloc(s->chunk.len)) == NULL) {
		s->nruns--;
		return ENOMEM;
	}
	r->mem.cap = r->mem.len = s->chunk.len;
	for (i = 0, o = r->mem.p; i < s->n; i++) {
		rec = (const unsigned char *)s->chunk.p + s->el[i].at;
		memcpy(o, rec, record_len(rec));
		o += record_len(rec);
	}
	s->held += r->mem.len;
	s->chunk.len = 0;
	s->n = 0;
	rc = NR_OK;
	if (s->held > s->limit)
		rc = spill_runs(s);
	return rc;
}

static uint64_t
prefix_of(enum nr_table t, const struct nr_key *key)
{
	uint64_t v = (uint64_t)t;
	size_t i;

	for (i = 0; i < 7; i++)
		v = v << 8 | (i < key->klen ? key->k[i] : 0);
	return v;
}

int
nr_sorter_add(struct nr_sorter *s, enum nr_table t, enum nr_op op,
    const struct nr_key *key)
{
	struct element *p;
	unsigned char *r;
	int rc;

	if (s->limit > 0 && s->chunk.len >= CHUNK &&
	    (rc = end_chunk(s)) != NR_OK)
		return rc;
	if ((rc = nr_buf_reserve(&s->chunk, RECORD_MAX)) != NR_OK)
		return rc;
	if (s->n == s->cap) {
		p = realloc(s->el, (s->cap * 2 + 1024) * sizeof(*p));
		if (p == NULL)
			return ENOMEM;
		s->el = p;
		s->cap = s->cap * 2 + 1024;
	}
	r = (unsigned char *)s->chunk.p + s->chunk.len;
	r[0] = (unsigned char)t;
	r[1] = (unsigned char)op;
	r[2] = (unsigned char)key->klen;
	r[3] = (unsigned char)key->vlen;
	memcpy(r + HEAD, key->k, key->klen);
	memcpy(r + HEAD + key->klen, key->v, key->vlen);
	s->el[s->n].prefix = prefix_of(t, key);
	s->el[s->n++].at = (uint32_t)s->chunk.len;
	s->chunk.len += record_len(r);
	s->count++;
	return NR_OK;
}

/* What a walk gives its records to. */
struct walk {
	nr_visit	*visit;
	void		*ctx;
};

static void
unpack(const unsigned char *record, struct nr_key *key)
{
	key->klen = record[2];
	key->vlen = record[3];
	memcpy(key->k, record + HEAD, key->klen);
	memcpy(key->v, record + HEAD + key->klen, key->vlen);
}

static int
walk_take(void *ctx, const unsigned char *record)
{
	struct walk *w = ctx;
	struct nr_key key;

	unpack(record, &key);
	return w->visit(w->ctx, (enum nr_table)record[0],
	    (enum nr_op)record[1], &key);
}

int
nr_sorter_walk(struct nr_sorter *s, nr_visit *visit, void *ctx)
{
	struct walk w = { visit, ctx };
	size_t i;
	int rc = NR_OK;

	if (s->nruns > 0) {
		if ((rc = end_chunk(s)) != NR_OK)
			return rc;
		return merge_runs(s, 0, walk_take, &w);
	}
	sort_chunk(s);
	for (i = 0; rc == NR_OK && i < s->n; i++)
		rc = walk_take(&w, (const unsigned char *)s->chunk.p +
		    s->el[i].at);
	return rc;
}

int
nr_sorter_begin(struct nr_sorter *s)
{
	int rc;

	s->at = 0;
	if (s->nruns == 0) {
		sort_chunk(s);
		return NR_OK;
	}
	if ((rc = end_chunk(s)) != NR_OK)
		return rc;
	return merge_begin(s, &s->out, 0);
}

int
nr_sorter_next(struct nr_sorter *s, int *more, enum nr_table *t,
    enum nr_op *op, struct nr_key *key)
{
	const unsigned char *record;

	*more = s->nruns > 0 ? s->out.n > 0 : s->at < s->n;
	if (!*more)
		return NR_OK;
	record = s->nruns > 0 ? s->out.head[0] :
	    (const unsigned char *)s->chunk.p + s->el[s->at].at;
	*t = (enum nr_table)record[0];
	*op = (enum nr_op)record[1];
	unpack(record, key);
	if (s->nruns > 0)
		return advance(&s->out);
	s->at++;
	return NR_OK;
}
