/*
 * plugin.h - one process of a plugin, and what it has been asked.  Internal
 * to lib/policy; the host's thread only.
 */
#ifndef NR_POLICY_PLUGIN_H
#define NR_POLICY_PLUGIN_H

#include <stdint.h>
#include <sys/types.h>

#include "policy/host.h"
#include "policy/protocol.h"
#include "util/buf.h"

#define NR_PLUGIN_PATIENCE	100	/* strays, until it is too many */

/* What becomes of a process. */
enum nr_plugin_state {
	NR_PLUGIN_COMING,	/* runs, and is not asked yet */
	NR_PLUGIN_CURRENT,
	NR_PLUGIN_LEAVING,	/* finishes what it has */
	NR_PLUGIN_DYING		/* has been killed */
};

/* Something it was asked. */
struct nr_slot {
	struct nr_asked	*asked;		/* NULL: its deadline has passed */
	uint64_t	 seq;
	unsigned char	 id[32];
	int		 has_id, used;
	int64_t		 sent;		/* ms */
	int		 next_id, next_seq;	/* in their chains, or free */
};

struct nr_plugin {
	struct nr_plugin *next;
	enum nr_plugin_state state;
	pid_t		 pid;
	int		 in, out, err;	/* pipes; -1: closed */
	int64_t		 begun, until;	/* ms; when the next step is due */
	int64_t		 heard;		/* ms, of its last answer */
	int64_t		 gone;		/* ms, since a pipe was closed, or 0 */
	int		 exited, status;	/* as waitid() has it */
	int64_t		 exited_at;

	struct nr_hello	 hello;
	int		 greeted;	/* there was a hello */
	int		 spoke;		/* there was a line */
	int		 patience;	/* strays that it still has */
	unsigned	 missed;	/* deadlines since its last answer */

	struct nr_buf	 to;		/* requests, */
	size_t		 sent;		/* of which so much was written */
	struct nr_buf	 from;		/* answers: a line's beginning */
	struct nr_buf	 words;		/* of stderr, likewise */

	struct nr_slot	 slot[NR_HOST_WINDOW];
	int		 by_id[NR_HOST_WINDOW], by_seq[NR_HOST_WINDOW];
	int		 free_slot;
	unsigned	 used;		/* slots */
	unsigned	 open;		/* of these, with somebody waiting */
};

/*
 * Run it: /bin/sh -c command, in a process group of its own.
 * Returns  0, ENOMEM, or why there is no process.
 */
int	nr_plugin_start(struct nr_plugin **out, const char *command);

/* It has ended: forget it. */
void	nr_plugin_free(struct nr_plugin *p);

/* To all that came of it. */
void	nr_plugin_kill(struct nr_plugin *p, int sig);

/* Has it ended?  Sets exited, status and exited_at. */
int	nr_plugin_exited(struct nr_plugin *p, int64_t now);

/* Close some of its pipes; what was not written is dropped. */
void	nr_plugin_close_in(struct nr_plugin *p);
void	nr_plugin_close(struct nr_plugin *p);

/* A place for what it is asked now; there must be one: see used. */
void	nr_plugin_take(struct nr_plugin *p, struct nr_asked *a, int64_t now);

/* The place that an answer is to, or NULL. */
struct nr_slot *nr_plugin_find(struct nr_plugin *p,
	    const struct nr_decision *d);
void	nr_plugin_drop(struct nr_plugin *p, struct nr_slot *s);

/* Write what there is.  Returns 0, or -1 where it takes no more. */
int	nr_plugin_write(struct nr_plugin *p);

/*
 * Read some more into one of its buffers.
 * Returns  0; NR_EOF at the end.
 */
int	nr_plugin_read(int *fd, struct nr_buf *b);

#endif
