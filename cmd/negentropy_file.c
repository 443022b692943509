/*
 * Records of a file: of its events, or times and ids as they are given.
 */
#include "negentropy.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "event/tags.h"
#include "tool.h"
#include "util/err.h"
#include "util/hex.h"
#include "util/lines.h"
#include "util/number.h"

/* Where an event is in the copy. */
struct place {
	unsigned char	id[32];
	uint64_t	offset;
	uint32_t	len;
};

struct nr_records {
	const struct nr_filter	*filters;
	size_t			 n;
	struct nr_neg_array	*matching;	/* by filter */
	FILE			*copy;		/* of events, as normal lines */
	uint64_t		 copied;
	struct place		*place;		/* sorted, once it is read */
	size_t			 nplaces, capplaces;
	uint64_t		 used, invalid;	/* lines */
	int64_t			 now;
	struct nr_buf		 line;
};

static void
need(int rc, const char *what)
{
	if (rc != NR_OK)
		nr_die(rc, "%s", what);
}

static const char *
name(const char *path)
{
	return strcmp(path, "-") == 0 ? "stdin" : path;
}

static void
bad(struct nr_records *r, const char *path, uint64_t lineno,
    const char *why)
{
	if (r->invalid++ < 10)
		nr_warn("%s: line %" PRIu64 ": %s", name(path), lineno, why);
}

/* Keep the event for when it is wanted. */
static void
keep(struct nr_records *r, const struct nr_event *ev, struct nr_view line)
{
	struct place *p;

	if (r->nplaces == r->capplaces) {
		r->capplaces = 2 * r->capplaces + 1024;
		p = realloc(r->place, r->capplaces * sizeof(*p));
		if (p == NULL)
			nr_die(ENOMEM, "records");
		r->place = p;
	}
	p = &r->place[r->nplaces++];
	memcpy(p->id, ev->id, 32);
	p->offset = r->copied;
	p->len = (uint32_t)line.len;
	if (fwrite(line.p, 1, line.len, r->copy) != line.len)
		nr_die(errno, "a temporary file");
	r->copied += line.len;
}

static void
add(struct nr_records *r, size_t i, uint64_t time, const unsigned char *id)
{
	need(nr_neg_array_add(&r->matching[i], time, id), "records");
}

static const char *
take_event(struct nr_records *r, const char *line, size_t len)
{
	struct nr_event ev;
	enum nr_verdict what;
	size_t i, pos;

	what = nr_event_read(&ev, line, len, &nr_event_limits_pipe, &pos);
	if (what != NR_VALID)
		return nr_verdict_str(what);
	r->line.len = 0;
	need(nr_buf_reserve(&r->line, NR_EVENT_LINE_MAX(len)), "records");
	r->line.len = nr_event_normalise(&ev, r->line.p);
	/* What nobody stores. */
	if (nr_kind_ephemeral(ev.kind) || nr_event_expiration(&ev) <= r->now)
		return NULL;
	for (i = 0; i < r->n; i++)
		if (nr_filter_match(&r->filters[i], &ev))
			add(r, i, (uint64_t)ev.created_at, ev.id);
	if (r->copy != NULL)
		keep(r, &ev, (struct nr_view){ r->line.p, r->line.len });
	return NULL;
}

/* TIME ID, with a comma or white space between. */
static const char *
take_record(struct nr_records *r, const char *line, size_t len)
{
	const char *p = line, *end = line + len;
	unsigned char id[32];
	uint64_t time;
	size_t i;

	if (len < 66 || nr_number_read(&p, "", &time) != 1 ||
	    p >= end || strchr(", \t", *p) == NULL)
		return "not a time and an id";
	while (p < end && strchr(", \t", *p) != NULL)
		p++;
	if (end - p != 64 || !nr_hex_decode(id, p, 32) ||
	    time > INT64_MAX)
		return "not a time and an id";
	for (i = 0; i < r->n; i++)
		add(r, i, time, id);
	return NULL;
}

static int
compare(const void *a, const void *b)
{
	return memcmp(a, b, 32);
}

static void
read_all(struct nr_records *r, const char *path, int events)
{
	struct nr_lines in;
	const char *line, *why;
	char text[128];
	size_t len;
	int fd, rc;

	need(nr_open_input(&fd, path), path);
	need(nr_lines_init(&in, fd, NR_EVENT_MAX, 0), path);
	while ((rc = nr_lines_next(&in, &line, &len)) != NR_EOF) {
		if (rc != NR_OK && rc != NR_ETOOLONG)
			nr_die(rc, "%s", path);
		if (rc == NR_OK && len == 0)
			continue;
		/* Numbers end at a NUL. */
		if (rc == NR_OK && !events && len < sizeof(text)) {
			memcpy(text, line, len);
			text[len] = '\0';
			line = text;
		}
		why = rc == NR_ETOOLONG ? "too long" : events ?
		    take_event(r, line, len) : len < sizeof(text) ?
		    take_record(r, line, len) : "not a time and an id";
		if (why != NULL)
			bad(r, path, in.lineno, why);
		else
			r->used++;
	}
	nr_lines_free(&in);
	if (fd != STDIN_FILENO)
		close(fd);
}

struct nr_records *
nr_records_new(const char *path, int events, int keeps,
    const struct nr_filter *filters, size_t n)
{
	struct nr_records *r;

	if ((r = calloc(1, sizeof(*r))) == NULL ||
	    (r->matching = calloc(n, sizeof(r->matching[0]))) == NULL)
		nr_die(ENOMEM, "%s", path);
	r->filters = filters;
	r->n = n;
	r->now = time(NULL);
	if (keeps && (r->copy = tmpfile()) == NULL)
		nr_die(errno, "a temporary file");
	read_all(r, path, events);
	/* Compared as an empty set, it would have everything come here. */
	if (r->used == 0 && r->invalid > 0)
		nr_bad_usage("%s: not one line of it is %s", name(path),
		    events ? "an event" : "a time and an id");
	if (r->copy != NULL && fflush(r->copy) != 0)
		nr_die(errno, "a temporary file");
	if (r->nplaces > 0)
		qsort(r->place, r->nplaces, sizeof(r->place[0]), compare);
	if (r->invalid > 10)
		nr_warn("%s: %" PRIu64 " lines are not used", name(path),
		    r->invalid);
	return r;
}

int
nr_records_side(struct nr_records *r, size_t filter, struct nr_side **out)
{
	struct nr_neg_array copy = { 0 };
	const struct nr_neg_array *a = &r->matching[filter];
	size_t i;
	int rc = NR_OK;

	for (i = 0; rc == NR_OK && i < a->n; i++)
		rc = nr_neg_array_add(&copy, a->item[i].time, a->item[i].id);
	return rc != NR_OK ? rc : nr_side_list(out, &copy);
}

int
nr_records_find(struct nr_records *r, struct nr_view *line,
    const unsigned char id[32])
{
	const struct place *p = r->nplaces == 0 ? NULL : bsearch(id,
	    r->place, r->nplaces, sizeof(r->place[0]), compare);
	ssize_t n;
	int rc;

	line->p = NULL;
	line->len = 0;
	if (p == NULL)
		return NR_OK;
	r->line.len = 0;
	if ((rc = nr_buf_reserve(&r->line, p->len)) != NR_OK)
		return rc;
	n = pread(fileno(r->copy), r->line.p, p->len, (off_t)p->offset);
	if (n != (ssize_t)p->len)
		return n < 0 ? errno : NR_ECORRUPT;
	line->p = r->line.p;
	line->len = p->len;
	return NR_OK;
}

uint64_t
nr_records_invalid(const struct nr_records *r)
{
	return r->invalid;
}

void
nr_records_free(struct nr_records *r)
{
	size_t i;

	if (r == NULL)
		return;
	for (i = 0; i < r->n; i++)
		nr_neg_array_free(&r->matching[i]);
	free(r->matching);
	free(r->place);
	if (r->copy != NULL)
		fclose(r->copy);
	nr_buf_free(&r->line);
	free(r);
}
