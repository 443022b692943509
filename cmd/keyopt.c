/*
 * Secret keys for programs.
 */
#include "keyopt.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "tool.h"
#include "util/err.h"

#define VARIABLE	"NOSTR_SECRET_KEY"

int
nr_key_option(struct nr_key_args *a, int ch, const char *value)
{
	if (ch == 'K')
		a->file = value;
	else if (ch == NR_OPT_KEY_FD)
		a->fd = (int)nr_number(value, "--key-fd", 0, 1 << 20);
	else
		return 0;
	return 1;
}

/* No core file, no debugger, no /proc/PID/mem. */
static void
protect(void)
{
	static const struct rlimit none = { 0, 0 };

	if (prctl(PR_SET_DUMPABLE, 0) != 0 ||
	    setrlimit(RLIMIT_CORE, &none) != 0)
		nr_die(errno, "protecting the key");
}

static void
check(int rc, const char *where)
{
	if (rc == NR_EKEY)
		nr_bad_usage("%s: %s", where, nr_strerror(rc));
	if (rc != NR_OK)
		nr_die(rc, "%s", where);
}

/*
 * Take the variable out of the environment, and its text out of what
 * /proc/PID/environ shows.
 */
static struct nr_key *
from_environment(int wanted)
{
	char *text = getenv(VARIABLE);
	struct nr_key *key = NULL;
	int rc = NR_OK;

	if (text == NULL)
		return NULL;
	if (wanted && *text != '\0')
		rc = nr_key_parse(&key, text, strlen(text));
	explicit_bzero(text, strlen(text));
	(void)unsetenv(VARIABLE);
	check(rc, "$" VARIABLE);
	return key;
}

struct nr_key *
nr_key_load(const struct nr_key_args *a)
{
	struct nr_key *key;

	if (a->file != NULL && a->fd >= 0)
		nr_bad_usage("-K and --key-fd exclude one another");
	protect();
	key = from_environment(a->file == NULL && a->fd < 0);
	if (a->file != NULL)
		check(nr_key_read_file(&key, a->file), a->file);
	if (a->fd >= 0) {
		check(nr_key_read(&key, a->fd), "--key-fd");
		if (a->fd > STDERR_FILENO)
			close(a->fd);
	}
	return key;
}

const char *
nr_key_hint(const struct nr_key *key, const char *text)
{
	return key == NULL && strncmp(text, "auth-required:", 14) == 0 ?
	    " (-K gives the key to authenticate by)" : "";
}
