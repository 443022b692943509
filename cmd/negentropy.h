/*
 * negentropy.h - the parts of nr-negentropy.
 *
 *	exec	a peer behind a command's stdin and stdout
 *	stdio	the other end of that: a store, served on ours
 *	file	records and events of a file instead of a store
 *	strainer  a command that events pass through
 */
#ifndef NR_CMD_NEGENTROPY_H
#define NR_CMD_NEGENTROPY_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "client/net.h"
#include "filter/filter.h"
#include "store/store.h"
#include "sync/side.h"

/* ---- exec */

struct nr_exec;

/*
 * Whoever connects to the socket talks to a new process of the command; a
 * program that cannot do this ends.
 * argv	    ended by NULL; borrowed
 * ended    the last process has ended with this status, and another is
 *	    wanted: returns 1 where that is of no use
 */
struct nr_exec	*nr_exec_new(struct nr_net *n, char *const *argv,
		    int (*ended)(void *ctx, int status), void *ctx);
void	nr_exec_free(struct nr_exec *x);

/* The path of the socket. */
const char	*nr_exec_path(const struct nr_exec *x);

/* Start a command with these as its stdin and stdout.  0 or errno. */
int	nr_exec_start(char *const *argv, int in, int out, pid_t *pid);

/*
 * Wait for it, two seconds, then make it end.
 * Returns  the status that it ended with by itself, or -1.
 */
int	nr_exec_end(pid_t pid);

/* ---- command that events pass through */

struct nr_strainer;

struct nr_strainer_calls {
	/*
	 * A line that the command wrote.  EAGAIN: it is given again after
	 * nr_strainer_go_on().
	 */
	int	(*line)(void *ctx, struct nr_view line);
	/* There is room again. */
	void	(*room)(void *ctx);
	/* It has ended, after nr_strainer_finish() or before. */
	void	(*ended)(void *ctx, int status);
	void	*ctx;
};

struct nr_strainer *nr_strainer_new(struct nr_net *n, const char *command,
		    const struct nr_strainer_calls *calls);
void	nr_strainer_free(struct nr_strainer *f);	/* NULL is allowed */

/* Give it a line.  Returns 0, EAGAIN, or EPIPE where it has ended. */
int	nr_strainer_add(struct nr_strainer *f, struct nr_view line);

/* Has it been given everything? */
int	nr_strainer_idle(const struct nr_strainer *f);

/* Nothing more comes: let it write the rest, and end. */
void	nr_strainer_finish(struct nr_strainer *f);
void	nr_strainer_go_on(struct nr_strainer *f);

/* ---- stdio */

/*
 * Be a relay for whoever is at the other end of stdin and stdout, who may
 * read and write everything.  Returns the exit status.
 */
int	nr_stdio_serve(struct nr_store *st);

/* ---- file */

struct nr_records;

/*
 * Read a file of events, or of lines with a time and an id; "-" is stdin.
 * What is wrong with it is said, and counted as invalid.
 * keeps    its events will be wanted again
 */
struct nr_records *nr_records_new(const char *path, int events, int keeps,
		    const struct nr_filter *filters, size_t n);
void	nr_records_free(struct nr_records *r);

/* Those that a filter matches, as our side; 0 or a code. */
int	nr_records_side(struct nr_records *r, size_t filter,
	    struct nr_side **out);

/* The event of a record; borrowed until the next call. */
int	nr_records_find(struct nr_records *r, struct nr_view *line,
	    const unsigned char id[32]);

uint64_t nr_records_invalid(const struct nr_records *r);

#endif
