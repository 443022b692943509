/*
 * session.h - what a client says, and what is done about it.  Internal to
 * lib/relay; called by the socket thread only.
 */
#ifndef NR_RELAY_SESSION_H
#define NR_RELAY_SESSION_H

#include <stddef.h>
#include <stdint.h>

#include "policy/request.h"

struct nr_conn;
struct nr_sub;

/*
 * Handle one complete message.
 * Returns  1, or 0 where it must wait until r->room is set or
 *	    nr_relay_later() has tried: call again with the same message.
 */
int	nr_session_message(struct nr_conn *c, const char *text, size_t len);

/* Count a message that made no sense, and say why; why is NIP-01's text. */
void	nr_session_bad(struct nr_conn *c, const char *why);

/* End the sessions (NIP-77) that have heard nothing for too long. */
void	nr_session_expire(struct nr_conn *c, int64_t now);

/*
 * Have a session gather all that its filter matches; a query thread's, too.
 * Returns  0 or ENOMEM.
 */
int	nr_session_gather(struct nr_sub *s);

/* A policy has decided about one that was to begin; why, if it may not. */
void	nr_session_decided(struct nr_sub *s, enum nr_action action,
	    const char *why);

/* The socket is gone: end its subscriptions. */
void	nr_session_end(struct nr_conn *c);

#endif
