/*
 * jq-truth: of each event on stdin, what each expression in FILE (one a
 * line) says: a line of 1, 0 and -1.
 */
#include <err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "event/event.h"
#include "policy/jq.h"
#include "util/err.h"
#include "util/lines.h"

#define EXPRESSIONS_MAX	1000

static struct nr_jq *jq[EXPRESSIONS_MAX];
static unsigned n;

static void
compile_all(const char *path)
{
	FILE *f = fopen(path, "r");
	char *line = NULL, why[256];
	size_t cap = 0;
	ssize_t len;

	if (f == NULL)
		err(3, "%s", path);
	while ((len = getline(&line, &cap, f)) > 0 && n < EXPRESSIONS_MAX) {
		line[strcspn(line, "\n")] = '\0';
		if (nr_jq_new(&jq[n], line, why, sizeof(why)) != NR_OK)
			errx(1, "%s: %s", line, why);
		n++;
	}
	free(line);
	fclose(f);
}

static void
ask_all(struct nr_jq_doc *d, const char *line, size_t len)
{
	struct nr_event ev;
	char *normal = malloc(NR_EVENT_LINE_MAX(len));
	size_t pos;
	unsigned i;

	if (normal == NULL || nr_event_read(&ev, line, len,
	    &nr_event_limits_pipe, &pos) != NR_VALID)
		errx(1, "no event");
	nr_event_normalise(&ev, normal);
	if (nr_jq_doc_event(d, &ev) != NR_OK)
		errx(3, "no memory");
	for (i = 0; i < n; i++)
		printf("%s%d", i > 0 ? "," : "", nr_jq_test(jq[i], d));
	putchar('\n');
	free(normal);
}

int
main(int argc, char *argv[])
{
	struct nr_jq_doc *d;
	struct nr_lines in;
	const char *line;
	size_t len;

	if (argc != 2)
		errx(2, "usage: jq-truth expressions < events");
	compile_all(argv[1]);
	if (nr_jq_doc_new(&d) != NR_OK ||
	    nr_lines_init(&in, STDIN_FILENO, NR_EVENT_MAX, 0) != NR_OK)
		errx(3, "no memory");
	while (nr_lines_next(&in, &line, &len) == NR_OK)
		ask_all(d, line, len);
	nr_lines_free(&in);
	nr_jq_doc_free(d);
	while (n > 0)
		nr_jq_free(jq[--n]);
	return fflush(stdout) == 0 ? 0 : 3;
}
