/*
 * The table of a policy's state.
 *
 * An entry is two words: the hash of its key and a value, of which two
 * bits are its kind.  Both are relaxed atomics.  A value of 0 says nothing
 * and is free.  To take an entry over, its value becomes 0, then its hash
 * the new one, then it gets its value; who loses one of these steps to
 * another thread looks again.  So a process that is killed in the middle
 * leaves a free entry, and what a torn file holds is at worst wrong.
 *
 * A thread that read a hash just before it changed may put its value into
 * the entry of the new key.  That costs a token or a text once.
 */
#include "policy/state.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "policy/statefile.h"
#include "util/err.h"
#include "util/siphash.h"

#define WAYS		8
#define ATTEMPTS	64	/* until others have won too often */

#define KIND_SHIFT	62
#define BODY(v)		((v) & ((UINT64_C(1) << KIND_SHIFT) - 1))

#define SECOND		INT64_C(1000000000)
#define DAY		INT64_C(86400)
#define HORIZON		(400 * DAY)	/* seconds */

enum kind { FREE, BUCKET, AUTHOR, TEXT, KINDS };

/* Of a set's ways: what the other kinds cannot take away. */
static const unsigned share[KINDS] = {
	[BUCKET] = 3, [AUTHOR] = 2, [TEXT] = 3
};

struct entry {
	_Atomic uint64_t	hash;
	_Atomic uint64_t	value;
};

struct set {
	struct entry		way[WAYS];
};

_Static_assert(sizeof(struct set) == 128, "sets are lines of the cache");

struct nr_state {
	struct nr_statefile	 file;
	struct set		*set;
	uint64_t		 nsets;
};

#define GET(x)		atomic_load_explicit(&(x), memory_order_relaxed)

static int
swap(_Atomic uint64_t *x, uint64_t *from, uint64_t to)
{
	return atomic_compare_exchange_strong_explicit(x, from, to,
	    memory_order_relaxed, memory_order_relaxed);
}

int
nr_state_open(struct nr_state **out, const char *path, size_t bytes,
    int private, int *fresh)
{
	struct nr_state *s;
	int made, rc;

	if (bytes < NR_STATE_MIN || bytes > NR_STATE_MAX)
		return EINVAL;
	if ((s = calloc(1, sizeof(*s))) == NULL)
		return ENOMEM;
	if ((rc = nr_statefile_open(&s->file, path, bytes / 4096 * 4096,
	    private, &made)) != NR_OK) {
		free(s);
		return rc;
	}
	s->set = (struct set *)((char *)s->file.map + NR_STATEFILE_HEAD);
	s->nsets = (s->file.bytes - NR_STATEFILE_HEAD) / sizeof(struct set);
	if (fresh != NULL)
		*fresh = made;
	*out = s;
	return NR_OK;
}

void
nr_state_close(struct nr_state *s)
{
	if (s == NULL)
		return;
	nr_statefile_close(&s->file);
	free(s);
}

/*
 * Each kind has a key of its own, so that an author's public key, the
 * bucket of that key and a text never have the same hash.
 */
static uint64_t
hash_of(const struct nr_state *s, enum kind kind, const void *p, size_t len)
{
	uint64_t h = nr_siphash(s->file.salt[kind], p, len);

	return h == 0 ? 1 : h;
}

static struct set *
set_of(const struct nr_state *s, uint64_t hash)
{
	return &s->set[(uint64_t)((unsigned __int128)hash * s->nsets >> 64)];
}

/*
 * Bodies.  A bucket's is the time at which it is full again, in ns.  An
 * author's: since when, 34 bits of s, and the hour seen last, 28 bits.  A
 * text's: when its generation began, 32 bits of s, then 15 bits of those
 * who had it in the generation before, and 15 of those in this one.
 */
#define MAKE(kind, body)	((uint64_t)(kind) << KIND_SHIFT | BODY(body))

#define AUTHOR_SINCE(v)		((int64_t)(BODY(v) >> 28))
#define AUTHOR_HOUR(v)		((int64_t)((v) & 0xfffffff))
#define SINCE_MAX		((INT64_C(1) << 34) - 1)

#define PEOPLE			15u
#define PEOPLE_MASK		0x7fffu
#define TEXT_BEGAN(v)		((int64_t)(BODY(v) >> 30))
#define TEXT_BEFORE(v)		((unsigned)((v) >> 15) & PEOPLE_MASK)
#define TEXT_NOW(v)		((unsigned)(v) & PEOPLE_MASK)

static enum kind
kind_of(uint64_t value)
{
	return (enum kind)(value >> KIND_SHIFT);
}

/* When it was of use last, in seconds; of a bucket when it will be. */
static int64_t
seen(uint64_t value)
{
	switch (kind_of(value)) {
	case BUCKET:
		return (int64_t)BODY(value) / SECOND;
	case AUTHOR:
		return AUTHOR_HOUR(value) * 3600;
	case TEXT:
		return TEXT_BEGAN(value);
	default:
		return INT64_MIN;
	}
}

/* Does it say nothing any more, or what no clock that is right wrote? */
static int
is_free(uint64_t value, int64_t now)
{
	int64_t t = seen(value);

	if (kind_of(value) == FREE || t > now + HORIZON)
		return 1;
	return kind_of(value) == BUCKET ? t < now : t < now - HORIZON;
}

/*
 * The entry that goes for one of kind: a free one; else the one seen
 * longest ago, of the kind that is most over its share.
 */
static unsigned
victim(const struct set *set, enum kind kind, int64_t now, uint64_t v[WAYS])
{
	unsigned count[KINDS] = { 0 }, i, k, worst = kind, best = WAYS;

	for (i = 0; i < WAYS; i++) {
		v[i] = GET(set->way[i].value);
		if (is_free(v[i], now))
			return i;
		count[kind_of(v[i])]++;
	}
	count[kind]++;
	for (k = BUCKET; k < KINDS; k++)
		if ((int)(count[k] - share[k]) >
		    (int)(count[worst] - share[worst]))
			worst = k;
	for (i = 0; i < WAYS; i++)
		if (kind_of(v[i]) == worst &&
		    (best == WAYS || seen(v[i]) < seen(v[best])))
			best = i;
	return best;
}

/*
 * The entry of hash, or with kind one that is made so; NULL where there is
 * none, or others were always faster.
 */
static struct entry *
find(struct nr_state *s, uint64_t hash, enum kind kind, int64_t now)
{
	struct set *set = set_of(s, hash);
	uint64_t v[WAYS], h[WAYS];
	unsigned i, attempt;
	struct entry *e;

	for (attempt = 0; attempt < ATTEMPTS; attempt++) {
		/* Before the values: one that changes now is not ours. */
		for (i = 0; i < WAYS; i++)
			if ((h[i] = GET(set->way[i].hash)) == hash)
				return &set->way[i];
		if (kind == FREE)
			return NULL;
		i = victim(set, kind, now, v);
		e = &set->way[i];
		if ((v[i] == 0 || swap(&e->value, &v[i], 0)) &&
		    swap(&e->hash, &h[i], hash))
			return e;
	}
	return NULL;
}

/* The value where it is of this kind, else 0. */
static uint64_t
value_of(const struct entry *e, enum kind kind, uint64_t *raw)
{
	*raw = GET(e->value);
	return kind_of(*raw) == kind ? *raw : 0;
}

int64_t
nr_state_take(struct nr_state *s, const struct nr_rate *r, const void *key,
    size_t len, uint64_t n, int64_t now)
{
	uint64_t hash = hash_of(s, BUCKET, key, len), raw;
	struct nr_bucket b;
	struct entry *e;
	int64_t wait;
	double most;

	if (r->count == 0 || n == 0)
		return 0;
	if (n > r->burst)
		n = r->burst;
	most = (double)r->burst * (double)r->period / (double)r->count;
	if (most > (double)(HORIZON * SECOND / 2))
		most = (double)(HORIZON * SECOND / 2);
again:
	if ((e = find(s, hash, BUCKET, now / SECOND)) == NULL)
		return 0;
	b.full_at = (int64_t)BODY(value_of(e, BUCKET, &raw));
	/* Later only where the clock went back: nothing is known of then. */
	if (b.full_at > now + (int64_t)most)
		b.full_at = 0;
	if ((wait = nr_bucket_try(&b, r, n, now)) > 0)
		return wait;
	if (!swap(&e->value, &raw, MAKE(BUCKET, (uint64_t)b.full_at)))
		goto again;
	return 0;
}

int64_t
nr_state_author(struct nr_state *s, const unsigned char key[32])
{
	uint64_t raw;
	struct entry *e = find(s, hash_of(s, AUTHOR, key, 32), FREE, 0);

	return e == NULL ? 0 : AUTHOR_SINCE(value_of(e, AUTHOR, &raw));
}

void
nr_state_learn(struct nr_state *s, const unsigned char key[32], int64_t now)
{
	uint64_t hash = hash_of(s, AUTHOR, key, 32), raw, v;
	struct entry *e;
	int64_t since;

	if (now < 1)
		now = 1;
	if (now > SINCE_MAX)
		now = SINCE_MAX;
	do {
		if ((e = find(s, hash, AUTHOR, now)) == NULL)
			return;
		v = value_of(e, AUTHOR, &raw);
		since = AUTHOR_SINCE(v);
		if (v == 0 || since > now)
			since = now;
		v = MAKE(AUTHOR, (uint64_t)since << 28 |
		    (uint64_t)(now / 3600));
	} while (v != raw && !swap(&e->value, &raw, v));
}

/*
 * How many people the bits but one's own stand for: some share a bit, so
 * n of 14 are the nearest to 14 * ln(14 / (14 - n)).
 */
static unsigned
people(unsigned bits)
{
	static const unsigned char estimate[PEOPLE] = {
		0, 1, 2, 3, 5, 6, 8, 10, 12, 14, 18, 22, 27, 37, 47
	};

	return estimate[__builtin_popcount(bits)];
}

/* The text's value as of now: its generations last half of within. */
static uint64_t
text_as_of(uint64_t v, int64_t now, int64_t within)
{
	int64_t began = TEXT_BEGAN(v), half = within / 2 > 0 ? within / 2 : 1;

	if (v == 0 || now - began >= 2 * half)
		return MAKE(TEXT, (uint64_t)now << 30);
	if (began > now)	/* the clock went back */
		return MAKE(TEXT, (uint64_t)now << 30 | (v & 0x3fffffff));
	if (now - began < half)
		return v;
	return MAKE(TEXT, (uint64_t)(began + half) << 30 |
	    (uint64_t)TEXT_NOW(v) << 15);
}

static unsigned
alike_band(struct nr_state *s, uint64_t hash, unsigned bit, int64_t now,
    int64_t within)
{
	uint64_t raw, v;
	struct entry *e;
	unsigned others;

	do {
		if ((e = find(s, hash, TEXT, now)) == NULL)
			return 0;
		v = text_as_of(value_of(e, TEXT, &raw), now, within);
		others = (TEXT_BEFORE(v) | TEXT_NOW(v)) & ~bit;
		v |= bit;
	} while (v != raw && !swap(&e->value, &raw, v));
	return people(others);
}

unsigned
nr_state_alike(struct nr_state *s, const struct nr_sketch *k,
    const unsigned char author[32], int64_t now, int64_t within)
{
	uint64_t key[2];
	unsigned i, n, most = 0, bit;

	if (now < 1)
		now = 1;
	if (now > UINT32_MAX)
		now = UINT32_MAX;
	if (within > HORIZON)
		within = HORIZON;
	bit = 1u << hash_of(s, AUTHOR, author, 32) % PEOPLE;
	for (i = 0; i < k->n; i++) {
		key[0] = k->band[i];
		key[1] = (uint64_t)within;
		n = alike_band(s, hash_of(s, TEXT, key, sizeof(key)), bit,
		    now, within);
		if (n > most)
			most = n;
	}
	return most;
}
