/*
 * Keys, and signatures by libsecp256k1.
 */
#include "event/sign.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <time.h>

#include <secp256k1.h>
#include <secp256k1_extrakeys.h>
#include <secp256k1_schnorrsig.h>

#include "util/err.h"
#include "util/json.h"

struct nr_key {
	secp256k1_context	*secp;
	secp256k1_keypair	 pair;
	unsigned char		 pubkey[32];
};

/* All of n bytes; less than 256 come in one piece. */
static int
random_bytes(unsigned char *p, size_t n)
{
	ssize_t got;

	do
		got = getrandom(p, n, 0);
	while (got < 0 && errno == EINTR);
	return got == (ssize_t)n ? NR_OK : got < 0 ? errno : EIO;
}

/* Blinding: what a signature costs then says nothing about the key. */
static int
make_context(struct nr_key *k)
{
	unsigned char seed[32];
	int rc;

	k->secp = secp256k1_context_create(SECP256K1_CONTEXT_NONE);
	if (k->secp == NULL)
		return ENOMEM;
	rc = random_bytes(seed, sizeof(seed));
	if (rc == NR_OK && !secp256k1_context_randomize(k->secp, seed))
		rc = ENOMEM;
	explicit_bzero(seed, sizeof(seed));
	return rc;
}

int
nr_key_new(struct nr_key **out, const unsigned char secret[32])
{
	secp256k1_xonly_pubkey pub;
	struct nr_key *k;
	int rc;

	if ((k = calloc(1, sizeof(*k))) == NULL)
		return ENOMEM;
	/* Not all may lock memory, nor much of it. */
	(void)mlock(k, sizeof(*k));
	rc = make_context(k);
	if (rc == NR_OK &&
	    (!secp256k1_keypair_create(k->secp, &k->pair, secret) ||
	    !secp256k1_keypair_xonly_pub(k->secp, &pub, NULL, &k->pair) ||
	    !secp256k1_xonly_pubkey_serialize(k->secp, k->pubkey, &pub)))
		rc = NR_EKEY;
	if (rc != NR_OK) {
		nr_key_free(k);
		return rc;
	}
	*out = k;
	return NR_OK;
}

void
nr_key_free(struct nr_key *k)
{
	if (k == NULL)
		return;
	if (k->secp != NULL)
		secp256k1_context_destroy(k->secp);
	/* Its page stays locked: another key may be on it. */
	explicit_bzero(k, sizeof(*k));
	free(k);
}

const unsigned char *
nr_key_public(const struct nr_key *k)
{
	return k->pubkey;
}

int
nr_key_sign(const struct nr_key *k, const unsigned char msg[32],
    unsigned char sig64[64])
{
	unsigned char aux[32];
	int rc;

	if ((rc = random_bytes(aux, sizeof(aux))) != NR_OK)
		return rc;
	/* It fails for keys that nr_key_new() refuses. */
	if (!secp256k1_schnorrsig_sign32(k->secp, sig64, msg, &k->pair, aux))
		return NR_EKEY;
	return NR_OK;
}

int
nr_sign_event(const struct nr_key *k, struct nr_verifier *hasher,
    struct nr_event *ev)
{
	memcpy(ev->pubkey, k->pubkey, sizeof(k->pubkey));
	nr_event_hash(hasher, ev, 1, ev->id);
	return nr_key_sign(k, ev->id, ev->sig);
}

int
nr_sign_line(const struct nr_key *k, struct nr_verifier *hasher,
    struct nr_buf *b, unsigned kind, int64_t created_at, struct nr_view tags,
    struct nr_view content)
{
	struct nr_event ev = {
		.kind = kind, .created_at = created_at, .tags = tags,
		.content = content, .flags = NR_EVENT_NORMAL
	};
	int rc;

	rc = nr_buf_reserve(b, NR_EVENT_LINE_MAX(NR_EVENT_FRAME +
	    tags.len + content.len));
	if (rc == NR_OK)
		rc = nr_sign_event(k, hasher, &ev);
	if (rc == NR_OK)
		b->len += nr_event_normalise(&ev, b->p + b->len);
	return rc;
}

int
nr_sign_auth(const struct nr_key *k, struct nr_verifier *hasher,
    struct nr_buf *b, const char *url, struct nr_view challenge)
{
	static const struct nr_view empty = { "", 0 };
	struct nr_buf tags = { 0 };
	int rc;

	rc = nr_buf_adds(&tags, "[[\"relay\",");
	if (rc == NR_OK)
		rc = nr_buf_addjson(&tags, url, strlen(url));
	if (rc == NR_OK)
		rc = nr_buf_adds(&tags, "],[\"challenge\",\"");
	if (rc == NR_OK)
		rc = nr_buf_reserve(&tags, challenge.len);
	if (rc == NR_OK)
		tags.len += nr_json_normal(tags.p + tags.len, challenge.p,
		    challenge.len);
	if (rc == NR_OK)
		rc = nr_buf_adds(&tags, "\"]]");
	if (rc == NR_OK)
		rc = nr_sign_line(k, hasher, b, NR_KIND_AUTH, time(NULL),
		    (struct nr_view){ tags.p, tags.len }, empty);
	nr_buf_free(&tags);
	return rc;
}
