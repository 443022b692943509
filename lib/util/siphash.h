/*
 * siphash.h - SipHash-2-4 (Aumasson, Bernstein 2012): a short hash under a
 * secret key, for tables whose keys others choose.
 */
#ifndef NR_UTIL_SIPHASH_H
#define NR_UTIL_SIPHASH_H

#include <stddef.h>
#include <stdint.h>

uint64_t	nr_siphash(const unsigned char key[16], const void *p,
		    size_t len);

#endif
