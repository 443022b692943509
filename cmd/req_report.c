/*
 * nr-req: what it tells of relays, and what --count and --info print.
 */
#include "req.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "keyopt.h"
#include "sink.h"
#include "tool.h"
#include "util/err.h"
#include "util/json.h"

static const char *const status_name[] = {
	[REQ_OK] = "ok", [REQ_PARTIAL] = "partial",
	[REQ_REFUSED] = "refused", [REQ_FAILED] = "failed"
};

/* The URL as peers have it. */
static const char *
url_of(const struct req_relay *r, char *buf, size_t size)
{
	int bare = strcmp(r->url.port, r->url.tls ? "443" : "80") == 0;
	int ip6 = strchr(r->url.host, ':') != NULL;

	snprintf(buf, size, "%s://%s%s%s%s%s%s", r->url.tls ? "wss" : "ws",
	    ip6 ? "[" : "", r->url.host, ip6 ? "]" : "", bare ? "" : ":",
	    bare ? "" : r->url.port, r->url.path);
	return buf;
}

static void
figures(const struct req_relay *r, struct nr_sieve_figures *f,
    struct nr_peer_figures *p)
{
	memset(f, 0, sizeof(*f));
	memset(p, 0, sizeof(*p));
	if (r->req->sieve != NULL)
		nr_sieve_figures(r->req->sieve, r->index, f);
	if (r->peer != NULL)
		nr_peer_figures(r->peer, p);
}

static int
add_report(struct nr_buf *b, const struct req_relay *r)
{
	struct nr_sieve_figures f;
	struct nr_peer_figures p;
	char url[1400];
	int rc;

	figures(r, &f, &p);
	url_of(r, url, sizeof(url));
	if ((rc = nr_buf_adds(b, "{\"relay\":")) != NR_OK ||
	    (rc = nr_buf_addjson(b, url, strlen(url))) != NR_OK ||
	    (rc = nr_buf_addf(b, ",\"status\":\"%s\"",
	    status_name[r->status])) != NR_OK)
		return rc;
	if (r->fault != NR_FAULT_NONE && (rc = nr_buf_addf(b,
	    ",\"error\":\"%s\"", nr_fault_name(r->fault))) != NR_OK)
		return rc;
	if ((rc = nr_buf_adds(b, ",\"message\":")) != NR_OK ||
	    (rc = nr_buf_addjson(b, r->text, strlen(r->text))) != NR_OK)
		return rc;
	if (r->has_count && (rc = nr_buf_addf(b, ",\"count\":%" PRIu64
	    ",\"approximate\":%s,\"hll\":%s", r->count, r->approximate ?
	    "true" : "false", r->has_hll ? "true" : "false")) != NR_OK)
		return rc;
	return nr_buf_addf(b, ",\"auth\":%s,\"events\":%" PRIu64
	    ",\"new\":%" PRIu64 ",\"known\":%" PRIu64 ",\"invalid\":%" PRIu64
	    ",\"unasked\":%" PRIu64 ",\"malformed\":%" PRIu64
	    ",\"stray\":%" PRIu64 ",\"too_long\":%" PRIu64
	    ",\"notices\":%u,\"connections\":%" PRIu64 ",\"failures\":%" PRIu64
	    ",\"bytes_in\":%" PRIu64 ",\"milliseconds\":%" PRId64 "}\n",
	    r->proof > 0 ? "\"accepted\"" : r->proof < 0 ? "\"refused\"" :
	    "null", r->events, f.written, f.known, f.invalid, r->unasked,
	    r->malformed + p.malformed, r->fetcher != NULL ?
	    nr_fetcher_strays(r->fetcher) : 0, p.dropped, r->notices,
	    p.opened, p.failed, p.bytes_in, r->ms);
}

/* What it should not have sent. */
static uint64_t
rubbish(const struct req_relay *r)
{
	struct nr_sieve_figures f;
	struct nr_peer_figures p;

	figures(r, &f, &p);
	return f.invalid + r->unasked + r->malformed + p.malformed +
	    p.dropped;
}

static void
say(const struct req_relay *r)
{
	struct nr_sieve_figures f;
	struct nr_peer_figures p;
	const char *hint = nr_key_hint(r->req->signer.key, r->text);
	uint64_t bad = rubbish(r);
	char url[1400], refused[64] = "";

	figures(r, &f, &p);
	url_of(r, url, sizeof(url));
	if (bad > 0)
		snprintf(refused, sizeof(refused), ", %" PRIu64
		    " not taken", bad);
	if (r->req->mode != REQ_FETCH) {
		if (r->status != REQ_OK)
			nr_warn("%s: %s: %s%s", url, status_name[r->status],
			    r->text, hint);
		return;
	}
	nr_warn("%s: %" PRIu64 " event%s, %" PRIu64 " new%s: %s%s%s%s", url,
	    r->events, NR_S(r->events), f.written, refused,
	    status_name[r->status], *r->text != '\0' ? ": " : "", r->text,
	    hint);
}

void
req_summary(const struct req *q)
{
	struct nr_buf b = { 0 };
	unsigned i;

	for (i = 0; i < q->nrelays; i++) {
		say(&q->relay[i]);
		if (q->report != NULL && add_report(&b, &q->relay[i]) != NR_OK)
			nr_die(ENOMEM, "report");
	}
	if (q->report != NULL)
		nr_write_file(q->report, b.p, b.len);
	nr_buf_free(&b);
}

int
req_exit_status(const struct req *q)
{
	unsigned i, bad = 0, answered = 0;

	for (i = 0; i < q->nrelays; i++) {
		answered += q->relay[i].answered != 0;
		bad += q->relay[i].status != REQ_OK ||
		    rubbish(&q->relay[i]) > 0;
	}
	if (answered == 0 && bad > 0)
		return NR_EX_ENV;
	return bad > 0 ? NR_EX_NO : NR_EX_OK;
}

/* The largest count: relays share events, and nobody knows which. */
void
req_print_count(const struct req *q)
{
	unsigned char hll[NR_HLL_REGISTERS] = { 0 };
	unsigned i, n = 0, nhll = 0, approximate = 0;
	uint64_t most = 0;
	char text[160];

	for (i = 0; i < q->nrelays; i++) {
		const struct req_relay *r = &q->relay[i];

		if (!r->has_count)
			continue;
		n++;
		if (r->count >= most) {
			most = r->count;
			approximate = r->approximate != 0;
		}
		if (r->has_hll) {
			nhll++;
			nr_hll_merge(hll, r->hll);
		}
	}
	if (n == 0)
		return;
	snprintf(text, sizeof(text), "{\"count\":%" PRIu64
	    ",\"approximate\":%s,\"relays\":%u", most,
	    approximate || n > 1 ? "true" : "false", n);
	nr_outs(text);
	if (nhll > 0) {
		snprintf(text, sizeof(text), ",\"authors\":%.0f,\"hll\":%u",
		    nr_hll_estimate(hll), nhll);
		nr_outs(text);
	}
	nr_outs("}\n");
}

/* Write JSON without the white space between its values. */
static void
write_compact(const char *p, size_t len)
{
	const char *end = p + len, *from;
	struct nr_view v;
	unsigned flags = 0;

	while (p < end) {
		struct nr_json j = { p, end };

		if (*p == '"') {
			(void)nr_json_string(&j, &v, &flags);
			nr_out(p, (size_t)(j.p - p));
			p = j.p;
			continue;
		}
		for (from = p; p < end && *p != '"' && *p > ' ';)
			p++;
		nr_out(from, (size_t)(p - from));
		while (p < end && *p <= ' ')
			p++;
	}
}

/* Is it one JSON object? */
static int
is_object(const struct nr_buf *b)
{
	struct nr_json j = { b->p, b->p + b->len };

	nr_json_space(&j);
	if (j.p == j.end || *j.p != '{' ||
	    nr_json_skip(&j, NR_JSON_DEPTH_MAX) != NR_JSON_OK)
		return 0;
	nr_json_space(&j);
	return j.p == j.end;
}

void
req_print_info(const struct req *q)
{
	struct nr_buf b = { 0 };
	char url[1400];
	unsigned i;

	for (i = 0; i < q->nrelays; i++) {
		struct req_relay *r = &q->relay[i];

		if (r->document.len == 0 && !r->answered)
			continue;
		if (!is_object(&r->document)) {
			r->status = REQ_REFUSED;
			snprintf(r->text, sizeof(r->text),
			    "what it sends is not a JSON object");
			continue;
		}
		if (q->nrelays > 1) {
			b.len = 0;
			url_of(r, url, sizeof(url));
			if (nr_buf_adds(&b, "{\"relay\":") != NR_OK ||
			    nr_buf_addjson(&b, url, strlen(url)) != NR_OK ||
			    nr_buf_adds(&b, ",\"info\":") != NR_OK)
				nr_die(ENOMEM, "info");
			nr_out(b.p, b.len);
		}
		write_compact(r->document.p, r->document.len);
		nr_outs(q->nrelays > 1 ? "}\n" : "\n");
	}
	nr_buf_free(&b);
}
