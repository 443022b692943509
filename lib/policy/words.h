/*
 * words.h - a set of words and phrases, found in text in one pass, however
 * many they are (Aho, Corasick 1975).
 *
 * Letters are the same in both cases (nr_fold() of text.h), any white
 * space is as good as any other and as more of it, and characters that
 * cannot be seen are not there.  A word is found anywhere, within others
 * too, or only as a whole: not where a letter, digit or _ is beside it.
 * Scripts that do not separate words have no whole ones.
 *
 *	nr_words_new(&w); nr_words_add(w, ...); nr_words_load(w, ...);
 *	nr_words_build(w);
 *	i = nr_words_find(w, ev.content);
 */
#ifndef NR_POLICY_WORDS_H
#define NR_POLICY_WORDS_H

#include <stddef.h>
#include <stdint.h>

#include "util/view.h"

#define NR_WORD_MAX	255	/* bytes of one, white space counted once */
#define NR_WORDS_MEMORY	((size_t)64 << 20)	/* about 200,000 words */

struct nr_words;

int	nr_words_new(struct nr_words **out);		/* 0 or ENOMEM */
void	nr_words_free(struct nr_words *w);		/* NULL is allowed */

/*
 * Add one, which is plain text in UTF-8.
 * Returns  0, ENOMEM, EFBIG where the words together take more than
 *	    NR_WORDS_MEMORY, or NR_EINVAL: it is empty, too long or not
 *	    UTF-8.
 */
int	nr_words_add(struct nr_words *w, const char *text, size_t len,
	    int whole);

/*
 * Add those of a file, one a line.  White space around them and empty
 * lines do not count, nor what follows a # at the beginning or behind
 * white space; \# is a # that belongs to the word.  The file may be
 * compressed with zstd.
 *
 * lineno   of the line that is to blame, with NR_EINVAL
 * Returns  0, NR_EINVAL, ENOMEM, EFBIG, or why the file cannot be read.
 */
int	nr_words_load(struct nr_words *w, const char *path, int whole,
	    uint64_t *lineno);

/*
 * Make ready for nr_words_find(); nothing is added from here on.
 * Returns  0, ENOMEM, or EFBIG where it would take more than
 *	    NR_WORDS_MEMORY.
 */
int	nr_words_build(struct nr_words *w);

/*
 * Find the first that ends in text, which is the inside of a normal JSON
 * string.  Any number of threads may.
 * Returns  its number, from 0 in the order of adding, or -1.
 * Cost: about 6 us per KB; does not allocate.
 */
long	nr_words_find(const struct nr_words *w, struct nr_view text);

size_t	nr_words_count(const struct nr_words *w);

/* The word of that number, as it is compared; borrowed. */
struct nr_view	nr_words_get(const struct nr_words *w, size_t i);

#endif
