/*
 * Keeping counts and sums of ranges of the time index.
 *
 * Merges come in the order of the index, so the chunk at hand is mostly
 * the right one, and is written once for many entries.
 */
#include "store/sums.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "store/internal.h"
#include "util/err.h"

#define FULL	NR_CHUNK_MAX
#define SMALL	(FULL / 4)	/* entries: to be joined to the one before */
#define JOINED	(FULL / 8 * 7)	/* where that leaves room */

/* ---- chunks as they are stored --------------------------------------------- */

static size_t
chunk_key(unsigned char *key, const struct nr_rank_item *from)
{
	unsigned char *p = nr_put_time(key, (int64_t)from->time);

	memcpy(p, from->id, 32);
	return (size_t)(p + 32 - key);
}

#define CHUNK_LEN	(4 + 4 + 32)

static void
chunk_value(unsigned char p[CHUNK_LEN], const struct nr_chunk *c)
{
	p = nr_put_be(p, c->entries, 4);
	p = nr_put_be(p, c->members, 4);
	nr_sum_bytes(p, &c->sum);
}

int
nr_chunk_get(struct nr_chunk *out, const MDB_val *k, const MDB_val *v)
{
	const unsigned char *p = k->mv_data;
	int64_t time;

	if (k->mv_size < 5 + 32 || v->mv_size != CHUNK_LEN)
		return 0;
	if (k->mv_size != (size_t)(nr_get_time(p, &time) - p) + 32)
		return 0;
	out->from.time = (uint64_t)time;
	memcpy(out->from.id, p + k->mv_size - 32, 32);
	p = v->mv_data;
	out->entries = (uint32_t)nr_get_be(p, 4);
	out->members = (uint32_t)nr_get_be(p + 4, 4);
	out->sum = nr_sum_id(p + 8);
	return out->members <= out->entries;
}

/* ---- reading the time index -------------------------------------------------- */

int
nr_timed_get(struct nr_timed *out, const MDB_val *k, const MDB_val *v)
{
	const unsigned char *p = k->mv_data, *value = v->mv_data;
	int64_t time;
	int i;

	if (k->mv_size < 5 + 32 || v->mv_size != NR_TIME_VALUE)
		return 0;
	p = nr_get_time(p, &time);
	if (k->mv_size != (size_t)(p - (unsigned char *)k->mv_data) + 32)
		return 0;
	out->item.time = (uint64_t)time;
	for (i = 0; i < 32; i++)
		out->item.id[i] = (unsigned char)~p[i];
	out->number = nr_get_be(value, NR_NUMBER_LEN);
	out->kind = (unsigned)nr_get_be(value + NR_NUMBER_LEN, 2);
	out->plain = value[NR_TIME_VALUE - 1] & NR_TIME_PLAIN;
	return 1;
}

/* To the first entry of a time; or, with an id, the first not above it. */
static int
seek(MDB_cursor *c, MDB_val *k, MDB_val *v, uint64_t time,
    const unsigned char *id)
{
	unsigned char key[NR_KEY_MAX], *p;
	int i;

	if (time > INT64_MAX)
		return MDB_NOTFOUND;
	p = nr_put_time(key, (int64_t)time);
	for (i = 0; id != NULL && i < 32; i++)
		*p++ = (unsigned char)~id[i];
	k->mv_size = (size_t)(p - key);
	k->mv_data = key;
	return mdb_cursor_get(c, k, v, MDB_SET_RANGE);
}

/* The id before it, as a number; 0 where there is none. */
static int
id_before(unsigned char out[32], const unsigned char id[32])
{
	size_t i = 32;

	memcpy(out, id, 32);
	while (i > 0 && out[i - 1] == 0)
		out[--i] = 0xff;
	if (i == 0)
		return 0;
	out[i - 1]--;
	return 1;
}

static uint64_t
time_of(const unsigned char *element)
{
	struct nr_rank_item item;

	memcpy(&item, element, sizeof(item));
	return item.time;
}

void
nr_ties_turn(void *array, size_t n, size_t size)
{
	unsigned char *p = array, *lo, *hi, t[sizeof(struct nr_timed)];
	size_t i, end;

	for (i = 0; i < n; i = end) {
		for (end = i + 1; end < n &&
		    time_of(p + end * size) == time_of(p + i * size); end++)
			;
		lo = p + i * size;
		hi = p + (end - 1) * size;
		for (; lo < hi; lo += size, hi -= size) {
			memcpy(t, lo, size);
			memcpy(lo, hi, size);
			memcpy(hi, t, size);
		}
	}
}

/*
 * Where the range begins or ends within a time, the entries before and
 * behind it are passed over by a new descent, however many they are.
 */
int
nr_timed_read(MDB_cursor *c, struct nr_timed *out, size_t *n, size_t max,
    const struct nr_rank_item *from, const struct nr_rank_item *to)
{
	unsigned char id[32];
	struct nr_timed e;
	MDB_val k, v;
	int rc;

	*n = 0;
	rc = seek(c, &k, &v, from->time, NULL);
	while (rc == 0) {
		if (!nr_timed_get(&e, &k, &v))
			return NR_ECORRUPT;
		if (to != NULL && nr_rank_cmp(&e.item, to) >= 0) {
			if (e.item.time > to->time ||
			    !id_before(id, to->id))
				break;
			rc = seek(c, &k, &v, to->time, id);
		} else if (nr_rank_cmp(&e.item, from) < 0)
			rc = seek(c, &k, &v, from->time + 1, NULL);
		else if (*n == max)
			return NR_ECORRUPT;
		else {
			out[(*n)++] = e;
			rc = mdb_cursor_get(c, &k, &v, MDB_NEXT);
		}
	}
	nr_ties_turn(out, *n, sizeof(*out));
	return rc == MDB_NOTFOUND ? NR_OK : rc;
}

int
nr_timed_dead(MDB_cursor *dead, int *yes, uint64_t number)
{
	MDB_val k = { sizeof(number), &number }, v;
	int rc = mdb_cursor_get(dead, &k, &v, MDB_SET);

	*yes = rc == 0;
	return rc == MDB_NOTFOUND ? NR_OK : rc;
}

/* ---- the chunk at hand -------------------------------------------------------- */

static int
put_chunk(struct nr_writer *w, const struct nr_chunk *c)
{
	unsigned char key[NR_KEY_MAX], value[CHUNK_LEN];
	MDB_val k = { chunk_key(key, &c->from), key };
	MDB_val v = { sizeof(value), value };
	MDB_cursor *cur;
	int rc;

	chunk_value(value, c);
	if ((rc = nr_writer_cursor(w, &cur, NR_T_SUM)) != NR_OK)
		return rc;
	return mdb_cursor_put(cur, &k, &v, 0);
}

/* To the last chunk that begins before an item. */
static int
seek_before(MDB_cursor *cur, MDB_val *k, MDB_val *v,
    const struct nr_rank_item *item)
{
	unsigned char key[NR_KEY_MAX];
	int rc;

	k->mv_size = chunk_key(key, item);
	k->mv_data = key;
	rc = mdb_cursor_get(cur, k, v, MDB_SET_RANGE);
	return rc == MDB_NOTFOUND ? mdb_cursor_get(cur, k, v, MDB_LAST) :
	    rc != 0 ? rc : mdb_cursor_get(cur, k, v, MDB_PREV);
}

static int
drop_chunk(MDB_cursor *cur, const struct nr_chunk *c)
{
	unsigned char key[NR_KEY_MAX];
	MDB_val k = { chunk_key(key, &c->from), key }, v;
	int rc = mdb_cursor_get(cur, &k, &v, MDB_SET);

	/* One that was split off in this transaction is not there yet. */
	return rc == MDB_NOTFOUND ? NR_OK :
	    rc != 0 ? rc : mdb_cursor_del(cur, 0);
}

/* Add a small chunk to the one before it, if that has room. */
static int
join(struct nr_writer *w, int *done)
{
	struct nr_chunk *c = &w->sums.c, before;
	MDB_cursor *cur;
	MDB_val k, v;
	int rc;

	*done = 0;
	if ((rc = nr_writer_cursor(w, &cur, NR_T_SUM)) != NR_OK)
		return rc;
	rc = seek_before(cur, &k, &v, &c->from);
	if (rc != 0)
		return rc == MDB_NOTFOUND ? NR_OK : rc;	/* the first */
	if (!nr_chunk_get(&before, &k, &v))
		return NR_ECORRUPT;
	if (c->entries > 0 && before.entries + c->entries > JOINED)
		return NR_OK;
	before.entries += c->entries;
	before.members += c->members;
	nr_sum_add(&before.sum, &c->sum);
	*done = 1;
	rc = drop_chunk(cur, c);
	return rc != 0 ? rc : put_chunk(w, &before);
}

int
nr_sums_flush(struct nr_writer *w)
{
	struct nr_sums *s = &w->sums;
	int joined = 0, rc = NR_OK;

	if (!s->dirty)
		return NR_OK;
	s->dirty = 0;
	if (s->c.entries < SMALL)
		rc = join(w, &joined);
	if (joined)
		s->have = 0;
	return rc != NR_OK || joined ? rc : put_chunk(w, &s->c);
}

static int
at_hand(const struct nr_sums *s, const struct nr_rank_item *item)
{
	return s->have && nr_rank_cmp(item, &s->c.from) >= 0 &&
	    (s->last || nr_rank_cmp(item, &s->to) < 0);
}

/* Have the chunk at hand that an item belongs to. */
static int
take(struct nr_writer *w, const struct nr_rank_item *item)
{
	struct nr_sums *s = &w->sums;
	struct nr_chunk next;
	MDB_cursor *cur;
	MDB_val k, v;
	int rc;

	if (at_hand(s, item))
		return NR_OK;
	if ((rc = nr_sums_flush(w)) != NR_OK ||
	    (rc = nr_writer_cursor(w, &cur, NR_T_SUM)) != NR_OK)
		return rc;
	memset(s, 0, sizeof(*s));
	rc = seek_before(cur, &k, &v, item);
	if (rc == 0) {
		if (!nr_chunk_get(&s->c, &k, &v))
			return NR_ECORRUPT;
		rc = mdb_cursor_get(cur, &k, &v, MDB_NEXT);
	} else if (rc == MDB_NOTFOUND)
		rc = mdb_cursor_get(cur, &k, &v, MDB_FIRST);
	/* It may be where the next one begins. */
	if (rc == 0 && nr_chunk_get(&next, &k, &v) &&
	    nr_rank_cmp(item, &next.from) == 0) {
		s->c = next;
		rc = mdb_cursor_get(cur, &k, &v, MDB_NEXT);
	}
	if (rc == 0) {
		if (!nr_chunk_get(&next, &k, &v))
			return NR_ECORRUPT;
		s->to = next.from;
	}
	s->last = rc == MDB_NOTFOUND;
	s->have = rc == 0 || s->last;
	return s->have ? NR_OK : rc;
}

/* ---- splitting ---------------------------------------------------------------------- */

static void
add_member(struct nr_chunk *c, const unsigned char id[32])
{
	c->members++;
	nr_sum_add_id(&c->sum, id);
}

static int
count_half(struct nr_chunk *c, MDB_cursor *dead, const struct nr_timed *e,
    size_t n)
{
	size_t i;
	int rc, gone;

	c->entries = (uint32_t)n;
	for (i = 0; i < n; i++) {
		if (!e[i].plain)
			continue;
		if ((rc = nr_timed_dead(dead, &gone, e[i].number)) != NR_OK)
			return rc;
		if (!gone)
			add_member(c, e[i].item.id);
	}
	return NR_OK;
}

/*
 * Divide what the chunk at hand has into two.  One that grows at its end
 * is left fuller, as all that are built in order would stay half empty.
 */
static int
divide(struct nr_writer *w, const struct nr_timed *e, size_t n,
    const struct nr_rank_item *put)
{
	struct nr_sums *s = &w->sums;
	struct nr_chunk half[2] = { { .from = s->c.from } };
	int grows = s->last && nr_rank_cmp(put, &e[n - n / 4].item) >= 0;
	size_t at = grows ? n - n / 4 : n / 2;
	MDB_cursor *dead;
	int rc;

	half[1].from = e[at].item;
	if ((rc = nr_writer_cursor(w, &dead, NR_T_DEAD)) != NR_OK ||
	    (rc = count_half(&half[0], dead, e, at)) != NR_OK ||
	    (rc = count_half(&half[1], dead, e + at, n - at)) != NR_OK)
		return rc;
	s->c = half[1];
	s->dirty = 1;
	return put_chunk(w, &half[0]);
}

static int
split(struct nr_writer *w, const struct nr_rank_item *put)
{
	struct nr_sums *s = &w->sums;
	struct nr_timed *e;
	MDB_cursor *time;
	size_t n;
	int rc;

	if ((rc = nr_writer_cursor(w, &time, NR_T_TIME)) != NR_OK)
		return rc;
	if ((e = malloc((FULL + 1) * sizeof(*e))) == NULL)
		return ENOMEM;
	rc = nr_timed_read(time, e, &n, FULL + 1, &s->c.from,
	    s->last ? NULL : &s->to);
	if (rc == NR_OK && n != s->c.entries)
		rc = NR_ECORRUPT;
	if (rc == NR_OK)
		rc = divide(w, e, n, put);
	free(e);
	return rc;
}

/* ---- what changes them --------------------------------------------------------------- */

static int
decode(struct nr_timed *e, const struct nr_key *key)
{
	MDB_val k = { key->klen, (void *)(uintptr_t)key->k };
	MDB_val v = { key->vlen, (void *)(uintptr_t)key->v };

	return nr_timed_get(e, &k, &v);
}

int
nr_sums_put(struct nr_writer *w, const struct nr_key *key, int fresh)
{
	struct nr_sums *s = &w->sums;
	struct nr_timed e;
	MDB_cursor *dead;
	int rc, gone = 1;

	if (!decode(&e, key))
		return NR_ECORRUPT;
	if (e.plain && ((rc = nr_writer_cursor(w, &dead,
	    NR_T_DEAD)) != NR_OK || (rc = nr_timed_dead(dead, &gone,
	    e.number)) != NR_OK))
		return rc;
	if (!fresh && gone)
		return NR_OK;
	if ((rc = take(w, &e.item)) != NR_OK)
		return rc;
	s->c.entries += fresh != 0;
	if (!gone)
		add_member(&s->c, e.item.id);
	s->dirty = 1;
	return s->c.entries > FULL ? split(w, &e.item) : NR_OK;
}

int
nr_sums_removed(struct nr_writer *w, const struct nr_key *key)
{
	struct nr_sums *s = &w->sums;
	struct nr_timed e;
	int rc;

	if (!decode(&e, key))
		return NR_ECORRUPT;
	if ((rc = take(w, &e.item)) != NR_OK)
		return rc;
	if (s->c.entries <= s->c.members)
		return NR_ECORRUPT;
	s->c.entries--;
	s->dirty = 1;
	return NR_OK;
}

/* Is an event's own entry in the index? */
static int
has_entry(struct nr_writer *w, int *yes, const struct nr_rank_item *item,
    uint64_t number)
{
	struct nr_timed e;
	MDB_cursor *time;
	MDB_val k, v;
	int rc;

	*yes = w->dead == NULL && number < w->head.merged;
	if (*yes || number >= w->head.target || w->dead != NULL)
		return NR_OK;
	if ((rc = nr_writer_cursor(w, &time, NR_T_TIME)) != NR_OK)
		return rc;
	rc = seek(time, &k, &v, item->time, item->id);
	if (rc == 0 && !nr_timed_get(&e, &k, &v))
		return NR_ECORRUPT;
	/* With this key there may be one of a copy that has died. */
	*yes = rc == 0 && e.number == number;
	return rc == MDB_NOTFOUND ? NR_OK : rc;
}

int
nr_sums_kill(struct nr_writer *w, const struct nr_event *ev, uint64_t number)
{
	struct nr_rank_item item = { .time = (uint64_t)ev->created_at };
	struct nr_sums *s = &w->sums;
	int rc, yes;

	if (!nr_event_plain(ev))
		return NR_OK;
	memcpy(item.id, ev->id, 32);
	if ((rc = has_entry(w, &yes, &item, number)) != NR_OK || !yes)
		return rc;
	if ((rc = take(w, &item)) != NR_OK)
		return rc;
	if (s->c.members == 0)
		return NR_ECORRUPT;
	s->c.members--;
	nr_sum_sub_id(&s->c.sum, ev->id);
	s->dirty = 1;
	return NR_OK;
}
