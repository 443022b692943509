/*
 * sink.h - where an export goes: stdout or a file that appears only when
 * it is complete, plain or compressed, with a manifest.
 */
#ifndef NR_CMD_SINK_H
#define NR_CMD_SINK_H

#include <stddef.h>
#include <stdint.h>

struct nr_sink;

/*
 * path      the file; "-" or NULL for stdout
 * compress  with zstd
 * manifest  the file for count and SHA-256, or NULL
 * All functions end the program on failure.
 */
struct nr_sink	*nr_sink_open(const char *path, int compress,
		    const char *manifest);

/* Add some lines, of which there are events. */
void	nr_sink_add(struct nr_sink *s, const void *p, size_t n,
	    uint64_t events);

/* Have everything so far be on its way to the reader. */
void	nr_sink_flush(struct nr_sink *s);

/* Complete the file, durably; then the manifest. */
void	nr_sink_close(struct nr_sink *s);

/*
 * Write a small file whole or not at all: beside its place, synced, then
 * renamed.  What is no file (a device, a pipe) is written to.
 */
void	nr_write_file(const char *path, const void *p, size_t n);

/* Before there is anything to write: end the program where it could not. */
void	nr_write_file_check(const char *path);

/*
 * Hold a file for this process alone, so that no other one that asks
 * replaces it; it is made where it is not there.  Ends the program with
 * status 3 where another holds it.
 * Returns  the descriptor by which it is held, until that is closed
 */
int	nr_hold_file(const char *path);

/*
 * Write a file that is held, as nr_write_file() does; the new one is held
 * before it has its name.
 */
void	nr_write_held(int *held, const char *path, const void *p, size_t n);

#endif
