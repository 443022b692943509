/*
 * hex.h - lower-case hexadecimal, the only kind that Nostr knows.
 */
#ifndef NR_UTIL_HEX_H
#define NR_UTIL_HEX_H

#include <stddef.h>

/* Write the 2 * n digits of n bytes to out; no terminator is added. */
void	nr_hex_encode(char *out, const unsigned char *in, size_t n);

/*
 * Read 2 * n lower-case digits into n bytes.
 * Returns 1, or 0 where in holds anything else; out is then undefined.
 */
int	nr_hex_decode(unsigned char *out, const char *in, size_t n);

/* True where the n characters are hexadecimal digits of either case. */
int	nr_hex_anycase(const char *in, size_t n);

#endif
