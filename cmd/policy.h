/*
 * policy.h - the parts of nr-policy:
 *
 *	filter	events from files or stdin, those that are accepted to stdout
 *	plugin	requests on stdin, verdicts to stdout, rules that change
 *	exec	the commands that rules name
 */
#ifndef NR_CMD_POLICY_H
#define NR_CMD_POLICY_H

#include <pthread.h>
#include <stdint.h>

#include "event/event.h"
#include "policy/rules.h"
#include "rejects.h"

/* ---- commands -------------------------------------------------------------- */

struct nr_commands;

/* One answer for all that were asked; by the thread of a command. */
typedef void	nr_commands_fn(void *ctx, enum nr_action action,
		    const char *msg, int failed);

struct nr_commands *nr_commands_new(void);
/* Those still asked are answered first, as failed. */
void	nr_commands_free(struct nr_commands *c);	/* NULL is allowed */

/*
 * Ask the commands that an evaluation waits for; its request must stay
 * until then.  done() is called exactly once, perhaps before this returns.
 */
void	nr_commands_ask(struct nr_commands *c, const struct nr_rules *r,
	    const struct nr_eval *e, nr_commands_fn *done, void *ctx);

/* How many requests may be asked about at once, as fast as they answer now. */
size_t	nr_commands_share(struct nr_commands *c);

/*
 * Let go of the processes that these rules do not name and that nobody
 * waits for.  Then: are there others, so that this has to be called again?
 */
void	nr_commands_keep(struct nr_commands *c, const struct nr_rules *r);
int	nr_commands_stale(struct nr_commands *c);

/* End those: takes seconds where one does not want to.  Any thread. */
void	nr_commands_end(struct nr_commands *c);

/* ---- modes --------------------------------------------------------------------- */

struct nr_policy_options {
	const char	*path;
	struct nr_event_limits limits;
	unsigned	 threads;
	int		 dry, explain;
	int		 created_at;	/* is the time of arrival */
	enum nr_source	 source;
	const char	*from;		/* an address or URL, or NULL */
	unsigned char	 (*authed)[32];
	unsigned	 nauthed;
	const char	*rejects;
};

/* Read the rules or end the program with status 2; NULL before. */
struct nr_rules	*nr_policy_load(const struct nr_policy_options *o);
extern const struct nr_rules_calls nr_policy_calls;

/* They return the program's status. */
int	nr_policy_filter(const struct nr_policy_options *o, char **files,
	    int nfiles);
int	nr_policy_plugin(const struct nr_policy_options *o);

/* A rule could not act: say so, but not too often.  Any thread. */
void	nr_policy_trouble(const struct nr_eval *e);

#endif
