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

#include "util/err.h"

void
nr_log_name(char out[NR_LOG_NAME_MAX], uint32_t segment)
{
	snprintf(out, NR_LOG_NAME_MAX, "%08" PRIu32 ".jsonl", segment);
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

/* The number of a segment's file name, 0 for any other name. */
static uint32_t
segment_of(const char *name)
{
	char want[NR_LOG_NAME_MAX];
	char *end;
	unsigned long v;

	v = strtoul(name, &end, 10);
	if (v == 0 || v >= UINT32_MAX)
		return 0;
	nr_log_name(want, (uint32_t)v);
	return strcmp(name, want) == 0 ? (uint32_t)v : 0;
}

int
nr_log_last(const struct nr_log *l, uint32_t *last)
{
	struct dirent *e;
	uint32_t n, most = 0;
	DIR *d;
	int fd;

	fd = openat(l->dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return errno;
	if ((d = fdopendir(fd)) == NULL) {
		close(fd);
		return ENOMEM;
	}
	while ((e = readdir(d)) != NULL)
		if ((n = segment_of(e->d_name)) > most)
			most = n;
	closedir(d);
	*last = most;
	return NR_OK;
}

int
nr_log_size(const struct nr_log *l, uint32_t segment, uint64_t *size)
{
	char name[NR_LOG_NAME_MAX];
	struct stat st;

	nr_log_name(name, segment);
	if (fstatat(l->dirfd, name, &st, 0) != 0)
		return errno;
	*size = (uint64_t)st.st_size;
	return NR_OK;
}

static int
open_map(struct nr_log *l, struct nr_map *m, uint32_t segment, uint64_t end)
{
	char name[NR_LOG_NAME_MAX];
	size_t len = l->segment_bytes + NR_LOG_SLACK;
	void *base;
	int fd, rc = NR_OK;

	while (len < end)
		len *= 2;
	nr_log_name(name, segment);
	if ((fd = openat(l->dirfd, name, O_RDONLY | O_CLOEXEC)) < 0)
		return errno;
	base = mmap(NULL, len, PROT_READ, MAP_SHARED, fd, 0);
	if (base == MAP_FAILED)
		rc = errno;
	close(fd);
	if (rc != NR_OK)
		return rc;
	m->segment = segment;
	m->base = base;
	m->len = len;
	return NR_OK;
}

static int
find_map(struct nr_log *l, struct nr_map *out, uint32_t segment,
    uint64_t end)
{
	struct nr_map *p;
	size_t i;
	int rc;

	for (i = l->nmaps; i > 0; i--)
		if (l->map[i - 1].segment == segment &&
		    l->map[i - 1].len >= end) {
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
	if ((rc = open_map(l, &l->map[l->nmaps], segment, end)) != NR_OK)
		return rc;
	*out = l->map[l->nmaps++];
	return NR_OK;
}

int
nr_log_map(struct nr_log *l, struct nr_map *out, uint32_t segment,
    uint64_t end)
{
	int rc;

	pthread_mutex_lock(&l->lock);
	rc = find_map(l, out, segment, end);
	pthread_mutex_unlock(&l->lock);
	return rc;
}

/* Have l->fd be the segment, for the one thread that writes. */
static int
writable(struct nr_log *l, uint32_t segment, int flags)
{
	char name[NR_LOG_NAME_MAX];
	int fd;

	if (l->fd >= 0 && l->fd_segment == segment && flags == 0)
		return NR_OK;
	nr_log_name(name, segment);
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
