/*
 * reconcile.h - one range of time of one filter, with one relay, by NIP-77.
 *
 * Relays refuse in many ways: NEG-ERR in several shapes, CLOSED, NOTICE,
 * silence.  What they mean is told apart here; what to do about it is the
 * caller's.  client/net.h has the conventions.
 */
#ifndef NR_SYNC_RECONCILE_H
#define NR_SYNC_RECONCILE_H

#include "client/peer.h"
#include "negentropy/negentropy.h"
#include "sync/side.h"

struct nr_reconcile;

enum nr_reconcile_status {
	NR_REC_DONE,
	NR_REC_TOO_BIG,		/* ask for less */
	NR_REC_UNSUPPORTED,	/* it does not know NIP-77 */
	NR_REC_REFUSED,		/* for good; the text is the relay's */
	NR_REC_AGAIN,		/* it gave up: once more, after wait_ms */
	NR_REC_AUTH,		/* prove who we are first */
	NR_REC_BROKEN,		/* what it says is no protocol */
	NR_REC_FAILED		/* we cannot: rc */
};

struct nr_reconcile_calls {
	/* As nr_neg_diff has them. */
	int	(*have)(void *ctx, const struct nr_neg_item *item);
	int	(*need)(void *ctx, const unsigned char id[32]);
	/* Should the next message wait for nr_reconcile_go_on()? */
	int	(*busy)(void *ctx);
	/* The last call: r is gone when it returns. */
	void	(*end)(void *ctx, enum nr_reconcile_status status,
		    const char *text, int64_t wait_ms, int rc);
	void	*ctx;
};

struct nr_reconcile_options {
	size_t		 frame_limit;	/* bytes of a message of ours */
	int64_t		 first_ms;	/* for the first answer, and others */
	unsigned	 idle_rounds;	/* in a row that tell nothing new */
};

/* Bytes are of messages before they become hexadecimal. */
struct nr_reconcile_figures {
	uint64_t	rounds, bytes_up, bytes_down;
};

/*
 * Begin; the peer must be open.  side has been told what to select.
 * filter   JSON of what was selected
 * name	    the session's id; no other may have it
 * figures  added to
 */
int	nr_reconcile_new(struct nr_reconcile **out, struct nr_peer *p,
	    struct nr_side *side, const char *filter, const char *name,
	    const struct nr_reconcile_options *o,
	    const struct nr_reconcile_calls *calls,
	    struct nr_reconcile_figures *figures);

/* At once; the relay is told where it can be.  NULL is allowed. */
void	nr_reconcile_free(struct nr_reconcile *r);

/* Pass on what the relay says.  Returns 1 where it was for this. */
int	nr_reconcile_answer(struct nr_reconcile *r,
	    const struct nr_answer *a);

/* After busy(), or when the peer has room again. */
void	nr_reconcile_go_on(struct nr_reconcile *r);

#endif
