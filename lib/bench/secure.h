/*
 * secure.h - TLS on sockets that do not block, for load tests.
 *
 * Nothing that is given to nr_secure_send() leaves before the certificate
 * was found to be good.  Writing is OpenSSL's: who uses this ignores
 * SIGPIPE.
 */
#ifndef NR_BENCH_SECURE_H
#define NR_BENCH_SECURE_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct ssl_st;
struct ssl_ctx_st;

/* One connection. */
struct nr_secured {
	struct ssl_st	*ssl;
	int		 wants_out;	/* room to write, to read or write on */
	uint64_t	 in, out;	/* bytes that travelled */
};

/*
 * What connections share.
 * ca_file  PEM certificates to trust instead of the system's, or NULL
 * Returns  0, ENOMEM, or NR_EINVAL for a ca_file without certificates.
 */
int	nr_secure_new(struct ssl_ctx_st **out, const char *ca_file);
void	nr_secure_end(struct ssl_ctx_st *ctx);	/* NULL is allowed */

/*
 * Begin TLS on a socket, which stays the caller's.
 * host	    a name or an address, which the certificate must be made out to
 * Returns  0 or ENOMEM.
 */
int	nr_secure_open(struct nr_secured **out, struct ssl_ctx_st *ctx,
	    int fd, const char *host);
void	nr_secure_close(struct nr_secured *s);	/* NULL is allowed */

/*
 * As recv(2) and send(2) with MSG_DONTWAIT; errno is EPROTO where TLS
 * itself failed.
 */
ssize_t	nr_secure_recv(struct nr_secured *s, void *p, size_t n);
ssize_t	nr_secure_send(struct nr_secured *s, const void *p, size_t n);

/* Why TLS failed, in a word, and in words; right after the call that did. */
const char *nr_secure_class(const struct nr_secured *s);
const char *nr_secure_why(const struct nr_secured *s);

#endif
