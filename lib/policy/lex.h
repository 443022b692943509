/*
 * lex.h - the words of a rules file (nr-policy.conf(5)).
 *
 * A word is whatever stands between white space, commas, braces and
 * quotes; comparisons (< <= > >= = !=) are words of their own, also where
 * nothing parts them from what follows.  <name> is the name of a table.
 */
#ifndef NR_POLICY_LEX_H
#define NR_POLICY_LEX_H

#include <stddef.h>

#include "util/buf.h"
#include "util/view.h"

enum nr_token_type {
	NR_TOKEN_WORD,
	NR_TOKEN_STRING,	/* "..." with \" and \\, or '...' as it is */
	NR_TOKEN_TABLE,		/* <name>; the text is the name */
	NR_TOKEN_COMPARE,
	NR_TOKEN_OPEN,		/* { */
	NR_TOKEN_CLOSE,		/* } */
	NR_TOKEN_LINE,		/* the end of one, outside of braces */
	NR_TOKEN_END,
	NR_TOKEN_BAD		/* the text says why */
};

struct nr_token {
	enum nr_token_type type;
	struct nr_view	text;	/* valid until the next token is read */
	unsigned	line, column;	/* from 1; columns count bytes */
	size_t		at;	/* its first byte in the file */
};

struct nr_lexer {
	const char	*p, *begin, *end;
	unsigned	 line;
	const char	*line_start;
	unsigned	 depth;		/* of braces; 0 or 1 */
	struct nr_buf	 text;		/* of strings with escapes */
};

/* The text stays the caller's and must outlive the lexer. */
void	nr_lexer_init(struct nr_lexer *l, const char *text, size_t len);
void	nr_lexer_free(struct nr_lexer *l);

/* Without memory, the token is a bad one that says so. */
void	nr_lexer_next(struct nr_lexer *l, struct nr_token *t);

/* Go behind this line, or the one where its brace ends. */
void	nr_lexer_skip_line(struct nr_lexer *l);

#endif
