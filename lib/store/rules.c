/*
 * The rules of NIP-01, NIP-09 and NIP-40 about which events a store keeps.
 *
 * They are applied to one event after the other, in the order of the log,
 * so that a rebuild comes to the same end.  Tables that verdicts depend on
 * (event, id, address, deletions) are changed at once; the others wait for
 * a merge (merge.c).
 */
#include "store/snap.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "event/tags.h"
#include "util/err.h"
#include "util/hex.h"
#include "util/sha256.h"

int
nr_bitmap_set(struct nr_bitmap *b, uint64_t i)
{
	uint64_t n = b->n == 0 ? 4096 : b->n;
	unsigned char *p;

	if (i / 8 >= b->n) {
		while (n <= i / 8)
			n *= 2;
		if ((p = realloc(b->bits, n)) == NULL)
			return ENOMEM;
		memset(p + b->n, 0, n - b->n);
		b->bits = p;
		b->n = n;
	}
	b->bits[i / 8] |= (unsigned char)(1 << i % 8);
	return NR_OK;
}

int
nr_bitmap_has(const struct nr_bitmap *b, uint64_t i)
{
	return i / 8 < b->n && (b->bits[i / 8] >> i % 8 & 1);
}

/* The line at a place, which may still be pending. */
static int
line_at(struct nr_writer *w, struct nr_view *line, const struct nr_place *at)
{
	if (w->pending.len > 0 && at->segment == w->pending_at.segment &&
	    at->offset >= w->pending_at.offset) {
		line->p = w->pending.p + (at->offset - w->pending_at.offset);
		line->len = at->len & NR_PLACE_LEN;
		return NR_OK;
	}
	return nr_maps_line(&w->maps, line, at);
}

static int
get_place(MDB_cursor *events, uint64_t number, struct nr_place *at)
{
	MDB_val k = { sizeof(number), &number }, v;
	int rc = mdb_cursor_get(events, &k, &v, MDB_SET);

	if (rc != 0)
		return rc;
	if (v.mv_size != sizeof(*at))
		return NR_ECORRUPT;
	memcpy(at, v.mv_data, sizeof(*at));
	return NR_OK;
}

/*
 * Walk over the numbers that stand behind a prefix of a table's keys.
 * Start with *k empty; returns MDB_NOTFOUND at the end.
 */
static int
next_number(MDB_cursor *c, const unsigned char *prefix, size_t n,
    MDB_val *k, uint64_t *number)
{
	MDB_val v;
	int rc;

	if (k->mv_data == NULL) {
		k->mv_size = n;
		k->mv_data = (void *)(uintptr_t)prefix;
		rc = mdb_cursor_get(c, k, &v, MDB_SET_RANGE);
	} else
		rc = mdb_cursor_get(c, k, &v, MDB_NEXT);
	if (rc != 0)
		return rc;
	if (k->mv_size != n + NR_NUMBER_LEN ||
	    memcmp(k->mv_data, prefix, n) != 0)
		return MDB_NOTFOUND;
	*number = nr_get_be((unsigned char *)k->mv_data + n, NR_NUMBER_LEN);
	return NR_OK;
}

/* How find_id() gets at a line: from the log, or from what is pending. */
typedef int	line_fn(void *ctx, struct nr_view *line,
		    const struct nr_place *at);

static int
find_id(MDB_cursor *ids, MDB_cursor *events, line_fn *get, void *ctx,
    uint64_t *number, struct nr_place *at, struct nr_view *line,
    const unsigned char id[32])
{
	unsigned char prefix[8], found[32];
	MDB_val k = { 0, NULL };
	uint64_t n;
	int rc;

	memcpy(prefix, nr_tail(id), 8);
	while ((rc = next_number(ids, prefix, 8, &k, &n)) == NR_OK) {
		rc = get_place(events, n, at);
		if (rc == MDB_NOTFOUND)
			return NR_ECORRUPT;
		if (rc != NR_OK || (rc = get(ctx, line, at)) != NR_OK)
			return rc;
		if (!nr_event_view_id(found, line->p, line->len))
			return NR_ECORRUPT;
		if (memcmp(found, id, 32) == 0) {
			*number = n;
			return NR_OK;
		}
	}
	*number = UINT64_MAX;
	return rc == MDB_NOTFOUND ? NR_OK : rc;
}

static int
line_in_maps(void *ctx, struct nr_view *line, const struct nr_place *at)
{
	return nr_maps_line(ctx, line, at);
}

static int
line_in_writer(void *ctx, struct nr_view *line, const struct nr_place *at)
{
	return line_at(ctx, line, at);
}

int
nr_find_id(MDB_cursor *ids, MDB_cursor *events, struct nr_maps *maps,
    uint64_t *number, struct nr_place *at, struct nr_view *line,
    const unsigned char id[32])
{
	return find_id(ids, events, line_in_maps, maps, number, at, line, id);
}

int
nr_writer_find_id(struct nr_writer *w, uint64_t *number,
    struct nr_place *at, struct nr_view *line, const unsigned char id[32])
{
	MDB_cursor *ids, *events;
	int rc;

	if ((rc = nr_writer_cursor(w, &ids, NR_T_ID)) != NR_OK ||
	    (rc = nr_writer_cursor(w, &events, NR_T_EVENT)) != NR_OK)
		return rc;
	return find_id(ids, events, line_in_writer, w, number, at, line, id);
}

/* ---- deletions -------------------------------------------------------- */

#define D_HASH	16

/* 16 bytes of SHA-256 that stand for a d tag's text. */
static void
hash_d(struct nr_sha256 *sha, unsigned char out[D_HASH], struct nr_view d)
{
	unsigned char digest[32];

	nr_sha256_start(sha);
	nr_sha256_add(sha, d.p, d.len);
	nr_sha256_end(sha, digest);
	memcpy(out, digest, D_HASH);
}

static void
gone_addr_key(struct nr_sha256 *sha, unsigned char key[NR_ADDRESS_LEN],
    unsigned kind, const unsigned char pubkey[32], struct nr_view d)
{
	nr_put_be(key, kind, 2);
	memcpy(key + 2, pubkey, 32);
	hash_d(sha, key + 34, d);
}

static int
has_address(unsigned kind)
{
	return nr_kind_replaceable(kind) || nr_kind_addressable(kind);
}

/* Which d is part of the address: none for kinds without one. */
static struct nr_view
address_d(const struct nr_event *ev)
{
	static const struct nr_view none = { "", 0 };

	return nr_kind_addressable(ev->kind) ? nr_event_d(ev) : none;
}

/* Was this id deleted by this key?  Zeros stand for the operator. */
static int
gone_by(MDB_cursor *c, int *gone, const unsigned char id[32],
    const unsigned char who[32])
{
	unsigned char key[64];
	MDB_val k = { sizeof(key), key }, v;
	int rc;

	memcpy(key, id, 32);
	memcpy(key + 32, who, 32);
	rc = mdb_cursor_get(c, &k, &v, MDB_SET);
	if (rc != 0 && rc != MDB_NOTFOUND)
		return rc;
	*gone = rc == 0;
	return NR_OK;
}

static const unsigned char operator_key[32];

/*
 * Whose deletions count for an event: its author's; a gift wrap's author
 * has thrown the key away, so its recipients' do (NIP-59).  A deletion of
 * a deletion, or of a request to vanish, has no effect.
 */
static int
may_delete(const struct nr_event *ev, const unsigned char who[32])
{
	unsigned char key[32];
	struct nr_tags it;

	if (memcmp(who, operator_key, 32) == 0)
		return 1;
	if (nr_kind_request(ev->kind))
		return 0;
	if (memcmp(ev->pubkey, who, 32) == 0)
		return 1;
	if (ev->kind != NR_KIND_GIFT_WRAP)
		return 0;
	nr_tags_start(&it, ev->tags);
	while (nr_next_recipient(&it, key))
		if (memcmp(key, who, 32) == 0)
			return 1;
	return 0;
}

/* Has anybody deleted it who may?  For ids that somebody has deleted. */
static int
gone_by_any(MDB_cursor *c, int *gone, const struct nr_event *ev)
{
	unsigned char key[32];
	struct nr_tags it;
	int rc;

	rc = gone_by(c, gone, ev->id, operator_key);
	if (rc == NR_OK && !*gone && !nr_kind_request(ev->kind))
		rc = gone_by(c, gone, ev->id, ev->pubkey);
	if (rc != NR_OK || *gone || ev->kind != NR_KIND_GIFT_WRAP)
		return rc;
	nr_tags_start(&it, ev->tags);
	while (rc == NR_OK && !*gone && nr_next_recipient(&it, key))
		rc = gone_by(c, gone, ev->id, key);
	return rc;
}

/* An address has died up to a time: so has an event of that time? */
static int
gone_at(int64_t until, int64_t created_at)
{
	return until > created_at ? NR_GONE : until == created_at ?
	    NR_GONE_OR_EXPIRED : 0;
}

int
nr_find_gone(MDB_cursor *gone_id, MDB_cursor *gone_addr, MDB_cursor *vanish,
    struct nr_sha256 *sha, int *gone, const struct nr_event *ev)
{
	unsigned char key[NR_ADDRESS_LEN], next[32];
	MDB_val k = { 0, NULL }, v;
	int rc;

	if ((rc = nr_vanish_find(vanish, gone, ev)) != NR_OK || *gone)
		return rc;
	/* Most ids have no deletion by anybody: one look says so. */
	k.mv_size = 32;
	k.mv_data = (void *)(uintptr_t)ev->id;
	rc = mdb_cursor_get(gone_id, &k, &v, MDB_SET_RANGE);
	if (rc != 0 && rc != MDB_NOTFOUND)
		return rc;
	if (rc == 0 && k.mv_size == 64) {
		memcpy(next, k.mv_data, 32);
		if (memcmp(next, ev->id, 32) == 0) {
			rc = gone_by_any(gone_id, gone, ev);
			if (rc != NR_OK || *gone)
				return rc;
		}
	}
	if (!has_address(ev->kind))
		return NR_OK;
	gone_addr_key(sha, key, ev->kind, ev->pubkey, address_d(ev));
	k.mv_size = sizeof(key);
	k.mv_data = key;
	rc = mdb_cursor_get(gone_addr, &k, &v, MDB_SET);
	if (rc == 0)
		*gone = gone_at((int64_t)nr_get_be(v.mv_data, 8),
		    ev->created_at);
	return rc == MDB_NOTFOUND ? NR_OK : rc;
}

static int
writer_find_gone(struct nr_writer *w, int *gone, const struct nr_event *ev)
{
	MDB_cursor *ids, *addrs, *vanish;
	int rc;

	if ((rc = nr_writer_cursor(w, &ids, NR_T_GONE_ID)) != NR_OK ||
	    (rc = nr_writer_cursor(w, &addrs, NR_T_GONE_ADDR)) != NR_OK ||
	    (rc = nr_writer_cursor(w, &vanish, NR_T_VANISH)) != NR_OK)
		return rc;
	return nr_find_gone(ids, addrs, vanish, w->st->sha, gone, ev);
}

static int
mark_gone_id(struct nr_writer *w, const unsigned char id[32],
    const unsigned char who[32], uint64_t number)
{
	unsigned char key[64], value[NR_NUMBER_LEN];
	MDB_val k = { sizeof(key), key }, v = { sizeof(value), value };
	MDB_cursor *c;
	int rc;

	if ((rc = nr_writer_cursor(w, &c, NR_T_GONE_ID)) != NR_OK)
		return rc;
	memcpy(key, id, 32);
	memcpy(key + 32, who, 32);
	nr_put_be(value, number, NR_NUMBER_LEN);
	rc = mdb_cursor_put(c, &k, &v, MDB_NOOVERWRITE);
	return rc == MDB_KEYEXIST ? NR_OK : rc;
}

static int
mark_gone_addr(struct nr_writer *w, const unsigned char key[NR_ADDRESS_LEN],
    int64_t upto)
{
	MDB_val k = { NR_ADDRESS_LEN, (void *)(uintptr_t)key }, v;
	unsigned char value[8];
	MDB_cursor *c;
	int rc;

	if ((rc = nr_writer_cursor(w, &c, NR_T_GONE_ADDR)) != NR_OK)
		return rc;
	rc = mdb_cursor_get(c, &k, &v, MDB_SET);
	if (rc == 0 && (int64_t)nr_get_be(v.mv_data, 8) >= upto)
		return NR_OK;
	if (rc != 0 && rc != MDB_NOTFOUND)
		return rc;
	nr_put_be(value, (uint64_t)upto, 8);
	k.mv_size = NR_ADDRESS_LEN;
	k.mv_data = (void *)(uintptr_t)key;
	v.mv_size = sizeof(value);
	v.mv_data = value;
	return mdb_cursor_put(c, &k, &v, 0);
}

/* ---- addresses --------------------------------------------------------- */

#define ADDRESS_LEN	(8 + 2 + 8)

static void
address_prefix(struct nr_sha256 *sha, unsigned char p[ADDRESS_LEN],
    unsigned kind, const unsigned char pubkey[32], struct nr_view d)
{
	unsigned char hash[D_HASH];

	hash_d(sha, hash, d);
	nr_akind_prefix(p, pubkey, kind);
	memcpy(p + 10, hash, 8);
}

static int
same_address(const struct nr_event *ev, unsigned kind,
    const unsigned char pubkey[32], struct nr_view d)
{
	struct nr_view theirs = address_d(ev);

	return ev->kind == kind && memcmp(ev->pubkey, pubkey, 32) == 0 &&
	    theirs.len == d.len && memcmp(theirs.p, d.p, d.len) == 0;
}

/* The live version at an address; *number is UINT64_MAX for none. */
static int
find_address(MDB_cursor *addrs, MDB_cursor *events, line_fn *get, void *ctx,
    const unsigned char prefix[ADDRESS_LEN], uint64_t *number,
    struct nr_event *found, unsigned kind, const unsigned char pubkey[32],
    struct nr_view d)
{
	MDB_val k = { 0, NULL };
	struct nr_view line;
	struct nr_place at;
	uint64_t n;
	int rc;

	while ((rc = next_number(addrs, prefix, ADDRESS_LEN, &k, &n)) == 0) {
		if ((rc = get_place(events, n, &at)) != NR_OK ||
		    (rc = get(ctx, &line, &at)) != NR_OK)
			return rc == MDB_NOTFOUND ? NR_ECORRUPT : rc;
		if (!nr_event_view(found, line.p, line.len))
			return NR_ECORRUPT;
		if (same_address(found, kind, pubkey, d)) {
			*number = n;
			return NR_OK;
		}
	}
	*number = UINT64_MAX;
	return rc == MDB_NOTFOUND ? NR_OK : rc;
}

static int
writer_find_address(struct nr_writer *w, uint64_t *number,
    struct nr_event *found, unsigned kind, const unsigned char pubkey[32],
    struct nr_view d)
{
	unsigned char prefix[ADDRESS_LEN];
	MDB_cursor *addrs, *events;
	int rc;

	if ((rc = nr_writer_cursor(w, &addrs, NR_T_ADDRESS)) != NR_OK ||
	    (rc = nr_writer_cursor(w, &events, NR_T_EVENT)) != NR_OK)
		return rc;
	address_prefix(w->st->sha, prefix, kind, pubkey, d);
	return find_address(addrs, events, line_in_writer, w, prefix, number,
	    found, kind, pubkey, d);
}

int
nr_snap_address(struct nr_snap *sn, uint64_t *number, struct nr_event *found,
    const struct nr_event *ev)
{
	unsigned char prefix[ADDRESS_LEN];
	MDB_cursor *addrs, *events;
	int rc;

	*number = UINT64_MAX;
	if (!has_address(ev->kind))
		return NR_OK;
	if ((rc = nr_snap_cursor_of(sn, &addrs, NR_T_ADDRESS)) != NR_OK ||
	    (rc = nr_snap_cursor_of(sn, &events, NR_T_EVENT)) != NR_OK)
		return rc;
	address_prefix(sn->sha, prefix, ev->kind, ev->pubkey, address_d(ev));
	return find_address(addrs, events, line_in_maps, &sn->maps, prefix,
	    number, found, ev->kind, ev->pubkey, address_d(ev));
}

static void
address_key(struct nr_sha256 *sha, unsigned char *key,
    const struct nr_event *ev, uint64_t number)
{
	address_prefix(sha, key, ev->kind, ev->pubkey, address_d(ev));
	nr_put_be(key + ADDRESS_LEN, number, NR_NUMBER_LEN);
}

/* ---- dying and being born ---------------------------------------------- */

static int
collect_entry(void *ctx, enum nr_table t, const struct nr_key *key)
{
	return nr_sorter_add(ctx, t, NR_OP_PUT, key);
}

static int
delete_key(struct nr_writer *w, enum nr_table t, void *key, size_t n)
{
	MDB_val k = { n, key }, v;
	MDB_cursor *c;
	int rc;

	if ((rc = nr_writer_cursor(w, &c, t)) != NR_OK)
		return rc;
	rc = mdb_cursor_get(c, &k, &v, MDB_SET);
	if (rc == MDB_NOTFOUND)
		return NR_ECORRUPT;
	return rc != 0 ? rc : mdb_cursor_del(c, 0);
}

static int
put_key(struct nr_writer *w, enum nr_table t, void *key, size_t n,
    const void *value, size_t vlen)
{
	MDB_val k = { n, key }, v = { vlen, (void *)(uintptr_t)value };
	MDB_cursor *c;
	int rc;

	if ((rc = nr_writer_cursor(w, &c, t)) != NR_OK)
		return rc;
	return mdb_cursor_put(c, &k, &v, 0);
}

int
nr_writer_line(struct nr_writer *w, struct nr_place *at,
    struct nr_view *line, uint64_t number)
{
	MDB_cursor *events;
	int rc;

	if ((rc = nr_writer_cursor(w, &events, NR_T_EVENT)) != NR_OK ||
	    (rc = get_place(events, number, at)) != NR_OK)
		return rc;
	return line_at(w, line, at);
}

/*
 * Its other entries are removed by a merge, where they are in the index
 * or may come to be there.
 */
static int
leave_entries(struct nr_writer *w, uint64_t number,
    const struct nr_place *at)
{
	if (w->dead != NULL)
		return nr_bitmap_set(w->dead, number);
	if (number >= w->head.merged && number >= w->head.target)
		return NR_OK;
	return put_key(w, NR_T_DEAD, &number, sizeof(number), at,
	    sizeof(*at));
}

/* A live event that is about to die. */
static int
view_event(struct nr_writer *w, struct nr_place *at, struct nr_event *ev,
    size_t *len, uint64_t number)
{
	struct nr_view line;
	int rc;

	if ((rc = nr_writer_line(w, at, &line, number)) != NR_OK)
		return rc;
	*len = line.len;
	return nr_event_view(ev, line.p, line.len) ? NR_OK : NR_ECORRUPT;
}

int
nr_rules_kill(struct nr_writer *w, uint64_t number)
{
	unsigned char key[ADDRESS_LEN + NR_NUMBER_LEN];
	struct nr_event ev;
	struct nr_place at;
	size_t len;
	int rc;

	if ((rc = view_event(w, &at, &ev, &len, number)) != NR_OK)
		return rc;
	rc = nr_sums_kill(w, &ev, number);
	if (rc == NR_OK)
		rc = delete_key(w, NR_T_ID, key,
		    nr_id_key(key, ev.id, number));
	if (rc == NR_OK && has_address(ev.kind)) {
		address_key(w->st->sha, key, &ev, number);
		rc = delete_key(w, NR_T_ADDRESS, key, sizeof(key));
	}
	if (rc == NR_OK && at.len & NR_PLACE_EXPIRES) {
		nr_expire_key(key, nr_event_expiration(&ev), number);
		rc = delete_key(w, NR_T_EXPIRE, key, NR_EXPIRE_LEN);
	}
	if (rc == NR_OK)
		rc = delete_key(w, NR_T_EVENT, &number, sizeof(number));
	if (rc == NR_OK)
		rc = nr_writer_count_live(w, at.segment,
		    -((int64_t)len + 1), -1);
	return rc != NR_OK ? rc : leave_entries(w, number, &at);
}

static int
insert(struct nr_writer *w, struct nr_item *item, struct nr_place at)
{
	unsigned char key[ADDRESS_LEN + NR_NUMBER_LEN];
	const struct nr_event *ev = &item->ev;
	uint64_t number = w->head.next;
	int rc;

	rc = put_key(w, NR_T_EVENT, &number, sizeof(number), &at, sizeof(at));
	if (rc == NR_OK)
		rc = put_key(w, NR_T_ID, key, nr_id_key(key, ev->id, number),
		    NULL, 0);
	if (rc == NR_OK && has_address(ev->kind)) {
		address_key(w->st->sha, key, ev, number);
		rc = put_key(w, NR_T_ADDRESS, key, sizeof(key), NULL, 0);
	}
	if (rc == NR_OK && at.len & NR_PLACE_EXPIRES) {
		nr_expire_key(key, nr_event_expiration(ev), number);
		rc = put_key(w, NR_T_EXPIRE, key, NR_EXPIRE_LEN, NULL, 0);
	}
	if (rc == NR_OK && w->sorter != NULL)
		rc = nr_entries(ev, number, collect_entry, w->sorter);
	if (rc == NR_OK)
		rc = nr_writer_count_live(w, at.segment,
		    (int64_t)item->line.len + 1, 1);
	if (rc == NR_OK)
		rc = nr_writer_first(w, at.segment, number);
	if (rc != NR_OK)
		return rc;
	item->number = number;
	w->head.next = number + 1;
	/* Where nobody has counted the tags, they are guessed. */
	w->head.entries += 4 + (ev->ntags > 0 ? ev->ntags :
	    ev->tags.len / 16);
	return NR_OK;
}

/* ---- what a deletion request does --------------------------------------- */

/*
 * A version of a replaceable event that is deleted by its id, or expires,
 * takes the older ones with it: they were replaced, and must not come back
 * when somebody sends them again.
 */
static int
delete_versions(struct nr_writer *w, const struct nr_event *target)
{
	unsigned char key[NR_ADDRESS_LEN];

	if (!has_address(target->kind))
		return NR_OK;
	gone_addr_key(w->st->sha, key, target->kind, target->pubkey,
	    address_d(target));
	return mark_gone_addr(w, key, target->created_at);
}

int
nr_rules_end(struct nr_writer *w, uint64_t number)
{
	struct nr_event ev;
	struct nr_place at;
	size_t len;
	int rc;

	if ((rc = view_event(w, &at, &ev, &len, number)) == NR_OK)
		rc = delete_versions(w, &ev);
	return rc != NR_OK ? rc : nr_rules_kill(w, number);
}

/* An event has been deleted by this key, zeros standing for the operator. */
static int
gone(struct nr_writer *w, const unsigned char id[32],
    const unsigned char who[32])
{
	struct nr_event target;
	struct nr_view line;
	struct nr_place at;
	uint64_t number;
	int rc;

	w->deleted = 1;
	rc = mark_gone_id(w, id, who, w->head.next);
	if (rc != NR_OK ||
	    (rc = nr_writer_find_id(w, &number, &at, &line, id)) != 0 ||
	    number == UINT64_MAX)
		return rc;
	if (!nr_event_view(&target, line.p, line.len))
		return NR_ECORRUPT;
	return may_delete(&target, who) ? nr_rules_end(w, number) : NR_OK;
}

static int
delete_id(struct nr_writer *w, const struct nr_event *ev,
    struct nr_view value)
{
	unsigned char id[32];

	if (value.len != 64 || !nr_hex_decode(id, value.p, 32))
		return NR_OK;
	return gone(w, id, ev->pubkey);
}

/* The address that a tag of a deletion names, if it may be deleted by it. */
static int
deletable(const struct nr_event *ev, struct nr_view value, unsigned *kind,
    struct nr_view *d)
{
	unsigned char pubkey[32];

	if (!nr_address_parse(value, kind, pubkey, d) ||
	    memcmp(pubkey, ev->pubkey, 32) != 0 || !has_address(*kind))
		return 0;
	if (!nr_kind_addressable(*kind))
		d->len = 0;
	return 1;
}

static int
delete_address(struct nr_writer *w, const struct nr_event *ev,
    struct nr_view value)
{
	const unsigned char *pubkey = ev->pubkey;
	unsigned char key[NR_ADDRESS_LEN];
	struct nr_event target;
	struct nr_view d;
	uint64_t number;
	unsigned kind;
	int rc;

	if (!deletable(ev, value, &kind, &d))
		return NR_OK;
	w->deleted = 1;
	gone_addr_key(w->st->sha, key, kind, pubkey, d);
	if ((rc = mark_gone_addr(w, key, ev->created_at)) != NR_OK ||
	    (rc = writer_find_address(w, &number, &target, kind, pubkey,
	    d)) != NR_OK)
		return rc;
	if (number == UINT64_MAX || target.created_at > ev->created_at)
		return NR_OK;
	return nr_rules_kill(w, number);
}

static int
delete_all(struct nr_writer *w, const struct nr_event *ev)
{
	struct nr_tags it;
	struct nr_tag tag;
	int rc = NR_OK;

	nr_tags_start(&it, ev->tags);
	while (rc == NR_OK && nr_tags_next(&it, &tag)) {
		if (tag.nitems < 2)
			continue;
		if (nr_tag_is(&tag, "e"))
			rc = delete_id(w, ev, tag.value);
		else if (nr_tag_is(&tag, "a"))
			rc = delete_address(w, ev, tag.value);
	}
	return rc;
}

/* ---- deaths that the log itself does not hold ------------------------------ */

int
nr_rules_remember(struct nr_writer *w, const struct nr_death *d)
{
	switch (d->type) {
	case NR_DEATH_ID:
		return mark_gone_id(w, d->id, d->who, w->head.next);
	case NR_DEATH_ADDRESS:
		return mark_gone_addr(w, d->address, d->until);
	case NR_DEATH_VANISH:
		return nr_vanish_mark(w, d->who, d->until, 0);
	}
	return NR_ECORRUPT;
}

int
nr_rules_death(struct nr_writer *w, const struct nr_death *d)
{
	switch (d->type) {
	case NR_DEATH_ID:
		return gone(w, d->id, d->who);
	case NR_DEATH_ADDRESS:
		/*
		 * It is recorded when a line of it is dropped, long after
		 * whoever was there has died.
		 */
		return nr_rules_remember(w, d);
	case NR_DEATH_VANISH:
		return nr_vanish_mark(w, d->who, d->until, 1);
	}
	return NR_ECORRUPT;
}

/* An event asks that its author be forgotten. */
static int
vanish(struct nr_writer *w, const struct nr_event *ev)
{
	struct nr_death d = { .type = NR_DEATH_VANISH,
	    .until = ev->created_at };
	int rc;

	memcpy(d.who, ev->pubkey, 32);
	if ((rc = nr_death_write(&w->deaths, &d)) != NR_OK)
		return rc;
	return nr_rules_death(w, &d);
}

int
nr_rules_doomed(const struct nr_deaths *d, const struct nr_event *ev)
{
	const struct nr_death *p;
	size_t n;

	nr_deaths_of_id(d, &p, &n, ev->id);
	for (; n > 0; n--, p++)
		if (may_delete(ev, p->who))
			return 1;
	return nr_vanish_among(d->vanished, d->nvanished, ev);
}

/* What the tag of a deletion did, as a death; returns 0 for nothing. */
static int
death_by_tag(struct nr_snap *sn, const struct nr_event *ev,
    const struct nr_tag *tag, struct nr_death *d)
{
	struct nr_view name;
	unsigned kind;

	if (tag->nitems < 2)
		return 0;
	if (nr_tag_is(tag, "e") && tag->value.len == 64 &&
	    nr_hex_decode(d->id, tag->value.p, 32)) {
		d->type = NR_DEATH_ID;
		memcpy(d->who, ev->pubkey, 32);
		return 1;
	}
	if (!nr_tag_is(tag, "a") || !deletable(ev, tag->value, &kind, &name))
		return 0;
	d->type = NR_DEATH_ADDRESS;
	gone_addr_key(sn->sha, d->address, kind, ev->pubkey, name);
	d->until = ev->created_at;
	return 1;
}

/* Up to when is the address of an event deleted?  None: returns 0. */
static int
death_of_address(struct nr_snap *sn, const struct nr_event *ev,
    struct nr_death *d, int *found)
{
	MDB_cursor *c;
	MDB_val k, v;
	int rc;

	*found = 0;
	if (!has_address(ev->kind))
		return NR_OK;
	d->type = NR_DEATH_ADDRESS;
	gone_addr_key(sn->sha, d->address, ev->kind, ev->pubkey,
	    address_d(ev));
	k.mv_size = NR_ADDRESS_LEN;
	k.mv_data = d->address;
	if ((rc = nr_snap_cursor_of(sn, &c, NR_T_GONE_ADDR)) != NR_OK)
		return rc;
	rc = mdb_cursor_get(c, &k, &v, MDB_SET);
	if (rc != 0)
		return rc == MDB_NOTFOUND ? NR_OK : rc;
	d->until = (int64_t)nr_get_be(v.mv_data, 8);
	*found = 1;
	return NR_OK;
}

int
nr_rules_legacy(struct nr_snap *sn, const struct nr_event *ev,
    nr_each_death *each, void *ctx)
{
	struct nr_death d;
	struct nr_tags it;
	struct nr_tag tag;
	int rc, found;

	if ((rc = death_of_address(sn, ev, &d, &found)) != NR_OK)
		return rc;
	if (found && (rc = each(ctx, &d)) != NR_OK)
		return rc;
	if (ev->kind != NR_KIND_DELETION)
		return NR_OK;
	nr_tags_start(&it, ev->tags);
	while (rc == NR_OK && nr_tags_next(&it, &tag))
		if (death_by_tag(sn, ev, &tag, &d))
			rc = each(ctx, &d);
	return rc;
}

/* ---- the verdict --------------------------------------------------------- */

/* Is version a the one to keep: newer, or of equal time with lower id? */
static int
newer(const struct nr_event *a, const struct nr_event *b)
{
	if (a->created_at != b->created_at)
		return a->created_at > b->created_at;
	return memcmp(a->id, b->id, 32) < 0;
}

static int
verdict(struct nr_writer *w, struct nr_item *item, uint64_t *replaces)
{
	const struct nr_event *ev = &item->ev;
	struct nr_event other;
	struct nr_view line;
	struct nr_place at;
	uint64_t number;
	int rc, gone;

	*replaces = UINT64_MAX;
	item->result = NR_PUT_STORED;
	rc = nr_writer_find_id(w, &number, &at, &line, ev->id);
	if (rc != NR_OK)
		return rc;
	/* What is there may be on its way out. */
	if (number != UINT64_MAX && w->head.vanishing == 0) {
		item->result = NR_PUT_DUPLICATE;
		return NR_OK;
	}
	if ((rc = writer_find_gone(w, &gone, ev)) != NR_OK)
		return rc;
	if (number != UINT64_MAX) {
		item->result = gone ? NR_PUT_DELETED : NR_PUT_DUPLICATE;
		return NR_OK;
	}
	if (gone) {
		item->result = NR_PUT_DELETED;
		return NR_OK;
	}
	if (!has_address(ev->kind))
		return NR_OK;
	rc = writer_find_address(w, &number, &other, ev->kind, ev->pubkey,
	    address_d(ev));
	if (rc != NR_OK || number == UINT64_MAX)
		return rc;
	if (newer(&other, ev))
		item->result = NR_PUT_SUPERSEDED;
	else
		*replaces = number;
	return NR_OK;
}

int
nr_rules_apply(struct nr_writer *w, struct nr_item *item,
    const struct nr_place *at, unsigned flags, int64_t now)
{
	const struct nr_event *ev = &item->ev;
	struct nr_place place;
	int64_t expires;
	uint64_t replaces;
	int rc;

	if (nr_kind_ephemeral(ev->kind)) {
		item->result = NR_PUT_EPHEMERAL;
		return NR_OK;
	}
	expires = nr_event_expiration(ev);
	if ((rc = verdict(w, item, &replaces)) != NR_OK ||
	    item->result != NR_PUT_STORED)
		return rc;
	if (now >= 0 && expires <= now) {
		item->result = NR_PUT_EXPIRED;
		return NR_OK;
	}
	if (at != NULL)
		place = *at;
	else if ((rc = nr_writer_append(w, &place, item->line)) != NR_OK)
		return rc;
	if (expires != INT64_MAX)
		place.len |= NR_PLACE_EXPIRES;
	if (flags & NR_PUT_QUIET)
		place.len |= NR_PLACE_QUIET;
	if (replaces != UINT64_MAX &&
	    (rc = nr_rules_kill(w, replaces)) != NR_OK)
		return rc;
	/* Its deletions are numbered by head.next, which insert() gives it. */
	if (ev->kind == NR_KIND_DELETION && (rc = delete_all(w, ev)) != NR_OK)
		return rc;
	if (item->vanish && (rc = vanish(w, ev)) != NR_OK)
		return rc;
	return insert(w, item, place);
}
