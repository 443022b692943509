/*
 * The kinds of load that nr-bench puts on a relay: who connects, and what
 * each connection is for.
 */
#include "bench_load.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tool.h"
#include "util/err.h"
#include "util/times.h"

#define MEASURED	4	/* connections beside the slow ones */
#define AGAIN		INT64_C(100000000)	/* ns from a failure to the next */
#define IN_VAIN		10	/* failures in a row, each: nobody is there */

/* ---- publishing and asking ----------------------------------------------- */

static void
make_mix(struct nr_load *l)
{
	int rc;

	if (l->filter != NULL) {
		nr_load_need(nr_mix_one(&l->mix, l->filter), "filter");
		return;
	}
	rc = nr_mix_new(&l->mix, l->data, (size_t)(l->end - l->data),
	    l->filters, l->seed);
	if (rc == NR_EINVAL)
		nr_bad_usage("%s: no events", l->file);
	nr_load_need(rc, l->file);
}

/* Room to know each event that is published again. */
static void
make_table(struct nr_load *l)
{
	size_t most = (size_t)(l->last - l->next) / 250 + 1;

	if (l->most > 0 && l->most < most)
		most = l->most;
	for (l->nids = 1024; l->nids < 4 * most; l->nids *= 2)
		;
	l->ids = nr_load_memory(l->nids, sizeof(*l->ids));
	l->times = nr_load_memory(l->nids, sizeof(*l->times));
	l->numbers = nr_load_memory(l->nids, sizeof(*l->numbers));
}

static void
listen_all(struct nr_load *l)
{
	int64_t until = nr_now_ns() + (int64_t)(l->timeout * 1e9);
	unsigned i, left;

	for (i = 0; i < l->peers->n; i++)
		if (l->lane[i].role == NR_ROLE_LISTEN)
			nr_load_listen(l, &l->peers->peer[i]);
	do {
		nr_load_need(nr_peers_wait(l->peers, 100), "subscribe");
		for (i = left = 0; i < l->peers->n; i++)
			left += l->lane[i].role == NR_ROLE_LISTEN &&
			    !l->lane[i].subscribed &&
			    !l->peers->peer[i].failed;
	} while (left > 0 && nr_now_ns() < until);
	if (left > 0)
		nr_die(ETIMEDOUT, "%s: no EOSE", l->url);
}

/* Ask for much, and read next to nothing of it. */
static void
make_slow(struct nr_load *l)
{
	struct nr_view much[] = {
		{ "[\"REQ\",\"a\",{\"limit\":5000}]", 26 },
		{ "[\"REQ\",\"b\",{\"limit\":0}]", 23 }
	};
	unsigned i, k, again;

	for (i = 0; i < l->peers->n; i++) {
		struct nr_bench_peer *p = &l->peers->peer[i];

		if (l->lane[i].role != NR_ROLE_SLOW || p->failed)
			continue;
		nr_bench_pause(p);
		for (again = 0; again < 10; again++)
			for (k = 0; k < 2; k++)
				nr_load_need(nr_bench_send(p, &much[k], 1),
				    "send");
		nr_bench_flush(p);
	}
}

static void
run_publish(struct nr_load *l)
{
	nr_load_connect(l, l->connections);
	nr_load_roles(l, 0, l->connections, NR_ROLE_PUBLISH);
	nr_load_loop(l, NULL);
}

static void
run_query(struct nr_load *l)
{
	make_mix(l);
	nr_load_connect(l, l->connections);
	nr_load_roles(l, 0, l->connections, NR_ROLE_QUERY);
	nr_load_loop(l, NULL);
}

static void
run_count(struct nr_load *l)
{
	l->ask = NR_ASK_COUNT;
	run_query(l);
}

static void
run_negentropy(struct nr_load *l)
{
	l->ask = NR_ASK_NEG;
	if (l->filter == NULL)
		l->filter = "{}";
	run_query(l);
}

/* One connection, from the newest event to the oldest. */
static void
run_pages(struct nr_load *l)
{
	l->ask = NR_ASK_PAGE;
	l->pages.until = UINT32_MAX;
	if (l->filter == NULL)
		l->filter = "{}";
	l->connections = l->in_flight = 1;
	run_query(l);
}

static void
run_fanout(struct nr_load *l)
{
	unsigned n = l->connections;

	make_table(l);
	if (l->group > 0)
		nr_load_find_authors(l);
	nr_load_connect(l, n + 1 + l->stalled);
	nr_load_roles(l, 0, n, NR_ROLE_LISTEN);
	nr_load_roles(l, n, 1, NR_ROLE_PUBLISH);
	nr_load_roles(l, n + 1, l->stalled, NR_ROLE_SLOW);
	listen_all(l);
	make_slow(l);
	nr_load_loop(l, NULL);
	/* What has not come is missing. */
	if (!l->cut_short && l->warm_up == 0 &&
	    l->part[NR_ROLE_LISTEN].done < nr_load_expected(l))
		nr_load_wrong(l, "events that subscribers did not get");
}

/* A quarter listens, an eighth publishes, the others ask. */
static void
run_mixed(struct nr_load *l)
{
	unsigned n = l->connections, ears = n / 4, hands = n / 8;

	if (n < 3)
		nr_bad_usage("mixed takes 3 connections or more");
	ears += ears == 0;
	hands += hands == 0;
	make_mix(l);
	make_table(l);
	nr_load_connect(l, n);
	nr_load_roles(l, 0, ears, NR_ROLE_LISTEN);
	nr_load_roles(l, ears, hands, NR_ROLE_PUBLISH);
	nr_load_roles(l, ears + hands, n - ears - hands, NR_ROLE_QUERY);
	listen_all(l);
	nr_load_loop(l, NULL);
}

/* ---- connecting ---------------------------------------------------------- */

static void
connect_again(struct nr_load *l, struct nr_bench_peer *p)
{
	l->lane[p->index].since = nr_now_ns();
	l->lane[p->index].subscribed = 0;
	l->sent++;
	nr_bench_reconnect(p);
}

/* One that failed is tried again, but not at once. */
static int
must_wait(const struct nr_load *l, const struct nr_bench_peer *p)
{
	return p->failed && l->now - l->lane[p->index].since < AGAIN;
}

/* Where again and again there was no connection, nobody is there. */
static void
give_up_in_vain(struct nr_load *l)
{
	if (l->in_vain > IN_VAIN * l->connections)
		l->cut_short = l->ending = 1;
}

/*
 * Each connection is made, asks for one event, and is given up, over and
 * over.
 */
static void
run_connect(struct nr_load *l)
{
	int64_t oldest;
	unsigned i, open;

	nr_load_reach(l, l->url);
	l->now = nr_now_ns();
	nr_load_open(l, l->connections);
	nr_load_roles(l, 0, l->connections, NR_ROLE_CONNECT);
	l->sent = l->connections;
	nr_load_begin(l);
	for (i = 0; i < l->connections; i++)
		l->lane[i].since = l->start;
	do {
		nr_load_need(nr_peers_wait(l->peers, 100), "wait");
		l->now = nr_now_ns();
		nr_load_end_warm_up(l);
		give_up_in_vain(l);
		oldest = l->now - (int64_t)(l->timeout * 1e9);
		for (i = open = 0; i < l->connections; i++) {
			struct nr_bench_peer *p = &l->peers->peer[i];
			struct nr_lane *lane = &l->lane[i];

			if (!p->failed && !lane->subscribed &&
			    lane->since < oldest) {
				l->error[NR_LOAD_TIMEOUT]++;
				lane->subscribed = 1;
			}
			if (!p->failed && !lane->subscribed)
				open++;
			else if (nr_load_more(l) && ++open &&
			    !must_wait(l, p))
				connect_again(l, p);
		}
	} while (open > 0);
	nr_load_cpu(l);
	l->cut_short |= l->part[NR_ROLE_CONNECT].done == 0 && l->refused == 0;
}

/* ---- who reads slowly ---------------------------------------------------- */

static void
drip(struct nr_load *l)
{
	unsigned i;

	for (i = 0; i < l->peers->n; i++)
		if (l->lane[i].role == NR_ROLE_SLOW &&
		    !l->peers->peer[i].failed)
			(void)nr_bench_drip(&l->peers->peer[i],
			    (size_t)((l->drip + 9) / 10));
}

/* A few queries alone, then beside those who are slow. */
static void
run_slow(struct nr_load *l)
{
	uint64_t most = l->most / 2 + l->most % 2;	/* 0: no end */

	make_mix(l);
	l->seconds /= 2;
	l->most = most;
	nr_load_connect(l, MEASURED + l->connections);
	nr_load_roles(l, 0, MEASURED, NR_ROLE_QUERY);
	nr_load_roles(l, MEASURED, l->connections, NR_ROLE_SLOW);
	nr_load_loop(l, NULL);
	l->alone = l->part[NR_ROLE_QUERY];
	l->alone_seconds = nr_load_seconds(l);
	l->part[NR_ROLE_QUERY].hist = nr_load_memory(1, sizeof(struct nr_hist));
	l->part[NR_ROLE_QUERY].done = 0;
	l->warm_up = 0;
	l->most = most > 0 ? l->sent + most : 0;
	make_slow(l);
	nr_load_loop(l, drip);
}

/* ---- by name ------------------------------------------------------------- */

static const struct nr_load_mode modes[] = {
	{ "publish", NR_ROLE_PUBLISH, "published", 1, 1, run_publish },
	{ "query", NR_ROLE_QUERY, "queries", 1, 1, run_query },
	{ "count", NR_ROLE_QUERY, "queries", 1, 1, run_count },
	{ "fanout", NR_ROLE_LISTEN, "deliveries", 1, 1, run_fanout },
	{ "connect", NR_ROLE_CONNECT, "connects", 0, 0, run_connect },
	{ "mixed", NR_ROLE_QUERY, "queries", 1, 0, run_mixed },
	{ "slow", NR_ROLE_QUERY, "queries", 1, 0, run_slow },
	{ "pages", NR_ROLE_QUERY, "queries", 0, 0, run_pages },
	{ "negentropy", NR_ROLE_QUERY, "queries", 0, 1, run_negentropy },
};

const struct nr_load_mode *
nr_load_mode(const char *name)
{
	size_t i;

	for (i = 0; i < sizeof(modes) / sizeof(modes[0]); i++)
		if (strcmp(name, modes[i].name) == 0)
			return &modes[i];
	nr_bad_usage("%s: not " NR_LOAD_MODES, name);
}
