/*
 * Who a client is (NIP-42), and what it may read and write by that.
 */
#include "relay/internal.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include "event/tags.h"
#include "relay/session.h"
#include "util/err.h"
#include "util/hex.h"
#include "wire/message.h"
#include "wire/url.h"

#define AUTH_SECONDS	600	/* its created_at may be off by this */

struct nr_access {
	struct nr_verifier	*verifier;
	struct nr_buf		 line;
};

/* ---- who ------------------------------------------------------------------- */

/* How many keys the connection has proved to have; any thread. */
static unsigned
nkeys(struct nr_conn *c)
{
	return atomic_load_explicit(&c->nkeys, memory_order_acquire);
}

static int
has_key(struct nr_conn *c, const unsigned char key[32])
{
	unsigned n = nkeys(c), i;

	for (i = 0; i < n; i++)
		if (memcmp(c->keys[i], key, 32) == 0)
			return 1;
	return 0;
}

static int
is_member(struct nr_conn *c)
{
	const struct nr_keys *members = &c->relay->config->member_keys;
	unsigned n = nkeys(c), i;

	for (i = 0; i < n; i++)
		if (nr_keys_has(members, c->keys[i]))
			return 1;
	return 0;
}

/* Why a rule keeps this client out; NULL where it does not. */
static const char *
rule(struct nr_conn *c, enum nr_access_rule r)
{
	if (r == NR_ACCESS_OPEN)
		return NULL;
	if (nkeys(c) == 0)
		return "auth-required: this relay serves those it knows";
	if (r == NR_ACCESS_MEMBERS && !is_member(c))
		return "restricted: this relay serves its members";
	return NULL;
}

/* ---- AUTH ---------------------------------------------------------------------- */

int
nr_access_greet(struct nr_conn *c)
{
	socklen_t len = sizeof(c->local);
	unsigned char random[16];
	char text[sizeof(c->challenge) + 16];

	if (getrandom(random, sizeof(random), 0) != sizeof(random))
		return EIO;
	c->tls = lws_is_ssl(c->wsi) != 0;
	if (getsockname(lws_get_socket_fd(c->wsi), (struct sockaddr *)&c->local,
	    &len) != 0)
		c->local.ss_family = AF_UNSPEC;
	nr_hex_encode(c->challenge, random, sizeof(random));
	nr_conn_send(c, text, (size_t)snprintf(text, sizeof(text),
	    "[\"AUTH\",\"%.32s\"]", c->challenge));
	return NR_OK;
}

/*
 * Is it the address that the client is connected to?  Not the name that
 * it says it used: that is what somebody who relays a challenge chooses.
 */
static int
is_local_address(const struct nr_conn *c, const struct nr_url *u)
{
	union {
		struct sockaddr_storage	ss;
		struct sockaddr_in	in;
		struct sockaddr_in6	in6;
	} at = { .ss = c->local };
	unsigned char want[16];
	int loopback;
	char port[6];

	if (u->tls != c->tls || strcmp(u->path, "/") != 0)
		return 0;
	if (at.ss.ss_family == AF_INET) {
		snprintf(port, sizeof(port), "%u", ntohs(at.in.sin_port));
		loopback = ntohl(at.in.sin_addr.s_addr) >> 24 == 127;
		if (inet_pton(AF_INET, u->host, want) == 1 &&
		    memcmp(want, &at.in.sin_addr, 4) == 0)
			return strcmp(u->port, port) == 0;
	} else if (at.ss.ss_family == AF_INET6) {
		snprintf(port, sizeof(port), "%u", ntohs(at.in6.sin6_port));
		loopback = IN6_IS_ADDR_LOOPBACK(&at.in6.sin6_addr);
		if (inet_pton(AF_INET6, u->host, want) == 1 &&
		    memcmp(want, &at.in6.sin6_addr, 16) == 0)
			return strcmp(u->port, port) == 0;
	} else
		return 0;
	return loopback && strcmp(u->host, "localhost") == 0 &&
	    strcmp(u->port, port) == 0;
}

int
nr_access_is_own_url(struct nr_conn *c, struct nr_view text)
{
	const struct nr_relay_config *config = c->relay->config;
	char plain[sizeof(((struct nr_url *)0)->path) + 300];
	struct nr_url u, own;
	unsigned i;

	/* Decoding never needs more than the text. */
	if (text.len >= sizeof(plain))
		return 0;
	if (!nr_url_parse(&u, plain, nr_json_decode(plain, text.p,
	    text.len)))
		return 0;
	for (i = 0; i < config->nurl; i++)
		if (nr_url_parse(&own, config->url[i],
		    strlen(config->url[i])) && nr_url_same(&u, &own))
			return 1;
	return config->nurl == 0 && is_local_address(c, &u);
}

const char *
nr_access_vanish(struct nr_conn *c, const struct nr_event *ev)
{
	struct nr_tags it;
	struct nr_tag tag;
	int named = 0;

	if (nr_event_vanish_all(ev))
		return NULL;
	nr_tags_start(&it, ev->tags);
	while (nr_tags_next(&it, &tag)) {
		if (tag.nitems < 2 || !nr_tag_is(&tag, "relay"))
			continue;
		named = 1;
		if (nr_access_is_own_url(c, tag.value))
			return NULL;
	}
	return named ? "blocked: this request to vanish names other relays" :
	    "invalid: a request to vanish names a relay, or ALL_RELAYS";
}

/* Do the tags say what they must?  NULL, or why not. */
static const char *
check_tags(struct nr_conn *c, const struct nr_event *ev)
{
	int relay = 0, challenge = 0;
	struct nr_tags it;
	struct nr_tag tag;

	nr_tags_start(&it, ev->tags);
	while (nr_tags_next(&it, &tag)) {
		if (tag.nitems < 2)
			continue;
		if (nr_tag_is(&tag, "challenge"))
			challenge |= tag.value.len == sizeof(c->challenge) &&
			    memcmp(tag.value.p, c->challenge,
			    sizeof(c->challenge)) == 0;
		else if (nr_tag_is(&tag, "relay"))
			relay |= nr_access_is_own_url(c, tag.value);
	}
	if (!challenge)
		return "invalid: the challenge is not this connection's";
	if (!relay)
		return "invalid: the relay tag names another relay";
	return NULL;
}

static const char *
add_key(struct nr_conn *c, const unsigned char key[32])
{
	unsigned n = nkeys(c);
	const char *why;

	if (has_key(c, key))
		return NULL;
	if (n == NR_CONN_KEYS)
		return "restricted: too many keys on one connection";
	if (c->keys == NULL && ((c->key_party = calloc(NR_CONN_KEYS,
	    sizeof(*c->key_party))) == NULL ||
	    (c->keys = calloc(NR_CONN_KEYS, 32)) == NULL)) {
		free(c->key_party);
		c->key_party = NULL;
		return "error: out of memory";
	}
	if ((why = nr_limits_key(c, n, key)) != NULL)
		return why;
	memcpy(c->keys[n], key, 32);
	atomic_store_explicit(&c->nkeys, n + 1, memory_order_release);
	return NULL;
}

/* NULL where ev proves that the client has its key. */
static const char *
prove(struct nr_access *a, struct nr_conn *c, const struct nr_event *ev)
{
	int64_t now = time(NULL);
	const char *why;
	enum nr_verdict v;

	if (ev->kind != NR_KIND_AUTH)
		return "invalid: AUTH takes an event of kind 22242";
	if (ev->created_at < now - AUTH_SECONDS ||
	    ev->created_at > now + AUTH_SECONDS)
		return "invalid: created_at is more than 10 minutes off";
	if ((why = check_tags(c, ev)) != NULL)
		return why;
	v = nr_verify_event(a->verifier, ev, NR_TRUST_NOTHING);
	if (v == NR_BAD_ID)
		return "invalid: id does not match";
	if (v != NR_VALID)
		return "invalid: signature is wrong";
	return add_key(c, ev->pubkey);
}

void
nr_access_auth(struct nr_conn *c, struct nr_view json)
{
	struct nr_access *a = c->relay->access;
	struct nr_buf *b = &c->relay->reply;
	struct nr_event_limits limits = nr_event_limits_pipe;
	const char *why, *id;
	struct nr_event ev;
	enum nr_verdict v;
	char hex[64], wait[NR_LIMITS_WHY];
	size_t pos;

	limits.bytes = c->relay->config->max_event;
	a->line.len = 0;
	if (nr_buf_reserve(&a->line, NR_EVENT_LINE_MAX(json.len)) != NR_OK) {
		nr_conn_doom(c, NR_CLOSE_ERROR, "out of memory");
		return;
	}
	v = nr_event_read(&ev, json.p, json.len, &limits, &pos);
	if (v != NR_VALID) {
		if ((id = nr_event_peek_id(json.p, json.len)) == NULL) {
			nr_session_bad(c, "invalid: AUTH takes an event");
			return;
		}
		memcpy(hex, id, sizeof(hex));
		why = "invalid: AUTH takes an event";
	} else {
		nr_event_normalise(&ev, a->line.p);
		nr_hex_encode(hex, ev.id, 32);
		why = nr_limits_may_auth(c, wait) ? prove(a, c, &ev) : wait;
	}
	b->len = 0;
	if (nr_write_ok(b, hex, why == NULL, why == NULL ? "" : why) ==
	    NR_OK)
		nr_conn_send(c, b->p, b->len);
	else
		nr_conn_doom(c, NR_CLOSE_ERROR, "out of memory");
	atomic_fetch_add(&c->relay->metrics.auth[why == NULL], 1);
	if (why != NULL && why != wait) {
		nr_limits_bad_auth(c);
		nr_conn_bad(c);
	}
	nr_relay_wake(c->relay);
}

/* ---- reading -------------------------------------------------------------------- */

int
nr_kind_private(const struct nr_relay_config *config, unsigned kind)
{
	unsigned i;

	for (i = 0; i < config->nprivate_kinds; i++)
		if (config->private_kinds[i] == kind)
			return 1;
	return 0;
}

/* Is one of the client's keys named by a p tag? */
static int
is_recipient(struct nr_conn *c, const struct nr_event *ev)
{
	unsigned char key[32];
	struct nr_tags it;
	struct nr_tag tag;

	nr_tags_start(&it, ev->tags);
	while (nr_tags_next(&it, &tag))
		if (nr_tag_letter(&tag) == 'p' && tag.value.len == 64 &&
		    nr_hex_decode(key, tag.value.p, 32) && has_key(c, key))
			return 1;
	return 0;
}

int
nr_may_read(struct nr_conn *c, const struct nr_event *ev)
{
	if (c->relay->config->trusts ||
	    !nr_kind_private(c->relay->config, ev->kind))
		return 1;
	return nkeys(c) > 0 &&
	    (has_key(c, ev->pubkey) || is_recipient(c, ev));
}

/* Can it match events of private kinds alone? */
static int
private_only(const struct nr_relay_config *config,
    const struct nr_filter *f)
{
	size_t i;

	if (!(f->has & NR_FILTER_KINDS) || f->nkinds == 0)
		return 0;
	for (i = 0; i < f->nkinds; i++)
		if (!nr_kind_private(config, f->kinds[i]))
			return 0;
	return 1;
}

/* Does it ask for what others wrote to others? */
static int
none_of_ours(struct nr_conn *c, const struct nr_filter *f)
{
	int from = 0, to = 0, recipients = 0;
	const struct nr_view *v;
	unsigned char key[32];
	size_t i, j;

	for (i = 0; i < f->authors.n; i++)
		from |= has_key(c, f->authors.v[i]);
	for (i = 0; i < f->ntags; i++) {
		if (f->tags[i].letter != 'p')
			continue;
		recipients = 1;
		for (j = 0; j < f->tags[i].n; j++) {
			v = &f->tags[i].v[j];
			to |= v->len == 64 && nr_hex_decode(key, v->p, 32) &&
			    has_key(c, key);
		}
	}
	return (f->has & NR_FILTER_AUTHORS) && !from && recipients && !to;
}

const char *
nr_access_read(struct nr_conn *c, const struct nr_filter *f, size_t n)
{
	const struct nr_relay_config *config = c->relay->config;
	const char *why = rule(c, config->read);
	size_t i;

	if (config->trusts)
		return NULL;
	for (i = 0; why == NULL && i < n; i++) {
		if (!private_only(config, &f[i]))
			continue;
		if (nkeys(c) == 0)
			why = "auth-required: events of these kinds are for "
			    "their parties only";
		else if (none_of_ours(c, &f[i]))
			why = "restricted: events of these kinds are for "
			    "their parties only";
	}
	return why;
}

/* ---- writing --------------------------------------------------------------------- */

const char *
nr_access_write(struct nr_conn *c, const struct nr_event *ev)
{
	const char *why = rule(c, c->relay->config->write);

	if (why != NULL)
		return why;
	if (ev->kind == NR_KIND_AUTH)
		return "invalid: kind 22242 goes into an AUTH message";
	if (c->relay->config->trusts || !nr_event_protected(ev) ||
	    has_key(c, ev->pubkey))
		return NULL;
	return nkeys(c) == 0 ?
	    "auth-required: a protected event is taken from its author only" :
	    "restricted: a protected event is taken from its author only";
}

/* ---- beginning and end -------------------------------------------------------------- */

int
nr_access_new(struct nr_access **out)
{
	struct nr_access *a;
	int rc;

	if ((a = calloc(1, sizeof(*a))) == NULL)
		return ENOMEM;
	if ((rc = nr_verifier_new(&a->verifier)) != NR_OK) {
		nr_access_free(a);
		return rc;
	}
	*out = a;
	return NR_OK;
}

void
nr_access_free(struct nr_access *a)
{
	if (a == NULL)
		return;
	nr_verifier_free(a->verifier);
	nr_buf_free(&a->line);
	free(a);
}
