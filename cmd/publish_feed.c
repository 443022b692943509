/*
 * The input of nr-publish: one thread reads blocks of lines, a pool judges
 * them, and the loop takes them in order.  A block that the loop does not
 * take holds up all that come behind it, so memory is bounded.
 */
#include "publish.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "tool.h"
#include "util/err.h"
#include "util/pool.h"

/* What a thread has for itself. */
struct hand {
	struct nr_verifier	*verifier;
	struct nr_sha256	*sha;
};

struct nr_pub_feed {
	struct nr_pub_feed_options o;
	struct nr_net		*net;
	struct nr_lines		 in;
	struct nr_pool		*pool;
	struct hand		*hand;		/* one a worker */
	pthread_mutex_t		 lock;		/* for what follows */
	pthread_cond_t		 taken;
	struct nr_pub_batch	*ready;
	int			 rc;
};

struct job {
	struct nr_pub_batch	*batch;
};

static void
need(int rc)
{
	if (rc != NR_OK)
		nr_die(rc, "input");
}

void
nr_pub_batch_unref(struct nr_pub_batch *b)
{
	if (--b->refs > 0)
		return;
	nr_block_free(&b->block);
	nr_buf_free(&b->normal);
	free(b->line);
	free(b);
}

static struct nr_pub_line *
new_line(struct nr_pub_batch *b)
{
	if (b->nlines == b->cap) {
		b->cap = b->cap == 0 ? 64 : b->cap * 2;
		b->line = realloc(b->line, b->cap * sizeof(b->line[0]));
		if (b->line == NULL)
			nr_die(ENOMEM, "input");
	}
	memset(&b->line[b->nlines], 0, sizeof(b->line[0]));
	return &b->line[b->nlines++];
}

/* What is sent is the normal line: relays may be less patient readers. */
static void
normal_line(struct nr_pub_batch *b, struct nr_pub_line *l,
    struct nr_event *ev)
{
	struct nr_event seen = *ev;

	if (nr_event_view_read(&seen, l->text.p, l->text.len)) {
		*ev = seen;
		l->at = (size_t)(l->text.p - b->block.text.p);
		l->len = l->text.len;
		return;
	}
	need(nr_buf_reserve(&b->normal, NR_EVENT_LINE_MAX(l->text.len)));
	l->rewritten = 1;
	l->at = b->normal.len;
	l->len = nr_event_normalise(ev, b->normal.p + b->normal.len);
	b->normal.len += l->len;
}

static void
judge(struct nr_pub_feed *f, struct hand *hand, struct nr_pub_batch *b,
    struct nr_pub_line *l)
{
	struct nr_event ev;

	l->verdict = nr_event_read(&ev, l->text.p, l->text.len, &f->o.limits,
	    &l->pos);
	if (l->verdict != NR_VALID)
		return;
	normal_line(b, l, &ev);
	l->verdict = nr_verify_event(hand->verifier, &ev, f->o.trust);
	l->home = nr_event_home(&ev);
	memcpy(l->id, ev.id, sizeof(l->id));
}

static void
judge_batch(void *ctx, unsigned worker, void *arg)
{
	struct nr_pub_feed *f = ctx;
	struct nr_pub_batch *b = ((struct job *)arg)->batch;
	struct hand *hand = &f->hand[worker];
	struct nr_pub_line *l;
	struct nr_view text;
	size_t at = 0;

	while (nr_block_line(&b->block, &at, &text)) {
		l = new_line(b);
		l->text = text;
		l->blank = text.len == 0;
		l->passed = b->block.first + b->nlines - 1 <= f->o.pass;
		nr_sha256_start(hand->sha);
		nr_sha256_add(hand->sha, text.p, text.len);
		nr_sha256_end(hand->sha, l->digest);
		if (!l->blank && !l->passed)
			judge(f, hand, b, l);
	}
	if (b->block.too_long) {
		l = new_line(b);
		l->passed = b->block.first <= f->o.pass;
		l->verdict = NR_BAD_TOO_LONG;
	}
}

static void
deliver(void *ctx, unsigned worker, void *arg)
{
	struct nr_pub_feed *f = ctx;
	struct job *job = arg;

	(void)worker;
	pthread_mutex_lock(&f->lock);
	while (f->ready != NULL)
		pthread_cond_wait(&f->taken, &f->lock);
	f->ready = job->batch;
	job->batch = NULL;
	pthread_mutex_unlock(&f->lock);
	nr_net_wake(f->net);
}

/* A block's buffer is made for reading; a batch waits with what it holds. */
static void
shrink(struct nr_buf *text)
{
	char *p;

	if (text->len == 0 || text->len > text->cap / 2)
		return;
	if ((p = realloc(text->p, text->len)) == NULL)
		return;
	text->p = p;
	text->cap = text->len;
}

static void *
read_all(void *arg)
{
	struct nr_pub_feed *f = arg;
	struct nr_pub_batch *b;
	struct job *job;
	int rc;

	for (;;) {
		job = nr_pool_claim(f->pool);
		if ((b = calloc(1, sizeof(*b))) == NULL)
			nr_die(ENOMEM, "input");
		b->refs = 1;
		if ((rc = nr_lines_block(&f->in, &b->block)) != NR_OK)
			break;
		shrink(&b->block.text);
		job->batch = b;
		nr_pool_submit(f->pool);
	}
	nr_pub_batch_unref(b);
	nr_pool_free(f->pool, NULL);
	pthread_mutex_lock(&f->lock);
	f->rc = rc;
	pthread_mutex_unlock(&f->lock);
	nr_net_wake(f->net);
	return NULL;
}

/*
 * Its threads may wait for input that does not come, so it is never freed:
 * the program ends without them.
 */
struct nr_pub_feed *
nr_pub_feed_new(const struct nr_pub_feed_options *o, struct nr_net *n)
{
	struct nr_pub_feed *f = calloc(1, sizeof(*f));
	pthread_t thread;
	unsigned i;

	if (f == NULL || (f->hand = calloc(o->threads,
	    sizeof(f->hand[0]))) == NULL)
		nr_die(ENOMEM, "input");
	f->o = *o;
	f->net = n;
	pthread_mutex_init(&f->lock, NULL);
	pthread_cond_init(&f->taken, NULL);
	for (i = 0; i < o->threads; i++) {
		need(nr_verifier_new(&f->hand[i].verifier));
		need(nr_sha256_new(&f->hand[i].sha));
	}
	need(nr_lines_init(&f->in, o->fd, o->limits.bytes, 0));
	need(nr_pool_new(&f->pool, o->threads, 2 * o->threads + 2,
	    sizeof(struct job), judge_batch, deliver, f));
	need(pthread_create(&thread, NULL, read_all, f));
	(void)pthread_detach(thread);
	return f;
}

struct nr_pub_batch *
nr_pub_feed_take(struct nr_pub_feed *f, int *rc)
{
	struct nr_pub_batch *b;

	pthread_mutex_lock(&f->lock);
	b = f->ready;
	f->ready = NULL;
	*rc = b != NULL ? NR_OK : f->rc;
	pthread_cond_signal(&f->taken);
	pthread_mutex_unlock(&f->lock);
	return b;
}
