/*
 * A histogram with constant relative error.
 */
#include "bench/hist.h"

#include "util/err.h"

/* Below twice NR_HIST_SUB each value has a bucket of its own. */
static unsigned
index_of(uint64_t v)
{
	unsigned shift = 0, index;

	while (v >= 2 * NR_HIST_SUB) {
		v >>= 1;
		shift++;
	}
	index = shift * NR_HIST_SUB + (unsigned)v;
	return index < NR_HIST_SUB * (NR_HIST_POWERS + 1) ? index :
	    NR_HIST_SUB * (NR_HIST_POWERS + 1) - 1;
}

/* The largest value that a bucket stands for. */
static uint64_t
value_of(unsigned index)
{
	unsigned shift;

	if (index < 2 * NR_HIST_SUB)
		return index;
	shift = index / NR_HIST_SUB - 1;
	return (((uint64_t)index - (uint64_t)shift * NR_HIST_SUB + 1) <<
	    shift) - 1;
}

void
nr_hist_add(struct nr_hist *h, int64_t us)
{
	uint64_t v = us < 0 ? 0 : (uint64_t)us;

	h->bucket[index_of(v)]++;
	h->count++;
	if (v > h->max)
		h->max = v;
}

uint64_t
nr_hist_at(const struct nr_hist *h, double p)
{
	uint64_t want = (uint64_t)(p * (double)h->count + 0.9999999), seen = 0;
	unsigned i;

	if (h->count == 0)
		return 0;
	if (want < 1)
		want = 1;
	for (i = 0; i < NR_HIST_SUB * (NR_HIST_POWERS + 1); i++)
		if ((seen += h->bucket[i]) >= want)
			return value_of(i) < h->max ? value_of(i) : h->max;
	return h->max;
}

static int
add_ms(const struct nr_hist *h, struct nr_buf *b, uint64_t us)
{
	return h->count == 0 ? nr_buf_adds(b, "null") :
	    nr_buf_addf(b, "%.3f", (double)us / 1000);
}

int
nr_hist_write(const struct nr_hist *h, struct nr_buf *b)
{
	static const struct {
		const char *name;
		double p;
	} at[] = {
		{ "p50", 0.5 }, { "p90", 0.9 }, { "p95", 0.95 },
		{ "p99", 0.99 }, { "p999", 0.999 },
	};
	unsigned i;
	int rc = NR_OK;

	for (i = 0; rc == NR_OK && i < sizeof(at) / sizeof(at[0]); i++) {
		rc = nr_buf_addf(b, "%s\"%s\":", i == 0 ? "{" : ",",
		    at[i].name);
		if (rc == NR_OK)
			rc = add_ms(h, b, nr_hist_at(h, at[i].p));
	}
	if (rc == NR_OK)
		rc = nr_buf_adds(b, ",\"max\":");
	if (rc == NR_OK)
		rc = add_ms(h, b, h->max);
	return rc != NR_OK ? rc : nr_buf_adds(b, "}");
}
