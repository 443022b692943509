/*
 * delays: a relay that answers after delays that are known, to hold the
 * figures of nr-bench load against.
 *
 *	delays LOG fixed MS
 *	delays LOG two MS SLOW-MS N	one of N answers is slow
 *	delays LOG uniform LEAST MOST	evenly spread
 *	delays LOG stall MS FROM TO	as fixed, but what is to be answered
 *					between these times, counted from the
 *					first request, is answered at the end
 *
 * The port goes to stdout.  Each REQ is answered with EOSE, each COUNT with
 * 0, each EVENT with OK.  SIGTERM ends it; then LOG has a line for each
 * answer: the id of the subscription or event, when the request arrived and
 * when the answer was written, in ns.  That counts in what the machine's
 * other load did here, as the kernel says when bytes arrived.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "util/buf.h"
#include "util/err.h"
#include "wire/frame.h"

#define WAITING_MAX	4096
#define ID_MAX		64
#define MS		INT64_C(1000000)
#define SECOND		INT64_C(1000000000)
#define MESSAGE_MAX	((size_t)1 << 20)

struct link {
	int		 fd;
	int		 open;		/* the handshake is done */
	struct nr_buf	 in;
	int64_t		 arrived;	/* the last bytes of it */
};

struct waiting {
	struct link	*link;
	int64_t		 arrived, due;
	char		 verb;		/* R, C or E */
	char		 id[ID_MAX + 1];
};

static enum { FIXED, TWO, UNIFORM, STALL } law;
static int64_t arg[3];		/* ns, but for N */
static struct waiting waiting[WAITING_MAX];
static size_t nwaiting;
static uint64_t turn;
static int64_t first;		/* when the first request arrived */
static FILE *record;
static volatile sig_atomic_t ended;

static void
on_term(int sig)
{
	(void)sig;
	ended = 1;
}

static void
need(int ok, const char *what)
{
	if (ok)
		return;
	perror(what);
	exit(3);
}

/* The clock that the kernel stamps what arrives with. */
static int64_t
now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	return t.tv_sec * SECOND + t.tv_nsec;
}

/* ---- delays */

static int64_t
due_at(int64_t arrived)
{
	/* The golden ratio: any n in a row are spread evenly over 2^32. */
	const uint64_t golden = UINT64_C(0x9e3779b97f4a7c15);
	int64_t at;

	turn++;
	switch (law) {
	case TWO:
		return arrived + arg[turn % (uint64_t)arg[2] == 0];
	case UNIFORM:
		return arrived + arg[0] + (int64_t)((turn * golden >> 32) *
		    (uint64_t)(arg[1] - arg[0]) >> 32);
	case STALL:
		at = arrived + arg[0];
		return at > first + arg[1] && at < first + arg[2] ?
		    first + arg[2] : at;
	default:
		return arrived + arg[0];
	}
}

/* ---- requests and answers */

/* ["REQ","id",  ["COUNT","id",  ["EVENT",{"id":"id"  as nr-bench has them */
static void
take_message(struct link *l, const char *text, size_t len)
{
	struct waiting *w = &waiting[nwaiting];
	const char *id, *end;

	if (len < 9 || strchr("RCE", text[2]) == NULL ||
	    memcmp(text, "[\"CLOSE\"", 8) == 0)
		return;
	id = text + (text[2] == 'R' ? 8 : text[2] == 'C' ? 10 : 16);
	if (id >= text + len || (end = memchr(id, '"', (size_t)(text + len -
	    id))) == NULL || end - id > ID_MAX || nwaiting == WAITING_MAX) {
		fprintf(stderr, "delays: not expected: %.*s\n", (int)len,
		    text);
		exit(1);
	}
	if (first == 0)
		first = l->arrived;
	w->link = l;
	w->verb = text[2];
	w->arrived = l->arrived;
	w->due = due_at(l->arrived);
	memcpy(w->id, id, (size_t)(end - id));
	w->id[end - id] = '\0';
	nwaiting++;
}

static void
answer(const struct waiting *w)
{
	unsigned char frame[NR_FRAME_HEAD_MAX + 2 * ID_MAX];
	char text[2 * ID_MAX];
	size_t n, head;

	n = (size_t)snprintf(text, sizeof(text), w->verb == 'R' ?
	    "[\"EOSE\",\"%s\"]" : w->verb == 'C' ?
	    "[\"COUNT\",\"%s\",{\"count\":0}]" : "[\"OK\",\"%s\",true,\"\"]",
	    w->id);
	head = nr_frame_head(frame, NR_OP_TEXT, n, 0);
	memcpy(frame + head, text, n);
	/* Its socket is empty, or it is gone. */
	if (w->link->fd >= 0)
		(void)!send(w->link->fd, frame, head + n, MSG_NOSIGNAL);
	fprintf(record, "%s %" PRId64 " %" PRId64 "\n", w->id, w->arrived,
	    now_ns());
}

/* Answer what is due; returns how long nothing will be, -1: for ever. */
static int64_t
answer_due(void)
{
	size_t i, least;
	int64_t now;

	for (;;) {
		for (least = 0, i = 1; i < nwaiting; i++)
			if (waiting[i].due < waiting[least].due)
				least = i;
		if (nwaiting == 0)
			return -1;
		if ((now = now_ns()) < waiting[least].due)
			return waiting[least].due - now;
		answer(&waiting[least]);
		waiting[least] = waiting[--nwaiting];
	}
}

/* ---- connections */

/* Whoever asks is nr-bench load, which does not look at the accept key. */
static size_t
handshake(struct link *l)
{
	static const char yes[] = "HTTP/1.1 101 Switching Protocols\r\n"
	    "Upgrade: websocket\r\nConnection: Upgrade\r\n\r\n";
	const char *end = memmem(l->in.p, l->in.len, "\r\n\r\n", 4);

	if (end == NULL)
		return 0;
	l->open = 1;
	(void)!send(l->fd, yes, sizeof(yes) - 1, MSG_NOSIGNAL);
	return (size_t)(end + 4 - l->in.p);
}

static void
take_bytes(struct link *l)
{
	struct nr_frame f;
	size_t at = 0;

	if (!l->open && (at = handshake(l)) == 0)
		return;
	while (nr_frame_read(&f, l->in.p + at, l->in.len - at,
	    MESSAGE_MAX) > 0) {
		if (f.op == NR_OP_TEXT)
			take_message(l, f.payload, f.len);
		at += f.total;
	}
	l->in.len -= at;
	memmove(l->in.p, l->in.p + at, l->in.len);
}

/* Read, and learn when that arrived. */
static ssize_t
receive(struct link *l)
{
	union {
		struct cmsghdr	head;
		char		space[CMSG_SPACE(sizeof(struct timespec))];
	} control;
	struct iovec io = { l->in.p + l->in.len, l->in.cap - l->in.len };
	struct msghdr m = { .msg_iov = &io, .msg_iovlen = 1,
	    .msg_control = &control, .msg_controllen = sizeof(control) };
	struct cmsghdr *c;
	struct timespec t;
	ssize_t n = recvmsg(l->fd, &m, MSG_DONTWAIT);

	l->arrived = now_ns();
	for (c = CMSG_FIRSTHDR(&m); n > 0 && c != NULL; c = CMSG_NXTHDR(&m, c))
		if (c->cmsg_level == SOL_SOCKET &&
		    c->cmsg_type == SCM_TIMESTAMPNS) {
			memcpy(&t, CMSG_DATA(c), sizeof(t));
			l->arrived = t.tv_sec * SECOND + t.tv_nsec;
		}
	return n;
}

static void
read_some(struct link *l)
{
	ssize_t n;

	need(nr_buf_reserve(&l->in, 65536) == NR_OK, "memory");
	n = receive(l);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		/* Kept, as answers may still wait for it. */
		close(l->fd);
		l->fd = -1;
		nr_buf_free(&l->in);
		return;
	}
	l->in.len += (size_t)n;
	take_bytes(l);
}

static void
watch(int epoll, struct link *l)
{
	struct epoll_event e = { .events = EPOLLIN, .data.ptr = l };

	need(epoll_ctl(epoll, EPOLL_CTL_ADD, l->fd, &e) == 0, "epoll");
}

static void
accept_one(int epoll, int listener)
{
	struct link *l = calloc(1, sizeof(*l));
	int one = 1;

	need(l != NULL, "memory");
	l->fd = accept(listener, NULL, NULL);
	need(l->fd >= 0, "accept");
	(void)setsockopt(l->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	need(setsockopt(l->fd, SOL_SOCKET, SO_TIMESTAMPNS, &one,
	    sizeof(one)) == 0, "timestamps");
	watch(epoll, l);
}

static int
listen_somewhere(void)
{
	struct sockaddr_in sin = { .sin_family = AF_INET,
	    .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(sin);
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	need(fd >= 0 && bind(fd, (struct sockaddr *)&sin, len) == 0 &&
	    listen(fd, 1024) == 0 &&
	    getsockname(fd, (struct sockaddr *)&sin, &len) == 0, "listen");
	printf("%d\n", ntohs(sin.sin_port));
	fflush(stdout);
	return fd;
}

static void
serve(void)
{
	struct link listener = { .fd = listen_somewhere() };
	int epoll = epoll_create1(0), i, n;
	struct epoll_event e[64];
	struct timespec ts;
	int64_t left;

	watch(epoll, &listener);
	while (!ended) {
		left = answer_due();
		ts.tv_sec = left / SECOND;
		ts.tv_nsec = left % SECOND;
		n = epoll_pwait2(epoll, e, 64, left < 0 ? NULL : &ts, NULL);
		for (i = 0; i < n; i++)
			if (e[i].data.ptr == &listener)
				accept_one(epoll, listener.fd);
			else
				read_some(e[i].data.ptr);
	}
}

static void
usage(void)
{
	fprintf(stderr, "usage: delays LOG fixed MS | two MS SLOW-MS N | "
	    "uniform LEAST MOST | stall MS FROM TO\n");
	exit(2);
}

int
main(int argc, char *argv[])
{
	static const struct {
		const char	*name;
		int		 args;
	} known[] = { { "fixed", 1 }, { "two", 3 }, { "uniform", 2 },
	    { "stall", 3 } };
	unsigned i;
	int k;

	for (i = 0; i < 4; i++)
		if (argc > 2 && strcmp(argv[2], known[i].name) == 0)
			break;
	if (i == 4 || argc != 3 + known[i].args)
		usage();
	law = i;
	for (k = 0; k < known[i].args; k++)
		arg[k] = strtol(argv[3 + k], NULL, 10) *
		    (law == TWO && k == 2 ? 1 : MS);
	if (law == TWO && arg[2] < 1)
		usage();
	need((record = fopen(argv[1], "w")) != NULL, argv[1]);
	signal(SIGTERM, on_term);
	/* Waits are as long as they should be, not 50 microseconds longer. */
	(void)prctl(PR_SET_TIMERSLACK, 1UL);
	serve();
	need(fclose(record) == 0, argv[1]);
	return 0;
}
