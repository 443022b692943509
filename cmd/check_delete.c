/*
 * nr-bench check: what goes away: deletions (NIP-09), what expires
 * (NIP-40), requests to vanish (NIP-62).
 */
#include "check.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "util/hex.h"
#include "util/times.h"

static int
is_there(struct check_link *l, const struct check_made *m)
{
	char filter[128];

	return check_finds(l, check_by_id(m, filter), 1, &m->ev);
}

static int
is_gone(struct check_link *l, const struct check_made *m)
{
	char filter[128];

	return check_finds(l, check_by_id(m, filter), 0);
}

static struct check_made *
note(struct check *c, unsigned key)
{
	return check_make(c, key, c->kind[0], c->began - 50, "",
	    "to be deleted");
}

/* A deletion by key, of an event. */
static struct check_made *
deletion(struct check *c, unsigned key, const struct check_made *of)
{
	char tags[128], hex[64];

	nr_hex_encode(hex, of->ev.id, 32);
	snprintf(tags, sizeof(tags), "[\"e\",\"%.64s\"]", hex);
	return check_make(c, key, NR_KIND_DELETION, c->began, tags, "");
}

/* ---- NIP-09 */

static void
by_event(struct check *c, const struct check_statement *s)
{
	struct check_link *l = check_link(c, 0);
	struct check_made *m = note(c, 0);

	(void)s;
	if (l != NULL && check_store(l, m) && is_there(l, m) &&
	    check_store(l, deletion(c, 0, m)))
		(void)is_gone(l, m);
}

static void
by_tag(struct check *c, const struct check_statement *s)
{
	struct check_link *l = check_link(c, 0);
	struct check_made *m = check_make(c, 0, c->kind[0], c->began - 50,
	    "[\"h\",\"@T-d\"]", "to be deleted");

	if (l != NULL && check_store(l, m) &&
	    check_finds(l, s->filters, 1, &m->ev) &&
	    check_store(l, deletion(c, 0, m)))
		(void)check_finds(l, s->filters, 0);
}

static void
published_again(struct check *c, const struct check_statement *s)
{
	struct check_link *l = check_link(c, 0);
	struct check_made *m = note(c, 0);

	(void)s;
	if (l != NULL && check_store(l, m) &&
	    check_store(l, deletion(c, 0, m)) && check_publish(l, m) != NULL)
		(void)is_gone(l, m);
}

static void
before_it(struct check *c, const struct check_statement *s)
{
	struct check_link *l = check_link(c, 0);
	struct check_made *m = note(c, 0);

	(void)s;
	if (l != NULL && check_store(l, deletion(c, 0, m)) &&
	    check_publish(l, m) != NULL)
		(void)is_gone(l, m);
}

static void
by_another(struct check *c, const struct check_statement *s)
{
	struct check_link *l = check_link(c, 0);
	struct check_made *m = note(c, 0);

	(void)s;
	if (l != NULL && check_store(l, m) &&
	    check_publish(l, deletion(c, 1, m)) != NULL)
		(void)is_there(l, m);
}

static void
of_deletion(struct check *c, const struct check_statement *s)
{
	struct check_link *l = check_link(c, 0);
	struct check_made *m = note(c, 0), *d = deletion(c, 0, m);

	(void)s;
	if (l != NULL && check_store(l, m) && check_store(l, d) &&
	    check_publish(l, deletion(c, 0, d)) != NULL && is_there(l, d) &&
	    check_publish(l, m) != NULL)
		(void)is_gone(l, m);
}

static void
request_kept(struct check *c, const struct check_statement *s)
{
	struct check_link *l = check_link(c, 0);
	struct check_made *m = note(c, 0), *d = deletion(c, 0, m);

	(void)s;
	if (l != NULL && check_store(l, m) && check_store(l, d))
		(void)is_there(l, d);
}

/* ---- by address; key 3's, of a kind of its own for each statement */

static struct check_made *
version(struct check *c, const struct check_statement *s, int64_t at)
{
	return check_make(c, 3, (unsigned)s->arg, at,
	    nr_kind_addressable((unsigned)s->arg) ? "[\"d\",\"x:y\"]" : "",
	    at < c->began - 50 ? "old" : "new");
}

static struct check_made *
address_deletion(struct check *c, const struct check_statement *s,
    unsigned key)
{
	char tags[64];

	snprintf(tags, sizeof(tags), "[\"a\",\"%d:@D:%s\"]", s->arg,
	    nr_kind_addressable((unsigned)s->arg) ? "x:y" : "");
	return check_make(c, key, NR_KIND_DELETION, c->began - 50, tags, "");
}

static void
by_address(struct check *c, const struct check_statement *s)
{
	struct check_link *l = check_link(c, 0);
	struct check_made *m = version(c, s, c->began - 60);

	if (l != NULL && check_store(l, m) && is_there(l, m) &&
	    check_store(l, address_deletion(c, s, 3)))
		(void)is_gone(l, m);
}

static void
newer_stays(struct check *c, const struct check_statement *s)
{
	struct check_link *l = check_link(c, 0);
	struct check_made *m = version(c, s, c->began - 40);

	if (l != NULL && check_store(l, m) &&
	    check_publish(l, address_deletion(c, s, 3)) != NULL)
		(void)is_there(l, m);
}

static void
others_stay(struct check *c, const struct check_statement *s)
{
	struct check_link *l = check_link(c, 0);
	struct check_made *m = version(c, s, c->began - 60);

	if (l != NULL && check_store(l, m) &&
	    check_publish(l, address_deletion(c, s, 2)) != NULL)
		(void)is_there(l, m);
}

/* ---- NIP-40 */

static struct check_made *
passing(struct check *c, unsigned kind, int64_t end)
{
	char tags[64];

	snprintf(tags, sizeof(tags), "[\"expiration\",\"%" PRId64 "\"]", end);
	return check_make(c, 2, kind, nr_kind_ephemeral(kind) ? time(NULL) :
	    c->began - 50, tags, "it passes");
}

static void
expired(struct check *c, const struct check_statement *s)
{
	struct check_link *l = check_link(c, 0);
	struct check_made *m = passing(c, c->kind[0], c->began - 10);

	(void)s;
	if (l != NULL && check_refused(l, m, ""))
		(void)is_gone(l, m);
}

static void
not_yet(struct check *c, const struct check_statement *s)
{
	struct check_link *l = check_link(c, 0);
	struct check_made *m = passing(c, c->kind[0], c->began + 600);

	(void)s;
	if (l != NULL && check_store(l, m))
		(void)is_there(l, m);
}

/* The relay's clock may not be ours: half a second more. */
static void
expires(struct check *c, const struct check_statement *s)
{
	struct check_link *l = check_link(c, 0);
	int64_t end = (int64_t)time(NULL) + 2, wait;
	struct check_made *m = passing(c, c->kind[0], end);

	(void)s;
	if (l == NULL || !check_store(l, m))
		return;
	while (l->open && c->signals.last == 0 &&
	    (wait = (end - (int64_t)time(NULL)) * 1000) >= 0)
		check_spin(c, nr_now_ms() + (wait < 100 ? 100 : wait));
	check_spin(c, nr_now_ms() + 500);
	check_extend(c);	/* we were late, not it */
	(void)is_gone(l, m);
}

static void
ephemeral(struct check *c, const struct check_statement *s)
{
	struct check_link *l = check_link(c, 1);
	struct check_made *m = passing(c, (unsigned)s->arg, c->began + 600);
	struct check_got g;

	if (l != NULL && check_query(l, NULL, s->filters, &g) &&
	    check_store(l, m) && check_await(l, CHECK_OF_LIVE, check_is_live,
	    m->ev.id) == NULL)
		(void)check_missed(l, "it did not come");
}

/* ---- NIP-62: by key 2, who has nothing to lose any more */

static struct check_made *
vanish(struct check *c, const char *relay)
{
	char tags[128];

	snprintf(tags, sizeof(tags), "[\"relay\",\"%s\"]", relay);
	return check_make(c, 2, NR_KIND_VANISH, c->began, tags, "");
}

static void
another_relay(struct check *c, const struct check_statement *s)
{
	struct check_link *l = check_link(c, 0);
	struct check_made *m = note(c, 2);

	if (l != NULL && check_store(l, m) &&
	    check_publish(l, vanish(c, s->filters)) != NULL)
		(void)is_there(l, m);
}

static void
vanishes(struct check *c, const struct check_statement *s)
{
	struct check_link *l = check_link(c, 0);
	struct check_made *m = note(c, 2), *d = deletion(c, 2, m),
	    *kept = check_make(c, 2, c->kind[1], c->began - 49, "", "other");

	(void)s;
	if (l != NULL && check_store(l, m) && check_store(l, kept) &&
	    check_store(l, d) && check_store(l, vanish(c, "ALL_RELAYS")) &&
	    is_gone(l, kept) && is_gone(l, d) &&
	    check_publish(l, kept) != NULL)
		(void)is_gone(l, kept);
}

static void
vanished(struct check *c, const struct check_statement *s)
{
	struct check_link *l = check_link(c, 0);
	struct check_made *m = check_make(c, 2, c->kind[0], c->began - 48,
	    "", "too late");

	(void)s;
	if (l != NULL && check_store(l, vanish(c, "ALL_RELAYS")) &&
	    check_publish(l, m) != NULL)
		(void)is_gone(l, m);
}

static void
comes_back(struct check *c, const struct check_statement *s)
{
	struct check_link *l = check_link(c, 0);
	struct check_made *m = check_make(c, 2, c->kind[0], c->began + 1,
	    "", "a new life");

	(void)s;
	if (l != NULL && check_store(l, m))
		(void)is_there(l, m);
}

#define D(nip, id, text, run, arg) \
	{ nip, id, text, CHECK_WRITE, run, NULL, arg }

const struct check_statement check_delete_list[] = {
	D(9, "nip09-event", "an event that its author deletes is gone",
	    by_event, 0),
	{ 9, "nip09-event-tag", "also where it was found by tag",
	    CHECK_WRITE, by_tag, "{\"#h\":[\"@T-d\"]}", 0 },
	D(9, "nip09-again", "it does not come back when it is published "
	    "again", published_again, 0),
	D(9, "nip09-before", "nor where the request came first", before_it,
	    0),
	D(9, "nip09-others", "an event of somebody else is not deleted",
	    by_another, 0),
	D(9, "nip09-kept", "the request is kept and served", request_kept,
	    0),
	D(9, "nip09-of-request", "a request to delete a request has no effect",
	    of_deletion, 0),
	D(9, "nip09-address", "addressable events are deleted by address",
	    by_address, 30179),
	D(9, "nip09-address-replaceable", "replaceable events are deleted by "
	    "address", by_address, 10179),
	D(9, "nip09-address-newer", "a version that is newer than the request "
	    "stays", newer_stays, 30180),
	D(9, "nip09-address-others", "an address of somebody else is not "
	    "deleted", others_stay, 30181),
	D(40, "nip40-expired", "what has expired is refused", expired, 0),
	D(40, "nip40-not-yet", "what has not expired is served", not_yet, 0),
	D(40, "nip40-expires", "what expires is not served any more",
	    expires, 0),
	{ 40, "nip40-ephemeral", "expiration does not keep ephemeral events "
	    "from coming", CHECK_WRITE, ephemeral,
	    "{\"kinds\":[21474],\"#t\":[\"@T\"]}", 21474 },
	{ 62, "nip62-another-relay", "a request to vanish from another relay "
	    "has no effect", CHECK_WRITE, another_relay,
	    "wss://another.relay.invalid", 0 },
	D(62, "nip62-vanish", "who vanishes from all relays has nothing left, "
	    "and it does not come back", vanishes, 0),
	D(62, "nip62-again", "older events of who has vanished are not "
	    "served", vanished, 0),
	D(62, "nip62-later", "who has vanished may publish anew", comes_back,
	    0),
	{ 0 }
};
