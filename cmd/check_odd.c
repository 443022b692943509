/*
 * nr-bench check: what is right though it is rare: events that others write
 * in another way, or that the NIPs leave to a relay, which then must do
 * one thing or the other; and what comes all at once.
 */
#include "check.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "util/times.h"

#define FOLLOWS		500	/* of a large contact list */
#define AGAIN		10	/* connections, one after the other */
#define LETTERS_TIMES	4	/* of the time for a statement */

static struct check_made *
event(struct check *c, const char *tags, const char *content)
{
	return check_make(c, 0, c->kind[0], c->began - 60, tags, content);
}

/* A relay need not take it: then there is nothing to say. */
static int
is_taken(struct check_link *l, struct check_made *m)
{
	const struct check_msg *ok = check_publish(l, m);
	char shown[CHECK_TEXT];

	if (ok == NULL)
		return 0;
	return ok->a.accepted || check_skip(l->check, "refused: %s",
	    check_show(ok, shown));
}

static int
is_there(struct check_link *l, const struct check_made *m)
{
	char filter[128];

	return check_finds(l, check_by_id(m, filter), 1, &m->ev);
}

/* ---- what may be refused, but not swallowed */

/* Accepted and there, or refused and not. */
static void
either(struct check_link *l, struct check_made *m)
{
	const struct check_msg *ok = check_publish(l, m);
	char filter[128], shown[CHECK_TEXT];

	if (ok == NULL)
		return;
	(void)check_show(ok, shown);
	if (!check_finds(l, check_by_id(m, filter), ok->a.accepted != 0,
	    &m->ev))
		return;
	check_expect(l->check, "accepted and served, or refused and not");
	check_saw(l->check, "%s", shown);
}

static void
odd_tags(struct check *c, const struct check_statement *s)
{
	struct check_link *l = check_link(c, 0);

	if (l != NULL)
		either(l, event(c, s->filters, "odd tags"));
}

static void
at_zero(struct check *c, const struct check_statement *s)
{
	struct check_link *l = check_link(c, 0);

	(void)s;
	if (l != NULL)
		either(l, check_make(c, 0, c->kind[0], 0, "", "long ago"));
}

static void
kept_if_taken(struct check *c, const struct check_statement *s)
{
	struct check_link *l = check_link(c, 0);
	struct check_made *m = event(c, "", s->filters);
	struct check_got g;
	char filter[128];

	if (l == NULL || !is_taken(l, m) ||
	    !check_read(l, check_by_id(m, filter), &g))
		return;
	check_expect(c, "the event as it was sent");
	if (g.n != 1 || g.event[0]->line_len != m->len ||
	    memcmp(g.event[0]->line, m->line, m->len) != 0)
		(void)check_fail(c, "%s", g.n == 0 ? "0 events" :
		    "something else");
}

static void
old(struct check *c, const struct check_statement *s)
{
	struct check_link *l = check_link(c, 0);
	struct check_made *m = check_make(c, 0, c->kind[0], c->began -
	    s->arg, "", "not of today");

	if (l != NULL && is_taken(l, m))
		(void)is_there(l, m);
}

/* Longer than NIP-11 allows: nobody says what becomes of it. */
static int
is_allowed(struct check *c, const struct check_made *m)
{
	int64_t most = check_limit(c, "max_message_length");

	return most < 0 || m->len + sizeof("[\"EVENT\",]") <= (size_t)most ||
	    check_skip(c, "longer than max_message_length");
}

/* The last of many is found, too. */
static void
contacts(struct check *c, const struct check_statement *s)
{
	struct check_link *l = check_link(c, 0);
	struct check_made *m;
	struct nr_buf tags = { 0 };
	char filter[256];
	int i;

	(void)s;
	for (i = 1; i <= FOLLOWS; i++)
		check_need(nr_buf_addf(&tags, "%s[\"p\",\"%056x%08x\"]",
		    i > 1 ? "," : "", 0, i));
	m = check_make(c, 3, 3, c->began - 90, tags.p, "");
	nr_buf_free(&tags);
	snprintf(filter, sizeof(filter), "{\"kinds\":[3],\"authors\":"
	    "[\"@D\"],\"#p\":[\"%056x%08x\"]}", 0, FOLLOWS);
	if (l != NULL && is_allowed(c, m) && is_taken(l, m))
		(void)check_finds(l, filter, 1, &m->ev);
}

/* ---- the same event in other words */

/* Part of the line, before a zero byte, and what it is sent as. */
static int
send_as(struct check_link *l, struct check_made *m, const char *from,
    const char *to)
{
	char *at = memmem(m->line, m->len, from, strlen(from));
	size_t before = at == NULL ? 0 : (size_t)(at - m->line),
	    after = before + strlen(from);

	m->sent = 1;
	return check_sayf(l, "[\"EVENT\",%.*s%s%.*s]", (int)before, m->line,
	    to, (int)(m->len - after), m->line + after);
}

/* The id goes from the beginning to the end. */
static int
send_turned(struct check_link *l, struct check_made *m)
{
	enum { ID = 6 + 64 + 1 };	/* "id":"...", without its comma */

	m->sent = 1;
	return check_sayf(l, "[\"EVENT\",{%.*s,%.*s}]",
	    (int)(m->len - ID - 3), m->line + ID + 2, ID, m->line + 1);
}

static void
written(struct check *c, const struct check_statement *s)
{
	struct check_link *l = check_link(c, 0);
	struct check_made *m = event(c, "", "Plain/text");
	const struct check_msg *ok;
	char shown[CHECK_TEXT];

	if (l == NULL || !check_fence(l) || !(s->filters != NULL ?
	    send_as(l, m, s->filters, s->filters + strlen(s->filters) + 1) :
	    send_turned(l, m)))
		return;
	check_expect(c, "OK true");
	if ((ok = check_await(l, CHECK_OF_EVENT, check_is_ok, m->ev.id)) ==
	    NULL) {
		(void)check_missed(l, "no OK");
		return;
	}
	m->accepted = ok->a.accepted;
	m->refused = !ok->a.accepted;
	if (ok->a.accepted)
		(void)is_there(l, m);
	else if (!check_is_policy(c, ok))
		(void)check_fail(c, "%s", check_show(ok, shown));
}

/* ---- all at once */

/* Publish without waiting; the OKs then.  How many accept; -1: failed. */
static int
at_once(struct check_link *l, struct check_made *const *m, int n)
{
	const struct check_msg *ok, *against = NULL;
	int i, yes = 0;

	/* Which proves who we are, where that is wanted. */
	if (!check_fence(l))
		return -1;
	for (i = 0; i < n; i++) {
		m[i]->sent = 1;
		if (!check_sayf(l, "[\"EVENT\",%.*s]", (int)m[i]->len,
		    m[i]->line))
			return -1;
	}
	for (i = 0; i < n; i++) {
		ok = check_await(l, CHECK_OF_EVENT, check_is_ok, m[i]->ev.id);
		if (ok == NULL) {
			(void)check_missed(l, "an OK is lacking");
			return -1;
		}
		m[i]->accepted |= ok->a.accepted;
		m[i]->refused |= !ok->a.accepted;
		yes += ok->a.accepted;
		/* What of the first is policy is of the others a verdict. */
		if (against == NULL && !ok->a.accepted && (i == 0 ||
		    nr_answer_prefix(ok->a.text, "rate-limited")))
			against = ok;
	}
	return against != NULL && check_is_policy(l->check, against) ? -1 :
	    yes;
}

static void
same_at_once(struct check *c, const struct check_statement *s)
{
	struct check_link *l = check_link(c, 0);
	struct check_made *m = event(c, "", "twice at once"),
	    *both[] = { m, m };
	int yes;

	(void)s;
	if (l == NULL || (yes = at_once(l, both, 2)) < 0)
		return;
	check_expect(c, "OK true, twice");
	if (yes < 2)
		(void)check_fail(c, "OK true %s", yes ? "once" : "never");
	else
		(void)is_there(l, m);
}

static void
versions_at_once(struct check *c, const struct check_statement *s)
{
	struct check_link *l = check_link(c, 0);
	struct check_made *m[3];
	char filter[128];
	int i;

	for (i = 0; i < 3; i++)
		m[i] = check_make(c, 3, (unsigned)s->arg, c->began - 80 +
		    (i == 0 ? 0 : 3 - i), "", "{}");
	snprintf(filter, sizeof(filter), "{\"authors\":[\"@D\"],\"kinds\":"
	    "[%d]}", s->arg);
	if (l != NULL && at_once(l, m, 3) >= 0)
		(void)check_finds(l, filter, 1, &m[1]->ev);
}

static void
reconnect(struct check *c, const struct check_statement *s)
{
	struct check_link *l;
	int i;

	check_expect(c, "%s", s->text);
	for (i = 0; i < AGAIN; i++)
		if ((l = check_fresh(c)) == NULL || !check_fence(l))
			return;
	check_saw(c, "%d connections", i);
}

/* ---- tags of every letter */

static void
add_letter(struct nr_buf *b, char letter)
{
	check_need(nr_buf_adds(b, letter == 'e' || letter == 'p' ? "\"@x\"" :
	    letter == 'a' ? "\"30023:@A:@T-a\"" : "\"@T-"));
	if (strchr("epa", letter) == NULL)
		check_need(nr_buf_addf(b, "%c\"", letter));
}

static struct check_made *
lettered(struct check *c, const char *letters)
{
	struct check_made *m;
	struct nr_buf tags = { 0 };
	const char *p;

	for (p = letters; *p != '\0'; p++) {
		check_need(nr_buf_addf(&tags, "%s[\"%c\",", p == letters ?
		    "" : ",", *p));
		add_letter(&tags, *p);
		check_need(nr_buf_adds(&tags, "]"));
	}
	check_need(nr_buf_add(&tags, "", 1));
	m = check_make(c, 1, c->kind[1], c->began - 70, tags.p, "letters");
	nr_buf_free(&tags);
	return m;
}

static int
is_found_by(struct check_link *l, char letter, const struct check_made *m)
{
	struct nr_buf f = { 0 };
	struct check_got g;
	int rc;

	check_need(nr_buf_addf(&f, "{\"authors\":[\"@B\"],\"kinds\":[@2],"
	    "\"#%c\":[", letter));
	add_letter(&f, letter);
	check_need(nr_buf_adds(&f, "]}"));
	check_need(nr_buf_add(&f, "", 1));
	check_extend(l->check);
	rc = check_read(l, f.p, &g);
	nr_buf_free(&f);
	check_expect(l->check, "the event, by its tag %c", letter);
	return rc && ((g.n == 1 && check_is_live(g.event[0], m->ev.id)) ||
	    check_fail(l->check, "%zu events", g.n));
}

static void
letters(struct check *c, const struct check_statement *s)
{
	struct check_link *l = check_link(c, 0);
	struct check_made *m = lettered(c, s->filters);
	int64_t end = nr_now_ms() + LETTERS_TIMES * c->timeout;
	const char *p;

	if (l == NULL || !is_taken(l, m))
		return;
	for (p = s->filters; *p != '\0'; p++) {
		if (nr_now_ms() > end) {
			(void)check_skip(c, "slow: as far as #%c", *p);
			return;
		}
		if (!is_found_by(l, *p, m))
			return;
	}
}

#define W(id, text, run, filters, arg) \
	{ 1, id, text, CHECK_WRITE, run, filters, arg }

const struct check_statement check_odd_list[] = {
	W("nip01-letters-lower", "tags of all letters a to z are found",
	    letters, "abcdefghijklmnopqrstuvwxyz", 0),
	W("nip01-letters-upper", "tags of all letters A to Z are found",
	    letters, "ABCDEFGHIJKLMNOPQRSTUVWXYZ", 0),
	W("nip01-odd-empty-tags", "an event with empty tags is accepted and "
	    "served, or refused", odd_tags, "[],[]", 0),
	W("nip01-odd-references", "an event whose e, p and a tags refer to "
	    "nothing is accepted and served, or refused", odd_tags,
	    "[\"e\",\"\"],[\"p\",\"npub1x\"],[\"a\",\"x\"],[\"e\"]", 0),
	W("nip01-odd-time-zero", "an event of created_at 0 is accepted and "
	    "served, or refused", at_zero, NULL, 0),
	W("nip01-control", "a control character in content is hashed as it "
	    "is", kept_if_taken, "a\\u0001b", 0),
	W("nip01-week-old", "an event of a week ago is accepted, and found",
	    old, NULL, 7 * 86400),
	W("nip01-contacts-large", "in a contact list of 500 keys the last is "
	    "found", contacts, NULL, 0),
	W("nip01-written-escapes", "an event may be sent with JSON escapes "
	    "that nobody needs", written, "Plain/text\0"
	    "\\u0050lain\\/te\\u0078t", 0),
	W("nip01-written-spaces", "an event may be sent with white space in "
	    "its JSON", written, ",\"kind\":\0" " ,\t\"kind\" : ", 0),
	W("nip01-written-order", "an event may be sent with its fields in "
	    "another order", written, NULL, 0),
	W("nip01-at-once", "the same event sent twice at once gets two OKs",
	    same_at_once, NULL, 0),
	W("nip01-versions-at-once", "of versions sent at once the newest "
	    "stays", versions_at_once, NULL, 10003),
	{ 1, "nip01-reconnect", "ten connections one after the other are "
	    "accepted", 0, reconnect, NULL, 0 },
	{ 40, "nip40-odd", "an event whose expiration is not a number is "
	    "accepted and served, or refused", CHECK_WRITE, odd_tags,
	    "[\"expiration\",\"soon\"]", 0 },
	{ 0 }
};
