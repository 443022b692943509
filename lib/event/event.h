/*
 * event.h - a Nostr event (NIP-01): read from JSON, normalised, hashed.
 *
 * An event that was read borrows its tags and content from the JSON text
 * that it was read from; nothing here allocates.  Text is either as it
 * came, or normal: no white space, strings in the normal form of
 * util/json.h.  Functions that need normal text say so.
 *
 * A stored or exported event is one normal line: the fields in the order
 * id, pubkey, created_at, kind, tags, content, sig, and nothing else.
 */
#ifndef NR_EVENT_EVENT_H
#define NR_EVENT_EVENT_H

#include <stddef.h>
#include <stdint.h>

#include "event/verdict.h"
#include "util/view.h"

/* What a reader accepts.  All are inclusive. */
struct nr_event_limits {
	size_t		bytes;		/* of the whole JSON text */
	unsigned	tags;		/* in one event */
	unsigned	tag_items;	/* strings in one tag, name included */
	size_t		tag_bytes;	/* of one such string, as written */
	unsigned	depth;		/* of values in unknown fields */
};

/* For programs in pipes: 1 MiB, and whatever fits into it. */
extern const struct nr_event_limits nr_event_limits_pipe;

#define NR_EVENT_MAX	(1024 * 1024)	/* bytes of an event in a pipe */

/*
 * The bytes that a normal line of an event needs whose JSON text had len
 * bytes: strings never grow, and numbers by a little.
 */
#define NR_EVENT_LINE_MAX(len)	((len) + 64)
#define NR_EVENT_FRAME		384	/* a line's bytes but tags, content */

/* Bits of nr_event.flags. */
#define NR_EVENT_NORMAL	1u	/* tags and content are normal */

struct nr_event {
	unsigned char	id[32];
	unsigned char	pubkey[32];
	unsigned char	sig[64];
	int64_t		created_at;	/* Unix seconds, 0 to 2^63-1 */
	unsigned	kind;		/* 0 to 65535 */
	unsigned	ntags;		/* 0 after nr_event_view() */
	unsigned	flags;
	struct nr_view	tags;		/* from [ to ] */
	struct nr_view	content;	/* without the quotes */
};

/*
 * Read the event that json holds, strictly; surrounding white space is
 * allowed.  The id and signature are not checked: see verify.h.
 *
 * pos	    the byte, from 0, that a verdict speaks of; set always
 * Returns  NR_VALID or the reason why json is not an event; ev then holds
 *	    nothing of use, but see nr_event_peek_id().
 */
enum nr_verdict	nr_event_read(struct nr_event *ev, const char *json,
		    size_t len, const struct nr_event_limits *limits,
		    size_t *pos);

/* What a draft had. */
#define NR_DRAFT_PUBKEY		1u
#define NR_DRAFT_CREATED_AT	2u

/*
 * The same for an event that is still to be signed: every field may be
 * missing, and whatever is in id and sig is passed over.  kind is 1 then,
 * tags and content are empty; *has says about the others, which are 0.
 * A pubkey of "" is none.  Unknown fields are refused: a name that is
 * misspelt would be lost in silence.
 */
enum nr_verdict	nr_event_read_draft(struct nr_event *ev, const char *json,
		    size_t len, const struct nr_event_limits *limits,
		    unsigned *has, size_t *pos);

/*
 * Write ev as one normal line, without a newline, to out, which has room
 * for NR_EVENT_LINE_MAX() bytes, and let ev borrow from there.
 * Returns  the line's length.
 */
size_t	nr_event_normalise(struct nr_event *ev, char *out);

/*
 * Take a normal line apart without checking more than its outline: for
 * lines that this library wrote.  ev borrows from line.
 * Returns  1, or 0 where line cannot be such a line.
 */
int	nr_event_view(struct nr_event *ev, const char *line, size_t len);

/*
 * The same for a line that may be anybody's, once nr_event_read() has made
 * *ev of it: returns 1 only where it is the normal line of that event.
 */
int	nr_event_view_read(struct nr_event *ev, const char *line, size_t len);

/*
 * The same without signature and content: cheaper, enough for matching.
 * tags.len reaches to the end of the line, which nr_tags_next() does not
 * mind.
 */
int	nr_event_view_head(struct nr_event *ev, const char *line, size_t len);

/* Only the id of a normal line; cheaper still. */
int	nr_event_view_id(unsigned char id[32], const char *line, size_t len);

/*
 * Find the 64 digits of an "id" at the top level of something that was
 * refused, so that an answer can name it.
 * Returns  them, borrowed from json, or NULL.
 */
const char *nr_event_peek_id(const char *json, size_t len);

#define NR_KIND_DELETION	5	/* NIP-09 */
#define NR_KIND_VANISH		62	/* NIP-62 */
#define NR_KIND_GIFT_WRAP	1059	/* NIP-59 */
#define NR_KIND_AUTH		22242	/* NIP-42 */

/* Is it one of those that ask for others to be deleted? */
static inline int
nr_kind_request(unsigned kind)
{
	return kind == NR_KIND_DELETION || kind == NR_KIND_VANISH;
}

/*
 * Kinds that a relay shows only to those whom they concern, unless it is
 * told otherwise: direct messages (NIP-04) and gift wraps (NIP-59).
 */
#define NR_KINDS_CONFIDENTIAL	"4,1059,21059"

static inline int
nr_kind_confidential(unsigned kind)
{
	return kind == 4 || kind == 1059 || kind == 21059;
}

/* NIP-01's ranges of kinds. */
int	nr_kind_replaceable(unsigned kind);	/* 0, 3, 10000 to 19999 */
int	nr_kind_ephemeral(unsigned kind);	/* 20000 to 29999 */
int	nr_kind_addressable(unsigned kind);	/* 30000 to 39999 */

#endif
