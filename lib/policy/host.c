/*
 * The host of a plugin: one thread that moves requests from the queue to
 * the process whose turn it is, answers to those who asked, and processes
 * from one state to the next.
 */
#include "policy/host.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "policy/plugin.h"
#include "policy/queue.h"
#include "util/err.h"
#include "util/rng.h"
#include "util/times.h"

#define PLAIN_WINDOW	64
#define PLUGINS_MAX	8	/* processes at a time, with those that end */
#define TICK_MS		50
#define IDLE_MS		1000
#define SETTLE_MS	500	/* for a hello of one that takes over */
#define GRACE_MS	200	/* to end, once it has closed a pipe */
#define LINGER_MS	1000	/* for others to close its output */
#define EXIT_MS		2000	/* after the end of its input, and TERM */
#define BACK_OFF_MS	100	/* the first time; then twice as long */
#define BACK_OFF_MAX	30000
#define STEADY_MS	10000	/* who ran so long begins anew */
#define HANGS		3	/* deadlines in a row */
#define ANSWER_MAX	8192	/* of an answer, */
#define ANSWER_MORE	1024	/* and for each one that a batch may have */
#define FILL_BYTES	((size_t)256 * 1024)
#define FILL		64	/* requests, taken under one lock */
#define ROUND_READS	16
#define SHARE_MS	200
#define SHARE_MIN	16
#define WORDS_MAX	400	/* bytes of a line of its stderr */
#define WORDS		50	/* of these lines, */
#define WORDS_MS	10000	/* in a time */

struct nr_host {
	pthread_mutex_t	 lock;		/* of this part */
	struct nr_queue	 queue;
	struct nr_host_options next;	/* to be used from now on */
	char		*command;	/* likewise */
	int		 renew, ending;
	uint64_t	 seq;

	pthread_t	 thread;
	int		 started;
	int		 wake_fd;
	atomic_int	 woken;

	/* The thread's. */
	struct nr_host_options o;
	struct nr_plugin *plugins, *current, *coming;
	int		 want;		/* one is to be started, */
	int64_t		 start_at;	/* ms, then */
	unsigned	 failures;	/* in a row */
	uint64_t	 starts;
	int		 told;		/* done() was called */
	int64_t		 looked;	/* ms, after all processes */
	struct nr_rng	 rng;
	int64_t		 ticked;	/* ms */
	int64_t		 shared;	/* ms, when the share was found */
	uint64_t	 answered;	/* since then */
	double		 rate;		/* answers a millisecond */
	int64_t		 said_since;	/* ms */
	unsigned	 said;

	atomic_size_t	 share, in_flight;
	atomic_int	 running;
	atomic_uint_fast64_t decided[3], late, failed, refused, strays,
			 restarts;
};

static void
say(struct nr_host *h, enum nr_host_news what, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

static void
say(struct nr_host *h, enum nr_host_news what, const char *fmt, ...)
{
	char text[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (h->o.say != NULL)
		h->o.say(h->o.ctx, what, text);
}

static void
wake(struct nr_host *h)
{
	const uint64_t one = 1;

	if (atomic_exchange(&h->woken, 1) == 0)
		(void)!write(h->wake_fd, &one, sizeof(one));
}

/* ---- ends of requests --------------------------------------------------- */

static void
finish(struct nr_host *h, struct nr_asked *a, enum nr_host_end end,
    const struct nr_decision *d)
{
	if (end == NR_HOST_DECIDED)
		atomic_fetch_add(&h->decided[d->action], 1);
	else
		atomic_fetch_add(end == NR_HOST_LATE ? &h->late : &h->failed,
		    1);
	h->told = 1;
	a->done(a, end, d);
}

static void
tell_after(struct nr_host *h)
{
	if (h->told && h->o.after != NULL)
		h->o.after(h->o.ctx);
	h->told = 0;
}

/* What it has will not be decided. */
static void
fail_open(struct nr_host *h, struct nr_plugin *p)
{
	struct nr_asked *a;
	size_t i;

	for (i = 0; p->used > 0 && i < NR_HOST_WINDOW; i++) {
		if (!p->slot[i].used)
			continue;
		a = p->slot[i].asked;
		nr_plugin_drop(p, &p->slot[i]);
		if (a != NULL)
			finish(h, a, NR_HOST_FAILED, NULL);
	}
}

/* Until when must what waits have been decided?  Others never will. */
static int64_t
hopeless(const struct nr_host *h, int64_t now)
{
	if (h->current != NULL || h->coming != NULL)
		return now;
	return h->want && h->start_at > now ? h->start_at :
	    h->want ? now : INT64_MAX;
}

static void
expire_waiting(struct nr_host *h, int64_t now)
{
	int64_t when = hopeless(h, now);
	struct nr_asked *a;

	for (;;) {
		pthread_mutex_lock(&h->lock);
		a = nr_queue_expired(&h->queue, when);
		pthread_mutex_unlock(&h->lock);
		if (a == NULL)
			break;
		finish(h, a, a->until < now ? NR_HOST_LATE : NR_HOST_FAILED,
		    NULL);
	}
}

/*
 * What it was asked too long ago.  Its place is kept for as long again:
 * so a late answer is known, and who is slow is not asked more.
 */
static void
expire_sent(struct nr_host *h, struct nr_plugin *p, int64_t now)
{
	struct nr_asked *a;
	struct nr_slot *s;
	size_t i;

	for (i = 0; p->used > 0 && i < NR_HOST_WINDOW; i++) {
		s = &p->slot[i];
		if (!s->used)
			continue;
		if ((a = s->asked) == NULL) {
			if (now - s->sent > 2 * h->o.timeout)
				nr_plugin_drop(p, s);
		} else if (a->until < now) {
			p->missed += s->sent >= p->heard;
			s->asked = NULL;
			p->open--;
			finish(h, a, NR_HOST_LATE, NULL);
		}
	}
}

/* ---- processes from state to state -------------------------------------- */

static void
terminate(struct nr_host *h, struct nr_plugin *p, int64_t now)
{
	if (h->current == p)
		h->current = NULL;
	if (h->coming == p)
		h->coming = NULL;
	p->state = NR_PLUGIN_DYING;
	p->until = now + EXIT_MS;
	fail_open(h, p);
	nr_plugin_close(p);
	nr_plugin_kill(p, SIGTERM);
}

/* Later each time, and never all at the same moment. */
static int64_t
back_off(struct nr_host *h)
{
	int64_t ms = BACK_OFF_MS;
	unsigned i;

	for (i = 1; i < h->failures && ms < BACK_OFF_MAX; i++)
		ms *= 2;
	if (ms > BACK_OFF_MAX)
		ms = BACK_OFF_MAX;
	return ms / 2 + (int64_t)nr_rng_below(&h->rng, (uint64_t)ms);
}

static void
start_later(struct nr_host *h, int64_t now, const char *why)
{
	int64_t wait;

	h->failures++;
	wait = back_off(h);
	h->want = 1;
	h->start_at = now + wait;
	say(h, NR_HOST_TROUBLE, "the policy %s; %s%" PRId64 ".%" PRId64 " s",
	    why, h->current != NULL ? "the one before goes on, another try in "
	    : "started again in ", wait / 1000, wait % 1000 / 100);
}

/* No more requests: it finishes what it has. */
static void
retire(struct nr_host *h, struct nr_plugin *p, int64_t now)
{
	if (h->current == p)
		h->current = NULL;
	p->state = NR_PLUGIN_LEAVING;
	p->until = now + h->o.timeout;
}

static void
promote(struct nr_host *h, struct nr_plugin *p, int64_t now)
{
	if (h->current != NULL)
		retire(h, h->current, now);
	h->coming = NULL;
	h->current = p;
	p->state = NR_PLUGIN_CURRENT;
}

/* It is of no use any more. */
static void
give_up(struct nr_host *h, struct nr_plugin *p, int64_t now,
    const char *why)
{
	int wanted = p == h->current || p == h->coming;
	unsigned open = p->open;
	char text[128];

	terminate(h, p, now);
	if (!wanted)
		return;
	if (h->coming != NULL) {
		say(h, NR_HOST_TROUBLE, "the policy %s; the next one takes "
		    "over", why);
		promote(h, h->coming, now);
		return;
	}
	if (now - p->begun > STEADY_MS)
		h->failures = 0;
	snprintf(text, sizeof(text), "%s, %u request%s", why, open,
	    open == 1 ? " fails" : "s fail");
	start_later(h, now, open > 0 ? text : why);
}

static void
ended(struct nr_host *h, struct nr_plugin *p, int64_t now)
{
	char why[64];

	snprintf(why, sizeof(why), p->exited == CLD_EXITED ?
	    "has ended with status %d" : "was ended by signal %d", p->status);
	give_up(h, p, now, why);
}

static void
mind_leaving(struct nr_host *h, struct nr_plugin *p, int64_t now)
{
	if (p->in < 0) {
		if (now >= p->until)
			terminate(h, p, now);
	} else if (now >= p->until || (p->open == 0 && p->to.len == 0)) {
		nr_plugin_close_in(p);
		p->until = now + EXIT_MS;
	}
}

/* Nothing that has happened to it says that it needs a look. */
static int
is_well(const struct nr_host *h, const struct nr_plugin *p)
{
	return p == h->current && p->in >= 0 && p->out >= 0 && !p->exited &&
	    p->missed < HANGS;
}

/* Returns 1 where it has ended, and may be forgotten. */
static int
mind_one(struct nr_host *h, struct nr_plugin *p, int64_t now)
{
	if (nr_plugin_exited(p, now)) {
		if (p->out >= 0 && now - p->exited_at < LINGER_MS)
			return 0;
		if (p->state != NR_PLUGIN_DYING)
			ended(h, p, now);
		return 1;
	}
	switch (p->state) {
	case NR_PLUGIN_COMING:
	case NR_PLUGIN_CURRENT:
		if (p->gone == 0 && (p->in < 0 || p->out < 0))
			p->gone = now;
		if (p->gone != 0 && now - p->gone >= GRACE_MS)
			give_up(h, p, now, "has closed its input or output");
		else if (p->missed >= HANGS)
			give_up(h, p, now, "does not answer");
		else if (p == h->coming && p->gone == 0 && (p->greeted ||
		    now - p->begun >= SETTLE_MS))
			promote(h, p, now);
		break;
	case NR_PLUGIN_LEAVING:
		mind_leaving(h, p, now);
		break;
	case NR_PLUGIN_DYING:
		if (now < p->until)
			break;
		nr_plugin_kill(p, SIGKILL);
		p->until = now + EXIT_MS;
		break;
	}
	return 0;
}

static unsigned
mind_all(struct nr_host *h, int64_t now)
{
	struct nr_plugin **at = &h->plugins, *p;
	int look = now - h->looked >= TICK_MS;
	unsigned n = 0;

	if (look)
		h->looked = now;
	while ((p = *at) != NULL) {
		if ((look || !is_well(h, p)) && mind_one(h, p, now)) {
			*at = p->next;
			nr_plugin_free(p);
			continue;
		}
		at = &p->next;
		n++;
	}
	return n;
}

static void
start(struct nr_host *h, int64_t now)
{
	struct nr_plugin *p;
	char why[160], *command;
	int rc;

	pthread_mutex_lock(&h->lock);
	command = h->command != NULL ? strdup(h->command) : NULL;
	pthread_mutex_unlock(&h->lock);
	rc = command == NULL ? ENOMEM : nr_plugin_start(&p, command);
	free(command);
	if (rc != NR_OK) {
		snprintf(why, sizeof(why), "cannot be started: %s",
		    nr_strerror(rc));
		start_later(h, now, why);
		return;
	}
	h->want = 0;
	if (h->starts++ > 0)
		atomic_fetch_add(&h->restarts, 1);
	p->begun = p->heard = now;
	p->next = h->plugins;
	h->plugins = p;
	h->coming = p;
	p->state = NR_PLUGIN_COMING;
	if (h->current == NULL)
		promote(h, p, now);
}

/* There is another command, or none. */
static void
renew(struct nr_host *h, int64_t now)
{
	if (h->coming != NULL)
		terminate(h, h->coming, now);
	h->failures = 0;
	h->start_at = now;
	pthread_mutex_lock(&h->lock);
	h->want = h->command != NULL;
	pthread_mutex_unlock(&h->lock);
}

/* Where nothing is to run any more, it still decides what waits. */
static void
switch_off(struct nr_host *h, int64_t now)
{
	int off;

	pthread_mutex_lock(&h->lock);
	off = h->command == NULL && h->queue.n == 0;
	pthread_mutex_unlock(&h->lock);
	if (off && h->current != NULL)
		retire(h, h->current, now);
}

/* Returns how many processes there are. */
static unsigned
mind(struct nr_host *h, int64_t now)
{
	int renewed;
	unsigned n;

	pthread_mutex_lock(&h->lock);
	renewed = h->renew;
	h->renew = 0;
	h->o = h->next;
	pthread_mutex_unlock(&h->lock);
	if (renewed)
		renew(h, now);
	n = mind_all(h, now);
	if (h->want && h->coming == NULL && now >= h->start_at &&
	    n < PLUGINS_MAX)
		start(h, now);
	switch_off(h, now);
	return n;
}

/* ---- requests ----------------------------------------------------------- */

/* May it be asked that? */
static int
can(const struct nr_host *h, const struct nr_plugin *p,
    const struct nr_asked *a)
{
	unsigned asks = p->greeted ? p->hello.asks : h->o.asks;

	return a->request.type == NR_ASK_NEW ||
	    (asks & NR_ASK_BIT(a->request.type)) != 0;
}

/* Add a request, in a line of its own or behind others. */
static int
put(struct nr_plugin *p, const struct nr_asked *a, unsigned in_line)
{
	size_t before = p->to.len;
	int rc = NR_OK;

	if (p->hello.batch > 1)
		rc = nr_buf_add(&p->to, in_line > 0 ? "," : "[", 1);
	if (rc == NR_OK)
		rc = nr_request_write(&p->to, &a->request, p->greeted ||
		    a->request.type != NR_ASK_NEW);
	/* For what ends the line. */
	if (rc == NR_OK)
		rc = nr_buf_reserve(&p->to, 2);
	if (rc != NR_OK)
		p->to.len = before;
	return rc;
}

static void
end_line(struct nr_plugin *p)
{
	if (p->hello.batch > 1)
		p->to.p[p->to.len++] = ']';
	p->to.p[p->to.len++] = '\n';
}

static void
put_all(struct nr_host *h, struct nr_plugin *p, struct nr_asked **a,
    size_t n, int64_t now)
{
	size_t i, begun = p->to.len;
	unsigned in_line = 0;

	for (i = 0; i < n; i++) {
		if (!can(h, p, a[i]) || put(p, a[i], in_line) != NR_OK) {
			finish(h, a[i], NR_HOST_FAILED, NULL);
			continue;
		}
		nr_plugin_take(p, a[i], now);
		if (++in_line < p->hello.batch &&
		    p->to.len - begun < NR_POLICY_BATCH_BYTES)
			continue;
		end_line(p);
		in_line = 0;
		begun = p->to.len;
	}
	if (in_line > 0)
		end_line(p);
}

static size_t
take(struct nr_host *h, struct nr_asked **a, size_t most)
{
	size_t n = 0;

	pthread_mutex_lock(&h->lock);
	while (n < most && (a[n] = nr_queue_take(&h->queue)) != NULL)
		n++;
	pthread_mutex_unlock(&h->lock);
	return n;
}

/* Give it what waits, as far as it may have it. */
static void
feed(struct nr_host *h, struct nr_plugin *p, int64_t now)
{
	unsigned window = p->greeted ? NR_HOST_WINDOW : h->o.window;
	struct nr_asked *a[FILL];
	size_t n;

	while (p->used < window && p->to.len - p->sent < FILL_BYTES) {
		n = window - p->used;
		if ((n = take(h, a, n < FILL ? n : FILL)) == 0)
			break;
		put_all(h, p, a, n, now);
	}
}

static void
write_all(struct nr_host *h, int64_t now)
{
	struct nr_plugin *p = h->current;

	if (p != NULL && p->in >= 0 && p->out >= 0 && !p->exited)
		feed(h, p, now);
	for (p = h->plugins; p != NULL; p = p->next)
		if (p->in >= 0 && p->to.len > 0 && nr_plugin_write(p) != 0)
			nr_plugin_close_in(p);
}

/* ---- answers ------------------------------------------------------------ */

static void
stray(struct nr_host *h, struct nr_plugin *p, int64_t now)
{
	atomic_fetch_add(&h->strays, 1);
	if (--p->patience < 0)
		give_up(h, p, now, "talks nonsense");
}

static void
greet(struct nr_host *h, struct nr_plugin *p, const struct nr_hello *hello)
{
	p->hello = *hello;
	p->greeted = 1;
	say(h, NR_HOST_NEWS, "the policy says hello: version %u, batches of "
	    "%u%s%s", hello->version, hello->batch,
	    hello->asks & NR_ASK_BIT(NR_ASK_REQ) ? ", answers req" : "",
	    hello->asks & NR_ASK_BIT(NR_ASK_CONNECT) ? ", answers connect" :
	    "");
}

/* good  it makes sense; else it names at best what it is the answer to */
static void
answer(struct nr_host *h, struct nr_plugin *p, const struct nr_decision *d,
    int good, int64_t now)
{
	struct nr_slot *s = nr_plugin_find(p, d);
	struct nr_asked *a;

	if (s == NULL || !good)
		stray(h, p, now);
	/* That may have been the end of it. */
	if (s == NULL || !s->used)
		return;
	a = s->asked;
	nr_plugin_drop(p, s);
	p->heard = now;
	p->missed = 0;
	if (good && p->patience < NR_PLUGIN_PATIENCE)
		p->patience++;
	h->answered++;
	if (a != NULL)
		finish(h, a, good ? NR_HOST_DECIDED : NR_HOST_FAILED,
		    good ? d : NULL);
}

static void
read_line(struct nr_host *h, struct nr_plugin *p, const char *line,
    size_t len, int64_t now)
{
	struct nr_decision_reader r;
	struct nr_hello hello;
	struct nr_decision d;
	int rc, any = 0;

	if (!p->spoke) {
		p->spoke = 1;
		if (nr_hello_read(&hello, line, len) == 1) {
			greet(h, p, &hello);
			return;
		}
	}
	nr_decision_line(&r, line, len);
	while (p->state != NR_PLUGIN_DYING &&
	    (rc = nr_decision_next(&r, &d)) != 0) {
		answer(h, p, &d, rc == 1, now);
		any = 1;
	}
	if (!any)
		stray(h, p, now);
}

/* The lines that are whole; what is left begins the next one. */
static void
read_lines(struct nr_host *h, struct nr_plugin *p, int64_t now)
{
	size_t most = ANSWER_MAX + ANSWER_MORE * (size_t)p->hello.batch;
	char *at = p->from.p, *end = at + p->from.len, *lf;

	while (p->state != NR_PLUGIN_DYING && at < end &&
	    (lf = memchr(at, '\n', (size_t)(end - at))) != NULL) {
		if ((size_t)(lf - at) > most)
			break;
		read_line(h, p, at, (size_t)(lf - at), now);
		at = lf + 1;
	}
	p->from.len = (size_t)(end - at);
	if (p->from.len > 0)
		memmove(p->from.p, at, p->from.len);
	if (p->state != NR_PLUGIN_DYING && p->from.len > most)
		give_up(h, p, now, "writes lines without an end");
}

static void
read_answers(struct nr_host *h, struct nr_plugin *p, int64_t now)
{
	size_t before;
	int i;

	for (i = 0; i < ROUND_READS && p->out >= 0; i++) {
		before = p->from.len;
		(void)nr_plugin_read(&p->out, &p->from);
		if (p->from.len == before)
			break;
		read_lines(h, p, now);
	}
}

/* ---- what it says on stderr --------------------------------------------- */

/* No line of it does something to a terminal. */
static void
pass_words(struct nr_host *h, const char *line, size_t len, int64_t now)
{
	char text[WORDS_MAX + 1];
	size_t i, n = len < WORDS_MAX ? len : WORDS_MAX;

	if (now - h->said_since >= WORDS_MS) {
		h->said_since = now;
		h->said = 0;
	}
	if (++h->said > WORDS)
		return;
	for (i = 0; i < n; i++)
		text[i] = (unsigned char)line[i] < 0x20 || line[i] == 0x7f ?
		    ' ' : line[i];
	text[n] = '\0';
	say(h, NR_HOST_STDERR, "%s", h->said == WORDS ?
	    "there is more, left out for a while" : text);
}

static void
read_words(struct nr_host *h, struct nr_plugin *p, int64_t now)
{
	int rc = nr_plugin_read(&p->err, &p->words);
	char *at = p->words.p, *end = at + p->words.len, *lf;

	while (at < end && ((lf = memchr(at, '\n', (size_t)(end - at))) !=
	    NULL || rc == NR_EOF || end - at > WORDS_MAX)) {
		if (lf == NULL)
			lf = end;
		pass_words(h, at, (size_t)(lf - at), now);
		at = lf < end ? lf + 1 : end;
	}
	p->words.len = (size_t)(end - at);
	if (p->words.len > 0)
		memmove(p->words.p, at, p->words.len);
}

/* ---- the thread --------------------------------------------------------- */

/* What one asker may have waiting; see nr_host_share(). */
static void
find_share(struct nr_host *h, int64_t now)
{
	double ms = (double)(now - h->shared), n;
	size_t lanes, share;

	if (now - h->shared < SHARE_MS)
		return;
	h->rate = 0.5 * h->rate + 0.5 * (double)h->answered / ms;
	h->answered = 0;
	h->shared = now;
	pthread_mutex_lock(&h->lock);
	lanes = h->queue.lanes;
	pthread_mutex_unlock(&h->lock);
	n = h->rate * (double)h->o.timeout / 4 / (double)(lanes + !lanes);
	share = n > (double)h->o.lane ? h->o.lane : (size_t)n;
	atomic_store(&h->share, share < SHARE_MIN ? SHARE_MIN : share);
}

static void
tick(struct nr_host *h, int64_t now)
{
	struct nr_plugin *p;
	size_t n = 0;

	find_share(h, now);
	if (now - h->ticked < TICK_MS)
		return;
	h->ticked = now;
	for (p = h->plugins; p != NULL; p = p->next) {
		expire_sent(h, p, now);
		n += p->open;
	}
	atomic_store(&h->in_flight, n);
	atomic_store(&h->running, h->current != NULL &&
	    h->current->gone == 0);
}

/* Is there anything that time brings about? */
static int
is_busy(struct nr_host *h)
{
	size_t n;

	pthread_mutex_lock(&h->lock);
	n = h->queue.n;
	pthread_mutex_unlock(&h->lock);
	return n > 0 || h->want || h->plugins == NULL ||
	    h->plugins->next != NULL || h->plugins != h->current ||
	    h->current->used > 0 || h->current->gone != 0 ||
	    h->current->exited || h->current->in < 0 || h->current->out < 0;
}

static void
read_all(struct nr_host *h, const struct pollfd *f, int64_t now)
{
	struct nr_plugin *p;

	for (p = h->plugins; p != NULL; p = p->next, f += 3) {
		if (f[1].revents != 0 && p->err >= 0)
			read_words(h, p, now);
		if (f[0].revents != 0 && p->out >= 0)
			read_answers(h, p, now);
		if (f[2].revents & POLLERR)
			nr_plugin_close_in(p);	/* nobody reads it */
	}
}

static void
wait_and_read(struct nr_host *h)
{
	struct pollfd f[1 + 3 * PLUGINS_MAX] = {
		{ .fd = h->wake_fd, .events = POLLIN }
	};
	struct nr_plugin *p;
	uint64_t count;
	nfds_t n = 1;

	for (p = h->plugins; p != NULL; p = p->next) {
		f[n++] = (struct pollfd){ p->out, POLLIN, 0 };
		f[n++] = (struct pollfd){ p->err, POLLIN, 0 };
		f[n++] = (struct pollfd){ p->in,
		    p->to.len > 0 ? POLLOUT : 0, 0 };
	}
	if (poll(f, n, is_busy(h) ? TICK_MS : IDLE_MS) < 0)
		return;
	if (f[0].revents != 0)
		(void)!read(h->wake_fd, &count, sizeof(count));
	atomic_store(&h->woken, 0);
	read_all(h, f + 1, nr_now_ms());
}

static int
is_ending(struct nr_host *h)
{
	int ending;

	pthread_mutex_lock(&h->lock);
	ending = h->ending;
	pthread_mutex_unlock(&h->lock);
	return ending;
}

/* Nothing is decided any more; all processes are given time to end. */
static void
end_all(struct nr_host *h)
{
	int64_t now = nr_now_ms();
	struct nr_plugin *p;
	struct nr_asked *a;

	while (take(h, &a, 1) > 0)
		finish(h, a, NR_HOST_FAILED, NULL);
	h->want = 0;
	h->current = h->coming = NULL;
	for (p = h->plugins; p != NULL; p = p->next) {
		if (p->state == NR_PLUGIN_DYING)
			continue;
		fail_open(h, p);
		nr_plugin_close_in(p);
		p->state = NR_PLUGIN_LEAVING;
		p->until = now + EXIT_MS;
	}
	while (mind_all(h, nr_now_ms()) > 0)
		wait_and_read(h);
	tell_after(h);
}

static void *
thread_main(void *arg)
{
	struct nr_host *h = arg;
	sigset_t all;
	int64_t now;

	/* Signals are others'; a pipe that nobody reads is an error here. */
	sigfillset(&all);
	pthread_sigmask(SIG_BLOCK, &all, NULL);
	while (!is_ending(h)) {
		now = nr_now_ms();
		tick(h, now);
		mind(h, now);
		expire_waiting(h, now);
		write_all(h, now);
		tell_after(h);
		wait_and_read(h);
	}
	end_all(h);
	return NULL;
}

/* ---- for those who ask -------------------------------------------------- */

int
nr_host_add(struct nr_host *h, struct nr_asked *a)
{
	size_t bytes = a->request.event.len + a->request.filters.len;
	int rc = EAGAIN;

	pthread_mutex_lock(&h->lock);
	a->asked = nr_now_ms();
	a->until = a->asked + h->next.timeout;
	if (!h->ending && h->command != NULL && h->queue.n < h->next.queue &&
	    h->queue.bytes + bytes <= h->next.bytes) {
		a->request.seq = ++h->seq;
		a->request.has_seq = 1;
		rc = nr_queue_add(&h->queue, a, h->next.lane);
	}
	pthread_mutex_unlock(&h->lock);
	if (rc != NR_OK)
		atomic_fetch_add(&h->refused, 1);
	return rc;
}

void
nr_host_go(struct nr_host *h)
{
	wake(h);
}

int
nr_host_ask(struct nr_host *h, struct nr_asked *a)
{
	int rc = nr_host_add(h, a);

	if (rc == NR_OK)
		wake(h);
	return rc;
}

size_t
nr_host_share(struct nr_host *h)
{
	return atomic_load(&h->share);
}

void
nr_host_figures(struct nr_host *h, struct nr_host_figures *out)
{
	unsigned i;

	for (i = 0; i < 3; i++)
		out->decided[i] = atomic_load(&h->decided[i]);
	out->late = atomic_load(&h->late);
	out->failed = atomic_load(&h->failed);
	out->refused = atomic_load(&h->refused);
	out->strays = atomic_load(&h->strays);
	out->restarts = atomic_load(&h->restarts);
	out->in_flight = atomic_load(&h->in_flight);
	out->running = atomic_load(&h->running);
	pthread_mutex_lock(&h->lock);
	out->waiting = h->queue.n;
	pthread_mutex_unlock(&h->lock);
}

/* Options as they are meant; under the lock, or before the thread. */
static void
use(struct nr_host *h, const struct nr_host_options *o)
{
	h->next = *o;
	h->next.command = NULL;
	if (o->lane == 0)
		h->next.lane = o->queue / 4 + 1;
	if (o->window == 0)
		h->next.window = PLAIN_WINDOW;
	else if (o->window > NR_HOST_WINDOW)
		h->next.window = NR_HOST_WINDOW;
}

int
nr_host_replace(struct nr_host *h, const struct nr_host_options *o)
{
	char *command = NULL, *old;

	if (o->command != NULL && (command = strdup(o->command)) == NULL)
		return ENOMEM;
	pthread_mutex_lock(&h->lock);
	old = h->command;
	h->command = command;
	use(h, o);
	h->renew = 1;
	pthread_mutex_unlock(&h->lock);
	free(old);
	wake(h);
	return NR_OK;
}

int
nr_host_new(struct nr_host **out, const struct nr_host_options *o)
{
	struct nr_host *h;
	int rc;

	if ((h = calloc(1, sizeof(*h))) == NULL)
		return ENOMEM;
	pthread_mutex_init(&h->lock, NULL);
	h->rng.state = (uint64_t)nr_now_ns();
	atomic_init(&h->share, SHARE_MIN);
	h->shared = nr_now_ms();
	h->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	rc = h->wake_fd < 0 ? errno : nr_host_replace(h, o);
	if (rc == NR_OK)
		rc = pthread_create(&h->thread, NULL, thread_main, h);
	h->started = rc == NR_OK;
	if (rc != NR_OK) {
		nr_host_free(h);
		return rc;
	}
	*out = h;
	return NR_OK;
}

void
nr_host_stop(struct nr_host *h)
{
	if (h == NULL || !h->started)
		return;
	pthread_mutex_lock(&h->lock);
	h->ending = 1;
	pthread_mutex_unlock(&h->lock);
	wake(h);
	pthread_join(h->thread, NULL);
	h->started = 0;
}

void
nr_host_free(struct nr_host *h)
{
	if (h == NULL)
		return;
	nr_host_stop(h);
	if (h->wake_fd >= 0)
		close(h->wake_fd);
	pthread_mutex_destroy(&h->lock);
	free(h->command);
	free(h);
}
