/*
 * SHA-256 by libcrypto.  The algorithm is fetched once per context:
 * looking it up for every event costs more than hashing it.
 */
#include "util/sha256.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include <openssl/evp.h>

#include "util/err.h"

struct nr_sha256 {
	EVP_MD		*md;
	EVP_MD_CTX	*ctx;
};

int
nr_sha256_new(struct nr_sha256 **out)
{
	struct nr_sha256 *h;

	if ((h = calloc(1, sizeof(*h))) == NULL)
		return ENOMEM;
	h->md = EVP_MD_fetch(NULL, "SHA256", NULL);
	h->ctx = EVP_MD_CTX_new();
	if (h->md == NULL || h->ctx == NULL ||
	    EVP_DigestInit_ex2(h->ctx, h->md, NULL) != 1) {
		nr_sha256_free(h);
		return ENOMEM;
	}
	*out = h;
	return NR_OK;
}

void
nr_sha256_free(struct nr_sha256 *h)
{
	if (h == NULL)
		return;
	EVP_MD_CTX_free(h->ctx);
	EVP_MD_free(h->md);
	free(h);
}

/*
 * With an algorithm that is already set up, these do not allocate and
 * have nothing to fail of.
 */
void
nr_sha256_start(struct nr_sha256 *h)
{
	int ok = EVP_DigestInit_ex2(h->ctx, NULL, NULL);

	assert(ok == 1);
	(void)ok;
}

void
nr_sha256_add(struct nr_sha256 *h, const void *p, size_t n)
{
	int ok = EVP_DigestUpdate(h->ctx, p, n);

	assert(ok == 1);
	(void)ok;
}

void
nr_sha256_end(struct nr_sha256 *h, unsigned char out[32])
{
	int ok = EVP_DigestFinal_ex(h->ctx, out, NULL);

	assert(ok == 1);
	(void)ok;
}

int
nr_sha256_copy(struct nr_sha256 *to, const struct nr_sha256 *from)
{
	return EVP_MD_CTX_copy_ex(to->ctx, from->ctx) == 1 ? NR_OK : ENOMEM;
}
