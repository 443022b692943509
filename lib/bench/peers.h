/*
 * peers.h - many WebSocket connections in one thread, for load tests:
 * nothing is masked or copied that need not be, so that the relay is what
 * is measured.
 *
 * A message, whole or in fragments, has 64 MiB at most, and no more than
 * 32 MiB wait for a relay that does not read: what asks for more loses its
 * connection.  With wss://, who uses this ignores SIGPIPE.
 */
#ifndef NR_BENCH_PEERS_H
#define NR_BENCH_PEERS_H

#include <stddef.h>
#include <stdint.h>

#include "util/buf.h"
#include "util/view.h"

struct addrinfo;
struct nr_inflater;
struct nr_peers;
struct nr_secured;
struct ssl_ctx_st;

/* What went wrong last. */
struct nr_bench_fault {
	/*
	 * dns, refused, unreachable, timeout, tls, expired, wrong-name,
	 * untrusted, http, protocol, closed, local; NULL: nothing has.
	 */
	const char	*class;
	char		 text[160];
};

struct nr_bench_peer {
	struct nr_peers	*all;
	int		 fd;
	int		 open;		/* the handshake is done */
	int		 failed;	/* closed, by whomever */
	unsigned	 index;
	void		*user;
	struct nr_secured *tls;		/* NULL without */
	struct nr_buf	 in, out;
	struct nr_buf	 message;	/* of fragments, so far */
	int		 partial;	/* there are some: the first's opcode */
	int		 packed;	/* and whether they are */
	size_t		 sent;		/* of out */
	int		 polling_out;
	int		 paused;	/* it does not read */
};

/* What happens; payload is valid during the call. */
struct nr_bench_calls {
	void	(*opened)(struct nr_bench_peer *p);
	void	(*text)(struct nr_bench_peer *p, const char *payload,
		    size_t len);
	void	(*closed)(struct nr_bench_peer *p);
};

struct nr_peers {
	int			 epoll;
	struct nr_bench_peer		*peer;
	unsigned		 n, nopen, nfailed;
	struct nr_bench_calls	 calls;
	void			*user;
	uint64_t		 bytes_in, bytes_out;	/* as they travel */
	struct nr_inflater	*inflater;	/* where frames may be packed */
	struct nr_buf		 unpacked;
	struct ssl_ctx_st	*tls;		/* NULL without */
	struct nr_bench_fault	*fault;
	char			*host, *port, *path;
	struct addrinfo		*list;		/* of the name */
	struct addrinfo		*address;	/* the one that is used */
};

struct nr_peers_options {
	/* Offer permessage-deflate, with nothing kept between messages. */
	int		 packed;
	const char	*ca_file;	/* see nr_secure_new() */
};

/*
 * Connect n times to url.
 * o	    NULL: none of them
 * fault    told what goes wrong, here and later; lasts as long as the peers
 * Returns  0, NR_EINVAL for a URL of no relay or a ca_file without
 *	    certificates, ENOMEM or errno.
 */
int	nr_peers_open(struct nr_peers **out, const char *url, unsigned n,
	    const struct nr_peers_options *o,
	    const struct nr_bench_calls *calls, void *user,
	    struct nr_bench_fault *fault);
void	nr_peers_free(struct nr_peers *ps);

/* Wait for something to happen, at most timeout milliseconds. */
int	nr_peers_wait(struct nr_peers *ps, int timeout);

/* The same in nanoseconds. */
int	nr_peers_wait_ns(struct nr_peers *ps, int64_t timeout);

/*
 * Give up a connection, without a word, and begin another in its place; the
 * call closed() is made only where that is not possible.
 */
void	nr_bench_reconnect(struct nr_bench_peer *p);

/*
 * Read no more, then at most n bytes now.
 * Returns  0, or -1 where the connection is gone.
 */
void	nr_bench_pause(struct nr_bench_peer *p);
int	nr_bench_drip(struct nr_bench_peer *p, size_t n);

/*
 * Queue a text frame made of some parts; the connection fails where too
 * much waits.  Returns 0 or ENOMEM.
 */
int	nr_bench_send(struct nr_bench_peer *p, const struct nr_view *part,
	    size_t nparts);

/* Bytes that are queued. */
static inline size_t
nr_bench_waiting(const struct nr_bench_peer *p)
{
	return p->out.len - p->sent;
}

/* Write what is queued; called for all by nr_peers_wait(). */
void	nr_bench_flush(struct nr_bench_peer *p);

#endif
