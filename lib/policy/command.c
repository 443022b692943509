/*
 * What is wrong with a command before it is run.
 */
#include "policy/command.h"

#include <ctype.h>
#include <errno.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "util/err.h"

extern char **environ;

#define BLANKS	" \t\n"
#define PLAIN	"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz" \
		"0123456789_./+-,:@%"

/* "NAME=..." and not a path with an equals sign. */
static int
is_assignment(const char *p, size_t n)
{
	size_t name = 0;

	while (name < n && (isalnum((unsigned char)p[name]) ||
	    p[name] == '_'))
		name++;
	return name > 0 && name < n && p[name] == '=' &&
	    !isdigit((unsigned char)*p);
}

/* "2>file": the descriptor is no program. */
static int
is_descriptor(const char *p, size_t n)
{
	return (p[n] == '<' || p[n] == '>') && strspn(p, "0123456789") == n;
}

/*
 * The word that is to be a program; returns its length, or 0 where it
 * cannot be told.
 */
static size_t
find_word(const char **out, const char *command)
{
	const char *p = command;
	size_t n;

	for (;; p += n) {
		p += strspn(p, BLANKS);
		n = strspn(p, PLAIN "=");
		if (n == 0 || *p == '-' ||
		    (p[n] != '\0' && strchr(BLANKS ";&|<>", p[n]) == NULL) ||
		    is_descriptor(p, n))
			return 0;
		/* What is set may be where programs are looked for. */
		if (n >= 5 && memcmp(p, "PATH=", 5) == 0)
			return 0;
		if (!is_assignment(p, n) &&
		    !(n == 4 && memcmp(p, "exec", 4) == 0))
			break;
	}
	/* "name () {" is a function. */
	if (p[n + strspn(p + n, BLANKS)] == '(')
		return 0;
	*out = p;
	return n;
}

static int
look_at(const char *path)
{
	struct stat s;

	if (stat(path, &s) != 0)
		return errno;
	if (!S_ISREG(s.st_mode) || access(path, X_OK) != 0)
		return EACCES;
	return NR_OK;
}

/* The shell knows its own words, and where it looks for others. */
static int
ask_shell(char *word)
{
	static char shell[] = "/bin/sh", flag[] = "-c",
	    question[] = "command -v \"$1\" >/dev/null 2>&1";
	char *argv[] = { shell, flag, question, shell, word, NULL };
	posix_spawnattr_t attr;
	sigset_t none;
	int rc, status;
	pid_t pid;

	sigemptyset(&none);
	posix_spawnattr_init(&attr);
	posix_spawnattr_setsigmask(&attr, &none);
	posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGMASK);
	rc = posix_spawn(&pid, shell, NULL, &attr, argv, environ);
	posix_spawnattr_destroy(&attr);
	if (rc != 0)
		return NR_OK;
	while ((rc = waitpid(pid, &status, 0)) < 0 && errno == EINTR)
		continue;
	return rc == pid && WIFEXITED(status) && WEXITSTATUS(status) != 0 ?
	    ENOENT : NR_OK;
}

int
nr_command_find(char word[NR_COMMAND_WORD], const char *command)
{
	const char *p;
	size_t n = find_word(&p, command);

	if (n == 0 || n >= NR_COMMAND_WORD)
		return NR_OK;
	memcpy(word, p, n);
	word[n] = '\0';
	return strchr(word, '/') != NULL ? look_at(word) : ask_shell(word);
}
