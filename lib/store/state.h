/*
 * state.h - the file "state": may the index be trusted?  Internal to
 * lib/store.
 *
 * LMDB has no checksums and does not notice pages that a crash left in an
 * older version.  So before it opens its file, this one decides: clean
 * says that the file was synced and nothing has happened since; dirty is
 * enough where the machine has not been restarted, because then the page
 * cache holds all that was written.
 */
#ifndef NR_STORE_STATE_H
#define NR_STORE_STATE_H

#include <stdint.h>

#define NR_BOOT_LEN	36

struct nr_state {
	uint64_t	epoch;
	int		clean;
	char		boot[NR_BOOT_LEN + 1];	/* the machine's boot id */
	uint64_t	dev, ino;	/* of index/data.mdb */
	int64_t		birth;		/* of it, in nanoseconds */
	uint64_t	txn;		/* LMDB's last transaction */
	uint32_t	segment;	/* the log's end */
	uint64_t	offset;
	uint64_t	pidns;		/* PID namespace of the users */
};

/*
 * Read the file.
 * found    0 where it is not there or its checksum is wrong
 * Returns  0, NR_EVERSION or errno.
 */
int	nr_state_read(int dirfd, struct nr_state *out, int *found);

/* Write and sync it.  Returns 0 or errno. */
int	nr_state_write(int dirfd, const struct nr_state *s);

/*
 * Fill in what the system says now: boot id, PID namespace, and dev, ino
 * and birth of the index file (0 where it is not there).
 */
int	nr_state_system(int dirfd, struct nr_state *s);

#endif
