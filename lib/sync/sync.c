/*
 * Bringing a store and a relay together.
 *
 * Ranges of time wait in a stack; one is worked on: reconciled, or paged,
 * while what is found goes up and comes down beside it.  It is done when
 * everything that it started has ended.
 */
#include "sync/sync.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "client/fetch.h"
#include "event/tags.h"
#include "sync/ids.h"
#include "util/err.h"
#include "util/hex.h"
#include "util/idset.h"

#define BATCH		200	/* ids in a REQ, unless the relay gives fewer */
#define FETCHES		6	/* of these at a time */
#define QUEUE_MAX	20000	/* ids that wait, before messages do */
#define WINDOW		500	/* events in flight, upwards */
#define RANGE_TRIES	5
#define BLOCKED_MAX	100	/* times in a row that it was too big */
#define SPLITS_MAX	16	/* of a range, before the first one works */
#define LIES_MIN	1000	/* ids that are not there, in spite of */
#define SOME		256	/* events in one look at the store */
#define FEED_MS		1000
#define RECENT		1000000	/* ids that came from the relay, or went there */

struct range {
	size_t	filter;
	int64_t	since, until;	/* inclusive */
	unsigned depth;		/* how often it was split */
};

enum job { NOTHING, RECONCILING, PAGING, DRAINING };

/* What is new, by one filter, while following. */
struct ear {
	struct nr_syncer	*s;
	const struct nr_filter	*filter;
	struct nr_fetch		*fetch;
	int			 missed;	/* something, perhaps */
	int			 told;		/* that it was refused */
};

struct asked;

struct nr_syncer {
	struct nr_sync_options	 o;
	struct nr_net		*net;
	struct nr_peer		*peer;
	struct nr_fetcher	*fetcher;
	struct nr_upload	*upload;
	struct nr_side		*side;
	size_t			 side_filter;	/* of a list */
	struct nr_snap		*sn;
	struct nr_timer		*timer;		/* again; or the feed */
	struct nr_timer		*feed_timer;
	struct nr_sync_figures	 figures;

	struct range		*range;
	size_t			 nranges, capranges;
	struct range		 now;
	int			 begun;		/* with it; not put back */
	enum job		 job;
	uint64_t		 before;	/* progress, as it connected */
	unsigned		 tries;		/* of this range */
	unsigned long		 serial;
	struct nr_reconcile	*rec;
	int			 no_neg;	/* it does not know NIP-77 */
	int			 worked;	/* it does */
	unsigned		 blocked;	/* in a row */
	int			 again;		/* all of it, after this */
	int			 looking_again;	/* for what was missing */
	int			 refused;	/* to wait, when it is drained */
	int			 wants_proof;
	struct nr_ids		 have, need, once_more;
	struct asked		*asked;
	unsigned		 fetches;	/* by ids */
	size_t			 batch;		/* ids in each of them */
	struct nr_buf		 spill;		/* lines that found no room */
	size_t			 spilled;	/* of it, those that have */
	struct nr_neg_array	 seen;		/* by pages */

	struct ear		*ear;		/* one a filter, or NULL */
	struct nr_timer		*ear_timer;
	int			 following;	/* the first time is over */
	uint64_t		 feed;		/* the next number to send */
	int			 caught_up;	/* it was said */
	/* From the relay; while following, there, too.  Or NULL. */
	struct nr_idset		*recent;
	int			 ending;
	int			 closed;	/* nothing comes any more */
	enum nr_sync_status	 status;
	int			 rc;
	char			 text[NR_FAULT_TEXT + 300];
};

static void	pump(struct nr_syncer *s);
static int	is_open(const struct nr_syncer *s);
static void	free_all_asked(struct nr_syncer *s);
static void	stop_listening(struct nr_syncer *s);
static int	is_drained(struct nr_syncer *s);
static void	next_range(struct nr_syncer *s);

/* Is there a connection, and all that works on it? */
static int
is_open(const struct nr_syncer *s)
{
	return s->fetcher != NULL && nr_peer_state(s->peer) == NR_PEER_OPEN;
}

/* ---- ending --------------------------------------------------------------------- */

static void
say(struct nr_syncer *s, const char *text)
{
	if (s->o.say != NULL)
		s->o.say(s->o.ctx, text);
}

/* Forget what was under way with this connection. */
static void
abandon(struct nr_syncer *s)
{
	nr_reconcile_free(s->rec);
	s->rec = NULL;
	s->job = NOTHING;
	s->refused = 0;
	nr_ids_clear(&s->have);
	nr_ids_clear(&s->need);
	nr_ids_clear(&s->once_more);
	stop_listening(s);
	nr_fetcher_free(s->fetcher);
	s->fetcher = NULL;
	free_all_asked(s);
	s->fetches = 0;
	nr_upload_lost(s->upload);
	nr_neg_array_free(&s->seen);
	nr_timer_stop(s->timer);
}

/* Give the lines that found no room.  Returns 0, EAGAIN or a code. */
static int
give_spilled(struct nr_syncer *s)
{
	struct nr_view line;
	const char *lf;
	int rc;

	while (s->spilled < s->spill.len) {
		line.p = s->spill.p + s->spilled;
		lf = memchr(line.p, '\n', s->spill.len - s->spilled);
		line.len = (size_t)(lf - line.p);
		if ((rc = s->o.take(s->o.ctx, line)) != NR_OK)
			return rc;
		s->spilled += line.len + 1;
	}
	s->spill.len = s->spilled = 0;
	return NR_OK;
}

/* What has come is taken first, as far as our side can. */
static void
finish(struct nr_syncer *s)
{
	int rc;

	s->closed = 1;
	rc = s->status == NR_SYNC_FAILED ? NR_OK : give_spilled(s);
	if (rc == EAGAIN)
		return;		/* until nr_syncer_room() */
	if (rc != NR_OK) {
		s->status = NR_SYNC_FAILED;
		s->rc = rc;
		snprintf(s->text, sizeof(s->text), "%s", nr_strerror(rc));
	}
	s->o.end(s->o.ctx, s->status, s->text, s->rc);
}

static void
end(struct nr_syncer *s, enum nr_sync_status status, const char *text,
    int rc)
{
	if (s->ending)
		return;
	s->ending = 1;
	s->status = status;
	s->rc = rc;
	snprintf(s->text, sizeof(s->text), "%s", text);
	abandon(s);
	if (nr_peer_state(s->peer) == NR_PEER_IDLE)
		nr_timer_set(s->timer, 0);
	else
		nr_peer_close(s->peer);
}

static void
fail(struct nr_syncer *s, int rc)
{
	end(s, NR_SYNC_FAILED, nr_strerror(rc), rc);
}

/* ---- ranges ------------------------------------------------------------------------ */

static int
push_range(struct nr_syncer *s, size_t filter, int64_t since, int64_t until,
    unsigned depth)
{
	size_t cap = 2 * s->capranges + 16;
	struct range *p;

	if (s->nranges == s->capranges) {
		if ((p = realloc(s->range, cap * sizeof(*p))) == NULL)
			return ENOMEM;
		s->range = p;
		s->capranges = cap;
	}
	s->range[s->nranges++] = (struct range){ filter, since, until,
	    depth };
	return NR_OK;
}

static int
all_ranges(struct nr_syncer *s)
{
	const struct nr_filter *f;
	size_t i = s->o.nfilters;
	int rc = NR_OK;

	s->nranges = 0;
	while (rc == NR_OK && i-- > 0) {
		f = &s->o.filters[i];
		rc = push_range(s, i, f->has & NR_FILTER_SINCE ? f->since :
		    INT64_MIN, f->has & NR_FILTER_UNTIL ? f->until :
		    INT64_MAX, 0);
	}
	return rc;
}

/* The filter of the range at hand; lists are borrowed: not to be freed. */
static struct nr_filter
narrowed(const struct nr_syncer *s)
{
	struct nr_filter f = s->o.filters[s->now.filter];

	if (s->now.since != INT64_MIN) {
		f.has |= NR_FILTER_SINCE;
		f.since = s->now.since;
	}
	if (s->now.until != INT64_MAX) {
		f.has |= NR_FILTER_UNTIL;
		f.until = s->now.until;
	}
	return f;
}

/*
 * Two halves instead, the newer one first.  Where time has no end, most
 * events are of the years that Nostr has been there, and the rest of it is
 * asked for as one.
 */
static int
split_range(struct nr_syncer *s)
{
	struct range r = s->now;
	int64_t now = time(NULL) + 86400, mid;
	int rc;

	/* The newest so many of each half would be others. */
	if (s->o.filters[r.filter].has & NR_FILTER_LIMIT)
		return NR_EOF;
	if (r.until <= 0 || r.since > INT64_MAX - 2 * 86400)
		return NR_EOF;
	if (r.since == INT64_MIN && r.until > 0)
		mid = r.until == INT64_MAX ? now : r.until > 1600000000 ?
		    1600000000 : r.until / 2;
	else if (r.until == INT64_MAX)
		mid = r.since < now ? now : r.since + 86400;
	else
		mid = r.since + (r.until - r.since) / 2;
	if (mid >= r.until || mid < r.since)
		return NR_EOF;
	s->figures.splits++;
	if ((rc = push_range(s, r.filter, r.since, mid,
	    r.depth + 1)) == NR_OK)
		rc = push_range(s, r.filter, mid + 1, r.until, r.depth + 1);
	s->begun = 0;
	return rc;
}

/* Our side has its records of the range. */
static int
select_side(struct nr_syncer *s)
{
	struct nr_filter f = narrowed(s);
	int rc = NR_OK;

	if (s->o.st == NULL && (s->side == NULL ||
	    s->side_filter != s->now.filter)) {
		nr_side_free(s->side);
		s->side = NULL;
		s->side_filter = s->now.filter;
		rc = s->o.side(s->o.ctx, s->now.filter, &s->side);
	}
	return rc != NR_OK ? rc : nr_side_select(s->side, &f, time(NULL));
}

/* ---- downwards ------------------------------------------------------------------------ */

/* One that was asked for, or comes by itself. */
static void
take(struct nr_syncer *s, const struct nr_event *ev, struct nr_view line)
{
	int rc, added = 1;

	rc = s->recent == NULL ? NR_OK :
	    nr_idset_add(s->recent, ev->id, &added);
	/* A store knows what it has; where there is none, nobody does. */
	if (rc == NR_OK && !added && s->o.st == NULL)
		return;
	s->figures.received++;
	if (rc == NR_OK)
		rc = s->spill.len > 0 ? EAGAIN : s->o.take(s->o.ctx, line);
	if (rc == EAGAIN) {
		nr_peer_pause(s->peer, 1);
		rc = nr_buf_add(&s->spill, line.p, line.len);
		if (rc == NR_OK)
			rc = nr_buf_add(&s->spill, "\n", 1);
	}
	if (rc != NR_OK)
		fail(s, rc);
}

/* Lines that found no room. */
static void
take_spilled(struct nr_syncer *s)
{
	int rc;

	if (s->spill.len == 0)
		return;
	if ((rc = give_spilled(s)) == NR_OK)
		nr_peer_pause(s->peer, 0);
	else if (rc != EAGAIN)
		fail(s, rc);
}

static void
on_refused(struct nr_fetch *f, void *ctx, enum nr_fetch_refusal why,
    enum nr_verdict v)
{
	struct nr_syncer *s = ctx;

	(void)f;
	(void)v;
	if (why == NR_FETCH_UNASKED)
		s->figures.unasked++;
	else
		s->figures.malformed++;
}

/* Some ids have been asked for, so many of which came. */
struct asked {
	struct nr_syncer	*s;
	struct asked		*prev, *next;	/* all that are under way */
	size_t			 n, came;
	int			 once_more;	/* they did not come before */
	unsigned char		 here[BATCH];
	unsigned char		 id[];
};

static void
on_asked(struct nr_fetch *f, void *ctx, const struct nr_event *ev,
    struct nr_view line)
{
	struct asked *a = ctx;
	const struct nr_filter wanted = narrowed(a->s);
	size_t i;

	(void)f;
	/* That it has the id does not mean that we want it. */
	for (i = 0; i < a->n; i++)
		if (!a->here[i] && memcmp(a->id + 32 * i, ev->id, 32) == 0) {
			a->here[i] = 1;
			a->came++;
			if (nr_filter_match(&wanted, ev))
				take(a->s, ev, line);
			else
				a->s->figures.unasked++;
			return;
		}
}

static void
link_asked(struct asked *a)
{
	a->next = a->s->asked;
	if (a->next != NULL)
		a->next->prev = a;
	a->s->asked = a;
}

static void
free_asked(struct asked *a)
{
	if (a->prev != NULL)
		a->prev->next = a->next;
	else
		a->s->asked = a->next;
	if (a->next != NULL)
		a->next->prev = a->prev;
	free(a);
}

/*
 * What did not come is asked for once more, alone: if none of that comes,
 * the relay does not have it; if some does, the relay gives no more at a
 * time, and is asked for as many as it gave.
 */
static int
ask_again(struct asked *a)
{
	struct nr_syncer *s = a->s;
	size_t i;
	int rc = NR_OK;

	if (a->came == a->n)
		return NR_OK;
	if (a->came == 0) {
		s->figures.missing += a->n;
		return NR_OK;
	}
	if (a->once_more && a->came < s->batch)
		s->batch = a->came;
	for (i = 0; rc == NR_OK && i < a->n; i++)
		if (!a->here[i])
			rc = nr_ids_push(&s->once_more, a->id + 32 * i);
	return rc;
}

static void
on_asked_refused(struct nr_fetch *f, void *ctx, enum nr_fetch_refusal why,
    enum nr_verdict v)
{
	on_refused(f, ((struct asked *)ctx)->s, why, v);
}

static void
free_all_asked(struct nr_syncer *s)
{
	while (s->asked != NULL)
		free_asked(s->asked);
}

/*
 * For ever means that it will be tried again; over this connection, since
 * others would be made, and refused, one after the other.
 */
static void
refused_reading(struct nr_syncer *s, enum nr_fetch_status status,
    const char *text)
{
	if (!s->o.follow)
		end(s, status == NR_FETCH_TIMEOUT ? NR_SYNC_LOST :
		    NR_SYNC_REFUSED, text, 0);
	else if (status == NR_FETCH_TIMEOUT)
		nr_peer_fail(s->peer, NR_FAULT_TIMEOUT, text);
	else {
		if (!s->refused)
			say(s, text);
		s->refused = 1;
		nr_ids_clear(&s->need);
		nr_ids_clear(&s->once_more);
		pump(s);
	}
}

/*
 * What we send deletes and replaces there what we are about to ask for: who
 * took anything is believed until the second look.
 */
static int
lacks_too_much(const struct nr_syncer *s)
{
	const struct nr_sync_figures *f = &s->figures;

	return f->missing > LIES_MIN && f->missing > f->received &&
	    (f->up.accepted == 0 || s->looking_again);
}

static void
on_asked_end(struct nr_fetch *f, void *ctx, enum nr_fetch_status status,
    const char *text)
{
	struct asked *a = ctx;
	struct nr_syncer *s = a->s;
	int rc = NR_OK;

	(void)f;
	s->fetches--;
	if (status == NR_FETCH_DONE || status == NR_FETCH_PARTIAL)
		rc = ask_again(a);
	free_asked(a);
	if (status == NR_FETCH_LOST)
		return;
	if (rc != NR_OK)
		fail(s, rc);
	else if (status == NR_FETCH_REFUSED || status == NR_FETCH_TIMEOUT)
		refused_reading(s, status, text);
	else if (lacks_too_much(s))
		end(s, NR_SYNC_LIES, "the relay does not have what it says",
		    0);
	else {
		nr_peer_good(s->peer);
		pump(s);
	}
}

static int
ids_filter(struct nr_filter *out, const unsigned char *id, size_t n)
{
	struct nr_buf b = { 0 };
	const char *why;
	char hex[65] = "";
	size_t i;
	int rc;

	rc = nr_buf_adds(&b, "{\"ids\":[");
	for (i = 0; rc == NR_OK && i < n; i++) {
		nr_hex_encode(hex, id + 32 * i, 32);
		rc = nr_buf_addf(&b, "%s\"%s\"", i > 0 ? "," : "", hex);
	}
	if (rc == NR_OK)
		rc = nr_buf_addf(&b, "],\"limit\":%zu}", n);
	if (rc == NR_OK)
		rc = nr_filter_parse(out, b.p, b.len, &nr_filter_limits_none,
		    &why);
	nr_buf_free(&b);
	return rc;
}

/* Ask for the next ids. */
static int
fetch_some(struct nr_syncer *s)
{
	static const struct nr_fetch_calls calls = {
		.event = on_asked, .refused = on_asked_refused,
		.end = on_asked_end
	};
	struct nr_fetch_options fo = {
		.mode = NR_FETCH_ONCE, .idle_ms = s->o.answer_ms
	};
	struct nr_ids *q = nr_ids_count(&s->once_more) > 0 ? &s->once_more :
	    &s->need;
	size_t n = nr_ids_count(q);
	struct nr_filter filter;
	struct nr_fetch *f;
	struct asked *a;
	int rc;

	if (n > s->batch)
		n = s->batch;
	if ((a = calloc(1, sizeof(*a) + 32 * n)) == NULL)
		return ENOMEM;
	a->s = s;
	a->n = n;
	a->once_more = q == &s->once_more;
	memcpy(a->id, nr_ids_first(q), 32 * n);
	link_asked(a);
	if ((rc = ids_filter(&filter, a->id, n)) == NR_OK) {
		rc = nr_fetch_new(&f, s->fetcher, &filter, &fo, &calls, a);
		nr_filter_free(&filter);
	}
	if (rc != NR_OK) {
		free_asked(a);
		return rc;
	}
	nr_ids_pop(q, n);
	s->fetches++;
	return NR_OK;
}

/* ---- upwards ------------------------------------------------------------------------------ */

/* May it leave the house? */
static int
may_leave(struct nr_syncer *s, const struct nr_event *ev)
{
	switch (nr_event_home(ev)) {
	case NR_HOME_NOT:
		return 1;
	case NR_HOME_PRIVATE:
		s->figures.kept_private += !s->o.send_private;
		return s->o.send_private;
	case NR_HOME_PROTECTED:
		s->figures.kept_protected += !s->o.send_protected;
		return s->o.send_protected;
	case NR_HOME_AUTH:
		break;
	}
	s->figures.kept_private++;
	return 0;
}

static int
find(struct nr_syncer *s, struct nr_view *line, const unsigned char id[32])
{
	struct nr_hit hit;
	int rc;

	if (s->o.st == NULL)
		return s->o.find(s->o.ctx, line, id);
	if ((rc = nr_snap_get(s->sn, &hit, id)) == NR_OK)
		*line = hit.line;
	return rc;
}

static int
send_one(struct nr_syncer *s, const unsigned char id[32], struct nr_view line)
{
	int rc = nr_upload_add(s->upload, id, line), added;

	return rc != NR_OK || !s->o.follow || s->recent == NULL ? rc :
	    nr_idset_add(s->recent, id, &added);
}

/* Returns EAGAIN where there is no room. */
static int
send_first(struct nr_syncer *s)
{
	const unsigned char *id = nr_ids_first(&s->have);
	struct nr_view line = { NULL, 0 };
	struct nr_event ev;
	int rc;

	if ((rc = find(s, &line, id)) != NR_OK)
		return rc;
	if (line.p != NULL && !nr_event_view(&ev, line.p, line.len))
		return NR_ECORRUPT;
	if (line.p == NULL || nr_event_expiration(&ev) <= time(NULL))
		s->figures.gone++;
	else if (may_leave(s, &ev) && (rc = s->o.offer != NULL ?
	    s->o.offer(s->o.ctx, line) :
	    send_one(s, id, line)) != NR_OK)
		return rc;
	nr_ids_pop(&s->have, 1);
	return NR_OK;
}

static int
send_some(struct nr_syncer *s)
{
	int rc = NR_OK, i;

	if (nr_ids_count(&s->have) == 0)
		return NR_OK;
	if (s->o.st != NULL && (rc = nr_snap_renew(s->sn)) != NR_OK)
		return rc;
	for (i = 0; rc == NR_OK && i < SOME && nr_ids_count(&s->have) > 0; i++)
		rc = send_first(s);
	if (s->o.st != NULL)
		nr_snap_release(s->sn);
	/* The next look, if there is room for more. */
	if (rc == NR_OK && nr_ids_count(&s->have) > 0)
		nr_net_wake(s->net);
	if (rc == NR_ESTALE)
		nr_net_wake(s->net);
	return rc == EAGAIN || rc == NR_ESTALE ? NR_OK : rc;
}

int
nr_syncer_send(struct nr_syncer *s, struct nr_view line)
{
	char *copy;
	struct nr_event ev;
	size_t pos;
	int rc;

	/* After the end, or while there is no connection, it is lost. */
	if (s->ending || !is_open(s))
		return NR_OK;
	if (nr_event_read(&ev, line.p, line.len, &nr_event_limits_pipe,
	    &pos) != NR_VALID)
		return EINVAL;
	if ((copy = malloc(NR_EVENT_LINE_MAX(line.len))) == NULL)
		return ENOMEM;
	line.len = nr_event_normalise(&ev, copy);
	line.p = copy;
	rc = send_one(s, ev.id, line);
	free(copy);
	return rc;
}

/* ---- what is stored here, while following ------------------------------------------------- */

static int
matches(const struct nr_syncer *s, const struct nr_event *ev)
{
	size_t i;

	for (i = 0; i < s->o.nfilters; i++)
		if (nr_filter_match(&s->o.filters[i], ev))
			return 1;
	return 0;
}

/* Queue what is new; *more where that was not all. */
static int
feed_some(struct nr_syncer *s, int *more)
{
	struct nr_event ev;
	struct nr_hit hit;
	int rc, i;

	*more = 0;
	if ((rc = nr_snap_renew(s->sn)) != NR_OK)
		return rc;
	for (i = 0; rc == NR_OK && i < SOME; i++) {
		rc = nr_snap_at(s->sn, &hit, s->feed, time(NULL));
		if (rc != NR_OK || hit.line.p == NULL)
			break;
		s->feed = hit.number + 1;
		if (nr_event_view_head(&ev, hit.line.p, hit.line.len) &&
		    !nr_idset_has(s->recent, ev.id) && matches(s, &ev)) {
			s->figures.have++;
			rc = nr_ids_push(&s->have, ev.id);
		}
	}
	*more = i == SOME;
	nr_snap_release(s->sn);
	return rc;
}

static void
look_at_feed(struct nr_syncer *s)
{
	int rc = NR_OK, more = 1;

	if (!s->o.follow || !(s->o.directions & NR_SYNC_UP) ||
	    !is_open(s) || s->ending)
		return;
	while (rc == NR_OK && more && nr_ids_count(&s->have) < QUEUE_MAX)
		rc = feed_some(s, &more);
	if (rc != NR_OK && rc != NR_ESTALE)
		fail(s, rc);
	else
		pump(s);
}

static void
on_feed_timer(void *ctx)
{
	struct nr_syncer *s = ctx;

	nr_timer_set(s->feed_timer, FEED_MS);
	look_at_feed(s);
}

void
nr_syncer_stored(struct nr_syncer *s)
{
	look_at_feed(s);
}

/* ---- reconciling ------------------------------------------------------------------------------ */

static int
on_have(void *ctx, const struct nr_neg_item *item)
{
	struct nr_syncer *s = ctx;

	if (s->looking_again)
		return NR_OK;
	s->figures.have++;
	nr_peer_good(s->peer);
	if (s->o.lacks != NULL)
		s->o.lacks(s->o.ctx, 0, item->id);
	return s->o.dry_run || !(s->o.directions & NR_SYNC_UP) ? NR_OK :
	    nr_ids_push(&s->have, item->id);
}

static int
on_need(void *ctx, const unsigned char id[32])
{
	struct nr_syncer *s = ctx;

	/* Our side, being a list, does not learn that it has come. */
	if (s->o.st == NULL && nr_idset_has(s->recent, id))
		return NR_OK;
	s->figures.need += !s->looking_again;
	nr_peer_good(s->peer);
	if (s->o.lacks != NULL)
		s->o.lacks(s->o.ctx, 1, id);
	return s->o.dry_run || !(s->o.directions & NR_SYNC_DOWN) ? NR_OK :
	    nr_ids_push(&s->need, id);
}

static int
on_busy(void *ctx)
{
	struct nr_syncer *s = ctx;

	return nr_ids_count(&s->have) > QUEUE_MAX ||
	    nr_ids_count(&s->need) > QUEUE_MAX;
}

/* Ask for the range by pages. */
static void	page(struct nr_syncer *s);

/* Once more, a little later. */
static void
try_again(struct nr_syncer *s, int64_t ms, const char *text)
{
	if (++s->tries >= RANGE_TRIES) {
		say(s, text);
		page(s);
		return;
	}
	s->job = NOTHING;
	s->begun = 0;
	if (push_range(s, s->now.filter, s->now.since, s->now.until,
	    s->now.depth) != NR_OK)
		fail(s, ENOMEM);
	else if (!is_drained(s)) {
		/* What was found first: else it is found twice. */
		s->tries = 0;
		s->job = DRAINING;
	} else
		nr_timer_set(s->timer, ms);
}

static void
too_big(struct nr_syncer *s, const char *text)
{
	int rc;

	/* It calls everything too big. */
	s->no_neg = (s->now.depth >= SPLITS_MAX && !s->worked) ||
	    ++s->blocked > BLOCKED_MAX;
	rc = s->no_neg ? NR_EOF : split_range(s);
	if (rc == NR_EOF) {
		say(s, text);
		page(s);
	} else if (rc != NR_OK)
		fail(s, rc);
	else {
		s->job = DRAINING;
		pump(s);
	}
}

static void
prove(struct nr_syncer *s, const char *text)
{
	switch (nr_peer_prove(s->peer)) {
	case 0:
		end(s, NR_SYNC_REFUSED, text, 0);
		break;
	case 1:
		s->wants_proof = 1;
		try_again(s, 10000, text);
		break;
	default:
		/* The part of it that reconciles may not know yet. */
		try_again(s, 1000, text);
	}
}

static void
on_reconciled(void *ctx, enum nr_reconcile_status status, const char *text,
    int64_t wait_ms, int rc)
{
	struct nr_syncer *s = ctx;

	s->rec = NULL;
	switch (status) {
	case NR_REC_DONE:
		s->worked = 1;
		s->blocked = 0;
		s->job = DRAINING;
		nr_peer_good(s->peer);
		pump(s);
		break;
	case NR_REC_TOO_BIG:
		too_big(s, text);
		break;
	case NR_REC_UNSUPPORTED:
		s->no_neg = 1;
		/* fall through */
	case NR_REC_REFUSED:
	case NR_REC_BROKEN:
		say(s, text);
		page(s);
		break;
	case NR_REC_AGAIN:
		try_again(s, wait_ms, text);
		break;
	case NR_REC_AUTH:
		prove(s, text);
		break;
	case NR_REC_FAILED:
		fail(s, rc);
		break;
	}
}

static int
reconcile(struct nr_syncer *s)
{
	const struct nr_reconcile_options ro = {
		s->o.frame_limit, s->o.answer_ms, 100
	};
	const struct nr_reconcile_calls calls = {
		on_have, on_need, on_busy, on_reconciled, s
	};
	struct nr_filter f = narrowed(s);
	struct nr_buf b = { 0 };
	char name[32];
	int rc;

	snprintf(name, sizeof(name), "neg%lu", ++s->serial);
	if ((rc = nr_filter_format(&b, &f)) == NR_OK)
		rc = nr_buf_add(&b, "", 1);
	s->job = RECONCILING;
	s->figures.sessions++;
	if (rc == NR_OK)
		rc = nr_reconcile_new(&s->rec, s->peer, s->side, b.p, name,
		    &ro, &calls, &s->figures.talk);
	nr_buf_free(&b);
	return rc;
}

/* ---- without NIP-77 ------------------------------------------------------------------------------ */

static int
is_here(struct nr_syncer *s, const struct nr_event *ev, int *here)
{
	struct nr_hit hit = { .line = { NULL, 0 } };
	int rc;

	if (s->o.st == NULL) {
		*here = nr_side_lists(s->side, (uint64_t)ev->created_at,
		    ev->id);
		return NR_OK;
	}
	*here = 0;
	if ((rc = nr_snap_renew(s->sn)) != NR_OK)
		return rc;
	rc = nr_snap_get(s->sn, &hit, ev->id);
	*here = rc == NR_OK && hit.line.p != NULL;
	nr_snap_release(s->sn);
	return rc;
}

static void
on_paged(struct nr_fetch *f, void *ctx, const struct nr_event *ev,
    struct nr_view line)
{
	struct nr_syncer *s = ctx;
	int rc, here;

	(void)f;
	rc = nr_neg_array_add(&s->seen, (uint64_t)ev->created_at, ev->id);
	if (rc == NR_OK && !s->o.dry_run &&
	    (s->o.directions & NR_SYNC_DOWN)) {
		rc = is_here(s, ev, &here);
		if (rc == NR_OK && !here) {
			take(s, ev, line);
			return;
		}
	}
	if (rc != NR_OK)
		fail(s, rc);
}

/* Go through two sets in order, and tell what either lacks. */
struct merge {
	struct nr_syncer	*s;
	size_t			 at;	/* in what was seen */
};

/* What was taken already is not asked for again. */
static void
need_before(struct merge *m, const struct nr_neg_item *item)
{
	const struct nr_neg_array *seen = &m->s->seen;

	for (; m->at < seen->n && nr_neg_item_cmp(&seen->item[m->at],
	    item) < 0; m->at++) {
		m->s->figures.need += !m->s->looking_again;
		if (m->s->o.lacks != NULL)
			m->s->o.lacks(m->s->o.ctx, 1, seen->item[m->at].id);
	}
}

static int
merge_one(void *arg, const struct nr_neg_item *item)
{
	struct merge *m = arg;

	need_before(m, item);
	if (m->at < m->s->seen.n && nr_neg_item_cmp(&m->s->seen.item[m->at],
	    item) == 0) {
		m->at++;
		return NR_OK;
	}
	return on_have(m->s, item);
}

static int
compare_pages(struct nr_syncer *s)
{
	static const struct nr_neg_item last = { NR_NEG_INFINITY, { 0 } };
	const struct nr_neg_set *set;
	struct merge m = { s, 0 };
	int rc;

	if ((rc = nr_neg_array_seal(&s->seen)) != NR_OK ||
	    (rc = nr_side_begin(s->side, &set)) != NR_OK)
		return rc;
	rc = set->items(set->ctx, 0, set->size, merge_one, &m);
	nr_side_end(s->side);
	need_before(&m, &last);
	nr_neg_array_free(&s->seen);
	return rc;
}

static void
on_pages_end(struct nr_fetch *f, void *ctx, enum nr_fetch_status status,
    const char *text)
{
	struct nr_syncer *s = ctx;
	int rc;

	(void)f;
	switch (status) {
	case NR_FETCH_PARTIAL:
		s->figures.partial++;
		say(s, text);
		/* fall through */
	case NR_FETCH_DONE:
		if ((rc = compare_pages(s)) != NR_OK)
			fail(s, rc);
		else {
			s->job = DRAINING;
			nr_peer_good(s->peer);
			pump(s);
		}
		break;
	case NR_FETCH_REFUSED:
	case NR_FETCH_TIMEOUT:
		s->job = DRAINING;	/* no page to go on with */
		refused_reading(s, status, text);
		break;
	case NR_FETCH_LOST:
		break;
	}
}

static void
page(struct nr_syncer *s)
{
	static const struct nr_fetch_calls calls = {
		.event = on_paged, .refused = on_refused,
		.end = on_pages_end
	};
	struct nr_fetch_options fo = {
		.mode = NR_FETCH_PAGES, .idle_ms = s->o.answer_ms
	};
	struct nr_filter f = narrowed(s);
	struct nr_fetch *fetch;
	int rc;

	/* A limit is the filter's own, not a page's. */
	if (f.has & NR_FILTER_LIMIT)
		fo.mode = NR_FETCH_ONCE;
	s->job = PAGING;
	s->figures.pages++;
	nr_neg_array_free(&s->seen);
	rc = nr_fetch_new(&fetch, s->fetcher, &f, &fo, &calls, s);
	if (rc != NR_OK)
		fail(s, rc);
}

/* ---- one after the other ---------------------------------------------------------------------------- */

/*
 * Where the relay did not have what it had said, that may have been deleted,
 * replaced or expired since, often by what went up: then it says so no more.
 */
static int
look_again(struct nr_syncer *s)
{
	if (s->figures.missing == 0 || s->looking_again || s->o.follow ||
	    s->no_neg)
		return NR_OK;
	s->looking_again = 1;
	s->figures.missing = 0;
	return all_ranges(s);
}

static void
next_range(struct nr_syncer *s)
{
	struct range was = s->now;
	int rc;

	if (s->refused) {
		s->refused = 0;
		s->again = 1;
		s->job = NOTHING;
		nr_timer_set(s->timer, s->o.answer_ms);
		return;
	}
	if (s->nranges == 0 && s->o.offered != NULL && !s->o.follow &&
	    !(s->o.offered(s->o.ctx) && nr_upload_idle(s->upload)))
		return;		/* still draining */
	if (s->nranges == 0 && s->again) {
		s->again = 0;
		if ((rc = all_ranges(s)) != NR_OK) {
			fail(s, rc);
			return;
		}
	}
	if (s->nranges == 0 && (rc = look_again(s)) != NR_OK) {
		fail(s, rc);
		return;
	}
	if (s->nranges == 0) {
		s->job = NOTHING;
		if (!s->o.follow)
			end(s, NR_SYNC_DONE, "", 0);
		else if (!s->caught_up)
			say(s, "caught up; following");
		s->caught_up = 1;
		return;
	}
	s->now = s->range[--s->nranges];
	s->begun = 1;
	if (memcmp(&was, &s->now, sizeof(was)) != 0)
		s->tries = 0;
	if ((rc = select_side(s)) == NR_OK) {
		if (s->no_neg)
			page(s);
		else
			rc = reconcile(s);
	}
	if (rc != NR_OK)
		fail(s, rc);
}

static int
is_drained(struct nr_syncer *s)
{
	return nr_ids_count(&s->have) == 0 && nr_ids_count(&s->need) == 0 &&
	    nr_ids_count(&s->once_more) == 0 && s->fetches == 0 &&
	    s->spill.len == 0 && nr_upload_idle(s->upload) &&
	    s->o.taken(s->o.ctx);
}

/* Do what can be done now. */
static void
pump(struct nr_syncer *s)
{
	int rc = NR_OK;

	if (s->ending || !is_open(s))
		return;
	take_spilled(s);
	while (rc == NR_OK && !s->ending && s->spill.len == 0 &&
	    s->fetches < FETCHES && (nr_ids_count(&s->need) > 0 ||
	    nr_ids_count(&s->once_more) > 0))
		rc = fetch_some(s);
	if (rc == NR_OK && !s->ending)
		rc = send_some(s);
	if (rc != NR_OK)
		fail(s, rc);
	if (s->ending)
		return;
	if (s->rec != NULL)
		nr_reconcile_go_on(s->rec);
	if (s->job == DRAINING && is_drained(s))
		next_range(s);
}

void
nr_syncer_room(struct nr_syncer *s)
{
	if (s->closed)
		finish(s);
	else
		pump(s);
}

/* Something is to be tried again, or the end to be told. */
static void
on_timer(void *ctx)
{
	struct nr_syncer *s = ctx;

	if (s->ending)
		finish(s);
	else if (s->job == NOTHING && is_open(s))
		next_range(s);
}

/* ---- the peer --------------------------------------------------------------------------------------------- */

static void
stop_listening(struct nr_syncer *s)
{
	size_t i;

	nr_timer_stop(s->ear_timer);
	for (i = 0; s->ear != NULL && i < s->o.nfilters; i++)
		if (s->ear[i].fetch != NULL) {
			nr_fetch_cancel(s->ear[i].fetch);
			s->ear[i].fetch = NULL;
		}
}

/* All is compared again, after what is under way. */
static void
compare_again(struct nr_syncer *s)
{
	s->again = 1;
	if (s->job == NOTHING && s->nranges == 0 && is_open(s))
		next_range(s);
}

static void
on_heard(struct nr_fetch *f, void *ctx, const struct nr_event *ev,
    struct nr_view line)
{
	struct nr_syncer *s = ((struct ear *)ctx)->s;

	(void)f;
	/* It tells whoever listens of what we have sent, too. */
	if (s->recent == NULL || !nr_idset_has(s->recent, ev->id))
		take(s, ev, line);
}

static void
on_heard_refused(struct nr_fetch *f, void *ctx, enum nr_fetch_refusal why,
    enum nr_verdict v)
{
	on_refused(f, ((struct ear *)ctx)->s, why, v);
}

static void
on_live(struct nr_fetch *f, void *ctx)
{
	struct ear *e = ctx;

	(void)f;
	e->told = 0;
	if (e->missed) {
		e->missed = 0;
		compare_again(e->s);
	}
}

static void
on_deaf(struct nr_fetch *f, void *ctx)
{
	(void)f;
	((struct ear *)ctx)->missed = 1;
}

/* The relay will not have it: all is compared now and then instead. */
static void
on_heard_end(struct nr_fetch *f, void *ctx, enum nr_fetch_status status,
    const char *text)
{
	struct ear *e = ctx;

	(void)f;
	e->fetch = NULL;
	if (status == NR_FETCH_LOST)
		return;
	if (!e->told)
		say(e->s, text);
	e->told = 1;
	nr_timer_set(e->s->ear_timer, e->s->o.answer_ms);
}

/* Before anything is compared, so that nothing falls between. */
static int
listen_live(struct nr_syncer *s)
{
	static const struct nr_fetch_calls calls = {
		.event = on_heard, .refused = on_heard_refused,
		.live = on_live, .deaf = on_deaf, .end = on_heard_end
	};
	const struct nr_fetch_options fo = {
		.mode = NR_FETCH_LIVE, .idle_ms = s->o.answer_ms
	};
	size_t i;
	int rc = NR_OK;

	for (i = 0; rc == NR_OK && i < s->o.nfilters; i++)
		if (s->ear[i].fetch == NULL)
			rc = nr_fetch_new(&s->ear[i].fetch, s->fetcher,
			    s->ear[i].filter, &fo, &calls, &s->ear[i]);
	return rc;
}

static void
on_ear_timer(void *ctx)
{
	struct nr_syncer *s = ctx;
	int rc;

	if (s->ending)
		return;
	if (!is_open(s))
		nr_timer_set(s->ear_timer, s->o.answer_ms);
	else if ((rc = listen_live(s)) != NR_OK)
		fail(s, rc);
	else
		compare_again(s);
}

static int
make_ears(struct nr_syncer *s)
{
	size_t i;

	if (!s->o.follow || !(s->o.directions & NR_SYNC_DOWN))
		return NR_OK;
	if ((s->ear = calloc(s->o.nfilters, sizeof(s->ear[0]))) == NULL)
		return ENOMEM;
	for (i = 0; i < s->o.nfilters; i++) {
		s->ear[i].s = s;
		s->ear[i].filter = &s->o.filters[i];
	}
	return NR_OK;
}

static int
begin_feed(struct nr_syncer *s)
{
	int rc;

	if (s->following)
		return NR_OK;
	if ((rc = nr_snap_renew(s->sn)) != NR_OK)
		return rc;
	s->feed = nr_snap_next_number(s->sn);
	nr_snap_release(s->sn);
	s->following = 1;
	nr_timer_set(s->feed_timer, FEED_MS);
	return NR_OK;
}

/* Grows with whatever is achieved. */
static uint64_t
progress(const struct nr_syncer *s)
{
	const struct nr_sync_figures *f = &s->figures;

	return f->have + f->need + f->received + f->up.accepted + f->splits;
}

/*
 * What was under way is not done.  Where the connection did not last for
 * anything at all, there may be no more to it: half of that, next time.
 */
static int
keep_range(struct nr_syncer *s, enum job job, enum nr_fault_class why)
{
	if (job == RECONCILING && why == NR_FAULT_FLOOD)
		s->no_neg = 1;
	else if (job == RECONCILING && progress(s) == s->before &&
	    s->now.depth < SPLITS_MAX && split_range(s) == NR_OK) {
		nr_peer_good(s->peer);
		return NR_OK;
	}
	return push_range(s, s->now.filter, s->now.since, s->now.until,
	    s->now.depth);
}

/* Nothing is in flight any more: who waited for that may go on. */
static void
tell_room(struct nr_syncer *s)
{
	if (!s->ending && s->o.room != NULL)
		s->o.room(s->o.ctx);
}

/* Pages go on from where they were. */
static void
page_on(struct nr_syncer *s)
{
	nr_fetcher_opened(s->fetcher);
	pump(s);
	tell_room(s);
}

static void
opened(struct nr_peer *p, void *ctx)
{
	struct nr_syncer *s = ctx;
	int rc;

	s->figures.connections++;
	s->caught_up = 0;
	/* One that has worked is asked again, whatever it said last. */
	if (s->worked)
		s->no_neg = 0;
	if (s->o.follow && s->figures.connections > 1)
		say(s, "connected again");
	if (s->job == PAGING) {
		page_on(s);
		return;
	}
	rc = nr_fetcher_new(&s->fetcher, p);
	if (rc == NR_OK && s->ear != NULL)
		rc = listen_live(s);
	if (rc == NR_OK && s->o.follow && (s->o.directions & NR_SYNC_UP))
		rc = begin_feed(s);
	/* After a connection that was lost, what is left of it; or all. */
	if (rc == NR_OK && (s->nranges == 0 ||
	    s->figures.connections == 1)) {
		rc = all_ranges(s);
		s->again = 0;
	}
	if (rc != NR_OK) {
		fail(s, rc);
		return;
	}
	nr_fetcher_opened(s->fetcher);
	s->before = progress(s);
	s->job = DRAINING;
	pump(s);
	tell_room(s);
}

static void
answer(struct nr_peer *p, void *ctx, const struct nr_answer *a)
{
	struct nr_syncer *s = ctx;

	(void)p;
	if (!is_open(s) || s->ending)
		return;
	if (nr_upload_answer(s->upload, a)) {
		pump(s);
		return;
	}
	if (s->rec != NULL && nr_reconcile_answer(s->rec, a)) {
		pump(s);
		return;
	}
	(void)nr_fetcher_answer(s->fetcher, a);
}

static void
room(struct nr_peer *p, void *ctx)
{
	struct nr_syncer *s = ctx;

	(void)p;
	if (!is_open(s) || s->ending)
		return;
	nr_fetcher_room(s->fetcher);
	nr_upload_room(s->upload);
	pump(s);
}

static void
proved(struct nr_peer *p, void *ctx, int accepted, const char *text)
{
	struct nr_syncer *s = ctx;

	(void)p;
	if (!is_open(s) || s->ending)
		return;
	if (!accepted)
		say(s, text);
	nr_fetcher_proved(s->fetcher, accepted);
	nr_upload_proved(s->upload, accepted);
	if (!s->wants_proof)
		return;
	s->wants_proof = 0;
	if (!accepted)
		end(s, NR_SYNC_REFUSED, text, 0);
	else
		nr_timer_set(s->timer, 0);
}

static void
lost(struct nr_peer *p, void *ctx, const struct nr_fault *why, int64_t again)
{
	struct nr_syncer *s = ctx;
	enum job job = s->job;

	(void)p;
	if (s->ending) {
		finish(s);
		return;
	}
	s->wants_proof = 0;
	if (job == PAGING && again >= 0) {
		/* What goes up is found again when the pages are compared. */
		nr_upload_lost(s->upload);
		nr_fetcher_closed(s->fetcher, why, again);
	} else
		abandon(s);
	if (again < 0) {
		s->ending = 1;
		s->status = NR_SYNC_LOST;
		snprintf(s->text, sizeof(s->text), "%s", why->text);
		finish(s);
		return;
	}
	if (why->class != NR_FAULT_NONE)
		say(s, why->text);
	if (job != NOTHING && job != PAGING && s->begun &&
	    keep_range(s, job, why->class) != NR_OK)
		fail(s, ENOMEM);
	/* What was on its way up through a command is of any range. */
	s->again = s->o.follow || s->o.offer != NULL;
}

static void
upload_room(void *ctx)
{
	struct nr_syncer *s = ctx;

	if (s->o.room != NULL)
		s->o.room(s->o.ctx);
	pump(s);
}

static void
upload_refused(void *ctx, const unsigned char id[32], const char *text)
{
	struct nr_syncer *s = ctx;

	if (s->o.refused != NULL)
		s->o.refused(s->o.ctx, id, text);
}

/* ---- beginning and end ------------------------------------------------------------------------------------ */

void
nr_syncer_stop(struct nr_syncer *s)
{
	end(s, NR_SYNC_STOPPED, "stopped", 0);
}

void
nr_syncer_figures(const struct nr_syncer *s, struct nr_sync_figures *out)
{
	*out = s->figures;
}

void
nr_syncer_free(struct nr_syncer *s)
{
	if (s == NULL)
		return;
	nr_reconcile_free(s->rec);
	nr_fetcher_free(s->fetcher);
	nr_upload_free(s->upload);
	nr_peer_free(s->peer);
	nr_timer_free(s->timer);
	nr_timer_free(s->feed_timer);
	nr_timer_free(s->ear_timer);
	free(s->ear);
	nr_side_free(s->side);
	nr_snap_free(s->sn);
	nr_ids_clear(&s->have);
	nr_ids_clear(&s->need);
	nr_ids_clear(&s->once_more);
	free_all_asked(s);
	nr_buf_free(&s->spill);
	nr_neg_array_free(&s->seen);
	nr_idset_free(s->recent);
	free(s->range);
	free(s);
}

static int
make_parts(struct nr_syncer *s, const struct nr_url *url,
    const struct nr_peer_options *po)
{
	static const struct nr_peer_calls peer_calls = {
		.opened = opened, .answer = answer, .room = room,
		.proved = proved, .closed = lost
	};
	const struct nr_upload_options uo = { WINDOW, s->o.answer_ms, 6 };
	const struct nr_upload_calls upload_calls = {
		upload_room, upload_refused, s
	};
	int rc;

	if (s->o.st != NULL && ((rc = nr_snap_new(&s->sn, s->o.st)) != NR_OK ||
	    (rc = nr_side_store(&s->side, s->o.st)) != NR_OK))
		return rc;
	if (((s->o.follow && (s->o.directions & NR_SYNC_UP)) ||
	    s->o.st == NULL) &&
	    (rc = nr_idset_new(&s->recent, RECENT)) != NR_OK)
		return rc;
	if ((rc = make_ears(s)) != NR_OK ||
	    (rc = nr_timer_new(&s->timer, s->net, on_timer, s)) != NR_OK ||
	    (rc = nr_timer_new(&s->ear_timer, s->net, on_ear_timer,
	    s)) != NR_OK ||
	    (rc = nr_timer_new(&s->feed_timer, s->net, on_feed_timer,
	    s)) != NR_OK ||
	    (rc = nr_peer_new(&s->peer, s->net, url, po, &peer_calls,
	    s)) != NR_OK)
		return rc;
	return nr_upload_new(&s->upload, s->peer, &uo, &upload_calls,
	    &s->figures.up);
}

int
nr_syncer_new(struct nr_syncer **out, struct nr_net *n,
    const struct nr_url *url, const struct nr_peer_options *po,
    const struct nr_sync_options *o)
{
	struct nr_syncer *s;
	int rc;

	if ((s = calloc(1, sizeof(*s))) == NULL)
		return ENOMEM;
	s->o = *o;
	s->net = n;
	s->batch = BATCH;
	if ((rc = make_parts(s, url, po)) != NR_OK) {
		nr_syncer_free(s);
		return rc;
	}
	nr_peer_open(s->peer);
	*out = s;
	return NR_OK;
}
