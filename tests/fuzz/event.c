/*
 * The event reader.  What it accepts is written as a normal line that
 * reads back to the same event and the same hashes, is itself in normal
 * form, and does not change when it is normalised again; taking the line
 * apart by its outline finds the same parts.  What smaller limits accept,
 * larger ones do too.
 */
#include "fuzz.h"

#include "event/event.h"
#include "event/tags.h"
#include "event/verify.h"
#include "util/json.h"

static const struct nr_event_limits small = {
	.bytes = 2000, .tags = 4, .tag_items = 4, .tag_bytes = 40, .depth = 3
};

static struct nr_verifier *verifier;

static void
same_fields(const struct nr_event *a, const struct nr_event *b)
{
	MUST(memcmp(a->id, b->id, 32) == 0);
	MUST(memcmp(a->pubkey, b->pubkey, 32) == 0);
	MUST(memcmp(a->sig, b->sig, 64) == 0);
	MUST(a->created_at == b->created_at && a->kind == b->kind);
}

static void
same_text(struct nr_view a, struct nr_view b)
{
	MUST(a.len == b.len && memcmp(a.p, b.p, a.len) == 0);
}

/* The characters that a string's inside stands for stay the same. */
static void
same_characters(struct nr_view a, struct nr_view b)
{
	char *x = malloc(a.len + 1), *y = malloc(b.len + 1);
	size_t n;

	MUST(x != NULL && y != NULL);
	n = nr_json_decode(x, a.p, a.len);
	MUST(n <= a.len);
	MUST(n == nr_json_decode(y, b.p, b.len));
	MUST(memcmp(x, y, n) == 0);
	free(x);
	free(y);
}

static void
walk_tags(const struct nr_event *ev, unsigned want)
{
	unsigned char pubkey[32];
	struct nr_tags it;
	struct nr_view d;
	struct nr_tag tag;
	unsigned n = 0, kind;

	nr_tags_start(&it, ev->tags);
	while (nr_tags_next(&it, &tag)) {
		n++;
		if (tag.value.p != NULL)
			(void)nr_address_parse(tag.value, &kind, pubkey, &d);
	}
	MUST(n == want);
	MUST(nr_event_expiration(ev) >= 0);
	(void)nr_event_d(ev);
	(void)nr_event_protected(ev);
}

/* A view of the line is the event that was read from it. */
static void
views(const struct nr_event *ev, const char *line, size_t len)
{
	unsigned char id[32];
	struct nr_event v;

	MUST(nr_event_view(&v, line, len));
	same_fields(ev, &v);
	same_text(ev->tags, v.tags);
	same_text(ev->content, v.content);
	MUST(nr_event_view_id(id, line, len));
	MUST(memcmp(id, ev->id, 32) == 0);
	MUST(nr_event_view_head(&v, line, len));
	walk_tags(&v, ev->ntags);
}

static void
round_trip(struct nr_event *ev, size_t size)
{
	unsigned char hash[2][32], again[2][32];
	struct nr_view content = ev->content;
	unsigned ntags = ev->ntags;
	struct nr_event back;
	char *line, *twice;
	size_t len, pos;
	int i;

	line = malloc(NR_EVENT_LINE_MAX(size));
	MUST(line != NULL);
	len = nr_event_normalise(ev, line);
	MUST(len <= NR_EVENT_LINE_MAX(size));
	same_characters(content, ev->content);
	line = realloc(line, len);	/* its end is now an end of memory */
	MUST(line != NULL);
	MUST(nr_event_read(&back, line, len, &nr_event_limits_pipe, &pos) ==
	    NR_VALID);
	MUST(back.flags & NR_EVENT_NORMAL);
	MUST(back.ntags == ntags);
	same_fields(ev, &back);
	views(&back, line, len);
	walk_tags(&back, ntags);
	for (i = 0; i < 2; i++)
		nr_event_hash(verifier, &back, i, hash[i]);
	/* Once by copying, and once by doing all the work again. */
	for (i = 0; i < 2; i++) {
		struct nr_event e = back;

		if (i == 1)
			e.flags &= ~NR_EVENT_NORMAL;
		twice = malloc(NR_EVENT_LINE_MAX(len));
		MUST(twice != NULL);
		MUST(nr_event_normalise(&e, twice) == len);
		MUST(memcmp(line, twice, len) == 0);
		nr_event_hash(verifier, &e, 0, again[0]);
		nr_event_hash(verifier, &e, 1, again[1]);
		MUST(memcmp(hash, again, sizeof(hash)) == 0);
		free(twice);
	}
	free(line);
}

/*
 * What is an event is a draft, unless it has other fields; what is a draft
 * makes a line that is an event, once it has a pubkey.
 */
static void
draft(const char *json, size_t size, int valid)
{
	struct nr_event ev, back;
	enum nr_verdict v;
	unsigned has = 0;
	size_t pos, len;
	char *line;

	v = nr_event_read_draft(&ev, json, size, &nr_event_limits_pipe, &has,
	    &pos);
	MUST(pos <= size && v < NR_BAD_ID);
	MUST(!valid || v == NR_VALID || v == NR_BAD_UNKNOWN_KEY);
	if (v != NR_VALID)
		return;
	len = NR_EVENT_LINE_MAX(NR_EVENT_FRAME + ev.tags.len + ev.content.len);
	MUST((line = malloc(len)) != NULL);
	pos = nr_event_normalise(&ev, line);
	MUST(pos <= len);
	MUST((line = realloc(line, len = pos)) != NULL);
	MUST(nr_event_read(&back, line, len, &nr_event_limits_pipe, &pos) ==
	    NR_VALID);
	same_fields(&ev, &back);
	free(line);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *json = copy_of(data, size);
	struct nr_event ev, other;
	enum nr_verdict v, less;
	const char *id;
	size_t pos;

	if (verifier == NULL)
		MUST(nr_verifier_new(&verifier) == 0);
	id = nr_event_peek_id(json, size);
	MUST(id == NULL || (id > json && id + 64 < json + size));
	v = nr_event_read(&ev, json, size, &nr_event_limits_pipe, &pos);
	MUST(pos <= size && v < NR_BAD_ID);
	less = nr_event_read(&other, json, size, &small, &pos);
	MUST(pos <= size && less < NR_BAD_ID);
	MUST(less != NR_VALID || v == NR_VALID);
	if (v == NR_VALID)
		round_trip(&ev, size);
	draft(json, size, v == NR_VALID);
	free(json);
	return 0;
}
