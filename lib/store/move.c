/*
 * Moving the places of a segment's events over to the file of its next
 * generation: some thousands in each transaction, so that no writer waits
 * for long.  A place says by one bit which file it is in, so a reader sees
 * no difference, and whoever is killed leaves work for the next one.
 *
 * An event is found in the new file by its id.
 */
#include "store/compact.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "util/err.h"
#include "util/times.h"

#define REST_MS		5	/* others want to write, too */
#define SLICE_MS	10	/* in one transaction */
#define LOOK		64	/* events between looks at the clock */

struct target {
	uint64_t	tail;		/* of the id */
	uint32_t	offset;
	uint32_t	len;
};

struct move {
	uint32_t	 segment;
	struct nr_segrec rec;		/* as it was */
	const char	*base;		/* of the new file */
	struct target	*target;	/* sorted by tail */
	size_t		 ntargets;
	uint64_t	 from;		/* live ones below are done, */
	uint64_t	 number;	/* when this slice is committed */
	uint64_t	 bytes, lines;	/* of the new file */
	int		 done;
};

static int
target_cmp(const void *a, const void *b)
{
	const struct target *x = a, *y = b;

	return (x->tail > y->tail) - (x->tail < y->tail);
}

/* Where in the new file is the event with this id? */
static const struct target *
find_target(const struct move *m, const unsigned char id[32])
{
	uint64_t tail = nr_get_be(nr_tail(id), 8);
	size_t lo = 0, hi = m->ntargets, mid;
	unsigned char found[32];

	while (lo < hi) {
		mid = lo + (hi - lo) / 2;
		if (m->target[mid].tail < tail)
			lo = mid + 1;
		else
			hi = mid;
	}
	for (; lo < m->ntargets && m->target[lo].tail == tail; lo++)
		if (nr_event_view_id(found, m->base + m->target[lo].offset,
		    m->target[lo].len) && memcmp(found, id, 32) == 0)
			return &m->target[lo];
	return NULL;
}

/* Read the new file. */
static int
find_lines(struct nr_store *st, struct move *m)
{
	struct nr_buf list = { 0 };
	struct target t;
	struct nr_map map;
	unsigned char id[32];
	uint64_t at = 0;
	const char *lf;
	int rc;

	rc = nr_log_map(&st->log, &map, m->segment, m->rec.gen + 1,
	    m->bytes);
	if (rc != NR_OK)
		return rc == ENOENT ? NR_ECORRUPT : rc;
	m->base = map.base;
	for (m->lines = 0; rc == NR_OK && at < m->bytes; m->lines++) {
		lf = memchr(m->base + at, '\n', (size_t)(m->bytes - at));
		if (lf == NULL)
			rc = NR_ECORRUPT;
		else {
			t.offset = (uint32_t)at;
			t.len = (uint32_t)(lf - (m->base + at));
			at += t.len + 1;
			if (!nr_event_view_id(id, lf - t.len, t.len))
				continue;
			t.tail = nr_get_be(nr_tail(id), 8);
			rc = nr_buf_add(&list, &t, sizeof(t));
		}
	}
	m->target = (void *)list.p;
	m->ntargets = list.len / sizeof(t);
	if (m->ntargets > 1)
		qsort(m->target, m->ntargets, sizeof(t), target_cmp);
	return rc;
}

/* Put a new place over the one that the cursor is at. */
static int
move_one(struct nr_writer *w, struct move *m, MDB_cursor *c, MDB_val *k,
    struct nr_place *at)
{
	const struct target *t;
	MDB_val v = { sizeof(*at), at };
	unsigned char id[32];
	struct nr_view line;
	int rc;

	if ((rc = nr_maps_line(&w->maps, &line, at)) != NR_OK)
		return rc;
	if (!nr_event_view_id(id, line.p, line.len) ||
	    (t = find_target(m, id)) == NULL)
		return NR_ECORRUPT;
	at->offset = t->offset;
	at->len = ((at->len & ~NR_PLACE_LEN) ^ NR_PLACE_ODD) | t->len;
	return mdb_cursor_put(c, k, &v, MDB_CURRENT);
}

/* Move what a table has of the segment, from *number on. */
static int
move_table(struct nr_writer *w, struct move *m, enum nr_table t,
    uint64_t *number, int64_t until, int *end)
{
	uint32_t odd = m->rec.gen & 1;
	MDB_val k = { sizeof(*number), number }, v;
	struct nr_place at;
	MDB_cursor *c;
	unsigned n;
	int rc;

	*end = 0;
	if ((rc = nr_writer_cursor(w, &c, t)) != NR_OK)
		return rc;
	rc = mdb_cursor_get(c, &k, &v, MDB_SET_RANGE);
	for (n = 1; rc == 0; n++) {
		if (k.mv_size != sizeof(*number) || v.mv_size != sizeof(at))
			return NR_ECORRUPT;
		memcpy(&at, v.mv_data, sizeof(at));
		memcpy(number, k.mv_data, sizeof(*number));
		if (at.segment != m->segment)
			break;
		if (n % LOOK == 0 && nr_now_ms() >= until)
			return NR_OK;
		if (((at.len & NR_PLACE_ODD) != 0) == odd &&
		    (rc = move_one(w, m, c, &k, &at)) != NR_OK)
			return rc;
		rc = mdb_cursor_get(c, &k, &v, MDB_NEXT);
	}
	*end = 1;
	return rc == MDB_NOTFOUND ? NR_OK : rc;
}

/* All have been moved: the new file is the segment's. */
static int
finish(struct nr_writer *w, struct move *m)
{
	struct nr_segrec rec;
	int rc;

	rc = nr_segrec_get(w->txn, w->st->dbi[NR_T_SEGMENT], m->segment,
	    &rec);
	if (rc != NR_OK)
		return rc;
	rec.gen = m->rec.gen + 1;
	rec.moving = 0;
	rec.blank = 0;
	rec.bytes = m->bytes;
	rec.lines = m->lines;
	w->head.moves++;
	m->done = 1;
	return nr_writer_segment_put(w, m->segment, &rec);
}

/*
 * The live first; those that die meanwhile, before they were moved, are
 * then among the dead, who are looked through until all of them have been
 * moved within one transaction.
 */
static int
move_some(struct nr_writer *w, void *ctx, int *changed)
{
	int64_t until = nr_now_ms() + SLICE_MS;
	struct move *m = ctx;
	struct nr_segrec rec;
	uint64_t number = m->rec.first;
	int rc, end;

	(void)changed;
	m->number = m->from;
	m->done = 0;
	rc = nr_segrec_get(w->txn, w->st->dbi[NR_T_SEGMENT], m->segment,
	    &rec);
	if (rc == NR_OK && rec.gen != m->rec.gen)
		return NR_EBUSY;
	if (rc == NR_OK && !rec.moving) {
		rec.moving = 1;
		rc = nr_writer_segment_put(w, m->segment, &rec);
	}
	if (rc == NR_OK)
		rc = move_table(w, m, NR_T_EVENT, &m->number, until, &end);
	if (rc == NR_OK && end)
		rc = move_table(w, m, NR_T_DEAD, &number, until, &end);
	return rc == NR_OK && end ? finish(w, m) : rc;
}

static int
move_all(struct nr_store *st, struct move *m)
{
	int rc;

	do {
		rc = nr_transact(st, move_some, m, 0);
		m->from = m->number;
		if (rc == NR_OK && !m->done)
			nr_sleep_ms(REST_MS);
	} while (rc == NR_OK && !m->done);
	return rc;
}

int
nr_move_segment(struct nr_store *st, uint32_t segment)
{
	struct move m = { .segment = segment };
	int rc = nr_segrec_read(st, segment, &m.rec);

	if (rc == NR_OK)
		rc = nr_log_size(&st->log, segment, m.rec.gen + 1, &m.bytes);
	if (rc == NR_OK)
		rc = find_lines(st, &m);
	m.from = m.rec.first;
	if (rc == NR_OK)
		rc = move_all(st, &m);
	free(m.target);
	return rc;
}
