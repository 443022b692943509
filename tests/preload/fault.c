/*
 * fault.so - make one call of a program fail, for the tests.  Loaded with
 * LD_PRELOAD; what it does is said in the environment:
 *
 *	NR_FAULT=GROUP:N:ACTION[:PATH]
 *	NR_FAULT_LOG=FILE	appends a line for each thing that it did
 *	NR_FAULT_TRACE=FILE	appends a line for each call on a file
 *	NR_FAULT_MAPSIZE=BYTES	LMDB's first map is this large
 *
 * GROUP is
 *	alloc	malloc, calloc, realloc, strdup, posix_memalign
 *	write	write, pwrite, writev, pwritev
 *	sync	fsync, fdatasync, msync
 *	rename	rename, renameat
 *	trunc	ftruncate
 *	open	open, openat
 *	mmap	mmap
 *	unlink	unlinkat
 *	commit	mdb_txn_commit
 * N counts, from 1, the calls of the group that the program or LMDB make
 * themselves; those of the C library, libwebsockets and others are left
 * alone.  With PATH only those count whose file's name contains it.
 * ACTION is
 *	fail	this call fails (ENOMEM, ENOSPC, EIO or EMFILE)
 *	fails	this and all later ones do
 *	short	half is written, and said so
 *	torn	half is written, then SIGKILL
 *	kill	SIGKILL instead of the call
 *	after	SIGKILL after the call
 *	stop	SIGSTOP before the call
 *	slow	the call waits for 200 ms first, and so do all later ones
 *	count	nothing, but the log has their number at exit
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#define EXPORT	__attribute__((visibility("default")))
#define CALLER	((uintptr_t)__builtin_return_address(0))

enum group {
	ALLOC, WRITE, SYNC, RENAME, TRUNC, OPEN, MMAP, UNLINK, COMMIT, NONE
};

static const char *const group_name[] = {
	"alloc", "write", "sync", "rename", "trunc", "open", "mmap",
	"unlink", "commit"
};

enum action { FAIL, FAILS, SHORT, TORN, KILL, AFTER, STOP, SLOW, COUNT };

static const char *const action_name[] = {
	"fail", "fails", "short", "torn", "kill", "after", "stop", "slow",
	"count"
};

static enum group what = NONE;
static enum action action;
static unsigned long nth;
static char path_part[128];
static atomic_ulong calls;
static int log_fd = -1, trace_fd = -1;

/*
 * The code of the program and of LMDB, and of a sanitizer, through which
 * their calls may come.
 */
static struct {
	uintptr_t	from, to, base;
	char		name;		/* 'p', 'l' or 's' */
} code[8];
static unsigned ncode;

/* ---- what the C library has, which may be needed before we are set up ---- */

extern void *__libc_malloc(size_t);
extern void *__libc_calloc(size_t, size_t);
extern void *__libc_realloc(void *, size_t);
extern void *__libc_memalign(size_t, size_t);

/* ---- setting up --------------------------------------------------------------- */

static int
add_code(struct dl_phdr_info *info, size_t size, void *arg)
{
	const ElfW(Phdr) *p;
	char name;
	int i;

	(void)size;
	(void)arg;
	name = info->dlpi_name[0] == '\0' ? 'p' :
	    strstr(info->dlpi_name, "liblmdb") != NULL ? 'l' :
	    strstr(info->dlpi_name, "libasan") != NULL ||
	    strstr(info->dlpi_name, "libtsan") != NULL ? 's' : 0;
	if (name == 0)
		return 0;
	for (i = 0; i < info->dlpi_phnum; i++) {
		p = &info->dlpi_phdr[i];
		if (p->p_type != PT_LOAD || !(p->p_flags & PF_X) ||
		    ncode == sizeof(code) / sizeof(code[0]))
			continue;
		code[ncode].base = info->dlpi_addr;
		code[ncode].from = info->dlpi_addr + p->p_vaddr;
		code[ncode].to = code[ncode].from + p->p_memsz;
		code[ncode++].name = name;
	}
	return 0;
}

static int
open_log(const char *variable)
{
	const char *name = getenv(variable);

	return name == NULL ? -1 : (int)syscall(SYS_openat, AT_FDCWD, name,
	    O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
}

static void
say(int fd, const char *fmt, ...)
{
	char text[512];
	va_list ap;
	int n;

	if (fd < 0)
		return;
	va_start(ap, fmt);
	n = vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	(void)!syscall(SYS_write, fd, text, (size_t)n);
}

static int
word(const char **p, const char *const *list, size_t n)
{
	size_t i, len;

	for (i = 0; i < n; i++) {
		len = strlen(list[i]);
		if (strncmp(*p, list[i], len) == 0 &&
		    ((*p)[len] == ':' || (*p)[len] == '\0')) {
			*p += len;
			return (int)i;
		}
	}
	fprintf(stderr, "fault.so: what is %s?\n", *p);
	_exit(98);
}

__attribute__((constructor)) static void
set_up(void)
{
	const char *p = getenv("NR_FAULT");
	char *end;
	int group;

	dl_iterate_phdr(add_code, NULL);
	log_fd = open_log("NR_FAULT_LOG");
	trace_fd = open_log("NR_FAULT_TRACE");
	if (p == NULL)
		return;
	group = word(&p, group_name, sizeof(group_name) / sizeof(char *));
	nth = strtoul(p + 1, &end, 10);
	p = end + 1;
	action = (enum action)word(&p, action_name,
	    sizeof(action_name) / sizeof(char *));
	if (*p == ':')
		snprintf(path_part, sizeof(path_part), "%s", p + 1);
	what = (enum group)group;
}

__attribute__((destructor)) static void
finish(void)
{
	if (action == COUNT && what != NONE)
		say(log_fd, "count %lu\n", atomic_load(&calls));
}

/* ---- deciding ------------------------------------------------------------------- */

static int
code_of(uintptr_t caller)
{
	unsigned i;

	for (i = 0; i < ncode; i++)
		if (caller >= code[i].from && caller < code[i].to)
			return (int)i;
	return -1;
}

static void
name_of(int fd, char *out, size_t size)
{
	char link[64];
	ssize_t n;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	n = readlink(link, out, size - 1);
	out[n > 0 ? n : 0] = '\0';
}

static void
trace(const char *call, const char *file, long n)
{
	if (trace_fd >= 0)
		say(trace_fd, "%s %s %ld\n", call, file, n);
}

static _Noreturn void
die(void)
{
	(void)syscall(SYS_kill, getpid(), SIGKILL);
	for (;;)
		pause();
}

/*
 * Is this the call?  Returns the action that the wrapper has to see to:
 * FAIL, SHORT, TORN, AFTER, or -1 for none.
 */
static int
hit(enum group g, uintptr_t caller, const char *file)
{
	static const struct timespec wait = { 0, 200000000 };
	unsigned long n;
	int c;

	if (g != what || (c = code_of(caller)) < 0 ||
	    (path_part[0] != '\0' &&
	    (file == NULL || strstr(file, path_part) == NULL)))
		return -1;
	n = atomic_fetch_add(&calls, 1) + 1;
	if (action == COUNT || n < nth ||
	    (n > nth && action != FAILS && action != SLOW))
		return -1;
	if (n == nth)
		say(log_fd, "%s %s %lu %c+0x%lx %s\n", group_name[g],
		    action_name[action], n, code[c].name,
		    (unsigned long)(caller - code[c].base),
		    file != NULL ? file : "");
	switch (action) {
	case KILL:
		die();
	case STOP:
		(void)syscall(SYS_kill, getpid(), SIGSTOP);
		return -1;
	case SLOW:
		nanosleep(&wait, NULL);
		return -1;
	case FAILS:
		return FAIL;
	default:
		return (int)action;
	}
}

static int
hit_fd(enum group g, uintptr_t caller, const char *call, int fd, long n)
{
	char file[512];

	if ((g != what && trace_fd < 0) || code_of(caller) < 0)
		return -1;
	name_of(fd, file, sizeof(file));
	trace(call, file, n);
	return hit(g, caller, file);
}

/* ---- memory ------------------------------------------------------------------------ */

static int
no_memory(uintptr_t caller)
{
	int a = what == ALLOC ? hit(ALLOC, caller, NULL) : -1;

	if (a == AFTER)
		die();
	if (a != FAIL)
		return 0;
	errno = ENOMEM;
	return 1;
}

EXPORT void *
malloc(size_t n)
{
	return no_memory(CALLER) ? NULL : __libc_malloc(n);
}

EXPORT void *
calloc(size_t n, size_t size)
{
	return no_memory(CALLER) ? NULL : __libc_calloc(n, size);
}

EXPORT void *
realloc(void *p, size_t n)
{
	return no_memory(CALLER) ? NULL : __libc_realloc(p, n);
}

EXPORT int
posix_memalign(void **out, size_t align, size_t n)
{
	void *p = no_memory(CALLER) ? NULL : __libc_memalign(align, n);

	if (p == NULL)
		return ENOMEM;
	*out = p;
	return 0;
}

EXPORT char *
strdup(const char *s)
{
	size_t n = strlen(s) + 1;
	/* Of the same kind that free() takes: a sanitizer's, perhaps. */
	char *p = no_memory(CALLER) ? NULL : malloc(n);

	return p == NULL ? NULL : memcpy(p, s, n);
}

/* ---- files --------------------------------------------------------------------------- */

static int
fails(int error)
{
	errno = error;
	return -1;
}

static ssize_t
write_some(int a, int fd, const void *p, size_t n, off_t at)
{
	size_t part = a == SHORT || a == TORN ? n / 2 : n;
	ssize_t w;

	if (a == FAIL)
		return fails(ENOSPC);
	w = at < 0 ? syscall(SYS_write, fd, p, part) :
	    syscall(SYS_pwrite64, fd, p, part, at);
	if (a == TORN || a == AFTER)
		die();
	return w;
}

EXPORT ssize_t
write(int fd, const void *p, size_t n)
{
	return write_some(hit_fd(WRITE, CALLER, "write", fd, (long)n), fd, p,
	    n, -1);
}

EXPORT ssize_t
pwrite(int fd, const void *p, size_t n, off_t at)
{
	return write_some(hit_fd(WRITE, CALLER, "pwrite", fd, (long)n), fd,
	    p, n, at);
}

EXPORT ssize_t
pwrite64(int fd, const void *p, size_t n, off_t at)
{
	return write_some(hit_fd(WRITE, CALLER, "pwrite", fd, (long)n), fd,
	    p, n, at);
}

static ssize_t
writev_some(int a, int fd, const struct iovec *v, int n, off_t at)
{
	int part = (a == SHORT || a == TORN) && n > 1 ? n / 2 : n;
	ssize_t w;

	if (a == FAIL)
		return fails(ENOSPC);
	w = at < 0 ? syscall(SYS_writev, fd, v, part) :
	    syscall(SYS_pwritev, fd, v, part, at, (off_t)0);
	if (a == TORN || a == AFTER)
		die();
	return w;
}

EXPORT ssize_t
writev(int fd, const struct iovec *v, int n)
{
	return writev_some(hit_fd(WRITE, CALLER, "writev", fd, n), fd, v, n,
	    -1);
}

EXPORT ssize_t
pwritev(int fd, const struct iovec *v, int n, off_t at)
{
	return writev_some(hit_fd(WRITE, CALLER, "pwritev", fd, n), fd, v, n,
	    at);
}

/* What happens to a call without data; 1 where it is not to be made. */
static int
not_made(int a, int error)
{
	if (a == TORN)
		die();
	if (a != FAIL && a != SHORT)
		return 0;
	errno = error;
	return 1;
}

static long
done(int a, long rc)
{
	if (a == AFTER)
		die();
	return rc;
}

EXPORT int
fsync(int fd)
{
	int a = hit_fd(SYNC, CALLER, "fsync", fd, 0);

	return not_made(a, EIO) ? -1 : (int)done(a, syscall(SYS_fsync, fd));
}

EXPORT int
fdatasync(int fd)
{
	int a = hit_fd(SYNC, CALLER, "fdatasync", fd, 0);

	return not_made(a, EIO) ? -1 :
	    (int)done(a, syscall(SYS_fdatasync, fd));
}

EXPORT int
msync(void *p, size_t n, int flags)
{
	int a = hit(SYNC, CALLER, NULL);

	return not_made(a, EIO) ? -1 :
	    (int)done(a, syscall(SYS_msync, p, n, flags));
}

EXPORT int
ftruncate(int fd, off_t n)
{
	int a = hit_fd(TRUNC, CALLER, "ftruncate", fd, (long)n);

	return not_made(a, EIO) ? -1 :
	    (int)done(a, syscall(SYS_ftruncate, fd, n));
}

EXPORT int
ftruncate64(int fd, off_t n)
{
	int a = hit_fd(TRUNC, CALLER, "ftruncate", fd, (long)n);

	return not_made(a, EIO) ? -1 :
	    (int)done(a, syscall(SYS_ftruncate, fd, n));
}

static int
hit_name(enum group g, uintptr_t caller, const char *call, const char *file)
{
	if (code_of(caller) < 0)
		return -1;
	trace(call, file, 0);
	return hit(g, caller, file);
}

EXPORT int
rename(const char *from, const char *to)
{
	int a = hit_name(RENAME, CALLER, "rename", to);

	return not_made(a, EIO) ? -1 :
	    (int)done(a, syscall(SYS_rename, from, to));
}

EXPORT int
renameat(int fromfd, const char *from, int tofd, const char *to)
{
	int a = hit_name(RENAME, CALLER, "rename", to);

	return not_made(a, EIO) ? -1 :
	    (int)done(a, syscall(SYS_renameat, fromfd, from, tofd, to));
}

EXPORT int
unlinkat(int dirfd, const char *name, int flags)
{
	int a = hit_name(UNLINK, CALLER, "unlink", name);

	return not_made(a, EIO) ? -1 :
	    (int)done(a, syscall(SYS_unlinkat, dirfd, name, flags));
}

static int
open_some(uintptr_t caller, int dirfd, const char *name, int flags,
    unsigned mode)
{
	int a = hit_name(OPEN, caller, "open", name);

	return not_made(a, EMFILE) ? -1 :
	    (int)done(a, syscall(SYS_openat, dirfd, name, flags, mode));
}

static unsigned
mode_of(int flags, va_list ap)
{
	return flags & (O_CREAT | O_TMPFILE) ? va_arg(ap, unsigned) : 0;
}

#define OPENER(name, first, dirfd, last)				\
EXPORT int								\
name(first const char *path, int flags, ...)				\
{									\
	va_list ap;							\
	unsigned mode;							\
									\
	va_start(ap, flags);						\
	mode = mode_of(flags, ap);					\
	va_end(ap);							\
	return open_some(CALLER, dirfd, path, flags | (last), mode);	\
}

#define FD	int dirfd,
int __open_2(const char *path, int flags, ...);
int __openat_2(int dirfd, const char *path, int flags, ...);
OPENER(open, , AT_FDCWD, 0)
OPENER(open64, , AT_FDCWD, 0)
OPENER(__open_2, , AT_FDCWD, 0)
OPENER(openat, FD, dirfd, 0)
OPENER(openat64, FD, dirfd, 0)
OPENER(__openat_2, FD, dirfd, 0)

EXPORT void *
mmap(void *p, size_t n, int prot, int flags, int fd, off_t at)
{
	int a = what == MMAP ? hit(MMAP, CALLER, NULL) : -1;

	return not_made(a, ENOMEM) ? MAP_FAILED :
	    (void *)done(a, syscall(SYS_mmap, p, n, prot, flags, fd, at));
}

EXPORT void *
mmap64(void *p, size_t n, int prot, int flags, int fd, off_t at)
{
	int a = what == MMAP ? hit(MMAP, CALLER, NULL) : -1;

	return not_made(a, ENOMEM) ? MAP_FAILED :
	    (void *)done(a, syscall(SYS_mmap, p, n, prot, flags, fd, at));
}

/* ---- LMDB --------------------------------------------------------------------------------- */

struct MDB_env;
struct MDB_txn;

EXPORT int mdb_env_set_mapsize(struct MDB_env *env, size_t size);
EXPORT int mdb_txn_commit(struct MDB_txn *txn);

EXPORT int
mdb_env_set_mapsize(struct MDB_env *env, size_t size)
{
	int (*f)(struct MDB_env *, size_t) = (int (*)(struct MDB_env *,
	    size_t))(uintptr_t)dlsym(RTLD_NEXT, "mdb_env_set_mapsize");
	const char *first = getenv("NR_FAULT_MAPSIZE");
	static atomic_int seen;

	if (first != NULL && atomic_fetch_add(&seen, 1) == 0)
		size = strtoul(first, NULL, 10);
	say(first != NULL ? log_fd : -1, "mapsize %zu\n", size);
	return f(env, size);
}

EXPORT int
mdb_txn_commit(struct MDB_txn *txn)
{
	int (*f)(struct MDB_txn *) = (int (*)(struct MDB_txn *))(uintptr_t)
	    dlsym(RTLD_NEXT, "mdb_txn_commit");
	int a = what == COMMIT ? hit(COMMIT, CALLER, NULL) : -1;

	if (a == TORN)
		die();
	return (int)done(a, f(txn));
}
