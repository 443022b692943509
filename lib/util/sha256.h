/*
 * sha256.h - SHA-256 by libcrypto, with a context that is reused.
 */
#ifndef NR_UTIL_SHA256_H
#define NR_UTIL_SHA256_H

#include <stddef.h>

struct nr_sha256;

/* Returns 0 or ENOMEM. */
int	nr_sha256_new(struct nr_sha256 **out);
void	nr_sha256_free(struct nr_sha256 *h);	/* NULL is allowed */

/* Start anew; add bytes; write the digest.  These cannot fail. */
void	nr_sha256_start(struct nr_sha256 *h);
void	nr_sha256_add(struct nr_sha256 *h, const void *p, size_t n);
void	nr_sha256_end(struct nr_sha256 *h, unsigned char out[32]);

/*
 * Go on from where another one is: for texts that begin alike.
 * Returns 0 or ENOMEM.
 */
int	nr_sha256_copy(struct nr_sha256 *to, const struct nr_sha256 *from);

#endif
