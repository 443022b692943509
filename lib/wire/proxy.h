/*
 * proxy.h - what a proxy says about whose connection it passes on: in the
 * PROXY protocol's header, versions 1 and 2, or in X-Forwarded-For.
 * https://www.haproxy.org/download/2.9/doc/proxy-protocol.txt
 */
#ifndef NR_WIRE_PROXY_H
#define NR_WIRE_PROXY_H

#include <stddef.h>

#include "wire/ip.h"

#define NR_PROXY_MAX	1024	/* of a header; longer ones are refused */

struct nr_proxy {
	int			has_source;	/* else it is the proxy's own */
	struct nr_ip	source;
};

/*
 * Read a header at the beginning of a stream.
 * Returns  its length; 0 where more bytes are needed; -1 where it is none.
 */
int	nr_proxy_read(struct nr_proxy *out, const void *p, size_t len);

/*
 * The last address in a header's list that is not a trusted proxy's own:
 * what is to the left of it is what anybody may have said.  Where all are
 * trusted, the first; what is no address ends the list.  Ports go.
 * Returns  1, or 0 where the last is no address.
 */
int	nr_forwarded_read(struct nr_ip *out, const char *list, size_t len,
	    const struct nr_network *trusted, size_t ntrusted);

#endif
