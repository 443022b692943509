/*
 * accept.h - connections as they come in.  Internal to lib/relay.
 *
 * A thread accepts them, reads the header of the PROXY protocol where one
 * comes first, and queues them for the socket thread, which gives them to
 * libwebsockets.  So a proxy that is slow holds up nobody, and where
 * descriptors run out, the others go on.
 */
#ifndef NR_RELAY_ACCEPT_H
#define NR_RELAY_ACCEPT_H

#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include "relay/endpoint.h"
#include "relay/relay.h"
#include "wire/ip.h"

struct nr_acceptor;
struct nr_party;

/* A connection; whoever has it frees it. */
struct nr_arrival {
	int			 fd;
	const struct nr_endpoint *at;
	int			 metrics;	/* for the operator */
	int			 is_ip;		/* else a Unix socket's */
	struct nr_ip	 from;		/* where it is */
	int			 told;		/* by a proxy's header */
	struct nr_party	*party;		/* see nr_limits_arrive(); or NULL */
	/* See nr_origin(), of the last request. */
	struct nr_ip	 origin;
	int			 has_origin;
	int			 upgrades;	/* it is one */
	int			 packs;		/* and is to be compressed */
	int64_t			 until;		/* ms, for the header */
	TAILQ_ENTRY(nr_arrival)	 link;
};

/*
 * Listen where the configuration says, with sockets that were given where
 * they are there.
 * where    what could not be listened on
 * Returns  0, ENOMEM, or errno of that.
 */
int	nr_acceptor_new(struct nr_acceptor **out, struct nr_relay *r,
	    struct nr_given *given, const char **where);

/* Accept from now on. */
int	nr_acceptor_start(struct nr_acceptor *a);

/*
 * Accept no more clients; what was accepted still comes.
 * all  nor operators
 */
void	nr_acceptor_shut(struct nr_acceptor *a, int all);

/* Shut, and everything that was accepted has been taken. */
int	nr_acceptor_idle(struct nr_acceptor *a);

/* For another process: copies of the sockets; any thread. */
void	nr_acceptor_share(struct nr_acceptor *a, struct nr_given *copies);

void	nr_acceptor_free(struct nr_acceptor *a);

/* The next connection, or NULL; the socket thread's. */
struct nr_arrival *nr_acceptor_take(struct nr_acceptor *a);

/* See nr_relay_where(). */
void	nr_acceptor_where(const struct nr_acceptor *a, unsigned n, char *out,
	    size_t size);

#endif
