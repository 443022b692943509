/*
 * Whole numbers, as people write them.
 */
#include "util/number.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

int
nr_number_read(const char **p, const char *units, uint64_t *out)
{
	const char *u;
	unsigned shift;
	uint64_t v;
	char *end;

	if (**p < '0' || **p > '9')
		return 0;
	errno = 0;
	v = strtoumax(*p, &end, 10);
	if (errno != 0)
		return -1;
	if (*end != '\0' && (u = strchr(units, *end)) != NULL) {
		shift = 10 * (unsigned)(u - units + 1);
		if (v > UINT64_MAX >> shift)
			return -1;
		v <<= shift;
		end++;
	}
	*p = end;
	*out = v;
	return 1;
}
