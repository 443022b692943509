/*
 * request.h - what a policy is asked, and what it decides.
 *
 * The same two for whoever asks (a relay, a rule that hands events on) and
 * for whoever answers; protocol.h has them as lines, nr-policy(7) says what
 * each member means.
 */
#ifndef NR_POLICY_REQUEST_H
#define NR_POLICY_REQUEST_H

#include <stdint.h>

#include "event/event.h"
#include "util/view.h"

enum nr_ask {
	NR_ASK_NEW,		/* may this event be stored? */
	NR_ASK_REQ,		/* may this be read? */
	NR_ASK_CONNECT,		/* may this client stay? */
	NR_ASKS
};

#define NR_ASK_BIT(ask)	(1u << (ask))

/* By which way an event came, or a client. */
enum nr_source {
	NR_FROM_IP4,
	NR_FROM_IP6,
	NR_FROM_IMPORT,
	NR_FROM_STREAM,
	NR_FROM_SYNC,
	NR_FROM_STORED,
	NR_FROM_UNKNOWN,
	NR_SOURCES
};

/* All is borrowed. */
struct nr_request {
	enum nr_ask	 type;
	uint64_t	 seq;
	int		 has_seq;
	struct nr_view	 event;		/* NEW: its normal line */
	struct nr_event	 ev;		/* NEW: what that line holds */
	struct nr_view	 filters;	/* REQ: an array in JSON, one line */
	struct nr_view	 verb;		/* REQ, COUNT, NEG-OPEN */
	int64_t		 received;	/* Unix seconds, 0: not told */
	enum nr_source	 source;
	struct nr_view	 source_info;	/* plain text: an address, a URL */
	unsigned char	 ip[16];	/* of it, where it is an address */
	unsigned	 iplen;		/* 0, 4 or 16 */
	const unsigned char (*authed)[32];	/* keys, the first one first */
	unsigned	 nauthed;
};

enum nr_action { NR_ACCEPT, NR_REJECT, NR_SHADOW_REJECT };

#define NR_DECISION_MSG	512	/* bytes of a message, with its zero byte */

struct nr_decision {
	uint64_t	 seq;
	int		 has_seq;
	unsigned char	 id[32];	/* of the event */
	int		 has_id;
	enum nr_action	 action;
	char		 msg[NR_DECISION_MSG];	/* plain text */
};

#endif
