/*
 * empty: a WebSocket server that does nothing: every EVENT gets its OK and
 * goes to every subscriber, every REQ an EOSE, and nothing is read, checked
 * or stored.  What libwebsockets and the load generator can do at most on
 * this machine, for make bench.
 *
 *	empty PORT
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <libwebsockets.h>

#include "util/buf.h"
#include "wire/frame.h"

#define MAX_SUBSCRIBERS	1024

struct session {
	struct nr_buf	in, out;
	size_t		sent;
};

static struct lws *subscriber[MAX_SUBSCRIBERS];
static size_t nsubscribers;
static volatile sig_atomic_t stopped;

static void
on_signal(int sig)
{
	(void)sig;
	stopped = 1;
}

static void
need(int rc)
{
	if (rc == 0)
		return;
	perror("empty");
	exit(3);
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

int
main(int argc, char *argv[])
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

	if (argc != 2) {
		fprintf(stderr, "usage: empty port\n");
		return 2;
	}
	info.port = (int)strtol(argv[1], NULL, 10);
	signal(SIGTERM, on_signal);
	lws_set_log_level(LLL_ERR, NULL);
	if ((lws = lws_create_context(&info)) == NULL)
		return 3;
	while (!stopped && lws_service(lws, 0) >= 0)
		;
	lws_context_destroy(lws);
	return 0;
}
