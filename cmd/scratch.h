/*
 * scratch.h - a directory that nobody else can look into, for a socket.
 */
#ifndef NR_CMD_SCRATCH_H
#define NR_CMD_SCRATCH_H

struct nr_scratch {
	char	dir[64];
	char	path[80];	/* of the socket in it */
};

/*
 * One at a time, removed at the latest when the program ends; s must last
 * as long.  In $TMPDIR, where its name is short enough, or /tmp; or end.
 */
void	nr_scratch_make(struct nr_scratch *s);
void	nr_scratch_remove(struct nr_scratch *s);

/* Listen at the socket.  Returns 0 or errno. */
int	nr_scratch_listen(const struct nr_scratch *s, int *fd);

/* Connect to it.  Returns 0 or errno. */
int	nr_scratch_connect(const struct nr_scratch *s, int *fd);

#endif
