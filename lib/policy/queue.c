/*
 * Requests that wait: a lane for each asker, in a ring.
 */
#include "policy/queue.h"

#include <errno.h>
#include <stdlib.h>

#include "util/err.h"

struct nr_lane_of_asked {
	uint64_t	 key;
	size_t		 n;
	struct nr_asked	*head, *tail;
	struct nr_lane_of_asked *prev, *next;	/* of the ring */
	struct nr_lane_of_asked *same;		/* of the bucket */
};

static struct nr_lane_of_asked **
bucket(struct nr_queue *q, uint64_t key)
{
	return &q->bucket[key * UINT64_C(0x9e3779b97f4a7c15) >> 54];
}

static void
append(struct nr_queue *q, struct nr_lane_of_asked *l)
{
	l->next = NULL;
	l->prev = q->last;
	if (q->last != NULL)
		q->last->next = l;
	else
		q->first = l;
	q->last = l;
}

static void
unlink_lane(struct nr_queue *q, struct nr_lane_of_asked *l)
{
	if (l->prev != NULL)
		l->prev->next = l->next;
	else
		q->first = l->next;
	if (l->next != NULL)
		l->next->prev = l->prev;
	else
		q->last = l->prev;
}

static struct nr_lane_of_asked *
lane_of(struct nr_queue *q, uint64_t key)
{
	struct nr_lane_of_asked **at = bucket(q, key), *l;

	for (l = *at; l != NULL; l = l->same)
		if (l->key == key)
			return l;
	if ((l = calloc(1, sizeof(*l))) == NULL)
		return NULL;
	l->key = key;
	l->same = *at;
	*at = l;
	append(q, l);
	q->lanes++;
	return l;
}

static void
drop_lane(struct nr_queue *q, struct nr_lane_of_asked *l)
{
	struct nr_lane_of_asked **p;

	for (p = bucket(q, l->key); *p != l; p = &(*p)->same)
		;
	*p = l->same;
	unlink_lane(q, l);
	q->lanes--;
	free(l);
}

static size_t
bytes_of(const struct nr_asked *a)
{
	return a->request.event.len + a->request.filters.len;
}

int
nr_queue_add(struct nr_queue *q, struct nr_asked *a, size_t most)
{
	struct nr_lane_of_asked *l;

	if ((l = lane_of(q, a->key)) == NULL)
		return ENOMEM;
	if (l->n >= most)
		return EAGAIN;
	a->lane = l;
	a->next = NULL;
	if (l->tail != NULL)
		l->tail->next = a;
	else
		l->head = a;
	l->tail = a;
	l->n++;
	a->younger = NULL;
	a->older = q->youngest;
	if (q->youngest != NULL)
		q->youngest->younger = a;
	else
		q->oldest = a;
	q->youngest = a;
	q->n++;
	q->bytes += bytes_of(a);
	return NR_OK;
}

/* It is the first of its lane: of an asker, the oldest always is. */
static struct nr_asked *
take_first(struct nr_queue *q, struct nr_lane_of_asked *l)
{
	struct nr_asked *a = l->head;

	if (a->older != NULL)
		a->older->younger = a->younger;
	else
		q->oldest = a->younger;
	if (a->younger != NULL)
		a->younger->older = a->older;
	else
		q->youngest = a->older;
	q->n--;
	q->bytes -= bytes_of(a);
	l->n--;
	if ((l->head = a->next) == NULL)
		drop_lane(q, l);
	return a;
}

struct nr_asked *
nr_queue_take(struct nr_queue *q)
{
	struct nr_lane_of_asked *l = q->first;

	if (l == NULL)
		return NULL;
	/* Its next turn comes after everybody else's. */
	unlink_lane(q, l);
	append(q, l);
	return take_first(q, l);
}

struct nr_asked *
nr_queue_expired(struct nr_queue *q, int64_t when)
{
	struct nr_asked *a = q->oldest;

	return a != NULL && a->until < when ? take_first(q, a->lane) : NULL;
}
