/*
 * NIP-66, tag by tag.
 */
#include "bench/nip66.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "util/err.h"

#define NIPS_MAX	(NR_NIP11_NIPS + 16)

/* ---- URLs */

static int
digit_of(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if ((c | 32) >= 'a' && (c | 32) <= 'f')
		return (c | 32) - 'a' + 10;
	return -1;
}

static int
unreserved(int c)
{
	return (c >= '0' && c <= '9') || ((c | 32) >= 'a' && (c | 32) <= 'z') ||
	    (c != '\0' && strchr("-._~", c) != NULL);
}

/*
 * Escapes: those of unreserved characters go, the others are upper case.
 * In place; returns whether some have gone.
 */
static int
unescape(char *path)
{
	static const char hex[] = "0123456789ABCDEF";
	const char *in = path;
	char *out = path;
	int high, low;

	while (*in != '\0') {
		if (*in != '%' || (high = digit_of(in[1])) < 0 ||
		    (low = digit_of(in[2])) < 0) {
			*out++ = *in++;
			continue;
		}
		in += 3;
		if (unreserved(high * 16 + low)) {
			*out++ = (char)(high * 16 + low);
			continue;
		}
		*out++ = '%';
		*out++ = hex[high];
		*out++ = hex[low];
	}
	*out = '\0';
	return out < in;
}

/* Segments of dots go, in place, as in section 5.2.4; the query stays. */
static void
remove_dots(char *path)
{
	char *in = path, *out = path, *end;
	size_t n;

	while (*in == '/') {
		end = in + 1 + strcspn(in + 1, "/?");
		n = (size_t)(end - in);
		if (n == 2 && in[1] == '.') {
			if (*end != '/')
				*out++ = '/';
		} else if (n == 3 && in[1] == '.' && in[2] == '.') {
			while (out > path && *--out != '/')
				continue;
			if (*end != '/')
				*out++ = '/';
		} else {
			memmove(out, in, n);
			out += n;
		}
		in = end;
	}
	memmove(out, in, strlen(in) + 1);
}

/* As nr_url_parse() does: dots may have left some. */
static void
remove_slashes(char *path)
{
	size_t n = strlen(path);

	if (strchr(path, '?') == NULL)
		while (n > 1 && path[n - 1] == '/')
			path[--n] = '\0';
}

void
nr_nip66_url(char out[NR_NIP66_URL], const struct nr_url *u)
{
	int bare = strcmp(u->port, u->tls ? "443" : "80") == 0;
	int ip6 = strchr(u->host, ':') != NULL;
	char path[sizeof(u->path)];

	snprintf(path, sizeof(path), "%s", u->path);
	/* What goes may make an escape of what was none: "%7%65". */
	while (unescape(path))
		continue;
	remove_dots(path);
	remove_slashes(path);
	snprintf(out, NR_NIP66_URL, "%s://%s%s%s%s%s%s",
	    u->tls ? "wss" : "ws", ip6 ? "[" : "", u->host, ip6 ? "]" : "",
	    bare ? "" : ":", bare ? "" : u->port, path);
}

const char *
nr_nip66_network(const char *host)
{
	static const char *const name[][2] = {
		{ ".onion", "tor" }, { ".i2p", "i2p" }, { ".loki", "loki" }
	};
	size_t n = strlen(host), i, m;

	for (i = 0; i < sizeof(name) / sizeof(name[0]); i++) {
		m = strlen(name[i][0]);
		if (n > m && strcmp(host + n - m, name[i][0]) == 0)
			return name[i][1];
	}
	return "clearnet";
}

/* ---- tags; rc is what has failed so far */

static int
add_tag(struct nr_buf *b, const char *name, const char *value)
{
	int rc = NR_OK;

	if (b->len > 0 && b->p[b->len - 1] == ']')
		rc = nr_buf_adds(b, ",");
	if (rc == NR_OK)
		rc = nr_buf_addf(b, "[\"%s\",", name);
	if (rc == NR_OK)
		rc = nr_buf_addjson(b, value, strlen(value));
	return rc != NR_OK ? rc : nr_buf_adds(b, "]");
}

static int
add_number(struct nr_buf *b, const char *name, const char *sign, int64_t n)
{
	char text[32];

	snprintf(text, sizeof(text), "%s%" PRId64, sign, n);
	return add_tag(b, name, text);
}

static int
add_time(struct nr_buf *b, const char *name, int64_t ms)
{
	return ms < 0 ? NR_OK : add_number(b, name, "", ms);
}

static int
add_requirement(struct nr_buf *b, const char *name, int is)
{
	char text[16];

	if (is < 0)
		return NR_OK;
	snprintf(text, sizeof(text), "%s%s", is ? "" : "!", name);
	return add_tag(b, "R", text);
}

static int
by_number(const void *a, const void *b)
{
	unsigned x = *(const unsigned *)a, y = *(const unsigned *)b;

	return x < y ? -1 : x > y;
}

/* Those of the document and those found, without those found missing. */
static int
add_nips(struct nr_buf *b, const struct nr_nip66 *r)
{
	unsigned nip[NIPS_MAX], n = 0, i;
	size_t k;
	int rc = NR_OK, known;

	for (i = 0; r->info != NULL && i < r->info->nnips; i++) {
		for (known = 0, k = 0; k < r->nnips; k++)
			known |= r->nip[k].number == r->info->nips[i];
		if (!known)
			nip[n++] = r->info->nips[i];
	}
	for (k = 0; k < r->nnips && n < NIPS_MAX; k++)
		if (r->nip[k].yes)
			nip[n++] = r->nip[k].number;
	qsort(nip, n, sizeof(nip[0]), by_number);
	for (i = 0; i < n && rc == NR_OK; i++)
		rc = add_number(b, "N", "", nip[i]);
	return rc;
}

static int
add_kinds(struct nr_buf *b, const struct nr_nip66 *r)
{
	int rc = NR_OK;
	size_t i;

	for (i = 0; i < r->nkinds && rc == NR_OK; i++)
		rc = add_number(b, "k", r->kind[i].yes ? "" : "!",
		    r->kind[i].number);
	return rc;
}

/* Words stand in the document as JSON has them, and do so here. */
static int
add_word(struct nr_buf *b, const char *name, struct nr_view v,
    const char *more)
{
	return nr_buf_addf(b, ",[\"%s\",\"%.*s\"%s]", name, (int)v.len, v.p,
	    more);
}

/* "en" is a language of ISO 639-1; what is longer is BCP 47's. */
static int
add_words(struct nr_buf *b, const struct nr_nip11 *d)
{
	int rc = NR_OK;
	unsigned i;

	for (i = 0; i < d->ntopics && rc == NR_OK; i++)
		rc = add_word(b, "t", d->topic[i], "");
	for (i = 0; i < d->nlanguages && rc == NR_OK; i++)
		if (d->language[i].len == 2)
			rc = add_word(b, "l", d->language[i],
			    ",\"ISO-639-1\"");
	return rc;
}

/* NIP-50 is what makes a relay one for searching. */
static int
add_types(struct nr_buf *b, const struct nr_nip11 *d)
{
	return nr_nip11_names(d, 50) ? add_tag(b, "T", "Search") : NR_OK;
}

static int
add_tags(struct nr_buf *b, const struct nr_nip66 *r)
{
	char url[NR_NIP66_URL];
	int rc;

	nr_nip66_url(url, r->url);
	if ((rc = add_tag(b, "d", url)) != NR_OK ||
	    (rc = add_tag(b, "n", nr_nip66_network(r->url->host))) != NR_OK ||
	    (rc = add_nips(b, r)) != NR_OK ||
	    (rc = add_requirement(b, "auth", r->auth)) != NR_OK ||
	    (rc = add_requirement(b, "writes", r->writes)) != NR_OK ||
	    (rc = add_requirement(b, "pow", r->pow)) != NR_OK ||
	    (rc = add_requirement(b, "payment", r->payment)) != NR_OK ||
	    (rc = add_kinds(b, r)) != NR_OK ||
	    (rc = add_time(b, "rtt-open", r->open_ms)) != NR_OK ||
	    (rc = add_time(b, "rtt-read", r->read_ms)) != NR_OK ||
	    (rc = add_time(b, "rtt-write", r->write_ms)) != NR_OK)
		return rc;
	if (r->info == NULL)
		return NR_OK;
	if ((rc = add_types(b, r->info)) != NR_OK)
		return rc;
	return add_words(b, r->info);
}

int
nr_nip66_relay(struct nr_buf *b, const struct nr_nip66 *r)
{
	int rc;

	if ((rc = nr_buf_addf(b, "{\"kind\":30166,\"created_at\":%" PRId64
	    ",\"tags\":[", r->time)) != NR_OK ||
	    (rc = add_tags(b, r)) != NR_OK ||
	    (rc = nr_buf_adds(b, "],\"content\":")) != NR_OK ||
	    (rc = nr_buf_addjson(b, r->document.len > 0 ? r->document.p : "",
	    r->document.len)) != NR_OK)
		return rc;
	return nr_buf_adds(b, "}");
}

static int
add_checks(struct nr_buf *b, const struct nr_nip66_check *check)
{
	const struct nr_nip66_check *c;
	int rc = NR_OK;

	/* In the order of the NIP's example: the check, then its time. */
	for (c = check; c->name != NULL && rc == NR_OK; c++)
		if (c->timeout_ms > 0)
			rc = nr_buf_addf(b, ",[\"timeout\",\"%s\",\"%" PRId64
			    "\"]", c->name, c->timeout_ms);
	for (c = check; c->name != NULL && rc == NR_OK; c++)
		rc = add_tag(b, "c", c->name);
	return rc;
}

int
nr_nip66_monitor(struct nr_buf *b, int64_t time, int64_t frequency,
    const struct nr_nip66_check *check)
{
	int rc;

	if ((rc = nr_buf_addf(b, "{\"kind\":10166,\"created_at\":%" PRId64
	    ",\"tags\":[[\"frequency\",\"%" PRId64 "\"]", time,
	    frequency)) != NR_OK || (rc = add_checks(b, check)) != NR_OK)
		return rc;
	return nr_buf_adds(b, "],\"content\":\"\"}");
}
