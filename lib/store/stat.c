/*
 * Figures about a store.
 */
#include "store/snap.h"

#include <string.h>
#include <stdlib.h>

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
	s.epoch = st->state.epoch;
	s.next_number = sn->next;
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

int
nr_snap_kinds(struct nr_snap *sn,
    int (*each)(void *ctx, unsigned kind, uint64_t events), void *ctx)
{
	unsigned kind = 0, next;
	uint64_t events = 0;
	MDB_cursor *c;
	MDB_val k, v;
	int rc;

	if ((rc = nr_snap_cursor_of(sn, &c, NR_T_KIND)) != NR_OK)
		return nr_store_rc(sn->st, rc);
	rc = mdb_cursor_get(c, &k, &v, MDB_FIRST);
	while (rc == 0) {
		next = (unsigned)nr_get_be(k.mv_data, 2);
		if (next != kind && events > 0) {
			if ((rc = each(ctx, kind, events)) != 0)
				return rc;
			events = 0;
		}
		kind = next;
		events++;
		rc = mdb_cursor_get(c, &k, &v, MDB_NEXT);
	}
	if (rc != MDB_NOTFOUND)
		return nr_store_rc(sn->st, rc);
	return events > 0 ? each(ctx, kind, events) : NR_OK;
}

int
nr_snap_authors(struct nr_snap *sn, uint64_t *out)
{
	unsigned char author[8] = { 0 };
	MDB_val k = { 0, NULL }, v;
	uint64_t n = 0;
	MDB_cursor *c;
	int rc;

	if ((rc = nr_snap_cursor_of(sn, &c, NR_T_AUTHOR)) != NR_OK)
		return nr_store_rc(sn->st, rc);
	rc = mdb_cursor_get(c, &k, &v, MDB_FIRST);
	while (rc == 0) {
		if (n == 0 || memcmp(author, k.mv_data, 8) != 0)
			n++;
		memcpy(author, k.mv_data, 8);
		rc = mdb_cursor_get(c, &k, &v, MDB_NEXT);
	}
	if (rc != MDB_NOTFOUND)
		return nr_store_rc(sn->st, rc);
	*out = n;
	return NR_OK;
}
