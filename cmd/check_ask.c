/*
 * nr-bench check: questions and answers.
 */
#include "check.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "util/hex.h"
#include "util/times.h"

/* ---- which message is it */

int
check_is_ok(const struct check_msg *m, const void *id32)
{
	return m->why == NULL && m->a.verb == NR_ANSWER_OK &&
	    memcmp(m->a.id, id32, 32) == 0;
}

int
check_is_live(const struct check_msg *m, const void *id32)
{
	return m->is_event && memcmp(m->ev.id, id32, 32) == 0;
}

int
check_is_end(const struct check_msg *m, const void *subid)
{
	return m->why == NULL && (m->a.verb == NR_ANSWER_EOSE ||
	    m->a.verb == NR_ANSWER_CLOSED) && nr_answer_is(&m->a, subid);
}

/* COUNT, or its refusal. */
int
check_is_count(const struct check_msg *m, const void *subid)
{
	return m->why == NULL && (m->a.verb == NR_ANSWER_COUNT ||
	    m->a.verb == NR_ANSWER_CLOSED) && nr_answer_is(&m->a, subid);
}

int
check_is_named(const struct check_msg *m, const void *subid)
{
	return m->why == NULL && m->a.verb != NR_ANSWER_EVENT &&
	    m->a.verb != NR_ANSWER_OK && nr_answer_is(&m->a, subid);
}

static int
is_challenge(const struct check_msg *m, const void *arg)
{
	(void)arg;
	return m->why == NULL && m->a.verb == NR_ANSWER_AUTH;
}

int
check_is_policy(struct check *c, const struct check_msg *m)
{
	char shown[CHECK_TEXT];
	static const char *const word[] = {
		"auth-required", "restricted", "blocked", "rate-limited",
		"pow", "payment-required"
	};
	size_t i;

	for (i = 0; i < sizeof(word) / sizeof(word[0]); i++)
		if (nr_answer_prefix(m->a.text, word[i])) {
			(void)check_skip(c, "refused: %s",
			    check_show(m, shown));
			return 1;
		}
	return 0;
}

/* ---- AUTH */

/*
 * Some relays send a challenge at once, others when it is about something
 * private: that is what they are asked for then.
 */
static void
provoke(struct check_link *l)
{
	(void)check_subscribe(l, "private", NULL);
	if (check_sayf(l, "[\"REQ\",\"private\",{\"kinds\":[4,1059],"
	    "\"limit\":1}]"))
		(void)check_wait(l, is_challenge, NULL, nr_now_ms() + 1000);
	(void)check_sayf(l, "[\"CLOSE\",\"private\"]");
}

int
check_challenge(struct check_link *l)
{
	struct check *c = l->check;
	int patient = check_until(c, CHECK_OF_AUTH) == c->deadline;

	if (l->challenge_len == 0)
		(void)check_wait(l, is_challenge, NULL, patient ?
		    nr_now_ms() + 500 : check_until(c, CHECK_OF_AUTH));
	if (l->challenge_len == 0 && patient)
		provoke(l);
	check_waited(l, CHECK_OF_AUTH, l->challenge_len > 0);
	if (l->challenge_len > 0)
		return 1;
	return check_skip(c, "no challenge has come");
}

static const struct check_msg *
await_ok(struct check_link *l, struct check_made *m, enum check_sort sort)
{
	const struct check_msg *ok;

	m->sent = 1;
	ok = check_await(l, sort, check_is_ok, m->ev.id);
	if (ok == NULL) {
		(void)check_missed(l, "no OK");
		return NULL;
	}
	m->accepted |= ok->a.accepted;
	m->refused |= !ok->a.accepted;
	return ok;
}

const struct check_msg *
check_auth(struct check_link *l, unsigned key, unsigned kind, int64_t at,
    const char *relay, const char *challenge)
{
	struct check_made *m;
	char tags[2600];

	snprintf(tags, sizeof(tags), "![\"relay\",\"%s\"],[\"challenge\","
	    "\"%s\"]", relay, challenge);
	m = check_make(l->check, key, kind, at, tags, "");
	if (!check_sayf(l, "[\"AUTH\",%.*s]", (int)m->len, m->line))
		return NULL;
	return await_ok(l, m, CHECK_OF_PROOF);
}

/* With the user's own key. */
static const struct check_msg *
auth_own(struct check_link *l)
{
	struct check *c = l->check;
	struct nr_buf b = { 0 };
	struct check_made *m;

	check_need(nr_sign_auth(c->own_key, c->verifier, &b,
	    nr_peer_url(l->peer), (struct nr_view){ l->challenge,
	    l->challenge_len }));
	m = check_keep(c, CHECK_KEYS, &b);
	if (!check_sayf(l, "[\"AUTH\",%.*s]", (int)m->len, m->line))
		return NULL;
	return await_ok(l, m, CHECK_OF_PROOF);
}

int
check_prove(struct check_link *l, unsigned key)
{
	const struct check_msg *ok;
	char shown[CHECK_TEXT];

	if (l->proved & 1u << key)
		return 1;
	if (!check_challenge(l))
		return 0;
	ok = check_auth(l, key, NR_KIND_AUTH, time(NULL),
	    nr_peer_url(l->peer), l->challenge);
	if (ok == NULL)
		return 0;
	if (!ok->a.accepted)
		return check_skip(l->check, "AUTH was refused: %s",
		    check_show(ok, shown));
	l->proved |= 1u << key;
	return 1;
}

/* As whoever may do things here: -K, or a key that nobody knows. */
static int
prove_somebody(struct check_link *l)
{
	static const unsigned own = 1u << CHECK_KEYS;
	const struct check_msg *ok;
	char shown[CHECK_TEXT];

	if (l->check->own_key == NULL)
		return !(l->proved & 1u) && check_prove(l, 0);
	if (l->proved & own || !check_challenge(l))
		return 0;
	if ((ok = auth_own(l)) == NULL)
		return 0;
	if (!ok->a.accepted)
		return check_skip(l->check, "AUTH was refused: %s",
		    check_show(ok, shown));
	l->proved |= own;
	return 1;
}

/* ---- REQ */

struct answering {
	const char	*id;
	struct check_got *got;
};

static int
is_answer(const struct check_msg *m, const void *arg)
{
	const struct answering *a = arg;

	return m->why == NULL && nr_answer_is(&m->a, a->id) &&
	    (m->a.verb == NR_ANSWER_EVENT || m->a.verb == NR_ANSWER_EOSE ||
	    m->a.verb == NR_ANSWER_CLOSED);
}

/* Events up to the end; 0 where that does not come. */
static int
gather(struct check_link *l, struct check_got *g)
{
	struct answering a = { g->id, g };
	const struct check_msg *m;
	char what[64];

	g->n = 0;
	while ((m = check_wait(l, is_answer, &a, check_until(l->check,
	    CHECK_OF_REQ))) != NULL) {
		if (m->a.verb != NR_ANSWER_EVENT) {
			check_waited(l, CHECK_OF_REQ, 1);
			g->end = m->a.verb == NR_ANSWER_EOSE ? CHECK_EOSE :
			    CHECK_CLOSED;
			g->last = m;
			return 1;
		}
		if (g->n < CHECK_GOT)
			g->event[g->n] = m;
		g->n++;
	}
	check_waited(l, CHECK_OF_REQ, 0);
	snprintf(what, sizeof(what), "no EOSE after %zu event%s", g->n,
	    g->n == 1 ? "" : "s");
	return check_missed(l, what);
}

int
check_query(struct check_link *l, const char *id, const char *filters,
    struct check_got *g)
{
	struct nr_buf b = { 0 };
	int rc, again = 0;

	if (id != NULL)
		snprintf(g->id, sizeof(g->id), "%s", id);
	else
		snprintf(g->id, sizeof(g->id), "nr%u", ++l->check->subs);
	(void)check_fill(l->check, &b, filters);
	do {
		(void)check_subscribe(l, g->id, b.p);
		rc = check_sayf(l, "[\"REQ\",\"%s\",%s]", g->id, b.p) &&
		    gather(l, g);
		if (!rc || g->end != CHECK_CLOSED || again++ ||
		    !nr_answer_prefix(g->last->a.text, "auth-required"))
			break;
	} while (prove_somebody(l));
	nr_buf_free(&b);
	return rc && l->check->result == CHECK_PASS;
}

void
check_close(struct check_link *l, const char *id)
{
	struct check_sub *s = check_sub_find(l, id, strlen(id));

	if (s != NULL)
		s->closed = 1;
	(void)check_sayf(l, "[\"CLOSE\",\"%s\"]", id);
}

int
check_read(struct check_link *l, const char *filters, struct check_got *g)
{
	char shown[CHECK_TEXT];

	if (!check_query(l, NULL, filters, g))
		return 0;
	if (g->end == CHECK_EOSE) {
		check_close(l, g->id);
		return 1;
	}
	return !check_is_policy(l->check, g->last) &&
	    check_fail(l->check, "%s", check_show(g->last, shown));
}

/* ---- comparing */

/* An event by its place in the hay, or by its id's first digits. */
static size_t
name_event(const struct check *c, char *out, size_t size,
    const unsigned char id[32])
{
	char hex[8];
	size_t i;

	for (i = 0; i < c->nhay; i++)
		if (memcmp(c->hay[i]->id, id, 32) == 0)
			return (size_t)snprintf(out, size, " #%zu", i);
	nr_hex_encode(hex, id, 4);
	return (size_t)snprintf(out, size, " %.8s", hex);
}

#define NAMED_MAX	24

static void
name_wanted(struct check *c, const struct nr_event *const *want, size_t n)
{
	char text[CHECK_TEXT] = "";
	size_t i, len = 0;

	for (i = 0; i < n && i < NAMED_MAX; i++)
		len += name_event(c, text + len, sizeof(text) - len,
		    want[i]->id);
	check_expect(c, "%zu event%s%s%s", n, n == 1 ? "" : "s", n > 0 ?
	    ":" : "", text);
}

static void
name_got(const struct check *c, char text[CHECK_TEXT],
    const struct check_got *g)
{
	size_t i, len;

	len = (size_t)snprintf(text, CHECK_TEXT, "%zu event%s%s", g->n,
	    g->n == 1 ? "" : "s", g->n > 0 ? ":" : "");
	for (i = 0; i < g->n && i < NAMED_MAX; i++)
		len += name_event(c, text + len, CHECK_TEXT - len,
		    g->event[i]->is_event ? g->event[i]->ev.id :
		    (const unsigned char[32]){ 0 });
}

static int
is_among(const struct nr_event *ev, const struct check_got *g)
{
	size_t i;

	for (i = 0; i < g->n && i < CHECK_GOT; i++)
		if (g->event[i]->is_event &&
		    memcmp(ev->id, g->event[i]->ev.id, 32) == 0)
			return 1;
	return 0;
}

/* Could it stand there? */
static int
is_in_place(const struct nr_event *want, const struct check_msg *m, int order)
{
	if (order == 0)
		return 1;
	if (!m->is_event)
		return 0;
	return order == 1 ? want->created_at == m->ev.created_at :
	    memcmp(want->id, m->ev.id, 32) == 0;
}

int
check_same(struct check *c, const struct nr_event *const *want, size_t n,
    const struct check_got *g, int order)
{
	char text[CHECK_TEXT];
	size_t i, good = 0;

	name_wanted(c, want, n);
	name_got(c, text, g);
	check_saw(c, "%s", text);
	for (i = 0; i < n && i < g->n; i++)
		good += is_among(want[i], g) &&
		    is_in_place(want[i], g->event[i], order);
	return (good == n && g->n == n) || check_fail(c, "%s", text);
}

int
check_finds(struct check_link *l, const char *filters, size_t n, ...)
{
	const struct nr_event *want[CHECK_HAY];
	struct check_got g;
	va_list ap;
	size_t i;

	va_start(ap, n);
	for (i = 0; i < n; i++)
		want[i] = va_arg(ap, const struct nr_event *);
	va_end(ap);
	return check_read(l, filters, &g) &&
	    check_same(l->check, want, n, &g, 2);
}

static int
by_age(const void *a, const void *b)
{
	const struct nr_event *x = *(const struct nr_event *const *)a,
	    *y = *(const struct nr_event *const *)b;

	if (x->created_at != y->created_at)
		return x->created_at > y->created_at ? -1 : 1;
	return memcmp(x->id, y->id, 32);
}

/* Mark what one filter finds, in order, up to its limit. */
static void
mark(const struct nr_filter *f, const struct nr_event *const *sorted,
    size_t n, unsigned char *marks)
{
	uint64_t left = f->has & NR_FILTER_LIMIT ? f->limit : UINT64_MAX;
	size_t i;

	for (i = 0; i < n && left > 0; i++)
		if (nr_filter_match(f, sorted[i])) {
			marks[i] = 1;
			left--;
		}
}

int
check_answer(struct check *c, const char *filters,
    const struct nr_event *out[CHECK_HAY])
{
	const struct nr_event *sorted[CHECK_HAY];
	unsigned char marks[CHECK_HAY] = { 0 };
	struct nr_json j = { filters, filters + strlen(filters) };
	struct nr_filter f;
	const char *why;
	int n = 0;
	size_t i;

	memcpy(sorted, c->hay, sizeof(sorted));
	qsort(sorted, c->nhay, sizeof(sorted[0]), by_age);
	do {
		check_need(nr_filter_read(&f, &j, &nr_filter_limits_none,
		    &why));
		if (why != NULL)
			return -1;
		mark(&f, sorted, c->nhay, marks);
		nr_filter_free(&f);
	} while (nr_json_expect(&j, ',') == NR_JSON_OK);
	for (i = 0; i < c->nhay; i++)
		if (marks[i])
			out[n++] = sorted[i];
	return n;
}

/* ---- EVENT */

const struct check_msg *
check_publish(struct check_link *l, struct check_made *m)
{
	const struct check_msg *ok;
	int again = 0;

	do {
		if (!check_sayf(l, "[\"EVENT\",%.*s]", (int)m->len, m->line))
			return NULL;
		if ((ok = await_ok(l, m, CHECK_OF_EVENT)) == NULL)
			return NULL;
		if (ok->a.accepted || again++ ||
		    !nr_answer_prefix(ok->a.text, "auth-required"))
			break;
	} while (prove_somebody(l));
	return l->check->result == CHECK_PASS ? ok : NULL;
}

int
check_store(struct check_link *l, struct check_made *m)
{
	const struct check_msg *ok = check_publish(l, m);
	char shown[CHECK_TEXT];

	if (ok == NULL)
		return 0;
	if (ok->a.accepted)
		return 1;
	if (check_is_policy(l->check, ok))
		return 0;
	check_expect(l->check, "OK true");
	return check_fail(l->check, "%s", check_show(ok, shown));
}

static int
is_word_of(const char *words, struct nr_view text)
{
	char one[32];
	size_t n;

	if (*words == '\0')
		return 1;
	for (; *words != '\0'; words += n + (words[n] == ' ')) {
		n = strcspn(words, " ");
		snprintf(one, sizeof(one), "%.*s", (int)n, words);
		if (nr_answer_prefix(text, one))
			return 1;
	}
	return 0;
}

int
check_refused(struct check_link *l, struct check_made *m, const char *words)
{
	const struct check_msg *ok = check_publish(l, m);
	char shown[CHECK_TEXT];

	if (ok == NULL)
		return 0;
	check_expect(l->check, "OK false%s%s%s", *words != '\0' ? ", \"" :
	    "", words, *words != '\0' ? ":\"" : "");
	check_saw(l->check, "%s", check_show(ok, shown));
	if (!ok->a.accepted && is_word_of(words, ok->a.text))
		return 1;
	return (!ok->a.accepted && check_is_policy(l->check, ok)) ? 0 :
	    check_fail(l->check, "%s", shown);
}

int
check_fence(struct check_link *l)
{
	struct check_got g;

	if (!check_query(l, NULL, "{\"ids\":[\"@x\"],\"limit\":1}", &g))
		return 0;
	if (g.end == CHECK_EOSE)
		check_close(l, g.id);
	return 1;
}
