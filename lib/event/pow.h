/*
 * pow.h - proof of work (NIP-13): an id that begins with zeros.
 */
#ifndef NR_EVENT_POW_H
#define NR_EVENT_POW_H

#include <stdint.h>

#include "event/event.h"
#include "util/buf.h"

#define NR_POW_MAX	64	/* bits; far more than anybody can afford */

/* How many bits of an id are zero before the first that is one. */
unsigned nr_pow_bits(const unsigned char id[32]);

struct nr_pow_options {
	unsigned	bits;		/* at most NR_POW_MAX */
	unsigned	threads;	/* at least 1 */
	int		now;		/* created_at goes with the clock */
	int64_t		timeout;	/* ms */
	/* Told now and then how many ids were tried; may be NULL. */
	void		(*progress)(void *ctx, uint64_t tried);
	void		*ctx;
};

/*
 * Give ev, which is normal and has its pubkey, a nonce tag with which its
 * id, over \u00xx as nr_sign_event() makes it, begins with so many zeros.
 * The tag names that number and is the last; it takes the place of nonce
 * tags that ev has.
 *
 * tags     borrowed by ev from now on
 * Returns  0, NR_ETIMEOUT, ENOMEM, or what pthread_create() says.
 * Cost	    2^bits ids, of which a core tries some millions a second where
 *	    content is short; all of it is hashed for each.
 */
int	nr_pow_mine(struct nr_event *ev, struct nr_buf *tags,
	    const struct nr_pow_options *o);

#endif
