/*
 * Connections as they come in.
 */
#include "relay/accept.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "relay/internal.h"
#include "util/err.h"
#include "util/times.h"
#include "wire/proxy.h"

#define ROUND		64	/* connections of one address in a row */
#define QUEUE_MAX	1024	/* waiting for the socket thread */
#define HEADERS_MAX	1024	/* waiting for a proxy's header */
#define SHORT_MS	100	/* without accepting, when short of memory */
#define SAY_MS		60000

TAILQ_HEAD(arrivals, nr_arrival);

struct listener {
	struct nr_endpoint	 at;
	int			 fd;		/* -1: not any more; see lock */
	int			 metrics;
};

struct nr_acceptor {
	struct nr_relay		*relay;
	struct listener		 listener[NR_LISTEN_MAX + 1];
	unsigned		 n;
	int			 epoll, wake;
	pthread_t		 thread;
	int			 started;
	atomic_int		 ending;
	atomic_int		 shut;		/* 1: for clients, 2: for all */
	atomic_int		 is_shut;

	/* The thread's. */
	struct arrivals		 headers;	/* the oldest first */
	atomic_uint		 nheaders;
	int			 paused;
	int64_t			 short_until;	/* ms */
	int64_t			 said;		/* ms */

	pthread_mutex_t		 lock;		/* of what follows */
	struct arrivals		 queue;
	unsigned		 queued;
};

static void
ring(struct nr_acceptor *a)
{
	(void)eventfd_write(a->wake, 1);
}

static void
drop(struct nr_arrival *v)
{
	close(v->fd);
	free(v);
}

/* ---- the queue ------------------------------------------------------------- */

static void
hand_over(struct nr_acceptor *a, struct nr_arrival *v)
{
	pthread_mutex_lock(&a->lock);
	TAILQ_INSERT_TAIL(&a->queue, v, link);
	a->queued++;
	pthread_mutex_unlock(&a->lock);
	nr_relay_wake(a->relay);
}

static int
is_full(struct nr_acceptor *a)
{
	int full;

	pthread_mutex_lock(&a->lock);
	full = a->queued >= QUEUE_MAX;
	pthread_mutex_unlock(&a->lock);
	return full;
}

struct nr_arrival *
nr_acceptor_take(struct nr_acceptor *a)
{
	struct nr_arrival *v;
	int has_room = 0;

	pthread_mutex_lock(&a->lock);
	if ((v = TAILQ_FIRST(&a->queue)) != NULL) {
		TAILQ_REMOVE(&a->queue, v, link);
		has_room = a->queued-- == QUEUE_MAX;
	}
	pthread_mutex_unlock(&a->lock);
	if (has_room)
		ring(a);
	return v;
}

/* ---- the header of the PROXY protocol ---------------------------------------- */

static void
header_done(struct nr_acceptor *a, struct nr_arrival *v)
{
	TAILQ_REMOVE(&a->headers, v, link);
	a->nheaders--;
	(void)epoll_ctl(a->epoll, EPOLL_CTL_DEL, v->fd, NULL);
}

/*
 * Look at what has come, and take the header when it is whole: what is
 * behind it is for others.
 * Returns  1; 0 where more is needed; -1 where there is no header.
 */
static int
read_header(struct nr_arrival *v)
{
	unsigned char buf[NR_PROXY_MAX];
	struct nr_proxy header;
	ssize_t got;
	int n;

	got = recv(v->fd, buf, sizeof(buf), MSG_PEEK);
	if (got < 0 && (errno == EAGAIN || errno == EINTR))
		return 0;
	if (got <= 0)
		return -1;
	if ((n = nr_proxy_read(&header, buf, (size_t)got)) <= 0)
		return n;
	if (recv(v->fd, buf, (size_t)n, 0) != n)
		return -1;
	if (header.has_source) {
		v->is_ip = v->told = 1;
		v->from = header.source;
	}
	return 1;
}

static void
header_ready(struct nr_acceptor *a, struct nr_arrival *v)
{
	int rc = read_header(v);

	if (rc == 0)
		return;
	header_done(a, v);
	if (rc > 0)
		hand_over(a, v);
	else
		drop(v);
}

static void
expect_header(struct nr_acceptor *a, struct nr_arrival *v)
{
	/* On an edge: what was looked at, and is too little, stays there. */
	struct epoll_event ev = {
		.events = EPOLLIN | EPOLLRDHUP | EPOLLET, .data.ptr = v
	};

	if (a->nheaders >= HEADERS_MAX ||
	    epoll_ctl(a->epoll, EPOLL_CTL_ADD, v->fd, &ev) != 0) {
		drop(v);
		return;
	}
	nr_relay_reading(a->relay);
	v->until = nr_now_ms() +
	    (int64_t)a->relay->config->handshake_seconds * 1000;
	nr_relay_read(a->relay);
	TAILQ_INSERT_TAIL(&a->headers, v, link);
	a->nheaders++;
}

static void
expire(struct nr_acceptor *a)
{
	struct nr_arrival *v;

	while ((v = TAILQ_FIRST(&a->headers)) != NULL &&
	    v->until <= nr_now_ms()) {
		header_done(a, v);
		drop(v);
	}
}

/* ---- accepting ------------------------------------------------------------------ */

static void
arrived(struct nr_acceptor *a, struct listener *l, int fd,
    const struct sockaddr *sa)
{
	struct nr_arrival *v;
	int one = 1;

	if ((v = calloc(1, sizeof(*v))) == NULL) {
		close(fd);
		return;
	}
	v->fd = fd;
	v->at = &l->at;
	v->metrics = l->metrics;
	v->is_ip = nr_ip_of(&v->from, sa);
	if (v->is_ip)
		(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one,
		    sizeof(one));
	if (!l->at.proxy)
		hand_over(a, v);
	else if (nr_origin_trusts(a->relay, v))
		expect_header(a, v);
	else
		drop(v);
}

/* Out of descriptors or memory: those who wait may be lucky soon. */
static void
run_short(struct nr_acceptor *a, int rc)
{
	int64_t now = nr_now_ms();

	a->short_until = now + SHORT_MS;
	if (a->said != 0 && now - a->said < SAY_MS)
		return;
	a->said = now;
	nr_relay_log(a->relay, NR_LOG_WARN,
	    "connections have to wait: %s", nr_strerror(rc));
}

static void
accept_some(struct nr_acceptor *a, struct listener *l)
{
	struct sockaddr_storage ss;
	socklen_t len;
	int i, fd;

	for (i = 0; i < ROUND && l->fd >= 0; i++) {
		len = sizeof(ss);
		memset(&ss, 0, sizeof(ss.ss_family));
		fd = accept4(l->fd, (struct sockaddr *)&ss, &len,
		    SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (fd >= 0) {
			arrived(a, l, fd, (struct sockaddr *)&ss);
			continue;
		}
		if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS ||
		    errno == ENOMEM)
			run_short(a, errno);
		if (errno != EINTR && errno != ECONNABORTED)
			return;
	}
}

/* ---- the thread -------------------------------------------------------------------- */

static void
watch_listeners(struct nr_acceptor *a, int watch)
{
	struct epoll_event ev = { .events = watch ? EPOLLIN : 0 };
	unsigned i;

	a->paused = !watch;
	for (i = 0; i < a->n; i++) {
		ev.data.ptr = &a->listener[i];
		if (a->listener[i].fd >= 0)
			(void)epoll_ctl(a->epoll, EPOLL_CTL_MOD,
			    a->listener[i].fd, &ev);
	}
}

/*
 * Another process may have the same sockets, so that closing ours does not
 * take them from the set that is watched.
 */
static void
shut(struct nr_acceptor *a, int all)
{
	struct listener *l;

	pthread_mutex_lock(&a->lock);
	for (l = a->listener; l < a->listener + a->n; l++) {
		if ((l->metrics && !all) || l->fd < 0)
			continue;
		(void)epoll_ctl(a->epoll, EPOLL_CTL_DEL, l->fd, NULL);
		close(l->fd);
		l->fd = -1;
	}
	pthread_mutex_unlock(&a->lock);
	atomic_store(&a->is_shut, 1);
}

/* Milliseconds to sleep at most; -1 for ever. */
static int
patience(const struct nr_acceptor *a)
{
	const struct nr_arrival *v = TAILQ_FIRST(&a->headers);
	int64_t now = nr_now_ms(), until = INT64_MAX;

	if (v != NULL)
		until = v->until;
	if (a->paused && a->short_until > now && a->short_until < until)
		until = a->short_until;
	if (until == INT64_MAX)
		return -1;
	return until <= now ? 0 : (int)(until - now);
}

static void
dispatch(struct nr_acceptor *a, void *what)
{
	struct listener *l = what;
	eventfd_t n;

	if (what == a)
		(void)eventfd_read(a->wake, &n);
	else if (l >= a->listener && l < a->listener + a->n) {
		if (!a->paused)
			accept_some(a, l);
	} else
		header_ready(a, what);
}

static void *
accept_main(void *arg)
{
	struct nr_acceptor *a = arg;
	struct epoll_event ev[ROUND];
	int i, n, pause;

	while (!atomic_load(&a->ending)) {
		n = epoll_wait(a->epoll, ev, ROUND, patience(a));
		if (atomic_load(&a->shut))
			shut(a, atomic_load(&a->shut) > 1);
		for (i = 0; i < n; i++)
			dispatch(a, ev[i].data.ptr);
		expire(a);
		pause = is_full(a) || nr_now_ms() < a->short_until;
		if (pause != a->paused)
			watch_listeners(a, !pause);
	}
	return NULL;
}

/* ---- beginning and end --------------------------------------------------------------- */

/* The socket that was given for this place. */
static int
take_given(struct listener *l, struct nr_given *given)
{
	unsigned i;

	for (i = 0; i < given->n; i++) {
		if (given->used[i] || !nr_endpoint_is(&l->at, given->fd[i]))
			continue;
		given->used[i] = 1;
		l->fd = given->fd[i];
		return 1;
	}
	return 0;
}

static int
add_listener(struct nr_acceptor *a, const char *where, int metrics,
    struct nr_given *given)
{
	struct listener *l = &a->listener[a->n];
	struct epoll_event ev = { .events = EPOLLIN, .data.ptr = l };
	int rc;

	if (nr_endpoint_parse(&l->at, where) != NULL)
		return EINVAL;
	l->metrics = metrics;
	if (!take_given(l, given) &&
	    (rc = nr_endpoint_listen(&l->at, &l->fd)) != NR_OK)
		return rc;
	a->n++;
	return epoll_ctl(a->epoll, EPOLL_CTL_ADD, l->fd, &ev) == 0 ? NR_OK :
	    errno;
}

static int
listen_all(struct nr_acceptor *a, struct nr_given *given,
    const char **where)
{
	const struct nr_relay_config *c = a->relay->config;
	unsigned i;
	int rc;

	for (i = 0; i < c->nlisten; i++) {
		*where = c->listen[i];
		if ((rc = add_listener(a, c->listen[i], 0,
		    given)) != NR_OK)
			return rc;
	}
	if (c->metrics == NULL)
		return NR_OK;
	*where = c->metrics;
	return add_listener(a, c->metrics, 1, given);
}

int
nr_acceptor_new(struct nr_acceptor **out, struct nr_relay *r,
    struct nr_given *given, const char **where)
{
	struct epoll_event ev = { .events = EPOLLIN };
	struct nr_acceptor *a;
	int rc;

	if ((a = calloc(1, sizeof(*a))) == NULL)
		return ENOMEM;
	a->relay = r;
	TAILQ_INIT(&a->headers);
	TAILQ_INIT(&a->queue);
	pthread_mutex_init(&a->lock, NULL);
	a->epoll = epoll_create1(EPOLL_CLOEXEC);
	a->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	ev.data.ptr = a;
	if (a->epoll < 0 || a->wake < 0 ||
	    epoll_ctl(a->epoll, EPOLL_CTL_ADD, a->wake, &ev) != 0)
		rc = errno;
	else
		rc = listen_all(a, given, where);
	if (rc != NR_OK) {
		nr_acceptor_free(a);
		return rc;
	}
	*out = a;
	return NR_OK;
}

int
nr_acceptor_start(struct nr_acceptor *a)
{
	int rc = pthread_create(&a->thread, NULL, accept_main, a);

	a->started = rc == NR_OK;
	return rc;
}

void
nr_acceptor_shut(struct nr_acceptor *a, int all)
{
	if (atomic_load(&a->shut) <= all)
		atomic_store(&a->shut, all ? 2 : 1);
	ring(a);
}

int
nr_acceptor_idle(struct nr_acceptor *a)
{
	int idle;

	if (!atomic_load(&a->is_shut) || atomic_load(&a->nheaders) > 0)
		return 0;
	pthread_mutex_lock(&a->lock);
	idle = a->queued == 0;
	pthread_mutex_unlock(&a->lock);
	return idle;
}

void
nr_acceptor_share(struct nr_acceptor *a, struct nr_given *copies)
{
	unsigned i;
	int fd;

	pthread_mutex_lock(&a->lock);
	for (i = 0; i < a->n; i++) {
		if (a->listener[i].fd < 0 || (fd = fcntl(
		    a->listener[i].fd, F_DUPFD_CLOEXEC, 0)) < 0)
			continue;
		copies->fd[copies->n++] = fd;
	}
	pthread_mutex_unlock(&a->lock);
}

static void
drop_all(struct arrivals *q)
{
	struct nr_arrival *v;

	while ((v = TAILQ_FIRST(q)) != NULL) {
		TAILQ_REMOVE(q, v, link);
		drop(v);
	}
}

void
nr_acceptor_free(struct nr_acceptor *a)
{
	unsigned i;

	if (a == NULL)
		return;
	if (a->started) {
		atomic_store(&a->ending, 1);
		ring(a);
		pthread_join(a->thread, NULL);
	}
	for (i = 0; i < a->n; i++) {
		if (a->listener[i].fd >= 0)
			close(a->listener[i].fd);
		nr_endpoint_clear(&a->listener[i].at);
	}
	drop_all(&a->headers);
	drop_all(&a->queue);
	if (a->wake >= 0)
		close(a->wake);
	if (a->epoll >= 0)
		close(a->epoll);
	pthread_mutex_destroy(&a->lock);
	free(a);
}

/* The port, where 0 was asked for as well. */
static int
port(const struct listener *l)
{
	struct sockaddr_storage ss;
	struct sockaddr_in6 in6;
	struct sockaddr_in in;
	socklen_t len = sizeof(ss);

	if (getsockname(l->fd, (struct sockaddr *)&ss, &len) != 0)
		return 0;
	if (ss.ss_family == AF_INET6) {
		memcpy(&in6, &ss, sizeof(in6));
		return ntohs(in6.sin6_port);
	}
	memcpy(&in, &ss, sizeof(in));
	return ntohs(in.sin_port);
}

void
nr_acceptor_where(const struct nr_acceptor *a, unsigned n, char *out,
    size_t size)
{
	const struct listener *l = &a->listener[n];
	int v6 = strchr(l->at.address, ':') != NULL;

	if (l->at.path != NULL)
		snprintf(out, size, "%sunix:%s", l->at.tls ? "tls:" : "",
		    l->at.path);
	else
		snprintf(out, size, "%s://%s%s%s:%d",
		    l->metrics ? "http" : l->at.tls ? "wss" : "ws", v6 ? "[" : "",
		    l->at.address, v6 ? "]" : "", port(l));
}
