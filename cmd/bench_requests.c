/*
 * What nr-bench load sends, and what it makes of the answers.
 */
#include "bench_load.h"

#include <errno.h>
#include <inttypes.h>
#include <search.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench/nip11.h"
#include "event/event.h"
#include "tool.h"
#include "util/err.h"
#include "util/hex.h"
#include "util/times.h"

#define ENOUGH		((size_t)1024 * 1024)	/* that wait to be sent */
#define CHECK_EVERY	16		/* queries are looked at closely */
#define CHECK_IDS	((size_t)32768)	/* more than a relay gives at once */
/*
 * A reconciliation's first message: one range of all there is, with a
 * fingerprint that is nobody's, so that the relay divides its own into
 * ranges and tells their fingerprints.
 */
#define NEG_ALL		"61" "00" "00" "01" "00000000000000000000000000000000"

/* ---- the file ----------------------------------------------------------------- */

/*
 * Relays show some kinds to their parties only, and may leave out a version
 * that was replaced at once.
 */
static int
may_stay_unheard(struct nr_view line)
{
	struct nr_event ev;

	return nr_event_view_head(&ev, line.p, line.len) &&
	    (nr_kind_confidential(ev.kind) || nr_kind_replaceable(ev.kind) ||
	    nr_kind_addressable(ev.kind));
}

static int
by_key(const void *a, const void *b)
{
	return memcmp(a, b, 32);
}

static int
has_author(const struct nr_load *l, const unsigned char key[32])
{
	return bsearch(key, l->author, l->nauthors, 32, by_key) != NULL;
}

/* Where subscribers follow an author each: is it one of these? */
static int
is_followed(const struct nr_load *l, struct nr_view line)
{
	struct nr_event ev;

	return l->author == NULL || (nr_event_view_head(&ev, line.p, line.len) &&
	    has_author(l, ev.pubkey));
}

/* The next line of the file, which must be a normal event. */
static int
next_event(struct nr_load *l, struct nr_view *line)
{
	const char *lf;

	do {
		if (l->next >= l->last)
			return 0;
		lf = memchr(l->next, '\n', (size_t)(l->end - l->next));
		line->p = l->next;
		line->len = (size_t)((lf != NULL ? lf : l->end) - l->next);
		l->next = lf != NULL ? lf + 1 : l->end;
		if (line->len < 71 || memcmp(line->p, "{\"id\":\"", 7) != 0)
			nr_bad_usage("%s: a line that is not normal, as those "
			    "before it: nr-import and nr-export make it so",
			    l->file);
		/* Everybody is to hear it, where somebody listens. */
	} while (l->nids > 0 && (may_stay_unheard(*line) ||
	    !is_followed(l, *line)));
	return 1;
}

void
nr_load_find_authors(struct nr_load *l)
{
	const char *first = l->next;
	size_t want = l->connections / l->group, n = 0;
	unsigned char (*key)[32] = nr_load_memory(want, sizeof(*key));
	struct nr_view line;
	struct nr_event ev;

	while (n < want && next_event(l, &line))
		if (nr_event_view_head(&ev, line.p, line.len) &&
		    lfind(ev.pubkey, key, &n, 32, by_key) == NULL)
			memcpy(key[n++], ev.pubkey, 32);
	if (n < want)
		nr_bad_usage("%s: %zu groups need as many authors, and there "
		    "are %zu", l->file, want, n);
	qsort(key, n, sizeof(*key), by_key);
	l->author = key;
	l->nauthors = n;
	l->next = first;
}

/* ---- when an event was due, for those who hear it -------------------------------- */

static uint64_t
short_id(const char *hex)
{
	uint64_t v;

	memcpy(&v, hex + 40, sizeof(v));
	return v;
}

static size_t
place_of(const struct nr_load *l, const char *id)
{
	size_t i = (size_t)(short_id(id) * UINT64_C(0x9e3779b97f4a7c15) >>
	    20) & (l->nids - 1);

	while (l->ids[i] != 0 && l->ids[i] != short_id(id))
		i = (i + 1) & (l->nids - 1);
	return i;
}

static void
remember(struct nr_load *l, const char *id, int64_t due)
{
	size_t i;

	if (l->nids == 0)
		return;
	i = place_of(l, id);
	l->ids[i] = short_id(id);
	l->times[i] = due;
	l->numbers[i] = ++l->nnumbers;
}

/*
 * Has the subscriber this event?  Of those that are older than so many
 * others nobody knows.
 */
static int
heard_before(struct nr_load_window *w, uint64_t n)
{
	uint64_t *word = &w->bit[n % NR_WINDOW / 64];
	uint64_t bit = UINT64_C(1) << n % 64;
	uint64_t had;

	if (n + NR_WINDOW <= w->top)
		return 0;
	if (n >= w->top + NR_WINDOW) {
		memset(w->bit, 0, sizeof(w->bit));
		w->top = n;
	}
	while (w->top < n) {
		w->top++;
		w->bit[w->top % NR_WINDOW / 64] &=
		    ~(UINT64_C(1) << w->top % 64);
	}
	had = *word & bit;
	*word |= bit;
	return had != 0;
}

static int
is_followed_by(const struct nr_load *l, unsigned peer, const char *text,
    size_t len)
{
	char hex[65];

	nr_hex_encode(hex, l->author[peer / l->group], 32);
	return memmem(text, len, hex, 64) != NULL;
}

/* ["EVENT","s",{"id":"<id>", where relays may put the id anywhere */
static void
take_delivery(struct nr_load *l, const struct nr_bench_peer *p,
    const char *text, size_t len)
{
	const char *id;
	size_t i;

	if (l->nids == 0 || len < 90)
		return;
	if (l->author != NULL && !is_followed_by(l, p->index, text, len))
		nr_load_wrong(l, "an event of an author not asked for");
	id = nr_event_peek_id(text + 13, len - 13);
	i = id != NULL ? place_of(l, id) : 0;
	if (id == NULL || l->ids[i] == 0)
		nr_load_wrong(l, "an event that was not published");
	else if (heard_before(l->lane[p->index].heard, l->numbers[i]))
		nr_load_wrong(l, "an event delivered twice");
	else
		nr_load_done(l, NR_ROLE_LISTEN, l->times[i]);
}

void
nr_load_listen(struct nr_load *l, struct nr_bench_peer *p)
{
	char hex[65], text[128];
	struct nr_view part = { text, 0 };

	if (l->group > 0) {
		nr_hex_encode(hex, l->author[p->index / l->group], 32);
		part.len = (size_t)snprintf(text, sizeof(text), "[\"REQ\","
		    "\"s\",{\"authors\":[\"%.64s\"],\"limit\":0}]", hex);
	} else
		part.len = (size_t)snprintf(text, sizeof(text), "[\"REQ\","
		    "\"s\",{\"limit\":0}]");
	l->lane[p->index].since = nr_now_ns();
	l->lane[p->index].heard = nr_load_memory(1,
	    sizeof(struct nr_load_window));
	nr_load_need(nr_bench_send(p, &part, 1), "send");
	nr_bench_flush(p);
}

/* ---- looking closely ---------------------------------------------------------------- */

static void
begin_check(struct nr_load *l, const struct nr_flight *f,
    struct nr_view filter)
{
	struct nr_load_check *c = &l->check;
	const char *why;

	if (c->ids == NULL)
		c->ids = nr_load_memory(CHECK_IDS, sizeof(*c->ids));
	if (nr_filter_parse(&c->filter, filter.p, filter.len,
	    &nr_filter_limits_none, &why) != NR_OK || why != NULL)
		return;
	memset(c->ids, 0, CHECK_IDS * sizeof(*c->ids));
	c->last = INT64_MAX;
	c->flight = f;
}

/* Was it there already? */
static int
add_id(struct nr_load_check *c, const unsigned char id[32])
{
	uint64_t v;
	size_t i;

	memcpy(&v, id, sizeof(v));
	v |= 1;
	i = (size_t)(v * UINT64_C(0x9e3779b97f4a7c15) >> 32) & (CHECK_IDS - 1);
	for (; c->ids[i] != 0; i = (i + 1) & (CHECK_IDS - 1))
		if (c->ids[i] == v)
			return 1;
	c->ids[i] = v;
	return 0;
}

static void
check_event(struct nr_load *l, const struct nr_flight *f, struct nr_view json)
{
	struct nr_load_check *c = &l->check;
	struct nr_event_limits limits = nr_event_limits_pipe;
	struct nr_event ev;
	char *line;
	size_t pos;

	if (f->got > CHECK_IDS / 2)
		return;
	if (nr_event_read(&ev, json.p, json.len, &limits, &pos) != NR_VALID) {
		nr_load_wrong(l, "no event");
		return;
	}
	line = nr_load_memory(1, NR_EVENT_LINE_MAX(json.len));
	nr_event_normalise(&ev, line);
	if (!nr_filter_match(&c->filter, &ev))
		nr_load_wrong(l, "an event that does not match its filter");
	else if (ev.created_at > c->last)
		nr_load_wrong(l, "an event that is newer than the one before");
	else if (add_id(c, ev.id))
		nr_load_wrong(l, "an event twice");
	else if (c->filter.has & NR_FILTER_LIMIT && f->got > c->filter.limit)
		nr_load_wrong(l, "more events than the limit");
	c->last = ev.created_at;
	free(line);
}

static void
end_check(struct nr_load *l)
{
	if (l->check.flight == NULL)
		return;
	nr_filter_free(&l->check.filter);
	l->check.flight = NULL;
}

/* ---- sending --------------------------------------------------------------------------- */

static struct nr_flight *
new_flight(struct nr_load *l, struct nr_lane *lane, int64_t due)
{
	struct nr_flight *f = lane->flight;

	while (f->used)
		f++;
	memset(f, 0, sizeof(*f));
	f->used = 1;
	f->sent = nr_now_ns();
	f->due = due > 0 ? due : f->sent;
	lane->n++;
	l->sent++;
	return f;
}

/* Its place in the lane, which its subscription's id has. */
static unsigned
slot_of(const struct nr_lane *lane, const struct nr_flight *f)
{
	return (unsigned)(f - lane->flight);
}

/* It is answered, or will not be. */
static void
end_flight(struct nr_load *l, struct nr_lane *lane, struct nr_flight *f)
{
	if (l->check.flight == f)
		end_check(l);
	f->used = 0;
	lane->n--;
	l->answered++;
}

/* Was it given up?  Then this was its answer, and nothing else comes. */
static int
was_late(struct nr_flight *f)
{
	int late = f->late;

	f->late = 0;
	return late;
}

static int
send_event(struct nr_load *l, struct nr_bench_peer *p, int64_t due)
{
	struct nr_view part[3] = { { "[\"EVENT\",", 9 }, { NULL, 0 },
	    { "]", 1 } };
	struct nr_flight *f;

	if (!next_event(l, &part[1]))
		return 0;
	f = new_flight(l, &l->lane[p->index], due);
	f->id = part[1].p + 7;
	remember(l, f->id, f->due);
	nr_load_need(nr_bench_send(p, part, 3), "send");
	return 1;
}

/*
 * A page's filter begins with what it is about; the rest of the filter
 * follows.
 */
static size_t
begin_page(struct nr_load *l, char *at, size_t size, struct nr_view *filter)
{
	const char *end = filter->p + filter->len,
	    *p = (const char *)memchr(filter->p, '{', filter->len) + 1;
	int more;

	*filter = (struct nr_view){ p, (size_t)(end - p) };
	p += strspn(p, " \t\r\n");
	more = *p != '}';
	l->pages.oldest = INT64_MAX;
	return (size_t)snprintf(at, size, "{\"until\":%" PRId64
	    ",\"limit\":%u%s", l->pages.until, l->page, more ? "," : "");
}

static int
send_query(struct nr_load *l, struct nr_bench_peer *p, int64_t due)
{
	static const char *const word[] = {
		[NR_ASK_REQ] = "REQ", [NR_ASK_COUNT] = "COUNT",
		[NR_ASK_NEG] = "NEG-OPEN", [NR_ASK_PAGE] = "REQ"
	};
	struct nr_lane *lane = &l->lane[p->index];
	struct nr_view part[3] = { { NULL, 0 }, { NULL, 0 }, { "]", 1 } };
	struct nr_flight *f = new_flight(l, lane, due);
	char head[128];

	f->filter = nr_mix_pick(l->mix, &part[1]);
	part[0].p = head;
	f->serial = (unsigned)l->sent;
	part[0].len = (size_t)snprintf(head, sizeof(head),
	    "[\"%s\",\"q%u.%u\",", word[l->ask], slot_of(lane, f), f->serial);
	if (l->ask == NR_ASK_REQ && l->check.flight == NULL &&
	    l->sent % CHECK_EVERY == 1)
		begin_check(l, f, part[1]);
	if (l->ask == NR_ASK_PAGE)
		part[0].len += begin_page(l, head + part[0].len,
		    sizeof(head) - part[0].len, &part[1]);
	if (l->ask == NR_ASK_NEG)
		part[2] = (struct nr_view){ ",\"" NEG_ALL "\"]",
		    sizeof(",\"" NEG_ALL "\"]") - 1 };
	nr_load_need(nr_bench_send(p, part, 3), "send");
	return 1;
}

int
nr_load_send(struct nr_load *l, struct nr_bench_peer *p, int64_t due)
{
	struct nr_lane *lane = &l->lane[p->index];

	if (p->failed || !p->open || lane->n == l->in_flight ||
	    !nr_load_more(l))
		return 0;
	/* What the relay does not read yet need not be longer. */
	if (lane->n > 0 && nr_bench_waiting(p) > ENOUGH)
		return 0;
	return lane->role == NR_ROLE_PUBLISH ? send_event(l, p, due) :
	    lane->role == NR_ROLE_QUERY ? send_query(l, p, due) : 0;
}

/* In a closed loop, an answer is followed by a request. */
static void
go_on(struct nr_load *l, struct nr_bench_peer *p)
{
	if (l->rate == 0)
		while (nr_load_send(l, p, 0))
			;
}

void
nr_load_drop(struct nr_load *l, struct nr_bench_peer *p, int64_t before,
    enum nr_load_error why)
{
	struct nr_lane *lane = &l->lane[p->index];
	struct nr_flight *f;
	unsigned i;

	for (i = 0; i < l->in_flight && lane->n > 0; i++) {
		f = &lane->flight[i];
		if (!f->used || f->sent >= before)
			continue;
		end_flight(l, lane, f);
		f->late = why == NR_LOAD_TIMEOUT;
		l->error[why]++;
	}
}

/* ---- answers ----------------------------------------------------------------------------- */

/* The event that an OK is about, NULL where none was sent. */
static struct nr_flight *
event_of(struct nr_load *l, struct nr_lane *lane, const char *id)
{
	struct nr_flight *f;
	unsigned i;

	/* Where nothing is in flight, something may be late. */
	for (i = 0; lane->flight != NULL && i < l->in_flight; i++) {
		f = &lane->flight[i];
		if ((f->used || f->late) && f->id != NULL &&
		    memcmp(f->id, id, 64) == 0)
			return f;
	}
	return NULL;
}

/*
 * ["OK","<id>",true,"duplicate: ..."]: some say so with true, some with
 * false; in either case the event, or a newer version, is there.
 */
static void
judge(struct nr_load *l, const struct nr_flight *f, const char *text,
    size_t len)
{
	int known;

	if (!nr_load_counts(l, f->due))
		return;
	known = memmem(text + 73, len - 73, "\"duplicate:", 11) != NULL ||
	    memmem(text + 73, len - 73, "\"replaced:", 10) != NULL;
	l->known += known;
	if (memcmp(text + 73, "true", 4) == 0) {
		nr_load_done(l, NR_ROLE_PUBLISH, f->due);
		l->accepted++;
		l->fresh += !known;
		return;
	}
	nr_load_answered(l, NR_ROLE_PUBLISH);
	if (!known)
		nr_load_refusal(l, text, len);
}

/* A relay may send a challenge more than once. */
static void
take_proof(struct nr_load *l, struct nr_lane *lane, const char *text,
    size_t len)
{
	if (len < 77 || memcmp(text + 73, "true", 4) != 0)
		nr_die(EACCES, "AUTH: %.*s", (int)len, text);
	lane->proving--;
	l->known_as += !lane->known;
	lane->known = 1;
}

static void
take_ok(struct nr_load *l, struct nr_bench_peer *p, const char *text,
    size_t len)
{
	struct nr_lane *lane = &l->lane[p->index];
	struct nr_flight *f = len >= 77 ? event_of(l, lane, text + 7) : NULL;

	if (f == NULL && lane->proving > 0) {
		take_proof(l, lane, text, len);
		return;
	}
	if (f == NULL) {
		nr_load_wrong(l, "an OK for what was not sent");
		return;
	}
	if (was_late(f))
		return;
	judge(l, f, text, len);
	end_flight(l, lane, f);
	go_on(l, p);
}

static const char *
read_number(const char *p, const char *end, unsigned *out)
{
	for (*out = 0; p < end && *p >= '0' && *p <= '9'; p++)
		*out = *out * 10 + (unsigned)(*p - '0');
	return p;
}

/*
 * The query that a message is about, which may be late: text is behind its
 * first quote, as in q12.345",...  *rest is what is behind the comma.
 */
static struct nr_flight *
query_of(struct nr_load *l, struct nr_bench_peer *p, const char *text,
    size_t len, struct nr_view *rest)
{
	struct nr_lane *lane = &l->lane[p->index];
	const char *end = text + len;
	unsigned n, serial;

	if (lane->role != NR_ROLE_QUERY || len < 3 || *text != 'q')
		return NULL;
	text = read_number(text + 1, end, &n);
	if (text == end || *text != '.')
		return NULL;
	text = read_number(text + 1, end, &serial);
	if (n >= l->in_flight ||
	    (!lane->flight[n].used && !lane->flight[n].late) ||
	    lane->flight[n].serial != serial || text + 1 >= end ||
	    *text != '"')
		return NULL;
	rest->p = text + 2 < end ? text + 2 : end;
	rest->len = (size_t)(end - rest->p);
	return &lane->flight[n];
}

static void
keep_page(struct nr_load_pages *pages, double ms)
{
	if (pages->n == pages->cap) {
		pages->cap = pages->cap * 2 + 64;
		pages->page = realloc(pages->page,
		    pages->cap * sizeof(*pages->page));
		if (pages->page == NULL)
			nr_die(ENOMEM, "pages");
	}
	pages->page[pages->n].passed = pages->passed;
	pages->page[pages->n++].ms = ms;
}

/*
 * The next page begins in the second in which this one ends.  A relay may
 * give less at once than it is asked for, so that only an empty page is
 * behind the last event; and one that pays no heed to until has no end.
 */
static void
end_page(struct nr_load *l, const struct nr_flight *f)
{
	struct nr_load_pages *pages = &l->pages;

	if (f->got > l->page)
		nr_load_wrong(l, "more events than the limit");
	pages->whole = f->got == 0 || pages->until == 0;
	l->ending = pages->whole || pages->oldest > pages->until;
	if (l->ending)
		return;
	if (nr_load_counts(l, f->due))
		keep_page(pages, (double)(nr_now_ns() - f->due) / 1e6);
	pages->passed += f->got;
	/* One that lies within a second would be asked for for ever. */
	pages->until = pages->oldest < pages->until ? pages->oldest :
	    pages->until - 1;
}

/* Where a page ends is all that must be known of its events. */
static void
note_time(struct nr_load *l, struct nr_view json)
{
	static const char name[] = "\"created_at\":";
	const char *p = memmem(json.p, json.len, name, sizeof(name) - 1);
	const char *end = json.p + json.len;
	int64_t t = 0;

	if (p == NULL) {
		nr_load_wrong(l, "no event");
		return;
	}
	for (p += sizeof(name) - 1; p < end && *p == ' '; p++)
		continue;
	for (; p < end && *p >= '0' && *p <= '9' && t < INT64_MAX / 16; p++)
		t = t * 10 + (*p - '0');
	if (t > l->pages.until)
		nr_load_wrong(l, "an event that is newer than was asked for");
	else if (t > l->pages.oldest)
		nr_load_wrong(l, "an event that is newer than the one before");
	l->pages.oldest = t;
}

/*
 * The same question gets the same answer, where nothing is added, and what
 * is asked for by id should be there.
 */
static void
compare_answer(struct nr_load *l, const struct nr_flight *f)
{
	unsigned least = nr_mix_least(l->mix, f->filter);

	l->found += f->got;
	if (l->nids > 0)
		return;
	if (!nr_mix_answered(l->mix, f->filter, f->got, f->sum))
		nr_load_wrong(l, "other events than before");
	if (nr_load_counts(l, f->due) && f->got < least)
		l->missing += least - f->got;
}

static void
end_query(struct nr_load *l, struct nr_bench_peer *p, struct nr_flight *f)
{
	struct nr_lane *lane = &l->lane[p->index];
	char close_it[48];
	struct nr_view v = { close_it, (size_t)snprintf(close_it,
	    sizeof(close_it), "[\"%s\",\"q%u.%u\"]", l->ask == NR_ASK_NEG ?
	    "NEG-CLOSE" : "CLOSE", slot_of(lane, f), f->serial) };

	nr_load_done(l, NR_ROLE_QUERY, f->due);
	if (l->ask == NR_ASK_PAGE)
		end_page(l, f);
	else
		compare_answer(l, f);
	end_flight(l, lane, f);
	if (l->ask != NR_ASK_COUNT)
		nr_load_need(nr_bench_send(p, &v, 1), "send");
	go_on(l, p);
}

/* A few bytes of an event's id. */
static uint64_t
sum_of(struct nr_view json)
{
	const char *id = json.p + 7;

	if (json.len < 71 || memcmp(json.p, "{\"id\":\"", 7) != 0)
		id = nr_event_peek_id(json.p, json.len);
	return id != NULL ? short_id(id) : 0;
}

static void
take_event(struct nr_load *l, struct nr_bench_peer *p, const char *text,
    size_t len)
{
	struct nr_lane *lane = &l->lane[p->index];
	struct nr_flight *f;
	struct nr_view json;

	l->events++;
	if (lane->role == NR_ROLE_LISTEN)
		take_delivery(l, p, text, len);
	if (lane->role == NR_ROLE_LISTEN || lane->role == NR_ROLE_CONNECT)
		return;
	f = query_of(l, p, text + 10, len - 10, &json);
	if (f == NULL) {
		/* It may be a live one, until the relay knows of the CLOSE. */
		if (l->nids == 0)
			nr_load_wrong(l, "an event of no query");
		return;
	}
	if (f->late)
		return;
	f->got++;
	f->sum += sum_of(json);
	if (l->ask == NR_ASK_PAGE)
		note_time(l, json);
	if (l->check.flight == f && json.len > 1) {
		json.len--;		/* the bracket */
		check_event(l, f, json);
	}
}

static void
take_eose(struct nr_load *l, struct nr_bench_peer *p, const char *text,
    size_t len)
{
	struct nr_lane *lane = &l->lane[p->index];
	struct nr_flight *f;
	struct nr_view rest;

	if (lane->role != NR_ROLE_QUERY) {
		if (lane->role == NR_ROLE_CONNECT && !lane->subscribed)
			nr_load_done(l, NR_ROLE_CONNECT, lane->since);
		lane->subscribed = 1;
		return;
	}
	f = query_of(l, p, text + 9, len - 9, &rest);
	if (f == NULL)
		nr_load_wrong(l, "an EOSE of no query");
	else if (!was_late(f))
		end_query(l, p, f);
}

/* ["CLOSED","q1","blocked: ..."] or NEG-ERR; the id is at text + at. */
static void
take_closed(struct nr_load *l, struct nr_bench_peer *p, const char *text,
    size_t len, size_t at)
{
	struct nr_lane *lane = &l->lane[p->index];
	struct nr_flight *f;
	struct nr_view rest;

	/* Who only connects or listens has its answer, and need not wait. */
	lane->subscribed = 1;
	f = query_of(l, p, text + at, len - at, &rest);
	if (f != NULL && was_late(f))
		return;
	/* Some answer a CLOSE, too. */
	if (f == NULL && lane->role == NR_ROLE_QUERY && len > at &&
	    text[at] == 'q')
		return;
	if (f == NULL || nr_load_counts(l, f->due))
		nr_load_refusal(l, text, len);
	if (f == NULL)
		return;
	end_flight(l, lane, f);
	go_on(l, p);
}

/* ["COUNT","q0",{"count":7}] */
static void
take_count(struct nr_load *l, struct nr_bench_peer *p, const char *text,
    size_t len)
{
	const char *n = memmem(text, len, "\"count\":", 8);
	struct nr_flight *f;
	struct nr_view rest;
	unsigned count;

	f = query_of(l, p, text + 10, len - 10, &rest);
	if (f == NULL || n == NULL) {
		nr_load_wrong(l, "a COUNT that says nothing");
		return;
	}
	if (was_late(f))
		return;
	for (n += 8; n < text + len && *n == ' '; n++)
		continue;
	(void)read_number(n, text + len, &count);
	f->got = count;
	end_query(l, p, f);
}

/* ["NEG-MSG","q0.1","61..."] */
static void
take_ranges(struct nr_load *l, struct nr_bench_peer *p, const char *text,
    size_t len)
{
	struct nr_flight *f;
	struct nr_view rest;

	f = query_of(l, p, text + 12, len - 12, &rest);
	if (f == NULL || rest.len < 5 || memcmp(rest.p, "\"61", 3) != 0) {
		nr_load_wrong(l, "a NEG-MSG that says nothing");
		return;
	}
	if (was_late(f))
		return;
	f->got = rest.len;
	end_query(l, p, f);
}

/* ["AUTH","<challenge>"] */
static void
prove(struct nr_load *l, struct nr_bench_peer *p, const char *text,
    size_t len)
{
	struct nr_view part[3] = { { "[\"AUTH\",", 8 }, { NULL, 0 },
	    { "]", 1 } };
	struct nr_buf b = { 0 };

	if (l->key == NULL || len < 11)
		return;
	nr_load_need(nr_sign_auth(l->key, l->hasher, &b, l->url,
	    (struct nr_view){ text + 9, len - 11 }), "AUTH");
	part[1] = (struct nr_view){ b.p, b.len };
	nr_load_need(nr_bench_send(p, part, 3), "send");
	nr_buf_free(&b);
	l->lane[p->index].proving++;
}

/* It is for people, and answers nothing. */
static void
take_notice(struct nr_load *l, const char *text, size_t len)
{
	if (l->first_notice[0] == '\0')
		snprintf(l->first_notice, sizeof(l->first_notice), "%.*s",
		    (int)(len < 190 ? len : 190), text);
}

static int
begins(const char *text, size_t len, const char *with)
{
	return len > strlen(with) + 2 && memcmp(text, with, strlen(with)) == 0;
}

/* Returns 0 where it is no answer, as it is written. */
static int
take_answer(struct nr_load *l, struct nr_bench_peer *p, const char *text,
    size_t len)
{
	if (begins(text, len, "[\"EVENT\",\""))
		take_event(l, p, text, len);
	else if (begins(text, len, "[\"OK\",\""))
		take_ok(l, p, text, len);
	else if (begins(text, len, "[\"EOSE\",\""))
		take_eose(l, p, text, len);
	else if (begins(text, len, "[\"COUNT\",\"") &&
	    l->ask == NR_ASK_COUNT)
		take_count(l, p, text, len);
	else if (begins(text, len, "[\"NEG-MSG\",\"") &&
	    l->ask == NR_ASK_NEG)
		take_ranges(l, p, text, len);
	else if (begins(text, len, "[\"CLOSED\",\""))
		take_closed(l, p, text, len, 11);
	else if (begins(text, len, "[\"NEG-ERR\",\"") &&
	    l->ask == NR_ASK_NEG)
		take_closed(l, p, text, len, 12);
	else if (begins(text, len, "[\"AUTH\",\""))
		prove(l, p, text, len);
	else if (begins(text, len, "[\"NOTICE\",\""))
		take_notice(l, text, len);
	else
		return 0;
	return 1;
}

/* Some relays write spaces between the items. */
void
nr_load_text(struct nr_bench_peer *p, const char *text, size_t len)
{
	struct nr_load *l = p->all->user;

	if (take_answer(l, p, text, len))
		return;
	l->tight.len = 0;
	nr_load_need(nr_nip11_line(&l->tight, text, len), "message");
	if (take_answer(l, p, l->tight.p, l->tight.len))
		return;
	nr_load_wrong(l, "what is no answer");
	nr_load_refusal(l, text, len);
}

void
nr_load_free(struct nr_load *l)
{
	unsigned i;

	end_check(l);
	nr_mix_free(l->mix);
	nr_key_free(l->key);
	nr_verifier_free(l->hasher);
	for (i = 0; i < NR_ROLES; i++)
		free(l->part[i].hist);
	free(l->alone.hist);
	for (i = 0; l->peers != NULL && i < l->peers->n; i++) {
		free(l->lane[i].flight);
		free(l->lane[i].heard);
	}
	free(l->lane);
	nr_peers_free(l->peers);
	free(l->check.ids);
	free(l->author);
	free(l->pages.page);
	nr_buf_free(&l->tight);
	free(l->ids);
	free(l->times);
	free(l->numbers);
	if (!l->shares)
		nr_load_close_file(l);
}
