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
#include "util/times.h"

extern char **environ;

struct nr_exec {
	char *const	*argv;
	struct nr_scratch where;
	int		 fd;
	struct nr_watch	*watch;
	pid_t		 pid;		/* of the last connection */
	int		 (*ended)(void *ctx, int status);
	void		*ctx;
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
	/* LMDB's are inherited otherwise. */
	posix_spawn_file_actions_addclosefrom_np(&files, STDERR_FILENO + 1);
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

/* Its input has ended; where that does not end it, we do. */
int
nr_exec_end(pid_t pid)
{
	static const int signals[] = { 0, SIGTERM, SIGKILL };
	int n, status = -1;
	size_t i;

	for (i = 0; pid > 0 && i < 3; i++) {
		if (signals[i] != 0)
			(void)kill(pid, signals[i]);
		for (n = 0; n < 100; n++) {
			if (waitpid(pid, &status, WNOHANG) != 0)
				return status >= 0 && WIFEXITED(status) ?
				    WEXITSTATUS(status) : -1;
			nr_sleep_ms(20);
		}
	}
	return -1;
}

static void
on_connection(void *ctx, unsigned events)
{
	struct nr_exec *x = ctx;
	int fd, rc, status = nr_exec_end(x->pid);

	(void)events;
	x->pid = 0;
	fd = accept4(x->fd, NULL, NULL, SOCK_CLOEXEC);
	if (fd < 0)
		return;
	if ((status < 0 || !x->ended(x->ctx, status)) &&
	    (rc = nr_exec_start(x->argv, fd, fd, &x->pid)) != 0)
		nr_warn("%s: %s", x->argv[0], nr_strerror(rc));
	close(fd);
}

struct nr_exec *
nr_exec_new(struct nr_net *n, char *const *argv,
    int (*ended)(void *ctx, int status), void *ctx)
{
	struct nr_exec *x;
	int rc;

	if ((x = calloc(1, sizeof(*x))) == NULL)
		nr_die(ENOMEM, "%s", argv[0]);
	x->argv = argv;
	x->ended = ended;
	x->ctx = ctx;
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
	(void)nr_exec_end(x->pid);
	free(x);
}

const char *
nr_exec_path(const struct nr_exec *x)
{
	return x->where.path;
}
