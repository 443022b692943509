/*
 * auth.h - who a load test's connections are (NIP-42).
 */
#ifndef NR_BENCH_AUTH_H
#define NR_BENCH_AUTH_H

#include <stdint.h>

#include "util/buf.h"
#include "util/view.h"

struct nr_auth;

/*
 * A key by seed: no secret.
 * Returns  0 or ENOMEM.
 */
int	nr_auth_new(struct nr_auth **out, uint64_t seed);
void	nr_auth_free(struct nr_auth *a);		/* NULL is allowed */

/*
 * Append the event, as one line without LF, that answers a challenge.
 * url, challenge  text without escapes
 */
int	nr_auth_event(struct nr_auth *a, struct nr_buf *b, const char *url,
	    struct nr_view challenge);

#endif
