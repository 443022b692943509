/*
 * nr-bench check: verdicts, and the texts that go with them.  What a relay
 * says may be anything; what is told of it is valid UTF-8 on one line, that
 * does nothing to a terminal.
 */
#include "check.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "util/json.h"

/* A character of n bytes. */
static unsigned
code_point(const char *p, size_t n)
{
	unsigned code = (unsigned char)*p;
	size_t i;

	if (n > 1)
		code &= 0xffu >> (n + 1);
	for (i = 1; i < n; i++)
		code = code << 6 | ((unsigned char)p[i] & 0x3f);
	return code;
}

/* What ends lines, rings, moves the cursor or turns text round. */
static int
is_control(unsigned code)
{
	return code < 0x20 || (code >= 0x7f && code < 0xa0) ||
	    code == 0x200e || code == 0x200f ||
	    (code >= 0x2028 && code <= 0x202e) ||
	    (code >= 0x2066 && code <= 0x2069);
}

char *
check_printable(char *out, size_t size, const char *text, size_t len)
{
	const char *end = text + len;
	char one[8], *o = out;
	size_t n, m;

	for (; text < end; text += n) {
		if ((n = nr_utf8_len(text, end)) == 0) {
			n = 1;
			m = (size_t)snprintf(one, sizeof(one), "\xef\xbf\xbd");
		} else if (is_control(code_point(text, n))) {
			m = (size_t)snprintf(one, sizeof(one), "\\u%04x",
			    code_point(text, n));
		} else {
			m = n;
			memcpy(one, text, m);
		}
		if (m >= size - (size_t)(o - out))
			break;
		memcpy(o, one, m);
		o += m;
	}
	*o = '\0';
	return out;
}

static void
put(char out[CHECK_TEXT], const char *fmt, va_list ap)
{
	char text[2 * CHECK_TEXT];

	vsnprintf(text, sizeof(text), fmt, ap);
	(void)check_printable(out, CHECK_TEXT, text, strlen(text));
}

/* The first verdict is what counts, with what was expected then. */
static int
decide(struct check *c, enum check_result result, const char *fmt,
    va_list ap)
{
	if (c->result == CHECK_PASS) {
		c->result = result;
		put(c->seen, fmt, ap);
	}
	return 0;
}

void
check_expect(struct check *c, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	if (c->result == CHECK_PASS)
		put(c->expected, fmt, ap);
	va_end(ap);
}

void
check_saw(struct check *c, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	if (c->result == CHECK_PASS)
		put(c->seen, fmt, ap);
	va_end(ap);
}

int
check_fail(struct check *c, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	(void)decide(c, CHECK_FAIL, fmt, ap);
	va_end(ap);
	return 0;
}

int
check_skip(struct check *c, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	(void)decide(c, CHECK_SKIP, fmt, ap);
	va_end(ap);
	return 0;
}

const char *
check_show(const struct check_msg *m, char out[CHECK_TEXT])
{
	size_t n = m->len < 160 ? m->len : 160;

	/* Not half of a character. */
	while (n > 0 && n < m->len && (m->text[n] & 0xc0) == 0x80)
		n--;
	return check_printable(out, CHECK_TEXT, m->text, n);
}
