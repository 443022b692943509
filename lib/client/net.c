/*
 * The loop.  libwebsockets polls; descriptors of others are in one epoll
 * instance that it polls with the rest, because it would make them
 * non-blocking for everybody who shares them, and closes them when the
 * other end hangs up.
 */
#include "client/net.h"

#include <errno.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <unistd.h>

#include "client/internal.h"
#include "util/err.h"
#include "util/version.h"

#define SERVICE_SIZE	((size_t)64 * 1024)	/* read at a time */
#define HEADERS_MAX	16384			/* of an answer */
#define LOOKS_MAX	64	/* at watches, in a round of the loop */
#define OPEN_SECONDS	300	/* libwebsockets' own; ours come first */

struct nr_watch {
	struct nr_net	*net;
	int		 fd;
	unsigned	 events;
	int		 plain;		/* a file: always ready */
	void		(*fn)(void *ctx, unsigned events);
	void		*ctx;
	struct nr_timer	 tick;		/* for a plain file */
};

/* ---- timers */

static void
on_timer(lws_sorted_usec_list_t *sul)
{
	struct nr_timer *t = lws_container_of(sul, struct nr_timer, sul);

	t->fn(t->ctx);
}

void
nr_timer_init(struct nr_timer *t, struct nr_net *n, void (*fn)(void *ctx),
    void *ctx)
{
	memset(t, 0, sizeof(*t));
	t->net = n;
	t->fn = fn;
	t->ctx = ctx;
}

int
nr_timer_new(struct nr_timer **out, struct nr_net *n, void (*fn)(void *ctx),
    void *ctx)
{
	struct nr_timer *t;

	if ((t = malloc(sizeof(*t))) == NULL)
		return ENOMEM;
	nr_timer_init(t, n, fn, ctx);
	*out = t;
	return NR_OK;
}

void
nr_timer_free(struct nr_timer *t)
{
	if (t == NULL)
		return;
	lws_sul_cancel(&t->sul);
	free(t);
}

void
nr_timer_set(struct nr_timer *t, int64_t ms)
{
	/* 0 would cancel it. */
	lws_sul_schedule(t->net->lws, 0, &t->sul, on_timer,
	    ms <= 0 ? 1 : (lws_usec_t)ms * LWS_US_PER_MS);
}

void
nr_timer_stop(struct nr_timer *t)
{
	lws_sul_cancel(&t->sul);
}

/* ---- descriptors */

static void
on_tick(void *ctx)
{
	struct nr_watch *w = ctx;

	if (w->events == 0)
		return;
	nr_timer_set(&w->tick, 0);
	w->fn(w->ctx, w->events);	/* may free w */
}

int
nr_watch_new(struct nr_watch **out, struct nr_net *n, int fd,
    unsigned events, void (*fn)(void *ctx, unsigned events), void *ctx)
{
	struct nr_watch *w;

	if ((w = calloc(1, sizeof(*w))) == NULL)
		return ENOMEM;
	w->net = n;
	w->fd = fd;
	w->fn = fn;
	w->ctx = ctx;
	nr_timer_init(&w->tick, n, on_tick, w);
	nr_watch_for(w, events);
	*out = w;
	return NR_OK;
}

/* Without events it is out: a hang-up would be told for ever. */
void
nr_watch_for(struct nr_watch *w, unsigned events)
{
	struct epoll_event e = { .data.ptr = w };
	int op = w->events == 0 ? EPOLL_CTL_ADD : events == 0 ?
	    EPOLL_CTL_DEL : EPOLL_CTL_MOD;

	if (events == w->events)
		return;
	if (events & NR_WATCH_IN)
		e.events |= EPOLLIN;
	if (events & NR_WATCH_OUT)
		e.events |= EPOLLOUT;
	w->events = events;
	if (!w->plain && epoll_ctl(w->net->epoll, op, w->fd, &e) != 0)
		w->plain = 1;
	if (w->plain && events != 0)
		nr_timer_set(&w->tick, 0);
}

void
nr_watch_free(struct nr_watch *w)
{
	if (w == NULL)
		return;
	nr_watch_for(w, 0);
	nr_timer_stop(&w->tick);
	free(w);
}

/* One at a time: a callback may free the watch that would be next. */
static int
look_at_one(struct nr_net *n)
{
	struct epoll_event e;
	struct nr_watch *w;
	unsigned events = 0;

	if (epoll_wait(n->epoll, &e, 1, 0) != 1)
		return 0;
	w = e.data.ptr;
	if (e.events & (EPOLLIN | EPOLLHUP | EPOLLERR))
		events |= NR_WATCH_IN;
	if (e.events & (EPOLLOUT | EPOLLERR))
		events |= NR_WATCH_OUT;
	if ((events & w->events) != 0)
		w->fn(w->ctx, events & w->events);
	else
		w->fn(w->ctx, w->events);
	return 1;
}

/* What there is, before libwebsockets looks at its sockets. */
static void
on_epoll(struct nr_net *n)
{
	int left = LOOKS_MAX;

	while (left-- > 0 && look_at_one(n))
		;
}

/* ---- waking */

static void
on_event(void *ctx, unsigned events)
{
	struct nr_net *n = ctx;
	uint64_t count;

	(void)events;
	if (read(n->event, &count, sizeof(count)) < 0)
		return;
	if (!atomic_exchange(&n->woken, 0))
		return;
	nr_resolver_run(n->resolver);
	if (n->on_wake != NULL)
		n->on_wake(n->wake_ctx);
}

static void
ring(struct nr_net *n)
{
	uint64_t one = 1;

	if (write(n->event, &one, sizeof(one)) < 0)
		return;		/* it is ringing already */
}

void
nr_net_on_wake(struct nr_net *n, void (*fn)(void *ctx), void *ctx)
{
	n->on_wake = fn;
	n->wake_ctx = ctx;
}

void
nr_net_wake(struct nr_net *n)
{
	if (!atomic_exchange(&n->woken, 1))
		ring(n);
}

void
nr_net_stop(struct nr_net *n)
{
	atomic_store(&n->stopped, 1);
	ring(n);
}

int
nr_net_run(struct nr_net *n)
{
	while (!atomic_load(&n->stopped))
		if (lws_service(n->lws, 0) < 0)
			return EIO;
	atomic_store(&n->stopped, 0);
	return NR_OK;
}

void
nr_net_mask(struct nr_net *n, unsigned char mask[4])
{
	if (n->random_left < 4) {
		if (getrandom(n->random, sizeof(n->random), 0) !=
		    (ssize_t)sizeof(n->random))
			abort();	/* the kernel always has 1 KB */
		n->random_left = sizeof(n->random);
	}
	n->random_left -= 4;
	memcpy(mask, n->random + n->random_left, 4);
}

void
nr_net_lookups(struct nr_net *n, unsigned most)
{
	nr_resolver_threads(n->resolver, most);
}

/* ---- libwebsockets */

/*
 * A certificate is looked at: libwebsockets has its host checked, but not
 * where that is an IPv6 address, which it cuts at the first colon.
 */
static int
judge_certificate(struct nr_wire *w, X509_STORE_CTX *x, int ok)
{
	int e = X509_STORE_CTX_get_error(x);

	if (w != NULL && w->tls != NULL)
		nr_tls_facts_certificate(w->tls, x, w->host);
	if (ok && w != NULL && w->ip != NULL &&
	    X509_STORE_CTX_get_error_depth(x) == 0 &&
	    X509_check_ip_asc(X509_STORE_CTX_get_current_cert(x), w->ip,
	    0) != 1) {
		e = X509_V_ERR_IP_ADDRESS_MISMATCH;
		X509_STORE_CTX_set_error(x, e);
		ok = 0;
	}
	if (!ok && w != NULL && w->tls != NULL)
		nr_tls_facts_distrust(w->tls, e);
	if (!ok && w != NULL && w->distrust != NULL)
		w->distrust(w, X509_verify_cert_error_string(e));
	return !ok;
}

static int
callback(struct lws *wsi, enum lws_callback_reasons reason, void *user,
    void *in, size_t len)
{
	struct nr_net *n;
	struct nr_wire *w;

	switch (reason) {
	case LWS_CALLBACK_RAW_RX_FILE:
		n = lws_context_user(lws_get_context(wsi));
		on_epoll(n);
		return 0;
	case LWS_CALLBACK_OPENSSL_PERFORM_SERVER_CERT_VERIFICATION:
		return judge_certificate(lws_get_opaque_user_data(wsi), user,
		    (int)len);
	case LWS_CALLBACK_WSI_CREATE:
	case LWS_CALLBACK_CLIENT_APPEND_HANDSHAKE_HEADER:
	case LWS_CALLBACK_CLIENT_CONNECTION_ERROR:
	case LWS_CALLBACK_CLIENT_ESTABLISHED:
	case LWS_CALLBACK_CLIENT_RECEIVE:
	case LWS_CALLBACK_CLIENT_RECEIVE_PONG:
	case LWS_CALLBACK_CLIENT_WRITEABLE:
	case LWS_CALLBACK_CLIENT_CLOSED:
	case LWS_CALLBACK_WS_PEER_INITIATED_CLOSE:
	case LWS_CALLBACK_ESTABLISHED_CLIENT_HTTP:
	case LWS_CALLBACK_RECEIVE_CLIENT_HTTP:
	case LWS_CALLBACK_RECEIVE_CLIENT_HTTP_READ:
	case LWS_CALLBACK_COMPLETED_CLIENT_HTTP:
	case LWS_CALLBACK_CLOSED_CLIENT_HTTP:
	case LWS_CALLBACK_WSI_DESTROY:
		if (wsi == NULL)
			return 0;
		if ((w = lws_get_opaque_user_data(wsi)) != NULL)
			return w->happened(w, wsi, reason, in, len);
		/* Nobody's: away with it where it can be said. */
		return reason == LWS_CALLBACK_CLIENT_RECEIVE ||
		    reason == LWS_CALLBACK_CLIENT_ESTABLISHED ||
		    reason == LWS_CALLBACK_CLIENT_WRITEABLE ||
		    reason == LWS_CALLBACK_RECEIVE_CLIENT_HTTP ? -1 : 0;
	default:
		return 0;
	}
}

static const struct lws_protocols protocols[] = {
	{ .name = "nr", .callback = callback, .rx_buffer_size = SERVICE_SIZE },
	{ .name = NULL }
};

void
nr_wire_drop(struct lws *wsi)
{
	lws_set_opaque_user_data(wsi, NULL);
	lws_set_timeout(wsi, PENDING_TIMEOUT_USER_REASON_BASE,
	    LWS_TO_KILL_ASYNC);
}

/* The host as HTTP has it: brackets, and no port that goes without. */
void
nr_wire_host(char host[NR_HOST_HEADER], const struct nr_url *u)
{
	int bare = strcmp(u->port, u->tls ? "443" : "80") == 0;
	int ip6 = strchr(u->host, ':') != NULL;

	snprintf(host, NR_HOST_HEADER, "%s%s%s%s%s", ip6 ? "[" : "", u->host,
	    ip6 ? "]" : "", bare ? "" : ":", bare ? "" : u->port);
}

void
nr_wire_connect_info(struct lws_client_connect_info *i, struct nr_net *n,
    const struct nr_url *url, struct nr_wire *w, char host[NR_HOST_HEADER])
{
	memset(i, 0, sizeof(*i));
	nr_wire_host(host, url);
	i->context = n->lws;
	i->vhost = n->vhost;
	i->port = atoi(url->port);
	i->path = url->path;
	i->host = host;
	i->alpn = "http/1.1";
	i->local_protocol_name = protocols[0].name;
	i->opaque_user_data = w;
	i->ssl_connection = LCCSCF_HTTP_NO_FOLLOW_REDIRECT;
	if (url->tls)
		i->ssl_connection |= LCCSCF_USE_SSL;
	if (w->ip != NULL)
		i->ssl_connection |= LCCSCF_SKIP_SERVER_CERT_HOSTNAME_CHECK;
}

int
nr_wire_user_agent(struct lws *wsi, unsigned char **p, unsigned char *last)
{
	static const char agent[] = "nr/" NR_VERSION;

	return lws_add_http_header_by_name(wsi,
	    (const unsigned char *)"User-Agent:",
	    (const unsigned char *)agent, (int)sizeof(agent) - 1, p,
	    last) != 0;
}

static int
make_tls(struct nr_net *n, const char *ca_file, const char **why)
{
	if ((n->tls = SSL_CTX_new(TLS_client_method())) == NULL)
		return ENOMEM;
	SSL_CTX_set_min_proto_version(n->tls, TLS1_2_VERSION);
	SSL_CTX_set_mode(n->tls, SSL_MODE_ENABLE_PARTIAL_WRITE |
	    SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_RELEASE_BUFFERS);
	SSL_CTX_set_verify(n->tls, SSL_VERIFY_PEER, NULL);
	if (ca_file == NULL) {
		SSL_CTX_set_default_verify_paths(n->tls);
	} else if (SSL_CTX_load_verify_locations(n->tls, ca_file, NULL) != 1) {
		*why = "no PEM certificates can be read from it";
		return NR_EINVAL;
	}
	return NR_OK;
}

static int
make_context(struct nr_net *n, unsigned peers)
{
	struct lws_context_creation_info info;

	lws_set_log_level(0, NULL);
	memset(&info, 0, sizeof(info));
	info.port = CONTEXT_PORT_NO_LISTEN;
	info.options = LWS_SERVER_OPTION_EXPLICIT_VHOSTS |
	    LWS_SERVER_OPTION_DO_SSL_GLOBAL_INIT;
	info.user = n;
	info.pt_serv_buf_size = SERVICE_SIZE;
	info.max_http_header_data2 = HEADERS_MAX;
	/* Old connections may still be closing. */
	info.fd_limit_per_thread = 2 * peers + 32;
	info.timeout_secs = OPEN_SECONDS;
	info.connect_timeout_secs = OPEN_SECONDS;
	info.gid = (gid_t)-1;
	info.uid = (uid_t)-1;
	if ((n->lws = lws_create_context(&info)) == NULL)
		return ENOMEM;
	info.vhost_name = "nr";
	info.protocols = protocols;
	info.provided_client_ssl_ctx = n->tls;
	n->vhost = lws_create_vhost(n->lws, &info);
	return n->vhost != NULL ? NR_OK : ENOMEM;
}

static int
make_watches(struct nr_net *n)
{
	lws_sock_file_fd_type fd;

	n->epoll = epoll_create1(EPOLL_CLOEXEC);
	n->event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (n->epoll < 0 || n->event < 0)
		return errno;
	fd.filefd = n->epoll;
	n->epoll_wsi = lws_adopt_descriptor_vhost(n->vhost,
	    LWS_ADOPT_RAW_FILE_DESC, fd, "nr", NULL);
	if (n->epoll_wsi == NULL)
		return ENOMEM;
	return nr_watch_new(&n->event_watch, n, n->event, NR_WATCH_IN,
	    on_event, n);
}

int
nr_net_new(struct nr_net **out, const char *ca_file, unsigned peers,
    const char **why)
{
	struct nr_net *n;
	int rc;

	if ((n = calloc(1, sizeof(*n))) == NULL)
		return ENOMEM;
	n->epoll = n->event = -1;
	if ((rc = make_tls(n, ca_file, why)) != NR_OK ||
	    (rc = make_context(n, peers)) != NR_OK ||
	    (rc = make_watches(n)) != NR_OK ||
	    (rc = nr_resolver_new(&n->resolver, n)) != NR_OK) {
		nr_net_free(n);
		return rc;
	}
	*out = n;
	return NR_OK;
}

void
nr_net_free(struct nr_net *n)
{
	if (n == NULL)
		return;
	nr_resolver_free(n->resolver);
	nr_watch_free(n->event_watch);
	if (n->lws != NULL)
		lws_context_destroy(n->lws);
	/* What was adopted is closed with the rest. */
	if (n->epoll >= 0 && n->epoll_wsi == NULL)
		close(n->epoll);
	if (n->event >= 0)
		close(n->event);
	SSL_CTX_free(n->tls);
	free(n);
}
