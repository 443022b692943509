/*
 * Escaping for HTML.
 */
#include "util/html.h"

#include <string.h>
#include <strings.h>

#include "util/err.h"
#include "util/json.h"

/* What stands for a character that means something in HTML, or NULL. */
static const char *
escape(char c)
{
	switch (c) {
	case '&':
		return "&amp;";
	case '<':
		return "&lt;";
	case '>':
		return "&gt;";
	case '"':
		return "&quot;";
	case '\'':
		return "&#39;";
	}
	return NULL;
}

static int
is_control(char c)
{
	return ((unsigned char)c < 0x20 && c != '\n' && c != '\t') ||
	    c == 0x7f;
}

int
nr_html_add(struct nr_buf *b, const char *s, size_t n)
{
	const char *end = s + n, *text;
	size_t before = b->len, len;
	int rc = NR_OK;

	while (rc == NR_OK && s < end) {
		len = nr_utf8_len(s, end);
		if (len == 0 || is_control(*s))
			rc = nr_buf_adds(b, "\xef\xbf\xbd");
		else if ((text = escape(*s)) != NULL)
			rc = nr_buf_adds(b, text);
		else
			rc = nr_buf_add(b, s, len);
		s += len > 0 ? len : 1;
	}
	if (rc != NR_OK)
		b->len = before;
	return rc;
}

/* Where the paragraph at s ends: at an empty line, or at the end. */
static const char *
paragraph(const char *s, const char *end)
{
	for (; s < end; s++)
		if (*s == '\n' && end - s > 1 && s[1] == '\n')
			break;
	return s;
}

int
nr_html_paragraphs(struct nr_buf *b, const char *s, size_t n)
{
	const char *end = s + n, *stop;
	size_t before = b->len;
	int rc = NR_OK;

	while (rc == NR_OK && s < end) {
		stop = paragraph(s, end);
		if (stop > s && (rc = nr_buf_adds(b, "<p>")) == NR_OK &&
		    (rc = nr_html_add(b, s, (size_t)(stop - s))) == NR_OK)
			rc = nr_buf_adds(b, "</p>\n");
		for (s = stop; s < end && *s == '\n'; s++)
			;
	}
	if (rc != NR_OK)
		b->len = before;
	return rc;
}

/* Schemes that a click may follow; javascript: is not one of them. */
static int
is_url(const char *s, size_t n)
{
	static const char *const scheme[] = {
		"http://", "https://", "mailto:", "nostr:"
	};
	size_t i, len;

	for (i = 0; i < sizeof(scheme) / sizeof(scheme[0]); i++) {
		len = strlen(scheme[i]);
		if (n > len && strncasecmp(s, scheme[i], len) == 0)
			return 1;
	}
	return 0;
}

int
nr_html_link(struct nr_buf *b, const char *s, size_t n)
{
	size_t before = b->len;
	int rc;

	if (!is_url(s, n))
		return nr_html_add(b, s, n);
	if ((rc = nr_buf_adds(b, "<a href=\"")) != NR_OK ||
	    (rc = nr_html_add(b, s, n)) != NR_OK ||
	    (rc = nr_buf_adds(b, "\" rel=\"noreferrer\">")) != NR_OK ||
	    (rc = nr_html_add(b, s, n)) != NR_OK ||
	    (rc = nr_buf_adds(b, "</a>")) != NR_OK)
		b->len = before;
	return rc;
}
