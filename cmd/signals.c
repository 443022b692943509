/*
 * Signals that end a program.
 */
#include "signals.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "tool.h"

void
nr_signals_catch(struct nr_signals *s, const int *list)
{
	sigemptyset(&s->set);
	for (; *list != 0; list++)
		sigaddset(&s->set, *list);
	(void)sigprocmask(SIG_BLOCK, &s->set, NULL);
	s->last = 0;
	if ((s->fd = signalfd(-1, &s->set, SFD_CLOEXEC)) < 0)
		nr_die(errno, "signals");
}

int
nr_signals_take(struct nr_signals *s)
{
	struct signalfd_siginfo info;

	if (read(s->fd, &info, sizeof(info)) != (ssize_t)sizeof(info))
		return 0;
	return s->last = (int)info.ssi_signo;
}

void
nr_signals_die(const struct nr_signals *s)
{
	(void)signal(s->last, SIG_DFL);
	(void)sigprocmask(SIG_UNBLOCK, &s->set, NULL);
	(void)raise(s->last);
	abort();	/* it cannot be that it did nothing */
}
