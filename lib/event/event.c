/*
 * The event reader, and the normal line.
 *
 * Reading is one pass: each field is checked and remembered where it
 * stands.  Only text that is not normal is ever copied.
 */
#include "event/event.h"

#include <assert.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "util/hex.h"
#include "util/json.h"

const struct nr_event_limits nr_event_limits_pipe = {
	.bytes = NR_EVENT_MAX,
	.tags = UINT_MAX,
	.tag_items = UINT_MAX,
	.tag_bytes = SIZE_MAX,
	.depth = NR_JSON_DEPTH_MAX,
};

/* The fields, in the order of the normal line. */
enum field {
	ID, PUBKEY, CREATED_AT, KIND, TAGS, CONTENT, SIG, NFIELDS
};

static const char *const field_name[NFIELDS] = {
	"id", "pubkey", "created_at", "kind", "tags", "content", "sig"
};

/* A read in progress. */
struct reader {
	struct nr_json			 j;
	struct nr_event			*ev;
	const struct nr_event_limits	*limits;
	int				 rewrite;	/* not normal */
	int				 draft;
	unsigned			 seen;		/* 1u << field */
};

static enum nr_verdict
from_json(enum nr_json_rc rc)
{
	static const enum nr_verdict map[] = {
		[NR_JSON_OK] = NR_VALID,
		[NR_JSON_SYNTAX] = NR_BAD_SYNTAX,
		[NR_JSON_TRUNCATED] = NR_BAD_TRUNCATED,
		[NR_JSON_UTF8] = NR_BAD_UTF8,
		[NR_JSON_CONTROL] = NR_BAD_CONTROL,
		[NR_JSON_ESCAPE] = NR_BAD_ESCAPE,
		[NR_JSON_SURROGATE] = NR_BAD_SURROGATE,
		[NR_JSON_NUL] = NR_BAD_NUL,
		[NR_JSON_DEPTH] = NR_BAD_DEPTH,
	};

	assert(rc < sizeof(map) / sizeof(map[0]));
	return map[rc];
}

/* Is the next byte c?  White space before it is passed over. */
static int
next_is(struct nr_json *j, char c)
{
	nr_json_space(j);
	return j->p < j->end && *j->p == c;
}

/*
 * The value at j->p is not of the type wanted: say so, unless it is no
 * value at all.
 */
static enum nr_verdict
wrong_type(struct reader *r, enum nr_verdict wanted)
{
	const char *start = r->j.p;
	enum nr_json_rc rc;

	if ((rc = nr_json_skip(&r->j, r->limits->depth)) != NR_JSON_OK)
		return from_json(rc);
	r->j.p = start;
	return wanted;
}

static enum nr_verdict
read_hex(struct reader *r, unsigned char *out, size_t n, enum nr_verdict form)
{
	const char *start = r->j.p;
	struct nr_view text;
	enum nr_json_rc rc;
	unsigned flags = 0;

	if (*r->j.p != '"')
		return wrong_type(r, form);
	if ((rc = nr_json_string(&r->j, &text, &flags)) != NR_JSON_OK)
		return from_json(rc);
	if (text.len == 2 * n && nr_hex_decode(out, text.p, n))
		return NR_VALID;
	r->j.p = start;
	if (text.len == 2 * n && nr_hex_anycase(text.p, 2 * n))
		return NR_BAD_UPPERCASE;
	return form;
}

static enum nr_verdict
read_int(struct reader *r, int64_t *out, int64_t most,
    enum nr_verdict form, enum nr_verdict range)
{
	const char *start = r->j.p;
	enum nr_json_rc rc;
	int64_t v = 0;

	if (*r->j.p != '-' && (*r->j.p < '0' || *r->j.p > '9'))
		return wrong_type(r, form);
	rc = nr_json_int(&r->j, &v, NULL);
	if (rc == NR_JSON_FRACTION)
		return form;
	if (rc == NR_JSON_RANGE)
		return range;
	if (rc != NR_JSON_OK)
		return from_json(rc);
	if (v < 0 || v > most) {
		r->j.p = start;
		return range;
	}
	*out = v;
	return NR_VALID;
}

/* One tag, whose [ has been read. */
static enum nr_verdict
read_tag(struct reader *r)
{
	struct nr_json *j = &r->j;
	struct nr_view item;
	enum nr_json_rc rc;
	unsigned n = 0, flags = 0;

	r->rewrite |= nr_json_space(j) != 0;
	if (next_is(j, ']')) {
		j->p++;
		return NR_VALID;
	}
	for (;;) {
		r->rewrite |= nr_json_space(j) != 0;
		if (j->p == j->end)
			return NR_BAD_TRUNCATED;
		if (*j->p != '"')
			return wrong_type(r, NR_BAD_TAG_ITEM);
		if (++n > r->limits->tag_items)
			return NR_BAD_TOO_MANY_ITEMS;
		if ((rc = nr_json_string(j, &item, &flags)) != NR_JSON_OK)
			return from_json(rc);
		if (item.len > r->limits->tag_bytes) {
			j->p = item.p;
			return NR_BAD_TAG_TOO_LONG;
		}
		r->rewrite |= nr_json_space(j) != 0;
		if (j->p == j->end)
			return NR_BAD_TRUNCATED;
		if (*j->p == ']')
			break;
		if (*j->p != ',')
			return NR_BAD_SYNTAX;
		j->p++;
	}
	j->p++;
	r->rewrite |= (flags & NR_JSON_REWRITE) != 0;
	return NR_VALID;
}

static enum nr_verdict
read_tags(struct reader *r)
{
	struct nr_json *j = &r->j;
	const char *start = j->p;
	enum nr_verdict v;

	if (*j->p != '[')
		return wrong_type(r, NR_BAD_TAGS);
	j->p++;
	r->rewrite |= nr_json_space(j) != 0;
	if (next_is(j, ']'))
		goto done;
	for (;;) {
		r->rewrite |= nr_json_space(j) != 0;
		if (j->p == j->end)
			return NR_BAD_TRUNCATED;
		if (*j->p != '[')
			return wrong_type(r, NR_BAD_TAGS);
		if (++r->ev->ntags > r->limits->tags)
			return NR_BAD_TOO_MANY_TAGS;
		j->p++;
		if ((v = read_tag(r)) != NR_VALID)
			return v;
		r->rewrite |= nr_json_space(j) != 0;
		if (j->p == j->end)
			return NR_BAD_TRUNCATED;
		if (*j->p == ']')
			break;
		if (*j->p != ',')
			return NR_BAD_SYNTAX;
		j->p++;
	}
done:
	j->p++;
	r->ev->tags.p = start;
	r->ev->tags.len = (size_t)(j->p - start);
	return NR_VALID;
}

static enum nr_verdict
read_content(struct reader *r)
{
	enum nr_json_rc rc;
	unsigned flags = 0;

	if (*r->j.p != '"')
		return wrong_type(r, NR_BAD_CONTENT);
	rc = nr_json_string(&r->j, &r->ev->content, &flags);
	r->rewrite |= (flags & NR_JSON_REWRITE) != 0;
	return from_json(rc);
}

/* Of a draft: "" is what some programs write for a key not yet known. */
static enum nr_verdict
read_draft_pubkey(struct reader *r)
{
	const char *p = r->j.p;

	if (r->j.end - p < 2 || p[0] != '"' || p[1] != '"')
		return read_hex(r, r->ev->pubkey, 32, NR_BAD_PUBKEY_FORM);
	r->j.p += 2;
	r->seen &= ~(1u << PUBKEY);
	return NR_VALID;
}

static enum nr_verdict
read_field(struct reader *r, enum field f)
{
	struct nr_event *ev = r->ev;
	enum nr_verdict v;
	int64_t kind = 0;

	if (r->draft && (f == ID || f == SIG))
		return from_json(nr_json_skip(&r->j, r->limits->depth));
	if (r->draft && f == PUBKEY)
		return read_draft_pubkey(r);
	switch (f) {
	case ID:
		return read_hex(r, ev->id, 32, NR_BAD_ID_FORM);
	case PUBKEY:
		return read_hex(r, ev->pubkey, 32, NR_BAD_PUBKEY_FORM);
	case SIG:
		return read_hex(r, ev->sig, 64, NR_BAD_SIG_FORM);
	case CREATED_AT:
		return read_int(r, &ev->created_at, INT64_MAX,
		    NR_BAD_CREATED_AT, NR_BAD_CREATED_AT_RANGE);
	case KIND:
		v = read_int(r, &kind, 65535, NR_BAD_KIND, NR_BAD_KIND_RANGE);
		ev->kind = (unsigned)kind;
		return v;
	case TAGS:
		return read_tags(r);
	case CONTENT:
		return read_content(r);
	case NFIELDS:
		break;
	}
	return from_json(nr_json_skip(&r->j, r->limits->depth));
}

/* Which field a name means; escapes in it are undone first. */
static enum field
field_of(struct nr_view name, unsigned flags)
{
	char plain[64];
	int f;

	/* Ten characters are the most, six bytes the longest spelling. */
	if (name.len > sizeof(plain))
		return NFIELDS;
	if (flags & NR_JSON_ESCAPED) {
		name.len = nr_json_decode(plain, name.p, name.len);
		name.p = plain;
	}
	for (f = 0; f < NFIELDS; f++)
		if (strlen(field_name[f]) == name.len &&
		    memcmp(field_name[f], name.p, name.len) == 0)
			break;
	return (enum field)f;
}

/* One member of the object, from its name to the end of its value. */
static enum nr_verdict
read_member(struct reader *r)
{
	struct nr_json *j = &r->j;
	struct nr_view name;
	enum nr_json_rc rc;
	const char *start;
	unsigned flags = 0;
	enum field f;

	nr_json_space(j);
	if (j->p == j->end)
		return NR_BAD_TRUNCATED;
	if (*j->p != '"')
		return NR_BAD_SYNTAX;
	start = j->p;
	if ((rc = nr_json_string(j, &name, &flags)) != NR_JSON_OK)
		return from_json(rc);
	f = field_of(name, flags);
	if (f != NFIELDS && (r->seen & 1u << f)) {
		j->p = start;
		return NR_BAD_DUPLICATE_KEY;
	}
	if (f == NFIELDS && r->draft) {
		j->p = start;
		return NR_BAD_UNKNOWN_KEY;
	}
	r->seen |= 1u << f;
	if ((rc = nr_json_expect(j, ':')) != NR_JSON_OK)
		return from_json(rc);
	nr_json_space(j);
	if (j->p == j->end)
		return NR_BAD_TRUNCATED;
	return read_field(r, f);
}

static enum nr_verdict
read_object(struct reader *r)
{
	struct nr_json *j = &r->j;
	enum nr_verdict v;

	nr_json_space(j);
	if (j->p == j->end)
		return NR_BAD_TRUNCATED;
	if (*j->p != '{')
		return wrong_type(r, NR_BAD_NOT_OBJECT);
	j->p++;
	if (next_is(j, '}'))
		goto end;
	for (;;) {
		if ((v = read_member(r)) != NR_VALID)
			return v;
		nr_json_space(j);
		if (j->p == j->end)
			return NR_BAD_TRUNCATED;
		if (*j->p == '}')
			break;
		if (*j->p != ',')
			return NR_BAD_SYNTAX;
		j->p++;
	}
end:
	j->p++;
	nr_json_space(j);
	return j->p != j->end ? NR_BAD_TRAILING : NR_VALID;
}

static enum nr_verdict
read_whole(struct reader *r, size_t *pos)
{
	const char *start = r->j.p;
	enum nr_verdict v;

	*pos = 0;
	if ((size_t)(r->j.end - start) > r->limits->bytes)
		return NR_BAD_TOO_LONG;
	r->ev->ntags = 0;
	r->ev->flags = 0;
	v = read_object(r);
	*pos = (size_t)(r->j.p - start);
	if (!r->rewrite)
		r->ev->flags |= NR_EVENT_NORMAL;
	return v;
}

enum nr_verdict
nr_event_read(struct nr_event *ev, const char *json, size_t len,
    const struct nr_event_limits *limits, size_t *pos)
{
	struct reader r = {
		.j = { json, json + len }, .ev = ev, .limits = limits
	};
	enum nr_verdict v;
	unsigned f;

	if ((v = read_whole(&r, pos)) != NR_VALID)
		return v;
	for (f = 0; f < NFIELDS; f++)
		if (!(r.seen & 1u << f))
			return NR_BAD_NO_ID + f;
	return NR_VALID;
}

enum nr_verdict
nr_event_read_draft(struct nr_event *ev, const char *json, size_t len,
    const struct nr_event_limits *limits, unsigned *has, size_t *pos)
{
	struct reader r = {
		.j = { json, json + len }, .ev = ev, .limits = limits,
		.draft = 1
	};
	enum nr_verdict v;

	memset(ev, 0, sizeof(*ev));
	ev->kind = 1;
	ev->tags = (struct nr_view){ "[]", 2 };
	ev->content = (struct nr_view){ "", 0 };
	if ((v = read_whole(&r, pos)) != NR_VALID)
		return v;
	*has = (r.seen & 1u << PUBKEY ? NR_DRAFT_PUBKEY : 0) |
	    (r.seen & 1u << CREATED_AT ? NR_DRAFT_CREATED_AT : 0);
	return NR_VALID;
}

/* Copy an array of tags in normal form: outside strings no white space. */
static size_t
normal_tags(char *out, struct nr_view tags)
{
	struct nr_json j = { tags.p, tags.p + tags.len };
	struct nr_view text;
	unsigned flags;
	char *o = out;

	while (j.p < j.end) {
		if (nr_json_space(&j) != 0)
			continue;
		if (*j.p != '"') {
			*o++ = *j.p++;
			continue;
		}
		flags = 0;
		if (nr_json_string(&j, &text, &flags) != NR_JSON_OK)
			break;
		*o++ = '"';
		o += nr_json_normal(o, text.p, text.len);
		*o++ = '"';
	}
	return (size_t)(o - out);
}

static char *
put_text(char *o, const char *s, size_t n)
{
	memcpy(o, s, n);
	return o + n;
}

#define PUT(o, literal) put_text((o), (literal), sizeof(literal) - 1)

static char *
put_hex(char *o, const unsigned char *p, size_t n)
{
	nr_hex_encode(o, p, n);
	return o + 2 * n;
}

static char *
put_uint(char *o, uint64_t v)
{
	char digit[20];
	size_t n = sizeof(digit);

	do
		digit[--n] = (char)('0' + v % 10);
	while ((v /= 10) > 0);
	return put_text(o, digit + n, sizeof(digit) - n);
}

size_t
nr_event_normalise(struct nr_event *ev, char *out)
{
	int normal = (ev->flags & NR_EVENT_NORMAL) != 0;
	char *o = out, *start;
	size_t n;

	o = PUT(o, "{\"id\":\"");
	o = put_hex(o, ev->id, 32);
	o = PUT(o, "\",\"pubkey\":\"");
	o = put_hex(o, ev->pubkey, 32);
	o = PUT(o, "\",\"created_at\":");
	o = put_uint(o, (uint64_t)ev->created_at);
	o = PUT(o, ",\"kind\":");
	o = put_uint(o, ev->kind);
	o = PUT(o, ",\"tags\":");
	start = o;
	if (normal)
		o = put_text(o, ev->tags.p, ev->tags.len);
	else
		o += normal_tags(o, ev->tags);
	ev->tags.p = start;
	ev->tags.len = (size_t)(o - start);
	o = PUT(o, ",\"content\":\"");
	start = o;
	if (normal)
		o = put_text(o, ev->content.p, ev->content.len);
	else {
		n = nr_json_normal(o, ev->content.p, ev->content.len);
		o += n;
	}
	ev->content.p = start;
	ev->content.len = (size_t)(o - start);
	o = PUT(o, "\",\"sig\":\"");
	o = put_hex(o, ev->sig, 64);
	o = PUT(o, "\"}");
	ev->flags |= NR_EVENT_NORMAL;
	return (size_t)(o - out);
}

/*
 * Where the parts of a normal line stand: the id and pubkey at fixed
 * places, the sig at a fixed place from the end.
 */
#define AT_ID		7
#define AT_PUBKEY	(AT_ID + 64 + 12)
#define AT_CREATED_AT	(AT_PUBKEY + 64 + 15)
#define SIG_LEN		(9 + 128 + 2)	/* ","sig":" ... "} */
#define SHORTEST	(AT_CREATED_AT + 1 + 8 + 1 + 8 + 2 + 12 + SIG_LEN)

int
nr_event_view_id(unsigned char id[32], const char *line, size_t len)
{
	return len >= SHORTEST && memcmp(line, "{\"id\":\"", AT_ID) == 0 &&
	    nr_hex_decode(id, line + AT_ID, 32);
}

/* Read digits up to the text that follows them, and pass over that. */
static const char *
view_uint(const char *p, const char *end, int64_t *out, const char *follow)
{
	size_t n = strlen(follow);
	uint64_t v = 0;

	for (; p < end && *p >= '0' && *p <= '9'; p++)
		v = v * 10 + (uint64_t)(*p - '0');
	if ((size_t)(end - p) < n || memcmp(p, follow, n) != 0)
		return NULL;
	*out = (int64_t)v;
	return p + n;
}

int
nr_event_view_head(struct nr_event *ev, const char *line, size_t len)
{
	const char *p, *sig;
	int64_t kind;

	if (!nr_event_view_id(ev->id, line, len) ||
	    !nr_hex_decode(ev->pubkey, line + AT_PUBKEY, 32))
		return 0;
	sig = line + len - SIG_LEN;
	p = view_uint(line + AT_CREATED_AT, sig, &ev->created_at,
	    ",\"kind\":");
	if (p == NULL || (p = view_uint(p, sig, &kind, ",\"tags\":")) == NULL)
		return 0;
	if (*p != '[')
		return 0;
	ev->kind = (unsigned)kind & 0xffff;
	ev->ntags = 0;
	ev->flags = NR_EVENT_NORMAL;
	ev->tags.p = p;
	ev->tags.len = (size_t)(line + len - p);
	ev->content.p = NULL;
	ev->content.len = 0;
	return 1;
}

int
nr_event_view(struct nr_event *ev, const char *line, size_t len)
{
	static const char mark[] = "],\"content\":\"";
	const char *sig, *content;

	if (!nr_event_view_head(ev, line, len))
		return 0;
	sig = line + len - SIG_LEN;
	if (memcmp(sig, "\",\"sig\":\"", 9) != 0 ||
	    !nr_hex_decode(ev->sig, sig + 9, 64))
		return 0;
	/*
	 * Within a string every quote has a backslash before it, so the
	 * mark cannot stand inside the tags.
	 */
	content = memmem(ev->tags.p, (size_t)(sig - ev->tags.p), mark,
	    sizeof(mark) - 1);
	if (content == NULL)
		return 0;
	ev->tags.len = (size_t)(content + 1 - ev->tags.p);
	ev->content.p = content + sizeof(mark) - 1;
	ev->content.len = (size_t)(sig - ev->content.p);
	return 1;
}

static int
same_view(struct nr_view a, struct nr_view b)
{
	return a.p == b.p && a.len == b.len;
}

int
nr_event_view_read(struct nr_event *ev, const char *line, size_t len)
{
	struct nr_event v;

	/* Where both find the same parts, nothing else is between them. */
	if (!(ev->flags & NR_EVENT_NORMAL) || !nr_event_view(&v, line, len) ||
	    !same_view(v.tags, ev->tags) ||
	    !same_view(v.content, ev->content))
		return 0;
	*ev = v;
	return 1;
}

const char *
nr_event_peek_id(const char *json, size_t len)
{
	struct nr_json j = { json, json + len };
	struct nr_view name, text;
	unsigned flags;

	if (nr_json_expect(&j, '{') != NR_JSON_OK)
		return NULL;
	for (;;) {
		flags = 0;
		nr_json_space(&j);
		if (j.p == j.end || *j.p != '"' ||
		    nr_json_string(&j, &name, &flags) != NR_JSON_OK ||
		    nr_json_expect(&j, ':') != NR_JSON_OK)
			return NULL;
		nr_json_space(&j);
		if (name.len == 2 && memcmp(name.p, "id", 2) == 0 &&
		    j.p < j.end && *j.p == '"') {
			if (nr_json_string(&j, &text, &flags) != NR_JSON_OK)
				return NULL;
			return text.len == 64 &&
			    nr_hex_anycase(text.p, 64) ? text.p : NULL;
		}
		if (nr_json_skip(&j, NR_JSON_DEPTH_MAX) != NR_JSON_OK ||
		    nr_json_expect(&j, ',') != NR_JSON_OK)
			return NULL;
	}
}

int
nr_kind_replaceable(unsigned kind)
{
	return kind == 0 || kind == 3 || (kind >= 10000 && kind < 20000);
}

int
nr_kind_ephemeral(unsigned kind)
{
	return kind >= 20000 && kind < 30000;
}

int
nr_kind_addressable(unsigned kind)
{
	return kind >= 30000 && kind < 40000;
}
