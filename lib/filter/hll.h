/*
 * hll.h - the HyperLogLog of NIP-45: how many authors, in 256 registers
 * that several relays' answers can be merged by.
 */
#ifndef NR_FILTER_HLL_H
#define NR_FILTER_HLL_H

#include "filter/filter.h"

#define NR_HLL_REGISTERS	256

struct nr_sha256;

/*
 * Which bytes of a public key count, for this filter.
 * sha	    to work with
 * Returns  1, or 0 where the filter is not one that the NIP defines it
 *	    for: the first tag attribute must have one value.
 */
int	nr_hll_offset(const struct nr_filter *f, struct nr_sha256 *sha,
	    unsigned *offset);

void	nr_hll_add(unsigned char regs[NR_HLL_REGISTERS], unsigned offset,
	    const unsigned char pubkey[32]);

/* Let regs hold what either holds; more may be anybody's. */
void	nr_hll_merge(unsigned char regs[NR_HLL_REGISTERS],
	    const unsigned char more[NR_HLL_REGISTERS]);

/* How many authors that is, give or take some 7 in 100. */
double	nr_hll_estimate(const unsigned char regs[NR_HLL_REGISTERS]);

#endif
