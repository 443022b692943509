/*
 * log/deaths.jsonl: events that died for a reason which the log itself
 * does not hold, such as the operator's word.  A rebuild honours them.
 *
 *	{"segment":1,"offset":1234,"id":"..."}
 *
 * The file is synced before the index is committed, and is read on from
 * where the index knows it: what a killed writer left there is done.
 */
#include "store/internal.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "util/err.h"
#include "util/hex.h"

#define NAME	"deaths.jsonl"

/* The file from offset on; an absent file is an empty one. */
static int
read_file(struct nr_store *st, struct nr_buf *b, uint64_t offset)
{
	struct stat s;
	ssize_t n = 1;
	int fd, rc = NR_OK;

	if ((fd = openat(st->log.dirfd, NAME, O_RDONLY | O_CLOEXEC)) < 0)
		return errno == ENOENT ? NR_OK : errno;
	if (fstat(fd, &s) != 0)
		rc = errno;
	else if ((uint64_t)s.st_size > offset)
		rc = nr_buf_reserve(b, (size_t)((uint64_t)s.st_size - offset));
	while (rc == NR_OK && n > 0 && b->len < b->cap) {
		n = pread(fd, b->p + b->len, b->cap - b->len,
		    (off_t)(offset + b->len));
		if (n < 0)
			rc = errno;
		else
			b->len += (size_t)n;
	}
	close(fd);
	return rc;
}

/* Take the next complete line; returns 0 at the end. */
static int
next(const struct nr_buf *b, size_t *at, struct nr_place *place,
    unsigned char id[32], int *valid)
{
	char line[128], hex[65];
	const char *lf;
	size_t n;

	lf = b->len > *at ? memchr(b->p + *at, '\n', b->len - *at) : NULL;
	if (lf == NULL)
		return 0;
	n = (size_t)(lf - (b->p + *at));
	*valid = n < sizeof(line);
	if (*valid) {
		memcpy(line, b->p + *at, n);
		line[n] = '\0';
		memset(place, 0, sizeof(*place));
		*valid = sscanf(line, "{\"segment\":%" SCNu32 ",\"offset\":%"
		    SCNu32 ",\"id\":\"%64[0-9a-f]\"}", &place->segment,
		    &place->offset, hex) == 3 && strlen(hex) == 64 &&
		    nr_hex_decode(id, hex, 32);
	}
	*at += n + 1;
	return 1;
}

static int
write_file(struct nr_store *st, const struct nr_buf *b, uint64_t offset)
{
	int fd, rc;

	fd = openat(st->log.dirfd, NAME, O_WRONLY | O_CREAT | O_CLOEXEC,
	    0666);
	if (fd < 0)
		return errno;
	/* Half a line of a killed writer, perhaps. */
	rc = ftruncate(fd, (off_t)offset) == 0 ? NR_OK : errno;
	if (rc == NR_OK)
		rc = nr_write_at(fd, b->p, b->len, offset);
	if (rc == NR_OK && (fsync(fd) != 0 ||
	    (offset == 0 && fsync(st->log.dirfd) != 0)))
		rc = errno;
	if (close(fd) != 0 && rc == NR_OK)
		rc = errno;
	return rc;
}

int
nr_deaths_append(struct nr_writer *w, const uint64_t *numbers, size_t n)
{
	struct nr_buf b = { 0 };
	struct nr_place at;
	struct nr_view line;
	size_t i;
	int rc = NR_OK;

	for (i = 0; rc == NR_OK && i < n; i++) {
		rc = nr_writer_line(w, &at, &line, numbers[i]);
		if (rc == MDB_NOTFOUND) {
			rc = NR_OK;
			continue;
		}
		/* A line starts with {"id":" and the id. */
		if (rc == NR_OK)
			rc = nr_buf_addf(&b, "{\"segment\":%" PRIu32
			    ",\"offset\":%" PRIu32 ",\"id\":\"%.64s\"}\n",
			    at.segment, at.offset, line.p + 7);
	}
	if (rc == NR_OK && b.len > 0)
		rc = write_file(w->st, &b, w->head.deaths);
	if (rc == NR_OK)
		w->head.deaths += b.len;
	nr_buf_free(&b);
	return rc;
}

int
nr_deaths_take(struct nr_writer *w)
{
	unsigned char id[32];
	struct nr_buf b = { 0 };
	struct nr_place want, at;
	struct nr_view line;
	uint64_t number;
	size_t pos = 0;
	int rc, valid;

	rc = read_file(w->st, &b, w->head.deaths);
	while (rc == NR_OK && next(&b, &pos, &want, id, &valid)) {
		if (!valid)
			continue;
		rc = nr_writer_find_id(w, &number, &at, &line, id);
		if (rc == NR_OK && number != UINT64_MAX &&
		    (at.segment != want.segment || at.offset != want.offset))
			continue;
		if (rc == NR_OK)
			rc = nr_rules_ban(w, id, number);
	}
	if (rc == NR_OK)
		w->head.deaths += pos;
	nr_buf_free(&b);
	return rc;
}

static int
place_cmp(const void *a, const void *b)
{
	const struct nr_place *x = a, *y = b;

	if (x->segment != y->segment)
		return x->segment < y->segment ? -1 : 1;
	return (x->offset > y->offset) - (x->offset < y->offset);
}

int
nr_deaths_load(struct nr_store *st, struct nr_deaths *d, uint64_t *bytes)
{
	unsigned char id[32];
	struct nr_buf b = { 0 }, places = { 0 };
	struct nr_place at;
	size_t pos = 0;
	int rc, valid;

	rc = read_file(st, &b, 0);
	while (rc == NR_OK && next(&b, &pos, &at, id, &valid))
		if (valid)
			rc = nr_buf_add(&places, &at, sizeof(at));
	nr_buf_free(&b);
	if (rc != NR_OK) {
		nr_buf_free(&places);
		return rc;
	}
	d->at = (void *)places.p;
	d->n = places.len / sizeof(at);
	*bytes = pos;
	if (d->n > 1)
		qsort(d->at, d->n, sizeof(*d->at), place_cmp);
	return NR_OK;
}

int
nr_deaths_has(const struct nr_deaths *d, const struct nr_place *at)
{
	return d->n > 0 &&
	    bsearch(at, d->at, d->n, sizeof(*at), place_cmp) != NULL;
}

void
nr_deaths_free(struct nr_deaths *d)
{
	free(d->at);
	d->at = NULL;
	d->n = 0;
}
