/*
 * HyperLogLog over public keys.
 */
#include "filter/hll.h"

#include <stdlib.h>

#include "event/tags.h"
#include "util/hex.h"
#include "util/sha256.h"

/* What the value stands for: an id or key, an address's key, or a hash. */
static int
target_of(struct nr_view v, struct nr_sha256 *sha, unsigned char out[32])
{
	struct nr_view d;
	unsigned kind;
	size_t n;
	char *text;

	if (v.len == 64 && nr_hex_decode(out, v.p, 32))
		return 1;
	/* To the letter: an a tag may lack the last colon, this may not. */
	if (nr_address_parse(v, &kind, out, &d) && d.p[-1] == ':')
		return 1;
	if ((text = malloc(v.len + 1)) == NULL)
		return 0;
	n = nr_json_decode(text, v.p, v.len);
	nr_sha256_start(sha);
	nr_sha256_add(sha, text, n);
	nr_sha256_end(sha, out);
	free(text);
	return 1;
}

int
nr_hll_offset(const struct nr_filter *f, struct nr_sha256 *sha,
    unsigned *offset)
{
	unsigned char target[32];

	if (f->ntags == 0 || f->tags[0].n != 1 ||
	    !target_of(f->tags[0].v[0], sha, target))
		return 0;
	/* The character 32 of the hexadecimal text. */
	*offset = (target[16] >> 4) + 8u;
	return 1;
}

void
nr_hll_add(unsigned char regs[NR_HLL_REGISTERS], unsigned offset,
    const unsigned char pubkey[32])
{
	const unsigned char *p = pubkey + offset + 1;
	unsigned char *r = &regs[pubkey[offset]], zeros = 0;

	/* In seven bytes, as the reference has it. */
	while (zeros < 56 && !(p[zeros / 8] & 0x80u >> zeros % 8))
		zeros++;
	if (zeros + 1 > *r)
		*r = (unsigned char)(zeros + 1);
}

void
nr_hll_merge(unsigned char regs[NR_HLL_REGISTERS],
    const unsigned char more[NR_HLL_REGISTERS])
{
	size_t i;

	/* 57 is the most that nr_hll_add() makes. */
	for (i = 0; i < NR_HLL_REGISTERS; i++)
		if (more[i] > regs[i])
			regs[i] = more[i] < 57 ? more[i] : 57;
}

/* The natural logarithm of x, from 1 to 256, without libm. */
static double
logarithm(double x)
{
	double y, term, sum = 0;
	int halves = 0, i;

	for (; x > 1.5; x /= 2)
		halves++;
	y = (x - 1) / (x + 1);
	for (term = y, i = 1; i < 30; i += 2, term *= y * y)
		sum += term / i;
	return 2 * sum + halves * 0.69314718055994531;
}

/* Flajolet et al., HyperLogLog, 2007, without its bound for huge counts. */
double
nr_hll_estimate(const unsigned char regs[NR_HLL_REGISTERS])
{
	const double m = NR_HLL_REGISTERS;
	double sum = 0, e;
	unsigned zeros = 0;
	size_t i;

	for (i = 0; i < NR_HLL_REGISTERS; i++) {
		sum += 1.0 / (double)(UINT64_C(1) <<
		    (regs[i] < 57 ? regs[i] : 57));
		zeros += regs[i] == 0;
	}
	e = 0.7213 / (1 + 1.079 / m) * m * m / sum;
	return e <= 2.5 * m && zeros > 0 ? m * logarithm(m / zeros) : e;
}
