/*
 * Making and finding the file of a policy's state.  A file of another
 * size is never changed, because others may have it mapped: a new one
 * takes its place.  Who replaces it holds a lock on the old one, so that
 * the second sees what the first has done.
 */
#include "policy/statefile.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "util/err.h"

#define MAGIC		"nr-policy state\n"
#define VERSION		1
#define ATTEMPTS	500
#define PAUSE_NS	20000000	/* while others hold the lock */

struct head {
	char		magic[16];
	uint32_t	version;
	uint32_t	zero;
	uint64_t	bytes;
	unsigned char	salt[NR_STATEFILE_SALTS][16];
};

static int
new_head(struct head *h, size_t bytes)
{
	memset(h, 0, sizeof(*h));
	memcpy(h->magic, MAGIC, sizeof(h->magic));
	h->version = htole32(VERSION);
	h->bytes = htole64(bytes);
	return getrandom(h->salt, sizeof(h->salt), 0) ==
	    (ssize_t)sizeof(h->salt) ? NR_OK : EIO;
}

static int
head_is(const struct head *h, size_t bytes)
{
	return memcmp(h->magic, MAGIC, sizeof(h->magic)) == 0 &&
	    le32toh(h->version) == VERSION && le64toh(h->bytes) == bytes;
}

static int
map(struct nr_statefile *f, int fd, size_t bytes, int private,
    const struct head *h)
{
	int flags = fd < 0 ? MAP_PRIVATE | MAP_ANONYMOUS :
	    private ? MAP_PRIVATE : MAP_SHARED;
	void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, flags, fd, 0);

	if (p == MAP_FAILED)
		return errno;
	f->map = p;
	f->bytes = bytes;
	memcpy(f->salt, h->salt, sizeof(f->salt));
	return NR_OK;
}

/*
 * Fill a new file.  All its blocks are reserved: a write to a mapped page
 * for which there is no room would kill the process.
 */
static int
fill(int fd, size_t bytes)
{
	struct head h;
	int rc;

	if ((rc = new_head(&h, bytes)) != NR_OK ||
	    (rc = posix_fallocate(fd, 0, (off_t)bytes)) != 0)
		return rc;
	if (pwrite(fd, &h, sizeof(h), 0) != (ssize_t)sizeof(h))
		return errno != 0 ? errno : EIO;
	return fsync(fd) == 0 ? NR_OK : errno;
}

/*
 * Put a new file at path: in the place of one that is there, or only
 * where there is none; somebody else's is as good.
 */
static int
make(const char *path, size_t bytes, int replace, int *made)
{
	char *tmp;
	int fd, rc;

	if (asprintf(&tmp, "%s.XXXXXX", path) < 0)
		return ENOMEM;
	if ((fd = mkostemp(tmp, O_CLOEXEC)) < 0) {
		rc = errno;
		free(tmp);
		return rc;
	}
	rc = fill(fd, bytes);
	close(fd);
	if (rc == NR_OK) {
		*made = (replace ? rename(tmp, path) : link(tmp, path)) == 0;
		if (!*made && errno != EEXIST)
			rc = errno;
	}
	if (rc != NR_OK || !replace || !*made)
		unlink(tmp);
	free(tmp);
	return rc;
}

/* Is fd what path names? */
static int
is_at(int fd, const char *path)
{
	struct stat a, b;

	return fstat(fd, &a) == 0 && stat(path, &b) == 0 &&
	    a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

/*
 * Map what fd has, where it is of the right shape: 1; 0 where it is not;
 * -1 and *rc where that cannot be known, or it is not a state at all.
 */
static int
use(struct nr_statefile *f, int fd, size_t bytes, int private, int *rc)
{
	struct head h = { .version = 0 };
	struct stat st;

	if (fstat(fd, &st) != 0) {
		*rc = errno;
		return -1;
	}
	if (!S_ISREG(st.st_mode)) {
		*rc = EINVAL;
		return -1;
	}
	/* What somebody has mistaken for one is not ours to replace. */
	if (st.st_size > 0 && (pread(fd, &h, sizeof(h), 0) < 0 ||
	    memcmp(h.magic, MAGIC, sizeof(h.magic)) != 0)) {
		*rc = EEXIST;
		return -1;
	}
	if ((uintmax_t)st.st_size != bytes || !head_is(&h, bytes))
		return 0;
	if (!private && (st.st_mode & 077) != 0 && fchmod(fd, 0600) != 0) {
		*rc = errno;
		return -1;
	}
	*rc = map(f, fd, bytes, private, &h);
	return *rc == NR_OK ? 1 : -1;
}

/* One attempt; 0 where it has to be looked at again. */
static int
attempt(struct nr_statefile *f, const char *path, size_t bytes, int *made,
    int *rc)
{
	static const struct timespec pause = { 0, PAUSE_NS };
	int fd, done, mine = 0;

	*rc = NR_OK;
	fd = open(path, O_RDWR | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0 && errno == ENOENT) {
		*rc = make(path, bytes, 0, &mine);
		*made |= mine;
		return *rc != NR_OK;
	}
	if (fd < 0) {
		*rc = errno == EISDIR || errno == ENXIO ? EINVAL : errno;
		return 1;
	}
	if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
		*rc = errno;
		if ((done = errno != EWOULDBLOCK) == 0)
			nanosleep(&pause, NULL);
	} else if (!is_at(fd, path)) {
		done = 0;
	} else if ((done = use(f, fd, bytes, 0, rc)) == 0) {
		*rc = make(path, bytes, 1, &mine);
		*made |= mine;
		done = *rc != NR_OK;
	}
	flock(fd, LOCK_UN);	/* the mapping would keep it */
	close(fd);
	return done != 0;
}

static int
use_memory(struct nr_statefile *f, size_t bytes)
{
	struct head h;
	int rc = new_head(&h, bytes);

	return rc != NR_OK ? rc : map(f, -1, bytes, 1, &h);
}

/* What the file says now, or would say: for one who changes nothing. */
static int
use_privately(struct nr_statefile *f, const char *path, size_t bytes,
    int *fresh)
{
	int fd, done, rc = NR_OK;

	fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0 && errno != ENOENT)
		return errno;
	done = fd < 0 ? 0 : use(f, fd, bytes, 1, &rc);
	if (fd >= 0)
		close(fd);
	if (done != 0)
		return rc;
	*fresh = 1;
	return use_memory(f, bytes);
}

int
nr_statefile_open(struct nr_statefile *f, const char *path, size_t bytes,
    int private, int *fresh)
{
	int i, rc;

	*fresh = path == NULL;
	if (path == NULL)
		return use_memory(f, bytes);
	if (private)
		return use_privately(f, path, bytes, fresh);
	for (i = 0; i < ATTEMPTS; i++)
		if (attempt(f, path, bytes, fresh, &rc))
			return rc;
	return NR_EBUSY;
}

void
nr_statefile_close(struct nr_statefile *f)
{
	munmap(f->map, f->bytes);
}
