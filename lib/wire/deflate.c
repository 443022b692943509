/*
 * Compressing messages, each on its own.
 */
#include "wire/deflate.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <zlib.h>

#include "util/err.h"

/*
 * Most texts are of a few kilobytes: a larger window gains little and costs
 * more to clear than such a text costs to compress.
 */
#define WINDOW_BITS	13
#define MEM_LEVEL	6
#define FLUSH		4	/* bytes that RFC 7692 leaves out */

struct nr_deflater {
	z_stream z;
};

int
nr_deflater_new(struct nr_deflater **out, int level)
{
	struct nr_deflater *d;

	if ((d = calloc(1, sizeof(*d))) == NULL)
		return ENOMEM;
	if (deflateInit2(&d->z, level, Z_DEFLATED, -WINDOW_BITS, MEM_LEVEL,
	    Z_DEFAULT_STRATEGY) != Z_OK) {
		free(d);
		return ENOMEM;
	}
	*out = d;
	return NR_OK;
}

void
nr_deflater_free(struct nr_deflater *d)
{
	if (d == NULL)
		return;
	(void)deflateEnd(&d->z);
	free(d);
}

int
nr_deflate(struct nr_deflater *d, struct nr_buf *b,
    const struct nr_view *part, size_t nparts)
{
	size_t len = 0, i;
	int rc;

	for (i = 0; i < nparts; i++)
		len += part[i].len;
	b->len = 0;
	/* The bound is for one call; a flush adds to it. */
	rc = nr_buf_reserve(b, deflateBound(&d->z, len) + 16);
	if (rc != NR_OK)
		return rc;
	(void)deflateReset(&d->z);
	d->z.next_out = (unsigned char *)b->p;
	d->z.avail_out = (uInt)b->cap;
	for (i = 0; i < nparts; i++) {
		d->z.next_in = (unsigned char *)(uintptr_t)part[i].p;
		d->z.avail_in = (uInt)part[i].len;
		(void)deflate(&d->z, i + 1 < nparts ? Z_NO_FLUSH :
		    Z_SYNC_FLUSH);
	}
	b->len = b->cap - d->z.avail_out - FLUSH;
	return NR_OK;
}

void
nr_deflate_stored(unsigned char out[NR_DEFLATE_STORED], size_t len)
{
	out[0] = 0;
	out[1] = (unsigned char)len;
	out[2] = (unsigned char)(len >> 8);
	out[3] = (unsigned char)~out[1];
	out[4] = (unsigned char)~out[2];
}

struct nr_inflater {
	z_stream z;
};

int
nr_inflater_new(struct nr_inflater **out)
{
	struct nr_inflater *i;

	if ((i = calloc(1, sizeof(*i))) == NULL)
		return ENOMEM;
	if (inflateInit2(&i->z, -15) != Z_OK) {
		free(i);
		return ENOMEM;
	}
	*out = i;
	return NR_OK;
}

void
nr_inflater_free(struct nr_inflater *i)
{
	if (i == NULL)
		return;
	(void)inflateEnd(&i->z);
	free(i);
}

/* Take one piece of input in. */
static int
add_inflated(z_stream *z, struct nr_buf *b, const void *data, size_t len,
    size_t max)
{
	int rc = Z_OK;

	z->next_in = (unsigned char *)(uintptr_t)data;
	z->avail_in = (uInt)len;
	do {
		if (b->len > max)
			return NR_EINVAL;
		if (nr_buf_reserve(b, 4096) != NR_OK)
			return ENOMEM;
		z->next_out = (unsigned char *)b->p + b->len;
		z->avail_out = (uInt)(b->cap - b->len);
		rc = inflate(z, Z_SYNC_FLUSH);
		b->len = b->cap - z->avail_out;
	} while (rc == Z_OK && z->avail_out == 0);
	return rc == Z_OK || rc == Z_BUF_ERROR ? NR_OK : NR_EINVAL;
}

int
nr_inflate(struct nr_inflater *i, struct nr_buf *b, const void *data,
    size_t len, size_t max)
{
	int rc;

	b->len = 0;
	(void)inflateReset(&i->z);
	rc = add_inflated(&i->z, b, data, len, max);
	return rc != NR_OK ? rc : add_inflated(&i->z, b, "\0\0\xff\xff",
	    FLUSH, max);
}
