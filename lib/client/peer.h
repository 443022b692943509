/*
 * peer.h - a connection to a relay, which is made anew when it is lost.
 *
 * A peer is idle, resolving, connecting, open, closing or waiting to try
 * again.  It answers pings, pings itself, notices when nobody is there, and
 * proves who we are (NIP-42).  What a relay sends is taken apart, checked
 * for form and handed over; nothing is kept.  net.h has the conventions.
 */
#ifndef NR_CLIENT_PEER_H
#define NR_CLIENT_PEER_H

#include <stddef.h>
#include <stdint.h>

#include "client/net.h"
#include "client/tls.h"
#include "util/buf.h"
#include "util/view.h"
#include "wire/answer.h"
#include "wire/url.h"

struct nr_peer;

enum nr_peer_state {
	NR_PEER_IDLE,		/* not begun, or ended for good */
	NR_PEER_RESOLVING,
	NR_PEER_CONNECTING,	/* TCP, TLS, the WebSocket handshake */
	NR_PEER_PROVING,	/* AUTH at once: its challenge, its OK */
	NR_PEER_OPEN,
	NR_PEER_CLOSING,	/* output goes, then we say goodbye */
	NR_PEER_WAITING		/* to try again */
};

/* Why there is no connection. */
enum nr_fault_class {
	NR_FAULT_NONE,		/* we closed it */
	NR_FAULT_RESOLVE,	/* no address for the name */
	NR_FAULT_CONNECT,	/* refused, unreachable; code: errno, or 0 */
	NR_FAULT_TLS,		/* a certificate or handshake that failed */
	NR_FAULT_HTTP,		/* code: the HTTP status, 0: no HTTP */
	NR_FAULT_TIMEOUT,	/* it does not answer */
	NR_FAULT_CLOSED,	/* code: of its close frame, 0: cut off */
	NR_FAULT_FLOOD,		/* a message beyond all bounds */
	NR_FAULT_LOCAL		/* memory, descriptors */
};

#define NR_FAULT_TEXT	200

struct nr_fault {
	enum nr_fault_class	class;
	unsigned		code;
	char			text[NR_FAULT_TEXT];	/* printable */
};

/* The class as one word, as reports have it: "tls", "timeout". */
const char	*nr_fault_name(enum nr_fault_class c);

/* What is called; each may be NULL. */
struct nr_peer_calls {
	/* Messages can be sent. */
	void	(*opened)(struct nr_peer *p, void *ctx);
	/*
	 * Each message as it came, also AUTH and what is malformed, before
	 * anything else is done with it; borrowed for the time of the call.
	 */
	void	(*heard)(struct nr_peer *p, void *ctx, const char *text,
		    size_t len);
	/*
	 * A message came; it is borrowed for the time of the call.  AUTH
	 * and the OK to ours are seen to and do not come here.
	 */
	void	(*answer)(struct nr_peer *p, void *ctx,
		    const struct nr_answer *a);
	/* One came that is no message; why says it. */
	void	(*malformed)(struct nr_peer *p, void *ctx, const char *why);
	/* After EAGAIN: there is room again. */
	void	(*room)(struct nr_peer *p, void *ctx);
	/* The relay has sent a challenge: AUTH is offered. */
	void	(*challenged)(struct nr_peer *p, void *ctx);
	/* To nr_peer_ping(): so long after it was sent. */
	void	(*ponged)(struct nr_peer *p, void *ctx, int64_t ns);
	/* Whether the relay takes us for who we are; text is its own. */
	void	(*proved)(struct nr_peer *p, void *ctx, int accepted,
		    const char *text);
	/*
	 * There is no connection, or none could be made.
	 * again  milliseconds to the next attempt; -1: there is none
	 */
	void	(*closed)(struct nr_peer *p, void *ctx,
		    const struct nr_fault *why, int64_t again);
};

/*
 * Append the event, as one line, that answers a challenge (NIP-42).
 * url, challenge  normal text, without quotes
 * Returns    0 or a code.
 */
typedef int nr_auth_fn(void *ctx, struct nr_buf *out, const char *url,
    struct nr_view challenge);

enum nr_auth_when {
	NR_AUTH_ASKED,		/* when nr_peer_prove() is called */
	NR_AUTH_FIRST		/* before opened(), where there is a challenge */
};

struct nr_peer_options {
	int64_t		 connect_ms;	/* 10 s, for the whole of it */
	int64_t		 ping_ms;	/* 30 s of silence, then we ask */
	int64_t		 dead_ms;	/* 75 s of silence, then it is lost */
	int64_t		 close_ms;	/* 3 s for the goodbye */
	int64_t		 wait_ms;	/* 250 ms before trying again, */
	int64_t		 wait_max_ms;	/* doubled up to 60 s; half by chance */
	unsigned	 tries;		/* 1: that may fail in a row, 0: any */
	size_t		 in_max;	/* 1.5 MiB; longer ones are dropped, */
	size_t		 in_close;	/* and beyond 16 MiB the connection */
	size_t		 out_max;	/* 1 MiB that waits to be sent */
	enum nr_auth_when auth;
	/* Connect to this Unix socket, whatever the URL says; or NULL. */
	const char	*unix_path;
	nr_auth_fn	*sign;		/* NULL: we are nobody */
	void		*sign_ctx;
};

struct nr_peer_figures {
	uint64_t	opened, failed;		/* connections */
	uint64_t	messages, bytes_in;	/* payload */
	uint64_t	sent, bytes_out;
	uint64_t	dropped, malformed;	/* of messages */
};

/*
 * How the last attempt to connect went, step by step, also where it failed.
 * Times are nanoseconds; -1: the step did not end, or there was none (no
 * name to be looked up, no TLS).
 */
struct nr_peer_link {
	char	address[80];	/* the IP address that was tried last */
	int64_t	resolve;	/* by the system, without waiting for a turn */
	int64_t	connect;	/* TCP */
	int64_t	tls;		/* the handshake */
	int64_t	upgrade;	/* the request, to the answer that opens */
	struct nr_tls_facts facts;
};

void	nr_peer_options_init(struct nr_peer_options *o);

/* Nothing happens before nr_peer_open(). */
int	nr_peer_new(struct nr_peer **out, struct nr_net *n,
	    const struct nr_url *url, const struct nr_peer_options *o,
	    const struct nr_peer_calls *calls, void *ctx);

/* At once, without goodbye and callbacks.  NULL is allowed. */
void	nr_peer_free(struct nr_peer *p);

/* Connect; now, where it waits to try again; else nothing. */
void	nr_peer_open(struct nr_peer *p);

/*
 * Send what waits, say goodbye, close, within close_ms; closed() then has
 * NR_FAULT_NONE, and there is no next attempt.  In state NR_PEER_IDLE
 * nothing is called.
 */
void	nr_peer_close(struct nr_peer *p);

/* Drop the connection as if it had been lost so. */
void	nr_peer_fail(struct nr_peer *p, enum nr_fault_class c,
	    const char *text);

/*
 * Queue a text message made of some parts.
 * Returns  0; EAGAIN where out_max is full; ENOTCONN where it is not open;
 *	    ENOMEM.
 */
int	nr_peer_send(struct nr_peer *p, const struct nr_view *part,
	    size_t nparts);
/* The same for a string. */
int	nr_peer_say(struct nr_peer *p, const char *text);

/* Send a ping; ponged() is called when it is answered. */
void	nr_peer_ping(struct nr_peer *p);

/* Stop reading, or go on; a few messages may still come. */
void	nr_peer_pause(struct nr_peer *p, int on);

/*
 * For how long it has been read, in all: who waits for an answer counts the
 * time in which it could be heard.
 */
int64_t	nr_peer_listened(const struct nr_peer *p);

/*
 * How long to wait yet for what is due ms after nr_peer_listened() was
 * since; 0: it is overdue.
 */
int64_t	nr_peer_due(const struct nr_peer *p, int64_t since, int64_t ms);

/*
 * Prove who we are, as soon as there is a challenge.
 * Returns  1 where proved() will be called, unless the connection is lost
 *	    or no challenge ever comes; 0 where it was refused already, or
 *	    there is nobody to be; 2 where it has been accepted.
 */
int	nr_peer_prove(struct nr_peer *p);

/* The relay is of use: failures are counted, and waits doubled, anew. */
void	nr_peer_good(struct nr_peer *p);

enum nr_peer_state nr_peer_state(const struct nr_peer *p);
struct nr_net *nr_peer_net(const struct nr_peer *p);
const char *nr_peer_url(const struct nr_peer *p);
void	nr_peer_figures(const struct nr_peer *p, struct nr_peer_figures *out);
/* Borrowed; valid until p connects anew or is freed. */
const struct nr_peer_link *nr_peer_link(const struct nr_peer *p);

#endif
