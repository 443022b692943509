/*
 * deflate.h - texts in the form that permessage-deflate (RFC 7692) sends.
 *
 * Every message stands for itself, without what went before it, so nothing
 * is kept for a connection, and an event that goes to many is compressed
 * once: what is their own comes before it, as it is.
 */
#ifndef NR_WIRE_DEFLATE_H
#define NR_WIRE_DEFLATE_H

#include "util/buf.h"
#include "util/view.h"

/* What a piece sent as it is takes more, of 65535 bytes at most. */
#define NR_DEFLATE_STORED	5

struct nr_deflater;

/*
 * level    1 (fast) to 9
 * Returns  0 or ENOMEM.
 */
int	nr_deflater_new(struct nr_deflater **out, int level);
void	nr_deflater_free(struct nr_deflater *d);	/* NULL is allowed */

/*
 * Make b the end of a message: the parts, one after the other.
 * Returns  0 or ENOMEM.
 */
int	nr_deflate(struct nr_deflater *d, struct nr_buf *b,
	    const struct nr_view *part, size_t nparts);

/* The head of a piece that is sent as it is; len is at most 65535. */
void	nr_deflate_stored(unsigned char out[NR_DEFLATE_STORED], size_t len);

struct nr_inflater;

int	nr_inflater_new(struct nr_inflater **out);
void	nr_inflater_free(struct nr_inflater *i);	/* NULL is allowed */

/*
 * The text of a whole message that stands for itself.
 * max	    more than so many bytes are not wanted
 * Returns  0, NR_EINVAL or ENOMEM.
 */
int	nr_inflate(struct nr_inflater *i, struct nr_buf *b, const void *data,
	    size_t len, size_t max);

#endif
