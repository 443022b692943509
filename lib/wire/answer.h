/*
 * answer.h - what relays say to clients: NIP-01, 42, 45, 67, 77.
 *
 * Reading borrows from the text and allocates nothing.  Texts stay as they
 * stand between their quotes; nr_answer_show() makes them fit to be shown.
 * What relays are known to do to the form, and does not change the meaning,
 * is taken: elements that are missing at the end, or too many.
 */
#ifndef NR_WIRE_ANSWER_H
#define NR_WIRE_ANSWER_H

#include <stddef.h>
#include <stdint.h>

#include "util/view.h"

#define NR_HLL_BYTES	256	/* registers of NIP-45, a byte each */

enum nr_answer_verb {
	NR_ANSWER_EVENT,
	NR_ANSWER_OK,
	NR_ANSWER_EOSE,
	NR_ANSWER_CLOSED,
	NR_ANSWER_NOTICE,
	NR_ANSWER_AUTH,
	NR_ANSWER_COUNT,
	NR_ANSWER_NEG_MSG,
	NR_ANSWER_NEG_ERR,
	NR_ANSWER_OTHER		/* a message with a verb not known here */
};

struct nr_answer {
	enum nr_answer_verb verb;
	struct nr_view	 name;		/* the verb as it stands */
	/* EVENT, EOSE, CLOSED, COUNT, NEG-*: the subscription's id. */
	struct nr_view	 subid;
	struct nr_view	 event;		/* EVENT: JSON, unchecked */
	unsigned char	 id[32];	/* OK: of the event */
	int		 accepted;	/* OK */
	/*
	 * OK, CLOSED, NOTICE, NEG-ERR: what is said, perhaps nothing; AUTH:
	 * the challenge; NEG-MSG: hexadecimal digits, unchecked.
	 */
	struct nr_view	 text;
	int		 finish, more;	/* EOSE: NIP-67's hints */
	uint64_t	 count;		/* COUNT */
	int		 approximate;
	int		 has_hll;
	unsigned char	 hll[NR_HLL_BYTES];
	int		 has_max;	/* NEG-ERR: how many it would take */
	uint64_t	 max;
};

/*
 * Take a relay's message apart.
 * Returns  NULL, or what is wrong with it.
 */
const char *nr_answer_read(struct nr_answer *out, const char *text,
	    size_t len);

/* Is this the subscription called name? */
int	nr_answer_is(const struct nr_answer *a, const char *name);

/*
 * Does the text begin with this word and a colon?  An "ERROR: " before it,
 * as strfry writes, does not count.
 */
int	nr_answer_prefix(struct nr_view text, const char *word);

/*
 * Seconds that a relay asks to be left alone ("try again in 30 seconds",
 * "retry after 2m"), or -1 where the text names none.
 */
int	nr_answer_wait(struct nr_view text);

/* Who asks for more than this is not waited for: that is a refusal. */
#define NR_ANSWER_WAIT_MAX	600

/*
 * Write what a text stands for, cut to size bytes with the terminator, at
 * the end of a character; control characters become question marks.
 */
void	nr_answer_show(char *out, size_t size, struct nr_view text);

#endif
