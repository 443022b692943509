/*
 * lines.h - read lines from a descriptor, plain or zstd-compressed, in
 * bounded memory.
 *
 * Input that starts with zstd's magic is decompressed.  A line longer than
 * the limit is passed over and reported, and costs itself alone.  Lines
 * end in LF; a last line without one counts like the others.
 */
#ifndef NR_UTIL_LINES_H
#define NR_UTIL_LINES_H

#include <stddef.h>
#include <stdint.h>

#include "util/buf.h"
#include "util/view.h"

struct nr_input;

struct nr_lines {
	struct nr_input	*in;
	size_t		 max;		/* longest line, without its LF */
	uint64_t	 lineno;	/* of nr_lines_next()'s line, from 1 */
	uint64_t	 lines;		/* in the blocks so far */
	struct nr_buf	 carry;		/* the start of an unfinished line */
	int		 skipping;	/* inside a line that is too long */
	struct nr_block	*block;		/* for nr_lines_next() */
	size_t		 at;
};

/* Some complete lines, each ending in LF. */
struct nr_block {
	struct nr_buf	 text;
	uint64_t	 first;		/* line number of the first */
	int		 too_long;	/* line 'first' was; text is empty */
};

/*
 * Read from fd, which stays the caller's.
 * plain    never decompress
 * Returns  0 or ENOMEM.
 */
int	nr_lines_init(struct nr_lines *l, int fd, size_t max, int plain);
void	nr_lines_free(struct nr_lines *l);

/*
 * Wait for at least one complete line and take all that are there, up to
 * a quarter of a megabyte or one line.  Start with *b = {0}; its memory
 * is used again and freed by nr_block_free().  Lines within may still be
 * longer than the limit by a little: see nr_block_line().
 *
 * Returns  0, NR_EOF, NR_EZSTD, NR_ETRUNCATED, or errno.
 */
int	nr_lines_block(struct nr_lines *l, struct nr_block *b);
void	nr_block_free(struct nr_block *b);

/*
 * The line that starts at *at, without its LF; *at moves behind it.
 * Returns  0 at the end of the block.
 */
int	nr_block_line(const struct nr_block *b, size_t *at,
	    struct nr_view *line);

/*
 * The next line, for those who want one at a time; borrowed until the
 * next call.
 * Returns  as nr_lines_block(), or NR_ETOOLONG for a line over the limit.
 */
int	nr_lines_next(struct nr_lines *l, const char **line, size_t *len);

/*
 * What counts in a line of a list: not what follows a #, nor white space
 * around it.
 */
struct nr_view nr_line_item(const char *line, size_t len);

/* Bytes read so far from the descriptor, for progress. */
uint64_t nr_lines_bytes(const struct nr_lines *l);

#endif
