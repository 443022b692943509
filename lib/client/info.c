/*
 * NIP-11: a GET that says what it accepts.
 */
#include "client/info.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/internal.h"
#include "util/err.h"

struct nr_info {
	struct nr_wire	 wire;
	struct nr_net	*net;
	struct nr_url	 url;
	struct nr_timer	 clock;		/* the deadline */
	struct nr_timer	 step;		/* the next address, or the end */
	struct nr_lookup *lookup;
	struct addrinfo	*list, *at;
	struct lws	*wsi;
	const char	*accept;
	struct nr_info_head head;
	int		 complete;
	struct nr_buf	 body;
	size_t		 limit;		/* of its bytes */
	struct nr_fault	 fault;
	void		(*done)(void *ctx, const char *text, size_t len,
			    const struct nr_fault *why);
	void		*ctx;
};

static void
fail(struct nr_info *i, enum nr_fault_class c, unsigned code,
    const char *text)
{
	if (i->fault.class == NR_FAULT_NONE)
		nr_fault_set(&i->fault, c, code, text, strlen(text));
}

static void
drop(struct nr_info *i)
{
	if (i->wsi != NULL)
		nr_wire_drop(i->wsi);
	i->wsi = NULL;
	nr_lookup_free(i->lookup);
	i->lookup = NULL;
}

/* Told from a timer: the callee may free i. */
static void
end(struct nr_info *i)
{
	drop(i);
	nr_timer_stop(&i->clock);
	i->at = NULL;
	nr_timer_set(&i->step, 0);
}

static void
connect_to(struct nr_info *i, const char *address)
{
	struct lws_client_connect_info c;
	char host[NR_HOST_HEADER];

	nr_wire_connect_info(&c, i->net, &i->url, &i->wire, host);
	c.address = address;
	c.method = "GET";
	c.pwsi = &i->wsi;
	if (lws_client_connect_via_info(&c) == NULL) {
		i->wsi = NULL;
		nr_timer_set(&i->step, 0);
	}
}

static void
on_step(void *ctx)
{
	struct nr_info *i = ctx;
	char address[INET6_ADDRSTRLEN + 32];

	if (i->at != NULL && getnameinfo(i->at->ai_addr, i->at->ai_addrlen,
	    address, sizeof(address), NULL, 0, NI_NUMERICHOST) == 0) {
		i->at = i->at->ai_next;
		i->fault.class = NR_FAULT_NONE;
		connect_to(i, address);
		return;
	}
	drop(i);
	nr_timer_stop(&i->clock);
	if (i->complete && i->fault.class == NR_FAULT_NONE) {
		i->done(i->ctx, i->body.p != NULL ? i->body.p : "",
		    i->body.len, NULL);
		return;
	}
	fail(i, NR_FAULT_CONNECT, 0, "cannot connect");
	i->done(i->ctx, NULL, 0, &i->fault);
}

static void
on_clock(void *ctx)
{
	struct nr_info *i = ctx;

	i->fault.class = NR_FAULT_NONE;
	fail(i, NR_FAULT_TIMEOUT, 0, "no answer in time");
	end(i);
}

static void
resolved(void *ctx, struct addrinfo *list, const char *why)
{
	struct nr_info *i = ctx;

	nr_lookup_free(i->lookup);
	i->lookup = NULL;
	i->list = i->at = list;
	if (list == NULL)
		fail(i, NR_FAULT_RESOLVE, 0, why);
	nr_timer_set(&i->step, 0);
}

static void
on_distrust(struct nr_wire *w, const char *why)
{
	fail(lws_container_of(w, struct nr_info, wire), NR_FAULT_TLS, 0, why);
}

static int
add_headers(const struct nr_info *i, struct lws *wsi, unsigned char **p,
    unsigned char *last)
{
	return nr_wire_user_agent(wsi, p, last) != 0 ||
	    lws_add_http_header_by_name(wsi, (const unsigned char *)"Accept:",
	    (const unsigned char *)i->accept, (int)strlen(i->accept), p,
	    last) != 0;
}

static int
read_some(struct nr_info *i, struct lws *wsi)
{
	char buf[LWS_PRE + 4096], *p = buf + LWS_PRE;
	int len = sizeof(buf) - LWS_PRE;

	(void)i;
	return lws_http_client_read(wsi, &p, &len) < 0 ? -1 : 0;
}

static int
take(struct nr_info *i, const char *in, size_t len)
{
	if (i->body.len + len > i->limit) {
		fail(i, NR_FAULT_FLOOD, 0, "the document is too long");
		end(i);
		return -1;
	}
	if (nr_buf_add(&i->body, in, len) == NR_OK)
		return 0;
	fail(i, NR_FAULT_LOCAL, 0, nr_strerror(ENOMEM));
	end(i);
	return -1;
}

static int
has_header(struct lws *wsi, const char *name)
{
	return lws_hdr_custom_length(wsi, name, (int)strlen(name)) >= 0;
}

static void
on_status(struct nr_info *i, struct lws *wsi)
{
	struct nr_info_head *h = &i->head;
	char text[64];

	i->at = NULL;		/* this is the address */
	h->status = lws_http_client_http_response(wsi);
	h->cors_origin = lws_hdr_total_length(wsi,
	    WSI_TOKEN_HTTP_ACCESS_CONTROL_ALLOW_ORIGIN) > 0;
	h->cors_headers = has_header(wsi, "access-control-allow-headers:");
	h->cors_methods = has_header(wsi, "access-control-allow-methods:");
	if (lws_hdr_copy(wsi, h->type, sizeof(h->type),
	    WSI_TOKEN_HTTP_CONTENT_TYPE) < 0)
		h->type[0] = '\0';
	if (h->status == 200)
		return;
	snprintf(text, sizeof(text), "HTTP status %u", h->status);
	fail(i, NR_FAULT_HTTP, h->status, text);
}

/* No connection, or no more of it. */
static void
on_end(struct nr_info *i, struct lws *wsi, int closed)
{
	unsigned status = lws_http_client_http_response(wsi);
	char text[64];

	lws_set_opaque_user_data(wsi, NULL);
	i->wsi = NULL;
	if (closed && i->head.status == 200 && i->body.len > 0)
		i->complete = 1;	/* its length was not told */
	else if (status >= 300) {
		snprintf(text, sizeof(text), "HTTP status %u", status);
		fail(i, NR_FAULT_HTTP, status, text);
	}
	if (closed || i->fault.class == NR_FAULT_TLS ||
	    i->fault.class == NR_FAULT_HTTP)
		i->at = NULL;
	if (closed && !i->complete)
		fail(i, NR_FAULT_CLOSED, 0, "the connection was lost");
	if (!closed && i->url.tls)
		fail(i, NR_FAULT_TLS, 0, "cannot connect by TLS");
	nr_timer_set(&i->step, 0);
}

static int
happened(struct nr_wire *w, struct lws *wsi,
    enum lws_callback_reasons reason, void *in, size_t len)
{
	struct nr_info *i = lws_container_of(w, struct nr_info, wire);
	unsigned char **p = in;

	switch (reason) {
	case LWS_CALLBACK_WSI_CREATE:
		(void)fcntl(lws_get_socket_fd(wsi), F_SETFD, FD_CLOEXEC);
		return 0;
	case LWS_CALLBACK_CLIENT_APPEND_HANDSHAKE_HEADER:
		return add_headers(i, wsi, p, *p + len);
	case LWS_CALLBACK_ESTABLISHED_CLIENT_HTTP:
		on_status(i, wsi);
		return 0;
	case LWS_CALLBACK_RECEIVE_CLIENT_HTTP:
		return read_some(i, wsi);
	case LWS_CALLBACK_RECEIVE_CLIENT_HTTP_READ:
		return take(i, in, len);
	case LWS_CALLBACK_COMPLETED_CLIENT_HTTP:
		i->complete = i->head.status == 200;
		end(i);
		return -1;
	case LWS_CALLBACK_CLIENT_CONNECTION_ERROR:
		on_end(i, wsi, 0);
		return 0;
	case LWS_CALLBACK_CLOSED_CLIENT_HTTP:
	case LWS_CALLBACK_WSI_DESTROY:
		on_end(i, wsi, 1);
		return 0;
	default:
		return 0;
	}
}

int
nr_info_new(struct nr_info **out, struct nr_net *n, const struct nr_url *url,
    int64_t ms, void (*done)(void *ctx, const char *text, size_t len,
    const struct nr_fault *why), void *ctx)
{
	return nr_info_new_as(out, n, url, "application/nostr+json", ms,
	    done, ctx);
}

int
nr_info_new_as(struct nr_info **out, struct nr_net *n,
    const struct nr_url *url, const char *accept, int64_t ms,
    void (*done)(void *ctx, const char *text, size_t len,
    const struct nr_fault *why), void *ctx)
{
	struct nr_info *i;
	int rc;

	if ((i = calloc(1, sizeof(*i))) == NULL)
		return ENOMEM;
	i->net = n;
	i->url = *url;
	i->accept = accept;
	i->done = done;
	i->limit = NR_INFO_MAX;
	i->ctx = ctx;
	i->wire.happened = happened;
	i->wire.distrust = on_distrust;
	i->wire.ip = strchr(i->url.host, ':') != NULL ? i->url.host : NULL;
	nr_timer_init(&i->clock, n, on_clock, i);
	nr_timer_init(&i->step, n, on_step, i);
	rc = nr_lookup_new(&i->lookup, n->resolver, url->host, url->port,
	    resolved, i);
	if (rc != NR_OK) {
		free(i);
		return rc;
	}
	nr_timer_set(&i->clock, ms);
	*out = i;
	return NR_OK;
}

void
nr_info_limit(struct nr_info *i, size_t bytes)
{
	i->limit = bytes;
}

const struct nr_info_head *
nr_info_head(const struct nr_info *i)
{
	return &i->head;
}

void
nr_info_free(struct nr_info *i)
{
	if (i == NULL)
		return;
	drop(i);
	nr_timer_stop(&i->clock);
	nr_timer_stop(&i->step);
	if (i->list != NULL)
		freeaddrinfo(i->list);
	nr_buf_free(&i->body);
	free(i);
}
