/*
 * One reconciliation with a relay.
 */
#include "sync/reconcile.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "util/err.h"
#include "util/hex.h"

/*
 * Who answers may invent ids for ever, and each of them would be news.  But
 * where a round tells little, what it is about has been split as far as it
 * goes, and there are no more such parts than we have records.
 */
#define LITTLE		64	/* ids */
#define LITTLE_ROUNDS	1000	/* beside one for so many records: */
#define RECORDS		16
#define NEED_MAX	100000000	/* ids in one session */

struct nr_reconcile {
	struct nr_peer			*peer;
	struct nr_side			*side;
	struct nr_reconcile_options	 o;
	struct nr_reconcile_calls	 calls;
	struct nr_reconcile_figures	*figures;
	struct nr_neg			 neg;
	struct nr_timer			*timer;
	int64_t				 since;		/* an answer is due */
	char				 name[32];
	char				*filter;
	struct nr_buf			 message;	/* to be sent */
	int				 opened;	/* it has answered */
	int				 waiting;	/* for go_on() */
	unsigned			 idle;		/* rounds in a row */
	uint64_t			 little;	/* rounds, in all */
	uint64_t			 learned;	/* ids, in this one */
	uint64_t			 has, needs;	/* ids, in all */
	uint64_t			 most;		/* records on our side */
};

/* ---- ends -------------------------------------------------------------------- */

void
nr_reconcile_free(struct nr_reconcile *r)
{
	const struct nr_view part[] = {
		{ "[\"NEG-CLOSE\",\"", 14 }, { r != NULL ? r->name : "",
		r != NULL ? strlen(r->name) : 0 }, { "\"]", 2 }
	};

	if (r == NULL)
		return;
	if (r->opened && nr_peer_state(r->peer) == NR_PEER_OPEN)
		(void)nr_peer_send(r->peer, part, 3);
	nr_timer_free(r->timer);
	nr_neg_free(&r->neg);
	nr_buf_free(&r->message);
	free(r->filter);
	free(r);
}

static void
end(struct nr_reconcile *r, enum nr_reconcile_status status,
    const char *text, int64_t wait_ms, int rc)
{
	struct nr_reconcile_calls calls = r->calls;

	nr_reconcile_free(r);
	calls.end(calls.ctx, status, text, wait_ms, rc);
}

static void
fail(struct nr_reconcile *r, int rc)
{
	end(r, NR_REC_FAILED, nr_strerror(rc), 0, rc);
}

/* Silence, to begin with, is how some say that they do not know it. */
static void
on_timer(void *ctx)
{
	struct nr_reconcile *r = ctx;
	int64_t left = nr_peer_due(r->peer, r->since, r->o.first_ms);

	if (left > 0)
		nr_timer_set(r->timer, left);
	else if (r->opened)
		end(r, NR_REC_AGAIN, "the relay does not answer", 1000, 0);
	else
		end(r, NR_REC_UNSUPPORTED, "no answer to NEG-OPEN", 0, 0);
}

/* ---- messages ------------------------------------------------------------------ */

/* Returns what nr_peer_send() does. */
static int
send_hex(struct nr_reconcile *r, const char *verb)
{
	struct nr_buf b = { 0 };
	struct nr_view v;
	int rc;

	rc = nr_buf_addf(&b, "[\"%s\",\"%s\",%s%s\"", verb, r->name,
	    r->opened ? "" : r->filter, r->opened ? "" : ",");
	if (rc == NR_OK)
		rc = nr_buf_reserve(&b, 2 * r->message.len + 2);
	if (rc == NR_OK) {
		nr_hex_encode(b.p + b.len, (unsigned char *)r->message.p,
		    r->message.len);
		b.len += 2 * r->message.len;
		rc = nr_buf_adds(&b, "\"]");
	}
	v = (struct nr_view){ b.p, b.len };
	if (rc == NR_OK)
		rc = nr_peer_send(r->peer, &v, 1);
	nr_buf_free(&b);
	return rc;
}

static int
try_next(struct nr_reconcile *r)
{
	int rc = send_hex(r, r->opened ? "NEG-MSG" : "NEG-OPEN");

	/* Until there is room, or the connection's end tells the caller. */
	r->waiting = rc == EAGAIN;
	if (r->waiting)
		nr_timer_stop(r->timer);	/* it is not asked yet */
	if (rc == NR_OK) {
		r->figures->rounds++;
		r->figures->bytes_up += r->message.len;
		r->since = nr_peer_listened(r->peer);
		nr_timer_set(r->timer, r->o.first_ms);
	}
	return rc == EAGAIN || rc == ENOTCONN ? NR_OK : rc;
}

static void
send_next(struct nr_reconcile *r)
{
	int rc = try_next(r);

	if (rc != NR_OK)
		fail(r, rc);
}

void
nr_reconcile_go_on(struct nr_reconcile *r)
{
	if (r->waiting && !r->calls.busy(r->calls.ctx))
		send_next(r);
}

static int
have(void *arg, const struct nr_neg_item *item)
{
	struct nr_reconcile *r = arg;

	r->learned++;
	r->has++;
	return r->calls.have(r->calls.ctx, item);
}

static int
need(void *arg, const unsigned char id[32])
{
	struct nr_reconcile *r = arg;

	r->learned++;
	r->needs++;
	return r->calls.need(r->calls.ctx, id);
}

/* Take the message, and make the next one. */
static int
reconcile(struct nr_reconcile *r, const void *message, size_t len,
    int *done, const char **why)
{
	const struct nr_neg_diff diff = { have, need, r };
	int rc;

	if ((rc = nr_side_begin(r->side, &r->neg.set)) != NR_OK)
		return rc;
	if (r->neg.set->size > r->most)
		r->most = r->neg.set->size;
	r->message.len = 0;
	rc = message == NULL ? nr_neg_initiate(&r->neg, &r->message) :
	    nr_neg_reconcile(&r->neg, message, len, &r->message, &diff, done,
	    why);
	nr_side_end(r->side);
	return rc;
}

/* Can it still end?  Returns NULL, or what is wrong with it. */
static const char *
endless(struct nr_reconcile *r)
{
	r->idle = r->learned > 0 ? 0 : r->idle + 1;
	r->little += r->learned < LITTLE;
	if (r->idle > r->o.idle_rounds)
		return "rounds that tell nothing, without end";
	if (r->little > LITTLE_ROUNDS + r->most / RECORDS ||
	    r->needs > NEED_MAX)
		return "rounds without end";
	/* Ours may have come and gone meanwhile. */
	if (r->has > 2 * r->most + LITTLE_ROUNDS)
		return "the relay lacks more than there is";
	return NULL;
}

static void
on_message(struct nr_reconcile *r, struct nr_view hex)
{
	unsigned char *bytes;
	const char *why = NULL;
	int rc, done = 0;

	if (r->waiting || hex.len % 2 != 0 ||
	    (bytes = malloc(hex.len / 2 + 1)) == NULL) {
		end(r, NR_REC_BROKEN, "a message that was not asked for", 0,
		    0);
		return;
	}
	r->opened = 1;
	r->learned = 0;
	r->figures->bytes_down += hex.len / 2;
	rc = nr_hex_decode(bytes, hex.p, hex.len / 2) ? reconcile(r, bytes,
	    hex.len / 2, &done, &why) : NR_EINVAL;
	free(bytes);
	if (rc == NR_EINVAL)
		end(r, NR_REC_BROKEN, why != NULL ? why :
		    "a message that is no hexadecimal", 0, 0);
	else if (rc == NR_EVERSION)
		end(r, NR_REC_UNSUPPORTED, "another version of the protocol",
		    0, 0);
	else if (rc != NR_OK)
		fail(r, rc);
	else if (done)
		end(r, NR_REC_DONE, "", 0, 0);
	else if ((why = endless(r)) != NULL)
		end(r, NR_REC_BROKEN, why, 0, 0);
	else if (r->calls.busy(r->calls.ctx)) {
		r->waiting = 1;
		nr_timer_stop(r->timer);
	} else
		send_next(r);
}

/* ---- refusals -------------------------------------------------------------------- */

static int
mentions(const char *text, const char *const *words)
{
	for (; *words != NULL; words++)
		if (strcasestr(text, *words) != NULL)
			return 1;
	return 0;
}

static void
refused(struct nr_reconcile *r, const struct nr_answer *a)
{
	static const char *const big[] = {
		"too big", "too many", "too large", "too broad", "blocked",
		NULL
	}, *const unknown[] = {
		"unsupported", "unknown", "unrecog", "not support",
		"disabled", "not enabled", "bad msg", NULL
	}, *const late[] = {
		"closed", "too long to", "timed out", "timeout", NULL
	};
	char text[300];
	int seconds;

	nr_answer_show(text, sizeof(text), a->text);
	if (nr_answer_prefix(a->text, "auth-required"))
		end(r, NR_REC_AUTH, text, 0, 0);
	else if (nr_answer_prefix(a->text, "rate-limited")) {
		seconds = nr_answer_wait(a->text);
		end(r, seconds > NR_ANSWER_WAIT_MAX ? NR_REC_REFUSED :
		    NR_REC_AGAIN, text, seconds < 0 ? 10000 :
		    (int64_t)seconds * 1000, 0);
	} else if (nr_answer_prefix(a->text, "blocked") || a->has_max ||
	    (!r->opened && mentions(text, big)))
		end(r, NR_REC_TOO_BIG, text, 0, 0);
	else if (r->opened && mentions(text, late))
		end(r, NR_REC_AGAIN, text, 1000, 0);
	else if (!r->opened && mentions(text, unknown))
		end(r, NR_REC_UNSUPPORTED, text, 0, 0);
	else
		end(r, NR_REC_REFUSED, text, 0, 0);
}

/*
 * A NOTICE has no id: before the first answer, one that seems to be about
 * what we sent says that it is not understood.
 */
static int
noticed(struct nr_reconcile *r, const struct nr_answer *a)
{
	static const char *const about[] = {
		"neg-", "negentropy", "unknown", "unrecog", "unsupported",
		"not support", "invalid", "bad msg", "bad message",
		"could not parse", "cannot parse", "failed to parse",
		"command", "verb", NULL
	};
	char text[300];

	nr_answer_show(text, sizeof(text), a->text);
	if (r->opened || !mentions(text, about))
		return 0;
	end(r, NR_REC_UNSUPPORTED, text, 0, 0);
	return 1;
}

int
nr_reconcile_answer(struct nr_reconcile *r, const struct nr_answer *a)
{
	if (a->verb == NR_ANSWER_NOTICE)
		return noticed(r, a);
	if ((a->verb != NR_ANSWER_NEG_MSG && a->verb != NR_ANSWER_NEG_ERR &&
	    a->verb != NR_ANSWER_CLOSED) || !nr_answer_is(a, r->name))
		return 0;
	if (a->verb == NR_ANSWER_NEG_MSG)
		on_message(r, a->text);
	else
		refused(r, a);
	return 1;
}

/* ---- beginning --------------------------------------------------------------------- */

int
nr_reconcile_new(struct nr_reconcile **out, struct nr_peer *p,
    struct nr_side *side, const char *filter, const char *name,
    const struct nr_reconcile_options *o,
    const struct nr_reconcile_calls *calls,
    struct nr_reconcile_figures *figures)
{
	struct nr_reconcile *r;
	int rc;

	if ((r = calloc(1, sizeof(*r))) == NULL)
		return ENOMEM;
	r->peer = p;
	r->side = side;
	r->o = *o;
	r->calls = *calls;
	r->figures = figures;
	(void)strncpy(r->name, name, sizeof(r->name) - 1);
	if ((r->filter = strdup(filter)) == NULL)
		rc = ENOMEM;
	else if ((rc = nr_timer_new(&r->timer, nr_peer_net(p), on_timer,
	    r)) == NR_OK)
		/* The set comes with each message. */
		rc = nr_neg_init(&r->neg, NULL, o->frame_limit);
	if (rc == NR_OK)
		rc = reconcile(r, NULL, 0, NULL, NULL);
	if (rc == NR_OK)
		rc = try_next(r);
	if (rc != NR_OK) {
		nr_reconcile_free(r);
		return rc;
	}
	*out = r;
	return NR_OK;
}
