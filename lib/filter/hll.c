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
