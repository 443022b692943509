/*
 * upload.h - events on their way to a relay: a window of them in flight,
 * each until its OK.  "rate-limited:" and "error:" are tried again, after
 * the time that the relay names; "auth-required:" is answered by AUTH.
 * client/net.h has the conventions.
 */
#ifndef NR_SYNC_UPLOAD_H
#define NR_SYNC_UPLOAD_H

#include "client/peer.h"

struct nr_upload;

/* gone: not taken, as it was deleted there, or has expired meanwhile. */
struct nr_upload_figures {
	uint64_t	sent, accepted, gone, refused, unanswered;
	uint64_t	bytes;
};

struct nr_upload_options {
	unsigned	 window;	/* events in flight, at most */
	int64_t		 answer_ms;	/* for an OK */
	unsigned	 tries;		/* of one event */
};

struct nr_upload_calls {
	/* There is room for more. */
	void	(*room)(void *ctx);
	/* The relay does not take an event; text is its own, shown. */
	void	(*refused)(void *ctx, const unsigned char id[32],
		    const char *text);
	void	*ctx;
};

int	nr_upload_new(struct nr_upload **out, struct nr_peer *p,
	    const struct nr_upload_options *o,
	    const struct nr_upload_calls *calls,
	    struct nr_upload_figures *figures);
void	nr_upload_free(struct nr_upload *u);		/* NULL is allowed */

/*
 * Send an event, as one normal line.
 * Returns  0; EAGAIN: wait for room(); ENOMEM.
 */
int	nr_upload_add(struct nr_upload *u, const unsigned char id[32],
	    struct nr_view line);

/* Pass on what the relay says.  Returns 1 where it was for this. */
int	nr_upload_answer(struct nr_upload *u, const struct nr_answer *a);
void	nr_upload_proved(struct nr_upload *u, int accepted);
void	nr_upload_room(struct nr_upload *u);	/* the peer's */

/* The connection is lost: what is in flight is forgotten. */
void	nr_upload_lost(struct nr_upload *u);

/* Is everything answered? */
int	nr_upload_idle(const struct nr_upload *u);

#endif
