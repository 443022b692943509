/*
 * The commands that rules hand events to: each is one process, started when
 * it is first asked, whatever rules name it.
 */
#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "policy.h"
#include "policy/host.h"
#include "tool.h"
#include "util/err.h"

#define QUEUE		20000
#define QUEUE_BYTES	((size_t)64 << 20)

struct command {
	char		*text;
	int64_t		 timeout;
	struct nr_host	*host;
	atomic_uint	 asked;		/* and not answered */
	struct command	*next;
};

struct nr_commands {
	pthread_mutex_t	 lock;		/* of the list */
	struct command	*first;
	struct command	*gone;		/* to be ended */
	atomic_int	 unnamed;
};

/* All that are asked about one request. */
struct question {
	nr_commands_fn	*done;
	void		*ctx;
	pthread_mutex_t	 lock;
	unsigned	 left;
	enum nr_action	 action;
	int		 failed;
	char		 msg[NR_DECISION_MSG];
	struct part {
		struct nr_asked	 asked;		/* first */
		struct question	*question;
		struct command	*command;
	}		 part[];
};

struct nr_commands *
nr_commands_new(void)
{
	struct nr_commands *c = calloc(1, sizeof(*c));

	if (c == NULL)
		nr_die(ENOMEM, "commands");
	pthread_mutex_init(&c->lock, NULL);
	return c;
}

static void
say(void *ctx, enum nr_host_news what, const char *text)
{
	struct command *k = ctx;

	if (what == NR_HOST_STDERR)
		nr_say("%s", text);
	else if (what == NR_HOST_TROUBLE || !nr_quiet)
		nr_say("exec \"%s\": %s", k->text, text);
}

/* With the lock.  Ends the program without memory or threads. */
static struct command *
find(struct nr_commands *c, const char *text, int64_t timeout)
{
	struct nr_host_options o = { .command = text, .timeout = timeout,
	    .queue = QUEUE, .lane = QUEUE, .bytes = QUEUE_BYTES, .say = say };
	struct command *k;
	int rc;

	for (k = c->first; k != NULL; k = k->next)
		if (k->timeout == timeout && strcmp(k->text, text) == 0)
			return k;
	if ((k = calloc(1, sizeof(*k))) == NULL ||
	    (k->text = strdup(text)) == NULL)
		nr_die(ENOMEM, "commands");
	k->timeout = timeout;
	o.ctx = k;
	if ((rc = nr_host_new(&k->host, &o)) != NR_OK)
		nr_die(rc, "exec \"%s\"", text);
	k->next = c->first;
	return c->first = k;
}

/* ---- asking ----------------------------------------------------------------- */

static void
finish_part(struct part *part, enum nr_action action, const char *msg,
    int failed)
{
	struct command *command = part->command;
	struct question *q = part->question;
	int last;

	pthread_mutex_lock(&q->lock);
	/* The first that refuses has the word; a failure counts after it. */
	if (failed)
		q->failed = 1;
	else if (action != NR_ACCEPT && q->action == NR_ACCEPT) {
		q->action = action;
		snprintf(q->msg, sizeof(q->msg), "%s", msg);
	}
	last = --q->left == 0;
	pthread_mutex_unlock(&q->lock);
	/* From here on the last one may free it. */
	atomic_fetch_sub(&command->asked, 1);
	if (!last)
		return;
	q->done(q->ctx, q->action, q->msg, q->failed &&
	    q->action == NR_ACCEPT);
	pthread_mutex_destroy(&q->lock);
	free(q);
}

static void
on_done(struct nr_asked *a, enum nr_host_end end,
    const struct nr_decision *d)
{
	struct part *part = (struct part *)(void *)a;

	if (end == NR_HOST_DECIDED)
		finish_part(part, d->action, d->msg, 0);
	else
		finish_part(part, NR_ACCEPT, "", 1);
}

/* Askers take turns by where their requests come from. */
static uint64_t
key_of(const struct nr_request *rq)
{
	uint64_t h = 14695981039346656037u;
	size_t i;

	for (i = 0; i < rq->source_info.len; i++)
		h = (h ^ (unsigned char)rq->source_info.p[i]) * 1099511628211u;
	return h;
}

void
nr_commands_ask(struct nr_commands *c, const struct nr_rules *r,
    const struct nr_eval *e, nr_commands_fn *done, void *ctx)
{
	struct question *q;
	const size_t *index;
	int64_t timeout;
	size_t i, n;

	n = nr_eval_commands(e, &index, &timeout);
	if ((q = calloc(1, sizeof(*q) + n * sizeof(q->part[0]))) == NULL)
		nr_die(ENOMEM, "commands");
	q->done = done;
	q->ctx = ctx;
	q->left = (unsigned)n;
	pthread_mutex_init(&q->lock, NULL);
	pthread_mutex_lock(&c->lock);
	for (i = 0; i < n; i++) {
		q->part[i].question = q;
		q->part[i].command = find(c, nr_rules_command(r, index[i]),
		    timeout);
		atomic_fetch_add(&q->part[i].command->asked, 1);
		q->part[i].asked.request = *e->rq;
		q->part[i].asked.key = key_of(e->rq);
		q->part[i].asked.done = on_done;
	}
	pthread_mutex_unlock(&c->lock);
	/* The last answer frees it all, be it that of the last one asked. */
	for (i = 0; i < n; i++)
		if (nr_host_ask(q->part[i].command->host,
		    &q->part[i].asked) != NR_OK)
			finish_part(&q->part[i], NR_ACCEPT, "", 1);
}

size_t
nr_commands_share(struct nr_commands *c)
{
	size_t least = QUEUE, share;
	struct command *k;

	pthread_mutex_lock(&c->lock);
	for (k = c->first; k != NULL; k = k->next) {
		share = nr_host_share(k->host);
		if (share < least)
			least = share;
	}
	pthread_mutex_unlock(&c->lock);
	return least > 0 ? least : 1;
}

/* ---- letting go ---------------------------------------------------------------- */

void
nr_commands_keep(struct nr_commands *c, const struct nr_rules *r)
{
	struct command **at = &c->first, *k;
	int left = 0;

	pthread_mutex_lock(&c->lock);
	while ((k = *at) != NULL) {
		if (nr_rules_run(r, k->text, k->timeout))
			at = &k->next;
		else if (atomic_load(&k->asked) > 0) {
			left = 1;
			at = &k->next;
		} else {
			*at = k->next;
			k->next = c->gone;
			c->gone = k;
		}
	}
	atomic_store(&c->unnamed, left);
	pthread_mutex_unlock(&c->lock);
}

static void
free_commands(struct command *k)
{
	struct command *next;

	for (; k != NULL; k = next) {
		next = k->next;
		nr_host_free(k->host);
		free(k->text);
		free(k);
	}
}

void
nr_commands_end(struct nr_commands *c)
{
	struct command *gone;

	pthread_mutex_lock(&c->lock);
	gone = c->gone;
	c->gone = NULL;
	pthread_mutex_unlock(&c->lock);
	free_commands(gone);
}

int
nr_commands_stale(struct nr_commands *c)
{
	return atomic_load(&c->unnamed);
}

void
nr_commands_free(struct nr_commands *c)
{
	if (c == NULL)
		return;
	nr_commands_end(c);
	free_commands(c->first);
	pthread_mutex_destroy(&c->lock);
	free(c);
}
