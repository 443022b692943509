/*
 * json.h - a strict scanner for JSON text (RFC 8259) in UTF-8.
 *
 * It walks over the text in place and allocates nothing; events, filters
 * and messages are read with it.  Beyond the RFC it refuses the character
 * NUL (also when escaped), surrogates without a partner, and nesting over
 * a limit.  All functions start at j->p and leave j->p behind what they
 * read or, on failure, at the byte that is to blame.
 *
 * The normal form of a string is the one that this project writes: the
 * seven escapes of NIP-01 (\n \" \\ \r \t \b \f), \u00xx in lower case for
 * the other control characters, and everything else as it is.
 */
#ifndef NR_UTIL_JSON_H
#define NR_UTIL_JSON_H

#include <stddef.h>
#include <stdint.h>

#include "util/view.h"

enum nr_json_rc {
	NR_JSON_OK,
	NR_JSON_SYNTAX,		/* a byte that cannot stand here */
	NR_JSON_TRUNCATED,	/* the text ends too early */
	NR_JSON_UTF8,		/* not UTF-8 */
	NR_JSON_CONTROL,	/* a control character that is not escaped */
	NR_JSON_ESCAPE,		/* an escape that JSON does not have */
	NR_JSON_SURROGATE,	/* half of a surrogate pair */
	NR_JSON_NUL,		/* the character U+0000 */
	NR_JSON_DEPTH,		/* nested too deep */
	NR_JSON_FRACTION,	/* a number that is not an integer */
	NR_JSON_RANGE		/* an integer beyond 64 bits */
};

/* What a string holds, for nr_json_string(). */
#define NR_JSON_ESCAPED	1u	/* at least one escape */
#define NR_JSON_REWRITE	2u	/* not in normal form */

#define NR_JSON_DEPTH_MAX	64	/* the most that a caller may allow */

struct nr_json {
	const char	*p;	/* the next byte */
	const char	*end;
};

/* Pass over white space; returns how many bytes that was. */
size_t	nr_json_space(struct nr_json *j);

/*
 * Read the string whose opening quote is at j->p.
 * out	  the text between the quotes, borrowed from the input
 * flags  NR_JSON_* bits that hold for it are added
 */
enum nr_json_rc	nr_json_string(struct nr_json *j, struct nr_view *out,
		    unsigned *flags);

/*
 * Read a number that is equal to an integer of 64 bits, in whatever
 * notation JSON has for it (10, 1e1, 10.0, -0).
 * plain  set to 0 where the notation is not the shortest, may be NULL
 */
enum nr_json_rc	nr_json_int(struct nr_json *j, int64_t *out, int *plain);

/*
 * The next member of the object whose opening brace has been read.
 * key	    the text between the quotes
 * Returns  1; 0 behind the closing brace; -1 where the text is wrong.
 */
int	nr_json_member(struct nr_json *j, struct nr_view *key,
	    struct nr_view *value);

/* Pass over one value of any type, nested at most depth levels. */
enum nr_json_rc	nr_json_skip(struct nr_json *j, unsigned depth);

/*
 * Pass over white space, then expect the byte c.
 */
enum nr_json_rc	nr_json_expect(struct nr_json *j, char c);

/*
 * Write the normal form of a string's inside, as nr_json_string() found
 * it; never longer than the input.  Returns the length.
 */
size_t	nr_json_normal(char *out, const char *in, size_t len);

/*
 * Write the characters that a string's inside stands for; never longer
 * than the input.  Returns the length.
 */
size_t	nr_json_decode(char *out, const char *in, size_t len);

/*
 * The same into size bytes, the last of which is a NUL: as many whole
 * characters as there is room for.
 */
void	nr_json_decode_some(char *out, size_t size, struct nr_view in);

/* The length of the UTF-8 sequence at p, 0 where there is no valid one. */
size_t	nr_utf8_len(const char *p, const char *end);

const char	*nr_json_strerror(enum nr_json_rc rc);

#endif
