/*
 * Text of events.  Pieces are found by the two bytes that every link and
 * every name has and that prose seldom has: the colon and the digit 1.
 */
#include "policy/text.h"

#include <endian.h>
#include <stdint.h>
#include <string.h>

#include "event/nip19.h"

#define ONES	UINT64_C(0x0101010101010101)
#define HIGHS	UINT64_C(0x8080808080808080)

#define KEY_CHARS	58	/* behind the 1 of npub, note, nsec */
#define TLV_CHARS	58	/* and at least so many of the others */

/* Capitals and small letters in turn, the capitals even or odd. */
static int
paired(unsigned c, int *odd)
{
	*odd = (c >= 0x139 && c <= 0x148) || (c >= 0x179 && c <= 0x17e) ||
	    (c >= 0x4c1 && c <= 0x4ce);
	return *odd || (c >= 0x100 && c <= 0x137 && c != 0x130 && c != 0x131) ||
	    (c >= 0x14a && c <= 0x177) || (c >= 0x460 && c <= 0x481) ||
	    (c >= 0x48a && c <= 0x4bf) || (c >= 0x4d0 && c <= 0x52f);
}

static unsigned
fold_greek(unsigned c)
{
	if (c >= 0x391 && c <= 0x3ab && c != 0x3a2)
		return c + 32;
	switch (c) {
	case 0x386:
		return 0x3ac;
	case 0x388:
	case 0x389:
	case 0x38a:
		return c + 37;
	case 0x38c:
		return 0x3cc;
	case 0x38e:
	case 0x38f:
		return c + 63;
	case 0x3c2:		/* the sigma at a word's end */
		return 0x3c3;
	}
	return c;
}

unsigned
nr_fold(unsigned c)
{
	int odd;

	if (c < 0x80)
		return c >= 'A' && c <= 'Z' ? c + 32 : c;
	if (c < 0xc0 || c > 0x52f)
		return c;
	if (c <= 0xde)
		return c == 0xd7 ? c : c + 32;
	if (c == 0x178)
		return 0xff;
	if (c >= 0x370 && c <= 0x3ff)
		return fold_greek(c);
	if (c >= 0x410 && c <= 0x42f)
		return c + 32;
	if (c >= 0x400 && c <= 0x40f)
		return c + 80;
	if (paired(c, &odd) && (c & 1) == (unsigned)odd)
		return c + 1;
	return c;
}

enum nr_case
nr_case_of(unsigned c)
{
	if (nr_fold(c) != c && c != 0x3c2)
		return NR_CASE_CAPITAL;
	if (c < 0x80)
		return c >= 'a' && c <= 'z' ? NR_CASE_SMALL : NR_CASE_NONE;
	if ((c >= 0xdf && c <= 0x17f && c != 0xf7) ||
	    (c >= 0x3ac && c <= 0x3ce) || (c >= 0x430 && c <= 0x45f) ||
	    (c >= 0x460 && c <= 0x481) || (c >= 0x48a && c <= 0x52f))
		return NR_CASE_SMALL;
	return NR_CASE_NONE;
}

int
nr_text_letter(unsigned c)
{
	if (c < 0x80)
		return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
	/* Beyond the basic plane are emoji and fancy alphabets. */
	if (c < 0xc0 || c == 0xd7 || c == 0xf7 || c > 0xffef)
		return 0;
	return !((c >= 0x300 && c <= 0x36f) || (c >= 0x2000 && c <= 0x2bff) ||
	    (c >= 0x3000 && c <= 0x3040) || (c >= 0xd800 && c <= 0xf8ff) ||
	    (c >= 0xfe00 && c <= 0xfe6f) || (c >= 0xff00 && c <= 0xff20) ||
	    c == 0xfeff);
}

int
nr_text_space(unsigned c)
{
	return c == ' ' || (c >= '\t' && c <= '\r') || c == 0xa0 ||
	    (c >= 0x2000 && c <= 0x200a) || c == 0x2028 || c == 0x2029 ||
	    c == 0x202f || c == 0x3000;
}

int
nr_text_nothing(unsigned c)
{
	if (c < 0xad)
		return (c < ' ' && !nr_text_space(c)) ||
		    (c >= 0x7f && c < 0xa0);
	return c == 0xad || c == 0x34f || c == 0x61c || c == 0x180e ||
	    (c >= 0x200b && c <= 0x200f) || (c >= 0x202a && c <= 0x202e) ||
	    (c >= 0x2060 && c <= 0x206f) || (c >= 0xfe00 && c <= 0xfe0f) ||
	    c == 0xfeff || (c >= 0xfff9 && c <= 0xfffb) ||
	    (c >= 0xe0000 && c <= 0xe0fff);
}

unsigned
nr_text_put(char out[4], unsigned c)
{
	if (c < 0x80) {
		out[0] = (char)c;
		return 1;
	}
	if (c < 0x800) {
		out[0] = (char)(0xc0 | c >> 6);
		out[1] = (char)(0x80 | (c & 0x3f));
		return 2;
	}
	if (c < 0x10000) {
		out[0] = (char)(0xe0 | c >> 12);
		out[1] = (char)(0x80 | (c >> 6 & 0x3f));
		out[2] = (char)(0x80 | (c & 0x3f));
		return 3;
	}
	out[0] = (char)(0xf0 | (c >> 18 & 7));
	out[1] = (char)(0x80 | (c >> 12 & 0x3f));
	out[2] = (char)(0x80 | (c >> 6 & 0x3f));
	out[3] = (char)(0x80 | (c & 0x3f));
	return 4;
}

static unsigned
digit(char c)
{
	return (unsigned)(c <= '9' ? c - '0' : c - 'a' + 10);
}

/* Normal form escapes by \u only what is below U+0020. */
static unsigned
next_escaped(const char **p, const char *end)
{
	const char *s = *p;

	if (end - s < 2) {
		*p = end;
		return '\\';
	}
	*p = s + 2;
	switch (s[1]) {
	case 'n':
		return '\n';
	case 'r':
		return '\r';
	case 't':
		return '\t';
	case 'b':
		return '\b';
	case 'f':
		return '\f';
	case 'u':
		if (end - s < 6)
			break;
		*p = s + 6;
		return digit(s[4]) << 4 | digit(s[5]);
	}
	return (unsigned char)s[1];
}

unsigned
nr_text_next(const char **p, const char *end)
{
	const unsigned char *s = (const unsigned char *)*p;
	size_t left = (size_t)(end - *p);

	if (s[0] == '\\')
		return next_escaped(p, end);
	if (s[0] < 0xc0 || left < 2) {
		*p += 1;
		return s[0];
	}
	if (s[0] < 0xe0 || left < 3) {
		*p += 2;
		return (s[0] & 0x1fu) << 6 | (s[1] & 0x3fu);
	}
	if (s[0] < 0xf0 || left < 4) {
		*p += 3;
		return (s[0] & 0x0fu) << 12 | (s[1] & 0x3fu) << 6 |
		    (s[2] & 0x3fu);
	}
	*p += 4;
	return (s[0] & 0x07u) << 18 | (s[1] & 0x3fu) << 12 |
	    (s[2] & 0x3fu) << 6 | (s[3] & 0x3fu);
}

size_t
nr_text_chars(struct nr_view text)
{
	const char *p = text.p, *end = text.p + text.len;
	size_t n = 0;

	for (; p < end; n++)
		nr_text_next(&p, end);
	return n;
}

/* The next colon or 1; as in util/json.c, only the lowest mark is exact. */
static const char *
next_mark(const char *p, const char *end)
{
	uint64_t x, colon, one, mark;

	for (; end - p >= 8; p += 8) {
		memcpy(&x, p, 8);
		x = le64toh(x);
		colon = x ^ ONES * ':';
		one = x ^ ONES * '1';
		mark = (((colon - ONES) & ~colon) | ((one - ONES) & ~one)) &
		    HIGHS;
		if (mark != 0)
			return p + __builtin_ctzll(mark) / 8;
	}
	while (p < end && *p != ':' && *p != '1')
		p++;
	return p;
}

static int
in_link(char c)
{
	return c > ' ' && c < 0x7f && c != '"' && c != '<' && c != '>' &&
	    c != '\\' && c != '^' && c != '`' && (c < '{' || c > '}');
}

static int
in_name(char c)
{
	return (c >= '0' && c <= '9' && c != '1') ||
	    (c >= 'a' && c <= 'z' && c != 'b' && c != 'i' && c != 'o');
}

/* Does word stand before p, in either case? */
static int
before(const char *start, const char *p, const char *word)
{
	size_t n = strlen(word), i;

	if ((size_t)(p - start) < n)
		return 0;
	for (i = 0; i < n; i++)
		if ((p[-(ptrdiff_t)n + (ptrdiff_t)i] | 0x20) !=
		    (word[i] | 0x20))
			return 0;
	return 1;
}

static int
link_at(const char *start, const char *p, const char *end,
    struct nr_piece *out)
{
	const char *q = p + 3;
	size_t n;

	if (end - p < 4 || p[1] != '/' || p[2] != '/' || !in_link(p[3]))
		return 0;
	n = before(start, p, "https") ? 5 : before(start, p, "http") ? 4 : 0;
	if (n == 0)
		return 0;
	while (q < end && in_link(*q))
		q++;
	out->type = NR_PIECE_LINK;
	out->text.p = p - n;
	out->text.len = (size_t)(q - out->text.p);
	return 1;
}

static int
name_at(const char *start, const char *p, const char *end,
    struct nr_piece *out)
{
	static const struct {
		const char		*word;
		enum nr_piece_type	 type;
		int			 tlv;
	} name[] = {
		{ "npub", NR_PIECE_PERSON, 0 }, { "nsec", NR_PIECE_SECRET, 0 },
		{ "note", NR_PIECE_NAME, 0 }, { "naddr", NR_PIECE_NAME, 1 },
		{ "nevent", NR_PIECE_NAME, 1 },
		{ "nprofile", NR_PIECE_PERSON, 1 }
	};
	const char *q = p + 1;
	size_t i, n, all = sizeof(name) / sizeof(name[0]);

	for (i = 0; i < all && !before(start, p, name[i].word); i++)
		;
	if (i == all)
		return 0;
	while (q < end && in_name(*q) &&
	    (name[i].tlv || q - p <= KEY_CHARS))
		q++;
	n = (size_t)(q - p) - 1;
	if (n < (name[i].tlv ? TLV_CHARS : KEY_CHARS))
		return 0;
	if (!name[i].tlv)
		q = p + 1 + KEY_CHARS;
	out->type = name[i].type;
	out->name.p = p - strlen(name[i].word);
	out->name.len = (size_t)(q - out->name.p);
	out->text = out->name;
	if (before(start, out->name.p, "nostr:")) {
		out->text.p -= 6;
		out->text.len += 6;
	}
	return 1;
}

int
nr_text_secret(const char *start, const char *p, const char *end)
{
	struct nr_piece piece;
	unsigned char secret[32];
	char text[64];
	int yes;

	if (!name_at(start, p, end, &piece) ||
	    piece.type != NR_PIECE_SECRET || piece.name.len >= sizeof(text))
		return 0;
	memcpy(text, piece.name.p, piece.name.len);
	text[piece.name.len] = '\0';
	yes = nr_nip19_nsec(secret, text);
	explicit_bzero(secret, sizeof(secret));
	explicit_bzero(text, sizeof(text));
	return yes;
}

void
nr_pieces_start(struct nr_pieces *it, struct nr_view text)
{
	memset(it, 0, sizeof(*it));
	it->from = text.p;
	it->at = text.p;
	it->end = text.p + text.len;
}

static int
find(struct nr_pieces *it, struct nr_piece *out)
{
	const char *p;

	while ((p = next_mark(it->at, it->end)) < it->end) {
		it->at = p + 1;
		if (*p == ':' ? link_at(it->from, p, it->end, out) :
		    name_at(it->from, p, it->end, out)) {
			it->at = out->text.p + out->text.len;
			return 1;
		}
	}
	it->at = it->end;
	return 0;
}

int
nr_pieces_next(struct nr_pieces *it, struct nr_piece *piece)
{
	const char *stop = it->end;

	if (!it->waiting)
		it->waiting = find(it, &it->next);
	if (it->waiting)
		stop = it->next.text.p;
	if (stop > it->from) {
		memset(piece, 0, sizeof(*piece));
		piece->text.p = it->from;
		piece->text.len = (size_t)(stop - it->from);
		it->from = stop;
		return 1;
	}
	if (!it->waiting)
		return 0;
	*piece = it->next;
	it->waiting = 0;
	it->from = it->at;
	return 1;
}
