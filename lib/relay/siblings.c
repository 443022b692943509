/*
 * Other relays that serve the same store.
 *
 * Between two of them is a stream of frames: a length in 4 bytes and a type
 * in one, then so many bytes.
 *
 *	'L'  give me your sockets
 *	'S'  here they are, so many (1 byte), passed with the frame
 *	'R'  I serve, and use those of them that have a 1 here (1 byte each)
 *	'E'  an ephemeral event's line
 *
 * Whoever starts connects to all who are there, asks, and says when it
 * serves; from then on both pass events on.
 */
#include "relay/siblings.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "relay/accept.h"
#include "relay/internal.h"
#include "util/err.h"
#include "util/times.h"

#define LINKS_MAX	8
#define HEAD		5
#define FRAME_MAX	((size_t)34 << 20)	/* twice the largest event */
#define OUT_MAX		((size_t)64 << 20)	/* waiting for a sibling */
#define READ_MAX	65536
#define ANSWER_MS	3000	/* for its sockets */
#define FLUSH_MS	1000	/* in the end */
#define SHORT_MS	100	/* without meeting anybody, for want of descriptors */

static const char prefix[] = "relay-", suffix[] = ".sock";

struct link {
	int		 fd;		/* -1: none */
	struct nr_buf	 in;
	struct nr_given	 got;		/* sockets that came */
	struct nr_given	 sent;		/* ours, or numbers of what came */

	/* Under the lock. */
	int		 serves;	/* pass on to it */
	struct nr_buf	 out;
};

struct nr_siblings {
	struct nr_relay		*relay;
	char			 name[48];	/* in the store's directory */
	int			 listening, wake;
	pthread_t		 thread;
	int			 started;
	atomic_int		 ending, taken;
	struct nr_given		*given;		/* of the one who starts us */
	pthread_mutex_t		 lock;
	struct link		 link[LINKS_MAX];
};

static void
close_all(struct nr_given *g)
{
	while (g->n > 0)
		close(g->fd[--g->n]);
}

static void
end_link(struct nr_siblings *s, struct link *l)
{
	pthread_mutex_lock(&s->lock);
	close(l->fd);
	l->fd = -1;
	l->serves = 0;
	nr_buf_free(&l->out);
	pthread_mutex_unlock(&s->lock);
	nr_buf_free(&l->in);
	close_all(&l->got);
	l->sent.n = 0;
}

static struct link *
new_link(struct nr_siblings *s, int fd)
{
	unsigned i;

	pthread_mutex_lock(&s->lock);
	for (i = 0; i < LINKS_MAX && s->link[i].fd >= 0; i++)
		;
	if (i < LINKS_MAX)
		s->link[i].fd = fd;
	pthread_mutex_unlock(&s->lock);
	if (i < LINKS_MAX)
		return &s->link[i];
	close(fd);
	return NULL;
}

/* ---- frames ------------------------------------------------------------------- */

static void
write_head(unsigned char head[HEAD], char type, size_t len)
{
	uint32_t n = (uint32_t)len;

	memcpy(head, &n, 4);
	head[4] = (unsigned char)type;
}

/* Under the lock.  Returns 0, ENOMEM, or EAGAIN where it takes too little. */
static int
add_frame(struct link *l, char type, const void *p, size_t len)
{
	unsigned char head[HEAD];
	int rc;

	if (l->out.len + HEAD + len > OUT_MAX)
		return EAGAIN;
	write_head(head, type, len);
	if ((rc = nr_buf_reserve(&l->out, HEAD + len)) != NR_OK)
		return rc;
	(void)nr_buf_add(&l->out, head, HEAD);
	return nr_buf_add(&l->out, p, len);
}

/* Send what waits, as far as it goes; under the lock. */
static int
flush(struct link *l)
{
	ssize_t n;

	while (l->out.len > 0) {
		n = send(l->fd, l->out.p, l->out.len,
		    MSG_DONTWAIT | MSG_NOSIGNAL);
		if (n < 0)
			return errno == EAGAIN || errno == EINTR ? NR_OK :
			    errno;
		l->out.len -= (size_t)n;
		memmove(l->out.p, l->out.p + n, l->out.len);
	}
	nr_buf_free(&l->out);
	return NR_OK;
}

/* A frame and the sockets that go with it, at once. */
static int
send_sockets(int fd, const struct nr_given *g)
{
	union {
		struct cmsghdr	head;
		char		room[CMSG_SPACE(sizeof(g->fd))];
	} control;
	unsigned char frame[HEAD + 1];
	struct iovec io = { frame, sizeof(frame) };
	struct msghdr m = { .msg_iov = &io, .msg_iovlen = 1 };

	write_head(frame, 'S', 1);
	frame[HEAD] = (unsigned char)g->n;
	if (g->n > 0) {
		memset(&control, 0, sizeof(control));
		m.msg_control = &control;
		m.msg_controllen = CMSG_SPACE(g->n * sizeof(int));
		control.head.cmsg_level = SOL_SOCKET;
		control.head.cmsg_type = SCM_RIGHTS;
		control.head.cmsg_len = CMSG_LEN(g->n * sizeof(int));
		memcpy(CMSG_DATA(&control.head), g->fd, g->n * sizeof(int));
	}
	return sendmsg(fd, &m, MSG_DONTWAIT | MSG_NOSIGNAL) ==
	    (ssize_t)sizeof(frame) ? NR_OK : EIO;
}

static void
keep_sockets(struct link *l, struct msghdr *m)
{
	struct cmsghdr *c;
	size_t i, n;
	int fd;

	for (c = CMSG_FIRSTHDR(m); c != NULL; c = CMSG_NXTHDR(m, c)) {
		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		for (i = 0; i < n; i++) {
			memcpy(&fd, CMSG_DATA(c) + i * sizeof(int),
			    sizeof(fd));
			if (l->got.n < NR_GIVEN_MAX)
				l->got.fd[l->got.n++] = fd;
			else
				close(fd);
		}
	}
}

/* Returns 0, EAGAIN, or why this is its end. */
static int
receive(struct link *l)
{
	union {
		struct cmsghdr	head;
		char		room[CMSG_SPACE(sizeof(l->got.fd))];
	} control;
	struct iovec io;
	struct msghdr m = {
		.msg_iov = &io, .msg_iovlen = 1, .msg_control = &control,
		.msg_controllen = sizeof(control)
	};
	ssize_t n;
	int rc;

	if ((rc = nr_buf_reserve(&l->in, READ_MAX)) != NR_OK)
		return rc;
	io.iov_base = l->in.p + l->in.len;
	io.iov_len = READ_MAX;
	n = recvmsg(l->fd, &m, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	if (n < 0)
		return errno == EINTR ? EAGAIN : errno;
	if (n == 0)
		return EPIPE;
	l->in.len += (size_t)n;
	keep_sockets(l, &m);
	return NR_OK;
}

/* The frame at a place; 0 where it is not whole yet, -1 where it is none. */
static int
next_frame(const struct nr_buf *b, size_t at, char *type,
    struct nr_view *body)
{
	uint32_t n;

	if (b->len - at < HEAD)
		return 0;
	memcpy(&n, b->p + at, sizeof(n));
	if (n > FRAME_MAX)
		return -1;
	if (b->len - at - HEAD < n)
		return 0;
	*type = b->p[at + 4];
	body->p = b->p + at + HEAD;
	body->len = n;
	return 1;
}

/* ---- what they say --------------------------------------------------------------- */

static void
publish(struct nr_siblings *s, struct nr_view line)
{
	struct nr_relay *r = s->relay;
	const struct nr_event_limits limits = {
		.bytes = line.len, .tags = 1000000,
		.tag_items = (unsigned)line.len, .tag_bytes = line.len,
		.depth = 16
	};
	struct nr_event ev;
	size_t pos;

	nr_relay_reading(r);
	if (nr_event_read(&ev, line.p, line.len, &limits, &pos) == NR_VALID &&
	    nr_kind_ephemeral(ev.kind) &&
	    nr_live_publish(r->live, &ev, line, UINT64_MAX) > 0)
		nr_relay_wake(r);
	nr_relay_read(r);
}

static int
give_sockets(struct nr_siblings *s, struct link *l)
{
	struct nr_given ours = { .n = 0 };
	int rc;

	nr_acceptor_share(s->relay->acceptor, &ours);
	l->sent.n = ours.n;
	rc = send_sockets(l->fd, &ours);
	close_all(&ours);
	return rc;
}

/* It serves, by those of our sockets that it uses. */
static void
it_serves(struct nr_siblings *s, struct link *l, struct nr_view used)
{
	const unsigned char *p = (const unsigned char *)used.p;
	unsigned i, n = 0;

	for (i = 0; i < used.len && i < l->sent.n; i++)
		n += p[i] == 1;
	if (n > 0) {
		atomic_store(&s->taken, 1);
		nr_relay_log(s->relay, NR_LOG_INFO, "another relay serves at "
		    "%u of the same %u addresses: after SIGUSR1 it does so "
		    "alone", n, l->sent.n);
	}
	pthread_mutex_lock(&s->lock);
	l->serves = 1;
	pthread_mutex_unlock(&s->lock);
}

static int
heed(struct nr_siblings *s, struct link *l, char type, struct nr_view body)
{
	switch (type) {
	case 'E':
		publish(s, body);
		return NR_OK;
	case 'L':
		return give_sockets(s, l);
	case 'R':
		it_serves(s, l, body);
		return NR_OK;
	}
	return NR_OK;		/* what a later version may say */
}

static int
listen_to(struct nr_siblings *s, struct link *l)
{
	struct nr_view body;
	size_t at = 0;
	int more, rc;
	char type;

	if ((rc = receive(l)) != NR_OK)
		return rc == EAGAIN ? NR_OK : rc;
	while ((more = next_frame(&l->in, at, &type, &body)) > 0) {
		if ((rc = heed(s, l, type, body)) != NR_OK)
			return rc;
		at += HEAD + body.len;
	}
	if (more < 0)
		return EPROTO;
	l->in.len -= at;
	memmove(l->in.p, l->in.p + at, l->in.len);
	if (l->in.len == 0)
		nr_buf_free(&l->in);
	return NR_OK;
}

/* ---- the thread --------------------------------------------------------------------- */

unsigned
nr_siblings_pass(struct nr_siblings *s, struct nr_view line)
{
	unsigned i, n = 0;

	pthread_mutex_lock(&s->lock);
	for (i = 0; i < LINKS_MAX; i++)
		if (s->link[i].fd >= 0 && s->link[i].serves &&
		    add_frame(&s->link[i], 'E', line.p, line.len) == NR_OK)
			n++;
	pthread_mutex_unlock(&s->lock);
	if (n > 0)
		(void)eventfd_write(s->wake, 1);
	return n;
}

int
nr_siblings_took(struct nr_siblings *s)
{
	return atomic_load(&s->taken);
}

/* Returns 0 where whoever is there has to wait. */
static int
meet(struct nr_siblings *s)
{
	int fd = accept4(s->listening, NULL, NULL, SOCK_CLOEXEC);

	if (fd >= 0)
		(void)new_link(s, fd);
	return fd >= 0 || errno == EAGAIN || errno == EINTR;
}

/* What to wait for; entries 0 and 1 are the others. */
static void
fill(struct nr_siblings *s, struct pollfd p[LINKS_MAX + 2])
{
	unsigned i;

	p[0] = (struct pollfd){ .fd = s->wake, .events = POLLIN };
	p[1] = (struct pollfd){ .fd = s->listening, .events = POLLIN };
	pthread_mutex_lock(&s->lock);
	for (i = 0; i < LINKS_MAX; i++) {
		p[i + 2] = (struct pollfd){
			.fd = s->link[i].fd, .events = POLLIN
		};
		if (s->link[i].out.len > 0)
			p[i + 2].events |= POLLOUT;
	}
	pthread_mutex_unlock(&s->lock);
}

static void
serve_link(struct nr_siblings *s, struct link *l, short events)
{
	int rc = NR_OK;

	if (l->fd < 0)
		return;
	if (events & (POLLIN | POLLERR | POLLHUP))
		rc = listen_to(s, l);
	pthread_mutex_lock(&s->lock);
	if (rc == NR_OK)
		rc = flush(l);
	pthread_mutex_unlock(&s->lock);
	if (rc != NR_OK)
		end_link(s, l);
}

static void *
siblings_main(void *arg)
{
	struct nr_siblings *s = arg;
	struct pollfd p[LINKS_MAX + 2];
	eventfd_t n;
	unsigned i;
	int waits = 0, rc;

	while (!atomic_load(&s->ending)) {
		fill(s, p);
		if (waits)
			p[1].fd = -1;
		rc = poll(p, LINKS_MAX + 2, waits ? SHORT_MS : -1);
		waits = 0;
		if (rc < 0)
			continue;
		if (p[0].revents)
			(void)eventfd_read(s->wake, &n);
		for (i = 0; i < LINKS_MAX; i++)
			if (p[i + 2].fd >= 0)
				serve_link(s, &s->link[i], p[i + 2].revents);
		if (p[1].revents)
			waits = !meet(s);
	}
	return NULL;
}

/* ---- the beginning -------------------------------------------------------------------- */

static void
path_of(struct nr_siblings *s, struct sockaddr_un *at, const char *name)
{
	/* By way of a descriptor: paths may be too long for a socket. */
	memset(at, 0, sizeof(*at));
	at->sun_family = AF_UNIX;
	snprintf(at->sun_path, sizeof(at->sun_path), "/proc/self/fd/%d/%.48s",
	    nr_store_dirfd(s->relay->st), name);
}

/* Its sockets, or why not. */
static int
ask_sockets(struct link *l)
{
	int64_t until = nr_now_ms() + ANSWER_MS, left;
	unsigned char head[HEAD];
	struct pollfd p = { .fd = l->fd, .events = POLLIN };
	struct nr_view body;
	char type = 0;
	int rc;

	write_head(head, 'L', 0);
	if (send(l->fd, head, HEAD, MSG_NOSIGNAL) != HEAD)
		return EIO;
	while (next_frame(&l->in, 0, &type, &body) == 0) {
		if ((left = until - nr_now_ms()) <= 0)
			return ETIMEDOUT;
		if (poll(&p, 1, (int)left) < 0 && errno != EINTR)
			return errno;
		if (p.revents != 0 && (rc = receive(l)) != NR_OK &&
		    rc != EAGAIN)
			return rc;
	}
	if (type != 'S' || body.len != 1 ||
	    (unsigned char)body.p[0] != l->got.n)
		return EPROTO;
	nr_buf_free(&l->in);
	return NR_OK;
}

/* Meet the one with this name; a socket that nobody listens at goes. */
static void
greet(struct nr_siblings *s, const char *name)
{
	struct sockaddr_un at;
	struct link *l;
	unsigned i;
	int fd, rc;

	path_of(s, &at, name);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return;
	if (connect(fd, (struct sockaddr *)&at, sizeof(at)) != 0) {
		if (errno == ECONNREFUSED)
			(void)unlinkat(nr_store_dirfd(s->relay->st), name, 0);
		close(fd);
		return;
	}
	if ((l = new_link(s, fd)) == NULL)
		return;
	if ((rc = ask_sockets(l)) != NR_OK) {
		nr_relay_log(s->relay, NR_LOG_WARN,
		    "%s: does not answer: %s", name, nr_strerror(rc));
		end_link(s, l);
		return;
	}
	/* They are used by number, and belong to whoever asked for them. */
	for (i = 0; i < l->got.n; i++) {
		if (s->given->n == NR_GIVEN_MAX) {
			close(l->got.fd[i]);
			continue;
		}
		l->sent.fd[l->sent.n++] = (int)s->given->n;
		s->given->fd[s->given->n++] = l->got.fd[i];
	}
	l->got.n = 0;
}

static void
greet_all(struct nr_siblings *s)
{
	int fd = openat(nr_store_dirfd(s->relay->st), ".",
	    O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct dirent *e;
	size_t n;
	DIR *d;

	if (fd < 0)
		return;
	if ((d = fdopendir(fd)) == NULL) {
		close(fd);
		return;
	}
	while ((e = readdir(d)) != NULL) {
		n = strlen(e->d_name);
		if (n < sizeof(s->name) && n > strlen(suffix) &&
		    strncmp(e->d_name, prefix, strlen(prefix)) == 0 &&
		    strcmp(e->d_name + n - strlen(suffix), suffix) == 0)
			greet(s, e->d_name);
	}
	closedir(d);
}

int
nr_siblings_new(struct nr_siblings **out, struct nr_relay *r,
    struct nr_given *given)
{
	struct nr_siblings *s;
	unsigned i;

	if ((s = calloc(1, sizeof(*s))) == NULL)
		return ENOMEM;
	s->relay = r;
	s->given = given;
	s->listening = -1;
	for (i = 0; i < LINKS_MAX; i++)
		s->link[i].fd = -1;
	pthread_mutex_init(&s->lock, NULL);
	if ((s->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) < 0) {
		nr_siblings_free(s);
		return ENOMEM;
	}
	greet_all(s);
	*out = s;
	return NR_OK;
}

/*
 * Listen, for us and nobody else.  The name is there when somebody listens:
 * whoever finds one that refuses takes it for dead.
 */
static int
open_socket(struct nr_siblings *s)
{
	int dirfd = nr_store_dirfd(s->relay->st), rc = NR_OK;
	char hidden[sizeof(s->name) + 1];
	struct sockaddr_un at;
	uint32_t random;

	if (getrandom(&random, sizeof(random), 0) != sizeof(random))
		return EIO;
	snprintf(s->name, sizeof(s->name), "%s%ld-%08" PRIx32 "%s", prefix,
	    (long)getpid(), random, suffix);
	snprintf(hidden, sizeof(hidden), ".%s", s->name);
	path_of(s, &at, hidden);
	s->listening = socket(AF_UNIX,
	    SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (s->listening < 0)
		return errno;
	if (bind(s->listening, (struct sockaddr *)&at, sizeof(at)) != 0)
		return errno;
	if (fchmodat(dirfd, hidden, 0600, 0) != 0 ||
	    listen(s->listening, LINKS_MAX) != 0 ||
	    renameat(dirfd, hidden, dirfd, s->name) != 0) {
		rc = errno;
		(void)unlinkat(dirfd, hidden, 0);
	}
	return rc;
}

static void
tell_all(struct nr_siblings *s)
{
	unsigned char used[NR_GIVEN_MAX];
	struct link *l;
	unsigned i, j;

	pthread_mutex_lock(&s->lock);
	for (i = 0; i < LINKS_MAX; i++) {
		l = &s->link[i];
		if (l->fd < 0)
			continue;
		for (j = 0; j < l->sent.n; j++)
			used[j] = s->given->used[l->sent.fd[j]] != 0;
		(void)add_frame(l, 'R', used, l->sent.n);
		l->sent.n = 0;
		l->serves = 1;
	}
	pthread_mutex_unlock(&s->lock);
	(void)eventfd_write(s->wake, 1);
}

int
nr_siblings_start(struct nr_siblings *s)
{
	int rc = open_socket(s);

	if (rc != NR_OK) {
		/* It serves, though nobody can take over from it. */
		nr_relay_log(s->relay, NR_LOG_WARN,
		    "no socket in the store's directory: %s", nr_strerror(rc));
		if (s->listening >= 0)
			close(s->listening);
		s->listening = -1;
	}
	tell_all(s);
	rc = pthread_create(&s->thread, NULL, siblings_main, s);
	s->started = rc == NR_OK;
	return rc;
}

/* ---- the end ---------------------------------------------------------------------------- */

static void
flush_link(struct link *l)
{
	int64_t until = nr_now_ms() + FLUSH_MS, left;
	struct pollfd p = { .fd = l->fd, .events = POLLOUT };

	while (flush(l) == NR_OK && l->out.len > 0 &&
	    (left = until - nr_now_ms()) > 0)
		(void)poll(&p, 1, (int)left);
}

void
nr_siblings_free(struct nr_siblings *s)
{
	unsigned i;

	if (s == NULL)
		return;
	if (s->started) {
		atomic_store(&s->ending, 1);
		(void)eventfd_write(s->wake, 1);
		pthread_join(s->thread, NULL);
	}
	if (s->listening >= 0) {
		(void)unlinkat(nr_store_dirfd(s->relay->st), s->name, 0);
		close(s->listening);
	}
	for (i = 0; i < LINKS_MAX; i++)
		if (s->link[i].fd >= 0) {
			flush_link(&s->link[i]);
			end_link(s, &s->link[i]);
		}
	if (s->wake >= 0)
		close(s->wake);
	pthread_mutex_destroy(&s->lock);
	free(s);
}
