/*
 * The messages of Negentropy protocol V1.
 *
 * How ranges are split, and when a message is full, is not in the
 * specification but in what the reference implementations do: 16 buckets,
 * lists below 32 records, and 200 bytes left for the end of a message.
 */
#include "negentropy/negentropy.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "util/err.h"

#define BUCKETS		16
#define RESERVE		200	/* of a frame, for what ends it */
#define PRINT_LEN	16

enum mode { SKIP, FINGERPRINT, IDS };

struct bound {
	struct nr_neg_item	item;
	size_t			len;	/* of the id's prefix */
};

static const struct bound infinity = { { NR_NEG_INFINITY, { 0 } }, 0 };

/* ---- reading -------------------------------------------------------------- */

struct in {
	const unsigned char	*p, *end;
	const char		*why;
};

static int
bad(struct in *in, const char *why)
{
	in->why = why;
	return NR_EINVAL;
}

static int
take(struct in *in, const unsigned char **out, size_t n)
{
	if ((size_t)(in->end - in->p) < n)
		return bad(in, "a message that ends too early");
	*out = in->p;
	in->p += n;
	return NR_OK;
}

static int
take_varint(struct in *in, uint64_t *out)
{
	uint64_t v = 0;

	for (;;) {
		if (in->p == in->end)
			return bad(in, "a message that ends too early");
		if (v > UINT64_MAX >> 7)
			return bad(in, "a number that is too large");
		v = v << 7 | (*in->p & 0x7f);
		if (!(*in->p++ & 0x80))
			break;
	}
	*out = v;
	return NR_OK;
}

static int
take_bound(struct nr_neg *n, struct in *in, struct bound *out)
{
	const unsigned char *id;
	struct bound b = { { 0, { 0 } }, 0 };
	uint64_t t, len;
	int rc;

	if ((rc = take_varint(in, &t)) != NR_OK ||
	    (rc = take_varint(in, &len)) != NR_OK)
		return rc;
	if (len > 32)
		return bad(in, "an id that is too long");
	if ((rc = take(in, &id, len)) != NR_OK)
		return rc;
	t = t == 0 ? NR_NEG_INFINITY : t - 1;
	n->time_in = t > NR_NEG_INFINITY - n->time_in ? NR_NEG_INFINITY :
	    n->time_in + t;
	b.item.time = n->time_in;
	b.len = len;
	memcpy(b.item.id, id, len);
	*out = b;
	return NR_OK;
}

/* ---- writing -------------------------------------------------------------- */

static int
put_varint(struct nr_buf *b, uint64_t v)
{
	unsigned char digits[10];
	size_t i = sizeof(digits);

	digits[--i] = v & 0x7f;
	while ((v >>= 7) > 0)
		digits[--i] = (unsigned char)(0x80 | (v & 0x7f));
	return nr_buf_add(b, digits + i, sizeof(digits) - i);
}

static int
put_bound(struct nr_neg *n, struct nr_buf *b, const struct bound *bound)
{
	uint64_t t = bound->item.time;
	int rc;

	rc = put_varint(b, t == NR_NEG_INFINITY ? 0 : t - n->time_out + 1);
	n->time_out = t;
	if (rc == NR_OK)
		rc = put_varint(b, bound->len);
	return rc == NR_OK ? nr_buf_add(b, bound->item.id, bound->len) : rc;
}

/* A range's end and what it is. */
static int
put_range(struct nr_neg *n, struct nr_buf *b, const struct bound *end,
    enum mode mode)
{
	int rc = put_bound(n, b, end);

	return rc == NR_OK ? put_varint(b, mode) : rc;
}

static int
fingerprint(struct nr_neg *n, unsigned char out[PRINT_LEN], uint64_t lo,
    uint64_t hi)
{
	unsigned char text[32], digest[32], digits[10];
	struct nr_buf count = { (char *)digits, 0, sizeof(digits) };
	struct nr_sum sum;
	int rc;

	if ((rc = n->set->sum(n->set->ctx, &sum, lo, hi)) != NR_OK)
		return rc;
	nr_sum_bytes(text, &sum);
	(void)put_varint(&count, hi - lo);
	nr_sha256_start(n->sha);
	nr_sha256_add(n->sha, text, sizeof(text));
	nr_sha256_add(n->sha, count.p, count.len);
	nr_sha256_end(n->sha, digest);
	memcpy(out, digest, PRINT_LEN);
	return NR_OK;
}

static int
put_fingerprint(struct nr_neg *n, struct nr_buf *b, const struct bound *end,
    uint64_t lo, uint64_t hi)
{
	unsigned char print[PRINT_LEN];
	int rc;

	if ((rc = fingerprint(n, print, lo, hi)) != NR_OK ||
	    (rc = put_range(n, b, end, FINGERPRINT)) != NR_OK)
		return rc;
	return nr_buf_add(b, print, sizeof(print));
}

static int
add_id(void *arg, const struct nr_neg_item *item)
{
	return nr_buf_add(arg, item->id, 32);
}

static int
put_ids(struct nr_neg *n, struct nr_buf *b, const struct bound *end,
    uint64_t lo, uint64_t hi)
{
	int rc;

	if ((rc = put_range(n, b, end, IDS)) != NR_OK ||
	    (rc = put_varint(b, hi - lo)) != NR_OK)
		return rc;
	return n->set->items(n->set->ctx, lo, hi, add_id, b);
}

struct pair {
	struct nr_neg_item	item[2];
	unsigned		n;
};

static int
add_pair(void *arg, const struct nr_neg_item *item)
{
	struct pair *p = arg;

	p->item[p->n++ & 1] = *item;
	return 0;
}

/* The shortest bound between the records before and at a rank. */
static int
bound_at(struct nr_neg *n, struct bound *out, uint64_t rank)
{
	struct pair p = { .n = 0 };
	const struct nr_neg_item *at = &p.item[1];
	int rc;

	rc = n->set->items(n->set->ctx, rank - 1, rank + 1, add_pair, &p);
	if (rc != NR_OK)
		return rc;
	memset(out, 0, sizeof(*out));
	out->item.time = at->time;
	if (p.item[0].time == at->time) {
		while (out->len < 31 &&
		    p.item[0].id[out->len] == at->id[out->len])
			out->len++;
		out->len++;
		memcpy(out->item.id, at->id, out->len);
	}
	return NR_OK;
}

static int
split(struct nr_neg *n, struct nr_buf *b, const struct bound *end,
    uint64_t lo, uint64_t hi)
{
	uint64_t size = hi - lo, next;
	struct bound bound;
	unsigned i;
	int rc = NR_OK;

	if (size < 2 * BUCKETS)
		return put_ids(n, b, end, lo, hi);
	for (i = 0; rc == NR_OK && i < BUCKETS; i++, lo = next) {
		next = lo + size / BUCKETS + (i < size % BUCKETS);
		if (next == hi)
			bound = *end;
		else
			rc = bound_at(n, &bound, next);
		if (rc == NR_OK)
			rc = put_fingerprint(n, b, &bound, lo, next);
	}
	return rc;
}

/* ---- a list of ids --------------------------------------------------------- */

static int
compare_ids(const void *a, const void *b)
{
	return memcmp(a, b, 32);
}

/* Theirs, sorted, and which of them are ours, too. */
struct theirs {
	unsigned char			(*id)[32];
	size_t				 n;
	unsigned char			*ours;
	const struct nr_neg_diff	*diff;
};

static int
compare_ours(void *arg, const struct nr_neg_item *item)
{
	struct theirs *t = arg;
	unsigned char (*p)[32] = t->n == 0 ? NULL :
	    bsearch(item->id, t->id, t->n, 32, compare_ids);

	if (p == NULL)
		return t->diff->have(t->diff->arg, item);
	t->ours[p - t->id] = 1;
	return 0;
}

static void
sort_theirs(struct theirs *t, const unsigned char *ids, size_t n)
{
	size_t i;

	memcpy(t->id, ids, 32 * n);
	qsort(t->id, n, 32, compare_ids);
	for (i = 0; i < n; i++)
		if (t->n == 0 || memcmp(t->id[t->n - 1], t->id[i], 32) != 0)
			memmove(t->id[t->n++], t->id[i], 32);
}

static int
learn(struct nr_neg *n, const struct nr_neg_diff *diff,
    const unsigned char *ids, size_t count, uint64_t lo, uint64_t hi)
{
	struct theirs t = { .diff = diff };
	size_t i;
	int rc = NR_OK;

	if (count > 0) {
		t.id = malloc(33 * count);
		if (t.id == NULL)
			return ENOMEM;
		t.ours = (unsigned char *)t.id + 32 * count;
		memset(t.ours, 0, count);
		sort_theirs(&t, ids, count);
	}
	rc = n->set->items(n->set->ctx, lo, hi, compare_ours, &t);
	for (i = 0; rc == NR_OK && i < t.n; i++)
		if (!t.ours[i])
			rc = diff->need(diff->arg, t.id[i]);
	free(t.id);
	return rc;
}

/* ---- a message -------------------------------------------------------------- */

/* Handling one: where it is, and what goes out. */
struct talk {
	struct nr_neg			*n;
	const struct nr_neg_diff	*diff;
	struct in			 in;
	struct nr_buf			*out;
	size_t				 start;	/* of ours in out */
	size_t				 mark;	/* what is decided of it */
	struct bound			 last;	/* end of the last range, */
	uint64_t			 lo;	/* and its rank */
	int				 skip;	/* it wants nothing said */
};

static int
is_full(const struct talk *t, size_t len)
{
	return t->n->limit > 0 && len > t->n->limit - RESERVE;
}

/* What was passed over is said when something follows it. */
static int
put_skip(struct talk *t)
{
	if (!t->skip)
		return NR_OK;
	t->skip = 0;
	return put_range(t->n, t->out, &t->last, SKIP);
}

static int
take_fingerprint(struct talk *t, const struct bound *end, uint64_t hi)
{
	unsigned char ours[PRINT_LEN];
	const unsigned char *theirs;
	int rc;

	if ((rc = take(&t->in, &theirs, PRINT_LEN)) != NR_OK ||
	    (rc = fingerprint(t->n, ours, t->lo, hi)) != NR_OK)
		return rc;
	if (memcmp(theirs, ours, PRINT_LEN) == 0) {
		t->skip = 1;
		return NR_OK;
	}
	rc = put_skip(t);
	return rc == NR_OK ? split(t->n, t->out, end, t->lo, hi) : rc;
}

/* As many as there is room for, and where that ended. */
struct room {
	struct talk	*talk;
	struct nr_buf	 ids;
	uint64_t	 count;
	struct bound	 end;
	int		 cut;
};

static int
add_while_room(void *arg, const struct nr_neg_item *item)
{
	struct room *r = arg;

	if (is_full(r->talk, r->talk->mark - r->talk->start + r->ids.len)) {
		r->end.item = *item;
		r->end.len = 32;
		r->cut = 1;
		return NR_EOF;
	}
	r->count++;
	return nr_buf_add(&r->ids, item->id, 32);
}

/* Answer a list with ours. */
static int
answer_ids(struct talk *t, const struct bound *end, uint64_t *hi)
{
	struct room r = { .talk = t, .end = *end };
	int rc;

	if ((rc = put_skip(t)) != NR_OK)
		return rc;
	rc = t->n->set->items(t->n->set->ctx, t->lo, *hi, add_while_room, &r);
	if (rc == NR_EOF && r.cut) {
		*hi = t->lo + r.count;
		rc = NR_OK;
	}
	if (rc == NR_OK)
		rc = put_range(t->n, t->out, &r.end, IDS);
	if (rc == NR_OK)
		rc = put_varint(t->out, r.count);
	if (rc == NR_OK)
		rc = nr_buf_add(t->out, r.ids.p, r.ids.len);
	nr_buf_free(&r.ids);
	t->mark = t->out->len;
	return rc;
}

static int
take_ids(struct talk *t, const struct bound *end, uint64_t *hi)
{
	const unsigned char *ids;
	uint64_t count;
	int rc;

	if ((rc = take_varint(&t->in, &count)) != NR_OK)
		return rc;
	if (count > (size_t)(t->in.end - t->in.p) / 32)
		return bad(&t->in, "a message that ends too early");
	ids = t->in.p;
	t->in.p += 32 * count;
	if (!t->n->initiator)
		return answer_ids(t, end, hi);
	t->skip = 1;
	return learn(t->n, t->diff, ids, count, t->lo, *hi);
}

/* The message is full: ask again about all that is left. */
static int
cut_off(struct talk *t, uint64_t hi)
{
	t->out->len = t->mark;
	t->in.p = t->in.end;
	return put_fingerprint(t->n, t->out, &infinity, hi, t->n->set->size);
}

static int
take_range(struct talk *t)
{
	const struct nr_neg_set *set = t->n->set;
	struct bound end;
	uint64_t mode, hi;
	int rc;

	if ((rc = take_bound(t->n, &t->in, &end)) != NR_OK ||
	    (rc = take_varint(&t->in, &mode)) != NR_OK)
		return rc;
	if (nr_neg_item_cmp(&end.item, &t->last.item) < 0)
		return bad(&t->in, "ranges that are out of order");
	if ((rc = set->find(set->ctx, &hi, t->lo, set->size, &end.item)) != 0)
		return rc;
	t->mark = t->out->len;
	switch (mode) {
	case SKIP:
		t->skip = 1;
		break;
	case FINGERPRINT:
		rc = take_fingerprint(t, &end, hi);
		break;
	case IDS:
		rc = take_ids(t, &end, &hi);
		break;
	default:
		return bad(&t->in, "a range of an unknown mode");
	}
	if (rc == NR_OK && is_full(t, t->out->len - t->start))
		return cut_off(t, hi);
	t->lo = hi;
	t->last = end;
	return rc;
}

/*
 * The version comes first.  *other is set where it is one that we do not
 * speak, but might.
 */
static int
take_version(struct talk *t, int *other)
{
	const unsigned char *version;
	int rc;

	if ((rc = take(&t->in, &version, 1)) != NR_OK)
		return rc;
	if (*version < 0x60 || *version > 0x6f)
		return bad(&t->in, "not a message of negentropy");
	*other = *version != NR_NEG_VERSION;
	return *other && t->n->initiator ? NR_EVERSION : NR_OK;
}

static int
put_version(struct nr_neg *n, struct nr_buf *out)
{
	static const unsigned char version = NR_NEG_VERSION;

	n->time_out = 0;
	return nr_buf_add(out, &version, 1);
}

int
nr_neg_reconcile(struct nr_neg *n, const void *message, size_t len,
    struct nr_buf *out, const struct nr_neg_diff *diff, int *done,
    const char **why)
{
	const unsigned char *p = message;
	struct talk t = { .n = n, .diff = diff, .in = { p, p + len, NULL },
	    .out = out, .start = out->len };
	int rc, other = 0;

	*why = NULL;
	n->time_in = 0;
	if ((rc = take_version(&t, &other)) == NR_OK)
		rc = put_version(n, out);
	while (rc == NR_OK && !other && t.in.p < t.in.end)
		rc = take_range(&t);
	if (rc == NR_OK && n->initiator) {
		*done = out->len == t.start + 1;
		if (!*done)
			return NR_OK;
	} else if (rc == NR_OK)
		return NR_OK;
	out->len = t.start;
	*why = t.in.why;
	return rc;
}

int
nr_neg_initiate(struct nr_neg *n, struct nr_buf *out)
{
	size_t start = out->len;
	int rc;

	n->initiator = 1;
	if ((rc = put_version(n, out)) == NR_OK)
		rc = split(n, out, &infinity, 0, n->set->size);
	if (rc != NR_OK)
		out->len = start;
	return rc;
}

int
nr_neg_init(struct nr_neg *n, const struct nr_neg_set *set, size_t limit)
{
	memset(n, 0, sizeof(*n));
	n->set = set;
	n->limit = limit;
	return nr_sha256_new(&n->sha);
}

void
nr_neg_free(struct nr_neg *n)
{
	nr_sha256_free(n->sha);
	memset(n, 0, sizeof(*n));
}
