/*
 * Figures about a store.
 */
#include "store/snap.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "util/err.h"

/* Pages that LMDB has put aside for later use. */
static int
free_pages(MDB_txn *txn, uint64_t *pages)
{
	MDB_cursor *c;
	MDB_val k, v;
	size_t n;
	int rc;

	*pages = 0;
	/* The list of free pages is table 0; each value starts with a count. */
	if ((rc = mdb_cursor_open(txn, 0, &c)) != 0)
		return rc;
	while ((rc = mdb_cursor_get(c, &k, &v, MDB_NEXT)) == 0) {
		memcpy(&n, v.mv_data, sizeof(n));
		*pages += n;
	}
	mdb_cursor_close(c);
	return rc == MDB_NOTFOUND ? 0 : rc;
}

static int
segments_total(struct nr_snap *sn, struct nr_store_stat *out)
{
	struct nr_segment_stat *seg;
	size_t i, n;
	int rc;

	if ((rc = nr_snap_segments(sn, &seg, &n)) != NR_OK)
		return rc;
	for (i = 0; i < n; i++) {
		out->log_bytes += seg[i].bytes;
		out->dead_bytes += seg[i].bytes - seg[i].live_bytes;
		out->log_lines += seg[i].lines;
	}
	out->segments = n;
	free(seg);
	return NR_OK;
}

int
nr_snap_stat(struct nr_snap *sn, struct nr_store_stat *out)
{
	struct nr_store *st = sn->st;
	struct nr_store_stat s;
	MDB_envinfo info;
	MDB_stat ms;
	int rc, t;

	memset(&s, 0, sizeof(s));
	s.epoch = st->epoch;
	s.next_number = sn->head.next;
	s.waiting = sn->head.next - sn->head.merged;
	for (t = 0; t < NR_T_COUNT; t++) {
		if ((rc = mdb_stat(sn->txn, st->dbi[t], &ms)) != 0)
			return nr_store_rc(st, rc);
		s.table[t].name = nr_table_name((enum nr_table)t);
		s.table[t].entries = ms.ms_entries;
		s.table[t].bytes = (uint64_t)ms.ms_psize *
		    (ms.ms_branch_pages + ms.ms_leaf_pages +
		    ms.ms_overflow_pages);
	}
	s.events = s.table[NR_T_EVENT].entries;
	if ((rc = free_pages(sn->txn, &s.index_free)) != 0 ||
	    (rc = mdb_env_info(st->env, &info)) != 0)
		return nr_store_rc(st, rc);
	s.index_free *= ms.ms_psize;
	s.index_bytes = (uint64_t)ms.ms_psize * (info.me_last_pgno + 1);
	s.readers = info.me_numreaders;
	if ((rc = segments_total(sn, &s)) != NR_OK)
		return rc;
	*out = s;
	return NR_OK;
}

/* Does an entry in the index count: merged, and not of a dead event? */
static int
counts(struct nr_snap *sn, uint64_t number, int *yes)
{
	MDB_val k = { sizeof(number), &number }, v;
	MDB_cursor *c;
	int rc;

	*yes = 0;
	if (number >= sn->head.merged)
		return NR_OK;
	if ((rc = nr_snap_cursor_of(sn, &c, NR_T_DEAD)) != NR_OK)
		return rc;
	rc = mdb_cursor_get(c, &k, &v, MDB_SET);
	*yes = rc == MDB_NOTFOUND;
	return rc == MDB_NOTFOUND ? NR_OK : rc;
}

/* Visit the live events that are not in the index yet. */
static int
each_young(struct nr_snap *sn, int (*each)(void *ctx,
    const struct nr_event *ev), void *ctx)
{
	uint64_t n = sn->head.merged;
	struct nr_event ev;
	struct nr_hit hit;
	int rc;

	while ((rc = nr_snap_raw_at(sn, &hit, n, INT64_MIN)) == NR_OK &&
	    hit.line.p != NULL) {
		n = hit.number + 1;
		if (!nr_event_view_head(&ev, hit.line.p, hit.line.len))
			return NR_ECORRUPT;
		if ((rc = each(ctx, &ev)) != NR_OK)
			return rc;
	}
	return rc;
}

static int
count_kind(void *ctx, const struct nr_event *ev)
{
	uint64_t *events = ctx;

	events[ev->kind]++;
	return NR_OK;
}

static int
count_kinds(struct nr_snap *sn, uint64_t *events)
{
	MDB_cursor *c;
	MDB_val k, v;
	int rc, yes;

	if ((rc = nr_snap_cursor_of(sn, &c, NR_T_KIND)) != NR_OK)
		return rc;
	rc = mdb_cursor_get(c, &k, &v, MDB_FIRST);
	while (rc == 0) {
		if (k.mv_size < 2 + NR_NUMBER_LEN)
			return NR_ECORRUPT;
		rc = counts(sn, nr_get_be((unsigned char *)k.mv_data +
		    k.mv_size - NR_NUMBER_LEN, NR_NUMBER_LEN), &yes);
		if (rc == NR_OK && yes)
			events[nr_get_be(k.mv_data, 2)]++;
		if (rc == NR_OK)
			rc = mdb_cursor_get(c, &k, &v, MDB_NEXT);
	}
	return rc != MDB_NOTFOUND ? rc : each_young(sn, count_kind, events);
}

int
nr_snap_kinds(struct nr_snap *sn,
    int (*each)(void *ctx, unsigned kind, uint64_t events), void *ctx)
{
	uint64_t *events;
	unsigned kind;
	int rc;

	if ((events = calloc(65536, sizeof(events[0]))) == NULL)
		return ENOMEM;
	rc = count_kinds(sn, events);
	for (kind = 0; rc == NR_OK && kind < 65536; kind++)
		if (events[kind] > 0)
			rc = each(ctx, kind, events[kind]);
	free(events);
	return nr_store_rc(sn->st, rc);
}

static int
take_author(void *ctx, const struct nr_event *ev)
{
	return nr_buf_add(ctx, nr_tail(ev->pubkey), 8);
}

static int
author_cmp(const void *a, const void *b)
{
	return memcmp(a, b, 8);
}

/* Count those in the index and those of the sorted list together. */
static int
count_authors(struct nr_snap *sn, uint64_t *out, const struct nr_buf *young)
{
	const char *p = young->p, *end = p + young->len;
	unsigned char author[8] = { 0 };
	uint64_t n = 0;
	int have = 0, rc, yes;
	MDB_cursor *c;
	MDB_val k, v;

	if ((rc = nr_snap_cursor_of(sn, &c, NR_T_AUTHOR)) != NR_OK)
		return rc;
	rc = mdb_cursor_get(c, &k, &v, MDB_FIRST);
	while (rc == 0) {
		if (k.mv_size < 8 + NR_NUMBER_LEN)
			return NR_ECORRUPT;
		rc = have && memcmp(author, k.mv_data, 8) == 0 ? (yes = 0) :
		    counts(sn, nr_get_be((unsigned char *)k.mv_data +
		    k.mv_size - NR_NUMBER_LEN, NR_NUMBER_LEN), &yes);
		if (rc == NR_OK && yes) {
			have = 1;
			memcpy(author, k.mv_data, 8);
			/* Young ones before it are counted, it itself once. */
			for (; p < end && memcmp(p, author, 8) <= 0; p += 8)
				n += memcmp(p, author, 8) != 0;
			n++;
		}
		if (rc == NR_OK)
			rc = mdb_cursor_get(c, &k, &v, MDB_NEXT);
	}
	if (rc != MDB_NOTFOUND)
		return rc;
	*out = n + (uint64_t)(end - p) / 8;
	return NR_OK;
}

int
nr_snap_authors(struct nr_snap *sn, uint64_t *out)
{
	struct nr_buf young = { 0 };
	size_t i, n = 0;
	int rc;

	rc = each_young(sn, take_author, &young);
	if (young.len > 0)
		qsort(young.p, young.len / 8, 8, author_cmp);
	for (i = 0; i < young.len; i += 8)
		if (n == 0 || memcmp(young.p + n - 8, young.p + i, 8) != 0) {
			memmove(young.p + n, young.p + i, 8);
			n += 8;
		}
	young.len = n;
	if (rc == NR_OK)
		rc = count_authors(sn, out, &young);
	nr_buf_free(&young);
	return nr_store_rc(sn->st, rc);
}
