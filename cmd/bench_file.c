/*
 * The file of events that nr-bench load works from: mapped where its lines
 * are normal, as nr-bench gen and nr-export write them; else, and where it
 * is no file that can be mapped, made normal in a temporary one.
 */
#include "bench_load.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "event/event.h"
#include "tool.h"
#include "util/err.h"
#include "util/lines.h"

/* Map it; 0 where it is empty, or cannot be mapped, or not from its start. */
static int
map(struct nr_load *l, int fd)
{
	struct stat s;
	void *p;

	if (fstat(fd, &s) != 0)
		nr_die(errno, "%s", l->file);
	if (!S_ISREG(s.st_mode) || s.st_size == 0 ||
	    (fd == STDIN_FILENO && lseek(fd, 0, SEEK_CUR) != 0))
		return 0;
	p = mmap(NULL, (size_t)s.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (p == MAP_FAILED)
		nr_die(errno, "%s", l->file);
	l->data = p;
	l->end = l->data + s.st_size;
	return 1;
}

void
nr_load_close_file(struct nr_load *l)
{
	if (l->data != NULL)
		(void)munmap((void *)(uintptr_t)l->data,
		    (size_t)(l->end - l->data));
	l->data = NULL;
}

/* One file has one writer: its first line tells of all. */
static int
is_normal(const struct nr_load *l)
{
	size_t size = (size_t)(l->end - l->data);
	const char *lf = memchr(l->data, '\n', size);
	struct nr_event ev;

	return nr_event_view(&ev, l->data, lf != NULL ?
	    (size_t)(lf - l->data) : size);
}

static int
is_blank(const char *line, size_t len)
{
	while (len > 0 && (*line == ' ' || *line == '\t' || *line == '\r')) {
		line++;
		len--;
	}
	return len == 0;
}

static void
add_normal(const struct nr_load *l, FILE *to, const struct nr_lines *in,
    const char *line, size_t len)
{
	static char normal[NR_EVENT_LINE_MAX(NR_EVENT_MAX) + 1];
	enum nr_verdict v;
	struct nr_event ev;
	size_t pos;

	v = nr_event_read(&ev, line, len, &nr_event_limits_pipe, &pos);
	if (v != NR_VALID)
		nr_bad_usage("%s: line %" PRIu64 ": %s; nr-import -r file "
		    "parts such lines from events", l->file, in->lineno,
		    nr_verdict_str(v));
	len = nr_event_normalise(&ev, normal);
	normal[len++] = '\n';
	if (fwrite(normal, 1, len, to) != len)
		nr_die(errno, "a temporary file");
}

static void
make_normal(const struct nr_load *l, int fd, FILE *to)
{
	struct nr_lines in;
	const char *line;
	size_t len;
	int rc;

	nr_load_need(nr_lines_init(&in, fd, NR_EVENT_MAX, 0), l->file);
	while ((rc = nr_lines_next(&in, &line, &len)) == NR_OK)
		if (!is_blank(line, len))
			add_normal(l, to, &in, line, len);
	if (rc != NR_EOF)
		nr_die(rc, "%s: line %" PRIu64, l->file, in.lineno);
	nr_lines_free(&in);
	if (fflush(to) != 0)
		nr_die(errno, "a temporary file");
}

void
nr_load_open_file(struct nr_load *l)
{
	FILE *copy;
	int fd, rc = nr_open_input(&fd, l->file);

	if (rc != 0)
		nr_die(rc, "%s", l->file);
	if (strcmp(l->file, "-") == 0)
		l->file = "stdin";
	if (!map(l, fd) || !is_normal(l)) {
		nr_load_close_file(l);
		if ((copy = tmpfile()) == NULL)
			nr_die(errno, "a temporary file");
		make_normal(l, fd, copy);
		if (!map(l, fileno(copy)))
			nr_bad_usage("%s: no events", l->file);
		(void)fclose(copy);
	}
	if (fd != STDIN_FILENO)
		close(fd);
}

/* Where a slice of the file begins: behind the end of a line. */
static const char *
slice_at(const struct nr_load *l, unsigned i)
{
	size_t size = (size_t)(l->end - l->data);
	const char *p, *lf;

	if (i == 0 || l->slices == 0)
		return i == 0 ? l->data : l->end;
	p = l->data + size / l->slices * i;
	if (i >= l->slices || (lf = memchr(p, '\n', (size_t)(l->end - p))) ==
	    NULL)
		return l->end;
	return lf + 1;
}

void
nr_load_slice(struct nr_load *l)
{
	l->next = slice_at(l, l->slice);
	l->last = slice_at(l, l->slice + 1);
}
