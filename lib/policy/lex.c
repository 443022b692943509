/*
 * The words of a rules file.
 */
#include "policy/lex.h"

#include <string.h>

#include "util/err.h"

void
nr_lexer_init(struct nr_lexer *l, const char *text, size_t len)
{
	memset(l, 0, sizeof(*l));
	l->p = l->begin = l->line_start = text;
	l->end = text + len;
	l->line = 1;
}

void
nr_lexer_free(struct nr_lexer *l)
{
	nr_buf_free(&l->text);
}

static void
new_line(struct nr_lexer *l)
{
	l->line++;
	l->line_start = l->p;
}

/* Pass over what parts words; a line goes on behind a backslash. */
static void
skip_space(struct nr_lexer *l)
{
	for (; l->p < l->end; l->p++) {
		if (*l->p == '#') {
			while (l->p < l->end && *l->p != '\n')
				l->p++;
			l->p--;
		} else if (*l->p == '\\' && l->p + 1 < l->end &&
		    l->p[1] == '\n') {
			l->p += 2;
			new_line(l);
			l->p--;
		} else if (*l->p == '\n' && l->depth > 0) {
			l->p++;
			new_line(l);
			l->p--;
		} else if (*l->p != ' ' && *l->p != '\t' && *l->p != '\r' &&
		    *l->p != ',')
			return;
	}
}

static void
bad(struct nr_token *t, const char *why)
{
	t->type = NR_TOKEN_BAD;
	t->text.p = why;
	t->text.len = strlen(why);
}

static void
read_string(struct nr_lexer *l, struct nr_token *t)
{
	char quote = *l->p++;
	const char *from = l->p;

	t->type = NR_TOKEN_STRING;
	l->text.len = 0;
	for (; l->p < l->end && *l->p != quote && *l->p != '\n'; l->p++) {
		if (quote != '"' || *l->p != '\\')
			continue;
		if (l->p + 1 >= l->end ||
		    (l->p[1] != '"' && l->p[1] != '\\')) {
			bad(t, "a backslash stands before \" or \\ only");
			return;
		}
		if (nr_buf_add(&l->text, from, (size_t)(l->p - from))) {
			bad(t, "out of memory");
			return;
		}
		from = ++l->p;
	}
	if (l->p >= l->end || *l->p != quote) {
		bad(t, "a string that does not end on its line");
		return;
	}
	if (nr_buf_add(&l->text, from, (size_t)(l->p - from))) {
		bad(t, "out of memory");
		return;
	}
	l->p++;
	t->text.p = l->text.len > 0 ? l->text.p : "";
	t->text.len = l->text.len;
}

static int
in_name(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
	    (c >= '0' && c <= '9') || c == '_' || c == '-' || c == '.';
}

/* <name>, where it is one; else a comparison. */
static void
read_operator(struct nr_lexer *l, struct nr_token *t)
{
	const char *p = l->p + 1;

	if (*l->p == '<') {
		while (p < l->end && in_name(*p))
			p++;
		if (p > l->p + 1 && p < l->end && *p == '>') {
			t->type = NR_TOKEN_TABLE;
			t->text.p = l->p + 1;
			t->text.len = (size_t)(p - t->text.p);
			l->p = p + 1;
			return;
		}
		p = l->p + 1;
	}
	t->type = NR_TOKEN_COMPARE;
	t->text.p = l->p;
	if (p < l->end && *p == '=' && *l->p != '=')
		p++;
	t->text.len = (size_t)(p - l->p);
	l->p = p;
	if (t->text.len == 1 && *t->text.p == '!')
		bad(t, "! alone means nothing here: not");
}

static void
read_word(struct nr_lexer *l, struct nr_token *t)
{
	t->type = NR_TOKEN_WORD;
	t->text.p = l->p;
	while (l->p < l->end && memchr(" \t\r\n,{}\"'<>=!#", *l->p, 13) == NULL)
		l->p++;
	t->text.len = (size_t)(l->p - t->text.p);
}

static void
read_brace(struct nr_lexer *l, struct nr_token *t)
{
	t->text.len = 1;
	if (*l->p++ == '{') {
		t->type = NR_TOKEN_OPEN;
		if (l->depth++ > 0)
			bad(t, "{ inside of { }");
		return;
	}
	t->type = NR_TOKEN_CLOSE;
	if (l->depth-- == 0) {
		l->depth = 0;
		bad(t, "} without {");
	}
}

void
nr_lexer_next(struct nr_lexer *l, struct nr_token *t)
{
	skip_space(l);
	t->line = l->line;
	t->column = (unsigned)(l->p - l->line_start) + 1;
	t->at = (size_t)(l->p - l->begin);
	t->text.p = l->p;
	t->text.len = 0;
	if (l->p >= l->end) {
		t->type = NR_TOKEN_END;
	} else if (*l->p == '\n') {
		t->type = NR_TOKEN_LINE;
		l->p++;
		new_line(l);
	} else if (*l->p == '"' || *l->p == '\'')
		read_string(l, t);
	else if (*l->p == '{' || *l->p == '}')
		read_brace(l, t);
	else if (memchr("<>=!", *l->p, 4) != NULL)
		read_operator(l, t);
	else if ((unsigned char)*l->p < ' ' || *l->p == 0x7f)
		bad(t, "a control character");
	else
		read_word(l, t);
}

void
nr_lexer_skip_line(struct nr_lexer *l)
{
	for (; l->p < l->end && (*l->p != '\n' || l->depth > 0); l->p++) {
		if (*l->p == '}')
			l->depth = 0;
		if (*l->p == '\n') {
			l->line++;
			l->line_start = l->p + 1;
		}
	}
	if (l->p < l->end) {
		l->p++;
		new_line(l);
	}
	l->depth = 0;
}
