/*
 * SipHash-2-4.
 */
#include "util/siphash.h"

#include <endian.h>
#include <string.h>

static uint64_t
load(const void *p)
{
	uint64_t x;

	memcpy(&x, p, sizeof(x));
	return le64toh(x);
}

static uint64_t
left(uint64_t x, unsigned n)
{
	return x << n | x >> (64 - n);
}

static void
sip_round(uint64_t v[4])
{
	v[0] += v[1];
	v[1] = left(v[1], 13) ^ v[0];
	v[0] = left(v[0], 32);
	v[2] += v[3];
	v[3] = left(v[3], 16) ^ v[2];
	v[0] += v[3];
	v[3] = left(v[3], 21) ^ v[0];
	v[2] += v[1];
	v[1] = left(v[1], 17) ^ v[2];
	v[2] = left(v[2], 32);
}

static void
take(uint64_t v[4], uint64_t word)
{
	v[3] ^= word;
	sip_round(v);
	sip_round(v);
	v[0] ^= word;
}

uint64_t
nr_siphash(const unsigned char key[16], const void *p, size_t len)
{
	const unsigned char *s = p, *end = s + len / 8 * 8;
	uint64_t k0 = load(key), k1 = load(key + 8);
	uint64_t last = (uint64_t)len << 56;
	uint64_t v[4] = {
		k0 ^ UINT64_C(0x736f6d6570736575),
		k1 ^ UINT64_C(0x646f72616e646f6d),
		k0 ^ UINT64_C(0x6c7967656e657261),
		k1 ^ UINT64_C(0x7465646279746573)
	};
	unsigned i;

	for (; s < end; s += 8)
		take(v, load(s));
	for (i = 0; i < len % 8; i++)
		last |= (uint64_t)s[i] << 8 * i;
	take(v, last);
	v[2] ^= 0xff;
	for (i = 0; i < 4; i++)
		sip_round(v);
	return v[0] ^ v[1] ^ v[2] ^ v[3];
}
