/*
 * verify.h - is an event authentic: does its id match, is it signed?
 *
 * A verifier belongs to one thread at a time.  It keeps the public keys
 * that it parsed last, because authors repeat and parsing one costs an
 * eighth of a verification.
 */
#ifndef NR_EVENT_VERIFY_H
#define NR_EVENT_VERIFY_H

#include "event/event.h"

struct nr_verifier;

/* How much of an event is taken on trust. */
enum nr_trust {
	NR_TRUST_NOTHING,	/* check id and signature */
	NR_TRUST_SIGNATURES,	/* check the id only */
	NR_TRUST_ALL
};

/* Returns 0 or ENOMEM. */
int	nr_verifier_new(struct nr_verifier **out);
void	nr_verifier_free(struct nr_verifier *v);	/* NULL is allowed */

/*
 * The id that a normal event must have, by NIP-01's serialisation.
 * escaped  0: everything but NIP-01's seven escapes is hashed as it is;
 *	    1: other control characters are hashed as \u00xx, which is what
 *	    the libraries of JavaScript and Go do.  The two differ only
 *	    for events that hold such characters.
 */
void	nr_event_hash(struct nr_verifier *v, const struct nr_event *ev,
	    int escaped, unsigned char out[32]);

/*
 * Check a normal event.  An id over either serialisation is accepted.
 * Returns  NR_VALID, NR_BAD_ID, NR_BAD_PUBKEY or NR_BAD_SIG.
 * Cost	    some 30 microseconds for a signature.
 */
enum nr_verdict	nr_verify_event(struct nr_verifier *v,
		    const struct nr_event *ev, enum nr_trust trust);

/*
 * Check a BIP-340 signature over 32 bytes.
 * Returns  NR_VALID, NR_BAD_PUBKEY or NR_BAD_SIG.
 */
enum nr_verdict	nr_verify_signature(struct nr_verifier *v,
		    const unsigned char pubkey[32],
		    const unsigned char msg[32], const unsigned char sig[64]);

#endif
