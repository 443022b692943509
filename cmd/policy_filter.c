/*
 * Events from files or stdin through the rules.
 *
 * Blocks of lines are read and walked through the rules by all threads, up
 * to what needs the order; from there they go on one after the other.
 * While commands are asked about some, the others of a block go on.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "blocks.h"
#include "policy.h"
#include "policy/protocol.h"
#include "tool.h"
#include "util/err.h"
#include "util/hex.h"
#include "util/times.h"
#include "wire/ip.h"

/* A line on its way. */
struct item {
	struct nr_request	 rq;
	struct nr_eval		 eval;
	enum nr_step		 step;
	struct job		*job;
	enum nr_action		 said;		/* by commands */
	int			 failed;
	char			 msg[NR_DECISION_MSG];
};

struct job {
	struct nr_line_job	 lines;		/* first: see blocks.h */
	struct item		*item;		/* of valid lines */
	size_t			 nitems, cap;
	unsigned		 asked;		/* commands still think */
	struct run		*run;
};

struct totals {
	uint64_t	action[3], invalid, failed;
};

struct run {
	const struct nr_policy_options *o;
	struct nr_rules		*rules;
	struct nr_rules_thread	**thread;
	struct nr_commands	*commands;
	struct nr_rejects	*rejects;
	struct nr_request	 like;		/* what all have in common */
	struct nr_buf		 text;
	struct totals		 totals;
	uint64_t		 defaults[3];	/* that no rule decided */
	pthread_mutex_t		 lock;
	pthread_cond_t		 answered;
};

/* ---- in parallel ------------------------------------------------------------- */

static struct item *
new_item(struct job *job)
{
	if (job->nitems == job->cap) {
		job->cap = job->cap * 2 + 64;
		job->item = realloc(job->item, job->cap *
		    sizeof(job->item[0]));
		if (job->item == NULL)
			nr_die(ENOMEM, "lines");
	}
	return &job->item[job->nitems];
}

static enum nr_verdict
read_line(struct run *run, struct job *job, struct nr_view line, size_t *pos)
{
	struct item *item = new_item(job);
	char *out = job->lines.out.p + job->lines.out.len;
	enum nr_verdict what;

	item->rq = run->like;
	what = nr_event_read(&item->rq.ev, line.p, line.len, &run->o->limits,
	    pos);
	if (what != NR_VALID)
		return what;
	item->rq.event.p = out;
	item->rq.event.len = nr_event_normalise(&item->rq.ev, out);
	item->rq.received = run->o->created_at ? item->rq.ev.created_at :
	    time(NULL);
	job->lines.out.len += item->rq.event.len;
	job->nitems++;
	return NR_VALID;
}

/* Items have moved while there were more: requests are where they stay. */
static void
walk(struct run *run, struct job *job, struct nr_rules_thread *t)
{
	struct timespec now;
	struct item *item;
	size_t i;
	int64_t ns;

	clock_gettime(CLOCK_REALTIME, &now);
	for (i = 0; i < job->nitems; i++) {
		item = &job->item[i];
		item->job = job;
		ns = run->o->created_at ? (item->rq.received > INT64_MAX /
		    2000000000 ? INT64_MAX / 2 : item->rq.received *
		    1000000000) : now.tv_sec * 1000000000 + now.tv_nsec;
		nr_eval_begin(&item->eval, run->rules, &item->rq, ns);
		item->step = nr_eval_run(&item->eval, t,
		    run->o->dry ? NR_EVAL_DRY : 0);
	}
}

static void
work(void *ctx, unsigned worker, void *arg)
{
	struct run *run = ctx;
	struct job *job = arg;
	size_t at = 0, pos, lines = 0;
	enum nr_verdict what;
	struct nr_view line;

	job->run = run;
	job->asked = 0;
	job->lines.judged.n = job->nitems = 0;
	job->lines.out.len = 0;
	while (nr_block_line(&job->lines.block, &at, &line))
		lines++;
	/* All of them at once, so that no line moves. */
	if (nr_buf_reserve(&job->lines.out, job->lines.block.text.len +
	    lines * NR_EVENT_LINE_MAX(0) + 1) != NR_OK)
		nr_die(ENOMEM, "lines");
	for (at = 0; nr_block_line(&job->lines.block, &at, &line);) {
		pos = 0;
		what = line.len == 0 ? NR_VALID :
		    read_line(run, job, line, &pos);
		nr_judged_add(&job->lines.judged, what, pos);
	}
	walk(run, job, run->thread[worker]);
}

/* ---- in order ------------------------------------------------------------------- */

static void
on_answer(void *ctx, enum nr_action action, const char *msg, int failed)
{
	struct item *item = ctx;
	struct run *run = item->job->run;

	pthread_mutex_lock(&run->lock);
	item->said = action;
	item->failed = failed;
	snprintf(item->msg, sizeof(item->msg), "%s", msg);
	item->job->asked--;
	pthread_cond_signal(&run->answered);
	pthread_mutex_unlock(&run->lock);
}

/* Wait until the commands may be asked about one more. */
static void
wait_room(struct run *run, struct job *job)
{
	pthread_mutex_lock(&run->lock);
	while (job->asked > 0 &&
	    job->asked >= nr_commands_share(run->commands))
		pthread_cond_wait(&run->answered, &run->lock);
	job->asked++;
	pthread_mutex_unlock(&run->lock);
}

/* Ask the commands about all that wait for them; returns how many. */
static size_t
ask_commands(struct run *run, struct job *job)
{
	struct item *item;
	size_t i, n = 0;

	for (i = 0; i < job->nitems; i++) {
		item = &job->item[i];
		if (item->step != NR_STEP_EXEC)
			continue;
		n++;
		wait_room(run, job);
		nr_commands_ask(run->commands, run->rules, &item->eval,
		    on_answer, item);
	}
	pthread_mutex_lock(&run->lock);
	while (job->asked > 0)
		pthread_cond_wait(&run->answered, &run->lock);
	pthread_mutex_unlock(&run->lock);
	return n;
}

static void
decide_all(struct run *run, struct job *job, struct nr_rules_thread *t)
{
	unsigned flags = NR_EVAL_ORDER | (run->o->dry ? NR_EVAL_DRY : 0);
	struct item *item;
	size_t i;

	for (i = 0; i < job->nitems; i++)
		if (job->item[i].step == NR_STEP_ORDER)
			job->item[i].step = nr_eval_run(&job->item[i].eval, t,
			    flags);
	while (ask_commands(run, job) > 0)
		for (i = 0; i < job->nitems; i++) {
			item = &job->item[i];
			if (item->step == NR_STEP_EXEC)
				item->step = nr_eval_answer(&item->eval, t,
				    flags, item->said, item->msg,
				    item->failed);
		}
}

static void
add(struct nr_buf *b, const char *name, const char *value)
{
	if (nr_buf_adds(b, name) != NR_OK ||
	    nr_buf_addjson(b, value, strlen(value)) != NR_OK)
		nr_die(ENOMEM, "report");
}

static void
add_rule(struct nr_buf *b, const struct nr_rule *rule)
{
	add(b, ",\"rule\":", rule == NULL ? "default" : nr_rule_place(rule));
	if (rule != NULL)
		add(b, ",\"text\":", nr_rule_text(rule));
}

/* What was decided and by which rule, as a line of JSON. */
static void
tell(struct run *run, const struct item *item, const char *file,
    uint64_t lineno)
{
	const struct nr_eval *e = &item->eval;
	struct nr_buf *b = &run->text;
	char id[65];
	unsigned i;

	nr_hex_encode(id, item->rq.ev.id, 32);
	id[64] = '\0';
	b->len = 0;
	if (nr_buf_addf(b, "{\"line\":%" PRIu64, lineno) != NR_OK)
		nr_die(ENOMEM, "report");
	if (file != NULL)
		add(b, ",\"file\":", file);
	add(b, ",\"id\":", id);
	add(b, ",\"action\":", nr_action_name(e->action));
	add_rule(b, e->decided);
	add(b, ",\"message\":", e->msg);
	if (e->nscored > 0 && nr_buf_addf(b, ",\"score\":%" PRId64
	    ",\"scored\":[", e->score) != NR_OK)
		nr_die(ENOMEM, "report");
	for (i = 0; i < e->nscored; i++)
		add(b, i == 0 ? "" : ",", nr_rule_place(e->scored[i]));
	if (nr_buf_adds(b, e->nscored > 0 ? "]}\n" : "}\n") != NR_OK)
		nr_die(ENOMEM, "report");
}

static void
deliver_line(struct run *run, struct item *item, const char *file,
    uint64_t lineno, struct nr_view line)
{
	const struct nr_eval *e = &item->eval;

	run->totals.action[e->action]++;
	if (e->failed) {
		run->totals.failed++;
		nr_policy_trouble(e);
	}
	if (e->decided == NULL)
		run->defaults[e->action]++;
	if (run->o->explain || (e->action != NR_ACCEPT &&
	    nr_rejects_wanted(run->rejects)))
		tell(run, item, file, lineno);
	if (run->o->explain)
		nr_out(run->text.p, run->text.len);
	else if (e->action == NR_ACCEPT && !run->o->dry)
		nr_out(line.p, line.len + 1);
	if (e->action != NR_ACCEPT && nr_rejects_wanted(run->rejects))
		nr_rejects_add(run->rejects, run->text.p, run->text.len);
	nr_eval_end(&item->eval);
}

static void
deliver(void *ctx, unsigned worker, void *arg)
{
	struct run *run = ctx;
	struct job *job = arg;
	size_t at = 0, i, k = 0;
	struct nr_view line;

	decide_all(run, job, run->thread[worker]);
	if (nr_line_job_reject(&job->lines, run->rejects))
		run->totals.invalid++;
	for (i = 0; nr_block_line(&job->lines.block, &at, &line); i++)
		if (line.len > 0 && job->lines.judged.line[i].what == NR_VALID)
			deliver_line(run, &job->item[k++], job->lines.file,
			    job->lines.block.first + i, line);
	nr_out_flush();
}

static void
clear(void *arg)
{
	struct job *job = arg;

	nr_line_job_clear(&job->lines);
	free(job->item);
}

/* ---- the whole -------------------------------------------------------------------- */

static void
tell_rule(struct run *run, const struct nr_rule *rule,
    const struct nr_rule_figures *f)
{
	struct nr_buf *b = &run->text;

	b->len = 0;
	add(b, "{\"rule\":", nr_rule_place(rule));
	add(b, ",\"text\":", nr_rule_text(rule));
	if (nr_buf_addf(b, ",\"matched\":%" PRIu64 ",\"decided\":%" PRIu64
	    "}\n", f->matched, f->decided) != NR_OK)
		nr_die(ENOMEM, "report");
	nr_out(b->p, b->len);
}

/* What each rule would have done. */
static void
tell_figures(struct run *run)
{
	struct nr_buf *b = &run->text;
	struct nr_rule_figures sum;
	size_t i;
	unsigned k;

	for (i = 0; i < nr_rules_count(run->rules); i++) {
		memset(&sum, 0, sizeof(sum));
		for (k = 0; k < run->o->threads; k++) {
			const struct nr_rule_figures *f =
			    nr_rules_thread_figures(run->thread[k]);

			sum.matched += f[i].matched;
			sum.decided += f[i].decided;
		}
		tell_rule(run, nr_rules_at(run->rules, i), &sum);
	}
	b->len = 0;
	if (nr_buf_addf(b, "{\"rule\":\"default\",\"decided\":%" PRIu64
	    "}\n{\"accepted\":%" PRIu64 ",\"rejected\":%" PRIu64
	    ",\"shadowed\":%" PRIu64 "}\n", run->defaults[0] +
	    run->defaults[1] + run->defaults[2], run->totals.action[NR_ACCEPT],
	    run->totals.action[NR_REJECT],
	    run->totals.action[NR_SHADOW_REJECT]) != NR_OK)
		nr_die(ENOMEM, "report");
	nr_out(b->p, b->len);
}

static void
start(struct run *run)
{
	const struct nr_policy_options *o = run->o;
	struct nr_ip ip;
	unsigned i;

	run->like.type = NR_ASK_NEW;
	run->like.source = o->source;
	run->like.authed = (const unsigned char (*)[32])o->authed;
	run->like.nauthed = o->nauthed;
	if (o->from != NULL) {
		run->like.source_info.p = o->from;
		run->like.source_info.len = strlen(o->from);
		if (nr_ip_parse(&ip, o->from, strlen(o->from))) {
			memcpy(run->like.ip, ip.bytes, 16);
			run->like.iplen = 16;
		}
	}
	run->rules = nr_policy_load(o);
	run->commands = nr_commands_new();
	if ((run->thread = calloc(o->threads, sizeof(run->thread[0]))) == NULL)
		nr_die(ENOMEM, "threads");
	for (i = 0; i < o->threads; i++)
		if (nr_rules_thread_new(&run->thread[i], run->rules) != NR_OK)
			nr_die(ENOMEM, "threads");
	run->rejects = nr_rejects_open(o->rejects);
	pthread_mutex_init(&run->lock, NULL);
	pthread_cond_init(&run->answered, NULL);
}

static void
finish(struct run *run)
{
	unsigned i;

	if (run->o->dry && !run->o->explain)
		tell_figures(run);
	for (i = 0; i < run->o->threads; i++)
		nr_rules_thread_free(run->thread[i]);
	free(run->thread);
	nr_commands_free(run->commands);
	nr_rules_free(run->rules);
	nr_rejects_close(run->rejects);
	nr_buf_free(&run->text);
	nr_out_close();
}

int
nr_policy_filter(const struct nr_policy_options *o, char **files, int nfiles)
{
	struct run run = { .o = o };
	struct nr_pool *pool;
	int i, rc;

	start(&run);
	rc = nr_pool_new(&pool, o->threads, 2 * o->threads + 2,
	    sizeof(struct job), work, deliver, &run);
	if (rc != NR_OK)
		nr_die(rc, "threads");
	if (nfiles == 0)
		nr_lines_through(pool, "-", o->limits.bytes);
	for (i = 0; i < nfiles; i++)
		nr_lines_through(pool, files[i], o->limits.bytes);
	nr_pool_free(pool, clear);
	nr_warn("%" PRIu64 " accepted, %" PRIu64 " rejected, %" PRIu64
	    " shadowed", run.totals.action[NR_ACCEPT],
	    run.totals.action[NR_REJECT],
	    run.totals.action[NR_SHADOW_REJECT]);
	finish(&run);
	if (run.totals.failed > 0)
		return NR_EX_ENV;
	return run.totals.invalid + run.totals.action[NR_REJECT] +
	    run.totals.action[NR_SHADOW_REJECT] > 0 ? NR_EX_NO : NR_EX_OK;
}
