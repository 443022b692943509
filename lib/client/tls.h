/*
 * tls.h - what can be told of a relay's TLS: version, cipher, certificate.
 *
 * The facts are there also where a certificate was not trusted: that it has
 * expired, and when, is what somebody wants to know then.
 */
#ifndef NR_CLIENT_TLS_H
#define NR_CLIENT_TLS_H

#include <stdint.h>

#define NR_TLS_TEXT	128

/* What is wrong with a certificate: what was found first. */
enum nr_tls_fault {
	NR_TLS_TRUSTED,
	NR_TLS_UNTRUSTED,	/* by its issuer: unknown, or itself; others */
	NR_TLS_WRONG_NAME,
	NR_TLS_EXPIRED
};

struct nr_tls_facts {
	char	version[16];		/* as "TLSv1.3"; empty: not agreed */
	char	cipher[64];		/* by OpenSSL's name */
	int	shown;			/* there was a certificate: */
	int64_t	begins, expires;	/* of its time, Unix seconds */
	int	name_ok;		/* made out to the URL's host */
	char	issuer[NR_TLS_TEXT];	/* printable */
	enum nr_tls_fault fault;
	char	error[NR_TLS_TEXT];	/* the same in words, or empty */
};

/* In a word, as reports have it: "expired"; "tls" where it is trusted. */
const char	*nr_tls_fault_name(enum nr_tls_fault fault);

#endif
