/*
 * Asking the rules: a request is walked through them, the first that
 * decides does.
 */
#include "policy/internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "event/pow.h"
#include "event/tags.h"
#include "util/err.h"
#include "util/hex.h"
#include "util/json.h"

#define LEARN_TAGS_MAX	100	/* of one event */
#define FILTERS_MAX	1000	/* of a request; relays allow no more */
#define SCORE_MAX	INT32_MAX

/* What is known of the request already; bits of nr_eval.known. */
#define KNOWN_MEASURES	1u
#define KNOWN_ALIKE	2u
#define KNOWN_SINCE	4u
#define KNOWN_FILTERS	8u
#define KNOWN_ORDERED	16u	/* this rule's turn in the order has come */
#define KNOWN_BROKEN	32u	/* what a rule asks cannot be found out */

/* ---- what a thread has ------------------------------------------------------ */

int
nr_rules_thread_new(struct nr_rules_thread **out, const struct nr_rules *r)
{
	struct nr_rules_thread *t;

	if ((t = calloc(1, sizeof(*t))) == NULL)
		return ENOMEM;
	t->rules = r;
	t->jq = calloc(r->njq + 1, sizeof(t->jq[0]));
	t->figures = calloc(r->nrules + 1, sizeof(t->figures[0]));
	if (t->jq == NULL || t->figures == NULL) {
		nr_rules_thread_free(t);
		return ENOMEM;
	}
	*out = t;
	return NR_OK;
}

void
nr_rules_thread_free(struct nr_rules_thread *t)
{
	size_t i;

	if (t == NULL)
		return;
	for (i = 0; t->jq != NULL && i < t->rules->njq; i++)
		nr_jq_free(t->jq[i]);
	nr_jq_doc_free(t->doc);
	free(t->jq);
	free(t->figures);
	nr_buf_free(&t->text);
	free(t);
}

const struct nr_rule_figures *
nr_rules_thread_figures(const struct nr_rules_thread *t)
{
	return t->figures;
}

/* ---- what is asked of a request ----------------------------------------------- */

static const struct nr_measures *
measures(struct nr_eval *e)
{
	if (!(e->known & KNOWN_MEASURES))
		nr_measure(&e->measures, &e->rq->ev);
	e->known |= KNOWN_MEASURES;
	return &e->measures;
}

static unsigned
alike(struct nr_eval *e, const struct nr_cond *c)
{
	struct nr_sketch sketch;

	/* Each time within which texts are counted has counts of its own. */
	if (!(e->known & KNOWN_ALIKE) || e->alike_within != c->within) {
		nr_sketch(&sketch, &e->rq->ev);
		e->alike = nr_state_alike(e->rules->state, &sketch,
		    e->rq->ev.pubkey, e->rq->received, c->within);
	}
	e->known |= KNOWN_ALIKE;
	e->alike_within = c->within;
	return e->alike;
}

static int64_t
known_since(struct nr_eval *e)
{
	if (!(e->known & KNOWN_SINCE))
		e->since = nr_state_author(e->rules->state, e->rq->ev.pubkey);
	e->known |= KNOWN_SINCE;
	return e->since;
}

/* Room for one more, as it doubles. */
static int
grow_filters(struct nr_eval *e)
{
	size_t n = e->nfilters;
	void *more;

	if (n == FILTERS_MAX)
		return 0;
	if ((n & (n - 1)) != 0)
		return 1;
	more = realloc(e->filters, (n == 0 ? 1 : 2 * n) *
	    sizeof(e->filters[0]));
	if (more == NULL)
		return 0;
	e->filters = more;
	return 1;
}

static int
read_filters(struct nr_eval *e, struct nr_json *j)
{
	struct nr_filter *f;
	const char *why;

	if (nr_json_expect(j, '[') != NR_JSON_OK)
		return 0;
	for (;;) {
		nr_json_space(j);
		if (j->p < j->end && *j->p == ']')
			return 1;
		if (e->nfilters > 0 && nr_json_expect(j, ',') != NR_JSON_OK)
			return 0;
		nr_json_space(j);
		if (!grow_filters(e))
			return 0;
		f = memset(&e->filters[e->nfilters], 0, sizeof(*f));
		if (nr_filter_read(f, j, &nr_filter_limits_none, &why) !=
		    NR_OK || why != NULL)
			return 0;
		e->nfilters++;
	}
}

/* Of what cannot be read nobody knows what it asks for. */
static void
need_filters(struct nr_eval *e)
{
	struct nr_json j = { e->rq->filters.p,
	    e->rq->filters.p + e->rq->filters.len };

	if (e->known & KNOWN_FILTERS)
		return;
	e->known |= KNOWN_FILTERS;
	if (!read_filters(e, &j))
		e->known |= KNOWN_BROKEN;
}

/* ---- conditions on what is asked for (read) --------------------------------------- */

static int
any_key(struct nr_table *t, const struct nr_keys *k)
{
	size_t i;

	for (i = 0; i < k->n; i++)
		if (nr_table_has_key(t, k->v[i]))
			return 1;
	return 0;
}

static int
any_kind(const struct nr_table *t, const struct nr_filter *f)
{
	size_t i;

	for (i = 0; i < f->nkinds; i++)
		if (nr_table_has_kind(t, f->kinds[i]))
			return 1;
	return 0;
}

/* A tag's value, or a filter's: normal text. */
static int
value_in(struct nr_rules_thread *t, struct nr_table *table,
    struct nr_view value)
{
	unsigned char key[32];

	if (table->type == NR_TABLE_WORDS)
		return nr_words_find(table->words, value) >= 0;
	if (table->type == NR_TABLE_KEYS)
		return value.len == 64 && nr_hex_decode(key, value.p, 32) &&
		    nr_table_has_key(table, key);
	if (value.len > 0 && memchr(value.p, '\\', value.len) != NULL) {
		t->text.len = 0;
		if (nr_buf_reserve(&t->text, value.len) != NR_OK)
			return 0;
		value.len = nr_json_decode(t->text.p, value.p, value.len);
		value.p = t->text.p;
	}
	return nr_table_has_value(table, value);
}

static int
filter_has_tag(struct nr_rules_thread *t, const struct nr_filter *f,
    const struct nr_cond *c)
{
	size_t i, k;

	for (i = 0; i < f->ntags; i++) {
		if (c->name[0] != f->tags[i].letter || c->name[1] != '\0')
			continue;
		if (c->table == NULL)
			return 1;
		for (k = 0; k < f->tags[i].n; k++)
			if (value_in(t, c->table, f->tags[i].v[k]))
				return 1;
	}
	return 0;
}

/* Does a filter name such a thing? */
static int
filter_has(struct nr_rules_thread *t, const struct nr_filter *f,
    const struct nr_cond *c)
{
	switch (c->test) {
	case NR_TEST_KIND:
		return any_kind(c->table, f);
	case NR_TEST_AUTHOR:
		return any_key(c->table, &f->authors);
	case NR_TEST_ID:
		return any_key(c->table, &f->ids);
	case NR_TEST_TAG:
		return filter_has_tag(t, f, c);
	default:	/* NR_TEST_OPEN */
		return (f->has & (NR_FILTER_IDS | NR_FILTER_AUTHORS |
		    NR_FILTER_KINDS)) == 0 && f->ntags == 0;
	}
}

static int
any_filter(struct nr_eval *e, struct nr_rules_thread *t,
    const struct nr_cond *c)
{
	size_t i;

	need_filters(e);
	for (i = 0; i < e->nfilters; i++)
		if (filter_has(t, &e->filters[i], c))
			return 1;
	return 0;
}

/* ---- conditions ----------------------------------------------------------------------- */

static int
has_tag(struct nr_eval *e, struct nr_rules_thread *t,
    const struct nr_cond *c)
{
	struct nr_tags it;
	struct nr_tag tag;

	nr_tags_start(&it, e->rq->ev.tags);
	while (nr_tags_next(&it, &tag))
		if (nr_tag_is(&tag, c->name) && (c->table == NULL ||
		    (tag.nitems > 1 && value_in(t, c->table, tag.value))))
			return 1;
	return 0;
}

static int64_t
count_tags(const struct nr_eval *e, const char *name)
{
	struct nr_tags it;
	struct nr_tag tag;
	int64_t n = 0;

	nr_tags_start(&it, e->rq->ev.tags);
	while (nr_tags_next(&it, &tag))
		n += name == NULL || nr_tag_is(&tag, name);
	return n;
}

static int
any_auth(const struct nr_eval *e, struct nr_table *t)
{
	unsigned i;

	for (i = 0; i < e->rq->nauthed; i++)
		if (nr_table_has_key(t, e->rq->authed[i]))
			return 1;
	return 0;
}

static int
author_auth(const struct nr_eval *e)
{
	unsigned i;

	for (i = 0; i < e->rq->nauthed; i++)
		if (e->rq->type == NR_ASK_NEW && memcmp(e->rq->authed[i],
		    e->rq->ev.pubkey, 32) == 0)
			return 1;
	return 0;
}

static int
ip_of(const struct nr_eval *e, struct nr_ip *out)
{
	static const unsigned char mapped[12] = { [10] = 0xff, [11] = 0xff };

	if (e->rq->iplen == 0)
		return 0;
	memcpy(out->bytes, mapped, sizeof(mapped));
	memcpy(out->bytes + 16 - e->rq->iplen, e->rq->ip, e->rq->iplen);
	return 1;
}

static int
from_network(const struct nr_eval *e, const struct nr_table *t)
{
	struct nr_ip ip;

	return ip_of(e, &ip) && nr_table_has_ip(t, &ip);
}

/* What a jq expression is asked about: read once for all of them. */
static int
need_doc(struct nr_eval *e, struct nr_rules_thread *t)
{
	if (t->doc == NULL && nr_jq_doc_new(&t->doc) != NR_OK)
		return 0;
	if (t->doc_of == e)
		return 1;
	if ((e->rq->type == NR_ASK_NEW ?
	    nr_jq_doc_event(t->doc, &e->rq->ev) :
	    nr_jq_doc_parse(t->doc, e->rq->filters.p, e->rq->filters.len)) !=
	    NR_OK)
		return 0;
	t->doc_of = e;
	return 1;
}

/* Expressions belong to the thread that compiles them: this one. */
static int
test_jq(struct nr_eval *e, struct nr_rules_thread *t, size_t n)
{
	char why[1];

	if ((t->jq[n] == NULL && nr_jq_new(&t->jq[n], e->rules->jq[n], why,
	    sizeof(why)) != NR_OK) || !need_doc(e, t)) {
		e->known |= KNOWN_BROKEN;
		return 0;
	}
	return nr_jq_test(t->jq[n], t->doc) == 1;
}

static int
is_new(struct nr_eval *e, int64_t age)
{
	int64_t since = known_since(e);

	return since == 0 || (age > 0 && since > e->rq->received - age);
}

/* A quantity; 0 where it does not apply. */
static int
quantity(struct nr_eval *e, const struct nr_cond *c, int64_t *out)
{
	const struct nr_event *ev = &e->rq->ev;
	int64_t t;

	switch (c->quantity) {
	case NR_OF_SIZE:
		*out = (int64_t)e->rq->event.len;
		return 1;
	case NR_OF_CONTENT:
		*out = measures(e)->chars;
		return 1;
	case NR_OF_PLAIN:
		*out = measures(e)->plain;
		return 1;
	case NR_OF_TAGS:
		*out = count_tags(e, c->name);
		return 1;
	case NR_OF_LINKS:
		*out = measures(e)->links;
		return 1;
	case NR_OF_MENTIONS:
		*out = measures(e)->mentions;
		return 1;
	case NR_OF_HASHTAGS:
		*out = measures(e)->hashtags;
		return 1;
	case NR_OF_CAPS:
		*out = measures(e)->caps;
		return 1;
	case NR_OF_DUPLICATES:
		*out = alike(e, c);
		return 1;
	case NR_OF_POW:
		*out = nr_pow_bits(ev->id);
		return 1;
	case NR_OF_AGE:
		*out = e->rq->received - ev->created_at;
		return 1;
	case NR_OF_FUTURE:
		*out = ev->created_at - e->rq->received;
		return 1;
	case NR_OF_EXPIRES:
		if ((t = nr_event_expiration(ev)) == INT64_MAX)
			return 0;
		*out = t - e->rq->received;
		return 1;
	case NR_OF_SCORE:
		*out = e->score;
		return 1;
	default:	/* NR_OF_FILTERS */
		need_filters(e);
		*out = (int64_t)e->nfilters;
		return 1;
	}
}

static int
compare(struct nr_eval *e, const struct nr_cond *c)
{
	int64_t n;

	if (!quantity(e, c, &n))
		return 0;
	switch (c->compare) {
	case NR_LT:
		return n < c->number;
	case NR_LE:
		return n <= c->number;
	case NR_GT:
		return n > c->number;
	case NR_GE:
		return n >= c->number;
	case NR_EQ:
		return n == c->number;
	default:
		return n != c->number;
	}
}

static int
holds_for_event(struct nr_eval *e, struct nr_rules_thread *t,
    const struct nr_cond *c)
{
	const struct nr_event *ev = &e->rq->ev;

	switch (c->test) {
	case NR_TEST_KIND:
		return nr_table_has_kind(c->table, ev->kind);
	case NR_TEST_AUTHOR:
		return nr_table_has_key(c->table, ev->pubkey);
	case NR_TEST_ID:
		return nr_table_has_key(c->table, ev->id);
	case NR_TEST_TAG:
		return has_tag(e, t, c);
	case NR_TEST_PROTECTED:
		return nr_event_protected(ev);
	case NR_TEST_NSEC:
		return measures(e)->nsec;
	case NR_TEST_TEXT:
		return nr_words_find(c->table->words, ev->content) >= 0;
	case NR_TEST_FILTER:
		return nr_filter_match(c->filter, ev);
	default:	/* NR_TEST_NEW */
		return is_new(e, c->number);
	}
}

static int
holds(struct nr_eval *e, struct nr_rules_thread *t, const struct nr_cond *c)
{
	switch (c->test) {
	case NR_TEST_ALL:
		return 1;
	case NR_TEST_AUTH:
		return any_auth(e, c->table);
	case NR_TEST_AUTH_ANY:
		return e->rq->nauthed > 0;
	case NR_TEST_AUTH_AUTHOR:
		return author_auth(e);
	case NR_TEST_IP:
		return from_network(e, c->table);
	case NR_TEST_SOURCE:
		return c->sources >> e->rq->source & 1;
	case NR_TEST_VERB:
		return nr_table_has_value(c->table, e->rq->verb);
	case NR_TEST_JQ:
		return test_jq(e, t, c->jq);
	case NR_TEST_NUMBER:
		return compare(e, c);
	default:
		return e->rq->type == NR_ASK_REQ ? any_filter(e, t, c) :
		    holds_for_event(e, t, c);
	}
}

/* Those that need the order last, after all others. */
static int
rule_matches(struct nr_eval *e, struct nr_rules_thread *t,
    const struct nr_rule *rule, int order)
{
	size_t i;

	for (i = 0; i < rule->nconds; i++)
		if (rule->cond[i].order == order &&
		    holds(e, t, &rule->cond[i]) == rule->cond[i].negate)
			return 0;
	return 1;
}

/* ---- what rules do ---------------------------------------------------------------------- */

static void
decide(struct nr_eval *e, struct nr_rules_thread *t,
    const struct nr_rule *rule, enum nr_action action, const char *msg)
{
	e->action = action;
	e->decided = rule;
	snprintf(e->msg, sizeof(e->msg), "%s", msg);
	if (rule != NULL)
		t->figures[rule->index].decided++;
}

static const char *
message_of(const struct nr_rule *rule, const char *otherwise)
{
	return rule->message != NULL ? rule->message : otherwise;
}

#define KEY_MAX	(8 + 16 + 16 + 32 + 32 + 4)

/* An IPv4 network of 24 bits, or an IPv6 one of 48. */
static void
net_of(unsigned char out[16], const struct nr_ip *ip)
{
	size_t keep = nr_ip_is_ipv4(ip) ? 15 : 6;

	memset(out, 0, 16);
	memcpy(out, ip->bytes, keep);
}

/*
 * What a limit counts by.  Returns 0 where the request has no such thing:
 * then it is not counted.
 */
static size_t
limit_key(const struct nr_eval *e, const struct nr_rule *rule,
    unsigned char out[KEY_MAX])
{
	size_t n = sizeof(rule->salt);
	struct nr_ip ip, group;

	memcpy(out, rule->salt, n);
	if (rule->by & (NR_BY_IP | NR_BY_NET) && !ip_of(e, &ip))
		return 0;
	if (rule->by & NR_BY_IP) {
		group = nr_ip_group(&ip);
		memcpy(out + n, group.bytes, 16);
		n += 16;
	}
	if (rule->by & NR_BY_NET) {
		net_of(out + n, &ip);
		n += 16;
	}
	if (rule->by & NR_BY_AUTHOR) {
		memcpy(out + n, e->rq->ev.pubkey, 32);
		n += 32;
	}
	if (rule->by & NR_BY_AUTH) {
		if (e->rq->nauthed == 0)
			return 0;
		memcpy(out + n, e->rq->authed[0], 32);
		n += 32;
	}
	if (rule->by & NR_BY_KIND) {
		memcpy(out + n, &e->rq->ev.kind, 4);
		n += 4;
	}
	return n;
}

static int
limit(struct nr_eval *e, struct nr_rules_thread *t,
    const struct nr_rule *rule)
{
	unsigned char key[KEY_MAX];
	size_t len = limit_key(e, rule, key);

	if (len == 0 || nr_state_take(e->rules->state, &rule->rate, key, len,
	    1, e->now) <= 0)
		return 0;
	decide(e, t, rule, NR_REJECT, message_of(rule,
	    "rate-limited: slow down"));
	return 1;
}

static void
score(struct nr_eval *e, const struct nr_rule *rule)
{
	e->score += rule->weight;
	if (e->score > SCORE_MAX)
		e->score = SCORE_MAX;
	if (e->score < -SCORE_MAX)
		e->score = -SCORE_MAX;
	if (e->nscored < sizeof(e->scored) / sizeof(e->scored[0]))
		e->scored[e->nscored++] = rule;
}

/* Append an event's line, whole or not at all, to a file that has room. */
static int
append(const char *path, struct nr_view line, int64_t max)
{
	struct nr_buf b = { 0 };
	struct stat st;
	int fd, rc;

	fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC |
	    O_NONBLOCK, 0600);
	if (fd < 0)
		return errno;
	if (fstat(fd, &st) != 0)
		rc = errno;
	else if (S_ISREG(st.st_mode) &&
	    st.st_size + (int64_t)line.len >= max)
		rc = EFBIG;
	else if ((rc = nr_buf_add(&b, line.p, line.len)) == NR_OK &&
	    (rc = nr_buf_adds(&b, "\n")) == NR_OK)
		rc = nr_file_append(fd, b.p, b.len);
	nr_buf_free(&b);
	close(fd);
	return rc;
}

static void
hold(struct nr_eval *e, struct nr_rules_thread *t,
    const struct nr_rule *rule, unsigned flags)
{
	int rc = NR_OK;

	if (!(flags & NR_EVAL_DRY))
		rc = append(rule->path, e->rq->event, e->rules->hold_max);
	e->failed = rc != NR_OK;
	decide(e, t, rule, NR_REJECT, rc == NR_OK ? message_of(rule,
	    "blocked: held until the operator has seen it") :
	    "error: it cannot be held for the operator now");
}

static int
learn_keys(const struct nr_eval *e, const struct nr_rule *rule)
{
	unsigned char key[32];
	struct nr_tags it;
	unsigned n = 0;
	int rc = NR_OK;

	if (!rule->learn_tags)
		return nr_table_learn(rule->table, e->rq->ev.pubkey);
	nr_tags_start(&it, e->rq->ev.tags);
	while (rc == NR_OK && n++ < LEARN_TAGS_MAX &&
	    nr_next_recipient(&it, key))
		rc = nr_table_learn(rule->table, key);
	return rc;
}

/* An event whose lesson is lost must come again.  Returns 1 where it is. */
static int
learn(struct nr_eval *e, struct nr_rules_thread *t,
    const struct nr_rule *rule, unsigned flags)
{
	if (flags & NR_EVAL_DRY || learn_keys(e, rule) == NR_OK)
		return 0;
	e->failed = 1;
	decide(e, t, rule, NR_REJECT, "error: it cannot be learnt from now");
	return 1;
}

static void
log_request(struct nr_eval *e, const struct nr_rule *rule)
{
	const struct nr_rules_calls *calls = &e->rules->calls;

	if (calls->log != NULL)
		calls->log(calls->ctx, rule, e->rq);
}

/* Let a rule that matches act.  Returns 1 where it has decided. */
static int
act(struct nr_eval *e, struct nr_rules_thread *t,
    const struct nr_rule *rule, unsigned flags)
{
	t->figures[rule->index].matched++;
	switch (rule->verb) {
	case NR_VERB_ACCEPT:
		decide(e, t, rule, NR_ACCEPT, "");
		return 1;
	case NR_VERB_REJECT:
		decide(e, t, rule, NR_REJECT, message_of(rule,
		    "blocked: not accepted here"));
		return 1;
	case NR_VERB_SHADOW:
		decide(e, t, rule, NR_SHADOW_REJECT, "");
		return 1;
	case NR_VERB_LIMIT:
		return limit(e, t, rule);
	case NR_VERB_SCORE:
		score(e, rule);
		return 0;
	case NR_VERB_HOLD:
		hold(e, t, rule, flags);
		return 1;
	case NR_VERB_LEARN:
		return learn(e, t, rule, flags);
	case NR_VERB_LOG:
		if (!(flags & NR_EVAL_DRY))
			log_request(e, rule);
		return 0;
	default:
		return 0;
	}
}

/* ---- the walk ------------------------------------------------------------------------------ */

void
nr_eval_begin(struct nr_eval *e, const struct nr_rules *r,
    const struct nr_request *rq, int64_t now)
{
	memset(e, 0, sizeof(*e));
	e->rules = r;
	e->rq = rq;
	e->now = now;
}

void
nr_eval_end(struct nr_eval *e)
{
	size_t i;

	for (i = 0; i < e->nfilters; i++)
		nr_filter_free(&e->filters[i]);
	free(e->filters);
	e->filters = NULL;
	e->nfilters = 0;
}

/* Whoever is accepted is no longer new. */
static enum nr_step
finish(struct nr_eval *e, unsigned flags)
{
	if (!e->rules->learns_authors || e->action != NR_ACCEPT ||
	    e->rq->type != NR_ASK_NEW || flags & NR_EVAL_DRY)
		return NR_STEP_DECIDED;
	e->at = e->rules->nrules + 1;
	if (!(flags & NR_EVAL_ORDER))
		return NR_STEP_ORDER;
	nr_state_learn(e->rules->state, e->rq->ev.pubkey, e->rq->received);
	return NR_STEP_DECIDED;
}

static void
use_default(struct nr_eval *e, struct nr_rules_thread *t)
{
	const struct nr_rules *r = e->rules;

	decide(e, t, NULL, r->otherwise, r->otherwise == NR_REJECT ?
	    r->otherwise_msg != NULL ? r->otherwise_msg :
	    "blocked: not accepted here" : "");
}

/* Does it match?  Where nobody can say, the rule refuses. */
static int
matches(struct nr_eval *e, struct nr_rules_thread *t,
    const struct nr_rule *rule, int order, int *broken)
{
	int yes = rule_matches(e, t, rule, order);

	*broken = (e->known & KNOWN_BROKEN) != 0;
	if (!*broken)
		return yes;
	e->failed = 1;
	decide(e, t, rule, NR_REJECT, "error: the policy cannot read this");
	return 1;
}

enum nr_step
nr_eval_run(struct nr_eval *e, struct nr_rules_thread *t, unsigned flags)
{
	const struct nr_rules *r = e->rules;
	const struct nr_rule *rule;
	int broken = 0;

	t->doc_of = NULL;
	if (e->at > r->nrules)
		return finish(e, flags);
	for (; e->at < r->nrules; e->at++) {
		rule = &r->rule[e->at];
		if (!(rule->asks >> e->rq->type & 1))
			continue;
		if (!(e->known & KNOWN_ORDERED) &&
		    !matches(e, t, rule, 0, &broken))
			continue;
		if (broken)
			return NR_STEP_DECIDED;
		if (rule->order && !(flags & NR_EVAL_ORDER)) {
			e->known |= KNOWN_ORDERED;
			return NR_STEP_ORDER;
		}
		e->known &= ~KNOWN_ORDERED;
		if (rule->order && !matches(e, t, rule, 1, &broken))
			continue;
		if (broken)
			return NR_STEP_DECIDED;
		if (rule->verb == NR_VERB_EXEC) {
			t->figures[rule->index].matched++;
			return NR_STEP_EXEC;
		}
		if (act(e, t, rule, flags))
			return finish(e, flags);
	}
	use_default(e, t);
	return finish(e, flags);
}

size_t
nr_eval_commands(const struct nr_eval *e, const size_t **index,
    int64_t *timeout)
{
	const struct nr_rule *rule = &e->rules->rule[e->at];

	*index = rule->command;
	*timeout = rule->timeout;
	return rule->ncommands;
}

enum nr_step
nr_eval_answer(struct nr_eval *e, struct nr_rules_thread *t, unsigned flags,
    enum nr_action action, const char *msg, int failed)
{
	const struct nr_rule *rule = &e->rules->rule[e->at];

	e->failed = failed;
	if (failed)
		decide(e, t, rule, NR_REJECT, "error: the policy cannot be "
		    "asked, try again later");
	else if (action != NR_ACCEPT)
		decide(e, t, rule, action, action == NR_REJECT &&
		    *msg == '\0' ? "blocked: not accepted here" : msg);
	else {
		e->at++;
		return nr_eval_run(e, t, flags);
	}
	return NR_STEP_DECIDED;
}
