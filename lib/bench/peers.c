/*
 * Sockets and frames of a load test.
 */
#include "bench/peers.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bench/secure.h"
#include "util/err.h"
#include "wire/deflate.h"
#include "wire/frame.h"
#include "wire/url.h"

#define FRAME_MAX	((size_t)64 * 1024 * 1024)
#define READ_SIZE	((size_t)256 * 1024)
#define OUT_MAX		((size_t)32 * 1024 * 1024)
#define PONGS_MAX	((size_t)64 * 1024)	/* then they are dropped */
#define SENT_MAX	((size_t)1024 * 1024)	/* kept in front of the rest */

static void __attribute__((format(printf, 3, 4)))
set_fault(struct nr_peers *ps, const char *class, const char *fmt, ...)
{
	va_list ap;

	ps->fault->class = class;
	va_start(ap, fmt);
	(void)vsnprintf(ps->fault->text, sizeof(ps->fault->text), fmt, ap);
	va_end(ap);
}

static int
parse_url(struct nr_peers *ps, const char *url, const char *ca_file)
{
	struct nr_url u;
	int rc;

	if (!nr_url_parse(&u, url, strlen(url))) {
		set_fault(ps, "protocol", "not the URL of a relay");
		return NR_EINVAL;
	}
	rc = u.tls ? nr_secure_new(&ps->tls, ca_file) : NR_OK;
	if (rc != NR_OK) {
		set_fault(ps, "tls", "no certificates in %s", ca_file);
		return rc;
	}
	ps->host = strdup(u.host);
	ps->port = strdup(u.port);
	ps->path = strdup(u.path);
	return ps->host == NULL || ps->port == NULL || ps->path == NULL ?
	    ENOMEM : NR_OK;
}

static int
watch(struct nr_bench_peer *p, int out, int op)
{
	struct epoll_event e = {
		.events = (p->paused ? 0u : EPOLLIN) | (out ? EPOLLOUT : 0u),
		.data.ptr = p
	};

	p->polling_out = out;
	return epoll_ctl(p->all->epoll, op, p->fd, &e) == 0 ? NR_OK : errno;
}

/* The socket goes, and what is not sent. */
static void
hang_up(struct nr_bench_peer *p)
{
	nr_secure_close(p->tls);
	p->tls = NULL;
	if (p->fd >= 0)
		close(p->fd);
	p->fd = -1;
}

/* The fault has been set. */
static void
give_up(struct nr_bench_peer *p)
{
	if (p->failed)
		return;
	p->failed = 1;
	p->all->nfailed++;
	if (p->open)
		p->all->nopen--;
	hang_up(p);
	if (p->all->calls.closed != NULL)
		p->all->calls.closed(p);
}

static void
fail(struct nr_bench_peer *p, const char *class, const char *text)
{
	set_fault(p->all, class, "%s", text);
	give_up(p);
}

static const char *
class_of(int error)
{
	switch (error) {
	case ECONNREFUSED:
		return "refused";
	case ETIMEDOUT:
		return "timeout";
	case EHOSTUNREACH:
	case ENETUNREACH:
		return "unreachable";
	case EADDRNOTAVAIL:
	case EMFILE:
	case ENFILE:
	case ENOBUFS:
	case ENOMEM:
		return "local";
	default:
		return "closed";
	}
}

/* The connection ended, with an error (errno) or without (0). */
static void
end(struct nr_bench_peer *p, int error)
{
	if (error == EPROTO && p->tls != NULL)
		fail(p, nr_secure_class(p->tls), nr_secure_why(p->tls));
	else if (error != 0)
		fail(p, class_of(error), strerror(error));
	else
		fail(p, "closed", p->open ? "the relay ended the connection" :
		    "the connection ended before it was a WebSocket");
}

static ssize_t
take(struct nr_bench_peer *p, char *to, size_t n)
{
	struct nr_secured *s = p->tls;
	uint64_t in, out;
	ssize_t got;

	if (s == NULL) {
		got = recv(p->fd, to, n, MSG_DONTWAIT);
		p->all->bytes_in += got > 0 ? (uint64_t)got : 0;
		return got;
	}
	in = s->in;
	out = s->out;
	got = nr_secure_recv(s, to, n);
	p->all->bytes_in += s->in - in;
	p->all->bytes_out += s->out - out;
	return got;
}

static ssize_t
give(struct nr_bench_peer *p, const char *from, size_t n)
{
	struct nr_secured *s = p->tls;
	uint64_t in, out;
	ssize_t put;

	if (s == NULL) {
		put = send(p->fd, from, n, MSG_NOSIGNAL | MSG_DONTWAIT);
		p->all->bytes_out += put > 0 ? (uint64_t)put : 0;
		return put;
	}
	in = s->in;
	out = s->out;
	put = nr_secure_send(s, from, n);
	p->all->bytes_in += s->in - in;
	p->all->bytes_out += s->out - out;
	return put;
}

static int
connect_one(struct nr_bench_peer *p)
{
	static const char offer[] = "Sec-WebSocket-Extensions: "
	    "permessage-deflate; server_no_context_takeover; "
	    "client_no_context_takeover\r\n";
	struct nr_peers *ps = p->all;
	const struct addrinfo *ai = ps->address;
	int one = 1, rc, ip6 = strchr(ps->host, ':') != NULL;

	p->fd = socket(ai->ai_family, SOCK_STREAM | SOCK_CLOEXEC |
	    SOCK_NONBLOCK, 0);
	if (p->fd < 0)
		return errno;
	if (connect(p->fd, ai->ai_addr, ai->ai_addrlen) != 0 &&
	    errno != EINPROGRESS)
		return errno;
	(void)setsockopt(p->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	if (ps->tls != NULL && (rc = nr_secure_open(&p->tls, ps->tls, p->fd,
	    ps->host)) != NR_OK)
		return rc;
	rc = nr_buf_addf(&p->out, "GET %s HTTP/1.1\r\nHost: %s%s%s:%s\r\n"
	    "Upgrade: websocket\r\nConnection: Upgrade\r\n"
	    "Sec-WebSocket-Key: bnItYmVuY2ggbnItYmVuYw==\r\n"
	    "Sec-WebSocket-Version: 13\r\n%s\r\n", ps->path,
	    ip6 ? "[" : "", ps->host, ip6 ? "]" : "", ps->port,
	    ps->inflater != NULL ? offer : "");
	return rc != NR_OK ? rc : watch(p, 1, EPOLL_CTL_ADD);
}

/* Does somebody listen there? */
static int
answers(const struct addrinfo *ai)
{
	const struct timeval patience = { 5, 0 };
	int fd, yes;

	fd = socket(ai->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return 0;
	/* It holds for connect(), too. */
	(void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience,
	    sizeof(patience));
	yes = connect(fd, ai->ai_addr, ai->ai_addrlen) == 0;
	close(fd);
	return yes;
}

/* A name may have several addresses, and the relay not listen on all. */
static int
find_address(struct nr_peers *ps)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM };
	int rc = getaddrinfo(ps->host, ps->port, &hints, &ps->list);

	if (rc != 0) {
		set_fault(ps, "dns", "%s", gai_strerror(rc));
		return EHOSTUNREACH;
	}
	ps->address = ps->list;
	while (ps->address->ai_next != NULL && !answers(ps->address))
		ps->address = ps->address->ai_next;
	return NR_OK;
}

static int
connect_all(struct nr_peers *ps, unsigned n)
{
	unsigned i;
	int rc = NR_OK;

	for (i = 0; rc == NR_OK && i < n; i++) {
		ps->peer[i].all = ps;
		ps->peer[i].fd = -1;
		ps->peer[i].index = i;
		ps->n++;
		rc = connect_one(&ps->peer[i]);
	}
	if (rc > 0)
		set_fault(ps, class_of(rc), "%s", strerror(rc));
	return rc;
}

int
nr_peers_open(struct nr_peers **out, const char *url, unsigned n,
    const struct nr_peers_options *o, const struct nr_bench_calls *calls,
    void *user, struct nr_bench_fault *fault)
{
	struct nr_peers *ps;
	int rc;

	fault->class = NULL;
	if ((ps = calloc(1, sizeof(*ps))) == NULL)
		return ENOMEM;
	ps->calls = *calls;
	ps->user = user;
	ps->fault = fault;
	ps->epoll = epoll_create1(EPOLL_CLOEXEC);
	ps->peer = calloc(n, sizeof(ps->peer[0]));
	rc = ps->epoll < 0 ? errno : ps->peer == NULL ? ENOMEM :
	    parse_url(ps, url, o != NULL ? o->ca_file : NULL);
	if (rc == NR_OK && o != NULL && o->packed)
		rc = nr_inflater_new(&ps->inflater);
	if (rc == NR_OK)
		rc = find_address(ps);
	if (rc == NR_OK)
		rc = connect_all(ps, n);
	if (rc != NR_OK) {
		nr_peers_free(ps);
		return rc;
	}
	*out = ps;
	return NR_OK;
}

void
nr_peers_free(struct nr_peers *ps)
{
	unsigned i;

	if (ps == NULL)
		return;
	for (i = 0; i < ps->n; i++) {
		hang_up(&ps->peer[i]);
		nr_buf_free(&ps->peer[i].in);
		nr_buf_free(&ps->peer[i].out);
		nr_buf_free(&ps->peer[i].message);
	}
	if (ps->epoll >= 0)
		close(ps->epoll);
	nr_inflater_free(ps->inflater);
	nr_secure_end(ps->tls);
	nr_buf_free(&ps->unpacked);
	free(ps->peer);
	free(ps->host);
	free(ps->port);
	free(ps->path);
	if (ps->list != NULL)
		freeaddrinfo(ps->list);
	free(ps);
}

static void
poll_out(struct nr_bench_peer *p, int wanted)
{
	if (p->polling_out != wanted && !p->failed)
		(void)watch(p, wanted, EPOLL_CTL_MOD);
}

/* What was sent is not kept for ever where something always waits. */
static void
forget_sent(struct nr_bench_peer *p)
{
	if (p->sent < SENT_MAX || p->sent < nr_bench_waiting(p))
		return;
	memmove(p->out.p, p->out.p + p->sent, nr_bench_waiting(p));
	p->out.len -= p->sent;
	p->sent = 0;
}

void
nr_bench_flush(struct nr_bench_peer *p)
{
	ssize_t n;

	while (!p->failed && p->sent < p->out.len) {
		n = give(p, p->out.p + p->sent, nr_bench_waiting(p));
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN) {
			/* TLS may have to read before it writes. */
			poll_out(p, p->tls == NULL || p->tls->wants_out);
			forget_sent(p);
			return;
		}
		if (n <= 0) {
			end(p, n < 0 ? errno : 0);
			return;
		}
		p->sent += (size_t)n;
	}
	p->out.len = p->sent = 0;
	poll_out(p, p->tls != NULL && p->tls->wants_out);
}

int
nr_bench_send(struct nr_bench_peer *p, const struct nr_view *part,
    size_t nparts)
{
	unsigned char head[NR_FRAME_HEAD_MAX];
	size_t len = 0, i;
	int rc;

	if (nr_bench_waiting(p) > OUT_MAX)
		fail(p, "closed", "the relay does not read");
	if (p->failed)
		return NR_OK;
	for (i = 0; i < nparts; i++)
		len += part[i].len;
	rc = nr_buf_add(&p->out, head, nr_frame_head(head, NR_OP_TEXT, len,
	    1));
	for (i = 0; rc == NR_OK && i < nparts; i++)
		rc = nr_buf_add(&p->out, part[i].p, part[i].len);
	return rc;
}

/* Answer a ping with what it holds, unless there are many to be sent. */
static void
pong(struct nr_bench_peer *p, const struct nr_frame *f)
{
	unsigned char head[NR_FRAME_HEAD_MAX];

	if (nr_bench_waiting(p) > PONGS_MAX)
		return;
	if (nr_buf_add(&p->out, head, nr_frame_head(head, NR_OP_PONG, f->len,
	    1)) == NR_OK)
		(void)nr_buf_add(&p->out, f->payload, f->len);
}

static void
refuse_handshake(struct nr_bench_peer *p)
{
	const char *lf = memchr(p->in.p, '\r', p->in.len);

	if (p->in.len < 5 || memcmp(p->in.p, "HTTP/", 5) != 0 || lf == NULL)
		fail(p, "protocol", "what answers speaks no HTTP");
	else {
		set_fault(p->all, "http", "no WebSocket but %.*s",
		    (int)(lf - p->in.p), p->in.p);
		give_up(p);
	}
}

/* The relay's answer to the handshake; returns its length, 0: not all. */
static size_t
handshake(struct nr_bench_peer *p)
{
	char *end_of_it = memmem(p->in.p, p->in.len, "\r\n\r\n", 4);

	if (end_of_it == NULL) {
		if (p->in.len > 65536)
			refuse_handshake(p);
		return 0;
	}
	if (p->in.len < 12 || memcmp(p->in.p, "HTTP/1.1 101", 12) != 0) {
		refuse_handshake(p);
		return 0;
	}
	p->open = 1;
	p->all->nopen++;
	if (p->all->calls.opened != NULL)
		p->all->calls.opened(p);
	return (size_t)(end_of_it + 4 - p->in.p);
}

static void
take_text(struct nr_bench_peer *p, const char *text, size_t len, int packed)
{
	struct nr_peers *ps = p->all;

	if (!packed)
		ps->calls.text(p, text, len);
	else if (ps->inflater == NULL || nr_inflate(ps->inflater,
	    &ps->unpacked, text, len, FRAME_MAX) != NR_OK)
		fail(p, "protocol", "a message that cannot be inflated");
	else
		ps->calls.text(p, ps->unpacked.p, ps->unpacked.len);
}

/* A piece of a message in several frames. */
static void
take_fragment(struct nr_bench_peer *p, const struct nr_frame *f)
{
	if ((f->op == NR_OP_CONT) != (p->partial != 0)) {
		fail(p, "protocol", "fragments in disorder");
		return;
	}
	if (f->op != NR_OP_CONT) {
		p->partial = (int)f->op;
		p->packed = f->packed;
		p->message.len = 0;
	}
	if (f->len > FRAME_MAX - p->message.len ||
	    nr_buf_add(&p->message, f->payload, f->len) != NR_OK) {
		fail(p, "protocol", "a message without end");
		return;
	}
	if (!f->fin)
		return;
	if (p->partial == NR_OP_TEXT)
		take_text(p, p->message.p, p->message.len, p->packed);
	p->partial = 0;
	/* Few messages come so. */
	nr_buf_free(&p->message);
}

static void
take_frame(struct nr_bench_peer *p, const struct nr_frame *f)
{
	switch (f->op) {
	case NR_OP_CLOSE:
		fail(p, "closed", "the relay ended the connection");
		break;
	case NR_OP_PING:
		pong(p, f);
		break;
	case NR_OP_TEXT:
	case NR_OP_BINARY:
	case NR_OP_CONT:
		if (!f->fin || p->partial || f->op == NR_OP_CONT)
			take_fragment(p, f);
		else if (f->op == NR_OP_TEXT)
			take_text(p, f->payload, f->len, f->packed);
		break;
	default:
		break;
	}
}

static void
take_frames(struct nr_bench_peer *p)
{
	struct nr_frame f;
	size_t at = 0;
	int got;

	if (!p->open && (at = handshake(p)) == 0)
		return;
	while (!p->failed && (got = nr_frame_read(&f, p->in.p + at,
	    p->in.len - at, FRAME_MAX)) != 0) {
		if (got < 0) {
			fail(p, "protocol", "what is no frame");
			break;
		}
		take_frame(p, &f);
		at += f.total;
	}
	p->in.len -= at;
	if (p->in.len > 0 && at > 0)
		memmove(p->in.p, p->in.p + at, p->in.len);
}

static void
read_some(struct nr_bench_peer *p)
{
	ssize_t n;

	if (nr_buf_reserve(&p->in, READ_SIZE) != NR_OK) {
		fail(p, "local", strerror(ENOMEM));
		return;
	}
	n = take(p, p->in.p + p->in.len, p->in.cap - p->in.len);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		end(p, n < 0 ? errno : 0);
		return;
	}
	p->in.len += (size_t)n;
	take_frames(p);
}

void
nr_bench_reconnect(struct nr_bench_peer *p)
{
	int rc;

	if (p->open && !p->failed)
		p->all->nopen--;
	if (p->failed)
		p->all->nfailed--;
	hang_up(p);
	p->open = p->failed = p->paused = p->polling_out = p->partial = 0;
	p->in.len = p->out.len = p->sent = 0;
	rc = connect_one(p);
	if (rc != NR_OK)
		fail(p, class_of(rc), strerror(rc));
}

void
nr_bench_pause(struct nr_bench_peer *p)
{
	p->paused = 1;
	(void)watch(p, p->polling_out, EPOLL_CTL_MOD);
}

int
nr_bench_drip(struct nr_bench_peer *p, size_t n)
{
	char waste[4096];
	ssize_t got;

	while (!p->failed && n > 0) {
		got = take(p, waste, n < sizeof(waste) ? n : sizeof(waste));
		if (got < 0 && (errno == EAGAIN || errno == EINTR))
			break;
		if (got <= 0) {
			end(p, got < 0 ? errno : 0);
			break;
		}
		n -= (size_t)got;
	}
	return p->failed ? -1 : 0;
}

int
nr_peers_wait_ns(struct nr_peers *ps, int64_t timeout)
{
	struct timespec ts = { timeout / 1000000000, timeout % 1000000000 };
	struct epoll_event e[64];
	struct nr_bench_peer *p;
	int i, n;

	n = epoll_pwait2(ps->epoll, e, 64, timeout < 0 ? NULL : &ts, NULL);
	if (n < 0)
		return errno == EINTR ? NR_OK : errno;
	for (i = 0; i < n; i++) {
		p = e[i].data.ptr;
		if (p->failed)
			continue;
		/* One that does not read is told of its end only. */
		if (p->paused && (e[i].events & (EPOLLERR | EPOLLHUP)))
			end(p, 0);
		else if (p->tls != NULL ? !p->paused :
		    (e[i].events & ~(unsigned)EPOLLOUT) != 0)
			read_some(p);
	}
	for (i = 0; i < n; i++) {
		p = e[i].data.ptr;
		if (!p->failed)
			nr_bench_flush(p);
	}
	return NR_OK;
}

int
nr_peers_wait(struct nr_peers *ps, int timeout)
{
	return nr_peers_wait_ns(ps, timeout < 0 ? -1 :
	    (int64_t)timeout * 1000000);
}
