/*
 * conn.h - a connection: what is to be sent to it, and what it subscribed
 * to.  Internal to lib/relay.
 *
 * The socket belongs to the thread that has libwebsockets.  Other threads
 * hold references and add to the output, under the connection's lock; then
 * they wake that thread with nr_relay_wake().
 */
#ifndef NR_RELAY_CONN_H
#define NR_RELAY_CONN_H

#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include <libwebsockets.h>

#include "policy/request.h"
#include "util/buf.h"
#include "util/rate.h"
#include "util/view.h"
#include "wire/frame.h"
#include "wire/ip.h"

struct nr_relay;
struct nr_deflater;
struct nr_party;
struct nr_sub;

#define NR_PACK_LEVEL	1	/* of compression: more costs more than it saves */

/* Frames to be sent. */
struct nr_chunk {
	struct nr_chunk	*next;
	size_t		 len, cap;
	unsigned char	 data[];
};

/* A queue of chunks, not shared. */
struct nr_chunks {
	struct nr_chunk	*head, *tail;
	size_t		 bytes;
};

#define NR_CONN_KEYS	16

/*
 * Queries that wait, of those who share one turn: an address, or a
 * connection that has none.  See queries.c, whose lock it is under.
 */
struct nr_lane {
	struct nr_sub	*head, *tail;
	size_t		 waiting;
	int64_t		 rests_until;	/* ns; what was done is paid then */
	struct nr_lane	*next;
	atomic_size_t	 sync_bytes;	/* see sync.c; under no lock */
};

struct nr_conn {
	struct nr_relay	*relay;
	atomic_uint	 refs;

	pthread_mutex_t	 lock;		/* of this part */
	struct nr_chunks out;
	int		 closed;	/* the socket is gone */
	int		 doomed;	/* to be closed, see why */
	int		 overrun;	/* without sending what is waiting */
	enum nr_close_status status;/* of the close frame */
	const char	*why;
	int		 dirty;		/* in the relay's list */
	struct nr_conn	*next_dirty;
	struct nr_sub	*paused;	/* queries that wait for output */

	struct sockaddr_storage local;	/* that it has connected to; fixed */
	int		 tls;

	/* Written by the socket thread, never taken back; see access.c. */
	char		 challenge[32];
	unsigned char	(*keys)[32];	/* that the client has proved */
	atomic_uint	 nkeys;

	/* By which way it came, for a policy; fixed. */
	enum nr_source	 source;
	char		 source_info[NR_IP_TEXT];

	int		 packs;		/* permessage-deflate; fixed */
	struct nr_lane	 lane;

	/* See limits.c; under its lock. */
	struct nr_party	*party;		/* its address, unless the operator's */
	struct nr_party	**key_party;	/* of its keys */
	unsigned	 nkey_parties;
	struct nr_bucket messages, bytes;
	lws_sorted_usec_list_t later;	/* when what waits may go on */

	/* The socket thread's. */
	struct lws	*wsi;
	uint64_t	 number;	/* of this connection, from 1 */
	int64_t		 opened;	/* ms */
	struct nr_conn	*prev, *next;
	struct nr_buf	 rx;		/* a message that is not complete */
	size_t		 rx_total;	/* its bytes, with those dropped */
	struct nr_buf	 backlog;	/* messages that wait for room */
	int		 admitted;	/* the first of them is */
	int64_t		 turn;		/* ns, of the first; limits.c's */
	int		 gated;		/* nothing is, until a policy says so */
	unsigned	 asking;	/* what a policy has to decide on */
	int		 stuck;		/* see mind_stuck() in relay.c */
	int		 peeked;	/* stuck, and read for once */
	int		 said_close;	/* what comes now is dropped */
	int64_t		 wrote;		/* ms, when it took something, or had all */
	int64_t		 leave_at;	/* ms; see leave.c */
	int		 mute;		/* what comes now is dropped */
	int		 leaving;	/* it has been told */
	struct nr_sub	*subs;
	unsigned	 nsubs;
	size_t		 nvalues;	/* in the filters of subs */

	atomic_uint	 unanswered;	/* events on their way */
	atomic_uint	 bad;		/* messages that made no sense */
	size_t		 pending;	/* see nr_sub; under the same lock */
};

/* One reference, for the socket.  NULL where there is no memory. */
struct nr_conn	*nr_conn_new(struct nr_relay *r, struct lws *wsi);
void	nr_conn_ref(struct nr_conn *c);
void	nr_conn_unref(struct nr_conn *c);

/*
 * Add a text frame with this payload; a connection that is closed, or
 * that has too much waiting, takes nothing more.
 */
void	nr_conn_send(struct nr_conn *c, const char *payload, size_t len);
void	nr_conn_send_parts(struct nr_conn *c, const struct nr_view *part,
	    size_t nparts);

void	nr_conn_send_event(struct nr_conn *c, const struct nr_sub *s,
	    struct nr_view line, const struct nr_buf *packed);

/*
 * Add finished frames, unless they are not wanted any more; q is empty
 * afterwards.
 * cancelled  may be NULL
 */
void	nr_conn_send_chunks(struct nr_conn *c, struct nr_chunks *q,
	    const atomic_int *cancelled);

/* Set *cancelled: no call that is told of it adds anything from now on. */
void	nr_conn_cancel(struct nr_conn *c, atomic_int *cancelled);

/*
 * Close it once what is waiting has been sent.
 * status  RFC 6455's, for the close frame
 * why	   a constant, for its text
 */
void	nr_conn_doom(struct nr_conn *c, enum nr_close_status status,
	    const char *why);

/* More is waiting for it than there may be: close it at once. */
void	nr_conn_overrun(struct nr_conn *c);

/* Has it been closed, or will it be? */
int	nr_conn_lost(struct nr_conn *c);

/* A message made no sense; too many of them are the connection's end. */
void	nr_conn_bad(struct nr_conn *c);

/*
 * Add an event to a private queue.
 * packed  the end of the message from nr_pack(), or NULL: as it is
 */
int	nr_chunks_event(struct nr_chunks *q, const struct nr_sub *s,
	    struct nr_view line, const struct nr_buf *packed);

/* The end of a message with this event; *b is empty where it is too small. */
int	nr_pack(struct nr_deflater *d, struct nr_buf *b, struct nr_view line);

/* Add a text frame made of some parts to a private queue. */
int	nr_chunks_frame(struct nr_chunks *q, const struct nr_view *part,
	    size_t nparts);
void	nr_chunks_free(struct nr_chunks *q);

#endif
