/*
 * pool.h - work on a stream of jobs by several threads, results in order.
 *
 * The pool owns a ring of job slots of the caller's type.  One thread
 * claims a slot, fills it and submits it; workers call work() on the jobs
 * in parallel; deliver() is called with each finished job in the order of
 * submission, by one worker at a time.  A slot is free again when its
 * deliver() has returned.  Without deliver(), the caller takes finished
 * jobs with nr_pool_take() and gives them back with nr_pool_release().
 */
#ifndef NR_UTIL_POOL_H
#define NR_UTIL_POOL_H

#include <stddef.h>

struct nr_pool;

/* worker counts from 0 and is below the number of workers. */
typedef void	nr_pool_fn(void *ctx, unsigned worker, void *job);

/*
 * depth slots of size bytes, zeroed; they stay where they are.
 * deliver may be NULL.
 * Returns  0, ENOMEM or what pthread_create() says.
 */
int	nr_pool_new(struct nr_pool **out, unsigned workers, unsigned depth,
	    size_t size, nr_pool_fn *work, nr_pool_fn *deliver, void *ctx);

/*
 * Wait until everything submitted is delivered (or taken), end the
 * threads, and free the pool; each slot is passed to clear, if not NULL.
 */
void	nr_pool_free(struct nr_pool *p, void (*clear)(void *job));

/* The next slot; waits until one is free. */
void	*nr_pool_claim(struct nr_pool *p);

/* As nr_pool_claim(), but returns NULL rather than wait. */
void	*nr_pool_try_claim(struct nr_pool *p);

/* Hand over the slot that was claimed last. */
void	nr_pool_submit(struct nr_pool *p);

/* Nothing more will be submitted: nr_pool_take() then says so. */
void	nr_pool_close(struct nr_pool *p);

/*
 * The next finished job, in order, waiting at most timeout milliseconds
 * (-1: for ever).
 * Returns  0, NR_ETIMEOUT (also after a nudge), or NR_EOF after
 *	    nr_pool_close().
 */
int	nr_pool_take(struct nr_pool *p, void **job, int timeout);

/*
 * Have nr_pool_take() return, this time or the next: whoever takes jobs has
 * something else to do.
 */
void	nr_pool_nudge(struct nr_pool *p);

/* The oldest job taken is done with; its slot is free. */
void	nr_pool_release(struct nr_pool *p);

/* Threads to use when nobody says: one a core that we may run on. */
unsigned nr_pool_cores(void);

#endif
