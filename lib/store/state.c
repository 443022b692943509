/*
 * One sector of text with a checksum.
 */
#include "store/state.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "store/format.h"
#include "util/err.h"
#include "util/hex.h"
#include "util/sha256.h"

#define SECTOR	512
#define SUM_LEN	32			/* hexadecimal digits */
#define SUM_AT	(SECTOR - SUM_LEN - 1)

/* The first 16 bytes of SHA-256 over the sector's text, in hexadecimal. */
static int
checksum(const char *sector, char sum[SUM_LEN])
{
	unsigned char digest[32];
	struct nr_sha256 *sha;
	int rc;

	if ((rc = nr_sha256_new(&sha)) != NR_OK)
		return rc;
	nr_sha256_start(sha);
	nr_sha256_add(sha, sector, SUM_AT);
	nr_sha256_end(sha, digest);
	nr_sha256_free(sha);
	nr_hex_encode(sum, digest, SUM_LEN / 2);
	return NR_OK;
}

static int
parse(const char *text, struct nr_state *s)
{
	int version, n;

	n = sscanf(text, "nr-store %d\nepoch %" SCNx64 "\nclean %d\nboot %36s"
	    "\nindex %" SCNu64 " %" SCNu64 " %" SCNd64 "\ntxn %" SCNu64
	    "\nend %" SCNu32 " %" SCNu64 "\npidns %" SCNu64 "\n",
	    &version, &s->epoch, &s->clean, s->boot, &s->dev, &s->ino,
	    &s->birth, &s->txn, &s->segment, &s->offset, &s->pidns);
	if (n >= 1 && version > NR_STORE_VERSION)
		return NR_EVERSION;
	/* An older one is made anew from the log, which is the same. */
	return n == 11 && version == NR_STORE_VERSION ? NR_OK : NR_ECORRUPT;
}

int
nr_state_read(int dirfd, struct nr_state *out, int *found)
{
	char sector[SECTOR + 1], sum[SUM_LEN];
	struct nr_state s;
	int fd, rc;
	ssize_t n;

	*found = 0;
	if ((fd = openat(dirfd, "state", O_RDONLY | O_CLOEXEC)) < 0)
		return errno == ENOENT ? NR_OK : errno;
	n = pread(fd, sector, SECTOR, 0);
	rc = n < 0 ? errno : NR_OK;
	close(fd);
	if (rc != NR_OK || n != SECTOR)
		return rc;
	sector[SECTOR] = '\0';
	if ((rc = checksum(sector, sum)) != NR_OK)
		return rc;
	if (memcmp(sum, sector + SUM_AT, SUM_LEN) != 0)
		return NR_OK;
	memset(&s, 0, sizeof(s));
	rc = parse(sector, &s);
	if (rc == NR_OK) {
		*out = s;
		*found = 1;
	}
	return rc == NR_EVERSION ? rc : NR_OK;
}

int
nr_state_write(int dirfd, const struct nr_state *s)
{
	char sector[SECTOR];
	int fd, n, rc;

	memset(sector, ' ', sizeof(sector));
	n = snprintf(sector, SUM_AT, "nr-store %d\nepoch %016" PRIx64
	    "\nclean %d\nboot %s\nindex %" PRIu64 " %" PRIu64 " %" PRId64
	    "\ntxn %" PRIu64 "\nend %" PRIu32 " %" PRIu64 "\npidns %" PRIu64
	    "\n", NR_STORE_VERSION, s->epoch, s->clean,
	    s->boot[0] != '\0' ? s->boot : "unknown", s->dev, s->ino,
	    s->birth, s->txn, s->segment, s->offset, s->pidns);
	sector[n] = ' ';	/* the terminator */
	sector[SUM_AT - 1] = '\n';
	if ((rc = checksum(sector, sector + SUM_AT)) != NR_OK)
		return rc;
	sector[SECTOR - 1] = '\n';
	fd = openat(dirfd, "state", O_WRONLY | O_CREAT | O_CLOEXEC, 0666);
	if (fd < 0)
		return errno;
	/* One sector is written whole or not at all. */
	n = (int)pwrite(fd, sector, SECTOR, 0);
	rc = n == SECTOR ? NR_OK : n < 0 ? errno : EIO;
	if (rc == NR_OK && fdatasync(fd) != 0)
		rc = errno;
	if (close(fd) != 0 && rc == NR_OK)
		rc = errno;
	return rc;
}

static void
boot_id(char out[NR_BOOT_LEN + 1])
{
	int fd = open("/proc/sys/kernel/random/boot_id",
	    O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, out, NR_BOOT_LEN);

	if (fd >= 0)
		close(fd);
	/* Without one, no boot is ever the same as another. */
	if (n != NR_BOOT_LEN)
		n = snprintf(out, NR_BOOT_LEN, "none-%" PRIu64,
		    (uint64_t)getpid());
	out[n] = '\0';
}

int
nr_state_system(int dirfd, struct nr_state *s)
{
	struct statx x;
	struct stat ns;

	boot_id(s->boot);
	s->pidns = stat("/proc/self/ns/pid", &ns) == 0 ?
	    (uint64_t)ns.st_ino : 0;
	s->dev = s->ino = 0;
	s->birth = 0;
	if (statx(dirfd, "index/data.mdb", 0, STATX_BASIC_STATS |
	    STATX_BTIME, &x) != 0)
		return errno == ENOENT ? NR_OK : errno;
	s->dev = makedev(x.stx_dev_major, x.stx_dev_minor);
	s->ino = x.stx_ino;
	if (x.stx_mask & STATX_BTIME)
		s->birth = x.stx_btime.tv_sec * INT64_C(1000000000) +
		    x.stx_btime.tv_nsec;
	return NR_OK;
}
