/*
 * nr-bench check: the information document (NIP-11), and whether the limits
 * that it names are the relay's.
 */
#include "check.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "event/pow.h"
#include "util/json.h"
#include "util/times.h"

/* ---- reading it */

static int
member(struct nr_view object, const char *name, struct nr_view *value)
{
	struct nr_json j = { object.p, object.p + object.len };
	struct nr_view key;

	if (object.len == 0 || nr_json_expect(&j, '{') != NR_JSON_OK)
		return 0;
	while (nr_json_member(&j, &key, value) == 1)
		if (nr_view_is(key, name))
			return 1;
	return 0;
}

static struct nr_view
document(const struct check *c)
{
	return c->info.object ? (struct nr_view){ c->doc.p, c->doc.len } :
	    (struct nr_view){ NULL, 0 };
}

static int
limitation(const struct check *c, const char *name, struct nr_view *value)
{
	struct nr_view of;

	return member(document(c), "limitation", &of) &&
	    member(of, name, value);
}

int64_t
check_limit(const struct check *c, const char *name)
{
	struct nr_view v;
	struct nr_json j;
	int64_t n;

	if (!limitation(c, name, &v))
		return -1;
	j = (struct nr_json){ v.p, v.p + v.len };
	return nr_json_int(&j, &n, NULL) == NR_JSON_OK && n >= 0 ? n : -1;
}

int
check_limit_is(const struct check *c, const char *name, int value)
{
	struct nr_view v;

	return limitation(c, name, &v) &&
	    nr_view_is(v, value ? "true" : "false");
}

struct getting {
	struct check	*check;
	struct nr_buf	*body;
	char		*fault;
	int		 done;
};

static void
on_done(void *ctx, const char *text, size_t len, const struct nr_fault *why)
{
	struct getting *g = ctx;

	g->done = 1;
	if (why != NULL)
		snprintf(g->fault, CHECK_TEXT, "%s", why->text);
	else
		check_need(nr_buf_add(g->body, text, len));
	nr_net_stop(g->check->net);
}

static void
get(struct check *c, const char *accept, struct nr_buf *body,
    struct nr_info_head *head, char fault[CHECK_TEXT])
{
	struct getting g = { c, body, fault, 0 };
	struct nr_info *i;

	fault[0] = '\0';
	check_need(nr_info_new_as(&i, c->net, &c->url, accept, c->timeout,
	    on_done, &g));
	while (!g.done)
		check_spin(c, c->deadline + 100);
	*head = *nr_info_head(i);
	nr_info_free(i);
}

void
check_info(struct check *c)
{
	unsigned i;

	get(c, "application/nostr+json", &c->doc, &c->head, c->doc_fault);
	nr_nip11_read(&c->info, c->doc.p != NULL ? c->doc.p : "", c->doc.len);
	for (i = 0; i < c->info.nnips; i++)
		if (c->info.nips[i] < CHECK_NIPS)
			c->named[c->info.nips[i]] = 1;
	if (c->info.pow > 0)
		c->work = c->info.pow < NR_POW_MAX ? (unsigned)c->info.pow :
		    NR_POW_MAX;
}

/* ---- statements: the document */

static int
need_document(struct check *c)
{
	if (c->info.object)
		return 1;
	return check_skip(c, "no document: %s", c->doc_fault[0] != '\0' ?
	    c->doc_fault : "not a JSON object");
}

static void
served(struct check *c, const struct check_statement *s)
{
	(void)s;
	check_expect(c, "a JSON object");
	if (c->doc_fault[0] != '\0')
		(void)check_skip(c, "no document: %s", c->doc_fault);
	else if (!c->info.object)
		(void)check_fail(c, "%.*s", c->doc.len < 100 ?
		    (int)c->doc.len : 100, c->doc.len > 0 ? c->doc.p : "");
	else
		check_saw(c, "%zu bytes", c->doc.len);
}

static void
cors(struct check *c, const struct check_statement *s)
{
	int there = s->arg == 0 ? c->head.cors_origin : s->arg == 1 ?
	    c->head.cors_headers : c->head.cors_methods;

	if (!need_document(c))
		return;
	check_expect(c, "%s", s->filters);
	if (!there)
		(void)check_fail(c, "no such header");
}

static void
type(struct check *c, const struct check_statement *s)
{
	(void)s;
	if (!need_document(c))
		return;
	check_expect(c, "a Content-Type with \"json\"");
	check_saw(c, "%s", c->head.type);
	if (strstr(c->head.type, "json") == NULL)
		(void)check_fail(c, "%s", c->head.type[0] != '\0' ?
		    c->head.type : "no Content-Type");
}

/* Browsers and libraries send lists. */
static void
accept_list(struct check *c, const struct check_statement *s)
{
	struct nr_buf body = { 0 };
	struct nr_info_head head;
	struct nr_nip11 other;
	char fault[CHECK_TEXT];

	if (!need_document(c))
		return;
	check_expect(c, "the same document");
	get(c, s->filters, &body, &head, fault);
	nr_nip11_read(&other, body.p != NULL ? body.p : "", body.len);
	if (fault[0] != '\0')
		(void)check_fail(c, "%s", fault);
	else if (!other.object)
		(void)check_fail(c, "%zu bytes that are not the document",
		    body.len);
	nr_buf_free(&body);
}

/* The first flaw of this weight. */
static void
flaws(struct check *c, const struct check_statement *s)
{
	unsigned i;

	check_expect(c, "%s", s->text);
	if (!need_document(c))
		return;
	for (i = 0; i < c->info.nflaws; i++)
		if ((int)c->info.flaw[i].weight == s->arg) {
			(void)check_fail(c, "%s", c->info.flaw[i].text);
			return;
		}
}

/* ---- statements: its limits */

static int64_t
need_limit(struct check *c, const char *name, int64_t most)
{
	int64_t n;

	if (!need_document(c))
		return -1;
	if ((n = check_limit(c, name)) < 0)
		(void)check_skip(c, "NIP-11 does not name %s", name);
	else if (n == 0 || n > most) {
		(void)check_skip(c, "%s is %" PRId64 ": not tried", name, n);
		return -1;
	}
	return n;
}

/* A REQ of so many bytes, most of them blanks. */
static char *
long_req(struct check *c, struct check_link *l, char id[CHECK_SUBID],
    size_t len)
{
	char *text = malloc(len + 1);
	int n;

	if (text == NULL)
		check_need(ENOMEM);
	snprintf(id, CHECK_SUBID, "long%u", ++c->subs);
	(void)check_subscribe(l, id, NULL);
	memset(text, ' ', len);
	n = snprintf(text, len, "[\"REQ\",\"%s\",{\"ids\":[\"%064d\"]}", id,
	    0);
	text[n] = ' ';
	text[len - 1] = ']';
	return text;
}

static void
message_length(struct check *c, const struct check_statement *s)
{
	int64_t most = need_limit(c, "max_message_length", 4 << 20);
	struct check_link *l = most > 200 ? check_fresh(c) : NULL;
	const struct check_msg *m;
	char id[CHECK_SUBID], shown[CHECK_TEXT], why[CHECK_TEXT], *text;
	size_t len = (size_t)(most + s->arg);

	if (l == NULL || !check_fence(l))
		return;
	check_expect(c, s->arg > 0 ? "no EOSE for %zu bytes" :
	    "EOSE for %zu bytes", len);
	text = long_req(c, l, id, len);
	m = check_say(l, text, len) ? check_wait(l, check_is_end, id,
	    s->arg > 0 ? nr_now_ms() + 500 : 0) : NULL;
	free(text);
	check_saw(c, "%s", m != NULL ? check_show(m, shown) :
	    s->arg > 0 && l->open ? "no answer" : check_why(l, why));
	if ((m != NULL && m->a.verb == NR_ANSWER_EOSE) != (s->arg == 0) &&
	    (m == NULL || !check_is_policy(c, m)))
		(void)check_fail(c, "%s", m != NULL ? shown : why);
}

#define SUBS_TIMES	4	/* of the time for a statement */

enum { BEYOND_UNTRIED, BEYOND_MUTE, BEYOND_ANSWERED };

/*
 * As many as are named work; one more need not.  Each has time of its own,
 * and all of them an end.
 */
static void
subscriptions(struct check *c, const struct check_statement *s)
{
	int64_t i, most = need_limit(c, "max_subscriptions", 300),
	    end = nr_now_ms() + SUBS_TIMES * c->timeout;
	struct check_link *l = most > 0 ? check_fresh(c) : NULL;
	const struct check_msg *m;
	struct check_got g;

	check_expect(c, "%s", s->text);
	for (i = 0; l != NULL && i < most; i++) {
		if (nr_now_ms() > end) {
			(void)check_skip(c, "slow: %" PRId64 " of %" PRId64
			    " within %" PRId64 " ms", i, most,
			    SUBS_TIMES * c->timeout);
			return;
		}
		check_extend(c);
		/* What is open, and matches nothing: its author is nobody. */
		if (!check_query(l, NULL, "{\"authors\":[\"@D\"]}", &g))
			return;
		if (g.end == CHECK_CLOSED) {
			if (!check_is_policy(c, g.last))
				(void)check_fail(c, "CLOSED after %" PRId64
				    " of %" PRId64, i, most);
			return;
		}
	}
	if (l == NULL || !check_sayf(l, "[\"REQ\",\"beyond\",{\"authors\":"
	    "[\"%064d\"]}]", 7))
		return;
	(void)check_subscribe(l, "beyond", NULL);
	m = check_await(l, CHECK_OF_REQ, check_is_end, "beyond");
	c->beyond = m == NULL ? BEYOND_MUTE : BEYOND_ANSWERED;
	check_saw(c, "%" PRId64 " at a time", most);
}

/* What came of the one more of the statement before. */
static void
one_more(struct check *c, const struct check_statement *s)
{
	(void)s;
	check_expect(c, "EOSE or CLOSED");
	if (c->beyond == BEYOND_UNTRIED)
		(void)check_skip(c, "max_subscriptions was not reached");
	else if (c->beyond == BEYOND_MUTE)
		(void)check_fail(c, "no answer");
}

/* More, but for what has the time of the last one (NIP-67). */
static int
is_beyond(const struct check_got *g, size_t most)
{
	size_t i;

	for (i = most; i < g->n && i < CHECK_GOT; i++)
		if (!g->event[i]->is_event || g->event[i]->ev.created_at !=
		    g->event[most - 1]->ev.created_at)
			return 1;
	return g->n > CHECK_GOT;
}

static void
most_events(struct check *c, const struct check_statement *s)
{
	int64_t most = need_limit(c, s->filters, 700);
	struct check_link *l = most > 0 ? check_link(c, 0) : NULL;
	struct check_got g;
	char filter[64];

	if (l == NULL)
		return;
	check_expect(c, "at most %" PRId64 " events", most);
	if (s->arg)
		snprintf(filter, sizeof(filter), "{\"limit\":%" PRId64 "}",
		    most + 100);
	else
		snprintf(filter, sizeof(filter), "{\"since\":1}");
	if (!check_read(l, filter, &g))
		return;
	check_saw(c, "%zu events", g.n);
	if (is_beyond(&g, (size_t)most))
		(void)check_fail(c, "%zu events", g.n);
}

static void
auth_required(struct check *c, const struct check_statement *s)
{
	int wanted = check_limit_is(c, "auth_required", 1);
	struct check_link *l;
	const struct check_msg *m;
	char shown[CHECK_TEXT];

	(void)s;
	if (!need_document(c))
		return;
	if (!wanted) {
		(void)check_skip(c, "NIP-11 does not say so");
		return;
	}
	check_expect(c, "CLOSED, \"auth-required:\"");
	if ((l = check_fresh(c)) == NULL)
		return;
	(void)check_subscribe(l, "stranger", NULL);
	if (!check_sayf(l, "[\"REQ\",\"stranger\",{\"limit\":1}]"))
		return;
	m = check_await(l, CHECK_OF_REQ, check_is_end, "stranger");
	if (m == NULL)
		(void)check_missed(l, "no answer");
	else if (m->a.verb != NR_ANSWER_CLOSED ||
	    !nr_answer_prefix(m->a.text, "auth-required"))
		(void)check_fail(c, "%s", check_show(m, shown));
}

static void
too_many_tags(struct check *c, const struct check_statement *s)
{
	int64_t i, most = need_limit(c, "max_event_tags", 3000);
	struct check_link *l = most > 0 ? check_link(c, 0) : NULL;
	struct nr_buf tags = { 0 };

	if (l == NULL)
		return;
	check_need(nr_buf_adds(&tags, "![\"t\",\"@T\"]"));
	if (c->work > 0)
		most--;		/* there will be a nonce */
	for (i = 1; i < most + s->arg; i++)
		check_need(nr_buf_adds(&tags, ",[\"x\"]"));
	check_need(nr_buf_add(&tags, "", 1));
	if (s->arg > 0)
		(void)check_refused(l, check_make(c, 0, c->kind[0], c->began,
		    tags.p, ""), "");
	else
		(void)check_store(l, check_make(c, 0, c->kind[0], c->began,
		    tags.p, ""));
	nr_buf_free(&tags);
}

static void
too_long(struct check *c, const struct check_statement *s)
{
	int64_t most = need_limit(c, "max_content_length", 200000),
	    message = check_limit(c, "max_message_length");
	struct check_link *l = most > 0 ? check_link(c, 0) : NULL;
	char *text;

	(void)s;
	if (l == NULL)
		return;
	/* Nobody says what becomes of a message that is too long. */
	if (message > 0 && most + 600 > message) {
		(void)check_skip(c, "longer than max_message_length");
		return;
	}
	if ((text = malloc((size_t)most + 2)) == NULL)
		check_need(ENOMEM);
	memset(text, 'x', (size_t)most + 1);
	text[most + 1] = '\0';
	(void)check_refused(l, check_make(c, 0, c->kind[0], c->began, "",
	    text), "");
	free(text);
}

static void
too_new(struct check *c, const struct check_statement *s)
{
	int64_t most = need_limit(c, s->filters, INT32_MAX);
	struct check_link *l = most > 0 ? check_link(c, 0) : NULL;
	int64_t at;

	if (l == NULL)
		return;
	/* A limit may also be written as a time. */
	if (s->arg > 0)
		at = (most > c->began / 2 ? most : c->began + most) + 600;
	else
		at = (most > c->began / 2 ? most : c->began - most) - 600;
	if (at <= 0)
		(void)check_skip(c, "the limit lies before 1970");
	else
		(void)check_refused(l, check_make(c, 0, c->kind[0], at, "",
		    "at another time"), "invalid");
}

const struct check_statement check_info_list[] = {
	{ 11, "nip11-served", "the information document is a JSON object",
	    CHECK_ALWAYS, served, NULL, 0 },
	{ 11, "nip11-cors-origin", "Access-Control-Allow-Origin is sent",
	    CHECK_ALWAYS, cors, "Access-Control-Allow-Origin", 0 },
	{ 11, "nip11-cors-headers", "Access-Control-Allow-Headers is sent",
	    CHECK_ALWAYS, cors, "Access-Control-Allow-Headers", 1 },
	{ 11, "nip11-cors-methods", "Access-Control-Allow-Methods is sent",
	    CHECK_ALWAYS, cors, "Access-Control-Allow-Methods", 2 },
	{ 11, "nip11-type", "the information document's Content-Type is one of "
	    "JSON", CHECK_ALWAYS, type,
	    NULL, 0 },
	{ 11, "nip11-accept-list", "the information document is also served "
	    "where the Accept header is a list",
	    CHECK_ALWAYS, accept_list,
	    "application/nostr+json, application/json;q=0.5, */*;q=0.1", 0 },
	{ 11, "nip11-types", "the values in the information document have the "
	    "JSON types of the NIP", CHECK_ALWAYS, flaws, NULL,
	    NR_NIP11_BROKEN },
	{ 11, "nip11-values", "the values in the information document are what "
	    "the NIP demands",
	    CHECK_ALWAYS, flaws, NULL, NR_NIP11_WRONG },
	{ 11, "nip11-message-allowed", "a message as long as "
	    "max_message_length is read",
	    CHECK_ALWAYS, message_length, NULL, 0 },
	{ 11, "nip11-message-beyond", "a message longer than "
	    "max_message_length is not answered as a right one", CHECK_ALWAYS,
	    message_length, NULL, 1 },
	{ 11, "nip11-subscriptions", "as many subscriptions as "
	    "max_subscriptions may be open at a time",
	    CHECK_ALWAYS, subscriptions, NULL, 0 },
	{ 11, "nip11-subscriptions-beyond", "a REQ beyond max_subscriptions is "
	    "answered, by EOSE or CLOSED", CHECK_ALWAYS, one_more, NULL, 0 },
	{ 11, "nip11-limit", "no REQ gets more stored events than max_limit",
	    CHECK_ALWAYS, most_events,
	    "max_limit", 1 },
	{ 11, "nip11-default-limit", "a REQ without a limit gets no more "
	    "stored events than default_limit", CHECK_ALWAYS,
	    most_events, "default_limit", 0 },
	{ 11, "nip11-auth-required", "where auth_required is true, a REQ "
	    "without AUTH is refused", CHECK_ALWAYS,
	    auth_required, NULL, 0 },
	{ 0 }
};

/* What publishes: after the filters, which know all that is there. */
const struct check_statement check_limits_list[] = {
	{ 11, "nip11-tags-allowed", "an event with max_event_tags tags is "
	    "accepted",
	    CHECK_ALWAYS | CHECK_WRITE, too_many_tags, NULL, 0 },
	{ 11, "nip11-tags-beyond", "an event with more tags than "
	    "max_event_tags is refused",
	    CHECK_ALWAYS | CHECK_WRITE, too_many_tags, NULL, 1 },
	{ 11, "nip11-content-beyond", "an event with content longer than "
	    "max_content_length is refused",
	    CHECK_ALWAYS | CHECK_WRITE, too_long, NULL, 1 },
	{ 11, "nip11-created-upper", "an event newer than "
	    "created_at_upper_limit is refused",
	    CHECK_ALWAYS | CHECK_WRITE, too_new, "created_at_upper_limit",
	    1 },
	{ 11, "nip11-created-lower", "an event older than "
	    "created_at_lower_limit is refused",
	    CHECK_ALWAYS | CHECK_WRITE, too_new, "created_at_lower_limit",
	    -1 },
	{ 0 }
};
