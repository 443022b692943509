/*
 * Diagnostics, exit statuses and output of the programs.
 */
#include "tool.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <malloc.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "util/err.h"
#include "util/number.h"
#include "util/times.h"

int nr_quiet;

static const char *progname = "nr";
static const char *usage_text = "";

static struct {
	int		 fd;
	const char	*name;
	size_t		 len;
	char		 buf[128 * 1024];
} out = { .fd = STDOUT_FILENO, .name = "stdout" };

/*
 * A closed standard descriptor must not become somebody's file, nor pass
 * for an empty one: what takes its place fails when it is used.
 */
static void
occupy(int fd, int mode)
{
	if (fcntl(fd, F_GETFD) < 0 && errno == EBADF &&
	    open("/dev/null", mode) != fd)
		exit(NR_EX_ENV);
}

void
nr_tool_init(const char *argv0, const char *usage)
{
	const char *slash = strrchr(argv0, '/');

	progname = slash != NULL ? slash + 1 : argv0;
	usage_text = usage;
	/* What is large goes back to the system when it is freed. */
	(void)mallopt(M_MMAP_THRESHOLD, 1 << 20);
	/* In this order, so that each gets the number that is free. */
	occupy(STDIN_FILENO, O_WRONLY);
	occupy(STDOUT_FILENO, O_RDONLY);
	occupy(STDERR_FILENO, O_RDWR);
}

void
nr_tool_usage(const char *usage)
{
	usage_text = usage;
}

const char *
nr_progname(void)
{
	return progname;
}

void
nr_usage(void)
{
	fputs(usage_text, stderr);
	exit(NR_EX_USAGE);
}

void
nr_common_option(int ch)
{
	if (ch == NR_OPT_HELP) {
		nr_outs(usage_text);
		nr_out_close();
		exit(NR_EX_OK);
	}
	if (ch == NR_OPT_VERSION) {
		nr_outs(progname);
		nr_outs(" " NR_VERSION "\n");
		nr_out_close();
		exit(NR_EX_OK);
	}
	nr_usage();
}

/* Write one line in one piece; bytes from elsewhere are made harmless. */
static void
say(const char *fmt, va_list ap, const char *more)
{
	char line[1024], shown[sizeof(line) + 2];
	size_t n = 0;
	char *p;

	n = (size_t)snprintf(line, sizeof(line), "%s: ", progname);
	vsnprintf(line + n, sizeof(line) - n, fmt, ap);
	n = strlen(line);
	if (more != NULL)
		snprintf(line + n, sizeof(line) - n, ": %s", more);
	for (p = line; *p != '\0'; p++)
		if ((unsigned char)*p < 0x20 || *p == 0x7f)
			*p = '?';
	n = (size_t)snprintf(shown, sizeof(shown), "%s\n", line);
	if (write(STDERR_FILENO, shown, n) < 0)
		return;		/* nobody is left to tell */
}

void
nr_warn(const char *fmt, ...)
{
	va_list ap;

	if (nr_quiet)
		return;
	va_start(ap, fmt);
	say(fmt, ap, NULL);
	va_end(ap);
}

void
nr_say(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	say(fmt, ap, NULL);
	va_end(ap);
}

int
nr_exit_status(int rc)
{
	if (rc == NR_ECORRUPT || rc == NR_EVERSION)
		return NR_EX_CORRUPT;
	return rc == NR_OK ? NR_EX_OK : NR_EX_ENV;
}

void
nr_die(int rc, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	say(fmt, ap, nr_strerror(rc));
	va_end(ap);
	exit(nr_exit_status(rc));
}

void
nr_bad_usage(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	say(fmt, ap, NULL);
	va_end(ap);
	exit(NR_EX_USAGE);
}

void
nr_out_to(int fd, const char *name)
{
	out.fd = fd;
	out.name = name;
}

static void (*at_end)(void);

void
nr_at_end(void (*fn)(void))
{
	at_end = fn;
	(void)atexit(fn);
}

static void
write_all(const char *p, size_t n)
{
	ssize_t w;

	while (n > 0) {
		w = write(out.fd, p, n);
		if (w < 0 && errno == EINTR)
			continue;
		if (w < 0 && errno == EPIPE) {
			if (at_end != NULL)
				at_end();
			/* libwebsockets has it ignored. */
			(void)signal(SIGPIPE, SIG_DFL);
			(void)raise(SIGPIPE);
		}
		if (w < 0)
			nr_die(errno, "%s", out.name);
		p += w;
		n -= (size_t)w;
	}
}

void
nr_out_flush(void)
{
	size_t n = out.len;

	out.len = 0;
	write_all(out.buf, n);
}

void
nr_out(const void *p, size_t n)
{
	if (n > sizeof(out.buf) - out.len)
		nr_out_flush();
	if (n > sizeof(out.buf)) {
		write_all(p, n);
		return;
	}
	if (n > 0)	/* p may be NULL */
		memcpy(out.buf + out.len, p, n);
	out.len += n;
}

void
nr_outs(const char *s)
{
	nr_out(s, strlen(s));
}

void
nr_out_close(void)
{
	nr_out_flush();
	if (close(out.fd) != 0)
		nr_die(errno, "%s", out.name);
}

/* Digits up to the end, or up to one of the letters in suffixes. */
static uint64_t
parse(const char *arg, const char *what, const char *units)
{
	const char *end = arg;
	uint64_t v = 0;
	int rc = nr_number_read(&end, units, &v);

	if (rc < 0)
		nr_bad_usage("%s: out of range: %s", what, arg);
	if (rc == 0 || *end != '\0')
		nr_bad_usage("%s: not a number: %s", what, arg);
	return v;
}

static uint64_t
in_range(uint64_t v, const char *arg, const char *what, uint64_t least,
    uint64_t most)
{
	if (v < least || v > most)
		nr_bad_usage("%s: not from %" PRIu64 " to %" PRIu64 ": %s",
		    what, least, most, arg);
	return v;
}

uint64_t
nr_number(const char *arg, const char *what, uint64_t least, uint64_t most)
{
	return in_range(parse(arg, what, ""), arg, what, least, most);
}

uint64_t
nr_size(const char *arg, const char *what, uint64_t least, uint64_t most)
{
	return in_range(parse(arg, what, "KMG"), arg, what, least, most);
}

/* In the largest unit that has no fraction; n is not 0. */
static void
show_duration(char text[24], int64_t ms)
{
	static const struct {
		const char *name;
		int64_t ms;
	} unit[] = {
		{ "d", NR_DAY_MS }, { "h", 3600000 }, { "m", 60000 },
		{ "s", 1000 }, { "ms", 1 }
	};
	size_t i = 0;

	while (ms % unit[i].ms != 0)
		i++;
	snprintf(text, 24, "%" PRId64 "%s", ms / unit[i].ms, unit[i].name);
}

int64_t
nr_duration(const char *arg, const char *what, int64_t least, int64_t most)
{
	char from[24], to[24];
	int64_t ms;

	show_duration(from, least);
	show_duration(to, most);
	if (!nr_duration_parse(&ms, arg))
		nr_bad_usage("%s: not a time from %s to %s: %s", what, from,
		    to, arg);
	if (ms < least || ms > most)
		nr_bad_usage("%s: not from %s to %s: %s", what, from, to,
		    arg);
	return ms;
}

int
nr_open_input(int *fd, const char *path)
{
	*fd = strcmp(path, "-") == 0 ? STDIN_FILENO :
	    open(path, O_RDONLY | O_CLOEXEC);
	return *fd < 0 ? errno : 0;
}

void
nr_need_descriptors(uint64_t n, const char *fmt, ...)
{
	char what[64];
	struct rlimit r;
	va_list ap;

	if (getrlimit(RLIMIT_NOFILE, &r) != 0 || r.rlim_cur >= n)
		return;
	r.rlim_cur = r.rlim_max < n ? r.rlim_max : n;
	(void)setrlimit(RLIMIT_NOFILE, &r);
	if (r.rlim_cur >= n)
		return;
	va_start(ap, fmt);
	(void)vsnprintf(what, sizeof(what), fmt, ap);
	va_end(ap);
	nr_bad_usage("%s: descriptors are limited to %ju", what,
	    (uintmax_t)r.rlim_cur);
}
