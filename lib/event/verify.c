/*
 * Ids by libcrypto's SHA-256, signatures by libsecp256k1.
 */
#include "event/verify.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <secp256k1.h>
#include <secp256k1_extrakeys.h>
#include <secp256k1_schnorrsig.h>

#include "util/err.h"
#include "util/hex.h"
#include "util/sha256.h"

/* A power of two; 96 bytes each. */
#define CACHED_KEYS	4096

struct cached_key {
	unsigned char		pubkey[32];
	secp256k1_xonly_pubkey	parsed;
};

struct nr_verifier {
	struct nr_sha256	*sha;
	struct cached_key	*key;
	unsigned char		*known;	/* is key[i] in use */
};

int
nr_verifier_new(struct nr_verifier **out)
{
	struct nr_verifier *v;
	int rc;

	if ((v = calloc(1, sizeof(*v))) == NULL)
		return ENOMEM;
	v->key = malloc(CACHED_KEYS * sizeof(*v->key));
	v->known = calloc(CACHED_KEYS, 1);
	if (v->key == NULL || v->known == NULL) {
		nr_verifier_free(v);
		return ENOMEM;
	}
	if ((rc = nr_sha256_new(&v->sha)) != NR_OK) {
		nr_verifier_free(v);
		return rc;
	}
	*out = v;
	return NR_OK;
}

void
nr_verifier_free(struct nr_verifier *v)
{
	if (v == NULL)
		return;
	nr_sha256_free(v->sha);
	free(v->known);
	free(v->key);
	free(v);
}

/*
 * Hash normal text with its \u00xx escapes undone.  Such an escape is the
 * only one that starts with \u in normal text.
 */
static void
add_verbatim(struct nr_sha256 *sha, struct nr_view text)
{
	const char *p = text.p, *end = text.p + text.len, *esc = p;
	unsigned char c;

	while ((esc = memchr(esc, '\\', (size_t)(end - esc))) != NULL) {
		if (esc[1] != 'u') {
			esc += 2;
			continue;
		}
		nr_sha256_add(sha, p, (size_t)(esc - p));
		(void)nr_hex_decode(&c, esc + 4, 1);
		nr_sha256_add(sha, &c, 1);
		p = esc += 6;
	}
	nr_sha256_add(sha, p, (size_t)(end - p));
}

void
nr_event_hash(struct nr_verifier *v, const struct nr_event *ev, int escaped,
    unsigned char out[32])
{
	char head[128];
	size_t n = 4;

	memcpy(head, "[0,\"", 4);
	nr_hex_encode(head + n, ev->pubkey, 32);
	n += 64;
	n += (size_t)snprintf(head + n, sizeof(head) - n, "\",%lld,%u,",
	    (long long)ev->created_at, ev->kind);
	nr_sha256_start(v->sha);
	nr_sha256_add(v->sha, head, n);
	if (escaped) {
		nr_sha256_add(v->sha, ev->tags.p, ev->tags.len);
		nr_sha256_add(v->sha, ",\"", 2);
		nr_sha256_add(v->sha, ev->content.p, ev->content.len);
	} else {
		add_verbatim(v->sha, ev->tags);
		nr_sha256_add(v->sha, ",\"", 2);
		add_verbatim(v->sha, ev->content);
	}
	nr_sha256_add(v->sha, "\"]", 2);
	nr_sha256_end(v->sha, out);
}

static int
holds_control(struct nr_view text)
{
	return memmem(text.p, text.len, "\\u00", 4) != NULL;
}

static int
id_matches(struct nr_verifier *v, const struct nr_event *ev)
{
	unsigned char id[32];

	nr_event_hash(v, ev, 1, id);
	if (memcmp(id, ev->id, 32) == 0)
		return 1;
	if (!holds_control(ev->tags) && !holds_control(ev->content))
		return 0;
	nr_event_hash(v, ev, 0, id);
	return memcmp(id, ev->id, 32) == 0;
}

/* The author's key, from the cache or parsed; NULL where it is no key. */
static const secp256k1_xonly_pubkey *
public_key(struct nr_verifier *v, const unsigned char pubkey[32])
{
	struct cached_key *slot;
	size_t i;

	/* Keys look random: any of their bits are as good as a hash. */
	i = (size_t)(pubkey[8] | pubkey[9] << 8) & (CACHED_KEYS - 1);
	slot = &v->key[i];
	if (v->known[i] && memcmp(slot->pubkey, pubkey, 32) == 0)
		return &slot->parsed;
	v->known[i] = 0;
	if (!secp256k1_xonly_pubkey_parse(secp256k1_context_static,
	    &slot->parsed, pubkey))
		return NULL;
	memcpy(slot->pubkey, pubkey, 32);
	v->known[i] = 1;
	return &slot->parsed;
}

enum nr_verdict
nr_verify_signature(struct nr_verifier *v, const unsigned char pubkey[32],
    const unsigned char msg[32], const unsigned char sig[64])
{
	const secp256k1_xonly_pubkey *key;

	if ((key = public_key(v, pubkey)) == NULL)
		return NR_BAD_PUBKEY;
	if (!secp256k1_schnorrsig_verify(secp256k1_context_static, sig, msg,
	    32, key))
		return NR_BAD_SIG;
	return NR_VALID;
}

enum nr_verdict
nr_verify_event(struct nr_verifier *v, const struct nr_event *ev,
    enum nr_trust trust)
{
	if (trust == NR_TRUST_ALL)
		return NR_VALID;
	if (!id_matches(v, ev))
		return NR_BAD_ID;
	if (trust == NR_TRUST_SIGNATURES)
		return NR_VALID;
	return nr_verify_signature(v, ev->pubkey, ev->id, ev->sig);
}
