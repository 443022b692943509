/*
 * Events on their way to a relay.
 */
#include "sync/upload.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "event/event.h"
#include "event/tags.h"
#include "util/err.h"
#include "util/times.h"

#define BYTES_MAX	((size_t)4 << 20)	/* in flight */
#define TICK_MS		100

struct flight {
	struct flight	*next;
	unsigned char	 id[32];
	int		 sent;
	int64_t		 when;		/* it is due, unless it was sent: */
	int64_t		 since;		/* it is listened for its OK */
	unsigned	 tries;
	size_t		 len;
	char		 line[];
};

struct nr_upload {
	struct nr_peer			*peer;
	struct nr_upload_options	 o;
	struct nr_upload_calls		 calls;
	struct nr_upload_figures	*figures;
	struct nr_timer			*timer;
	struct flight			*head, *tail;
	unsigned			 n;
	size_t				 bytes;
	int				 hungry;	/* somebody waits for room */
	int64_t				 heard;		/* the last OK, of any */
};

/* ---- sending -------------------------------------------------------------------- */

/* Where the peer has no room it stays due. */
static void
send(struct nr_upload *u, struct flight *f)
{
	const struct nr_view part[] = {
		{ "[\"EVENT\",", 9 }, { f->line, f->len }, { "]", 1 }
	};

	if (nr_peer_send(u->peer, part, 3) != NR_OK)
		return;
	f->sent = 1;
	f->since = nr_peer_listened(u->peer);
	if (f->tries++ == 0) {
		u->figures->sent++;
		u->figures->bytes += f->len;
	}
}

int
nr_upload_add(struct nr_upload *u, const unsigned char id[32],
    struct nr_view line)
{
	struct flight *f;

	if (u->n > 0 && (u->n >= u->o.window ||
	    u->bytes + line.len > BYTES_MAX)) {
		u->hungry = 1;
		return EAGAIN;
	}
	if ((f = calloc(1, sizeof(*f) + line.len)) == NULL)
		return ENOMEM;
	memcpy(f->id, id, 32);
	memcpy(f->line, line.p, line.len);
	f->len = line.len;
	if (u->tail != NULL)
		u->tail->next = f;
	else
		u->head = f;
	u->tail = f;
	if (u->n++ == 0)
		nr_timer_set(u->timer, TICK_MS);
	u->bytes += line.len;
	send(u, f);
	return NR_OK;
}

/* Those that are due, while there is room. */
static void
send_due(struct nr_upload *u)
{
	int64_t now = nr_now_ms();
	struct flight *f;

	for (f = u->head; f != NULL; f = f->next)
		if (!f->sent && f->when <= now)
			send(u, f);
}

void
nr_upload_room(struct nr_upload *u)
{
	send_due(u);
}

void
nr_upload_proved(struct nr_upload *u, int accepted)
{
	struct flight *f;

	for (f = u->head; accepted && f != NULL; f = f->next)
		if (!f->sent)
			f->when = 0;
	send_due(u);
}

/* ---- answers ----------------------------------------------------------------------- */

/* Take it out of the list; *at points to it. */
static void
drop(struct nr_upload *u, struct flight **at)
{
	struct flight *f = *at, *p;

	*at = f->next;
	if (u->tail == f) {
		u->tail = NULL;
		for (p = u->head; p != NULL; p = p->next)
			u->tail = p;
	}
	u->n--;
	u->bytes -= f->len;
	free(f);
}

static void
tell_room(struct nr_upload *u)
{
	if (!u->hungry || u->n > u->o.window / 2)
		return;
	u->hungry = 0;
	u->calls.room(u->calls.ctx);
}

/* Try it again, so much later. */
static void
put_off(struct flight *f, int64_t ms)
{
	f->sent = 0;
	f->when = nr_now_ms() + ms;
}

/* Is it worth another try?  Then that is arranged. */
static int
again(struct nr_upload *u, struct flight *f, struct nr_view text)
{
	int64_t ms = (int64_t)500 << (f->tries < 6 ? f->tries : 6);
	int seconds = nr_answer_wait(text);

	if (f->tries >= u->o.tries || seconds > NR_ANSWER_WAIT_MAX)
		return 0;
	if (nr_answer_prefix(text, "auth-required")) {
		if (nr_peer_prove(u->peer) == 0)
			return 0;
		/* Its OK brings it forward. */
		put_off(f, 5000);
		return 1;
	}
	if (!nr_answer_prefix(text, "rate-limited") &&
	    !nr_answer_prefix(text, "error"))
		return 0;
	put_off(f, seconds >= 0 ? (int64_t)seconds * 1000 + 100 : ms);
	return 1;
}

/*
 * What rules have done away with is missing nowhere: the relay has its
 * deletion, or it has expired on the way.  strfry says "deleted:".
 */
static int
is_gone(const struct flight *f, struct nr_view text)
{
	struct nr_event ev;
	char shown[300];

	if (nr_answer_prefix(text, "deleted"))
		return 1;
	nr_answer_show(shown, sizeof(shown), text);
	if (nr_answer_prefix(text, "blocked") &&
	    strcasestr(shown, "deleted") != NULL)
		return 1;
	return nr_event_view(&ev, f->line, f->len) &&
	    nr_event_expiration(&ev) <= time(NULL);
}

/* strfry says "replaced:" of what it has a newer version of. */
static void
count(struct nr_upload *u, const struct flight *f, const struct nr_answer *a)
{
	char text[300];

	if (a->accepted || nr_answer_prefix(a->text, "duplicate") ||
	    nr_answer_prefix(a->text, "replaced"))
		u->figures->accepted++;
	else if (is_gone(f, a->text))
		u->figures->gone++;
	else {
		u->figures->refused++;
		nr_answer_show(text, sizeof(text), a->text);
		u->calls.refused(u->calls.ctx, a->id, text);
	}
}

int
nr_upload_answer(struct nr_upload *u, const struct nr_answer *a)
{
	struct flight **at;

	if (a->verb != NR_ANSWER_OK)
		return 0;
	for (at = &u->head; *at != NULL; at = &(*at)->next)
		if ((*at)->sent && memcmp((*at)->id, a->id, 32) == 0)
			break;
	if (*at == NULL)
		return 0;
	u->heard = nr_peer_listened(u->peer);
	if (!a->accepted && again(u, *at, a->text))
		return 1;
	count(u, *at, a);
	drop(u, at);
	tell_room(u);
	return 1;
}

/*
 * Who does not answer is asked once more, and then given up; but one that
 * answers others is only slow.
 */
static void
on_tick(void *ctx)
{
	struct nr_upload *u = ctx;
	struct flight **at = &u->head, *f;

	while ((f = *at) != NULL) {
		if (!f->sent || nr_peer_due(u->peer, f->since > u->heard ?
		    f->since : u->heard, u->o.answer_ms) > 0) {
			at = &f->next;
			continue;
		}
		if (f->tries < 2) {
			put_off(f, 0);
			at = &f->next;
			continue;
		}
		u->figures->unanswered++;
		u->calls.refused(u->calls.ctx, f->id, "no answer");
		drop(u, at);
	}
	send_due(u);
	if (u->n > 0)
		nr_timer_set(u->timer, TICK_MS);
	else
		u->hungry = 1;		/* that it is idle is news, too */
	tell_room(u);
}

void
nr_upload_lost(struct nr_upload *u)
{
	while (u->head != NULL)
		drop(u, &u->head);
	nr_timer_stop(u->timer);
}

int
nr_upload_idle(const struct nr_upload *u)
{
	return u->n == 0;
}

/* ---- beginning and end ---------------------------------------------------------------- */

void
nr_upload_free(struct nr_upload *u)
{
	if (u == NULL)
		return;
	if (u->timer != NULL)
		nr_upload_lost(u);
	nr_timer_free(u->timer);
	free(u);
}

int
nr_upload_new(struct nr_upload **out, struct nr_peer *p,
    const struct nr_upload_options *o, const struct nr_upload_calls *calls,
    struct nr_upload_figures *figures)
{
	struct nr_upload *u;
	int rc;

	if ((u = calloc(1, sizeof(*u))) == NULL)
		return ENOMEM;
	u->peer = p;
	u->o = *o;
	u->calls = *calls;
	u->figures = figures;
	if ((rc = nr_timer_new(&u->timer, nr_peer_net(p), on_tick, u)) != 0) {
		nr_upload_free(u);
		return rc;
	}
	*out = u;
	return NR_OK;
}
