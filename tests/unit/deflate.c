/*
 * Compressed messages: what zlib makes of them is what was put in, as a
 * client does it that keeps its window from one to the next.
 */
#include "unit.h"

#include <string.h>

#include <zlib.h>

#include "util/err.h"
#include "util/rng.h"
#include "wire/deflate.h"

static z_stream client;
static unsigned char got[1 << 20];

/* What a client makes of these pieces of one message. */
static size_t
inflated(const struct nr_view *piece, size_t n)
{
	static const struct nr_view end = { "\0\0\xff\xff", 4 };
	size_t i;

	client.next_out = got;
	client.avail_out = sizeof(got);
	for (i = 0; i <= n; i++) {
		const struct nr_view *v = i < n ? &piece[i] : &end;

		client.next_in = (unsigned char *)(uintptr_t)v->p;
		client.avail_in = (unsigned)v->len;
		while (client.avail_in > 0)
			assert_int_equal(inflate(&client, Z_SYNC_FLUSH),
			    Z_OK);
	}
	return sizeof(got) - client.avail_out;
}

static void
test_messages(void **state)
{
	static char text[200000], head[70000];
	unsigned char stored[NR_DEFLATE_STORED];
	struct nr_rng rng = { 11 };
	struct nr_deflater *d;
	struct nr_buf b = { 0 };
	struct nr_view part[2], piece[3];
	size_t i, j, n, h, cut;
	unsigned range;

	(void)state;
	assert_int_equal(nr_deflater_new(&d, 1), NR_OK);
	assert_int_equal(inflateInit2(&client, -15), Z_OK);
	for (i = 0; i < 400; i++) {
		n = nr_rng_below(&rng, i % 10 == 0 ? sizeof(text) : 3000);
		h = nr_rng_below(&rng, i % 50 == 0 ? 65536 : 100);
		range = i % 3 == 0 ? 256 : 6;
		for (j = 0; j < n; j++)
			text[j] = (char)nr_rng_below(&rng, range);
		for (j = 0; j < h; j++)
			head[j] = (char)nr_rng_below(&rng, 256);
		cut = n > 0 ? nr_rng_below(&rng, n) : 0;
		part[0] = (struct nr_view){ text, cut };
		part[1] = (struct nr_view){ text + cut, n - cut };
		assert_int_equal(nr_deflate(d, &b, part, 2), NR_OK);
		if (range == 6 && n > 500)
			assert_true(b.len < n);
		nr_deflate_stored(stored, h);
		piece[0] = (struct nr_view){ (char *)stored, sizeof(stored) };
		piece[1] = (struct nr_view){ head, h };
		piece[2] = (struct nr_view){ b.p, b.len };
		assert_int_equal(inflated(piece, 3), h + n);
		assert_memory_equal(got, head, h);
		assert_memory_equal(got + h, text, n);
	}
	(void)inflateEnd(&client);
	nr_buf_free(&b);
	nr_deflater_free(d);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_messages)
	};

	return NR_RUN(tests);
}
