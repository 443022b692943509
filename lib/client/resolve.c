/*
 * Names.  libwebsockets, as Debian builds it, asks for them in the thread
 * that runs the loop, where one name server that is down would stop all
 * relays.  getaddrinfo(3) cannot be stopped either, so each look-up is a
 * thread that may outlive who asked; what they share counts its users.
 */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "client/internal.h"
#include "util/err.h"
#include "util/times.h"

#define THREADS	16	/* look-ups at a time; the others wait */

/* Shared with the threads. */
struct nr_resolver {
	pthread_mutex_t		 lock;
	unsigned		 refs;		/* threads, and the loop */
	unsigned		 threads, most;
	struct nr_net		*net;		/* NULL: there is no loop */
	struct nr_lookup	*finished;
	struct nr_lookup	*waiting, **last;
};

struct nr_lookup {
	struct nr_resolver	*resolver;
	struct nr_lookup	*next;
	char			*host, *port;
	int			 rc;
	struct addrinfo		*list;
	int64_t			 took;		/* ns */
	/* The threads do not look at what follows. */
	int			 queued;	/* for a thread, or in one */
	/* NULL: nobody wants it any more. */
	void			(*done)(void *ctx, struct addrinfo *list,
				    const char *why);
	void			*ctx;
};

int
nr_resolver_new(struct nr_resolver **out, struct nr_net *n)
{
	struct nr_resolver *r;

	if ((r = calloc(1, sizeof(*r))) == NULL)
		return ENOMEM;
	pthread_mutex_init(&r->lock, NULL);
	r->refs = 1;
	r->net = n;
	r->most = THREADS;
	r->last = &r->waiting;
	*out = r;
	return NR_OK;
}

void
nr_resolver_threads(struct nr_resolver *r, unsigned most)
{
	pthread_mutex_lock(&r->lock);
	r->most = most;
	pthread_mutex_unlock(&r->lock);
}

static void
destroy(struct nr_lookup *l)
{
	if (l->list != NULL)
		freeaddrinfo(l->list);
	free(l->host);
	free(l->port);
	free(l);
}

static void
destroy_all(struct nr_lookup *l)
{
	struct nr_lookup *next;

	for (; l != NULL; l = next) {
		next = l->next;
		destroy(l);
	}
}

/* With the lock, which it drops. */
static void
unref(struct nr_resolver *r)
{
	unsigned left = --r->refs;

	pthread_mutex_unlock(&r->lock);
	if (left > 0)
		return;
	destroy_all(r->finished);
	destroy_all(r->waiting);
	pthread_mutex_destroy(&r->lock);
	free(r);
}

void
nr_resolver_free(struct nr_resolver *r)
{
	if (r == NULL)
		return;
	pthread_mutex_lock(&r->lock);
	r->net = NULL;
	unref(r);
}

static void
look_up(struct nr_lookup *l)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM };
	int64_t began = nr_now_ns();

	l->rc = getaddrinfo(l->host, l->port, &hints, &l->list);
	if (l->rc != 0)
		l->list = NULL;
	l->took = nr_now_ns() - began;
}

/* Take look-ups as long as there are any. */
static void *
thread_main(void *arg)
{
	struct nr_resolver *r = arg;
	struct nr_lookup *l;

	pthread_mutex_lock(&r->lock);
	while (r->net != NULL && (l = r->waiting) != NULL) {
		if ((r->waiting = l->next) == NULL)
			r->last = &r->waiting;
		pthread_mutex_unlock(&r->lock);
		look_up(l);
		pthread_mutex_lock(&r->lock);
		l->next = r->finished;
		r->finished = l;
		if (r->net != NULL)
			nr_net_wake(r->net);
	}
	r->threads--;
	unref(r);
	return NULL;
}

/* With the lock: one more thread, unless there are enough. */
static int
start_thread(struct nr_resolver *r)
{
	pthread_attr_t attr;
	pthread_t t;
	int rc;

	if (r->threads >= r->most)
		return NR_OK;
	pthread_attr_init(&attr);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	pthread_attr_setstacksize(&attr, (size_t)256 * 1024);
	rc = pthread_create(&t, &attr, thread_main, r);
	pthread_attr_destroy(&attr);
	if (rc == NR_OK) {
		r->threads++;
		r->refs++;
	}
	return r->threads > 0 ? NR_OK : rc;
}

int
nr_lookup_new(struct nr_lookup **out, struct nr_resolver *r,
    const char *host, const char *port,
    void (*done)(void *ctx, struct addrinfo *list, const char *why),
    void *ctx)
{
	struct nr_lookup *l;
	int rc;

	if ((l = calloc(1, sizeof(*l))) == NULL)
		return ENOMEM;
	l->resolver = r;
	l->done = done;
	l->ctx = ctx;
	l->host = strdup(host);
	l->port = strdup(port);
	if (l->host == NULL || l->port == NULL) {
		destroy(l);
		return ENOMEM;
	}
	pthread_mutex_lock(&r->lock);
	if ((rc = start_thread(r)) == NR_OK) {
		l->queued = 1;
		*r->last = l;
		r->last = &l->next;
	}
	pthread_mutex_unlock(&r->lock);
	if (rc != NR_OK) {
		destroy(l);
		return rc;
	}
	*out = l;
	return NR_OK;
}

int64_t
nr_lookup_took(const struct nr_lookup *l)
{
	return l->took;
}

void
nr_lookup_free(struct nr_lookup *l)
{
	if (l == NULL)
		return;
	l->done = NULL;
	if (!l->queued)
		destroy(l);
}

void
nr_resolver_run(struct nr_resolver *r)
{
	struct nr_lookup *l;
	struct addrinfo *list;

	for (;;) {
		pthread_mutex_lock(&r->lock);
		if ((l = r->finished) != NULL)
			r->finished = l->next;
		pthread_mutex_unlock(&r->lock);
		if (l == NULL)
			return;
		l->queued = 0;
		if (l->done == NULL) {
			destroy(l);
			continue;
		}
		list = l->list;
		l->list = NULL;
		/* It may free l. */
		l->done(l->ctx, list, l->rc != 0 ? gai_strerror(l->rc) :
		    "no address");
	}
}
