/*
 * What writers of a store call: each is one write transaction, begun anew
 * with a larger map where the index has outgrown its own.
 */
#include "store/internal.h"

#include <errno.h>
#include <string.h>

#include "util/err.h"
#include "util/times.h"

/* An index that nobody has written to for so long is synced. */
#define QUIET_MS	10000
#define REST_MS		100

int
nr_transact(struct nr_store *st, nr_work *work, void *ctx, int grows)
{
	struct nr_writer w;
	int rc, changed;

	do {
		changed = 1;
		if ((rc = nr_write_begin(st, &w, grows)) == NR_OK) {
			rc = work(&w, ctx, &changed);
			if (rc == NR_OK && changed)
				rc = nr_write_commit(&w);
			else
				nr_write_abort(&w);
		}
	} while (rc == MDB_MAP_FULL && (rc = nr_index_grow(st)) == NR_OK);
	return nr_store_rc(st, rc);
}

struct put {
	struct nr_item	*items;
	size_t		 n;
	unsigned	 flags;
	int64_t		 now;
};

static int
put_items(struct nr_writer *w, void *ctx, int *changed)
{
	struct put *p = ctx;
	size_t i;
	int rc = NR_OK;

	*changed = 0;
	for (i = 0; rc == NR_OK && i < p->n; i++) {
		rc = nr_rules_apply(w, &p->items[i], NULL, p->flags, p->now);
		*changed |= p->items[i].result == NR_PUT_STORED;
	}
	return rc;
}

int
nr_store_put(struct nr_store *st, struct nr_item *items, size_t n,
    unsigned flags, int64_t now)
{
	struct put p = { items, n, flags, now };

	int rc;

	rc = nr_merge_overdue(st, n);
	return rc != NR_OK ? nr_store_rc(st, rc) :
	    nr_transact(st, put_items, &p, 1);
}

struct deletion {
	const uint64_t	*numbers;
	size_t		 n;
	size_t		*ndeleted;
	size_t		 before;	/* by a try whose map was full */
};

static int
delete_numbers(struct nr_writer *w, void *ctx, int *changed)
{
	struct deletion *d = ctx;
	struct nr_death death = { .type = NR_DEATH_ID };
	struct nr_view line;
	struct nr_place at;
	size_t i, done = 0;
	int rc = NR_OK;

	for (i = 0; rc == NR_OK && i < d->n; i++) {
		rc = nr_writer_line(w, &at, &line, d->numbers[i]);
		if (rc == MDB_NOTFOUND) {
			rc = NR_OK;
			continue;
		}
		if (rc == NR_OK &&
		    !nr_event_view_id(death.id, line.p, line.len))
			rc = NR_ECORRUPT;
		if (rc == NR_OK)
			rc = nr_death_write(&w->deaths, &death);
		if (rc == NR_OK)
			rc = nr_rules_death(w, &death);
		done++;
	}
	/* A second try finds that the log of deaths has done it. */
	if (done < d->before)
		done = d->before;
	d->before = done;
	*d->ndeleted = done;
	*changed = done > 0;
	return rc;
}

/*
 * A full disk may not have room for the pages that many deletions change;
 * a few at a time need less, and leave pages for the next ones.
 */
int
nr_store_delete(struct nr_store *st, size_t *ndeleted,
    const uint64_t *numbers, size_t n)
{
	size_t done = 0, some = n, deleted, total = 0;
	struct deletion d;
	int rc = NR_OK;

	while (rc == NR_OK && done < n) {
		if (some > n - done)
			some = n - done;
		d = (struct deletion){ numbers + done, some, &deleted, 0 };
		rc = nr_transact(st, delete_numbers, &d, 0);
		if (rc == NR_OK) {
			total += deleted;
			done += some;
		} else if (rc == ENOSPC && some > 1) {
			some /= 4;
			some += some == 0;
			rc = NR_OK;
		}
	}
	if (rc == NR_OK)
		*ndeleted = total;
	return rc;
}

struct sweep {
	size_t	max, done;
	int64_t	now;
};

static int
sweep_expired(struct nr_writer *w, void *ctx, int *changed)
{
	struct sweep *s = ctx;
	unsigned char key[NR_EXPIRE_LEN];
	MDB_val k, v;
	MDB_cursor *c;
	int rc;

	s->done = 0;
	rc = nr_writer_cursor(w, &c, NR_T_EXPIRE);
	if (rc == NR_OK)
		rc = mdb_cursor_get(c, &k, &v, MDB_FIRST);
	while (rc == 0 && s->done < s->max && k.mv_size == sizeof(key)) {
		memcpy(key, k.mv_data, sizeof(key));
		if ((int64_t)nr_get_be(key, 8) > s->now)
			break;
		rc = nr_rules_end(w, nr_get_be(key + 8, NR_NUMBER_LEN));
		if (rc == MDB_NOTFOUND)
			return NR_ECORRUPT;
		if (rc == NR_OK)
			rc = mdb_cursor_get(c, &k, &v, MDB_FIRST);
		s->done++;
	}
	*changed = s->done > 0;
	return rc == MDB_NOTFOUND ? NR_OK : rc;
}

/* Is there anything to sweep?  Asked without taking the write lock. */
static int
any_expired(struct nr_store *st, int64_t now, int *yes)
{
	MDB_cursor *c;
	MDB_val k, v;
	MDB_txn *txn = NULL;
	int rc;

	*yes = 0;
	if ((rc = nr_index_read(st, &txn)) != 0)
		return rc;
	rc = mdb_cursor_open(txn, st->dbi[NR_T_EXPIRE], &c);
	if (rc == 0) {
		rc = mdb_cursor_get(c, &k, &v, MDB_FIRST);
		*yes = rc == 0 && k.mv_size >= 8 &&
		    (int64_t)nr_get_be(k.mv_data, 8) <= now;
		mdb_cursor_close(c);
	}
	mdb_txn_abort(txn);
	nr_index_read_end(st);
	return rc == MDB_NOTFOUND ? NR_OK : rc;
}

/* Merge what waits and mark the index clean, after a quiet while. */
static int
rest(struct nr_store *st)
{
	struct nr_writer w;
	int rc, waits;

	if (st->poisoned != 0 || atomic_load(&st->clean) ||
	    nr_now_ms() - st->last_write < QUIET_MS)
		return NR_OK;
	/* A little at a time: somebody may come any moment. */
	if ((rc = nr_store_settle(st, REST_MS)) == NR_OK &&
	    (rc = nr_merge_waits(st, &waits)) == NR_OK && waits)
		return NR_OK;
	if (rc == NR_OK)
		rc = nr_write_begin(st, &w, 0);
	if (rc == NR_OK) {
		/* The environment cannot be synced inside a transaction. */
		struct nr_end end = w.head.end;

		mdb_txn_abort(w.txn);
		w.txn = NULL;
		rc = nr_trust_clean(st, &end);
		nr_write_abort(&w);
	}
	st->last_write = nr_now_ms();
	return rc == NR_EBUSY || rc == NR_EFULL ? NR_OK : rc;
}

int
nr_store_tend(struct nr_store *st, size_t *nswept, size_t max, int64_t now)
{
	struct sweep s = { .max = max, .now = now };
	int rc, dead, expired;

	(void)mdb_reader_check(st->env, &dead);
	nr_sign_in(st);
	rc = any_expired(st, now, &expired);
	if (rc == NR_OK && expired)
		rc = nr_transact(st, sweep_expired, &s, 0);
	if (rc == NR_OK && !expired)
		rc = rest(st);
	if (rc == NR_OK && nswept != NULL)
		*nswept = s.done;
	return nr_store_rc(st, rc);
}
