/*
 * notify.h - what systemd asks of a service, where it runs as one: see
 * sd_notify(3) and sd_listen_fds(3).
 */
#ifndef NR_NOTIFY_H
#define NR_NOTIFY_H

#include <stdint.h>

#include "relay/relay.h"

/* Say so, where somebody wants to hear it. */
void	nr_notify(const char *state);

/* We serve; this process is the service's, if another was before. */
void	nr_notify_ready(void);
void	nr_notify_reloading(void);

/* The milliseconds in which it wants WATCHDOG=1; 0: it does not. */
uint64_t nr_notify_watchdog(void);

/* The sockets that it has opened for us, from now on ours. */
void	nr_notify_sockets(struct nr_given *out);

#endif
