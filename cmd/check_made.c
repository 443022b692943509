/*
 * nr-bench check: events of ours.  They carry a tag that marks the run, are
 * signed by keys that nobody has had before or will have again, end by
 * themselves where the relay knows NIP-40, and are deleted at the end.
 */
#include "check.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "event/pow.h"
#include "tool.h"
#include "util/err.h"
#include "util/hex.h"
#include "util/times.h"

#define LIFE		3600	/* seconds, of what ends by itself */
#define AT_ONCE		100	/* events that one request names */
#define CLEAN_TIMES	12	/* of the time for a statement, to clean up */

/* ---- texts with names in them */

static void
add_hex(struct nr_buf *b, const unsigned char *bytes, size_t n)
{
	char hex[64];

	nr_hex_encode(hex, bytes, n);
	check_need(nr_buf_add(b, hex, 2 * n));
}

static void
add_upper(struct nr_buf *b, const unsigned char id[32])
{
	size_t i;

	add_hex(b, id, 32);
	for (i = b->len - 64; i < b->len; i++)
		b->p[i] = (char)toupper((unsigned char)b->p[i]);
}

/* What is of an event of the hay. */
static int
add_of(struct nr_buf *b, char what, const struct nr_event *ev)
{
	switch (what) {
	case 'i':
		add_hex(b, ev->id, 32);
		return 1;
	case 'I':
		add_upper(b, ev->id);
		return 1;
	case 'p':
		add_hex(b, ev->id, 16);
		return 1;
	case 'a':
		add_hex(b, ev->pubkey, 32);
		return 1;
	case 'k':
		check_need(nr_buf_addf(b, "%u", ev->kind));
		return 1;
	case 'K':
		check_need(nr_buf_addf(b, "%u", ev->kind ^ 1));
		return 1;
	case 't':
	case 'b':
	case 'n':
		check_need(nr_buf_addf(b, "%" PRId64, ev->created_at +
		    (what == 'n') - (what == 'b')));
		return 1;
	default:
		return 0;
	}
}

static int
add_plain(struct check *c, struct nr_buf *b, char what)
{
	static const char none[] = "e1a5e1a5e1a5e1a5e1a5e1a5e1a5e1a5"
	    "e1a5e1a5e1a5e1a5e1a5e1a5e1a5e1a5";

	if (what >= 'A' && what < 'A' + CHECK_KEYS)
		add_hex(b, nr_key_public(c->key[what - 'A']), 32);
	else if (what == 'T')
		check_need(nr_buf_adds(b, c->tag));
	else if (what == 'x')
		check_need(nr_buf_adds(b, none));
	else if (what == '1' || what == '2')
		check_need(nr_buf_addf(b, "%u", c->kind[what - '1']));
	else
		return 0;
	return 1;
}

static int
hay_index(char digit)
{
	return digit >= '0' && digit <= '9' ? digit - '0' :
	    digit == 'a' || digit == 'b' ? digit - 'a' + 10 : -1;
}

const char *
check_fill(struct check *c, struct nr_buf *out, const char *text)
{
	size_t n;
	int i;

	for (; *text != '\0'; text++) {
		if (*text == '@' && text[1] != '\0') {
			if (add_plain(c, out, text[1])) {
				text++;
				continue;
			}
			i = hay_index(text[2]);
			if (i >= 0 && (size_t)i < c->nhay &&
			    add_of(out, text[1], c->hay[i])) {
				text += 2;
				continue;
			}
		}
		n = strcspn(text + 1, "@") + 1;
		check_need(nr_buf_add(out, text, n));
		text += n - 1;
	}
	check_need(nr_buf_reserve(out, 1));
	out->p[out->len] = '\0';
	return out->p;
}

/* ---- making */

static int
goes_by_itself(unsigned kind)
{
	return nr_kind_ephemeral(kind) || nr_kind_request(kind);
}

static void
write_tags(struct check *c, struct nr_buf *b, unsigned kind,
    const char *tags)
{
	check_need(nr_buf_adds(b, "["));
	if (*tags == '!') {
		(void)check_fill(c, b, tags + 1);
	} else {
		if (*tags != '\0') {
			(void)check_fill(c, b, tags);
			check_need(nr_buf_adds(b, ","));
		}
		/* No two are the same. */
		check_need(nr_buf_addf(b, "[\"t\",\"%s\",\"%zu\"]", c->tag,
		    c->nmade));
		if (c->named[40] && !goes_by_itself(kind) &&
		    strstr(tags, "\"expiration\"") == NULL)
			check_need(nr_buf_addf(b, ",[\"expiration\",\"%" PRId64
			    "\"]", c->began + LIFE));
	}
	check_need(nr_buf_adds(b, "]"));
}

/* This is the event from now on. */
static void
take_line(struct check_made *m, const struct nr_buf *line)
{
	size_t pos;

	free(m->line);
	m->line = line->p;
	m->len = line->len;
	if (nr_event_read(&m->ev, m->line, m->len, &nr_event_limits_pipe,
	    &pos) != NR_VALID || !nr_event_view(&m->ev, m->line, m->len))
		nr_die(NR_EINVAL, "check: an event of ours");
	m->ev.flags |= NR_EVENT_NORMAL;
}

struct check_made *
check_keep(struct check *c, unsigned key, struct nr_buf *line)
{
	struct check_made *m;

	if (c->nmade == CHECK_MADE || (m = calloc(1, sizeof(*m))) == NULL)
		nr_die(ENOMEM, "check");
	m->key = key;
	m->by = c->now->id;
	take_line(m, line);
	c->made[c->nmade++] = m;
	return m;
}

/* Another one in its place, with a proof of work. */
static void
work(struct check *c, struct check_made *m)
{
	struct nr_pow_options o = {
		.bits = c->work, .threads = 1, .timeout = c->timeout
	};
	struct nr_buf tags = { 0 }, line = { 0 };
	struct nr_event ev = m->ev;

	if (nr_pow_mine(&ev, &tags, &o) == NR_OK) {
		check_need(nr_sign_line(c->key[m->key], c->verifier, &line,
		    ev.kind, ev.created_at, ev.tags, ev.content));
		take_line(m, &line);
	}
	nr_buf_free(&tags);
}

struct check_made *
check_make(struct check *c, unsigned key, unsigned kind, int64_t at,
    const char *tags, const char *content)
{
	struct nr_buf t = { 0 }, text = { 0 }, line = { 0 };
	struct check_made *m;

	write_tags(c, &t, kind, tags);
	(void)check_fill(c, &text, content);
	check_need(nr_sign_line(c->key[key], c->verifier, &line, kind, at,
	    (struct nr_view){ t.p, t.len },
	    (struct nr_view){ text.p, text.len }));
	nr_buf_free(&t);
	nr_buf_free(&text);
	m = check_keep(c, key, &line);
	if (c->work > 0 && c->work <= CHECK_WORK && kind != NR_KIND_AUTH)
		work(c, m);
	return m;
}

void
check_spoil(struct check_made *m, size_t at)
{
	m->line[at] = m->line[at] == '0' ? '1' : '0';
}

const char *
check_by_id(const struct check_made *m, char out[128])
{
	char hex[64];

	nr_hex_encode(hex, m->ev.id, 32);
	snprintf(out, 128, "{\"ids\":[\"%.64s\"]}", hex);
	return out;
}

struct check_made *
check_made_find(struct check *c, const unsigned char id[32])
{
	size_t i;

	for (i = c->nmade; i-- > 0; )
		if (memcmp(c->made[i]->ev.id, id, 32) == 0)
			return c->made[i];
	return NULL;
}

void
check_made_free(struct check *c)
{
	size_t i;

	while (c->nmade > 0) {
		free(c->made[--c->nmade]->line);
		free(c->made[c->nmade]);
	}
	for (i = 0; i < CHECK_HAY; i++)
		free(c->shown[i]);
}

/* ---- the hay */

/* By key, kind, seconds and tags; the run's tag comes besides. */
static const struct {
	unsigned	key, kind;
	int		at;
	const char	*tags, *content;
} straw[CHECK_HAY] = {
	{ 0, 0, 0, "[\"g\",\"one\"],[\"r\",\"@T-r\"]", "first" },
	{ 1, 0, 10, "[\"g\",\"two\"],[\"p\",\"@A\"]", "second" },
	{ 0, 1, 20, "[\"g\",\"one\"],[\"g\",\"two\"]", "third" },
	{ 1, 1, 25, "[\"g\",\"three\"]", "fourth" },
	{ 0, 0, 20, "[\"g\",\"three\"],[\"e\",\"@x\"]", "a tie" },
	{ 0, 0, 20, "[\"G\",\"one\"]", "a tie of three" },
	{ 1, 0, 31, "[\"g\",\"one\",\"two\"]", "two values" },
	{ 0, 1, 32, "[\"gg\",\"one\"]", "two letters" },
	{ 1, 1, 33, "[\"g\",\"\"],[\"x\"],[\"y\",\"\"]", "nothing" },
	{ 0, 0, 34, "[\"g\",\"\xd0\x98 \\\"q\\\" \\\\\"]", "characters" },
	{ 1, 0, 35, "[\"a\",\"30023:@A:x:y\"]", "an address" },
	{ 0, 0, 36, "[\"g\",\"one two\"]", "a space" },
};

static struct check_made *
make_straw(struct check *c, size_t i)
{
	return check_make(c, straw[i].key, c->kind[straw[i].kind],
	    c->began - 600 + straw[i].at, straw[i].tags, straw[i].content);
}

static int
put_straw(struct check_link *l, size_t i)
{
	struct check *c = l->check;
	struct check_made *m = make_straw(c, i);

	if (!check_store(l, m))
		return 0;
	c->hay[c->nhay++] = &m->ev;
	return 1;
}

/*
 * The first of it is of a kind that means nothing to anybody; where that is
 * refused, those of notes are taken, and the first is made again.
 */
static int
choose_kinds(struct check_link *l)
{
	struct check *c = l->check;
	const struct check_msg *ok;
	struct check_made *m = make_straw(c, 0);

	if ((ok = check_publish(l, m)) == NULL)
		return 0;
	if (ok->a.accepted) {
		c->hay[c->nhay++] = &m->ev;
		return 1;
	}
	c->kind[0] = 1;
	c->kind[1] = 7;
	return 1;
}

static void
make_hay(struct check *c)
{
	struct check_link *l = check_link(c, 0);

	if (l == NULL || !choose_kinds(l))
		return;
	while (c->nhay < CHECK_HAY) {
		check_extend(c);
		if (!put_straw(l, c->nhay))
			return;
	}
}

/* ---- what the relay shows */

#define SHOWN		8	/* events of it that are kept */
#define SHOWN_LEAST	4	/* that statements need */
#define PAGES		10	/* of 100 events that are looked through */

/* A way back in time. */
struct sweep {
	const char	*narrow;	/* what else is asked for */
	int		 steady;	/* no versions that may be replaced */
	int64_t		 until;
	size_t		 seen;		/* events */
};

/* What nobody but its parties sees, or what ends, or is about others. */
static int
is_plain(const struct nr_event *ev)
{
	return !nr_kind_ephemeral(ev->kind) &&
	    !nr_kind_confidential(ev->kind) && !nr_kind_request(ev->kind) &&
	    ev->created_at > 0 && memmem(ev->tags.p, ev->tags.len,
	    "\"expiration\"", 12) == NULL;
}

/* What will not change while we look. */
static int
is_steady(const struct nr_event *ev)
{
	return !nr_kind_replaceable(ev->kind) &&
	    !nr_kind_addressable(ev->kind);
}

static int
is_time_known(const struct check *c, int64_t at)
{
	size_t i;

	for (i = 0; i < c->nhay; i++)
		if (c->hay[i]->created_at == at)
			return 1;
	return 0;
}

/* Where since and until divide them, ties would be in the way. */
static void
keep_shown(struct check *c, const struct sweep *w, const struct check_msg *m)
{
	size_t i = c->nhay;

	if (i == SHOWN || !m->is_event || !is_plain(&m->ev) ||
	    (w->steady && !is_steady(&m->ev)) ||
	    is_time_known(c, m->ev.created_at))
		return;
	free(c->shown[i]);
	if ((c->shown[i] = malloc(m->line_len)) == NULL)
		check_need(ENOMEM);
	memcpy(c->shown[i], m->line, m->line_len);
	if (!nr_event_view(&c->shown_ev[i], c->shown[i], m->line_len))
		return;
	memcpy(c->shown_ev[i].id, m->ev.id, 32);
	c->shown_ev[i].flags |= NR_EVENT_NORMAL;
	c->hay[c->nhay++] = &c->shown_ev[i];
}

/*
 * One page; the next one begins a second before its end, since a second is
 * enough for one event.  0: there is none, or no more are wanted.
 */
static int
take_page(struct check *c, struct sweep *w)
{
	struct check_link *l = check_link(c, 0);
	struct check_got g;
	char filter[128];
	int64_t oldest = w->until;
	size_t i;

	snprintf(filter, sizeof(filter), "{%s\"until\":%" PRId64
	    ",\"limit\":100}", w->narrow, w->until);
	if (l == NULL || !check_read(l, filter, &g))
		return 0;
	for (i = 0; i < g.n && i < CHECK_GOT; i++) {
		keep_shown(c, w, g.event[i]);
		if (g.event[i]->is_event &&
		    g.event[i]->ev.created_at < oldest)
			oldest = g.event[i]->ev.created_at;
	}
	w->seen += g.n;
	w->until = oldest - 1;
	check_settle(l);
	return g.n > 0 && oldest > 0 && c->nhay < SHOWN;
}

static void
sweep(struct check *c, struct sweep *w)
{
	unsigned pages = 0;

	/* Some relays answer what is after the present to nobody. */
	w->until = c->began;
	do
		check_extend(c);
	while (take_page(c, w) && ++pages < PAGES);
}

/*
 * Newest events first; where they are of kinds that do not serve, or the
 * relay wants to be asked for kinds, those that people write; then versions
 * that may be replaced, which is seldom in minutes.
 */
static void
take_hay(struct check *c)
{
	static const char notes[] = "\"kinds\":[1,6,7,16,1111,9735],",
	    profiles[] = "\"kinds\":[0,3,10002,30023],";
	struct sweep w[] = {
		{ "", 1, 0, 0 }, { notes, 1, 0, 0 }, { profiles, 0, 0, 0 }
	};
	size_t i, most = 0;

	for (i = 0; i < sizeof(w) / sizeof(w[0]) &&
	    c->nhay < SHOWN_LEAST && c->signals.last == 0; i++) {
		c->result = CHECK_PASS;
		sweep(c, &w[i]);
		if (w[i].seen > most)
			most = w[i].seen;
	}
	if (c->nhay >= SHOWN_LEAST)
		c->result = CHECK_PASS;
	else if (c->result == CHECK_PASS)
		(void)check_skip(c, "needs %d events of different seconds "
		    "that are public and do not expire: %zu among %zu",
		    SHOWN_LEAST, c->nhay, most);
}

void
check_hay(struct check *c)
{
	if (c->write)
		make_hay(c);
	else
		take_hay(c);
	c->hay_result = c->result;
	if (c->result != CHECK_PASS) {
		c->nhay = 0;
		snprintf(c->no_hay, sizeof(c->no_hay), "%s: %.300s",
		    c->write ? "events could not be published" :
		    "the relay does not show enough", c->seen);
	}
}

/* ---- away with it */

/* What is looked for at the end. */
enum rest { PASSING, STAYING, REQUESTS };

/*
 * Where no OK has come, the relay may have it.  What passes by itself is
 * no matter, unless it was found there.
 */
static int
is_rest(const struct check_made *m, enum rest rest)
{
	int taken = m->accepted || (m->sent && !m->refused);

	if (rest == PASSING)
		return m->sent && nr_kind_ephemeral(m->ev.kind);
	if (nr_kind_ephemeral(m->ev.kind))
		return rest == STAYING && m->kept;
	return taken && nr_kind_request(m->ev.kind) == (rest == REQUESTS);
}

/* As many as one message may be about. */
static unsigned
at_once(const struct check *c)
{
	static const struct {
		const char	*name;
		int		 less, each;
	} limit[] = {
		{ "max_event_tags", 3, 1 }, { "max_limit", 0, 1 },
		{ "default_limit", 0, 1 }, { "max_message_length", 700, 80 }
	};
	int64_t n, most = AT_ONCE;
	size_t i;

	for (i = 0; i < sizeof(limit) / sizeof(limit[0]); i++) {
		if ((n = check_limit(c, limit[i].name)) < 0)
			continue;
		n = (n - limit[i].less) / limit[i].each;
		if (n < most)
			most = n;
	}
	return most < 1 ? 1 : (unsigned)most;
}

/* Each message of the end is tried for itself. */
static struct check_link *
begin_anew(struct check *c, unsigned link)
{
	c->result = CHECK_PASS;
	c->brief = 0;
	c->deadline = nr_now_ms() + c->timeout;
	return check_link(c, link);
}

/* One request for up to so many; *i moves on. */
static void
delete_some(struct check *c, struct check_link *l, unsigned key, size_t *i)
{
	struct nr_buf tags = { 0 };
	unsigned n = 0, most = at_once(c);

	for (; *i < c->nmade && n < most; ++*i)
		if (c->made[*i]->key == key && is_rest(c->made[*i], STAYING)) {
			check_need(nr_buf_adds(&tags, n++ > 0 ? ",[\"e\",\"" :
			    "[\"e\",\""));
			add_hex(&tags, c->made[*i]->ev.id, 32);
			check_need(nr_buf_adds(&tags, "\"]"));
		}
	check_need(nr_buf_add(&tags, "", 1));
	if (n > 0)
		(void)check_publish(l, check_make(c, key, NR_KIND_DELETION,
		    c->began + 60, tags.p, ""));
	nr_buf_free(&tags);
}

static void
delete_all(struct check *c, int64_t until)
{
	struct check_link *l;
	unsigned key;
	size_t i, n = c->nmade;

	for (key = 0; key < CHECK_KEYS; key++)
		for (i = 0; i < n && nr_now_ms() < until; ) {
			if ((l = begin_anew(c, 0)) == NULL)
				break;
			delete_some(c, l, key, &i);
		}
}

/* Ask for these; what came is marked.  0 where nothing was learnt. */
static int
look_for(struct check *c, struct check_link *l, const char *filter)
{
	struct check_made *m;
	struct check_got g;
	size_t i;

	if (l == NULL || !check_read(l, filter, &g))
		return 0;
	for (i = 0; i < g.n && i < CHECK_GOT; i++)
		if (g.event[i]->is_event && (m = check_made_find(c,
		    g.event[i]->ev.id)) != NULL)
			m->there = 1;
	return 1;
}

/* Those that are still shown, of some; of whom nothing is learnt, all. */
static void
find_some(struct check *c, enum rest rest, size_t *i)
{
	struct nr_buf f = { 0 };
	unsigned n = 0, most = at_once(c);
	size_t from = *i;

	check_need(nr_buf_adds(&f, "{\"ids\":["));
	for (; *i < c->nmade && n < most; ++*i)
		if (is_rest(c->made[*i], rest)) {
			check_need(nr_buf_adds(&f, n++ > 0 ? ",\"" : "\""));
			add_hex(&f, c->made[*i]->ev.id, 32);
			check_need(nr_buf_adds(&f, "\""));
		}
	check_need(nr_buf_adds(&f, "]}"));
	check_need(nr_buf_add(&f, "", 1));
	if (n > 0 && !look_for(c, begin_anew(c, CHECK_LINKS - 1), f.p) &&
	    rest != PASSING)
		for (; from < *i; from++)
			c->made[from]->there = 1;
	nr_buf_free(&f);
}

static unsigned
find_all(struct check *c, enum rest rest, int64_t until)
{
	unsigned n = 0;
	size_t i;

	for (i = 0; i < c->nmade; i++)
		c->made[i]->there = 0;
	for (i = 0; i < c->nmade && nr_now_ms() < until; )
		find_some(c, rest, &i);
	for (; i < c->nmade; i++)
		c->made[i]->there = rest != PASSING;
	for (i = 0; i < c->nmade; i++)
		n += c->made[i]->there && is_rest(c->made[i], rest);
	return n;
}

/* Who sees all of it: also what is for its parties only. */
static void
become_parties(struct check *c)
{
	struct check_link *l = begin_anew(c, CHECK_LINKS - 1);

	if (l != NULL && c->named[42] && check_prove(l, 1))
		(void)check_prove(l, 3);
}

void
check_clean(struct check *c)
{
	int64_t until = nr_now_ms() + CLEAN_TIMES * c->timeout;
	size_t i;

	if (c->nmade == 0)
		return;
	become_parties(c);
	c->passing = find_all(c, PASSING, until);
	for (i = 0; i < c->nmade; i++)
		c->made[i]->kept = c->made[i]->there;
	delete_all(c, until);
	c->left = find_all(c, STAYING, until);
	c->requests = find_all(c, REQUESTS, until);
}
