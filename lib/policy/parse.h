/*
 * parse.h - reading a rules file: what parse.c and parse_rule.c share.
 *
 * A function that finds something wrong tells it and sets failed_line; what
 * it returns then is of no use.
 */
#ifndef NR_POLICY_PARSE_H
#define NR_POLICY_PARSE_H

#include "policy/internal.h"
#include "policy/lex.h"

struct nr_parser {
	struct nr_rules			*r;
	const struct nr_rules_calls	*calls;
	const char			*path;
	struct nr_lexer			 lexer;
	struct nr_token			 t;	/* the one to look at */
	size_t				 before; /* where the last one ended */
	unsigned			 depth;	/* of include */
	unsigned			 wrong;
	int				 failed_line;
	int				 rc;	/* ENOMEM */
};

void	nr_parse_wrong(struct nr_parser *p, const struct nr_token *at,
	    const char *fmt, ...) __attribute__((format(printf, 3, 4)));
void	nr_parse_memory(struct nr_parser *p);

void	nr_parse_next(struct nr_parser *p);
int	nr_parse_is(const struct nr_parser *p, const char *word);
int	nr_parse_take(struct nr_parser *p, const char *word);
int	nr_parse_at_end(const struct nr_parser *p);
const char *nr_parse_here(const struct nr_parser *p, char out[64]);

/* Strings are the caller's to free. */
char	*nr_parse_text(struct nr_parser *p, const char *what);
char	*nr_parse_message(struct nr_parser *p);	/* NULL: there is none */
char	*nr_parse_path(struct nr_parser *p, const char *what);
int64_t	nr_parse_duration(struct nr_parser *p);		/* ms */

/* Room for one more behind n; list is the address of the array. */
int	nr_parse_grow(struct nr_parser *p, void *list, size_t n, size_t size);

/* Tables belong to the rules. */
struct nr_table	*nr_parse_set(struct nr_parser *p, enum nr_table_type type);
struct nr_table	*nr_parse_tag_set(struct nr_parser *p);

/* The rule that begins here, to the end of its line. */
void	nr_parse_rule(struct nr_parser *p);

#endif
