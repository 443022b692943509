/*
 * compact.h - what the parts of a compaction share.  Internal to
 * lib/store.
 *
 * A segment is compacted in three parts.  Copying writes its live lines
 * to a new file, the segment's next generation (copy.c).  Moving changes
 * the places of its events over to that file, a slice at a time; a place
 * says by one bit which of the two it is in (move.c).  Then the old file
 * is removed (compact.c).
 */
#ifndef NR_STORE_COMPACT_H
#define NR_STORE_COMPACT_H

#include "store/snap.h"

#define NR_COMPACT_DAY	(24 * 60 * 60)

struct nr_copy {
	uint64_t	bytes, lines;	/* of the new file, or overwritten */
};

/*
 * Write the segment's next generation, whole and durable, and what of the
 * dropped lines must be remembered.  c->stopped may be set: then there is
 * no file.
 */
int	nr_copy_segment(struct nr_store *st, struct nr_compaction *c,
	    struct nr_copy *out, uint32_t segment);

/*
 * Overwrite the lines of deleted events with spaces, when what of them
 * must be remembered has been.
 * Returns  NR_EBUSY where a reader has been at it for too long
 */
int	nr_scrub_segment(struct nr_store *st, struct nr_compaction *c,
	    struct nr_copy *out, uint32_t segment);

/*
 * Wait, not for ever, until nobody looks at the store as it was before;
 * returns whether that is so.
 */
int	nr_compact_wait(struct nr_store *st);

/* Move all places of a segment to its next generation. */
int	nr_move_segment(struct nr_store *st, uint32_t segment);

/* Wait so that n bytes take as long as the rate says. */
void	nr_compact_pace(struct nr_compaction *c, size_t n);

int	nr_compact_stopped(struct nr_compaction *c);

#endif
