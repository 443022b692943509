/*
 * Checking a store: every line of the log is what it should be, every live
 * event has exactly its entries in the index, and whoever is live or not
 * has a reason.
 */
#include "store/snap.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "event/tags.h"
#include "util/err.h"
#include "util/lines.h"
#include "util/pool.h"

struct check {
	struct nr_store		*st;
	struct nr_snap		*sn;
	struct nr_check		*c;
	uint64_t		 want[NR_T_COUNT];	/* entries due */
	uint64_t		 may[NR_T_COUNT];	/* of dead ones, still */
	/* One event's entries, to find repeated ones. */
	struct nr_key		*key;
	enum nr_table		*table;
	size_t			 nkeys, capkeys;
	uint64_t		 number;
	int			 wrong;
};

static void
found(struct check *k, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

static void
found(struct check *k, const char *fmt, ...)
{
	char text[256];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	k->c->findings++;
	k->c->report(k->c->ctx, text);
}

/* ---- a live event's entries ----------------------------------------------- */

static int
keep_entry(void *ctx, enum nr_table t, const struct nr_key *key)
{
	struct check *k = ctx;
	size_t n = k->capkeys * 2 + 64;
	void *p;

	if (k->nkeys == k->capkeys) {
		if ((p = realloc(k->key, n * sizeof(k->key[0]))) == NULL)
			return ENOMEM;
		k->key = p;
		if ((p = realloc(k->table, n * sizeof(k->table[0]))) == NULL)
			return ENOMEM;
		k->table = p;
		k->capkeys = n;
	}
	k->key[k->nkeys] = *key;
	k->table[k->nkeys++] = t;
	return NR_OK;
}

static int
key_cmp(const void *a, const void *b)
{
	const struct nr_key *x = a, *y = b;
	size_t n = x->klen < y->klen ? x->klen : y->klen;
	int c = memcmp(x->k, y->k, n);

	return c != 0 ? c : (x->klen > y->klen) - (x->klen < y->klen);
}

/* Is there this entry, with this value? */
static int
has_entry(struct check *k, enum nr_table t, const struct nr_key *key)
{
	MDB_val mk = { key->klen, (void *)(uintptr_t)key->k }, v;
	MDB_cursor *c;
	int rc;

	if ((rc = nr_snap_cursor_of(k->sn, &c, t)) != NR_OK)
		return rc;
	rc = mdb_cursor_get(c, &mk, &v, MDB_SET);
	if (rc != 0 && rc != MDB_NOTFOUND)
		return rc;
	if (rc == MDB_NOTFOUND || v.mv_size != key->vlen ||
	    memcmp(v.mv_data, key->v, key->vlen) != 0)
		found(k, "event %" PRIu64 ": no entry in index %s",
		    k->number, nr_table_name(t));
	k->want[t]++;
	return NR_OK;
}

static int
check_entries(struct check *k, const struct nr_event *ev)
{
	int64_t expires = nr_event_expiration(ev);
	struct nr_key id = { .vlen = 0 };
	size_t i, first = 0;
	int rc;

	id.klen = nr_id_key(id.k, ev->id, k->number);
	rc = has_entry(k, NR_T_ID, &id);
	if (rc == NR_OK && expires != INT64_MAX) {
		nr_expire_key(id.k, expires, k->number);
		id.klen = NR_EXPIRE_LEN;
		rc = has_entry(k, NR_T_EXPIRE, &id);
	}
	/* The others come with a merge. */
	if (rc != NR_OK || k->number >= k->sn->head.merged)
		return rc;
	k->nkeys = 0;
	if ((rc = nr_entries(ev, k->number, keep_entry, k)) != NR_OK)
		return rc;
	/* The tags come last; only they can be there twice. */
	while (rc == NR_OK && first < k->nkeys &&
	    k->table[first] != NR_T_TAG) {
		rc = has_entry(k, k->table[first], &k->key[first]);
		first++;
	}
	if (k->nkeys > first)
		qsort(k->key + first, k->nkeys - first, sizeof(k->key[0]),
		    key_cmp);
	for (i = first; rc == NR_OK && i < k->nkeys; i++)
		if (i == first || key_cmp(&k->key[i], &k->key[i - 1]) != 0)
			rc = has_entry(k, NR_T_TAG, &k->key[i]);
	return rc;
}

/* ---- who is live, and who is not -------------------------------------------- */

/* May this live event be so? */
static int
check_live(struct check *k, const struct nr_event *ev, uint64_t number)
{
	struct nr_event other;
	uint64_t at;
	int rc, gone;

	k->number = number;
	if ((rc = nr_snap_is_deleted(k->sn, &gone, ev)) != NR_OK)
		return rc;
	if (gone && !nr_snap_hides(k->sn, ev))
		found(k, "event %" PRIu64 " is live, but deleted", number);
	if (nr_kind_ephemeral(ev->kind))
		found(k, "event %" PRIu64 " is ephemeral", number);
	if ((rc = nr_snap_address(k->sn, &at, &other, ev)) != NR_OK)
		return rc;
	if (nr_kind_replaceable(ev->kind) || nr_kind_addressable(ev->kind)) {
		k->want[NR_T_ADDRESS]++;
		if (at != number)
			found(k, "event %" PRIu64 " is not the version that "
			    "its address names", number);
	}
	return check_entries(k, ev);
}

/* Why is this line's event not live?  Expired ones may have been swept. */
static int
check_dead(struct check *k, const struct nr_event *ev, uint32_t segment,
    uint64_t lineno)
{
	struct nr_event other;
	struct nr_hit hit;
	uint64_t at;
	int rc, gone;

	if ((rc = nr_snap_get(k->sn, &hit, ev->id)) != NR_OK ||
	    hit.line.p != NULL)
		return rc;		/* a copy of a live one */
	if ((rc = nr_snap_is_deleted(k->sn, &gone, ev)) != NR_OK || gone)
		return rc;
	if (nr_event_expiration(ev) != INT64_MAX ||
	    nr_kind_ephemeral(ev->kind))
		return NR_OK;
	if ((rc = nr_snap_address(k->sn, &at, &other, ev)) != NR_OK)
		return rc;
	if (at != UINT64_MAX && (other.created_at > ev->created_at ||
	    (other.created_at == ev->created_at &&
	    memcmp(other.id, ev->id, 32) < 0)))
		return NR_OK;
	/* Superseded by one that has died since leaves no trace. */
	if (nr_kind_replaceable(ev->kind) || nr_kind_addressable(ev->kind))
		return NR_OK;
	found(k, "segment %" PRIu32 ", line %" PRIu64
	    ": a good event that is not in the index", segment, lineno);
	return NR_OK;
}

/* ---- the log, line by line --------------------------------------------------- */

struct line {
	enum nr_verdict	v;
	int		normal;
	struct nr_event	ev;
};

struct block {
	struct nr_block	 text;
	struct line	*line;
	size_t		 n, cap;
};

struct verify {
	struct nr_verifier **verifier;
	int		 full;
};

static void
verify_block(void *ctx, unsigned worker, void *job)
{
	struct verify *vf = ctx;
	struct block *b = job;
	struct nr_event_limits limits = nr_event_limits_pipe;
	struct nr_view text;
	struct line *l;
	size_t at = 0, pos;

	limits.bytes = NR_PLACE_LEN;
	b->n = 0;
	while (nr_block_line(&b->text, &at, &text)) {
		if (b->n == b->cap) {
			l = realloc(b->line, (b->cap * 2 + 256) * sizeof(*l));
			if (l == NULL)
				return;		/* seen as a missing line */
			b->line = l;
			b->cap = b->cap * 2 + 256;
		}
		l = &b->line[b->n++];
		l->v = nr_event_read(&l->ev, text.p, text.len, &limits, &pos);
		l->normal = l->v == NR_VALID &&
		    nr_event_view_read(&l->ev, text.p, text.len);
		if (l->normal)
			l->v = nr_verify_event(vf->verifier[worker], &l->ev,
			    vf->full ? NR_TRUST_NOTHING :
			    NR_TRUST_SIGNATURES);
	}
}

static void
clear_block(void *job)
{
	struct block *b = job;

	nr_block_free(&b->text);
	free(b->line);
}

/* A walk over the log beside a walk over the live events. */
struct walk {
	struct check	*k;
	uint32_t	 segment;
	uint32_t	 gen;
	uint64_t	 offset;	/* of the next line */
	uint64_t	 end;		/* of what is committed */
	uint64_t	 lineno;
	MDB_cursor	*events;
	int		 have;		/* live is valid */
	uint64_t	 number;	/* of the next live event */
	struct nr_place	 live;
};

static int
next_live(struct walk *w, MDB_cursor_op op)
{
	MDB_val k, v;
	int rc = mdb_cursor_get(w->events, &k, &v, op);

	w->have = rc == 0;
	if (rc != 0)
		return rc == MDB_NOTFOUND ? NR_OK : rc;
	if (k.mv_size != sizeof(w->number) || v.mv_size != sizeof(w->live))
		return NR_ECORRUPT;
	memcpy(&w->number, k.mv_data, sizeof(w->number));
	memcpy(&w->live, v.mv_data, sizeof(w->live));
	return NR_OK;
}

static int
blank(struct nr_view text)
{
	size_t i;

	for (i = 0; i < text.len; i++)
		if (text.p[i] != ' ')
			return 0;
	return 1;
}

static int
check_line(struct walk *w, const struct line *l, struct nr_view text)
{
	struct check *k = w->k;
	int live, rc;

	w->lineno++;
	k->c->lines++;
	while (w->have && (w->live.segment < w->segment ||
	    (w->live.segment == w->segment && w->live.offset < w->offset))) {
		found(k, "event %" PRIu64 " has no line in the log",
		    w->number);
		if ((rc = next_live(w, MDB_NEXT)) != NR_OK)
			return rc;
	}
	live = w->have && w->live.segment == w->segment &&
	    w->live.offset == w->offset;
	if (live && (w->live.len & NR_PLACE_LEN) != text.len)
		found(k, "segment %" PRIu32 ", line %" PRIu64
		    ": its length is not what the index says", w->segment,
		    w->lineno);
	if (l->v != NR_VALID && !blank(text))
		found(k, "segment %" PRIu32 ", line %" PRIu64 ": %s",
		    w->segment, w->lineno, nr_verdict_str(l->v));
	else if (l->v == NR_VALID && !l->normal)
		found(k, "segment %" PRIu32 ", line %" PRIu64
		    ": not in normal form", w->segment, w->lineno);
	w->offset += text.len + 1;
	if (l->v != NR_VALID || !l->normal) {
		if (live)
			found(k, "event %" PRIu64 " is live, but its line is "
			    "bad", w->number);
		return live ? next_live(w, MDB_NEXT) : NR_OK;
	}
	if (!live)
		return check_dead(k, &l->ev, w->segment, w->lineno);
	k->c->live++;
	if ((rc = check_live(k, &l->ev, w->number)) != NR_OK)
		return rc;
	return next_live(w, MDB_NEXT);
}

static int
check_block(struct walk *w, const struct block *b)
{
	struct nr_view text;
	size_t at = 0, i;
	int rc = NR_OK;

	for (i = 0; rc == NR_OK && nr_block_line(&b->text, &at, &text) &&
	    w->offset < w->end; i++)
		rc = i < b->n ? check_line(w, &b->line[i], text) : ENOMEM;
	return rc;
}

static int
take_block(struct walk *w, struct nr_pool *pool)
{
	void *job;
	int rc;

	nr_pool_take(pool, &job, -1);
	rc = check_block(w, job);
	nr_pool_release(pool);
	return rc;
}

static int
check_segment(struct walk *w, struct nr_pool *pool)
{
	char name[NR_LOG_NAME_MAX];
	struct nr_lines in;
	struct block *b;
	unsigned pending = 0;
	int fd, rc, end;

	nr_log_name(name, w->segment, w->gen, 0);
	fd = openat(w->k->st->log.dirfd, name, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return errno;
	if ((rc = nr_lines_init(&in, fd, NR_PLACE_LEN, 1)) != NR_OK) {
		close(fd);
		return rc;
	}
	w->offset = w->lineno = 0;
	for (end = 0; rc == NR_OK && !end;) {
		while (rc == NR_OK &&
		    (b = nr_pool_try_claim(pool)) == NULL) {
			rc = take_block(w, pool);
			pending--;
		}
		if (rc != NR_OK)
			break;
		rc = nr_lines_block(&in, &b->text);
		end = rc == NR_EOF;
		if (rc == NR_OK) {
			nr_pool_submit(pool);
			pending++;
		} else if (end)
			rc = NR_OK;
	}
	for (; pending > 0; pending--)
		if (rc == NR_OK)
			rc = take_block(w, pool);
		else {
			nr_pool_take(pool, (void **)&b, -1);
			nr_pool_release(pool);
		}
	nr_lines_free(&in);
	close(fd);
	return rc;
}

static int
check_log(struct check *k, struct nr_pool *pool)
{
	struct nr_segment_stat *seg;
	struct walk w = { .k = k };
	uint64_t size;
	size_t i, n;
	int rc;

	/* A cursor of its own: lookups move the snapshot's. */
	rc = mdb_cursor_open(k->sn->txn, k->st->dbi[NR_T_EVENT], &w.events);
	if (rc != 0)
		return rc;
	if ((rc = next_live(&w, MDB_FIRST)) != NR_OK ||
	    (rc = nr_snap_segments(k->sn, &seg, &n)) != NR_OK) {
		mdb_cursor_close(w.events);
		return rc;
	}
	for (i = 0; rc == NR_OK && i < n; i++) {
		w.segment = seg[i].number;
		w.gen = seg[i].gen;
		w.end = seg[i].bytes;
		rc = nr_log_size(&k->st->log, w.segment, w.gen, &size);
		if (rc == ENOENT || (rc == NR_OK && size < w.end)) {
			found(k, "segment %" PRIu32 " is %s", w.segment,
			    rc == ENOENT ? "missing" : "cut short");
			rc = rc == ENOENT ? NR_OK : rc;
			continue;
		}
		if (rc == NR_OK)
			rc = check_segment(&w, pool);
	}
	free(seg);
	mdb_cursor_close(w.events);
	if (rc == NR_OK && w.have)
		found(k, "event %" PRIu64 " has no line in the log",
		    w.number);
	return rc;
}

static int
count_entry(void *ctx, enum nr_table t, const struct nr_key *key)
{
	struct check *k = ctx;

	(void)key;
	k->may[t]++;
	return NR_OK;
}

/* Entries that may be there: of the dead, and of a merge under way. */
static int
count_others(struct check *k)
{
	struct nr_snap *sn = k->sn;
	uint64_t number = sn->head.merged;
	struct nr_event ev;
	struct nr_place at;
	struct nr_view line;
	struct nr_hit hit;
	MDB_cursor *c;
	MDB_val mk, v;
	int rc;

	if ((rc = nr_snap_cursor_of(sn, &c, NR_T_DEAD)) != NR_OK)
		return rc;
	rc = mdb_cursor_get(c, &mk, &v, MDB_FIRST);
	while (rc == 0) {
		if (v.mv_size != sizeof(at))
			return NR_ECORRUPT;
		memcpy(&at, v.mv_data, sizeof(at));
		rc = nr_maps_line(&sn->maps, &line, &at);
		if (rc == NR_OK && !nr_event_view_head(&ev, line.p, line.len))
			rc = NR_ECORRUPT;
		if (rc == NR_OK)
			rc = nr_entries(&ev, 0, count_entry, k);
		if (rc == NR_OK)
			rc = mdb_cursor_get(c, &mk, &v, MDB_NEXT);
	}
	if (rc != MDB_NOTFOUND)
		return rc;
	while ((rc = nr_snap_raw_at(sn, &hit, number, INT64_MIN)) == NR_OK &&
	    hit.line.p != NULL && hit.number < sn->head.target) {
		number = hit.number + 1;
		if (!nr_event_view_head(&ev, hit.line.p, hit.line.len))
			return NR_ECORRUPT;
		if ((rc = nr_entries(&ev, 0, count_entry, k)) != NR_OK)
			return rc;
	}
	return rc;
}

/* Nothing more in the index than what was asked for. */
static int
check_counts(struct check *k)
{
	static const enum nr_table counted[] = {
		NR_T_ID, NR_T_TIME, NR_T_AUTHOR, NR_T_AKIND, NR_T_KIND,
		NR_T_TAG, NR_T_ADDRESS, NR_T_EXPIRE
	};
	MDB_stat s;
	size_t i;
	int rc;

	if ((rc = count_others(k)) != NR_OK)
		return rc;
	for (i = 0; i < sizeof(counted) / sizeof(counted[0]); i++) {
		rc = mdb_stat(k->sn->txn, k->st->dbi[counted[i]], &s);
		if (rc != 0)
			return rc;
		if (s.ms_entries < k->want[counted[i]] || s.ms_entries >
		    k->want[counted[i]] + k->may[counted[i]])
			found(k, "index %s has %zu entries, not %" PRIu64,
			    nr_table_name(counted[i]), s.ms_entries,
			    k->want[counted[i]]);
	}
	return NR_OK;
}

/* ---- the sums ------------------------------------------------------------------ */

/* What a chunk should be, by the entries that are there and who is alive. */
static int
recount(struct check *k, struct nr_chunk *want, const struct nr_timed *e,
    size_t n)
{
	MDB_val mk = { sizeof(e->number), NULL }, v;
	struct nr_place at;
	MDB_cursor *c;
	size_t i;
	int rc;

	if ((rc = nr_snap_cursor_of(k->sn, &c, NR_T_EVENT)) != NR_OK)
		return rc;
	want->entries = (uint32_t)n;
	for (i = 0; i < n; i++) {
		mk.mv_size = sizeof(e[i].number);
		mk.mv_data = (void *)(uintptr_t)&e[i].number;
		rc = mdb_cursor_get(c, &mk, &v, MDB_SET);
		if (rc == MDB_NOTFOUND)
			continue;
		if (rc != 0)
			return rc;
		if (v.mv_size != sizeof(at))
			return NR_ECORRUPT;
		memcpy(&at, v.mv_data, sizeof(at));
		if ((at.len & NR_PLACE_EXPIRES) ||
		    nr_kind_confidential(e[i].kind))
			continue;
		want->members++;
		nr_sum_add_id(&want->sum, e[i].item.id);
	}
	return NR_OK;
}

/* One chunk, which ends at to (NULL: nowhere). */
static int
check_chunk(struct check *k, const struct nr_chunk *c,
    const struct nr_rank_item *to, struct nr_timed *entry)
{
	struct nr_chunk want = { .from = c->from };
	MDB_cursor *time;
	size_t n;
	int rc;

	if ((rc = nr_snap_cursor_of(k->sn, &time, NR_T_TIME)) != NR_OK)
		return rc;
	rc = nr_timed_read(time, entry, &n, NR_CHUNK_MAX, &c->from, to);
	if (rc == NR_ECORRUPT) {
		found(k, "the sum from %" PRIu64 " on is of too many "
		    "entries, or of a bad one", c->from.time);
		return NR_OK;
	}
	if (rc != NR_OK || (rc = recount(k, &want, entry, n)) != NR_OK)
		return rc;
	if (c->entries != want.entries || c->members != want.members)
		found(k, "the sum from %" PRIu64 " on has %" PRIu32 " of %"
		    PRIu32 " entries, not %" PRIu32 " of %" PRIu32,
		    c->from.time, c->members, c->entries, want.members,
		    want.entries);
	else if (memcmp(&c->sum, &want.sum, sizeof(c->sum)) != 0)
		found(k, "the sum from %" PRIu64 " on is not that of its "
		    "events", c->from.time);
	return NR_OK;
}

static int
is_zero(const struct nr_rank_item *item)
{
	static const struct nr_rank_item zero;

	return nr_rank_cmp(item, &zero) == 0;
}

/* All chunks; where there is none, there must be no entry. */
static int
check_chunks(struct check *k, struct nr_timed *entry)
{
	struct nr_chunk c = { .entries = 0 }, next;
	MDB_cursor *cur;
	MDB_val mk, v;
	int rc, end;

	if ((rc = nr_snap_cursor_of(k->sn, &cur, NR_T_SUM)) != NR_OK)
		return rc;
	rc = mdb_cursor_get(cur, &mk, &v, MDB_FIRST);
	if (rc == 0 && (!nr_chunk_get(&c, &mk, &v) || !is_zero(&c.from)))
		found(k, "the first sum is not from zero on");
	for (end = rc == MDB_NOTFOUND; rc == 0 || end; c = next) {
		if (!end && (rc = mdb_cursor_get(cur, &mk, &v,
		    MDB_NEXT)) != 0 && rc != MDB_NOTFOUND)
			break;
		end = rc == MDB_NOTFOUND;
		if (!end && !nr_chunk_get(&next, &mk, &v)) {
			found(k, "a sum is not in order");
			return NR_OK;
		}
		if ((rc = check_chunk(k, &c, end ? NULL : &next.from,
		    entry)) != NR_OK || end)
			return rc;
	}
	return rc;
}

static int
check_sums(struct check *k)
{
	struct nr_timed *entry;
	int rc;

	if ((entry = malloc(NR_CHUNK_MAX * sizeof(*entry))) == NULL)
		return ENOMEM;
	rc = check_chunks(k, entry);
	free(entry);
	return rc;
}

static int
run(struct check *k)
{
	unsigned n = nr_pool_cores(), i;
	struct verify vf = { .full = k->c->full };
	struct nr_pool *pool = NULL;
	int rc = NR_OK;

	vf.verifier = calloc(n, sizeof(vf.verifier[0]));
	if (vf.verifier == NULL)
		return ENOMEM;
	for (i = 0; rc == NR_OK && i < n; i++)
		rc = nr_verifier_new(&vf.verifier[i]);
	if (rc == NR_OK)
		rc = nr_pool_new(&pool, n, 2 * n + 2, sizeof(struct block),
		    verify_block, NULL, &vf);
	if (rc == NR_OK)
		rc = check_log(k, pool);
	nr_pool_free(pool, clear_block);
	for (i = 0; i < n; i++)
		nr_verifier_free(vf.verifier[i]);
	free(vf.verifier);
	if (rc == NR_OK)
		rc = check_counts(k);
	return rc != NR_OK ? rc : check_sums(k);
}

int
nr_store_check(struct nr_store *st, struct nr_check *c)
{
	struct check k = { .st = st, .c = c };
	int rc;

	c->lines = c->live = c->findings = 0;
	if ((rc = nr_snap_new(&k.sn, st)) != NR_OK)
		return rc;
	if ((rc = nr_compact_lock(st)) != NR_OK) {
		nr_snap_free(k.sn);
		return rc;
	}
	/*
	 * The one reader that holds its snapshot for long: what it checks
	 * must not change under it, and a segment must be one file.
	 */
	rc = nr_compact_resume(st);
	if (rc == NR_OK)
		rc = nr_snap_renew(k.sn);
	if (rc == NR_OK)
		rc = run(&k);
	nr_snap_free(k.sn);
	nr_compact_unlock(st);
	free(k.key);
	free(k.table);
	return nr_store_rc(st, rc);
}
