/*
 * Requests on stdin, verdicts to stdout (nr-policy(7)).
 *
 * One thread answers; another looks every second whether the rules or what
 * they name have changed, and reads them anew while the old ones go on.
 * Requests that commands are asked about wait aside, with the rules that
 * they have begun with; those that a command would not get to in time are
 * postponed until it might.  Meanwhile the others go on, where the host has
 * deadlines of its own; any other can wait, and nothing more is read.
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "policy.h"
#include "policy/protocol.h"
#include "signals.h"
#include "tool.h"
#include "util/err.h"
#include "util/times.h"

#define LINE_MAX_BYTES	((size_t)4 << 20)
#define READ_BYTES	((size_t)256 << 10)
#define WATCH_SECONDS	1
#define RETRY_LOOKS	10
#define TICK_MS		100
#define POSTPONED_MAX	((size_t)4096)
#define POSTPONED_BYTES	((size_t)64 << 20)

/* Rules in use, by requests that wait or as the newest. */
struct set {
	struct nr_rules		*rules;
	struct nr_rules_thread	*thread;
	unsigned		 refs;
};

/* A request that waits for commands, with a copy of all it borrows. */
struct waiting {
	struct run		*run;
	struct set		*set;
	struct nr_request	 rq;
	struct nr_eval		 eval;
	struct nr_buf		 copy;
	enum nr_action		 said;
	int			 failed;
	char			 msg[NR_DECISION_MSG];
	int64_t			 until;		/* ms, where it is postponed */
	struct waiting		*next;
};

struct run {
	const struct nr_policy_options *o;
	struct set		*set;
	struct nr_commands	*commands;
	struct nr_request_reader reader;
	struct nr_buf		 in, out;
	int			 skipping;	/* a line that is too long */
	int			 eof;
	int			 full;		/* lines wait for room */
	int			 hurried;	/* the host has deadlines */
	size_t			 nwaiting;	/* aside, */
	size_t			 nasked;	/* of which so many are asked, */
	struct waiting		*postponed, **postponed_end;	/* and others not */
	size_t			 npostponed, postponed_bytes;
	int64_t			 looked;	/* ms, after their time */
	struct nr_signals	 signals;
	int			 bell;
	/* Between threads. */
	pthread_mutex_t		 lock;
	pthread_cond_t		 look;
	struct waiting		*answered;
	struct nr_rules		*fresh;		/* read, not yet in use */
	const struct nr_rules	*newest;	/* that were read */
	int			 asked, ending;	/* to read anew; to end */
	pthread_t		 watcher;
};

/* How reading the rules again went the last time. */
struct attempt {
	uint64_t		 changes;	/* that were seen before it */
	int			 failed;
	unsigned		 looks;		/* since then */
};

/* ---- rules that change ---------------------------------------------------------- */

static struct set *
new_set(struct nr_rules *rules)
{
	struct set *s;

	if ((s = calloc(1, sizeof(*s))) == NULL ||
	    nr_rules_thread_new(&s->thread, rules) != NR_OK)
		nr_die(ENOMEM, "rules");
	s->rules = rules;
	s->refs = 1;
	return s;
}

static void
unref(struct set *s)
{
	if (--s->refs > 0)
		return;
	nr_rules_thread_free(s->thread);
	nr_rules_free(s->rules);
	free(s);
}

static void
ring(struct run *run)
{
	static const uint64_t one = 1;

	(void)!write(run->bell, &one, sizeof(one));
}

/* Wait for the next look; returns whether to read without one. */
static int
wait_look(struct run *run)
{
	struct timespec until;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += WATCH_SECONDS;
	while (!run->ending && !run->asked &&
	    pthread_cond_timedwait(&run->look, &run->lock, &until) == 0)
		;
	return run->asked;
}

static void
say_nothing(void *ctx, const char *file, unsigned line, unsigned column,
    const char *text)
{
	(void)ctx;
	(void)file;
	(void)line;
	(void)column;
	(void)text;
}

/*
 * Read the rules again where there is a reason to; else NR_EBUSY.  What
 * was wrong may have been mended in a file that only the new rules name:
 * nothing tells, so they are tried again now and then, in silence.
 */
static int
read_again(struct run *run, struct nr_rules **fresh, int asked,
    struct attempt *last)
{
	struct nr_rules_calls calls = nr_policy_calls;
	uint64_t changes = nr_rules_changes(run->newest);
	int rc;

	if (!asked && (changes == 0 || changes == last->changes)) {
		if (!last->failed || ++last->looks % RETRY_LOOKS != 0)
			return NR_EBUSY;
		calls.wrong = say_nothing;
	}
	rc = nr_rules_read(fresh, run->o->path, run->newest, 0, &calls);
	if (rc != NR_OK && calls.wrong != say_nothing)
		nr_say("%s: the rules stay as they are", run->o->path);
	last->changes = changes;
	last->failed = rc != NR_OK;
	return rc;
}

/*
 * What cannot be read is told once, and the old rules stay.  Only this
 * thread frees what nobody has taken.
 */
static void *
watch(void *arg)
{
	struct run *run = arg;
	struct attempt last = { 0, 0, 0 };
	struct nr_rules *fresh;
	int asked, rc;

	pthread_mutex_lock(&run->lock);
	while (!run->ending) {
		asked = wait_look(run);
		run->asked = 0;
		if (run->ending || run->fresh != NULL)
			continue;
		pthread_mutex_unlock(&run->lock);
		nr_commands_end(run->commands);
		rc = read_again(run, &fresh, asked, &last);
		pthread_mutex_lock(&run->lock);
		if (rc == NR_OK) {
			run->fresh = fresh;
			ring(run);
		}
	}
	pthread_mutex_unlock(&run->lock);
	return NULL;
}

static void
take_fresh(struct run *run)
{
	struct nr_rules *fresh;

	pthread_mutex_lock(&run->lock);
	if ((fresh = run->fresh) != NULL) {
		run->newest = fresh;
		run->fresh = NULL;
	}
	pthread_mutex_unlock(&run->lock);
	if (fresh == NULL)
		return;
	unref(run->set);
	run->set = new_set(fresh);
	nr_commands_keep(run->commands, fresh);
	nr_say("%s: read again, %zu rule%s", run->o->path,
	    nr_rules_count(fresh), nr_rules_count(fresh) == 1 ? "" : "s");
}

/* ---- answering ---------------------------------------------------------------------- */

static void
flush(struct run *run)
{
	nr_out(run->out.p, run->out.len);
	nr_out_flush();
	run->out.len = 0;
}

static void
answer(struct run *run, const struct nr_request *rq, enum nr_action action,
    const char *msg)
{
	struct nr_decision d = { .seq = rq->seq, .has_seq = rq->has_seq,
	    .action = action };

	if (rq->type == NR_ASK_NEW && rq->event.len > 0) {
		d.has_id = 1;
		memcpy(d.id, rq->ev.id, 32);
	}
	snprintf(d.msg, sizeof(d.msg), "%s", msg);
	if (nr_decision_write(&run->out, &d) != NR_OK ||
	    nr_buf_adds(&run->out, "\n") != NR_OK)
		nr_die(ENOMEM, "answers");
}

static void
copy_view(struct nr_buf *b, struct nr_view *v)
{
	size_t at = b->len;

	if (v->len == 0)
		return;
	(void)nr_buf_add(b, v->p, v->len);	/* there is room */
	v->p = b->p + at;
}

/* Let the request borrow from a copy of what it borrows. */
static int
copy_request(struct waiting *w, const struct nr_request *rq)
{
	size_t keys = 32 * (size_t)rq->nauthed;

	w->rq = *rq;
	if (nr_buf_reserve(&w->copy, keys + rq->event.len +
	    rq->filters.len + rq->verb.len + rq->source_info.len + 1) != NR_OK)
		return ENOMEM;
	if (keys > 0) {
		(void)nr_buf_add(&w->copy, rq->authed, keys);
		w->rq.authed = (const void *)w->copy.p;
	}
	copy_view(&w->copy, &w->rq.event);
	copy_view(&w->copy, &w->rq.filters);
	copy_view(&w->copy, &w->rq.verb);
	copy_view(&w->copy, &w->rq.source_info);
	if (rq->type == NR_ASK_NEW) {
		(void)nr_event_view(&w->rq.ev, w->rq.event.p, w->rq.event.len);
		w->rq.ev.flags |= NR_EVENT_NORMAL;
	}
	return NR_OK;
}

static void
on_answer(void *ctx, enum nr_action action, const char *msg, int failed)
{
	struct waiting *w = ctx;
	struct run *run = w->run;

	w->said = action;
	w->failed = failed;
	snprintf(w->msg, sizeof(w->msg), "%s", msg);
	pthread_mutex_lock(&run->lock);
	w->next = run->answered;
	run->answered = w;
	pthread_mutex_unlock(&run->lock);
	ring(run);
}

/* May another request be asked about by commands? */
static int
room(struct run *run)
{
	return run->nasked == 0 ||
	    run->nasked < nr_commands_share(run->commands);
}

/* Nothing more is read. */
static int
is_full(const struct run *run)
{
	return run->npostponed >= (run->hurried ? POSTPONED_MAX : 1) ||
	    run->postponed_bytes >= POSTPONED_BYTES;
}

static void
take_out(struct run *run, struct waiting **at)
{
	struct waiting *w = *at;

	if ((*at = w->next) == NULL)
		run->postponed_end = at;
	run->npostponed--;
	run->postponed_bytes -= w->copy.len;
}

/* Ask about as many as there is room for. */
static void
ask_postponed(struct run *run)
{
	struct waiting *w;

	while ((w = run->postponed) != NULL && room(run)) {
		take_out(run, &run->postponed);
		run->nasked++;
		nr_commands_ask(run->commands, w->set->rules, &w->eval,
		    on_answer, w);
	}
}

/* Its turn is after all that wait already. */
static void
postpone(struct run *run, struct waiting *w)
{
	const size_t *index;
	int64_t timeout;

	(void)nr_eval_commands(&w->eval, &index, &timeout);
	w->until = nr_now_ms() + timeout;
	w->next = NULL;
	*run->postponed_end = w;
	run->postponed_end = &w->next;
	run->npostponed++;
	run->postponed_bytes += w->copy.len;
	ask_postponed(run);
}

/* Put a request aside until its commands have answered. */
static void
set_aside(struct run *run, struct nr_eval *e)
{
	struct waiting *w;

	if ((w = calloc(1, sizeof(*w))) == NULL ||
	    copy_request(w, e->rq) != NR_OK)
		nr_die(ENOMEM, "requests");
	w->run = run;
	w->set = run->set;
	w->set->refs++;
	w->eval = *e;
	w->eval.rq = &w->rq;
	run->nwaiting++;
	postpone(run, w);
}

static void
go_on(struct run *run, struct waiting *w)
{
	enum nr_step step;

	/* At the end there is nobody to ask any more. */
	w->failed |= run->commands == NULL;
	step = nr_eval_answer(&w->eval, w->set->thread, NR_EVAL_ORDER,
	    w->said, w->msg, w->failed);
	if (step == NR_STEP_EXEC) {
		postpone(run, w);
		return;
	}
	if (w->eval.failed)
		nr_policy_trouble(&w->eval);
	answer(run, &w->rq, w->eval.action, w->eval.msg);
	nr_eval_end(&w->eval);
	nr_buf_free(&w->copy);
	unref(w->set);
	free(w);
	run->nwaiting--;
}

static void
take_answers(struct run *run)
{
	struct waiting *w, *next;

	pthread_mutex_lock(&run->lock);
	w = run->answered;
	run->answered = NULL;
	pthread_mutex_unlock(&run->lock);
	for (; w != NULL; w = next) {
		next = w->next;
		run->nasked--;
		go_on(run, w);
	}
}

/*
 * Those whose time is up have failed.  The host gave up on them, and what
 * comes now is not to wait behind them.
 */
static void
fail_postponed(struct run *run, int64_t now)
{
	struct waiting **at = &run->postponed, *w;

	while ((w = *at) != NULL) {
		if (w->until > now) {
			at = &w->next;
			continue;
		}
		take_out(run, at);
		w->failed = 1;
		go_on(run, w);
	}
}

static void
fail_late(struct run *run)
{
	int64_t now;

	if (!run->hurried || run->postponed == NULL)
		return;
	if ((now = nr_now_ms()) - run->looked < TICK_MS)
		return;
	run->looked = now;
	fail_postponed(run, now);
}

/* ---- requests ------------------------------------------------------------------------- */

static void
judge(struct run *run, struct nr_request *rq)
{
	struct timespec now;
	struct nr_eval e;

	clock_gettime(CLOCK_REALTIME, &now);
	if (rq->received == 0)
		rq->received = now.tv_sec;
	nr_eval_begin(&e, run->set->rules, rq, now.tv_sec * 1000000000 +
	    now.tv_nsec);
	if (nr_eval_run(&e, run->set->thread, NR_EVAL_ORDER) ==
	    NR_STEP_EXEC) {
		set_aside(run, &e);
		return;
	}
	if (e.failed)
		nr_policy_trouble(&e);
	answer(run, rq, e.action, e.msg);
	nr_eval_end(&e);
}

static void
take_line(struct run *run, const char *line, size_t len)
{
	struct nr_request rq;
	const char *why;
	int rc;

	nr_request_line(&run->reader, line, len);
	while ((rc = nr_request_next(&run->reader, &rq, &why)) != 0) {
		if (rc == 1) {
			judge(run, &rq);
			continue;
		}
		nr_say("no request: %s", why);
		if (rq.has_seq || (rq.type == NR_ASK_NEW && rq.event.len > 0))
			answer(run, &rq, NR_REJECT, "error: the request "
			    "cannot be read");
	}
}

/* Complete lines wait where there is no room. */
static void
take_lines(struct run *run)
{
	const char *p = run->in.p, *end = p + run->in.len, *lf;

	run->full = 0;
	while (p < end && (lf = memchr(p, '\n', (size_t)(end - p))) != NULL) {
		if ((run->full = is_full(run)))
			break;
		if (run->skipping)
			run->skipping = 0;
		else if (lf > p)
			take_line(run, p, (size_t)(lf - p));
		p = lf + 1;
	}
	run->in.len = (size_t)(end - p);
	if (!run->full && run->in.len > LINE_MAX_BYTES && !run->skipping) {
		nr_say("no request: a line of more than %zu bytes",
		    LINE_MAX_BYTES);
		run->skipping = 1;
	}
	if (run->skipping)
		run->in.len = 0;
	else if (run->in.len > 0)
		memmove(run->in.p, p, run->in.len);
}

static void
read_some(struct run *run)
{
	ssize_t n;

	if (nr_buf_reserve(&run->in, READ_BYTES) != NR_OK)
		nr_die(ENOMEM, "requests");
	n = read(STDIN_FILENO, run->in.p + run->in.len, READ_BYTES);
	if (n < 0 && errno != EINTR && errno != EAGAIN)
		nr_die(errno, "stdin");
	if (n > 0)
		run->in.len += (size_t)n;
	run->eof |= n == 0;
	/* The last line may lack its end. */
	if (n == 0 && run->in.len > 0 && run->in.p[run->in.len - 1] != '\n')
		run->in.p[run->in.len++] = '\n';
	take_lines(run);
}

/* ---- the loop ---------------------------------------------------------------------------- */

/* SIGHUP: read the rules now; others end. */
static void
take_signal(struct run *run)
{
	if (nr_signals_take(&run->signals) != SIGHUP)
		return;
	run->signals.last = 0;
	pthread_mutex_lock(&run->lock);
	run->asked = 1;
	pthread_cond_signal(&run->look);
	pthread_mutex_unlock(&run->lock);
}

static void
loop(struct run *run)
{
	struct pollfd fds[3] = {
		{ .fd = run->bell, .events = POLLIN },
		{ .fd = run->signals.fd, .events = POLLIN },
		{ .events = POLLIN }
	};
	uint64_t rung;
	int tick;

	while ((!run->eof || run->nwaiting > 0) && run->signals.last == 0) {
		fds[2].fd = run->eof || run->full ? -1 : STDIN_FILENO;
		tick = run->hurried && run->postponed != NULL;
		if (poll(fds, 3, tick ? TICK_MS : -1) < 0) {
			if (errno != EINTR)
				nr_die(errno, "poll");
			continue;
		}
		if (fds[0].revents != 0) {
			(void)!read(run->bell, &rung, sizeof(rung));
			take_fresh(run);
			take_answers(run);
			ask_postponed(run);
			if (nr_commands_stale(run->commands))
				nr_commands_keep(run->commands,
				    run->set->rules);
		}
		fail_late(run);
		if (run->full && !is_full(run))
			take_lines(run);
		if (fds[1].revents != 0)
			take_signal(run);
		if (fds[2].fd >= 0 && fds[2].revents != 0)
			read_some(run);
		flush(run);
	}
}

static void
say_hello(struct run *run)
{
	static const struct nr_hello hello = { NR_POLICY_VERSION,
	    NR_ASK_BIT(NR_ASK_NEW) | NR_ASK_BIT(NR_ASK_REQ) |
	    NR_ASK_BIT(NR_ASK_CONNECT), 100 };

	if (!run->hurried)
		return;
	if (nr_hello_write(&run->out, &hello) != NR_OK ||
	    nr_buf_adds(&run->out, "\n") != NR_OK)
		nr_die(ENOMEM, "hello");
	flush(run);
}

static void
start(struct run *run)
{
	static const int signals[] = { SIGHUP, SIGINT, SIGTERM, 0 };
	struct nr_rules *rules = nr_policy_load(run->o);
	pthread_condattr_t attr;
	int rc;

	nr_signals_catch(&run->signals, signals);
	run->hurried = getenv(NR_POLICY_VARIABLE) != NULL;
	run->postponed_end = &run->postponed;
	run->set = new_set(rules);
	run->newest = rules;
	run->commands = nr_commands_new();
	if ((run->bell = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) < 0)
		nr_die(errno, "eventfd");
	pthread_mutex_init(&run->lock, NULL);
	/* A clock that goes back does not keep it from looking. */
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&run->look, &attr);
	pthread_condattr_destroy(&attr);
	if ((rc = pthread_create(&run->watcher, NULL, watch, run)) != 0)
		nr_die(rc, "threads");
}

static void
finish(struct run *run)
{
	pthread_mutex_lock(&run->lock);
	run->ending = 1;
	pthread_cond_signal(&run->look);
	pthread_mutex_unlock(&run->lock);
	pthread_join(run->watcher, NULL);
	nr_commands_free(run->commands);
	run->commands = NULL;
	take_answers(run);
	fail_postponed(run, INT64_MAX);
	flush(run);
	unref(run->set);
	nr_rules_free(run->fresh);
	nr_request_reader_free(&run->reader);
	nr_buf_free(&run->in);
	nr_buf_free(&run->out);
	nr_out_close();
}

int
nr_policy_plugin(const struct nr_policy_options *o)
{
	struct run run = { .o = o };

	start(&run);
	say_hello(&run);
	loop(&run);
	finish(&run);
	if (run.signals.last != 0)
		nr_signals_die(&run.signals);
	return NR_EX_OK;
}
