/*
 * Fetching: pages backwards in time, without losing those that share the
 * second at which a page ends, and without asking for ever.
 */
#include "client/fetch.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/internal.h"
#include "util/err.h"

#define PAGE		500	/* events, where the filter has no limit */
#define PAGE_MOST	5000	/* that are asked for to get past one second */
#define TIES_MAX	65536	/* ids of one second that are remembered */
#define RAISES_CUT	20	/* of them, before that second is given up */
#define RETRIES		10	/* of one page, after rate-limited: */
#define RETRY_MS	1000
#define RETRY_MAX_MS	60000
#define STRAYS_MAX	50000	/* in a row, before the relay is cut off */

struct nr_fetch {
	struct nr_fetcher	*fr;
	struct nr_fetch		*next;
	struct nr_filter	 filter;	/* since, until, limit change */
	struct nr_fetch_options	 o;
	struct nr_fetch_calls	 calls;
	void			*ctx;
	int			 dead;		/* to be freed */
	char			 subid[24];
	int			 asked;		/* REQ is out, no end yet */
	int			 proving;	/* waits for AUTH */
	int			 proved;	/* has had its AUTH */
	int			 is_live;	/* nothing new is missed */
	struct nr_timer		 timer;		/* answer due, or ask again */
	int64_t			 since;		/* it is waited for */
	unsigned		 retries;
	int			 delayed;	/* will be asked by the timer */
	int			 had_limit;
	uint64_t		 wanted, limit;	/* of a page; now */

	/* This page. */
	uint64_t		 raw, events, fresh, above;
	int64_t			 low;		/* oldest */
	uint64_t		 best;		/* raw, in all attempts at it */
	/* Over pages. */
	uint64_t		 before_raise;	/* what it had at a smaller limit */
	unsigned		 raises_cut;	/* of this second */
	unsigned char		*ties;		/* ids at the time `tie' */
	size_t			 nties, cap_ties;
	int64_t			 tie;
	int			 skipped;	/* not all of a second came */
	int			 suspect;	/* perhaps so */
};

struct nr_fetcher {
	struct nr_peer	*peer;
	struct nr_fetch	*first;
	struct nr_buf	 line;		/* of the event in hand */
	unsigned long	 serial;
	int		 busy;
	int		 freed;
	int		 open;
	uint64_t	 strays, strays_now;
};

/* ---- beginning and end ---- */

static void
destroy(struct nr_fetch *f)
{
	nr_timer_stop(&f->timer);
	nr_filter_free(&f->filter);
	free(f->ties);
	free(f);
}

/* Free those that have ended, when nobody is at work on the list. */
static void
leave(struct nr_fetcher *fr)
{
	struct nr_fetch **at, *f;

	if (--fr->busy > 0)
		return;
	for (at = &fr->first; (f = *at) != NULL;) {
		if (f->dead || fr->freed) {
			*at = f->next;
			destroy(f);
		} else
			at = &f->next;
	}
	if (fr->freed) {
		nr_buf_free(&fr->line);
		free(fr);
	}
}

int
nr_fetcher_new(struct nr_fetcher **out, struct nr_peer *p)
{
	struct nr_fetcher *fr;

	if ((fr = calloc(1, sizeof(*fr))) == NULL)
		return ENOMEM;
	fr->peer = p;
	fr->open = nr_peer_state(p) == NR_PEER_OPEN;
	*out = fr;
	return NR_OK;
}

void
nr_fetcher_free(struct nr_fetcher *fr)
{
	if (fr == NULL)
		return;
	fr->busy++;
	fr->freed = 1;
	leave(fr);
}

uint64_t
nr_fetcher_strays(const struct nr_fetcher *fr)
{
	return fr->strays;
}

static void
say_close(struct nr_fetch *f)
{
	char text[64];

	if (!f->asked)
		return;
	f->asked = 0;
	snprintf(text, sizeof(text), "[\"CLOSE\",\"%s\"]", f->subid);
	/* Where there is no room, what comes is a stray. */
	(void)nr_peer_say(f->fr->peer, text);
}

static void
finish(struct nr_fetch *f, enum nr_fetch_status status, const char *text)
{
	if (f->dead)
		return;
	say_close(f);
	f->dead = 1;
	nr_timer_stop(&f->timer);
	if (f->calls.end != NULL)
		f->calls.end(f, f->ctx, status, text);
}

void
nr_fetch_cancel(struct nr_fetch *f)
{
	struct nr_fetcher *fr = f->fr;

	if (f->dead)
		return;
	fr->busy++;
	say_close(f);
	f->dead = 1;
	nr_timer_stop(&f->timer);
	leave(fr);
}

/* ---- what is new ---- */

static void
go_live(struct nr_fetch *f)
{
	if (f->is_live)
		return;
	f->is_live = 1;
	if (f->calls.live != NULL)
		f->calls.live(f, f->ctx);
}

static void
go_deaf(struct nr_fetch *f)
{
	if (!f->is_live)
		return;
	f->is_live = 0;
	if (f->calls.deaf != NULL)
		f->calls.deaf(f, f->ctx);
}

/* ---- asking ---- */

static void
set_idle(struct nr_fetch *f)
{
	f->since = nr_peer_listened(f->fr->peer);
	nr_timer_set(&f->timer, f->o.idle_ms);
}

static int
format_req(struct nr_fetch *f, struct nr_buf *b)
{
	int rc;

	f->filter.limit = f->limit;
	if (f->o.mode == NR_FETCH_LIVE)
		f->filter.limit = 0;
	if (f->o.mode != NR_FETCH_ONCE || f->had_limit)
		f->filter.has |= NR_FILTER_LIMIT;
	if ((rc = nr_buf_addf(b, "[\"REQ\",\"%s\",", f->subid)) != NR_OK ||
	    (rc = nr_filter_format(b, &f->filter)) != NR_OK)
		return rc;
	return nr_buf_adds(b, "]");
}

/* Ask for the page that begins at the filter's until. */
static void
ask(struct nr_fetch *f)
{
	struct nr_buf b = { 0 };
	struct nr_view v;
	int rc;

	if (f->dead || f->asked || f->proving || !f->fr->open)
		return;
	f->delayed = 0;
	snprintf(f->subid, sizeof(f->subid), "%lu", ++f->fr->serial);
	f->raw = f->events = f->fresh = f->above = 0;
	rc = format_req(f, &b);
	v.p = b.p;
	v.len = b.len;
	if (rc == NR_OK)
		rc = nr_peer_send(f->fr->peer, &v, 1);
	nr_buf_free(&b);
	if (rc == NR_OK)
		f->asked = 1;
	else if (rc != EAGAIN && rc != ENOTCONN) {
		finish(f, NR_FETCH_LOST, nr_strerror(rc));
		return;
	}
	set_idle(f);
}

/* Ask again after a while, longer each time. */
static void
ask_later(struct nr_fetch *f, int64_t ms)
{
	unsigned i;

	if (ms < 0)
		for (ms = RETRY_MS, i = 1; i < f->retries &&
		    ms < RETRY_MAX_MS; i++)
			ms *= 2;
	f->asked = 0;
	f->delayed = 1;
	nr_timer_set(&f->timer, ms);
}

/* An answer is overdue; or it was waited for long enough to ask again. */
static void
on_timer(void *ctx)
{
	struct nr_fetch *f = ctx;
	struct nr_fetcher *fr = f->fr;
	int64_t left = nr_peer_due(fr->peer, f->since, f->o.idle_ms);

	fr->busy++;
	if (f->delayed)
		ask(f);
	else if (left > 0)
		/* Not all of the time it could be heard. */
		nr_timer_set(&f->timer, left);
	else if (f->o.mode == NR_FETCH_LIVE && f->asked) {
		/* Some relays have no EOSE where there are no events. */
		go_live(f);
	} else if (fr->open)
		finish(f, NR_FETCH_TIMEOUT, f->proving ?
		    "no answer to AUTH" : f->raw > 0 ?
		    "the answer does not end" : "no answer");
	leave(fr);
}

static int
copy_filter(struct nr_filter *out, const struct nr_filter *in)
{
	struct nr_buf b = { 0 };
	const char *why = NULL;
	int rc;

	if ((rc = nr_filter_format(&b, in)) == NR_OK)
		rc = nr_filter_parse(out, b.p, b.len, &nr_filter_limits_none,
		    &why);
	nr_buf_free(&b);
	return rc != NR_OK ? rc : why != NULL ? NR_EINVAL : NR_OK;
}

int
nr_fetch_new(struct nr_fetch **out, struct nr_fetcher *fr,
    const struct nr_filter *filter, const struct nr_fetch_options *o,
    const struct nr_fetch_calls *calls, void *ctx)
{
	struct nr_fetch *f, **at;
	int rc;

	if ((f = calloc(1, sizeof(*f))) == NULL)
		return ENOMEM;
	if ((rc = copy_filter(&f->filter, filter)) != NR_OK) {
		free(f);
		return rc;
	}
	f->fr = fr;
	f->o = *o;
	if (f->o.idle_ms == 0)
		f->o.idle_ms = 30000;
	if (f->o.page_max == 0)
		f->o.page_max = 1000000;
	f->calls = *calls;
	f->ctx = ctx;
	f->had_limit = (f->filter.has & NR_FILTER_LIMIT) != 0;
	f->wanted = f->limit = f->had_limit ? f->filter.limit : PAGE;
	if (o->mode == NR_FETCH_PAGES && f->limit == 0)
		f->wanted = f->limit = 1;
	nr_timer_init(&f->timer, nr_peer_net(fr->peer), on_timer, f);
	/* Each time the peer is open they are asked in this order. */
	for (at = &fr->first; *at != NULL; at = &(*at)->next)
		;
	*at = f;
	*out = f;
	/* Not from here: its caller does not have *out yet. */
	if (fr->open) {
		f->delayed = 1;
		nr_timer_set(&f->timer, 0);
	}
	return NR_OK;
}

/* ---- pages ---- */

static int
is_tie(const struct nr_fetch *f, const struct nr_event *ev)
{
	size_t i;

	if (f->nties == 0 || ev->created_at != f->tie)
		return 0;
	for (i = 0; i < f->nties; i++)
		if (memcmp(f->ties + 32 * i, ev->id, 32) == 0)
			return 1;
	return 0;
}

/* Remember those of the oldest second, where the next page will begin. */
static int
add_tie(struct nr_fetch *f, const struct nr_event *ev)
{
	unsigned char *p;
	size_t cap;

	if (f->nties > 0 && ev->created_at > f->tie)
		return NR_OK;
	if (f->nties > 0 && ev->created_at < f->tie)
		f->nties = 0;
	f->tie = ev->created_at;
	if (f->nties == f->cap_ties) {
		if (f->nties == TIES_MAX)
			return NR_OK;
		cap = f->cap_ties == 0 ? 16 : f->cap_ties * 2;
		if ((p = realloc(f->ties, cap * 32)) == NULL)
			return ENOMEM;
		f->ties = p;
		f->cap_ties = cap;
	}
	memcpy(f->ties + 32 * f->nties++, ev->id, 32);
	return NR_OK;
}

static void
next_page(struct nr_fetch *f, int64_t until)
{
	f->filter.has |= NR_FILTER_UNTIL;
	f->filter.until = until;
	f->best = 0;
	ask(f);
}

static void
end_pages(struct nr_fetch *f)
{
	if (f->skipped)
		finish(f, NR_FETCH_PARTIAL, "one second has more events "
		    "than the relay gives at a time");
	else
		finish(f, NR_FETCH_DONE, "");
}

/* The second at which this page begins is left behind. */
static void
go_below(struct nr_fetch *f)
{
	f->before_raise = 0;
	f->raises_cut = 0;
	f->limit = f->wanted;
	f->nties = 0;
	if (f->low <= 0 || (f->filter.has & NR_FILTER_SINCE &&
	    f->low <= f->filter.since))
		end_pages(f);
	else
		next_page(f, f->low - 1);
}

/*
 * A page of one second.  Where it may not be all of it, ask for more, as
 * long as that brings any.  Where it looks like all, there is nothing older;
 * unless what is below proves that the relay had stopped at a bound of its
 * own.
 */
static void
one_second(struct nr_fetch *f, int more)
{
	int full = f->events >= f->limit;

	if (f->limit < PAGE_MOST && f->raises_cut < RAISES_CUT && (full ||
	    (more && f->events > f->before_raise))) {
		f->before_raise = f->events;
		f->limit = f->limit * 4 < PAGE_MOST ? f->limit * 4 : PAGE_MOST;
		next_page(f, f->low);
		return;
	}
	if (full || more)
		f->skipped = 1;
	else
		f->suspect = 1;
	go_below(f);
}

/* A page is complete.  more, finish: what the relay says of it (NIP-67). */
static void
page_done(struct nr_fetch *f, int more, int finished)
{
	if (f->above > 0 && f->fresh == 0) {
		finish(f, NR_FETCH_PARTIAL, "the relay ignores until");
		return;
	}
	if (f->events > 0 && f->suspect)
		f->skipped = 1;
	f->suspect = 0;
	if (finished || f->events == 0) {
		end_pages(f);
		return;
	}
	if (f->filter.has & NR_FILTER_UNTIL && f->low >= f->filter.until) {
		one_second(f, more);
		return;
	}
	/* After a cut, or a raise, the size comes back by and by. */
	f->before_raise = 0;
	f->raises_cut = 0;
	f->limit = f->limit * 2 < f->wanted ? f->limit * 2 : f->wanted;
	next_page(f, f->low);
}

/* ---- answers ---- */

static void
refuse(struct nr_fetch *f, enum nr_fetch_refusal why, enum nr_verdict v)
{
	if (f->calls.refused != NULL)
		f->calls.refused(f, f->ctx, why, v);
}

/* Is the filter met?  Its limit plays no part, but its until does. */
static int
take_event(struct nr_fetch *f, struct nr_event *ev)
{
	if (!nr_filter_match(&f->filter, ev)) {
		f->above += f->filter.has & NR_FILTER_UNTIL &&
		    ev->created_at > f->filter.until;
		refuse(f, NR_FETCH_UNASKED, NR_VALID);
		return 0;
	}
	if (f->o.mode != NR_FETCH_PAGES)
		return 1;
	if (f->events++ == 0 || ev->created_at < f->low)
		f->low = ev->created_at;
	if (is_tie(f, ev))
		return 0;
	f->fresh++;
	if (add_tie(f, ev) != NR_OK) {
		finish(f, NR_FETCH_PARTIAL, nr_strerror(ENOMEM));
		return 0;
	}
	return 1;
}

static void
on_event(struct nr_fetch *f, const struct nr_answer *a)
{
	struct nr_buf *line = &f->fr->line;
	struct nr_event ev;
	enum nr_verdict v;
	struct nr_view text;
	size_t pos;

	f->raw++;
	if (f->o.mode != NR_FETCH_LIVE) {
		set_idle(f);
		if (f->raw > f->o.page_max) {
			finish(f, NR_FETCH_PARTIAL, "the answer does not end");
			return;
		}
	}
	v = nr_event_read(&ev, a->event.p, a->event.len, &nr_event_limits_pipe,
	    &pos);
	if (v != NR_VALID) {
		refuse(f, NR_FETCH_MALFORMED, v);
		return;
	}
	line->len = 0;
	if (nr_buf_reserve(line, NR_EVENT_LINE_MAX(a->event.len)) != NR_OK) {
		finish(f, NR_FETCH_PARTIAL, nr_strerror(ENOMEM));
		return;
	}
	text.p = line->p;
	text.len = nr_event_normalise(&ev, line->p);
	/* Who sends one event and hangs up, over and over, is of no use. */
	if (f->o.mode == NR_FETCH_LIVE || f->raw > f->best)
		nr_peer_good(f->fr->peer);
	if (f->raw > f->best)
		f->best = f->raw;
	if (take_event(f, &ev))
		f->calls.event(f, f->ctx, &ev, text);
}

static void
on_eose(struct nr_fetch *f, const struct nr_answer *a)
{
	f->retries = 0;
	nr_peer_good(f->fr->peer);
	if (f->o.mode == NR_FETCH_LIVE) {
		nr_timer_stop(&f->timer);
		go_live(f);
		return;
	}
	say_close(f);
	if (f->o.mode == NR_FETCH_ONCE && a->more &&
	    !(f->had_limit && f->raw >= f->limit))
		finish(f, NR_FETCH_PARTIAL, "the relay has more than it gives "
		    "at a time");
	else if (f->o.mode == NR_FETCH_ONCE)
		finish(f, NR_FETCH_DONE, "");
	else
		page_done(f, a->more, a->finish);
}

static void
on_closed(struct nr_fetch *f, const struct nr_answer *a)
{
	char text[NR_FAULT_TEXT];
	int wait = nr_answer_wait(a->text);

	f->asked = 0;
	go_deaf(f);
	if (f->dead)
		return;
	if (nr_answer_prefix(a->text, "auth-required") && !f->proved &&
	    nr_peer_prove(f->fr->peer) > 0) {
		/* Where it is proved by now, the relay may not know yet. */
		f->proved = 1;
		f->proving = nr_peer_prove(f->fr->peer) == 1;
		set_idle(f);
		ask(f);
		return;
	}
	if ((nr_answer_prefix(a->text, "rate-limited") ||
	    nr_answer_prefix(a->text, "error")) && f->retries < RETRIES &&
	    wait <= NR_ANSWER_WAIT_MAX) {
		f->retries++;
		ask_later(f, wait >= 0 ? (int64_t)wait * 1000 : -1);
		return;
	}
	nr_answer_show(text, sizeof(text), a->text);
	finish(f, NR_FETCH_REFUSED, text);
}

static void
stray(struct nr_fetcher *fr)
{
	fr->strays++;
	if (++fr->strays_now > STRAYS_MAX)
		nr_peer_fail(fr->peer, NR_FAULT_FLOOD,
		    "events that nobody has asked for");
}

int
nr_fetcher_answer(struct nr_fetcher *fr, const struct nr_answer *a)
{
	struct nr_fetch *f;

	if (a->verb != NR_ANSWER_EVENT && a->verb != NR_ANSWER_EOSE &&
	    a->verb != NR_ANSWER_CLOSED)
		return 0;
	for (f = fr->first; f != NULL; f = f->next)
		if (!f->dead && f->asked && nr_answer_is(a, f->subid))
			break;
	if (f == NULL) {
		if (a->verb == NR_ANSWER_EVENT)
			stray(fr);
		return 0;
	}
	fr->strays_now = 0;
	fr->busy++;
	if (a->verb == NR_ANSWER_EVENT)
		on_event(f, a);
	else if (a->verb == NR_ANSWER_EOSE)
		on_eose(f, a);
	else
		on_closed(f, a);
	leave(fr);
	return 1;
}

/* ---- the connection ---- */

static void
ask_all(struct nr_fetcher *fr)
{
	struct nr_fetch *f;

	fr->busy++;
	for (f = fr->first; f != NULL; f = f->next)
		if (!f->delayed)
			ask(f);
	leave(fr);
}

void
nr_fetcher_opened(struct nr_fetcher *fr)
{
	struct nr_fetch *f;

	fr->open = 1;
	fr->strays_now = 0;
	/* Also those that were to be asked by and by: now, in this order. */
	fr->busy++;
	for (f = fr->first; f != NULL; f = f->next)
		ask(f);
	leave(fr);
}

void
nr_fetcher_room(struct nr_fetcher *fr)
{
	ask_all(fr);
}

void
nr_fetcher_proved(struct nr_fetcher *fr, int accepted)
{
	struct nr_fetch *f;

	fr->busy++;
	for (f = fr->first; f != NULL; f = f->next) {
		if (f->dead || !f->proving)
			continue;
		f->proving = 0;
		if (accepted)
			ask(f);
		else
			finish(f, NR_FETCH_REFUSED,
			    "the relay does not take our AUTH");
	}
	leave(fr);
}

/*
 * A page that was cut is asked for anew, and smaller than what came of it:
 * so long, it seems, the connection lasts.
 */
static void
interrupt(struct nr_fetch *f)
{
	uint64_t n = f->raw < f->limit ? f->raw : f->limit;

	if (f->asked && f->o.mode == NR_FETCH_PAGES && n > 0)
		f->limit = n > 1 ? n / 2 : 1;
	/* Smaller pages are answered, so it would come back for ever. */
	f->raises_cut += f->asked && f->before_raise > 0;
	f->asked = f->proving = f->proved = f->delayed = 0;
	f->retries = 0;
	f->before_raise = 0;
	nr_timer_stop(&f->timer);
}

void
nr_fetcher_closed(struct nr_fetcher *fr, const struct nr_fault *why,
    int64_t again)
{
	struct nr_fetch *f;

	fr->open = 0;
	fr->busy++;
	for (f = fr->first; f != NULL; f = f->next) {
		if (f->dead)
			continue;
		interrupt(f);
		go_deaf(f);
		if (again < 0)
			finish(f, NR_FETCH_LOST, why->text);
	}
	leave(fr);
}
