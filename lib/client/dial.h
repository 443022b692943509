/*
 * dial.h - why does an address refuse TCP connections?
 *
 * libwebsockets says that it could not connect and not why, where connect(2)
 * did not fail at once.  Who wants to know asks again.  net.h has the
 * conventions.
 */
#ifndef NR_CLIENT_DIAL_H
#define NR_CLIENT_DIAL_H

#include <stdint.h>

#include "client/net.h"

struct nr_dial;

/*
 * Connect, within so many milliseconds, and let go again.
 * address  of IP, as text; a scope may follow
 * done	    called once: errno, ETIMEDOUT where there was no answer, or 0
 *	    where it has connected
 * Returns  0, ENOMEM, or errno where that is clear at once; done() is not
 *	    called then.
 */
int	nr_dial_new(struct nr_dial **out, struct nr_net *n,
	    const char *address, const char *port, int64_t ms,
	    void (*done)(void *ctx, int error), void *ctx);

/* Also before done() has been called.  NULL is allowed. */
void	nr_dial_free(struct nr_dial *d);

#endif
