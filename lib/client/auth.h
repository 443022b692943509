/*
 * auth.h - answering relays' challenges with a key (NIP-42).
 */
#ifndef NR_CLIENT_AUTH_H
#define NR_CLIENT_AUTH_H

#include "client/peer.h"
#include "event/sign.h"

struct nr_signer {
	const struct nr_key	*key;
	struct nr_verifier	*hasher;	/* of the loop's thread */
};

/* An nr_auth_fn: ctx is a struct nr_signer. */
int	nr_signer_auth(void *ctx, struct nr_buf *out, const char *url,
	    struct nr_view challenge);

#endif
