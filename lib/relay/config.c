/*
 * Settings by name.
 */
#include "relay/config.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "event/event.h"
#include "policy/command.h"
#include "policy/request.h"
#include "relay/tls.h"
#include "util/err.h"
#include "util/hex.h"
#include "util/json.h"
#include "util/number.h"
#include "wire/url.h"

#define OFFSET(member)	offsetof(struct nr_relay_config, member)

static const struct number {
	const char	*key;
	size_t		 offset;
	uint64_t	 value;		/* the default */
	uint64_t	 least, most;
} number[] = {
	{ "max_connections", OFFSET(max_connections), 10000, 1, 1000000 },
	{ "max_message", OFFSET(max_message), 256 << 10, 1 << 10, 16 << 20 },
	{ "close_message", OFFSET(close_message), 4 << 20, 1 << 10,
	    UINT64_C(1) << 30 },
	{ "max_bad_messages", OFFSET(max_bad_messages), 50, 1, 1000000 },
	{ "max_event", OFFSET(max_event), 128 << 10, 512, 16 << 20 },
	{ "max_event_tags", OFFSET(max_event_tags), 5000, 0, 1000000 },
	{ "max_subscriptions", OFFSET(max_subscriptions), 100, 1, 100000 },
	{ "max_filters", OFFSET(max_filters), 20, 1, 1000 },
	{ "max_filter_values", OFFSET(max_filter_values), 5000, 1, 100000 },
	{ "max_values", OFFSET(max_values), 200000, 1, 100000000 },
	{ "max_limit", OFFSET(max_limit), 5000, 1, 1000000 },
	{ "default_limit", OFFSET(default_limit), 500, 1, 1000000 },
	{ "max_count", OFFSET(max_count), 1000000, 1, 1000000000 },
	{ "max_sync", OFFSET(max_sync), 1000000, 0, 100000000 },
	{ "sync_memory", OFFSET(sync_memory), 256 << 20, 1 << 20,
	    UINT64_C(1) << 40 },
	{ "sync_seconds", OFFSET(sync_seconds), 60, 1, 3600 },
	{ "min_pow", OFFSET(min_pow), 0, 0, 256 },
	{ "max_future", OFFSET(max_future), 900, 0, INT64_MAX / 2 },
	{ "max_age", OFFSET(max_age), 0, 0, INT64_MAX / 2 },
	{ "max_content", OFFSET(max_content), 128 << 10, 0, 16 << 20 },
	{ "max_tag_value", OFFSET(max_tag_value), 128 << 10, 64, 16 << 20 },
	{ "max_queries", OFFSET(max_queries), 20000, 1, 10000000 },
	{ "policy_timeout", OFFSET(policy_timeout), 5, 1, 3600 },
	{ "policy_queue", OFFSET(policy_queue), 10000, 16, 1000000 },
	{ "ip_connections", OFFSET(ip_connections), 100, 0, 1000000 },
	{ "key_connections", OFFSET(key_connections), 100, 0, 1000000 },
	{ "limit_local", OFFSET(limit_local), 0, 0, 1 },
	{ "slow_ms", OFFSET(slow_ms), 2000, 0, 10000 },
	{ "ban_seconds", OFFSET(ban_seconds), 600, 0, 31536000 },
	{ "deflate", OFFSET(deflate), 1, 0, 1 },
	{ "output_pause", OFFSET(output_pause), 1 << 20, 1 << 14, 1 << 30 },
	{ "output_close", OFFSET(output_close), 32 << 20, 4 << 20,
	    UINT64_C(4) << 30 },
	{ "input_pause", OFFSET(input_pause), 64 << 20, 1 << 20,
	    UINT64_C(4) << 30 },
	{ "handshake_seconds", OFFSET(handshake_seconds), 20, 1, 3600 },
	{ "ping_seconds", OFFSET(ping_seconds), 55, 1, 65000 },
	{ "drain_seconds", OFFSET(drain_seconds), 10, 0, 3600 },
	{ "slow_query_ms", OFFSET(slow_query_ms), 1000, 0, 3600000 },
	{ "upgrade_seconds", OFFSET(upgrade_seconds), 60, 0, 86400 },
	{ "compact_dead", OFFSET(compact_dead), 40, 0, 99 },
	{ "compact_rate", OFFSET(compact_rate), 16 << 20, 1 << 16,
	    UINT64_C(1) << 40 },
	{ "scrub_seconds", OFFSET(scrub_seconds), 86400, 0, 315360000 },
	{ "verify_threads", OFFSET(verify_threads), 0, 0, 256 },
	{ "query_threads", OFFSET(query_threads), 0, 0, 256 },
};

static const struct text {
	const char	*key;
	size_t		 offset;
} text[] = {
	{ "name", OFFSET(name) },
	{ "description", OFFSET(description) },
	{ "contact", OFFSET(contact) },
	{ "pubkey", OFFSET(pubkey) },
	{ "icon", OFFSET(icon) },
	{ "banner", OFFSET(banner) },
	{ "self", OFFSET(self) },
	{ "terms_of_service", OFFSET(terms_of_service) },
	{ "posting_policy", OFFSET(posting_policy) },
	{ "privacy_policy", OFFSET(privacy_policy) },
	{ "nip11", OFFSET(nip11) },
	{ "members", OFFSET(members) },
	{ "policy", OFFSET(policy) },
	{ "metrics", OFFSET(metrics) },
	{ "tls_certificate", OFFSET(tls_certificate) },
	{ "tls_key", OFFSET(tls_key) },
};

static const struct rate {
	const char	*key;
	size_t		 offset;
	const char	*value;		/* the default */
} rate[] = {
	{ "connect_rate", OFFSET(connect_rate), "off" },
	{ "ip_connect_rate", OFFSET(ip_connect_rate), "5/s burst 200" },
	{ "key_connect_rate", OFFSET(key_connect_rate), "5/s burst 200" },
	{ "message_rate", OFFSET(message_rate), "200/s burst 4K" },
	{ "byte_rate", OFFSET(byte_rate), "1M/s burst 32M" },
	{ "event_rate", OFFSET(event_rate), "off" },
	{ "event_byte_rate", OFFSET(event_byte_rate), "off" },
	{ "ip_event_rate", OFFSET(ip_event_rate), "50/s burst 5K" },
	{ "key_event_rate", OFFSET(key_event_rate), "50/s burst 5K" },
	{ "ip_query_rate", OFFSET(ip_query_rate), "2M/s burst 10M" },
	{ "ip_auth_failures", OFFSET(ip_auth_failures), "20/min" },
	{ "ip_refusals", OFFSET(ip_refusals), "600/min" },
	{ "ip_closes", OFFSET(ip_closes), "5/10min" },
};

#define COUNT(a)	(sizeof(a) / sizeof((a)[0]))

static uint64_t *
number_at(struct nr_relay_config *c, const struct number *n)
{
	return (uint64_t *)(void *)((char *)c + n->offset);
}

static char **
text_at(struct nr_relay_config *c, const struct text *t)
{
	return (char **)(void *)((char *)c + t->offset);
}

/* *why is set where it is none. */
static int
set_rate(struct nr_relay_config *c, const struct rate *r, const char *value,
    const char **why)
{
	struct nr_rate *at = (struct nr_rate *)(void *)((char *)c +
	    r->offset);

	if (!nr_rate_parse(at, value))
		*why = "not off, nor a rate such as 20/s, 5/10min or "
		    "20/s burst 100";
	return NR_OK;
}

int
nr_relay_config_init(struct nr_relay_config *c)
{
	static const char *const proxy[] = {
		"127.0.0.0/8", "::1", "unix"
	};
	const char *why;
	size_t i;
	int rc;

	memset(c, 0, sizeof(*c));
	for (i = 0; i < COUNT(number); i++)
		*number_at(c, &number[i]) = number[i].value;
	for (i = 0; i < COUNT(rate); i++)
		(void)set_rate(c, &rate[i], rate[i].value, &why);
	rc = nr_relay_config_set(c, "name", "nr-serve", &why);
	if (rc == NR_OK)
		rc = nr_relay_config_set(c, "description",
		    "A Nostr relay run by nr-serve.", &why);
	if (rc == NR_OK)
		rc = nr_relay_config_set(c, "private_kinds",
		    NR_KINDS_CONFIDENTIAL, &why);
	if (rc == NR_OK)
		rc = nr_relay_config_set(c, "policy_asks", "write", &why);
	if (rc == NR_OK)
		rc = nr_relay_config_set(c, "log_level", "info", &why);
	for (i = 0; rc == NR_OK && i < COUNT(proxy); i++)
		rc = nr_relay_config_set(c, "trusted_proxies", proxy[i],
		    &why);
	if (rc != NR_OK)
		nr_relay_config_free(c);
	return rc;
}

void
nr_relay_config_free(struct nr_relay_config *c)
{
	size_t i;

	for (i = 0; i < COUNT(text); i++)
		free(*text_at(c, &text[i]));
	nr_keys_free(&c->member_keys);
	nr_tls_free(c->tls);
	for (i = 0; i < c->nlisten; i++)
		free(c->listen[i]);
	for (i = 0; i < c->nurl; i++)
		free(c->url[i]);
	memset(c, 0, sizeof(*c));
}

/* Digits, with K, M or G behind them. */
static int
parse(const char *value, uint64_t *out)
{
	return nr_number_read(&value, "KMG", out) == 1 && *value == '\0';
}

/* NULL, or why this cannot be merged into the document of NIP-11. */
static const char *
check_nip11(const char *value)
{
	struct nr_json j = { value, value + strlen(value) };
	struct nr_view key, v;
	int rc;

	if (nr_json_expect(&j, '{') != NR_JSON_OK)
		return "not a JSON object";
	while ((rc = nr_json_member(&j, &key, &v)) == 1)
		if (nr_view_is(key, "limitation") ||
		    nr_view_is(key, "supported_nips"))
			return "limitation and supported_nips are told by "
			    "what the relay does";
	if (rc < 0)
		return "not a JSON object";
	nr_json_space(&j);
	return j.p == j.end ? NULL : "not a JSON object";
}

/* An address and a port, nothing more. */
static int
is_plain(const char *where)
{
	struct nr_endpoint e;

	return nr_endpoint_parse(&e, where) == NULL && e.path == NULL &&
	    !e.proxy && !e.tls;
}

static int
set_text(struct nr_relay_config *c, const struct text *t, const char *value,
    const char **why)
{
	unsigned char k[32];
	char *copy = NULL;

	if ((t->offset == OFFSET(pubkey) || t->offset == OFFSET(self)) &&
	    *value != '\0' &&
	    (strlen(value) != 64 || !nr_hex_decode(k, value, 32))) {
		*why = "not 64 lower-case hexadecimal digits";
		return NR_OK;
	}
	if (t->offset == OFFSET(metrics) && *value != '\0' &&
	    !is_plain(value)) {
		*why = "not an IP address and a port";
		return NR_OK;
	}
	if (t->offset == OFFSET(nip11) && *value != '\0' &&
	    (*why = check_nip11(value)) != NULL)
		return NR_OK;
	if (*value != '\0' && (copy = strdup(value)) == NULL)
		return ENOMEM;
	free(*text_at(c, t));
	*text_at(c, t) = copy;
	return NR_OK;
}

/* Where a list has values of a source with less to say, they go. */
static void
begin_list(const struct nr_relay_config *c, unsigned *level, char **v,
    unsigned *n)
{
	if (*level == c->level)
		return;
	*level = c->level;
	while (*n > 0)
		free(v[--*n]);
}

static int
add_listen(struct nr_relay_config *c, const char *value, const char **why)
{
	struct nr_endpoint e;

	begin_list(c, &c->listen_level, c->listen, &c->nlisten);
	if ((*why = nr_endpoint_parse(&e, value)) != NULL)
		return NR_OK;
	if (c->nlisten == NR_LISTEN_MAX) {
		*why = "too many addresses";
		return NR_OK;
	}
	if ((c->listen[c->nlisten] = strdup(value)) == NULL)
		return ENOMEM;
	c->nlisten++;
	return NR_OK;
}

static int
add_proxy(struct nr_relay_config *c, const char *value, const char **why)
{
	if (c->proxies_level != c->level) {
		c->proxies_level = c->level;
		c->nproxies = 0;
		c->unix_proxies = 0;
	}
	if (*value == '\0')
		return NR_OK;	/* nobody */
	if (strcmp(value, "unix") == 0)
		c->unix_proxies = 1;
	else if (c->nproxies == NR_PROXIES_MAX)
		*why = "too many networks";
	else if (nr_network_parse(&c->proxies[c->nproxies], value))
		c->nproxies++;
	else
		*why = "not an IP address, a network, or unix";
	return NR_OK;
}

static int
add_url(struct nr_relay_config *c, const char *value, const char **why)
{
	struct nr_url u;

	begin_list(c, &c->url_level, c->url, &c->nurl);
	if (!nr_url_parse(&u, value, strlen(value)))
		*why = "not a ws:// or wss:// URL";
	else if (c->nurl == NR_URL_MAX)
		*why = "too many URLs";
	else if ((c->url[c->nurl] = strdup(value)) == NULL)
		return ENOMEM;
	else
		c->nurl++;
	return NR_OK;
}

/* Which of n names?  Unless it is none of them. */
static int
choose(int *out, const char *value, const char *const *name, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++)
		if (strcmp(value, name[i]) == 0) {
			*out = (int)i;
			return 1;
		}
	return 0;
}

static int
set_rule(enum nr_access_rule *r, const char *value, const char **why)
{
	static const char *const name[] = { "open", "auth", "members" };
	int i;

	if (choose(&i, value, name, COUNT(name)))
		*r = (enum nr_access_rule)i;
	else
		*why = "not open, auth or members";
	return NR_OK;
}

static int
set_log_level(struct nr_relay_config *c, const char *value,
    const char **why)
{
	static const char *const name[] = {
		"error", "warning", "info", "debug"
	};

	if (!choose(&c->log_level, value, name, COUNT(name)))
		*why = "not error, warning, info or debug";
	return NR_OK;
}

static int
set_log_format(struct nr_relay_config *c, const char *value,
    const char **why)
{
	static const char *const name[] = { "text", "json" };

	if (!choose(&c->log_json, value, name, COUNT(name)))
		*why = "not text or json";
	return NR_OK;
}

static int
set_read(struct nr_relay_config *c, const char *value, const char **why)
{
	return set_rule(&c->read, value, why);
}

static int
set_write(struct nr_relay_config *c, const char *value, const char **why)
{
	return set_rule(&c->write, value, why);
}

/* Numbers with commas or spaces between them. */
static int
set_kinds(struct nr_relay_config *c, const char *value, const char **why)
{
	static const char between[] = ", ";
	unsigned n = 0;
	char *end;
	long v;

	for (value += strspn(value, between); *value != '\0';
	    value = end + strspn(end, between)) {
		v = strtol(value, &end, 10);
		if (end == value || v < 0 || v > 65535 ||
		    (*end != '\0' && strchr(between, *end) == NULL)) {
			*why = "not a list of kinds";
			return NR_OK;
		}
		if (n == NR_PRIVATE_MAX) {
			*why = "too many kinds";
			return NR_OK;
		}
		c->private_kinds[n++] = (uint16_t)v;
	}
	c->nprivate_kinds = n;
	return NR_OK;
}

/* Words with commas or spaces between them. */
static int
set_policy_asks(struct nr_relay_config *c, const char *value,
    const char **why)
{
	static const char between[] = ", ";
	static const char *const name[NR_ASKS] = {
		[NR_ASK_NEW] = "write", [NR_ASK_REQ] = "read",
		[NR_ASK_CONNECT] = "connect"
	};
	unsigned asks = 0, i;
	size_t n;

	for (value += strspn(value, between); *value != '\0';
	    value += strspn(value, between)) {
		n = strcspn(value, between);
		for (i = 0; i < NR_ASKS && (strlen(name[i]) != n ||
		    memcmp(name[i], value, n) != 0); i++)
			;
		if (i == NR_ASKS) {
			*why = "not a list of write, read and connect";
			return NR_OK;
		}
		asks |= NR_ASK_BIT(i);
		value += n;
	}
	c->policy_asks = asks;
	return NR_OK;
}

static const struct other {
	const char	*key;
	int		 is_list;	/* each value adds to it */
	int		(*set)(struct nr_relay_config *c, const char *value,
			    const char **why);
} other[] = {
	{ "listen", 1, add_listen },
	{ "trusted_proxies", 1, add_proxy },
	{ "url", 1, add_url },
	{ "read", 0, set_read },
	{ "write", 0, set_write },
	{ "private_kinds", 0, set_kinds },
	{ "policy_asks", 0, set_policy_asks },
	{ "log_level", 0, set_log_level },
	{ "log_format", 0, set_log_format },
};

const char *
nr_relay_config_key(size_t i, int *is_list)
{
	*is_list = 0;
	if (i < COUNT(text))
		return text[i].key;
	if ((i -= COUNT(text)) < COUNT(number))
		return number[i].key;
	if ((i -= COUNT(number)) < COUNT(rate))
		return rate[i].key;
	if ((i -= COUNT(rate)) >= COUNT(other))
		return NULL;
	*is_list = other[i].is_list;
	return other[i].key;
}

void
nr_relay_config_override(struct nr_relay_config *c)
{
	c->level++;
}

static int
load_members(struct nr_relay_config *c, nr_complaint_fn *complain, void *ctx)
{
	uint64_t lineno;
	char what[512];
	int rc;

	if (c->members == NULL)
		return NR_OK;
	rc = nr_keys_load(&c->member_keys, c->members, &lineno);
	if (rc == NR_OK || rc == ENOMEM)
		return rc;
	if (rc == NR_EINVAL)
		snprintf(what, sizeof(what), "members: %s: line %" PRIu64
		    ": not a public key", c->members, lineno);
	else
		snprintf(what, sizeof(what), "members: %s: %s", c->members,
		    nr_strerror(rc));
	complain(ctx, what);
	return NR_EINVAL;
}

static int
load_tls(struct nr_relay_config *c, nr_complaint_fn *complain, void *ctx)
{
	const char *where, *why;
	char what[512];
	int rc;

	if (c->tls_certificate == NULL || c->tls_key == NULL)
		return NR_OK;
	rc = nr_tls_load(&c->tls, c->tls_certificate, c->tls_key, &where,
	    &why);
	if (rc == NR_OK || rc == ENOMEM)
		return rc;
	snprintf(what, sizeof(what), "%s: %s: %s",
	    where == c->tls_key ? "tls_key" : "tls_certificate", where,
	    rc == NR_EINVAL ? why : nr_strerror(rc));
	complain(ctx, what);
	return NR_EINVAL;
}

/* A relay whose policy cannot even be run would refuse everything. */
static int
find_policy(const struct nr_relay_config *c, nr_complaint_fn *complain,
    void *ctx)
{
	char word[NR_COMMAND_WORD], what[NR_COMMAND_WORD + 128];
	int rc;

	if (c->policy == NULL || (rc = nr_command_find(word, c->policy)) ==
	    NR_OK)
		return NR_OK;
	snprintf(what, sizeof(what), "policy: %s: %s", word, nr_strerror(rc));
	complain(ctx, what);
	return NR_EINVAL;
}

int
nr_relay_config_load(struct nr_relay_config *c, nr_complaint_fn *complain,
    void *ctx)
{
	int rc;

	if ((rc = load_members(c, complain, ctx)) != NR_OK ||
	    (rc = find_policy(c, complain, ctx)) != NR_OK)
		return rc;
	return load_tls(c, complain, ctx);
}

static int
same_lists(char *const *a, unsigned na, char *const *b, unsigned nb)
{
	unsigned i;

	for (i = 0; na == nb && i < na; i++)
		if (strcmp(a[i], b[i]) != 0)
			return 0;
	return na == nb;
}

void
nr_relay_config_keep(struct nr_relay_config *next,
    struct nr_relay_config *was, nr_complaint_fn *complain, void *ctx)
{
	static const char *const fixed[] = {
		"handshake_seconds", "ping_seconds", "query_threads",
		"verify_threads"
	};
	char what[80], *swap;
	size_t i, j;

	for (i = 0; i < COUNT(number); i++)
		for (j = 0; j < COUNT(fixed); j++) {
			if (strcmp(number[i].key, fixed[j]) != 0 ||
			    *number_at(next, &number[i]) ==
			    *number_at(was, &number[i]))
				continue;
			*number_at(next, &number[i]) =
			    *number_at(was, &number[i]);
			snprintf(what, sizeof(what),
			    "%s: needs a restart", fixed[j]);
			complain(ctx, what);
		}
	if ((next->metrics == NULL) != (was->metrics == NULL) ||
	    (next->metrics != NULL &&
	    strcmp(next->metrics, was->metrics) != 0)) {
		complain(ctx, "metrics: needs a restart");
		swap = next->metrics;
		next->metrics = was->metrics;
		was->metrics = swap;
	}
	/* Where it listens with TLS still, it needs something to show. */
	if (next->tls == NULL) {
		next->tls = was->tls;
		was->tls = NULL;
	}
	if (same_lists(next->listen, next->nlisten, was->listen,
	    was->nlisten))
		return;
	complain(ctx, "listen: needs a restart");
	for (i = 0; i < NR_LISTEN_MAX; i++) {
		swap = next->listen[i];
		next->listen[i] = was->listen[i];
		was->listen[i] = swap;
	}
	i = next->nlisten;
	next->nlisten = was->nlisten;
	was->nlisten = (unsigned)i;
}

int
nr_relay_config_has_tls(const struct nr_relay_config *c)
{
	struct nr_endpoint e;
	unsigned i;

	for (i = 0; i < c->nlisten; i++)
		if (nr_endpoint_parse(&e, c->listen[i]) == NULL && e.tls)
			return 1;
	return 0;
}

const char *
nr_relay_config_check(const struct nr_relay_config *c)
{
	if ((c->tls_certificate == NULL) != (c->tls_key == NULL))
		return "tls_certificate and tls_key: one needs the other";
	if (c->tls_certificate == NULL && nr_relay_config_has_tls(c))
		return "tls_certificate: needed to listen with TLS";
	/* Queries add a slice, and an event, to what is below the mark. */
	if (c->output_close / 2 < c->output_pause)
		return "output_close: less than twice output_pause";
	if (c->output_close / 4 < c->max_event)
		return "output_close: less than four times max_event";
	if ((c->read == NR_ACCESS_MEMBERS || c->write == NR_ACCESS_MEMBERS) &&
	    c->members == NULL)
		return "members: needed where only members read or write";
	return NULL;
}

int
nr_relay_config_set(struct nr_relay_config *c, const char *key,
    const char *value, const char **why)
{
	uint64_t v;
	size_t i;

	*why = NULL;
	for (i = 0; i < COUNT(other); i++)
		if (strcmp(key, other[i].key) == 0)
			return other[i].set(c, value, why);
	for (i = 0; i < COUNT(text); i++)
		if (strcmp(key, text[i].key) == 0)
			return set_text(c, &text[i], value, why);
	for (i = 0; i < COUNT(number); i++) {
		if (strcmp(key, number[i].key) != 0)
			continue;
		if (!parse(value, &v))
			*why = "not a number, with K, M or G or without";
		else if (v < number[i].least || v > number[i].most) {
			snprintf(c->text, sizeof(c->text), "not from %" PRIu64
			    " to %" PRIu64, number[i].least, number[i].most);
			*why = c->text;
		} else
			*number_at(c, &number[i]) = v;
		return NR_OK;
	}
	for (i = 0; i < COUNT(rate); i++)
		if (strcmp(key, rate[i].key) == 0)
			return set_rate(c, &rate[i], value, why);
	*why = "unknown key";
	return NR_OK;
}
