/*
 * Facts about TLS, read from OpenSSL's objects while they are there.
 */
#include "client/tls.h"

#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "client/internal.h"
#include "wire/ip.h"

/* Unix seconds, 0 where it is no time. */
static int64_t
seconds(const ASN1_TIME *t)
{
	struct tm tm;

	memset(&tm, 0, sizeof(tm));
	return t != NULL && ASN1_TIME_to_tm(t, &tm) == 1 ? timegm(&tm) : 0;
}

static int
made_out_to(X509 *cert, const char *host)
{
	struct nr_ip ip;

	if (nr_ip_parse(&ip, host, strlen(host)))
		return X509_check_ip_asc(cert, host, 0) == 1;
	return X509_check_host(cert, host, 0,
	    X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS, NULL) == 1;
}

static void
printable(char *text)
{
	for (; *text != '\0'; text++)
		if ((unsigned char)*text < 0x20 || *text == 0x7f)
			*text = '?';
}

/* The issuer's organisation, else its common name. */
static void
read_issuer(struct nr_tls_facts *f, X509 *cert)
{
	X509_NAME *name = X509_get_issuer_name(cert);

	if (X509_NAME_get_text_by_NID(name, NID_organizationName, f->issuer,
	    sizeof(f->issuer)) < 0 &&
	    X509_NAME_get_text_by_NID(name, NID_commonName, f->issuer,
	    sizeof(f->issuer)) < 0)
		f->issuer[0] = '\0';
	printable(f->issuer);
}

void
nr_tls_facts_session(struct nr_tls_facts *f, SSL *ssl)
{
	const SSL_CIPHER *c;

	if (ssl == NULL)
		return;
	snprintf(f->version, sizeof(f->version), "%s", SSL_get_version(ssl));
	if ((c = SSL_get_current_cipher(ssl)) == NULL)
		c = SSL_get_pending_cipher(ssl);
	if (c != NULL)
		snprintf(f->cipher, sizeof(f->cipher), "%s",
		    SSL_CIPHER_get_name(c));
}

const char *
nr_tls_fault_name(enum nr_tls_fault fault)
{
	static const char *const name[] = {
		[NR_TLS_TRUSTED] = "tls", [NR_TLS_UNTRUSTED] = "untrusted",
		[NR_TLS_WRONG_NAME] = "wrong-name",
		[NR_TLS_EXPIRED] = "expired"
	};

	return name[fault];
}

void
nr_tls_facts_distrust(struct nr_tls_facts *f, int why)
{
	f->fault = why == X509_V_ERR_CERT_HAS_EXPIRED ? NR_TLS_EXPIRED :
	    why == X509_V_ERR_HOSTNAME_MISMATCH ||
	    why == X509_V_ERR_IP_ADDRESS_MISMATCH ? NR_TLS_WRONG_NAME :
	    NR_TLS_UNTRUSTED;
	snprintf(f->error, sizeof(f->error), "%s",
	    X509_verify_cert_error_string(why));
}

void
nr_tls_facts_certificate(struct nr_tls_facts *f, X509_STORE_CTX *x,
    const char *host)
{
	X509 *cert = X509_STORE_CTX_get0_cert(x);

	nr_tls_facts_session(f, X509_STORE_CTX_get_ex_data(x,
	    SSL_get_ex_data_X509_STORE_CTX_idx()));
	if (cert == NULL || f->shown)
		return;
	f->shown = 1;
	f->begins = seconds(X509_get0_notBefore(cert));
	f->expires = seconds(X509_get0_notAfter(cert));
	f->name_ok = made_out_to(cert, host);
	read_issuer(f, cert);
}
