/*
 * Reports of refused lines.
 */
#include "rejects.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "event/event.h"
#include "tool.h"
#include "util/buf.h"

struct nr_rejects {
	const char	*path;
	FILE		*file;		/* NULL: stderr alone */
	struct nr_buf	 text;
};

struct nr_rejects *
nr_rejects_open(const char *path)
{
	struct nr_rejects *r;
	int rc;

	if ((r = calloc(1, sizeof(*r))) == NULL)
		nr_die(ENOMEM, "rejects");
	r->path = path;
	if (path != NULL && (r->file = fopen(path, "we")) == NULL) {
		rc = errno;
		free(r);
		nr_die(rc, "%s", path);
	}
	return r;
}

void
nr_rejects_close(struct nr_rejects *r)
{
	int failed;

	if (r->file != NULL) {
		failed = fflush(r->file) != 0 || ferror(r->file);
		if (fclose(r->file) != 0 || failed)
			nr_die(errno, "%s", r->path);
	}
	nr_buf_free(&r->text);
	free(r);
}

int
nr_rejects_wanted(const struct nr_rejects *r)
{
	return r->file != NULL;
}

void
nr_rejects_add(struct nr_rejects *r, const char *line, size_t len)
{
	if (r->file != NULL && fwrite(line, 1, len, r->file) != len)
		nr_die(errno, "%s", r->path);
}

static void
report(struct nr_rejects *r, const char *file, uint64_t lineno,
    enum nr_verdict v, size_t pos, const char *line, size_t len)
{
	struct nr_buf *t = &r->text;
	const char *id = line == NULL ? NULL : nr_event_peek_id(line, len);
	const char *what = nr_verdict_str(v);
	int rc;

	t->len = 0;
	rc = nr_buf_addf(t, "{\"line\":%" PRIu64, lineno);
	if (rc == 0 && file != NULL) {
		rc = nr_buf_adds(t, ",\"file\":");
		if (rc == 0)
			rc = nr_buf_addjson(t, file, strlen(file));
	}
	if (rc == 0 && nr_verdict_has_pos(v))
		rc = nr_buf_addf(t, ",\"byte\":%zu", pos + 1);
	if (rc == 0 && id != NULL)
		rc = nr_buf_addf(t, ",\"id\":\"%.64s\"", id);
	if (rc == 0)
		rc = nr_buf_addf(t, ",\"reason\":\"%s\",\"message\":\"%s\"}\n",
		    nr_verdict_name(v), what);
	if (rc != 0)
		nr_die(rc, "rejects");
	nr_rejects_add(r, t->p, t->len);
}

void
nr_reject(struct nr_rejects *r, const char *file, uint64_t lineno,
    enum nr_verdict v, size_t pos, const char *line, size_t len)
{
	const char *sep = file == NULL ? "" : ": ";

	if (file == NULL)
		file = "";
	if (nr_verdict_has_pos(v))
		nr_warn("%s%sline %" PRIu64 ", byte %zu: %s", file, sep,
		    lineno, pos + 1, nr_verdict_str(v));
	else
		nr_warn("%s%sline %" PRIu64 ": %s", file, sep, lineno,
		    nr_verdict_str(v));
	if (r->file != NULL)
		report(r, *file == '\0' ? NULL : file, lineno, v, pos, line,
		    len);
}
