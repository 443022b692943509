/*
 * The Accept header of RFC 9110, as far as anybody here is interested.
 */
#include "wire/accept.h"

#include <string.h>
#include <strings.h>

static int
is_space(char c)
{
	return c == ' ' || c == '\t';
}

/* Is what starts at q, behind "q=", a zero, such as 0 or 0.00? */
static int
is_zero(const char *q, const char *end)
{
	const char *p = q;

	while (p < end && (*p == '0' || *p == '.'))
		p++;
	return p > q && (p == end || *p == ';' || is_space(*p));
}

/* Among the parameters behind a type: "q=0", that is, not this one. */
static int
declined(const char *p, const char *end)
{
	for (; end - p > 3; p++)
		if ((*p == ';' || is_space(*p)) &&
		    (p[1] == 'q' || p[1] == 'Q') && p[2] == '=')
			return is_zero(p + 3, end);
	return 0;
}

/* One media range of the header. */
static int
range_is(const char *p, const char *end, const char *type)
{
	const size_t n = strlen(type);

	while (p < end && is_space(*p))
		p++;
	if ((size_t)(end - p) < n || strncasecmp(p, type, n) != 0)
		return 0;
	p += n;
	return p == end || ((is_space(*p) || *p == ';') && !declined(p, end));
}

int
nr_accept_names(const char *header, size_t len, const char *type)
{
	const char *end = header + len, *p = header, *comma;

	for (; p <= end; p = comma + 1) {
		comma = memchr(p, ',', (size_t)(end - p));
		if (comma == NULL)
			return range_is(p, end, type);
		if (range_is(p, comma, type))
			return 1;
	}
	return 0;
}
