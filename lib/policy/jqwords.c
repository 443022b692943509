/*
 * Words of an expression.  Only so much of jq's grammar is known here as
 * tells words from strings, comments, members and keys.
 */
#include "policy/jqwords.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "policy/jq.h"

#define NESTED_MAX	32	/* expressions within strings within ... */

struct scan {
	const char	*text;
	const char	*p;
	unsigned	 open[NESTED_MAX];	/* ( not closed, each level */
	unsigned	 depth;
	int		 in_string;
	char		 before;	/* the last one, but for white space */
};

static int
is_refused(const char *word, size_t len)
{
	static const char *const refused[] = {
		"debug", "env", "get_jq_origin", "get_prog_origin",
		"get_search_list", "halt", "halt_error", "import", "include",
		"input", "input_filename", "input_line_number", "inputs",
		"module", "modulemeta", "stderr"
	};
	size_t i;

	for (i = 0; i < sizeof(refused) / sizeof(refused[0]); i++)
		if (strlen(refused[i]) == len &&
		    memcmp(refused[i], word, len) == 0)
			return 1;
	return 0;
}

static int
refuse(const struct scan *s, const char *at, size_t len, char *why,
    size_t whylen)
{
	unsigned line = 1, column = 1;
	const char *p;

	for (p = s->text; p < at; p++) {
		column++;
		if (*p == '\n') {
			line++;
			column = 1;
		}
	}
	snprintf(why, whylen, "line %u, column %u: %.*s cannot be used here",
	    line, column, (int)len, at);
	return 0;
}

static int
word(struct scan *s, char *why, size_t whylen)
{
	const char *start = s->p, *p;
	char before = start > s->text ? start[-1] : ' ';
	size_t len;

	while (isalnum((unsigned char)*s->p) || *s->p == '_')
		s->p++;
	len = (size_t)(s->p - start);
	/* White space may stand behind the $, but not behind . or @. */
	if (s->before == '$') {
		if ((len == 3 && memcmp(start, "ENV", 3) == 0) ||
		    (len == 11 && memcmp(start, "__prog_args", 11) == 0))
			return refuse(s, start - (before == '$'),
			    len + (before == '$'), why, whylen);
		return 1;
	}
	for (p = s->p; isspace((unsigned char)*p); p++)
		;
	if (before == '.' || before == '@' || (p[0] == ':' && p[1] != ':') ||
	    !is_refused(start, len))
		return 1;
	return refuse(s, start, len, why, whylen);
}

/* Within a string: to its end, or into \( ... ). */
static int
string(struct scan *s, char *why, size_t whylen)
{
	if (*s->p == '"') {
		s->in_string = 0;
	} else if (*s->p == '\\' && s->p[1] == '(') {
		if (s->depth + 1 == NESTED_MAX)
			return refuse(s, s->p, 2, why, whylen);
		s->open[++s->depth] = 0;
		s->in_string = 0;
		s->p++;
	} else if (*s->p == '\\' && s->p[1] != '\0') {
		s->p++;
	}
	s->p++;
	return 1;
}

static void
punctuation(struct scan *s)
{
	if (!isspace((unsigned char)*s->p) && *s->p != '#')
		s->before = *s->p;
	switch (*s->p) {
	case '"':
		s->in_string = 1;
		break;
	case '#':
		s->p += strcspn(s->p, "\r\n");
		return;
	case '(':
		s->open[s->depth]++;
		break;
	case ')':
		if (s->open[s->depth] > 0) {
			s->open[s->depth]--;
		} else if (s->depth > 0) {
			s->depth--;
			s->in_string = 1;
		}
		break;
	}
	s->p++;
}

int
nr_jqwords_allowed(const char *text, char *why, size_t whylen)
{
	struct scan s = { .text = text, .p = text };

	if (strlen(text) > NR_JQ_MAX) {
		snprintf(why, whylen, "longer than %d bytes", NR_JQ_MAX);
		return 0;
	}
	if (text[strspn(text, " \t\r\n")] == '\0') {
		snprintf(why, whylen, "empty");
		return 0;
	}
	while (*s.p != '\0') {
		if (s.in_string) {
			if (!string(&s, why, whylen))
				return 0;
		} else if (isalpha((unsigned char)*s.p) || *s.p == '_') {
			if (!word(&s, why, whylen))
				return 0;
			s.before = 'a';
		} else {
			punctuation(&s);
		}
	}
	return 1;
}
