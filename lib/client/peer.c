/*
 * Peers.  libwebsockets connects, speaks TLS, shakes hands and finds the
 * frames in what comes.  Names are looked up beside it, addresses tried one
 * after the other, and frames to send made here, many in one write.
 *
 * Nothing is called from within libwebsockets but for messages: what ends a
 * connection is noted, and told by a timer, so that whatever is done in a
 * callback meets no function that is still at work on the connection.
 */
#include "client/peer.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "client/internal.h"
#include "event/event.h"
#include "util/err.h"
#include "util/json.h"
#include "util/rng.h"
#include "util/times.h"
#include "wire/frame.h"

#define ADDRESSES_MAX	8	/* of a name that are tried */
#define CHUNK		((size_t)32 * 1024)
#define PROVE_MS	1000	/* for a challenge, where it is awaited */
#define STUCK_MS	50	/* between looks at output that is stuck */
#define PAUSED_MS	100	/* between looks at one that is not read */
#define CHALLENGE_MAX	1024
#define PROOF_ROOM	((size_t)64 << 10)	/* beyond out_max, for AUTH */
#define NO_RELAY	"it does not answer as a relay would"

/* Whole frames that go out in one write. */
struct chunk {
	struct chunk	*next;
	size_t		 len, cap;
	unsigned char	 data[];	/* LWS_PRE, then frames */
};

struct nr_peer {
	struct nr_wire		 wire;
	struct nr_net		*net;
	struct nr_url		 url;
	char			 text[1400];	/* the URL */
	struct nr_peer_options	 o;
	struct nr_peer_calls	 calls;
	void			*ctx;
	enum nr_peer_state	 state;
	struct nr_timer		 clock;	/* ends the state it is in */
	struct nr_timer		 pulse;	/* is somebody there? */
	struct nr_timer		 report;	/* tells of the end */
	struct nr_timer		 stuck;		/* while output is */
	int			 is_stuck;
	int			 busy;	/* callbacks that are at work */
	int			 freed;

	struct nr_lookup	*lookup;
	struct addrinfo		*list, *at;
	unsigned		 left;	/* addresses, with this one */
	int64_t			 deadline;
	struct lws		*wsi;
	struct nr_watch		*trying;	/* until it is connected */
	int			 trying_fd;	/* the same socket; ours */
	int			 ended;	/* to be told */
	struct nr_fault		 fault;
	unsigned		 failures;	/* in a row */
	struct nr_rng		 rng;

	struct nr_buf		 in;	/* the start of a message */
	int			 dropping;	/* the rest of one too long */
	int64_t			 heard;
	int			 paused, asked;
	int64_t			 paused_at, deaf;	/* ms of pauses */

	struct chunk		*head, *tail;
	size_t			 queued;
	int			 hungry;	/* EAGAIN was returned */
	int			 want_ping, said_close;
	int64_t			 pinged;	/* ns; 0: nobody asks */

	char			 challenge[CHALLENGE_MAX];
	size_t			 challenge_len;
	int			 wanted;	/* prove when one comes */
	unsigned char		 proof[32];	/* the event that was sent */
	int			 proving, proved, refused;
	struct nr_peer_figures	 figures;
	struct nr_peer_link	 link;
	int64_t			 step;		/* of the link, began; ns */
	int			 dialing;	/* errno is of this attempt */
	int			 dial_failed;	/* that is dealt with */
};

const char *
nr_fault_name(enum nr_fault_class c)
{
	static const char *const names[] = {
		[NR_FAULT_NONE] = "none", [NR_FAULT_RESOLVE] = "resolve",
		[NR_FAULT_CONNECT] = "connect", [NR_FAULT_TLS] = "tls",
		[NR_FAULT_HTTP] = "http", [NR_FAULT_TIMEOUT] = "timeout",
		[NR_FAULT_CLOSED] = "closed", [NR_FAULT_FLOOD] = "flood",
		[NR_FAULT_LOCAL] = "local"
	};

	return names[c];
}

void
nr_peer_options_init(struct nr_peer_options *o)
{
	*o = (struct nr_peer_options){
		.connect_ms = 10000, .ping_ms = 30000, .dead_ms = 75000,
		.close_ms = 3000, .wait_ms = 250, .wait_max_ms = 60000,
		.in_max = 3 * 512 * 1024, .in_close = 16 * 1024 * 1024,
		.out_max = 1024 * 1024
	};
}

/* ---- what is told */

/*
 * Around whatever may call back: the peer may be freed in it, and goes when
 * the last of these functions is done with it.
 */
static void
leave(struct nr_peer *p)
{
	if (--p->busy == 0 && p->freed)
		free(p);
}

/* Call back, if that is wanted; 0: the peer has been freed. */
#define TELL(p, what, ...) \
	((p)->calls.what != NULL ? \
	    (p)->calls.what((p), (p)->ctx, ##__VA_ARGS__) : (void)0, \
	    !(p)->freed)

void
nr_fault_set(struct nr_fault *f, enum nr_fault_class c, unsigned code,
    const char *text, size_t len)
{
	char *p;

	f->class = c;
	f->code = code;
	snprintf(f->text, sizeof(f->text), "%.*s", (int)len, text);
	for (p = f->text; *p != '\0'; p++)
		if ((unsigned char)*p < 0x20 || *p == 0x7f)
			*p = '?';
}

static void
set_fault(struct nr_peer *p, enum nr_fault_class c, unsigned code,
    const char *text, size_t len)
{
	/* The first one is why. */
	if (p->fault.class == NR_FAULT_NONE)
		nr_fault_set(&p->fault, c, code, text, len);
}

static void
drop_output(struct nr_peer *p)
{
	struct chunk *c;

	while ((c = p->head) != NULL) {
		p->head = c->next;
		free(c);
	}
	p->tail = NULL;
	p->queued = 0;
	p->hungry = 0;
}

static void
set_paused(struct nr_peer *p, int on)
{
	if (p->paused == on)
		return;
	p->paused = on;
	if (on)
		p->paused_at = nr_now_ms();
	else
		p->deaf += nr_now_ms() - p->paused_at;
}

/* Whatever there is of a connection goes. */
static void
stop_trying(struct nr_peer *p)
{
	if (p->trying == NULL)
		return;
	nr_watch_free(p->trying);
	p->trying = NULL;
	close(p->trying_fd);
}

static void
drop_connection(struct nr_peer *p)
{
	stop_trying(p);
	if (p->wsi != NULL)
		nr_wire_drop(p->wsi);
	p->wsi = NULL;
	nr_lookup_free(p->lookup);
	p->lookup = NULL;
	if (p->list != NULL)
		freeaddrinfo(p->list);
	p->list = p->at = NULL;
	nr_timer_stop(&p->clock);
	nr_timer_stop(&p->pulse);
	nr_timer_stop(&p->stuck);
	p->is_stuck = 0;
	drop_output(p);
	nr_buf_free(&p->in);
	set_paused(p, 0);
	p->dropping = p->asked = p->want_ping = p->said_close = 0;
	p->pinged = 0;
	p->challenge_len = 0;
	p->wanted = p->proving = p->proved = p->refused = 0;
}

/* The connection is gone, or is dropped now: told by and by. */
static void
end(struct nr_peer *p, enum nr_fault_class c, unsigned code,
    const char *text)
{
	if (p->ended || p->state == NR_PEER_IDLE ||
	    p->state == NR_PEER_WAITING)
		return;
	if (p->state == NR_PEER_CLOSING)
		p->fault.class = NR_FAULT_NONE;
	else
		set_fault(p, c, code, text, strlen(text));
	p->ended = 1;
	drop_connection(p);
	nr_timer_set(&p->report, 0);
}

/* Half of the time is chance, so that not all come back at once. */
static int64_t
wait_before(struct nr_peer *p)
{
	int64_t ms = p->o.wait_ms;
	unsigned i;

	for (i = 1; i < p->failures && ms < p->o.wait_max_ms; i++)
		ms *= 2;
	if (ms > p->o.wait_max_ms)
		ms = p->o.wait_max_ms;
	return ms / 2 + (int64_t)nr_rng_below(&p->rng,
	    (uint64_t)(ms / 2 + 1));
}

static void
on_report(void *ctx)
{
	struct nr_peer *p = ctx;
	struct nr_fault why = p->fault;
	int64_t again = -1;

	p->busy++;
	p->ended = 0;
	p->state = NR_PEER_IDLE;
	if (why.class != NR_FAULT_NONE) {
		p->failures++;
		p->figures.failed++;
		if (p->o.tries == 0 || p->failures < p->o.tries) {
			again = wait_before(p);
			p->state = NR_PEER_WAITING;
			nr_timer_set(&p->clock, again);
		}
	}
	p->fault.class = NR_FAULT_NONE;
	(void)TELL(p, closed, &why, again);
	leave(p);
}

/* ---- proving who we are */

static void
opened(struct nr_peer *p)
{
	p->state = NR_PEER_OPEN;
	nr_timer_stop(&p->clock);
	p->figures.opened++;
	(void)TELL(p, opened);
}

static int	queue(struct nr_peer *p, const struct nr_view *part,
		    size_t nparts, size_t max);

/* Sign the challenge that is there and send it. */
static void
prove(struct nr_peer *p)
{
	struct nr_view challenge = { p->challenge, p->challenge_len };
	struct nr_buf b = { 0 };
	struct nr_view part[3] = { { "[\"AUTH\",", 8 }, { NULL, 0 },
	    { "]", 1 } };
	struct nr_event ev;
	size_t pos;
	int rc;

	p->wanted = 0;
	rc = p->o.sign(p->o.sign_ctx, &b, p->text, challenge);
	if (rc == NR_OK) {
		part[1] = (struct nr_view){ b.p, b.len };
		if (nr_event_read(&ev, b.p, b.len, &nr_event_limits_pipe,
		    &pos) == NR_VALID)
			memcpy(p->proof, ev.id, 32);
		p->proving = 1;
		/* All else may be waiting for it. */
		rc = queue(p, part, 3, p->o.out_max + PROOF_ROOM);
	}
	if (rc == EAGAIN)
		end(p, NR_FAULT_FLOOD, 0, "challenges without end");
	else if (rc != NR_OK)
		end(p, NR_FAULT_LOCAL, 0, nr_strerror(rc));
	nr_buf_free(&b);
}

int
nr_peer_prove(struct nr_peer *p)
{
	if (p->o.sign == NULL || p->refused)
		return 0;
	if (p->proved)
		return 2;
	if (p->proving || p->wanted)
		return 1;
	p->wanted = 1;
	if (p->challenge_len > 0)
		prove(p);
	return 1;
}

static void
on_challenge(struct nr_peer *p, const struct nr_answer *a)
{
	if (a->text.len == 0 || a->text.len > sizeof(p->challenge))
		return;
	/* A new one makes void what was proved by the last. */
	p->challenge_len = nr_json_normal(p->challenge, a->text.p,
	    a->text.len);
	p->proved = p->refused = 0;
	if (!TELL(p, challenged))
		return;
	if (p->o.sign != NULL && (p->wanted || p->proving ||
	    p->o.auth == NR_AUTH_FIRST))
		prove(p);
}

/* The OK to our AUTH. */
static void
on_proof(struct nr_peer *p, const struct nr_answer *a)
{
	char text[NR_FAULT_TEXT];

	nr_answer_show(text, sizeof(text), a->text);
	p->proving = 0;
	p->proved = a->accepted;
	p->refused = !a->accepted;
	if (!TELL(p, proved, a->accepted, text))
		return;
	if (p->state == NR_PEER_PROVING)
		opened(p);
}

/* ---- what comes */

static void
on_message(struct nr_peer *p, const char *text, size_t len)
{
	struct nr_answer a;
	const char *why;

	p->figures.messages++;
	p->figures.bytes_in += len;
	if (p->state == NR_PEER_CLOSING || !TELL(p, heard, text, len))
		return;
	if ((why = nr_answer_read(&a, text, len)) != NULL) {
		p->figures.malformed++;
		(void)TELL(p, malformed, why);
	} else if (a.verb == NR_ANSWER_AUTH)
		on_challenge(p, &a);
	else if (a.verb == NR_ANSWER_OK && p->proving &&
	    memcmp(a.id, p->proof, 32) == 0)
		on_proof(p, &a);
	else if (p->state == NR_PEER_OPEN)
		(void)TELL(p, answer, &a);
}

static void
too_long(struct nr_peer *p)
{
	p->figures.dropped++;
	p->dropping = 1;
	nr_buf_free(&p->in);
}

/* A part of a message: most are whole, and are read where they are. */
static int
on_receive(struct nr_peer *p, struct lws *wsi, const char *in, size_t len)
{
	size_t rest = lws_remaining_packet_payload(wsi);
	int final = lws_is_final_fragment(wsi);
	size_t known = p->in.len + len + rest;

	p->heard = nr_now_ms();
	p->asked = 0;
	if (lws_is_first_fragment(wsi) && p->in.len == 0)
		p->dropping = 0;
	if (known > p->o.in_close) {
		end(p, NR_FAULT_FLOOD, 0, "a message that has no end");
		return -1;
	}
	if (!p->dropping && known > p->o.in_max)
		too_long(p);
	if (p->dropping) {
		p->dropping = !final;
		return 0;
	}
	if (final && p->in.len == 0) {
		on_message(p, in, len);
		return 0;
	}
	if (nr_buf_add(&p->in, in, len) != NR_OK) {
		end(p, NR_FAULT_LOCAL, 0, nr_strerror(ENOMEM));
		return -1;
	}
	if (final) {
		struct nr_buf whole = p->in;

		/* It may be dropped by what is done with the message. */
		memset(&p->in, 0, sizeof(p->in));
		on_message(p, whole.p, whole.len);
		nr_buf_free(&whole);
	}
	return 0;
}

/* ---- what goes */

static struct chunk *
room_for(struct nr_peer *p, size_t n)
{
	size_t cap = n > CHUNK ? n : CHUNK;
	struct chunk *c = p->tail;

	if (c != NULL && c->cap - c->len >= n)
		return c;
	if ((c = malloc(sizeof(*c) + LWS_PRE + cap)) == NULL)
		return NULL;
	c->next = NULL;
	c->len = 0;
	c->cap = cap;
	if (p->tail != NULL)
		p->tail->next = c;
	else
		p->head = c;
	p->tail = c;
	return c;
}

static void
xor(unsigned char *to, const char *from, size_t n,
    const unsigned char mask[4], size_t at)
{
	size_t i;

	for (i = 0; i < n; i++)
		to[i] = (unsigned char)from[i] ^ mask[(at + i) & 3];
}

static int
queue(struct nr_peer *p, const struct nr_view *part, size_t nparts,
    size_t max)
{
	size_t len = 0, i, at = 0, head;
	unsigned char *to, mask[4];
	struct chunk *c;

	if (p->ended || p->wsi == NULL || (p->state != NR_PEER_OPEN &&
	    p->state != NR_PEER_PROVING))
		return ENOTCONN;
	for (i = 0; i < nparts; i++)
		len += part[i].len;
	if (p->queued > 0 && p->queued + len > max)
		return EAGAIN;
	if ((c = room_for(p, NR_FRAME_HEAD_MAX + len)) == NULL)
		return ENOMEM;
	to = c->data + LWS_PRE + c->len;
	head = nr_frame_head(to, NR_OP_TEXT, len, 1);
	nr_net_mask(p->net, mask);
	memcpy(to + head - 4, mask, 4);
	for (i = 0; i < nparts; at += part[i++].len)
		xor(to + head + at, part[i].p, part[i].len, mask, at);
	c->len += head + len;
	p->queued += head + len;
	p->figures.sent++;
	p->figures.bytes_out += len;
	lws_callback_on_writable(p->wsi);
	return NR_OK;
}

int
nr_peer_send(struct nr_peer *p, const struct nr_view *part, size_t nparts)
{
	int rc = queue(p, part, nparts, p->o.out_max);

	p->hungry |= rc == EAGAIN;
	return rc;
}

int
nr_peer_say(struct nr_peer *p, const char *text)
{
	struct nr_view v = { text, strlen(text) };

	return nr_peer_send(p, &v, 1);
}

void
nr_peer_ping(struct nr_peer *p)
{
	if (p->ended || p->wsi == NULL || p->state != NR_PEER_OPEN)
		return;
	p->want_ping = 1;
	p->pinged = nr_now_ns();
	lws_callback_on_writable(p->wsi);
}

static int
send_control(struct nr_peer *p, struct lws *wsi, unsigned op,
    const char *payload, size_t n)
{
	unsigned char buf[LWS_PRE + NR_FRAME_HEAD_MAX + 125], mask[4];
	size_t head = nr_frame_head(buf + LWS_PRE, op, n, 1);

	nr_net_mask(p->net, mask);
	memcpy(buf + LWS_PRE + head - 4, mask, 4);
	xor(buf + LWS_PRE + head, payload, n, mask, 0);
	return lws_write(wsi, buf + LWS_PRE, head + n, LWS_WRITE_RAW) < 0 ?
	    -1 : 0;
}

static int
write_chunks(struct nr_peer *p, struct lws *wsi)
{
	struct chunk *c;
	int n;

	while ((c = p->head) != NULL && !lws_send_pipe_choked(wsi)) {
		n = lws_write(wsi, c->data + LWS_PRE, c->len, LWS_WRITE_RAW);
		p->queued -= c->len;
		if ((p->head = c->next) == NULL)
			p->tail = NULL;
		free(c);
		if (n < 0)
			return -1;
	}
	return 0;
}

/*
 * libwebsockets 4.1.6 has an error: where it still holds a part of what it
 * was given, and the relay says that it will send nothing more, it goes
 * round for seconds, and tells nobody.  So that is looked for here.
 */
static void
on_stuck(void *ctx)
{
	struct nr_peer *p = ctx;
	char byte;

	p->is_stuck = lws_partial_buffered(p->wsi) != 0;
	if (!p->is_stuck)
		return;
	if (recv(lws_get_socket_fd(p->wsi), &byte, 1,
	    MSG_PEEK | MSG_DONTWAIT) == 0)
		end(p, NR_FAULT_CLOSED, 0, "the connection was lost");
	else
		nr_timer_set(&p->stuck, STUCK_MS);
}

static int
write_some(struct nr_peer *p, struct lws *wsi)
{
	static const char normal[] = { 3, (char)0xe8 };		/* 1000 */

	if (write_chunks(p, wsi) != 0)
		return -1;
	if (p->head != NULL) {
		lws_callback_on_writable(wsi);
	} else if (p->state == NR_PEER_CLOSING && !p->said_close) {
		/* libwebsockets' own way would lose what comes behind it. */
		p->said_close = 1;
		return send_control(p, wsi, NR_OP_CLOSE, normal, 2);
	}
	if (p->want_ping && !p->said_close) {
		p->want_ping = 0;
		if (p->pinged != 0)
			p->pinged = nr_now_ns();
		if (send_control(p, wsi, NR_OP_PING, "", 0) != 0)
			return -1;
	}
	return 0;
}

static int
on_writable(struct nr_peer *p, struct lws *wsi)
{
	int rc = write_some(p, wsi);

	if (rc == 0 && !p->is_stuck && lws_partial_buffered(wsi)) {
		p->is_stuck = 1;
		nr_timer_set(&p->stuck, STUCK_MS);
	}
	if (rc == 0 && p->hungry && p->queued <= p->o.out_max / 2) {
		p->hungry = 0;
		(void)TELL(p, room);
	}
	return rc;
}

/* ---- is somebody there */

/* Look again when something may be due. */
static void
set_pulse(struct nr_peer *p)
{
	int64_t ms = p->asked ? p->o.dead_ms : p->o.ping_ms;
	int64_t due = p->heard + ms - nr_now_ms();

	nr_timer_set(&p->pulse, due < 10 ? 10 : due);
}

static void
on_pulse(void *ctx)
{
	struct nr_peer *p = ctx;
	int64_t silent = nr_now_ms() - p->heard;

	/* Who is not read cannot be heard. */
	if (p->paused)
		p->heard = nr_now_ms();
	else if (silent >= p->o.dead_ms) {
		end(p, NR_FAULT_TIMEOUT, 0, "the relay has fallen silent");
		return;
	} else if (silent >= p->o.ping_ms && !p->asked) {
		p->asked = p->want_ping = 1;
		lws_callback_on_writable(p->wsi);
	}
	set_pulse(p);
}

void
nr_peer_pause(struct nr_peer *p, int on)
{
	if (p->wsi == NULL || p->paused == on)
		return;
	set_paused(p, on);
	p->heard = nr_now_ms();
	lws_rx_flow_control(p->wsi, !on);
}

int64_t
nr_peer_listened(const struct nr_peer *p)
{
	return (p->paused ? p->paused_at : nr_now_ms()) - p->deaf;
}

int64_t
nr_peer_due(const struct nr_peer *p, int64_t since, int64_t ms)
{
	int64_t left = since + ms - nr_peer_listened(p);

	if (left <= 0)
		return 0;
	/* While it is paused, look now and then. */
	return p->paused && left < PAUSED_MS ? PAUSED_MS : left;
}

/* ---- connecting */

/* A step of the link has ended, and the next one begins. */
static void
step(struct nr_peer *p, int64_t *took)
{
	int64_t now = nr_now_ns();

	*took = now - p->step;
	p->step = now;
}

static void
on_pong(struct nr_peer *p)
{
	int64_t since = p->pinged;

	p->heard = nr_now_ms();
	p->asked = 0;
	p->pinged = 0;
	if (since != 0)
		(void)TELL(p, ponged, nr_now_ns() - since);
}

static void
on_established(struct nr_peer *p)
{
	step(p, &p->link.upgrade);
	p->heard = nr_now_ms();
	set_pulse(p);
	if (p->list != NULL)
		freeaddrinfo(p->list);
	p->list = p->at = NULL;
	if (p->o.auth == NR_AUTH_FIRST && p->o.sign != NULL) {
		p->state = NR_PEER_PROVING;
		nr_timer_set(&p->clock, PROVE_MS);
	} else
		opened(p);
}

/* This address did not do: another may, unless TLS or HTTP spoke. */
static void
attempt_failed(struct nr_peer *p, enum nr_fault_class c, unsigned code,
    const char *text)
{
	p->wsi = NULL;
	stop_trying(p);
	set_fault(p, c, code, text, strlen(text));
	if (p->at != NULL && p->at->ai_next != NULL && p->left > 1 &&
	    c != NR_FAULT_TLS && c != NR_FAULT_HTTP) {
		p->at = p->at->ai_next;
		p->left--;
		p->fault.class = NR_FAULT_NONE;
		nr_timer_set(&p->clock, 0);
		return;
	}
	end(p, c, code, text);
}

/* The system has said why. */
static void
not_connected(struct nr_peer *p, int error)
{
	char text[NR_FAULT_TEXT];

	snprintf(text, sizeof(text), "cannot connect: %s", strerror(error));
	attempt_failed(p, NR_FAULT_CONNECT, (unsigned)error, text);
}

/* Is it what connect(2) says of a host? */
static int
of_connect(int e)
{
	return e == ECONNREFUSED || e == ENETUNREACH || e == EHOSTUNREACH ||
	    e == ECONNRESET || e == EMFILE || e == EACCES ||
	    e == EADDRNOTAVAIL || e == ENETDOWN || e == EPERM;
}

/*
 * What libwebsockets says of why it could not connect.
 * error    errno, where connect(2) has failed at once; else 0
 */
static void
on_connect_error(struct nr_peer *p, struct lws *wsi, const char *in,
    size_t len, int error)
{
	unsigned status = lws_http_client_http_response(wsi);
	char text[NR_FAULT_TEXT];
	enum nr_fault_class c = NR_FAULT_CONNECT;

	if (error != 0) {
		not_connected(p, error);
		return;
	}
	if (len > 0 && in[len - 1] == '\0')
		len--;
	snprintf(text, sizeof(text), "%.*s", (int)len, in != NULL ? in : "");
	if (status != 0 && status != 101) {
		c = NR_FAULT_HTTP;
		snprintf(text, sizeof(text), "HTTP status %u", status);
	} else if (strncmp(text, "HS: ", 4) == 0) {
		c = NR_FAULT_HTTP;
		snprintf(text, sizeof(text), NO_RELAY);
	} else if (p->fault.class == NR_FAULT_TLS ||
	    strstr(text, "SSL") != NULL || strstr(text, "cert") != NULL) {
		c = NR_FAULT_TLS;
		snprintf(text, sizeof(text), "the TLS handshake failed");
	} else if (p->fault.class == NR_FAULT_NONE && p->url.tls &&
	    strcmp(text, "Unable to connect") != 0) {
		c = NR_FAULT_TLS;
		snprintf(text, sizeof(text), "the TLS handshake failed");
	} else if (strcmp(text, "Unable to connect") == 0)
		snprintf(text, sizeof(text), "cannot connect");
	else {
		c = NR_FAULT_HTTP;
		snprintf(text, sizeof(text), NO_RELAY);
	}
	attempt_failed(p, c, status == 101 ? 0 : status, text);
}

static void
on_distrust(struct nr_wire *w, const char *why)
{
	struct nr_peer *p = lws_container_of(w, struct nr_peer, wire);

	set_fault(p, NR_FAULT_TLS, 0, why, strlen(why));
}

/* A close frame: two bytes of status, then perhaps a text. */
static int
on_goodbye(struct nr_peer *p, const unsigned char *in, size_t len)
{
	unsigned code = len >= 2 ? (unsigned)(in[0] << 8 | in[1]) : 0;

	if (p->state == NR_PEER_CLOSING && p->said_close)
		return -1;	/* the answer to ours */
	if (len > 2)
		set_fault(p, NR_FAULT_CLOSED, code, (const char *)in + 2,
		    len - 2);
	else
		set_fault(p, NR_FAULT_CLOSED, code,
		    "the relay closed the connection", 31);
	return 0;
}

/* What libwebsockets says of the connection. */
static int
happened(struct nr_wire *w, struct lws *wsi,
    enum lws_callback_reasons reason, void *in, size_t len)
{
	struct nr_peer *p = lws_container_of(w, struct nr_peer, wire);
	unsigned char **at;
	int rc = 0, error = p->dialing && of_connect(errno) ? errno : 0;

	p->busy++;
	switch (reason) {
	case LWS_CALLBACK_WSI_CREATE:
		step(p, &p->link.connect);
		(void)fcntl(lws_get_socket_fd(wsi), F_SETFD, FD_CLOEXEC);
		break;
	case LWS_CALLBACK_CLIENT_APPEND_HANDSHAKE_HEADER:
		/* A Unix socket is connected before we have been told. */
		if (p->wsi == NULL)
			p->wsi = wsi;
		if (p->url.tls)
			step(p, &p->link.tls);
		nr_tls_facts_session(&p->link.facts, lws_get_ssl(wsi));
		at = in;
		rc = nr_wire_user_agent(wsi, at, *at + len);
		break;
	case LWS_CALLBACK_CLIENT_CONNECTION_ERROR:
		p->dial_failed = 1;
		lws_set_opaque_user_data(wsi, NULL);
		on_connect_error(p, wsi, in, len, error);
		break;
	case LWS_CALLBACK_CLIENT_ESTABLISHED:
		on_established(p);
		break;
	case LWS_CALLBACK_CLIENT_RECEIVE:
		rc = on_receive(p, wsi, in, len);
		break;
	case LWS_CALLBACK_CLIENT_RECEIVE_PONG:
		on_pong(p);
		break;
	case LWS_CALLBACK_CLIENT_WRITEABLE:
		rc = on_writable(p, wsi);
		break;
	case LWS_CALLBACK_WS_PEER_INITIATED_CLOSE:
		rc = on_goodbye(p, in, len);
		break;
	case LWS_CALLBACK_CLIENT_CLOSED:
	case LWS_CALLBACK_WSI_DESTROY:
		lws_set_opaque_user_data(wsi, NULL);
		nr_timer_stop(&p->stuck);
		p->wsi = NULL;
		end(p, NR_FAULT_CLOSED, 0, "the connection was lost");
		break;
	default:
		break;
	}
	/* It was given up in a callback: end it here and now. */
	if (p->freed || p->wsi != wsi)
		rc = -1;
	leave(p);
	return rc;
}

static void
on_tried(void *ctx, unsigned events)
{
	struct nr_peer *p = ctx;
	socklen_t len = sizeof(int);
	int error = 0;

	(void)events;
	(void)getsockopt(p->trying_fd, SOL_SOCKET, SO_ERROR, &error, &len);
	stop_trying(p);
	if (error == 0)
		return;
	p->busy++;
	if (p->wsi != NULL)
		nr_wire_drop(p->wsi);
	not_connected(p, error);
	leave(p);
}

/*
 * libwebsockets asks its socket why it could not connect, and keeps the
 * answer, which a socket gives once.  Watches are looked at before, so we
 * know.  Where this cannot be, there is no reason, and nothing else differs.
 */
static void
watch_attempt(struct nr_peer *p)
{
	stop_trying(p);
	p->trying_fd = fcntl(lws_get_socket_fd(p->wsi), F_DUPFD_CLOEXEC, 0);
	if (p->trying_fd >= 0 && nr_watch_new(&p->trying, p->net,
	    p->trying_fd, NR_WATCH_OUT, on_tried, p) != NR_OK)
		close(p->trying_fd);
}

/*
 * Begin with the address p->at.  Returns 0 where that cannot be and nothing
 * has been called that says so.
 */
static int
connect_to(struct nr_peer *p, const char *address)
{
	struct lws_client_connect_info i;
	char host[NR_HOST_HEADER];
	int ok;

	nr_wire_connect_info(&i, p->net, &p->url, &p->wire, host);
	i.address = address;
	i.pwsi = &p->wsi;
	p->step = nr_now_ns();
	p->dialing = 1;
	p->dial_failed = 0;
	errno = 0;
	ok = lws_client_connect_via_info(&i) != NULL;
	p->dialing = 0;
	if (ok && !p->dial_failed && p->wsi != NULL && p->at != NULL)
		watch_attempt(p);
	return ok || p->dial_failed;
}

/* An address is tried: what is known of the last one does not count. */
static void
new_link(struct nr_peer *p, const char *address)
{
	struct nr_peer_link *l = &p->link;
	int64_t resolve = l->resolve;

	memset(l, 0, sizeof(*l));
	l->resolve = resolve;
	l->connect = l->tls = l->upgrade = -1;
	snprintf(l->address, sizeof(l->address), "%s", address);
}

static void
connect_next(struct nr_peer *p)
{
	char address[INET6_ADDRSTRLEN + 32];
	int64_t now = nr_now_ms(), share;

	if (now >= p->deadline || getnameinfo(p->at->ai_addr,
	    p->at->ai_addrlen, address, sizeof(address), NULL, 0,
	    NI_NUMERICHOST) != 0) {
		end(p, NR_FAULT_TIMEOUT, 0, "cannot connect in time");
		return;
	}
	share = (p->deadline - now) / p->left;
	nr_timer_set(&p->clock, share < 1 ? 1 : share);
	p->state = NR_PEER_CONNECTING;
	new_link(p, address);
	if (!connect_to(p, address))
		attempt_failed(p, NR_FAULT_CONNECT, 0, "cannot connect");
}

static void
resolved(void *ctx, struct addrinfo *list, const char *why)
{
	struct nr_peer *p = ctx;
	struct addrinfo *a;

	if (p->lookup != NULL)
		p->link.resolve = nr_lookup_took(p->lookup);
	nr_lookup_free(p->lookup);
	p->lookup = NULL;
	if (list == NULL) {
		end(p, NR_FAULT_RESOLVE, 0, why);
		return;
	}
	p->list = p->at = list;
	for (p->left = 0, a = list; a != NULL && p->left < ADDRESSES_MAX;
	    a = a->ai_next)
		p->left++;
	connect_next(p);
}

/* libwebsockets takes + before a path. */
static void
begin_unix(struct nr_peer *p)
{
	char address[128];

	p->state = NR_PEER_CONNECTING;
	snprintf(address, sizeof(address), "+%s", p->o.unix_path);
	if (!connect_to(p, address))
		attempt_failed(p, NR_FAULT_CONNECT, 0, "cannot connect");
}

static void
begin(struct nr_peer *p)
{
	struct addrinfo hints = {
		.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICHOST
	}, *list = NULL;
	int rc;

	p->state = NR_PEER_RESOLVING;
	p->link.resolve = -1;
	new_link(p, "");
	p->deadline = nr_now_ms() + p->o.connect_ms;
	nr_timer_set(&p->clock, p->o.connect_ms);
	if (p->o.unix_path != NULL) {
		begin_unix(p);
		return;
	}
	/* What is an address needs no thread. */
	if (getaddrinfo(p->url.host, p->url.port, &hints, &list) == 0) {
		resolved(p, list, NULL);
		return;
	}
	rc = nr_lookup_new(&p->lookup, p->net->resolver, p->url.host,
	    p->url.port, resolved, p);
	if (rc != NR_OK)
		end(p, NR_FAULT_LOCAL, 0, nr_strerror(rc));
}

/* The time for the state that it is in is over. */
static void
on_clock(void *ctx)
{
	struct nr_peer *p = ctx;

	p->busy++;
	switch (p->state) {
	case NR_PEER_IDLE:
	case NR_PEER_OPEN:
		break;
	case NR_PEER_WAITING:
		begin(p);
		break;
	case NR_PEER_RESOLVING:
		end(p, NR_FAULT_TIMEOUT, 0, "no address in time");
		break;
	case NR_PEER_CONNECTING:
		if (p->wsi == NULL && p->at != NULL) {
			connect_next(p);	/* the next address */
			break;
		}
		if (p->wsi != NULL)
			nr_wire_drop(p->wsi);
		attempt_failed(p, NR_FAULT_TIMEOUT, 0,
		    "cannot connect in time");
		break;
	case NR_PEER_PROVING:
		/* There may be no challenge; where there is, its OK is due. */
		if (!p->proving)
			opened(p);
		else if (nr_now_ms() >= p->deadline + PROVE_MS)
			end(p, NR_FAULT_TIMEOUT, 0, "no OK to AUTH");
		else
			nr_timer_set(&p->clock, PROVE_MS);
		break;
	case NR_PEER_CLOSING:
		end(p, NR_FAULT_NONE, 0, "");
		break;
	}
	leave(p);
}

/* ---- beginning and end */

int
nr_peer_new(struct nr_peer **out, struct nr_net *n, const struct nr_url *url,
    const struct nr_peer_options *o, const struct nr_peer_calls *calls,
    void *ctx)
{
	struct nr_peer *p;
	char host[NR_HOST_HEADER];

	if ((p = calloc(1, sizeof(*p))) == NULL)
		return ENOMEM;
	p->net = n;
	p->url = *url;
	p->o = *o;
	p->calls = *calls;
	p->ctx = ctx;
	p->wire.happened = happened;
	p->wire.distrust = on_distrust;
	p->wire.ip = strchr(p->url.host, ':') != NULL ? p->url.host : NULL;
	p->wire.tls = &p->link.facts;
	p->wire.host = p->url.host;
	nr_wire_host(host, url);
	snprintf(p->text, sizeof(p->text), "%s://%s%s",
	    url->tls ? "wss" : "ws", host, url->path);
	nr_timer_init(&p->clock, n, on_clock, p);
	nr_timer_init(&p->pulse, n, on_pulse, p);
	nr_timer_init(&p->report, n, on_report, p);
	nr_timer_init(&p->stuck, n, on_stuck, p);
	nr_net_mask(n, (unsigned char *)&p->rng.state);
	*out = p;
	return NR_OK;
}

void
nr_peer_free(struct nr_peer *p)
{
	if (p == NULL)
		return;
	drop_connection(p);
	nr_timer_stop(&p->report);
	p->state = NR_PEER_IDLE;
	p->freed = 1;
	if (p->busy == 0)
		free(p);
}

void
nr_peer_open(struct nr_peer *p)
{
	if (p->ended)
		return;
	if (p->state == NR_PEER_IDLE || p->state == NR_PEER_WAITING) {
		p->state = NR_PEER_WAITING;
		nr_timer_set(&p->clock, 0);
	}
}

void
nr_peer_close(struct nr_peer *p)
{
	if (p->state == NR_PEER_IDLE || p->state == NR_PEER_CLOSING)
		return;
	if (p->ended) {
		/* It has ended otherwise: only there is no next attempt. */
		p->fault.class = NR_FAULT_NONE;
		return;
	}
	if (p->state == NR_PEER_OPEN && p->wsi != NULL) {
		p->state = NR_PEER_CLOSING;
		p->hungry = 0;
		nr_timer_stop(&p->pulse);
		nr_timer_set(&p->clock, p->o.close_ms);
		lws_rx_flow_control(p->wsi, 1);
		lws_callback_on_writable(p->wsi);
		return;
	}
	p->state = NR_PEER_CLOSING;
	end(p, NR_FAULT_NONE, 0, "");
}

void
nr_peer_fail(struct nr_peer *p, enum nr_fault_class c, const char *text)
{
	end(p, c, 0, text);
}

void
nr_peer_good(struct nr_peer *p)
{
	p->failures = 0;
}

enum nr_peer_state
nr_peer_state(const struct nr_peer *p)
{
	return p->ended ? NR_PEER_CLOSING : p->state;
}

struct nr_net *
nr_peer_net(const struct nr_peer *p)
{
	return p->net;
}

const char *
nr_peer_url(const struct nr_peer *p)
{
	return p->text;
}

void
nr_peer_figures(const struct nr_peer *p, struct nr_peer_figures *out)
{
	*out = p->figures;
}

const struct nr_peer_link *
nr_peer_link(const struct nr_peer *p)
{
	return &p->link;
}
