/*
 * Messages of reconciliation, in both roles, over a few records.  The first
 * byte chooses the role, the limit and how many records there are.  What
 * goes out keeps to the limit, is read by the other role, and nothing is
 * told as ours that is not.
 */
#include "fuzz.h"

#include "negentropy/negentropy.h"
#include "util/err.h"

#define LIMIT	NR_NEG_FRAME_MIN

static void
fill(struct nr_neg_array *a, unsigned n)
{
	unsigned char id[32] = { 0 };
	unsigned i;

	for (i = 0; i < n; i++) {
		id[i % 5] = (unsigned char)(i * 37);
		id[31] = (unsigned char)i;
		id[30] = (unsigned char)(i >> 8);
		MUST(nr_neg_array_add(a, i / 7 * 100, id) == 0);
	}
	MUST(nr_neg_array_seal(a) == 0);
	MUST(a->n == n);
}

struct told {
	const struct nr_neg_array	*ours;
	size_t				 needs;
};

static int
have(void *arg, const struct nr_neg_item *item)
{
	struct told *t = arg;

	MUST(item >= t->ours->item && item < t->ours->item + t->ours->n);
	return 0;
}

static int
need(void *arg, const unsigned char id[32])
{
	struct told *t = arg;

	MUST(id != NULL);
	t->needs++;
	return 0;
}

/* A message of ours is one that the other role understands. */
static void
is_understood(const struct nr_neg_array *a, const struct nr_buf *message,
    int initiator)
{
	struct told t = { a, 0 };
	const struct nr_neg_diff diff = { have, need, &t };
	struct nr_buf out = { 0 };
	struct nr_neg other;
	const char *why;
	int done;

	MUST(nr_neg_init(&other, &a->set, LIMIT) == 0);
	other.initiator = initiator;
	MUST(nr_neg_reconcile(&other, message->p, message->len, &out,
	    initiator ? &diff : NULL, &done, &why) == 0);
	nr_buf_free(&out);
	nr_neg_free(&other);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const unsigned sizes[] = { 0, 1, 31, 32, 33, 300, 2000, 40 };
	struct nr_neg_array records = { 0 };
	struct told t = { &records, 0 };
	const struct nr_neg_diff diff = { have, need, &t };
	struct nr_buf out = { 0 };
	const char *why;
	struct nr_neg n;
	char *message;
	int rc, done = 0, initiator;

	if (size == 0)
		return 0;
	initiator = data[0] & 1;
	fill(&records, sizes[data[0] >> 1 & 7]);
	message = copy_of(data + 1, size - 1);
	MUST(nr_neg_init(&n, &records.set, data[0] & 16 ? LIMIT : 0) == 0);
	n.initiator = initiator;
	rc = nr_neg_reconcile(&n, message, size - 1, &out, initiator ? &diff :
	    NULL, &done, &why);
	MUST(rc == NR_OK || rc == NR_EINVAL || rc == NR_EVERSION);
	MUST((why != NULL) == (rc == NR_EINVAL));
	MUST((out.len > 0) == (rc == NR_OK && !done));
	MUST(n.limit == 0 || out.len <= n.limit);
	MUST(t.needs <= size / 32);
	if (out.len > 0)
		is_understood(&records, &out, !initiator);
	nr_buf_free(&out);
	nr_neg_free(&n);
	nr_neg_array_free(&records);
	free(message);
	return 0;
}
