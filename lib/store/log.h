/*
 * log.h - the segments: files of events, one a line, that only grow.
 * Internal to lib/store.
 *
 * log/NNNNNNNN.jsonl, numbered from 1 in the order of arrival; the highest
 * is the one that is appended to.  A compaction replaces a segment by its
 * next generation, log/NNNNNNNN.G.jsonl with G from 1 on, written as
 * log/NNNNNNNN.G.tmp first.  Other names in log/ are left alone.
 */
#ifndef NR_STORE_LOG_H
#define NR_STORE_LOG_H

#include <pthread.h>
#include <stddef.h>
#include <stdint.h>

#include "util/view.h"

/* Segments are mapped this much longer than they may become. */
#define NR_LOG_SLACK	((size_t)64 * 1024 * 1024)

struct nr_map {
	uint32_t	 segment;
	uint32_t	 gen;
	const char	*base;
	size_t		 len;
};

struct nr_log {
	int		 dirfd;
	size_t		 segment_bytes;
	pthread_mutex_t	 lock;		/* of what follows */
	struct nr_map	*map;		/* unordered, later ones are larger */
	size_t		 nmaps, capmaps;
	int		 fd;		/* for writing, or -1 */
	uint32_t	 fd_segment;
};

/* Open the folder, creating it where create is set.  Returns 0 or errno. */
int	nr_log_open(struct nr_log *l, int storefd, size_t segment_bytes,
	    int create);
void	nr_log_close(struct nr_log *l);

/* The highest segment number, 0 where there is none. */
int	nr_log_last(const struct nr_log *l, uint32_t *last);

/* A file of the log, whole or not (tmp). */
struct nr_logfile {
	uint32_t	segment;
	uint32_t	gen;
	int		tmp;
};

/*
 * All files of the log by segment and generation; *out is the caller's to
 * free().
 */
int	nr_log_list(const struct nr_log *l, struct nr_logfile **out,
	    size_t *n);

/* A segment's size; ENOENT where it is not there. */
int	nr_log_size(const struct nr_log *l, uint32_t segment, uint32_t gen,
	    uint64_t *size);

/*
 * Map a segment so that bytes up to end may be read, if the file has them.
 * Maps stay until they are forgotten or the log is closed.
 */
int	nr_log_map(struct nr_log *l, struct nr_map *out, uint32_t segment,
	    uint32_t gen, uint64_t end);

/* Unmap what stale() says; nobody may read it any more. */
void	nr_log_forget(struct nr_log *l, int (*stale)(void *ctx,
	    uint32_t segment, uint32_t gen), void *ctx);

/* Create a segment of generation 0 durably.  Returns 0 or errno. */
int	nr_log_create(struct nr_log *l, uint32_t segment);

/* Remove a file of the log, if it is there.  Returns 0 or errno. */
int	nr_log_remove(struct nr_log *l, const struct nr_logfile *f);

/*
 * Append to a segment, of generation 0.  Write at an offset; a short write
 * is an error.  Returns 0 or errno.
 */
int	nr_log_write(struct nr_log *l, uint32_t segment, uint64_t offset,
	    const void *p, size_t n);
int	nr_log_sync(struct nr_log *l, uint32_t segment);
int	nr_log_truncate(struct nr_log *l, uint32_t segment, uint64_t size);

/* Write all of p, or fail.  Returns 0 or errno (EIO for a short write). */
int	nr_write_at(int fd, const void *p, size_t n, uint64_t offset);

/* "00000001.jsonl", "00000001.2.jsonl", "00000001.2.tmp" */
#define NR_LOG_NAME_MAX	48
void	nr_log_name(char out[NR_LOG_NAME_MAX], uint32_t segment,
	    uint32_t gen, int tmp);

#endif
