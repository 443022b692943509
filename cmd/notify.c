/*
 * What systemd asks of a service.
 */
#include "notify.h"

#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define FIRST_FD	3

void
nr_notify(const char *state)
{
	const char *path = getenv("NOTIFY_SOCKET");
	struct sockaddr_un at = { .sun_family = AF_UNIX };
	size_t n = path != NULL ? strlen(path) : 0;
	int fd;

	if (n < 2 || n >= sizeof(at.sun_path) ||
	    (*path != '/' && *path != '@'))
		return;
	memcpy(at.sun_path, path, n);
	if (*path == '@')
		at.sun_path[0] = '\0';
	if ((fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0)) < 0)
		return;
	(void)sendto(fd, state, strlen(state), MSG_NOSIGNAL,
	    (struct sockaddr *)&at,
	    (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n));
	close(fd);
}

/* A number of the environment; -1 where there is none. */
static long
number(const char *name)
{
	const char *text = getenv(name);
	char *end;
	long v;

	if (text == NULL || *text == '\0')
		return -1;
	v = strtol(text, &end, 10);
	return *end == '\0' ? v : -1;
}

void
nr_notify_ready(void)
{
	char text[64];

	snprintf(text, sizeof(text), "READY=1\nMAINPID=%ld", (long)getpid());
	nr_notify(text);
}

void
nr_notify_reloading(void)
{
	struct timespec now;
	char text[80];

	clock_gettime(CLOCK_MONOTONIC, &now);
	snprintf(text, sizeof(text), "RELOADING=1\nMONOTONIC_USEC=%lld",
	    (long long)now.tv_sec * 1000000 + now.tv_nsec / 1000);
	nr_notify(text);
}

uint64_t
nr_notify_watchdog(void)
{
	long pid = number("WATCHDOG_PID"), us = number("WATCHDOG_USEC");

	if (us <= 0 || (pid >= 0 && pid != (long)getpid()))
		return 0;
	return (uint64_t)us / 1000 + 2;
}

static int
is_listening(int fd)
{
	int yes = 0;
	socklen_t len = sizeof(yes);

	return getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &yes, &len) == 0 &&
	    yes;
}

void
nr_notify_sockets(struct nr_given *out)
{
	long n = number("LISTEN_FDS");
	int fd, flags;

	out->n = 0;
	if (number("LISTEN_PID") == (long)getpid())
		for (fd = FIRST_FD; fd - FIRST_FD < n &&
		    out->n < NR_GIVEN_MAX; fd++) {
			if (!is_listening(fd) ||
			    (flags = fcntl(fd, F_GETFL)) < 0)
				continue;
			(void)fcntl(fd, F_SETFD, FD_CLOEXEC);
			(void)fcntl(fd, F_SETFL, flags | O_NONBLOCK);
			out->fd[out->n] = fd;
			out->used[out->n] = 0;
			out->n++;
		}
	unsetenv("LISTEN_PID");
	unsetenv("LISTEN_FDS");
	unsetenv("LISTEN_FDNAMES");
}
