/*
 * sign.h - secret keys, and events signed by them (NIP-01, BIP-340).
 *
 * A key stays in memory that is locked where the system allows it, never
 * leaves it but as signatures, and is wiped when it is freed.  A program
 * that holds one should not dump core: see cmd/keyopt.h.
 *
 * A key may be shared by threads.  A verifier, which hashes, may not.
 */
#ifndef NR_EVENT_SIGN_H
#define NR_EVENT_SIGN_H

#include <stdint.h>

#include "event/event.h"
#include "event/verify.h"
#include "util/buf.h"
#include "util/view.h"

struct nr_key;

/*
 * secret   32 bytes, which the caller wipes
 * Returns  0, ENOMEM, or NR_EKEY where they are no key: nought, or not
 *	    below the order of the curve.
 */
int	nr_key_new(struct nr_key **out, const unsigned char secret[32]);
void	nr_key_free(struct nr_key *k);		/* NULL is allowed */

/* Its public key, which lives as long as the key. */
const unsigned char *nr_key_public(const struct nr_key *k);

/*
 * Sign 32 bytes, with auxiliary randomness from the system.
 * Returns  0, or errno of getrandom(2).
 */
int	nr_key_sign(const struct nr_key *k, const unsigned char msg[32],
	    unsigned char sig64[64]);

/*
 * Fill pubkey, id and sig of a normal event.  The id is over \u00xx where
 * a string holds control characters: see nr_event_hash() and DEVIATIONS.md.
 * Returns  as nr_key_sign().
 */
int	nr_sign_event(const struct nr_key *k, struct nr_verifier *hasher,
	    struct nr_event *ev);

/*
 * Append a new event as one normal line, without LF.
 * tags	    normal text, from [ to ]
 * content  normal text, without quotes
 * Returns  0, ENOMEM, or as nr_key_sign().
 */
int	nr_sign_line(const struct nr_key *k, struct nr_verifier *hasher,
	    struct nr_buf *b, unsigned kind, int64_t created_at,
	    struct nr_view tags, struct nr_view content);

/*
 * Append the event that answers a relay's challenge (NIP-42), as of now.
 * url        plain text
 * challenge  JSON text as it stands between its quotes, normal or not
 */
int	nr_sign_auth(const struct nr_key *k, struct nr_verifier *hasher,
	    struct nr_buf *b, const char *url, struct nr_view challenge);

/* ---- reading a key ------------------------------------------------------- */

/*
 * The key that text holds: 64 hexadecimal digits in lower case, or an nsec
 * (NIP-19).  White space around it is allowed.
 * Returns  as nr_key_new(); NR_EKEY for any other text.
 */
int	nr_key_parse(struct nr_key **out, const char *text, size_t len);

/*
 * Read one line, and not a byte beyond it, and parse it.
 * Returns  as nr_key_parse(), or errno.
 */
int	nr_key_read(struct nr_key **out, int fd);

/*
 * Read the first line of a file, which must be a regular file or a pipe,
 * belong to this user or root, and be closed to group and others.
 * Returns  as nr_key_read(), NR_EKEYTYPE, NR_EKEYOWNER or NR_EKEYMODE.
 */
int	nr_key_read_file(struct nr_key **out, const char *path);

#endif
