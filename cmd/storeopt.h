/*
 * storeopt.h - what the programs that open a store share: its name, what
 * is said when it cannot be opened, progress on a terminal.
 */
#ifndef NR_CMD_STOREOPT_H
#define NR_CMD_STOREOPT_H

#include "store/store.h"

/* The store to use: -S's argument, or NULL for $NR_STORE or the default. */
const char	*nr_store_name(const char *option);

/* Open it or end the program, saying who is in the way. */
struct nr_store *nr_store_need(const char *dir, unsigned flags,
		    size_t segment_bytes, int progress);

/* End the program for what a store call returned. */
_Noreturn void	nr_store_die(int rc, const char *dir);

/*
 * Progress: shown on a terminal, or always with force (-P); never more
 * often than twice a second.  total may be 0.
 */
struct nr_meter {
	int		on;
	const char	*unit;
	uint64_t	total;
	int64_t		start, last;
	int		shown;
};

void	nr_meter_start(struct nr_meter *m, const char *unit, uint64_t total,
	    int force);
void	nr_meter_step(struct nr_meter *m, uint64_t done, uint64_t part);
void	nr_meter_end(struct nr_meter *m);

#endif
