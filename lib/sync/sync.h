/*
 * sync.h - bring a store, or a list of records, and a relay together.
 *
 * By NIP-77 where the relay knows it; a range of time that is too big for
 * it is split, and where it does not know it, pages are asked for.  A lost
 * connection is made anew, and then what is left is found again, for what
 * both have costs next to nothing.  client/net.h has the conventions.
 */
#ifndef NR_SYNC_SYNC_H
#define NR_SYNC_SYNC_H

#include "client/peer.h"
#include "filter/filter.h"
#include "store/store.h"
#include "sync/reconcile.h"
#include "sync/side.h"
#include "sync/upload.h"

struct nr_syncer;

#define NR_SYNC_DOWN	1u	/* what the relay has comes here */
#define NR_SYNC_UP	2u	/* what is here goes there */

enum nr_sync_status {
	NR_SYNC_DONE,
	NR_SYNC_REFUSED,	/* the relay does not want to; see text */
	NR_SYNC_LIES,		/* what it says cannot be */
	NR_SYNC_LOST,		/* no connection to it */
	NR_SYNC_FAILED,		/* our side; rc */
	NR_SYNC_STOPPED
};

struct nr_sync_figures {
	uint64_t	have, need;	/* ids that one side lacks */
	uint64_t	received, missing, unasked, malformed;
	uint64_t	kept_private, kept_protected, gone;	/* not sent */
	uint64_t	sessions, splits, pages;	/* pages: ranges so asked */
	uint64_t	connections;
	uint64_t	partial;	/* pages that may lack something */
	struct nr_reconcile_figures	talk;
	struct nr_upload_figures	up;
};

struct nr_sync_options {
	unsigned		 directions;
	int			 dry_run;	/* only find out */
	int			 follow;	/* go on for ever */
	int			 send_private, send_protected;
	size_t			 frame_limit;	/* of our messages, bytes */
	int64_t			 answer_ms;	/* for each answer */
	const struct nr_filter	*filters;
	size_t			 nfilters;
	/* The store, or NULL; then side() gives the records. */
	struct nr_store		*st;
	int			 (*side)(void *ctx, size_t filter,
				    struct nr_side **out);
	/* The event of a record; borrowed until the next call. */
	int			 (*find)(void *ctx, struct nr_view *line,
				    const unsigned char id[32]);
	/*
	 * An event from the relay, one normal line, not checked: 0, or
	 * EAGAIN; then nr_syncer_room() says when to try again.
	 */
	int			 (*take)(void *ctx, struct nr_view line);
	/* Nothing more comes soon; is all that was taken safe? */
	int			 (*taken)(void *ctx);
	/*
	 * Before an event goes up: 0, or EAGAIN as of take(); those that
	 * may pass come back by nr_syncer_send().  NULL: all may.
	 */
	int			 (*offer)(void *ctx, struct nr_view line);
	/* No more will be offered: have all that may pass come back? */
	int			 (*offered)(void *ctx);
	/* An id that one side lacks; may be NULL. */
	void			 (*lacks)(void *ctx, int here,
				    const unsigned char id[32]);
	/* There is room for more of nr_syncer_send(); may be NULL. */
	void			 (*room)(void *ctx);
	/* The relay does not take an event. */
	void			 (*refused)(void *ctx,
				    const unsigned char id[32],
				    const char *text);
	/* Something worth a word. */
	void			 (*say)(void *ctx, const char *text);
	/* It is over; the last call. */
	void			 (*end)(void *ctx, enum nr_sync_status status,
				    const char *text, int rc);
	void			*ctx;
};

/* filters are borrowed.  Begins when the loop runs. */
int	nr_syncer_new(struct nr_syncer **out, struct nr_net *n,
	    const struct nr_url *url, const struct nr_peer_options *po,
	    const struct nr_sync_options *o);
void	nr_syncer_free(struct nr_syncer *s);		/* NULL is allowed */

/* take() may have room again, or taken() something else to say. */
void	nr_syncer_room(struct nr_syncer *s);

/*
 * Send an event that was offered.
 * Returns  0; EAGAIN: wait for room(); EINVAL: it is no event.
 */
int	nr_syncer_send(struct nr_syncer *s, struct nr_view line);

/* Events have been stored here, for follow. */
void	nr_syncer_stored(struct nr_syncer *s);

/* Say goodbye, and end. */
void	nr_syncer_stop(struct nr_syncer *s);

void	nr_syncer_figures(const struct nr_syncer *s,
	    struct nr_sync_figures *out);

#endif
