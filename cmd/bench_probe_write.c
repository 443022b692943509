/*
 * nr-bench probe: events that are written, and what is said of them.
 *
 * What is not ephemeral expires within a minute (NIP-40), and its deletion
 * is asked for (NIP-09).
 */
#include "bench_probe.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "event/event.h"
#include "tool.h"
#include "util/err.h"
#include "util/hex.h"

#define LIFETIME	60	/* seconds */

static void
must(int rc)
{
	if (rc != NR_OK)
		nr_die(rc, "probe");
}

static void
note_id(struct probe_relay *r)
{
	struct nr_event ev;

	if (!nr_event_view(&ev, r->event.p, r->event.len))
		nr_die(EINVAL, "event");
	memcpy(r->id, ev.id, 32);
}

static void
sign(struct probe_relay *r, unsigned kind, const struct nr_buf *tags,
    const char *content)
{
	const struct nr_signer *s = &r->probe->signer;
	struct nr_view t = { tags->p, tags->len };
	struct nr_view c = { content, strlen(content) };

	r->event.len = 0;
	must(nr_sign_line(s->key, s->hasher, &r->event, kind, time(NULL), t,
	    c));
	note_id(r);
}

/* What relays are known to look for in events of some kinds. */
static void
add_tags(struct probe_relay *r, struct nr_buf *b, unsigned kind)
{
	char pubkey[65] = "";

	nr_hex_encode(pubkey, nr_key_public(r->probe->signer.key), 32);
	must(nr_buf_adds(b, "["));
	if (nr_kind_addressable(kind))
		must(nr_buf_adds(b, "[\"d\",\"nr-bench-probe\"],"));
	if (kind == 4 || kind == NR_KIND_GIFT_WRAP || kind == 7)
		must(nr_buf_addf(b, "[\"p\",\"%s\"],", pubkey));
	if (kind == NR_KIND_DELETION || kind == 6 || kind == 7)
		must(nr_buf_addf(b, "[\"e\",\"%s\"],", pubkey));
	if (kind == NR_KIND_VANISH) {
		must(nr_buf_adds(b, "[\"relay\","));
		must(nr_buf_addjson(b, nr_peer_url(r->peer),
		    strlen(nr_peer_url(r->peer))));
		must(nr_buf_adds(b, "],"));
	}
	must(nr_buf_addf(b, "[\"expiration\",\"%lld\"]]",
	    (long long)time(NULL) + LIFETIME));
}

void
probe_make_event(struct probe_relay *r, unsigned kind, int ephemeral)
{
	struct nr_buf tags = { 0 };
	char content[64];

	if (ephemeral && r->probe->event.len > 0) {
		r->event.len = 0;
		must(nr_buf_add(&r->event, r->probe->event.p,
		    r->probe->event.len));
		note_id(r);
		return;
	}
	if (ephemeral)
		must(nr_buf_adds(&tags, "[]"));
	else
		add_tags(r, &tags, kind);
	/* Never the same twice: URLs may lead to one relay. */
	snprintf(content, sizeof(content), kind == 0 ?
	    "{\\\"about\\\":\\\"nr-bench probe %016" PRIx64 "\\\"}" :
	    "nr-bench probe %016" PRIx64, nr_rng_next(&r->probe->rng));
	sign(r, kind, &tags, content);
	nr_buf_free(&tags);
}

void
probe_make_deletion(struct probe_relay *r)
{
	struct nr_buf tags = { 0 };
	size_t i;

	r->event.len = 0;
	if (r->stored.len == 0)
		return;
	must(nr_buf_adds(&tags, "["));
	for (i = 0; i < r->stored.len; i += 64)
		must(nr_buf_addf(&tags, "%s[\"e\",\"%.64s\"]",
		    i > 0 ? "," : "", r->stored.p + i));
	must(nr_buf_adds(&tags, "]"));
	sign(r, NR_KIND_DELETION, &tags, "");
	nr_buf_free(&tags);
}

int
probe_is_ours(const struct probe_relay *r, struct nr_view event)
{
	const char *digits = nr_event_peek_id(event.p, event.len);
	unsigned char id[32];

	return digits != NULL && nr_hex_decode(id, digits, 32) &&
	    memcmp(id, r->id, 32) == 0;
}

/* ---- answers */

void
probe_class(char out[16], struct nr_view text)
{
	static const char *const word[] = {
		"pow", "restricted", "blocked", "rate-limited", "invalid",
		"error", "mute", "duplicate", "unsupported"
	};
	size_t i;

	snprintf(out, 16, "refused");
	if (nr_answer_prefix(text, "auth-required"))
		snprintf(out, 16, "auth");
	for (i = 0; i < sizeof(word) / sizeof(word[0]); i++)
		if (nr_answer_prefix(text, word[i]))
			snprintf(out, 16, "%s", word[i]);
}

void
probe_take_ok(struct probe_answer *a, const struct nr_answer *ok, int64_t ns)
{
	a->accepted = ok->accepted;
	a->ns = ns;
	if (!ok->accepted)
		probe_class(a->class, ok->text);
	nr_answer_show(a->text, sizeof(a->text), ok->text);
}

/* Has anything of this key been taken? */
static int
is_welcome(const struct probe_relay *r)
{
	size_t i;

	if (r->tried_write && r->write.accepted == 1)
		return 1;
	for (i = 0; i < r->nkinds; i++)
		if (r->kind[i].accepted == 1)
			return 1;
	return 0;
}

/*
 * A refusal is about the kind where the same key may write others, and the
 * relay does not give another reason.  Returns 1, 0, or -1: not known.
 */
int
probe_kind_verdict(const struct probe_relay *r, const struct probe_answer *a)
{
	static const char *const about[] = {
		"blocked", "restricted", "invalid", "unsupported", "refused"
	};
	size_t i;

	if (a->accepted != 0)
		return a->accepted;
	/* "no one was listening": it would have been passed on. */
	if (nr_kind_ephemeral(a->kind) && strcmp(a->class, "mute") == 0)
		return 1;
	for (i = 0; i < sizeof(about) / sizeof(about[0]); i++)
		if (strcmp(a->class, about[i]) == 0)
			return is_welcome(r) ? 0 : -1;
	return -1;
}
