/*
 * Live subscriptions, by inverted index: each filter is filed under the
 * values of one of its lists, and an event looks up its own id, author,
 * kind and tags.  So an event costs what it matches, not what is
 * subscribed.
 */
#include "relay/internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "event/tags.h"
#include "util/err.h"
#include "wire/deflate.h"

/* A filter under one of its values. */
struct node {
	struct node		*next, **back;	/* what points to it */
	uint64_t		 key;
	struct nr_live_filter	*owner;
};

struct nr_live_filter {
	struct nr_sub		*sub;
	const struct nr_filter	*f;
	struct node		*nodes;
	size_t			 nnodes;
};

struct nr_live {
	const struct nr_relay *relay;
	pthread_mutex_t	 lock;
	struct node	**bucket;
	size_t		 nbuckets;	/* a power of two */
	size_t		 nnodes;
	uint64_t	 next;		/* above all numbers published */
	uint64_t	 seq;		/* counts events looked at */
	struct nr_deflater *deflater;
	struct nr_buf	 packed;	/* the event, for those who want it so */
	uint64_t	 packed_seq;	/* which it is */
};

#define FIRST_BUCKETS	1024

int
nr_live_new(struct nr_live **out, struct nr_relay *r)
{
	struct nr_live *l;

	if ((l = calloc(1, sizeof(*l))) == NULL)
		return ENOMEM;
	l->relay = r;
	l->nbuckets = FIRST_BUCKETS;
	l->bucket = calloc(l->nbuckets, sizeof(l->bucket[0]));
	if (l->bucket == NULL ||
	    nr_deflater_new(&l->deflater, NR_PACK_LEVEL) != NR_OK) {
		free(l->bucket);
		free(l);
		return ENOMEM;
	}
	pthread_mutex_init(&l->lock, NULL);
	*out = l;
	return NR_OK;
}

void
nr_live_free(struct nr_live *l)
{
	if (l == NULL)
		return;
	pthread_mutex_destroy(&l->lock);
	nr_deflater_free(l->deflater);
	nr_buf_free(&l->packed);
	free(l->bucket);
	free(l);
}

enum nr_sub_sort
nr_sub_sort(const struct nr_sub *s)
{
	return s->count != NULL ? NR_SUB_COUNT : s->sync != NULL ?
	    NR_SUB_SYNC : NR_SUB_REQ;
}

void
nr_sub_ref(struct nr_sub *s)
{
	atomic_fetch_add_explicit(&s->refs, 1, memory_order_relaxed);
}

void
nr_sub_unref(struct nr_sub *s)
{
	size_t i;

	if (atomic_fetch_sub_explicit(&s->refs, 1, memory_order_acq_rel) > 1)
		return;
	nr_query_free(s->query);
	free(s->count);
	nr_sync_free(s->sync);
	for (i = 0; i < s->nfilters; i++)
		nr_filter_free(&s->filters[i]);
	free(s->filters);
	nr_chunks_free(&s->pending);
	nr_conn_unref(s->conn);
	free(s->id);
	free(s);
}

/* ---- keys ------------------------------------------------------------------- */

static uint64_t
mix(uint64_t v)
{
	v = (v ^ v >> 32) * UINT64_C(0x9e3779b97f4a7c15);
	return v ^ v >> 29;
}

/* Keys of different sorts must not meet: each sort has a number. */
static uint64_t
bytes_key(unsigned sort, const void *p)
{
	uint64_t v;

	memcpy(&v, p, sizeof(v));
	return mix(v + sort * UINT64_C(0xd6e8feb86659fd93));
}

static uint64_t
kind_key(unsigned kind)
{
	return mix(UINT64_C(0x100000000) + kind);
}

static uint64_t
tag_key(char letter, struct nr_view value)
{
	uint64_t h = (unsigned char)letter;
	size_t i;

	for (i = 0; i < value.len; i++)
		h = (h ^ (unsigned char)value.p[i]) *
		    UINT64_C(0x100000001b3);
	return mix(h);
}

#define SORT_ID		1
#define SORT_AUTHOR	2
#define KEY_ALL		UINT64_C(0)

/* ---- filing ------------------------------------------------------------------ */

/* Which list of a filter it is filed under; the shortest of the best. */
struct filing {
	enum { BY_ID, BY_AUTHOR, BY_TAG, BY_KIND, BY_NOTHING } by;
	size_t	tag;
	size_t	n;
};

static struct filing
choose(const struct nr_filter *f)
{
	struct filing best = { BY_NOTHING, 0, 1 };
	size_t i;

	if (f->has & NR_FILTER_IDS)
		return (struct filing){ BY_ID, 0, f->ids.n };
	if (f->has & NR_FILTER_KINDS)
		best = (struct filing){ BY_KIND, 0, f->nkinds };
	/* An author or tag value is rarer than a kind. */
	if (f->has & NR_FILTER_AUTHORS)
		best = (struct filing){ BY_AUTHOR, 0, f->authors.n };
	for (i = 0; i < f->ntags; i++)
		if (best.by == BY_NOTHING || best.by == BY_KIND ||
		    f->tags[i].n < best.n)
			best = (struct filing){ BY_TAG, i, f->tags[i].n };
	return best;
}

static uint64_t
key_of(const struct nr_filter *f, struct filing how, size_t i)
{
	switch (how.by) {
	case BY_ID:
		return bytes_key(SORT_ID, f->ids.v[i] + 24);
	case BY_AUTHOR:
		return bytes_key(SORT_AUTHOR, f->authors.v[i] + 24);
	case BY_TAG:
		return tag_key(f->tags[how.tag].letter,
		    f->tags[how.tag].v[i]);
	case BY_KIND:
		return kind_key(f->kinds[i]);
	case BY_NOTHING:
		break;
	}
	return KEY_ALL;
}

static void
link_node(struct nr_live *l, struct node *n)
{
	struct node **head = &l->bucket[n->key & (l->nbuckets - 1)];

	n->next = *head;
	n->back = head;
	if (n->next != NULL)
		n->next->back = &n->next;
	*head = n;
}

static void
unlink_node(struct node *n)
{
	*n->back = n->next;
	if (n->next != NULL)
		n->next->back = n->back;
}

/* Twice the buckets; where there is no memory for that, chains grow. */
static void
grow(struct nr_live *l)
{
	struct node **old = l->bucket, *n, *next;
	size_t nold = l->nbuckets, i;

	if (l->nnodes < l->nbuckets)
		return;
	l->bucket = calloc(nold * 2, sizeof(l->bucket[0]));
	if (l->bucket == NULL) {
		l->bucket = old;
		return;
	}
	l->nbuckets = nold * 2;
	for (i = 0; i < nold; i++)
		for (n = old[i]; n != NULL; n = next) {
			next = n->next;
			link_node(l, n);
		}
	free(old);
}

static int
file(struct nr_live *l, struct nr_live_filter *lf)
{
	struct filing how = choose(lf->f);
	size_t i;

	if (nr_filter_void(lf->f) || how.n == 0)
		return NR_OK;
	if ((lf->nodes = calloc(how.n, sizeof(lf->nodes[0]))) == NULL)
		return ENOMEM;
	lf->nnodes = how.n;
	for (i = 0; i < how.n; i++) {
		lf->nodes[i].key = key_of(lf->f, how, i);
		lf->nodes[i].owner = lf;
		link_node(l, &lf->nodes[i]);
	}
	l->nnodes += how.n;
	grow(l);
	return NR_OK;
}

static void
unfile(struct nr_live *l, struct nr_sub *s)
{
	struct nr_live_filter *lf;
	size_t i, j;

	if (s->entry == NULL)
		return;
	for (i = 0; i < s->nfilters; i++) {
		lf = &s->entry[i];
		for (j = 0; j < lf->nnodes; j++)
			unlink_node(&lf->nodes[j]);
		l->nnodes -= lf->nnodes;
		free(lf->nodes);
	}
	free(s->entry);
	s->entry = NULL;
}

/* Where the stored events end, as of now. */
static int
stored_end(struct nr_snap *sn, uint64_t *end)
{
	int rc;

	if ((rc = nr_snap_renew(sn)) != NR_OK)
		return rc;
	*end = nr_snap_next_number(sn);
	nr_snap_release(sn);
	return NR_OK;
}

int
nr_live_add(struct nr_live *l, struct nr_sub *s, struct nr_snap *sn,
    uint64_t *before)
{
	size_t i;
	int rc;

	if ((rc = stored_end(sn, &s->from)) != NR_OK)
		return rc;
	pthread_mutex_lock(&l->lock);
	s->querying = 1;
	/* What has been published since is stored too; the rest will be. */
	if (s->from < l->next)
		s->from = l->next;
	s->entry = calloc(s->nfilters, sizeof(s->entry[0]));
	if (s->entry == NULL)
		rc = ENOMEM;
	for (i = 0; rc == NR_OK && i < s->nfilters; i++) {
		s->entry[i].sub = s;
		s->entry[i].f = &s->filters[i];
		rc = file(l, &s->entry[i]);
	}
	if (rc != NR_OK)
		unfile(l, s);
	else
		*before = s->from;
	pthread_mutex_unlock(&l->lock);
	return rc;
}

void
nr_live_remove(struct nr_live *l, struct nr_sub *s)
{
	pthread_mutex_lock(&l->lock);
	unfile(l, s);
	s->conn->pending -= s->pending.bytes;
	nr_chunks_free(&s->pending);
	pthread_mutex_unlock(&l->lock);
}

/* ---- delivery ------------------------------------------------------------------ */

/* The event of now, packed; NULL where that cannot be. */
static const struct nr_buf *
packed(struct nr_live *l, struct nr_view line)
{
	if (l->packed_seq != l->seq) {
		l->packed_seq = l->seq;
		if (nr_pack(l->deflater, &l->packed, line) != NR_OK)
			l->packed.len = 0;
	}
	return &l->packed;
}

static void
deliver(struct nr_live *l, struct nr_sub *s, struct nr_view line)
{
	struct nr_conn *c = s->conn;
	const struct nr_buf *p = c->packs ? packed(l, line) : NULL;
	size_t before = s->pending.bytes;

	if (!s->querying) {
		nr_conn_send_event(c, s, line, p);
		return;
	}
	/* The bound is for all subscriptions of a connection together. */
	if (c->pending > c->relay->config->output_close) {
		nr_conn_overrun(c);
		return;
	}
	if (nr_chunks_event(&s->pending, s, line, p) != NR_OK)
		nr_conn_doom(c, NR_CLOSE_ERROR, "out of memory");
	c->pending += s->pending.bytes - before;
}

/* Deliver to the owners of a key that the event matches in full. */
static size_t
try_key(struct nr_live *l, uint64_t key, const struct nr_event *ev,
    struct nr_view line, uint64_t number)
{
	int private = nr_kind_private(l->relay->config, ev->kind);
	struct node *n = l->bucket[key & (l->nbuckets - 1)];
	struct nr_sub *s;
	size_t count = 0;

	for (; n != NULL; n = n->next) {
		s = n->owner->sub;
		if (n->key != key || s->seen == l->seq || number < s->from ||
		    !nr_filter_match(n->owner->f, ev) ||
		    (private && !nr_may_read(s->conn, ev)))
			continue;
		s->seen = l->seq;
		if (atomic_load_explicit(&s->closed, memory_order_relaxed))
			continue;
		deliver(l, s, line);
		count++;
	}
	return count;
}

size_t
nr_live_publish(struct nr_live *l, const struct nr_event *ev,
    struct nr_view line, uint64_t number)
{
	struct nr_tags it;
	struct nr_tag tag;
	size_t count;
	char letter;

	pthread_mutex_lock(&l->lock);
	l->seq++;
	if (number != UINT64_MAX)
		l->next = number + 1;
	count = try_key(l, KEY_ALL, ev, line, number);
	count += try_key(l, bytes_key(SORT_ID, ev->id + 24), ev, line,
	    number);
	count += try_key(l, bytes_key(SORT_AUTHOR, ev->pubkey + 24), ev,
	    line, number);
	count += try_key(l, kind_key(ev->kind), ev, line, number);
	nr_tags_start(&it, ev->tags);
	while (l->nnodes > 0 && nr_tags_next(&it, &tag))
		if ((letter = nr_tag_letter(&tag)) != 0)
			count += try_key(l, tag_key(letter, tag.value), ev,
			    line, number);
	pthread_mutex_unlock(&l->lock);
	return count;
}

int
nr_live_busy(struct nr_live *l, struct nr_conn *c)
{
	struct nr_sub *s;
	int busy = 0;

	pthread_mutex_lock(&l->lock);
	for (s = c->subs; s != NULL && !busy; s = s->next)
		busy = (s->querying || s->count != NULL ||
		    (s->sync != NULL && nr_sync_idle_since(s->sync) == 0)) &&
		    !atomic_load(&s->closed);
	pthread_mutex_unlock(&l->lock);
	return busy;
}

void
nr_live_eose(struct nr_live *l, struct nr_sub *s, const char *hint)
{
	struct nr_view part[] = {
		{ "[\"EOSE\",\"", 9 }, { s->id, s->idlen },
		{ "\"]", 2 }, { NULL, 0 }, { NULL, 0 }
	};
	size_t n = 3;

	if (hint != NULL) {
		part[2] = (struct nr_view){ "\",[\"", 4 };
		part[3] = (struct nr_view){ hint, strlen(hint) };
		part[4] = (struct nr_view){ "\"]]", 3 };
		n = 5;
	}

	pthread_mutex_lock(&l->lock);
	if (s->entry != NULL &&
	    !atomic_load_explicit(&s->closed, memory_order_relaxed)) {
		nr_conn_send_parts(s->conn, part, n);
		s->conn->pending -= s->pending.bytes;
		nr_conn_send_chunks(s->conn, &s->pending, NULL);
	}
	s->querying = 0;
	pthread_mutex_unlock(&l->lock);
}
