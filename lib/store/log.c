/*
 * Segment files: names, maps, appending.
 */
#include "store/log.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "util/buf.h"
#include "util/err.h"

void
nr_log_name(char out[NR_LOG_NAME_MAX], uint32_t segment, uint32_t gen,
    int tmp)
{
	const char *end = tmp ? "tmp" : "jsonl";

	if (gen == 0)
		snprintf(out, NR_LOG_NAME_MAX, "%08" PRIu32 ".%s", segment,
		    end);
	else
		snprintf(out, NR_LOG_NAME_MAX, "%08" PRIu32 ".%" PRIu32
		    ".%s", segment, gen, end);
}

int
nr_log_open(struct nr_log *l, int storefd, size_t segment_bytes, int create)
{
	memset(l, 0, sizeof(*l));
	l->fd = -1;
	l->segment_bytes = segment_bytes;
	if (create && mkdirat(storefd, "log", 0777) != 0 && errno != EEXIST)
		return errno;
	l->dirfd = openat(storefd, "log", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (l->dirfd < 0)
		return errno;
	pthread_mutex_init(&l->lock, NULL);
	return NR_OK;
}

void
nr_log_close(struct nr_log *l)
{
	size_t i;

	for (i = 0; i < l->nmaps; i++)
		munmap((void *)(uintptr_t)l->map[i].base, l->map[i].len);
	free(l->map);
	if (l->fd >= 0)
		close(l->fd);
	close(l->dirfd);
	pthread_mutex_destroy(&l->lock);
}

/* What a file's name says; returns 0 for a name that is not ours. */
static int
parse_name(const char *name, struct nr_logfile *f)
{
	char want[NR_LOG_NAME_MAX];
	unsigned long segment, gen = 0;
	char *end;

	segment = strtoul(name, &end, 10);
	if (*end == '.' && end[1] >= '1' && end[1] <= '9')
		gen = strtoul(end + 1, &end, 10);
	if (segment == 0 || segment >= UINT32_MAX || gen >= UINT32_MAX)
		return 0;
	f->segment = (uint32_t)segment;
	f->gen = (uint32_t)gen;
	f->tmp = strcmp(end, ".tmp") == 0;
	nr_log_name(want, f->segment, f->gen, f->tmp);
	return strcmp(name, want) == 0;
}

static int
file_cmp(const void *a, const void *b)
{
	const struct nr_logfile *x = a, *y = b;

	if (x->segment != y->segment)
		return x->segment < y->segment ? -1 : 1;
	return (x->gen > y->gen) - (x->gen < y->gen);
}

int
nr_log_list(const struct nr_log *l, struct nr_logfile **out, size_t *n)
{
	struct nr_buf b = { 0 };
	struct nr_logfile f;
	struct dirent *e;
	DIR *d;
	int fd, rc = NR_OK;

	fd = openat(l->dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return errno;
	if ((d = fdopendir(fd)) == NULL) {
		close(fd);
		return ENOMEM;
	}
	while (rc == NR_OK && (e = readdir(d)) != NULL)
		if (parse_name(e->d_name, &f))
			rc = nr_buf_add(&b, &f, sizeof(f));
	closedir(d);
	if (rc != NR_OK) {
		nr_buf_free(&b);
		return rc;
	}
	*out = (void *)b.p;
	*n = b.len / sizeof(f);
	if (*n > 1)
		qsort(*out, *n, sizeof(**out), file_cmp);
	return NR_OK;
}

int
nr_log_last(const struct nr_log *l, uint32_t *last)
{
	struct nr_logfile *f;
	uint32_t most = 0;
	size_t i, n;
	int rc;

	if ((rc = nr_log_list(l, &f, &n)) != NR_OK)
		return rc;
	for (i = 0; i < n; i++)
		if (!f[i].tmp && f[i].segment > most)
			most = f[i].segment;
	free(f);
	*last = most;
	return NR_OK;
}

int
nr_log_remove(struct nr_log *l, const struct nr_logfile *f)
{
	char name[NR_LOG_NAME_MAX];

	nr_log_name(name, f->segment, f->gen, f->tmp);
	return unlinkat(l->dirfd, name, 0) == 0 || errno == ENOENT ? NR_OK :
	    errno;
}

int
nr_log_size(const struct nr_log *l, uint32_t segment, uint32_t gen,
    uint64_t *size)
{
	char name[NR_LOG_NAME_MAX];
	struct stat st;

	nr_log_name(name, segment, gen, 0);
	if (fstatat(l->dirfd, name, &st, 0) != 0)
		return errno;
	*size = (uint64_t)st.st_size;
	return NR_OK;
}

static int
open_map(struct nr_log *l, struct nr_map *m, uint32_t segment, uint32_t gen,
    uint64_t end)
{
	char name[NR_LOG_NAME_MAX];
	size_t len = l->segment_bytes + NR_LOG_SLACK;
	void *base;
	int fd, rc = NR_OK;

	while (len < end)
		len *= 2;
	nr_log_name(name, segment, gen, 0);
	if ((fd = openat(l->dirfd, name, O_RDONLY | O_CLOEXEC)) < 0)
		return errno;
	base = mmap(NULL, len, PROT_READ, MAP_SHARED, fd, 0);
	if (base == MAP_FAILED)
		rc = errno;
	close(fd);
	if (rc != NR_OK)
		return rc;
	m->segment = segment;
	m->gen = gen;
	m->base = base;
	m->len = len;
	return NR_OK;
}

static int
find_map(struct nr_log *l, struct nr_map *out, uint32_t segment,
    uint32_t gen, uint64_t end)
{
	struct nr_map *p;
	size_t i;
	int rc;

	for (i = l->nmaps; i > 0; i--)
		if (l->map[i - 1].segment == segment &&
		    l->map[i - 1].gen == gen && l->map[i - 1].len >= end) {
			*out = l->map[i - 1];
			return NR_OK;
		}
	if (l->nmaps == l->capmaps) {
		p = realloc(l->map, (l->capmaps * 2 + 8) * sizeof(*p));
		if (p == NULL)
			return ENOMEM;
		l->map = p;
		l->capmaps = l->capmaps * 2 + 8;
	}
	if ((rc = open_map(l, &l->map[l->nmaps], segment, gen,
	    end)) != NR_OK)
		return rc;
	*out = l->map[l->nmaps++];
	return NR_OK;
}

int
nr_log_map(struct nr_log *l, struct nr_map *out, uint32_t segment,
    uint32_t gen, uint64_t end)
{
	int rc;

	pthread_mutex_lock(&l->lock);
	rc = find_map(l, out, segment, gen, end);
	pthread_mutex_unlock(&l->lock);
	return rc;
}

void
nr_log_forget(struct nr_log *l, int (*stale)(void *ctx, uint32_t segment,
    uint32_t gen), void *ctx)
{
	size_t i, n = 0;

	pthread_mutex_lock(&l->lock);
	for (i = 0; i < l->nmaps; i++) {
		if (stale(ctx, l->map[i].segment, l->map[i].gen))
			munmap((void *)(uintptr_t)l->map[i].base,
			    l->map[i].len);
		else
			l->map[n++] = l->map[i];
	}
	l->nmaps = n;
	pthread_mutex_unlock(&l->lock);
}

/* Have l->fd be the segment, for the one thread that writes. */
static int
writable(struct nr_log *l, uint32_t segment, int flags)
{
	char name[NR_LOG_NAME_MAX];
	int fd;

	if (l->fd >= 0 && l->fd_segment == segment && flags == 0)
		return NR_OK;
	nr_log_name(name, segment, 0, 0);
	fd = openat(l->dirfd, name, O_RDWR | O_CLOEXEC | flags, 0666);
	if (fd < 0)
		return errno;
	if (l->fd >= 0)
		close(l->fd);
	l->fd = fd;
	l->fd_segment = segment;
	return NR_OK;
}

int
nr_log_create(struct nr_log *l, uint32_t segment)
{
	int rc;

	if ((rc = writable(l, segment, O_CREAT | O_EXCL)) != NR_OK)
		return rc;
	return fsync(l->dirfd) == 0 ? NR_OK : errno;
}

int
nr_write_at(int fd, const void *p, size_t n, uint64_t offset)
{
	const char *at = p;
	ssize_t w;

	while (n > 0) {
		w = pwrite(fd, at, n, (off_t)offset);
		if (w < 0 && errno == EINTR)
			continue;
		if (w <= 0)
			return w < 0 ? errno : EIO;
		at += w;
		offset += (uint64_t)w;
		n -= (size_t)w;
	}
	return NR_OK;
}

int
nr_log_write(struct nr_log *l, uint32_t segment, uint64_t offset,
    const void *p, size_t n)
{
	int rc;

	if ((rc = writable(l, segment, 0)) != NR_OK)
		return rc;
	return nr_write_at(l->fd, p, n, offset);
}

int
nr_log_sync(struct nr_log *l, uint32_t segment)
{
	int rc;

	if ((rc = writable(l, segment, 0)) != NR_OK)
		return rc;
	return fdatasync(l->fd) == 0 ? NR_OK : errno;
}

int
nr_log_truncate(struct nr_log *l, uint32_t segment, uint64_t size)
{
	int rc;

	if ((rc = writable(l, segment, 0)) != NR_OK)
		return rc;
	return ftruncate(l->fd, (off_t)size) == 0 ? NR_OK : errno;
}
