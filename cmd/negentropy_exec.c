/*
 * A peer behind a command: a Unix socket in a directory of our own, and a
 * process for each connection to it, whose stdin and stdout that is.
 */
#include "negentropy.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "scratch.h"
#include "tool.h"
#include "util/err.h"

extern char **environ;

struct nr_exec {
	char *const	*argv;
	struct nr_scratch where;
	int		 fd;
	struct nr_watch	*watch;
	pid_t		 pid;		/* of the last connection */
};

/* Signals are as they were before this program had its own ideas. */
int
nr_exec_start(char *const *argv, int in, int out, pid_t *pid)
{
	posix_spawn_file_actions_t files;
	posix_spawnattr_t attr;
	sigset_t none, all;
	int rc;

	sigemptyset(&none);
	sigemptyset(&all);
	sigaddset(&all, SIGPIPE);
	posix_spawn_file_actions_init(&files);
	posix_spawn_file_actions_adddup2(&files, in, STDIN_FILENO);
	posix_spawn_file_actions_adddup2(&files, out, STDOUT_FILENO);
	posix_spawnattr_init(&attr);
	posix_spawnattr_setsigmask(&attr, &none);
	posix_spawnattr_setsigdefault(&attr, &all);
	posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGMASK |
	    POSIX_SPAWN_SETSIGDEF);
	rc = posix_spawnp(pid, argv[0], &files, &attr, argv, environ);
	posix_spawn_file_actions_destroy(&files);
	posix_spawnattr_destroy(&attr);
	return rc;
}

static void
on_connection(void *ctx, unsigned events)
{
	struct nr_exec *x = ctx;
	int fd, rc;

	(void)events;
	/* The one before has ended, or will, as its input has. */
	if (x->pid > 0 && waitpid(x->pid, NULL, WNOHANG) == 0)
		nr_warn("%s: the last one is still there", x->argv[0]);
	x->pid = 0;
	fd = accept4(x->fd, NULL, NULL, SOCK_CLOEXEC);
	if (fd < 0)
		return;
	if ((rc = nr_exec_start(x->argv, fd, fd, &x->pid)) != 0)
		nr_warn("%s: %s", x->argv[0], nr_strerror(rc));
	close(fd);
}

struct nr_exec *
nr_exec_new(struct nr_net *n, char *const *argv)
{
	struct nr_exec *x;
	int rc;

	if ((x = calloc(1, sizeof(*x))) == NULL)
		nr_die(ENOMEM, "%s", argv[0]);
	x->argv = argv;
	nr_scratch_make(&x->where);
	if ((rc = nr_scratch_listen(&x->where, &x->fd)) != NR_OK ||
	    (rc = nr_watch_new(&x->watch, n, x->fd, NR_WATCH_IN,
	    on_connection, x)) != NR_OK)
		nr_die(rc, "%s", x->where.path);
	return x;
}

void
nr_exec_free(struct nr_exec *x)
{
	if (x == NULL)
		return;
	nr_watch_free(x->watch);
	close(x->fd);
	nr_scratch_remove(&x->where);
	/* It has been told, by the end of its input. */
	if (x->pid > 0)
		(void)waitpid(x->pid, NULL, 0);
	free(x);
}

const char *
nr_exec_path(const struct nr_exec *x)
{
	return x->where.path;
}
