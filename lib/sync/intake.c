/*
 * Events on their way into a store.
 */
#include "sync/intake.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "event/tags.h"
#include "event/verify.h"
#include "util/buf.h"
#include "util/err.h"
#include "util/pool.h"
#include "util/times.h"

/*
 * A block is closed at the first of these where a thread waits for it, and at
 * the second in any case: each costs the disk one write.
 */
#define BLOCK_BYTES	((size_t)128 << 10)
#define BLOCK_EVENTS	200
#define BLOCK_BYTES_MAX	((size_t)2 << 20)
#define BLOCK_EVENTS_MAX 2000
#define BUSY_MS		50	/* for another merge, before going on */

/* Some events. */
struct block {
	struct nr_buf	 text;		/* their lines, each with its LF */
	struct nr_item	*item;
	size_t		 nitems, capitems;
	const char	**why;		/* of each: refused, or NULL */
};

struct nr_intake {
	struct nr_net			*net;
	struct nr_intake_options	 o;
	struct nr_verifier		**verifier;
	unsigned			 nworkers;
	struct nr_pool			*pool;
	struct block			*open;		/* being gathered */
	atomic_uint			 under_way;	/* blocks submitted */
	atomic_int			 failed, ending;
	pthread_mutex_t			 lock;
	struct nr_intake_figures	 figures;
};

/* ---- checking ------------------------------------------------------------------- */

static int
reserve(struct block *b, size_t n)
{
	struct nr_item *item;
	const char **why;

	if (n <= b->capitems)
		return NR_OK;
	if ((item = realloc(b->item, n * sizeof(*item))) == NULL)
		return ENOMEM;
	b->item = item;
	if ((why = realloc(b->why, n * sizeof(*why))) == NULL)
		return ENOMEM;
	b->why = why;
	b->capitems = n;
	return NR_OK;
}

static const char *
check_one(struct nr_intake *in, struct nr_verifier *v, struct nr_item *item)
{
	enum nr_verdict what;

	memset(&item->ev, 0, sizeof(item->ev));
	if (!nr_event_view(&item->ev, item->line.p, item->line.len))
		return "malformed";
	item->ev.flags |= NR_EVENT_NORMAL;
	what = nr_verify_event(v, &item->ev, in->o.trust ? NR_TRUST_ALL :
	    NR_TRUST_NOTHING);
	/* Which relay this store is for is not known here. */
	item->vanish = item->ev.kind == NR_KIND_VANISH &&
	    nr_event_vanish_all(&item->ev);
	return what == NR_VALID ? NULL : nr_verdict_name(what);
}

static void
check(void *ctx, unsigned worker, void *job)
{
	struct nr_intake *in = ctx;
	struct block *b = job;
	const char *p = b->text.p, *end = p + b->text.len, *lf;
	struct nr_item *item;

	b->nitems = 0;
	for (; p < end; p = lf + 1) {
		lf = memchr(p, '\n', (size_t)(end - p));
		if (reserve(b, b->nitems + 1 > b->capitems ? 2 * b->nitems +
		    BLOCK_EVENTS : 0) != NR_OK) {
			atomic_store(&in->failed, ENOMEM);
			return;
		}
		item = &b->item[b->nitems];
		item->line = (struct nr_view){ p, (size_t)(lf - p) };
		b->why[b->nitems++] = check_one(in, in->verifier[worker],
		    item);
	}
}

/* ---- storing ---------------------------------------------------------------------- */

/* Leave those that are in order at the beginning. */
static void
sift(struct nr_intake *in, struct block *b, uint64_t *invalid)
{
	size_t i, kept = 0;

	for (i = 0; i < b->nitems; i++) {
		if (b->why[i] == NULL) {
			b->item[kept++] = b->item[i];
			continue;
		}
		++*invalid;
		if (in->o.refuse != NULL)
			in->o.refuse(in->o.ctx, b->item[i].line, b->why[i]);
	}
	b->nitems = kept;
}

static int
hand_over(struct nr_intake *in, struct block *b)
{
	size_t i;
	int rc = NR_OK;

	for (i = 0; rc == NR_OK && i < b->nitems; i++)
		rc = in->o.take(in->o.ctx, b->item[i].line);
	return rc;
}

static int
stop_vanishing(void *ctx)
{
	struct nr_intake *in = ctx;

	return atomic_load(&in->ending);
}

static int
any_vanish(const struct block *b)
{
	size_t i;

	for (i = 0; i < b->nitems; i++)
		if (b->item[i].vanish && b->item[i].result == NR_PUT_STORED)
			return 1;
	return 0;
}

static int
put(struct nr_intake *in, struct block *b)
{
	int rc;

	rc = nr_store_put(in->o.st, b->item, b->nitems, in->o.put_flags,
	    time(NULL));
	/* It cannot be seen any more; whoever is next would go on. */
	if (rc == NR_OK && any_vanish(b))
		rc = nr_store_vanish(in->o.st, stop_vanishing, in);
	if (rc == NR_OK && nr_store_settle(in->o.st, 0) == NR_EBUSY)
		nr_sleep_ms(BUSY_MS);
	return rc;
}

static void
store(void *ctx, unsigned worker, void *job)
{
	struct nr_intake *in = ctx;
	struct block *b = job;
	uint64_t invalid = 0;
	int rc = atomic_load(&in->failed);
	size_t i;

	(void)worker;
	if (rc == NR_OK) {
		sift(in, b, &invalid);
		if (b->nitems > 0)
			rc = in->o.st != NULL ? put(in, b) : hand_over(in, b);
		if (rc != NR_OK)
			atomic_store(&in->failed, rc);
	}
	pthread_mutex_lock(&in->lock);
	in->figures.invalid += invalid;
	for (i = 0; rc == NR_OK && i < b->nitems; i++) {
		in->figures.bytes += b->item[i].line.len + 1;
		if (in->o.st != NULL)
			in->figures.result[b->item[i].result]++;
		else
			in->figures.taken++;
	}
	pthread_mutex_unlock(&in->lock);
	atomic_fetch_sub(&in->under_way, 1);
	nr_net_wake(in->net);
}

/* ---- gathering ----------------------------------------------------------------------- */

void
nr_intake_flush(struct nr_intake *in)
{
	if (in->open == NULL || in->open->text.len == 0)
		return;
	atomic_fetch_add(&in->under_way, 1);
	in->open = NULL;
	nr_pool_submit(in->pool);
}

static int
enough(struct nr_intake *in, const struct block *b)
{
	if (b->text.len >= BLOCK_BYTES_MAX || b->nitems >= BLOCK_EVENTS_MAX)
		return 1;
	return (b->text.len >= BLOCK_BYTES || b->nitems >= BLOCK_EVENTS) &&
	    atomic_load(&in->under_way) <= in->nworkers;
}

int
nr_intake_add(struct nr_intake *in, struct nr_view line)
{
	struct block *b;

	if (in->open == NULL) {
		if ((in->open = nr_pool_try_claim(in->pool)) == NULL)
			return EAGAIN;
		in->open->text.len = 0;
		in->open->nitems = 0;
	}
	b = in->open;
	if (nr_buf_reserve(&b->text, line.len + 1) != NR_OK) {
		atomic_store(&in->failed, ENOMEM);
		return NR_OK;
	}
	(void)nr_buf_add(&b->text, line.p, line.len);
	(void)nr_buf_add(&b->text, "\n", 1);
	b->nitems++;
	if (enough(in, b))
		nr_intake_flush(in);
	return NR_OK;
}

int
nr_intake_idle(struct nr_intake *in)
{
	return atomic_load(&in->under_way) == 0 &&
	    (in->open == NULL || in->open->text.len == 0);
}

int
nr_intake_failed(struct nr_intake *in)
{
	return atomic_load(&in->failed);
}

void
nr_intake_figures(struct nr_intake *in, struct nr_intake_figures *out)
{
	pthread_mutex_lock(&in->lock);
	*out = in->figures;
	pthread_mutex_unlock(&in->lock);
}

/* ---- beginning and end ------------------------------------------------------------------ */

static void
clear(void *job)
{
	struct block *b = job;

	nr_buf_free(&b->text);
	free(b->item);
	free(b->why);
}

void
nr_intake_free(struct nr_intake *in)
{
	unsigned i;

	if (in == NULL)
		return;
	atomic_store(&in->ending, 1);
	if (in->pool != NULL)
		nr_pool_free(in->pool, clear);
	for (i = 0; in->verifier != NULL && i < in->nworkers; i++)
		nr_verifier_free(in->verifier[i]);
	free(in->verifier);
	pthread_mutex_destroy(&in->lock);
	free(in);
}

int
nr_intake_new(struct nr_intake **out, struct nr_net *n,
    const struct nr_intake_options *o)
{
	struct nr_intake *in;
	int rc = NR_OK;
	unsigned i;

	if ((in = calloc(1, sizeof(*in))) == NULL)
		return ENOMEM;
	in->net = n;
	in->o = *o;
	in->nworkers = nr_pool_cores();
	pthread_mutex_init(&in->lock, NULL);
	in->verifier = calloc(in->nworkers, sizeof(in->verifier[0]));
	if (in->verifier == NULL)
		rc = ENOMEM;
	for (i = 0; rc == NR_OK && i < in->nworkers; i++)
		rc = nr_verifier_new(&in->verifier[i]);
	if (rc == NR_OK)
		rc = nr_pool_new(&in->pool, in->nworkers,
		    4 * in->nworkers + 4, sizeof(struct block), check, store,
		    in);
	if (rc != NR_OK) {
		nr_intake_free(in);
		return rc;
	}
	*out = in;
	return NR_OK;
}
