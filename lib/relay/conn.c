/*
 * Connections' output.
 */
#include "relay/conn.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "relay/internal.h"
#include "util/err.h"
#include "wire/deflate.h"

#define CHUNK_MIN	((size_t)2 * 1024 - sizeof(struct nr_chunk))
#define CHUNK_MAX	((size_t)64 * 1024 - sizeof(struct nr_chunk))

struct nr_conn *
nr_conn_new(struct nr_relay *r, struct lws *wsi)
{
	struct nr_conn *c;

	if ((c = calloc(1, sizeof(*c))) == NULL)
		return NULL;
	c->relay = r;
	c->wsi = wsi;
	atomic_init(&c->refs, 1);
	atomic_init(&c->bad, 0);
	atomic_init(&c->unanswered, 0);
	atomic_init(&c->nkeys, 0);
	pthread_mutex_init(&c->lock, NULL);
	return c;
}

void
nr_conn_ref(struct nr_conn *c)
{
	atomic_fetch_add_explicit(&c->refs, 1, memory_order_relaxed);
}

void
nr_conn_unref(struct nr_conn *c)
{
	if (atomic_fetch_sub_explicit(&c->refs, 1, memory_order_acq_rel) > 1)
		return;
	nr_chunks_free(&c->out);
	nr_buf_free(&c->rx);
	nr_buf_free(&c->backlog);
	nr_limits_forget(c);
	free(c->key_party);
	free(c->keys);
	pthread_mutex_destroy(&c->lock);
	free(c);
}

void
nr_chunks_free(struct nr_chunks *q)
{
	struct nr_chunk *c;

	while ((c = q->head) != NULL) {
		q->head = c->next;
		free(c);
	}
	q->tail = NULL;
	q->bytes = 0;
}

/* Room for n bytes in one piece. */
static unsigned char *
reserve(struct nr_chunks *q, size_t n)
{
	struct nr_chunk *c = q->tail;
	size_t cap;

	if (c != NULL && c->cap - c->len >= n)
		return c->data + c->len;
	/* Larger chunks for those that already have much to send. */
	cap = q->bytes < CHUNK_MIN ? CHUNK_MIN : CHUNK_MAX;
	if (cap < n)
		cap = n;
	if ((c = malloc(sizeof(*c) + cap)) == NULL)
		return NULL;
	c->next = NULL;
	c->len = 0;
	c->cap = cap;
	if (q->tail != NULL)
		q->tail->next = c;
	else
		q->head = c;
	q->tail = c;
	return c->data;
}

static int
add_frame(struct nr_chunks *q, unsigned op, const struct nr_view *part,
    size_t nparts)
{
	size_t len = 0, i, n;
	unsigned char *p, *start;

	for (i = 0; i < nparts; i++)
		len += part[i].len;
	if ((p = start = reserve(q, NR_FRAME_HEAD_MAX + len)) == NULL)
		return ENOMEM;
	p += nr_frame_head(p, op, len, 0);
	for (i = 0; i < nparts; i++) {
		memcpy(p, part[i].p, part[i].len);
		p += part[i].len;
	}
	n = (size_t)(p - start);
	q->tail->len += n;
	q->bytes += n;
	return NR_OK;
}

int
nr_chunks_frame(struct nr_chunks *q, const struct nr_view *part,
    size_t nparts)
{
	return add_frame(q, NR_OP_TEXT, part, nparts);
}

/* Less than this is not worth it. */
#define PACK_MIN	256

int
nr_pack(struct nr_deflater *d, struct nr_buf *b, struct nr_view line)
{
	const struct nr_view part[] = { line, { "]", 1 } };

	b->len = 0;
	return line.len < PACK_MIN ? NR_OK : nr_deflate(d, b, part, 2);
}

/* What is its own is sent as it is, before what is packed. */
static int
add_packed(struct nr_chunks *q, const struct nr_view *own,
    const struct nr_buf *packed)
{
	unsigned char head[NR_DEFLATE_STORED];
	const struct nr_view part[] = {
		{ (const char *)head, sizeof(head) }, own[0], own[1], own[2],
		{ packed->p, packed->len }
	};

	nr_deflate_stored(head, own[0].len + own[1].len + own[2].len);
	return add_frame(q, NR_OP_TEXT | NR_FRAME_PACKED, part, 5);
}

int
nr_chunks_event(struct nr_chunks *q, const struct nr_sub *s,
    struct nr_view line, const struct nr_buf *packed)
{
	const struct nr_view part[] = {
		{ "[\"EVENT\",\"", 10 }, { s->id, s->idlen }, { "\",", 2 },
		line, { "]", 1 }
	};

	if (packed != NULL && packed->len > 0 && packed->len < line.len)
		return add_packed(q, part, packed);
	return nr_chunks_frame(q, part, 5);
}

/* Have the socket thread look at the connection; under its lock. */
static void
mark_dirty(struct nr_conn *c)
{
	if (c->dirty || c->closed)
		return;
	c->dirty = 1;
	nr_conn_ref(c);
	nr_relay_dirty(c->relay, c);
}

static void
doom(struct nr_conn *c, enum nr_close_status status, const char *why)
{
	if (c->doomed)
		return;
	c->doomed = 1;
	c->status = status;
	c->why = why;
	mark_dirty(c);
}

void
nr_conn_doom(struct nr_conn *c, enum nr_close_status status, const char *why)
{
	pthread_mutex_lock(&c->lock);
	doom(c, status, why);
	pthread_mutex_unlock(&c->lock);
}

/*
 * It may never be writable again, so nothing that is waiting can be an
 * excuse to keep it.  Under its lock.
 */
static void
overrun(struct nr_conn *c)
{
	c->overrun = 1;
	nr_limits_hit(c->relay, NR_LIMIT_OUTPUT);
	doom(c, NR_CLOSE_POLICY,
	    "does not read what it asked for");
	mark_dirty(c);
}

void
nr_conn_overrun(struct nr_conn *c)
{
	pthread_mutex_lock(&c->lock);
	if (!c->closed && !c->overrun)
		overrun(c);
	pthread_mutex_unlock(&c->lock);
}

int
nr_conn_lost(struct nr_conn *c)
{
	int lost;

	pthread_mutex_lock(&c->lock);
	lost = c->closed || c->doomed;
	pthread_mutex_unlock(&c->lock);
	return lost;
}

void
nr_conn_bad(struct nr_conn *c)
{
	if (atomic_fetch_add(&c->bad, 1) <
	    c->relay->config->max_bad_messages)
		return;
	nr_limits_hit(c->relay, NR_LIMIT_BAD_MESSAGES);
	nr_conn_doom(c, NR_CLOSE_POLICY,
	    "too many messages that make no sense");
}

static int
too_much(const struct nr_conn *c)
{
	return c->out.bytes > c->relay->config->output_close;
}

void
nr_conn_send(struct nr_conn *c, const char *payload, size_t len)
{
	struct nr_view part = { payload, len };

	nr_conn_send_parts(c, &part, 1);
}

/* Something has been added, or not; under its lock. */
static void
added(struct nr_conn *c, int rc)
{
	if (rc != NR_OK)
		doom(c, NR_CLOSE_ERROR, "out of memory");
	else if (too_much(c))
		overrun(c);
	mark_dirty(c);
}

void
nr_conn_send_parts(struct nr_conn *c, const struct nr_view *part,
    size_t nparts)
{
	pthread_mutex_lock(&c->lock);
	if (!c->closed && !c->doomed)
		added(c, nr_chunks_frame(&c->out, part, nparts));
	pthread_mutex_unlock(&c->lock);
}

void
nr_conn_send_event(struct nr_conn *c, const struct nr_sub *s,
    struct nr_view line, const struct nr_buf *packed)
{
	pthread_mutex_lock(&c->lock);
	if (!c->closed && !c->doomed)
		added(c, nr_chunks_event(&c->out, s, line, packed));
	pthread_mutex_unlock(&c->lock);
}

void
nr_conn_send_chunks(struct nr_conn *c, struct nr_chunks *q,
    const atomic_int *cancelled)
{
	pthread_mutex_lock(&c->lock);
	if (q->head != NULL && !c->closed && !c->doomed &&
	    (cancelled == NULL || !atomic_load(cancelled))) {
		if (c->out.tail != NULL)
			c->out.tail->next = q->head;
		else
			c->out.head = q->head;
		c->out.tail = q->tail;
		c->out.bytes += q->bytes;
		memset(q, 0, sizeof(*q));
		if (too_much(c))
			overrun(c);
		mark_dirty(c);
	}
	pthread_mutex_unlock(&c->lock);
	nr_chunks_free(q);
}

void
nr_conn_cancel(struct nr_conn *c, atomic_int *cancelled)
{
	pthread_mutex_lock(&c->lock);
	atomic_store(cancelled, 1);
	pthread_mutex_unlock(&c->lock);
}
