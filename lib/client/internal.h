/*
 * internal.h - what the files of client/ know of each other.  Internal to
 * lib/client.
 */
#ifndef NR_CLIENT_INTERNAL_H
#define NR_CLIENT_INTERNAL_H

#include <libwebsockets.h>
#include <netdb.h>
#include <openssl/ssl.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "client/net.h"
#include "client/peer.h"
#include "client/tls.h"

struct nr_resolver;

struct nr_timer {
	struct nr_net		*net;
	lws_sorted_usec_list_t	 sul;
	void			(*fn)(void *ctx);
	void			*ctx;
};

struct nr_net {
	struct lws_context	*lws;
	struct lws_vhost	*vhost;
	SSL_CTX			*tls;
	int			 epoll;		/* of all watches */
	struct lws		*epoll_wsi;
	int			 event;		/* wakes the loop */
	struct nr_watch		*event_watch;
	atomic_int		 stopped, woken;
	void			(*on_wake)(void *ctx);
	void			*wake_ctx;
	struct nr_resolver	*resolver;
	unsigned char		 random[1024];	/* for masks */
	size_t			 random_left;
};

/*
 * A connection's owner: what libwebsockets says of it.  Behind a wsi as its
 * opaque data; NULL there: nobody wants to know any more.
 */
struct nr_wire {
	int	(*happened)(struct nr_wire *w, struct lws *wsi,
		    enum lws_callback_reasons reason, void *in, size_t len);
	/* Of a certificate: what is wrong with it. */
	void	(*distrust)(struct nr_wire *w, const char *why);
	const char	*ip;	/* not NULL: what it must be made out to */
	/* Where facts are wanted: their place, and the URL's host. */
	struct nr_tls_facts *tls;
	const char	*host;
};

/* As nr_timer_new(), in place. */
void	nr_timer_init(struct nr_timer *t, struct nr_net *n,
	    void (*fn)(void *ctx), void *ctx);

/* Four bytes that nobody can guess. */
void	nr_net_mask(struct nr_net *n, unsigned char mask[4]);

/*
 * Let go of a connection: nothing more is said of it, and libwebsockets
 * closes it when it comes to it.
 */
void	nr_wire_drop(struct lws *wsi);

#define NR_HOST_HEADER	300	/* room for a host, brackets and port */

/*
 * What all connections have in common.
 * host	    gets the host as HTTP has it; borrowed by *i
 */
void	nr_wire_connect_info(struct lws_client_connect_info *i,
	    struct nr_net *n, const struct nr_url *url, struct nr_wire *w,
	    char host[NR_HOST_HEADER]);
void	nr_wire_host(char host[NR_HOST_HEADER], const struct nr_url *url);

/* Returns 0, or 1 where there is no room up to last. */
int	nr_wire_user_agent(struct lws *wsi, unsigned char **p,
	    unsigned char *last);

/* text is made printable. */
void	nr_fault_set(struct nr_fault *f, enum nr_fault_class c,
	    unsigned code, const char *text, size_t len);

/* ---- tls.c */

/* What was agreed on, as far as that has come; ssl may be NULL. */
void	nr_tls_facts_session(struct nr_tls_facts *f, SSL *ssl);

/* What the certificate at hand says, and whether it is made out to host. */
void	nr_tls_facts_certificate(struct nr_tls_facts *f, X509_STORE_CTX *x,
	    const char *host);

/* It is not trusted, for this reason: a code of X509_V_ERR_. */
void	nr_tls_facts_distrust(struct nr_tls_facts *f, int why);

/* ---- resolve.c */

struct nr_lookup;

int	nr_resolver_new(struct nr_resolver **out, struct nr_net *n);
void	nr_resolver_free(struct nr_resolver *r);	/* NULL is allowed */

/* So many look-ups at a time. */
void	nr_resolver_threads(struct nr_resolver *r, unsigned most);

/* Called by the loop: finished look-ups call back. */
void	nr_resolver_run(struct nr_resolver *r);

/*
 * Look a name up in a thread of its own, because that may take long.
 * done	    called once, from the loop: list is the callee's, to be freed by
 *	    freeaddrinfo(), or NULL, and why then says what is wrong
 */
int	nr_lookup_new(struct nr_lookup **out, struct nr_resolver *r,
	    const char *host, const char *port,
	    void (*done)(void *ctx, struct addrinfo *list, const char *why),
	    void *ctx);

/* In done(): how long the system took, in nanoseconds. */
int64_t	nr_lookup_took(const struct nr_lookup *l);

/* done() has been called, or is not wanted any more. */
void	nr_lookup_free(struct nr_lookup *l);

#endif
