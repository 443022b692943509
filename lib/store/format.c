/*
 * Encoding keys.
 */
#include "store/format.h"

#include <string.h>

#include "event/tags.h"
#include "util/hex.h"

unsigned char *
nr_put_be(unsigned char *p, uint64_t v, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++)
		p[i] = (unsigned char)(v >> 8 * (n - 1 - i));
	return p + n;
}

uint64_t
nr_get_be(const unsigned char *p, size_t n)
{
	uint64_t v = 0;
	size_t i;

	for (i = 0; i < n; i++)
		v = v << 8 | p[i];
	return v;
}

#define TIME_ESCAPE	UINT64_C(0xffffffffff)

unsigned char *
nr_put_time(unsigned char *p, int64_t t)
{
	uint64_t v = t < 0 ? 0 : (uint64_t)t;

	if (v < TIME_ESCAPE)
		return nr_put_be(p, v, 5);
	return nr_put_be(nr_put_be(p, TIME_ESCAPE, 5), v, 8);
}

const unsigned char *
nr_get_time(const unsigned char *p, int64_t *t)
{
	uint64_t v = nr_get_be(p, 5);

	if (v < TIME_ESCAPE) {
		*t = (int64_t)v;
		return p + 5;
	}
	*t = (int64_t)nr_get_be(p + 5, 8);
	return p + 13;
}

/* FNV-1a in 64 bits: small, public, and the same everywhere. */
static uint64_t
fnv1a(const char *p, size_t n)
{
	uint64_t h = UINT64_C(0xcbf29ce484222325);
	size_t i;

	for (i = 0; i < n; i++)
		h = (h ^ (unsigned char)p[i]) * UINT64_C(0x100000001b3);
	return h;
}

void
nr_value7(unsigned char out[7], struct nr_view value)
{
	unsigned char key[32];

	if (value.len == 64 && nr_hex_decode(key, value.p, 32))
		memcpy(out, key + 25, 7);
	else
		nr_put_be(out, fnv1a(value.p, value.len) >> 8, 7);
}

size_t
nr_author_prefix(unsigned char *p, const unsigned char pubkey[32])
{
	memcpy(p, nr_tail(pubkey), 8);
	return 8;
}

size_t
nr_akind_prefix(unsigned char *p, const unsigned char pubkey[32],
    unsigned kind)
{
	memcpy(p, nr_tail(pubkey), 8);
	nr_put_be(p + 8, kind, 2);
	return 10;
}

size_t
nr_kind_prefix(unsigned char *p, unsigned kind)
{
	nr_put_be(p, kind, 2);
	return 2;
}

size_t
nr_tag_prefix(unsigned char *p, char letter, struct nr_view value)
{
	*p = (unsigned char)letter;
	nr_value7(p + 1, value);
	return 8;
}

size_t
nr_id_key(unsigned char *p, const unsigned char id[32], uint64_t number)
{
	memcpy(p, nr_tail(id), 8);
	nr_put_be(p + 8, number, NR_NUMBER_LEN);
	return 8 + NR_NUMBER_LEN;
}

/* Behind a prefix: time, id4, number. */
static void
finish_key(struct nr_key *key, size_t prefix, const struct nr_event *ev,
    uint64_t number)
{
	unsigned char *p = nr_put_time(key->k + prefix, ev->created_at);
	int i;

	for (i = 0; i < 4; i++)
		*p++ = (unsigned char)~ev->id[i];
	p = nr_put_be(p, number, NR_NUMBER_LEN);
	key->klen = (size_t)(p - key->k);
}

int
nr_event_plain(const struct nr_event *ev)
{
	return !nr_kind_confidential(ev->kind) &&
	    nr_event_expiration(ev) == INT64_MAX;
}

static void
time_key(struct nr_key *key, const struct nr_event *ev, uint64_t number)
{
	unsigned char *p = nr_put_time(key->k, ev->created_at);
	int i;

	for (i = 0; i < 32; i++)
		*p++ = (unsigned char)~ev->id[i];
	key->klen = (size_t)(p - key->k);
	p = nr_put_be(key->v, number, NR_NUMBER_LEN);
	p = nr_put_be(p, ev->kind, 2);
	memcpy(p, ev->pubkey + 28, 4);
	p[4] = nr_event_plain(ev) ? NR_TIME_PLAIN : 0;
	key->vlen = NR_TIME_VALUE;
}

static int
tag_entries(const struct nr_event *ev, uint64_t number, nr_emit *emit,
    void *ctx)
{
	struct nr_tags it;
	struct nr_tag tag;
	struct nr_key key;
	int rc = 0;
	char letter;

	nr_put_be(key.v, ev->kind, 2);
	memcpy(key.v + 2, ev->pubkey + 28, 4);
	key.vlen = 6;
	nr_tags_start(&it, ev->tags);
	while (rc == 0 && nr_tags_next(&it, &tag)) {
		if ((letter = nr_tag_letter(&tag)) == 0)
			continue;
		finish_key(&key, nr_tag_prefix(key.k, letter, tag.value), ev,
		    number);
		rc = emit(ctx, NR_T_TAG, &key);
	}
	return rc;
}

int
nr_entries(const struct nr_event *ev, uint64_t number, nr_emit *emit,
    void *ctx)
{
	struct nr_key key;
	int rc;

	time_key(&key, ev, number);
	if ((rc = emit(ctx, NR_T_TIME, &key)) != 0)
		return rc;
	finish_key(&key, nr_author_prefix(key.k, ev->pubkey), ev, number);
	nr_put_be(key.v, ev->kind, 2);
	key.vlen = 2;
	if ((rc = emit(ctx, NR_T_AUTHOR, &key)) != 0)
		return rc;
	finish_key(&key, nr_akind_prefix(key.k, ev->pubkey, ev->kind), ev,
	    number);
	key.vlen = 0;
	if ((rc = emit(ctx, NR_T_AKIND, &key)) != 0)
		return rc;
	finish_key(&key, nr_kind_prefix(key.k, ev->kind), ev, number);
	memcpy(key.v, ev->pubkey + 28, 4);
	key.vlen = 4;
	if ((rc = emit(ctx, NR_T_KIND, &key)) != 0)
		return rc;
	return tag_entries(ev, number, emit, ctx);
}

void
nr_expire_key(unsigned char p[NR_EXPIRE_LEN], int64_t expires,
    uint64_t number)
{
	nr_put_be(nr_put_be(p, (uint64_t)expires, 8), number, NR_NUMBER_LEN);
}
