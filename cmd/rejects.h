/*
 * rejects.h - where the programs say which lines they refused and why:
 * a line on stderr, and with -r a JSON line in a file (see nr-events(5)).
 */
#ifndef NR_CMD_REJECTS_H
#define NR_CMD_REJECTS_H

#include <stddef.h>
#include <stdint.h>

#include "event/verdict.h"

struct nr_rejects;

/* path may be NULL: then stderr alone.  Ends the program on failure. */
struct nr_rejects *nr_rejects_open(const char *path);
void	nr_rejects_close(struct nr_rejects *r);

/*
 * Report one line.
 * file    its file, or NULL for stdin
 * pos     the byte, from 0, that the verdict speaks of
 * line    the line, to find its id in; may be NULL
 */
void	nr_reject(struct nr_rejects *r, const char *file, uint64_t lineno,
	    enum nr_verdict v, size_t pos, const char *line, size_t len);

/* Is there a file?  Put a line of JSON of the program's own into it. */
int	nr_rejects_wanted(const struct nr_rejects *r);
void	nr_rejects_add(struct nr_rejects *r, const char *line, size_t len);

#endif
