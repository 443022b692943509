/*
 * Hexadecimal by table, both ways.
 */
#include "util/hex.h"

#include <ctype.h>

/* 0 for what is no lower-case digit, else the digit's value and 0x10. */
static const unsigned char value[256] = {
	['0'] = 0x10, ['1'] = 0x11, ['2'] = 0x12, ['3'] = 0x13,
	['4'] = 0x14, ['5'] = 0x15, ['6'] = 0x16, ['7'] = 0x17,
	['8'] = 0x18, ['9'] = 0x19, ['a'] = 0x1a, ['b'] = 0x1b,
	['c'] = 0x1c, ['d'] = 0x1d, ['e'] = 0x1e, ['f'] = 0x1f,
};

void
nr_hex_encode(char *out, const unsigned char *in, size_t n)
{
	static const char digit[] = "0123456789abcdef";
	size_t i;

	for (i = 0; i < n; i++) {
		out[2 * i] = digit[in[i] >> 4];
		out[2 * i + 1] = digit[in[i] & 15];
	}
}

int
nr_hex_decode(unsigned char *out, const char *in, size_t n)
{
	unsigned char all = 0x10, hi, lo;
	size_t i;

	for (i = 0; i < n; i++) {
		hi = value[(unsigned char)in[2 * i]];
		lo = value[(unsigned char)in[2 * i + 1]];
		all &= hi & lo;
		out[i] = (unsigned char)(hi << 4 | (lo & 15));
	}
	return all == 0x10;
}

int
nr_hex_anycase(const char *in, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++)
		if (!isxdigit((unsigned char)in[i]))
			return 0;
	return 1;
}
