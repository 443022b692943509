/*
 * nip11.h - what a relay says of itself (NIP-11), read with care: what it
 * tells that others want to know, and what is wrong with it.
 *
 * Reading borrows from the text and allocates nothing.
 */
#ifndef NR_BENCH_NIP11_H
#define NR_BENCH_NIP11_H

#include <stddef.h>
#include <stdint.h>

#include "util/buf.h"
#include "util/view.h"

#define NR_NIP11_NIPS	256	/* of supported_nips that are looked at */
#define NR_NIP11_WORDS	32	/* of tags, of language_tags */
#define NR_NIP11_FLAWS	32	/* that are told */

enum nr_nip11_weight {
	NR_NIP11_BROKEN,	/* a client cannot read it */
	NR_NIP11_WRONG,		/* the NIP's MUST */
	NR_NIP11_ADVICE		/* the NIP's SHOULD */
};

struct nr_nip11_flaw {
	enum nr_nip11_weight	weight;
	char			text[96];	/* printable ASCII */
};

struct nr_nip11 {
	int		object;		/* it is JSON, and an object */
	unsigned	nips[NR_NIP11_NIPS];	/* in the order given */
	unsigned	nnips;
	/* limitation's: 1, 0, or -1 where it does not say */
	int		auth, payment, restricted;
	int64_t		pow;		/* min_pow_difficulty, or -1 */
	struct nr_view	topic[NR_NIP11_WORDS];	/* between the quotes */
	unsigned	ntopics;
	struct nr_view	language[NR_NIP11_WORDS];
	unsigned	nlanguages;
	struct nr_nip11_flaw flaw[NR_NIP11_FLAWS];
	unsigned	nflaws;
	int		broken;		/* one of them is NR_NIP11_BROKEN */
};

/* text, len  the document; must outlive what is made of it */
void	nr_nip11_read(struct nr_nip11 *out, const char *text, size_t len);

/* One more flaw, of what is not in the text. */
void	nr_nip11_flaw(struct nr_nip11 *d, enum nr_nip11_weight weight,
	    const char *text);

int	nr_nip11_names(const struct nr_nip11 *d, unsigned nip);

/*
 * Append the document on one line: white space between its values goes,
 * everything else stays.  Only of what is JSON.  Returns 0 or ENOMEM.
 */
int	nr_nip11_line(struct nr_buf *b, const char *text, size_t len);

#endif
