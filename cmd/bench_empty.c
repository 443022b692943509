/*
 * A WebSocket server that does nothing: every EVENT gets its OK and goes to
 * every subscriber, every REQ an EOSE, and nothing is read, checked or
 * stored.
 */
#include "bench_limits.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <libwebsockets.h>

#include "tool.h"
#include "util/buf.h"
#include "wire/frame.h"

#define MAX_SUBSCRIBERS	1024

struct session {
	struct nr_buf	in, out;
	size_t		sent;
};

static struct lws *subscriber[MAX_SUBSCRIBERS];
static size_t nsubscribers;

static void
need(int rc)
{
	if (rc != 0)
		nr_die(rc, "the empty server");
}

static void
send_text(struct lws *wsi, const char *text, size_t len)
{
	struct session *s = lws_wsi_user(wsi);
	unsigned char head[NR_FRAME_HEAD_MAX];

	need(nr_buf_add(&s->out, head, nr_frame_head(head, NR_OP_TEXT, len,
	    0)));
	need(nr_buf_add(&s->out, text, len));
	lws_callback_on_writable(wsi);
}

static void
take_event(struct lws *wsi, const char *p, size_t len)
{
	const char *id = memmem(p, len, "\"id\":\"", 6);
	char ok[128];
	size_t i;

	if (id == NULL || (size_t)(p + len - id) < 70)
		return;
	i = (size_t)snprintf(ok, sizeof(ok), "[\"OK\",\"%.64s\",true,\"\"]",
	    id + 6);
	send_text(wsi, ok, i);
	if (nsubscribers == 0)
		return;
	/* ["EVENT",{...}] becomes ["EVENT","s",{...}] */
	struct nr_buf b = { 0 };

	need(nr_buf_adds(&b, "[\"EVENT\",\"s\","));
	need(nr_buf_add(&b, p + 9, len - 9));
	for (i = 0; i < nsubscribers; i++)
		send_text(subscriber[i], b.p, b.len);
	nr_buf_free(&b);
}

static void
take_req(struct lws *wsi, const char *p, size_t len)
{
	const char *end = memchr(p + 8, '"', len - 8);
	char eose[128];
	int n;

	if (end == NULL || end - (p + 8) > 64)
		return;
	n = snprintf(eose, sizeof(eose), "[\"EOSE\",\"%.*s\"]",
	    (int)(end - (p + 8)), p + 8);
	send_text(wsi, eose, (size_t)n);
	if (memmem(p, len, "\"limit\":0", 9) != NULL &&
	    nsubscribers < MAX_SUBSCRIBERS)
		subscriber[nsubscribers++] = wsi;
}

static int
flush(struct lws *wsi, struct session *s)
{
	size_t n;

	while (s->sent < s->out.len && !lws_send_pipe_choked(wsi)) {
		n = s->out.len - s->sent;
		if (n > 65536)
			n = 65536;
		if (lws_write(wsi, (unsigned char *)s->out.p + s->sent, n,
		    LWS_WRITE_RAW) < 0)
			return -1;
		s->sent += n;
	}
	if (s->sent < s->out.len)
		lws_callback_on_writable(wsi);
	else
		s->sent = s->out.len = 0;
	return 0;
}

static void
forget(struct lws *wsi, struct session *s)
{
	size_t i;

	for (i = 0; i < nsubscribers; i++)
		if (subscriber[i] == wsi)
			subscriber[i--] = subscriber[--nsubscribers];
	nr_buf_free(&s->in);
	nr_buf_free(&s->out);
}

static int
callback(struct lws *wsi, enum lws_callback_reasons reason, void *user,
    void *in, size_t len)
{
	struct session *s = user;

	switch (reason) {
	case LWS_CALLBACK_RECEIVE:
		need(nr_buf_add(&s->in, in, len));
		if (!lws_is_final_fragment(wsi) ||
		    lws_remaining_packet_payload(wsi) > 0)
			return 0;
		if (s->in.len > 9 && memcmp(s->in.p, "[\"EVENT\",", 9) == 0)
			take_event(wsi, s->in.p, s->in.len);
		else if (s->in.len > 8 && memcmp(s->in.p, "[\"REQ\",\"", 8) == 0)
			take_req(wsi, s->in.p, s->in.len);
		s->in.len = 0;
		return 0;
	case LWS_CALLBACK_SERVER_WRITEABLE:
		return flush(wsi, s);
	case LWS_CALLBACK_CLOSED:
		forget(wsi, s);
		return 0;
	default:
		return lws_callback_http_dummy(wsi, reason, user, in, len);
	}
}

void
nr_bench_empty(int ready)
{
	static const struct lws_protocols protocols[] = {
		{ .name = "nostr", .callback = callback,
		  .per_session_data_size = sizeof(struct session),
		  .rx_buffer_size = 65536 },
		{ .name = NULL }
	};
	struct lws_context_creation_info info = {
		.iface = "127.0.0.1", .protocols = protocols,
		.pt_serv_buf_size = 65536
	};
	struct lws_context *lws;
	int port;

	lws_set_log_level(LLL_ERR, NULL);
	if ((lws = lws_create_context(&info)) == NULL)
		nr_die(EADDRNOTAVAIL, "the empty server");
	port = lws_get_vhost_listen_port(lws_get_vhost_by_name(lws,
	    "default"));
	if (write(ready, &port, sizeof(port)) != (ssize_t)sizeof(port))
		nr_die(errno, "the empty server");
	while (lws_service(lws, 0) >= 0)
		;
	exit(NR_EX_ENV);
}
