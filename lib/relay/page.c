/*
 * The page for browsers: the configuration and some live figures, in
 * words.  It needs no script and nothing from elsewhere; whatever the
 * operator has configured is escaped.
 */
#include "relay/internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "event/nip19.h"
#include "util/err.h"
#include "util/hex.h"
#include "util/html.h"
#include "util/times.h"
#include "util/version.h"
#include "wire/message.h"

#define EVENTS_MS	5000	/* how old their number may be */

/* Three dots on a wire. */
const char nr_page_icon[] =
    "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 32 32\">"
    "<rect width=\"32\" height=\"32\" rx=\"7\" fill=\"#6d3fc0\"/>"
    "<path d=\"M7 22 16 9l9 13\" fill=\"none\" stroke=\"#fff\""
    " stroke-width=\"2.5\"/><g fill=\"#fff\"><circle cx=\"7\" cy=\"22\""
    " r=\"4\"/><circle cx=\"16\" cy=\"9\" r=\"4\"/><circle cx=\"25\""
    " cy=\"22\" r=\"4\"/></g></svg>";

static const char style[] =
    ":root{color-scheme:light dark;--bg:#f6f5f9;--card:#fff;--fg:#1d1b24;"
    "--dim:#625d70;--line:#e3e0ea;--accent:#6334b3;--soft:#efe9fa}"
    "@media(prefers-color-scheme:dark){:root{--bg:#131118;--card:#1c1923;"
    "--fg:#ece9f3;--dim:#a39db3;--line:#322d3d;--accent:#c3a6ff;"
    "--soft:#2a2338}}"
    "*{box-sizing:border-box}"
    "body{margin:0;background:var(--bg);color:var(--fg);"
    "font:16px/1.55 system-ui,-apple-system,\"Segoe UI\",Roboto,"
    "\"Noto Sans\",sans-serif;-webkit-text-size-adjust:100%}"
    "header,main,footer{max-width:60rem;margin:0 auto;padding:0 1.25rem}"
    "header{padding-top:2.5rem;padding-bottom:1.25rem}"
    ".title{display:flex;gap:1rem;align-items:center}"
    ".title img,.title svg{width:3.5rem;height:3.5rem;flex:none;"
    "border-radius:.8rem;object-fit:cover}"
    "h1{margin:0;font-size:clamp(1.6rem,5vw,2.3rem);line-height:1.2;"
    "overflow-wrap:anywhere}"
    "h2{margin:0 0 .6rem;font-size:1.1rem;line-height:1.3}"
    "ul+h2{margin-top:1.2rem}"
    "p{margin:.5rem 0}p,li,dd{overflow-wrap:anywhere}"
    ".lead{margin-top:1rem;font-size:1.05rem;color:var(--dim);"
    "max-width:44rem}.lead p{white-space:pre-line}"
    "main{display:grid;gap:1rem;grid-template-columns:minmax(0,1fr)}"
    "section{background:var(--card);border:1px solid var(--line);"
    "border-radius:.8rem;padding:1.1rem 1.25rem;min-width:0}"
    "a{color:var(--accent)}"
    "code{font:.95em/1.5 ui-monospace,\"DejaVu Sans Mono\",Menlo,"
    "Consolas,monospace;overflow-wrap:anywhere}"
    ".url{display:block;background:var(--soft);color:var(--accent);"
    "border-radius:.5rem;padding:.6rem .8rem;margin:.5rem 0;"
    "user-select:all;font-weight:600}"
    "ul{margin:.4rem 0;padding-left:1.2rem}li{margin:.25rem 0}"
    ".live{display:grid;grid-template-columns:repeat(auto-fit,"
    "minmax(9.5rem,1fr));gap:1rem;background:none;border:0;padding:0}"
    ".live div{background:var(--card);border:1px solid var(--line);"
    "border-radius:.8rem;padding:.8rem 1rem}"
    ".live dt{color:var(--dim);font-size:.85rem}"
    ".live dd{margin:0;font-size:1.4rem;font-weight:650;"
    "font-variant-numeric:tabular-nums;overflow-wrap:normal;"
    "white-space:nowrap}"
    "dl{margin:0}"
    ".facts div{display:flex;justify-content:space-between;gap:1rem;"
    "padding:.35rem 0;border-bottom:1px solid var(--line)}"
    ".facts div:last-child{border-bottom:0}"
    ".facts dt{color:var(--dim)}.facts dd{margin:0;text-align:right;"
    "font-variant-numeric:tabular-nums}"
    ".numbers dd{white-space:nowrap}"
    ".nips{display:flex;flex-wrap:wrap;gap:.5rem;padding:0;margin:0;"
    "list-style:none}.nips li{margin:0}"
    ".nips a{display:block;background:var(--soft);border-radius:.5rem;"
    "padding:.25rem .6rem;font-size:.9rem;text-decoration:none}"
    ".nips a:hover{text-decoration:underline}"
    "footer{padding-top:1.25rem;padding-bottom:2.5rem;color:var(--dim);"
    "font-size:.9rem}"
    "@media(min-width:48rem){main{grid-template-columns:repeat(2,"
    "minmax(0,1fr))}.wide{grid-column:1/-1}}";

/* Errors are kept until the end. */
struct out {
	struct nr_buf			*b;
	const struct nr_relay_config	*c;
	int				 rc;
};

static void
put(struct out *o, const char *text)
{
	if (o->rc == NR_OK)
		o->rc = nr_buf_adds(o->b, text);
}

/* Text of the operator's. */
static void
put_text(struct out *o, const char *text)
{
	if (o->rc == NR_OK)
		o->rc = nr_html_add(o->b, text, strlen(text));
}

static void
item(struct out *o, const char *text)
{
	put(o, "<li>");
	put(o, text);
	put(o, "</li>\n");
}

/* What people read: 1,234,567. */
static void
format_number(char out[32], uint64_t v)
{
	char digits[24];
	int i, n = snprintf(digits, sizeof(digits), "%" PRIu64, v);

	for (i = 0; i < n; i++) {
		*out++ = digits[i];
		if (i < n - 1 && (n - 1 - i) % 3 == 0)
			*out++ = ',';
	}
	*out = '\0';
}

static void
format_bytes(char out[32], uint64_t v)
{
	if (v >= 1 << 20 && v % (1 << 20) == 0)
		snprintf(out, 32, "%" PRIu64 " MiB", v >> 20);
	else if (v >= 1 << 10 && v % (1 << 10) == 0)
		snprintf(out, 32, "%" PRIu64 " KiB", v >> 10);
	else
		snprintf(out, 32, "%" PRIu64 " bytes", v);
}

static void
format_time(char out[32], uint64_t s)
{
	static const struct {
		uint64_t	 seconds;
		const char	*name;
	} unit[] = {
		{ 86400, "day" }, { 3600, "hour" }, { 60, "minute" },
		{ 1, "second" }
	};
	size_t i = 0;

	while (i < 3 && s < unit[i].seconds)
		i++;
	s /= unit[i].seconds;
	snprintf(out, 32, "%" PRIu64 " %s%s", s, unit[i].name,
	    s == 1 ? "" : "s");
}

static void
fact(struct out *o, const char *name, const char *value)
{
	put(o, "<div><dt>");
	put(o, name);
	put(o, "</dt><dd>");
	put(o, value);
	put(o, "</dd></div>\n");
}

static void
fact_number(struct out *o, const char *name, uint64_t v)
{
	char text[32];

	format_number(text, v);
	fact(o, name, text);
}

static void
fact_bytes(struct out *o, const char *name, uint64_t v)
{
	char text[32];

	format_bytes(text, v);
	fact(o, name, text);
}

/* ---- parts of the page ------------------------------------------------------- */

/* A member of the information document; returns 0 where there is none. */
static int
info(struct out *o, struct nr_buf *text, const char *name)
{
	text->len = 0;
	if (o->rc == NR_OK)
		o->rc = nr_info_text(text, o->c, name);
	return o->rc == NR_OK && text->len > 0;
}

static void
put_info(struct out *o, struct nr_buf *text, const char *name,
    const char *other)
{
	if (!info(o, text, name))
		put(o, other);
	else
		o->rc = nr_html_add(o->b, text->p, text->len);
}

/* The operator's picture where it is in the text itself, else ours. */
static void
picture(struct out *o, struct nr_buf *text)
{
	if (info(o, text, "icon") && text->len > 11 &&
	    memcmp(text->p, "data:image/", 11) == 0) {
		put(o, "<img alt=\"\" src=\"");
		if (o->rc == NR_OK)
			o->rc = nr_html_add(o->b, text->p, text->len);
		put(o, "\">");
		return;
	}
	put(o, nr_page_icon);
}

static void
head(struct out *o, struct nr_buf *text)
{
	put(o, "<!doctype html>\n<html lang=\"en\">\n<head>\n"
	    "<meta charset=\"utf-8\">\n<meta name=\"viewport\" "
	    "content=\"width=device-width, initial-scale=1\">\n<title>");
	put_info(o, text, "name", "Nostr relay");
	put(o, "</title>\n<link rel=\"icon\" href=\"favicon.ico\" "
	    "type=\"image/svg+xml\">\n<style>");
	put(o, style);
	put(o, "</style>\n</head>\n<body>\n<header><div class=\"title\">");
	picture(o, text);
	put(o, "<h1>");
	put_info(o, text, "name", "Nostr relay");
	put(o, "</h1></div>\n<div class=\"lead\">");
	if (info(o, text, "description"))
		o->rc = nr_html_paragraphs(o->b, text->p, text->len);
	put(o, "</div></header>\n<main>\n");
}

/* Live events, as of some seconds ago at most. */
static uint64_t
count_events(struct nr_relay *r)
{
	struct nr_store_stat s;
	int64_t now = nr_now_ms();
	int rc;

	if (r->page_counted != 0 && now - r->page_counted < EVENTS_MS)
		return r->page_events;
	if ((rc = nr_snap_renew(r->snap)) == NR_OK) {
		rc = nr_snap_stat(r->snap, &s);
		nr_snap_release(r->snap);
	}
	if (rc == NR_OK)
		r->page_events = s.events;
	r->page_counted = now;
	return r->page_events;
}

static void
figures(struct out *o, struct nr_relay *r)
{
	time_t now = time(NULL);
	char text[32];

	put(o, "<dl class=\"live wide\">\n");
	fact_number(o, "Events stored", count_events(r));
	fact_number(o, "Connections now", r->nconns);
	fact_number(o, "Connections in all",
	    atomic_load(&r->metrics.connections));
	format_time(text, now > r->started ? (uint64_t)(now - r->started) :
	    0);
	fact(o, "Running for", text);
	put(o, "</dl>\n");
}

static void
connecting(struct out *o)
{
	unsigned i;

	put(o, "<section><h2>How to connect</h2>\n<p>This is a relay of "
	    "<a href=\"https://nostr.com\" rel=\"noreferrer\">Nostr</a>. "
	    "Add it to the relays of your Nostr client:</p>\n");
	for (i = 0; i < o->c->nurl; i++) {
		put(o, "<code class=\"url\">");
		put_text(o, o->c->url[i]);
		put(o, "</code>\n");
	}
	if (o->c->nurl == 0)
		put(o, "<p>Its address is that of this page, with "
		    "<code>wss://</code> in place of <code>https://</code>, "
		    "or <code>ws://</code> in place of <code>http://</code>."
		    "</p>\n");
	put(o, "</section>\n");
}

static void
access_rules(struct out *o)
{
	static const char *const reader[] = {
		"Anybody may read.",
		"To read, a client must authenticate (NIP-42).",
		"Only members may read, after authentication (NIP-42)."
	};
	static const char *const writer[] = {
		"Anybody may publish.",
		"To publish, a client must authenticate (NIP-42).",
		"Only members may publish, after authentication (NIP-42)."
	};
	static const char *const decided[NR_ASKS] = {
		[NR_ASK_NEW] = "A policy decides about each event.",
		[NR_ASK_REQ] = "A policy decides about each request.",
		[NR_ASK_CONNECT] = "A policy decides who may connect."
	};
	unsigned i;
	char text[96];

	put(o, "<section><h2>Who may use it</h2>\n<ul>\n");
	item(o, reader[o->c->read]);
	item(o, writer[o->c->write]);
	for (i = 0; o->c->policy != NULL && i < NR_ASKS; i++)
		if (o->c->policy_asks & NR_ASK_BIT(i))
			item(o, decided[i]);
	if (o->c->min_pow > 0) {
		snprintf(text, sizeof(text), "Events need a proof of work of "
		    "%" PRIu64 " bits (NIP-13).", o->c->min_pow);
		item(o, text);
	}
	if (o->c->nprivate_kinds > 0) {
		put(o, "<li>Private events are shown to their author and "
		    "recipients only, after authentication: kinds ");
		for (i = 0; i < o->c->nprivate_kinds; i++) {
			snprintf(text, sizeof(text), "%s%u",
			    i > 0 ? ", " : "",
			    (unsigned)o->c->private_kinds[i]);
			put(o, text);
		}
		put(o, ".</li>\n");
	}
	item(o, "Protected events (NIP-70) are taken from their author "
	    "only.");
	put(o, "</ul></section>\n");
}

static void
limits(struct out *o)
{
	const struct nr_relay_config *c = o->c;
	char text[64];

	put(o, "<section><h2>Limits</h2>\n"
	    "<dl class=\"facts numbers\">\n");
	fact_bytes(o, "Message", c->max_message);
	fact_bytes(o, "Event", c->max_event);
	fact_number(o, "Characters of its content", c->max_content);
	fact_number(o, "Tags of an event", c->max_event_tags);
	if (c->max_age > 0) {
		format_time(text, c->max_age);
		fact(o, "Age of an event, at most", text);
	}
	format_time(text, c->max_future);
	fact(o, "<code>created_at</code> ahead of the clock", text);
	fact_number(o, "Subscriptions of a connection",
	    c->max_subscriptions);
	fact_number(o, "Filters of a subscription", c->max_filters);
	fact_number(o, "Values in a list of a filter",
	    c->max_filter_values);
	fact_number(o, "<code>limit</code>, at most", c->max_limit);
	fact_number(o, "<code>limit</code>, where none is given",
	    c->default_limit < c->max_limit ? c->default_limit :
	    c->max_limit);
	if (c->ip_connections > 0)
		fact_number(o, "Connections from an address",
		    c->ip_connections);
	snprintf(text, sizeof(text), "%d characters", NR_SUBID_CHARS);
	fact(o, "Subscription id", text);
	put(o, "</dl></section>\n");
}

static void
keeping(struct out *o)
{
	char text[80];

	put(o, "<h2>What is kept</h2>\n<ul>\n");
	item(o, "Events are kept until their author deletes them (NIP-09), "
	    "a newer version replaces them, they expire (NIP-40), or the "
	    "operator removes them.");
	item(o, "Whoever asks to vanish (NIP-62) has all of its events "
	    "removed, and the gift wraps that were sent to it.");
	item(o, "What is deleted is not shown any more, and not taken "
	    "again.");
	if (o->c->scrub_seconds > 0) {
		snprintf(text, sizeof(text), "It is off the disk after %"
		    PRIu64 " hours.", (o->c->scrub_seconds + 3599) / 3600);
		item(o, text);
	}
	item(o, "Ephemeral events (kinds 20000 to 29999) are passed on and "
	    "not stored.");
	put(o, "</ul>\n");
}

static void
logging(struct out *o)
{
	char text[128];

	put(o, "<h2>What is logged</h2>\n<ul>\n");
	item(o, "The relay writes no IP addresses and nothing of events to "
	    "its log.");
	item(o, "Addresses are kept in memory only, while its limits need "
	    "them.");
	if (o->c->slow_query_ms > 0) {
		snprintf(text, sizeof(text), "Of queries that take more "
		    "than %" PRIu64 " ms of work, it logs the filters.",
		    o->c->slow_query_ms);
		item(o, text);
	}
	item(o, "It counts messages, events and refusals by their sort, not "
	    "by person.");
	put(o, "</ul>\n");
}

static void
nips(struct out *o)
{
	unsigned nip[NR_INFO_NIPS];
	size_t i, n = nr_info_nips(nip, o->c);

	put(o, "<section class=\"wide\"><h2>Supported NIPs</h2>\n"
	    "<ul class=\"nips\">\n");
	for (i = 0; i < n && o->rc == NR_OK; i++)
		o->rc = nr_buf_addf(o->b, "<li><a rel=\"noreferrer\" "
		    "href=\"https://github.com/nostr-protocol/nips/blob/"
		    "master/%02u.md\">NIP-%02u</a></li>\n", nip[i], nip[i]);
	put(o, "</ul></section>\n");
}

static void
about_link(struct out *o, struct nr_buf *text, const char *label,
    const char *name)
{
	if (!info(o, text, name))
		return;
	put(o, "<div><dt>");
	put(o, label);
	put(o, "</dt><dd>");
	if (o->rc == NR_OK)
		o->rc = nr_html_link(o->b, text->p, text->len);
	put(o, "</dd></div>\n");
}

/* A public key as people know them, to be opened by their client. */
static void
about_key(struct out *o, struct nr_buf *text, const char *label,
    const char *name)
{
	char npub[NR_NPUB_SIZE];
	unsigned char key[32];

	if (!info(o, text, name) || text->len != 64 ||
	    !nr_hex_decode(key, text->p, 32))
		return;
	nr_nip19_npub(npub, key);
	put(o, "<div><dt>");
	put(o, label);
	put(o, "</dt><dd>");
	if (o->rc == NR_OK)
		o->rc = nr_buf_addf(o->b, "<a href=\"nostr:%s\"><code>%s"
		    "</code></a>", npub, npub);
	put(o, "</dd></div>\n");
}

static void
about(struct out *o, struct nr_buf *text)
{
	size_t before, start;

	start = o->b->len;
	put(o, "<section class=\"wide\"><h2>About</h2>\n"
	    "<dl class=\"facts\">\n");
	before = o->b->len;
	about_key(o, text, "Operator", "pubkey");
	about_link(o, text, "Contact", "contact");
	about_key(o, text, "The relay's own key", "self");
	about_link(o, text, "Terms of service", "terms_of_service");
	about_link(o, text, "Posting policy", "posting_policy");
	about_link(o, text, "Privacy policy", "privacy_policy");
	if (o->rc == NR_OK && o->b->len == before)
		o->b->len = start;
	else
		put(o, "</dl></section>\n");
}

int
nr_page_write(struct nr_relay *r, struct nr_buf *b)
{
	struct out o = { b, r->config, NR_OK };
	struct nr_buf text = { 0 };

	head(&o, &text);
	figures(&o, r);
	connecting(&o);
	access_rules(&o);
	limits(&o);
	put(&o, "<section>");
	keeping(&o);
	logging(&o);
	put(&o, "</section>\n");
	about(&o, &text);
	nips(&o);
	put(&o, "</main>\n<footer>nr-serve " NR_VERSION ". The same for "
	    "programs: a request with <code>Accept: application/nostr+json"
	    "</code> (NIP-11).</footer>\n</body>\n</html>\n");
	nr_buf_free(&text);
	return o.rc;
}

void
nr_page_policy(struct nr_relay *r, char out[NR_PAGE_POLICY])
{
	unsigned char digest[32];
	char text[64];

	nr_sha256_start(r->sha);
	nr_sha256_add(r->sha, style, sizeof(style) - 1);
	nr_sha256_end(r->sha, digest);
	(void)lws_b64_encode_string((const char *)digest, sizeof(digest),
	    text, sizeof(text));
	snprintf(out, NR_PAGE_POLICY, "default-src 'none'; style-src "
	    "'sha256-%s'; img-src 'self' data:; base-uri 'none'; "
	    "form-action 'none'; frame-ancestors 'none'", text);
}
