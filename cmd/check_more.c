/*
 * nr-bench check: proof of work (NIP-13), counts (NIP-45), hints at EOSE
 * (NIP-67).
 */
#include "check.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "event/pow.h"
#include "filter/hll.h"
#include "util/json.h"
#include "util/sha256.h"

/* ---- NIP-13 */

static int64_t
difficulty(struct check *c)
{
	int64_t bits = c->info.pow;

	if (bits <= 0)
		(void)check_skip(c, "NIP-11 names no min_pow_difficulty");
	return bits;
}

static void
no_work(struct check *c, const struct check_statement *s)
{
	struct check_link *l = difficulty(c) > 0 ? check_link(c, 0) : NULL;
	struct check_made *m;
	int i = 0;

	(void)s;
	if (l == NULL)
		return;
	/* One that has it by chance is not what is wanted. */
	c->work = 0;
	do
		m = check_make(c, 0, c->kind[0], c->began - 60 - i, "",
		    "no work");
	while (nr_pow_bits(m->ev.id) > 0 && ++i < 64);
	c->work = (unsigned)c->info.pow;
	(void)check_refused(l, m, "pow");
}

/* All that we make has as much as is asked for. */
static void
worked(struct check *c, const struct check_statement *s)
{
	int64_t bits = difficulty(c);
	struct check_link *l = bits > 0 ? check_link(c, 0) : NULL;

	(void)s;
	if (l != NULL && bits > CHECK_WORK)
		(void)check_skip(c, "%" PRId64 " bits are too many", bits);
	else if (l != NULL)
		(void)check_store(l, check_make(c, 0, c->kind[0],
		    c->began - 60, "", "work"));
}

/* ---- NIP-45 */

/* COUNT or CLOSED; NULL: neither, failed. */
static const struct check_msg *
ask_count(struct check_link *l, const char *filters)
{
	const struct check_msg *m;
	struct nr_buf b = { 0 };
	char id[CHECK_SUBID];

	/* Which proves who we are, where that is wanted. */
	if (!check_fence(l))
		return NULL;
	snprintf(id, sizeof(id), "count%u", ++l->check->subs);
	(void)check_subscribe(l, id, NULL);
	(void)check_fill(l->check, &b, filters);
	m = check_sayf(l, "[\"COUNT\",\"%s\",%s]", id, b.p) ?
	    check_await(l, CHECK_OF_COUNT, check_is_count, id) : NULL;
	nr_buf_free(&b);
	if (m == NULL)
		(void)check_missed(l, "no COUNT");
	return m;
}

const struct check_msg *
check_counts(struct check_link *l, const char *filters, uint64_t n)
{
	const struct check_msg *m = ask_count(l, filters);
	char shown[CHECK_TEXT];

	if (m == NULL)
		return NULL;
	check_expect(l->check, "a count of %" PRIu64, n);
	check_saw(l->check, "%s", check_show(m, shown));
	if (m->a.verb == NR_ANSWER_CLOSED) {
		if (!check_is_policy(l->check, m))
			(void)check_fail(l->check, "%s", shown);
		return NULL;
	}
	if (m->a.count == n || m->a.approximate)
		return m;
	(void)check_fail(l->check, "%s", shown);
	return NULL;
}

/* As many as the same REQ must answer. */
static void
count(struct check *c, const struct check_statement *s)
{
	struct check_link *l = check_link(c, 0);
	const struct nr_event *want[CHECK_HAY];
	struct nr_buf b = { 0 };
	int n = check_answer(c, check_fill(c, &b, s->filters), want);

	nr_buf_free(&b);
	if (l != NULL && n >= 0)
		(void)check_counts(l, s->filters, (uint64_t)n);
}

static void
count_refused(struct check *c, const struct check_statement *s)
{
	struct check_link *l = check_link(c, 1);
	const struct check_msg *m;
	char shown[CHECK_TEXT];

	check_expect(c, "CLOSED");
	if (l == NULL || (m = ask_count(l, s->filters)) == NULL)
		return;
	check_saw(c, "%s", check_show(m, shown));
	if (m->a.verb != NR_ANSWER_CLOSED)
		(void)check_fail(c, "%s", shown);
}

static void
count_ends(struct check *c, const struct check_statement *s)
{
	struct check_link *l = check_link(c, 0);
	const struct check_msg *m;
	char id[CHECK_SUBID], shown[CHECK_TEXT];

	check_expect(c, "no EOSE, no CLOSED after COUNT");
	if (l == NULL || check_counts(l, s->filters, 1) == NULL ||
	    !check_fence(l))
		return;
	snprintf(id, sizeof(id), "count%u", c->subs - 1);
	m = check_wait(l, check_is_named, id, 1);
	if (m != NULL)
		(void)check_fail(c, "%s", check_show(m, shown));
}

static void
count_deleted(struct check *c, const struct check_statement *s)
{
	struct check_link *l = check_link(c, 0);
	struct check_made *old, *new;

	old = check_make(c, 3, 10180, c->began - 100, "", "old");
	new = check_make(c, 3, 10180, c->began - 99, "", "new");
	if (l != NULL && check_store(l, old) && check_store(l, new))
		(void)check_counts(l, s->filters, 1);
}

/* Of what is never kept there is none. */
static void
count_passing(struct check *c, const struct check_statement *s)
{
	struct check_link *l = check_link(c, 0);

	if (l != NULL && check_publish(l, check_make(c, 0, 21476,
	    time(NULL), "", "passing")) != NULL)
		(void)check_counts(l, s->filters, 0);
}

/* Registers are what the NIP's algorithm gives, where there are any. */
static void
registers(struct check *c, const struct check_statement *s)
{
	struct check_link *l = check_link(c, 0);
	unsigned char regs[NR_HLL_REGISTERS] = { 0 };
	const struct check_msg *m;
	struct nr_buf b = { 0 };
	struct nr_filter f;
	struct nr_sha256 *sha;
	const char *why;
	unsigned offset;
	size_t i;

	check_expect(c, "no hll, or the value for these authors");
	if (l == NULL || (m = ask_count(l, s->filters)) == NULL)
		return;
	if (m->a.verb == NR_ANSWER_CLOSED || !m->a.has_hll) {
		(void)check_skip(c, "there is no hll");
		return;
	}
	(void)check_fill(c, &b, s->filters);
	check_need(nr_filter_parse(&f, b.p, b.len, &nr_filter_limits_none,
	    &why));
	check_need(nr_sha256_new(&sha));
	if (why == NULL && nr_hll_offset(&f, sha, &offset))
		for (i = 0; i < c->nhay; i++)
			if (nr_filter_match(&f, c->hay[i]))
				nr_hll_add(regs, offset, c->hay[i]->pubkey);
	if (memcmp(regs, m->a.hll, sizeof(regs)) != 0)
		(void)check_fail(c, "another value");
	nr_filter_free(&f);
	nr_sha256_free(sha);
	nr_buf_free(&b);
}

/* ---- NIP-67 */

static int
is_list_of_strings(const struct check_msg *m)
{
	struct nr_json j = { m->text, m->text + m->len };
	struct nr_view v;
	unsigned flags = 0;

	if (nr_json_expect(&j, '[') != NR_JSON_OK ||
	    nr_json_skip(&j, 1) != NR_JSON_OK ||
	    nr_json_expect(&j, ',') != NR_JSON_OK)
		return 0;
	nr_json_space(&j);
	if (nr_json_skip(&j, 1) != NR_JSON_OK)
		return 0;
	if (nr_json_expect(&j, ']') == NR_JSON_OK)
		return 1;
	if (nr_json_expect(&j, ',') != NR_JSON_OK ||
	    nr_json_expect(&j, '[') != NR_JSON_OK)
		return 0;
	do {
		nr_json_space(&j);
		if (j.p < j.end && *j.p == ']')
			return 1;
		if (j.p == j.end || *j.p != '"' ||
		    nr_json_string(&j, &v, &flags) != NR_JSON_OK)
			return 0;
	} while (nr_json_expect(&j, ',') == NR_JSON_OK);
	return 1;
}

enum { FORM, COMPLETE, PARTIAL };

static void
hint(struct check *c, const struct check_statement *s)
{
	struct check_link *l = check_link(c, 0);
	struct check_got g;
	char shown[CHECK_TEXT];

	if (l == NULL || !check_read(l, s->filters, &g))
		return;
	check_expect(c, "%s", s->text);
	check_saw(c, "%s", check_show(g.last, shown));
	if (s->arg == FORM ? !is_list_of_strings(g.last) :
	    s->arg == COMPLETE ? g.last->a.more : g.last->a.finish)
		(void)check_fail(c, "%s", shown);
}

#define RUN	"\"#t\":[\"@T\"]"
#define HAY	(CHECK_WRITE | CHECK_HAYSTACK)

const struct check_statement check_more_list[] = {
	{ 13, "nip13-refused", "an event without proof of work is refused "
	    "where NIP-11 demands work",
	    CHECK_WRITE, no_work, NULL, 0 },
	{ 13, "nip13-accepted", "an event with the proof of work that NIP-11 "
	    "demands is accepted", CHECK_WRITE, worked, NULL, 0 },
	{ 45, "nip45-ids", "COUNT counts events by id", CHECK_HAYSTACK, count,
	    "{\"ids\":[\"@i0\",\"@i1\",\"@x\"]}", 0 },
	{ 45, "nip45-none", "COUNT says 0 where nothing matches",
	    CHECK_HAYSTACK, count,
	    "{\"ids\":[\"@x\"]}", 0 },
	{ 45, "nip45-or", "COUNT counts an event once that matches two filters",
	    CHECK_HAYSTACK, count, "{\"ids\":[\"@i0\",\"@i1\"]},"
	    "{\"ids\":[\"@i1\",\"@i2\"]}", 0 },
	{ 45, "nip45-tag", "COUNT counts events by tag and time", HAY, count,
	    "{" RUN ",\"#g\":[\"one\",\"three\"],\"until\":@t5}", 0 },
	{ 45, "nip45-author", "COUNT counts events by author and kind", HAY,
	    count, "{\"authors\":[\"@B\"],\"kinds\":[@1]," RUN "}", 0 },
	{ 45, "nip45-replaced", "COUNT does not count versions that were "
	    "replaced",
	    CHECK_WRITE, count_deleted, "{\"authors\":[\"@D\"],\"kinds\":"
	    "[10180]}", 0 },
	{ 45, "nip45-once", "COUNT has one answer, which neither EOSE nor "
	    "CLOSED follows", CHECK_HAYSTACK,
	    count_ends, "{\"ids\":[\"@i0\"]}", 0 },
	{ 45, "nip45-refused", "a COUNT with a broken filter is answered by "
	    "CLOSED", 0, count_refused, "{\"kinds\":\"x\"}", 0 },
	{ 45, "nip45-hll", "the hll value of a COUNT is what the algorithm of "
	    "the NIP gives", HAY, registers,
	    "{\"#p\":[\"@A\"],\"kinds\":[@1]}", 0 },
	{ 45, "nip45-ephemeral", "COUNT does not count ephemeral events",
	    CHECK_WRITE, count_passing, "{\"kinds\":[21476],\"authors\":"
	    "[\"@A\"]}", 0 },
	{ 67, "nip67-form", "the hints in EOSE are a list of strings",
	    CHECK_HAYSTACK,
	    hint, "{\"ids\":[\"@i0\",\"@i1\"]}", FORM },
	{ 67, "nip67-complete", "EOSE does not say \"more\" where all events "
	    "were sent",
	    CHECK_HAYSTACK, hint, "{\"ids\":[\"@i0\",\"@i1\"]}", COMPLETE },
	{ 67, "nip67-partial", "EOSE does not say \"finish\" where the limit "
	    "left out events",
	    CHECK_HAYSTACK, hint, "{\"ids\":[\"@i0\",\"@i1\",\"@i2\"],"
	    "\"limit\":1}", PARTIAL },
	{ 67, "nip67-partial-tag", "EOSE does not say \"finish\" where the "
	    "limit left out events of a tag", HAY,
	    hint, "{" RUN ",\"limit\":3}", PARTIAL },
	{ 0 }
};
