/*
 * nr-bench check: what comes after EOSE.  That something does not come is
 * seen by what comes behind it: an event for another subscription of the
 * same connection, published later.
 */
#include "check.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "util/times.h"

#define HERE	"\"#h\":[\"@T\"]"

struct listening {
	const unsigned char	*id;
	const char		*sub;
};

static int
is_for(const struct check_msg *m, const void *arg)
{
	const struct listening *w = arg;

	return check_is_live(m, w->id) && nr_answer_is(&m->a, w->sub);
}

static int
hears(struct check_link *l, const struct check_made *m, const char *sub)
{
	struct listening w = { m->ev.id, sub };

	check_expect(l->check, "the event within %lld ms of its OK",
	    (long long)l->check->timeout);
	if (check_await(l, CHECK_OF_LIVE, is_for, &w) != NULL)
		return 1;
	return check_missed(l, "the event did not come");
}

/* It has not come, though what is behind it has. */
static int
hears_not(struct check_link *l, const struct check_made *m, const char *sub,
    const char *what)
{
	struct listening w = { m->ev.id, sub };

	check_expect(l->check, "nothing %s", what);
	if (!check_fence(l))
		return 0;
	return check_wait(l, is_for, &w, 1) == NULL ||
	    check_fail(l->check, "the event came %s", what);
}

/* A subscription on the second link; nothing is stored for it. */
static struct check_link *
listen(struct check *c, const char *id, const char *filters)
{
	struct check_link *l = check_link(c, 1);
	struct check_got g;
	char shown[CHECK_TEXT];

	if (l == NULL || !check_query(l, id, filters, &g))
		return NULL;
	if (g.end == CHECK_EOSE)
		return l;
	if (!check_is_policy(c, g.last))
		check_fail(c, "%s", check_show(g.last, shown));
	return NULL;
}

static struct check_made *
note(struct check *c, const char *tags)
{
	return check_make(c, 0, c->kind[0], c->began, tags, "live");
}

/* Published on the first link, and accepted. */
static struct check_made *
say(struct check *c, struct check_made *m)
{
	struct check_link *l = check_link(c, 0);

	return l != NULL && check_store(l, m) ? m : NULL;
}

static void
live(struct check *c, const struct check_statement *s)
{
	struct check_link *l = listen(c, s->id, s->filters);
	struct check_made *m;

	if (l != NULL && (m = say(c, note(c, "[\"h\",\"@T\"]"))) != NULL)
		(void)hears(l, m, s->id);
}

/* What was created before until comes when it is published. */
static void
past(struct check *c, const struct check_statement *s)
{
	struct check_link *l;
	struct check_made *m = check_make(c, 0, c->kind[0], c->began - 200,
	    "[\"h\",\"@T-u\"]", "of the past");
	char filter[64];

	(void)s;
	snprintf(filter, sizeof(filter), "{\"#h\":[\"@T-u\"],\"until\":%"
	    PRId64 "}", c->began - 100);
	if ((l = listen(c, "past", filter)) != NULL && say(c, m) != NULL)
		(void)hears(l, m, "past");
}

static void
same_link(struct check *c, const struct check_statement *s)
{
	struct check_link *l = listen(c, s->id, s->filters);
	struct check_made *m = note(c, "[\"h\",\"@T\"]");

	if (l != NULL && check_store(l, m))
		(void)hears(l, m, s->id);
}

static void
filtered(struct check *c, const struct check_statement *s)
{
	struct check_link *l = listen(c, "filtered", s->filters);
	struct check_made *other, *m;

	if (l != NULL && (other = say(c, note(c, "[\"h\",\"no\"]"))) != NULL &&
	    (m = say(c, note(c, "[\"h\",\"@T-f\"]"))) != NULL &&
	    hears(l, m, "filtered"))
		(void)hears_not(l, other, "filtered", "for a subscription "
		    "that it does not match");
}

static void
unlimited(struct check *c, const struct check_statement *s)
{
	struct check_link *l = listen(c, "limited", s->filters);
	struct check_made *m;
	int i;

	for (i = 0; i < 3; i++)
		if (l == NULL || (m = say(c, note(c, i == 0 ?
		    "[\"h\",\"@T-l\"],[\"n\",\"1\"]" : i == 1 ?
		    "[\"h\",\"@T-l\"],[\"n\",\"2\"]" :
		    "[\"h\",\"@T-l\"],[\"n\",\"3\"]"))) == NULL ||
		    !hears(l, m, "limited"))
			return;
	check_saw(c, "3 events with a limit of 1");
}

static void
closed(struct check *c, const struct check_statement *s)
{
	struct check_link *l = listen(c, "closed", s->filters);
	struct check_made *m;

	if (l == NULL || listen(c, "open", s->filters) == NULL)
		return;
	check_close(l, "closed");
	if (check_fence(l) &&
	    (m = say(c, note(c, "[\"h\",\"@T-c\"]"))) != NULL &&
	    hears(l, m, "open"))
		(void)hears_not(l, m, "closed", "after CLOSE");
}

static void
replaced(struct check *c, const struct check_statement *s)
{
	struct check_link *l = listen(c, "again",
	    "{\"#h\":[\"@T-1\"],\"limit\":5}");
	struct check_made *old, *new;

	(void)s;
	if (l == NULL || listen(c, "again",
	    "{\"#h\":[\"@T-2\"],\"limit\":5}") == NULL)
		return;
	if ((old = say(c, note(c, "[\"h\",\"@T-1\"]"))) != NULL &&
	    (new = say(c, note(c, "[\"h\",\"@T-2\"]"))) != NULL &&
	    hears(l, new, "again"))
		(void)hears_not(l, old, "again", "for a REQ that was replaced");
}

static void
once(struct check *c, const struct check_statement *s)
{
	struct check_link *l = listen(c, "once", s->filters);
	struct check_made *m;

	if (l != NULL && (m = say(c, note(c, "[\"h\",\"@T-o\"]"))) != NULL &&
	    hears(l, m, "once"))
		(void)hears_not(l, m, "once", "a second time");
}

static void
own_close(struct check *c, const struct check_statement *s)
{
	struct check_link *l = listen(c, "shared", s->filters),
	    *other = check_link(c, 0);
	struct check_got g;
	struct check_made *m;

	if (l == NULL || other == NULL ||
	    !check_query(other, "shared", s->filters, &g))
		return;
	check_close(other, "shared");
	if ((m = say(c, note(c, "[\"h\",\"@T-s\"]"))) != NULL)
		(void)hears(l, m, "shared");
}

static void
invalid_silent(struct check *c, const struct check_statement *s)
{
	struct check_link *l = listen(c, "invalid", s->filters),
	    *from = check_link(c, 0);
	struct check_made *bad = note(c, "[\"h\",\"@T-i\"],[\"n\",\"1\"]"),
	    *m;

	check_spoil(bad, bad->len - 10);
	if (l != NULL && from != NULL && check_publish(from, bad) != NULL &&
	    (m = say(c, note(c, "[\"h\",\"@T-i\"]"))) != NULL &&
	    hears(l, m, "invalid"))
		(void)hears_not(l, bad, "invalid", "with a wrong signature");
}

/* ---- ephemeral events */

static void
ephemeral(struct check *c, const struct check_statement *s)
{
	struct check_link *l = listen(c, "passing", s->filters);
	struct check_made *m = check_make(c, 0, 21472, time(NULL), "",
	    "passing");

	if (l != NULL && say(c, m) != NULL)
		(void)hears(l, m, "passing");
}

/* Whatever the OK says: with nobody listening it may be false. */
static void
not_kept(struct check *c, const struct check_statement *s)
{
	struct check_link *l = check_link(c, 0);
	struct check_made *m = check_make(c, 0, 21473, time(NULL), "",
	    "passing by");

	if (l != NULL && check_publish(l, m) != NULL)
		(void)check_finds(l, s->filters, 0);
}

#define L(id, text, run, filters) \
	{ 1, id, text, CHECK_WRITE, run, filters, 0 }

const struct check_statement check_live_list[] = {
	L("nip01-live", "an open subscription gets a new event that matches",
	    live,
	    "{" HERE ",\"limit\":0}"),
	L("nip01-live-by-time", "an open subscription by author, kind and time "
	    "gets a new event that matches",
	    live, "{\"authors\":[\"@A\"],\"kinds\":[@1],\"since\":1,"
	    "\"until\":9007199254740991,\"limit\":0}"),
	L("nip01-live-past", "an open subscription with until in the past gets "
	    "an event of before then", past, NULL),
	L("nip01-live-self", "an open subscription gets what is published on "
	    "the same connection", same_link,
	    "{" HERE ",\"limit\":0}"),
	L("nip01-live-filter", "an open subscription gets only new events that "
	    "match", filtered,
	    "{\"#h\":[\"@T-f\"]}"),
	L("nip01-live-limit", "limit does not count the events that come after "
	    "EOSE",
	    unlimited, "{\"#h\":[\"@T-l\"],\"limit\":1}"),
	L("nip01-live-close", "no event comes for a subscription after its "
	    "CLOSE", closed,
	    "{\"#h\":[\"@T-c\"]}"),
	L("nip01-live-replaced", "no event comes for the filters of a REQ that "
	    "another one replaced",
	    replaced, NULL),
	L("nip01-live-once", "a new event that matches two filters of a "
	    "subscription comes once",
	    once, "{\"#h\":[\"@T-o\"]},{\"#h\":[\"@T-o\"],\"kinds\":[@1]}"),
	L("nip01-live-own", "a CLOSE ends no subscription of another "
	    "connection", own_close, "{\"#h\":[\"@T-s\"]}"),
	L("nip01-live-invalid", "an event that is refused is sent to no "
	    "subscription",
	    invalid_silent, "{\"#h\":[\"@T-i\"]}"),
	L("nip01-ephemeral-live", "an open subscription gets an ephemeral "
	    "event that matches",
	    ephemeral, "{\"kinds\":[21472],\"#t\":[\"@T\"]}"),
	L("nip01-ephemeral-kept", "an ephemeral event is not stored: a later "
	    "REQ does not find it", not_kept,
	    "{\"kinds\":[21473],\"authors\":[\"@A\"]}"),
	{ 0 }
};
