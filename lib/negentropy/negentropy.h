/*
 * negentropy.h - range-based set reconciliation: Negentropy protocol V1
 * (github.com/hoytech/negentropy, docs/negentropy-protocol-v1.md; NIP-77).
 *
 * The initiator asks, the other one answers: a message each, until the
 * initiator knows what either has and the other has not.  Messages are, for
 * the same sets, byte for byte those of the reference implementations.
 *
 * Who answers keeps nothing between messages, so its set may change; what
 * comes or goes meanwhile may or may not be found.
 */
#ifndef NR_NEGENTROPY_H
#define NR_NEGENTROPY_H

#include <stddef.h>

#include "negentropy/set.h"
#include "util/buf.h"
#include "util/sha256.h"

#define NR_NEG_VERSION		0x61
#define NR_NEG_FRAME_MIN	4096	/* the least limit */

struct nr_neg {
	const struct nr_neg_set	*set;
	size_t			 limit;	/* bytes of a message; 0: none */
	struct nr_sha256	*sha;
	int			 initiator;
	uint64_t		 time_in, time_out;	/* last one of a message */
};

/*
 * The set is borrowed; it may be exchanged for another between messages, and
 * come with the first.
 * limit    0 or at least NR_NEG_FRAME_MIN
 */
int	nr_neg_init(struct nr_neg *n, const struct nr_neg_set *set,
	    size_t limit);
void	nr_neg_free(struct nr_neg *n);

/* Begin: the first message is added to out. */
int	nr_neg_initiate(struct nr_neg *n, struct nr_buf *out);

/*
 * What the initiator learns, in no order.  A callback's value other than 0
 * ends the message and is returned.  have: ours, which they lack, with its
 * time; need: theirs, which we lack.
 */
struct nr_neg_diff {
	nr_neg_each	*have;
	int		(*need)(void *arg, const unsigned char id[32]);
	void		*arg;
};

/*
 * Take a message.
 * out	    the answer is added
 * diff	    of the initiator; NULL for who answers
 * done	    of the initiator: set to 1 where nothing more is to be asked
 *	    (out is as it was then)
 * why	    set where the message is malformed
 * Returns  0, NR_EINVAL (malformed), NR_EVERSION (the initiator's: they
 *	    speak another version), ENOMEM, or what the set or a callback
 *	    returned.
 */
int	nr_neg_reconcile(struct nr_neg *n, const void *message, size_t len,
	    struct nr_buf *out, const struct nr_neg_diff *diff, int *done,
	    const char **why);

#endif
