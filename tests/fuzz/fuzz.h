/*
 * fuzz.h - what the fuzz targets share.
 *
 * Each target is one file with a LLVMFuzzerTestOneInput().  make fuzz
 * links it with clang's libFuzzer; make check links it with replay.c,
 * which feeds it the seeds, the inputs that once failed, and some
 * mutations.  A target ends the process where its invariant is broken.
 */
#ifndef NR_TESTS_FUZZ_H
#define NR_TESTS_FUZZ_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int	LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MUST(cond) do {							\
	if (!(cond)) {							\
		fprintf(stderr, "%s:%d: does not hold: %s\n",		\
		    __FILE__, __LINE__, #cond);				\
		abort();						\
	}								\
} while (0)

/* A copy that ends where its memory does, so that overruns are seen. */
static inline char *
copy_of(const void *p, size_t n)
{
	char *c = malloc(n > 0 ? n : 1);

	MUST(c != NULL);
	if (n > 0)
		memcpy(c, p, n);
	return c;
}

#endif
