/*
 * nr-bench check: filters.  What must come is what our own matching finds
 * in the events that are known to be there.
 */
#include "check.h"

#include <stdio.h>
#include <string.h>

#include "util/buf.h"

enum { IN_ORDER, BY_TIME, ANY_ORDER, NOTHING };

/* An answer that must be empty, or a refusal. */
static void
nothing(struct check_link *l, const char *filters)
{
	struct check_got g;
	char shown[CHECK_TEXT];

	check_expect(l->check, "0 events, or CLOSED");
	if (!check_query(l, NULL, filters, &g))
		return;
	if (g.end == CHECK_CLOSED) {
		check_saw(l->check, "%s", check_show(g.last, shown));
		return;
	}
	check_close(l, g.id);
	(void)check_same(l->check, NULL, 0, &g, 2);
	check_expect(l->check, "0 events, or CLOSED");
}

int
check_is_cut(const struct check *c, int n)
{
	int64_t most = check_limit(c, "max_limit"),
	    unasked = check_limit(c, "default_limit");

	return (most > 0 && n > most) || (unasked > 0 && n > unasked);
}

static void
finds(struct check *c, const struct check_statement *s)
{
	struct check_link *l = check_link(c, 0);
	const struct nr_event *want[CHECK_HAY];
	struct nr_buf b = { 0 };
	struct check_got g;
	int n;

	if (l == NULL)
		return;
	if (s->arg == NOTHING) {
		nothing(l, s->filters);
		return;
	}
	n = check_answer(c, check_fill(c, &b, s->filters), want);
	nr_buf_free(&b);
	if (n < 0)
		(void)check_skip(c, "nr-bench does not know this filter");
	else if (check_is_cut(c, n))
		(void)check_skip(c, "more events than NIP-11 allows");
	else if (check_read(l, s->filters, &g))
		(void)check_same(c, want, (size_t)n, &g,
		    s->arg == IN_ORDER ? 2 : s->arg == BY_TIME);
}

/* All of the hay is there, or why it is not. */
static void
published(struct check *c, const struct check_statement *s)
{
	check_expect(c, "%s", s->text);
	if (c->hay_result == CHECK_FAIL)
		(void)check_fail(c, "%s", c->no_hay);
	else if (c->hay_result == CHECK_SKIP)
		(void)check_skip(c, "%s", c->no_hay);
	else
		check_saw(c, "%zu events", c->nhay);
}

#define READ(id, text, filters, order) \
	{ 1, id, text, CHECK_HAYSTACK, finds, filters, order }
#define MADE(id, text, filters, order) \
	{ 1, id, text, CHECK_HAYSTACK | CHECK_WRITE, finds, filters, order }
#define FOUR	"\"ids\":[\"@i0\",\"@i1\",\"@i2\",\"@i3\"]"
#define RUN	"\"#t\":[\"@T\"]"
#define OURS	"\"authors\":[\"@A\",\"@B\"],\"kinds\":[@1,@2]"

const struct check_statement check_filter_list[] = {
	{ 1, "nip01-publish", "simple events are accepted, whatever tags they "
	    "have",
	    CHECK_WRITE, published, NULL, 0 },
	READ("nip01-ids", "a filter by ids finds exactly these events",
	    "{" FOUR "}", ANY_ORDER),
	READ("nip01-ids-order", "events found by id come newest first",
	    "{" FOUR "}", BY_TIME),
	READ("nip01-ids-unknown", "a filter by an unknown id finds nothing",
	    "{\"ids\":[\"@x\"]}", IN_ORDER),
	READ("nip01-ids-repeated", "an id that is named twice in a filter "
	    "gives one event",
	    "{\"ids\":[\"@i0\",\"@i0\",\"@x\"]}", IN_ORDER),
	READ("nip01-limit", "limit 2 of 4 events gives the newest 2",
	    "{" FOUR ",\"limit\":2}", BY_TIME),
	READ("nip01-limit-one", "limit 1 of 4 events gives the newest",
	    "{" FOUR ",\"limit\":1}", BY_TIME),
	READ("nip01-limit-more", "a limit larger than the number of events "
	    "gives all of them",
	    "{" FOUR ",\"limit\":50}", ANY_ORDER),
	READ("nip01-limit-zero", "limit 0 gives no stored events",
	    "{" FOUR ",\"limit\":0}", IN_ORDER),
	READ("nip01-since-inclusive", "since includes events of its own second",
	    "{" FOUR ",\"since\":@t1}", ANY_ORDER),
	READ("nip01-until-inclusive", "until includes events of its own second",
	    "{" FOUR ",\"until\":@t1}", ANY_ORDER),
	READ("nip01-since-until", "since and until of the same second find the "
	    "events of that second",
	    "{" FOUR ",\"since\":@t2,\"until\":@t2}", ANY_ORDER),
	READ("nip01-since-after", "events older than since are not found",
	    "{\"ids\":[\"@i0\"],\"since\":@n0}", IN_ORDER),
	READ("nip01-until-before", "events newer than until are not found",
	    "{\"ids\":[\"@i0\"],\"until\":@b0}", IN_ORDER),
	READ("nip01-until-far", "until may be far in the future",
	    "{" FOUR ",\"until\":9007199254740991}", ANY_ORDER),
	READ("nip01-since-zero", "since may be 0",
	    "{" FOUR ",\"since\":0}", ANY_ORDER),
	READ("nip01-and-author", "a filter by id and the right author finds "
	    "the event",
	    "{\"ids\":[\"@i0\"],\"authors\":[\"@a0\"]}", IN_ORDER),
	READ("nip01-and-author-other", "a filter by id and another author "
	    "finds nothing",
	    "{\"ids\":[\"@i0\"],\"authors\":[\"@x\"]}", IN_ORDER),
	READ("nip01-and-kind", "a filter by id and the right kind finds the "
	    "event",
	    "{\"ids\":[\"@i0\"],\"kinds\":[@k0]}", IN_ORDER),
	READ("nip01-and-kind-other", "a filter by id and another kind finds "
	    "nothing",
	    "{\"ids\":[\"@i0\"],\"kinds\":[@K0]}", IN_ORDER),
	READ("nip01-and-tag-other", "a filter by id and another tag value "
	    "finds nothing",
	    "{\"ids\":[\"@i0\"],\"#t\":[\"@x\"]}", IN_ORDER),
	READ("nip01-and-all", "all conditions of a filter must match",
	    "{\"ids\":[\"@i1\",\"@i0\"],\"authors\":[\"@a1\"],\"kinds\":"
	    "[@k1],\"since\":@t1,\"until\":@t1}", ANY_ORDER),
	READ("nip01-or", "a REQ with two filters finds what either matches",
	    "{\"ids\":[\"@i0\"]},{\"ids\":[\"@i2\"]}", ANY_ORDER),
	READ("nip01-or-once", "an event that matches two filters of a REQ "
	    "comes once",
	    "{\"ids\":[\"@i0\",\"@i1\"]},{\"ids\":[\"@i1\"]}", ANY_ORDER),
	READ("nip01-or-limit", "each filter of a REQ has its own limit",
	    "{\"ids\":[\"@i0\",\"@i1\"],\"limit\":1},"
	    "{\"ids\":[\"@i2\"],\"limit\":1}", ANY_ORDER),
	READ("nip01-prefix-id", "the beginning of an id finds nothing",
	    "{\"ids\":[\"@p0\"]}", NOTHING),
	READ("nip01-prefix-author", "the beginning of a public key finds "
	    "nothing",
	    "{\"ids\":[\"@i0\"],\"authors\":[\"@p0\"]}", NOTHING),
	READ("nip01-id-upper-case", "an id in upper case finds nothing",
	    "{\"ids\":[\"@I0\"]}", NOTHING),
	READ("nip01-empty-ids", "an empty list of ids finds nothing",
	    "{\"ids\":[],\"limit\":5}", NOTHING),
	READ("nip01-empty-kinds", "an empty list of kinds finds nothing",
	    "{\"ids\":[\"@i0\"],\"kinds\":[]}", NOTHING),
	READ("nip01-empty-tag", "an empty list of tag values finds nothing",
	    "{\"ids\":[\"@i0\"],\"#e\":[]}", NOTHING),

	MADE("nip01-tag", "a filter by tag finds all events that have it",
	    "{" RUN "}", ANY_ORDER),
	MADE("nip01-order", "events found by tag come newest first",
	    "{" RUN "}", BY_TIME),
	MADE("nip01-order-authors", "events of several authors and kinds come "
	    "newest first", "{" OURS "," RUN "}", BY_TIME),
	MADE("nip01-order-ties", "of events of the same second the lowest id "
	    "comes first",
	    "{" RUN ",\"since\":@t4,\"until\":@t4}", IN_ORDER),
	MADE("nip01-limit-newest", "limit 5 of 12 events gives the newest 5",
	    "{" RUN ",\"limit\":5}", IN_ORDER),
	MADE("nip01-limit-authors", "limit gives the newest events over "
	    "several authors and kinds",
	    "{" OURS "," RUN ",\"limit\":4}", IN_ORDER),
	MADE("nip01-limit-ties", "a limit that cuts events of the same second "
	    "keeps the lowest ids",
	    "{" RUN ",\"until\":@t4,\"limit\":2}", IN_ORDER),
	MADE("nip01-until-tag", "until includes its own second, for a filter "
	    "by tag",
	    "{" RUN ",\"until\":@t4}", ANY_ORDER),
	MADE("nip01-since-tag", "since includes its own second, for a filter "
	    "by tag",
	    "{" RUN ",\"since\":@t4}", ANY_ORDER),
	MADE("nip01-until-author", "until includes its own second, for a "
	    "filter by author",
	    "{\"authors\":[\"@A\"],\"kinds\":[@1],\"until\":@t4," RUN "}",
	    ANY_ORDER),
	MADE("nip01-since-kind", "since and until include their own second, "
	    "for a filter by kind",
	    "{\"kinds\":[@1,@2],\"since\":@t4,\"until\":@t4," RUN "}",
	    ANY_ORDER),
	MADE("nip01-author", "a filter by author finds the author's events",
	    "{\"authors\":[\"@B\"],"
	    "\"kinds\":[@1,@2]," RUN "}", ANY_ORDER),
	MADE("nip01-author-kind", "a filter by author and kind finds the "
	    "author's events of that kind",
	    "{\"authors\":[\"@A\"],\"kinds\":[@2]," RUN "}", ANY_ORDER),
	MADE("nip01-tags-and", "conditions on two tags must both match",
	    "{" RUN ",\"#g\":[\"one\"]}", ANY_ORDER),
	MADE("nip01-tags-or", "one of the values that a filter lists for a tag "
	    "is enough",
	    "{" RUN ",\"#g\":[\"one\",\"three\"]}", ANY_ORDER),
	MADE("nip01-tag-case", "#G finds tags named G, and not those named g",
	    "{" RUN ",\"#G\":[\"one\"]}", ANY_ORDER),
	MADE("nip01-tag-first-value", "only the first value of a tag is found",
	    "{" RUN ",\"#g\":[\"two\"]}", ANY_ORDER),
	MADE("nip01-tag-whole-value", "part of a tag value, or another case, "
	    "finds nothing", "{" RUN ",\"#g\":[\"on\",\"thre\",\"ONE\"]}",
	    IN_ORDER),
	MADE("nip01-tag-characters", "tag values with quotes, backslashes and "
	    "Cyrillic letters are found",
	    "{" RUN ",\"#g\":[\"\xd0\x98 \\\"q\\\" "
	    "\\\\\"]}", ANY_ORDER),
	MADE("nip01-tag-space", "tag values with spaces are found",
	    "{" RUN ",\"#g\":[\"one two\"]}", ANY_ORDER),
	MADE("nip01-tag-p", "#p finds events by a public key",
	    "{\"#p\":[\"@A\"]," RUN "}", ANY_ORDER),
	MADE("nip01-tag-e", "#e finds events by an event id",
	    "{\"#e\":[\"@x\"]," RUN "}", ANY_ORDER),
	MADE("nip01-tag-a", "#a finds events by an address",
	    "{\"#a\":[\"30023:@A:x:y\"]," RUN "}", ANY_ORDER),
	MADE("nip01-tag-r", "#r finds one event by a value that no other has",
	    "{\"#r\":[\"@T-r\"]}", ANY_ORDER),
	MADE("nip01-tag-author-until", "a filter by tag, author, kind and time "
	    "finds what matches all",
	    "{" RUN ",\"authors\":[\"@A\"],\"kinds\":[@1],\"since\":@t2,"
	    "\"until\":@t5,\"limit\":3}", ANY_ORDER),
	MADE("nip01-or-tags", "a REQ with two filters by tag finds each event "
	    "once",
	    "{" RUN ",\"#g\":[\"one\"]},{" RUN ",\"authors\":[\"@A\"],"
	    "\"limit\":3}", ANY_ORDER),
	{ 0 }
};
