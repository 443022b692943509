/*
 * Whose connection it is: behind a proxy that is trusted to tell, whoever
 * it names; else whoever is at the other end.
 */
#include "relay/internal.h"

#include <string.h>

#include "relay/accept.h"
#include "wire/proxy.h"

#define HEADER_MAX	4096	/* libwebsockets keeps no more of a request */

static int
trusts(const struct nr_relay_config *c, const struct nr_arrival *v)
{
	if (!v->is_ip)
		return c->unix_proxies;
	return nr_networks_have(c->proxies, c->nproxies, &v->from);
}

int
nr_origin_trusts(struct nr_relay *r, const struct nr_arrival *v)
{
	int yes;

	nr_relay_reading(r);
	yes = trusts(r->config, v);
	nr_relay_read(r);
	return yes;
}

const struct nr_ip *
nr_origin_known(const struct nr_relay *r, const struct nr_arrival *v)
{
	if (!v->is_ip || trusts(r->config, v) ||
	    (!v->told && nr_ip_is_loopback(&v->from)))
		return NULL;
	return &v->from;
}

static int
from_header(const struct nr_relay_config *c, struct lws *wsi,
    enum lws_token_indexes token, struct nr_ip *out)
{
	char text[HEADER_MAX + 1];
	int len = lws_hdr_copy(wsi, text, sizeof(text), token);

	return len > 0 && nr_forwarded_read(out, text, strlen(text),
	    c->proxies, c->nproxies);
}

/* Whatever is in them, and whether we believe it or not. */
static int
is_forwarded(struct lws *wsi)
{
	return lws_hdr_total_length(wsi, WSI_TOKEN_X_FORWARDED_FOR) > 0 ||
	    lws_hdr_total_length(wsi, WSI_TOKEN_HTTP_X_REAL_IP) > 0;
}

int
nr_origin(struct nr_relay *r, struct lws *wsi, struct nr_ip *out)
{
	const struct nr_arrival *v = lws_get_opaque_user_data(wsi);

	if (v == NULL)
		return 0;
	if (trusts(r->config, v) &&
	    (from_header(r->config, wsi, WSI_TOKEN_X_FORWARDED_FOR, out) ||
	    from_header(r->config, wsi, WSI_TOKEN_HTTP_X_REAL_IP, out)))
		return 1;
	/* The operator's, unless somebody has forwarded it. */
	if ((!v->is_ip || (!v->told && nr_ip_is_loopback(&v->from))) &&
	    !is_forwarded(wsi) && !r->config->limit_local)
		return 0;
	memset(out, 0, sizeof(*out));
	if (v->is_ip)
		*out = v->from;
	return 1;
}
