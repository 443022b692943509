/*
 * nr-bench check: what is published (NIP-01).
 */
#include "check.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "util/hex.h"

static void
accepted(struct check *c, const struct check_statement *s)
{
	struct check_link *l = check_link(c, 0);
	struct check_made *m = check_make(c, 0, c->kind[0], c->began - 60,
	    s->filters, "an event");
	char filter[128];

	check_expect(c, "OK true, and a REQ finds it");
	if (l != NULL && check_store(l, m))
		(void)check_finds(l, check_by_id(m, filter), 1, &m->ev);
}

static void
twice(struct check *c, const struct check_statement *s)
{
	struct check_link *l = check_link(c, 0);
	struct check_made *m = check_make(c, 0, c->kind[0], c->began - 60,
	    "", "an event that is sent twice");
	const struct check_msg *ok;
	char shown[CHECK_TEXT], filter[128];

	(void)s;
	check_expect(c, "OK true");
	if (l == NULL || !check_store(l, m) ||
	    (ok = check_publish(l, m)) == NULL)
		return;
	if (!ok->a.accepted || (ok->a.text.len > 0 &&
	    !nr_answer_prefix(ok->a.text, "duplicate")))
		(void)check_fail(c, "%s", check_show(ok, shown));
	else
		(void)check_finds(l, check_by_id(m, filter), 1, &m->ev);
}

/* Text that must come back as it was; the id says whether it did. */
static void
kept(struct check *c, const struct check_statement *s)
{
	struct check_link *l = check_link(c, 0);
	struct check_made *m = check_make(c, 0, c->kind[0], c->began - 60,
	    s->arg ? s->filters : "", s->arg ? "" : s->filters);
	struct check_got g;
	char filter[128];

	if (l == NULL || !check_store(l, m) ||
	    !check_read(l, check_by_id(m, filter), &g))
		return;
	check_expect(c, "the event as it was sent");
	if (g.n != 1 || !g.event[0]->is_event)
		(void)check_fail(c, "%zu events", g.n);
	else if (g.event[0]->line_len != m->len ||
	    memcmp(g.event[0]->line, m->line, m->len) != 0)
		(void)check_fail(c, "%.*s", g.event[0]->line_len < 300 ?
		    (int)g.event[0]->line_len : 300, g.event[0]->line);
}

/* ---- what must be refused */

/* Refused, and not to be found. */
static void
refused(struct check_link *l, struct check_made *m, const char *words)
{
	char filter[128];

	if (check_refused(l, m, words))
		(void)check_finds(l, check_by_id(m, filter), 0);
}

static void
bad_signature(struct check *c, const struct check_statement *s)
{
	struct check_link *l = check_link(c, 0);
	struct check_made *m = check_make(c, 0, c->kind[0], c->began - 60,
	    "", "not signed so");

	(void)s;
	check_spoil(m, m->len - 10);
	if (l != NULL)
		refused(l, m, "invalid");
}

static void
bad_id(struct check *c, const struct check_statement *s)
{
	struct check_link *l = check_link(c, 0);
	struct check_made *m = check_make(c, 0, c->kind[0], c->began - 60,
	    "", "another id");

	(void)s;
	check_spoil(m, 7 + 60);	/* what is proof of work remains */
	(void)nr_hex_decode(m->ev.id, m->line + 7, 32);
	if (l != NULL)
		refused(l, m, "invalid");
}

static void
changed(struct check *c, const struct check_statement *s)
{
	struct check_link *l = check_link(c, 0);
	struct check_made *m = check_make(c, 0, c->kind[0], c->began - 60,
	    "", "changed 0 later");
	char *at = memmem(m->line, m->len, "changed 0", 9);

	(void)s;
	if (at != NULL)
		at[8] = '1';
	if (l != NULL)
		refused(l, m, "invalid");
}

/* Part of an event's text becomes another; nothing of it is kept. */
static void
malformed(struct check *c, const struct check_statement *s)
{
	struct check_link *l = check_link(c, 1);
	struct check_made *m = check_make(c, 0, 1, c->began - 60, "",
	    "malformed");
	const char *to = s->filters + strlen(s->filters) + 1;
	const struct check_msg *ok;
	struct check_got g;
	char *at = memmem(m->line, m->len, s->filters, strlen(s->filters));
	char filter[128], shown[CHECK_TEXT];
	size_t before, after;

	check_expect(c, "no OK true, and no REQ finds it");
	if (l == NULL || at == NULL)
		return;
	before = (size_t)(at - m->line);
	after = before + strlen(s->filters);
	m->sent = 1;
	if (!check_sayf(l, "[\"EVENT\",%.*s%s%.*s]", (int)before, m->line,
	    to, (int)(m->len - after), m->line + after) ||
	    !check_query(l, NULL, check_by_id(m, filter), &g))
		return;
	ok = check_wait(l, check_is_ok, m->ev.id, 1);
	m->accepted = ok != NULL && ok->a.accepted;
	m->refused = !m->accepted;
	check_saw(c, "%s", ok != NULL ? check_show(ok, shown) : "no OK");
	if (ok != NULL && ok->a.accepted)
		(void)check_fail(c, "%s", shown);
	else if (g.n > 0)
		(void)check_fail(c, "a REQ finds it");
}

/* ---- replaceable and addressable events */

static const char *const d_tag[] = { "", "[\"d\",\"one\"]",
    "[\"d\",\"two\"]" };

static const char *
versions_of(unsigned kind, const char **tags, char filter[128])
{
	*tags = d_tag[nr_kind_addressable(kind)];
	snprintf(filter, 128, "{\"authors\":[\"@B\"],\"kinds\":[%u]%s}",
	    kind, nr_kind_addressable(kind) ? ",\"#d\":[\"one\"]" : "");
	return filter;
}

static void
newer_wins(struct check *c, const struct check_statement *s)
{
	struct check_link *l = check_link(c, 0);
	unsigned kind = (unsigned)s->arg;
	const char *tags;
	char filter[128];
	struct check_made *old, *new;

	(void)versions_of(kind, &tags, filter);
	old = check_make(c, 1, kind, c->began - 300, tags, "{}");
	new = check_make(c, 1, kind, c->began - 299, tags, "{}");
	if (l != NULL && check_store(l, old) &&
	    check_finds(l, filter, 1, &old->ev) && check_store(l, new))
		(void)check_finds(l, filter, 1, &new->ev);
}

static void
older_loses(struct check *c, const struct check_statement *s)
{
	struct check_link *l = check_link(c, 0);
	unsigned kind = (unsigned)s->arg;
	const char *tags;
	char filter[128];
	struct check_made *old, *new;

	(void)versions_of(kind, &tags, filter);
	new = check_make(c, 1, kind, c->began - 200, tags, "{}");
	old = check_make(c, 1, kind, c->began - 201, tags, "{ }");
	if (l != NULL && check_store(l, new) &&
	    check_publish(l, old) != NULL)
		(void)check_finds(l, filter, 1, &new->ev);
}

/* The lowest id, whichever comes first. */
static void
tie(struct check *c, const struct check_statement *s)
{
	struct check_link *l = check_link(c, 0);
	unsigned kind = (unsigned)s->arg;
	const char *tags;
	char filter[128];
	struct check_made *m[3], *t, *low;
	int i;

	(void)versions_of(kind, &tags, filter);
	for (i = 0; i < 3; i++)
		m[i] = check_make(c, 1, kind, c->began - 100, tags, i == 0 ?
		    "1" : i == 1 ? "2" : "3");
	/* The middle one first, then the lowest, then the highest. */
	for (i = 0; i < 3; i++)
		if (memcmp(m[i % 2]->ev.id, m[i % 2 + 1]->ev.id, 32) > 0) {
			t = m[i % 2];
			m[i % 2] = m[i % 2 + 1];
			m[i % 2 + 1] = t;
		}
	low = m[0];
	if (l != NULL && check_store(l, m[1]) && check_store(l, low) &&
	    check_publish(l, m[2]) != NULL)
		(void)check_finds(l, filter, 1, &low->ev);
}

static void
two_addresses(struct check *c, const struct check_statement *s)
{
	struct check_link *l = check_link(c, 0);
	struct check_made *one, *two;

	one = check_make(c, 2, (unsigned)s->arg, c->began - 100, d_tag[1],
	    "");
	two = check_make(c, 2, (unsigned)s->arg, c->began - 90, d_tag[2],
	    "");
	if (l != NULL && check_store(l, one) && check_store(l, two))
		(void)check_finds(l, "{\"authors\":[\"@C\"],\"kinds\":"
		    "[30078]}", 2, &two->ev, &one->ev);
}

static void
two_authors(struct check *c, const struct check_statement *s)
{
	struct check_link *l = check_link(c, 0);
	struct check_made *one, *two;

	one = check_make(c, 2, (unsigned)s->arg, c->began - 100, "", "");
	two = check_make(c, 3, (unsigned)s->arg, c->began - 90, "", "");
	if (l != NULL && check_store(l, one) && check_store(l, two))
		(void)check_finds(l, "{\"authors\":[\"@C\",\"@D\"],\"kinds\":"
		    "[10015]}", 2, &two->ev, &one->ev);
}

/* What was accepted is there at the end, too. */
static void
all_kept(struct check *c, const struct check_statement *s)
{
	struct check_link *l = check_link(c, 1);
	const struct nr_event *want[CHECK_HAY];
	struct nr_buf b = { 0 };
	struct check_got g;
	int n = check_answer(c, check_fill(c, &b, s->filters), want);

	nr_buf_free(&b);
	if (check_is_cut(c, n))
		(void)check_skip(c, "more events than NIP-11 allows");
	else if (l != NULL && n >= 0 && check_read(l, s->filters, &g))
		(void)check_same(c, want, (size_t)n, &g, 0);
}

#define W(id, text, run, filters, arg) \
	{ 1, id, text, CHECK_WRITE, run, filters, arg }
/* What is in the event, and after a zero byte what is put there. */
#define MALFORMED(id, text, from, to) \
	W(id, text " is refused", malformed, from "\0" to, 0)

const struct check_statement check_write_list[] = {
	W("nip01-ok", "an event is accepted, and a REQ finds it at once",
	    accepted, "",
	    0),
	W("nip01-ok-many-tags", "an event with a tag of many values is "
	    "accepted, and found", accepted,
	    "[\"x\",\"0\",\"1\",\"2\",\"3\",\"4\",\"5\",\"6\",\"7\",\"8\"]",
	    0),
	W("nip01-duplicate", "an event that is sent again gets OK true, with "
	    "no reason or \"duplicate:\"", twice, NULL, 0),
	W("nip01-keeps-escapes", "the characters that NIP-01 escapes come back "
	    "unchanged in content", kept,
	    "\\n\\\"\\\\\\r\\t\\b\\f", 0),
	W("nip01-keeps-unicode", "letters, emoji and U+2028 come back "
	    "unchanged in content",
	    kept, "\xd0\x96\xf0\x9f\xa4\x99\xe2\x80\xa8\xe4\xb8\xad", 0),
	W("nip01-keeps-del", "U+007F comes back unchanged in content", kept,
	    "a\x7f" "b", 0),
	W("nip01-keeps-nonchars", "Unicode noncharacters such as U+FDD0 come "
	    "back unchanged in content", kept,
	    "\xef\xb7\x90\xef\xbf\xbe", 0),
	W("nip01-keeps-markup", "slashes and HTML come back unchanged in "
	    "content", kept,
	    "</script>&amp;<!-- http://x/y?z=%20 -->", 0),
	W("nip01-keeps-spaces", "spaces come back unchanged in content",
	    kept, "  a  b  ", 0),
	W("nip01-keeps-empty-values", "tags with empty values, or none, come "
	    "back unchanged", kept,
	    "[\"x\",\"\"],[\"x\"],[\"\",\"\"]", 1),
	W("nip01-keeps-tag-order", "tags come back in their order, also "
	    "repeated ones", kept, "[\"z\",\"2\"],[\"b\",\"1\"],[\"z\",\"2\"],"
	    "[\"b\",\"0\",\"\",\"x\"]", 1),
	W("nip01-keeps-numbers", "long numbers in tags come back unchanged",
	    kept,
	    "[\"amount\",\"123456789012345678901234567890\"],"
	    "[\"f\",\"1e400\"]", 1),
	W("nip01-bad-signature", "an event with a wrong signature is refused",
	    bad_signature, NULL, 0),
	W("nip01-bad-id", "an event with a wrong id is refused",
	    bad_id, NULL, 0),
	W("nip01-changed", "an event whose content was changed is refused",
	    changed,
	    NULL, 0),
	MALFORMED("nip01-no-content", "an event without content",
	    ",\"content\":\"malformed\"", ""),
	MALFORMED("nip01-no-sig", "an event without a signature",
	    ",\"sig\":", ",\"gis\":"),
	MALFORMED("nip01-bad-kind-text", "an event whose kind is a string",
	    "\"kind\":1", "\"kind\":\"1\""),
	MALFORMED("nip01-bad-kind-large", "an event whose kind is beyond 65535",
	    "\"kind\":1", "\"kind\":65537"),
	MALFORMED("nip01-bad-tags", "an event with a tag that is not a list",
	    "\"tags\":[", "\"tags\":[\"x\","),
	MALFORMED("nip01-bad-tag-number", "an event with a number for a tag "
	    "value",
	    "\"tags\":[", "\"tags\":[[\"x\",1],"),
	MALFORMED("nip01-bad-content", "an event whose content is not a string",
	    "\"content\":\"malformed\"", "\"content\":{}"),
	MALFORMED("nip01-bad-created", "an event whose created_at is a string",
	    "\"created_at\":", "\"created_at\":\"x\",\"x\":"),
	W("nip01-replaceable-0", "a newer event of kind 0 replaces the older "
	    "one of its author", newer_wins, NULL, 0),
	W("nip01-replaceable-3", "a newer event of kind 3 replaces the older "
	    "one of its author", newer_wins, NULL, 3),
	W("nip01-replaceable-10002", "a newer event of kind 10002 replaces the "
	    "older one of its author", newer_wins, NULL, 10002),
	{ 17, "nip17-relay-list", "a newer event of kind 10050 replaces the "
	    "older one of its author", CHECK_WRITE, newer_wins, NULL, 10050 },
	W("nip01-addressable", "a newer event of kind 30078 replaces the older "
	    "one of its author and d tag", newer_wins, NULL, 30078),
	W("nip01-replaceable-older", "an event of kind 10002 that is older "
	    "than the stored one is not served",
	    older_loses, NULL, 10002),
	W("nip01-addressable-older", "an event of kind 30078 that is older "
	    "than the stored one is not served",
	    older_loses, NULL, 30078),
	W("nip01-replaceable-tie", "of replaceable events of the same second "
	    "the one with the lowest id stays", tie, NULL, 10002),
	W("nip01-addressable-tie", "of addressable events of the same second "
	    "the one with the lowest id stays", tie, NULL, 30078),
	W("nip01-addressable-d", "an addressable event does not replace one "
	    "with another d tag",
	    two_addresses, NULL, 30078),
	W("nip01-replaceable-authors", "a replaceable event does not replace "
	    "one of another author",
	    two_authors, NULL, 10015),
	{ 1, "nip01-kept", "the events that were accepted at the beginning are "
	    "still there",
	    CHECK_WRITE | CHECK_HAYSTACK, all_kept,
	    "{\"ids\":[\"@i0\",\"@i1\",\"@i2\",\"@i3\",\"@i4\",\"@i5\","
	    "\"@i6\",\"@i7\",\"@i8\",\"@i9\",\"@ia\",\"@ib\"]}", 0 },
	{ 0 }
};
