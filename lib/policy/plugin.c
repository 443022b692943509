/*
 * One process of a plugin: how it is run and ended, its pipes, and the
 * places of what it was asked, which are found by number and by id.
 */
#include "policy/plugin.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "util/err.h"

extern char **environ;

#define PIPE_BYTES	(256 * 1024)
#define READ_BYTES	((size_t)64 * 1024)

/* ---- running ------------------------------------------------------------ */

/* What we have, and who we are. */
static char **
make_environment(void)
{
	static char variable[] = NR_POLICY_VARIABLE "=1";
	size_t n = 0, i, len = sizeof(NR_POLICY_VARIABLE);
	char **env;

	while (environ[n] != NULL)
		n++;
	if ((env = calloc(n + 2, sizeof(*env))) == NULL)
		return NULL;
	for (i = 0, n = 0; environ[i] != NULL; i++)
		if (strncmp(environ[i], variable, len) != 0)
			env[n++] = environ[i];
	env[n] = variable;
	return env;
}

static int
spawn(pid_t *pid, char *command, int in, int out, int err)
{
	static char shell[] = "/bin/sh", flag[] = "-c";
	char *argv[] = { shell, flag, command, NULL }, **env;
	posix_spawn_file_actions_t files;
	posix_spawnattr_t attr;
	sigset_t none, all;
	int rc;

	if ((env = make_environment()) == NULL)
		return ENOMEM;
	sigemptyset(&none);
	sigemptyset(&all);
	sigaddset(&all, SIGPIPE);
	sigaddset(&all, SIGCHLD);
	posix_spawn_file_actions_init(&files);
	posix_spawn_file_actions_adddup2(&files, in, STDIN_FILENO);
	posix_spawn_file_actions_adddup2(&files, out, STDOUT_FILENO);
	posix_spawn_file_actions_adddup2(&files, err, STDERR_FILENO);
	posix_spawn_file_actions_addclosefrom_np(&files, STDERR_FILENO + 1);
	posix_spawnattr_init(&attr);
	posix_spawnattr_setpgroup(&attr, 0);
	posix_spawnattr_setsigmask(&attr, &none);
	posix_spawnattr_setsigdefault(&attr, &all);
	posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETPGROUP |
	    POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
	rc = posix_spawn(pid, shell, &files, &attr, argv, env);
	posix_spawn_file_actions_destroy(&files);
	posix_spawnattr_destroy(&attr);
	free(env);
	return rc;
}

static void
close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

/* Our end, which is the i-th, does not block. */
static int
make_pipe(int fd[2], int i)
{
	if (pipe2(fd, O_CLOEXEC) != 0)
		return errno;
	(void)fcntl(fd[i], F_SETFL, O_NONBLOCK);
	(void)fcntl(fd[i], F_SETPIPE_SZ, PIPE_BYTES);
	return NR_OK;
}

static int
run(struct nr_plugin *p, const char *command)
{
	int in[2] = { -1, -1 }, out[2] = { -1, -1 }, err[2] = { -1, -1 };
	char *copy = strdup(command);
	int rc = copy == NULL ? ENOMEM : NR_OK;

	if (rc == NR_OK && (rc = make_pipe(in, 1)) == NR_OK &&
	    (rc = make_pipe(out, 0)) == NR_OK &&
	    (rc = make_pipe(err, 0)) == NR_OK)
		rc = spawn(&p->pid, copy, in[0], out[1], err[1]);
	free(copy);
	close_fd(&in[0]);
	close_fd(&out[1]);
	close_fd(&err[1]);
	p->in = in[1];
	p->out = out[0];
	p->err = err[0];
	return rc;
}

int
nr_plugin_start(struct nr_plugin **out, const char *command)
{
	struct nr_plugin *p;
	int rc, i;

	if ((p = calloc(1, sizeof(*p))) == NULL)
		return ENOMEM;
	for (i = 0; i < NR_HOST_WINDOW; i++) {
		p->by_id[i] = p->by_seq[i] = -1;
		p->slot[i].next_id = i + 1 < NR_HOST_WINDOW ? i + 1 : -1;
	}
	p->patience = NR_PLUGIN_PATIENCE;
	p->hello.batch = 1;
	if ((rc = run(p, command)) != NR_OK) {
		nr_plugin_close(p);
		free(p);
		return rc;
	}
	*out = p;
	return NR_OK;
}

void
nr_plugin_kill(struct nr_plugin *p, int sig)
{
	(void)kill(-p->pid, sig);
}

/* It is left a zombie, so that its number stays its own. */
int
nr_plugin_exited(struct nr_plugin *p, int64_t now)
{
	siginfo_t info = { .si_pid = 0 };

	if (p->exited)
		return 1;
	if (waitid(P_PID, (id_t)p->pid, &info, WEXITED | WNOHANG |
	    WNOWAIT) != 0) {
		/* Where whoever started us ignores SIGCHLD, nobody knows. */
		if (errno != ECHILD)
			return 0;
		info.si_code = CLD_EXITED;
		info.si_status = 0;
	} else if (info.si_pid == 0)
		return 0;
	p->exited = info.si_code;
	p->status = info.si_status;
	p->exited_at = now;
	return 1;
}

void
nr_plugin_close_in(struct nr_plugin *p)
{
	close_fd(&p->in);
	nr_buf_free(&p->to);
	p->sent = 0;
}

void
nr_plugin_close(struct nr_plugin *p)
{
	nr_plugin_close_in(p);
	close_fd(&p->out);
	close_fd(&p->err);
}

void
nr_plugin_free(struct nr_plugin *p)
{
	nr_plugin_kill(p, SIGKILL);
	(void)waitpid(p->pid, NULL, 0);
	nr_plugin_close(p);
	nr_buf_free(&p->from);
	nr_buf_free(&p->words);
	free(p);
}

/* ---- what it was asked -------------------------------------------------- */

static int *
chain_of_id(struct nr_plugin *p, const unsigned char id[32])
{
	uint64_t h;

	memcpy(&h, id + 8, sizeof(h));
	return &p->by_id[h % NR_HOST_WINDOW];
}

static int *
chain_of_seq(struct nr_plugin *p, uint64_t seq)
{
	return &p->by_seq[seq % NR_HOST_WINDOW];
}

void
nr_plugin_take(struct nr_plugin *p, struct nr_asked *a, int64_t now)
{
	int i = p->free_slot, *at;
	struct nr_slot *s = &p->slot[i];

	p->free_slot = s->next_id;
	s->asked = a;
	s->seq = a->request.seq;
	s->has_id = a->request.type == NR_ASK_NEW;
	s->used = 1;
	s->sent = now;
	s->next_id = -1;
	if (s->has_id) {
		memcpy(s->id, a->request.ev.id, 32);
		/* Behind those with the same id, which are older. */
		for (at = chain_of_id(p, s->id); *at >= 0;
		    at = &p->slot[*at].next_id)
			;
		*at = i;
	}
	at = chain_of_seq(p, s->seq);
	s->next_seq = *at;
	*at = i;
	p->used++;
	p->open++;
}

struct nr_slot *
nr_plugin_find(struct nr_plugin *p, const struct nr_decision *d)
{
	struct nr_slot *s;
	int i;

	if (d->has_seq) {
		for (i = *chain_of_seq(p, d->seq); i >= 0; i = s->next_seq) {
			s = &p->slot[i];
			if (s->seq == d->seq)
				return !d->has_id || (s->has_id &&
				    memcmp(s->id, d->id, 32) == 0) ? s : NULL;
		}
		return NULL;
	}
	for (i = d->has_id ? *chain_of_id(p, d->id) : -1; i >= 0;
	    i = s->next_id) {
		s = &p->slot[i];
		if (memcmp(s->id, d->id, 32) == 0)
			return s;
	}
	return NULL;
}

void
nr_plugin_drop(struct nr_plugin *p, struct nr_slot *s)
{
	int i = (int)(s - p->slot), *at;

	if (s->has_id) {
		for (at = chain_of_id(p, s->id); *at != i;
		    at = &p->slot[*at].next_id)
			;
		*at = s->next_id;
	}
	for (at = chain_of_seq(p, s->seq); *at != i;
	    at = &p->slot[*at].next_seq)
		;
	*at = s->next_seq;
	p->used--;
	p->open -= s->asked != NULL;
	s->asked = NULL;
	s->used = 0;
	s->next_id = p->free_slot;
	p->free_slot = i;
}

/* ---- pipes -------------------------------------------------------------- */

/* What was written takes no room; now and then, as it is moved. */
static void
compact(struct nr_plugin *p)
{
	if (p->sent < p->to.len - p->sent)
		return;
	p->to.len -= p->sent;
	memmove(p->to.p, p->to.p + p->sent, p->to.len);
	p->sent = 0;
}

int
nr_plugin_write(struct nr_plugin *p)
{
	ssize_t n = 0;

	while (p->sent < p->to.len) {
		n = write(p->in, p->to.p + p->sent, p->to.len - p->sent);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			break;
		p->sent += (size_t)n;
	}
	if (n < 0 && errno != EAGAIN)
		return -1;
	compact(p);
	return 0;
}

int
nr_plugin_read(int *fd, struct nr_buf *b)
{
	ssize_t n;

	if (nr_buf_reserve(b, READ_BYTES) != NR_OK)
		return NR_OK;	/* it stays in the pipe */
	n = read(*fd, b->p + b->len, READ_BYTES);
	if (n > 0)
		b->len += (size_t)n;
	if (n > 0 || (n < 0 && (errno == EAGAIN || errno == EINTR)))
		return NR_OK;
	close_fd(fd);
	return NR_EOF;
}
