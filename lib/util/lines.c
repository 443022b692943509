/*
 * Lines in blocks: read what is there, cut behind the last LF, keep the
 * rest for the next block.
 */
#include "util/lines.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "util/err.h"
#include "util/input.h"

#define BLOCK	((size_t)256 * 1024)

int
nr_lines_init(struct nr_lines *l, int fd, size_t max, int plain)
{
	memset(l, 0, sizeof(*l));
	l->max = max;
	return nr_input_new(&l->in, fd, plain);
}

void
nr_lines_free(struct nr_lines *l)
{
	nr_input_free(l->in);
	nr_buf_free(&l->carry);
	if (l->block != NULL)
		nr_block_free(l->block);
	free(l->block);
	memset(l, 0, sizeof(*l));
}

void
nr_block_free(struct nr_block *b)
{
	nr_buf_free(&b->text);
}

struct nr_view
nr_line_item(const char *line, size_t len)
{
	static const char space[] = " \t\r";
	const char *comment = memchr(line, '#', len);
	struct nr_view v = { line, len };

	if (comment != NULL)
		v.len = (size_t)(comment - line);
	while (v.len > 0 && memchr(space, v.p[v.len - 1], 3) != NULL)
		v.len--;
	while (v.len > 0 && memchr(space, *v.p, 3) != NULL) {
		v.p++;
		v.len--;
	}
	return v;
}

uint64_t
nr_lines_bytes(const struct nr_lines *l)
{
	return nr_input_bytes(l->in);
}

static uint64_t
count_lines(const char *p, size_t n)
{
	const char *end = p + n;
	uint64_t lines = 0;

	while (p < end && (p = memchr(p, '\n', (size_t)(end - p))) != NULL) {
		lines++;
		p++;
	}
	return lines;
}

/* Cut b behind the byte at last, and carry what follows. */
static int
cut(struct nr_lines *l, struct nr_block *b, const char *last)
{
	size_t keep = (size_t)(last + 1 - b->text.p);
	int rc;

	l->carry.len = 0;
	rc = nr_buf_add(&l->carry, last + 1, b->text.len - keep);
	if (rc != NR_OK)
		return rc;
	b->text.len = keep;
	b->first = l->lines + 1;
	l->lines += count_lines(b->text.p, b->text.len);
	return NR_OK;
}

/* The line so far is longer than the limit: report it, then pass it over. */
static int
too_long(struct nr_lines *l, struct nr_block *b)
{
	b->text.len = 0;
	b->too_long = 1;
	b->first = ++l->lines;
	l->skipping = 1;
	return NR_OK;
}

/* Drop text up to the end of the line that is too long. */
static void
skip(struct nr_lines *l, struct nr_buf *text)
{
	char *lf;

	if (!l->skipping)
		return;
	if ((lf = memchr(text->p, '\n', text->len)) == NULL) {
		text->len = 0;
		return;
	}
	l->skipping = 0;
	lf++;
	text->len -= (size_t)(lf - text->p);
	memmove(text->p, lf, text->len);
}

/* The input has ended: give its last line the LF that it lacks. */
static int
last_line(struct nr_lines *l, struct nr_block *b)
{
	int rc;

	if (l->skipping || b->text.len == 0)
		return NR_EOF;
	if (b->text.len > l->max)
		return too_long(l, b);
	if ((rc = nr_buf_add(&b->text, "\n", 1)) != NR_OK)
		return rc;
	return cut(l, b, b->text.p + b->text.len - 1);
}

int
nr_lines_block(struct nr_lines *l, struct nr_block *b)
{
	size_t got, from;
	char *last;
	int rc;

	b->too_long = 0;
	b->text.len = 0;
	rc = nr_buf_add(&b->text, l->carry.p, l->carry.len);
	if (rc != NR_OK)
		return rc;
	l->carry.len = 0;
	for (;;) {
		from = b->text.len;
		if (b->text.cap - b->text.len < 4096 || from < BLOCK) {
			rc = nr_buf_reserve(&b->text,
			    from < BLOCK ? BLOCK - from : BLOCK);
			if (rc != NR_OK)
				return rc;
		}
		rc = nr_input_read(l->in, b->text.p + from,
		    b->text.cap - from, &got);
		if (rc == NR_EOF)
			return last_line(l, b);
		if (rc != NR_OK)
			return rc;
		b->text.len += got;
		if (l->skipping) {
			skip(l, &b->text);
			from = 0;
		}
		last = memrchr(b->text.p + from, '\n', b->text.len - from);
		if (last != NULL)
			return cut(l, b, last);
		if (b->text.len > l->max)
			return too_long(l, b);
	}
}

int
nr_block_line(const struct nr_block *b, size_t *at, struct nr_view *line)
{
	const char *lf;

	if (*at == b->text.len)
		return 0;
	line->p = b->text.p + *at;
	lf = memchr(line->p, '\n', b->text.len - *at);
	line->len = (size_t)(lf - line->p);
	*at += line->len + 1;
	return 1;
}

int
nr_lines_next(struct nr_lines *l, const char **line, size_t *len)
{
	struct nr_view v;
	int rc;

	if (l->block == NULL) {
		l->block = calloc(1, sizeof(*l->block));
		if (l->block == NULL)
			return ENOMEM;
	}
	while (!nr_block_line(l->block, &l->at, &v)) {
		l->at = 0;
		if ((rc = nr_lines_block(l, l->block)) != NR_OK) {
			l->block->text.len = 0;
			return rc;
		}
		l->lineno = l->block->first - 1;
		if (l->block->too_long) {
			l->lineno++;
			return NR_ETOOLONG;
		}
	}
	l->lineno++;
	if (v.len > l->max)
		return NR_ETOOLONG;
	*line = v.p;
	*len = v.len;
	return NR_OK;
}
