/*
 * One relay of nr-publish: events in flight, what is said of them, and when
 * they are sent again.
 *
 * An event ends accepted, refused, or unanswered.  Unanswered is what the
 * relay said nothing of, or what it put off (rate-limited:, error:), until
 * attempts or time were spent.
 */
#include "publish.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tool.h"
#include "util/err.h"
#include "util/times.h"

#define BACKOFF_MS	1000	/* doubled each time */
#define BACKOFF_MAX_MS	60000
#define NOISE_MAX	10000	/* messages beside answers that are borne */

enum outcome {
	ACCEPTED, REFUSED, UNANSWERED
};

/* Half of the time is chance, so that not all come back at once. */
static int64_t
backoff(struct nr_pub *p, unsigned n)
{
	int64_t ms = BACKOFF_MS;

	for (; n > 1 && ms < BACKOFF_MAX_MS; n--)
		ms *= 2;
	if (ms > BACKOFF_MAX_MS)
		ms = BACKOFF_MAX_MS;
	return ms / 2 + (int64_t)nr_rng_below(&p->rng,
	    (uint64_t)(ms / 2 + 1));
}

static void
keep(char out[NR_PUB_TEXT], const char *text)
{
	snprintf(out, NR_PUB_TEXT, "%s", text);
}

/* ---- the end of an event */

/* What is not answered is where another run goes on. */
static void
stick(struct nr_pub_relay *r, const struct nr_pub_item *it)
{
	if (r->is_stuck && r->stuck.line <= it->before.line)
		return;
	r->is_stuck = 1;
	r->stuck = it->before;
}

static void
count(struct nr_pub_relay *r, enum outcome how, const char *text, int64_t ms)
{
	if (how == UNANSWERED) {
		r->failed++;
		return;
	}
	r->ms_sum += ms;
	if (ms > r->ms_max)
		r->ms_max = ms;
	if (how == ACCEPTED) {
		r->accepted++;
		r->duplicates += strncmp(text, "duplicate:", 10) == 0;
		return;
	}
	if (r->refused++ == 0)
		keep(r->refusal, text);
}

static void
finish(struct nr_pub_relay *r, struct nr_pub_flight *f, enum outcome how,
    const char *text)
{
	struct nr_pub_item *it = nr_pub_at(r->pub, f->seq);
	int64_t ms = f->first == 0 ? 0 : nr_now_ms() - f->first;
	size_t i = (size_t)(f - r->flight);
	uint64_t seq = f->seq;

	count(r, how, text, ms);
	/* A run with a key may do what this one could not. */
	if (how == UNANSWERED || (how == REFUSED &&
	    strncmp(text, "auth-required:", 14) == 0))
		stick(r, it);
	nr_pub_tell(r, f, it, how == UNANSWERED ? -1 : how == ACCEPTED,
	    text, ms);
	r->unanswered -= f->sent != 0;
	r->nflights--;
	memmove(f, f + 1, (r->nflights - i) * sizeof(*f));
	nr_pub_release(r->pub, seq, how == ACCEPTED);
}

/* ---- giving up */

void
nr_pub_relay_miss(struct nr_pub_relay *r, uint64_t seq)
{
	static const struct nr_pub_flight none;
	struct nr_pub_item *it = nr_pub_at(r->pub, seq);

	r->failed++;
	stick(r, it);
	nr_pub_tell(r, &none, it, -1, r->why, 0);
}

static void
give_up(struct nr_pub_relay *r, const char *why)
{
	struct nr_pub *p = r->pub;
	char text[NR_PUB_TEXT];

	if (*r->why == '\0')
		snprintf(text, sizeof(text), "%s", why);
	else
		snprintf(text, sizeof(text), "%s; last: %.180s", why, r->why);
	keep(r->why, text);
	r->over = 1;
	p->alive--;
	nr_peer_close(r->peer);
	nr_warn("%s: given up: %s", r->name, r->why);
	while (r->nflights > 0)
		finish(r, &r->flight[0], UNANSWERED, r->why);
	for (; r->next < nr_pub_end(p); r->next++) {
		if (nr_pub_at(p, r->next)->line <= r->start.line)
			continue;
		nr_pub_relay_miss(r, r->next);
		nr_pub_release(p, r->next, 0);
	}
}

/* ---- sending */

/* Fill the window from the queue. */
static void
take(struct nr_pub_relay *r)
{
	struct nr_pub *p = r->pub;

	while (r->nflights < p->window && r->next < nr_pub_end(p)) {
		uint64_t seq = r->next++;

		if (nr_pub_at(p, seq)->line <= r->start.line)
			continue;
		if (r->nflights == 0)
			r->progress = nr_now_ms();
		memset(&r->flight[r->nflights], 0, sizeof(r->flight[0]));
		r->flight[r->nflights++].seq = seq;
	}
	if (r->nflights > 0 && !r->begun) {
		r->begun = 1;
		nr_peer_open(r->peer);
	}
}

static int
send_one(struct nr_pub_relay *r, struct nr_pub_flight *f, int64_t now)
{
	struct nr_view part[3] = { { "[\"EVENT\",", 9 }, { NULL, 0 },
	    { "]", 1 } };
	int rc;

	part[1] = nr_pub_at(r->pub, f->seq)->event;
	rc = nr_peer_send(r->peer, part, 3);
	if (rc == ENOMEM)
		nr_die(rc, "%s", r->name);
	if (rc != NR_OK)
		return 0;
	if (f->first == 0)
		f->first = now;
	f->last = now;
	f->sent = 1;
	f->proved = r->proved;
	f->attempts++;
	f->order = ++r->sent;
	r->unanswered++;
	return 1;
}

void
nr_pub_relay_go(struct nr_pub_relay *r)
{
	int64_t now = nr_now_ms();
	unsigned i;

	if (r->over)
		return;
	take(r);
	if (nr_peer_state(r->peer) != NR_PEER_OPEN || r->proving ||
	    now < r->pause)
		return;
	for (i = 0; i < r->nflights && r->unanswered < r->room; i++)
		if (!r->flight[i].sent && r->flight[i].due <= now &&
		    !send_one(r, &r->flight[i], now))
			break;
}

/* ---- answers */

static struct nr_pub_flight *
flight_of(struct nr_pub_relay *r, const unsigned char id[32])
{
	unsigned i;

	for (i = 0; i < r->nflights; i++)
		if (r->flight[i].attempts > 0 && memcmp(id,
		    nr_pub_at(r->pub, r->flight[i].seq)->id, 32) == 0)
			return &r->flight[i];
	return NULL;
}

/* To be sent again, so long from now. */
static void
again(struct nr_pub_relay *r, struct nr_pub_flight *f, int64_t ms)
{
	r->unanswered -= f->sent != 0;
	f->sent = 0;
	f->due = nr_now_ms() + ms;
}

/* Can it still be answered in its time, after a wait? */
static int
in_time(const struct nr_pub_relay *r, const struct nr_pub_flight *f,
    int64_t ms)
{
	return f->first == 0 ||
	    nr_now_ms() + ms - f->first <= r->pub->deadline;
}

/* One more attempt has failed; returns 0 where it was the last. */
static int
strike(struct nr_pub_relay *r, struct nr_pub_flight *f, int64_t ms,
    const char *text)
{
	f->strikes++;
	if (ms < 0)
		ms = backoff(r->pub, f->strikes);
	keep(f->text, text);
	if (f->strikes >= r->pub->attempts || !in_time(r, f, ms)) {
		finish(r, f, UNANSWERED, text);
		return 0;
	}
	again(r, f, ms);
	if (ms > 0 && r->rest < f->due)
		r->rest = f->due;
	return 1;
}

/* All of them wait, and fewer go at a time afterwards. */
static void
slow_down(struct nr_pub_relay *r, struct nr_pub_flight *f, int64_t ms,
    const char *text)
{
	int64_t now = nr_now_ms();

	if (now >= r->pause) {
		r->room = r->room > 1 ? r->room / 2 : 1;
		r->streak = 0;
		r->backoff++;
	}
	if (ms < 0)
		ms = backoff(r->pub, r->backoff);
	keep(f->text, text);
	if (ms > r->pub->deadline) {
		keep(r->why, text);
		give_up(r, "it asks for more time than there is");
		return;
	}
	if (!in_time(r, f, ms)) {
		finish(r, f, UNANSWERED, text);
		return;
	}
	if (r->pause < now + ms)
		r->pause = now + ms;
	again(r, f, 0);
}

static void
speed_up(struct nr_pub_relay *r)
{
	r->backoff = 0;
	if (r->room < r->pub->window && ++r->streak >= r->room) {
		r->room++;
		r->streak = 0;
	}
}

static void
auth_wanted(struct nr_pub_relay *r, struct nr_pub_flight *f,
    const char *text)
{
	int state = nr_peer_prove(r->peer);

	if (state == 0 || (state == 2 && f->proved)) {
		finish(r, f, REFUSED, text);
		return;
	}
	r->proving = state == 1;
	keep(f->text, text);
	again(r, f, 0);
}

static void
on_ok(struct nr_pub_relay *r, struct nr_pub_flight *f,
    const struct nr_answer *a)
{
	int64_t wait = nr_answer_wait(a->text);
	char text[NR_PUB_TEXT];

	nr_answer_show(text, sizeof(text), a->text);
	if (wait >= 0)
		wait = wait * 1000 + (int64_t)nr_rng_below(&r->pub->rng, 250);
	r->progress = r->answered = nr_now_ms();
	if (r->newest < f->order)
		r->newest = f->order;
	nr_peer_good(r->peer);
	if (a->accepted || nr_answer_prefix(a->text, "duplicate")) {
		speed_up(r);
		finish(r, f, ACCEPTED, text);
	} else if (nr_answer_prefix(a->text, "auth-required"))
		auth_wanted(r, f, text);
	else if (nr_answer_prefix(a->text, "rate-limited"))
		slow_down(r, f, wait, text);
	else if (nr_answer_prefix(a->text, "error"))
		(void)strike(r, f, wait, text);
	else
		finish(r, f, REFUSED, text);
}

/* What nobody asked for is borne up to a point. */
static void
noise(struct nr_pub_relay *r)
{
	if (!r->over && ++r->other > NOISE_MAX + 4 * r->sent)
		give_up(r, "it says too much that nobody asked for");
}

static void
on_answer(struct nr_peer *peer, void *ctx, const struct nr_answer *a)
{
	struct nr_pub_relay *r = ctx;
	struct nr_pub_flight *f;

	(void)peer;
	if (r->over)
		return;
	if (a->verb == NR_ANSWER_OK && (f = flight_of(r, a->id)) != NULL) {
		on_ok(r, f, a);
		nr_pub_relay_go(r);
		return;
	}
	if (a->verb == NR_ANSWER_OK)
		r->stray++;
	else if (a->verb == NR_ANSWER_NOTICE)
		nr_answer_show(r->notice, sizeof(r->notice), a->text);
	noise(r);
}

static void
on_malformed(struct nr_peer *peer, void *ctx, const char *why)
{
	(void)peer;
	(void)why;
	noise(ctx);
}

/* ---- connections */

static void
on_opened(struct nr_peer *peer, void *ctx)
{
	struct nr_pub_relay *r = ctx;

	(void)peer;
	r->reached = 1;
	r->answered = 0;
	r->proving = r->proved = 0;
	nr_pub_relay_go(r);
}

static void
on_proved(struct nr_peer *peer, void *ctx, int accepted, const char *text)
{
	struct nr_pub_relay *r = ctx;

	(void)peer;
	r->proving = 0;
	r->proved = accepted;
	/* What waits for it is refused once more then, and finally. */
	if (!accepted)
		keep(r->notice, text);
	nr_pub_relay_go(r);
}

/*
 * What was not answered goes again.  That counts as an attempt only where
 * the relay answered nothing while it was there.
 */
static void
on_closed(struct nr_peer *peer, void *ctx, const struct nr_fault *why,
    int64_t wait)
{
	struct nr_pub_relay *r = ctx;
	unsigned i = 0;

	(void)peer;
	(void)wait;
	r->proving = 0;
	if (r->over || why->class == NR_FAULT_NONE)
		return;
	snprintf(r->why, sizeof(r->why), "%s: %.200s",
	    nr_fault_name(why->class), why->text);
	/* Of each kind once: there may be many. */
	if (!(r->told & 1u << why->class))
		nr_warn("%s: %s", r->name, r->why);
	r->told |= 1u << why->class;
	while (i < r->nflights) {
		struct nr_pub_flight *f = &r->flight[i];

		if (f->sent && r->answered == 0)
			i += (unsigned)strike(r, f, 0, r->why);
		else {
			if (f->sent)
				again(r, f, 0);
			i++;
		}
	}
}

static void
on_room(struct nr_peer *peer, void *ctx)
{
	(void)peer;
	nr_pub_relay_go(ctx);
}

/* ---- time */

/*
 * No OK for one of them.  Where others were answered that were sent after
 * it, it was passed over, and is sent again.  Else the relay is slow, which
 * it may be, or mute: then a new connection may help.
 */
static void
late(struct nr_pub_relay *r, int64_t now)
{
	struct nr_pub_flight *f;
	unsigned i = 0;

	while (i < r->nflights) {
		f = &r->flight[i];
		if (!in_time(r, f, 0))
			finish(r, f, UNANSWERED, *f->text != '\0' ? f->text :
			    "no answer");
		else if (!f->sent || now - f->last < r->pub->timeout)
			i++;
		else if (f->order < r->newest)
			i += (unsigned)strike(r, f, 0, "no answer");
		else if (now - r->answered < r->pub->timeout)
			i++;
		else {
			keep(f->text, "no answer");
			nr_peer_fail(r->peer, NR_FAULT_TIMEOUT, "no answer");
			return;
		}
	}
}

/* Does the queue wait for this one while another has nothing to do? */
static int
holds_up(const struct nr_pub_relay *r)
{
	const struct nr_pub *p = r->pub;
	unsigned i;

	if (r->nflights == 0 || r->flight[0].seq != p->base)
		return 0;
	for (i = 0; i < p->nrelays; i++)
		if (!p->relay[i].over && p->relay[i].nflights == 0)
			return 1;
	return 0;
}

/*
 * Relays differ, and a queue that is full at times is no fault of the one
 * that is slower.  So it counts only where it is more than nine tenths of
 * the time.
 */
static void
count_held(struct nr_pub_relay *r, int holding, int64_t now)
{
	int64_t ms = now - r->looked;

	r->looked = now;
	r->held += holding ? ms : -9 * ms;
	if (r->held < 0)
		r->held = 0;
}

/* Where nothing can be sent, no event can keep to its deadline. */
static int64_t
its_time(const struct nr_pub_relay *r)
{
	const struct nr_pub *p = r->pub;

	return !r->reached && p->deadline < p->give_up ? p->deadline :
	    p->give_up;
}

void
nr_pub_relay_look(struct nr_pub_relay *r, int blocking)
{
	int64_t now = nr_now_ms(), since = r->progress;

	if (r->over)
		return;
	count_held(r, blocking && holds_up(r), now);
	if (since < r->pause)
		since = r->pause;
	if (since < r->rest)
		since = r->rest;
	if (r->nflights == 0)
		return;
	if (now - since > its_time(r))
		give_up(r, r->reached ? "it answers nothing" :
		    "it cannot be reached");
	else if (r->held > r->pub->patience)
		give_up(r, "too slow: the others had to wait for it");
	else {
		late(r, now);
		nr_pub_relay_go(r);
	}
}

void
nr_pub_relay_place(const struct nr_pub_relay *r, struct nr_pub_place *out)
{
	const struct nr_pub *p = r->pub;
	const struct nr_pub_place *at = &p->here;

	if (r->nflights > 0)
		at = &nr_pub_at(p, r->flight[0].seq)->before;
	else if (r->next < nr_pub_end(p))
		at = &nr_pub_at(p, r->next)->before;
	if (r->is_stuck && r->stuck.line < at->line)
		at = &r->stuck;
	/* What was answered before this run stays so. */
	*out = at->line < r->start.line ? r->start : *at;
}

/* ---- beginning and end */

void
nr_pub_relay_init(struct nr_pub_relay *r, struct nr_pub *p,
    const struct nr_peer_options *o)
{
	static const struct nr_peer_calls calls = {
		.opened = on_opened, .answer = on_answer,
		.malformed = on_malformed, .room = on_room,
		.proved = on_proved, .closed = on_closed
	};
	int rc;

	r->pub = p;
	r->room = p->window;
	r->looked = nr_now_ms();
	r->flight = calloc(p->window, sizeof(r->flight[0]));
	if (r->flight == NULL)
		nr_die(ENOMEM, "%s", r->name);
	if ((rc = nr_peer_new(&r->peer, p->net, &r->url, o, &calls, r)) != 0)
		nr_die(rc, "%s", r->name);
	r->name = nr_peer_url(r->peer);
}

void
nr_pub_relay_free(struct nr_pub_relay *r)
{
	nr_peer_free(r->peer);
	free(r->flight);
}
