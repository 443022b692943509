/*
 * siblings.h - other relays that serve the same store.  Internal to
 * lib/relay.
 *
 * They find each other by sockets in the store's directory, and pass on
 * what the store does not: ephemeral events, in both directions; and, to
 * one that starts, the sockets to listen at, so that it can take over from
 * the one before without refusing anybody.
 */
#ifndef NR_RELAY_SIBLINGS_H
#define NR_RELAY_SIBLINGS_H

#include "relay/relay.h"
#include "util/view.h"

struct nr_siblings;

/*
 * Meet those who are there, and add the sockets that they listen at to
 * given.  Without any, or where that fails, which is logged, given stays
 * as it is.
 * Returns  0 or ENOMEM.
 */
int	nr_siblings_new(struct nr_siblings **out, struct nr_relay *r,
	    struct nr_given *given);

/* Serve those who come, and tell those who are there that we serve. */
int	nr_siblings_start(struct nr_siblings *s);

/* Send what is to be sent; meet nobody any more. */
void	nr_siblings_free(struct nr_siblings *s);

/*
 * Pass on an ephemeral event's normal line; any thread.
 * Returns  to how many.
 */
unsigned nr_siblings_pass(struct nr_siblings *s, struct nr_view line);

/* Has another relay our sockets, so that clients find it? */
int	nr_siblings_took(struct nr_siblings *s);

#endif
