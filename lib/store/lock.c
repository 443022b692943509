/*
 * Locks on bytes.  Waiting is polling: a blocking fcntl() has no deadline,
 * and NEXT keeps the order while we sleep.
 */
#include "store/lock.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "util/err.h"
#include "util/times.h"

/* Far behind the text. */
#define FIRST_BYTE	4096
#define NAME_LEN	64

int
nr_lock_open(int *out, int dirfd)
{
	int fd = openat(dirfd, "lock", O_RDWR | O_CREAT | O_CLOEXEC, 0666);

	if (fd < 0)
		return errno;
	*out = fd;
	return NR_OK;
}

static struct flock
range(enum nr_lock_byte b, short type)
{
	struct flock l;

	memset(&l, 0, sizeof(l));
	l.l_type = type;
	l.l_whence = SEEK_SET;
	l.l_start = FIRST_BYTE + (off_t)b;
	l.l_len = 1;
	return l;
}

static int
try_lock(int fd, enum nr_lock_byte b, int exclusive)
{
	struct flock l = range(b, exclusive ? F_WRLCK : F_RDLCK);

	if (fcntl(fd, F_OFD_SETLK, &l) == 0)
		return NR_OK;
	return errno == EAGAIN || errno == EACCES ? NR_EBUSY : errno;
}

int
nr_lock_take(int fd, enum nr_lock_byte b, int exclusive, int timeout)
{
	int64_t until = nr_now_ms() + timeout;
	struct timespec nap = { 0, 200000 };
	int rc;

	while ((rc = try_lock(fd, b, exclusive)) == NR_EBUSY) {
		if (nr_now_ms() >= until)
			break;
		nanosleep(&nap, NULL);
		if (nap.tv_nsec < 2000000)
			nap.tv_nsec += 200000;
	}
	return rc;
}

void
nr_lock_drop(int fd, enum nr_lock_byte b)
{
	struct flock l = range(b, F_UNLCK);

	(void)fcntl(fd, F_OFD_SETLK, &l);
}

int
nr_lock_held(int fd, enum nr_lock_byte b, int exclusive)
{
	struct flock l = range(b, exclusive ? F_WRLCK : F_RDLCK);

	return fcntl(fd, F_OFD_GETLK, &l) == 0 && l.l_type != F_UNLCK;
}

int
nr_lock_write(int fd, int timeout)
{
	int64_t until = nr_now_ms() + timeout;
	int64_t left;
	int rc;

	if ((rc = nr_lock_take(fd, NR_LOCK_NEXT, 1, timeout)) != NR_OK)
		return rc;
	left = until - nr_now_ms();
	rc = nr_lock_take(fd, NR_LOCK_WRITE, 1, left > 0 ? (int)left : 0);
	nr_lock_drop(fd, NR_LOCK_NEXT);
	return rc;
}

void
nr_lock_sign(int fd, enum nr_lock_byte b, const char *program)
{
	char name[NAME_LEN], line[NAME_LEN + 2];

	snprintf(name, sizeof(name), "%.40s %ld", program, (long)getpid());
	snprintf(line, sizeof(line), "%-63.63s\n", name);
	/* Only a courtesy: a full disk must not stop us here. */
	if (pwrite(fd, line, NAME_LEN, (off_t)b * NAME_LEN) < 0)
		return;
}

void
nr_lock_signed(int fd, enum nr_lock_byte b, char *out, size_t size)
{
	char line[NAME_LEN + 1];
	ssize_t n = pread(fd, line, NAME_LEN, (off_t)b * NAME_LEN);
	const char *pid;

	while (n > 0 && (line[n - 1] == ' ' || line[n - 1] == '\n' ||
	    line[n - 1] == '\0'))
		n--;
	snprintf(out, size, "%.*s", n < 0 ? 0 : (int)n, line);
	/* A name that is left from somebody who has gone tells nothing. */
	if ((pid = strrchr(out, ' ')) == NULL ||
	    (kill((pid_t)strtol(pid, NULL, 10), 0) != 0 && errno == ESRCH))
		*out = '\0';
}
