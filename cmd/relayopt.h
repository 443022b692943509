/*
 * relayopt.h - relays on the command line of a program.
 */
#ifndef NR_CMD_RELAYOPT_H
#define NR_CMD_RELAYOPT_H

#include <stddef.h>
#include <stdint.h>

#include "wire/url.h"

struct nr_relays {
	struct nr_url	*url;
	size_t		 n;
};

int	nr_is_directory(const char *text);

/*
 * Take apart a relay's URL that somebody has written.  Ends with status 2
 * where it is none, or the name of a file or directory.
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

struct nr_bad_line {
	uint64_t	no;
	char		text[48];	/* its beginning, in printable ASCII */
};

/*
 * The same for a file that is read again and may have become wrong: nothing
 * ends.
 * bad	    with NR_EINVAL: the line that is no relay
 * Returns  0, NR_EINVAL, or a code for nr_strerror(); lines before the one
 *	    that is wrong have been added.
 */
int	nr_relays_try_file(struct nr_relays *r, const char *path,
	    struct nr_bad_line *bad);

/* Add those of another list. */
void	nr_relays_copy(struct nr_relays *r, const struct nr_relays *from);

void	nr_relays_free(struct nr_relays *r);

#endif
