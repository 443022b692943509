/*
 * url.h - the URLs of relays.
 */
#ifndef NR_WIRE_URL_H
#define NR_WIRE_URL_H

#include <stddef.h>

struct nr_url {
	int	tls;		/* wss:// */
	char	host[256];	/* lower case, without brackets */
	char	port[6];	/* the scheme's own, where none is given */
	char	path[1024];	/* from the slash on, with the query */
};

/*
 * Take ws://host[:port][/path] or wss:// apart.  What makes no difference
 * goes: upper case in scheme and host, a dot that ends the host, zeros
 * before the port, slashes at the end of the path, a fragment.
 * Returns  1, or 0 where text is no such URL.
 */
int	nr_url_parse(struct nr_url *out, const char *text, size_t len);

/*
 * The same for what people write: without a scheme, ws:// is meant for
 * localhost and loopback addresses and wss:// for all others.  An IPv6
 * address has brackets.  Quotes, backslashes and white space are refused.
 */
int	nr_url_parse_operand(struct nr_url *out, const char *text,
	    size_t len);

int	nr_url_same(const struct nr_url *a, const struct nr_url *b);

#endif
