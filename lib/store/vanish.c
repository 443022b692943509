/*
 * Requests to vanish (NIP-62): who has made one, and the sweep of what he
 * wrote.
 *
 * A request may concern a million events, which no transaction can delete.
 * So it takes two entries in a table.  One says that all his events up to
 * a time are refused from now on.  The other says that some may still be
 * there: as long as it is, snapshots hide them.  They are removed some at
 * a time, and then the entry is.
 *
 * Requests themselves stay.
 */
#include "store/query.h"
#include "store/snap.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "event/tags.h"
#include "util/err.h"
#include "util/hex.h"
#include "util/times.h"

#define BATCH		500	/* events killed in one transaction */
#define SLICE_MS	5	/* and for how long, about */
#define REST_MS		5	/* others want to write, too */
#define LOOK		16	/* events between looks at the clock */

/* ---- the table --------------------------------------------------------------- */

static void
key_of(unsigned char key[NR_VANISH_LEN], enum nr_vanish_state s,
    const unsigned char pubkey[32])
{
	key[0] = (unsigned char)s;
	memcpy(key + 1, pubkey, 32);
}

/* Up to when has he vanished?  -1 where he has not. */
static int
until_of(MDB_cursor *c, enum nr_vanish_state s,
    const unsigned char pubkey[32], int64_t *until)
{
	unsigned char key[NR_VANISH_LEN];
	MDB_val k = { sizeof(key), key }, v;
	int rc;

	key_of(key, s, pubkey);
	*until = -1;
	rc = mdb_cursor_get(c, &k, &v, MDB_SET);
	if (rc == 0)
		*until = (int64_t)nr_get_be(v.mv_data, 8);
	return rc == MDB_NOTFOUND ? NR_OK : rc;
}

int
nr_vanish_find(MDB_cursor *vanish, int *gone, const struct nr_event *ev)
{
	unsigned char key[32];
	struct nr_tags it;
	int64_t until;
	int rc;

	*gone = 0;
	if (ev->kind == NR_KIND_VANISH)
		return NR_OK;
	rc = until_of(vanish, NR_VANISHED, ev->pubkey, &until);
	*gone = until >= ev->created_at;
	if (rc != NR_OK || *gone || ev->kind != NR_KIND_GIFT_WRAP)
		return rc;
	nr_tags_start(&it, ev->tags);
	while (rc == NR_OK && !*gone && nr_next_recipient(&it, key)) {
		rc = until_of(vanish, NR_VANISHED, key, &until);
		*gone = until >= ev->created_at;
	}
	return rc;
}

static int
put_until(MDB_cursor *c, enum nr_vanish_state s,
    const unsigned char pubkey[32], int64_t until)
{
	unsigned char key[NR_VANISH_LEN], value[8];
	MDB_val k = { sizeof(key), key }, v = { sizeof(value), value };

	key_of(key, s, pubkey);
	nr_put_be(value, (uint64_t)until, 8);
	return mdb_cursor_put(c, &k, &v, 0);
}

int
nr_vanish_mark(struct nr_writer *w, const unsigned char pubkey[32],
    int64_t until, int sweep)
{
	int64_t was, sweeping;
	MDB_cursor *c;
	int rc;

	if ((rc = nr_writer_cursor(w, &c, NR_T_VANISH)) != NR_OK ||
	    (rc = until_of(c, NR_VANISHED, pubkey, &was)) != NR_OK ||
	    was >= until)
		return rc;
	w->deleted = 1;
	if ((rc = put_until(c, NR_VANISHED, pubkey, until)) != NR_OK ||
	    !sweep)
		return rc;
	if ((rc = until_of(c, NR_VANISHING, pubkey, &sweeping)) != NR_OK)
		return rc;
	w->head.vanishing += sweeping < 0;
	return put_until(c, NR_VANISHING, pubkey, until);
}

int
nr_vanish_list(struct nr_vanish **out, size_t *n, MDB_txn *txn, MDB_dbi dbi)
{
	struct nr_buf b = { 0 };
	struct nr_vanish one;
	MDB_cursor *c;
	MDB_val k, v;
	int rc;

	if ((rc = mdb_cursor_open(txn, dbi, &c)) != 0)
		return rc;
	rc = mdb_cursor_get(c, &k, &v, MDB_FIRST);
	while (rc == 0 && k.mv_size == NR_VANISH_LEN &&
	    *(unsigned char *)k.mv_data == NR_VANISHING) {
		memcpy(one.pubkey, (unsigned char *)k.mv_data + 1, 32);
		one.until = (int64_t)nr_get_be(v.mv_data, 8);
		if ((rc = nr_buf_add(&b, &one, sizeof(one))) == NR_OK)
			rc = mdb_cursor_get(c, &k, &v, MDB_NEXT);
	}
	mdb_cursor_close(c);
	if (rc != 0 && rc != MDB_NOTFOUND) {
		nr_buf_free(&b);
		return rc;
	}
	*out = (void *)b.p;
	*n = b.len / sizeof(one);
	return NR_OK;
}

/* ---- lists --------------------------------------------------------------------- */

static int
vanish_cmp(const void *a, const void *b)
{
	return memcmp(a, b, 32);	/* their keys, which come first */
}

static int
vanished(const struct nr_vanish *v, size_t n, const unsigned char pubkey[32],
    int64_t created_at)
{
	const struct nr_vanish *p = bsearch(pubkey, v, n, sizeof(*v),
	    vanish_cmp);

	return p != NULL && p->until >= created_at;
}

int
nr_vanish_among(const struct nr_vanish *v, size_t n,
    const struct nr_event *ev)
{
	unsigned char key[32];
	struct nr_tags it;

	if (n == 0 || ev->kind == NR_KIND_VANISH)
		return 0;
	if (vanished(v, n, ev->pubkey, ev->created_at))
		return 1;
	if (ev->kind != NR_KIND_GIFT_WRAP)
		return 0;
	nr_tags_start(&it, ev->tags);
	while (nr_next_recipient(&it, key))
		if (vanished(v, n, key, ev->created_at))
			return 1;
	return 0;
}

void
nr_vanish_sort(struct nr_vanish *v, size_t *n)
{
	size_t i, kept = 0;

	if (*n > 1)
		qsort(v, *n, sizeof(*v), vanish_cmp);
	for (i = 0; i < *n; i++)
		if (kept > 0 && vanish_cmp(&v[kept - 1], &v[i]) == 0) {
			if (v[kept - 1].until < v[i].until)
				v[kept - 1].until = v[i].until;
		} else
			v[kept++] = v[i];
	*n = kept;
}

/* ---- the sweep -------------------------------------------------------------------- */

struct sweep {
	struct nr_store	*st;
	struct nr_vanish who;
	struct nr_snap	*sn;
	struct nr_query	*q;
	uint64_t	 number[BATCH];
	size_t		 n, done, next;
	int		 end;		/* there are no more */
};

/* What he wrote, and what was wrapped for him. */
static int
make_filters(struct nr_filter f[2], const struct nr_vanish *who)
{
	const char *why;
	char text[256], hex[65] = "";
	int i, n, rc = NR_OK;

	nr_hex_encode(hex, who->pubkey, 32);
	for (i = 0; rc == NR_OK && i < 2; i++) {
		n = snprintf(text, sizeof(text), i == 0 ?
		    "{\"authors\":[\"%.64s\"],\"until\":%lld}" :
		    "{\"kinds\":[1059],\"#p\":[\"%.64s\"],\"until\":%lld}",
		    hex, (long long)who->until);
		rc = nr_filter_parse(&f[i], text, (size_t)n,
		    &nr_filter_limits_none, &why);
		if (rc == NR_OK && why != NULL)
			rc = NR_EINVAL;
	}
	return rc;
}

/* Find some that are to go. */
static int
find_some(struct sweep *s)
{
	enum nr_query_state state = NR_QUERY_HIT;
	struct nr_event ev;
	struct nr_hit hit;
	int64_t budget = 1000000;
	int rc;

	s->n = s->done = 0;
	if ((rc = nr_snap_renew(s->sn)) != NR_OK)
		return rc;
	while (rc == NR_OK && s->n < BATCH && state == NR_QUERY_HIT) {
		rc = nr_query_next(s->q, s->sn, &state, &hit, &budget);
		if (rc == NR_OK && state == NR_QUERY_HIT &&
		    nr_event_view_head(&ev, hit.line.p, hit.line.len) &&
		    nr_vanish_among(&s->who, 1, &ev))
			s->number[s->n++] = hit.number;
	}
	s->end = state == NR_QUERY_END;
	nr_snap_release(s->sn);
	return rc;
}

static int
kill_some(struct nr_writer *w, void *ctx, int *changed)
{
	int64_t until = nr_now_ms() + SLICE_MS;
	struct sweep *s = ctx;
	size_t i = s->done;
	int rc = NR_OK;

	for (; rc == NR_OK && i < s->n; i++) {
		if (i % LOOK == LOOK - 1 && nr_now_ms() >= until)
			break;
		rc = nr_rules_kill(w, s->number[i]);
		if (rc == MDB_NOTFOUND)
			rc = NR_OK;	/* somebody else was quicker */
	}
	*changed = w->deleted = i > s->done;
	s->next = i;
	return rc;
}

/* Nothing of his is left, up to that time. */
static int
forget(struct nr_writer *w, void *ctx, int *changed)
{
	struct sweep *s = ctx;
	MDB_cursor *c;
	int64_t until;
	int rc;

	*changed = 0;
	if ((rc = nr_writer_cursor(w, &c, NR_T_VANISH)) != NR_OK ||
	    (rc = until_of(c, NR_VANISHING, s->who.pubkey, &until)) != NR_OK)
		return rc;
	/* He may have asked again meanwhile. */
	if (until != s->who.until)
		return NR_OK;
	w->head.vanishing--;
	*changed = 1;
	return mdb_cursor_del(c, 0);
}

static int
stopped(int (*stop)(void *ctx), void *ctx)
{
	return stop != NULL && stop(ctx);
}

static int
sweep_all(struct sweep *s, int (*stop)(void *ctx), void *ctx)
{
	int rc;

	do {
		if ((rc = find_some(s)) != NR_OK)
			return rc;
		while (rc == NR_OK && s->done < s->n) {
			rc = nr_transact(s->st, kill_some, s, 0);
			s->done = s->next;
			nr_sleep_ms(REST_MS);
		}
		/* Their entries in the index are merged away. */
		if (rc == NR_OK) {
			rc = nr_store_settle(s->st, 0);
			if (rc == NR_EBUSY || rc == NR_EFULL)
				rc = NR_OK;
		}
	} while (rc == NR_OK && !s->end && !stopped(stop, ctx));
	return rc == NR_OK && s->end ? nr_transact(s->st, forget, s, 0) : rc;
}

static int
sweep_one(struct nr_store *st, const struct nr_vanish *who,
    int (*stop)(void *ctx), void *ctx)
{
	struct nr_filter f[2] = { { .has = 0 }, { .has = 0 } };
	struct nr_query_options o = { .now = -1 };
	struct sweep *s;
	int rc;

	if ((s = calloc(1, sizeof(*s))) == NULL)
		return ENOMEM;
	s->st = st;
	s->who = *who;
	if ((rc = make_filters(f, who)) == NR_OK &&
	    (rc = nr_snap_new(&s->sn, st)) == NR_OK)
		rc = nr_query_new(&s->q, f, 2, &o);
	if (rc == NR_OK) {
		s->sn->raw = 1;
		rc = sweep_all(s, stop, ctx);
	}
	nr_query_free(s->q);
	nr_snap_free(s->sn);
	nr_filter_free(&f[0]);
	nr_filter_free(&f[1]);
	free(s);
	return rc;
}

int
nr_store_vanish(struct nr_store *st, int (*stop)(void *ctx), void *ctx)
{
	struct nr_vanish *list = NULL;
	struct nr_head head;
	MDB_txn *txn = NULL;
	size_t i, n = 0;
	int rc;

	if ((rc = nr_index_read(st, &txn)) != 0)
		return nr_store_rc(st, rc);
	rc = nr_head_get(txn, st, &head);
	if (rc == 0 && head.vanishing > 0)
		rc = nr_vanish_list(&list, &n, txn, st->dbi[NR_T_VANISH]);
	mdb_txn_abort(txn);
	nr_index_read_end(st);
	for (i = 0; rc == NR_OK && i < n && !stopped(stop, ctx); i++)
		rc = sweep_one(st, &list[i], stop, ctx);
	free(list);
	return nr_store_rc(st, rc);
}
