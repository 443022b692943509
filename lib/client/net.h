/*
 * net.h - one loop, in one thread, for many relays, timers and descriptors.
 *
 * Conventions for every function in client/
 *   Return    0, or a code for nr_strerror().
 *   Threads   All of a loop's functions belong to the thread that runs it,
 *	       but for nr_net_wake() and nr_net_stop().
 *   Calls     Callbacks come from nr_net_run() alone, never from the
 *	       function that asked for something.  In each of them anything
 *	       may be called, also what frees the caller.
 *   Units     Times are milliseconds, sizes bytes.
 *
 * libwebsockets ignores SIGPIPE for the whole process once a loop is made.
 */
#ifndef NR_CLIENT_NET_H
#define NR_CLIENT_NET_H

#include <stddef.h>
#include <stdint.h>

struct nr_net;
struct nr_timer;
struct nr_watch;

/*
 * ca_file  PEM certificates to trust instead of the system's, or NULL
 * peers    how many connections there may be at a time
 * why	    what is wrong with ca_file, where NR_EINVAL is returned
 */
int	nr_net_new(struct nr_net **out, const char *ca_file, unsigned peers,
	    const char **why);

/*
 * Names are looked up so many at a time, each in a thread; 16 without this.
 * The others wait, and the time for their connections runs.
 */
void	nr_net_lookups(struct nr_net *n, unsigned most);

/* After the last peer, timer and watch.  NULL is allowed. */
void	nr_net_free(struct nr_net *n);

/* Run until nr_net_stop(), which may come first.  0, or EIO. */
int	nr_net_run(struct nr_net *n);
void	nr_net_stop(struct nr_net *n);		/* from any thread */

/*
 * Have fn called soon, once for any number of wakes; the way in for other
 * threads.
 */
void	nr_net_on_wake(struct nr_net *n, void (*fn)(void *ctx), void *ctx);
void	nr_net_wake(struct nr_net *n);		/* from any thread */

int	nr_timer_new(struct nr_timer **out, struct nr_net *n,
	    void (*fn)(void *ctx), void *ctx);
void	nr_timer_free(struct nr_timer *t);	/* NULL is allowed */
/* Have fn called once, so long from now; what was set before is void. */
void	nr_timer_set(struct nr_timer *t, int64_t ms);
void	nr_timer_stop(struct nr_timer *t);

/* What a descriptor is watched for. */
#define NR_WATCH_IN	1u
#define NR_WATCH_OUT	2u

/*
 * Have fn called whenever fd can be read (or has ended, or failed) or
 * written, as events say: with NR_WATCH_OUT until nr_watch_for() ends it.
 * fd stays the caller's, and must not be closed before the watch is freed.
 */
int	nr_watch_new(struct nr_watch **out, struct nr_net *n, int fd,
	    unsigned events, void (*fn)(void *ctx, unsigned events),
	    void *ctx);
void	nr_watch_free(struct nr_watch *w);	/* NULL is allowed */
void	nr_watch_for(struct nr_watch *w, unsigned events);

#endif
