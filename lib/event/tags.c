/*
 * Tags of normal text: no white space, every quote inside a string has a
 * backslash before it.
 */
#include "event/tags.h"

#include <string.h>

#include "util/hex.h"

void
nr_tags_start(struct nr_tags *it, struct nr_view tags)
{
	it->p = tags.p + 1;		/* behind the outer [ */
	it->end = tags.p + tags.len;
}

/* The string whose opening quote is at p; returns what is behind it. */
static const char *
take_string(const char *p, const char *end, struct nr_view *out)
{
	const char *start = ++p, *back;

	for (;;) {
		if ((p = memchr(p, '"', (size_t)(end - p))) == NULL)
			return NULL;
		for (back = p; back > start && back[-1] == '\\'; back--)
			;
		if ((p - back) % 2 == 0)
			break;
		p++;
	}
	out->p = start;
	out->len = (size_t)(p - start);
	return p + 1;
}

int
nr_tags_next(struct nr_tags *it, struct nr_tag *tag)
{
	struct nr_view item;
	const char *p = it->p;

	memset(tag, 0, sizeof(*tag));
	if (p < it->end && *p == ',')
		p++;
	if (p >= it->end || *p != '[')
		return 0;
	p++;
	while (p < it->end && *p != ']') {
		if (*p == ',')
			p++;
		if ((p = take_string(p, it->end, &item)) == NULL)
			return 0;
		if (tag->nitems == 0)
			tag->name = item;
		else if (tag->nitems == 1)
			tag->value = item;
		tag->nitems++;
	}
	it->p = p + 1;
	return 1;
}

int
nr_tag_is(const struct nr_tag *tag, const char *name)
{
	return tag->nitems > 0 && tag->name.len == strlen(name) &&
	    memcmp(tag->name.p, name, tag->name.len) == 0;
}

char
nr_tag_letter(const struct nr_tag *tag)
{
	char c;

	if (tag->nitems < 2 || tag->name.len != 1)
		return 0;
	c = tag->name.p[0];
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ? c : 0;
}

/* A decimal number and nothing else; INT64_MAX where it is too large. */
static int
decimal(struct nr_view text, int64_t *out)
{
	int64_t v = 0;
	size_t i;
	int d;

	if (text.len == 0)
		return 0;
	for (i = 0; i < text.len; i++) {
		if (text.p[i] < '0' || text.p[i] > '9')
			return 0;
		d = text.p[i] - '0';
		v = v > (INT64_MAX - d) / 10 ? INT64_MAX : v * 10 + d;
	}
	*out = v;
	return 1;
}

int64_t
nr_event_expiration(const struct nr_event *ev)
{
	struct nr_tags it;
	struct nr_tag tag;
	int64_t at;

	nr_tags_start(&it, ev->tags);
	while (nr_tags_next(&it, &tag))
		if (tag.nitems > 1 && nr_tag_is(&tag, "expiration") &&
		    decimal(tag.value, &at))
			return at;
	return INT64_MAX;
}

struct nr_view
nr_event_d(const struct nr_event *ev)
{
	static const struct nr_view none = { "", 0 };
	struct nr_tags it;
	struct nr_tag tag;

	nr_tags_start(&it, ev->tags);
	while (nr_tags_next(&it, &tag))
		if (nr_tag_is(&tag, "d"))
			return tag.nitems > 1 ? tag.value : none;
	return none;
}

int
nr_event_vanish_all(const struct nr_event *ev)
{
	struct nr_tags it;
	struct nr_tag tag;

	nr_tags_start(&it, ev->tags);
	while (nr_tags_next(&it, &tag))
		if (nr_tag_is(&tag, "relay") && tag.nitems > 1 &&
		    nr_view_is(tag.value, "ALL_RELAYS"))
			return 1;
	return 0;
}

int
nr_event_protected(const struct nr_event *ev)
{
	struct nr_tags it;
	struct nr_tag tag;

	nr_tags_start(&it, ev->tags);
	while (nr_tags_next(&it, &tag))
		if (nr_tag_is(&tag, "-"))
			return 1;
	return 0;
}

/* Messages and seals of NIP-04, 17 and 59. */
static int
is_private(unsigned kind)
{
	return kind == 4 || (kind >= 13 && kind <= 15) ||
	    kind == NR_KIND_GIFT_WRAP || kind == 21059;
}

enum nr_home
nr_event_home(const struct nr_event *ev)
{
	if (ev->kind == NR_KIND_AUTH)
		return NR_HOME_AUTH;
	if (is_private(ev->kind))
		return NR_HOME_PRIVATE;
	return nr_event_protected(ev) ? NR_HOME_PROTECTED : NR_HOME_NOT;
}

int
nr_address_parse(struct nr_view text, unsigned *kind,
    unsigned char pubkey[32], struct nr_view *d)
{
	const char *end = text.p + text.len, *p;
	struct nr_view number;
	int64_t k;

	if ((p = memchr(text.p, ':', text.len)) == NULL)
		return 0;
	number.p = text.p;
	number.len = (size_t)(p - text.p);
	if (!decimal(number, &k) || k > 65535)
		return 0;
	p++;
	if (end - p < 64 || !nr_hex_decode(pubkey, p, 32))
		return 0;
	p += 64;
	if (p < end && *p++ != ':')
		return 0;
	*kind = (unsigned)k;
	d->p = p;
	d->len = (size_t)(end - p);
	return 1;
}

int
nr_next_recipient(struct nr_tags *it, unsigned char key[32])
{
	struct nr_tag tag;

	while (nr_tags_next(it, &tag))
		if (nr_tag_letter(&tag) == 'p' && tag.value.len == 64 &&
		    nr_hex_decode(key, tag.value.p, 32))
			return 1;
	return 0;
}
