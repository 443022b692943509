/*
 * host.h - a plugin command, kept running, that many may ask at a time.
 *
 * A thread of the host's own starts the command, writes requests to it,
 * reads its answers, and starts it again, later and later, when it dies,
 * hangs or talks nonsense; nr-policy(7) says when that is.  Whatever
 * happens, every request comes to an end: by a decision, or without one at
 * its deadline at the latest.
 *
 * Each asker has a key; requests of different keys take turns.
 *
 * Threads   Any thread may call these functions, but nr_host_free(), which
 *	     comes last.
 */
#ifndef NR_POLICY_HOST_H
#define NR_POLICY_HOST_H

#include <stddef.h>
#include <stdint.h>

#include "policy/request.h"

struct nr_host;

/* How a request ended. */
enum nr_host_end {
	NR_HOST_DECIDED,
	NR_HOST_LATE,		/* no decision until its deadline */
	NR_HOST_FAILED		/* the plugin died, or cannot answer this */
};

/*
 * A request that is under way.  The caller makes it, with what it borrows,
 * and leaves it alone until done() has been called.
 */
struct nr_asked {
	struct nr_request request;	/* its seq is the host's */
	uint64_t	 key;		/* whose it is */
	/*
	 * Called once, by the host's thread; it must not block.  The host
	 * does not touch *a any more.
	 * d  what was decided; NULL where nothing was
	 */
	void		(*done)(struct nr_asked *a, enum nr_host_end end,
			    const struct nr_decision *d);
	int64_t		 asked;		/* ms, of nr_now_ms() */

	/* The host's own. */
	int64_t		 until;		/* ms */
	struct nr_asked	*next;		/* of its asker */
	struct nr_asked	*older, *younger;
	struct nr_lane_of_asked *lane;
};

/* What a host has to tell. */
enum nr_host_news {
	NR_HOST_STDERR,		/* a line that the plugin wrote there */
	NR_HOST_NEWS,
	NR_HOST_TROUBLE
};

struct nr_host_options {
	const char	*command;	/* for /bin/sh -c; NULL: none */
	int64_t		 timeout;	/* ms, from asking to the decision */
	size_t		 queue;		/* requests that wait, at most; */
	size_t		 lane;		/* of one asker, 0: a quarter */
	size_t		 bytes;		/* of their events and filters */
	unsigned	 window;	/* in flight without hello, 0: 64 */
	/*
	 * What the operator says that the plugin answers, whether it has
	 * said hello or not: NR_ASK_BIT()s; NEW always.
	 */
	unsigned	 asks;
	/*
	 * Called by the host's thread when it has called done() for some,
	 * and has nothing else to tell for now; may be NULL.
	 */
	void		(*after)(void *ctx);
	/* Lines for the operator, by the host's thread. */
	void		(*say)(void *ctx, enum nr_host_news what,
			    const char *text);
	void		*ctx;
};

#define NR_HOST_WINDOW	4096	/* in flight at a plugin that said hello */

/*
 * Start the thread, and the command.
 * o	    is copied
 * Returns  0, ENOMEM, or why there is no thread or descriptor.
 */
int	nr_host_new(struct nr_host **out, const struct nr_host_options *o);

/*
 * Ask.
 * Returns  0: done() will be called, perhaps before this returns; EAGAIN
 *	    where as much waits as may, or nothing is run, and ENOMEM:
 *	    done() will not be called.
 */
int	nr_host_ask(struct nr_host *h, struct nr_asked *a);

/* The same for one of many, which may wait until nr_host_go(). */
int	nr_host_add(struct nr_host *h, struct nr_asked *a);
void	nr_host_go(struct nr_host *h);

/*
 * Put another command, or the same anew, in its place, with these options.
 * The old one decides until the new one runs, finishes what it has, and is
 * ended.  Functions and ctx must be the same.
 * Returns  0 or ENOMEM.
 */
int	nr_host_replace(struct nr_host *h, const struct nr_host_options *o);

/*
 * How many requests of one asker may wait so that they all have a chance
 * to be decided in time: by how fast the plugin answers now, and by how
 * many ask.  For those who can wait before they ask.
 */
size_t	nr_host_share(struct nr_host *h);

struct nr_host_figures {
	uint64_t	decided[3];	/* by enum nr_action */
	uint64_t	late, failed;
	uint64_t	refused;	/* asked when there was no room */
	uint64_t	strays;		/* answers that make no sense */
	uint64_t	restarts;
	size_t		waiting, in_flight;
	int		running;
};

void	nr_host_figures(struct nr_host *h, struct nr_host_figures *out);

/*
 * End the command: its input ends, and where that does not end it, it is
 * killed, within some seconds.  What was not decided has failed, and so has
 * whatever is asked from now on.
 */
void	nr_host_stop(struct nr_host *h);

/* NULL is allowed. */
void	nr_host_free(struct nr_host *h);

#endif
