/*
 * Ids in open addressing, in two generations.
 */
#include "util/idset.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "util/err.h"

#define PREFIX		16
#define SLOTS_LEAST	1024

/* A slot that is all zeros is free; no hash is. */
struct table {
	unsigned char	(*slot)[PREFIX];
	size_t		 mask, n;
	/* Who makes up ids must not know where they come to lie. */
	uint64_t	 key[2];
};

struct nr_idset {
	struct table	young, old;
	size_t		half;
};

static int
table_make(struct table *t, size_t slots)
{
	t->n = 0;
	t->mask = slots - 1;
	if (getrandom(t->key, sizeof(t->key), 0) !=
	    (ssize_t)sizeof(t->key))
		abort();	/* the kernel always has 16 bytes */
	t->key[0] |= 1;
	t->key[1] |= 1;
	t->slot = calloc(slots, PREFIX);
	return t->slot != NULL ? NR_OK : ENOMEM;
}

/* Where the id is, or would be. */
static unsigned char *
find(const struct table *t, const unsigned char *id)
{
	static const unsigned char none[PREFIX];
	uint64_t half[2];
	size_t i;

	memcpy(half, id, sizeof(half));
	i = (size_t)((half[0] * t->key[0] + half[1] * t->key[1]) >> 24);
	for (i &= t->mask;; i = (i + 1) & t->mask)
		if (memcmp(t->slot[i], id, PREFIX) == 0 ||
		    memcmp(t->slot[i], none, PREFIX) == 0)
			return t->slot[i];
}

static int
has(const struct table *t, const unsigned char *id)
{
	return t->slot != NULL && memcmp(find(t, id), id, PREFIX) == 0;
}

static int
grow(struct table *t)
{
	static const unsigned char none[PREFIX];
	struct table bigger;
	size_t i;

	if (table_make(&bigger, (t->mask + 1) * 2) != NR_OK)
		return ENOMEM;
	for (i = 0; i <= t->mask; i++)
		if (memcmp(t->slot[i], none, PREFIX) != 0)
			memcpy(find(&bigger, t->slot[i]), t->slot[i], PREFIX);
	bigger.n = t->n;
	free(t->slot);
	*t = bigger;
	return NR_OK;
}

int
nr_idset_new(struct nr_idset **out, size_t max)
{
	struct nr_idset *s;

	if ((s = calloc(1, sizeof(*s))) == NULL)
		return ENOMEM;
	s->half = max / 2 > 0 ? max / 2 : 1;
	if (table_make(&s->young, SLOTS_LEAST) != NR_OK) {
		free(s);
		return ENOMEM;
	}
	*out = s;
	return NR_OK;
}

void
nr_idset_free(struct nr_idset *s)
{
	if (s == NULL)
		return;
	free(s->young.slot);
	free(s->old.slot);
	free(s);
}

int
nr_idset_has(const struct nr_idset *s, const unsigned char id[32])
{
	return has(&s->young, id) || has(&s->old, id);
}

int
nr_idset_add(struct nr_idset *s, const unsigned char id[32], int *added)
{
	struct table fresh;

	*added = 0;
	if (nr_idset_has(s, id))
		return NR_OK;
	if (s->young.n == s->half) {
		if (table_make(&fresh, SLOTS_LEAST) != NR_OK)
			return ENOMEM;
		free(s->old.slot);
		s->old = s->young;
		s->young = fresh;
	}
	if (s->young.n * 3 >= (s->young.mask + 1) * 2 &&
	    grow(&s->young) != NR_OK)
		return ENOMEM;
	memcpy(find(&s->young, id), id, PREFIX);
	s->young.n++;
	*added = 1;
	return NR_OK;
}
