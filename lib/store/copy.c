/*
 * Copying a segment's live lines to the file of its next generation; or
 * scrubbing: overwriting lines with spaces where they are, of events that
 * have been deleted.
 *
 * Two walks go side by side: over the lines of the segment, and over the
 * places of what is to stay, which are in the same order.  Snapshots are
 * short; what dies behind them is a dead line in the new file.
 *
 * Entries of the dead that wait for a merge are made from their lines, so
 * these stay too.  A dropped line may be why another one is dead, now or
 * when it comes again: that is recorded before the new file counts.
 */
#include "store/compact.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "event/tags.h"
#include "util/err.h"
#include "util/times.h"

#define CHUNK		((size_t)256 * 1024)	/* in one snapshot */
#define RECORDS		((size_t)512 * 1024)	/* of deaths, in one write */

struct copy {
	struct nr_store		*st;
	struct nr_compaction	*c;
	struct nr_snap		*sn;
	struct nr_verifier	*verifier;
	uint32_t		 segment, gen;
	uint64_t		 size;		/* of the old file */
	uint64_t		 at;		/* done, of that */
	uint64_t		 number;	/* live ones below are done */
	int64_t			 now;
	const char		*base;
	int			 fd;
	struct nr_buf		 out;		/* lines to be written */
	struct nr_buf		 deaths;	/* lines to be recorded */
	struct nr_copy		 done;
	/* To scrub: */
	int			 scrub;
	struct nr_buf		 spans;		/* to be overwritten */
	uint64_t		 blank;		/* bytes that are already */
};

/* A line of the segment. */
struct span {
	uint64_t	at;
	size_t		len;
};

/* ---- what stays -------------------------------------------------------------- */

/* The first place of a table from c->number on, if it is of the segment. */
static int
first_in(struct copy *c, enum nr_table t, uint64_t *number,
    struct nr_place *at)
{
	MDB_val k = { sizeof(c->number), &c->number }, v;
	MDB_cursor *cur;
	int rc;

	if ((rc = nr_snap_cursor_of(c->sn, &cur, t)) != NR_OK)
		return rc;
	*number = UINT64_MAX;
	rc = mdb_cursor_get(cur, &k, &v, MDB_SET_RANGE);
	if (rc != 0)
		return rc == MDB_NOTFOUND ? NR_OK : rc;
	if (k.mv_size != sizeof(*number) || v.mv_size != sizeof(*at))
		return NR_ECORRUPT;
	memcpy(at, v.mv_data, sizeof(*at));
	if (at->segment == c->segment)
		memcpy(number, k.mv_data, sizeof(*number));
	return NR_OK;
}

/*
 * The next line that stays; its offset is the segment's end where there
 * is none.
 */
static int
next_kept(struct copy *c, uint64_t *number, uint64_t *offset, size_t *len)
{
	struct nr_place live, dead;
	uint64_t nlive, ndead;
	int rc;

	if ((rc = first_in(c, NR_T_EVENT, &nlive, &live)) != NR_OK ||
	    (rc = first_in(c, NR_T_DEAD, &ndead, &dead)) != NR_OK)
		return rc;
	if (ndead < nlive) {
		nlive = ndead;
		live = dead;
	}
	*number = nlive;
	*offset = nlive == UINT64_MAX ? c->size : live.offset;
	*len = nlive == UINT64_MAX ? 0 : live.len & NR_PLACE_LEN;
	/* The lines before it end where it begins. */
	if (*offset < c->at || *offset + *len + (*len > 0) > c->size ||
	    (*offset > 0 && c->base[*offset - 1] != '\n' && *len > 0))
		return NR_ECORRUPT;
	return NR_OK;
}

static int
keep(struct copy *c, const char *line, size_t len)
{
	unsigned char id[32];
	int rc;

	if (c->scrub)
		return NR_OK;
	if (!nr_event_view_id(id, line, len))
		return NR_ECORRUPT;
	rc = nr_buf_reserve(&c->out, len + 1);
	if (rc != NR_OK)
		return rc;
	memcpy(c->out.p + c->out.len, line, len);
	c->out.p[c->out.len + len] = '\n';
	c->out.len += len + 1;
	c->done.bytes += len + 1;
	c->done.lines++;
	return NR_OK;
}

/* ---- what goes ---------------------------------------------------------------- */

static int
add_death(void *ctx, const struct nr_death *d)
{
	struct copy *c = ctx;

	return nr_death_write(&c->deaths, d);
}

/*
 * Did it expire less than a day ago?  A clock may be wrong.  What somebody
 * has deleted goes in any case.
 */
static int
lingers(struct copy *c, const struct nr_event *ev)
{
	int64_t expires = nr_event_expiration(ev);
	int gone;

	if (expires > c->now || expires <= c->now - NR_COMPACT_DAY)
		return 0;
	return nr_snap_is_deleted(c->sn, &gone, ev) == NR_OK &&
	    gone != NR_GONE;
}

static int
add_span(struct copy *c, const char *line, size_t len)
{
	struct span s = { (uint64_t)(line - c->base), len };

	return nr_buf_add(&c->spans, &s, sizeof(s));
}

static int
blank(const char *line, size_t len)
{
	while (len > 0 && line[len - 1] == ' ')
		len--;
	return len == 0;
}

/* No event: overwritten already, half so by one who was killed, or damaged. */
static int
scrub_other(struct copy *c, const char *line, size_t len)
{
	if (blank(line, len))
		c->blank += len + 1;
	else if (line[0] == ' ' || line[len - 1] == ' ')
		return add_span(c, line, len);
	return NR_OK;
}

static int
scrub_event(struct copy *c, const struct nr_event *ev, const char *line,
    size_t len)
{
	int rc, gone;

	rc = nr_snap_is_deleted(c->sn, &gone, ev);
	if (rc != NR_OK || !gone || lingers(c, ev))
		return rc;
	rc = nr_rules_legacy(c->sn, ev, add_death, c);
	return rc != NR_OK ? rc : add_span(c, line, len);
}

static int
drop(struct copy *c, const char *line, size_t len)
{
	struct nr_view text = { line, len };
	struct nr_item item;

	/* What is no event has no effect. */
	if (len > NR_PLACE_LEN ||
	    !nr_log_line_valid(c->verifier, &item, text) ||
	    nr_kind_ephemeral(item.ev.kind))
		return c->scrub ? scrub_other(c, line, len) : NR_OK;
	if (c->scrub)
		return scrub_event(c, &item.ev, line, len);
	if (lingers(c, &item.ev))
		return keep(c, line, len);
	return nr_rules_legacy(c->sn, &item.ev, add_death, c);
}

/* All lines up to an offset go, or some of them. */
static int
drop_until(struct copy *c, uint64_t offset, uint64_t until)
{
	const char *p, *lf;
	size_t left;
	int rc = NR_OK;

	while (rc == NR_OK && c->at < offset && c->at < until) {
		p = c->base + c->at;
		left = (size_t)(offset - c->at);
		lf = memchr(p, '\n', left);
		rc = drop(c, p, lf != NULL ? (size_t)(lf - p) : left);
		if (rc == NR_OK)
			c->at += lf != NULL ? (size_t)(lf - p) + 1 : left;
	}
	return rc;
}

/* ---- steps ----------------------------------------------------------------------- */

/* A chunk of the old file, under one snapshot. */
static int
copy_chunk(struct copy *c)
{
	uint64_t until = c->at + CHUNK, number, offset;
	size_t len;
	int rc = NR_OK;

	if ((rc = nr_snap_renew(c->sn)) != NR_OK)
		return rc;
	while (rc == NR_OK && c->at < c->size && c->at < until) {
		if ((rc = next_kept(c, &number, &offset, &len)) != NR_OK ||
		    (rc = drop_until(c, offset, until)) != NR_OK ||
		    c->at < offset || len == 0)
			continue;
		rc = keep(c, c->base + offset, len);
		c->at += len + 1;
		c->number = number + 1;
	}
	nr_snap_release(c->sn);
	return rc;
}

static int
line_cmp(const void *a, const void *b)
{
	const struct nr_view *x = a, *y = b;
	size_t n = x->len < y->len ? x->len : y->len;
	int d = memcmp(x->p, y->p, n);

	return d != 0 ? d : (x->len > y->len) - (x->len < y->len);
}

/* Each line of a buffer once. */
static int
unique_lines(struct nr_buf *out, const struct nr_buf *in)
{
	const char *p = in->p, *end = in->p + in->len, *lf;
	struct nr_buf list = { 0 };
	struct nr_view *v, line;
	size_t i, n;
	int rc = NR_OK;

	for (; rc == NR_OK && p < end; p = lf + 1) {
		lf = memchr(p, '\n', (size_t)(end - p));
		line.p = p;
		line.len = (size_t)(lf + 1 - p);
		rc = nr_buf_add(&list, &line, sizeof(line));
	}
	v = (void *)list.p;
	n = list.len / sizeof(*v);
	if (rc == NR_OK && n > 1)
		qsort(v, n, sizeof(*v), line_cmp);
	for (i = 0; rc == NR_OK && i < n; i++)
		if (i == 0 || line_cmp(&v[i], &v[i - 1]) != 0)
			rc = nr_buf_add(out, v[i].p, v[i].len);
	nr_buf_free(&list);
	return rc;
}

/* They are in the index already: only the file has to learn of them. */
static int
record(struct nr_writer *w, void *ctx, int *changed)
{
	const struct nr_buf *lines = ctx;

	(void)changed;
	return nr_buf_add(&w->deaths, lines->p, lines->len);
}

static int
flush_deaths(struct copy *c)
{
	struct nr_buf lines = { 0 };
	int rc;

	if (c->deaths.len == 0)
		return NR_OK;
	rc = unique_lines(&lines, &c->deaths);
	if (rc == NR_OK)
		rc = nr_transact(c->st, record, &lines, 0);
	nr_buf_free(&lines);
	c->deaths.len = 0;
	return rc;
}

/* Write what has been gathered. */
static int
flush(struct copy *c, int all)
{
	int rc = NR_OK;

	if (c->out.len > 0)
		rc = nr_write_at(c->fd, c->out.p, c->out.len,
		    c->done.bytes - c->out.len);
	c->out.len = 0;
	if (rc == NR_OK && (all || c->deaths.len >= RECORDS))
		rc = flush_deaths(c);
	return rc;
}

static int
copy_all(struct copy *c)
{
	const struct nr_progress *p = c->st->progress;
	uint64_t was;
	int rc = NR_OK;

	while (rc == NR_OK && c->at < c->size && !nr_compact_stopped(c->c)) {
		was = c->at;
		if ((rc = copy_chunk(c)) == NR_OK)
			rc = flush(c, 0);
		if (rc == NR_OK && p != NULL)
			p->step(p->ctx, c->scrub ? "scrubbing" :
			    "compacting", c->at, c->size);
		if (rc == NR_OK)
			nr_compact_pace(c->c, (size_t)(c->at - was));
	}
	return rc == NR_OK ? flush(c, 1) : rc;
}

/* The file is whole: give it its name. */
static int
publish(struct copy *c, const char *tmp)
{
	char name[NR_LOG_NAME_MAX];
	int dirfd = c->st->log.dirfd;

	nr_log_name(name, c->segment, c->gen + 1, 0);
	if (fsync(c->fd) != 0 || renameat(dirfd, tmp, dirfd, name) != 0 ||
	    fsync(dirfd) != 0)
		return errno;
	return NR_OK;
}

static int
run(struct copy *c)
{
	char tmp[NR_LOG_NAME_MAX];
	int dirfd = c->st->log.dirfd, rc;

	nr_log_name(tmp, c->segment, c->gen + 1, 1);
	c->fd = openat(dirfd, tmp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC,
	    0666);
	if (c->fd < 0)
		return errno;
	rc = copy_all(c);
	if (rc == NR_OK && !c->c->stopped)
		rc = publish(c, tmp);
	close(c->fd);
	if (rc != NR_OK || c->c->stopped)
		(void)unlinkat(dirfd, tmp, 0);
	return rc;
}

/* What the index says of the segment. */
static int
look(struct copy *c)
{
	struct nr_segrec rec;
	struct nr_map map;
	int rc;

	if ((rc = nr_snap_renew(c->sn)) != NR_OK)
		return rc;
	rc = nr_segrec_get(c->sn->txn, c->st->dbi[NR_T_SEGMENT], c->segment,
	    &rec);
	nr_snap_release(c->sn);
	if (rc != NR_OK)
		return rc;
	c->gen = rec.gen;
	c->size = rec.bytes;
	c->number = rec.first;
	rc = nr_log_map(&c->st->log, &map, c->segment, rec.gen, rec.bytes);
	c->base = map.base;
	return rc == ENOENT ? NR_ECORRUPT : rc;
}

static int
overwrite(struct copy *c, int fd, const struct span *s)
{
	char spaces[4096];
	size_t done, n;
	int rc = NR_OK;

	memset(spaces, ' ', sizeof(spaces));
	for (done = 0; rc == NR_OK && done < s->len; done += n) {
		n = s->len - done < sizeof(spaces) ? s->len - done :
		    sizeof(spaces);
		rc = nr_write_at(fd, spaces, n, s->at + done);
	}
	c->blank += s->len + 1;
	c->done.bytes += s->len + 1;
	c->done.lines++;
	return rc;
}

static int
overwrite_all(struct copy *c)
{
	const struct span *s = (void *)c->spans.p;
	size_t i, n = c->spans.len / sizeof(*s);
	char name[NR_LOG_NAME_MAX];
	int fd, rc = NR_OK;

	nr_log_name(name, c->segment, c->gen, 0);
	fd = openat(c->st->log.dirfd, name, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return errno;
	for (i = 0; rc == NR_OK && i < n; i++)
		rc = overwrite(c, fd, &s[i]);
	if (rc == NR_OK && fdatasync(fd) != 0)
		rc = errno;
	close(fd);
	return rc;
}

static int
note_blank(struct nr_writer *w, void *ctx, int *changed)
{
	struct copy *c = ctx;
	struct nr_segrec rec;
	int rc;

	rc = nr_segrec_get(w->txn, w->st->dbi[NR_T_SEGMENT], c->segment,
	    &rec);
	if (rc != NR_OK)
		return rc;
	*changed = rec.blank != c->blank;
	rec.blank = c->blank;
	return nr_writer_segment_put(w, c->segment, &rec);
}

/* Nobody may still look at what is overwritten. */
static int
scrub(struct copy *c)
{
	int rc;

	if ((rc = copy_all(c)) != NR_OK || c->c->stopped)
		return rc;
	if (c->spans.len > 0 && !nr_compact_wait(c->st))
		return NR_EBUSY;
	if (c->spans.len > 0)
		rc = overwrite_all(c);
	return rc != NR_OK ? rc : nr_transact(c->st, note_blank, c, 0);
}

static int
walk(struct nr_store *st, struct nr_compaction *compaction,
    struct nr_copy *out, uint32_t segment, int scrubs)
{
	struct copy c = {
		.st = st, .c = compaction, .segment = segment,
		.now = time(NULL), .scrub = scrubs
	};
	int rc;

	rc = nr_snap_new(&c.sn, st);
	if (rc == NR_OK)
		rc = nr_verifier_new(&c.verifier);
	if (rc == NR_OK)
		rc = look(&c);
	if (rc == NR_OK)
		rc = scrubs ? scrub(&c) : run(&c);
	nr_buf_free(&c.out);
	nr_buf_free(&c.deaths);
	nr_buf_free(&c.spans);
	nr_verifier_free(c.verifier);
	nr_snap_free(c.sn);
	*out = c.done;
	return rc;
}

int
nr_copy_segment(struct nr_store *st, struct nr_compaction *c,
    struct nr_copy *out, uint32_t segment)
{
	return walk(st, c, out, segment, 0);
}

int
nr_scrub_segment(struct nr_store *st, struct nr_compaction *c,
    struct nr_copy *out, uint32_t segment)
{
	return walk(st, c, out, segment, 1);
}
