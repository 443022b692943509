/*
 * Looking after the store beside everything else: what requests to vanish
 * have made invisible is removed.  It is done in small steps, in a thread
 * of its own, so that neither publishing nor queries wait for it.
 */
#include "relay/internal.h"

#include <errno.h>
#include <stdlib.h>
#include <time.h>

#include "util/err.h"

#define EVERY_S		1

struct nr_upkeep {
	struct nr_relay	*relay;
	pthread_mutex_t	 lock;
	pthread_cond_t	 wake;
	atomic_int	 ending;
	pthread_t	 thread;
};

static int
ending(void *ctx)
{
	struct nr_upkeep *u = ctx;

	return atomic_load(&u->ending);
}

static void
rest(struct nr_upkeep *u)
{
	struct timespec until;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += EVERY_S;
	pthread_mutex_lock(&u->lock);
	if (!atomic_load(&u->ending))
		(void)pthread_cond_timedwait(&u->wake, &u->lock, &until);
	pthread_mutex_unlock(&u->lock);
}

static void *
thread_main(void *arg)
{
	struct nr_upkeep *u = arg;
	struct nr_relay *r = u->relay;

	while (!ending(u)) {
		nr_store_trouble(r, nr_store_vanish(r->st, ending, u));
		rest(u);
	}
	return NULL;
}

int
nr_upkeep_new(struct nr_upkeep **out, struct nr_relay *r)
{
	struct nr_upkeep *u;
	int rc;

	if ((u = calloc(1, sizeof(*u))) == NULL)
		return ENOMEM;
	u->relay = r;
	pthread_mutex_init(&u->lock, NULL);
	pthread_cond_init(&u->wake, NULL);
	if ((rc = pthread_create(&u->thread, NULL, thread_main, u)) != 0) {
		pthread_cond_destroy(&u->wake);
		pthread_mutex_destroy(&u->lock);
		free(u);
		return rc;
	}
	*out = u;
	return NR_OK;
}

void
nr_upkeep_free(struct nr_upkeep *u)
{
	if (u == NULL)
		return;
	pthread_mutex_lock(&u->lock);
	atomic_store(&u->ending, 1);
	pthread_cond_signal(&u->wake);
	pthread_mutex_unlock(&u->lock);
	pthread_join(u->thread, NULL);
	pthread_cond_destroy(&u->wake);
	pthread_mutex_destroy(&u->lock);
	free(u);
}
