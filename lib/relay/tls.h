/*
 * tls.h - the certificate that a relay shows, and its key.
 */
#ifndef NR_RELAY_TLS_H
#define NR_RELAY_TLS_H

#include <openssl/ssl.h>
#include <stdint.h>

struct nr_relay;

struct nr_tls;			/* a chain and its key; never changes */

/*
 * Read a chain, the relay's own certificate first, and the key that belongs
 * to it; both PEM, the key without a passphrase.
 * why      what is wrong, a constant, with NR_EINVAL
 * where    the file that it is about
 * Returns  0, NR_EINVAL, ENOMEM, or errno of that file.
 */
int	nr_tls_load(struct nr_tls **out, const char *certificate,
	    const char *key, const char **where, const char **why);
void	nr_tls_free(struct nr_tls *t);

/* When it expires, in Unix seconds. */
int64_t	nr_tls_expires(const struct nr_tls *t);

/*
 * Have handshakes of this context show what the relay's configuration has
 * when they begin.  Its callbacks come in the thread that has the sockets.
 * Returns  0 or ENOMEM.
 */
int	nr_tls_serve(struct nr_relay *r, SSL_CTX *ctx);

#endif
