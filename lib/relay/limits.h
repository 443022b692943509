/*
 * limits.h - how much clients may do in a time.  Internal to lib/relay.
 *
 * Buckets belong to a connection, to everybody, or to a party: an address
 * (of IPv6 a network of 64 bits) or an authenticated key.  A message that
 * finds a bucket empty waits, if that will not be for long; else it is
 * refused.  What waits has paid for its turn, so that connections which share
 * a bucket take turns, and who would be too far behind is refused.  Who goes
 * on is closed, and whoever is closed again and again is banned for a while.
 *
 * Connections without a party are the operator's: for them nothing counts
 * but what counts over all, and for their keys.
 */
#ifndef NR_RELAY_LIMITS_H
#define NR_RELAY_LIMITS_H

#include <stddef.h>
#include <stdint.h>

struct nr_conn;
struct nr_ip;
struct nr_lane;
struct nr_limits;
struct nr_party;
struct nr_relay;

/* What was in the way; nr_limit_name[] has their names. */
enum nr_limit {
	NR_LIMIT_CONNECTIONS, NR_LIMIT_CONNECT, NR_LIMIT_IP_CONNECTIONS,
	NR_LIMIT_IP_CONNECT, NR_LIMIT_KEY_CONNECTIONS, NR_LIMIT_KEY_CONNECT,
	NR_LIMIT_BANNED, NR_LIMIT_MESSAGES, NR_LIMIT_BYTES, NR_LIMIT_EVENTS,
	NR_LIMIT_EVENT_BYTES, NR_LIMIT_IP_EVENTS, NR_LIMIT_KEY_EVENTS,
	NR_LIMIT_IP_QUERIES, NR_LIMIT_QUERIES, NR_LIMIT_AUTH_FAILURES,
	NR_LIMIT_SUBSCRIPTIONS, NR_LIMIT_FILTERS, NR_LIMIT_VALUES,
	NR_LIMIT_MESSAGE_SIZE, NR_LIMIT_BAD_MESSAGES, NR_LIMIT_OUTPUT,
	NR_LIMITS
};

extern const char *const nr_limit_name[NR_LIMITS];

int	nr_limits_new(struct nr_limits **out, struct nr_relay *r);
void	nr_limits_free(struct nr_limits *l);

/* Count what was in the way of something. */
void	nr_limits_hit(struct nr_relay *r, enum nr_limit what);

/*
 * May a request be answered?  That it came is counted.
 * ip	     NULL: the operator's
 * to_stay  it wants to become a WebSocket
 * Returns   0, or after how many seconds to try again.
 */
unsigned nr_limits_connect(struct nr_limits *l, const struct nr_ip *ip,
	    int to_stay);

/*
 * A socket comes whose address is known before it says anything, and goes.
 * Those that stay silent take room, too: an address has a quarter more than
 * ip_connections of them, and 64.
 * party    set to what goes with it
 * Returns  0, EAGAIN where there are too many, or ENOMEM.
 */
int	nr_limits_arrive(struct nr_limits *l, const struct nr_ip *ip,
	    struct nr_party **party);
void	nr_limits_depart(struct nr_limits *l, struct nr_party *party);

/* A connection begins, and ends. */
int	nr_limits_enter(struct nr_conn *c, const struct nr_ip *ip);
void	nr_limits_leave(struct nr_conn *c);

/* Nobody uses the connection any more; any thread. */
void	nr_limits_forget(struct nr_conn *c);

/*
 * The connection has proved its n-th key.
 * Returns  NULL, or why it may not use it.
 */
const char *nr_limits_key(struct nr_conn *c, unsigned n,
	    const unsigned char key[32]);

/* What a message wants. */
enum nr_want { NR_WANT_OTHER, NR_WANT_EVENT, NR_WANT_QUERY, NR_WANT_COUNT };

#define NR_LIMITS_WHY	64

/*
 * May this message be handled?  One that has to wait must be asked about
 * again before any other of its connection.
 * len	    its bytes
 * why	    set where it is refused
 * after    set where it has to wait: nanoseconds
 * Returns  1; 0: refused; -1: not yet.
 */
int	nr_limits_take(struct nr_conn *c, enum nr_want want, size_t len,
	    char why[NR_LIMITS_WHY], int64_t *after);

/*
 * A query has done so much work; any thread.
 * Returns  how long its address should rest until it is paid: nanoseconds.
 */
int64_t	nr_limits_worked(struct nr_conn *c, uint64_t units);

/*
 * Before and after an AUTH.
 * Returns  1, or 0 with why it is not looked at.
 */
int	nr_limits_may_auth(struct nr_conn *c, char why[NR_LIMITS_WHY]);
void	nr_limits_bad_auth(struct nr_conn *c);

/* Where its queries wait for their turn; fixed, once it has begun. */
struct nr_lane *nr_limits_lane(struct nr_conn *c);

/* Parties that are remembered. */
size_t	nr_limits_parties(struct nr_limits *l);

#endif
