/*
 * nr-bench check: search (NIP-50).  How well a relay searches is its own
 * affair; here words are such as nobody else has written, so that whatever
 * searches at all finds them, and nothing better.
 */
#include "check.h"

#include <stdio.h>
#include <string.h>

#include "util/times.h"

#define INDEXING	1000	/* ms until what was published is found */

static int
came(const struct check_got *g, const struct check_made *m)
{
	size_t i;

	for (i = 0; i < g->n && i < CHECK_GOT; i++)
		if (check_is_live(g->event[i], m->ev.id))
			return 1;
	return 0;
}

/* Is it among what is found?  Who searches may index a little later. */
static int
is_found(struct check_link *l, const char *filters,
    const struct check_made *m, struct check_got *g)
{
	int64_t until = nr_now_ms() + INDEXING;

	while (check_read(l, filters, g) && !came(g, m) &&
	    nr_now_ms() < until && l->check->signals.last == 0)
		check_spin(l->check, nr_now_ms() + INDEXING / 10);
	if (l->check->result != CHECK_PASS)
		return 0;
	check_expect(l->check, "the event with these words");
	check_saw(l->check, "%zu event%s", g->n, g->n == 1 ? "" : "s");
	return came(g, m) || check_fail(l->check, "%zu event%s without it",
	    g->n, g->n == 1 ? "" : "s");
}

static void
found(struct check *c, const struct check_statement *s)
{
	struct check_link *l = check_link(c, 0);
	struct check_made *m = check_make(c, 0, 1, c->began - 60, "",
	    "the quagga of @T grazes quietly");
	struct check_got g;

	if (l != NULL && check_store(l, m))
		(void)is_found(l, s->filters, m, &g);
}

/* The same words by somebody else, and in another kind, do not come. */
static void
narrowed(struct check *c, const struct check_statement *s)
{
	struct check_link *l = check_link(c, 0);
	struct check_made *m, *author, *kind;
	struct check_got g;

	m = check_make(c, 0, 1, c->began - 60, "", "an aurochs of @T");
	author = check_make(c, 1, 1, c->began - 59, "", "an aurochs of @T");
	kind = check_make(c, 0, 7, c->began - 58, "", "an aurochs of @T");
	if (l == NULL || !check_store(l, author) || !check_store(l, kind) ||
	    !check_store(l, m) || !is_found(l, s->filters, m, &g))
		return;
	check_expect(c, "nothing by another author or of another kind");
	if (came(&g, author) || came(&g, kind))
		(void)check_fail(c, "an event %s", came(&g, author) ?
		    "by another author" : "of another kind");
}

/* It matches less than what is older: with a limit of 1 it is not it. */
static void
best(struct check *c, const struct check_statement *s)
{
	struct check_link *l = check_link(c, 0);
	struct check_made *m, *newer;
	struct check_got g;

	m = check_make(c, 2, 1, c->began - 60, "", "an okapi of @T stands");
	newer = check_make(c, 2, 1, c->began - 50, "", "something else");
	if (l != NULL && check_store(l, m) && check_store(l, newer))
		(void)is_found(l, s->filters, m, &g);
}

static void
either(struct check *c, const struct check_statement *s)
{
	struct check_link *l = check_link(c, 0);
	struct check_made *one, *two;
	struct check_got g;

	one = check_make(c, 0, 1, c->began - 60, "", "the dodo of @T-1");
	two = check_make(c, 0, 1, c->began - 59, "", "the moa of @T-2");
	if (l != NULL && check_store(l, one) && check_store(l, two) &&
	    is_found(l, s->filters, one, &g) && !came(&g, two))
		(void)check_fail(c, "only what the first filter is about");
}

#define S(id, text, run, filters) \
	{ 50, id, text, CHECK_WRITE, run, filters, 0 }

const struct check_statement check_search_list[] = {
	S("nip50-words", "a search for words finds the event that has them",
	    found, "{\"search\":\"quagga @T\",\"limit\":20}"),
	S("nip50-kind", "with kinds and authors in the filter, a search finds "
	    "nothing else", narrowed, "{\"search\":\"aurochs @T\",\"kinds\":"
	    "[1],\"authors\":[\"@A\"],\"limit\":20}"),
	S("nip50-extension", "a key:value in a search that the relay does not "
	    "know is ignored", found, "{\"search\":\"quagga nonsense:x\","
	    "\"authors\":[\"@A\"],\"limit\":20}"),
	S("nip50-best", "limit 1 gives the best match, not the newest event",
	    best, "{\"search\":\"okapi @T\",\"authors\":[\"@C\"],\"kinds\":"
	    "[1],\"limit\":1}"),
	S("nip50-or", "several filters with a search each find what either "
	    "finds", either, "{\"search\":\"dodo\",\"authors\":[\"@A\"],"
	    "\"limit\":20},{\"search\":\"moa\",\"authors\":[\"@A\"],"
	    "\"limit\":20}"),
	{ 0 }
};
