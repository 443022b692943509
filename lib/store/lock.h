/*
 * lock.h - the store's own locks, on bytes of the file "lock".  Internal
 * to lib/store.
 *
 * They are open-file-description locks: they belong to the descriptor, end
 * with the process however it dies, and closing another descriptor of the
 * file does not drop them.  They do not exclude threads of one process.
 *
 *	DOOR	  exclusive, while a process opens, judges or rebuilds
 *	PRESENCE  shared, for as long as the store is open; exclusive, to
 *		  be alone
 *	WANTED	  shared, while waiting for DOOR
 *	NEXT	  exclusive, while waiting for WRITE: who has it is next, so
 *		  that a busy writer cannot keep others out
 *	WRITE	  exclusive, during a write transaction
 *	MERGE	  exclusive, for as long as a merge lasts (merge.c)
 *	COMPACT	  exclusive, while segments are compacted or checked
 *
 * The file's text says who holds DOOR and WRITE, and who of those that are
 * in came first.
 */
#ifndef NR_STORE_LOCK_H
#define NR_STORE_LOCK_H

#include <stddef.h>

enum nr_lock_byte {
	NR_LOCK_DOOR,
	NR_LOCK_PRESENCE,
	NR_LOCK_WANTED,
	NR_LOCK_NEXT,
	NR_LOCK_WRITE,
	NR_LOCK_MERGE,
	NR_LOCK_COMPACT
};

/* Open or create the file in a directory.  Returns 0 or errno. */
int	nr_lock_open(int *fd, int dirfd);

/*
 * Take a byte, waiting at most timeout milliseconds (0: not at all).
 * Returns 0, NR_EBUSY or errno.
 */
int	nr_lock_take(int fd, enum nr_lock_byte b, int exclusive, int timeout);
void	nr_lock_drop(int fd, enum nr_lock_byte b);

/* Does anybody else hold the byte in a way that excludes us? */
int	nr_lock_held(int fd, enum nr_lock_byte b, int exclusive);

/* WRITE by way of NEXT. */
int	nr_lock_write(int fd, int timeout);

/*
 * Leave our name, or read the name of who left his last and still runs;
 * "" where there is none.
 */
void	nr_lock_sign(int fd, enum nr_lock_byte b, const char *program);
void	nr_lock_signed(int fd, enum nr_lock_byte b, char *out, size_t size);

#endif
