/*
 * intake.h - events on their way from a relay into a store: gathered,
 * checked by as many threads as there are cores, stored in batches.
 *
 * The loop's thread adds; others check and store, in the order in which
 * the events came, and wake the loop.  What is under way is bounded.
 */
#ifndef NR_SYNC_INTAKE_H
#define NR_SYNC_INTAKE_H

#include <stdint.h>

#include "client/net.h"
#include "event/event.h"
#include "store/store.h"

struct nr_intake;

struct nr_intake_figures {
	uint64_t	result[NR_PUT_NRESULTS];	/* by what became of them */
	uint64_t	taken;		/* without a store: handed over */
	uint64_t	invalid;
	uint64_t	bytes;
};

struct nr_intake_options {
	struct nr_store	*st;		/* NULL: hand over */
	unsigned	 put_flags;
	int		 trust;		/* ids and signatures are not checked */
	/* Without a store: a checked event; any thread, one at a time. */
	int		(*take)(void *ctx, struct nr_view line);
	/* An event was refused: a constant says why; like take(). */
	void		(*refuse)(void *ctx, struct nr_view line,
			    const char *why);
	void		*ctx;
};

/* Returns 0, ENOMEM or what making threads says. */
int	nr_intake_new(struct nr_intake **out, struct nr_net *n,
	    const struct nr_intake_options *o);

/* Waits for what is under way.  NULL is allowed. */
void	nr_intake_free(struct nr_intake *in);

/*
 * Add an event, as one normal line.
 * Returns  0, or EAGAIN where there is no room: wait for a wake of the loop.
 */
int	nr_intake_add(struct nr_intake *in, struct nr_view line);

/* Hand over what was gathered; to be called when nothing more comes soon. */
void	nr_intake_flush(struct nr_intake *in);

/* Nothing is under way; what was added is stored. */
int	nr_intake_idle(struct nr_intake *in);

/* Why nothing more can be stored: 0, or a code. */
int	nr_intake_failed(struct nr_intake *in);

void	nr_intake_figures(struct nr_intake *in, struct nr_intake_figures *out);

#endif
