/*
 * NIP-11 documents judged, URLs normalised, drafts of NIP-66.
 */
#include "unit.h"

#include <string.h>

#include "bench/nip11.h"
#include "bench/nip66.h"
#include "util/err.h"

static void
test_urls(void **state)
{
	/* By RFC 3986, section 6; some of these are its own examples. */
	static const char *const t[][2] = {
		{ "wss://relay.example.com", "wss://relay.example.com/" },
		{ "WSS://Relay.Example.COM:443", "wss://relay.example.com/" },
		{ "ws://a:80/", "ws://a/" },
		{ "ws://a:8080//", "ws://a:8080/" },
		{ "wss://[2001:DB8::1]:444/x", "wss://[2001:db8::1]:444/x" },
		{ "wss://a/a/b/c/./../../g", "wss://a/a/g" },
		{ "wss://a/mid/content=5/../6", "wss://a/mid/6" },
		{ "wss://a/../../b", "wss://a/b" },
		{ "wss://a/b/.", "wss://a/b" },
		{ "wss://a/b/..", "wss://a/" },
		{ "wss://a/.b/..c/...", "wss://a/.b/..c/..." },
		{ "wss://a/%7euser/%3a%2F", "wss://a/~user/%3A%2F" },
		{ "wss://a/%", "wss://a/%" },
		{ "wss://a/%zz%4", "wss://a/%zz%4" },
		{ "wss://a/%7%65", "wss://a/~" },
		{ "wss://a/b/c/..", "wss://a/b" },
		{ "wss://a/b?x=/../y", "wss://a/b?x=/../y" },
		{ "wss://a/./?q", "wss://a/?q" }
	};
	char out[NR_NIP66_URL];
	struct nr_url u;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		assert_int_equal(nr_url_parse(&u, t[i][0], strlen(t[i][0])),
		    1);
		nr_nip66_url(out, &u);
		assert_string_equal(out, t[i][1]);
	}
}

static void
test_networks(void **state)
{
	(void)state;
	assert_string_equal(nr_nip66_network("relay.example.com"), "clearnet");
	assert_string_equal(nr_nip66_network("abc.onion"), "tor");
	assert_string_equal(nr_nip66_network("abc.i2p"), "i2p");
	assert_string_equal(nr_nip66_network("abc.loki"), "loki");
	assert_string_equal(nr_nip66_network(".onion"), "clearnet");
	assert_string_equal(nr_nip66_network("onion.example"), "clearnet");
}

static void
test_good(void **state)
{
	static const char text[] =
	    " {\"name\": \"a \\\" b\", \"supported_nips\": [1, 11.0, 1],\n"
	    "\"limitation\": {\"auth_required\": true, "
	    "\"min_pow_difficulty\": 8},\t\"tags\": [\"x y\", \"\", 1],"
	    "\"language_tags\": [\"en\"], \"unknown\": [[{}]]} \n";
	struct nr_buf b = { 0 };
	struct nr_nip11 d;

	(void)state;
	nr_nip11_read(&d, text, strlen(text));
	assert_true(d.object && !d.broken);
	assert_int_equal(d.nnips, 2);
	assert_true(nr_nip11_names(&d, 1) && nr_nip11_names(&d, 11));
	assert_false(nr_nip11_names(&d, 2));
	assert_int_equal(d.auth, 1);
	assert_int_equal(d.payment, -1);
	assert_int_equal(d.restricted, -1);
	assert_int_equal(d.pow, 8);
	assert_int_equal(d.ntopics, 1);
	assert_int_equal(d.nlanguages, 1);
	assert_int_equal(d.nflaws, 1);
	assert_string_equal(d.flaw[0].text, "supported_nips names 1 twice");
	assert_int_equal(d.flaw[0].weight, NR_NIP11_ADVICE);
	assert_int_equal(nr_nip11_line(&b, text, strlen(text)), NR_OK);
	assert_int_equal(nr_buf_add(&b, "", 1), NR_OK);
	assert_string_equal(b.p, "{\"name\":\"a \\\" b\",\"supported_nips\":"
	    "[1,11.0,1],\"limitation\":{\"auth_required\":true,"
	    "\"min_pow_difficulty\":8},\"tags\":[\"x y\",\"\",1],"
	    "\"language_tags\":[\"en\"],\"unknown\":[[{}]]}");
	nr_buf_free(&b);
}

static void
test_broken(void **state)
{
	static const char *const t[] = {
		"", " ", "[]", "1", "{", "{}x", "{\"name\":[]}",
		"{\"supported_nips\":{}}", "{\"supported_nips\":[-1]}",
		"{\"supported_nips\":[1.5]}", "{\"supported_nips\":[70000]}",
		"{\"limitation\":[]}", "{\"limitation\":{\"max_limit\":1.5}}",
		"{\"limitation\":{\"auth_required\":\"true\"}}",
		"{\"fees\":{\"admission\":{}}}", "{\"fees\":{\"x\":[1]}}"
	};
	struct nr_nip11 d;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		nr_nip11_read(&d, t[i], strlen(t[i]));
		if (!d.broken || d.nflaws != 1)
			fail_msg("not broken: %s", t[i]);
	}
	/* The room for what is wrong has an end. */
	nr_nip11_read(&d, "{}", 2);
	assert_int_equal(d.nflaws, 0);
	for (i = 0; i < 2 * NR_NIP11_FLAWS; i++)
		nr_nip11_flaw(&d, NR_NIP11_WRONG, "x");
	assert_int_equal(d.nflaws, NR_NIP11_FLAWS);
	assert_false(d.broken);
}

static void
test_harmless(void **state)
{
	static const char *const t[] = {
		"{\"pubkey\":\"\"}",
		"{\"name\":\"12345678901234567890123456789\"}",
		"{\"contact\":\"mailto:a@example.com\"}",
		"{\"software\":\"git+https://example.com/x\"}",
		"{\"limitation\":{\"max_limit\":0,\"other\":[]}}",
		"{\"fees\":{\"publication\":[{\"kinds\":[4],\"amount\":100,"
		    "\"unit\":\"msats\"}]}}"
	};
	struct nr_nip11 d;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		nr_nip11_read(&d, t[i], strlen(t[i]));
		if (d.nflaws != 0)
			fail_msg("%s: %s", t[i], d.flaw[0].text);
	}
}

static void
test_drafts(void **state)
{
	static const char url[] = "wss://a.onion/x";
	static const struct nr_nip66_check check[] = {
		{ "open", 500 }, { "dns", 0 }, { NULL, 0 }
	};
	struct nr_buf b = { 0 };
	struct nr_url u;
	struct nr_nip66 n = {
		.url = &u, .time = 17, .open_ms = 5, .read_ms = -1,
		.write_ms = -1, .auth = -1, .writes = -1, .pow = 0,
		.payment = 1
	};

	(void)state;
	assert_int_equal(nr_url_parse(&u, url, strlen(url)), 1);
	assert_int_equal(nr_nip66_relay(&b, &n), NR_OK);
	assert_int_equal(nr_buf_add(&b, "", 1), NR_OK);
	assert_string_equal(b.p, "{\"kind\":30166,\"created_at\":17,\"tags\":["
	    "[\"d\",\"wss://a.onion/x\"],[\"n\",\"tor\"],[\"R\",\"!pow\"],"
	    "[\"R\",\"payment\"],[\"rtt-open\",\"5\"]],\"content\":\"\"}");
	b.len = 0;
	assert_int_equal(nr_nip66_monitor(&b, 17, 3600, check), NR_OK);
	assert_int_equal(nr_buf_add(&b, "", 1), NR_OK);
	assert_string_equal(b.p, "{\"kind\":10166,\"created_at\":17,\"tags\":["
	    "[\"frequency\",\"3600\"],[\"timeout\",\"open\",\"500\"],"
	    "[\"c\",\"open\"],[\"c\",\"dns\"]],\"content\":\"\"}");
	nr_buf_free(&b);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_urls), cmocka_unit_test(test_networks),
		cmocka_unit_test(test_good), cmocka_unit_test(test_broken),
		cmocka_unit_test(test_harmless),
		cmocka_unit_test(test_drafts)
	};

	return NR_RUN(tests);
}
