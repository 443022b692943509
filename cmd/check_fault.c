/*
 * nr-bench check: what holds for every message of a relay, whatever is
 * being tried at the time.
 */
#include "check.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "event/verify.h"
#include "util/json.h"

#define NO_WORD	"a reason that does not begin with a word and a colon"
#define NO_SUB	"a message for a subscription that was not opened"

/* Keep the first case. */
static void
fault(struct check_link *l, enum check_fault f, const char *what,
    const struct check_msg *m)
{
	char *out = l->check->fault[f];
	char shown[CHECK_TEXT];

	if (out[0] == '\0')
		snprintf(out, CHECK_TEXT, "%s: %.300s (in %s)", what,
		    check_show(m, shown), l->check->now->id);
}

/* The elements of a message's array; the first strings are at out. */
static unsigned
elements(const struct check_msg *m, struct nr_view out[4])
{
	struct nr_json j = { m->text, m->text + m->len };
	const char *from;
	unsigned n = 0;

	(void)nr_json_expect(&j, '[');
	do {
		nr_json_space(&j);
		from = j.p;
		if (nr_json_skip(&j, NR_JSON_DEPTH_MAX) != NR_JSON_OK)
			return n;
		if (n < 4)
			out[n] = (struct nr_view){ from,
			    (size_t)(j.p - from) };
		n++;
	} while (nr_json_expect(&j, ',') == NR_JSON_OK);
	return n;
}

/* NIP-01: a single word, a colon, and something for people. */
static int
is_worded(struct nr_view text)
{
	size_t n = 0;

	while (n < text.len && (islower((unsigned char)text.p[n]) ||
	    text.p[n] == '-'))
		n++;
	return n > 0 && n < text.len && text.p[n] == ':';
}

static void
judge_ok(struct check_link *l, const struct check_msg *m)
{
	struct nr_view e[4];

	l->check->checked[CHECK_OK_FORM]++;
	if (elements(m, e) != 4 || e[3].len < 2 || e[3].p[0] != '"')
		fault(l, CHECK_OK_FORM, "an OK that has not four elements", m);
	else if (!m->a.accepted && !is_worded(m->a.text))
		fault(l, CHECK_OK_FORM, NO_WORD, m);
	l->check->checked[CHECK_OK_UNASKED]++;
	if (check_made_find(l->check, m->a.id) == NULL)
		fault(l, CHECK_OK_UNASKED, "an OK for an event that was not "
		    "sent", m);
}

static void
judge_closed(struct check_link *l, const struct check_msg *m)
{
	struct check_sub *s = check_sub_find(l, m->a.subid.p,
	    m->a.subid.len);
	struct nr_view e[4];

	l->check->checked[CHECK_CLOSED_FORM]++;
	if (elements(m, e) != 3 || !is_worded(m->a.text))
		fault(l, CHECK_CLOSED_FORM, NO_WORD, m);
	if (s != NULL)
		s->closed = s->refused = 1;
}

static void
judge_eose(struct check_link *l, const struct check_msg *m)
{
	struct check_sub *s = check_sub_find(l, m->a.subid.p,
	    m->a.subid.len);

	l->check->checked[CHECK_EOSE_TWICE]++;
	if (s == NULL)
		fault(l, CHECK_NO_SUB, NO_SUB, m);
	else if (s->refused)
		fault(l, CHECK_EOSE_TWICE, "an EOSE after CLOSED", m);
	else if (s->known && s->eose)
		fault(l, CHECK_EOSE_TWICE, "a second EOSE", m);
	else
		s->eose = 1;
}

static int
asked_for(const struct check_sub *s, const struct nr_event *ev)
{
	unsigned i;

	for (i = 0; i < s->nfilters; i++)
		if (nr_filter_match(&s->filter[i], ev))
			return 1;
	return 0;
}

static int
is_repeated(struct check_sub *s, const unsigned char id[32])
{
	size_t i;

	for (i = 0; i < s->ngot; i++)
		if (memcmp(s->got[i], id, 32) == 0)
			return 1;
	if (s->ngot == CHECK_GOT)
		return 0;
	if (s->got == NULL &&
	    (s->got = calloc(CHECK_GOT, sizeof(*s->got))) == NULL)
		check_need(ENOMEM);
	memcpy(s->got[s->ngot++], id, 32);
	return 0;
}

static void
judge_event(struct check_link *l, const struct check_msg *m)
{
	struct check *c = l->check;
	struct check_sub *s = check_sub_find(l, m->a.subid.p,
	    m->a.subid.len);

	c->checked[CHECK_NO_SUB]++;
	if (s == NULL)
		fault(l, CHECK_NO_SUB, NO_SUB, m);
	c->checked[CHECK_EVENT_INVALID]++;
	if (!m->is_event || nr_verify_event(c->verifier, &m->ev,
	    NR_TRUST_NOTHING) != NR_VALID) {
		fault(l, CHECK_EVENT_INVALID, nr_verdict_str(m->is_event ?
		    nr_verify_event(c->verifier, &m->ev, NR_TRUST_NOTHING) :
		    m->verdict), m);
		return;
	}
	c->checked[CHECK_AUTH_EVENT]++;
	if (m->ev.kind == NR_KIND_AUTH)
		fault(l, CHECK_AUTH_EVENT, "an event of kind 22242", m);
	if (s == NULL || !s->known)
		return;
	c->checked[CHECK_UNMATCHED]++;
	if (!asked_for(s, &m->ev))
		fault(l, CHECK_UNMATCHED, "an event that matches no "
		    "filter of its subscription", m);
	c->checked[CHECK_TWICE]++;
	if (!s->eose && is_repeated(s, m->ev.id))
		fault(l, CHECK_TWICE, "an event for the second time", m);
}

void
check_judge(struct check_link *l, struct check_msg *m)
{
	l->check->checked[CHECK_NONSENSE]++;
	if (m->why != NULL) {
		fault(l, CHECK_NONSENSE, m->why, m);
		return;
	}
	switch (m->a.verb) {
	case NR_ANSWER_OK:
		judge_ok(l, m);
		break;
	case NR_ANSWER_CLOSED:
		judge_closed(l, m);
		break;
	case NR_ANSWER_EOSE:
		judge_eose(l, m);
		break;
	case NR_ANSWER_EVENT:
		judge_event(l, m);
		break;
	case NR_ANSWER_OTHER:
		fault(l, CHECK_NONSENSE, "a message of an unknown type", m);
		break;
	default:
		break;
	}
}

/* ---- statements */

static void
never(struct check *c, const struct check_statement *s)
{
	if (c->checked[s->arg] == 0)
		check_skip(c, "no such message came");
	else if (c->fault[s->arg][0] != '\0')
		check_fail(c, "%s", c->fault[s->arg]);
	else
		check_saw(c, "%llu such messages, all of them right",
		    (unsigned long long)c->checked[s->arg]);
}

#define ROW(nip, id, text, what) \
	{ nip, id, text, CHECK_LAST, never, NULL, what }

const struct check_statement check_last_list[] = {
	ROW(1, "nip01-messages", "everything that the relay sends is a JSON "
	    "array that begins with a message type of the NIPs (EVENT, OK, "
	    "EOSE, CLOSED, NOTICE, AUTH, COUNT, NEG-MSG, NEG-ERR)",
	    CHECK_NONSENSE),
	ROW(1, "nip01-ok-form", "every OK has four elements, and the reason in "
	    "an OK false begins with a word and a colon", CHECK_OK_FORM),
	ROW(1, "nip01-ok-asked", "every OK names an event that was sent to the "
	    "relay",
	    CHECK_OK_UNASKED),
	ROW(1, "nip01-closed-form", "every CLOSED has three elements, and its "
	    "reason begins with a word and a colon", CHECK_CLOSED_FORM),
	ROW(1, "nip01-subscribed", "events and EOSE come only for "
	    "subscriptions that were opened on this connection", CHECK_NO_SUB),
	ROW(1, "nip01-eose-once", "EOSE comes once for a REQ, and not after "
	    "CLOSED", CHECK_EOSE_TWICE),
	ROW(1, "nip01-events-valid", "all events that the relay sends have a "
	    "correct id and signature", CHECK_EVENT_INVALID),
	ROW(1, "nip01-events-match", "all events that the relay sends match a "
	    "filter of their subscription", CHECK_UNMATCHED),
	ROW(1, "nip01-events-once", "no stored event is sent twice for the "
	    "same REQ",
	    CHECK_TWICE),
	ROW(42, "nip42-never-sent", "the relay never sends an event of kind "
	    "22242", CHECK_AUTH_EVENT),
	{ 0 }
};
