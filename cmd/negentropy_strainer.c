/*
 * A command that events pass through: a line for each on its stdin, and
 * those on its stdout that may pass.  Which line is the answer to which is
 * not asked, so it may keep them for a while.
 */
#include "negentropy.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "event/event.h"
#include "tool.h"
#include "util/buf.h"
#include "util/err.h"

#define QUEUE_MAX	((size_t)1 << 20)	/* bytes that wait for it */
#define READ_MAX	((size_t)64 << 10)
#define LINE_MAX_BYTES	((size_t)4 << 20)

struct nr_strainer {
	struct nr_strainer_calls calls;
	struct nr_watch	*in_watch, *out_watch;
	int		 in, out;	/* its stdin and stdout; -1: closed */
	pid_t		 pid;
	struct nr_buf	 queue;		/* for it */
	size_t		 written;	/* of the queue */
	struct nr_buf	 lines;		/* from it */
	size_t		 read;		/* of these, handed over */
	int		 finishing, held;
};

static void
close_in(struct nr_strainer *f)
{
	nr_watch_free(f->in_watch);
	f->in_watch = NULL;
	if (f->in >= 0)
		close(f->in);
	f->in = -1;
}

/* Give it what waits. */
static void
on_writable(void *ctx, unsigned events)
{
	struct nr_strainer *f = ctx;
	ssize_t n;

	(void)events;
	n = write(f->in, f->queue.p + f->written, f->queue.len - f->written);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n < 0) {
		/* It does not want any more: its end tells the rest. */
		f->queue.len = f->written = 0;
		close_in(f);
		return;
	}
	f->written += (size_t)n;
	if (f->written < f->queue.len)
		return;
	f->queue.len = f->written = 0;
	nr_watch_for(f->in_watch, 0);
	if (f->finishing)
		close_in(f);
	/* That it has everything is news, too. */
	f->calls.room(f->calls.ctx);
}

int
nr_strainer_add(struct nr_strainer *f, struct nr_view line)
{
	if (f->in < 0)
		return EPIPE;
	if (f->queue.len - f->written > QUEUE_MAX)
		return EAGAIN;
	if (nr_buf_add(&f->queue, line.p, line.len) != NR_OK ||
	    nr_buf_add(&f->queue, "\n", 1) != NR_OK)
		return ENOMEM;
	nr_watch_for(f->in_watch, NR_WATCH_OUT);
	return NR_OK;
}

int
nr_strainer_idle(const struct nr_strainer *f)
{
	/* Half a line may be there until its end is told. */
	return f->queue.len == f->written && !f->held;
}

void
nr_strainer_finish(struct nr_strainer *f)
{
	f->finishing = 1;
	if (f->in >= 0 && f->queue.len == f->written)
		close_in(f);
}

/* Hand over the lines that are complete. */
static void
hand_over(struct nr_strainer *f)
{
	struct nr_view line;
	const char *lf;
	int rc = NR_OK;

	while (rc == NR_OK && f->read < f->lines.len) {
		line.p = f->lines.p + f->read;
		lf = memchr(line.p, '\n', f->lines.len - f->read);
		if (lf == NULL)
			break;
		line.len = (size_t)(lf - line.p);
		if ((rc = f->calls.line(f->calls.ctx, line)) == NR_OK)
			f->read += line.len + 1;
	}
	f->held = rc == EAGAIN;
	nr_watch_for(f->out_watch, f->held ? 0 : NR_WATCH_IN);
	if (f->read == f->lines.len)
		f->read = f->lines.len = 0;
}

static void
ended(struct nr_strainer *f)
{
	int status = 0;

	nr_watch_free(f->out_watch);
	f->out_watch = NULL;
	close(f->out);
	f->out = -1;
	close_in(f);
	while (waitpid(f->pid, &status, 0) < 0 && errno == EINTR)
		;
	f->pid = 0;
	f->calls.ended(f->calls.ctx, WIFEXITED(status) ?
	    WEXITSTATUS(status) : 128 + WTERMSIG(status));
}

static void
on_readable(void *ctx, unsigned events)
{
	struct nr_strainer *f = ctx;
	ssize_t n;

	(void)events;
	if (f->read > 0) {
		memmove(f->lines.p, f->lines.p + f->read,
		    f->lines.len - f->read);
		f->lines.len -= f->read;
		f->read = 0;
	}
	if (f->lines.len > LINE_MAX_BYTES ||
	    nr_buf_reserve(&f->lines, READ_MAX) != NR_OK)
		nr_die(f->lines.len > LINE_MAX_BYTES ? NR_ETOOLONG : ENOMEM,
		    "what events pass through");
	n = read(f->out, f->lines.p + f->lines.len, READ_MAX);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		ended(f);
		return;
	}
	f->lines.len += (size_t)n;
	hand_over(f);
}

void
nr_strainer_go_on(struct nr_strainer *f)
{
	if (f->held && f->out >= 0)
		hand_over(f);
}

static void
make_pipe(int fd[2], int ours)
{
	if (pipe2(fd, O_CLOEXEC) != 0 ||
	    fcntl(fd[ours], F_SETFL, O_NONBLOCK) != 0)
		nr_die(errno, "a pipe");
}

struct nr_strainer *
nr_strainer_new(struct nr_net *n, const char *command,
    const struct nr_strainer_calls *calls)
{
	char *argv[] = { strdup("/bin/sh"), strdup("-c"), strdup(command),
	    NULL };
	struct nr_strainer *f = calloc(1, sizeof(*f));
	int in[2], out[2], rc;

	if (f == NULL || argv[0] == NULL || argv[1] == NULL ||
	    argv[2] == NULL)
		nr_die(ENOMEM, "%s", command);
	f->calls = *calls;
	make_pipe(in, 1);
	make_pipe(out, 0);
	if ((rc = nr_exec_start(argv, in[0], out[1], &f->pid)) != 0)
		nr_die(rc, "%s", command);
	close(in[0]);
	close(out[1]);
	f->in = in[1];
	f->out = out[0];
	if ((rc = nr_watch_new(&f->in_watch, n, f->in, 0, on_writable,
	    f)) != NR_OK || (rc = nr_watch_new(&f->out_watch, n, f->out,
	    NR_WATCH_IN, on_readable, f)) != NR_OK)
		nr_die(rc, "%s", command);
	free(argv[0]);
	free(argv[1]);
	free(argv[2]);
	return f;
}

void
nr_strainer_free(struct nr_strainer *f)
{
	if (f == NULL)
		return;
	close_in(f);
	nr_watch_free(f->out_watch);
	if (f->out >= 0)
		close(f->out);
	(void)nr_exec_end(f->pid);
	nr_buf_free(&f->queue);
	nr_buf_free(&f->lines);
	free(f);
}
