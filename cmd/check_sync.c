/*
 * nr-bench check: reconciliation (NIP-77).
 */
#include "check.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "negentropy/negentropy.h"
#include "util/err.h"
#include "util/hex.h"

#define ROUNDS	16		/* more than a set of a few takes */
#define DIFF	16

/* What a reconciliation found. */
struct found {
	unsigned char	have[DIFF][32], need[DIFF][32];
	size_t		nhave, nneed;
};

static int
on_have(void *arg, const struct nr_neg_item *item)
{
	struct found *f = arg;

	if (f->nhave < DIFF)
		memcpy(f->have[f->nhave], item->id, 32);
	f->nhave++;
	return 0;
}

static int
on_need(void *arg, const unsigned char id[32])
{
	struct found *f = arg;

	if (f->nneed < DIFF)
		memcpy(f->need[f->nneed], id, 32);
	f->nneed++;
	return 0;
}

static int
is_neg(const struct check_msg *m, const void *id)
{
	return m->why == NULL && (m->a.verb == NR_ANSWER_NEG_MSG ||
	    m->a.verb == NR_ANSWER_NEG_ERR ||
	    m->a.verb == NR_ANSWER_CLOSED) && nr_answer_is(&m->a, id);
}

/* A message for this id; NULL: none came, or a refusal: said so. */
static const struct check_msg *
next(struct check_link *l, const char *id)
{
	const struct check_msg *m = check_await(l, CHECK_OF_NEG, is_neg, id);
	char shown[CHECK_TEXT];

	if (m == NULL)
		(void)check_missed(l, "no NEG-MSG");
	else if (m->a.verb == NR_ANSWER_NEG_MSG)
		return m;
	else if (!check_is_policy(l->check, m))
		(void)check_fail(l->check, "%s", check_show(m, shown));
	return NULL;
}

static int
send_hex(struct check_link *l, const char *head, const struct nr_buf *b)
{
	char *hex = malloc(2 * b->len + 1);
	int rc;

	if (hex == NULL)
		check_need(ENOMEM);
	nr_hex_encode(hex, (const unsigned char *)b->p, b->len);
	hex[2 * b->len] = '\0';
	rc = check_sayf(l, "%s\"%s\"]", head, hex);
	free(hex);
	return rc;
}

/* Take a message; *done where nothing more is to be asked. */
static int
take(struct check_link *l, struct nr_neg *n, const struct check_msg *m,
    struct nr_buf *out, struct found *f, int *done)
{
	struct nr_neg_diff diff = { on_have, on_need, f };
	unsigned char *bytes = malloc(m->a.text.len / 2 + 1);
	const char *why = NULL;
	char shown[CHECK_TEXT];
	int rc = NR_EINVAL;

	if (bytes != NULL && m->a.text.len % 2 == 0 &&
	    nr_hex_decode(bytes, m->a.text.p, m->a.text.len / 2))
		rc = nr_neg_reconcile(n, bytes, m->a.text.len / 2, out,
		    &diff, done, &why);
	free(bytes);
	return rc == NR_OK || check_fail(l->check, "%s: %s",
	    why != NULL ? why : "malformed", check_show(m, shown));
}

static int
converse(struct check_link *l, const char *id, const char *filters,
    struct nr_neg *n, struct found *f)
{
	struct nr_buf b = { 0 }, text = { 0 };
	const struct check_msg *m;
	char head[64 + CHECK_SUBID];
	int done = 0, round, rc;

	/* Which proves who we are, where that is wanted. */
	if (!check_fence(l))
		return 0;
	(void)check_subscribe(l, id, NULL);
	check_need(nr_neg_initiate(n, &b));
	check_need(nr_buf_addf(&text, "[\"NEG-OPEN\",\"%s\",", id));
	(void)check_fill(l->check, &text, filters);
	check_need(nr_buf_add(&text, ",", 2));
	rc = send_hex(l, text.p, &b);
	snprintf(head, sizeof(head), "[\"NEG-MSG\",\"%s\",", id);
	for (round = 0; rc && !done && round < ROUNDS; round++) {
		b.len = 0;
		rc = (m = next(l, id)) != NULL &&
		    take(l, n, m, &b, f, &done) &&
		    (done || send_hex(l, head, &b));
	}
	if (rc && !done)
		rc = check_fail(l->check, "no end after %d rounds", ROUNDS);
	nr_buf_free(&b);
	nr_buf_free(&text);
	return rc && check_sayf(l, "[\"NEG-CLOSE\",\"%s\"]", id);
}

/* A set of some of what the relay must have, and one that nobody has. */
static void
fill_set(struct check *c, const char *filters, int arg,
    struct nr_neg_array *set, size_t *lacking)
{
	static const unsigned char phantom[32] = { 0xfe, 1 };
	const struct nr_event *have[CHECK_HAY];
	struct nr_buf b = { 0 };
	int i, n = check_answer(c, check_fill(c, &b, filters), have);

	nr_buf_free(&b);
	*lacking = 0;
	for (i = 0; i < n; i++)
		if (arg > 0 && i % arg == 0)
			++*lacking;
		else
			check_need(nr_neg_array_add(set,
			    (uint64_t)have[i]->created_at, have[i]->id));
	if (arg > 0)
		check_need(nr_neg_array_add(set, n > 0 ?
		    (uint64_t)have[0]->created_at : 1, phantom));
	check_need(nr_neg_array_seal(set));
}

/* arg: every so many of ours are lacking; 0: the sets are the same. */
static void
exact(struct check *c, const struct check_statement *s)
{
	struct check_link *l = check_link(c, 0);
	struct nr_neg_array set = { 0 };
	struct found f = { .nhave = 0 };
	struct nr_neg n;
	char id[CHECK_SUBID];
	size_t lacking;

	if (l == NULL)
		return;
	fill_set(c, s->filters, s->arg, &set, &lacking);
	check_need(nr_neg_init(&n, &set.set, 0));
	snprintf(id, sizeof(id), "neg%u", ++c->subs);
	check_expect(c, "%d only here, %zu only at the relay", s->arg > 0,
	    lacking);
	if (converse(l, id, s->filters, &n, &f)) {
		check_saw(c, "%zu only here, %zu only at the relay", f.nhave,
		    f.nneed);
		if (f.nhave != (size_t)(s->arg > 0) || f.nneed != lacking)
			(void)check_fail(c, "%zu only here, %zu only "
			    "at the relay", f.nhave, f.nneed);
	}
	nr_neg_free(&n);
	nr_neg_array_free(&set);
}

/* What the relay has for who has nothing. */
static int
theirs(struct check_link *l, const char *filters, struct found *f)
{
	struct nr_neg_array set = { 0 };
	struct nr_neg n;
	char id[CHECK_SUBID];
	int rc;

	*f = (struct found){ .nhave = 0 };
	check_need(nr_neg_array_seal(&set));
	check_need(nr_neg_init(&n, &set.set, 0));
	snprintf(id, sizeof(id), "neg%u", ++l->check->subs);
	rc = converse(l, id, filters, &n, f);
	nr_neg_free(&n);
	nr_neg_array_free(&set);
	return rc;
}

int
check_sync_count(struct check_link *l, const char *filters, size_t *n)
{
	struct found f;
	int rc = theirs(l, filters, &f);

	*n = f.nneed;
	return rc;
}

/* Of what is never kept nothing is in a set. */
static void
passing(struct check *c, const struct check_statement *s)
{
	struct check_link *l = check_link(c, 0);
	size_t n;

	if (l == NULL || check_publish(l, check_make(c, 0, 21477,
	    time(NULL), "", "passing")) == NULL)
		return;
	check_expect(c, "0 events");
	if (check_sync_count(l, s->filters, &n) && n > 0)
		(void)check_fail(c, "%zu event%s", n, n == 1 ? "" : "s");
}

/* What was deleted or has been replaced is in no set. */
static void
replaced(struct check *c, const struct check_statement *s)
{
	struct check_link *l = check_link(c, 0);
	struct check_made *old, *new;
	struct found f;

	old = check_make(c, 3, 10181, c->began - 100, "", "old");
	new = check_make(c, 3, 10181, c->began - 99, "", "new");
	if (l == NULL || !check_store(l, old) || !check_store(l, new))
		return;
	check_expect(c, "1 event, the newest");
	if (theirs(l, s->filters, &f) && (f.nneed != 1 ||
	    memcmp(f.need[0], new->ev.id, 32) != 0))
		(void)check_fail(c, "%zu events", f.nneed);
}

/* Whom a gift wrap is not for does not learn that it is there. */
static void
hidden(struct check *c, const struct check_statement *s)
{
	struct check_link *l = check_link(c, 0);
	struct check_made *m;
	size_t n;

	if (!c->named[77] || !c->named[42]) {
		(void)check_skip(c, "NIP-11 does not name 42 and 77");
		return;
	}
	m = check_make(c, 1, NR_KIND_GIFT_WRAP, time(NULL),
	    "[\"p\",\"@D\"],[\"h\",\"@T-n\"]", "nobody's business");
	if (l == NULL || !check_store(l, m) ||
	    (l = check_fresh(c)) == NULL || !check_prove(l, 0))
		return;
	check_expect(c, "an empty set, or NEG-ERR");
	if (check_sync_count(l, s->filters, &n) && n > 0)
		(void)check_fail(c, "%zu event%s", n, n == 1 ? "" : "s");
}

/* A message, and what must come for it. */
static const struct check_msg *
answer_to(struct check_link *l, const char *id, const char *text)
{
	const struct check_msg *m;
	struct nr_buf b = { 0 };

	if (!check_fence(l))
		return NULL;
	(void)check_subscribe(l, id, NULL);
	(void)check_fill(l->check, &b, text);
	m = check_say(l, b.p, b.len) ? check_await(l, CHECK_OF_NEG, is_neg,
	    id) : NULL;
	nr_buf_free(&b);
	if (m == NULL)
		(void)check_missed(l, "no answer");
	return m;
}

static void
refused(struct check *c, const struct check_statement *s)
{
	struct check_link *l = check_link(c, 1);
	const struct check_msg *m;
	char shown[CHECK_TEXT];

	check_expect(c, "NEG-ERR");
	if (l == NULL || (m = answer_to(l, "wrong", s->filters)) == NULL)
		return;
	check_saw(c, "%s", check_show(m, shown));
	if (m->a.verb != NR_ANSWER_NEG_ERR)
		(void)check_fail(c, "%s", shown);
	else if (memchr(m->a.text.p, ':', m->a.text.len) == NULL) {
		check_expect(c, "NEG-ERR with a word and a colon");
		(void)check_fail(c, "%s", shown);
	}
}

/* Another version of the protocol is answered by our own: one byte. */
static void
version(struct check *c, const struct check_statement *s)
{
	struct check_link *l = check_link(c, 1);
	const struct check_msg *m;
	char shown[CHECK_TEXT];

	check_expect(c, "NEG-MSG \"61\"");
	if (l == NULL || (m = answer_to(l, "version", s->filters)) == NULL)
		return;
	check_saw(c, "%s", check_show(m, shown));
	if ((m->a.verb != NR_ANSWER_NEG_MSG ||
	    !nr_view_is(m->a.text, "61")) && !check_is_policy(c, m))
		(void)check_fail(c, "%s", shown);
}

#define OPEN_ALL "{\"ids\":[\"@i0\"]},\"6100000200\"]"

/* A second NEG-OPEN closes the first, and is answered. */
static void
reopened(struct check *c, const struct check_statement *s)
{
	struct check_link *l = check_link(c, 1);
	const struct check_msg *m;
	char shown[CHECK_TEXT];
	int i;

	check_expect(c, "NEG-MSG for either");
	for (i = 0; l != NULL && i < 2; i++) {
		if ((m = answer_to(l, "twice", s->filters)) == NULL)
			return;
		if (m->a.verb != NR_ANSWER_NEG_MSG) {
			if (!check_is_policy(c, m))
				(void)check_fail(c, "%s",
				    check_show(m, shown));
			return;
		}
	}
	if (l != NULL)
		(void)check_sayf(l, "[\"NEG-CLOSE\",\"twice\"]");
}

static void
own_names(struct check *c, const struct check_statement *s)
{
	struct check_link *l = check_link(c, 1);
	const struct check_msg *m;
	struct check_got g;
	char shown[CHECK_TEXT];

	check_expect(c, "NEG-MSG and EOSE");
	if (l == NULL || !check_query(l, "name", "{\"ids\":[\"@x\"]}", &g))
		return;
	if ((m = answer_to(l, "name", s->filters)) == NULL)
		return;
	if (m->a.verb != NR_ANSWER_NEG_MSG) {
		if (!check_is_policy(c, m))
			(void)check_fail(c, "%s", check_show(m, shown));
	} else if (check_sayf(l, "[\"NEG-CLOSE\",\"name\"]") &&
	    check_query(l, "name", "{\"ids\":[\"@i1\"]}", &g))
		(void)check_same(c, &c->hay[1], 1, &g, 1);
}

static void
close_silent(struct check *c, const struct check_statement *s)
{
	struct check_link *l = check_link(c, 1);
	const struct check_msg *m;
	char shown[CHECK_TEXT];

	check_expect(c, "no answer to NEG-CLOSE");
	if (l == NULL || (m = answer_to(l, "closed", s->filters)) == NULL ||
	    !check_sayf(l, "[\"NEG-CLOSE\",\"closed\"]") || !check_fence(l))
		return;
	if ((m = check_wait(l, is_neg, "closed", 1)) != NULL)
		(void)check_fail(c, "%s", check_show(m, shown));
}

#define N(id, text, flags, run, filters, arg) \
	{ 77, id, text, flags, run, filters, arg }
#define MADE	(CHECK_WRITE | CHECK_HAYSTACK)

const struct check_statement check_sync_list[] = {
	N("nip77-same", "negentropy finds no difference between equal sets",
	    CHECK_HAYSTACK,
	    exact, "{\"ids\":[\"@i0\",\"@i1\",\"@i2\",\"@i3\"]}", 0),
	N("nip77-ids", "negentropy finds what each side lacks, for a filter by "
	    "id", CHECK_HAYSTACK, exact,
	    "{\"ids\":[\"@i0\",\"@i1\",\"@i2\",\"@i3\"]}", 2),
	N("nip77-tag", "negentropy finds what each side lacks, for a filter by "
	    "tag", MADE, exact,
	    "{\"#t\":[\"@T\"],\"#g\":[\"one\",\"two\",\"three\"]}", 2),
	N("nip77-time", "negentropy finds what each side lacks between since "
	    "and until, both inclusive", MADE, exact,
	    "{\"#t\":[\"@T\"],\"since\":@t1,\"until\":@t5}", 3),
	N("nip77-nothing", "negentropy finds all events for a client that has "
	    "none",
	    MADE, exact, "{\"authors\":[\"@A\"],\"#t\":[\"@T\"],\"kinds\":"
	    "[@1,@2],\"until\":@tb}", 1),
	N("nip77-replaced", "negentropy does not offer versions that were "
	    "replaced", CHECK_WRITE,
	    replaced, "{\"authors\":[\"@D\"],\"kinds\":[10181]}", 0),
	N("nip77-ephemeral", "negentropy does not offer ephemeral events",
	    CHECK_WRITE,
	    passing, "{\"authors\":[\"@A\"],\"kinds\":[21477]}", 0),
	{ 59, "nip59-sync", "negentropy does not offer gift wraps to anybody "
	    "but their recipient", CHECK_WRITE,
	    hidden, "{\"kinds\":[1059],\"#h\":[\"@T-n\"]}", 0 },
	N("nip77-malformed", "a NEG-OPEN with a broken message is answered by "
	    "NEG-ERR",
	    0, refused, "[\"NEG-OPEN\",\"wrong\",{\"ids\":[\"@x\"]},"
	    "\"61ff\"]", 0),
	N("nip77-filter", "a NEG-OPEN with a broken filter is answered by "
	    "NEG-ERR", 0,
	    refused, "[\"NEG-OPEN\",\"wrong\",{\"kinds\":\"x\"},"
	    "\"6100000200\"]", 0),
	N("nip77-unknown", "a NEG-MSG for a session that is not open is "
	    "answered by NEG-ERR", 0,
	    refused, "[\"NEG-MSG\",\"wrong\",\"6100000200\"]", 0),
	N("nip77-version", "a NEG-OPEN of an unknown protocol version is "
	    "answered by version 0x61", 0,
	    version, "[\"NEG-OPEN\",\"version\",{\"ids\":[\"@x\"]},"
	    "\"6200\"]", 0),
	N("nip77-reopened", "a second NEG-OPEN with the same id replaces the "
	    "first",
	    CHECK_HAYSTACK, reopened, "[\"NEG-OPEN\",\"twice\"," OPEN_ALL,
	    0),
	N("nip77-names", "a REQ and a NEG-OPEN may use the same id",
	    CHECK_HAYSTACK, own_names, "[\"NEG-OPEN\",\"name\"," OPEN_ALL,
	    0),
	N("nip77-close", "a NEG-CLOSE gets no answer", CHECK_HAYSTACK,
	    close_silent, "[\"NEG-OPEN\",\"closed\"," OPEN_ALL, 0),
	{ 0 }
};
