/*
 * state.h - what a policy remembers when it is loaded anew and when it is
 * started anew: buckets of rate limits, authors, and texts that were seen;
 * in memory of a fixed size, which is a file that any number of threads
 * and processes use at once, or nobody else's.
 *
 * It is a hash table of sets of eight entries.  Nothing blocks: a full set
 * gives up what matters least (of the kind that has more than its share: a
 * bucket that is almost full again, the author not seen for longest, the
 * oldest text).  So an answer may be that of somebody new; with a table of
 * the right size it is not: 16 bytes for an author or a bucket in use, 96
 * for a text.
 *
 * Keys are kept as 64 bits of a hash under a secret that is made with the
 * file.  No key can be read from it, but whoever reads the file can try
 * all IPv4 addresses: it is of mode 0600.
 *
 * The file is no record: after a crash of the machine what it says may be
 * older than the crash.  It must not be cut while it is in use.
 *
 * Times: ns are of the wall clock, because they outlive the machine's
 * uptime.  Where that clock goes back by more than a bucket takes to fill,
 * the bucket is full.
 */
#ifndef NR_POLICY_STATE_H
#define NR_POLICY_STATE_H

#include <stddef.h>
#include <stdint.h>

#include "policy/measure.h"
#include "util/rate.h"

#define NR_STATE_MIN	((size_t)8192)
#define NR_STATE_MAX	((size_t)1 << 36)

struct nr_state;

/*
 * Open the table in the file path, which is made where there is none, or
 * one of this size; or in memory, where path is NULL.
 *
 * private  what is written is seen by nobody else, nor afterwards; a file
 *	    that is not there, or of another size, is not made
 * bytes    of the whole file, from NR_STATE_MIN to NR_STATE_MAX; rounded
 *	    down to a multiple of 4096
 * fresh    whether it was empty, because there was no file or one of
 *	    another size or kind; may be NULL
 * Returns  0, EINVAL where path is no regular file or bytes are too few or
 *	    too many, NR_EBUSY where others hold its lock for 10 s, or
 *	    errno: ENOSPC now rather than later, for all its blocks are
 *	    reserved.
 */
int	nr_state_open(struct nr_state **out, const char *path, size_t bytes,
	    int private, int *fresh);
void	nr_state_close(struct nr_state *s);		/* NULL is allowed */

/*
 * Take n from the bucket of key, as nr_bucket_try() of util/rate.h does;
 * more than a burst counts as a burst.  The key has to say what is
 * limited, too: the same key with another rate is the same bucket.
 *
 * Returns  0 where it was taken, else the ns until it can be.
 */
int64_t	nr_state_take(struct nr_state *s, const struct nr_rate *r,
	    const void *key, size_t len, uint64_t n, int64_t now);

/*
 * Since when an author is known, in Unix seconds; 0: not known.
 */
int64_t	nr_state_author(struct nr_state *s, const unsigned char key[32]);

/*
 * Something of this author was accepted at now, in Unix seconds.  Authors
 * of whom nothing was for 400 days may be forgotten.
 */
void	nr_state_learn(struct nr_state *s, const unsigned char key[32],
	    int64_t now);

/*
 * How many other authors had content alike within so many seconds (up to
 * 400 days; between half of them and all, in truth), then count this one.
 * The number is an estimate: good to about 10, at most 47.
 * 0 for an empty sketch.
 */
unsigned nr_state_alike(struct nr_state *s, const struct nr_sketch *k,
	    const unsigned char author[32], int64_t now, int64_t within);

#endif
