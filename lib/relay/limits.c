/*
 * Who has had how much, and what follows when it was too much.
 */
#include "relay/limits.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "relay/internal.h"
#include "util/err.h"
#include "util/rate.h"
#include "util/times.h"
#include "wire/ip.h"

#define PARTIES_MAX	65536	/* remembered, besides those connected */
#define BUCKETS		16384	/* of the table; a power of two */
#define SPARE_SOCKETS	64	/* of an address */
#define SECOND		INT64_C(1000000000)

const char *const nr_limit_name[NR_LIMITS] = {
	[NR_LIMIT_CONNECTIONS] = "max_connections",
	[NR_LIMIT_CONNECT] = "connect_rate",
	[NR_LIMIT_IP_CONNECTIONS] = "ip_connections",
	[NR_LIMIT_IP_CONNECT] = "ip_connect_rate",
	[NR_LIMIT_KEY_CONNECTIONS] = "key_connections",
	[NR_LIMIT_KEY_CONNECT] = "key_connect_rate",
	[NR_LIMIT_BANNED] = "banned",
	[NR_LIMIT_MESSAGES] = "message_rate",
	[NR_LIMIT_BYTES] = "byte_rate",
	[NR_LIMIT_EVENTS] = "event_rate",
	[NR_LIMIT_EVENT_BYTES] = "event_byte_rate",
	[NR_LIMIT_IP_EVENTS] = "ip_event_rate",
	[NR_LIMIT_KEY_EVENTS] = "key_event_rate",
	[NR_LIMIT_IP_QUERIES] = "ip_query_rate",
	[NR_LIMIT_QUERIES] = "max_queries",
	[NR_LIMIT_AUTH_FAILURES] = "ip_auth_failures",
	[NR_LIMIT_SUBSCRIPTIONS] = "max_subscriptions",
	[NR_LIMIT_FILTERS] = "max_filters",
	[NR_LIMIT_VALUES] = "max_values",
	[NR_LIMIT_MESSAGE_SIZE] = "max_message",
	[NR_LIMIT_BAD_MESSAGES] = "max_bad_messages",
	[NR_LIMIT_OUTPUT] = "output_close",
};

enum sort { ADDRESS, KEY };

struct nr_party {
	struct nr_party	*chain;		/* in the table */
	struct nr_party	*prev, *next;	/* idle ones, by when they became so */
	unsigned char	 id[33];	/* its sort, and what it is */
	unsigned	 refs;		/* connections that may look at it */
	unsigned	 connections;	/* those that are open */
	unsigned	 sockets;	/* the same, and what may become one */
	struct nr_bucket connects, events, queries, auth_failures;
	struct nr_bucket refusals, closes;
	int64_t		 banned_until;	/* ns */
	struct nr_lane	 lane;		/* see nr_limits_lane() */
};

struct nr_limits {
	struct nr_relay	*relay;
	uint64_t	 seed;
	pthread_mutex_t	 lock;
	struct nr_party	*table[BUCKETS];
	struct nr_party	 idle;		/* the head of the ring */
	size_t		 nidle, nparties;
	struct nr_bucket connects, events, event_bytes;	/* of all */
};

static unsigned
seconds(int64_t ns)
{
	return (unsigned)((ns + SECOND - 1) / SECOND);
}

void
nr_limits_hit(struct nr_relay *r, enum nr_limit what)
{
	atomic_fetch_add_explicit(&r->metrics.limits[what], 1,
	    memory_order_relaxed);
}

/* ---- parties --------------------------------------------------------------- */

static struct nr_party **
slot_of(struct nr_limits *l, const unsigned char id[33])
{
	uint64_t h = l->seed ^ id[0], v;
	unsigned i;

	/* Nobody outside knows the seed, so nobody can fill one chain. */
	for (i = 1; i < 33; i += 8) {
		memcpy(&v, id + i, 8);
		h = (h ^ v) * UINT64_C(0x9e3779b97f4a7c15);
		h ^= h >> 29 ^ l->seed << 1;
	}
	return &l->table[(h ^ h >> 32) & (BUCKETS - 1)];
}

static void
unlink_idle(struct nr_limits *l, struct nr_party *p)
{
	p->prev->next = p->next;
	p->next->prev = p->prev;
	l->nidle--;
}

static void
drop(struct nr_limits *l, struct nr_party *p)
{
	struct nr_party **at = slot_of(l, p->id);

	while (*at != p)
		at = &(*at)->chain;
	*at = p->chain;
	unlink_idle(l, p);
	l->nparties--;
	free(p);
}

/* Of some that have been idle for longest, one that is not banned. */
static struct nr_party *
oldest(struct nr_limits *l)
{
	struct nr_party *p = l->idle.next;
	int64_t now = nr_now_ns();
	unsigned i;

	for (i = 0; i < 64 && p != &l->idle; i++, p = p->next)
		if (p->banned_until <= now)
			return p;
	return l->idle.next;
}

static void
make_idle(struct nr_limits *l, struct nr_party *p)
{
	p->next = &l->idle;
	p->prev = l->idle.prev;
	p->prev->next = p;
	l->idle.prev = p;
	if (++l->nidle > PARTIES_MAX)
		drop(l, oldest(l));
}

/* The party with this id, which is made where there is none. */
static struct nr_party *
hold(struct nr_limits *l, const unsigned char id[33])
{
	struct nr_party **at = slot_of(l, id), *p;

	for (p = *at; p != NULL; p = p->chain)
		if (memcmp(p->id, id, sizeof(p->id)) == 0) {
			if (p->refs++ == 0)
				unlink_idle(l, p);
			return p;
		}
	if ((p = calloc(1, sizeof(*p))) == NULL)
		return NULL;
	memcpy(p->id, id, sizeof(p->id));
	p->refs = 1;
	p->chain = *at;
	*at = p;
	l->nparties++;
	return p;
}

static void
let_go(struct nr_limits *l, struct nr_party *p)
{
	if (p != NULL && --p->refs == 0)
		make_idle(l, p);
}

static struct nr_party *
hold_address(struct nr_limits *l, const struct nr_ip *ip)
{
	struct nr_ip group = nr_ip_group(ip);
	unsigned char id[33] = { ADDRESS };

	memcpy(id + 1, group.bytes, sizeof(group.bytes));
	return hold(l, id);
}

struct nr_lane *
nr_limits_lane(struct nr_conn *c)
{
	return c->party != NULL ? &c->party->lane : &c->lane;
}

size_t
nr_limits_parties(struct nr_limits *l)
{
	size_t n;

	pthread_mutex_lock(&l->lock);
	n = l->nparties;
	pthread_mutex_unlock(&l->lock);
	return n;
}

/* ---- connections ------------------------------------------------------------- */

/* What keeps another connection out, and for how long. */
static int64_t
connect_wait(struct nr_limits *l, struct nr_party *p, int to_stay,
    int64_t now, enum nr_limit *what)
{
	const struct nr_relay_config *c = l->relay->config;
	int64_t wait;

	*what = NR_LIMIT_CONNECT;
	if ((wait = nr_bucket_wait(&l->connects, &c->connect_rate, 1,
	    now)) > 0 || p == NULL)
		return wait;
	*what = NR_LIMIT_BANNED;
	if (p->banned_until > now)
		return p->banned_until - now;
	*what = NR_LIMIT_IP_CONNECTIONS;
	if (to_stay && c->ip_connections > 0 &&
	    p->connections >= c->ip_connections)
		return 10 * SECOND;
	*what = NR_LIMIT_IP_CONNECT;
	return nr_bucket_wait(&p->connects, &c->ip_connect_rate, 1, now);
}

unsigned
nr_limits_connect(struct nr_limits *l, const struct nr_ip *ip, int to_stay)
{
	const struct nr_relay_config *c = l->relay->config;
	struct nr_party *p = NULL;
	enum nr_limit what;
	int64_t now = nr_now_ns(), wait;

	pthread_mutex_lock(&l->lock);
	if (ip != NULL)
		p = hold_address(l, ip);
	if ((wait = connect_wait(l, p, to_stay, now, &what)) == 0) {
		nr_bucket_take(&l->connects, &c->connect_rate, 1, now);
		if (p != NULL)
			nr_bucket_take(&p->connects, &c->ip_connect_rate, 1,
			    now);
	} else
		nr_limits_hit(l->relay, what);
	let_go(l, p);
	pthread_mutex_unlock(&l->lock);
	return seconds(wait);
}

int
nr_limits_arrive(struct nr_limits *l, const struct nr_ip *ip,
    struct nr_party **party)
{
	uint64_t most = l->relay->config->ip_connections;
	struct nr_party *p;
	int rc = NR_OK;

	pthread_mutex_lock(&l->lock);
	if ((p = hold_address(l, ip)) == NULL)
		rc = ENOMEM;
	else if (most > 0 && p->sockets >= most + most / 4 + SPARE_SOCKETS) {
		nr_limits_hit(l->relay, NR_LIMIT_IP_CONNECTIONS);
		let_go(l, p);
		rc = EAGAIN;
	} else {
		p->sockets++;
		*party = p;
	}
	pthread_mutex_unlock(&l->lock);
	return rc;
}

void
nr_limits_depart(struct nr_limits *l, struct nr_party *party)
{
	pthread_mutex_lock(&l->lock);
	party->sockets--;
	let_go(l, party);
	pthread_mutex_unlock(&l->lock);
}

int
nr_limits_enter(struct nr_conn *c, const struct nr_ip *ip)
{
	struct nr_limits *l = c->relay->limits;

	if (ip == NULL)
		return NR_OK;
	pthread_mutex_lock(&l->lock);
	if ((c->party = hold_address(l, ip)) != NULL)
		c->party->connections++;
	pthread_mutex_unlock(&l->lock);
	return c->party != NULL ? NR_OK : ENOMEM;
}

void
nr_limits_leave(struct nr_conn *c)
{
	struct nr_limits *l = c->relay->limits;
	unsigned i;

	pthread_mutex_lock(&l->lock);
	if (c->party != NULL)
		c->party->connections--;
	for (i = 0; i < c->nkey_parties; i++)
		c->key_party[i]->connections--;
	pthread_mutex_unlock(&l->lock);
}

void
nr_limits_forget(struct nr_conn *c)
{
	struct nr_limits *l = c->relay->limits;
	unsigned i;

	if (c->party == NULL && c->nkey_parties == 0)
		return;
	pthread_mutex_lock(&l->lock);
	let_go(l, c->party);
	for (i = 0; i < c->nkey_parties; i++)
		let_go(l, c->key_party[i]);
	pthread_mutex_unlock(&l->lock);
}

const char *
nr_limits_key(struct nr_conn *c, unsigned n, const unsigned char key[32])
{
	const struct nr_relay_config *config = c->relay->config;
	struct nr_limits *l = c->relay->limits;
	int64_t now = nr_now_ns();
	const char *why = NULL;
	unsigned char id[33];
	struct nr_party *p;

	id[0] = KEY;
	memcpy(id + 1, key, 32);
	pthread_mutex_lock(&l->lock);
	if ((p = hold(l, id)) == NULL)
		why = "error: out of memory";
	else if (config->key_connections > 0 &&
	    p->connections >= config->key_connections) {
		why = "rate-limited: too many connections with this key";
		nr_limits_hit(c->relay, NR_LIMIT_KEY_CONNECTIONS);
	} else if (nr_bucket_try(&p->connects, &config->key_connect_rate, 1,
	    now) > 0) {
		why = "rate-limited: too many connections with this key, "
		    "try again later";
		nr_limits_hit(c->relay, NR_LIMIT_KEY_CONNECT);
	}
	if (why == NULL) {
		p->connections++;
		c->key_party[n] = p;
		c->nkey_parties = n + 1;
	} else
		let_go(l, p);
	pthread_mutex_unlock(&l->lock);
	return why;
}

/* ---- messages ------------------------------------------------------------------- */

/* Everything that a message is counted at. */
struct toll {
	struct {
		struct nr_bucket	*bucket;
		const struct nr_rate	*rate;
		uint64_t		 n;
		enum nr_limit		 what;
	} gate[8 + NR_CONN_KEYS];
	unsigned	n;
};

static void
add(struct toll *t, struct nr_bucket *b, const struct nr_rate *r, uint64_t n,
    enum nr_limit what)
{
	if (r->count == 0)
		return;
	t->gate[t->n].bucket = b;
	t->gate[t->n].rate = r;
	t->gate[t->n].n = n;
	t->gate[t->n++].what = what;
}

static void
list(struct toll *t, struct nr_conn *c, enum nr_want want, size_t len)
{
	const struct nr_relay_config *config = c->relay->config;
	struct nr_limits *l = c->relay->limits;
	unsigned i;

	t->n = 0;
	if (c->party != NULL) {
		add(t, &c->messages, &config->message_rate, 1,
		    NR_LIMIT_MESSAGES);
		add(t, &c->bytes, &config->byte_rate, len, NR_LIMIT_BYTES);
	}
	if (want == NR_WANT_EVENT) {
		add(t, &l->events, &config->event_rate, 1, NR_LIMIT_EVENTS);
		add(t, &l->event_bytes, &config->event_byte_rate, len,
		    NR_LIMIT_EVENT_BYTES);
		if (c->party != NULL)
			add(t, &c->party->events, &config->ip_event_rate, 1,
			    NR_LIMIT_IP_EVENTS);
		for (i = 0; i < c->nkey_parties; i++)
			add(t, &c->key_party[i]->events,
			    &config->key_event_rate, 1, NR_LIMIT_KEY_EVENTS);
	} else if (want != NR_WANT_OTHER && c->party != NULL)
		/* Its price is known when it is done: nothing may be owed. */
		add(t, &c->party->queries, &config->ip_query_rate, 0,
		    NR_LIMIT_IP_QUERIES);
}

/* The longest wait of all gates. */
static int64_t
longest(const struct toll *t, int64_t now, enum nr_limit *what)
{
	int64_t most = 0, wait;
	unsigned i;

	for (i = 0; i < t->n; i++) {
		wait = nr_bucket_wait(t->gate[i].bucket, t->gate[i].rate,
		    t->gate[i].n, now);
		if (wait > most) {
			most = wait;
			*what = t->gate[i].what;
		}
	}
	return most;
}

static void
pay(const struct toll *t, int64_t now)
{
	unsigned i;

	for (i = 0; i < t->n; i++)
		nr_bucket_take(t->gate[i].bucket, t->gate[i].rate,
		    t->gate[i].n, now);
}

/*
 * Somebody is refused something: too often, and the connection ends; that
 * too often, and its address is banned.
 */
static void
refused(struct nr_conn *c, int64_t now)
{
	const struct nr_relay_config *config = c->relay->config;
	struct nr_party *p = c->party;

	if (p == NULL)
		return;
	if (nr_bucket_try(&p->refusals, &config->ip_refusals, 1, now) == 0)
		return;
	nr_conn_doom(c, NR_CLOSE_POLICY, "rate-limited: too much");
	if (nr_bucket_try(&p->closes, &config->ip_closes, 1, now) == 0)
		return;
	if (p->banned_until <= now && config->ban_seconds > 0) {
		p->banned_until = now +
		    (int64_t)config->ban_seconds * SECOND;
		atomic_fetch_add(&c->relay->metrics.bans, 1);
		nr_relay_log(c->relay, NR_LOG_INFO, "an address is banned "
		    "for %" PRIu64 " s", config->ban_seconds);
	}
}

static int
is_banned(struct nr_conn *c, int64_t now)
{
	if (c->party == NULL || c->party->banned_until <= now)
		return 0;
	nr_limits_hit(c->relay, NR_LIMIT_BANNED);
	nr_conn_doom(c, NR_CLOSE_POLICY, "rate-limited: banned for a while");
	return 1;
}

/*
 * More queries than can be answered: counts give way first, and an address
 * leaves room for others.
 */
static int
overloaded(struct nr_conn *c, enum nr_want want)
{
	uint64_t most = c->relay->config->max_queries;
	struct nr_queries *q = c->relay->queries;

	if (want != NR_WANT_QUERY && want != NR_WANT_COUNT)
		return 0;
	if (want == NR_WANT_COUNT)
		most = (most + 1) / 2;
	return nr_queries_waiting(q, NULL) >= most || (c->party != NULL &&
	    nr_queries_waiting(q, nr_limits_lane(c)) >= (most + 3) / 4);
}

static void
say_when(char why[NR_LIMITS_WHY], int64_t wait)
{
	snprintf(why, NR_LIMITS_WHY, "rate-limited: try again in %u s",
	    seconds(wait));
}

/* What has been paid when the wait began is not asked for again. */
static void
keep_unpaid(struct toll *t)
{
	unsigned i, n = 0;

	for (i = 0; i < t->n; i++)
		if (t->gate[i].n == 0)
			t->gate[n++] = t->gate[i];
	t->n = n;
}

/* It pays at once, so that whoever comes after it waits behind it. */
static void
queue_up(struct nr_conn *c, const struct toll *t, int64_t now, int64_t wait)
{
	if (c->turn == 0) {
		pay(t, now);
		atomic_fetch_add(&c->relay->metrics.slowed, 1);
	}
	c->turn = now + wait;
}

/* The same as nr_limits_take(), under the lock and past its turn. */
static int
take(struct nr_conn *c, enum nr_want want, size_t len, int64_t now,
    char why[NR_LIMITS_WHY])
{
	int64_t wait,
	    most = (int64_t)c->relay->config->slow_ms * 1000000;
	enum nr_limit what = NR_LIMIT_QUERIES;
	struct toll t;

	list(&t, c, want, len);
	if (c->turn != 0)
		keep_unpaid(&t);
	wait = longest(&t, now, &what);
	if (wait > 0 && wait <= most) {
		queue_up(c, &t, now, wait);
		return -1;
	}
	c->turn = 0;
	if (wait == 0 && !overloaded(c, want)) {
		pay(&t, now);
		return 1;
	}
	say_when(why, wait > 0 ? wait : 5 * SECOND);
	nr_limits_hit(c->relay, what);
	refused(c, now);
	return 0;
}

int
nr_limits_take(struct nr_conn *c, enum nr_want want, size_t len,
    char why[NR_LIMITS_WHY], int64_t *after)
{
	struct nr_limits *l = c->relay->limits;
	int64_t now = nr_now_ns();
	int rc = -1;

	pthread_mutex_lock(&l->lock);
	if (is_banned(c, now)) {
		rc = 0;
		c->turn = 0;
		say_when(why, c->party->banned_until - now);
	} else if (c->turn <= now)
		rc = take(c, want, len, now, why);
	*after = c->turn - now;
	pthread_mutex_unlock(&l->lock);
	return rc;
}

int64_t
nr_limits_worked(struct nr_conn *c, uint64_t units)
{
	const struct nr_rate *rate = &c->relay->config->ip_query_rate;
	struct nr_limits *l = c->relay->limits;
	int64_t now = nr_now_ns(), wait;

	if (c->party == NULL || rate->count == 0)
		return 0;
	pthread_mutex_lock(&l->lock);
	nr_bucket_take(&c->party->queries, rate, units, now);
	wait = nr_bucket_wait(&c->party->queries, rate, 0, now);
	pthread_mutex_unlock(&l->lock);
	return wait;
}

int
nr_limits_may_auth(struct nr_conn *c, char why[NR_LIMITS_WHY])
{
	const struct nr_rate *rate = &c->relay->config->ip_auth_failures;
	struct nr_limits *l = c->relay->limits;
	int64_t now = nr_now_ns(), wait = 0;

	if (c->party == NULL)
		return 1;
	pthread_mutex_lock(&l->lock);
	wait = nr_bucket_wait(&c->party->auth_failures, rate, 1, now);
	if (wait > 0) {
		say_when(why, wait);
		nr_limits_hit(c->relay, NR_LIMIT_AUTH_FAILURES);
		refused(c, now);
	}
	pthread_mutex_unlock(&l->lock);
	return wait == 0;
}

void
nr_limits_bad_auth(struct nr_conn *c)
{
	struct nr_limits *l = c->relay->limits;

	if (c->party == NULL)
		return;
	pthread_mutex_lock(&l->lock);
	nr_bucket_take(&c->party->auth_failures,
	    &c->relay->config->ip_auth_failures, 1, nr_now_ns());
	pthread_mutex_unlock(&l->lock);
}

/* ---- beginning and end ------------------------------------------------------------ */

int
nr_limits_new(struct nr_limits **out, struct nr_relay *r)
{
	struct nr_limits *l;

	if ((l = calloc(1, sizeof(*l))) == NULL)
		return ENOMEM;
	if (getrandom(&l->seed, sizeof(l->seed), 0) != sizeof(l->seed)) {
		free(l);
		return EIO;
	}
	l->relay = r;
	l->idle.next = l->idle.prev = &l->idle;
	pthread_mutex_init(&l->lock, NULL);
	*out = l;
	return NR_OK;
}

void
nr_limits_free(struct nr_limits *l)
{
	if (l == NULL)
		return;
	while (l->idle.next != &l->idle)
		drop(l, l->idle.next);
	pthread_mutex_destroy(&l->lock);
	free(l);
}
