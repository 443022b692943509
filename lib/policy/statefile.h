/*
 * statefile.h - a file of a fixed size, mapped and shared.  Internal to
 * lib/policy.
 *
 * It begins with NR_STATEFILE_HEAD bytes: what it is, its size, and secret
 * random numbers.  It comes into being by one rename or link, whole, so
 * two who start at once have the same one.
 */
#ifndef NR_POLICY_STATEFILE_H
#define NR_POLICY_STATEFILE_H

#include <stddef.h>

#define NR_STATEFILE_HEAD	4096
#define NR_STATEFILE_SALTS	4

struct nr_statefile {
	void		*map;
	size_t		 bytes;
	unsigned char	 salt[NR_STATEFILE_SALTS][16];
};

/* As nr_state_open() says; bytes are a multiple of 4096. */
int	nr_statefile_open(struct nr_statefile *f, const char *path,
	    size_t bytes, int private, int *fresh);
void	nr_statefile_close(struct nr_statefile *f);

#endif
