/*
 * What the log has beyond its recorded end: lines of a writer that died
 * between writing the log and committing the index.  Nobody was told that
 * they are stored, but they may be, so they are kept where they are whole.
 */
#include "store/internal.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "util/err.h"

/* What was accepted once by some limits is not refused now by others. */
static const struct nr_event_limits log_limits = {
	.bytes = NR_PLACE_LEN, .tags = UINT_MAX, .tag_items = UINT_MAX,
	.tag_bytes = SIZE_MAX, .depth = 1
};

int
nr_log_line_valid(struct nr_verifier *v, struct nr_item *item,
    struct nr_view line)
{
	size_t pos;

	/* Only a line that this store would have written itself will do. */
	item->line = line;
	item->vanish = 0;	/* deaths.jsonl says whether it was */
	return nr_event_read(&item->ev, line.p, line.len, &log_limits,
	    &pos) == NR_VALID &&
	    nr_verify_event(v, &item->ev, NR_TRUST_SIGNATURES) == NR_VALID &&
	    nr_event_view_read(&item->ev, line.p, line.len);
}

/* Read up to a chunk of the segment from offset on. */
static int
read_chunk(struct nr_store *st, struct nr_buf *b, uint32_t segment,
    uint64_t offset, size_t size)
{
	char name[NR_LOG_NAME_MAX];
	ssize_t n = 0;
	int fd, rc;

	if ((rc = nr_buf_reserve(b, size)) != NR_OK)
		return rc;
	nr_log_name(name, segment, 0, 0);
	fd = openat(st->log.dirfd, name, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return errno;
	while (b->len < size) {
		n = pread(fd, b->p + b->len, size - b->len,
		    (off_t)(offset + b->len));
		if (n <= 0)
			break;
		b->len += (size_t)n;
	}
	rc = n < 0 ? errno : NR_OK;
	close(fd);
	return rc;
}

/* Copy what a file has from offset on to another one. */
static int
copy_rest(int from, uint64_t offset, int to)
{
	char *buf;
	uint64_t at = 0;
	ssize_t n;
	int rc = NR_OK;

	if ((buf = malloc(NR_TAIL_CHUNK)) == NULL)
		return ENOMEM;
	while (rc == NR_OK) {
		n = pread(from, buf, NR_TAIL_CHUNK, (off_t)(offset + at));
		if (n < 0)
			rc = errno;
		if (n <= 0)
			break;
		rc = nr_write_at(to, buf, (size_t)n, at);
		at += (uint64_t)n;
	}
	free(buf);
	return rc;
}

static int
open_segment(struct nr_store *st, uint32_t segment, int *fd)
{
	char name[NR_LOG_NAME_MAX];

	nr_log_name(name, segment, 0, 0);
	*fd = openat(st->log.dirfd, name, O_RDONLY | O_CLOEXEC);
	return *fd < 0 ? errno : NR_OK;
}

int
nr_tail_line_end(int fd, uint64_t *offset, int *found)
{
	char buf[64 * 1024], *lf;
	ssize_t n;

	*found = 0;
	for (;;) {
		n = pread(fd, buf, sizeof(buf), (off_t)*offset);
		if (n <= 0)
			return n < 0 ? errno : NR_OK;
		if ((lf = memchr(buf, '\n', (size_t)n)) != NULL) {
			*offset += (uint64_t)(lf + 1 - buf);
			*found = 1;
			return NR_OK;
		}
		*offset += (uint64_t)n;
	}
}

int
nr_tail_set_aside(struct nr_store *st, uint32_t segment, uint64_t offset)
{
	char name[NR_LOG_NAME_MAX + 32];
	int fd, from, rc;

	if ((rc = open_segment(st, segment, &from)) != NR_OK)
		return rc;
	snprintf(name, sizeof(name), "%08" PRIu32 "-%" PRIu64 ".torn",
	    segment, offset);
	fd = openat(st->log.dirfd, name,
	    O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
	if (fd < 0) {
		rc = errno;
		close(from);
		return rc;
	}
	rc = copy_rest(from, offset, fd);
	close(from);
	if (rc == NR_OK && fsync(fd) != 0)
		rc = errno;
	if (close(fd) != 0 && rc == NR_OK)
		rc = errno;
	if (rc == NR_OK && fsync(st->log.dirfd) != 0)
		rc = errno;
	return rc != NR_OK ? rc :
	    nr_log_truncate(&st->log, segment, offset);
}

/* Apply the complete lines in b, which start at w->head.end. */
static int
apply_lines(struct nr_writer *w, const struct nr_buf *b)
{
	struct nr_place at = { .segment = w->head.end.segment };
	const char *p = b->p, *end = b->p + b->len, *lf;
	struct nr_item item;
	struct nr_view line;
	int rc = NR_OK;

	while (rc == NR_OK && p < end &&
	    (lf = memchr(p, '\n', (size_t)(end - p))) != NULL) {
		line.p = p;
		line.len = (size_t)(lf - p);
		at.offset = (uint32_t)w->head.end.offset;
		at.len = (uint32_t)line.len;
		if (nr_log_line_valid(w->st->verifier, &item, line))
			rc = nr_rules_apply(w, &item, &at, 0, -1);
		if (rc == NR_OK)
			rc = nr_writer_count(w, at.segment,
			    (int64_t)line.len + 1, 1);
		w->head.end.offset += line.len + 1;
		p = lf + 1;
	}
	return rc;
}

/*
 * There is no end of a line in all that a line may have: pass over it up to
 * the next one, or set everything aside where there is none.
 */
static int
pass_over(struct nr_writer *w)
{
	struct nr_end *at = &w->head.end;
	uint64_t end = at->offset;
	int fd, found, rc;

	if ((rc = open_segment(w->st, at->segment, &fd)) != NR_OK)
		return rc;
	rc = nr_tail_line_end(fd, &end, &found);
	close(fd);
	if (rc != NR_OK)
		return rc;
	if (!found)
		return nr_tail_set_aside(w->st, at->segment, at->offset);
	rc = nr_writer_count(w, at->segment, (int64_t)(end - at->offset), 1);
	at->offset = end;
	w->pending_at = *at;
	return rc;
}

/*
 * Index one chunk of the segment that w->head.end is in.  The lines become
 * pending, so that they are written again where they are, and synced.
 */
static int
take_chunk(struct nr_writer *w, uint64_t size)
{
	uint64_t left = size - w->head.end.offset;
	size_t want = left < NR_TAIL_CHUNK ? (size_t)left : NR_TAIL_CHUNK;
	char *last;
	int rc;

	for (;;) {
		rc = read_chunk(w->st, &w->pending, w->head.end.segment,
		    w->head.end.offset, want);
		if (rc != NR_OK)
			return rc;
		last = memrchr(w->pending.p, '\n', w->pending.len);
		if (last != NULL || want == left || want > NR_PLACE_LEN / 2)
			break;
		want = left / 2 < want ? (size_t)left : want * 2;
	}
	if (last == NULL) {
		w->pending.len = 0;
		return pass_over(w);
	}
	w->pending.len = (size_t)(last + 1 - w->pending.p);
	w->pending_at = w->head.end;
	return apply_lines(w, &w->pending);
}

/*
 * Bring the index one step nearer to the log's end.
 * done  nothing was left to do
 */
static int
step(struct nr_store *st, int *done)
{
	struct nr_writer w = { .st = st, .tail = 1 };
	uint64_t size = 0;
	int rc;

	*done = 0;
	if ((rc = nr_writer_open(st, &w)) != NR_OK)
		return rc;
	if (w.head.end.segment != 0) {
		rc = nr_log_size(&st->log, w.head.end.segment, 0,
		    &size);
		if (rc == ENOENT || (rc == NR_OK && (size > UINT32_MAX ||
		    size < w.head.end.offset)))
			rc = NR_ECORRUPT;
	}
	if (rc == NR_OK && size == w.head.end.offset) {
		rc = nr_log_size(&st->log, w.head.end.segment + 1, 0,
		    &size);
		if (rc == ENOENT) {
			*done = 1;
			nr_writer_free(&w);
			return NR_OK;
		}
		w.head.end.segment++;
		w.head.end.offset = 0;
		w.pending_at = w.head.end;
	}
	if (rc == NR_OK && size > w.head.end.offset)
		rc = take_chunk(&w, size);
	if (rc == NR_OK)
		return nr_write_step(&w);
	nr_writer_free(&w);
	return rc;
}

int
nr_tail_take(struct nr_store *st)
{
	int rc, done = 0;

	do
		rc = step(st, &done);
	while (rc == NR_OK && !done);
	return rc;
}
