/*
 * log/deaths.jsonl: what is dead for a reason that the other lines of the
 * log do not hold: the operator's word, or a line that a compaction has
 * dropped.  A rebuild honours it.
 *
 *	{"id":"..."}			on the operator's word
 *	{"id":"...","by":"..."}		deleted by this key
 *	{"kind":30023,"pubkey":"...","d":"...","until":1700000000}
 *					an address, up to a created_at; d is
 *					a hash
 *	{"vanish":"...","until":1700000000}
 *					all of a key, and gift wraps to it
 *
 * Lines of older stores say where the event was, before its id.
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

static int
parse_id(const char *line, struct nr_death *d)
{
	char id[65] = "", who[65] = "";
	int n = 0;

	if (sscanf(line, "{\"id\":\"%64[0-9a-f]\"%n", id, &n) != 1 || n == 0)
		(void)sscanf(line, "{\"segment\":%*u,\"offset\":%*u,"
		    "\"id\":\"%64[0-9a-f]\"%n", id, &n);
	if (n == 0 || strlen(id) != 64 || !nr_hex_decode(d->id, id, 32))
		return 0;
	d->type = NR_DEATH_ID;
	memset(d->who, 0, 32);
	if (line[n] == '}')
		return 1;
	return sscanf(line + n, ",\"by\":\"%64[0-9a-f]\"}", who) == 1 &&
	    strlen(who) == 64 && nr_hex_decode(d->who, who, 32);
}

static int
parse_address(const char *line, struct nr_death *d)
{
	char pubkey[65], hash[33];
	unsigned kind;

	d->type = NR_DEATH_ADDRESS;
	if (sscanf(line, "{\"kind\":%u,\"pubkey\":\"%64[0-9a-f]\","
	    "\"d\":\"%32[0-9a-f]\",\"until\":%" SCNd64 "}", &kind, pubkey,
	    hash, &d->until) != 4 || strlen(pubkey) != 64 ||
	    strlen(hash) != 32)
		return 0;
	nr_put_be(d->address, kind, 2);
	return nr_hex_decode(d->address + 2, pubkey, 32) &&
	    nr_hex_decode(d->address + 34, hash, 16);
}

static int
parse_vanish(const char *line, struct nr_death *d)
{
	char pubkey[65];

	d->type = NR_DEATH_VANISH;
	return sscanf(line, "{\"vanish\":\"%64[0-9a-f]\",\"until\":%" SCNd64
	    "}", pubkey, &d->until) == 2 && strlen(pubkey) == 64 &&
	    nr_hex_decode(d->who, pubkey, 32);
}

/* Take the next complete line; returns 0 at the end. */
static int
next(const struct nr_buf *b, size_t *at, struct nr_death *d, int *valid)
{
	char line[256];
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
		*valid = parse_id(line, d) || parse_address(line, d) ||
		    parse_vanish(line, d);
	}
	*at += n + 1;
	return 1;
}

int
nr_death_write(struct nr_buf *b, const struct nr_death *d)
{
	static const unsigned char operator[32];
	char one[65], two[65];

	if (d->type == NR_DEATH_ADDRESS) {
		nr_hex_encode(one, d->address + 2, 32);
		nr_hex_encode(two, d->address + 34, 16);
		return nr_buf_addf(b, "{\"kind\":%u,\"pubkey\":\"%.64s\","
		    "\"d\":\"%.32s\",\"until\":%" PRId64 "}\n",
		    (unsigned)nr_get_be(d->address, 2), one, two, d->until);
	}
	if (d->type == NR_DEATH_VANISH) {
		nr_hex_encode(one, d->who, 32);
		return nr_buf_addf(b, "{\"vanish\":\"%.64s\",\"until\":%"
		    PRId64 "}\n", one, d->until);
	}
	nr_hex_encode(one, d->id, 32);
	if (memcmp(d->who, operator, 32) == 0)
		return nr_buf_addf(b, "{\"id\":\"%.64s\"}\n", one);
	nr_hex_encode(two, d->who, 32);
	return nr_buf_addf(b, "{\"id\":\"%.64s\",\"by\":\"%.64s\"}\n", one,
	    two);
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
	if (rc != NR_OK)
		(void)!ftruncate(fd, (off_t)offset);
	if (close(fd) != 0 && rc == NR_OK)
		rc = errno;
	return rc;
}

/* Only where the index shows that the commit did not happen. */
void
nr_deaths_undo(struct nr_store *st, uint64_t at)
{
	struct nr_head head;
	int fd;

	if (nr_head_read(st, &head) != NR_OK || head.deaths > at)
		return;
	fd = openat(st->log.dirfd, NAME, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return;
	(void)!ftruncate(fd, (off_t)at);
	(void)fsync(fd);
	(void)close(fd);
}

int
nr_deaths_append(struct nr_writer *w)
{
	int rc;

	if (w->deaths.len == 0)
		return NR_OK;
	rc = write_file(w->st, &w->deaths, w->head.deaths);
	if (rc == NR_OK) {
		w->died = 1;
		w->deaths_at = w->head.deaths;
		w->head.deaths += w->deaths.len;
		w->deaths.len = 0;
	}
	return rc;
}

int
nr_deaths_take(struct nr_writer *w)
{
	struct nr_buf b = { 0 };
	struct nr_death d;
	size_t pos = 0;
	int rc, valid;

	rc = read_file(w->st, &b, w->head.deaths);
	while (rc == NR_OK && next(&b, &pos, &d, &valid))
		if (valid)
			rc = nr_rules_death(w, &d);
	if (rc == NR_OK)
		w->head.deaths += pos;
	nr_buf_free(&b);
	return rc;
}

static int
death_cmp(const void *a, const void *b)
{
	const struct nr_death *x = a, *y = b;

	return memcmp(x->id, y->id, 32);
}

/* Those who have vanished, for looking up. */
static int
list_vanished(struct nr_deaths *d)
{
	size_t i;

	d->vanished = calloc(d->nvanish + 1, sizeof(*d->vanished));
	if (d->vanished == NULL)
		return ENOMEM;
	for (i = 0; i < d->nvanish; i++) {
		memcpy(d->vanished[i].pubkey, d->vanish[i].who, 32);
		d->vanished[i].until = d->vanish[i].until;
	}
	d->nvanished = d->nvanish;
	nr_vanish_sort(d->vanished, &d->nvanished);
	return NR_OK;
}

int
nr_deaths_load(struct nr_store *st, struct nr_deaths *d, uint64_t *bytes)
{
	struct nr_buf b = { 0 }, of[3] = { { 0 }, { 0 }, { 0 } };
	struct nr_death death;
	size_t pos = 0;
	int rc, valid;

	rc = read_file(st, &b, 0);
	while (rc == NR_OK && next(&b, &pos, &death, &valid))
		if (valid)
			rc = nr_buf_add(&of[death.type], &death,
			    sizeof(death));
	nr_buf_free(&b);
	d->id = (void *)of[NR_DEATH_ID].p;
	d->nids = of[NR_DEATH_ID].len / sizeof(death);
	d->address = (void *)of[NR_DEATH_ADDRESS].p;
	d->naddresses = of[NR_DEATH_ADDRESS].len / sizeof(death);
	d->vanish = (void *)of[NR_DEATH_VANISH].p;
	d->nvanish = of[NR_DEATH_VANISH].len / sizeof(death);
	*bytes = pos;
	if (rc == NR_OK)
		rc = list_vanished(d);
	if (d->nids > 1)
		qsort(d->id, d->nids, sizeof(*d->id), death_cmp);
	return rc;
}

void
nr_deaths_of_id(const struct nr_deaths *d, const struct nr_death **first,
    size_t *n, const unsigned char id[32])
{
	size_t lo = 0, hi = d->nids, mid;

	while (lo < hi) {
		mid = lo + (hi - lo) / 2;
		if (memcmp(d->id[mid].id, id, 32) < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	*first = d->id + lo;
	for (*n = 0; lo < d->nids && memcmp(d->id[lo].id, id, 32) == 0; lo++)
		++*n;
}

void
nr_deaths_free(struct nr_deaths *d)
{
	free(d->id);
	free(d->address);
	free(d->vanish);
	free(d->vanished);
	memset(d, 0, sizeof(*d));
}
