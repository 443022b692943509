/*
 * accept.h - what an HTTP client wants, by its Accept header.
 */
#ifndef NR_WIRE_ACCEPT_H
#define NR_WIRE_ACCEPT_H

#include <stddef.h>

/*
 * Is this media type named in the header, in whatever case, and not
 * declined by a quality of 0?  Ranges with * do not count: they say that
 * anything will do, not what is wanted.
 */
int	nr_accept_names(const char *header, size_t len, const char *type);

#endif
