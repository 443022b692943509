/*
 * format.h - the index on disk: its tables, keys and records.  Internal to
 * lib/store; nr-store(5) describes the same for others.
 *
 * Keys are bytes in the order in which they are read.  Times ascend; ids
 * are complemented after them, so that reading backwards gives NIP-01's
 * order, newest first and lowest id first.
 */
#ifndef NR_STORE_FORMAT_H
#define NR_STORE_FORMAT_H

#include <stddef.h>
#include <stdint.h>

#include "event/event.h"
#include "util/view.h"

#define NR_STORE_VERSION	4

/*
 * The tables.  "author" stands for the last 8 bytes of a public key, "id4"
 * for the first 4 of the complemented id, "number" for 5 bytes.
 */
enum nr_table {
	NR_T_META,	/* name -> value */
	NR_T_EVENT,	/* number (native, 8 bytes) -> struct nr_place */
	NR_T_ID,	/* last 8 bytes of the id, number -> */
	NR_T_TIME,	/* time, ~id -> number, kind, author4, bits */
	NR_T_AUTHOR,	/* author, time, id4, number -> kind */
	NR_T_AKIND,	/* author, kind, time, id4, number -> */
	NR_T_KIND,	/* kind, time, id4, number -> author4 */
	NR_T_TAG,	/* letter, value7, time, id4, number -> kind, author4 */
	NR_T_ADDRESS,	/* author, kind, hash of d, number -> */
	NR_T_GONE_ID,	/* id, public key of who deleted it -> number */
	NR_T_GONE_ADDR,	/* kind, public key, hash of d -> created_at */
	NR_T_EXPIRE,	/* time in 8 bytes, number -> */
	NR_T_SEGMENT,	/* segment -> struct nr_segrec */
	NR_T_DEAD,	/* number (native, 8 bytes) -> struct nr_place */
	NR_T_VANISH,	/* 0 or 1, public key -> created_at */
	NR_T_SUM,	/* time, id -> entries, members, sum: see sums.h */
	NR_T_COUNT
};

const char	*nr_table_name(enum nr_table t);

/* Where an event's line is.  len's upper bits are flags. */
struct nr_place {
	uint32_t	segment;
	uint32_t	offset;
	uint32_t	len;		/* without the LF */
};

#define NR_PLACE_LEN		0x0fffffffu
#define NR_PLACE_EXPIRES	0x10000000u
#define NR_PLACE_QUIET		0x20000000u
#define NR_PLACE_ODD		0x40000000u	/* in an odd generation */

/*
 * A segment.  While a compaction moves its events' places over, some are
 * in the file of generation gen and some in that of gen + 1.
 */
struct nr_segrec {
	uint64_t	first;		/* number of its first event */
	uint64_t	bytes, live_bytes;
	uint64_t	lines, live_lines;
	uint32_t	gen;		/* generation of its file */
	uint32_t	moving;		/* places are being moved to the next */
	uint64_t	blank;		/* bytes that a scrub has overwritten */
};

/* The log's end, as committed. */
struct nr_end {
	uint32_t	segment;	/* 0: there is none yet */
	uint32_t	reserved;
	uint64_t	offset;
};

/*
 * The index's state, in meta.  Entries of events below merged are in the
 * tables from NR_T_TIME to NR_T_TAG; those of later events are not yet,
 * or, up to target, perhaps.  An event below either that has died keeps
 * its entries until the next merge, and a record in NR_T_DEAD.
 */
struct nr_head {
	struct nr_end	end;
	uint64_t	next;		/* the next event's number */
	uint64_t	deaths;		/* bytes of the deaths read */
	uint64_t	merged;
	uint64_t	target;		/* of the merge under way, or 0 */
	uint64_t	merge_seq;	/* counts the merges begun */
	uint64_t	merge_step;	/* and their steps */
	/* Of all events, about, and of those below merged. */
	uint64_t	entries, merged_entries;
	uint64_t	moves;		/* counts segments compacted */
	uint64_t	vanishing;	/* keys whose events are being swept */
	uint64_t	deletions;	/* counts transactions that deleted */
	int64_t		scrub_since;	/* the first not scrubbed yet; or 0 */
	/*
	 * While target is not 0, of the events from merged to below it:
	 * those of a time below put_all have their entries in NR_T_TIME,
	 * and those from put_some on have none.
	 */
	uint64_t	put_all, put_some;
};

#define NR_KEY_MAX	64
#define NR_NUMBER_LEN	5

/* An index entry. */
struct nr_key {
	unsigned char	k[NR_KEY_MAX];
	size_t		klen;
	unsigned char	v[16];
	size_t		vlen;
};

/* The value of NR_T_TIME, and the bits of its last byte. */
#define NR_TIME_VALUE	(NR_NUMBER_LEN + 2 + 4 + 1)
#define NR_TIME_PLAIN	1u

/*
 * Does an event count in the sums?  Only what everybody may see, and may
 * for good: it has no expiration, and its kind is not confidential.
 */
int	nr_event_plain(const struct nr_event *ev);

/* Put and get fields; each returns the next byte's place. */
unsigned char	*nr_put_be(unsigned char *p, uint64_t v, size_t n);
uint64_t	 nr_get_be(const unsigned char *p, size_t n);

/* A time is 5 bytes, or 5 of 0xff and 8 more where it does not fit. */
#define NR_TIME_MAX	13
unsigned char	*nr_put_time(unsigned char *p, int64_t t);
const unsigned char *nr_get_time(const unsigned char *p, int64_t *t);

/* 8 bytes that stand for a key or id: its end, which nobody mines. */
#define NR_TAIL		24
static inline const unsigned char *
nr_tail(const unsigned char key[32])
{
	return key + NR_TAIL;
}

/* The 7 bytes that stand for a tag's value (normal text). */
void	nr_value7(unsigned char out[7], struct nr_view value);

/* Write the key of a table's stream: what comes before the time. */
size_t	nr_author_prefix(unsigned char *p, const unsigned char pubkey[32]);
size_t	nr_akind_prefix(unsigned char *p, const unsigned char pubkey[32],
	    unsigned kind);
size_t	nr_kind_prefix(unsigned char *p, unsigned kind);
size_t	nr_tag_prefix(unsigned char *p, char letter, struct nr_view value);

/*
 * Every entry that an event has in the tables from NR_T_TIME to NR_T_TAG,
 * one call of emit each; a repeated tag is emitted again.  Stops where emit returns other than 0, and returns that.
 */
typedef int	nr_emit(void *ctx, enum nr_table t, const struct nr_key *key);
int	nr_entries(const struct nr_event *ev, uint64_t number, nr_emit *emit,
	    void *ctx);

/* Keys of the other tables. */
size_t	nr_id_key(unsigned char *p, const unsigned char id[32],
	    uint64_t number);
#define NR_EXPIRE_LEN	(8 + NR_NUMBER_LEN)
void	nr_expire_key(unsigned char p[NR_EXPIRE_LEN], int64_t expires,
	    uint64_t number);

#endif
