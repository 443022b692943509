/*
 * blocks.h - lines of files through a pool of threads: what the programs
 * share that judge each line.
 */
#ifndef NR_CMD_BLOCKS_H
#define NR_CMD_BLOCKS_H

#include "event/verdict.h"
#include "rejects.h"
#include "util/buf.h"
#include "util/lines.h"
#include "util/pool.h"

/* What was found out about each line of a block; from {0}. */
struct nr_judged {
	struct nr_judgement {
		enum nr_verdict	what;
		size_t		pos;
	}	*line;
	size_t	 n, cap;
};

void	nr_judged_add(struct nr_judged *j, enum nr_verdict what, size_t pos);

/* A job of such a pool. */
struct nr_line_job {
	struct nr_block	 block;
	struct nr_judged judged;
	struct nr_buf	 out;		/* the program's */
	const char	*file;		/* where it is from; NULL: stdin */
};

void	nr_line_job_clear(void *job);

/* Report the lines that are not valid.  Returns whether there are any. */
int	nr_line_job_reject(const struct nr_line_job *job,
	    struct nr_rejects *rejects);

/*
 * Put a file, "-" being stdin, through a pool whose jobs these are.  Where
 * that fails, what came before is still delivered, and the program ends.
 * max	    bytes of a line
 */
void	nr_lines_through(struct nr_pool *pool, const char *path, size_t max);

#endif
