/*
 * keyopt.h - the secret key of programs that sign or authenticate: -K, the
 * file, --key-fd, or $NOSTR_SECRET_KEY; never an argument.
 */
#ifndef NR_CMD_KEYOPT_H
#define NR_CMD_KEYOPT_H

#include "event/sign.h"

/* For the program's short and long options. */
#define NR_KEY_FLAGS	"K:"
#define NR_OPT_KEY_FD	0x180
#define NR_LONG_KEY \
	{ "key-fd", required_argument, NULL, NR_OPT_KEY_FD }, \
	{ "key-file", required_argument, NULL, 'K' }

struct nr_key_args {
	const char	*file;	/* NULL: none */
	int		 fd;	/* -1: none */
};

#define NR_KEY_ARGS	{ NULL, -1 }

/*
 * Take 'K' or NR_OPT_KEY_FD, or end with status 2.
 * Returns 1, or 0 where ch is another option.
 */
int	nr_key_option(struct nr_key_args *a, int ch, const char *value);

/*
 * Read the key; from then on this process can be neither dumped nor traced
 * by its user.  The variable is removed from the environment, whether it
 * was needed or not.  Ends the program on failure: status 2 for what holds
 * no key, 3 for what cannot or must not be read.
 * Returns  NULL where no key was given.
 */
struct nr_key	*nr_key_load(const struct nr_key_args *a);

/*
 * What to add to a relay's words: how to give a key, where it asks for one
 * and there is none.
 */
const char	*nr_key_hint(const struct nr_key *key, const char *text);

#endif
