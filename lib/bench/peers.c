/*
 * Sockets and frames of a load test.
 */
#include "bench/peers.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "util/err.h"
#include "wire/deflate.h"
#include "wire/frame.h"
#include "wire/url.h"

#define FRAME_MAX	((size_t)64 * 1024 * 1024)
#define READ_SIZE	((size_t)256 * 1024)

static int
parse_url(struct nr_peers *ps, const char *url)
{
	struct nr_url u;

	if (!nr_url_parse(&u, url, strlen(url)) || u.tls)
		return NR_EINVAL;
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

static void
fail(struct nr_bench_peer *p)
{
	if (p->failed)
		return;
	p->failed = 1;
	p->all->nfailed++;
	if (p->open)
		p->all->nopen--;
	if (p->fd >= 0)
		close(p->fd);
	p->fd = -1;
	if (p->all->calls.closed != NULL)
		p->all->calls.closed(p);
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

	if (getaddrinfo(ps->host, ps->port, &hints, &ps->list) != 0)
		return EHOSTUNREACH;
	ps->address = ps->list;
	while (ps->address->ai_next != NULL && !answers(ps->address))
		ps->address = ps->address->ai_next;
	return NR_OK;
}

int
nr_peers_open(struct nr_peers **out, const char *url, unsigned n,
    int packed, const struct nr_bench_calls *calls, void *user)
{
	struct nr_peers *ps;
	unsigned i;
	int rc;

	if ((ps = calloc(1, sizeof(*ps))) == NULL)
		return ENOMEM;
	ps->calls = *calls;
	ps->user = user;
	ps->epoll = epoll_create1(EPOLL_CLOEXEC);
	ps->peer = calloc(n, sizeof(ps->peer[0]));
	rc = ps->epoll < 0 ? errno : ps->peer == NULL ? ENOMEM :
	    parse_url(ps, url);
	if (rc == NR_OK && packed)
		rc = nr_inflater_new(&ps->inflater);
	if (rc == NR_OK)
		rc = find_address(ps);
	for (i = 0; rc == NR_OK && i < n; i++) {
		ps->peer[i].all = ps;
		ps->peer[i].fd = -1;
		ps->peer[i].index = i;
		ps->n++;
		rc = connect_one(&ps->peer[i]);
	}
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
		if (ps->peer[i].fd >= 0)
			close(ps->peer[i].fd);
		nr_buf_free(&ps->peer[i].in);
		nr_buf_free(&ps->peer[i].out);
	}
	if (ps->epoll >= 0)
		close(ps->epoll);
	nr_inflater_free(ps->inflater);
	nr_buf_free(&ps->unpacked);
	free(ps->peer);
	free(ps->host);
	free(ps->port);
	free(ps->path);
	if (ps->list != NULL)
		freeaddrinfo(ps->list);
	free(ps);
}

void
nr_bench_flush(struct nr_bench_peer *p)
{
	ssize_t n;

	while (!p->failed && p->sent < p->out.len) {
		n = send(p->fd, p->out.p + p->sent, p->out.len - p->sent,
		    MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN) {
			if (!p->polling_out)
				(void)watch(p, 1, EPOLL_CTL_MOD);
			return;
		}
		if (n <= 0) {
			fail(p);
			return;
		}
		p->sent += (size_t)n;
		p->all->bytes_out += (uint64_t)n;
	}
	p->out.len = p->sent = 0;
	if (p->polling_out && !p->failed)
		(void)watch(p, 0, EPOLL_CTL_MOD);
}

int
nr_bench_send(struct nr_bench_peer *p, const struct nr_view *part, size_t nparts)
{
	unsigned char head[NR_FRAME_HEAD_MAX];
	size_t len = 0, i;
	int rc;

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

/* Answer a ping with what it holds. */
static void
pong(struct nr_bench_peer *p, const struct nr_frame *f)
{
	unsigned char head[NR_FRAME_HEAD_MAX];

	if (nr_buf_add(&p->out, head, nr_frame_head(head, NR_OP_PONG, f->len,
	    1)) == NR_OK)
		(void)nr_buf_add(&p->out, f->payload, f->len);
}

/* The relay's answer to the handshake; returns its length, 0: not all. */
static size_t
handshake(struct nr_bench_peer *p)
{
	char *end = memmem(p->in.p, p->in.len, "\r\n\r\n", 4);

	if (end == NULL) {
		if (p->in.len > 65536)
			fail(p);
		return 0;
	}
	if (p->in.len < 12 || memcmp(p->in.p, "HTTP/1.1 101", 12) != 0) {
		fail(p);
		return 0;
	}
	p->open = 1;
	p->all->nopen++;
	if (p->all->calls.opened != NULL)
		p->all->calls.opened(p);
	return (size_t)(end + 4 - p->in.p);
}

static void
take_text(struct nr_bench_peer *p, const struct nr_frame *f)
{
	struct nr_peers *ps = p->all;

	if (!f->packed)
		ps->calls.text(p, f->payload, f->len);
	else if (ps->inflater == NULL || nr_inflate(ps->inflater,
	    &ps->unpacked, f->payload, f->len, FRAME_MAX) != NR_OK)
		fail(p);
	else
		ps->calls.text(p, ps->unpacked.p, ps->unpacked.len);
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
		if (got < 0 || f.op == NR_OP_CLOSE) {
			fail(p);
			break;
		}
		if (f.op == NR_OP_PING)
			pong(p, &f);
		else if (f.op == NR_OP_TEXT)
			take_text(p, &f);
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
		fail(p);
		return;
	}
	n = recv(p->fd, p->in.p + p->in.len, p->in.cap - p->in.len,
	    MSG_DONTWAIT);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		fail(p);
		return;
	}
	p->in.len += (size_t)n;
	p->all->bytes_in += (uint64_t)n;
	take_frames(p);
}

int
nr_bench_reconnect(struct nr_bench_peer *p)
{
	if (p->open && !p->failed)
		p->all->nopen--;
	if (p->failed)
		p->all->nfailed--;
	if (p->fd >= 0)
		close(p->fd);
	p->fd = -1;
	p->open = p->failed = p->paused = p->polling_out = 0;
	p->in.len = p->out.len = p->sent = 0;
	return connect_one(p);
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
		got = recv(p->fd, waste, n < sizeof(waste) ? n :
		    sizeof(waste), MSG_DONTWAIT);
		if (got < 0 && (errno == EAGAIN || errno == EINTR))
			break;
		if (got <= 0) {
			fail(p);
			break;
		}
		p->all->bytes_in += (uint64_t)got;
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
			fail(p);
		else if (e[i].events & ~(unsigned)EPOLLOUT)
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
