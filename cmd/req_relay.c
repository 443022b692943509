/*
 * nr-req: what is asked of one relay.
 *
 * A stream subscribes to what is new before it asks for what is stored, so
 * that there is no moment between the two.  When it subscribes anew, after a
 * reconnection or a CLOSED, it asks for what was stored since, back from now
 * to where it was.
 */
#include "req.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tool.h"
#include "util/err.h"
#include "util/times.h"

#define NOTICES_SHOWN	20

static void
set_status(struct req_relay *r, enum req_status status,
    enum nr_fault_class fault, const char *text)
{
	if (status <= r->status)
		return;
	r->status = status;
	r->fault = fault;
	snprintf(r->text, sizeof(r->text), "%s", text);
}

static void
finished(struct req_relay *r)
{
	if (r->done)
		return;
	r->done = 1;
	r->ms = nr_now_ms() - r->req->began;
	req_done(r);
}

/* All has been asked and answered. */
static void
no_more(struct req_relay *r)
{
	if (nr_peer_state(r->peer) == NR_PEER_IDLE)
		finished(r);
	else
		nr_peer_close(r->peer);
}

/* ---- events ---- */

static void
on_event(struct nr_fetch *f, void *ctx, const struct nr_event *ev,
    struct nr_view line)
{
	struct req_want *w = ctx;

	(void)f;
	w->relay->events++;
	w->relay->answered = 1;
	if (ev->created_at > w->relay->newest)
		w->relay->newest = ev->created_at;
	req_event(w->relay, ev, line);
}

static void
on_refused(struct nr_fetch *f, void *ctx, enum nr_fetch_refusal why,
    enum nr_verdict v)
{
	struct req_want *w = ctx;

	(void)f;
	(void)v;
	if (why == NR_FETCH_UNASKED)
		w->relay->unasked++;
	else
		w->relay->malformed++;
}

static void	next_gap(struct req_want *w);
static void	add_gap(struct req_want *w, int64_t since);

static void
forget(struct req_want *w, const struct nr_fetch *f)
{
	if (f == w->live)
		w->live = NULL;
	else if (f == w->stored)
		w->stored = NULL;
	else
		w->gap = NULL;
	w->relay->open--;
}

static void
on_end(struct nr_fetch *f, void *ctx, enum nr_fetch_status status,
    const char *text)
{
	struct req_want *w = ctx;
	struct req_relay *r = w->relay;

	/* What could not be had now is asked for with the next one. */
	if (f == w->gap && (status == NR_FETCH_REFUSED ||
	    status == NR_FETCH_TIMEOUT))
		add_gap(w, w->gap_since);
	forget(w, f);
	switch (status) {
	case NR_FETCH_DONE:
		r->answered = 1;
		next_gap(w);
		break;
	case NR_FETCH_PARTIAL:
		r->answered = 1;
		set_status(r, REQ_PARTIAL, NR_FAULT_NONE, text);
		next_gap(w);
		break;
	case NR_FETCH_REFUSED:
		r->answered = 1;
		set_status(r, REQ_REFUSED, NR_FAULT_NONE, text);
		break;
	case NR_FETCH_TIMEOUT:
		set_status(r, r->events > 0 ? REQ_PARTIAL : REQ_FAILED,
		    NR_FAULT_TIMEOUT, text);
		break;
	case NR_FETCH_LOST:
		break;		/* closed() says more */
	}
	if (r->open == 0)
		no_more(r);
}

static void on_live(struct nr_fetch *f, void *ctx);
static void on_deaf(struct nr_fetch *f, void *ctx);

static const struct nr_fetch_calls fetch_calls = {
	.event = on_event, .refused = on_refused, .live = on_live,
	.deaf = on_deaf, .end = on_end
};

static void
begin(struct req_want *w, struct nr_fetch **out, enum nr_fetch_mode mode,
    const struct nr_filter *filter)
{
	struct nr_fetch_options o = {
		.mode = mode, .idle_ms = w->relay->req->timeout_ms
	};
	int rc;

	rc = nr_fetch_new(out, w->relay->fetcher, filter, &o, &fetch_calls, w);
	if (rc != NR_OK)
		nr_die(rc, "fetch");
	w->relay->open++;
}

static void
begin_stored(struct req_want *w)
{
	begin(w, &w->stored, w->relay->req->paginate ? NR_FETCH_PAGES :
	    NR_FETCH_ONCE, w->filter);
}

/* From when on something may be missed that is live no more. */
static int64_t
resume_at(const struct req_relay *r)
{
	int64_t at = time(NULL);

	if (r->newest > 0 && r->newest < at)
		at = r->newest;
	at -= r->req->overlap;
	return at > 0 ? at : 0;
}

static void
begin_gap(struct req_want *w, int64_t at)
{
	struct nr_filter f = *w->filter;	/* only borrowed */

	if (!(f.has & NR_FILTER_SINCE) || f.since < at)
		f.since = at;
	f.has |= NR_FILTER_SINCE;
	f.has &= ~NR_FILTER_LIMIT;
	w->gap_since = at;
	begin(w, &w->gap, NR_FETCH_PAGES, &f);
}

/* A gap is to be filled, after the one that is being filled. */
static void
add_gap(struct req_want *w, int64_t since)
{
	if (!w->more || since < w->more_since)
		w->more_since = since;
	w->more = 1;
}

static void
next_gap(struct req_want *w)
{
	if (!w->more || w->gap != NULL)
		return;
	w->more = 0;
	begin_gap(w, w->more_since);
}

static void
on_live(struct nr_fetch *f, void *ctx)
{
	struct req_want *w = ctx;

	(void)f;
	w->relay->answered = 1;
	w->relay->last.class = NR_FAULT_NONE;
	if (!w->begun) {
		w->begun = 1;
		begin_stored(w);
	} else if (w->missed) {
		add_gap(w, w->missed_since);
		next_gap(w);
	}
	w->missed = 0;
}

/* The connection went away, or the relay has closed it. */
static void
on_deaf(struct nr_fetch *f, void *ctx)
{
	struct req_want *w = ctx;

	(void)f;
	w->missed = 1;
	w->missed_since = resume_at(w->relay);
}

/* ---- COUNT ---- */

static void
ask_count(struct req_relay *r)
{
	struct nr_buf b = { 0 };
	struct nr_view v;
	size_t i;
	int rc;

	rc = nr_buf_adds(&b, "[\"COUNT\",\"c\"");
	for (i = 0; rc == NR_OK && i < r->req->nfilters; i++)
		if ((rc = nr_buf_adds(&b, ",")) == NR_OK)
			rc = nr_filter_format(&b, &r->req->filters[i]);
	if (rc == NR_OK)
		rc = nr_buf_adds(&b, "]");
	v = (struct nr_view){ b.p, b.len };
	if (rc != NR_OK || (rc = nr_peer_send(r->peer, &v, 1)) == ENOMEM)
		nr_die(rc, "count");
	nr_buf_free(&b);
	nr_timer_set(r->timer, r->req->timeout_ms);
}

static void
on_count_due(void *ctx)
{
	struct req_relay *r = ctx;

	set_status(r, REQ_FAILED, NR_FAULT_TIMEOUT, "no answer to COUNT");
	no_more(r);
}

static void
on_count(struct req_relay *r, const struct nr_answer *a)
{
	char text[NR_FAULT_TEXT];

	r->answered = 1;
	if (a->verb == NR_ANSWER_CLOSED && r->proof == 0 &&
	    nr_answer_prefix(a->text, "auth-required") &&
	    nr_peer_prove(r->peer) == 1)
		return;		/* asked again when that is done */
	nr_timer_stop(r->timer);
	if (a->verb == NR_ANSWER_CLOSED) {
		nr_answer_show(text, sizeof(text), a->text);
		set_status(r, REQ_REFUSED, NR_FAULT_NONE, text);
	} else {
		r->has_count = 1;
		r->count = a->count;
		r->approximate = a->approximate;
		r->has_hll = a->has_hll;
		memcpy(r->hll, a->hll, sizeof(r->hll));
	}
	no_more(r);
}

/* ---- the connection ---- */

static void
on_opened(struct nr_peer *p, void *ctx)
{
	struct req_relay *r = ctx;

	if (r->req->stream && r->last.class != NR_FAULT_NONE)
		nr_warn("%s: connected", nr_peer_url(p));
	if (r->req->mode == REQ_COUNT)
		ask_count(r);
	else
		nr_fetcher_opened(r->fetcher);
}

static void
on_notice(struct req_relay *r, const struct nr_answer *a)
{
	char text[NR_FAULT_TEXT];

	if (r->notices++ >= NOTICES_SHOWN)
		return;
	nr_answer_show(text, sizeof(text), a->text);
	nr_warn("%s: notice: %s", nr_peer_url(r->peer), text);
}

static void
on_answer(struct nr_peer *p, void *ctx, const struct nr_answer *a)
{
	struct req_relay *r = ctx;

	(void)p;
	if (a->verb == NR_ANSWER_NOTICE)
		on_notice(r, a);
	else if (r->req->mode == REQ_COUNT) {
		if ((a->verb == NR_ANSWER_COUNT ||
		    a->verb == NR_ANSWER_CLOSED) && nr_answer_is(a, "c") &&
		    !r->has_count)
			on_count(r, a);
	} else
		(void)nr_fetcher_answer(r->fetcher, a);
}

static void
on_room(struct nr_peer *p, void *ctx)
{
	struct req_relay *r = ctx;

	(void)p;
	if (r->fetcher != NULL)
		nr_fetcher_room(r->fetcher);
}

static void
on_proved(struct nr_peer *p, void *ctx, int accepted, const char *text)
{
	struct req_relay *r = ctx;

	(void)p;
	r->proof = accepted ? 1 : -1;
	if (!accepted)
		nr_warn("%s: AUTH is not accepted: %s", nr_peer_url(r->peer),
		    text);
	if (r->req->mode != REQ_COUNT)
		nr_fetcher_proved(r->fetcher, accepted);
	else if (nr_peer_state(p) == NR_PEER_OPEN && accepted)
		ask_count(r);
	else if (nr_peer_state(p) == NR_PEER_OPEN) {
		set_status(r, REQ_REFUSED, NR_FAULT_NONE, text);
		no_more(r);
	}
}

static void
on_closed(struct nr_peer *p, void *ctx, const struct nr_fault *why,
    int64_t again)
{
	struct req_relay *r = ctx;

	(void)p;
	if (why->class != NR_FAULT_NONE) {
		r->last = *why;
		if (again >= 0)
			nr_warn("%s: %s; again in %.1f s", nr_peer_url(p),
			    why->text, (double)again / 1000);
		else if (r->req->stopping == 0)
			set_status(r, r->answered && r->events > 0 ?
			    REQ_PARTIAL : REQ_FAILED, why->class, why->text);
	}
	if (r->timer != NULL)
		nr_timer_stop(r->timer);
	if (r->fetcher != NULL)
		nr_fetcher_closed(r->fetcher, why, again);
	if (again < 0)
		finished(r);
}

static void
on_info(void *ctx, const char *text, size_t len, const struct nr_fault *why)
{
	struct req_relay *r = ctx;

	if (text == NULL) {
		set_status(r, REQ_FAILED, why->class, why->text);
	} else {
		r->answered = 1;
		if (nr_buf_add(&r->document, text, len) != NR_OK)
			nr_die(ENOMEM, "info");
	}
	finished(r);
}

static void
start_peer(struct req_relay *r)
{
	static const struct nr_peer_calls calls = {
		.opened = on_opened, .answer = on_answer, .room = on_room,
		.proved = on_proved, .closed = on_closed
	};
	struct nr_peer_options o;
	int rc;

	nr_peer_options_init(&o);
	o.connect_ms = r->req->connect_ms;
	o.tries = r->req->tries;
	if (r->req->signer.key != NULL) {
		o.sign = nr_signer_auth;
		o.sign_ctx = &r->req->signer;
		o.auth = NR_AUTH_FIRST;
	}
	rc = nr_peer_new(&r->peer, r->req->net, &r->url, &o, &calls, r);
	if (rc == NR_OK && r->req->mode == REQ_FETCH)
		rc = nr_fetcher_new(&r->fetcher, r->peer);
	if (rc == NR_OK && r->req->mode == REQ_COUNT)
		rc = nr_timer_new(&r->timer, r->req->net, on_count_due, r);
	if (rc != NR_OK)
		nr_die(rc, "relays");
	nr_peer_open(r->peer);
}

void
req_relay_start(struct req_relay *r)
{
	const struct req *q = r->req;
	size_t i;
	int rc;

	if (q->mode == REQ_INFO) {
		rc = nr_info_new(&r->info, q->net, &r->url, q->timeout_ms,
		    on_info, r);
		if (rc != NR_OK)
			nr_die(rc, "relays");
		return;
	}
	start_peer(r);
	if (q->mode == REQ_COUNT)
		return;
	if ((r->want = calloc(q->nfilters, sizeof(r->want[0]))) == NULL)
		nr_die(ENOMEM, "relays");
	for (i = 0; i < q->nfilters; i++) {
		r->want[i].relay = r;
		r->want[i].filter = &q->filters[i];
		if (q->stream)
			begin(&r->want[i], &r->want[i].live, NR_FETCH_LIVE,
			    &q->filters[i]);
		else
			begin_stored(&r->want[i]);
	}
}

static void
cancel(struct nr_fetch **f)
{
	if (*f != NULL)
		nr_fetch_cancel(*f);
	*f = NULL;
}

void
req_relay_stop(struct req_relay *r, const char *why)
{
	size_t i;

	if (r->done)
		return;
	if (why != NULL)
		set_status(r, r->answered ? REQ_PARTIAL : REQ_FAILED,
		    r->last.class, why);
	for (i = 0; r->want != NULL && i < r->req->nfilters; i++) {
		cancel(&r->want[i].live);
		cancel(&r->want[i].stored);
		cancel(&r->want[i].gap);
	}
	r->open = 0;
	if (r->info != NULL)
		finished(r);
	else
		no_more(r);
}

void
req_relay_free(struct req_relay *r)
{
	nr_fetcher_free(r->fetcher);
	nr_peer_free(r->peer);
	nr_info_free(r->info);
	nr_timer_free(r->timer);
	nr_buf_free(&r->document);
	free(r->want);
}
