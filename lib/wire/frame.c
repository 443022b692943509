/*
 * WebSocket frames.
 */
#include "wire/frame.h"

#include <string.h>

size_t
nr_frame_head(unsigned char out[NR_FRAME_HEAD_MAX], unsigned op,
    uint64_t len, int mask)
{
	size_t n = 2, i;

	out[0] = (unsigned char)(0x80 | op);
	if (len < 126)
		out[1] = (unsigned char)len;
	else if (len < 65536) {
		out[1] = 126;
		out[2] = (unsigned char)(len >> 8);
		out[3] = (unsigned char)len;
		n = 4;
	} else {
		out[1] = 127;
		for (i = 0; i < 8; i++)
			out[2 + i] = (unsigned char)(len >> 8 * (7 - i));
		n = 10;
	}
	if (mask) {
		out[1] |= 0x80;
		memset(out + n, 0, 4);
		n += 4;
	}
	return n;
}

int
nr_frame_read(struct nr_frame *f, char *buf, size_t len, size_t max)
{
	const unsigned char *p = (const unsigned char *)buf;
	unsigned char mask[4];
	uint64_t n;
	size_t head = 2, i;

	if (len < 2)
		return 0;
	if (p[0] & 0x70 & ~NR_FRAME_PACKED)
		return -1;
	n = p[1] & 0x7f;
	if (n >= 126) {
		head = n == 126 ? 4 : 10;
		if (len < head)
			return 0;
		for (n = 0, i = 2; i < head; i++)
			n = n << 8 | p[i];
	}
	if (n > max)
		return -1;
	if (p[1] & 0x80)
		head += 4;
	if (len < head + n)
		return 0;
	f->op = (enum nr_opcode)(p[0] & 15);
	f->fin = p[0] >> 7;
	f->packed = (p[0] & NR_FRAME_PACKED) != 0;
	f->payload = buf + head;
	f->len = (size_t)n;
	f->total = head + (size_t)n;
	if (p[1] & 0x80) {
		memcpy(mask, p + head - 4, 4);
		for (i = 0; i < f->len; i++)
			f->payload[i] ^= (char)mask[i & 3];
	}
	return 1;
}
