/*
 * nr-bench check: filters by author, kind, tag and time, where nothing is
 * published.  What else a relay has is not known, and may change: so the
 * event that they are made from must be among what comes.
 */
#include "check.h"

#include <inttypes.h>
#include <stdio.h>

#include "event/tags.h"
#include "util/buf.h"
#include "util/hex.h"

#define TAG_VALUE	100	/* bytes; longer ones are not found everywhere */
#define LIMIT		100	/* of these filters */

/* A tag that everybody finds events by, of the first event that has one. */
static const struct nr_event *
find_tag(const struct check *c, struct nr_tag *tag)
{
	struct nr_tags it;
	char letter;
	size_t i;

	for (i = 0; i < c->nhay; i++) {
		nr_tags_start(&it, c->hay[i]->tags);
		while (nr_tags_next(&it, tag)) {
			letter = nr_tag_letter(tag);
			if ((letter == 'e' || letter == 'p' ||
			    letter == 't') && tag->value.len > 0 &&
			    tag->value.len <= TAG_VALUE)
				return c->hay[i];
		}
	}
	return NULL;
}

static int
is_among(const struct check_got *g, const struct nr_event *ev)
{
	size_t i;

	for (i = 0; i < g->n && i < CHECK_GOT; i++)
		if (check_is_live(g->event[i], ev->id))
			return 1;
	return 0;
}

/* Is it still there, if not for this filter? */
static int
is_there(struct check_link *l, const struct nr_event *ev)
{
	char hex[64], filter[128];
	struct check_got g;

	nr_hex_encode(hex, ev->id, 32);
	snprintf(filter, sizeof(filter), "{\"ids\":[\"%.64s\"]}", hex);
	return check_read(l, filter, &g) && is_among(&g, ev);
}

/*
 * It must come, unless so many events of its second do that it may have
 * been cut off.
 */
static void
must_find(struct check *c, const char *filter, const struct nr_event *ev)
{
	struct check_link *l = check_link(c, 0);
	struct check_got g;

	if (l == NULL || !check_read(l, filter, &g))
		return;
	check_expect(c, "at most %d events, among them one that the relay "
	    "has shown", LIMIT);
	check_saw(c, "%zu events", g.n);
	if (g.n > LIMIT)
		(void)check_fail(c, "%zu events", g.n);
	else if (is_among(&g, ev))
		return;
	else if (g.n == LIMIT || check_is_cut(c, (int)g.n + 1))
		(void)check_skip(c, "needs fewer events of one second");
	else if (is_there(l, ev))
		(void)check_fail(c, "%zu events without it", g.n);
	else if (c->result == CHECK_PASS)
		(void)check_skip(c, "the event has gone meanwhile");
}

static void
by_filter(struct check *c, const struct check_statement *s)
{
	must_find(c, s->filters, c->hay[0]);
}

static void
by_tag(struct check *c, const struct check_statement *s)
{
	const struct nr_event *ev;
	struct nr_buf b = { 0 };
	struct nr_tag tag;
	char hex[64];

	if ((ev = find_tag(c, &tag)) == NULL) {
		(void)check_skip(c, "needs an event with a tag e, p or t");
		return;
	}
	nr_hex_encode(hex, ev->pubkey, 32);
	check_need(nr_buf_addf(&b, "{\"#%c\":[\"%.*s\"],", nr_tag_letter(&tag),
	    (int)tag.value.len, tag.value.p));
	if (s->arg)
		check_need(nr_buf_addf(&b, "\"authors\":[\"%.64s\"],"
		    "\"kinds\":[%u],", hex, ev->kind));
	check_need(nr_buf_addf(&b, "\"since\":%" PRId64 ",\"until\":%" PRId64
	    ",\"limit\":%d}", ev->created_at, ev->created_at, LIMIT));
	check_need(nr_buf_add(&b, "", 1));
	must_find(c, b.p, ev);
	nr_buf_free(&b);
}

#define S(id, text, run, filters, arg) \
	{ 1, id, text, CHECK_HAYSTACK | CHECK_SHOWN, run, filters, arg }
#define THEN	"\"since\":@t0,\"until\":@t0,\"limit\":100}"

const struct check_statement check_shown_list[] = {
	S("nip01-shown-time", "an event that is shown is found by its time",
	    by_filter, "{" THEN, 0),
	S("nip01-shown-author", "an event that is shown is found by its author "
	    "and time", by_filter, "{\"authors\":[\"@a0\"]," THEN, 0),
	S("nip01-shown-kind", "an event that is shown is found by its kind and "
	    "time", by_filter, "{\"kinds\":[@k0]," THEN, 0),
	S("nip01-shown-author-kind", "an event that is shown is found by its "
	    "author, kind and time, beside others",
	    by_filter, "{\"authors\":[\"@x\",\"@a0\"],\"kinds\":[@k0,@k1],"
	    THEN, 0),
	S("nip01-shown-newest", "an event that is shown is among its "
	    "author's newest up to its second", by_filter,
	    "{\"authors\":[\"@a0\"],\"kinds\":[@k0],\"until\":@t0,"
	    "\"limit\":100}", 0),
	S("nip01-shown-tag", "an event that is shown is found by a tag and "
	    "its time", by_tag, NULL, 0),
	S("nip01-shown-tag-author", "an event that is shown is found by a tag, "
	    "its author, kind and time", by_tag, NULL, 1),
	{ 0 }
};
