/*
 * OpenSSL, for sockets of a load test.
 */
#include "bench/secure.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <string.h>

#include "util/err.h"
#include "wire/ip.h"

#define RECORD	((size_t)16 * 1024)	/* the most that one holds */

int
nr_secure_new(SSL_CTX **out, const char *ca_file)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());

	if (ctx == NULL)
		return ENOMEM;
	/* Many end a connection without saying so by TLS. */
	SSL_CTX_set_options(ctx, SSL_OP_IGNORE_UNEXPECTED_EOF);
	SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION);
	SSL_CTX_set_mode(ctx, SSL_MODE_ENABLE_PARTIAL_WRITE |
	    SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_RELEASE_BUFFERS);
	SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);
	if (ca_file == NULL) {
		SSL_CTX_set_default_verify_paths(ctx);
	} else if (SSL_CTX_load_verify_locations(ctx, ca_file, NULL) != 1) {
		SSL_CTX_free(ctx);
		return NR_EINVAL;
	}
	*out = ctx;
	return NR_OK;
}

void
nr_secure_end(SSL_CTX *ctx)
{
	SSL_CTX_free(ctx);
}

/* Whom the certificate must be made out to. */
static int
expect(SSL *ssl, const char *host)
{
	struct nr_ip ip;

	if (nr_ip_parse(&ip, host, strlen(host)))
		return X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl),
		    host);
	SSL_set_hostflags(ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
	return SSL_set1_host(ssl, host) &&
	    SSL_set_tlsext_host_name(ssl, host) == 1;
}

int
nr_secure_open(struct nr_secured **out, SSL_CTX *ctx, int fd,
    const char *host)
{
	struct nr_secured *s = calloc(1, sizeof(*s));

	if (s == NULL)
		return ENOMEM;
	if ((s->ssl = SSL_new(ctx)) == NULL || !expect(s->ssl, host) ||
	    SSL_set_fd(s->ssl, fd) != 1) {
		nr_secure_close(s);
		return ENOMEM;
	}
	SSL_set_connect_state(s->ssl);
	*out = s;
	return NR_OK;
}

void
nr_secure_close(struct nr_secured *s)
{
	if (s == NULL)
		return;
	SSL_free(s->ssl);
	free(s);
}

/* What came of a call that moved nothing: 0 at the end, or -1. */
static ssize_t
outcome(struct nr_secured *s, int rc, int error)
{
	switch (SSL_get_error(s->ssl, rc)) {
	case SSL_ERROR_WANT_WRITE:
		s->wants_out = 1;
		/* FALLTHROUGH */
	case SSL_ERROR_WANT_READ:
		errno = EAGAIN;
		return -1;
	case SSL_ERROR_ZERO_RETURN:
		return 0;
	case SSL_ERROR_SYSCALL:
		errno = error;
		return error == 0 ? 0 : -1;
	default:
		errno = EPROTO;
		return -1;
	}
}

static void
count(struct nr_secured *s)
{
	s->in = BIO_number_read(SSL_get_rbio(s->ssl));
	s->out = BIO_number_written(SSL_get_wbio(s->ssl));
}

ssize_t
nr_secure_recv(struct nr_secured *s, void *p, size_t n)
{
	size_t done = 0, got;
	ssize_t end;
	int rc = 1;

	ERR_clear_error();
	errno = s->wants_out = 0;
	/* As long as a whole record has room, none is left in OpenSSL. */
	while (done == 0 || n - done >= RECORD) {
		rc = SSL_read_ex(s->ssl, (char *)p + done, n - done, &got);
		if (rc != 1)
			break;
		done += got;
	}
	end = rc == 1 ? 0 : outcome(s, rc, errno);
	count(s);
	return done > 0 ? (ssize_t)done : end;
}

ssize_t
nr_secure_send(struct nr_secured *s, const void *p, size_t n)
{
	size_t done;
	ssize_t end;
	int rc;

	ERR_clear_error();
	errno = s->wants_out = 0;
	rc = SSL_write_ex(s->ssl, p, n, &done);
	end = rc == 1 ? (ssize_t)done : outcome(s, rc, errno);
	count(s);
	return end;
}

const char *
nr_secure_class(const struct nr_secured *s)
{
	switch (SSL_get_verify_result(s->ssl)) {
	case X509_V_OK:
		return "tls";
	case X509_V_ERR_CERT_HAS_EXPIRED:
		return "expired";
	case X509_V_ERR_HOSTNAME_MISMATCH:
	case X509_V_ERR_IP_ADDRESS_MISMATCH:
		return "wrong-name";
	default:
		return "untrusted";
	}
}

const char *
nr_secure_why(const struct nr_secured *s)
{
	long verdict = SSL_get_verify_result(s->ssl);
	const char *why;

	if (verdict != X509_V_OK)
		return X509_verify_cert_error_string(verdict);
	why = ERR_reason_error_string(ERR_peek_error());
	return why != NULL ? why : "it is no TLS";
}
