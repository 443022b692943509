/*
 * jq.h - expressions in the language of jq(1), by libjq 1.6, over events.
 *
 * An expression is compiled once in each thread that uses it, which takes
 * some 20 ms.  It is true where any of its results is neither false nor
 * null, as in nak.  Beside jq's own functions there are, for events:
 *
 *	tags(NAME)	all tags of that name, an array
 *	tag(NAME)	the first, or null
 *	value(NAME)	its value, or null
 *	has(NAME)	is there a tag of that name; for what is a member or
 *			an index, and where the input is no event, jq's own
 *	hasnt(NAME)	the contrary
 *	has_value(NAME; VALUE)	is there a tag of that name and value
 *	date, time, datetime	created_at, as 2024-01-31, 12:00:00, and
 *			2024-01-31T12:00:00Z
 *
 * An expression reads nothing but its input and the clock: input, env,
 * $ENV, debug, stderr, halt, import and their like are refused.  Numbers
 * are doubles: created_at is exact up to 2^53.
 *
 * What cannot be bounded is an expression's own time and memory: libjq
 * cannot be interrupted, and ends the process where memory is short, where
 * values nest too deep, and for some misuses (.[nan:nan]).  Of those that
 * a sender of events could bring about, the known ones are defined anew:
 * times that no calendar has, and empty matches in text that is not ASCII
 * (there, further matches of a regular expression see one character of
 * what is before them).  fromjson and tonumber leak some 64 bytes of each
 * text that they refuse.
 */
#ifndef NR_POLICY_JQ_H
#define NR_POLICY_JQ_H

#include <stddef.h>

#include "event/event.h"

struct nr_jq;
struct nr_jq_doc;		/* what expressions are asked about */

#define NR_JQ_MAX	65536	/* bytes of an expression */

/*
 * Compile text.  The result belongs to the thread that made it.
 *
 * why	    what is wrong, with NR_EINVAL: "line 1, column 7: ..."; cut to
 *	    whylen, and always with a NUL
 * Returns  0, NR_EINVAL, or ENOMEM.
 */
int	nr_jq_new(struct nr_jq **out, const char *text, char *why,
	    size_t whylen);
void	nr_jq_free(struct nr_jq *q);		/* NULL is allowed */

/* A place for one input at a time, of this thread; 0 or ENOMEM. */
int	nr_jq_doc_new(struct nr_jq_doc **out);
void	nr_jq_doc_free(struct nr_jq_doc *d);	/* NULL is allowed */

/*
 * Take an event that is normal.  What it borrows may be gone afterwards.
 * Cost: about 3 us for 1 KB.  Returns 0 or ENOMEM.
 */
int	nr_jq_doc_event(struct nr_jq_doc *d, const struct nr_event *ev);

/*
 * Take any JSON value, at twice the price.
 * Returns  0, or NR_EINVAL where libjq does not read it.
 */
int	nr_jq_doc_parse(struct nr_jq_doc *d, const char *json, size_t len);

/*
 * Ask.  Of a doc that holds nothing: null.
 * Returns  1: true; 0: false; -1: the expression failed, or had more than
 *	    100,000 results, before any of them was true.
 */
int	nr_jq_test(struct nr_jq *q, const struct nr_jq_doc *d);

#endif
