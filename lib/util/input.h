/*
 * input.h - bytes from a descriptor, decompressed where they start with
 * zstd's magic.
 */
#ifndef NR_UTIL_INPUT_H
#define NR_UTIL_INPUT_H

#include <stddef.h>
#include <stdint.h>

struct nr_input;

/*
 * plain    take the bytes as they are, whatever they look like
 * Returns  0 or ENOMEM.  fd stays the caller's.
 */
int	nr_input_new(struct nr_input **out, int fd, int plain);
void	nr_input_free(struct nr_input *in);	/* NULL is allowed */

/*
 * Read at least one byte and at most n.
 * Returns  0, NR_EOF, NR_EZSTD (damaged, or a window over 128 MiB),
 *	    NR_ETRUNCATED, or errno.
 */
int	nr_input_read(struct nr_input *in, char *p, size_t n, size_t *got);

/* Bytes taken from the descriptor so far. */
uint64_t nr_input_bytes(const struct nr_input *in);

#endif
