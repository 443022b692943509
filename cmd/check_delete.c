/*
 * nr-bench check: what goes away: deletions (NIP-09), what expires
 * (NIP-40), requests to vanish (NIP-62).
 */
#include "check.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "event/tags.h"
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
deletion_at(struct check *c, unsigned key, const struct check_made *of,
    int64_t at)
{
	char tags[128], hex[64];

	nr_hex_encode(hex, of->ev.id, 32);
	snprintf(tags, sizeof(tags), "[\"e\",\"%.64s\"]", hex);
	return check_make(c, key, NR_KIND_DELETION, at, tags, "");
}

static struct check_made *
deletion(struct check *c, unsigned key, const struct check_made *of)
{
	return deletion_at(c, key, of, c->began);
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

/* An address deletion of another kind, or of another d. */
static void
other_address(struct check *c, const struct check_statement *s)
{
	struct check_link *l = check_link(c, 0);
	struct check_made *m = version(c, s, c->began - 60);
	char tags[64];

	snprintf(tags, sizeof(tags), "[\"a\",\"%s\"]", s->filters);
	if (l != NULL && check_store(l, m) && check_publish(l, check_make(c,
	    3, NR_KIND_DELETION, c->began - 50, tags, "")) != NULL)
		(void)is_there(l, m);
}

/* Of the same second as the request, which is up to and including it. */
static void
same_second(struct check *c, const struct check_statement *s)
{
	struct check_link *l = check_link(c, 0);
	struct check_made *m = version(c, s, c->began - 50);

	if (l != NULL && check_store(l, m) &&
	    check_store(l, address_deletion(c, s, 3)))
		(void)is_gone(l, m);
}

/* After the request: what is older stays away, what is newer comes. */
static void
after_request(struct check *c, const struct check_statement *s)
{
	struct check_link *l = check_link(c, 0);
	struct check_made *old = version(c, s, c->began - 60),
	    *new = version(c, s, c->began - 40);

	if (l == NULL || !check_store(l, address_deletion(c, s, 3)) ||
	    check_publish(l, old) == NULL || !is_gone(l, old))
		return;
	if (check_store(l, new))
		(void)is_there(l, new);
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

/* What has expired meanwhile, if anything was accepted before. */
static const struct check_made *
find_expired(struct check *c)
{
	const struct check_made *m;
	size_t i;

	for (i = c->nmade; i-- > 0; ) {
		m = c->made[i];
		if (m->accepted && nr_event_expiration(&m->ev) < time(NULL))
			return m;
	}
	return NULL;
}

enum { COUNTED, SYNCED };

static void
expired_elsewhere(struct check *c, const struct check_statement *s)
{
	struct check_link *l = check_link(c, 0);
	const struct check_made *m = find_expired(c);
	unsigned nip = s->arg == COUNTED ? 45 : 77;
	char filter[128];
	size_t n;

	if (l == NULL || m == NULL || !c->named[nip]) {
		if (l != NULL)
			(void)check_skip(c, m == NULL ? "nothing has expired" :
			    "NIP-11 does not name %u", nip);
		return;
	}
	if (s->arg == COUNTED) {
		(void)check_counts(l, check_by_id(m, filter), 0);
		return;
	}
	check_expect(c, "0 events");
	if (check_sync_count(l, check_by_id(m, filter), &n) && n > 0)
		(void)check_fail(c, "%zu event%s", n, n == 1 ? "" : "s");
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
		(void)check_missed(l, "the event did not come");
}

/* ---- NIP-62: by key 2, who has nothing to lose any more */

/* A relay need not take one that is no newer than the last. */
static struct check_made *
vanish(struct check *c, const char *relay, int after)
{
	char tags[128];

	snprintf(tags, sizeof(tags), "[\"relay\",\"%s\"]", relay);
	return check_make(c, 2, NR_KIND_VANISH, c->began + after, tags, "");
}

static void
another_relay(struct check *c, const struct check_statement *s)
{
	struct check_link *l = check_link(c, 0);
	struct check_made *m = note(c, 2);

	if (l != NULL && check_store(l, m) &&
	    check_publish(l, vanish(c, s->filters, 0)) != NULL)
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
	    check_store(l, d) && check_store(l, vanish(c, "ALL_RELAYS", 0)) &&
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
	if (l != NULL && check_store(l, vanish(c, "ALL_RELAYS", 1)) &&
	    check_publish(l, m) != NULL)
		(void)is_gone(l, m);
}

/* A request to delete the request to vanish changes nothing. */
static void
not_undone(struct check *c, const struct check_statement *s)
{
	struct check_link *l = check_link(c, 0);
	struct check_made *v = vanish(c, "ALL_RELAYS", 2),
	    *d = deletion_at(c, 2, v, c->began + 3), *m = check_make(c, 2,
	    c->kind[0], c->began - 47, "", "too late");

	(void)s;
	if (l != NULL && check_store(l, v) &&
	    check_publish(l, d) != NULL && check_publish(l, m) != NULL)
		(void)is_gone(l, m);
}

/* Gift wraps for who vanishes go, too; read as their recipient. */
static void
wraps_vanish(struct check *c, const struct check_statement *s)
{
	struct check_link *l = check_fresh(c);
	struct check_made *m = check_make(c, 1, NR_KIND_GIFT_WRAP,
	    c->began + 4, "[\"p\",\"@C\"]", "for who vanishes");

	(void)s;
	if (l == NULL || (c->named[42] && !check_prove(l, 2)))
		return;
	if (check_store(l, m) && is_there(l, m) &&
	    check_store(l, vanish(c, "ALL_RELAYS", 5)) && is_gone(l, m) &&
	    check_publish(l, m) != NULL)
		(void)is_gone(l, m);
}

static void
comes_back(struct check *c, const struct check_statement *s)
{
	struct check_link *l = check_link(c, 0);
	struct check_made *m = check_make(c, 2, c->kind[0], c->began + 6,
	    "", "a new life");

	(void)s;
	if (l != NULL && check_store(l, m))
		(void)is_there(l, m);
}

#define D(nip, id, text, run, arg) \
	{ nip, id, text, CHECK_WRITE, run, NULL, arg }

const struct check_statement check_delete_list[] = {
	D(9, "nip09-event", "an event is gone after its author has deleted it "
	    "(kind 5)",
	    by_event, 0),
	{ 9, "nip09-event-tag", "a deleted event is not found by its tags "
	    "either",
	    CHECK_WRITE, by_tag, "{\"#h\":[\"@T-d\"]}", 0 },
	D(9, "nip09-again", "a deleted event does not come back when it is "
	    "published again", published_again, 0),
	D(9, "nip09-before", "an event whose deletion came first is not served",
	    before_it,
	    0),
	D(9, "nip09-others", "a deletion by somebody else has no effect",
	    by_another, 0),
	D(9, "nip09-kept", "the deletion (kind 5) itself is stored and served",
	    request_kept,
	    0),
	D(9, "nip09-of-request", "a deletion of a deletion has no effect",
	    of_deletion, 0),
	D(9, "nip09-address", "a deletion by address deletes an addressable "
	    "event",
	    by_address, 30179),
	D(9, "nip09-address-replaceable", "a deletion by address deletes a "
	    "replaceable event", by_address, 10179),
	D(9, "nip09-address-newer", "a deletion by address leaves a version "
	    "that is newer than the deletion", newer_stays, 30180),
	D(9, "nip09-address-others", "a deletion by address does not delete "
	    "another author's event", others_stay, 30181),
	{ 9, "nip09-address-kind", "a deletion by address does not delete an "
	    "event of another kind",
	    CHECK_WRITE, other_address, "30183:@D:x:y", 30182 },
	{ 9, "nip09-address-d", "a deletion by address does not delete an "
	    "event with another d tag",
	    CHECK_WRITE, other_address, "30184:@D:x", 30184 },
	D(9, "nip09-address-second", "a deletion by address deletes a version "
	    "of the deletion's own second", same_second, 30185),
	D(9, "nip09-address-after", "after a deletion by address older "
	    "versions are not served, newer ones are", after_request, 30186),
	D(40, "nip40-expired", "an event that has expired already is refused",
	    expired, 0),
	D(40, "nip40-not-yet", "an event that has not yet expired is served",
	    not_yet, 0),
	D(40, "nip40-expires", "an event is not served any more once it has "
	    "expired",
	    expires, 0),
	D(40, "nip40-count", "COUNT does not count an event that has expired",
	    expired_elsewhere, COUNTED),
	D(40, "nip40-sync", "negentropy does not offer an event that has "
	    "expired",
	    expired_elsewhere, SYNCED),
	{ 40, "nip40-ephemeral", "an open subscription gets an ephemeral event "
	    "that has an expiration", CHECK_WRITE, ephemeral,
	    "{\"kinds\":[21474],\"#t\":[\"@T\"]}", 21474 },
	{ 62, "nip62-another-relay", "a request to vanish from another relay "
	    "has no effect", CHECK_WRITE, another_relay,
	    "wss://another.relay.invalid", 0 },
	D(62, "nip62-vanish", "a request to vanish from ALL_RELAYS deletes all "
	    "of the key, for good", vanishes, 0),
	D(62, "nip62-again", "older events of a key that has vanished are not "
	    "served", vanished, 0),
	D(62, "nip62-deletion", "deleting a request to vanish (kind 5) has no "
	    "effect", not_undone, 0),
	D(62, "nip62-wraps", "gift wraps for a key that has vanished are gone, "
	    "for good", wraps_vanish, 0),
	D(62, "nip62-later", "a key that has vanished may publish newer events",
	    comes_back,
	    0),
	{ 0 }
};
