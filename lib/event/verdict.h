/*
 * verdict.h - what can be wrong with an event.
 */
#ifndef NR_EVENT_VERDICT_H
#define NR_EVENT_VERDICT_H

enum nr_verdict {
	NR_VALID,

	/* It is not JSON, or JSON that is refused (see util/json.h). */
	NR_BAD_SYNTAX,
	NR_BAD_TRUNCATED,
	NR_BAD_UTF8,
	NR_BAD_CONTROL,
	NR_BAD_ESCAPE,
	NR_BAD_SURROGATE,
	NR_BAD_NUL,
	NR_BAD_DEPTH,
	NR_BAD_TRAILING,	/* bytes behind the event */

	/* It is JSON, but not of the shape of an event. */
	NR_BAD_NOT_OBJECT,
	NR_BAD_DUPLICATE_KEY,
	NR_BAD_UNKNOWN_KEY,	/* in a draft */
	NR_BAD_NO_ID,
	NR_BAD_NO_PUBKEY,
	NR_BAD_NO_CREATED_AT,
	NR_BAD_NO_KIND,
	NR_BAD_NO_TAGS,
	NR_BAD_NO_CONTENT,
	NR_BAD_NO_SIG,
	NR_BAD_ID_FORM,		/* not a string of 64 digits */
	NR_BAD_PUBKEY_FORM,
	NR_BAD_SIG_FORM,
	NR_BAD_UPPERCASE,	/* hexadecimal, but not in lower case */
	NR_BAD_CREATED_AT,	/* not an integer */
	NR_BAD_CREATED_AT_RANGE,
	NR_BAD_KIND,
	NR_BAD_KIND_RANGE,
	NR_BAD_TAGS,		/* not an array of arrays */
	NR_BAD_TAG_ITEM,	/* not a string */
	NR_BAD_CONTENT,

	/* It is larger than the reader's limits. */
	NR_BAD_TOO_LONG,
	NR_BAD_TOO_MANY_TAGS,
	NR_BAD_TOO_MANY_ITEMS,
	NR_BAD_TAG_TOO_LONG,

	/* It is an event, but not an authentic one. */
	NR_BAD_ID,
	NR_BAD_PUBKEY,		/* no point on the curve */
	NR_BAD_SIG,

	/* It is a draft that is not signed. */
	NR_BAD_OTHER_KEY,
	NR_BAD_NO_WORK,

	NR_NVERDICTS
};

/* In words, such as "bad signature". */
const char	*nr_verdict_str(enum nr_verdict v);

/* As one word for reports and metrics, such as "bad-signature". */
const char	*nr_verdict_name(enum nr_verdict v);

/* Does the verdict speak of one byte of the text? */
int	nr_verdict_has_pos(enum nr_verdict v);

#endif
