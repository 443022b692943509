/*
 * endpoint.h - where a relay listens: ADDRESS:PORT or unix:/path, with
 * proxy:, tls: or proxy:tls: before it, in the order of what comes first.
 */
#ifndef NR_RELAY_ENDPOINT_H
#define NR_RELAY_ENDPOINT_H

#include <sys/socket.h>

#define NR_ADDRESS_MAX		64
#define NR_ENDPOINT_TEXT	128

struct nr_endpoint {
	int		 proxy;		/* PROXY headers come first */
	int		 tls;
	const char	*path;		/* in the text, of a Unix socket */
	char		 address[NR_ADDRESS_MAX];	/* without brackets */
	int		 port;
};

/*
 * Read text, which must outlive out.
 * Returns  NULL, or what is wrong.
 */
const char *nr_endpoint_parse(struct nr_endpoint *out, const char *text);

/* As the system has it.  Returns its length. */
socklen_t nr_endpoint_sockaddr(const struct nr_endpoint *e,
	    struct sockaddr_storage *out);

/* Is a socket bound there? */
int	nr_endpoint_is(const struct nr_endpoint *e, int fd);

/* Where a socket is bound, as text to read.  Returns 0 where that is no such
 * place. */
int	nr_endpoint_write(int fd, char out[NR_ENDPOINT_TEXT]);

/* Remove the path of a socket at which nobody, of any process, listens. */
void	nr_endpoint_clear(const struct nr_endpoint *e);

/*
 * Listen there; a Unix socket that nobody listens at is replaced.
 * Returns  0 or errno.
 */
int	nr_endpoint_listen(const struct nr_endpoint *e, int *fd);

#endif
