/*
 * What nr-publish says: a JSON line for each event and relay, and figures
 * at the end.
 */
#include "publish.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "keyopt.h"
#include "sink.h"
#include "tool.h"
#include "util/err.h"
#include "util/hex.h"

static void
need(int rc)
{
	if (rc != NR_OK)
		nr_die(rc, "report");
}

static void
add_text(struct nr_buf *b, const char *key, const char *text)
{
	need(nr_buf_addf(b, ",\"%s\":", key));
	need(nr_buf_addjson(b, text, strlen(text)));
}

void
nr_pub_tell(struct nr_pub_relay *r, const struct nr_pub_flight *f,
    const struct nr_pub_item *it, int accepted, const char *text, int64_t ms)
{
	static const char *const word[] = { "null", "false", "true" };
	struct nr_buf b = { 0 };
	char id[65] = "";

	if (r->pub->quiet)
		return;
	nr_hex_encode(id, it->id, 32);
	need(nr_buf_adds(&b, "{\"relay\":"));
	need(nr_buf_addjson(&b, r->name, strlen(r->name)));
	need(nr_buf_addf(&b, ",\"line\":%" PRIu64 ",\"id\":\"%s\","
	    "\"accepted\":%s", it->line, id, word[accepted + 1]));
	add_text(&b, "message", text);
	need(nr_buf_addf(&b, ",\"ms\":%" PRId64 ",\"attempts\":%u}\n", ms,
	    f->attempts));
	nr_out(b.p, b.len);
	nr_buf_free(&b);
}

static int64_t
average(const struct nr_pub_relay *r)
{
	uint64_t n = r->accepted + r->refused;

	return n == 0 ? 0 : r->ms_sum / (int64_t)n;
}

static void
relay_summary(const struct nr_pub_relay *r)
{
	nr_say("%s: %" PRIu64 " accepted (%" PRIu64 " known before), %" PRIu64
	    " refused%s%.120s%s%s, %" PRIu64 " unanswered, %" PRId64
	    " ms on average%s%s", r->name, r->accepted, r->duplicates,
	    r->refused, r->refused > 0 ? " (first: " : "",
	    r->refused > 0 ? r->refusal : "", r->refused > 0 ? ")" : "",
	    nr_key_hint(r->pub->key, r->refusal), r->failed, average(r), r->over ? "; given up: " :
	    *r->notice != '\0' ? "; notice: " : "",
	    r->over ? r->why : r->notice);
}

static void
kept_summary(uint64_t n, const char *what, const char *option)
{
	if (n > 0)
		nr_say("%" PRIu64 " %s%s stayed here%s", n, what, NR_S(n),
		    option);
}

void
nr_pub_summary(const struct nr_pub *p)
{
	unsigned i;

	for (i = 0; i < p->nrelays; i++)
		relay_summary(&p->relay[i]);
	kept_summary(p->kept_private, "private event", " (--private)");
	kept_summary(p->kept_protected, "protected event", " (--protected)");
	kept_summary(p->kept_auth, "kind 22242 event", "");
	nr_say("%" PRIu64 " event%s: %" PRIu64 " accepted by %u or more, %"
	    PRIu64 " not; invalid lines: %" PRIu64, p->events,
	    NR_S(p->events), p->enough, p->min, p->events - p->enough,
	    p->invalid);
}

static void
add_relay(struct nr_buf *b, const struct nr_pub_relay *r)
{
	struct nr_peer_figures f;
	struct nr_pub_place at;

	nr_peer_figures(r->peer, &f);
	nr_pub_relay_place(r, &at);
	need(nr_buf_adds(b, "{\"relay\":"));
	need(nr_buf_addjson(b, r->name, strlen(r->name)));
	need(nr_buf_addf(b, ",\"accepted\":%" PRIu64 ",\"duplicates\":%"
	    PRIu64 ",\"refused\":%" PRIu64 ",\"unanswered\":%" PRIu64
	    ",\"sent\":%" PRIu64 ",\"connections\":%" PRIu64
	    ",\"failed_connections\":%" PRIu64 ",\"bytes_out\":%" PRIu64
	    ",\"bytes_in\":%" PRIu64 ",\"stray\":%" PRIu64
	    ",\"ms_average\":%" PRId64 ",\"ms_max\":%" PRId64
	    ",\"line\":%" PRIu64 ",\"given_up\":%s", r->accepted,
	    r->duplicates, r->refused, r->failed, r->sent, f.opened, f.failed,
	    f.bytes_out, f.bytes_in, r->stray, average(r), r->ms_max, at.line,
	    r->over ? "true" : "false"));
	add_text(b, "fault", r->why);
	add_text(b, "notice", r->notice);
	add_text(b, "refusal", r->refusal);
	need(nr_buf_adds(b, "}\n"));
}

void
nr_pub_report(const struct nr_pub *p, const char *path)
{
	struct nr_buf b = { 0 };
	unsigned i;

	for (i = 0; i < p->nrelays; i++)
		add_relay(&b, &p->relay[i]);
	need(nr_buf_addf(&b, "{\"events\":%" PRIu64 ",\"enough\":%" PRIu64
	    ",\"invalid\":%" PRIu64 ",\"kept\":{\"private\":%" PRIu64
	    ",\"protected\":%" PRIu64 ",\"auth\":%" PRIu64 "}}\n", p->events,
	    p->enough, p->invalid, p->kept_private, p->kept_protected,
	    p->kept_auth));
	nr_write_file(path, b.p, b.len);
	nr_buf_free(&b);
}
