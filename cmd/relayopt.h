/*
 * relayopt.h - relays on the command line of a program.
 */
#ifndef NR_CMD_RELAYOPT_H
#define NR_CMD_RELAYOPT_H

#include <stddef.h>

#include "wire/url.h"

struct nr_relays {
	struct nr_url	*url;
	size_t		 n;
};

/*
 * Take apart a relay's URL that somebody has written.  Ends with status 2
 * where it is none, or the name of a file.
 */
void	nr_relay_operand(struct nr_url *out, const char *text);

/*
 * Add a relay that somebody has written: wss:// may be left out.  One that
 * is there already is not added again.  Ends with status 2 where it is no
 * URL of a relay.
 */
void	nr_relays_add(struct nr_relays *r, const char *text);

/* Those in a file, one a line; empty lines and # with what follows go. */
void	nr_relays_add_file(struct nr_relays *r, const char *path);

void	nr_relays_free(struct nr_relays *r);

#endif
