/*
 * frame.h - WebSocket frames (RFC 6455), the part that is the hot path:
 * writing frames in bulk, and reading them where we are the client of a
 * load test.  Servers get handshakes, control frames and fragments from
 * libwebsockets.
 */
#ifndef NR_WIRE_FRAME_H
#define NR_WIRE_FRAME_H

#include <stddef.h>
#include <stdint.h>

enum nr_opcode {
	NR_OP_CONT	= 0,
	NR_OP_TEXT	= 1,
	NR_OP_BINARY	= 2,
	NR_OP_CLOSE	= 8,
	NR_OP_PING	= 9,
	NR_OP_PONG	= 10
};

/* Why a connection is closed, in the close frame: RFC 6455, 7.4.1. */
enum nr_close_status {
	NR_CLOSE_GOING_AWAY	= 1001,
	NR_CLOSE_POLICY		= 1008,
	NR_CLOSE_TOO_BIG	= 1009,
	NR_CLOSE_ERROR		= 1011,
	NR_CLOSE_RESTART	= 1012
};

#define NR_FRAME_HEAD_MAX	14
#define NR_FRAME_PACKED		0x40	/* beside the opcode: RFC 7692 */

/*
 * Write the head of an unfragmented frame with a payload of len bytes.
 * op	    an opcode
 * mask     with a mask of zeros, which leaves the payload as it is: what
 *	    a client must send, at no cost
 * Returns  the head's length.
 */
size_t	nr_frame_head(unsigned char out[NR_FRAME_HEAD_MAX],
	    unsigned op, uint64_t len, int mask);

struct nr_frame {
	enum nr_opcode	op;
	int		fin;
	int		packed;		/* see NR_FRAME_PACKED */
	char		*payload;
	size_t		len;
	size_t		total;		/* head and payload */
};

/*
 * Take the frame at the start of buf; a mask is undone in place.
 * Returns  1, 0 where it is not complete, -1 where it is not valid or has
 *	    more than max bytes.
 */
int	nr_frame_read(struct nr_frame *f, char *buf, size_t len, size_t max);

#endif
