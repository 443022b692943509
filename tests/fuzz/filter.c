/*
 * The filter reader.  A filter that is accepted is written as JSON that
 * reads back to a filter which is written the same, and both match the
 * same events; narrowing a filter by itself changes nothing.
 */
#include "fuzz.h"

#include "bench/gen.h"
#include "filter/filter.h"

#define SAMPLES	64

static struct nr_buf text[SAMPLES];
static struct nr_event sample[SAMPLES];
static unsigned nsamples;

static void
make_samples(void)
{
	struct nr_gen_options o = { .model = NR_GEN_CHURN, .seed = 1,
	    .count = SAMPLES, .authors = 5, .since = 1, .until = 1000 };
	struct nr_gen *g;
	unsigned author;

	MUST(nr_gen_new(&g, &o) == 0);
	for (; nsamples < SAMPLES; nsamples++) {
		struct nr_buf *b = &text[nsamples];

		MUST(nr_gen_next(g, b, &author) == 0);
		MUST(nr_event_view(&sample[nsamples], b->p, b->len - 1));
	}
	nr_gen_free(g);
}

static uint64_t
matches(const struct nr_filter *f)
{
	uint64_t m = 0;
	unsigned i;

	for (i = 0; i < nsamples; i++)
		if (nr_filter_match(f, &sample[i]))
			m |= UINT64_C(1) << i;
	MUST(m == 0 || !nr_filter_void(f));
	return m;
}

static void
round_trip(struct nr_filter *f)
{
	struct nr_buf one = { 0 }, two = { 0 };
	struct nr_filter back;
	const char *why;
	uint64_t m = matches(f);

	MUST(nr_filter_format(&one, f) == 0);
	MUST(nr_filter_parse(&back, one.p, one.len, &nr_filter_limits_none,
	    &why) == 0);
	MUST(why == NULL);
	MUST(back.has == f->has && back.ntags == f->ntags);
	MUST(matches(&back) == m);
	MUST(nr_filter_format(&two, &back) == 0);
	MUST(one.len == two.len && memcmp(one.p, two.p, one.len) == 0);
	MUST(nr_filter_narrow(f, &back) == 0);
	MUST(matches(f) == m);
	nr_filter_free(&back);
	nr_buf_free(&one);
	nr_buf_free(&two);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct nr_filter_limits three = { 3 };
	char *json = copy_of(data, size);
	struct nr_filter f, small;
	const char *why, *less;

	if (nsamples == 0)
		make_samples();
	MUST(nr_filter_parse(&f, json, size, &nr_filter_limits_none,
	    &why) == 0);
	MUST(nr_filter_parse(&small, json, size, &three, &less) == 0);
	MUST(less != NULL || why == NULL);
	if (less == NULL)
		nr_filter_free(&small);
	/* Whatever is said goes out with NIP-01's prefix. */
	MUST(why == NULL || strncmp(why, "invalid: ", 9) == 0 ||
	    strncmp(why, "unsupported: ", 13) == 0);
	free(json);
	if (why == NULL) {
		round_trip(&f);
		nr_filter_free(&f);
	}
	return 0;
}
