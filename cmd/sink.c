/*
 * Output of exports.
 */
#include "sink.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <zstd.h>

#include "tool.h"
#include "util/err.h"
#include "util/hex.h"
#include "util/sha256.h"

#define LEVEL	3

struct nr_sink {
	const char		*path;
	char			 target[PATH_MAX];	/* of a symbolic link */
	char			 tmp[PATH_MAX];	/* "" where path is no file */
	int			 fd;		/* -1 for stdout */
	const char		*manifest;
	struct nr_sha256	*sha;
	uint64_t		 events, bytes;
	ZSTD_CStream		*zstd;
	char			*zbuf;
	size_t			 zcap;
};

/* A name beside path for the time that it is incomplete. */
static void
temporary(char out[PATH_MAX], const char *path)
{
	if (snprintf(out, PATH_MAX, "%s.part", path) >= PATH_MAX)
		nr_die(ENAMETOOLONG, "%s", path);
}

/* What is removed should we end before it is complete. */
static char unfinished[2][PATH_MAX];

static void
remove_unfinished(void)
{
	size_t i;

	for (i = 0; i < 2; i++)
		if (*unfinished[i] != '\0')
			(void)unlink(unfinished[i]);
}

/*
 * Create the file tmp for what will be path.
 * slot  0 for the export, 1 for a small file beside it
 */
static int
create(const char *tmp, const char *path, int slot)
{
	static int registered;
	int fd = open(tmp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);

	if (fd < 0)
		nr_die(errno, "%s", path);
	snprintf(unfinished[slot], sizeof(unfinished[slot]), "%s", tmp);
	if (!registered)
		(void)atexit(remove_unfinished);
	registered = 1;
	return fd;
}

static const char *
directory(char copy[PATH_MAX], const char *path)
{
	if (snprintf(copy, PATH_MAX, "%s", path) >= PATH_MAX)
		nr_die(ENAMETOOLONG, "%s", path);
	return dirname(copy);
}

/* Give a complete and synced file its name, and sync that too. */
static void
put_in_place(const char *tmp, const char *path, int slot)
{
	char copy[PATH_MAX];
	int fd;

	if (rename(tmp, path) != 0)
		nr_die(errno, "%s", path);
	*unfinished[slot] = '\0';
	fd = open(directory(copy, path), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0 || fsync(fd) != 0)
		nr_die(errno, "%s", path);
	close(fd);
}

static void
write_all(int fd, const char *path, const char *at, size_t n)
{
	ssize_t w;

	for (; n > 0; at += w, n -= (size_t)w)
		if ((w = write(fd, at, n)) < 0)
			nr_die(errno, "%s", path);
}

/* Returns the file's descriptor. */
static int
write_beside(const char *path, const char *p, size_t n, int hold)
{
	char tmp[PATH_MAX];
	int fd;

	temporary(tmp, path);
	fd = create(tmp, path, 1);
	if (hold && flock(fd, LOCK_EX | LOCK_NB) != 0)
		nr_die(errno, "%s", path);
	write_all(fd, path, p, n);
	if (fsync(fd) != 0)
		nr_die(errno, "%s", path);
	put_in_place(tmp, path, 1);
	return fd;
}

/* A device, or a pipe, perhaps by a link: it is not to be replaced. */
static int
is_special(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 && !S_ISREG(st.st_mode) &&
	    !S_ISDIR(st.st_mode);
}

void
nr_write_file(const char *path, const void *p, size_t n)
{
	char target[PATH_MAX];
	int fd;

	if (is_special(path)) {
		if ((fd = open(path, O_WRONLY | O_CLOEXEC)) < 0)
			nr_die(errno, "%s", path);
		write_all(fd, path, p, n);
	} else
		fd = write_beside(realpath(path, target) != NULL ? target :
		    path, p, n, 0);
	if (close(fd) != 0)
		nr_die(errno, "%s", path);
}

void
nr_write_file_check(const char *path)
{
	char copy[PATH_MAX];
	struct stat st;

	if (stat(path, &st) == 0 && S_ISDIR(st.st_mode))
		nr_die(EISDIR, "%s", path);
	if (is_special(path) ? access(path, W_OK) != 0 :
	    access(directory(copy, path), W_OK | X_OK) != 0)
		nr_die(errno, "%s", path);
}

/* Is what the descriptor leads to still what has the name? */
static int
is_there(int fd, const char *path)
{
	struct stat a, b;

	return fstat(fd, &a) == 0 && stat(path, &b) == 0 &&
	    a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

static _Noreturn void
held_by_another(const char *path, int rc)
{
	if (rc != EWOULDBLOCK)
		nr_die(rc, "%s", path);
	nr_say("%s: another %s is at work with it", path, nr_progname());
	exit(NR_EX_ENV);
}

int
nr_hold_file(const char *path)
{
	int fd;

	nr_write_file_check(path);
	if (is_special(path))
		nr_bad_usage("%s: no file to go on from", path);
	for (;;) {
		fd = open(path, O_RDONLY | O_CREAT | O_CLOEXEC, 0666);
		if (fd < 0)
			nr_die(errno, "%s", path);
		if (flock(fd, LOCK_EX | LOCK_NB) != 0)
			held_by_another(path, errno);
		/* Its holder may have replaced it, and ended, meanwhile. */
		if (is_there(fd, path))
			return fd;
		close(fd);
	}
}

void
nr_write_held(int *held, const char *path, const void *p, size_t n)
{
	int fd = write_beside(path, p, n, 1);

	close(*held);
	*held = fd;
}

/*
 * A file is written beside its place; what is no file (a device, a named
 * pipe) is written to, and never replaced.
 */
static void
open_output(struct nr_sink *s, const char *path)
{
	struct stat st;

	s->path = path;
	if (stat(path, &st) == 0 && !S_ISREG(st.st_mode)) {
		s->fd = open(path, O_WRONLY | O_CLOEXEC);
		if (s->fd < 0)
			nr_die(errno, "%s", path);
	} else {
		if (realpath(path, s->target) != NULL)
			s->path = s->target;
		temporary(s->tmp, s->path);
		s->fd = create(s->tmp, path, 0);
	}
	nr_out_to(s->fd, path);
}

struct nr_sink *
nr_sink_open(const char *path, int compress, const char *manifest)
{
	struct nr_sink *s;

	if ((s = calloc(1, sizeof(*s))) == NULL)
		nr_die(ENOMEM, "export");
	s->fd = -1;
	s->manifest = manifest;
	if (path != NULL && strcmp(path, "-") != 0)
		open_output(s, path);
	if (manifest != NULL && nr_sha256_new(&s->sha) != NR_OK)
		nr_die(ENOMEM, "export");
	if (manifest != NULL)
		nr_sha256_start(s->sha);
	if (compress) {
		s->zstd = ZSTD_createCStream();
		s->zcap = ZSTD_CStreamOutSize();
		s->zbuf = malloc(s->zcap);
		if (s->zstd == NULL || s->zbuf == NULL ||
		    ZSTD_isError(ZSTD_CCtx_setParameter(s->zstd,
		    ZSTD_c_compressionLevel, LEVEL)) ||
		    ZSTD_isError(ZSTD_CCtx_setParameter(s->zstd,
		    ZSTD_c_checksumFlag, 1)))
			nr_die(ENOMEM, "export");
	}
	return s;
}

static void
compress_some(struct nr_sink *s, const void *p, size_t n,
    ZSTD_EndDirective mode)
{
	ZSTD_inBuffer in = { p, n, 0 };
	ZSTD_outBuffer out;
	size_t left;

	do {
		out.dst = s->zbuf;
		out.size = s->zcap;
		out.pos = 0;
		left = ZSTD_compressStream2(s->zstd, &out, &in, mode);
		if (ZSTD_isError(left))
			nr_die(ENOMEM, "zstd");
		nr_out(s->zbuf, out.pos);
	} while (mode == ZSTD_e_continue ? in.pos < in.size : left != 0);
}

void
nr_sink_add(struct nr_sink *s, const void *p, size_t n, uint64_t events)
{
	s->events += events;
	s->bytes += n;
	if (s->sha != NULL)
		nr_sha256_add(s->sha, p, n);
	if (s->zstd != NULL)
		compress_some(s, p, n, ZSTD_e_continue);
	else
		nr_out(p, n);
}

void
nr_sink_flush(struct nr_sink *s)
{
	if (s->zstd != NULL)
		compress_some(s, NULL, 0, ZSTD_e_flush);
	nr_out_flush();
}

static void
write_manifest(struct nr_sink *s)
{
	unsigned char digest[32];
	char hex[65] = "", text[256];
	int n;

	nr_sha256_end(s->sha, digest);
	nr_hex_encode(hex, digest, 32);
	n = snprintf(text, sizeof(text), "{\"events\":%" PRIu64
	    ",\"bytes\":%" PRIu64 ",\"sha256\":\"%s\"}\n", s->events,
	    s->bytes, hex);
	nr_write_file(s->manifest, text, (size_t)n);
}

void
nr_sink_close(struct nr_sink *s)
{
	if (s->zstd != NULL)
		compress_some(s, NULL, 0, ZSTD_e_end);
	nr_out_flush();
	if (*s->tmp != '\0' && fsync(s->fd) != 0)
		nr_die(errno, "%s", s->path);
	nr_out_close();
	if (*s->tmp != '\0')
		put_in_place(s->tmp, s->path, 0);
	if (s->manifest != NULL)
		write_manifest(s);
	nr_sha256_free(s->sha);
	ZSTD_freeCStream(s->zstd);
	free(s->zbuf);
	free(s);
}
