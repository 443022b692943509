/*
 * Events of kind 22242.
 */
#include "bench/auth.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <secp256k1.h>
#include <secp256k1_extrakeys.h>
#include <secp256k1_schnorrsig.h>

#include "event/verify.h"
#include "util/err.h"

struct nr_auth {
	secp256k1_context	*secp;
	secp256k1_keypair	 key;
	struct nr_verifier	*verifier;
	unsigned char		 pubkey[32];
};

void
nr_auth_free(struct nr_auth *a)
{
	if (a == NULL)
		return;
	if (a->secp != NULL)
		secp256k1_context_destroy(a->secp);
	nr_verifier_free(a->verifier);
	free(a);
}

int
nr_auth_new(struct nr_auth **out, uint64_t seed)
{
	unsigned char secret[32] = { [0] = 1 };
	secp256k1_xonly_pubkey pub;
	struct nr_auth *a;

	memcpy(secret + 1, &seed, sizeof(seed));
	if ((a = calloc(1, sizeof(*a))) == NULL)
		return ENOMEM;
	a->secp = secp256k1_context_create(SECP256K1_CONTEXT_NONE);
	if (a->secp == NULL || nr_verifier_new(&a->verifier) != NR_OK ||
	    !secp256k1_keypair_create(a->secp, &a->key, secret) ||
	    !secp256k1_keypair_xonly_pub(a->secp, &pub, NULL, &a->key) ||
	    !secp256k1_xonly_pubkey_serialize(a->secp, a->pubkey, &pub)) {
		nr_auth_free(a);
		return ENOMEM;
	}
	*out = a;
	return NR_OK;
}

int
nr_auth_event(struct nr_auth *a, struct nr_buf *b, const char *url,
    struct nr_view challenge)
{
	struct nr_event ev = { .kind = 22242, .ntags = 2 };
	struct nr_buf tags = { 0 };
	int rc;

	rc = nr_buf_addf(&tags, "[[\"relay\",\"%s\"],[\"challenge\",\"%.*s\"]]",
	    url, (int)challenge.len, challenge.p);
	if (rc == NR_OK)
		rc = nr_buf_reserve(b, NR_EVENT_LINE_MAX(tags.len + 512));
	if (rc == NR_OK) {
		memcpy(ev.pubkey, a->pubkey, 32);
		ev.created_at = time(NULL);
		ev.flags = NR_EVENT_NORMAL;
		ev.tags = (struct nr_view){ tags.p, tags.len };
		ev.content = (struct nr_view){ "", 0 };
		nr_event_hash(a->verifier, &ev, 0, ev.id);
		if (!secp256k1_schnorrsig_sign32(a->secp, ev.sig, ev.id,
		    &a->key, NULL))
			rc = NR_EINVAL;
	}
	if (rc == NR_OK)
		b->len += nr_event_normalise(&ev, b->p + b->len);
	nr_buf_free(&tags);
	return rc;
}
