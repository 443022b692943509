/*
 * Measures of an event.  Most bytes of prose need no look at their
 * neighbours: what each adds is in a table, three sums in one word.
 */
#include "policy/measure.h"

#include <string.h>

#include "event/tags.h"
#include "policy/text.h"

/* Sums of 21 bits, for so many bytes at a time. */
#define STRETCH	(1 << 20)
#define CHAR	UINT64_C(1)
#define SMALL	(CHAR | UINT64_C(1) << 21)
#define CAPITAL	(CHAR | UINT64_C(1) << 42)
#define LOOK	(UINT64_C(1) << 63)	/* needs more than the table */
#define FIELD(sums, shift)	((unsigned)((sums) >> (shift) & 0x1fffff))

#define R4(x)	x, x, x, x
#define R8(x)	R4(x), R4(x)
#define R16(x)	R8(x), R8(x)
#define R26(x)	R16(x), R8(x), x, x

static const uint64_t adds[256] = {
	R16(CHAR), R16(CHAR),
	CHAR, CHAR, CHAR, LOOK /* # */, R4(CHAR), R8(CHAR), R16(CHAR),
	CHAR, R26(CAPITAL), CHAR, LOOK /* \ */, CHAR, CHAR, CHAR,
	CHAR, R26(SMALL), CHAR, CHAR, CHAR, CHAR, CHAR,
	/* Bytes within a character, then first bytes of two and more. */
	R16(0), R16(0), R16(0), R16(0),
	R16(LOOK), R4(LOOK), LOOK, R8(CHAR), CHAR, CHAR, CHAR,
	R16(CHAR), R16(CHAR)
};

static int
in_word(unsigned c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
	    (c >= '0' && c <= '9') || c == '_' || c >= 0x80;
}

/* A # that begins a word, with something in it that is no digit. */
static int
hashtag(const char *start, const char *p, const char *end)
{
	/* A letter behind a backslash is an escape, and white space. */
	if (p > start && (in_word((unsigned char)p[-1]) || p[-1] == '&') &&
	    (p - start < 2 || p[-2] != '\\'))
		return 0;
	for (p++; p < end && *p >= '0' && *p <= '9'; p++)
		;
	return p < end && in_word((unsigned char)*p);
}

static uint64_t
look(struct nr_view text, const char **p, unsigned *hashtags)
{
	const char *end = text.p + text.len;
	unsigned c;

	if (**p == '#')
		*hashtags += (unsigned)hashtag(text.p, *p, end);
	c = nr_text_next(p, end);
	switch (nr_case_of(c)) {
	case NR_CASE_SMALL:
		return c < 0x80 ? CHAR : SMALL;
	case NR_CASE_CAPITAL:
		return c < 0x80 ? CHAR : CAPITAL;
	case NR_CASE_NONE:
		break;
	}
	return CHAR;
}

/* Until stop, or a little behind it. */
static uint64_t
stretch(struct nr_view text, const char **at, const char *stop,
    unsigned *hashtags)
{
	const char *p = *at;
	uint64_t sums = 0, add;

	while (p < stop) {
		add = adds[(unsigned char)*p];
		if (add & LOOK) {
			sums += look(text, &p, hashtags);
		} else {
			sums += add;
			p++;
		}
	}
	*at = p;
	return sums;
}

static void
prose(struct nr_measures *m, unsigned *capitals, struct nr_view text)
{
	const char *p = text.p, *end = text.p + text.len, *stop;
	uint64_t sums;

	while (p < end) {
		stop = end - p > STRETCH ? p + STRETCH : end;
		sums = stretch(text, &p, stop, &m->hashtags);
		m->plain += FIELD(sums, 0);
		m->letters += FIELD(sums, 21) + FIELD(sums, 42);
		*capitals += FIELD(sums, 42);
	}
}

/* A secret key anywhere in text: an s is rare among hexadecimal digits. */
static int
has_secret(struct nr_view text)
{
	const char *p = text.p, *end = text.p + text.len;

	while ((p = memchr(p, 's', (size_t)(end - p))) != NULL) {
		if (end - p > 4 && p[3] == '1' &&
		    nr_text_secret(text.p, p + 3, end))
			return 1;
		p++;
	}
	return 0;
}

static void
content(struct nr_measures *m, struct nr_view text)
{
	struct nr_pieces it;
	struct nr_piece piece;
	unsigned capitals = 0;

	nr_pieces_start(&it, text);
	while (nr_pieces_next(&it, &piece)) {
		if (piece.type == NR_PIECE_TEXT) {
			prose(m, &capitals, piece.text);
			continue;
		}
		/* Links and names are ASCII, without escapes. */
		m->chars += (unsigned)piece.text.len;
		m->links += piece.type == NR_PIECE_LINK;
		m->mentions += piece.type == NR_PIECE_PERSON;
		if (piece.type == NR_PIECE_LINK ||
		    piece.type == NR_PIECE_SECRET)
			m->nsec |= has_secret(piece.text);
	}
	m->chars += m->plain;
	if (m->letters >= NR_CAPS_LETTERS)
		m->caps = (unsigned)((uint64_t)capitals * 100 / m->letters);
}

static void
tags(struct nr_measures *m, struct nr_view text)
{
	struct nr_tags it;
	struct nr_tag tag;
	unsigned p = 0, t = 0;

	nr_tags_start(&it, text);
	while (nr_tags_next(&it, &tag)) {
		p += nr_tag_letter(&tag) == 'p';
		t += nr_tag_letter(&tag) == 't';
	}
	if (m->mentions < p)
		m->mentions = p;
	if (m->hashtags < t)
		m->hashtags = t;
	m->nsec |= has_secret(text);
}

void
nr_measure(struct nr_measures *out, const struct nr_event *ev)
{
	memset(out, 0, sizeof(*out));
	content(out, ev->content);
	tags(out, ev->tags);
}
