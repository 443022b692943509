/*
 * snap.h - the inside of a snapshot, for those in lib/store that read.
 */
#ifndef NR_STORE_SNAP_H
#define NR_STORE_SNAP_H

#include "store/internal.h"

struct nr_snap {
	struct nr_store		*st;
	MDB_txn			*txn;		/* kept when released */
	int			 held;
	MDB_cursor		*cur[NR_T_COUNT];
	struct nr_maps		 maps;
	struct nr_sha256	*sha;
	struct nr_head		 head;
	uint64_t		 seq;		/* no other snapshot has this */
	struct nr_vanish	*hidden;	/* whose events are swept */
	size_t			 nhidden;
	int			 raw;		/* show them nevertheless */
	/* Moves that it knows of, and 1; 0: unknown; NR_UNPINNED. */
	atomic_uint_fast64_t	 pin;
	struct nr_snap		*prev, *next;	/* under snaps_lock */
};

#define NR_UNPINNED	UINT64_MAX

int	nr_snap_cursor_of(struct nr_snap *sn, MDB_cursor **out,
	    enum nr_table t);

/*
 * The first live event whose number is at least *number, as nr_snap_at(),
 * but those of who is vanishing too: they have entries in the index.
 */
int	nr_snap_raw_at(struct nr_snap *sn, struct nr_hit *hit, uint64_t number,
	    int64_t now);

/* Is it the event of one who is vanishing? */
int	nr_snap_hides(const struct nr_snap *sn, const struct nr_event *ev);

/* A live event by number; line is {NULL, 0} where there is none. */
int	nr_snap_hit(struct nr_snap *sn, struct nr_hit *hit, uint64_t number);

/*
 * The live version at an event's address, if it has one; *number is
 * UINT64_MAX where there is none.
 */
int	nr_snap_address(struct nr_snap *sn, uint64_t *number,
	    struct nr_event *found, const struct nr_event *ev);

/* Has its expiration passed? */
int	nr_hit_expired(const struct nr_hit *hit, int64_t now);

#endif
