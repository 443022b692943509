/*
 * nr-bench probe: what was found, as a JSON line or as a draft of NIP-66.
 * The keys are explained in nr-bench(1) and do not change.
 */
#include "bench_probe.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "bench/nip66.h"
#include "tool.h"
#include "util/err.h"

#define NS_PER_MS	1000000
#define TEXT_MAX	1024	/* of a document that is not JSON */
#define DAY		86400

static const char *const flaw_text[PROBE_FLAWS] = {
	"a message that is none",
	"more events than the limit",
	"an event that was not asked for",
	"an event that is malformed, or whose id or signature is wrong",
	"a ping is not answered",
	"NIP-45 is advertised, COUNT is not answered",
	"NIP-77 is advertised, NEG-OPEN is not answered",
	"AUTH is demanded, no challenge was sent",
	"an event was accepted and not delivered"
};

static void	put(struct nr_buf *b, const char *fmt, ...)
		    __attribute__((format(printf, 2, 3)));

static void
must(int rc)
{
	if (rc != NR_OK)
		nr_die(rc, "report");
}

static void
put(struct nr_buf *b, const char *fmt, ...)
{
	char text[256];
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (n < 0 || (size_t)n >= sizeof(text))
		nr_die(EINVAL, "report");
	must(nr_buf_add(b, text, (size_t)n));
}

static void
put_text(struct nr_buf *b, const char *text)
{
	must(nr_buf_addjson(b, text, strlen(text)));
}

/* "key":"text", or null where it is empty */
static void
put_field(struct nr_buf *b, const char *key, const char *text)
{
	put(b, ",\"%s\":", key);
	if (*text == '\0')
		put(b, "null");
	else
		put_text(b, text);
}

static const char *
truth(int v)
{
	return v < 0 ? "null" : v ? "true" : "false";
}

static void
put_ms(struct nr_buf *b, const char *key, int64_t ns)
{
	if (ns < 0)
		put(b, "\"%s\":null", key);
	else
		put(b, "\"%s\":%.3f", key, (double)ns / NS_PER_MS);
}

/* ---- what it comes to */

/* What it advertises and does not do; only where both have been looked at. */
static void
compare(struct probe_relay *r, const struct nr_nip11 *info)
{
	if (r->counts == 0 && nr_nip11_names(info, 45))
		r->flaws |= PROBE_NO_COUNT;
	if (r->reconciles == 0 && nr_nip11_names(info, 77))
		r->flaws |= PROBE_NO_NEG;
}

/* Beside what a relay may refuse, a failure is one. */
static int
is_fault(const struct probe_relay *r)
{
	return r->failed && !(r->read_refused && r->failed_in == PROBE_EOSE);
}

enum probe_status
probe_judge(const struct probe_relay *r, const struct nr_nip11 *info)
{
	if (r->opened == 0 || !r->heard)
		return PROBE_DEAD;
	if (is_fault(r) || r->flaws != 0 || info->broken)
		return PROBE_DEGRADED;
	return PROBE_HEALTHY;
}

/* ---- the line */

static void
put_phases(struct nr_buf *b, const struct probe_relay *r)
{
	int i;

	put(b, ",\"ms\":{");
	for (i = 0; i < PROBE_PHASES; i++) {
		put(b, "%s", i > 0 ? "," : "");
		put_ms(b, probe_phase_name[i], r->ns[i]);
	}
	put(b, "}");
}

static void
put_certificate(struct nr_buf *b, const struct nr_tls_facts *f, int64_t now)
{
	put_field(b, "issuer", f->issuer);
	/* Rounded down: -1 is up to a day ago. */
	put(b, ",\"expires\":%" PRId64 ",\"days_left\":%" PRId64
	    ",\"name_ok\":%s", f->expires,
	    (f->expires - now - (f->expires < now ? DAY - 1 : 0)) / DAY,
	    truth(f->name_ok));
}

static void
put_tls(struct nr_buf *b, const struct probe_relay *r)
{
	const struct nr_tls_facts *f = &nr_peer_link(r->peer)->facts;

	if (f->version[0] == '\0' && !f->shown) {
		put(b, ",\"tls\":null");
		return;
	}
	put(b, ",\"tls\":{\"trusted\":%s", truth(f->shown &&
	    f->error[0] == '\0'));
	put_field(b, "version", f->version);
	put_field(b, "cipher", f->cipher);
	if (f->shown)
		put_certificate(b, f, r->time);
	put_field(b, "error", f->error);
	put(b, "}");
}

static void
put_flaws(struct nr_buf *b, const struct nr_nip11 *d, int advice)
{
	unsigned i, n = 0;

	for (i = 0; i < d->nflaws; i++) {
		if ((d->flaw[i].weight == NR_NIP11_ADVICE) != advice)
			continue;
		put(b, "%s", n++ > 0 ? "," : "");
		put_text(b, d->flaw[i].text);
	}
}

/* As it is; what is no JSON, as a text. */
static void
put_document(struct nr_buf *b, const struct probe_relay *r,
    const struct nr_nip11 *d)
{
	size_t n = r->document.len;

	if (r->document.p == NULL)
		put(b, "null");
	else if (d->object)
		must(nr_nip11_line(b, r->document.p, n));
	else
		must(nr_buf_addjson(b, r->document.p,
		    n < TEXT_MAX ? n : TEXT_MAX));
}

static void
put_info(struct nr_buf *b, const struct probe_relay *r,
    const struct nr_nip11 *d)
{
	put(b, ",\"info\":{\"document\":");
	put_document(b, r, d);
	put(b, ",\"http\":");
	put(b, r->head.status > 0 ? "%u" : "null", r->head.status);
	put_field(b, "error", r->no_info.text);
	put(b, ",\"problems\":[");
	put_flaws(b, d, 0);
	put(b, "],\"advice\":[");
	put_flaws(b, d, 1);
	put(b, "]}");
}

static void
put_supports(struct nr_buf *b, const struct probe_relay *r)
{
	int opened = r->opened != 0;

	put(b, ",\"auth\":{\"offered\":%s,\"required\":%s,\"accepted\":%s}",
	    truth(opened ? r->ns[PROBE_AUTH] >= 0 : -1),
	    truth(opened ? r->auth_wanted : -1),
	    truth(r->proof == 0 ? -1 : r->proof > 0));
	put(b, ",\"supports\":{\"auth\":%s,\"count\":%s,\"negentropy\":%s}",
	    truth(opened ? r->ns[PROBE_AUTH] >= 0 : -1), truth(r->counts),
	    truth(r->reconciles));
}

static void
put_answer(struct nr_buf *b, const struct probe_answer *a)
{
	put(b, "{\"kind\":%u,\"accepted\":%s,", a->kind, truth(a->accepted));
	put_ms(b, "ms", a->accepted < 0 ? -1 : a->ns);
	put_field(b, "class", a->class);
	put_field(b, "text", a->text);
	put(b, "}");
}

static void
put_writes(struct nr_buf *b, const struct probe_relay *r)
{
	size_t i;

	put(b, ",\"write\":");
	if (r->tried_write)
		put_answer(b, &r->write);
	else
		put(b, "null");
	put(b, ",\"kinds\":%s", r->nkinds > 0 ? "[" : "null");
	for (i = 0; i < r->nkinds; i++) {
		put_answer(b, &r->kind[i]);
		put(b, i + 1 < r->nkinds ? "," : "]");
	}
}

static void
put_failure(struct nr_buf *b, const struct probe_relay *r)
{
	unsigned i, n = 0;

	put(b, ",\"problems\":[");
	for (i = 0; i < PROBE_FLAWS; i++)
		if (r->flaws & 1u << i) {
			put(b, "%s", n++ > 0 ? "," : "");
			put_text(b, flaw_text[i]);
		}
	put(b, "],\"error\":");
	if (!r->failed) {
		put(b, "null");
		return;
	}
	put(b, "{\"phase\":\"%s\",\"class\":\"%s\"",
	    probe_phase_name[r->failed_in], r->class);
	put_field(b, "text", r->text);
	put(b, "}");
}

static void
write_line(struct nr_buf *b, const struct probe_relay *r,
    const struct nr_nip11 *info, enum probe_status status)
{
	static const char *const name[] = { "healthy", "degraded", "dead" };

	put(b, "{\"url\":");
	put_text(b, nr_peer_url(r->peer));
	put(b, ",\"round\":%" PRIu64 ",\"time\":%" PRId64 ",\"status\":\"%s\"",
	    r->probe->round, r->time, name[status]);
	put_field(b, "ip", nr_peer_link(r->peer)->address);
	put(b, ",\"network\":\"%s\"", nr_nip66_network(r->url.host));
	put_phases(b, r);
	put_tls(b, r);
	put_info(b, r, info);
	put_supports(b, r);
	put_writes(b, r);
	put_failure(b, r);
	put(b, "}\n");
}

/* ---- NIP-66 */

/* Rounded up: nought would look like a time that was not taken. */
static int64_t
whole_ms(int64_t ns)
{
	return ns < 0 ? -1 : (ns + NS_PER_MS - 1) / NS_PER_MS;
}

/* Did a refusal of any event give this reason? */
static int
was_refused(const struct probe_relay *r, const char *class)
{
	size_t i;

	if (r->tried_write && strcmp(r->write.class, class) == 0)
		return 1;
	for (i = 0; i < r->nkinds; i++)
		if (strcmp(r->kind[i].class, class) == 0)
			return 1;
	return 0;
}

/* What was found goes before what the document says. */
static void
requirements(struct nr_nip66 *n, const struct probe_relay *r,
    const struct nr_nip11 *info)
{
	n->auth = r->read_auth ? 1 : r->ns[PROBE_EOSE] >= 0 ? 0 :
	    info->auth;
	n->pow = was_refused(r, "pow") ? 1 : info->pow < 0 ? -1 :
	    info->pow > 0;
	n->payment = info->payment;
	n->writes = info->restricted;
	if (!r->tried_write)
		return;
	if (r->write.accepted == 0 && (strcmp(r->write.class, "pow") == 0 ||
	    strcmp(r->write.class, "restricted") == 0 ||
	    strcmp(r->write.class, "blocked") == 0 ||
	    strcmp(r->write.class, "auth") == 0))
		n->writes = 1;
	else if (r->write.accepted == 1 && !r->probe->own_key)
		n->writes = 0;	/* anybody may */
}

/* Web servers answer with a page where a document is asked for. */
static size_t
found_nips(struct nr_nip66_found *out, const struct probe_relay *r,
    const struct nr_nip11 *info)
{
	size_t n = 0;

	if (info->object)
		out[n++] = (struct nr_nip66_found){ 11, 1 };
	if (r->ns[PROBE_AUTH] >= 0)
		out[n++] = (struct nr_nip66_found){ 42, 1 };
	if (r->counts >= 0)
		out[n++] = (struct nr_nip66_found){ 45, r->counts };
	if (r->reconciles >= 0)
		out[n++] = (struct nr_nip66_found){ 77, r->reconciles };
	return n;
}

static size_t
found_kinds(struct nr_nip66_found *out, const struct probe_relay *r)
{
	size_t i, n = 0;
	int v;

	for (i = 0; i < r->nkinds; i++)
		if ((v = probe_kind_verdict(r, &r->kind[i])) >= 0)
			out[n++] = (struct nr_nip66_found){
			    r->kind[i].kind, v };
	return n;
}

static void
write_draft(struct nr_buf *b, const struct probe_relay *r,
    const struct nr_nip11 *info)
{
	struct nr_nip66_found nip[4], kind[PROBE_KINDS];
	struct nr_buf document = { 0 };
	struct nr_nip66 n = {
		.url = &r->url, .time = r->time,
		.open_ms = whole_ms(r->ns[PROBE_OPEN]),
		.read_ms = whole_ms(r->ns[PROBE_EOSE]),
		.write_ms = whole_ms(r->ns[PROBE_WRITE]),
		.nip = nip, .kind = kind
	};

	requirements(&n, r, info);
	n.nnips = found_nips(nip, r, info);
	n.nkinds = found_kinds(kind, r);
	if (info->object) {
		must(nr_nip11_line(&document, r->document.p,
		    r->document.len));
		n.info = info;
		n.document = (struct nr_view){ document.p, document.len };
	}
	must(nr_nip66_relay(b, &n));
	put(b, "\n");
	nr_buf_free(&document);
}

void
probe_announce(const struct probe *p)
{
	const struct nr_nip66_check check[] = {
		{ "open", p->timeout_ms }, { "read", p->timeout_ms / 2 },
		{ "nip11", p->timeout_ms / 2 }, { "dns", 0 }, { "ssl", 0 },
		{ "auth", 0 },
		{ p->write ? "write" : NULL, p->timeout_ms / 2 },
		{ NULL, 0 }
	};
	struct nr_buf b = { 0 };

	must(nr_nip66_monitor(&b, time(NULL), p->every_ms / 1000, check));
	put(&b, "\n");
	nr_out(b.p, b.len);
	nr_out_flush();
	nr_buf_free(&b);
}

/* ---- */

static void
read_document(struct nr_nip11 *d, const struct probe_relay *r)
{
	if (r->document.p == NULL) {
		nr_nip11_read(d, "{}", 2);
		d->object = 0;
		return;
	}
	nr_nip11_read(d, r->document.p, r->document.len);
	if (!r->head.cors_origin)
		nr_nip11_flaw(d, NR_NIP11_WRONG,
		    "no header Access-Control-Allow-Origin");
	if (!r->head.cors_headers)
		nr_nip11_flaw(d, NR_NIP11_WRONG,
		    "no header Access-Control-Allow-Headers");
	if (!r->head.cors_methods)
		nr_nip11_flaw(d, NR_NIP11_WRONG,
		    "no header Access-Control-Allow-Methods");
}

static void
count(struct probe *p, enum probe_status status)
{
	switch (status) {
	case PROBE_HEALTHY:
		p->healthy++;
		break;
	case PROBE_DEGRADED:
		p->degraded++;
		break;
	case PROBE_DEAD:
		p->dead++;
		break;
	}
}

void
probe_report(struct probe_relay *r)
{
	struct nr_nip11 *info;
	struct nr_buf b = { 0 };
	enum probe_status status;

	if ((info = malloc(sizeof(*info))) == NULL)
		nr_die(ENOMEM, "report");
	read_document(info, r);
	compare(r, info);
	status = probe_judge(r, info);
	count(r->probe, status);
	if (!r->probe->nip66)
		write_line(&b, r, info, status);
	else if (status != PROBE_DEAD)
		write_draft(&b, r, info);
	else
		nr_warn("%s: %s: %s", nr_peer_url(r->peer), r->class,
		    r->text);
	if (b.len > 0)
		nr_out(b.p, b.len);
	nr_out_flush();
	nr_buf_free(&b);
	free(info);
}
