/*
 * servelog.h - nr-serve's log: lines on stderr, as text or as JSON.
 */
#ifndef NR_CMD_SERVELOG_H
#define NR_CMD_SERVELOG_H

#include "relay/relay.h"

/* From now on; -q goes before the level.  Any thread. */
void	nr_servelog_set(enum nr_log_level level, int json);

/* One line; see nr_log_fn. */
void	nr_servelog(enum nr_log_level level, const char *event,
	    const char *text, const char *fields);

#endif
