/*
 * tool.h - what the programs share: diagnostics, exit statuses, output.
 *
 * Only programs use this; the library never prints and never exits.
 */
#ifndef NR_CMD_TOOL_H
#define NR_CMD_TOOL_H

#include <getopt.h>
#include <stddef.h>
#include <stdint.h>

#include "util/version.h"

/* Exit statuses, the same for every program: see nr(7). */
enum nr_exit {
	NR_EX_OK	= 0,	/* all input handled, the answer is yes */
	NR_EX_NO	= 1,	/* something was invalid, refused, absent */
	NR_EX_USAGE	= 2,
	NR_EX_ENV	= 3,	/* I/O, memory, full, busy: try again */
	NR_EX_CORRUPT	= 4	/* damaged or unknown store */
};

/* Long options that every program has; --help and --version. */
#define NR_OPT_HELP	0x100
#define NR_OPT_VERSION	0x101
#define NR_OPT_FIRST	0x102	/* for a program's own */
#define NR_LONG_COMMON \
	{ "help", no_argument, NULL, NR_OPT_HELP }, \
	{ "version", no_argument, NULL, NR_OPT_VERSION }

/* The end of a noun that is counted. */
#define NR_S(n)		((n) == 1 ? "" : "s")

/* No words on stderr from nr_warn(); the status still tells. */
extern int nr_quiet;

/* Call first, with argv[0] and the text of --help. */
void	nr_tool_init(const char *argv0, const char *usage);

/* The same for a verb: --help is about it alone from here on. */
void	nr_tool_usage(const char *usage);

const char	*nr_progname(void);

/* Print the usage on stderr and end with status 2. */
_Noreturn void	nr_usage(void);

/* Do what --help and --version say, for the value of getopt_long(). */
void	nr_common_option(int ch);

/*
 * One line on stderr: "program: text"; nr_say() says it even when quiet.
 * nr_die() adds the meaning of rc
 * and ends with the status that goes with it.
 */
void	nr_warn(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void	nr_say(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
_Noreturn void	nr_die(int rc, const char *fmt, ...)
	    __attribute__((format(printf, 2, 3)));
_Noreturn void	nr_bad_usage(const char *fmt, ...)
	    __attribute__((format(printf, 1, 2)));

/* The exit status that goes with a return code of the library. */
int	nr_exit_status(int rc);

/*
 * Buffered output.  A failure ends the program with status 3; a reader
 * that went away ends it by SIGPIPE.  Data goes to stdout unless
 * nr_out_to() says otherwise.
 */
void	nr_out_to(int fd, const char *name);
void	nr_out(const void *p, size_t n);
void	nr_outs(const char *s);
void	nr_out_flush(void);
void	nr_out_close(void);	/* flush, close, check both */

/* Have fn called when the program exits, also where SIGPIPE is its end. */
void	nr_at_end(void (*fn)(void));

/* Read an option's number from least to most, or end with status 2. */
uint64_t nr_number(const char *arg, const char *what, uint64_t least,
	    uint64_t most);

/* As nr_number(), with K, M or G (powers of 1024) allowed behind it. */
uint64_t nr_size(const char *arg, const char *what, uint64_t least,
	    uint64_t most);

/*
 * Read an option's length of time (90s, 15m, or plain seconds) in
 * milliseconds, or end with status 2.
 */
int64_t	nr_duration(const char *arg, const char *what, int64_t least,
	    int64_t most);

#define NR_DAY_MS	INT64_C(86400000)
#define NR_YEAR_MS	(365 * NR_DAY_MS)	/* as good as for ever */

/* Open a file for reading, "-" being stdin.  Returns 0 or errno. */
int	nr_open_input(int *fd, const char *path);

/*
 * Raise the limit of descriptors to n, or end the program with bad usage
 * where that may not be; fmt says who asks for them.
 */
void	nr_need_descriptors(uint64_t n, const char *fmt, ...)
	    __attribute__((format(printf, 2, 3)));

#endif
