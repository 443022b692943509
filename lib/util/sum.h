/*
 * sum.h - sums of ids, as negentropy has them: each id is a little-endian
 * number of 256 bits, and sums are modulo 2^256.
 */
#ifndef NR_UTIL_SUM_H
#define NR_UTIL_SUM_H

#include <endian.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct nr_sum {
	uint64_t word[4];	/* the least first */
};

static inline void
nr_sum_add(struct nr_sum *s, const struct nr_sum *b)
{
	uint64_t w, carry = 0;
	size_t i;

	for (i = 0; i < 4; i++) {
		w = s->word[i] + carry;
		carry = w < carry;
		s->word[i] = w + b->word[i];
		carry += s->word[i] < w;
	}
}

static inline void
nr_sum_sub(struct nr_sum *s, const struct nr_sum *b)
{
	uint64_t w, borrow = 0;
	size_t i;

	for (i = 0; i < 4; i++) {
		w = s->word[i] - borrow;
		borrow = w > s->word[i];
		s->word[i] = w - b->word[i];
		borrow += s->word[i] > w;
	}
}

/* The number that an id is. */
static inline struct nr_sum
nr_sum_id(const unsigned char id[32])
{
	struct nr_sum s;
	size_t i;

	memcpy(s.word, id, 32);
	for (i = 0; i < 4; i++)
		s.word[i] = le64toh(s.word[i]);
	return s;
}

static inline void
nr_sum_add_id(struct nr_sum *s, const unsigned char id[32])
{
	struct nr_sum b = nr_sum_id(id);

	nr_sum_add(s, &b);
}

static inline void
nr_sum_sub_id(struct nr_sum *s, const unsigned char id[32])
{
	struct nr_sum b = nr_sum_id(id);

	nr_sum_sub(s, &b);
}

/* Its 32 bytes, least first. */
static inline void
nr_sum_bytes(unsigned char out[32], const struct nr_sum *s)
{
	size_t i;

	for (i = 0; i < 32; i++)
		out[i] = (unsigned char)(s->word[i / 8] >> i % 8 * 8);
}

#endif
