/*
 * The LMDB environment: opening, growing, small values.
 *
 * MDB_NOSYNC because the log is what must be safe (see trust.c for what
 * that asks for); MDB_NOTLS so that a snapshot may change threads; never
 * MDB_WRITEMAP, under which a full disk or a smaller map in another
 * process is a SIGBUS.  Nothing else may open a file in index/: closing a
 * descriptor of lock.mdb would drop the locks of the whole process.
 */
#include "store/internal.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "util/err.h"

static const char *const table_name[NR_T_COUNT] = {
	"meta", "event", "id", "time", "author", "author_kind", "kind", "tag",
	"address", "deleted_id", "deleted_address", "expiration", "segment",
	"dead", "vanished", "sum"
};

const char *
nr_table_name(enum nr_table t)
{
	return table_name[t];
}

static int
path_of(struct nr_store *st, char out[PATH_MAX], const char *name)
{
	int n = snprintf(out, PATH_MAX, "%s/index%s%s", st->dir,
	    *name != '\0' ? "/" : "", name);

	return n < PATH_MAX ? NR_OK : ENAMETOOLONG;
}

static int
open_tables_in(struct nr_store *st, unsigned txn_flags, unsigned dbi_flags)
{
	MDB_txn *txn;
	unsigned flags;
	int rc, t;

	if ((rc = mdb_txn_begin(st->env, NULL, txn_flags, &txn)) != 0)
		return rc;
	for (t = 0; rc == 0 && t < NR_T_COUNT; t++) {
		flags = dbi_flags;
		if (t == NR_T_EVENT || t == NR_T_DEAD)
			flags |= MDB_INTEGERKEY;
		rc = mdb_dbi_open(txn, table_name[t], flags, &st->dbi[t]);
	}
	if (rc != 0) {
		mdb_txn_abort(txn);
		return rc;
	}
	return mdb_txn_commit(txn);
}

/*
 * Without writing, where they are there: a write transaction would wait
 * without a deadline for whoever has one, be he stopped.
 */
static int
open_tables(struct nr_store *st)
{
	int rc = open_tables_in(st, MDB_RDONLY, 0);

	return rc == MDB_NOTFOUND ? open_tables_in(st, 0, MDB_CREATE) : rc;
}

static int
open_env(struct nr_store *st, const char *path)
{
	size_t size = NR_MAP_FIRST;
	int rc;

	for (;;) {
		if ((rc = mdb_env_create(&st->env)) != 0)
			return rc;
		rc = mdb_env_set_mapsize(st->env, size);
		if (rc == 0)
			rc = mdb_env_set_maxdbs(st->env, NR_T_COUNT + 4);
		if (rc == 0)
			rc = mdb_env_set_maxreaders(st->env, NR_READERS);
		if (rc == 0)
			rc = mdb_env_open(st->env, path, MDB_NOSYNC |
			    MDB_NOTLS | MDB_NORDAHEAD, 0666);
		if (rc == 0)
			return 0;
		mdb_env_close(st->env);
		st->env = NULL;
		/* Little address space: a phone, a container. */
		if (rc != ENOMEM || size <= (size_t)64 << 20)
			return rc;
		size /= 2;
	}
}

int
nr_index_open(struct nr_store *st)
{
	char path[PATH_MAX];
	struct stat s;
	int rc, dead;

	if (mkdirat(st->dirfd, "index", 0777) != 0 && errno != EEXIST)
		return errno;
	if ((rc = path_of(st, path, "")) != NR_OK)
		return rc;
	if ((rc = open_env(st, path)) != 0)
		return rc;
	(void)mdb_reader_check(st->env, &dead);
	if ((rc = open_tables(st)) == 0 &&
	    fstatat(st->dirfd, "index/data.mdb", &s, 0) != 0)
		rc = errno;
	if (rc != 0) {
		nr_index_close(st);
		return rc;
	}
	st->index_dev = (uint64_t)s.st_dev;
	st->index_ino = (uint64_t)s.st_ino;
	return NR_OK;
}

void
nr_index_close(struct nr_store *st)
{
	if (st->env != NULL)
		mdb_env_close(st->env);
	st->env = NULL;
}

int
nr_index_remove(struct nr_store *st)
{
	if (unlinkat(st->dirfd, "index/data.mdb", 0) != 0 && errno != ENOENT)
		return errno;
	if (unlinkat(st->dirfd, "index/lock.mdb", 0) != 0 && errno != ENOENT)
		return errno;
	return NR_OK;
}

int
nr_index_grow(struct nr_store *st)
{
	MDB_envinfo info;
	int rc;

	pthread_rwlock_wrlock(&st->map_lock);
	rc = mdb_env_info(st->env, &info);
	if (rc == 0)
		rc = mdb_env_set_mapsize(st->env, info.me_mapsize * 2);
	pthread_rwlock_unlock(&st->map_lock);
	return rc;
}

int
nr_index_gone(struct nr_store *st)
{
	struct stat s;

	return fstatat(st->dirfd, "index/data.mdb", &s, 0) != 0 ||
	    (uint64_t)s.st_dev != st->index_dev ||
	    (uint64_t)s.st_ino != st->index_ino;
}

#define LITTLE	((uint64_t)1 << 20)	/* bytes: more than LMDB writes at once */

static int
full(const struct statvfs *v)
{
	return (uint64_t)v->f_bavail * v->f_frsize < LITTLE;
}

/*
 * LMDB says EIO for a full disk.  The index may be on one of its own.
 */
static int
disk_full(struct nr_store *st)
{
	char path[PATH_MAX];
	struct statvfs v;

	return (fstatvfs(st->dirfd, &v) == 0 && full(&v)) ||
	    (path_of(st, path, "") == NR_OK && statvfs(path, &v) == 0 &&
	    full(&v));
}

int
nr_store_rc(struct nr_store *st, int rc)
{
	if (rc == EIO && disk_full(st))
		return ENOSPC;
	if (rc > MDB_LAST_ERRCODE || rc < MDB_KEYEXIST)
		return rc;
	switch (rc) {
	case MDB_CORRUPTED:
	case MDB_PAGE_NOTFOUND:
	case MDB_INVALID:
		return NR_ECORRUPT;
	case MDB_VERSION_MISMATCH:
		return NR_EVERSION;
	case MDB_PANIC:
		st->poisoned = NR_EINDEX;
		return NR_EINDEX;
	case MDB_READERS_FULL:
		return EAGAIN;
	}
	return NR_EINDEX;
}

int
nr_index_read(struct nr_store *st, MDB_txn **txn)
{
	int rc, tries;

	for (tries = 0; tries < 3; tries++) {
		pthread_rwlock_rdlock(&st->map_lock);
		rc = *txn != NULL ? mdb_txn_renew(*txn) :
		    mdb_txn_begin(st->env, NULL, MDB_RDONLY, txn);
		if (rc == 0)
			return 0;
		pthread_rwlock_unlock(&st->map_lock);
		if (rc != MDB_MAP_RESIZED)
			return rc;
		pthread_rwlock_wrlock(&st->map_lock);
		rc = mdb_env_set_mapsize(st->env, 0);
		pthread_rwlock_unlock(&st->map_lock);
		if (rc != 0)
			return rc;
	}
	return MDB_MAP_RESIZED;
}

void
nr_index_read_end(struct nr_store *st)
{
	pthread_rwlock_unlock(&st->map_lock);
}

int
nr_meta_get(MDB_txn *txn, MDB_dbi dbi, const char *name, void *p,
    size_t size, size_t *len)
{
	MDB_val k = { strlen(name), (void *)(uintptr_t)name }, v;
	int rc = mdb_get(txn, dbi, &k, &v);

	*len = 0;
	if (rc == MDB_NOTFOUND)
		return NR_OK;
	if (rc != 0)
		return rc;
	if (v.mv_size != size)
		return NR_ECORRUPT;
	memcpy(p, v.mv_data, size);
	*len = size;
	return NR_OK;
}

int
nr_head_get(MDB_txn *txn, struct nr_store *st, struct nr_head *out)
{
	size_t len;

	memset(out, 0, sizeof(*out));
	return nr_meta_get(txn, st->dbi[NR_T_META], "head", out,
	    sizeof(*out), &len);
}

int
nr_head_read(struct nr_store *st, struct nr_head *out)
{
	MDB_txn *txn = NULL;
	int rc;

	if ((rc = nr_index_read(st, &txn)) != 0)
		return rc;
	rc = nr_head_get(txn, st, out);
	mdb_txn_abort(txn);
	nr_index_read_end(st);
	return rc;
}

int
nr_meta_put(MDB_txn *txn, MDB_dbi dbi, const char *name, const void *p,
    size_t size)
{
	MDB_val k = { strlen(name), (void *)(uintptr_t)name };
	MDB_val v = { size, (void *)(uintptr_t)p };

	return mdb_put(txn, dbi, &k, &v, 0);
}
