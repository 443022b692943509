/*
 * nr-bench probe: one relay, step by step.  Each step asks one thing and
 * waits for the answer, so that no time has another in it; the clock ends a
 * step that is not answered, and the deadline all of them.
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
#include "util/times.h"

#define CLOSE_MS	500
#define IN_MAX		((size_t)256 * 1024)	/* a message */
#define IN_ALL		((uint64_t)4 * 1024 * 1024)
#define CHECKED		3		/* events whose signature is checked */

/* A public key that is sure to be one: the curve's generator. */
#define SOMEBODY	"79be667ef9dcbbac55a06295ce870b07" \
			"029bfcdb2dce28d959f2815b16f81798"
#define READ_REQ	"[\"REQ\",\"read\",{\"kinds\":[1],\"limit\":1}]"
#define COUNT_REQ	"[\"COUNT\",\"count\",{\"kinds\":[0],\"authors\":[\"" \
			SOMEBODY "\"]}]"
/*
 * Of negentropy V1: up to the end of time, the ids that we have, none.  A
 * relay that has none either has nothing to look up.
 */
#define NEG_OPEN	"[\"NEG-OPEN\",\"neg\",{\"kinds\":[0],\"authors\":[\"" \
			SOMEBODY "\"]},\"6100000200\"]"

const char *const probe_phase_name[PROBE_PHASES] = {
	[PROBE_DNS] = "dns", [PROBE_CONNECT] = "connect",
	[PROBE_TLS] = "tls", [PROBE_UPGRADE] = "upgrade",
	[PROBE_OPEN] = "open", [PROBE_INFO] = "info",
	[PROBE_AUTH] = "auth_offered", [PROBE_FIRST] = "first_event",
	[PROBE_EOSE] = "eose", [PROBE_PING] = "ping",
	[PROBE_COUNT] = "count", [PROBE_NEGENTROPY] = "negentropy",
	[PROBE_WRITE] = "write", [PROBE_DELIVERY] = "delivery"
};

static void	next(struct probe_relay *r);

/* The failure that counts is the first. */
static void
fail(struct probe_relay *r, enum probe_phase phase, const char *class,
    const char *text)
{
	if (r->failed)
		return;
	r->failed = 1;
	r->failed_in = phase;
	snprintf(r->class, sizeof(r->class), "%s", class);
	snprintf(r->text, sizeof(r->text), "%s", text);
}

static enum probe_phase
phase_of(const struct probe_relay *r)
{
	static const enum probe_phase of[] = {
		[STEP_OPEN] = PROBE_OPEN,
		[STEP_INFO] = PROBE_INFO, [STEP_READ] = PROBE_EOSE,
		[STEP_PING] = PROBE_PING, [STEP_COUNT] = PROBE_COUNT,
		[STEP_NEGENTROPY] = PROBE_NEGENTROPY,
		[STEP_LISTEN] = PROBE_DELIVERY, [STEP_WRITE] = PROBE_WRITE,
		[STEP_KINDS] = PROBE_WRITE, [STEP_END] = PROBE_OPEN
	};

	return of[r->step];
}

/* ---- the end */

void
probe_relay_free(struct probe_relay *r)
{
	if (r->before != NULL)
		r->before->after = r->after;
	else
		r->probe->first = r->after;
	if (r->after != NULL)
		r->after->before = r->before;
	nr_timer_free(r->clock);
	nr_info_free(r->info);
	nr_peer_free(r->peer);
	nr_buf_free(&r->document);
	nr_buf_free(&r->event);
	nr_buf_free(&r->stored);
	free(r->kind);
	free(r);
}

static void
destroy(struct probe_relay *r)
{
	struct probe *p = r->probe;

	probe_relay_free(r);
	probe_ended(p);
}

static void
clean_up(struct probe_relay *r)
{
	struct nr_view part[3] = { { "[\"EVENT\",", 9 }, { NULL, 0 },
	    { "]", 1 } };

	probe_make_deletion(r);
	part[1] = (struct nr_view){ r->event.p, r->event.len };
	if (r->event.len > 0)
		(void)nr_peer_send(r->peer, part, 3);
}

/* All is known: tell it, and say goodbye. */
static void
finish(struct probe_relay *r)
{
	if (r->done)
		return;
	r->done = 1;
	r->step = STEP_END;
	nr_timer_stop(r->clock);
	if (r->auth_wanted && r->ns[PROBE_AUTH] < 0)
		r->flaws |= PROBE_NO_AUTH;
	clean_up(r);
	probe_report(r);
	if (nr_peer_state(r->peer) == NR_PEER_IDLE)
		destroy(r);
	else
		nr_peer_close(r->peer);
}

/* ---- asking */

/*
 * Wait for an answer, for so large a part of all the time there is, and not
 * beyond its end.
 */
static void
wait_part(struct probe_relay *r, int part)
{
	int64_t ms = r->probe->timeout_ms / part;
	int64_t left = r->deadline - nr_now_ms();

	r->sent = nr_now_ns();
	nr_timer_set(r->clock, left < ms ? left : ms);
}

static void
ask(struct probe_relay *r, const char *text, int part)
{
	/* Where it cannot be sent, closed() says why. */
	(void)nr_peer_say(r->peer, text);
	wait_part(r, part);
}

static int64_t
waited(const struct probe_relay *r)
{
	return nr_now_ns() - r->sent;
}

static void
send_event(struct probe_relay *r, int part)
{
	struct nr_view text[3] = { { "[\"EVENT\",", 9 },
	    { r->event.p, r->event.len }, { "]", 1 } };

	(void)nr_peer_send(r->peer, text, 3);
	wait_part(r, part);
}

/*
 * It wants to know who we are.  Returns 1 where that will be told to it, and
 * on_proved() goes on.
 */
static int
prove(struct probe_relay *r)
{
	r->auth_wanted = 1;
	if (r->auth_asked)
		return 0;
	r->auth_asked = 1;
	if (nr_peer_prove(r->peer) != 1)
		return 0;
	wait_part(r, 5);
	return 1;
}

/* ---- steps */

static void	begin_info(struct probe_relay *r);

static void
begin_listen(struct probe_relay *r)
{
	struct nr_buf b = { 0 };
	struct nr_event ev;
	char pubkey[65] = "";

	probe_make_event(r, PROBE_KIND, 1);
	if (!nr_event_view(&ev, r->event.p, r->event.len))
		nr_die(EINVAL, "event");
	r->write.kind = ev.kind;
	nr_hex_encode(pubkey, ev.pubkey, 32);
	if (nr_buf_addf(&b, "[\"REQ\",\"live\",{\"kinds\":[%u],\"authors\":"
	    "[\"%s\"],\"limit\":1}]", ev.kind, pubkey) != NR_OK ||
	    nr_buf_add(&b, "", 1) != NR_OK)
		nr_die(ENOMEM, "probe");
	ask(r, b.p, 5);
	nr_buf_free(&b);
}

static void
begin_kind(struct probe_relay *r)
{
	struct probe *p = r->probe;
	struct probe_answer *a;

	if (r->nkinds == p->nkinds) {
		next(r);
		return;
	}
	a = &r->kind[r->nkinds];
	a->kind = p->kind[r->nkinds];
	a->accepted = -1;
	probe_make_event(r, a->kind, 0);
	send_event(r, 5);
}

static void
begin(struct probe_relay *r)
{
	switch (r->step) {
	case STEP_INFO:
		begin_info(r);
		break;
	case STEP_READ:
		ask(r, READ_REQ, 2);
		break;
	case STEP_PING:
		nr_peer_ping(r->peer);
		wait_part(r, 5);
		break;
	case STEP_COUNT:
		ask(r, COUNT_REQ, 5);
		break;
	case STEP_NEGENTROPY:
		ask(r, NEG_OPEN, 5);
		break;
	case STEP_LISTEN:
		begin_listen(r);
		break;
	case STEP_WRITE:
		r->tried_write = 1;
		r->write.accepted = -1;
		send_event(r, 2);
		break;
	case STEP_KINDS:
		begin_kind(r);
		break;
	default:
		finish(r);
	}
}

/* What is over is closed, and the next thing asked. */
static void
next(struct probe_relay *r)
{
	int open = nr_peer_state(r->peer) == NR_PEER_OPEN;

	if (r->step == STEP_READ)
		(void)nr_peer_say(r->peer, "[\"CLOSE\",\"read\"]");
	else if (r->step == STEP_NEGENTROPY && r->reconciles == 1)
		(void)nr_peer_say(r->peer, "[\"NEG-CLOSE\",\"neg\"]");
	else if (r->step == STEP_WRITE)
		(void)nr_peer_say(r->peer, "[\"CLOSE\",\"live\"]");
	r->step++;
	if (r->step == STEP_LISTEN && !r->probe->write)
		r->step = STEP_END;
	if (!open && r->step != STEP_INFO)
		r->step = STEP_END;
	if (nr_now_ms() >= r->deadline && r->step != STEP_END) {
		fail(r, phase_of(r), "timeout", "no time was left for it");
		r->step = STEP_END;
	}
	begin(r);
}

/* ---- NIP-11 */

static const char *
class_of(const struct nr_fault *f)
{
	switch (f->class) {
	case NR_FAULT_RESOLVE:
		return "dns";
	case NR_FAULT_CONNECT:
		return f->code == ECONNREFUSED ? "refused" :
		    f->code == ETIMEDOUT ? "timeout" :
		    f->code == EMFILE ? "local" : "unreachable";
	case NR_FAULT_TLS:
		return "tls";
	case NR_FAULT_HTTP:
		return "http";
	case NR_FAULT_TIMEOUT:
		return "timeout";
	case NR_FAULT_FLOOD:
		return "protocol";
	case NR_FAULT_LOCAL:
		return "local";
	default:
		return "closed";
	}
}

/* Of a connection that could not be made. */
static const char *
class_of_link(const struct probe_relay *r, const struct nr_fault *why)
{
	if (why->class == NR_FAULT_TLS)
		return nr_tls_fault_name(nr_peer_link(r->peer)->facts.fault);
	return class_of(why);
}

/* No document is no failure; a server that fails is. */
static void
no_document(struct probe_relay *r, const struct nr_fault *why)
{
	r->no_info = *why;
	if (why->class != NR_FAULT_HTTP || why->code >= 500)
		fail(r, PROBE_INFO, class_of(why), why->text);
}

static void
on_info(void *ctx, const char *text, size_t len, const struct nr_fault *why)
{
	struct probe_relay *r = ctx;

	if (text != NULL && len == 0)
		snprintf(r->no_info.text, sizeof(r->no_info.text),
		    "an empty document");
	else if (text != NULL) {
		r->ns[PROBE_INFO] = waited(r);
		if (nr_buf_add(&r->document, text, len) != NR_OK)
			nr_die(ENOMEM, "document");
	} else
		no_document(r, why);
	r->head = *nr_info_head(r->info);
	nr_info_free(r->info);
	r->info = NULL;
	if (!r->done)
		next(r);
}

static void
begin_info(struct probe_relay *r)
{
	int64_t left = r->deadline - nr_now_ms();
	int64_t ms = r->probe->timeout_ms / 2;
	int rc;

	nr_timer_stop(r->clock);
	r->sent = nr_now_ns();
	rc = nr_info_new(&r->info, r->probe->net, &r->url,
	    left < ms ? left : ms, on_info, r);
	if (rc == NR_OK) {
		nr_info_limit(r->info, PROBE_INFO_MAX);
		return;
	}
	/* No thread for a look-up: another round may have one. */
	fail(r, PROBE_INFO, "local", nr_strerror(rc));
	next(r);
}

/* ---- answers */

/* Is the event one that the REQ asks for, and true? */
static void
check_event(struct probe_relay *r, struct nr_view json)
{
	struct nr_event ev;
	size_t pos;
	char *line;

	if (nr_event_read(&ev, json.p, json.len, &nr_event_limits_pipe,
	    &pos) != NR_VALID) {
		r->flaws |= PROBE_INVALID;
		return;
	}
	if (ev.kind != 1)
		r->flaws |= PROBE_UNASKED;
	if ((line = malloc(NR_EVENT_LINE_MAX(json.len))) == NULL)
		nr_die(ENOMEM, "event");
	(void)nr_event_normalise(&ev, line);
	if (nr_verify_event(r->probe->verifier, &ev, NR_TRUST_NOTHING) !=
	    NR_VALID)
		r->flaws |= PROBE_INVALID;
	free(line);
}

static void
on_read_event(struct probe_relay *r, const struct nr_answer *a)
{
	if (r->events == 0)
		r->ns[PROBE_FIRST] = waited(r);
	if (++r->events > 1)
		r->flaws |= PROBE_TOO_MANY;
	if (r->events <= CHECKED)
		check_event(r, a->event);
}

/*
 * Will it come by the subscription?  Not what the relay had, nor what it
 * shows to others only.
 */
static int
is_delivered(const struct probe_relay *r)
{
	return r->listening && !nr_kind_confidential(r->write.kind) &&
	    strncmp(r->write.text, "duplicate:", 10) != 0;
}

/* Both its OK and its delivery are awaited. */
static void
write_goes_on(struct probe_relay *r)
{
	if (r->write.accepted == 0 || (r->write.accepted == 1 &&
	    (r->ns[PROBE_DELIVERY] >= 0 || !is_delivered(r))))
		next(r);
}

static void
on_live_event(struct probe_relay *r, const struct nr_answer *a)
{
	if (r->step != STEP_WRITE || r->ns[PROBE_DELIVERY] >= 0 ||
	    !probe_is_ours(r, a->event))
		return;
	r->ns[PROBE_DELIVERY] = waited(r);
	write_goes_on(r);
}

static void
on_event(struct probe_relay *r, const struct nr_answer *a)
{
	if (r->step == STEP_READ && nr_answer_is(a, "read"))
		on_read_event(r, a);
	else if (nr_answer_is(a, "live"))
		on_live_event(r, a);
}

static void
on_eose(struct probe_relay *r, const struct nr_answer *a)
{
	if (r->step == STEP_READ && nr_answer_is(a, "read")) {
		r->ns[PROBE_EOSE] = waited(r);
		next(r);
	} else if (r->step == STEP_LISTEN && nr_answer_is(a, "live")) {
		r->listening = 1;
		next(r);
	}
}

/* A policy is no failure; whatever else ends a REQ is. */
static void
on_read_closed(struct probe_relay *r, const struct nr_answer *a)
{
	char text[PROBE_TEXT], class[16];

	if (nr_answer_prefix(a->text, "auth-required")) {
		r->read_auth = 1;
		if (prove(r))
			return;
	}
	nr_answer_show(text, sizeof(text), a->text);
	probe_class(class, a->text);
	r->read_refused = strcmp(class, "auth") == 0 ||
	    strcmp(class, "restricted") == 0 ||
	    strcmp(class, "blocked") == 0;
	fail(r, PROBE_EOSE, class, text);
	next(r);
}

/* A refusal that has a reason shows that the verb is known. */
static int
knows(struct probe_relay *r, struct nr_view text)
{
	char class[16];

	probe_class(class, text);
	if (strcmp(class, "auth") == 0)
		r->auth_wanted = 1;
	if (strcmp(class, "auth") == 0 || strcmp(class, "restricted") == 0 ||
	    strcmp(class, "blocked") == 0 ||
	    strcmp(class, "rate-limited") == 0)
		return 1;
	return strcmp(class, "error") == 0 ? -1 : 0;
}

static void
on_closed_sub(struct probe_relay *r, const struct nr_answer *a)
{
	if (r->step == STEP_READ && nr_answer_is(a, "read"))
		on_read_closed(r, a);
	else if (r->step == STEP_COUNT && nr_answer_is(a, "count")) {
		r->counts = knows(r, a->text);
		next(r);
	} else if (r->step == STEP_NEGENTROPY && nr_answer_is(a, "neg")) {
		r->reconciles = knows(r, a->text);
		next(r);
	} else if (r->step == STEP_LISTEN && nr_answer_is(a, "live"))
		next(r);	/* it may take an event all the same */
}

static void
on_count(struct probe_relay *r, const struct nr_answer *a)
{
	if (r->step != STEP_COUNT || !nr_answer_is(a, "count"))
		return;
	r->counts = 1;
	r->ns[PROBE_COUNT] = waited(r);
	next(r);
}

static void
on_negentropy(struct probe_relay *r, const struct nr_answer *a)
{
	if (r->step != STEP_NEGENTROPY || !nr_answer_is(a, "neg"))
		return;
	/* "blocked: too many events" is an answer, too. */
	r->reconciles = a->verb == NR_ANSWER_NEG_MSG ||
	    !nr_answer_prefix(a->text, "unsupported");
	if (a->verb == NR_ANSWER_NEG_MSG)
		r->ns[PROBE_NEGENTROPY] = waited(r);
	next(r);
}

/* The way of relays to say that they do not know a verb. */
static void
on_notice(struct probe_relay *r)
{
	if (r->step == STEP_COUNT)
		r->counts = 0;
	else if (r->step == STEP_NEGENTROPY)
		r->reconciles = 0;
	else
		return;
	next(r);
}

static void
note_stored(struct probe_relay *r, unsigned kind)
{
	char hex[64];

	if (nr_kind_ephemeral(kind) || nr_kind_request(kind))
		return;
	nr_hex_encode(hex, r->id, 32);
	if (nr_buf_add(&r->stored, hex, 64) != NR_OK)
		nr_die(ENOMEM, "probe");
}

static void
on_ok(struct probe_relay *r, const struct nr_answer *a)
{
	struct probe_answer *k;

	if (memcmp(a->id, r->id, 32) != 0)
		return;
	if (!a->accepted && nr_answer_prefix(a->text, "auth-required") &&
	    (r->step == STEP_WRITE || r->step == STEP_KINDS) && prove(r))
		return;
	if (r->step == STEP_WRITE && r->write.accepted < 0) {
		probe_take_ok(&r->write, a, waited(r));
		r->ns[PROBE_WRITE] = r->write.ns;
		write_goes_on(r);
	} else if (r->step == STEP_KINDS && r->nkinds < r->probe->nkinds) {
		k = &r->kind[r->nkinds++];
		probe_take_ok(k, a, waited(r));
		if (k->accepted)
			note_stored(r, k->kind);
		begin_kind(r);
	}
}

static void
on_answer(struct nr_peer *peer, void *ctx, const struct nr_answer *a)
{
	struct probe_relay *r = ctx;
	struct nr_peer_figures f;

	r->heard = 1;
	nr_peer_figures(peer, &f);
	if (f.bytes_in > IN_ALL) {
		fail(r, phase_of(r), "protocol",
		    "it sends far more than was asked for");
		finish(r);
		return;
	}
	switch (a->verb) {
	case NR_ANSWER_EVENT:
		on_event(r, a);
		break;
	case NR_ANSWER_EOSE:
		on_eose(r, a);
		break;
	case NR_ANSWER_CLOSED:
		on_closed_sub(r, a);
		break;
	case NR_ANSWER_COUNT:
		on_count(r, a);
		break;
	case NR_ANSWER_NEG_MSG:
	case NR_ANSWER_NEG_ERR:
		on_negentropy(r, a);
		break;
	case NR_ANSWER_NOTICE:
		on_notice(r);
		break;
	case NR_ANSWER_OK:
		on_ok(r, a);
		break;
	default:
		break;
	}
}

static void
on_malformed(struct nr_peer *peer, void *ctx, const char *why)
{
	struct probe_relay *r = ctx;

	(void)peer;
	r->flaws |= PROBE_MALFORMED;
	fail(r, phase_of(r), "protocol", why);
}

static void
on_challenged(struct nr_peer *peer, void *ctx)
{
	struct probe_relay *r = ctx;

	(void)peer;
	r->heard = 1;
	if (r->ns[PROBE_AUTH] < 0 && r->opened != 0)
		r->ns[PROBE_AUTH] = nr_now_ns() - r->opened;
}

/* What was refused is asked again; or it is left. */
static void
on_proved(struct nr_peer *peer, void *ctx, int accepted, const char *text)
{
	struct probe_relay *r = ctx;

	(void)peer;
	r->heard = 1;
	r->proof = accepted ? 1 : -1;
	if (!accepted && r->step == STEP_READ) {
		fail(r, PROBE_EOSE, "auth", text);
		r->read_refused = 1;
		next(r);
	} else if (r->step == STEP_READ || r->step == STEP_WRITE ||
	    r->step == STEP_KINDS)
		begin(r);
}

static void
on_ponged(struct nr_peer *peer, void *ctx, int64_t ns)
{
	struct probe_relay *r = ctx;

	(void)peer;
	r->ns[PROBE_PING] = ns;
	if (r->step == STEP_PING)
		next(r);
}

/* ---- time is over */

static void
write_unanswered(struct probe_relay *r)
{
	if (r->write.accepted < 0)
		fail(r, PROBE_WRITE, "timeout", "no OK to an event");
	else {
		r->flaws |= PROBE_LOST;
		fail(r, PROBE_DELIVERY, "timeout",
		    "an event was accepted and not delivered");
	}
}

static void
on_clock(void *ctx)
{
	struct probe_relay *r = ctx;

	switch (r->step) {
	case STEP_READ:
		fail(r, r->events > 0 ? PROBE_EOSE : PROBE_FIRST, "timeout",
		    r->events > 0 ? "events and no EOSE" :
		    r->auth_asked ? "no answer to AUTH" :
		    "no answer to a REQ");
		break;
	case STEP_PING:
		r->flaws |= PROBE_NO_PONG;
		fail(r, PROBE_PING, "timeout", "no answer to a ping");
		break;
	case STEP_COUNT:
		r->counts = 0;
		break;
	case STEP_NEGENTROPY:
		r->reconciles = 0;
		break;
	case STEP_LISTEN:
		fail(r, PROBE_DELIVERY, "timeout",
		    "no EOSE to the subscription");
		break;
	case STEP_WRITE:
		write_unanswered(r);
		break;
	case STEP_KINDS:
		fail(r, PROBE_WRITE, "timeout", "no OK to an event");
		r->nkinds++;
		if (nr_now_ms() < r->deadline) {
			begin_kind(r);
			return;
		}
		break;
	default:
		break;
	}
	next(r);
}

/* ---- the connection */

static void
take_link(struct probe_relay *r)
{
	const struct nr_peer_link *l = nr_peer_link(r->peer);

	r->ns[PROBE_DNS] = l->resolve;
	r->ns[PROBE_CONNECT] = l->connect;
	r->ns[PROBE_TLS] = l->tls;
	r->ns[PROBE_UPGRADE] = l->upgrade;
}

static void
on_opened(struct nr_peer *peer, void *ctx)
{
	struct probe_relay *r = ctx;

	(void)peer;
	take_link(r);
	r->opened = nr_now_ns();
	r->ns[PROBE_OPEN] = r->opened - r->began;
	next(r);
}

/* How far it came. */
static enum probe_phase
link_phase(const struct probe_relay *r, const struct nr_fault *why)
{
	const struct nr_peer_link *l = nr_peer_link(r->peer);

	if (l->address[0] == '\0')
		return PROBE_DNS;
	if (l->connect < 0)
		return PROBE_CONNECT;
	if (r->url.tls && (l->tls < 0 || why->class == NR_FAULT_TLS))
		return PROBE_TLS;
	return PROBE_UPGRADE;
}

static void
cannot_open(struct probe_relay *r, const struct nr_fault *why)
{
	take_link(r);
	fail(r, link_phase(r, why), class_of_link(r, why), why->text);
	/* It speaks HTTP; what does it say of itself? */
	if (why->class == NR_FAULT_HTTP)
		next(r);
	else
		finish(r);
}

static void
on_closed(struct nr_peer *peer, void *ctx, const struct nr_fault *why,
    int64_t again)
{
	struct probe_relay *r = ctx;

	(void)peer;
	(void)again;
	if (r->done)
		destroy(r);
	else if (r->step == STEP_OPEN)
		cannot_open(r, why);
	else {
		fail(r, phase_of(r), class_of(why), why->text);
		finish(r);
	}
}

/* ---- the beginning */

static const struct nr_peer_calls calls = {
	.opened = on_opened, .answer = on_answer, .malformed = on_malformed,
	.challenged = on_challenged, .ponged = on_ponged,
	.proved = on_proved, .closed = on_closed
};

static void
make_peer(struct probe_relay *r)
{
	struct probe *p = r->probe;
	struct nr_peer_options o;
	int rc;

	nr_peer_options_init(&o);
	o.connect_ms = p->timeout_ms;
	o.ping_ms = o.dead_ms = 2 * p->timeout_ms;
	o.close_ms = CLOSE_MS;
	o.tries = 1;
	o.in_max = IN_MAX;
	o.in_close = 4 * IN_MAX;
	if (p->signer.key != NULL) {
		o.sign = nr_signer_auth;
		o.sign_ctx = &p->signer;
	}
	if ((rc = nr_peer_new(&r->peer, p->net, &r->url, &o, &calls,
	    r)) != NR_OK)
		nr_die(rc, "relay");
}

void
probe_relay_start(struct probe *p, const struct nr_url *url)
{
	struct probe_relay *r;
	int i, rc;

	if ((r = calloc(1, sizeof(*r))) == NULL ||
	    (p->nkinds > 0 &&
	    (r->kind = calloc(p->nkinds, sizeof(*r->kind))) == NULL))
		nr_die(ENOMEM, "relay");
	r->probe = p;
	if ((r->after = p->first) != NULL)
		r->after->before = r;
	p->first = r;
	r->url = *url;
	r->counts = r->reconciles = -1;
	for (i = 0; i < PROBE_PHASES; i++)
		r->ns[i] = -1;
	r->time = time(NULL);
	r->began = nr_now_ns();
	r->deadline = nr_now_ms() + p->timeout_ms;
	if ((rc = nr_timer_new(&r->clock, p->net, on_clock, r)) != NR_OK)
		nr_die(rc, "relay");
	make_peer(r);
	nr_peer_open(r->peer);
}
