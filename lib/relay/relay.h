/*
 * relay.h - the relay: one process, few threads.
 *
 *	sockets (one thread, libwebsockets) -> verify (one a core)
 *	    -> writer -> OK
 *	                -> feed -> live subscriptions
 *	         -> queries (one a core) -> frames
 *
 * Between them are queues with bounds.  The thread that calls
 * nr_relay_run() has the sockets; nothing else touches libwebsockets but
 * to wake it.
 */
#ifndef NR_RELAY_RELAY_H
#define NR_RELAY_RELAY_H

#include "relay/config.h"
#include "store/store.h"

struct nr_relay;

enum nr_log_level {
	NR_LOG_ERROR,
	NR_LOG_WARN,
	NR_LOG_INFO,
	NR_LOG_DEBUG
};

/*
 * Called from any thread, with one line of text.
 * event   what it is about, a word that programs can tell it by
 * fields  more about it, as members of a JSON object without the braces;
 *	   or NULL
 */
typedef void	nr_log_fn(enum nr_log_level level, const char *event,
		    const char *text, const char *fields);

#define NR_GIVEN_MAX	64

/* Listening sockets that somebody else has opened. */
struct nr_given {
	int		 fd[NR_GIVEN_MAX];
	unsigned char	 used[NR_GIVEN_MAX];
	unsigned	 n;
};

/*
 * Bind the addresses and start the threads.  config and store stay the
 * caller's and must outlive the relay; config may be replaced.
 * given    sockets to use where they are at an address to listen on; they
 *	    are the relay's, and those that it does not use are closed
 * Returns  0; or ENOMEM, EADDRINUSE (or another reason that an address
 *	    could not be listened on), or what the store says, which has
 *	    been logged.
 */
int	nr_relay_new(struct nr_relay **out,
	    struct nr_relay_config *config, struct nr_store *st,
	    struct nr_given *given, nr_log_fn *log);

#define NR_WHERE_MAX	160

/*
 * Where the n-th address is, as a URL or unix:/path, with the port where 0
 * was given; that of the figures is behind the last.
 */
void	nr_relay_where(const struct nr_relay *r, unsigned n,
	    char out[NR_WHERE_MAX]);

/*
 * Serve until nr_relay_stop(), then drain: what was received is stored
 * and answered, what is queued is sent, within the configured time.
 * Returns  0; or the reason why no more could be stored (NR_ESYNC,
 *	    NR_EGONE, NR_EINDEX, ...), after which the process must end.
 */
int	nr_relay_run(struct nr_relay *r);

/*
 * Use another configuration, checked and loaded, from now on, and log what
 * of it needs a restart.  Not from the thread of nr_relay_run(), and from
 * one at a time.
 * Returns  the one before, which is the caller's; next itself where the
 *	    relay has ended.
 */
struct nr_relay_config *nr_relay_reload(struct nr_relay *r,
		    struct nr_relay_config *next);

/*
 * Accept nobody, close the connections one by one within the configured
 * time, and then end: for when another process serves the addresses.  May
 * be called from any thread, not from a signal handler.
 */
void	nr_relay_leave(struct nr_relay *r);

/* Does the thread of nr_relay_run() go round?  Asks it, too, to say so. */
int	nr_relay_alive(struct nr_relay *r);

/*
 * May be called from any thread, not from a signal handler.  Called again,
 * it ends the draining at once.
 */
void	nr_relay_stop(struct nr_relay *r);

void	nr_relay_free(struct nr_relay *r);

#endif
