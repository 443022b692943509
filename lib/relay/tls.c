/*
 * TLS: certificates, and what a handshake is like.  libwebsockets does the
 * rest.
 */
#include "relay/tls.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <stdlib.h>

#include "relay/internal.h"
#include "util/err.h"

#define CHAIN_MAX	16

/* With TLS 1.2; all of TLS 1.3's are good. */
static const char ciphers[] = "ECDHE+AESGCM:ECDHE+CHACHA20";

struct nr_tls {
	X509		*leaf;
	STACK_OF(X509)	*chain;		/* what comes behind it */
	EVP_PKEY	*key;
	int64_t		 expires;
};

/* Nobody is there to be asked for a passphrase. */
static int
no_passphrase(char *buf, int size, int writing, void *ctx)
{
	(void)buf;
	(void)size;
	(void)writing;
	(void)ctx;
	return -1;
}

static int
read_chain(struct nr_tls *t, FILE *f)
{
	X509 *x;

	t->leaf = PEM_read_X509(f, NULL, no_passphrase, NULL);
	t->chain = sk_X509_new_null();
	if (t->leaf == NULL || t->chain == NULL)
		return 0;
	while ((x = PEM_read_X509(f, NULL, no_passphrase, NULL)) != NULL)
		if (sk_X509_num(t->chain) == CHAIN_MAX ||
		    sk_X509_push(t->chain, x) == 0) {
			X509_free(x);
			return 0;
		}
	/* Only its end may stop it. */
	return ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE;
}

static int
read_key(struct nr_tls *t, FILE *f)
{
	t->key = PEM_read_PrivateKey(f, NULL, no_passphrase, NULL);
	return t->key != NULL;
}

static int
read_file(struct nr_tls *t, const char *path,
    int (*read_it)(struct nr_tls *t, FILE *f))
{
	FILE *f = fopen(path, "re");
	int good;

	if (f == NULL)
		return errno;
	good = read_it(t, f);
	fclose(f);
	ERR_clear_error();
	return good ? NR_OK : NR_EINVAL;
}

/* Would a handshake take them?  OpenSSL refuses what is too weak. */
static int
is_usable(const struct nr_tls *t)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
	int good;

	good = ctx != NULL && SSL_CTX_use_cert_and_key(ctx, t->leaf, t->key,
	    t->chain, 1) == 1;
	SSL_CTX_free(ctx);
	ERR_clear_error();
	return good;
}

static int
find_expiry(struct nr_tls *t)
{
	struct tm tm;

	if (ASN1_TIME_to_tm(X509_get0_notAfter(t->leaf), &tm) != 1)
		return 0;
	t->expires = timegm(&tm);
	return 1;
}

static int
load(struct nr_tls *t, const char *certificate, const char *key,
    const char **where, const char **why)
{
	int rc;

	*where = certificate;
	*why = "not a chain of PEM certificates";
	if ((rc = read_file(t, certificate, read_chain)) != NR_OK)
		return rc;
	*where = key;
	*why = "not a PEM key without a passphrase";
	if ((rc = read_file(t, key, read_key)) != NR_OK)
		return rc;
	*why = "not the certificate's key";
	if (X509_check_private_key(t->leaf, t->key) != 1)
		rc = NR_EINVAL;
	ERR_clear_error();
	if (rc != NR_OK)
		return rc;
	*where = certificate;
	*why = "too weak, or not for this";
	return is_usable(t) && find_expiry(t) ? NR_OK : NR_EINVAL;
}

int
nr_tls_load(struct nr_tls **out, const char *certificate, const char *key,
    const char **where, const char **why)
{
	struct nr_tls *t;
	int rc;

	*where = certificate;
	if ((t = calloc(1, sizeof(*t))) == NULL)
		return ENOMEM;
	ERR_clear_error();
	if ((rc = load(t, certificate, key, where, why)) == NR_OK)
		*out = t;
	else
		nr_tls_free(t);
	return rc;
}

void
nr_tls_free(struct nr_tls *t)
{
	if (t == NULL)
		return;
	X509_free(t->leaf);
	sk_X509_pop_free(t->chain, X509_free);
	EVP_PKEY_free(t->key);
	free(t);
}

int64_t
nr_tls_expires(const struct nr_tls *t)
{
	return t->expires;
}

/* A handshake begins: what is set here is this connection's own. */
static int
present(SSL *ssl, void *arg)
{
	const struct nr_relay *r = arg;
	const struct nr_tls *t = r->config->tls;

	SSL_certs_clear(ssl);
	return t != NULL && SSL_use_cert_and_key(ssl, t->leaf, t->key,
	    t->chain, 1) == 1;
}

int
nr_tls_serve(struct nr_relay *r, SSL_CTX *ctx)
{
	if (SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION) != 1 ||
	    SSL_CTX_set_cipher_list(ctx, ciphers) != 1)
		return ENOMEM;
	SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION |
	    SSL_OP_PRIORITIZE_CHACHA);
	/* Tickets are enough, and cost no memory of ours. */
	SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_num_tickets(ctx, 1);
	/* libwebsockets would look for a virtual host by this name. */
	SSL_CTX_set_tlsext_servername_callback(ctx, NULL);
	SSL_CTX_set_cert_cb(ctx, present, r);
	return NR_OK;
}
