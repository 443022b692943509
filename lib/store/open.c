/*
 * Opening and closing: one door, one judge.
 *
 * Only a process that is alone decides about the index, removes or
 * rebuilds it; one that finds others at work joins them, or refuses where
 * the index is gone.
 */
#include "store/young.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "util/err.h"
#include "util/times.h"

/* File systems whose locks and maps cannot be relied on. */
static int
remote(int fd)
{
	static const unsigned long bad[] = {
		0x6969,		/* NFS */
		0xff534d42,	/* CIFS */
		0xfe534d42,	/* SMB2 */
		0x517b,		/* SMB */
		0x65735546,	/* FUSE */
		0x01021997,	/* 9p */
		0x00c36400,	/* Ceph */
		0x5346414f,	/* AFS */
		0x47504653,	/* GPFS */
		0x0bd00bd0,	/* Lustre */
		0x564c,		/* NCP */
		0x73757245,	/* Coda */
	};
	struct statfs s;
	size_t i;

	if (fstatfs(fd, &s) != 0)
		return 0;
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		if ((unsigned long)s.f_type == bad[i])
			return 1;
	return 0;
}

static int
open_dir(struct nr_store *st, const char *dir, unsigned flags)
{
	char path[PATH_MAX];
	struct stat s;

	if (flags & NR_STORE_CREATE) {
		st->made = mkdir(dir, 0777) == 0;
		if (!st->made && errno != EEXIST)
			return errno;
	}
	if (realpath(dir, path) == NULL)
		return errno;
	if ((st->dir = strdup(path)) == NULL)
		return ENOMEM;
	st->dirfd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (st->dirfd < 0)
		return errno;
	/* Any folder will do for a new store, but only a store else. */
	if (!(flags & NR_STORE_CREATE) &&
	    fstatat(st->dirfd, "log", &s, 0) != 0)
		return errno == ENOENT ? NR_ENOSTORE : errno;
	if (!(flags & NR_STORE_FORCE) && remote(st->dirfd))
		return NR_EREMOTE;
	return NR_OK;
}

/* Does the log go at least as far as the index says? */
static int
log_reaches(struct nr_store *st)
{
	struct nr_head head;
	uint64_t size;
	int rc;

	rc = nr_head_read(st, &head);
	if (rc != NR_OK || head.end.segment == 0)
		return rc;
	rc = nr_log_size(&st->log, head.end.segment, 0, &size);
	if (rc == ENOENT || (rc == NR_OK && size < head.end.offset))
		return NR_ECORRUPT;
	return rc;
}

/*
 * May the index be trusted, as far as can be said before LMDB opens it?
 * A clean one must not have changed since; a dirty one must have been
 * written by this very system, since when nothing can have got lost.
 */
static int
trusted(const struct nr_state *was, const struct nr_state *now)
{
	if (now->ino == 0 || was->dev != now->dev || was->ino != now->ino ||
	    was->birth != now->birth)
		return 0;
	return was->clean || strcmp(was->boot, now->boot) == 0;
}

/* Alone: judge the index; open it or build it anew. */
static int
open_alone(struct nr_store *st, int reindex)
{
	struct nr_state was = { 0 }, now = { 0 };
	MDB_envinfo info;
	int found, rc;

	if ((rc = nr_state_read(st->dirfd, &was, &found)) != NR_OK)
		return rc;
	now = was;
	if ((rc = nr_state_system(st->dirfd, &now)) != NR_OK)
		return rc;
	st->state = now;
	if (reindex || !found || !trusted(&was, &now))
		return nr_rebuild(st, reindex);
	if ((rc = nr_index_open(st)) != NR_OK)
		return rc;
	if (was.clean) {
		rc = mdb_env_info(st->env, &info);
		if (rc == 0 && info.me_last_txnid != was.txn) {
			/* Somebody put an older file into this one's place. */
			nr_index_close(st);
			return nr_rebuild(st, reindex);
		}
	}
	if (rc == 0 && was.pidns != now.pidns) {
		now.clean = was.clean;
		rc = nr_state_write(st->dirfd, &now);
	}
	return rc != 0 ? rc : nr_compact_tidy(st);
}

/* Others are here: join them. */
static int
open_beside(struct nr_store *st, int reindex)
{
	struct nr_state was, now = { 0 };
	int found, rc;

	if (reindex)
		return NR_EBUSY;
	if ((rc = nr_state_read(st->dirfd, &was, &found)) != NR_OK ||
	    (rc = nr_state_system(st->dirfd, &now)) != NR_OK)
		return rc;
	/* LMDB finds its readers by process number. */
	if (found && was.pidns != now.pidns)
		return NR_EBUSY;
	if (!found || now.ino == 0 || was.ino != now.ino ||
	    was.dev != now.dev)
		return NR_EGONE;
	st->state = was;
	return nr_index_open(st);
}

static int
open_index(struct nr_store *st, int reindex)
{
	int rc;

	rc = nr_lock_take(st->lockfd, NR_LOCK_PRESENCE, 1, 0);
	if (rc == NR_OK) {
		rc = open_alone(st, reindex);
		if (rc == NR_OK)
			rc = nr_lock_take(st->lockfd, NR_LOCK_PRESENCE, 0, 0);
		return rc;
	}
	if (rc != NR_EBUSY)
		return rc;
	rc = nr_lock_take(st->lockfd, NR_LOCK_PRESENCE, 0, st->timeout);
	return rc != NR_OK ? rc : open_beside(st, reindex);
}

/* Index what a killed writer left, unless another one is about to. */
static int
take_tail(struct nr_store *st)
{
	int rc;

	rc = nr_lock_write(st->lockfd, 0);
	if (rc == NR_EBUSY)
		return NR_OK;
	if (rc != NR_OK)
		return rc;
	nr_lock_sign(st->lockfd, NR_LOCK_WRITE, st->program);
	rc = nr_trust_dirty(st);
	if (rc == NR_OK)
		rc = nr_tail_take(st);
	nr_lock_drop(st->lockfd, NR_LOCK_WRITE);
	return rc;
}

/* Is there a tail?  Most of the time there is none, and no need to write. */
static int
has_tail(struct nr_store *st, int *yes)
{
	struct nr_head head;
	uint64_t size = 0;
	int rc;

	rc = nr_head_read(st, &head);
	if (rc == NR_OK && head.end.segment != 0)
		rc = nr_log_size(&st->log, head.end.segment, 0, &size);
	*yes = rc == NR_OK && (size > head.end.offset ||
	    nr_log_size(&st->log, head.end.segment + 1, 0, &size) == NR_OK);
	return rc;
}

void
nr_sign_in(struct nr_store *st)
{
	char who[80];

	nr_lock_signed(st->lockfd, NR_LOCK_PRESENCE, who, sizeof(who));
	if (*who == '\0')
		nr_lock_sign(st->lockfd, NR_LOCK_PRESENCE, st->program);
}

static int
go_in(struct nr_store *st, const struct nr_store_options *o)
{
	int rc, tail = 0;

	(void)nr_lock_take(st->lockfd, NR_LOCK_WANTED, 0, 0);
	rc = nr_lock_take(st->lockfd, NR_LOCK_DOOR, 1, st->timeout);
	nr_lock_drop(st->lockfd, NR_LOCK_WANTED);
	if (rc != NR_OK)
		return rc;
	nr_lock_sign(st->lockfd, NR_LOCK_DOOR, st->program);
	rc = open_index(st, (o->flags & NR_STORE_REINDEX) != 0);
	st->epoch = st->state.epoch;
	atomic_store(&st->clean, st->state.clean);
	if (rc == NR_OK)
		rc = log_reaches(st);
	if (rc == NR_OK)
		rc = has_tail(st, &tail);
	/* Nobody was told that it is stored: a full disk may leave it. */
	if (rc == NR_OK && tail &&
	    (rc = nr_store_rc(st, take_tail(st))) == ENOSPC)
		rc = NR_OK;
	if (rc == NR_OK)
		nr_sign_in(st);
	nr_lock_drop(st->lockfd, NR_LOCK_DOOR);
	return rc;
}

/*
 * A new store's folders must be on the disk before its first event counts.
 * One that may not be read (the parent) cannot be synced by us.
 */
static int
sync_folders(struct nr_store *st)
{
	uint32_t last;
	int fd, rc;

	if ((rc = nr_log_last(&st->log, &last)) != NR_OK || last > 0)
		return rc;
	if (fsync(st->dirfd) != 0)
		return errno;
	if ((fd = openat(st->dirfd, "..", O_RDONLY | O_DIRECTORY |
	    O_CLOEXEC)) < 0)
		return errno == EACCES ? NR_OK : errno;
	rc = fsync(fd) == 0 ? NR_OK : errno;
	close(fd);
	return rc;
}

static void
store_free(struct nr_store *st)
{
	nr_index_close(st);
	if (st->log.dirfd >= 0)
		nr_log_close(&st->log);
	if (st->bellfd >= 0)
		close(st->bellfd);
	if (st->lockfd >= 0)
		close(st->lockfd);
	if (st->dirfd >= 0)
		close(st->dirfd);
	nr_verifier_free(st->verifier);
	nr_sha256_free(st->sha);
	nr_sorter_free(st->sorter);
	nr_young_unpin(st->young);
	pthread_mutex_destroy(&st->compact_lock);
	pthread_mutex_destroy(&st->snaps_lock);
	pthread_mutex_destroy(&st->young_lock);
	pthread_mutex_destroy(&st->merge_lock);
	pthread_rwlock_destroy(&st->map_lock);
	pthread_mutex_destroy(&st->write_lock);
	free(st->program);
	free(st->dir);
	free(st);
}

static int
prepare(struct nr_store *st, const char *dir,
    const struct nr_store_options *o)
{
	size_t segment = o->segment_bytes;
	int rc;

	st->timeout = o->timeout > 0 ? o->timeout : NR_LOCK_TIMEOUT;
	st->progress = o->progress;
	st->program = strdup(o->program != NULL ? o->program : "?");
	if (st->program == NULL)
		return ENOMEM;
	if (segment == 0)
		segment = NR_SEGMENT_BYTES;
	if ((rc = nr_verifier_new(&st->verifier)) != NR_OK ||
	    (rc = nr_sha256_new(&st->sha)) != NR_OK ||
	    (rc = nr_sorter_new(&st->sorter, -1, 0)) != NR_OK ||
	    (rc = open_dir(st, dir, o->flags)) != NR_OK)
		return rc;
	rc = nr_log_open(&st->log, st->dirfd, segment,
	    (o->flags & NR_STORE_CREATE) != 0);
	if (rc != NR_OK) {
		st->log.dirfd = -1;
		return rc;
	}
	if ((o->flags & NR_STORE_CREATE) && (rc = sync_folders(st)) != NR_OK)
		return rc;
	st->bellfd = openat(st->dirfd, "bell", O_RDWR | O_CREAT | O_CLOEXEC,
	    0666);
	if (st->bellfd < 0)
		return errno;
	return nr_lock_open(&st->lockfd, st->dirfd);
}

int
nr_store_open(struct nr_store **out, const char *dir,
    const struct nr_store_options *o)
{
	struct nr_store *st;
	int rc;

	if ((st = calloc(1, sizeof(*st))) == NULL)
		return ENOMEM;
	st->dirfd = st->lockfd = st->bellfd = st->log.dirfd = -1;
	pthread_rwlock_init(&st->map_lock, NULL);
	pthread_mutex_init(&st->write_lock, NULL);
	pthread_mutex_init(&st->merge_lock, NULL);
	pthread_mutex_init(&st->young_lock, NULL);
	pthread_mutex_init(&st->snaps_lock, NULL);
	pthread_mutex_init(&st->compact_lock, NULL);
	rc = prepare(st, dir, o);
	if (rc == NR_OK)
		rc = go_in(st, o);
	st->last_write = nr_now_ms();
	if (rc != NR_OK) {
		rc = nr_store_rc(st, rc);
		store_free(st);
		return rc;
	}
	*out = st;
	return NR_OK;
}

void
nr_store_set_progress(struct nr_store *st, const struct nr_progress *p)
{
	st->progress = p;
}

void
nr_store_holder(const char *dir, char *out, size_t size)
{
	enum nr_lock_byte b = NR_LOCK_DOOR;
	int dirfd, fd;

	*out = '\0';
	if ((dirfd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC)) < 0)
		return;
	fd = openat(dirfd, "lock", O_RDWR | O_CLOEXEC);
	close(dirfd);
	if (fd < 0)
		return;
	if (!nr_lock_held(fd, b, 1))
		b = nr_lock_held(fd, NR_LOCK_WRITE, 1) ? NR_LOCK_WRITE :
		    NR_LOCK_PRESENCE;
	nr_lock_signed(fd, b, out, size);
	close(fd);
}

/* The last one out leaves a clean index behind, if nothing went wrong. */
static void
clean_up(struct nr_store *st)
{
	struct nr_writer w = { .st = st };

	if (st->poisoned != 0 || st->bulk != NULL ||
	    nr_lock_take(st->lockfd, NR_LOCK_DOOR, 1, 1000) != NR_OK)
		return;
	if (nr_lock_take(st->lockfd, NR_LOCK_PRESENCE, 1, 0) == NR_OK &&
	    nr_store_settle(st, -1) == NR_OK &&
	    nr_lock_write(st->lockfd, 0) == NR_OK && !nr_index_gone(st)) {
		if (nr_writer_open(st, &w) == NR_OK) {
			mdb_txn_abort(w.txn);
			(void)nr_trust_clean(st, &w.head.end);
		}
	}
	/* The locks go with the descriptor. */
}

int
nr_store_dirfd(const struct nr_store *st)
{
	return st->dirfd;
}

void
nr_store_close(struct nr_store *st)
{
	if (st == NULL)
		return;
	nr_merge_abandon(st);
	clean_up(st);
	nr_merge_abandon(st);
	store_free(st);
}

/* With the door shut: is this as it was made? */
static int
unused(struct nr_store *st)
{
	uint32_t last;

	return st->made &&
	    nr_lock_take(st->lockfd, NR_LOCK_DOOR, 1, 0) == NR_OK &&
	    nr_lock_take(st->lockfd, NR_LOCK_PRESENCE, 1, 0) == NR_OK &&
	    nr_log_last(&st->log, &last) == NR_OK && last == 0;
}

void
nr_store_unmake(struct nr_store *st)
{
	static const char *const files[] = {
		"index/data.mdb", "index/lock.mdb", "state", "bell", "lock"
	};
	size_t i;

	if (!unused(st)) {
		nr_store_close(st);
		return;
	}
	for (i = 0; i < sizeof(files) / sizeof(files[0]); i++)
		(void)unlinkat(st->dirfd, files[i], 0);
	(void)unlinkat(st->dirfd, "index", AT_REMOVEDIR);
	(void)unlinkat(st->dirfd, "log", AT_REMOVEDIR);
	(void)rmdir(st->dir);
	store_free(st);
}

/* ---- the bell ---------------------------------------------------------- */

int
nr_store_bell_fd(struct nr_store *st, int *out)
{
	char path[PATH_MAX];
	int fd;

	if (snprintf(path, sizeof(path), "%s/bell", st->dir) >= PATH_MAX)
		return ENAMETOOLONG;
	if ((fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC)) < 0)
		return errno;
	if (inotify_add_watch(fd, path, IN_MODIFY) < 0) {
		close(fd);
		return errno;
	}
	*out = fd;
	return NR_OK;
}

void
nr_store_bell_read(int fd)
{
	char buf[4096];

	while (read(fd, buf, sizeof(buf)) > 0)
		;
}
