/*
 * message.h - what clients and relays say to each other (NIP-01).
 *
 * Reading borrows from the text; writing appends to a buffer.  Texts of
 * subscription ids stay in the normal form of util/json.h, so that they
 * can be echoed as they are.
 */
#ifndef NR_WIRE_MESSAGE_H
#define NR_WIRE_MESSAGE_H

#include <stddef.h>
#include <stdint.h>

#include "util/buf.h"
#include "util/view.h"

/* Characters of a subscription id, and the bytes they may take. */
#define NR_SUBID_CHARS	64
#define NR_SUBID_BYTES	(NR_SUBID_CHARS * 6)

enum nr_client_verb {
	NR_CLIENT_EVENT,
	NR_CLIENT_REQ,
	NR_CLIENT_COUNT,
	NR_CLIENT_CLOSE,
	NR_CLIENT_AUTH,
	NR_CLIENT_NEG_OPEN,	/* NIP-77 */
	NR_CLIENT_NEG_MSG,
	NR_CLIENT_NEG_CLOSE,
	NR_CLIENT_OTHER		/* a message with a verb not known here */
};

struct nr_client_message {
	enum nr_client_verb verb;
	struct nr_view	 name;		/* the verb as it stands */
	struct nr_view	 event;		/* EVENT, AUTH: JSON, unchecked */
	struct nr_view	 given;		/* not EVENT, AUTH: the id */
	char		 subid[NR_SUBID_BYTES];	/* the same, normal text */
	size_t		 subid_len;
	/* REQ, COUNT: the filters, to the end; NEG-*: what follows the id. */
	struct nr_view	 rest;
};

/*
 * Take a client's message apart.
 * why	    NULL, or why it is refused, in words that follow NIP-01
 * has_sub  set where there is a string for a subscription id, usable or
 *	    not: CLOSED can then name it as given
 */
void	nr_client_read(struct nr_client_message *out, const char *text,
	    size_t len, const char **why, int *has_sub);

/*
 * The next filter of a REQ: {NULL, 0} at the end.  Filters are given
 * as their position: read one with nr_filter_read() at rest.p.
 * Returns 1 where one follows, 0 at the end, -1 where the text is wrong.
 */
int	nr_client_next_filter(struct nr_view *rest);

/*
 * The end of a NEG-OPEN or NEG-MSG: a message in hexadecimal.
 * hex	    borrowed from rest: an even number of digits, lower case
 * Returns  1, or 0 where the text is wrong.
 */
int	nr_client_neg_message(struct nr_view rest, struct nr_view *hex);

/* Each returns 0 or ENOMEM; subid and message are normal text. */
int	nr_write_ok(struct nr_buf *b, const char id[64], int accepted,
	    const char *message);
int	nr_write_closed(struct nr_buf *b, struct nr_view subid,
	    const char *message);

/*
 * approximate  there may be more
 * hll	        NIP-45's 256 registers, or NULL
 */
int	nr_write_count(struct nr_buf *b, struct nr_view subid,
	    uint64_t count, int approximate, const unsigned char *hll);
int	nr_write_notice(struct nr_buf *b, const char *message);

int	nr_write_neg_msg(struct nr_buf *b, struct nr_view subid,
	    const void *message, size_t len);

/* most	    records that would be allowed, or 0: not told */
int	nr_write_neg_err(struct nr_buf *b, struct nr_view subid,
	    const char *why, uint64_t most);

#endif
