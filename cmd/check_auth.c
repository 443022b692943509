/*
 * nr-bench check: who somebody is: AUTH (NIP-42), protected events
 * (NIP-70), gift wraps for their recipients only (NIP-17, NIP-59).
 */
#include "check.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "util/hex.h"
#include "util/times.h"

/* A link that nobody has authenticated on, with a challenge. */
static struct check_link *
challenged(struct check *c)
{
	struct check_link *l = check_fresh(c);

	return l != NULL && check_challenge(l) ? l : NULL;
}

static const struct check_msg *
right(struct check_link *l, unsigned key)
{
	return check_auth(l, key, NR_KIND_AUTH, time(NULL),
	    nr_peer_url(l->peer), l->challenge);
}

static void
want_ok(struct check *c, const struct check_msg *ok, int accepted)
{
	char shown[CHECK_TEXT];

	if (ok == NULL)
		return;
	check_expect(c, "OK %s", accepted ? "true" : "false");
	check_saw(c, "%s", check_show(ok, shown));
	if (ok->a.accepted == accepted)
		return;
	if (!accepted || !check_is_policy(c, ok))
		(void)check_fail(c, "%s", shown);
}

static void
proves(struct check *c, const struct check_statement *s)
{
	struct check_link *l = challenged(c);

	(void)s;
	if (l != NULL)
		want_ok(c, right(l, 0), 1);
}

static void
several(struct check *c, const struct check_statement *s)
{
	struct check_link *l = challenged(c);
	const struct check_msg *ok;

	(void)s;
	if (l == NULL || (ok = right(l, 0)) == NULL)
		return;
	want_ok(c, ok, 1);
	if (c->result == CHECK_PASS)
		want_ok(c, right(l, 1), 1);
}

enum { CHALLENGE, RELAY, OLD, KIND, FUTURE };

static void
refused(struct check *c, const struct check_statement *s)
{
	struct check_link *l = challenged(c);

	if (l == NULL)
		return;
	want_ok(c, check_auth(l, 0,
	    s->arg == KIND ? c->kind[0] : NR_KIND_AUTH,
	    (int64_t)time(NULL) - (s->arg == OLD ? 7200 : 0) +
	    (s->arg == FUTURE ? 7200 : 0),
	    s->arg == RELAY ? "wss://another.relay.invalid" :
	    nr_peer_url(l->peer),
	    s->arg == CHALLENGE ? "not what was asked" : l->challenge), 0);
}

enum { SLASH, CASE };

/* Another way to write the relay's URL; 0: there is none. */
static int
rewrite_url(const char *url, int how, char *out, size_t size)
{
	const char *host = strstr(url, "://") + 3;
	size_t at = (size_t)(host - url), n = strcspn(host, "/"), i;
	int changed = 0;

	if (strlen(url) + 2 > size)
		return 0;
	snprintf(out, size, "%s", url);
	if (how == SLASH && host[n] == '\0')
		memcpy(out + at + n, "/", 2);
	else if (how == SLASH && host[n + 1] == '\0')
		out[at + n] = '\0';
	else if (how == SLASH)
		return 0;
	for (i = at; how == CASE && i < at + n; i++) {
		changed |= islower((unsigned char)out[i]);
		out[i] = (char)toupper((unsigned char)out[i]);
	}
	return how == SLASH || changed;
}

static void
other_url(struct check *c, const struct check_statement *s)
{
	struct check_link *l = challenged(c);
	char url[1024];

	if (l == NULL)
		return;
	if (!rewrite_url(nr_peer_url(l->peer), s->arg, url, sizeof(url)))
		(void)check_skip(c, "this URL cannot be written in another "
		    "way");
	else
		want_ok(c, check_auth(l, 0, NR_KIND_AUTH, time(NULL), url,
		    l->challenge), 1);
}

static void
bad_signature(struct check *c, const struct check_statement *s)
{
	struct check_link *l = challenged(c);
	struct check_made *m;
	const struct check_msg *ok;
	char tags[2600];

	(void)s;
	if (l == NULL)
		return;
	snprintf(tags, sizeof(tags), "![\"relay\",\"%s\"],[\"challenge\","
	    "\"%s\"]", nr_peer_url(l->peer), l->challenge);
	m = check_make(c, 0, NR_KIND_AUTH, time(NULL), tags, "");
	check_spoil(m, m->len - 10);
	if (!check_sayf(l, "[\"AUTH\",%.*s]", (int)m->len, m->line))
		return;
	ok = check_await(l, CHECK_OF_PROOF, check_is_ok, m->ev.id);
	if (ok == NULL)
		(void)check_missed(l, "no OK");
	else
		want_ok(c, ok, 0);
}

static void
challenges_differ(struct check *c, const struct check_statement *s)
{
	struct check_link *l = challenged(c);
	char first[1024];

	(void)s;
	check_expect(c, "a different challenge on each connection");
	if (l == NULL)
		return;
	snprintf(first, sizeof(first), "%s", l->challenge);
	if ((l = challenged(c)) != NULL && strcmp(first, l->challenge) == 0)
		(void)check_fail(c, "\"%.60s\" twice", first);
}

/* Neither live nor later; what comes behind it says that it would have. */
static void
not_published(struct check *c, const struct check_statement *s)
{
	struct check_link *l = check_link(c, 0);
	struct check_made *m, *after;
	struct check_got g;

	m = check_make(c, 0, NR_KIND_AUTH, time(NULL),
	    "[\"relay\",\"x\"],[\"challenge\",\"y\"]", "");
	after = check_make(c, 0, 21475, time(NULL), "", "");
	check_expect(c, "no event of kind 22242");
	if (l == NULL || !check_query(l, s->id, s->filters, &g) ||
	    check_publish(l, m) == NULL || !check_store(l, after))
		return;
	if (check_await(l, CHECK_OF_LIVE, check_is_live, after->ev.id) == NULL)
		(void)check_missed(l, "an event of kind 21475 did not come "
		    "either");
	else if (check_wait(l, check_is_live, m->ev.id, 1) != NULL)
		(void)check_fail(c, "the event of kind 22242 came");
	else
		(void)check_finds(l, s->filters, 0);
}

/* ---- NIP-70 */

static struct check_made *
protected(struct check *c, unsigned key)
{
	return check_make(c, key, c->kind[0], c->began - 30, "[\"-\"]",
	    "protected");
}

/*
 * Publish without proving anything: what asks for that has refused it.
 */
static const struct check_msg *
put(struct check_link *l, struct check_made *m)
{
	const struct check_msg *ok;

	if (!check_sayf(l, "[\"EVENT\",%.*s]", (int)m->len, m->line))
		return NULL;
	m->sent = 1;
	ok = check_await(l, CHECK_OF_EVENT, check_is_ok, m->ev.id);
	if (ok == NULL)
		(void)check_missed(l, "no OK");
	else {
		m->accepted |= ok->a.accepted;
		m->refused |= !ok->a.accepted;
	}
	return ok;
}

static void
by_stranger(struct check *c, const struct check_statement *s)
{
	struct check_link *l = check_fresh(c);

	(void)s;
	if (l != NULL)
		want_ok(c, put(l, protected(c, 0)), 0);
}

static void
by_another(struct check *c, const struct check_statement *s)
{
	struct check_link *l = check_fresh(c);

	(void)s;
	if (l != NULL && check_prove(l, 1))
		want_ok(c, put(l, protected(c, 0)), 0);
}

static void
by_author(struct check *c, const struct check_statement *s)
{
	struct check_link *l = check_fresh(c);
	const struct check_msg *ok;
	char shown[CHECK_TEXT];

	(void)s;
	if (l == NULL || !check_prove(l, 0) ||
	    (ok = put(l, protected(c, 0))) == NULL)
		return;
	check_expect(c, "OK true, or no protected events at all");
	check_saw(c, "%s", check_show(ok, shown));
	if (!ok->a.accepted && nr_answer_prefix(ok->a.text, "auth-required"))
		(void)check_fail(c, "%s", shown);
	else if (!ok->a.accepted)
		(void)check_skip(c, "%s", shown);
}

/* A repost that holds a protected event, as JSON within JSON. */
static void
repost(struct check *c, const struct check_statement *s)
{
	struct check_link *l = check_fresh(c);
	struct check_made *m = protected(c, 0);
	struct nr_buf b = { 0 };

	(void)s;
	check_need(nr_buf_addjson(&b, m->line, m->len));
	b.p[b.len - 1] = '\0';		/* without its quotes */
	if (l != NULL)
		want_ok(c, put(l, check_make(c, 1, 6, c->began - 20, "",
		    b.p + 1)), 0);
	nr_buf_free(&b);
}

/* What only looks like it: no content, or the same text in no tag. */
static void
harmless_repost(struct check *c, const struct check_statement *s)
{
	struct check_link *l = check_link(c, 0);
	struct check_made *m = check_make(c, 0, c->kind[0], c->began - 30, "",
	    "not protected");
	struct nr_buf text = { 0 }, b = { 0 };

	check_need(nr_buf_add(&text, m->line, m->len - 1));
	check_need(nr_buf_adds(&text, ",\"x\":[\"-\"]}"));
	check_need(nr_buf_addjson(&b, text.p, text.len));
	nr_buf_free(&text);
	b.p[b.len - 1] = '\0';		/* without its quotes */
	if (l != NULL)
		(void)check_store(l, check_make(c, 1, 6, c->began - 20,
		    "[\"e\",\"@x\"],[\"p\",\"@A\"]", s->arg ? b.p + 1 :
		    ""));
	nr_buf_free(&b);
}

/* ---- NIP-59 */

/* To key 3, signed by key 1. */
static struct check_made *
wrap(struct check *c, unsigned kind)
{
	return check_make(c, 1, kind, time(NULL),
	    "[\"p\",\"@D\"],[\"h\",\"@T-w\"]", "nobody's business");
}

static int
is_private(const struct check *c)
{
	return c->named[42];
}

static int
wrapped(struct check *c, struct check_made **out)
{
	struct check_link *l = check_link(c, 0);

	if (!is_private(c))
		return check_skip(c, "NIP-11 does not name 42");
	*out = wrap(c, NR_KIND_GIFT_WRAP);
	return l != NULL && check_store(l, *out);
}

/* Nothing, or a refusal. */
static void
hidden(struct check_link *l, const char *filters)
{
	struct check *c = l->check;
	struct check_got g;
	char shown[CHECK_TEXT];

	(void)check_subscribe(l, "wraps", filters);
	if (!check_query(l, "wraps", filters, &g))
		return;
	check_expect(c, "0 events, or CLOSED");
	if (g.end == CHECK_EOSE && g.n > 0)
		(void)check_fail(c, "%s", check_show(g.event[0], shown));
	else
		check_saw(c, "%s", check_show(g.last, shown));
}

static void
from_stranger(struct check *c, const struct check_statement *s)
{
	struct check_made *m;
	struct check_link *l;
	const struct check_msg *got;
	char shown[CHECK_TEXT];

	(void)s;
	if (!wrapped(c, &m) || (l = check_fresh(c)) == NULL)
		return;
	/* Not check_query(), which would prove who we are. */
	check_expect(c, "0 events, or CLOSED");
	(void)check_subscribe(l, "wraps", NULL);
	if (!check_sayf(l, "[\"REQ\",\"wraps\",{\"kinds\":[1059],\"#h\":"
	    "[\"%s-w\"]}]", c->tag))
		return;
	if (check_await(l, CHECK_OF_REQ, check_is_end, "wraps") == NULL)
		(void)check_missed(l, "no answer");
	else if ((got = check_wait(l, check_is_live, m->ev.id, 1)) != NULL)
		(void)check_fail(c, "%s", check_show(got, shown));
}

static void
from_another(struct check *c, const struct check_statement *s)
{
	struct check_made *m;
	struct check_link *l;

	if (wrapped(c, &m) && (l = check_fresh(c)) != NULL &&
	    check_prove(l, 0))
		hidden(l, s->filters);
}

static void
for_recipient(struct check *c, const struct check_statement *s)
{
	struct check_made *m;
	struct check_link *l;
	struct check_got g;
	size_t i;

	if (!wrapped(c, &m) || (l = check_fresh(c)) == NULL ||
	    !check_prove(l, 3) || !check_read(l, s->filters, &g))
		return;
	check_expect(c, "the gift wrap");
	check_saw(c, "%zu event%s", g.n, g.n == 1 ? "" : "s");
	for (i = 0; i < g.n && i < CHECK_GOT; i++)
		if (check_is_live(g.event[i], m->ev.id))
			return;
	(void)check_fail(c, "%zu event%s, but not this one", g.n,
	    g.n == 1 ? "" : "s");
}

static void
counted(struct check *c, const struct check_statement *s)
{
	struct check_made *m;
	struct check_link *l;
	const struct check_msg *n;
	char shown[CHECK_TEXT];

	(void)s;
	if (!c->named[45] && !c->nip[45]) {
		(void)check_skip(c, "NIP-11 does not name 45");
		return;
	}
	if (!wrapped(c, &m) || (l = check_fresh(c)) == NULL)
		return;
	check_expect(c, "CLOSED, or a count of 0");
	(void)check_subscribe(l, "wraps", NULL);
	if (!check_sayf(l, "[\"COUNT\",\"wraps\",{\"kinds\":[1059],\"#h\":"
	    "[\"%s-w\"]}]", c->tag))
		return;
	n = check_await(l, CHECK_OF_COUNT, check_is_count, "wraps");
	if (n == NULL)
		(void)check_missed(l, "no answer");
	else if (n->a.verb == NR_ANSWER_COUNT && n->a.count > 0)
		(void)check_fail(c, "%s", check_show(n, shown));
}

/* Subscribed before it is published: by whom it is not for. */
static void
live(struct check *c, const struct check_statement *s)
{
	struct check_link *l = check_fresh(c), *from;
	struct check_made *m;
	struct check_got g;
	size_t i;

	if (l == NULL || !is_private(c)) {
		if (l != NULL)
			(void)check_skip(c, "NIP-11 does not name 42");
		return;
	}
	if (!check_prove(l, 0) || !check_query(l, "live", s->filters, &g))
		return;
	check_expect(c, "nothing, or CLOSED");
	if (g.end != CHECK_EOSE || !wrapped(c, &m))
		return;
	/* What is for all comes behind it. */
	m = check_make(c, 0, c->kind[0], c->began, "[\"h\",\"@T-w\"]",
	    "for all");
	if ((from = check_link(c, 0)) == NULL || !check_store(from, m))
		return;
	if (check_await(l, CHECK_OF_LIVE, check_is_live, m->ev.id) == NULL) {
		(void)check_missed(l, "an event for everybody did not come "
		    "either");
		return;
	}
	for (i = 0; i < l->n; i++)
		if (l->in[i]->is_event &&
		    l->in[i]->ev.kind == NR_KIND_GIFT_WRAP) {
			(void)check_fail(c, "the gift wrap came");
			return;
		}
}

static void
recipient_deletes(struct check *c, const struct check_statement *s)
{
	struct check_made *m, *d;
	struct check_link *l;
	char tags[128], hex[64], filter[128];

	(void)s;
	if (!wrapped(c, &m) || (l = check_fresh(c)) == NULL ||
	    !check_prove(l, 3))
		return;
	nr_hex_encode(hex, m->ev.id, 32);
	snprintf(tags, sizeof(tags), "[\"e\",\"%.64s\"]", hex);
	snprintf(filter, sizeof(filter), "{\"ids\":[\"%.64s\"]}", hex);
	d = check_make(c, 3, NR_KIND_DELETION, c->began, tags, "");
	if (check_finds(l, filter, 1, &m->ev) && check_store(l, d))
		(void)check_finds(l, filter, 0);
}

static void
not_kept(struct check *c, const struct check_statement *s)
{
	struct check_link *l = check_fresh(c);

	if (l != NULL && is_private(c) && !check_prove(l, 3))
		return;
	if (l != NULL && check_publish(l, wrap(c, 21059)) != NULL)
		(void)check_finds(l, s->filters, 0);
}

#define A(id, text, run, arg) { 42, id, text, 0, run, NULL, arg }
#define P(id, text, run) { 70, id, text, CHECK_WRITE, run, NULL, 0 }
#define G(nip, id, text, run, filters) \
	{ nip, id, text, CHECK_WRITE, run, filters, 0 }
#define WRAPS	"{\"kinds\":[1059],\"#h\":[\"@T-w\"]}"

const struct check_statement check_auth_list[] = {
	A("nip42-auth", "AUTH with the right challenge and relay URL is "
	    "accepted", proves,
	    0),
	A("nip42-several", "a connection may authenticate as several keys",
	    several, 0),
	A("nip42-challenge", "AUTH with a wrong challenge is refused", refused,
	    CHALLENGE),
	A("nip42-relay", "AUTH with the URL of another relay is refused",
	    refused, RELAY),
	A("nip42-relay-slash", "AUTH is accepted whether the relay's URL ends "
	    "with a slash or not",
	    other_url, SLASH),
	A("nip42-relay-case", "AUTH is accepted with the host of the relay's "
	    "URL in upper case", other_url,
	    CASE),
	A("nip42-old", "AUTH with an event of two hours ago is refused",
	    refused, OLD),
	A("nip42-future", "AUTH with an event of in two hours is refused",
	    refused,
	    FUTURE),
	A("nip42-kind", "AUTH with an event of another kind than 22242 is "
	    "refused", refused, KIND),
	A("nip42-signature", "AUTH with a wrong signature is refused",
	    bad_signature,
	    0),
	A("nip42-challenges", "each connection has a challenge of its own",
	    challenges_differ, 0),
	{ 42, "nip42-published", "an EVENT of kind 22242 is neither sent to "
	    "subscriptions nor stored",
	    CHECK_WRITE, not_published, "{\"kinds\":[22242,"
	    "21475],\"authors\":[\"@A\"],\"#t\":[\"@T\"]}", 0 },
	P("nip70-stranger", "a protected event is refused from a client that "
	    "has not authenticated",
	    by_stranger),
	P("nip70-another", "a protected event is refused from a client that "
	    "has authenticated as another key",
	    by_another),
	P("nip70-author", "a protected event is accepted from its author after "
	    "AUTH",
	    by_author),
	P("nip70-repost", "a repost that contains a protected event is refused",
	    repost),
	{ 70, "nip70-repost-empty", "a repost without content is accepted",
	    CHECK_WRITE, harmless_repost, NULL, 0 },
	{ 70, "nip70-repost-text", "a repost of an event that is not "
	    "protected is accepted, though [\"-\"] stands in it",
	    CHECK_WRITE, harmless_repost, NULL, 1 },
	G(17, "nip17-recipient", "a gift wrap is served to its recipient after "
	    "AUTH",
	    for_recipient, WRAPS),
	G(17, "nip17-inbox", "a REQ for the recipient's key in p tags finds a "
	    "gift wrap, after AUTH as the recipient",
	    for_recipient, "{\"kinds\":[1059],\"#p\":[\"@D\"]}"),
	G(59, "nip59-stranger", "gift wraps are not served to a client that "
	    "has not authenticated", from_stranger, NULL),
	G(59, "nip59-another", "gift wraps are not served to anybody but their "
	    "recipient",
	    from_another, WRAPS),
	G(59, "nip59-another-id", "gift wraps are not served to others who ask "
	    "by the recipient's key", from_another,
	    "{\"kinds\":[1059],\"#p\":[\"@D\"]}"),
	G(59, "nip59-count", "COUNT does not count gift wraps for anybody but "
	    "their recipient", counted,
	    NULL),
	G(59, "nip59-live", "an open subscription gets no gift wrap that is "
	    "for another key", live,
	    "{\"#h\":[\"@T-w\"]}"),
	G(59, "nip59-deletion", "the recipient may delete a gift wrap",
	    recipient_deletes, NULL),
	G(59, "nip59-ephemeral", "an event of kind 21059 is not stored",
	    not_kept,
	    "{\"kinds\":[21059],\"#h\":[\"@T-w\"]}"),
	{ 0 }
};
