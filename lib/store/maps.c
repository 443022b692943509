/*
 * From a place to its line.  A place names a segment and says whether its
 * generation is odd; the segment's record, as of the same transaction,
 * says which one that is.
 */
#include "store/internal.h"

#include <errno.h>
#include <string.h>

#include "util/err.h"

void
nr_maps_begin(struct nr_maps *m, struct nr_store *st, MDB_txn *txn,
    uint64_t moves)
{
	/* What was mapped may be gone, or be of another generation. */
	if (m->moves != moves)
		memset(m->map, 0, sizeof(m->map));
	m->log = &st->log;
	m->segments = st->dbi[NR_T_SEGMENT];
	m->txn = txn;
	m->moves = moves;
}

int
nr_segrec_get(MDB_txn *txn, MDB_dbi segments, uint32_t segment,
    struct nr_segrec *out)
{
	unsigned char key[4];
	MDB_val k = { sizeof(key), key }, v;
	int rc;

	nr_put_be(key, segment, 4);
	if ((rc = mdb_get(txn, segments, &k, &v)) != 0)
		return rc;
	if (v.mv_size != sizeof(*out))
		return NR_ECORRUPT;
	memcpy(out, v.mv_data, sizeof(*out));
	return NR_OK;
}

int
nr_segrec_read(struct nr_store *st, uint32_t segment, struct nr_segrec *out)
{
	MDB_txn *txn = NULL;
	int rc;

	if ((rc = nr_index_read(st, &txn)) != 0)
		return rc;
	rc = nr_segrec_get(txn, st->dbi[NR_T_SEGMENT], segment, out);
	mdb_txn_abort(txn);
	nr_index_read_end(st);
	return rc;
}

static int
generation(struct nr_maps *m, uint32_t *gen, const struct nr_place *at)
{
	struct nr_segrec rec = { .gen = 0 };
	uint32_t odd = (at->len & NR_PLACE_ODD) != 0;
	int rc;

	rc = nr_segrec_get(m->txn, m->segments, at->segment, &rec);
	if (rc != NR_OK && rc != MDB_NOTFOUND)
		return rc;
	*gen = rec.gen;
	if ((rec.gen & 1) == odd)
		return NR_OK;
	*gen = rec.gen + 1;
	return rec.moving ? NR_OK : NR_ECORRUPT;
}

/* Has a segment's file gone because there is a newer one? */
static int
replaced(struct nr_maps *m, uint32_t segment, uint32_t gen)
{
	uint64_t size;

	return nr_log_size(m->log, segment, gen + 1, &size) == NR_OK ||
	    nr_log_size(m->log, segment, gen + 2, &size) == NR_OK;
}

static int
find(struct nr_maps *m, struct nr_map *slot, const struct nr_place *at,
    uint64_t end)
{
	uint32_t gen;
	int rc;

	if ((rc = generation(m, &gen, at)) != NR_OK)
		return rc;
	rc = nr_log_map(m->log, slot, at->segment, gen, end);
	if (rc != ENOENT)
		return rc;
	return replaced(m, at->segment, gen) ? NR_ESTALE : NR_ECORRUPT;
}

int
nr_maps_line(struct nr_maps *m, struct nr_view *line,
    const struct nr_place *at)
{
	uint32_t odd = (at->len & NR_PLACE_ODD) != 0;
	struct nr_map *slot = &m->map[(2 * at->segment + odd) %
	    NR_MAPS_CACHED];
	uint64_t end = (uint64_t)at->offset + (at->len & NR_PLACE_LEN);
	int rc;

	if ((slot->segment != at->segment || (slot->gen & 1) != odd ||
	    slot->len < end) && (rc = find(m, slot, at, end)) != NR_OK)
		return rc;
	line->p = slot->base + at->offset;
	line->len = at->len & NR_PLACE_LEN;
	return NR_OK;
}
