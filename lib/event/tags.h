/*
 * tags.h - walk over the tags of a normal event.
 *
 *	struct nr_tags it;
 *	struct nr_tag tag;
 *
 *	nr_tags_start(&it, ev.tags);
 *	while (nr_tags_next(&it, &tag))
 *		...
 *
 * Names and values are the text between the quotes, in the normal form of
 * util/json.h.  That form is unique, so two values are equal exactly when
 * their texts are.  All is borrowed from the event.
 */
#ifndef NR_EVENT_TAGS_H
#define NR_EVENT_TAGS_H

#include <stdint.h>

#include "event/event.h"
#include "util/view.h"

struct nr_tags {
	const char	*p;
	const char	*end;
};

struct nr_tag {
	unsigned	nitems;		/* 0 for an empty tag */
	struct nr_view	name;		/* of the first item */
	struct nr_view	value;		/* of the second, {NULL, 0} if none */
};

void	nr_tags_start(struct nr_tags *it, struct nr_view tags);
int	nr_tags_next(struct nr_tags *it, struct nr_tag *tag);

/* Is the tag's name this one ASCII word? */
int	nr_tag_is(const struct nr_tag *tag, const char *name);

/* The letter of a tag that relays index: a-z or A-Z, with a value; or 0. */
char	nr_tag_letter(const struct nr_tag *tag);

/*
 * The time of NIP-40's expiration tag, the first one that holds a decimal
 * number; INT64_MAX where there is none.  Numbers too large for 63 bits
 * count as never.
 */
int64_t	nr_event_expiration(const struct nr_event *ev);

/*
 * The text of the d tag that is part of an addressable event's address,
 * "" where there is none (NIP-01: the first one counts).
 */
struct nr_view nr_event_d(const struct nr_event *ev);

/* Take the next p tag's key, as of a gift wrap's recipients. */
int	nr_next_recipient(struct nr_tags *it, unsigned char key[32]);

/* Does a request to vanish (NIP-62) name every relay? */
int	nr_event_vanish_all(const struct nr_event *ev);

/* Does it hold NIP-70's tag, "-"? */
int	nr_event_protected(const struct nr_event *ev);

/* Why an event is not sent to relays unless told so. */
enum nr_home {
	NR_HOME_NOT,
	NR_HOME_PRIVATE,	/* of a kind that only its parties may read */
	NR_HOME_PROTECTED,	/* its author alone may publish it (NIP-70) */
	NR_HOME_AUTH		/* no relay takes it (NIP-42) */
};

enum nr_home	nr_event_home(const struct nr_event *ev);

/*
 * Take the value of an "a" tag apart: kind:pubkey:d, where d may hold
 * colons, and the last colon may be missing for kinds without a d.
 * Returns 0 where text is no address.
 */
int	nr_address_parse(struct nr_view text, unsigned *kind,
	    unsigned char pubkey[32], struct nr_view *d);

#endif
