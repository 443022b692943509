/*
 * HTTP: the information document, a page for browsers, the upgrade; and on
 * an address of its own what operators watch.
 */
#include "relay/internal.h"

#include <string.h>

#include "relay/accept.h"
#include "util/err.h"
#include "wire/accept.h"

#define METHODS		"GET, HEAD, OPTIONS"
#define JSON_TYPE	"application/nostr+json"
#define TEXT_TYPE	"text/plain; charset=utf-8"
#define ICON_TYPE	"image/svg+xml"

static const char page_type[] = "text/html; charset=utf-8";
static const char hello[] =
    "This is a Nostr relay: connect to it with a Nostr client.\n";

/* Is this header there?  The URI's token depends on the method. */
static int
has(struct lws *wsi, enum lws_token_indexes token)
{
	return lws_hdr_total_length(wsi, token) > 0;
}

static int
may_ask(struct lws *wsi)
{
	return has(wsi, WSI_TOKEN_GET_URI) || has(wsi, WSI_TOKEN_HEAD_URI) ||
	    has(wsi, WSI_TOKEN_OPTIONS_URI);
}

/* Is the request for this path? */
static int
at(struct lws *wsi, const char *path)
{
	char *uri;
	int len;

	return lws_http_get_uri_and_method(wsi, &uri, &len) >= 0 &&
	    (size_t)len == strlen(path) && memcmp(uri, path,
	    (size_t)len) == 0;
}

/*
 * What / is for this client.  One that names NIP-11's type is answered
 * with it whatever else it accepts: nobody else asks for that.
 */
enum form { FORM_TEXT, FORM_INFO, FORM_PAGE };

static enum form
wanted(struct lws *wsi)
{
	char accept[1024];
	int n = lws_hdr_copy(wsi, accept, sizeof(accept),
	    WSI_TOKEN_HTTP_ACCEPT);

	if (n <= 0)
		return FORM_TEXT;
	if (nr_accept_names(accept, (size_t)n, JSON_TYPE))
		return FORM_INFO;
	return nr_accept_names(accept, (size_t)n, "text/html") ||
	    nr_accept_names(accept, (size_t)n, "application/xhtml+xml") ?
	    FORM_PAGE : FORM_TEXT;
}

static int
add_header(struct lws *wsi, const char *name, const char *value,
    unsigned char **p, unsigned char *end)
{
	return lws_add_http_header_by_name(wsi, (const unsigned char *)name,
	    (const unsigned char *)value, (int)strlen(value), p, end);
}

static int
add_cors(struct lws *wsi, unsigned char **p, unsigned char *end)
{
	return add_header(wsi, "access-control-allow-origin:", "*", p, end) ||
	    add_header(wsi, "access-control-allow-headers:", "*", p, end) ||
	    add_header(wsi, "access-control-allow-methods:", METHODS, p, end);
}

static int
add_special(struct lws *wsi, unsigned status, unsigned char **p,
    unsigned char *end)
{
	switch (status) {
	case 200:
		return add_header(wsi, "vary:", "accept", p, end);
	case 405:
		return add_header(wsi, "allow:", METHODS, p, end);
	case 426:
		return add_header(wsi, "sec-websocket-version:", "13", p, end);
	}
	return 0;
}

/* A page of ours loads nothing, runs nothing, and is in nobody's frame. */
static int
add_safety(struct lws *wsi, unsigned char **p, unsigned char *end)
{
	char policy[NR_PAGE_POLICY];

	nr_page_policy(lws_context_user(lws_get_context(wsi)), policy);
	return add_header(wsi, "content-security-policy:", policy, p, end) ||
	    add_header(wsi, "x-content-type-options:", "nosniff", p, end) ||
	    add_header(wsi, "x-frame-options:", "DENY", p, end) ||
	    add_header(wsi, "referrer-policy:", "no-referrer", p, end) ||
	    add_header(wsi, "cache-control:", "no-cache", p, end);
}

/* The figures: not for the pages of others in the operator's browser. */
static int
for_operator(struct lws *wsi)
{
	const struct nr_arrival *v = lws_get_opaque_user_data(wsi);

	return v->metrics;
}

/*
 * The head of an answer whose body will have len bytes.
 * after    seconds to wait before asking again, or 0
 */
static int
write_head(struct lws *wsi, unsigned status, const char *type, size_t len,
    unsigned after)
{
	unsigned char buf[LWS_PRE + 2048], *start = buf + LWS_PRE;
	unsigned char *p = start, *end = buf + sizeof(buf) - 1;
	char seconds[16];

	snprintf(seconds, sizeof(seconds), "%u", after);
	return lws_add_http_common_headers(wsi, status, type, len, &p, end) ||
	    (!for_operator(wsi) && (add_cors(wsi, &p, end) ||
	    add_special(wsi, status, &p, end))) ||
	    (after > 0 && add_header(wsi, "retry-after:", seconds, &p,
	    end)) ||
	    (type == page_type && add_safety(wsi, &p, end)) ||
	    lws_finalize_write_http_header(wsi, start, &p, end) ? -1 : 0;
}

/* An answer without a body, after which the connection ends. */
static int
refuse(struct lws *wsi, unsigned status)
{
	(void)write_head(wsi, status, TEXT_TYPE, 0, 0);
	return -1;
}

/* Not now: say when to come again. */
static int
refuse_for_now(struct lws *wsi, unsigned status, unsigned seconds)
{
	(void)write_head(wsi, status, TEXT_TYPE, 0, seconds);
	return -1;
}

/*
 * An answer with this body, of which LWS_PRE bytes in front are for the
 * writer of HTTP.  It goes out when there is room for it.
 */
static int
answer(struct nr_http *h, struct lws *wsi, unsigned status,
    const char *type, struct nr_buf *body)
{
	int rc = write_head(wsi, status, type, body->len - LWS_PRE, 0);

	if (rc == 0 && !has(wsi, WSI_TOKEN_HEAD_URI) &&
	    body->len > LWS_PRE) {
		h->body = *body;
		lws_callback_on_writable(wsi);
		return 0;
	}
	nr_buf_free(body);
	return rc != 0 || lws_http_transaction_completed(wsi) ? -1 : 0;
}

static int
start_body(struct nr_buf *b)
{
	int rc = nr_buf_reserve(b, LWS_PRE);

	b->len = LWS_PRE;
	return rc;
}

static int
ask_icon(struct nr_http *h, struct lws *wsi)
{
	struct nr_buf b = { 0 };

	if (start_body(&b) != NR_OK || (!has(wsi, WSI_TOKEN_OPTIONS_URI) &&
	    nr_buf_adds(&b, nr_page_icon) != NR_OK)) {
		nr_buf_free(&b);
		return -1;
	}
	return answer(h, wsi, 200, ICON_TYPE, &b);
}

static int
ask_relay(struct nr_relay *r, struct nr_http *h, struct lws *wsi)
{
	static const char *const type[] = {
		[FORM_TEXT] = TEXT_TYPE, [FORM_INFO] = JSON_TYPE,
		[FORM_PAGE] = page_type
	};
	enum form form = wanted(wsi);
	struct nr_buf b = { 0 };
	int rc;

	if (at(wsi, "/favicon.ico"))
		return ask_icon(h, wsi);
	if (!at(wsi, "/"))
		return refuse(wsi, 404);
	rc = start_body(&b);
	if (rc == NR_OK && !has(wsi, WSI_TOKEN_OPTIONS_URI))
		rc = form == FORM_INFO ? nr_info_write(&b, r->config) :
		    form == FORM_PAGE ? nr_page_write(r, &b) :
		    nr_buf_adds(&b, hello);
	if (rc != NR_OK) {
		nr_buf_free(&b);
		return -1;
	}
	return answer(h, wsi, 200, type[form], &b);
}

/* What only the operator's address answers. */
static int
ask_metrics(struct nr_relay *r, struct nr_http *h, struct lws *wsi)
{
	struct nr_buf b = { 0 };
	const char *why = nr_relay_unready(r);
	unsigned status = 200;
	int health = at(wsi, "/health"), rc;

	if (!health && !at(wsi, "/metrics"))
		return refuse(wsi, 404);
	rc = start_body(&b);
	if (rc == NR_OK && health && why == NULL)
		rc = nr_buf_adds(&b, "{\"ready\":true}\n");
	else if (rc == NR_OK && health) {
		status = 503;
		rc = nr_buf_addf(&b, "{\"ready\":false,\"why\":\"%s\"}\n",
		    why);
	} else if (rc == NR_OK)
		rc = nr_metrics_write(r, &b);
	if (rc != NR_OK) {
		nr_buf_free(&b);
		return refuse(wsi, 500);
	}
	return answer(h, wsi, status, health ? "application/json" :
	    "text/plain; version=0.0.4", &b);
}


/* After how many seconds may whoever asks ask again?  0: now. */
static unsigned
must_wait(struct nr_relay *r, struct lws *wsi, int to_stay)
{
	struct nr_arrival *v = lws_get_opaque_user_data(wsi);

	if (v->metrics)
		return 0;
	v->has_origin = nr_origin(r, wsi, &v->origin);
	return nr_limits_connect(r->limits, v->has_origin ? &v->origin : NULL,
	    to_stay);
}

int
nr_http_request(struct nr_relay *r, struct nr_http *h, struct lws *wsi)
{
	unsigned wait = must_wait(r, wsi, 0);

	if (wait > 0)
		return refuse_for_now(wsi, 429, wait);
	if (!may_ask(wsi))
		return refuse(wsi, 405);
	return for_operator(wsi) ? ask_metrics(r, h, wsi) :
	    ask_relay(r, h, wsi);
}

/* A WebSocket is wanted: on the right path, of the right version? */
int
nr_http_upgrade(struct nr_relay *r, struct lws *wsi)
{
	struct nr_arrival *v = lws_get_opaque_user_data(wsi);
	char version[8];
	unsigned wait;

	if (for_operator(wsi) || !at(wsi, "/"))
		return refuse(wsi, 404);
	if (lws_hdr_copy(wsi, version, sizeof(version),
	    WSI_TOKEN_VERSION) <= 0 || strcmp(version, "13") != 0)
		return refuse(wsi, 426);
	if ((wait = must_wait(r, wsi, 1)) > 0)
		return refuse_for_now(wsi, 429, wait);
	/* There was room when it connected: others may have been quicker. */
	if (r->nconns >= r->config->max_connections) {
		nr_limits_hit(r, NR_LIMIT_CONNECTIONS);
		return refuse_for_now(wsi, 503, 10);
	}
	v->upgrades = 1;
	return 0;
}

int
nr_http_body(struct nr_http *h, struct lws *wsi)
{
	struct nr_buf b = h->body;
	int rc;

	if (b.len == 0)
		return 0;
	memset(&h->body, 0, sizeof(h->body));
	rc = lws_write(wsi, (unsigned char *)b.p + LWS_PRE, b.len - LWS_PRE,
	    LWS_WRITE_HTTP_FINAL);
	nr_buf_free(&b);
	return rc < 0 || lws_http_transaction_completed(wsi) ? -1 : 0;
}
