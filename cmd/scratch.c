/*
 * A socket in a directory of our own.
 */
#include "scratch.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "tool.h"
#include "util/err.h"

/* The one there is, for programs that end in the middle. */
static struct nr_scratch *made;

static void
remove_made(void)
{
	if (made != NULL)
		nr_scratch_remove(made);
}

void
nr_scratch_make(struct nr_scratch *s)
{
	const char *tmp = getenv("TMPDIR");

	if (tmp == NULL || *tmp != '/' || strlen(tmp) > 40)
		tmp = "/tmp";
	snprintf(s->dir, sizeof(s->dir), "%s/nr.XXXXXX", tmp);
	if (mkdtemp(s->dir) == NULL)
		nr_die(errno, "%s", s->dir);
	snprintf(s->path, sizeof(s->path), "%s/socket", s->dir);
	made = s;
	nr_at_end(remove_made);
}

void
nr_scratch_remove(struct nr_scratch *s)
{
	(void)unlink(s->path);
	(void)rmdir(s->dir);
	if (made == s)
		made = NULL;
}

static int
new_socket(const struct nr_scratch *s, struct sockaddr_un *un)
{
	memset(un, 0, sizeof(*un));
	un->sun_family = AF_UNIX;
	(void)strncpy(un->sun_path, s->path, sizeof(un->sun_path) - 1);
	return socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
}

int
nr_scratch_listen(const struct nr_scratch *s, int *fd)
{
	struct sockaddr_un un;
	int e;

	if ((*fd = new_socket(s, &un)) < 0)
		return errno;
	if (bind(*fd, (void *)&un, sizeof(un)) == 0 && listen(*fd, 4) == 0)
		return NR_OK;
	e = errno;
	close(*fd);
	return e;
}

int
nr_scratch_connect(const struct nr_scratch *s, int *fd)
{
	struct sockaddr_un un;
	int e;

	if ((*fd = new_socket(s, &un)) < 0)
		return errno;
	if (connect(*fd, (void *)&un, sizeof(un)) == 0)
		return NR_OK;
	e = errno;
	close(*fd);
	return e;
}
