/*
 * number.h - whole numbers, as people write them.
 */
#ifndef NR_UTIL_NUMBER_H
#define NR_UTIL_NUMBER_H

#include <stdint.h>

/*
 * Read decimal digits and then perhaps one of units (as "KMG"), the first of
 * which is 1024, each other 1024 times the one before it.
 * *p	    moved behind what was read; what follows is the caller's
 * Returns  1; 0 where there is no digit; -1 where it does not fit.
 */
int	nr_number_read(const char **p, const char *units, uint64_t *out);

#endif
