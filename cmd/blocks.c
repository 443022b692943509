/*
 * Lines of files through a pool of threads.
 */
#include "blocks.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tool.h"
#include "util/err.h"

void
nr_judged_add(struct nr_judged *j, enum nr_verdict what, size_t pos)
{
	if (j->n == j->cap) {
		j->cap = j->cap == 0 ? 256 : j->cap * 2;
		j->line = realloc(j->line, j->cap * sizeof(j->line[0]));
		if (j->line == NULL)
			nr_die(ENOMEM, "lines");
	}
	j->line[j->n].what = what;
	j->line[j->n++].pos = pos;
}

void
nr_line_job_clear(void *arg)
{
	struct nr_line_job *job = arg;

	nr_block_free(&job->block);
	nr_buf_free(&job->out);
	free(job->judged.line);
}

int
nr_line_job_reject(const struct nr_line_job *job, struct nr_rejects *rejects)
{
	const struct nr_judgement *j = job->judged.line;
	int any = job->block.too_long;
	struct nr_view line;
	size_t at = 0, i;

	if (any)
		nr_reject(rejects, job->file, job->block.first,
		    NR_BAD_TOO_LONG, 0, NULL, 0);
	for (i = 0; nr_block_line(&job->block, &at, &line); i++) {
		if (j[i].what == NR_VALID)
			continue;
		any = 1;
		nr_reject(rejects, job->file, job->block.first + i,
		    j[i].what, j[i].pos, line.p, line.len);
	}
	return any;
}

static _Noreturn void
give_up(struct nr_pool *pool, const char *path, int rc)
{
	nr_pool_free(pool, nr_line_job_clear);
	nr_out_flush();
	nr_die(rc, "%s", strcmp(path, "-") == 0 ? "stdin" : path);
}

void
nr_lines_through(struct nr_pool *pool, const char *path, size_t max)
{
	struct nr_line_job *job;
	struct nr_lines in;
	int fd, rc;

	if ((rc = nr_open_input(&fd, path)) != NR_OK)
		give_up(pool, path, rc);
	if ((rc = nr_lines_init(&in, fd, max, 0)) != NR_OK)
		nr_die(rc, "%s", path);
	for (;;) {
		job = nr_pool_claim(pool);
		job->file = strcmp(path, "-") == 0 ? NULL : path;
		if ((rc = nr_lines_block(&in, &job->block)) != NR_OK)
			break;
		nr_pool_submit(pool);
	}
	if (rc != NR_EOF)
		give_up(pool, path, rc);
	nr_lines_free(&in);
	if (fd != STDIN_FILENO)
		close(fd);
}
