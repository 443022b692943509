/*
 * internal.h - what the files of lib/relay share.
 */
#ifndef NR_RELAY_INTERNAL_H
#define NR_RELAY_INTERNAL_H

#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <time.h>

#include <libwebsockets.h>

#include "event/verify.h"
#include "filter/filter.h"
#include "filter/hll.h"
#include "relay/conn.h"
#include "relay/limits.h"
#include "relay/relay.h"
#include "store/query.h"
#include "store/ranks.h"
#include "util/pool.h"
#include "util/rng.h"
#include "util/sha256.h"

struct nr_access;
struct nr_acceptor;
struct nr_arrival;
struct nr_live;
struct nr_ingest;
struct nr_feed;
struct nr_upkeep;
struct nr_sub;
struct nr_queries;
struct nr_siblings;
struct nr_policy;

/* ---- metrics.c: figures ------------------------------------------------------ */

#define NR_LATENCIES	13

/* Milliseconds, or a number of things, in buckets by powers of ten. */
struct nr_latency {
	atomic_uint_fast64_t	bucket[NR_LATENCIES + 1];	/* the last: more */
	atomic_uint_fast64_t	sum;
};

/* Whoever refuses or answers counts, by the word before the colon. */
enum nr_outcome {
	NR_OUT_OK, NR_OUT_DUPLICATE, NR_OUT_AUTH_REQUIRED, NR_OUT_BLOCKED,
	NR_OUT_ERROR, NR_OUT_INVALID, NR_OUT_MUTE, NR_OUT_POW,
	NR_OUT_RATE_LIMITED, NR_OUT_RESTRICTED, NR_OUT_UNSUPPORTED,
	NR_OUTCOMES
};

/* Kinds that have a label of their own, and sorts of others. */
#define NR_METRIC_KINDS	40
#define NR_METRIC_SORTS	4

enum nr_kind_result { NR_KIND_OK, NR_KIND_DUPLICATE, NR_KIND_REFUSED,
	NR_KIND_RESULTS };

#define NR_VERBS	9	/* those of nr_client_verb */

struct nr_metrics {
	atomic_uint_fast64_t	messages[NR_VERBS];
	atomic_uint_fast64_t	events[NR_OUTCOMES][2];	/* refused, accepted */
	atomic_uint_fast64_t	closed[NR_OUTCOMES];
	atomic_uint_fast64_t	auth[2];		/* refused, accepted */
	atomic_uint_fast64_t	connections;		/* in all */
	atomic_uint_fast64_t	kinds[NR_METRIC_KINDS + NR_METRIC_SORTS]
				    [NR_KIND_RESULTS];
	struct nr_latency	batch;			/* events in it */
	atomic_uint_fast64_t	slow;			/* queries */
	atomic_uint_fast64_t	delivered;		/* live */
	atomic_uint_fast64_t	limits[NR_LIMITS];	/* hits */
	atomic_uint_fast64_t	slowed, bans;
	atomic_uint_fast64_t	compacted;		/* segments, */
	atomic_uint_fast64_t	reclaimed;		/* bytes of them */
	atomic_uint_fast64_t	scrubbed;		/* lines */
	struct nr_latency	ok, query, work;
	struct nr_latency	policy;			/* to a decision */
};

/* An event that was answered; kind is -1 where it could not be read. */
void	nr_count_event(struct nr_relay *r, int kind, int accepted,
	    const char *message, int64_t received);
void	nr_count_closed(struct nr_relay *r, const char *message);
void	nr_latency_add(struct nr_latency *l, int64_t since);
void	nr_latency_value(struct nr_latency *l, int64_t value);

/* All of it, as Prometheus reads it; the socket thread's. */
int	nr_metrics_write(struct nr_relay *r, struct nr_buf *b);

/* ---- http.c ------------------------------------------------------------------- */

/* A request; what is left of it is freed by freeing the body. */
struct nr_http {
	struct nr_buf	body;		/* still to be sent */
};

int	nr_http_request(struct nr_relay *r, struct nr_http *h,
	    struct lws *wsi);
int	nr_http_body(struct nr_http *h, struct lws *wsi);
int	nr_http_upgrade(struct nr_relay *r, struct lws *wsi);

struct nr_relay {
	struct nr_relay_config	*config;	/* see nr_relay_reading() */
	pthread_rwlock_t	 config_lock;
	_Atomic(struct nr_relay_config *) next_config;
	struct nr_relay_config	*old_config;	/* once it is taken */
	sem_t			 config_taken;
	atomic_int		 ended;
	struct nr_store		*st;
	atomic_size_t		 sync_bytes;	/* of all sessions, see sync.c */
	unsigned		 nstuck;	/* connections that are */
	int			 peeked;	/* one of them has been */
	lws_sorted_usec_list_t	 peeking;
	nr_log_fn		*log;
	atomic_int		 log_level;

	struct lws_context	*lws;
	struct lws_vhost	*vhost;
	struct lws_vhost	*tls_vhost;	/* NULL without TLS */

	atomic_int		 woken;		/* the socket thread was */
	atomic_int		 leaving;
	atomic_int		 alive;		/* went round since it was asked */
	atomic_int		 stopping;	/* how often we were told */
	atomic_int		 room;		/* the ingest has some again */
	atomic_int		 fatal;		/* no more can be stored: why */

	pthread_mutex_t		 dirty_lock;
	struct nr_conn		*dirty;		/* have something to send */

	/* The socket thread's. */
	struct nr_conn		*conns;
	uint64_t		 nconns;
	int			 held;		/* some have a backlog */
	uint64_t		 nsockets;	/* of clients, with HTTP */
	struct nr_arrival	*adopting;	/* not libwebsockets' yet */
	struct nr_buf		 reply;
	struct nr_snap		*snap;		/* to see what is stored */
	struct nr_sha256	*sha;
	lws_retry_bo_t		 retry;		/* when to ping */
	lws_sorted_usec_list_t	 expiring;	/* the certificate */
	lws_sorted_usec_list_t	 watching;	/* who takes nothing */
	lws_sorted_usec_list_t	 timer;		/* while draining */
	int64_t			 drain_since;	/* ms */
	int64_t			 drain_until;	/* ms, 0: not draining */
	int			 closing;	/* connections, when drained */
	int64_t			 leave_until;	/* ms, 0: not leaving */
	int64_t			 leave_next;	/* ms, of the next step */
	struct nr_rng		 leave_rng;

	uint64_t		 page_events;	/* as page.c has counted */
	int64_t			 page_counted;	/* ms */

	struct nr_metrics	 metrics;
	time_t			 started;
	struct nr_acceptor	*acceptor;
	struct nr_siblings	*siblings;
	struct nr_access	*access;
	struct nr_limits	*limits;
	struct nr_policy	*policy;
	struct nr_live		*live;
	struct nr_ingest	*ingest;
	struct nr_feed		*feed;
	struct nr_upkeep	*upkeep;
	struct nr_queries	*queries;
};

/*
 * Have the socket thread look at a connection, whose reference is handed
 * over, when it is woken next.  Waking it is left to those who send: at
 * the end of a batch, so that what goes to one connection goes in one
 * piece.
 */
void	nr_relay_dirty(struct nr_relay *r, struct nr_conn *c);
void	nr_relay_wake(struct nr_relay *r);

/*
 * A policy lets it in, or says why not (NULL: it is not told); the socket
 * thread's.
 */
void	nr_relay_admit(struct nr_conn *c, int admitted, const char *why);

/* Have what waits at a connection tried again; the socket thread's. */
void	nr_relay_later(struct nr_conn *c, int64_t ns);

/*
 * The configuration is replaced by the socket thread, which may use it at
 * any time; other threads do so between these two, which are never nested.
 */
void	nr_relay_reading(struct nr_relay *r);
void	nr_relay_read(struct nr_relay *r);

/* Nothing can be stored any more: log it, and stop. */
void	nr_relay_fail(struct nr_relay *r, int rc);

/* Why no client should be sent here; NULL where one may be. */
const char *nr_relay_unready(const struct nr_relay *r);

/* ---- log.c: lines for the operator ------------------------------------------- */

/* Are lines of this level wanted? */
int	nr_relay_logs(const struct nr_relay *r, enum nr_log_level level);

/* A line, as an event of the sort "relay" or of another; see nr_log_fn. */
void	nr_relay_log(struct nr_relay *r, enum nr_log_level level,
	    const char *fmt, ...) __attribute__((format(printf, 3, 4)));
void	nr_relay_note(struct nr_relay *r, enum nr_log_level level,
	    const char *event, const char *fields, const char *fmt, ...)
	    __attribute__((format(printf, 5, 6)));

void	nr_log_opened(struct nr_conn *c);
void	nr_log_closed(struct nr_conn *c, int64_t now);

/* what is EVENT or REQ; why the words that the client gets. */
void	nr_log_refused(struct nr_relay *r, const char *what,
	    const char *why);

/* At the end of a query: was it slow?  The query thread's. */
void	nr_log_slow(struct nr_sub *s, int64_t now);

/* ---- origin.c: whose connection it is ----------------------------------------- */

/* May it tell for whom it comes?  Any thread. */
int	nr_origin_trusts(struct nr_relay *r, const struct nr_arrival *v);

/* Its address where no request can tell another one; else NULL. */
const struct nr_ip *nr_origin_known(const struct nr_relay *r,
	    const struct nr_arrival *v);

/*
 * The address of whoever made a request; while its headers are there, and
 * the socket thread's.  Returns 0 where it has none that counts: see
 * struct nr_conn.
 */
int	nr_origin(struct nr_relay *r, struct lws *wsi,
	    struct nr_ip *out);

/* ---- leave.c: to another process ------------------------------------------------ */

/* One step of leaving; the socket thread's. */
void	nr_leave_step(struct nr_relay *r);

/* When to close a connection that has come. */
void	nr_leave_plan(struct nr_relay *r, struct nr_conn *c);

/* ---- access.c: who may read and write what ---------------------------------- */

int	nr_access_new(struct nr_access **out);
void	nr_access_free(struct nr_access *a);

/* Send the challenge of a new connection.  Returns 0 or EIO. */
int	nr_access_greet(struct nr_conn *c);

/* Take an AUTH message's event, and answer it; the socket thread's. */
void	nr_access_auth(struct nr_conn *c, struct nr_view json);

/* Is this JSON text one of the relay's own URLs?  Any thread. */
int	nr_access_is_own_url(struct nr_conn *c, struct nr_view text);

/*
 * Why a subscription, or an event, is refused, in NIP-01's and NIP-42's
 * words; NULL where it is not.
 */
const char *nr_access_read(struct nr_conn *c, const struct nr_filter *f,
	    size_t n);
const char *nr_access_write(struct nr_conn *c, const struct nr_event *ev);

/* The same for a request to vanish, which any author may make (NIP-62). */
const char *nr_access_vanish(struct nr_conn *c, const struct nr_event *ev);

/*
 * The one rule for what a client is shown: of private kinds, what it wrote
 * or is addressed to.  Any thread.
 */
int	nr_may_read(struct nr_conn *c, const struct nr_event *ev);
int	nr_kind_private(const struct nr_relay_config *config, unsigned kind);

/* ---- pack.c: permessage-deflate ---------------------------------------------- */

extern const struct lws_extension nr_pack_extension[];

/* May an upgrade have it?  While its headers are there. */
int	nr_pack_wanted(const struct nr_relay *r, struct lws *wsi);

/* Complete the answer to an upgrade.  Returns whether it has it. */
int	nr_pack_agree(struct lws_process_html_args *args);

/* ---- live.c: subscriptions ------------------------------------------------- */

struct nr_live_filter;

/* What a COUNT has so far; the query thread's. */
struct nr_count {
	uint64_t		 n;
	int			 has_hll;
	unsigned		 offset;
	unsigned char		 hll[NR_HLL_REGISTERS];
};

struct nr_sub {
	struct nr_conn		*conn;		/* a reference */
	atomic_uint		 refs;
	char			*id;		/* normal text */
	size_t			 idlen;
	struct nr_filter	*filters;
	size_t			 nfilters;
	size_t			 nvalues;	/* in their lists */

	/* Under the lock of the live subscriptions. */
	struct nr_live_filter	*entry;		/* one a filter */
	int			 querying;	/* EOSE has not been sent */
	struct nr_chunks	 pending;	/* live events until then */
	uint64_t		 from;		/* stored events before: no */
	uint64_t		 seen;		/* the last event looked at */

	int64_t			 begun;		/* ms */
	int64_t			 busy;		/* ns, of query threads */
	unsigned		 slices;
	uint64_t		 units;		/* of nr_query_next() */
	/* At most one; then it has no entry. */
	struct nr_count		*count;		/* of a COUNT */
	struct nr_sync		*sync;		/* of a NEG-OPEN */
	atomic_int		 closed;	/* send nothing more for it */
	struct nr_query		*query;		/* the query thread's */
	struct nr_sub		*next_task;	/* in a queue of queries */
	struct nr_sub		*next;		/* of the connection */
};


/* What a subscription's id is an id of: each has its own ids. */
enum nr_sub_sort { NR_SUB_REQ, NR_SUB_COUNT, NR_SUB_SYNC };

enum nr_sub_sort nr_sub_sort(const struct nr_sub *s);
void	nr_sub_ref(struct nr_sub *s);
void	nr_sub_unref(struct nr_sub *s);

int	nr_live_new(struct nr_live **out, struct nr_relay *r);
void	nr_live_free(struct nr_live *l);

/*
 * From now on live events are kept for the subscription.  sn is renewed
 * and released: what it shows is the stored query's to find, so that what
 * was answered with OK, or imported, before a REQ is never live to it.
 * before   the number that divides the two
 * Returns  0, ENOMEM, or what the store says.
 */
int	nr_live_add(struct nr_live *l, struct nr_sub *s, struct nr_snap *sn,
	    uint64_t *before);
void	nr_live_remove(struct nr_live *l, struct nr_sub *s);

/* Is a REQ or COUNT of the connection unanswered?  The socket thread's. */
int	nr_live_busy(struct nr_live *l, struct nr_conn *c);

/*
 * The stored query is done: send EOSE and what came meanwhile.
 * hint  NIP-67's, or NULL
 */
void	nr_live_eose(struct nr_live *l, struct nr_sub *s, const char *hint);

/*
 * Give an event to the subscriptions that it matches.
 * number   of a stored event; UINT64_MAX for others
 * Returns  how many there are.
 */
size_t	nr_live_publish(struct nr_live *l, const struct nr_event *ev,
	    struct nr_view line, uint64_t number);

/* ---- ingest.c: events on their way into the store ---------------------------- */

int	nr_ingest_new(struct nr_ingest **out, struct nr_relay *r);

/* Wait until everything is stored and answered; end the threads. */
void	nr_ingest_free(struct nr_ingest *in);

/* Log what the store says, or end where nothing can be stored any more. */
void	nr_store_trouble(struct nr_relay *r, int rc);

/* ---- upkeep.c: looking after the store ---------------------------------------- */

int	nr_upkeep_new(struct nr_upkeep **out, struct nr_relay *r);
void	nr_upkeep_free(struct nr_upkeep *u);		/* NULL is allowed */

/*
 * Take a copy of an event's JSON.  Returns 0 where there is no room: try
 * again when r->room is set.
 */
int	nr_ingest_push(struct nr_ingest *in, struct nr_conn *c,
	    struct nr_view json);

/* Hand over what was pushed; at the end of a round of the sockets. */
void	nr_ingest_flush(struct nr_ingest *in);

/* Nothing is on its way. */
int	nr_ingest_idle(struct nr_ingest *in);

/* A policy has decided about some; any thread. */
void	nr_ingest_decided(struct nr_ingest *in);

/* Events on their way, and their bytes. */
size_t	nr_ingest_events(struct nr_ingest *in);
size_t	nr_ingest_bytes(struct nr_ingest *in);

/* ---- feed.c: what was stored, by whomever ---------------------------------------- */

int	nr_feed_new(struct nr_feed **out, struct nr_relay *r);
void	nr_feed_free(struct nr_feed *f);

/* Something has been stored. */
void	nr_feed_ring(struct nr_feed *f);

/* ---- queries.c: stored events ------------------------------------------------------ */

int	nr_queries_new(struct nr_queries **out, struct nr_relay *r);
void	nr_queries_stop(struct nr_queries *q);	/* its threads */
void	nr_queries_free(struct nr_queries *q);

/* Answer a subscription's stored part; takes a reference. */
void	nr_queries_add(struct nr_queries *q, struct nr_sub *s);

/* How many wait for their turn, of one lane or (NULL) of all. */
size_t	nr_queries_waiting(struct nr_queries *q, struct nr_lane *lane);

/* Go on with queries that waited for a connection's output. */
void	nr_queries_resume(struct nr_queries *q, struct nr_conn *c);

/* ---- sync.c: reconciliation (NIP-77) ----------------------------------------------- */

struct nr_sync;

/*
 * A session that begins with this message, in hexadecimal; of a client
 * whose subscription s is.
 * Returns  0 or ENOMEM.
 */
int	nr_sync_new(struct nr_sync **out, struct nr_sub *s,
	    struct nr_view hex);
void	nr_sync_free(struct nr_sync *y);		/* NULL is allowed */

/*
 * The next message; the socket thread's.
 * Returns  0, ENOMEM, or EBUSY where the last one has not been answered.
 */
int	nr_sync_message(struct nr_sync *y, struct nr_view hex);

/*
 * Which events must be gathered; the filters are borrowed from the
 * subscription.
 */
int	nr_sync_plan(struct nr_sub *s, const struct nr_filter **filters,
	    size_t *n);

/* Since when has it waited for its client?  Milliseconds; 0: it does not. */
int64_t	nr_sync_idle_since(struct nr_sync *y);

/*
 * Some work for it; a query thread's.
 * state    NR_QUERY_PAUSE: there is more to do; NR_QUERY_END: until a
 *	    message comes
 * units    of work that was done
 * out	    the answer, if there is one, is added; nr_sync_send() sends it,
 *	    after which the session is another thread's
 */
int	nr_sync_work(struct nr_sub *s, struct nr_snap *sn, int64_t budget,
	    struct nr_ranks *ranks, enum nr_query_state *state,
	    uint64_t *units, struct nr_chunks *out);
void	nr_sync_send(struct nr_sub *s, struct nr_chunks *out);

/* Tell the client that it is over.  Any thread. */
void	nr_sync_refuse(struct nr_conn *c, struct nr_view id, const char *why,
	    uint64_t most);

/* ---- info.c: the relay information document (NIP-11) ------------------------------ */

int	nr_info_write(struct nr_buf *b, const struct nr_relay_config *c);

/*
 * Add a member whose value is a string, as plain text; what the operator
 * gave as nip11 goes before the key.  Adds nothing where there is none.
 */
int	nr_info_text(struct nr_buf *b, const struct nr_relay_config *c,
	    const char *name);

/* The NIPs that this configuration supports, in order; returns how many. */
#define NR_INFO_NIPS	64
size_t	nr_info_nips(unsigned nip[NR_INFO_NIPS],
	    const struct nr_relay_config *c);

/* ---- page.c: for browsers --------------------------------------------------------- */

/* The page of the relay; the socket thread's. */
int	nr_page_write(struct nr_relay *r, struct nr_buf *b);

/* The value of its Content-Security-Policy header. */
#define NR_PAGE_POLICY	256
void	nr_page_policy(struct nr_relay *r, char out[NR_PAGE_POLICY]);

/* The picture for a browser's tab: SVG. */
extern const char nr_page_icon[];

#endif
