/*
 * publish.h - the parts of nr-publish.
 *
 *	feed	  threads that read and judge the input
 *	queue	  events that some relay still has to answer
 *	relay	  a window in flight, answers, retries
 *	place	  how far each relay is, in a file
 *
 * All but the feed's threads is the loop's thread alone.  A program that
 * cannot go on ends in any of these functions.
 */
#ifndef NR_CMD_PUBLISH_H
#define NR_CMD_PUBLISH_H

#include <stddef.h>
#include <stdint.h>

#include "client/net.h"
#include "client/peer.h"
#include "event/event.h"
#include "event/sign.h"
#include "event/tags.h"
#include "event/verify.h"
#include "rejects.h"
#include "util/buf.h"
#include "util/lines.h"
#include "util/rng.h"
#include "util/sha256.h"

#define NR_PUB_TEXT	256	/* bytes of a relay's words that are kept */

/* ---- feed */

/* A line of the input, judged. */
struct nr_pub_line {
	enum nr_verdict	 verdict;
	size_t		 pos;		/* that the verdict speaks of */
	enum nr_home	 home;
	int		 blank, passed;	/* passed: not judged */
	int		 rewritten;	/* into the batch's normal lines */
	size_t		 at, len;	/* there, or in its text */
	struct nr_view	 text;		/* as it came */
	unsigned char	 id[32], digest[32];
};

/* A block of lines; events borrow from it. */
struct nr_pub_batch {
	unsigned		 refs;
	struct nr_block		 block;
	struct nr_buf		 normal;
	struct nr_pub_line	*line;
	size_t			 nlines, cap;
};

struct nr_pub_feed_options {
	int			 fd;
	unsigned		 threads;
	struct nr_event_limits	 limits;
	enum nr_trust		 trust;
	uint64_t		 pass;	/* lines at the start: only hashed */
};

struct nr_pub_feed;

struct nr_pub_feed *nr_pub_feed_new(const struct nr_pub_feed_options *o,
		    struct nr_net *n);

/*
 * The next batch, NULL where none is there yet or none will come.
 * *rc  0, NR_EOF at the end, or why the input cannot be read.
 */
struct nr_pub_batch *nr_pub_feed_take(struct nr_pub_feed *f, int *rc);
void	nr_pub_batch_unref(struct nr_pub_batch *b);

/* ---- queue */

/* A place between two lines: how many there are before, and their hash. */
struct nr_pub_place {
	uint64_t	line;
	unsigned char	chain[32];
};

struct nr_pub_item {
	struct nr_pub_batch	*batch;
	struct nr_view		 event;
	unsigned char		 id[32];
	struct nr_pub_place	 before;
	uint64_t		 line;
	unsigned		 refs;		/* relays not done with it */
	unsigned		 need, accepted;
};

struct nr_pub_relay;

struct nr_pub {
	struct nr_net		*net;
	struct nr_key		*key;		/* may be NULL */
	struct nr_verifier	*hasher;
	struct nr_pub_relay	*relay;
	unsigned		 nrelays, alive;
	struct nr_rejects	*rejects;
	struct nr_rng		 rng;

	/* Settings; times in milliseconds. */
	unsigned		 window, min, attempts;
	int64_t			 timeout, deadline, give_up, patience;
	size_t			 queue_max;
	int			 send_private, send_protected, quiet;
	int			 blocked;	/* the queue is full */

	/* Events seq base to base + count - 1, in a ring. */
	struct nr_pub_item	*item;
	size_t			 cap;		/* a power of two */
	uint64_t		 base, count;
	size_t			 bytes;

	struct nr_pub_place	 here;		/* in the input */
	struct nr_sha256	*sha;
	uint64_t		 events, enough, invalid;
	uint64_t		 kept_private, kept_protected, kept_auth;
};

struct nr_pub_item *nr_pub_at(const struct nr_pub *p, uint64_t seq);
uint64_t nr_pub_end(const struct nr_pub *p);

/* Put a batch's events into the queue, and tell the relays. */
void	nr_pub_add(struct nr_pub *p, struct nr_pub_batch *b);

/* A relay is done with an event; accepted by it or not. */
void	nr_pub_release(struct nr_pub *p, uint64_t seq, int accepted);

/* The last call: what some relay has not answered counts as it is. */
void	nr_pub_settle(struct nr_pub *p);

/* ---- relay */

struct nr_pub_flight {
	uint64_t	seq;
	int		sent;		/* and not answered yet */
	int64_t		first, last;	/* when it was sent; 0: never */
	int64_t		due;		/* not before */
	uint64_t	order;		/* among all that were sent there */
	unsigned	attempts, strikes;
	int		proved;		/* sent as who we are */
	char		text[NR_PUB_TEXT];	/* what was said of it */
};

struct nr_pub_relay {
	struct nr_pub		*pub;
	struct nr_peer		*peer;
	const char		*name;
	struct nr_url		 url;
	struct nr_pub_place	 start;	/* answered before this run */
	struct nr_pub_place	 stuck;	/* before what will not be answered */
	int			 is_stuck;
	uint64_t		 next;		/* to be taken */
	struct nr_pub_flight	*flight;	/* in the order of the input */
	unsigned		 nflights, unanswered;
	unsigned		 room, streak;	/* of the window: it shrinks and grows */
	int			 begun, reached, over;
	int64_t			 progress;	/* when it was last of use */
	int64_t			 pause;		/* nothing is sent before */
	int64_t			 rest;		/* some event waits until */
	int64_t			 answered;	/* last on this connection */
	uint64_t		 newest;	/* order of what was answered */
	int64_t			 held, looked;	/* others wait for it */
	unsigned		 backoff;
	int			 proving, proved;
	char			 why[NR_PUB_TEXT];	/* of faults, the last */
	unsigned		 told;		/* kinds of faults, as bits */
	char			 notice[NR_PUB_TEXT];
	char			 refusal[NR_PUB_TEXT];	/* the first */
	uint64_t		 accepted, duplicates, refused, failed;
	uint64_t		 sent, stray, other;
	int64_t			 ms_sum, ms_max;
};

void	nr_pub_relay_init(struct nr_pub_relay *r, struct nr_pub *p,
	    const struct nr_peer_options *o);
void	nr_pub_relay_free(struct nr_pub_relay *r);

/* Take events, send what is due. */
void	nr_pub_relay_go(struct nr_pub_relay *r);

/* Now and then: what is late, given up, or holds the others. */
void	nr_pub_relay_look(struct nr_pub_relay *r, int blocking);

/* An event comes after the relay was given up. */
void	nr_pub_relay_miss(struct nr_pub_relay *r, uint64_t seq);

/* How far all lines are answered. */
void	nr_pub_relay_place(const struct nr_pub_relay *r,
	    struct nr_pub_place *out);

/* ---- place */

/*
 * Read the places of relays; a file that is not there is made, and has
 * none.  It is held to the end: two runs would take it from one another.
 */
void	nr_pub_places_read(struct nr_pub *p, const char *path);

/* Write them, whole and synced, if any has changed. */
void	nr_pub_places_write(struct nr_pub *p, const char *path);

/* ---- report */

/* A JSON line about an event and a relay; accepted -1: nobody knows. */
void	nr_pub_tell(struct nr_pub_relay *r, const struct nr_pub_flight *f,
	    const struct nr_pub_item *it, int accepted, const char *text,
	    int64_t ms);

/* A line a relay on stderr, and one about all. */
void	nr_pub_summary(const struct nr_pub *p);

/* The same as JSON, in a file. */
void	nr_pub_report(const struct nr_pub *p, const char *path);

#endif
