/*
 * Looking after the store beside everything else: what requests to vanish
 * have made invisible is removed, segments with many dead lines are
 * compacted, and what has been deleted is scrubbed in time.  It is done in
 * small steps, in a thread of its own, at a rate that leaves the disk to
 * others, so that neither publishing nor queries wait for it.
 */
#include "relay/internal.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <time.h>

#include "util/err.h"
#include "util/times.h"

#define EVERY_S		1
#define COMPACT_MS	5000		/* between two looks */
#define LAST_DEAD	(UINT64_C(16) << 20)	/* bytes of the last segment */
/* When it was in vain: too little space, or what is dead must stay. */
#define AGAIN_MS	(10 * 60 * 1000)

struct nr_upkeep {
	struct nr_relay	*relay;
	pthread_mutex_t	 lock;
	pthread_cond_t	 wake;
	atomic_int	 ending;
	pthread_t	 thread;
	int64_t		 compact_at;	/* ms: not before */
	int64_t		 scrub_at;
	uint64_t	 before, after;	/* bytes of what was compacted */
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

static void
compacted(void *ctx, const struct nr_compacted *c)
{
	struct nr_upkeep *u = ctx;
	struct nr_relay *r = u->relay;

	atomic_fetch_add(&r->metrics.scrubbed, c->scrubbed);
	if (c->scrubbed > 0) {
		nr_relay_log(r, NR_LOG_INFO, "scrubbed segment %" PRIu32
		    ": %" PRIu64 " lines", c->segment, c->scrubbed);
		return;
	}
	u->before += c->before;
	u->after += c->after;
	atomic_fetch_add(&r->metrics.compacted, 1);
	atomic_fetch_add(&r->metrics.reclaimed, c->before - c->after);
	nr_relay_log(r, NR_LOG_INFO, "compacted segment %" PRIu32 ": %" PRIu64
	    " bytes to %" PRIu64, c->segment, c->before, c->after);
}

/* Is it time to overwrite what has been deleted?  Half of it is for that. */
static int
scrub_due(struct nr_upkeep *u, uint64_t seconds)
{
	int64_t since = 0;

	if (seconds == 0 || nr_now_ms() < u->scrub_at ||
	    nr_store_scrub_since(u->relay->st, &since) != NR_OK)
		return 0;
	return since != 0 && time(NULL) >= since + (int64_t)(seconds / 2);
}

static void
compact(struct nr_upkeep *u)
{
	struct nr_compaction c = {
		.min_bytes = LAST_DEAD, .stop = ending, .report = compacted,
		.ctx = u
	};
	struct nr_relay *r = u->relay;
	uint64_t scrub_seconds;
	int rc;

	nr_relay_reading(r);
	c.min_dead = (unsigned)r->config->compact_dead;
	c.rate = r->config->compact_rate;
	scrub_seconds = r->config->scrub_seconds;
	nr_relay_read(r);
	c.scrub = scrub_due(u, scrub_seconds);
	if (c.min_dead == 0 && !c.scrub)
		return;
	if (c.min_dead == 0)
		c.min_dead = NR_COMPACT_NONE;
	u->before = u->after = 0;
	rc = nr_store_compact(r->st, &c);
	u->compact_at = nr_now_ms() + (rc != NR_OK ||
	    u->after > u->before / 10 * 9 ? AGAIN_MS : COMPACT_MS);
	if (c.scrub)
		u->scrub_at = nr_now_ms() + (int64_t)(scrub_seconds * 1000 / 8);
	nr_store_trouble(r, rc);
}

static void *
thread_main(void *arg)
{
	struct nr_upkeep *u = arg;
	struct nr_relay *r = u->relay;

	while (!ending(u)) {
		nr_store_trouble(r, nr_store_vanish(r->st, ending, u));
		if (nr_now_ms() >= u->compact_at)
			compact(u);
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
