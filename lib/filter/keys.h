/*
 * keys.h - sets of ids or public keys.
 */
#ifndef NR_FILTER_KEYS_H
#define NR_FILTER_KEYS_H

#include <stddef.h>
#include <stdint.h>

/* Sorted, without repetitions. */
struct nr_keys {
	unsigned char	(*v)[32];
	size_t		 n;
};

int	nr_keys_has(const struct nr_keys *k, const unsigned char key[32]);

/*
 * Read a file of public keys: one a line, as 64 hexadecimal digits or as
 * npub or nprofile; white space around it, empty lines and what follows a
 * # do not count.  The file may be compressed with zstd.
 *
 * lineno   of the line that is none of these, with NR_EINVAL
 * Returns  0, NR_EINVAL, ENOMEM, or why the file cannot be read; out then
 *	    holds nothing.
 */
int	nr_keys_load(struct nr_keys *out, const char *path,
	    uint64_t *lineno);
/*
 * Take over n keys, in any order, in memory of malloc(3).
 */
void	nr_keys_take(struct nr_keys *k, void *keys, size_t n);
void	nr_keys_free(struct nr_keys *k);

#endif
