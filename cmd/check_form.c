/*
 * nr-bench check: subscriptions and their ends, and messages that are
 * wrong, none of which may cost more than itself.
 */
#include "check.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- subscriptions */

static void
eose(struct check *c, const struct check_statement *s)
{
	struct check_link *l = check_link(c, 0);
	struct check_got g;

	(void)s;
	check_expect(c, "EOSE");
	if (l != NULL && check_read(l, "{\"ids\":[\"@x\"],\"limit\":1}", &g))
		check_saw(c, "EOSE");
}

enum { NEWEST, LOWEST, FEW };

/* What of the order, or number, of what is there does not hold. */
static void
order(struct check *c, const struct check_statement *s)
{
	struct check_link *l = check_link(c, 0);
	const struct nr_event *last = NULL, *ev;
	struct check_got g;
	size_t i;

	check_expect(c, "%s", s->text);
	if (l == NULL || !check_read(l, s->filters, &g))
		return;
	check_saw(c, "%zu events", g.n);
	if (s->arg == FEW) {
		if (g.n > 3)
			(void)check_fail(c, "%zu events", g.n);
		return;
	}
	for (i = 0; i < g.n && i < CHECK_GOT; i++, last = ev) {
		ev = &g.event[i]->ev;
		if (!g.event[i]->is_event || last == NULL)
			continue;
		if (s->arg == NEWEST && ev->created_at > last->created_at) {
			(void)check_fail(c, "event %zu is newer than the one "
			    "before it", i + 1);
			return;
		}
		if (s->arg == LOWEST && ev->created_at == last->created_at &&
		    memcmp(ev->id, last->id, 32) < 0) {
			(void)check_fail(c, "event %zu is as old as the one "
			    "before it and has a lower id", i + 1);
			return;
		}
	}
}

static void
close_silent(struct check *c, const struct check_statement *s)
{
	struct check_link *l = check_link(c, 0);
	const struct check_msg *m;
	struct check_got g;
	char shown[CHECK_TEXT];

	(void)s;
	check_expect(c, "no answer to CLOSE");
	if (l == NULL || !check_query(l, NULL, "{\"ids\":[\"@x\"]}", &g))
		return;
	/* It may have been closed as complete. */
	if (check_sub_find(l, g.id, strlen(g.id))->closed)
		return;
	check_close(l, g.id);
	if (!check_fence(l))
		return;
	m = check_wait(l, check_is_named, g.id, 1);
	if (m != NULL)
		(void)check_fail(c, "%s", check_show(m, shown));
}

static void
replaced(struct check *c, const struct check_statement *s)
{
	struct check_link *l = check_link(c, 0);
	struct check_got g;

	(void)s;
	if (l == NULL || !check_query(l, "same", "{\"ids\":[\"@i0\"]}", &g) ||
	    !check_same(c, &c->hay[0], 1, &g, 1) ||
	    !check_query(l, "same", "{\"ids\":[\"@i1\"]}", &g))
		return;
	(void)check_same(c, &c->hay[1], 1, &g, 1);
}

static void
independent(struct check *c, const struct check_statement *s)
{
	struct check_link *l = check_link(c, 0), *m = check_link(c, 1);
	struct check_got g;

	(void)s;
	if (l == NULL || m == NULL ||
	    !check_query(l, "both", "{\"ids\":[\"@i0\"]}", &g) ||
	    !check_same(c, &c->hay[0], 1, &g, 1) ||
	    !check_query(m, "both", "{\"ids\":[\"@i1\"]}", &g))
		return;
	(void)check_same(c, &c->hay[1], 1, &g, 1);
}

static void
many(struct check *c, const struct check_statement *s)
{
	struct check_link *l = check_link(c, 0);
	struct check_got g;
	int64_t most = check_limit(c, "max_subscriptions");
	char id[32];
	int i, n = most > 0 && most < s->arg ? (int)most : s->arg;

	check_expect(c, "EOSE for each");
	for (i = 0; l != NULL && i < n; i++) {
		snprintf(id, sizeof(id), "many-%d", i);
		if (!check_query(l, id, "{\"ids\":[\"@x\"]}", &g))
			return;
		if (g.end == CHECK_CLOSED) {
			if (!check_is_policy(c, g.last))
				(void)check_fail(c, "CLOSED after %d", i);
			return;
		}
	}
	check_saw(c, "%d at a time", n);
}

/* The id as it is: letters that need more than a byte, quotes. */
static void
subid_kept(struct check *c, const struct check_statement *s)
{
	struct check_link *l = check_link(c, 0);
	struct check_got g;

	check_expect(c, "EOSE for \"%s\"", s->filters);
	if (l == NULL || !check_query(l, s->filters, "{\"ids\":[\"@x\"]}",
	    &g))
		return;
	if (g.end == CHECK_CLOSED && !check_is_policy(c, g.last))
		(void)check_fail(c, "CLOSED");
}

/* Ids that NIP-01 has none of: any answer but EOSE. */
static void
subid_refused(struct check *c, const struct check_statement *s)
{
	struct check_link *l = check_link(c, 0);
	const struct check_msg *m;
	char shown[CHECK_TEXT];

	if (check_limit(c, "max_subid_length") > 64 && s->arg) {
		(void)check_skip(c, "NIP-11 allows it");
		return;
	}
	check_expect(c, "no EOSE");
	if (l == NULL)
		return;
	(void)check_subscribe(l, s->filters, NULL);
	if (!check_sayf(l, "[\"REQ\",\"%s\",{\"ids\":[\"%064d\"]}]",
	    s->filters, 0) || !check_fence(l))
		return;
	m = check_wait(l, check_is_end, s->filters, 1);
	if (m == NULL)
		return;
	check_saw(c, "%s", check_show(m, shown));
	if (m->a.verb == NR_ANSWER_EOSE)
		(void)check_fail(c, "%s", shown);
}

/* ---- messages that are wrong */

static int
is_closed_fault(struct check_link *l, const char *what)
{
	char why[CHECK_TEXT];

	return !l->open && check_fail(l->check, "after %s %s", what,
	    check_why(l, why)) == 0;
}

/* Say it, and then something right. */
static void
lives(struct check *c, const struct check_statement *s)
{
	struct check_link *l = check_link(c, 1);

	check_expect(c, "the connection stays open");
	if (l == NULL)
		return;
	(void)check_subscribe(l, "x", NULL);
	if (!check_say(l, s->filters, strlen(s->filters)) || !check_fence(l))
		return;
	if (!is_closed_fault(l, "it"))
		check_saw(c, "it stays open");
}

static void
deep(struct check *c, const struct check_statement *s)
{
	struct check_link *l = check_link(c, 1);
	char *text = malloc((size_t)s->arg + 1);

	check_expect(c, "the connection stays open");
	if (text == NULL || l == NULL) {
		free(text);
		return;
	}
	memset(text, '[', (size_t)s->arg);
	if (check_say(l, text, (size_t)s->arg) && check_fence(l))
		check_saw(c, "it stays open");
	free(text);
}

/* A REQ that cannot be fulfilled is answered by CLOSED, and not by EOSE. */
static void
closed(struct check *c, const struct check_statement *s)
{
	struct check_link *l = check_link(c, 1);
	const struct check_msg *m;
	char id[CHECK_SUBID], shown[CHECK_TEXT], why[CHECK_TEXT];
	struct nr_buf b = { 0 };

	check_expect(c, "CLOSED");
	if (l == NULL)
		return;
	snprintf(id, sizeof(id), "bad%u", ++c->subs);
	(void)check_subscribe(l, id, NULL);
	(void)check_fill(c, &b, s->filters);
	if (check_sayf(l, "[\"REQ\",\"%s\",%s]", id, b.p) &&
	    check_fence(l)) {
		m = check_wait(l, check_is_end, id, 1);
		if (m == NULL)
			(void)check_fail(c, "%s", l->open ? "no answer" :
			    check_why(l, why));
		else if (m->a.verb != NR_ANSWER_CLOSED)
			(void)check_fail(c, "%s", check_show(m, shown));
		else
			check_saw(c, "%s", check_show(m, shown));
	}
	nr_buf_free(&b);
}

/* CLOSED or EOSE, but an answer. */
static void
answered(struct check *c, const struct check_statement *s)
{
	struct check_link *l = check_link(c, 1);
	struct check_got g;
	char shown[CHECK_TEXT];

	check_expect(c, "EOSE or CLOSED");
	if (l != NULL && check_query(l, NULL, s->filters, &g)) {
		check_saw(c, "%s", check_show(g.last, shown));
		check_close(l, g.id);
	}
}

#define SUBID64	"0123456789abcdef0123456789abcdef" \
		"0123456789abcdef0123456789abcdef"
#define LIVES(id, text, message) \
	{ 1, id, text " does not end the connection", 0, lives, message, 0 }
#define BAD(id, text, filter) \
	{ 1, id, text " is answered by CLOSED", 0, closed, filter, 0 }

const struct check_statement check_form_list[] = {
	{ 1, "nip01-eose", "a REQ is answered by EOSE", 0, eose, NULL, 0 },
	{ 1, "nip01-newest-first", "the events that a REQ finds come newest "
	    "first", 0,
	    order, "{\"limit\":50}", NEWEST },
	{ 1, "nip01-lowest-first", "events of the same second come with the "
	    "lowest id first", 0, order, "{\"limit\":50}", LOWEST },
	{ 1, "nip01-limit-kept", "a REQ with limit 3 gets at most 3 stored "
	    "events", 0, order,
	    "{\"limit\":3}", FEW },
	{ 1, "nip01-close", "a CLOSE gets no answer", 0, close_silent, NULL,
	    0 },
	{ 1, "nip01-replaced", "a second REQ with the same subscription id "
	    "replaces the first",
	    CHECK_HAYSTACK, replaced, NULL, 0 },
	{ 1, "nip01-own-subscriptions", "two connections may use the same "
	    "subscription id", CHECK_HAYSTACK, independent, NULL, 0 },
	{ 1, "nip01-several", "eight subscriptions may be open at a time, or "
	    "as many as NIP-11 allows", 0, many,
	    NULL, 8 },
	{ 1, "nip01-subid-64", "a subscription id may have 64 characters",
	    0, subid_kept, SUBID64, 0 },
	{ 1, "nip01-subid-characters", "a subscription id with unusual "
	    "characters comes back unchanged",
	    0, subid_kept, "\xd0\x96 \\\"q\\\" :,[]{}", 0 },
	{ 1, "nip01-subid-empty", "an empty subscription id is refused", 0,
	    subid_refused, "", 0 },
	{ 1, "nip01-subid-65", "a subscription id of 65 characters is "
	    "refused", 0, subid_refused, SUBID64 "x", 1 },
	LIVES("nip01-bad-json", "a message that is not JSON",
	    "[\"REQ\",\"x\","),
	LIVES("nip01-bad-words", "a message that is a bare word", "hello"),
	LIVES("nip01-bad-empty", "an empty message", ""),
	LIVES("nip01-bad-object", "a message that is a JSON object",
	    "{\"a\":1}"),
	LIVES("nip01-bad-array", "a message that is an empty array", "[]"),
	LIVES("nip01-bad-number", "a message that begins with a number",
	    "[1,\"x\"]"),
	LIVES("nip01-bad-verb", "a message of an unknown type",
	    "[\"NONSENSE\",\"x\"]"),
	LIVES("nip01-bad-event", "an EVENT message with a number for the event",
	    "[\"EVENT\",7]"),
	LIVES("nip01-bad-event-empty", "an EVENT message with an event that "
	    "has no fields",
	    "[\"EVENT\",{}]"),
	LIVES("nip01-bad-event-none", "an EVENT message without an event",
	    "[\"EVENT\"]"),
	LIVES("nip01-bad-req", "a REQ without subscription id and filter",
	    "[\"REQ\"]"),
	LIVES("nip01-bad-req-id", "a REQ with a number for its subscription id",
	    "[\"REQ\",5,{\"limit\":1}]"),
	LIVES("nip01-bad-req-filter", "a REQ without a filter",
	    "[\"REQ\",\"x\"]"),
	LIVES("nip01-bad-close", "a CLOSE without a subscription id",
	    "[\"CLOSE\"]"),
	LIVES("nip01-bad-close-id", "a CLOSE of a subscription that does not "
	    "exist",
	    "[\"CLOSE\",\"never opened\"]"),
	LIVES("nip01-bad-number-size", "a REQ with a number of 400 digits",
	    "[\"REQ\",\"x\",{\"limit\":"
	    "99999999999999999999999999999999999999999999999999"
	    "99999999999999999999999999999999999999999999999999"
	    "99999999999999999999999999999999999999999999999999"
	    "99999999999999999999999999999999999999999999999999"
	    "99999999999999999999999999999999999999999999999999"
	    "99999999999999999999999999999999999999999999999999"
	    "99999999999999999999999999999999999999999999999999"
	    "99999999999999999999999999999999999999999999999999}]"),
	{ 1, "nip01-bad-depth", "a message of arrays nested 5000 deep does not "
	    "end the connection", 0, deep, NULL, 5000 },
	BAD("nip01-filter-number", "a REQ with a number for its filter", "7"),
	BAD("nip01-filter-kinds", "a filter whose kinds are not a list",
	    "{\"kinds\":\"x\"}"),
	BAD("nip01-filter-kind", "a filter with a kind that is not a number",
	    "{\"kinds\":[\"x\"]}"),
	BAD("nip01-filter-since", "a filter whose since is not a number",
	    "{\"since\":\"yesterday\"}"),
	BAD("nip01-filter-limit", "a filter whose limit is not a number",
	    "{\"limit\":\"all\"}"),
	BAD("nip01-filter-authors", "a filter whose authors are not a list",
	    "{\"authors\":{}}"),
	BAD("nip01-filter-tag", "a filter with numbers for tag values",
	    "{\"#e\":[1,2]}"),
	{ 1, "nip01-filter-unknown", "a filter with an unknown key is "
	    "answered, by EOSE or CLOSED",
	    0, answered, "{\"ids\":[\"@x\"],\"nonsense\":1}", 0 },
	{ 1, "nip01-filter-empty", "an empty filter is answered, by EOSE or "
	    "CLOSED",
	    0, answered, "{}", 0 },
	{ 1, "nip01-filter-kind-large", "a filter with a kind beyond 65535 is "
	    "answered, by EOSE or CLOSED",
	    0, answered, "{\"ids\":[\"@x\"],\"kinds\":"
	    "[65536]}", 0 },
	{ 1, "nip01-filter-since-negative", "a filter with a negative since is "
	    "answered, by EOSE or CLOSED",
	    0, answered, "{\"ids\":[\"@x\"],\"since\":"
	    "-5}", 0 },
	{ 1, "nip01-filter-until-max", "a filter with until 2^63-1 is "
	    "answered, by EOSE or CLOSED",
	    0, answered, "{\"ids\":[\"@x\"],\"until\":"
	    "9223372036854775807}", 0 },
	{ 50, "nip50-answered", "a filter with search is answered, by CLOSED "
	    "where the relay does not search", CHECK_ALWAYS, answered,
	    "{\"ids\":[\"@x\"],\"search\":\"orange\"}", 0 },
	{ 0 }
};
