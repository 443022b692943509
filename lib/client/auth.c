/*
 * Answers to challenges.
 */
#include "client/auth.h"

int
nr_signer_auth(void *ctx, struct nr_buf *out, const char *url,
    struct nr_view challenge)
{
	const struct nr_signer *s = ctx;

	return nr_sign_auth(s->key, s->hasher, out, url, challenge);
}
