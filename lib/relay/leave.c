/*
 * Leaving to another process that serves the same addresses: no connection
 * is accepted any more, and those that are open are closed one by one, when
 * nothing of them is under way, at random moments: whoever is closed comes
 * back at once, and not all shall come together.
 */
#include "relay/internal.h"

#include "relay/accept.h"
#include "relay/siblings.h"
#include "util/times.h"

#define STEP_MS		20

/* Leave some time for those whose moment comes late. */
void
nr_leave_plan(struct nr_relay *r, struct nr_conn *c)
{
	int64_t left = r->leave_until - nr_now_ms();

	c->leave_at = r->leave_until - left;
	if (left > 0)
		c->leave_at += (int64_t)nr_rng_below(&r->leave_rng,
		    (uint64_t)left * 9 / 10 + 1);
}

static void
step_again(lws_sorted_usec_list_t *sul)
{
	struct nr_relay *r = lws_container_of(sul, struct nr_relay, timer);

	lws_sul_schedule(r->lws, 0, sul, step_again, STEP_MS * LWS_US_PER_MS);
}

static void
begin(struct nr_relay *r)
{
	uint64_t seconds = r->config->upgrade_seconds;
	struct nr_conn *c;

	nr_acceptor_shut(r->acceptor, 1);
	nr_relay_log(r, NR_LOG_INFO, "leaving: %u connections are closed "
	    "within %u s", (unsigned)r->nconns, (unsigned)seconds);
	if (!nr_siblings_took(r->siblings))
		nr_relay_log(r, NR_LOG_WARN, "nobody has taken over: clients "
		    "find nothing at these addresses");
	r->leave_until = nr_now_ms() + (int64_t)seconds * 1000;
	r->leave_rng.state = (uint64_t)nr_now_ms() ^ (uint64_t)time(NULL) << 20;
	for (c = r->conns; c != NULL; c = c->next)
		nr_leave_plan(r, c);
	step_again(&r->timer);
}

/* Is something of it under way: a message, an OK, an answer to a REQ? */
static int
is_busy(struct nr_conn *c)
{
	return c->backlog.len > 0 || c->rx_total > 0 || c->asking > 0 ||
	    atomic_load(&c->unanswered) > 0 ||
	    nr_live_busy(c->relay->live, c);
}

static int
close_some(struct nr_relay *r, int64_t now)
{
	struct nr_conn *c;
	int n = 0;

	for (c = r->conns; c != NULL; c = c->next) {
		/* From its moment on it says nothing new. */
		if (c->leaving || c->leave_at > now)
			continue;
		c->mute = 1;
		if (is_busy(c))
			continue;
		c->leaving = 1;
		nr_conn_doom(c, NR_CLOSE_RESTART,
		    "the relay restarts: connect again");
		n++;
	}
	return n;
}

void
nr_leave_step(struct nr_relay *r)
{
	int64_t now = nr_now_ms();
	int none = 0;

	if (r->leave_until == 0)
		begin(r);
	if (now < r->leave_next)
		return;
	r->leave_next = now + STEP_MS;
	if (close_some(r, now) > 0)
		nr_relay_wake(r);
	if (now >= r->leave_until || (r->nsockets == 0 &&
	    nr_acceptor_idle(r->acceptor)))
		atomic_compare_exchange_strong(&r->stopping, &none, 1);
}
