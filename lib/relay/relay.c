/*
 * The sockets: libwebsockets does HTTP, upgrades, control frames and
 * closing; frames of text are written as they are, many at a time.
 */
#include "relay/relay.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <libwebsockets.h>

#include "relay/accept.h"
#include "relay/internal.h"
#include "relay/policy.h"
#include "relay/session.h"
#include "relay/siblings.h"
#include "relay/tls.h"
#include "util/err.h"
#include "util/times.h"
#include "wire/message.h"

#define WRITE_ROUND	((size_t)256 * 1024)	/* for one connection */
#define PONG_SECONDS	30	/* for an answer to a ping, at most */
#define CLOSE_SECONDS	3	/* for a peer to close, too */
#define EXPIRY_DAYS	14	/* left, of the certificate: say so */
#define SPARE_SOCKETS	64	/* that ask by HTTP, or say nothing yet */
#define STALL_MS	1000	/* without taking a byte, while draining */

/* What libwebsockets keeps for us with each connection. */
struct session {
	struct nr_conn	*conn;		/* once it is a WebSocket */
	struct nr_http	 http;		/* before that */
};

static struct nr_relay *
relay_of(struct lws *wsi)
{
	return lws_context_user(lws_get_context(wsi));
}

void
nr_relay_wake(struct nr_relay *r)
{
	if (atomic_exchange(&r->woken, 1) == 0)
		lws_cancel_service(r->lws);
}

void
nr_relay_dirty(struct nr_relay *r, struct nr_conn *c)
{
	pthread_mutex_lock(&r->dirty_lock);
	c->next_dirty = r->dirty;
	r->dirty = c;
	pthread_mutex_unlock(&r->dirty_lock);
}

void
nr_relay_fail(struct nr_relay *r, int rc)
{
	int none = 0;

	if (!atomic_compare_exchange_strong(&r->fatal, &none, rc))
		return;
	nr_relay_note(r, NR_LOG_ERROR, "store", NULL,
	    "nothing more can be stored: %s", nr_strerror(rc));
	none = 0;
	atomic_compare_exchange_strong(&r->stopping, &none, 1);
	nr_relay_wake(r);
}

void
nr_relay_stop(struct nr_relay *r)
{
	atomic_fetch_add(&r->stopping, 1);
	nr_relay_wake(r);
}

void
nr_relay_leave(struct nr_relay *r)
{
	atomic_store(&r->leaving, 1);
	nr_relay_wake(r);
}

int
nr_relay_alive(struct nr_relay *r)
{
	int alive = atomic_exchange(&r->alive, 0);

	nr_relay_wake(r);
	return alive;
}

/* ---- the configuration --------------------------------------------------- */

static void
init_config_lock(struct nr_relay *r)
{
	pthread_rwlockattr_t a;

	/* Readers are many: who wants to replace it must not starve. */
	pthread_rwlockattr_init(&a);
	pthread_rwlockattr_setkind_np(&a,
	    PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
	pthread_rwlock_init(&r->config_lock, &a);
	pthread_rwlockattr_destroy(&a);
	sem_init(&r->config_taken, 0, 0);
}

void
nr_relay_reading(struct nr_relay *r)
{
	pthread_rwlock_rdlock(&r->config_lock);
}

void
nr_relay_read(struct nr_relay *r)
{
	pthread_rwlock_unlock(&r->config_lock);
}

static void
log_warning(void *ctx, const char *text)
{
	nr_relay_note(ctx, NR_LOG_WARN, "configuration", NULL, "%s", text);
}

/* Say once a day, and at once, that the certificate has little time left. */
static void
watch_certificate(lws_sorted_usec_list_t *sul)
{
	struct nr_relay *r = lws_container_of(sul, struct nr_relay, expiring);
	int64_t left;

	lws_sul_schedule(r->lws, 0, sul, watch_certificate,
	    (lws_usec_t)86400 * LWS_US_PER_SEC);
	if (r->config->tls == NULL)
		return;
	left = nr_tls_expires(r->config->tls) - time(NULL);
	if (left <= 0)
		nr_relay_log(r, NR_LOG_WARN, "the certificate has expired");
	else if (left < (int64_t)EXPIRY_DAYS * 86400)
		nr_relay_log(r, NR_LOG_WARN,
		    "the certificate expires in %d days", (int)(left / 86400));
}

/* The socket thread's part of nr_relay_reload(). */
static void
take_config(struct nr_relay *r)
{
	struct nr_relay_config *next = atomic_load(&r->next_config);

	if (next == NULL)
		return;
	pthread_rwlock_wrlock(&r->config_lock);
	nr_relay_config_keep(next, r->config, log_warning, r);
	r->old_config = r->config;
	r->config = next;
	atomic_store(&r->log_level, next->log_level);
	atomic_store(&r->next_config, NULL);
	nr_policy_reload(r);
	pthread_rwlock_unlock(&r->config_lock);
	watch_certificate(&r->expiring);
	sem_post(&r->config_taken);
}

struct nr_relay_config *
nr_relay_reload(struct nr_relay *r, struct nr_relay_config *next)
{
	struct timespec until;

	atomic_store(&r->next_config, next);
	nr_relay_wake(r);
	do {
		if (atomic_load(&r->ended) &&
		    atomic_exchange(&r->next_config, NULL) != NULL)
			return next;
		clock_gettime(CLOCK_REALTIME, &until);
		until.tv_sec++;
	} while (sem_timedwait(&r->config_taken, &until) != 0);
	return r->old_config;
}

const char *
nr_relay_unready(const struct nr_relay *r)
{
	if (atomic_load(&r->fatal))
		return "nothing more can be stored";
	if (atomic_load(&r->stopping))
		return "the relay is shutting down";
	if (r->nconns >= r->config->max_connections)
		return "there are as many connections as there may be";
	return NULL;
}

/* ---- connections whose output is stuck --------------------------------------- */

/*
 * libwebsockets 4.1.6 has an error: where it still holds a part of a frame
 * and the peer says that it will send nothing more, it goes round for ever.
 * So it must not come to know that: while output is stuck nothing is read,
 * but for bytes that are known to be there.
 */
#define PEEK_MS		50

/* Whatever kept it from being read is over, unless it is stuck. */
static void
read_on(struct nr_conn *c)
{
	if (!c->stuck && c->backlog.len == 0)
		lws_rx_flow_control(c->wsi, 1);
}

/* With TLS what is there may be an end, too: it is left where it is. */
static void
peek(struct nr_conn *c)
{
	char byte;

	/* It is we who do not read; that is no sign of death. */
	lws_validity_confirmed(c->wsi);
	if (c->tls || c->backlog.len > 0 ||
	    recv(lws_get_socket_fd(c->wsi), &byte, 1,
	    MSG_PEEK | MSG_DONTWAIT) != 1)
		return;
	c->peeked = c->relay->peeked = 1;
	lws_rx_flow_control(c->wsi, 1);
}

static void
peek_all(lws_sorted_usec_list_t *sul)
{
	struct nr_relay *r = lws_container_of(sul, struct nr_relay, peeking);
	struct nr_conn *c;

	for (c = r->conns; c != NULL; c = c->next)
		if (c->stuck)
			peek(c);
	if (r->nstuck > 0)
		lws_sul_schedule(r->lws, 0, sul, peek_all,
		    PEEK_MS * LWS_US_PER_MS);
}

/* They have been read once: enough. */
static void
end_peeks(struct nr_relay *r)
{
	struct nr_conn *c;

	if (!r->peeked)
		return;
	r->peeked = 0;
	for (c = r->conns; c != NULL; c = c->next)
		if (c->peeked) {
			c->peeked = 0;
			if (c->stuck)
				lws_rx_flow_control(c->wsi, 0);
		}
}

/* After something was written: does some of it wait for the peer? */
static void
mind_stuck(struct nr_conn *c)
{
	struct nr_relay *r = c->relay;
	int stuck = lws_partial_buffered(c->wsi) != 0;

	if (stuck)
		lws_callback_on_writable(c->wsi);
	if (stuck == c->stuck)
		return;
	c->stuck = stuck;
	if (!stuck) {
		r->nstuck--;
		read_on(c);
		return;
	}
	lws_rx_flow_control(c->wsi, 0);
	if (r->nstuck++ == 0)
		lws_sul_schedule(r->lws, 0, &r->peeking, peek_all,
		    PEEK_MS * LWS_US_PER_MS);
}

/* ---- messages coming in -------------------------------------------------------- */

/* Messages that wait for room, each with its length before it. */
static int
keep(struct nr_conn *c, const char *text, size_t len)
{
	int rc;

	if (c->backlog.len == 0)
		lws_rx_flow_control(c->wsi, 0);
	c->relay->held = 1;
	rc = nr_buf_add(&c->backlog, &len, sizeof(len));
	return rc != NR_OK ? rc : nr_buf_add(&c->backlog, text, len);
}

static int
message(struct nr_conn *c, const char *text, size_t len)
{
	if (c->relay->drain_until != 0 || c->mute)
		return 0;
	if (c->backlog.len == 0 && !c->gated &&
	    nr_session_message(c, text, len))
		return 0;
	return keep(c, text, len) == NR_OK ? 0 : -1;
}

/* There is room again: go on with what waited. */
static void
retry(struct nr_conn *c)
{
	struct nr_buf *b = &c->backlog;
	size_t at = 0, len;

	if (c->gated)
		return;
	while (at < b->len && !nr_conn_lost(c)) {
		memcpy(&len, b->p + at, sizeof(len));
		if (!nr_session_message(c, b->p + at + sizeof(len), len))
			break;
		at += sizeof(len) + len;
	}
	b->len -= at;
	memmove(b->p, b->p + at, b->len);
	if (b->len == 0) {
		nr_buf_free(b);
		read_on(c);
	}
}

static void
on_later(lws_sorted_usec_list_t *sul)
{
	struct nr_conn *c = lws_container_of(sul, struct nr_conn, later);

	/* It is we who do not read; that is no sign of death. */
	lws_validity_confirmed(c->wsi);
	if (c->backlog.len > 0)
		retry(c);
	/* After a timer lws_service() may wait, with what this pushed. */
	nr_ingest_flush(c->relay->ingest);
}

void
nr_relay_later(struct nr_conn *c, int64_t ns)
{
	lws_sul_schedule(c->relay->lws, 0, &c->later, on_later,
	    ns / 1000 + 1);
}

static void
retry_all(struct nr_relay *r)
{
	struct nr_conn *c;

	/* There is room after each batch, and seldom anybody who waits. */
	if (!atomic_exchange(&r->room, 0) || !r->held)
		return;
	r->held = 0;
	for (c = r->conns; c != NULL; c = c->next) {
		if (c->backlog.len > 0)
			retry(c);
		r->held |= c->backlog.len > 0;
	}
}

void
nr_relay_admit(struct nr_conn *c, int admitted, const char *why)
{
	struct nr_buf *b = &c->relay->reply;

	c->gated = 0;
	if (nr_conn_lost(c))
		return;
	if (admitted) {
		if (c->backlog.len > 0)
			retry(c);
		return;
	}
	b->len = 0;
	if (why != NULL && nr_write_notice(b, why) == NR_OK)
		nr_conn_send(c, b->p, b->len);
	nr_conn_doom(c, NR_CLOSE_POLICY, "not admitted here");
	nr_relay_wake(c->relay);
}

/*
 * A message that is too long is dropped as it comes.
 * known  its bytes, with those that its frame has announced
 */
static int
too_long(struct nr_conn *c, int final, uint64_t known)
{
	nr_buf_free(&c->rx);
	if (known > c->relay->config->close_message) {
		nr_conn_doom(c, NR_CLOSE_TOO_BIG,
		    "message too long");
		nr_relay_wake(c->relay);
		return 0;
	}
	if (final) {
		c->rx_total = 0;
		nr_limits_hit(c->relay, NR_LIMIT_MESSAGE_SIZE);
		nr_session_bad(c, "invalid: message too long");
	}
	return 0;
}

/* One that is whole. */
static int
complete(struct nr_conn *c, const char *text, size_t len)
{
	c->rx_total = 0;
	if (!lws_frame_is_binary(c->wsi))
		return message(c, text, len);
	nr_session_bad(c, "unsupported: binary messages");
	return 0;
}

static int
receive(struct nr_conn *c, const char *in, size_t len)
{
	int final = lws_is_final_fragment(c->wsi), rc;
	uint64_t known;

	if (nr_conn_lost(c)) {
		nr_buf_free(&c->rx);
		return 0;
	}
	if (lws_is_first_fragment(c->wsi))
		c->rx_total = c->rx.len = 0;
	c->rx_total += len;
	known = c->rx_total + lws_remaining_packet_payload(c->wsi);
	if (known > c->relay->config->max_message)
		return too_long(c, final, known);
	if (final && c->rx.len == 0)
		return complete(c, in, len);
	if (nr_buf_add(&c->rx, in, len) != NR_OK)
		return -1;
	if (!final)
		return 0;
	rc = complete(c, c->rx.p, c->rx.len);
	nr_buf_free(&c->rx);
	return rc;
}

/* ---- frames going out -------------------------------------------------------------- */

static struct nr_chunk *
take_chunk(struct nr_conn *c)
{
	struct nr_chunk *chunk;

	pthread_mutex_lock(&c->lock);
	if ((chunk = c->out.head) != NULL) {
		c->out.head = chunk->next;
		if (c->out.head == NULL)
			c->out.tail = NULL;
		c->out.bytes -= chunk->len;
	}
	pthread_mutex_unlock(&c->lock);
	return chunk;
}

static int
write_chunks(struct nr_conn *c)
{
	struct nr_chunk *chunk;
	size_t sent = 0, len;

	while (sent < WRITE_ROUND && !lws_send_pipe_choked(c->wsi) &&
	    (chunk = take_chunk(c)) != NULL) {
		len = chunk->len;
		if (lws_write(c->wsi, chunk->data, len, LWS_WRITE_RAW) < 0) {
			free(chunk);
			return -1;
		}
		free(chunk);
		sent += len;
	}
	if (sent > 0)
		c->wrote = nr_now_ms();
	return 0;
}

/*
 * Say that this is the end, and go on reading: to close a socket that
 * holds unread bytes would take from the peer what it has not read yet.
 * The peer's own close, or the deadline, ends it.  (libwebsockets' own
 * way to close ends with the next bytes that come.)
 */
static int
say_close(struct nr_conn *c, enum nr_close_status status, const char *why)
{
	unsigned char buf[LWS_PRE + NR_FRAME_HEAD_MAX + 125], text[125];
	unsigned char *frame = buf + LWS_PRE;
	size_t len, head;

	if (c->said_close)
		return 0;
	c->said_close = 1;
	text[0] = (unsigned char)(status >> 8);
	text[1] = (unsigned char)status;
	len = 2 + (size_t)snprintf((char *)text + 2, sizeof(text) - 2, "%s",
	    why);
	head = nr_frame_head(frame, NR_OP_CLOSE, len, 0);
	memcpy(frame + head, text, len);
	nr_buf_free(&c->backlog);
	read_on(c);
	lws_set_timeout(c->wsi, PENDING_TIMEOUT_CLOSE_ACK, CLOSE_SECONDS);
	return lws_write(c->wsi, frame, head + len, LWS_WRITE_RAW) < 0 ?
	    -1 : 0;
}

static int
write_some(struct nr_conn *c)
{
	const struct nr_relay_config *config = c->relay->config;
	const char *why = NULL;
	enum nr_close_status status;
	int more, paused;

	if (write_chunks(c) != 0)
		return -1;
	pthread_mutex_lock(&c->lock);
	more = c->out.head != NULL;
	paused = c->paused != NULL &&
	    c->out.bytes < config->output_pause / 2;
	if (!more && c->doomed)
		why = c->why;
	status = c->status;
	pthread_mutex_unlock(&c->lock);
	if (why != NULL)
		return say_close(c, status, why);
	if (more)
		lws_callback_on_writable(c->wsi);
	if (paused)
		nr_queries_resume(c->relay->queries, c);
	return 0;
}

static int
writable(struct nr_conn *c)
{
	int rc = write_some(c);

	if (rc == 0)
		mind_stuck(c);
	return rc;
}

/*
 * Be rid of a connection that takes nothing: what it holds goes now.
 * libwebsockets would wait for ever to send the rest of a frame, unless
 * the socket itself is of no use any more.
 */
static void
cut_off(struct nr_conn *c)
{
	const struct linger at_once = { .l_onoff = 1, .l_linger = 0 };
	int fd = lws_get_socket_fd(c->wsi);

	pthread_mutex_lock(&c->lock);
	c->closed = 1;
	nr_chunks_free(&c->out);
	pthread_mutex_unlock(&c->lock);
	nr_session_end(c);
	nr_queries_resume(c->relay->queries, c);
	nr_buf_free(&c->backlog);
	(void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
	(void)shutdown(fd, SHUT_RDWR);
}

/* Seconds without an answer, or without taking a byte. */
static unsigned
patience(const struct nr_relay *r)
{
	uint64_t ping = r->config->ping_seconds;

	return (unsigned)(ping + (ping < PONG_SECONDS ? ping : PONG_SECONDS));
}

/*
 * Look for connections that take nothing of what waits for them, and
 * sessions whose client says nothing.
 */
static void
watch(lws_sorted_usec_list_t *sul)
{
	struct nr_relay *r = lws_container_of(sul, struct nr_relay, watching);
	int64_t now = nr_now_ms();
	uint64_t seconds = patience(r);
	struct nr_conn *c;
	int waiting;

	for (c = r->conns; c != NULL; c = c->next) {
		pthread_mutex_lock(&c->lock);
		waiting = c->out.head != NULL;
		pthread_mutex_unlock(&c->lock);
		if (!waiting && !lws_partial_buffered(c->wsi))
			c->wrote = now;
		else if (now - c->wrote > (int64_t)patience(r) * 1000)
			cut_off(c);
		nr_session_expire(c, now);
	}
	if (seconds > r->config->sync_seconds)
		seconds = r->config->sync_seconds;
	lws_sul_schedule(r->lws, 0, sul, watch,
	    (lws_usec_t)seconds * LWS_US_PER_SEC / 4);
}

/* Somebody woke us: see who has something to send. */
static void
serve_dirty(struct nr_relay *r)
{
	struct nr_conn *c, *next;
	int closed, overrun;

	pthread_mutex_lock(&r->dirty_lock);
	c = r->dirty;
	r->dirty = NULL;
	pthread_mutex_unlock(&r->dirty_lock);
	for (; c != NULL; c = next) {
		next = c->next_dirty;
		pthread_mutex_lock(&c->lock);
		c->dirty = 0;
		closed = c->closed;
		overrun = c->overrun;
		pthread_mutex_unlock(&c->lock);
		if (!closed && overrun)
			cut_off(c);
		else if (!closed)
			lws_callback_on_writable(c->wsi);
		nr_conn_unref(c);
	}
}

/* ---- connections --------------------------------------------------------------------- */

/* Its socket is gone. */
static void
departed(struct nr_relay *r, struct nr_arrival *v)
{
	if (r->adopting == v)
		r->adopting = NULL;
	if (v != NULL && !v->metrics)
		r->nsockets--;
	if (v != NULL && v->party != NULL)
		nr_limits_depart(r->limits, v->party);
	free(v);
}

/* When the relay is full, or ends, operators still want to know. */
static int
has_room(const struct nr_relay *r, const struct nr_arrival *v)
{
	uint64_t most = r->config->max_connections;

	return v->metrics || (r->drain_until == 0 &&
	    r->nsockets < most + most / 4 + SPARE_SOCKETS);
}

/* May it come?  What is in the way is counted. */
static int
may_come(struct nr_relay *r, struct nr_arrival *v)
{
	const struct nr_ip *ip;

	if (!has_room(r, v)) {
		if (r->drain_until == 0)
			nr_limits_hit(r, NR_LIMIT_CONNECTIONS);
		return 0;
	}
	ip = v->metrics ? NULL : nr_origin_known(r, v);
	return ip == NULL ||
	    nr_limits_arrive(r->limits, ip, &v->party) == NR_OK;
}

/*
 * Give a connection to libwebsockets, which closes it whatever happens,
 * but says so only where it got far enough.
 */
static void
adopt(struct nr_relay *r, struct nr_arrival *v)
{
	lws_adopt_desc_t d;

	if (!may_come(r, v)) {
		close(v->fd);
		free(v);
		return;
	}
	memset(&d, 0, sizeof(d));
	d.vh = v->at->tls ? r->tls_vhost : r->vhost;
	d.type = LWS_ADOPT_SOCKET | LWS_ADOPT_HTTP;
	if (v->at->tls)
		d.type |= LWS_ADOPT_ALLOW_SSL;
	d.fd.sockfd = v->fd;
	d.opaque = v;
	r->adopting = v;
	r->nsockets += !v->metrics;
	if (lws_adopt_descriptor_vhost_via_info(&d) == NULL &&
	    r->adopting != NULL)
		departed(r, v);
	r->adopting = NULL;
}

static void
adopt_all(struct nr_relay *r)
{
	struct nr_arrival *v;

	while ((v = nr_acceptor_take(r->acceptor)) != NULL)
		adopt(r, v);
}

/* The answer to a request is almost written. */
static void
add_headers(struct lws *wsi, struct lws_process_html_args *args)
{
	struct nr_arrival *v = lws_get_opaque_user_data(wsi);

	if (v->upgrades)
		v->packs = nr_pack_agree(args);
}

/* By which way it came, as policies are told. */
static void
name_source(struct nr_conn *c, const struct nr_arrival *v)
{
	const struct nr_ip *ip = v->has_origin ? &v->origin : &v->from;

	c->source = NR_FROM_UNKNOWN;
	if (!v->has_origin && !v->is_ip)
		return;
	c->source = nr_ip_is_ipv4(ip) ? NR_FROM_IP4 : NR_FROM_IP6;
	nr_ip_write(c->source_info, ip);
}

/* Where a policy decides who may stay, nothing is handled before that. */
static void
ask_to_enter(struct nr_conn *c)
{
	if (!nr_policy_asks(c->relay, NR_ASK_CONNECT))
		return;
	c->gated = 1;
	if (nr_policy_ask_connect(c) != NR_OK)
		nr_relay_admit(c, 0, nr_policy_failed);
}

static int
established(struct nr_relay *r, struct session *s, struct lws *wsi)
{
	const struct nr_arrival *v = lws_get_opaque_user_data(wsi);
	struct nr_conn *c;

	if ((c = nr_conn_new(r, wsi)) == NULL)
		return -1;
	c->packs = v->packs;
	name_source(c, v);
	c->wrote = nr_now_ms();
	if (nr_access_greet(c) != NR_OK || nr_limits_enter(c,
	    v->has_origin ? &v->origin : NULL) != NR_OK) {
		nr_conn_unref(c);
		return -1;
	}
	s->conn = c;
	nr_relay_wake(r);
	if (r->leave_until != 0)
		nr_leave_plan(r, c);
	c->next = r->conns;
	if (c->next != NULL)
		c->next->prev = c;
	r->conns = c;
	r->nconns++;
	c->opened = c->wrote;
	c->number = atomic_fetch_add(&r->metrics.connections, 1) + 1;
	nr_log_opened(c);
	ask_to_enter(c);
	return 0;
}

static void
gone(struct nr_relay *r, struct session *s)
{
	struct nr_conn *c = s->conn;

	if (c == NULL)
		return;
	s->conn = NULL;
	if (c->prev != NULL)
		c->prev->next = c->next;
	else
		r->conns = c->next;
	if (c->next != NULL)
		c->next->prev = c->prev;
	r->nconns--;
	r->nstuck -= c->stuck != 0;
	c->stuck = 0;
	nr_log_closed(c, nr_now_ms());
	nr_limits_leave(c);
	lws_sul_cancel(&c->later);
	pthread_mutex_lock(&c->lock);
	c->closed = 1;
	nr_chunks_free(&c->out);
	pthread_mutex_unlock(&c->lock);
	nr_session_end(c);
	/* Its queries see that they are closed, and end. */
	nr_queries_resume(r->queries, c);
	nr_conn_unref(c);
}

/* ---- libwebsockets ------------------------------------------------------------------------ */

static int
callback(struct lws *wsi, enum lws_callback_reasons reason, void *user,
    void *in, size_t len)
{
	struct session *s = user;
	struct nr_relay *r;

	switch (reason) {
	case LWS_CALLBACK_OPENSSL_LOAD_EXTRA_SERVER_VERIFY_CERTS:
		return nr_tls_serve(relay_of(wsi), user);
	case LWS_CALLBACK_WSI_DESTROY:
		departed(relay_of(wsi), lws_get_opaque_user_data(wsi));
		return 0;
	case LWS_CALLBACK_FILTER_PROTOCOL_CONNECTION:
		return nr_http_upgrade(relay_of(wsi), wsi);
	case LWS_CALLBACK_CONFIRM_EXTENSION_OKAY:
		return !nr_pack_wanted(relay_of(wsi), wsi);
	case LWS_CALLBACK_ADD_HEADERS:
		add_headers(wsi, in);
		return 0;
	case LWS_CALLBACK_ESTABLISHED:
		return established(relay_of(wsi), s, wsi);
	case LWS_CALLBACK_RECEIVE:
		return receive(s->conn, in, len);
	case LWS_CALLBACK_SERVER_WRITEABLE:
		return writable(s->conn);
	case LWS_CALLBACK_WS_PEER_INITIATED_CLOSE:
		/* Nothing is answered where we were the first. */
		return s->conn->said_close;
	case LWS_CALLBACK_CLOSED:
		gone(relay_of(wsi), s);
		return 0;
	case LWS_CALLBACK_HTTP:
		return nr_http_request(relay_of(wsi), &s->http, wsi);
	case LWS_CALLBACK_HTTP_WRITEABLE:
		return nr_http_body(&s->http, wsi);
	case LWS_CALLBACK_CLOSED_HTTP:
		if (s != NULL)
			nr_buf_free(&s->http.body);
		return 0;
	case LWS_CALLBACK_EVENT_WAIT_CANCELLED:
		r = relay_of(wsi);
		atomic_store(&r->woken, 0);
		take_config(r);
		nr_policy_serve(r);
		serve_dirty(r);
		retry_all(r);
		return 0;
	default:
		return lws_callback_http_dummy(wsi, reason, user, in, len);
	}
}

static const struct lws_protocols protocols[] = {
	{ .name = "nostr", .callback = callback,
	  .per_session_data_size = sizeof(struct session),
	  .rx_buffer_size = 4096 },
	{ .name = NULL }
};

/*
 * Connections come from accept.c: libwebsockets listens nowhere.  It moves
 * them between its virtual hosts as a Host header says, so what one is must
 * never be told by where it is.
 */
static int
add_vhost(struct nr_relay *r, int tls, struct lws_vhost **out)
{
	struct lws_context_creation_info info;

	memset(&info, 0, sizeof(info));
	info.port = CONTEXT_PORT_NO_LISTEN_SERVER;
	info.protocols = protocols;
	info.extensions = nr_pack_extension;
	info.timeout_secs_ah_idle = (unsigned)r->config->handshake_seconds;
	info.keepalive_timeout = 5;
	if (tls) {
		info.options = LWS_SERVER_OPTION_CREATE_VHOST_SSL_CTX |
		    LWS_SERVER_OPTION_DO_SSL_GLOBAL_INIT;
		info.alpn = "http/1.1";
	}
	*out = lws_create_vhost(r->lws, &info);
	return *out != NULL ? NR_OK : ENOMEM;
}

static int
start_sockets(struct nr_relay *r, lws_retry_bo_t *retry_policy)
{
	struct lws_context_creation_info info;
	int rc, tls = nr_relay_config_has_tls(r->config);

	memset(&info, 0, sizeof(info));
	info.options = LWS_SERVER_OPTION_EXPLICIT_VHOSTS;
	if (tls)
		info.options |= LWS_SERVER_OPTION_DO_SSL_GLOBAL_INIT;
	info.user = r;
	info.pt_serv_buf_size = 32 * 1024;
	/* Made as they are needed: those who are slow must not have all. */
	info.max_http_header_pool2 = 1 << 20;
	info.timeout_secs = (unsigned)r->config->handshake_seconds;
	info.gid = (gid_t)-1;
	info.uid = (uid_t)-1;
	/* Dead peers are found by asking. */
	retry_policy->secs_since_valid_ping =
	    (uint16_t)r->config->ping_seconds;
	retry_policy->secs_since_valid_hangup = (uint16_t)patience(r);
	info.retry_and_idle_policy = retry_policy;
	if ((r->lws = lws_create_context(&info)) == NULL)
		return ENOMEM;
	if ((rc = add_vhost(r, 0, &r->vhost)) != NR_OK ||
	    (tls && (rc = add_vhost(r, 1, &r->tls_vhost)) != NR_OK))
		return rc;
	watch_certificate(&r->expiring);
	watch(&r->watching);
	return NR_OK;
}

/* ---- beginning and end ------------------------------------------------------------------------ */

/* Each uses those before it. */
static int
start_all(struct nr_relay *r, struct nr_given *given, const char **where)
{
	int rc;

	if ((rc = start_sockets(r, &r->retry)) != NR_OK ||
	    (rc = nr_siblings_new(&r->siblings, r, given)) != NR_OK ||
	    (rc = nr_acceptor_new(&r->acceptor, r, given, where)) != NR_OK)
		return rc;
	*where = "the relay";
	if ((rc = nr_snap_new(&r->snap, r->st)) != NR_OK ||
	    (rc = nr_sha256_new(&r->sha)) != NR_OK ||
	    (rc = nr_access_new(&r->access)) != NR_OK ||
	    (rc = nr_limits_new(&r->limits, r)) != NR_OK ||
	    (rc = nr_policy_new(&r->policy, r)) != NR_OK ||
	    (rc = nr_live_new(&r->live, r)) != NR_OK ||
	    (rc = nr_feed_new(&r->feed, r)) != NR_OK ||
	    (rc = nr_queries_new(&r->queries, r)) != NR_OK ||
	    (rc = nr_ingest_new(&r->ingest, r)) != NR_OK ||
	    (rc = nr_upkeep_new(&r->upkeep, r)) != NR_OK ||
	    (rc = nr_acceptor_start(r->acceptor)) != NR_OK)
		return rc;
	return nr_siblings_start(r->siblings);
}

static void
close_unused(struct nr_given *g)
{
	unsigned i;

	for (i = 0; i < g->n; i++)
		if (!g->used[i])
			close(g->fd[i]);
}

int
nr_relay_new(struct nr_relay **out, struct nr_relay_config *config,
    struct nr_store *st, struct nr_given *given, nr_log_fn *log)
{
	const char *where = "the relay";
	struct nr_relay *r;
	int rc;

	if ((r = calloc(1, sizeof(*r))) == NULL)
		return ENOMEM;
	r->config = config;
	atomic_init(&r->log_level, config->log_level);
	r->started = time(NULL);
	r->st = st;
	r->log = log;
	pthread_mutex_init(&r->dirty_lock, NULL);
	init_config_lock(r);
	rc = start_all(r, given, &where);
	close_unused(given);
	if (rc != NR_OK) {
		nr_relay_log(r, NR_LOG_ERROR, "cannot serve %s: %s", where,
		    nr_strerror(rc));
		nr_relay_free(r);
		return rc;
	}
	*out = r;
	return NR_OK;
}

void
nr_relay_where(const struct nr_relay *r, unsigned n, char out[NR_WHERE_MAX])
{
	nr_acceptor_where(r->acceptor, n, out, NR_WHERE_MAX);
}

/* Is there something to send that is being taken? */
static int
sending(struct nr_conn *c, int64_t since)
{
	int waiting;

	pthread_mutex_lock(&c->lock);
	waiting = c->out.head != NULL;
	pthread_mutex_unlock(&c->lock);
	if (c->wrote > since)
		since = c->wrote;
	return waiting && nr_now_ms() - since < STALL_MS;
}

/* Nothing in hand, for anybody?  Those who do not read do not count. */
static int
all_done(struct nr_relay *r)
{
	struct nr_conn *c;

	if (!nr_ingest_idle(r->ingest))
		return 0;
	for (c = r->conns; c != NULL; c = c->next)
		if (c->backlog.len > 0 || sending(c, r->drain_since))
			return 0;
	return 1;
}

static void
drain_tick(lws_sorted_usec_list_t *sul)
{
	struct nr_relay *r = lws_container_of(sul, struct nr_relay, timer);

	lws_sul_schedule(r->lws, 0, &r->timer, drain_tick,
	    50 * LWS_US_PER_MS);
}

/*
 * One step of ending: no more input; then what is in hand is stored,
 * answered and sent; then connections are closed.  Returns 1 at the end.
 */
static int
drain(struct nr_relay *r)
{
	struct nr_conn *c;
	int late;

	if (r->drain_until == 0) {
		r->drain_since = nr_now_ms();
		r->drain_until = r->drain_since +
		    (int64_t)r->config->drain_seconds * 1000 + 1;
		nr_acceptor_shut(r->acceptor, 0);
		drain_tick(&r->timer);
	}
	/* Told a second time, we do not wait. */
	late = nr_now_ms() >= r->drain_until || atomic_load(&r->stopping) > 1;
	if (!late && !all_done(r))
		return 0;
	if (!r->closing) {
		r->closing = 1;
		for (c = r->conns; c != NULL; c = c->next)
			nr_conn_doom(c, NR_CLOSE_GOING_AWAY,
			    "the relay is shutting down");
		nr_relay_wake(r);
		/* A second for them to answer. */
		if (r->drain_until > nr_now_ms() + 1000 || late)
			r->drain_until = nr_now_ms() + 1000;
		return 0;
	}
	return late || r->nconns == 0;
}

int
nr_relay_run(struct nr_relay *r)
{
	for (;;) {
		if (lws_service(r->lws, 0) < 0)
			return NR_EINDEX;
		end_peeks(r);
		adopt_all(r);
		nr_ingest_flush(r->ingest);
		atomic_store(&r->alive, 1);
		if (atomic_load(&r->leaving) && r->drain_until == 0)
			nr_leave_step(r);
		if (atomic_load(&r->stopping) && drain(r)) {
			atomic_store(&r->ended, 1);
			return atomic_load(&r->fatal);
		}
	}
}

void
nr_relay_free(struct nr_relay *r)
{
	if (r == NULL)
		return;
	/* In this order: each is used by those that end before it. */
	nr_upkeep_free(r->upkeep);
	nr_policy_stop(r->policy);
	nr_ingest_free(r->ingest);
	nr_feed_free(r->feed);
	nr_siblings_free(r->siblings);
	nr_acceptor_free(r->acceptor);
	nr_queries_stop(r->queries);
	if (r->lws != NULL)
		lws_context_destroy(r->lws);
	nr_queries_free(r->queries);
	nr_policy_free(r->policy);
	serve_dirty(r);
	nr_live_free(r->live);
	nr_access_free(r->access);
	nr_limits_free(r->limits);
	nr_sha256_free(r->sha);
	nr_snap_free(r->snap);
	nr_buf_free(&r->reply);
	pthread_mutex_destroy(&r->dirty_lock);
	pthread_rwlock_destroy(&r->config_lock);
	sem_destroy(&r->config_taken);
	free(r);
}
