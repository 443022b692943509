/*
 * The ordered pool: a ring with four places in it, each behind the other.
 *
 *	freed <= taken <= started <= submitted <= freed + depth
 *
 * A job's number says where in the ring it is.
 */
#include "util/pool.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdint.h>
#include <stdlib.h>
#include <time.h>

#include "util/err.h"

struct nr_pool {
	pthread_mutex_t	 lock;
	pthread_cond_t	 work_ready;	/* a job to start, or the end */
	pthread_cond_t	 slot_free;
	pthread_cond_t	 job_done;	/* for nr_pool_take() */
	nr_pool_fn	*work;
	nr_pool_fn	*deliver;
	void		*ctx;
	char		*slot;
	unsigned char	*done;		/* per slot */
	size_t		 size;
	unsigned	 depth;
	uint64_t	 submitted, started, taken, freed;
	int		 delivering;
	int		 closed;
	int		 nudged;
	int		 ending;
	unsigned	 nthreads;
	unsigned	 next_worker;
	pthread_t	 thread[];
};

static void *
slot_at(struct nr_pool *p, uint64_t n)
{
	return p->slot + (size_t)(n % p->depth) * p->size;
}

/* Is the oldest job that nobody has taken finished? */
static int
head_done(const struct nr_pool *p)
{
	return p->taken < p->started && p->done[p->taken % p->depth];
}

/* Deliver what is finished, unless another worker is at it. */
static void
deliver(struct nr_pool *p, unsigned worker)
{
	void *job;

	if (p->delivering)
		return;
	p->delivering = 1;
	while (head_done(p)) {
		job = slot_at(p, p->taken);
		p->taken++;
		pthread_mutex_unlock(&p->lock);
		p->deliver(p->ctx, worker, job);
		pthread_mutex_lock(&p->lock);
		p->freed++;
		pthread_cond_signal(&p->slot_free);
	}
	p->delivering = 0;
}

static void *
worker_main(void *arg)
{
	struct nr_pool *p = arg;
	unsigned worker;
	uint64_t n;

	pthread_mutex_lock(&p->lock);
	worker = p->next_worker++;
	for (;;) {
		while (p->started == p->submitted && !p->ending)
			pthread_cond_wait(&p->work_ready, &p->lock);
		if (p->started == p->submitted)
			break;
		n = p->started++;
		p->done[n % p->depth] = 0;
		pthread_mutex_unlock(&p->lock);
		p->work(p->ctx, worker, slot_at(p, n));
		pthread_mutex_lock(&p->lock);
		p->done[n % p->depth] = 1;
		if (p->deliver != NULL)
			deliver(p, worker);
		else if (n == p->taken)
			pthread_cond_signal(&p->job_done);
	}
	pthread_mutex_unlock(&p->lock);
	return NULL;
}

static void
end_threads(struct nr_pool *p)
{
	unsigned i;

	pthread_mutex_lock(&p->lock);
	p->ending = 1;
	pthread_cond_broadcast(&p->work_ready);
	pthread_mutex_unlock(&p->lock);
	for (i = 0; i < p->nthreads; i++)
		pthread_join(p->thread[i], NULL);
}

int
nr_pool_new(struct nr_pool **out, unsigned workers, unsigned depth,
    size_t size, nr_pool_fn *work, nr_pool_fn *deliver_fn, void *ctx)
{
	pthread_condattr_t attr;
	struct nr_pool *p;
	int rc = NR_OK;

	p = calloc(1, sizeof(*p) + workers * sizeof(p->thread[0]));
	if (p == NULL)
		return ENOMEM;
	p->slot = calloc(depth, size);
	p->done = calloc(depth, 1);
	if (p->slot == NULL || p->done == NULL) {
		free(p->slot);
		free(p->done);
		free(p);
		return ENOMEM;
	}
	p->work = work;
	p->deliver = deliver_fn;
	p->ctx = ctx;
	p->size = size;
	p->depth = depth;
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_mutex_init(&p->lock, NULL);
	pthread_cond_init(&p->work_ready, NULL);
	pthread_cond_init(&p->slot_free, NULL);
	pthread_cond_init(&p->job_done, &attr);
	pthread_condattr_destroy(&attr);
	while (rc == NR_OK && p->nthreads < workers) {
		rc = pthread_create(&p->thread[p->nthreads], NULL,
		    worker_main, p);
		if (rc == NR_OK)
			p->nthreads++;
	}
	if (rc != NR_OK) {
		nr_pool_free(p, NULL);
		return rc;
	}
	*out = p;
	return NR_OK;
}

void
nr_pool_free(struct nr_pool *p, void (*clear)(void *job))
{
	unsigned i;

	if (p == NULL)
		return;
	end_threads(p);
	if (clear != NULL)
		for (i = 0; i < p->depth; i++)
			clear(slot_at(p, i));
	pthread_cond_destroy(&p->job_done);
	pthread_cond_destroy(&p->slot_free);
	pthread_cond_destroy(&p->work_ready);
	pthread_mutex_destroy(&p->lock);
	free(p->slot);
	free(p->done);
	free(p);
}

void *
nr_pool_claim(struct nr_pool *p)
{
	void *slot;

	pthread_mutex_lock(&p->lock);
	while (p->submitted - p->freed == p->depth)
		pthread_cond_wait(&p->slot_free, &p->lock);
	slot = slot_at(p, p->submitted);
	pthread_mutex_unlock(&p->lock);
	return slot;
}

void *
nr_pool_try_claim(struct nr_pool *p)
{
	void *slot = NULL;

	pthread_mutex_lock(&p->lock);
	if (p->submitted - p->freed < p->depth)
		slot = slot_at(p, p->submitted);
	pthread_mutex_unlock(&p->lock);
	return slot;
}

void
nr_pool_submit(struct nr_pool *p)
{
	pthread_mutex_lock(&p->lock);
	p->submitted++;
	pthread_cond_signal(&p->work_ready);
	pthread_mutex_unlock(&p->lock);
}

void
nr_pool_close(struct nr_pool *p)
{
	pthread_mutex_lock(&p->lock);
	p->closed = 1;
	pthread_cond_broadcast(&p->job_done);
	pthread_mutex_unlock(&p->lock);
}

int
nr_pool_take(struct nr_pool *p, void **job, int timeout)
{
	struct timespec until;
	int rc = NR_OK;

	clock_gettime(CLOCK_MONOTONIC, &until);
	if (timeout > 0) {
		until.tv_sec += timeout / 1000;
		until.tv_nsec += (long)(timeout % 1000) * 1000000;
		if (until.tv_nsec >= 1000000000) {
			until.tv_sec++;
			until.tv_nsec -= 1000000000;
		}
	}
	pthread_mutex_lock(&p->lock);
	while (!head_done(p) && rc == NR_OK) {
		if (p->closed && p->taken == p->submitted)
			rc = NR_EOF;
		else if (p->nudged)
			rc = NR_ETIMEOUT;
		else if (timeout < 0)
			pthread_cond_wait(&p->job_done, &p->lock);
		else if (pthread_cond_timedwait(&p->job_done, &p->lock,
		    &until) == ETIMEDOUT)
			rc = NR_ETIMEOUT;
	}
	if (head_done(p)) {
		*job = slot_at(p, p->taken);
		p->taken++;
		rc = NR_OK;
	}
	p->nudged = 0;
	pthread_mutex_unlock(&p->lock);
	return rc;
}

void
nr_pool_nudge(struct nr_pool *p)
{
	pthread_mutex_lock(&p->lock);
	p->nudged = 1;
	pthread_cond_signal(&p->job_done);
	pthread_mutex_unlock(&p->lock);
}

void
nr_pool_release(struct nr_pool *p)
{
	pthread_mutex_lock(&p->lock);
	p->freed++;
	pthread_cond_signal(&p->slot_free);
	pthread_mutex_unlock(&p->lock);
}

unsigned
nr_pool_cores(void)
{
	cpu_set_t set;
	int n;

	if (sched_getaffinity(0, sizeof(set), &set) != 0)
		return 1;
	n = CPU_COUNT(&set);
	return n < 1 ? 1 : n > 64 ? 64 : (unsigned)n;
}
