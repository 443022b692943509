/*
 * The feed: whatever has been stored, by this process or another, in the
 * order of arrival, to the live subscriptions.
 */
#include "relay/internal.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "util/err.h"

#define AT_ONCE		500	/* events in one snapshot */
#define DELIVERIES	2000	/* before they are sent */

struct nr_feed {
	struct nr_relay	*relay;
	struct nr_snap	*sn;
	uint64_t	 next;		/* number */
	int		 bell;		/* others store */
	int		 ring;		/* we do, or it is the end */
	atomic_int	 ending;
	pthread_t	 thread;
};

/* Publish some; *more is set where there are others. */
static int
publish_some(struct nr_feed *f, int *more)
{
	struct nr_live *live = f->relay->live;
	int64_t now = time(NULL);
	struct nr_event ev;
	struct nr_hit hit;
	size_t deliveries = 0, some;
	unsigned n;
	int rc;

	*more = 0;
	if ((rc = nr_snap_renew(f->sn)) != NR_OK)
		return rc;
	for (n = 0; n < AT_ONCE; n++) {
		rc = nr_snap_at(f->sn, &hit, f->next, now);
		if (rc != NR_OK || hit.line.p == NULL)
			break;
		f->next = hit.number + 1;
		if (hit.flags & NR_HIT_QUIET)
			continue;
		if (nr_event_view_head(&ev, hit.line.p, hit.line.len)) {
			some = nr_live_publish(live, &ev, hit.line,
			    hit.number);
			atomic_fetch_add(&f->relay->metrics.delivered, some);
			deliveries += some;
		}
		if (deliveries >= DELIVERIES) {
			nr_relay_wake(f->relay);
			deliveries = 0;
		}
	}
	if (deliveries > 0)
		nr_relay_wake(f->relay);
	if (rc == NR_OK) {
		if (hit.line.p == NULL)
			f->next = nr_snap_next_number(f->sn);
		*more = n == AT_ONCE;
	}
	nr_snap_release(f->sn);
	if (rc == NR_ESTALE) {		/* a newer snapshot will do */
		*more = 1;
		rc = NR_OK;
	}
	return rc;
}

static void *
thread_main(void *arg)
{
	struct nr_feed *f = arg;
	struct pollfd p[2] = {
		{ .fd = f->ring, .events = POLLIN },
		{ .fd = f->bell, .events = POLLIN },
	};
	uint64_t count;
	int rc, more = 0;

	while (!atomic_load(&f->ending)) {
		/* The bell may be missed: look once a second anyway. */
		if (!more)
			(void)poll(p, 2, 1000);
		if (p[0].revents & POLLIN)
			(void)!read(f->ring, &count, sizeof(count));
		if (p[1].revents & POLLIN)
			nr_store_bell_read(f->bell);
		p[0].revents = p[1].revents = 0;
		nr_relay_reading(f->relay);
		rc = publish_some(f, &more);
		nr_relay_read(f->relay);
		if (rc == ENOMEM || rc == EAGAIN) {
			nr_relay_log(f->relay, NR_LOG_WARN, "live events "
			    "wait: %s", nr_strerror(rc));
			more = 0;	/* and are looked for in a second */
		} else if (rc != NR_OK) {
			nr_relay_fail(f->relay, rc);
			break;
		}
	}
	return NULL;
}

int
nr_feed_new(struct nr_feed **out, struct nr_relay *r)
{
	struct nr_feed *f;
	int rc;

	if ((f = calloc(1, sizeof(*f))) == NULL)
		return ENOMEM;
	f->relay = r;
	f->bell = f->ring = -1;
	rc = nr_snap_new(&f->sn, r->st);
	if (rc == NR_OK)
		rc = nr_store_bell_fd(r->st, &f->bell);
	if (rc == NR_OK &&
	    (f->ring = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)) < 0)
		rc = errno;
	if (rc == NR_OK && (rc = nr_snap_renew(f->sn)) == NR_OK) {
		f->next = nr_snap_next_number(f->sn);
		nr_snap_release(f->sn);
		rc = pthread_create(&f->thread, NULL, thread_main, f);
	}
	if (rc != NR_OK) {
		nr_snap_free(f->sn);
		if (f->bell >= 0)
			close(f->bell);
		if (f->ring >= 0)
			close(f->ring);
		free(f);
		return rc;
	}
	*out = f;
	return NR_OK;
}

void
nr_feed_ring(struct nr_feed *f)
{
	uint64_t one = 1;

	(void)!write(f->ring, &one, sizeof(one));
}

void
nr_feed_free(struct nr_feed *f)
{
	if (f == NULL)
		return;
	atomic_store(&f->ending, 1);
	nr_feed_ring(f);
	pthread_join(f->thread, NULL);
	nr_snap_free(f->sn);
	close(f->bell);
	close(f->ring);
	free(f);
}
