/*
 * buf.h - a byte buffer that grows.
 *
 * Start from {0}.  Every function that adds returns 0 or ENOMEM and leaves
 * the buffer as it was on failure.
 */
#ifndef NR_UTIL_BUF_H
#define NR_UTIL_BUF_H

#include <stddef.h>

struct nr_buf {
	char	*p;
	size_t	 len;
	size_t	 cap;
};

/* Make room for n more bytes; p may move. */
int	nr_buf_reserve(struct nr_buf *b, size_t n);
int	nr_buf_add(struct nr_buf *b, const void *p, size_t n);
int	nr_buf_adds(struct nr_buf *b, const char *s);

/* As printf(3); the terminator is not counted in len. */
int	nr_buf_addf(struct nr_buf *b, const char *fmt, ...)
	    __attribute__((format(printf, 2, 3)));

/*
 * Add s as a JSON string with its quotes: whatever bytes s holds, what is
 * written is valid JSON in UTF-8 (bytes that are no UTF-8 become U+FFFD).
 */
int	nr_buf_addjson(struct nr_buf *b, const char *s, size_t n);

/* Free the memory and leave an empty buffer. */
void	nr_buf_free(struct nr_buf *b);

#endif
