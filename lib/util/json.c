/*
 * The JSON scanner.  The string loop looks at eight bytes at a time and is
 * what the speed of everything else rests on; the rest is read byte by
 * byte.
 */
#include "util/json.h"

#include <endian.h>
#include <string.h>

#define ONES	0x0101010101010101ULL
#define HIGHS	0x8080808080808080ULL

/*
 * How many of the next bytes are plain: ASCII, no control character, no
 * quote, no backslash.  The subtractions may borrow into a higher byte,
 * so only the lowest mark is exact, and only that one is used.
 */
static size_t
plain_run(const char *p, const char *end)
{
	const char *start = p;
	uint64_t x, quote, slash, mark;
	unsigned char c;

	while (end - p >= 8) {
		memcpy(&x, p, 8);
		x = le64toh(x);
		quote = x ^ ONES * '"';
		slash = x ^ ONES * '\\';
		mark = x | ((x - ONES * 0x20) & ~x) |
		    ((quote - ONES) & ~quote) | ((slash - ONES) & ~slash);
		mark &= HIGHS;
		if (mark != 0)
			return (size_t)(p - start) +
			    (size_t)__builtin_ctzll(mark) / 8;
		p += 8;
	}
	while (p < end) {
		c = (unsigned char)*p;
		if (c < 0x20 || c >= 0x80 || c == '"' || c == '\\')
			break;
		p++;
	}
	return (size_t)(p - start);
}

size_t
nr_utf8_len(const char *text, const char *end)
{
	const unsigned char *p = (const unsigned char *)text;
	size_t left = (size_t)(end - text);
	unsigned char lo = 0x80, hi = 0xbf;
	size_t n, i;

	if (left == 0)
		return 0;
	if (p[0] < 0x80)
		return 1;
	if (p[0] >= 0xc2 && p[0] <= 0xdf)
		n = 2;
	else if (p[0] >= 0xe0 && p[0] <= 0xef)
		n = 3;
	else if (p[0] >= 0xf0 && p[0] <= 0xf4)
		n = 4;
	else
		return 0;
	/* The second byte excludes overlong forms, surrogates, > U+10FFFF. */
	if (p[0] == 0xe0)
		lo = 0xa0;
	else if (p[0] == 0xed)
		hi = 0x9f;
	else if (p[0] == 0xf0)
		lo = 0x90;
	else if (p[0] == 0xf4)
		hi = 0x8f;
	if (left < n || p[1] < lo || p[1] > hi)
		return 0;
	for (i = 2; i < n; i++)
		if (p[i] < 0x80 || p[i] > 0xbf)
			return 0;
	return n;
}

size_t
nr_json_space(struct nr_json *j)
{
	const char *start = j->p;

	while (j->p < j->end && (*j->p == ' ' || *j->p == '\n' ||
	    *j->p == '\r' || *j->p == '\t'))
		j->p++;
	return (size_t)(j->p - start);
}

enum nr_json_rc
nr_json_expect(struct nr_json *j, char c)
{
	nr_json_space(j);
	if (j->p == j->end)
		return NR_JSON_TRUNCATED;
	if (*j->p != c)
		return NR_JSON_SYNTAX;
	j->p++;
	return NR_JSON_OK;
}

/* The value of a hexadecimal digit of either case, or -1. */
static int
hexdigit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

/* The code unit of the four digits at p, or -1. */
static int
code_unit(const char *p)
{
	int v = 0, d, i;

	for (i = 0; i < 4; i++) {
		if ((d = hexdigit(p[i])) < 0)
			return -1;
		v = v << 4 | d;
	}
	return v;
}

/* The letter of the short escape for a control character, or 0. */
static char
short_escape(int c)
{
	switch (c) {
	case '\n':
		return 'n';
	case '\r':
		return 'r';
	case '\t':
		return 't';
	case '\b':
		return 'b';
	case '\f':
		return 'f';
	}
	return 0;
}

/* Read the \u escape at j->p; on success j->p is behind it. */
static enum nr_json_rc
unicode_escape(struct nr_json *j, unsigned *flags)
{
	const char *p = j->p;
	int u, low, i;

	if (j->end - p < 6) {
		for (i = 2; p + i < j->end; i++)
			if (hexdigit(p[i]) < 0)
				return NR_JSON_ESCAPE;
		return NR_JSON_TRUNCATED;
	}
	if ((u = code_unit(p + 2)) < 0)
		return NR_JSON_ESCAPE;
	if (u == 0)
		return NR_JSON_NUL;
	if (u >= 0xdc00 && u <= 0xdfff)
		return NR_JSON_SURROGATE;
	if (u >= 0xd800 && u <= 0xdbff) {
		if (j->end - p < 12 || p[6] != '\\' || p[7] != 'u')
			return NR_JSON_SURROGATE;
		low = code_unit(p + 8);
		if (low < 0xdc00 || low > 0xdfff)
			return NR_JSON_SURROGATE;
		*flags |= NR_JSON_REWRITE;
		j->p += 12;
		return NR_JSON_OK;
	}
	/* Normal only for control characters; the last digit's case counts. */
	if (u >= 0x20 || short_escape(u) || (p[5] >= 'A' && p[5] <= 'F'))
		*flags |= NR_JSON_REWRITE;
	j->p += 6;
	return NR_JSON_OK;
}

static enum nr_json_rc
escape(struct nr_json *j, unsigned *flags)
{
	if (j->end - j->p < 2)
		return NR_JSON_TRUNCATED;
	*flags |= NR_JSON_ESCAPED;
	switch (j->p[1]) {
	case 'u':
		return unicode_escape(j, flags);
	case '/':
		*flags |= NR_JSON_REWRITE;
		break;
	case '"':
	case '\\':
	case 'b':
	case 'f':
	case 'n':
	case 'r':
	case 't':
		break;
	default:
		return NR_JSON_ESCAPE;
	}
	j->p += 2;
	return NR_JSON_OK;
}

enum nr_json_rc
nr_json_string(struct nr_json *j, struct nr_view *out, unsigned *flags)
{
	enum nr_json_rc rc;
	const char *start;
	size_t n;

	start = ++j->p;
	for (;;) {
		j->p += plain_run(j->p, j->end);
		if (j->p == j->end)
			return NR_JSON_TRUNCATED;
		if (*j->p == '"')
			break;
		if (*j->p == '\\') {
			if ((rc = escape(j, flags)) != NR_JSON_OK)
				return rc;
			continue;
		}
		if (*j->p == '\0')
			return NR_JSON_NUL;
		if ((unsigned char)*j->p < 0x20)
			return NR_JSON_CONTROL;
		do {
			if ((n = nr_utf8_len(j->p, j->end)) == 0)
				return NR_JSON_UTF8;
			j->p += n;
		} while (j->p < j->end && (*j->p & 0x80));
	}
	out->p = start;
	out->len = (size_t)(j->p - start);
	j->p++;
	return NR_JSON_OK;
}

static int
digit_at(const struct nr_json *j)
{
	return j->p < j->end && *j->p >= '0' && *j->p <= '9';
}

static enum nr_json_rc
digits(struct nr_json *j)
{
	if (j->p == j->end)
		return NR_JSON_TRUNCATED;
	if (!digit_at(j))
		return NR_JSON_SYNTAX;
	while (digit_at(j))
		j->p++;
	return NR_JSON_OK;
}

/* The parts of a number in the notation of JSON. */
struct number {
	int		 negative;
	struct nr_view	 whole;		/* digits before the point */
	struct nr_view	 fraction;	/* digits behind it */
	int64_t		 exponent;
};

/* The exponent at j->p, limited to what no text can make up for. */
static enum nr_json_rc
exponent(struct nr_json *j, int64_t *out)
{
	int negative = 0;
	int64_t e = 0;

	j->p++;
	if (j->p < j->end && (*j->p == '+' || *j->p == '-'))
		negative = *j->p++ == '-';
	if (j->p == j->end)
		return NR_JSON_TRUNCATED;
	if (!digit_at(j))
		return NR_JSON_SYNTAX;
	for (; digit_at(j); j->p++)
		if (e < INT64_C(1000000000000))
			e = e * 10 + (*j->p - '0');
	*out = negative ? -e : e;
	return NR_JSON_OK;
}

static enum nr_json_rc
number(struct nr_json *j, struct number *n)
{
	enum nr_json_rc rc;

	memset(n, 0, sizeof(*n));
	if (j->p < j->end && *j->p == '-') {
		n->negative = 1;
		j->p++;
	}
	n->whole.p = j->p;
	if (j->p < j->end && *j->p == '0') {
		j->p++;
		if (digit_at(j))
			return NR_JSON_SYNTAX;
	} else if ((rc = digits(j)) != NR_JSON_OK)
		return rc;
	n->whole.len = (size_t)(j->p - n->whole.p);
	if (j->p < j->end && *j->p == '.') {
		n->fraction.p = ++j->p;
		if ((rc = digits(j)) != NR_JSON_OK)
			return rc;
		n->fraction.len = (size_t)(j->p - n->fraction.p);
	}
	if (j->p < j->end && (*j->p == 'e' || *j->p == 'E'))
		return exponent(j, &n->exponent);
	return NR_JSON_OK;
}

/* The i-th digit of the number's digits written in one row. */
static unsigned
row_digit(const struct number *n, size_t i)
{
	return (unsigned)((i < n->whole.len ? n->whole.p[i] :
	    n->fraction.p[i - n->whole.len]) - '0');
}

/*
 * The number as an integer: its digits in one row, without the zeros at
 * either end, times a power of ten.
 */
static enum nr_json_rc
to_integer(const struct number *n, int64_t *out)
{
	size_t first = 0, last = n->whole.len + n->fraction.len;
	int64_t power = n->exponent - (int64_t)n->fraction.len;
	uint64_t v = 0, most;

	while (first < last && row_digit(n, first) == 0)
		first++;
	while (last > first && row_digit(n, last - 1) == 0) {
		last--;
		power++;
	}
	if (first == last) {
		*out = 0;
		return NR_JSON_OK;
	}
	if (power < 0)
		return NR_JSON_FRACTION;
	if (power > 19 || last - first + (size_t)power > 19)
		return NR_JSON_RANGE;
	for (; first < last; first++)
		v = v * 10 + row_digit(n, first);
	for (; power > 0; power--)
		v *= 10;
	most = (uint64_t)INT64_MAX + (n->negative ? 1 : 0);
	if (v > most)
		return NR_JSON_RANGE;
	*out = (int64_t)(n->negative ? -v : v);
	return NR_JSON_OK;
}

enum nr_json_rc
nr_json_int(struct nr_json *j, int64_t *out, int *plain)
{
	enum nr_json_rc rc;
	const char *start = j->p;
	struct number n;
	int64_t v;

	if ((rc = number(j, &n)) != NR_JSON_OK)
		return rc;
	if ((rc = to_integer(&n, &v)) != NR_JSON_OK) {
		j->p = start;
		return rc;
	}
	if (plain != NULL && (j->p != n.whole.p + n.whole.len ||
	    (n.negative && v == 0)))
		*plain = 0;
	*out = v;
	return NR_JSON_OK;
}

static enum nr_json_rc
literal(struct nr_json *j, const char *word)
{
	for (; *word != '\0'; word++, j->p++) {
		if (j->p == j->end)
			return NR_JSON_TRUNCATED;
		if (*j->p != *word)
			return NR_JSON_SYNTAX;
	}
	return NR_JSON_OK;
}

/* A value that holds no other: string, number, true, false, null. */
static enum nr_json_rc
scalar(struct nr_json *j)
{
	struct nr_view text;
	struct number n;
	unsigned flags = 0;

	switch (*j->p) {
	case '"':
		return nr_json_string(j, &text, &flags);
	case 't':
		return literal(j, "true");
	case 'f':
		return literal(j, "false");
	case 'n':
		return literal(j, "null");
	}
	return number(j, &n);
}

/* A member's name and colon. */
static enum nr_json_rc
member_name(struct nr_json *j)
{
	enum nr_json_rc rc;
	struct nr_view name;
	unsigned flags = 0;

	nr_json_space(j);
	if (j->p == j->end)
		return NR_JSON_TRUNCATED;
	if (*j->p != '"')
		return NR_JSON_SYNTAX;
	if ((rc = nr_json_string(j, &name, &flags)) != NR_JSON_OK)
		return rc;
	return nr_json_expect(j, ':');
}

enum nr_json_rc
nr_json_skip(struct nr_json *j, unsigned depth)
{
	enum nr_json_rc rc;
	uint64_t objects = 0;	/* bit 0: is the innermost an object */
	unsigned level = 0;
	int object;

value:
	nr_json_space(j);
	if (j->p == j->end)
		return NR_JSON_TRUNCATED;
	if (*j->p == '[' || *j->p == '{') {
		if (level >= depth || level >= NR_JSON_DEPTH_MAX)
			return NR_JSON_DEPTH;
		object = *j->p++ == '{';
		objects = objects << 1 | (unsigned)object;
		level++;
		nr_json_space(j);
		if (j->p < j->end && *j->p == (object ? '}' : ']'))
			goto close;
		if (object && (rc = member_name(j)) != NR_JSON_OK)
			return rc;
		goto value;
	}
	if ((rc = scalar(j)) != NR_JSON_OK)
		return rc;
next:
	if (level == 0)
		return NR_JSON_OK;
	nr_json_space(j);
	if (j->p == j->end)
		return NR_JSON_TRUNCATED;
	if (*j->p == ',') {
		j->p++;
		if ((objects & 1) && (rc = member_name(j)) != NR_JSON_OK)
			return rc;
		goto value;
	}
	if (*j->p != ((objects & 1) ? '}' : ']'))
		return NR_JSON_SYNTAX;
close:
	j->p++;
	objects >>= 1;
	level--;
	goto next;
}

/* Write the code point u, which is no surrogate, in UTF-8. */
static char *
put_utf8(char *o, unsigned u)
{
	if (u < 0x80)
		*o++ = (char)u;
	else if (u < 0x800) {
		*o++ = (char)(0xc0 | u >> 6);
		*o++ = (char)(0x80 | (u & 0x3f));
	} else if (u < 0x10000) {
		*o++ = (char)(0xe0 | u >> 12);
		*o++ = (char)(0x80 | (u >> 6 & 0x3f));
		*o++ = (char)(0x80 | (u & 0x3f));
	} else {
		*o++ = (char)(0xf0 | u >> 18);
		*o++ = (char)(0x80 | (u >> 12 & 0x3f));
		*o++ = (char)(0x80 | (u >> 6 & 0x3f));
		*o++ = (char)(0x80 | (u & 0x3f));
	}
	return o;
}

/* The code point of the valid escape at *in, which moves behind it. */
static unsigned
take_escape(const char **in)
{
	const char *p = *in;
	unsigned u;

	*in += 2;
	switch (p[1]) {
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
		break;
	default:
		return (unsigned char)p[1];
	}
	*in += 4;
	u = (unsigned)code_unit(p + 2);
	if (u < 0xd800 || u > 0xdbff)
		return u;
	*in += 6;
	return 0x10000 + ((u - 0xd800) << 10) +
	    ((unsigned)code_unit(p + 8) - 0xdc00);
}

/* Write one character in normal form. */
static char *
put_normal(char *o, unsigned u)
{
	static const char digit[] = "0123456789abcdef";
	char c;

	if (u == '"' || u == '\\')
		c = (char)u;
	else if (u < 0x20)
		c = short_escape((int)u);
	else
		return put_utf8(o, u);
	*o++ = '\\';
	if (c != 0) {
		*o++ = c;
		return o;
	}
	memcpy(o, "u00", 3);
	o[3] = digit[u >> 4];
	o[4] = digit[u & 15];
	return o + 5;
}

/* The shared loop of the two rewriters: runs without escapes are copied. */
static size_t
rewrite(char *out, const char *in, size_t len, char *(*put)(char *, unsigned))
{
	const char *end = in + len, *run;
	char *o = out;

	while (in < end) {
		if ((run = memchr(in, '\\', (size_t)(end - in))) == NULL)
			run = end;
		memcpy(o, in, (size_t)(run - in));
		o += run - in;
		in = run;
		if (in < end)
			o = put(o, take_escape(&in));
	}
	return (size_t)(o - out);
}

size_t
nr_json_normal(char *out, const char *in, size_t len)
{
	return rewrite(out, in, len, put_normal);
}

size_t
nr_json_decode(char *out, const char *in, size_t len)
{
	return rewrite(out, in, len, put_utf8);
}

/* The bytes of the character at p, escaped or not. */
static size_t
character(const char *p, const char *end)
{
	if (*p != '\\')
		return nr_utf8_len(p, end);
	if (p[1] != 'u')
		return 2;
	/* The first half of a surrogate pair never stands alone. */
	return (p[2] == 'd' || p[2] == 'D') && strchr("89abAB", p[3]) ?
	    12 : 6;
}

void
nr_json_decode_some(char *out, size_t size, struct nr_view in)
{
	const char *p = in.len > 0 ? in.p : "", *end = p + in.len;
	char one[12];
	size_t k, n, len = 0;

	while (p < end && (k = character(p, end)) > 0) {
		n = nr_json_decode(one, p, k);
		if (len + n >= size)
			break;
		memcpy(out + len, one, n);
		len += n;
		p += k;
	}
	out[len] = '\0';
}

const char *
nr_json_strerror(enum nr_json_rc rc)
{
	switch (rc) {
	case NR_JSON_OK:
		return "valid";
	case NR_JSON_SYNTAX:
		return "not JSON";
	case NR_JSON_TRUNCATED:
		return "JSON ends too early";
	case NR_JSON_UTF8:
		return "not UTF-8";
	case NR_JSON_CONTROL:
		return "control character not escaped";
	case NR_JSON_ESCAPE:
		return "unknown escape";
	case NR_JSON_SURROGATE:
		return "lone surrogate";
	case NR_JSON_NUL:
		return "NUL character";
	case NR_JSON_DEPTH:
		return "nested too deep";
	case NR_JSON_FRACTION:
		return "number is not an integer";
	case NR_JSON_RANGE:
		return "number out of range";
	}
	return "unknown error";
}

int
nr_json_member(struct nr_json *j, struct nr_view *key, struct nr_view *value)
{
	unsigned flags = 0;

	nr_json_space(j);
	if (j->p < j->end && *j->p == '}') {
		j->p++;
		return 0;
	}
	if (j->p == j->end || *j->p != '"' ||
	    nr_json_string(j, key, &flags) != NR_JSON_OK ||
	    nr_json_expect(j, ':') != NR_JSON_OK)
		return -1;
	nr_json_space(j);
	value->p = j->p;
	if (nr_json_skip(j, NR_JSON_DEPTH_MAX) != NR_JSON_OK)
		return -1;
	value->len = (size_t)(j->p - value->p);
	nr_json_space(j);
	if (j->p == j->end || (*j->p != ',' && *j->p != '}'))
		return -1;
	if (*j->p == '}')
		return 1;
	j->p++;
	nr_json_space(j);
	return j->p < j->end && *j->p == '"' ? 1 : -1;
}
