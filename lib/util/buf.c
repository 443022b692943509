/*
 * A growing byte buffer: doubles, so that n additions cost O(n).
 */
#include "util/buf.h"

#include <errno.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "util/err.h"
#include "util/json.h"

int
nr_buf_reserve(struct nr_buf *b, size_t n)
{
	size_t cap = b->cap;
	char *p;

	if (n <= cap - b->len)
		return NR_OK;
	if (n > SIZE_MAX / 4 || b->len > SIZE_MAX / 4)
		return ENOMEM;
	if (cap < 64)
		cap = 64;
	while (cap < b->len + n)
		cap *= 2;
	if ((p = realloc(b->p, cap)) == NULL)
		return ENOMEM;
	b->p = p;
	b->cap = cap;
	return NR_OK;
}

int
nr_buf_add(struct nr_buf *b, const void *p, size_t n)
{
	int rc;

	if ((rc = nr_buf_reserve(b, n)) != NR_OK)
		return rc;
	if (n > 0)
		memcpy(b->p + b->len, p, n);
	b->len += n;
	return NR_OK;
}

int
nr_buf_adds(struct nr_buf *b, const char *s)
{
	return nr_buf_add(b, s, strlen(s));
}

int
nr_buf_addf(struct nr_buf *b, const char *fmt, ...)
{
	va_list ap;
	int n, rc;

	va_start(ap, fmt);
	n = vsnprintf(NULL, 0, fmt, ap);
	va_end(ap);
	if (n < 0)
		return EINVAL;
	if ((rc = nr_buf_reserve(b, (size_t)n + 1)) != NR_OK)
		return rc;
	va_start(ap, fmt);
	vsnprintf(b->p + b->len, (size_t)n + 1, fmt, ap);
	va_end(ap);
	b->len += (size_t)n;
	return NR_OK;
}

int
nr_buf_addjson(struct nr_buf *b, const char *s, size_t n)
{
	static const char replacement[] = "\xef\xbf\xbd";
	static const char digit[] = "0123456789abcdef";
	const char *end = s + n;
	size_t k;
	char *o;
	int rc;

	/* A byte becomes at most six. */
	if (n > SIZE_MAX / 8)
		return ENOMEM;
	if ((rc = nr_buf_reserve(b, n * 6 + 2)) != NR_OK)
		return rc;
	o = b->p + b->len;
	*o++ = '"';
	while (s < end) {
		unsigned char c = (unsigned char)*s;

		if (c >= 0x80) {
			if ((k = nr_utf8_len(s, end)) == 0) {
				memcpy(o, replacement, 3);
				o += 3;
				s++;
				continue;
			}
			memcpy(o, s, k);
			o += k;
			s += k;
			continue;
		}
		s++;
		if (c == '"' || c == '\\') {
			*o++ = '\\';
			*o++ = (char)c;
		} else if (c == '\n') {
			*o++ = '\\';
			*o++ = 'n';
		} else if (c < 0x20) {
			memcpy(o, "\\u00", 4);
			o[4] = digit[c >> 4];
			o[5] = digit[c & 15];
			o += 6;
		} else
			*o++ = (char)c;
	}
	*o++ = '"';
	b->len = (size_t)(o - b->p);
	return NR_OK;
}

void
nr_buf_free(struct nr_buf *b)
{
	free(b->p);
	b->p = NULL;
	b->len = b->cap = 0;
}
