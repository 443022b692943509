/*
 * A connection that is only tried.
 */
#include "client/dial.h"

#include <errno.h>
#include <netdb.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "client/internal.h"
#include "util/err.h"

struct nr_dial {
	int		 fd;
	struct nr_watch	*watch;
	struct nr_timer	 clock;
	void		(*done)(void *ctx, int error);
	void		*ctx;
};

static void
ended(struct nr_dial *d, int error)
{
	nr_watch_free(d->watch);
	d->watch = NULL;
	nr_timer_stop(&d->clock);
	d->done(d->ctx, error);		/* may free d */
}

static void
on_ready(void *ctx, unsigned events)
{
	struct nr_dial *d = ctx;
	int error = 0;
	socklen_t len = sizeof(error);

	(void)events;
	if (getsockopt(d->fd, SOL_SOCKET, SO_ERROR, &error, &len) != 0)
		error = errno;
	ended(d, error);
}

static void
on_clock(void *ctx)
{
	ended(ctx, ETIMEDOUT);
}

/* Returns 0 where the answer is to come, or errno. */
static int
dial(struct nr_dial *d, const struct addrinfo *a)
{
	d->fd = socket(a->ai_family,
	    SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (d->fd < 0)
		return errno;
	if (connect(d->fd, a->ai_addr, a->ai_addrlen) != 0 &&
	    errno != EINPROGRESS)
		return errno;
	return NR_OK;
}

int
nr_dial_new(struct nr_dial **out, struct nr_net *n, const char *address,
    const char *port, int64_t ms, void (*done)(void *ctx, int error),
    void *ctx)
{
	struct addrinfo hints = {
		.ai_socktype = SOCK_STREAM,
		.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV
	}, *list = NULL;
	struct nr_dial *d;
	int rc;

	if ((d = calloc(1, sizeof(*d))) == NULL)
		return ENOMEM;
	d->fd = -1;
	d->done = done;
	d->ctx = ctx;
	nr_timer_init(&d->clock, n, on_clock, d);
	rc = getaddrinfo(address, port, &hints, &list) != 0 ? EINVAL :
	    dial(d, list);
	if (list != NULL)
		freeaddrinfo(list);
	if (rc == NR_OK)
		rc = nr_watch_new(&d->watch, n, d->fd, NR_WATCH_OUT, on_ready,
		    d);
	if (rc != NR_OK) {
		nr_dial_free(d);
		return rc;
	}
	nr_timer_set(&d->clock, ms);
	*out = d;
	return NR_OK;
}

void
nr_dial_free(struct nr_dial *d)
{
	if (d == NULL)
		return;
	nr_watch_free(d->watch);
	nr_timer_stop(&d->clock);
	if (d->fd >= 0)
		close(d->fd);
	free(d);
}
