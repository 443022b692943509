/*
 * The sieve.  An event that is still being judged is compared, byte for
 * byte, with those that come meanwhile: twenty relays send the same ones at
 * the same time.  Only what has been found valid is remembered by its id,
 * so that nobody can keep an event out by sending a broken one first.
 */
#include "sieve.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "event/verify.h"
#include "tool.h"
#include "util/buf.h"
#include "util/err.h"
#include "util/hex.h"
#include "util/idset.h"
#include "util/pool.h"

#define BATCH		64	/* events, */
#define BATCH_BYTES	((size_t)128 * 1024)	/* or so many bytes */
#define BUCKETS		8192

/* One event of a batch. */
struct entry {
	struct entry	*next;		/* in its bucket */
	struct batch	*batch;
	unsigned char	 id[32];
	unsigned	 source;
	size_t		 at, len;	/* in the batch's text */
	int		 valid, write;
};

struct batch {
	struct nr_buf	 text;
	struct entry	 entry[BATCH];
	size_t		 n;
};

struct nr_sieve {
	struct nr_sieve_options	  o;
	struct nr_pool		 *pool;
	struct nr_verifier	**verifier;	/* one a worker */
	unsigned		  workers;
	struct batch		 *open;		/* is being filled, or NULL */
	pthread_mutex_t		  lock;		/* for all that follows */
	pthread_cond_t		  drained;
	unsigned		  under_way;	/* batches */
	struct entry		 *bucket[BUCKETS];
	struct nr_idset		 *seen;
	struct nr_sieve_figures	 *figures;	/* one a source */
	uint64_t		  written;
	int			  enough;
};

static struct entry **
bucket_of(struct nr_sieve *s, const unsigned char id[32])
{
	return &s->bucket[(id[0] | id[1] << 8) % BUCKETS];
}

/* ---- in the pool ---- */

static void
judge(void *ctx, unsigned worker, void *job)
{
	struct nr_sieve *s = ctx;
	struct batch *b = job;
	struct nr_event ev;
	size_t i;

	for (i = 0; i < b->n; i++)
		b->entry[i].valid = s->o.trust || (nr_event_view(&ev,
		    b->text.p + b->entry[i].at, b->entry[i].len) &&
		    nr_verify_event(s->verifier[worker], &ev,
		    NR_TRUST_NOTHING) == NR_VALID);
}

/* With the lock: it is judged, and no longer among those that are not. */
static void
settle(struct nr_sieve *s, struct entry *e)
{
	struct nr_sieve_figures *f = &s->figures[e->source];
	struct entry **at = bucket_of(s, e->id);
	int added = 0;

	while (*at != e)
		at = &(*at)->next;
	*at = e->next;
	e->write = 0;
	if (!e->valid) {
		f->invalid++;
		return;
	}
	if (s->enough)
		return;
	if (nr_idset_add(s->seen, e->id, &added) != NR_OK)
		nr_die(ENOMEM, "events");
	if (!added) {
		f->known++;
		return;
	}
	e->write = 1;
	f->written++;
	if (++s->written == s->o.total)
		s->enough = 1;
}

static void
write_batch(struct nr_sieve *s, const struct batch *b)
{
	char hex[65];
	size_t i;

	hex[64] = '\n';
	for (i = 0; i < b->n; i++) {
		if (!b->entry[i].write)
			continue;
		if (s->o.ids) {
			nr_hex_encode(hex, b->entry[i].id, 32);
			nr_out(hex, sizeof(hex));
		} else {
			nr_out(b->text.p + b->entry[i].at, b->entry[i].len);
			nr_out("\n", 1);
		}
	}
	nr_out_flush();
}

static void
deliver(void *ctx, unsigned worker, void *job)
{
	struct nr_sieve *s = ctx;
	struct batch *b = job;
	size_t i;

	(void)worker;
	pthread_mutex_lock(&s->lock);
	for (i = 0; i < b->n; i++)
		settle(s, &b->entry[i]);
	pthread_mutex_unlock(&s->lock);
	write_batch(s, b);
	b->n = 0;
	b->text.len = 0;
	pthread_mutex_lock(&s->lock);
	if (--s->under_way == 0)
		pthread_cond_signal(&s->drained);
	pthread_mutex_unlock(&s->lock);
	s->o.wake(s->o.ctx);
}

/* ---- in the loop ---- */

struct nr_sieve *
nr_sieve_new(const struct nr_sieve_options *o)
{
	struct nr_sieve *s = calloc(1, sizeof(*s));
	unsigned i;
	int rc;

	if (s == NULL)
		nr_die(ENOMEM, "events");
	s->o = *o;
	s->workers = nr_pool_cores();
	s->verifier = calloc(s->workers, sizeof(s->verifier[0]));
	s->figures = calloc(o->sources, sizeof(s->figures[0]));
	if (s->verifier == NULL || s->figures == NULL ||
	    nr_idset_new(&s->seen, NR_SIEVE_IDS) != NR_OK)
		nr_die(ENOMEM, "events");
	for (i = 0; i < s->workers; i++)
		if (nr_verifier_new(&s->verifier[i]) != NR_OK)
			nr_die(ENOMEM, "events");
	pthread_mutex_init(&s->lock, NULL);
	pthread_cond_init(&s->drained, NULL);
	rc = nr_pool_new(&s->pool, s->workers, 4 * s->workers + 4,
	    sizeof(struct batch), judge, deliver, s);
	if (rc != NR_OK)
		nr_die(rc, "threads");
	return s;
}

static void
clear(void *job)
{
	nr_buf_free(&((struct batch *)job)->text);
}

void
nr_sieve_free(struct nr_sieve *s)
{
	unsigned i;

	nr_sieve_push(s);
	nr_pool_free(s->pool, clear);
	for (i = 0; i < s->workers; i++)
		nr_verifier_free(s->verifier[i]);
	nr_idset_free(s->seen);
	pthread_cond_destroy(&s->drained);
	pthread_mutex_destroy(&s->lock);
	free(s->verifier);
	free(s->figures);
	free(s);
}

/* With the lock: is it known, or the same as one that is being judged? */
static int
is_known(struct nr_sieve *s, const struct nr_event *ev, struct nr_view line)
{
	const struct entry *e;

	if (nr_idset_has(s->seen, ev->id))
		return 1;
	for (e = *bucket_of(s, ev->id); e != NULL; e = e->next)
		if (e->len == line.len && memcmp(e->batch->text.p + e->at,
		    line.p, line.len) == 0)
			return 1;
	return 0;
}

/* With the lock, because those that come are compared with its text. */
static void
append(struct nr_sieve *s, unsigned source, const struct nr_event *ev,
    struct nr_view line)
{
	struct batch *b = s->open;
	struct entry *e = &b->entry[b->n];

	if (nr_buf_reserve(&b->text, line.len) != NR_OK)
		nr_die(ENOMEM, "events");
	memcpy(e->id, ev->id, 32);
	e->batch = b;
	e->source = source;
	e->at = b->text.len;
	e->len = line.len;
	(void)nr_buf_add(&b->text, line.p, line.len);
	b->n++;
	e->next = *bucket_of(s, e->id);
	*bucket_of(s, e->id) = e;
}

void
nr_sieve_add(struct nr_sieve *s, unsigned source, const struct nr_event *ev,
    struct nr_view line)
{
	int known;

	if (s->open == NULL)
		s->open = nr_pool_claim(s->pool);
	pthread_mutex_lock(&s->lock);
	if ((known = is_known(s, ev, line)))
		s->figures[source].known++;
	else
		append(s, source, ev, line);
	pthread_mutex_unlock(&s->lock);
	if (!known && (s->open->n == BATCH ||
	    s->open->text.len >= BATCH_BYTES))
		nr_sieve_push(s);
}

void
nr_sieve_push(struct nr_sieve *s)
{
	if (s->open == NULL || s->open->n == 0)
		return;
	pthread_mutex_lock(&s->lock);
	s->under_way++;
	pthread_mutex_unlock(&s->lock);
	s->open = NULL;
	nr_pool_submit(s->pool);
}

int
nr_sieve_full(struct nr_sieve *s)
{
	if (s->open == NULL)
		s->open = nr_pool_try_claim(s->pool);
	return s->open == NULL;
}

int
nr_sieve_enough(struct nr_sieve *s)
{
	int enough;

	pthread_mutex_lock(&s->lock);
	enough = s->enough;
	pthread_mutex_unlock(&s->lock);
	return enough;
}

void
nr_sieve_drain(struct nr_sieve *s)
{
	nr_sieve_push(s);
	pthread_mutex_lock(&s->lock);
	while (s->under_way > 0)
		pthread_cond_wait(&s->drained, &s->lock);
	pthread_mutex_unlock(&s->lock);
}

void
nr_sieve_figures(struct nr_sieve *s, unsigned source,
    struct nr_sieve_figures *out)
{
	pthread_mutex_lock(&s->lock);
	*out = s->figures[source];
	pthread_mutex_unlock(&s->lock);
}
