/*
 * Keeping the state file true: dirty before the first change after clean,
 * clean only when everything is synced.  Both happen under WRITE, so they
 * cannot cross each other.
 */
#include "store/internal.h"

#include <errno.h>
#include <string.h>

#include "util/err.h"

static void
note(struct nr_store *st, const struct nr_state *s)
{
	st->state = *s;
	atomic_store(&st->clean, s->clean);
}

int
nr_trust_dirty(struct nr_store *st)
{
	struct nr_state s;
	int found, rc;

	if ((rc = nr_state_read(st->dirfd, &s, &found)) != NR_OK)
		return rc;
	if (found)
		note(st, &s);
	if (found && !s.clean)
		return NR_OK;
	if ((rc = nr_state_system(st->dirfd, &st->state)) != NR_OK)
		return rc;
	st->state.clean = 0;
	atomic_store(&st->clean, 0);
	return nr_state_write(st->dirfd, &st->state);
}

int
nr_trust_clean(struct nr_store *st, const struct nr_end *end)
{
	struct nr_state s;
	MDB_envinfo info;
	int found, rc;

	if ((rc = nr_state_read(st->dirfd, &s, &found)) != NR_OK)
		return rc;
	if (!found || s.clean)
		return NR_OK;
	if ((rc = mdb_env_sync(st->env, 1)) != 0 ||
	    (rc = mdb_env_info(st->env, &info)) != 0)
		return rc;
	if ((rc = nr_state_system(st->dirfd, &s)) != NR_OK)
		return rc;
	s.clean = 1;
	s.txn = info.me_last_txnid;
	s.segment = end->segment;
	s.offset = end->offset;
	if ((rc = nr_state_write(st->dirfd, &s)) == NR_OK)
		note(st, &s);
	return rc;
}
