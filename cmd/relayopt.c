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

int
nr_is_directory(const char *text)
{
	struct stat s;

	return stat(text, &s) == 0 && S_ISDIR(s.st_mode);
}

void
nr_relay_operand(struct nr_url *out, const char *text)
{
	if (is_file(text))
		nr_bad_usage("a file, not a relay as wss://relay.example.com: "
		    "%s", text);
	if (nr_is_directory(text))
		nr_bad_usage("a directory, not a relay as "
		    "wss://relay.example.com: %s", text);
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

/* Returns 0, NR_EINVAL where the line is no relay, or a code. */
static int
add_line(struct nr_relays *r, const char *line, size_t len)
{
	struct nr_view v = nr_line_item(line, len);
	struct nr_url u;

	if (v.len == 0)
		return NR_OK;
	if (!nr_url_parse_operand(&u, v.p, v.len) ||
	    (v.len >= 5 && strncmp(v.p, "unix:", 5) == 0))
		return NR_EINVAL;
	add(r, &u);
	return NR_OK;
}

/* Whatever it is, it goes to a terminal. */
static void
keep_bad(struct nr_bad_line *bad, uint64_t no, const char *line, size_t len)
{
	size_t i, n = len < sizeof(bad->text) ? len : sizeof(bad->text) - 1;

	bad->no = no;
	for (i = 0; i < n; i++)
		bad->text[i] = line[i] >= ' ' && line[i] <= '~' ? line[i] :
		    '?';
	bad->text[n] = '\0';
}

static int
add_lines(struct nr_relays *r, int fd, struct nr_bad_line *bad)
{
	struct nr_lines in;
	const char *line;
	size_t len;
	int rc;

	if ((rc = nr_lines_init(&in, fd, LINE_MAX_BYTES, 1)) != NR_OK)
		return rc;
	while ((rc = nr_lines_next(&in, &line, &len)) == NR_OK)
		if ((rc = add_line(r, line, len)) != NR_OK) {
			keep_bad(bad, in.lineno, line, len);
			break;
		}
	if (rc == NR_ETOOLONG) {
		keep_bad(bad, in.lineno, "(too long)", 10);
		rc = NR_EINVAL;
	}
	nr_lines_free(&in);
	return rc == NR_EOF ? NR_OK : rc;
}

int
nr_relays_try_file(struct nr_relays *r, const char *path,
    struct nr_bad_line *bad)
{
	int fd, rc;

	if ((rc = nr_open_input(&fd, path)) != NR_OK)
		return rc;
	rc = add_lines(r, fd, bad);
	if (fd != STDIN_FILENO)
		close(fd);
	return rc;
}

void
nr_relays_add_file(struct nr_relays *r, const char *path)
{
	struct nr_bad_line bad;
	int rc = nr_relays_try_file(r, path, &bad);

	if (rc == NR_EINVAL)
		nr_bad_usage("%s: line %" PRIu64 ": not the URL of a relay: "
		    "%s", path, bad.no, bad.text);
	if (rc != NR_OK)
		nr_die(rc, "%s", path);
}

void
nr_relays_copy(struct nr_relays *r, const struct nr_relays *from)
{
	size_t i;

	for (i = 0; i < from->n; i++)
		add(r, &from->url[i]);
}

void
nr_relays_free(struct nr_relays *r)
{
	free(r->url);
	r->url = NULL;
	r->n = 0;
}
