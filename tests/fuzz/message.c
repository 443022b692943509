/*
 * Clients' messages.  What is taken apart lies within the text; a
 * subscription id is normal text of at most 64 characters, so that the
 * answers that echo it are JSON; filters are found one after the other up
 * to the end.
 */
#include "fuzz.h"

#include "filter/filter.h"
#include "util/json.h"
#include "wire/message.h"

/* Is b one JSON value and nothing else? */
static void
is_json(const struct nr_buf *b)
{
	struct nr_json j = { b->p, b->p + b->len };

	MUST(nr_json_skip(&j, NR_JSON_DEPTH_MAX) == NR_JSON_OK);
	MUST(j.p == j.end);
}

/* A refused message's id goes back as it was given. */
static void
refusal(const struct nr_client_message *m, const char *why)
{
	struct nr_buf b = { 0 };

	MUST(nr_write_closed(&b, m->given, why) == 0);
	is_json(&b);
	nr_buf_free(&b);
}

static void
echo(const struct nr_client_message *m, const char *why)
{
	static const unsigned char registers[256] = { 1, 255 };
	struct nr_view sub = { m->subid, m->subid_len };
	struct nr_buf b = { 0 };

	MUST(nr_write_closed(&b, sub, why) == 0);
	is_json(&b);
	b.len = 0;
	MUST(nr_write_count(&b, sub, 7, 1, registers) == 0);
	is_json(&b);
	nr_buf_free(&b);
}

static void
subid(const struct nr_client_message *m)
{
	char text[NR_SUBID_BYTES + 2], plain[NR_SUBID_BYTES];
	struct nr_json j = { text, text + m->subid_len + 2 };
	struct nr_view v;
	size_t n, i, chars = 0;
	unsigned flags = 0;

	MUST(m->subid_len > 0 && m->subid_len <= NR_SUBID_BYTES);
	text[0] = text[m->subid_len + 1] = '"';
	memcpy(text + 1, m->subid, m->subid_len);
	MUST(nr_json_string(&j, &v, &flags) == NR_JSON_OK);
	MUST(v.len == m->subid_len && !(flags & NR_JSON_REWRITE));
	n = nr_json_decode(plain, v.p, v.len);
	for (i = 0; i < n; i++)
		chars += (plain[i] & 0xc0) != 0x80;
	MUST(chars <= NR_SUBID_CHARS);
}

/* As a session does it: a filter after each comma. */
static void
filters(struct nr_view rest)
{
	static const struct nr_filter_limits limits = { 100 };
	const char *why;
	struct nr_filter f;
	struct nr_json j;
	size_t before;
	int more;

	for (;;) {
		before = rest.len;
		more = nr_client_next_filter(&rest);
		if (more <= 0)
			break;
		MUST(rest.len < before);
		j.p = rest.p;
		j.end = rest.p + rest.len;
		MUST(nr_filter_read(&f, &j, &limits, &why) == 0);
		if (why != NULL)
			break;
		nr_filter_free(&f);
		MUST(j.p > rest.p && j.p <= j.end);
		rest.len = (size_t)(j.end - j.p);
		rest.p = j.p;
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = copy_of(data, size), *end = text + size;
	struct nr_client_message m;
	const char *why;
	int has_sub = -1;

	memset(&m, 0, sizeof(m));
	nr_client_read(&m, text, size, &why, &has_sub);
	MUST(has_sub == 0 || has_sub == 1);
	if (has_sub && why != NULL)
		refusal(&m, why);
	else if (has_sub) {
		subid(&m);
		echo(&m, "");
	}
	if (why == NULL && (m.verb == NR_CLIENT_EVENT ||
	    m.verb == NR_CLIENT_AUTH))
		MUST(m.event.p > text && m.event.p + m.event.len < end);
	if (why == NULL && (m.verb == NR_CLIENT_REQ ||
	    m.verb == NR_CLIENT_COUNT)) {
		MUST(has_sub && m.rest.p > text &&
		    m.rest.p + m.rest.len == end);
		filters(m.rest);
	}
	free(text);
	return 0;
}
