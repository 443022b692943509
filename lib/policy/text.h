/*
 * text.h - the text of an event as people read it: its characters, their
 * case, and which parts of it are links or names (NIP-19) and no prose.
 *
 * Text is the inside of a JSON string in the normal form of util/json.h,
 * escapes included.  Everything is borrowed from it; nothing allocates.
 */
#ifndef NR_POLICY_TEXT_H
#define NR_POLICY_TEXT_H

#include "util/view.h"

/*
 * The small letter of a letter, else c itself: of Latin (to U+017F),
 * Greek and Cyrillic letters.  It has as many bytes in UTF-8.
 */
unsigned	nr_fold(unsigned c);

enum nr_case {
	NR_CASE_NONE,		/* no letter of those scripts */
	NR_CASE_SMALL,
	NR_CASE_CAPITAL
};

enum nr_case	nr_case_of(unsigned c);

/*
 * Is it of words: of ASCII a letter; beyond it, whatever is no
 * punctuation, symbol or emoji?
 */
int		nr_text_letter(unsigned c);

/* White space; and what is there and not to be seen. */
int		nr_text_space(unsigned c);
int		nr_text_nothing(unsigned c);

/* Write c in UTF-8; returns how many bytes. */
unsigned	nr_text_put(char out[4], unsigned c);

/* The next character, at *p, which is not the end; *p moves behind it. */
unsigned	nr_text_next(const char **p, const char *end);

/* How many characters. */
size_t		nr_text_chars(struct nr_view text);

enum nr_piece_type {
	NR_PIECE_TEXT,
	NR_PIECE_LINK,		/* http: and https: */
	NR_PIECE_PERSON,	/* npub1, nprofile1; with nostr: or without */
	NR_PIECE_NAME,		/* note1, nevent1, naddr1 */
	NR_PIECE_SECRET		/* what looks like an nsec1 */
};

struct nr_piece {
	enum nr_piece_type	type;
	struct nr_view		text;
	struct nr_view		name;	/* without nostr:, where it is one */
};

struct nr_pieces {
	const char	*from;		/* what was not given out yet */
	const char	*at;		/* what was not looked at yet */
	const char	*end;
	struct nr_piece	 next;		/* comes behind the text before it */
	int		 waiting;
};

/*
 * Take text apart:
 *
 *	nr_pieces_start(&it, text);
 *	while (nr_pieces_next(&it, &piece))
 *		...
 *
 * The pieces together are the text.  A link ends at what is not printable
 * ASCII, or at one of "<>\^`{|}.
 */
void	nr_pieces_start(struct nr_pieces *it, struct nr_view text);
int	nr_pieces_next(struct nr_pieces *it, struct nr_piece *piece);

/*
 * Is the 1 at p that of an nsec1 whose checksum is right?  The text goes
 * from start to end.
 */
int	nr_text_secret(const char *start, const char *p, const char *end);

#endif
