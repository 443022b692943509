/*
 * signals.h - signals that end a program, taken by its loop.
 */
#ifndef NR_CMD_SIGNALS_H
#define NR_CMD_SIGNALS_H

#include <signal.h>

struct nr_signals {
	int		fd;	/* to be watched for input */
	sigset_t	set;
	int		last;	/* that has come; 0: none */
};

/*
 * Block those of a list that ends with 0, and have them come by the
 * descriptor.  Before any thread is made, so that none of them takes these.
 */
void	nr_signals_catch(struct nr_signals *s, const int *list);

/* Take one into s->last.  Returns it, or 0 where none has come. */
int	nr_signals_take(struct nr_signals *s);

/* End as that one does. */
_Noreturn void	nr_signals_die(const struct nr_signals *s);

#endif
