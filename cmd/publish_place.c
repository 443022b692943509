/*
 * --resume: a JSON line a relay, with the number of lines of the input up
 * to which it has answered everything, and their hash:
 *
 *	{"relay":"wss://a/","line":12,"hash":"<64 digits>"}
 *
 * Relays that are not part of this run keep their lines.
 */
#include "publish.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "sink.h"
#include "tool.h"
#include "util/err.h"
#include "util/hex.h"
#include "util/json.h"
#include "wire/url.h"

#define FILE_MAX	((size_t)1024 * 1024)	/* bytes */

/* A line of the file taken apart. */
struct entry {
	struct nr_url		 url;
	struct nr_pub_place	 place;
};

/* The file as it was, for the relays that are somebody else's. */
static struct nr_buf others;
/* What was written last. */
static struct nr_buf written;
/* By which the file is ours, to the end. */
static int held;

static int
read_number(struct nr_view v, uint64_t *out)
{
	struct nr_json j = { v.p, v.p + v.len };
	int64_t n;

	if (nr_json_int(&j, &n, NULL) != NR_JSON_OK || n < 0)
		return 0;
	*out = (uint64_t)n;
	return 1;
}

static int
unquote(struct nr_view *v)
{
	if (v->len < 2 || v->p[0] != '"')
		return 0;
	v->p++;
	v->len -= 2;
	return 1;
}

static int
read_url(struct nr_view v, struct nr_url *out)
{
	char text[2048];

	if (!unquote(&v) || v.len > sizeof(text))
		return 0;
	return nr_url_parse(out, text, nr_json_decode(text, v.p, v.len));
}

static int
read_entry(struct entry *e, struct nr_view line)
{
	struct nr_json j = { line.p, line.p + line.len };
	struct nr_view key, v;
	unsigned seen = 0;
	int more;

	if (nr_json_expect(&j, '{') != NR_JSON_OK)
		return 0;
	while ((more = nr_json_member(&j, &key, &v)) == 1) {
		if (nr_view_is(key, "relay") && read_url(v, &e->url))
			seen |= 1;
		else if (nr_view_is(key, "line") &&
		    read_number(v, &e->place.line))
			seen |= 2;
		else if (nr_view_is(key, "hash") && unquote(&v) &&
		    v.len == 64 && nr_hex_decode(e->place.chain, v.p, 32))
			seen |= 4;
		else
			return 0;
	}
	return more == 0 && seen == 7;
}

static void
take_line(struct nr_pub *p, const char *path, struct nr_view line)
{
	struct entry e;
	unsigned i;

	memset(&e, 0, sizeof(e));
	if (!read_entry(&e, line))
		nr_bad_usage("%s: not a file of --resume", path);
	for (i = 0; i < p->nrelays; i++)
		if (nr_url_same(&p->relay[i].url, &e.url)) {
			p->relay[i].start = e.place;
			return;
		}
	if (nr_buf_add(&others, line.p, line.len) != NR_OK ||
	    nr_buf_adds(&others, "\n") != NR_OK)
		nr_die(ENOMEM, "%s", path);
}

void
nr_pub_places_read(struct nr_pub *p, const char *path)
{
	struct nr_buf text = { 0 };
	const char *at, *nl;
	ssize_t n;
	int rc;

	held = nr_hold_file(path);
	do {
		if ((rc = nr_buf_reserve(&text, 65536)) != NR_OK)
			nr_die(rc, "%s", path);
		if ((n = read(held, text.p + text.len, 65536)) < 0)
			nr_die(errno, "%s", path);
		text.len += (size_t)n;
	} while (n > 0 && text.len <= FILE_MAX);
	if (text.len > FILE_MAX || (text.len > 0 &&
	    text.p[text.len - 1] != '\n'))
		nr_bad_usage("%s: not a file of --resume", path);
	for (at = text.p; at < text.p + text.len; at = nl + 1) {
		nl = memchr(at, '\n', (size_t)(text.p + text.len - at));
		take_line(p, path, (struct nr_view){ at, (size_t)(nl - at) });
	}
	nr_buf_free(&text);
}

static int
add_entry(struct nr_buf *b, const struct nr_pub_relay *r)
{
	struct nr_pub_place at;
	char hex[65] = "";
	int rc;

	nr_pub_relay_place(r, &at);
	nr_hex_encode(hex, at.chain, 32);
	if ((rc = nr_buf_adds(b, "{\"relay\":")) == NR_OK)
		rc = nr_buf_addjson(b, r->name, strlen(r->name));
	if (rc == NR_OK)
		rc = nr_buf_addf(b, ",\"line\":%" PRIu64 ",\"hash\":\"%s\"}\n",
		    at.line, hex);
	return rc;
}

void
nr_pub_places_write(struct nr_pub *p, const char *path)
{
	struct nr_buf b = { 0 };
	unsigned i;
	int rc;

	rc = nr_buf_add(&b, others.p, others.len);
	for (i = 0; rc == NR_OK && i < p->nrelays; i++)
		rc = add_entry(&b, &p->relay[i]);
	if (rc != NR_OK)
		nr_die(rc, "%s", path);
	if (b.len == written.len && b.len > 0 &&
	    memcmp(b.p, written.p, b.len) == 0) {
		nr_buf_free(&b);
		return;
	}
	nr_write_held(&held, path, b.p, b.len);
	nr_buf_free(&written);
	written = b;
}
