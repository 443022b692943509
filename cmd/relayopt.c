/*
 * Relays on a command line.
 */
#include "relayopt.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tool.h"
#include "util/err.h"
#include "util/lines.h"

#define LINE_MAX_BYTES	4096

static void
add(struct nr_relays *r, const struct nr_url *u)
{
	struct nr_url *p;
	size_t i;

	for (i = 0; i < r->n; i++)
		if (nr_url_same(&r->url[i], u))
			return;
	p = realloc(r->url, (r->n + 1) * sizeof(*p));
	if (p == NULL)
		nr_die(ENOMEM, "relays");
	p[r->n] = *u;
	r->url = p;
	r->n++;
}

/* There, or called as files of events are. */
static int
is_file(const char *text)
{
	static const char *const ends[] = { ".json", ".jsonl", ".zst" };
	size_t len = strlen(text), n, i;
	struct stat s;

	if (strstr(text, "://") != NULL)
		return 0;
	for (i = 0; i < sizeof(ends) / sizeof(ends[0]); i++) {
		n = strlen(ends[i]);
		if (len > n && strcmp(text + len - n, ends[i]) == 0)
			return 1;
	}
	return stat(text, &s) == 0 && !S_ISDIR(s.st_mode);
}

void
nr_relay_operand(struct nr_url *out, const char *text)
{
	if (is_file(text))
		nr_bad_usage("a file, not a relay as wss://relay.example.com: "
		    "%s", text);
	if (strncmp(text, "unix:", 5) == 0)
		nr_bad_usage("relays are reached by ws:// and wss:// alone: "
		    "%s", text);
	if (!nr_url_parse_operand(out, text, strlen(text)))
		nr_bad_usage("not the URL of a relay: %s", text);
}

void
nr_relays_add(struct nr_relays *r, const char *text)
{
	struct nr_url u;

	nr_relay_operand(&u, text);
	add(r, &u);
}

/* What of a line counts. */
static struct nr_view
trim(const char *line, size_t len)
{
	const char *hash = memchr(line, '#', len);
	struct nr_view v = { line, hash ? (size_t)(hash - line) : len };

	while (v.len > 0 && strchr(" \t\r", *v.p) != NULL) {
		v.p++;
		v.len--;
	}
	while (v.len > 0 && strchr(" \t\r", v.p[v.len - 1]) != NULL)
		v.len--;
	return v;
}

void
nr_relays_add_file(struct nr_relays *r, const char *path)
{
	struct nr_lines in;
	struct nr_view v;
	struct nr_url u;
	const char *line;
	size_t len;
	int fd, rc;

	if ((rc = nr_open_input(&fd, path)) != NR_OK ||
	    (rc = nr_lines_init(&in, fd, LINE_MAX_BYTES, 1)) != NR_OK)
		nr_die(rc, "%s", path);
	while ((rc = nr_lines_next(&in, &line, &len)) != NR_EOF) {
		if (rc != NR_OK && rc != NR_ETOOLONG)
			nr_die(rc, "%s", path);
		v = rc == NR_OK ? trim(line, len) : (struct nr_view){ "x", 1 };
		if (v.len == 0)
			continue;
		if (!nr_url_parse_operand(&u, v.p, v.len) ||
		    (v.len >= 5 && strncmp(v.p, "unix:", 5) == 0))
			nr_bad_usage("%s: line %" PRIu64
			    ": not the URL of a relay", path, in.lineno);
		add(r, &u);
	}
	nr_lines_free(&in);
	if (fd != STDIN_FILENO)
		close(fd);
}

void
nr_relays_free(struct nr_relays *r)
{
	free(r->url);
	r->url = NULL;
	r->n = 0;
}
