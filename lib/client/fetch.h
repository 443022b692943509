/*
 * fetch.h - events that match a filter, from one relay.
 *
 * A fetch is one filter.  It asks for a page, or for page after page, back
 * in time, until the relay has no more; or it listens to what is new.  It
 * outlives the connection: when the peer is open again it asks again, from
 * where it was, those that were begun first before the others.
 * "auth-required:" is answered by AUTH, "rate-limited:" by waiting.  Many
 * can be under way at a time, each a subscription.
 *
 * What comes is read strictly and matched against the filter.  Ids and
 * signatures are not checked: that is the caller's, on other threads.
 *
 * A page begins with the time at which the last one ended, so that events
 * of the same second are not lost; those come again, and are dropped here
 * as far as they are from the page before.  After a lost connection it goes
 * on with the page that was cut, which begins anew: the same event may be
 * handed over twice.
 *
 * net.h has the conventions.
 */
#ifndef NR_CLIENT_FETCH_H
#define NR_CLIENT_FETCH_H

#include <stddef.h>
#include <stdint.h>

#include "client/peer.h"
#include "event/event.h"
#include "filter/filter.h"

struct nr_fetcher;		/* all fetches from one peer */
struct nr_fetch;

enum nr_fetch_mode {
	NR_FETCH_ONCE,		/* one page: what the filter says */
	NR_FETCH_PAGES,		/* all there is; the filter's limit, or */
				/* 500, is a page's */
	NR_FETCH_LIVE		/* only what is new; it never ends by itself */
};

/* How it ended. */
enum nr_fetch_status {
	NR_FETCH_DONE,		/* all there is, as far as can be known */
	NR_FETCH_PARTIAL,	/* some may be missing; the text says why */
	NR_FETCH_REFUSED,	/* CLOSED; the text is the relay's */
	NR_FETCH_TIMEOUT,	/* the relay does not answer */
	NR_FETCH_LOST		/* the peer has given up */
};

/* Why an event was not handed over. */
enum nr_fetch_refusal {
	NR_FETCH_MALFORMED,	/* no event */
	NR_FETCH_UNASKED	/* the filter does not match it */
};

struct nr_fetch_options {
	enum nr_fetch_mode mode;
	int64_t		 idle_ms;	/* 0: 30 s; for an answer, or more */
	uint64_t	 page_max;	/* 0: 1,000,000 events in one page */
};

struct nr_fetch_calls {
	/*
	 * line   the event, as one normal line without LF
	 */
	void	(*event)(struct nr_fetch *f, void *ctx,
		    const struct nr_event *ev, struct nr_view line);
	void	(*refused)(struct nr_fetch *f, void *ctx,
		    enum nr_fetch_refusal why, enum nr_verdict v);
	/* NR_FETCH_LIVE: from now on nothing new is missed; */
	void	(*live)(struct nr_fetch *f, void *ctx);
	/* and now it is again, until live() or end() is called. */
	void	(*deaf)(struct nr_fetch *f, void *ctx);
	/* The last call: f is gone when it returns. */
	void	(*end)(struct nr_fetch *f, void *ctx,
		    enum nr_fetch_status status, const char *text);
};

/* p must outlive it. */
int	nr_fetcher_new(struct nr_fetcher **out, struct nr_peer *p);
/* Fetches go with it, without a word.  NULL is allowed. */
void	nr_fetcher_free(struct nr_fetcher *fr);

/*
 * What the caller's nr_peer_calls must pass on.
 * Returns  of nr_fetcher_answer(): 1 where it was for a fetch.
 */
void	nr_fetcher_opened(struct nr_fetcher *fr);
int	nr_fetcher_answer(struct nr_fetcher *fr, const struct nr_answer *a);
void	nr_fetcher_room(struct nr_fetcher *fr);
void	nr_fetcher_proved(struct nr_fetcher *fr, int accepted);
void	nr_fetcher_closed(struct nr_fetcher *fr, const struct nr_fault *why,
	    int64_t again);

/*
 * Begin, now or when the peer is open.
 * filter   copied
 * Returns  0 or ENOMEM.
 */
int	nr_fetch_new(struct nr_fetch **out, struct nr_fetcher *fr,
	    const struct nr_filter *filter,
	    const struct nr_fetch_options *o,
	    const struct nr_fetch_calls *calls, void *ctx);

/* Enough: CLOSE, and no more calls, also not end(). */
void	nr_fetch_cancel(struct nr_fetch *f);

/* Events that no subscription of ours has asked for. */
uint64_t nr_fetcher_strays(const struct nr_fetcher *fr);

#endif
