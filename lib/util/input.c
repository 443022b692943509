/*
 * Plain or zstd input.  The first bytes decide; a zstd stream may consist
 * of several frames.
 */
#include "util/input.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <zstd.h>

#include "util/err.h"

#define CHUNK	((size_t)128 * 1024)
#define MAGIC	4

struct nr_input {
	int		 fd;
	int		 decided;	/* plain or compressed is known */
	int		 eof;
	int		 in_frame;	/* a zstd frame is unfinished */
	ZSTD_DStream	*zstd;		/* NULL for plain input */
	uint64_t	 bytes;
	size_t		 at, len;	/* what of raw is still to be used */
	char		 raw[CHUNK];
};

int
nr_input_new(struct nr_input **out, int fd, int plain)
{
	struct nr_input *in;

	if ((in = calloc(1, sizeof(*in))) == NULL)
		return ENOMEM;
	in->fd = fd;
	in->decided = plain;
	*out = in;
	return NR_OK;
}

void
nr_input_free(struct nr_input *in)
{
	if (in == NULL)
		return;
	ZSTD_freeDStream(in->zstd);
	free(in);
}

uint64_t
nr_input_bytes(const struct nr_input *in)
{
	return in->bytes;
}

static int
read_some(struct nr_input *in, char *p, size_t n, size_t *got)
{
	ssize_t r;

	do
		r = read(in->fd, p, n);
	while (r < 0 && errno == EINTR);
	if (r < 0)
		return errno;
	in->bytes += (uint64_t)r;
	in->eof = r == 0;
	*got = (size_t)r;
	return NR_OK;
}

/* Read until the magic can be judged; set up for what it says. */
static int
decide(struct nr_input *in)
{
	static const unsigned char magic[MAGIC] = { 0x28, 0xb5, 0x2f, 0xfd };
	size_t got;
	int rc;

	while (in->len < MAGIC && !in->eof) {
		/* Text that cannot become the magic need not wait for more. */
		if (in->len > 0 && memcmp(in->raw, magic, in->len) != 0)
			break;
		rc = read_some(in, in->raw + in->len, CHUNK - in->len, &got);
		if (rc != NR_OK)
			return rc;
		in->len += got;
	}
	if (in->len >= MAGIC && memcmp(in->raw, magic, MAGIC) == 0) {
		if ((in->zstd = ZSTD_createDStream()) == NULL)
			return ENOMEM;
	}
	in->decided = 1;
	return NR_OK;
}

static int
read_plain(struct nr_input *in, char *p, size_t n, size_t *got)
{
	int rc;

	if (in->len > in->at) {
		*got = in->len - in->at < n ? in->len - in->at : n;
		memcpy(p, in->raw + in->at, *got);
		in->at += *got;
		return NR_OK;
	}
	if ((rc = in->eof ? NR_OK : read_some(in, p, n, got)) != NR_OK)
		return rc;
	return in->eof ? NR_EOF : NR_OK;
}

static int
read_zstd(struct nr_input *in, char *p, size_t n, size_t *got)
{
	ZSTD_outBuffer out = { p, n, 0 };
	ZSTD_inBuffer src;
	size_t left;
	int rc;

	while (out.pos == 0) {
		if (in->at == in->len && !in->eof) {
			in->at = 0;
			rc = read_some(in, in->raw, CHUNK, &in->len);
			if (rc != NR_OK)
				return rc;
		}
		if (in->at == in->len && !in->in_frame)
			return NR_EOF;
		src.src = in->raw;
		src.size = in->len;
		src.pos = in->at;
		left = ZSTD_decompressStream(in->zstd, &out, &src);
		if (ZSTD_isError(left))
			return NR_EZSTD;
		if (in->eof && src.pos == in->at && out.pos == 0 && left != 0)
			return NR_ETRUNCATED;
		in->at = src.pos;
		in->in_frame = left != 0;
	}
	*got = out.pos;
	return NR_OK;
}

int
nr_input_read(struct nr_input *in, char *p, size_t n, size_t *got)
{
	int rc;

	if (!in->decided && (rc = decide(in)) != NR_OK)
		return rc;
	return in->zstd == NULL ? read_plain(in, p, n, got) :
	    read_zstd(in, p, n, got);
}
