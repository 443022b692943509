/*
 * sieve.h - events of several relays, verified on all cores, each written
 * once.
 *
 * Events are added by the thread of the loop, judged in batches by a pool,
 * and written by it in the order in which they were added.  What has been
 * written is remembered: see nr_idset for the bound.
 */
#ifndef NR_CMD_SIEVE_H
#define NR_CMD_SIEVE_H

#include <stdint.h>

#include "event/event.h"
#include "util/view.h"

/* Ids that are remembered: between half of that and all of it. */
#define NR_SIEVE_IDS	4000000

struct nr_sieve;

struct nr_sieve_options {
	unsigned	 sources;	/* relays, numbered from 0 */
	int		 trust;		/* check neither ids nor signatures */
	int		 ids;		/* write ids alone */
	uint64_t	 total;		/* that are written, at most; 0: any */
	/* From a thread of the pool: there is room, or it is enough. */
	void		(*wake)(void *ctx);
	void		*ctx;
};

struct nr_sieve_figures {
	uint64_t	written;	/* first from this source */
	uint64_t	known;		/* from another source, or earlier */
	uint64_t	invalid;
};

/* Functions end the program on failure. */
struct nr_sieve	*nr_sieve_new(const struct nr_sieve_options *o);

/* Wait for what was added to be written, and free it. */
void	nr_sieve_free(struct nr_sieve *s);

/* Add an event from a source; line is its normal line, copied. */
void	nr_sieve_add(struct nr_sieve *s, unsigned source,
	    const struct nr_event *ev, struct nr_view line);

/* What was added need not wait for more. */
void	nr_sieve_push(struct nr_sieve *s);

/* Is there no room, so that the next nr_sieve_add() would wait? */
int	nr_sieve_full(struct nr_sieve *s);

/* Has the total been reached? */
int	nr_sieve_enough(struct nr_sieve *s);

/* Wait until all that was added is written. */
void	nr_sieve_drain(struct nr_sieve *s);

void	nr_sieve_figures(struct nr_sieve *s, unsigned source,
	    struct nr_sieve_figures *out);

#endif
