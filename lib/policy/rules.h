/*
 * rules.h - a rules file (nr-policy.conf(5)): read, and asked for verdicts.
 *
 * Rules are immutable once they are read and may be used by many threads;
 * each has a struct nr_rules_thread of its own.  A request is walked
 * through the rules by an evaluation, which stops where it needs what must
 * be done in the order of the requests (counting, learning, logging) or
 * must be asked elsewhere (exec), and goes on from there.
 */
#ifndef NR_POLICY_RULES_H
#define NR_POLICY_RULES_H

#include <stdint.h>

#include "filter/filter.h"
#include "policy/measure.h"
#include "policy/request.h"
#include "policy/state.h"

struct nr_rules;
struct nr_rule;
struct nr_rules_thread;

struct nr_rules_calls {
	/* Something is wrong with the file; line and column from 1, or 0. */
	void	(*wrong)(void *ctx, const char *file, unsigned line,
		    unsigned column, const char *text);
	/* A rule that logs has matched; by whichever thread asked. */
	void	(*log)(void *ctx, const struct nr_rule *rule,
		    const struct nr_request *rq);
	void	*ctx;
};

/*
 * Read a rules file and all that it names.
 * before   those in use so far, whose counts go on; NULL: none
 * dry      make and change no file
 * calls    copied
 * Returns  0, NR_EINVAL where something is wrong and was told, or ENOMEM.
 */
int	nr_rules_read(struct nr_rules **out, const char *path,
	    const struct nr_rules *before, int dry,
	    const struct nr_rules_calls *calls);
void	nr_rules_free(struct nr_rules *r);	/* NULL is allowed */

/*
 * What has changed in the files since: 0, or a number that stands for it.
 * Looks at each; for once a second or so.
 */
uint64_t nr_rules_changes(const struct nr_rules *r);

/* For reports: the rules in their order; the commands that they name. */
size_t	nr_rules_count(const struct nr_rules *r);
const struct nr_rule *nr_rules_at(const struct nr_rules *r, size_t i);
const char *nr_rules_command(const struct nr_rules *r, size_t i);

/* Does a rule ask this command, and wait so long (ms)? */
int	nr_rules_run(const struct nr_rules *r, const char *command,
	    int64_t timeout);

/* Where a rule stands, "file:line", and what it says. */
const char *nr_rule_place(const struct nr_rule *rule);
const char *nr_rule_text(const struct nr_rule *rule);
const char *nr_rule_message(const struct nr_rule *rule);	/* or NULL */

/* The source that rules call so; NR_SOURCES: none. */
enum nr_source	nr_rules_source(struct nr_view name);

/* ---- asking ---------------------------------------------------------------- */

/* What a thread has for itself; figures of each rule. */
struct nr_rule_figures {
	uint64_t	matched, decided;
};
int	nr_rules_thread_new(struct nr_rules_thread **out,
	    const struct nr_rules *r);
void	nr_rules_thread_free(struct nr_rules_thread *t);
const struct nr_rule_figures *
	nr_rules_thread_figures(const struct nr_rules_thread *t);

enum nr_step {
	NR_STEP_DECIDED,
	NR_STEP_ORDER,		/* go on in the order of the requests */
	NR_STEP_EXEC		/* ask the commands; see nr_eval_commands() */
};

struct nr_eval {
	const struct nr_rules	*rules;
	const struct nr_request	*rq;
	int64_t			 now;		/* ns of the wall clock */
	size_t			 at;		/* the rule to look at */
	int64_t			 score;
	/* What was found out about the request. */
	unsigned		 known;
	struct nr_measures	 measures;
	unsigned		 alike;
	int64_t			 alike_within;	/* s */
	int64_t			 since;		/* of the author; 0: new */
	struct nr_filter	*filters;
	size_t			 nfilters;
	/* What was decided. */
	enum nr_action		 action;
	const struct nr_rule	*decided;	/* NULL: the default */
	const struct nr_rule	*scored[16];	/* the first that did */
	unsigned		 nscored;
	int			 failed;	/* closed, since a rule could not act */
	char			 msg[NR_DECISION_MSG];
};

/* dry: nothing is learnt, held or logged, but rates count. */
#define NR_EVAL_DRY	1u
#define NR_EVAL_ORDER	2u	/* this is the place for what needs order */

/*
 * rq	    stays as it is until the end; its time is what ages are counted by
 * now	    the same in nanoseconds, for rates
 */
void	nr_eval_begin(struct nr_eval *e, const struct nr_rules *r,
	    const struct nr_request *rq, int64_t now);
void	nr_eval_end(struct nr_eval *e);

/* Go on.  NR_STEP_ORDER comes only without NR_EVAL_ORDER. */
enum nr_step	nr_eval_run(struct nr_eval *e, struct nr_rules_thread *t,
		    unsigned flags);

/*
 * After NR_STEP_EXEC: the commands to ask, as indices for
 * nr_rules_command(); all must accept.  In milliseconds, how long to wait.
 */
size_t	nr_eval_commands(const struct nr_eval *e, const size_t **index,
	    int64_t *timeout);
/*
 * What they said.  msg may be "".
 * failed   one of them could not be asked: the rule decides, closed
 */
enum nr_step	nr_eval_answer(struct nr_eval *e, struct nr_rules_thread *t,
		    unsigned flags, enum nr_action action, const char *msg,
		    int failed);

#endif
