/*
 * nip19.h - the names that people copy and paste: npub, note, nprofile,
 * nevent, naddr (NIP-19).  Secret keys are recognised and refused, but by
 * nr_nip19_nsec().
 */
#ifndef NR_EVENT_NIP19_H
#define NR_EVENT_NIP19_H

#include <stddef.h>

#define NR_NIP19_D_MAX	256	/* bytes; a TLV value has 255 at most */

enum nr_nip19_type {
	NR_NIP19_NPUB,
	NR_NIP19_NOTE,
	NR_NIP19_NPROFILE,
	NR_NIP19_NEVENT,
	NR_NIP19_NADDR,
	NR_NIP19_NSEC		/* nothing of it is decoded */
};

struct nr_nip19 {
	enum nr_nip19_type type;
	unsigned char	key[32];	/* id or public key, see type */
	int		has_author;
	unsigned char	author[32];	/* of nevent and naddr */
	int		has_kind;
	unsigned	kind;
	char		d[NR_NIP19_D_MAX];	/* of naddr, with a NUL */
	size_t		dlen;
};

/*
 * Decode text.  Relay hints and unknown parts are passed over.
 * Returns 1, or 0 where it is no valid NIP-19 name.
 */
int	nr_nip19_decode(struct nr_nip19 *out, const char *text);

/*
 * Decode a secret key, which the caller wipes.
 * Returns 1, or 0 where text is no nsec.
 */
int	nr_nip19_nsec(unsigned char secret[32], const char *text);

#define NR_NPUB_SIZE	64	/* bytes of an npub, with its NUL */

/* Write a public key as npub1... */
void	nr_nip19_npub(char out[NR_NPUB_SIZE], const unsigned char key[32]);

#endif
