/*
 * What clients build on: relays' messages, URLs as people write them, ids
 * that have been seen, HyperLogLog values.
 */
#include "unit.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "filter/hll.h"
#include "util/idset.h"
#include "util/rng.h"
#include "wire/answer.h"
#include "wire/url.h"

static struct nr_view
view(const char *s)
{
	return (struct nr_view){ s, strlen(s) };
}

static void
test_answers(void **state)
{
	static const struct {
		const char *text, *why;
		enum nr_answer_verb verb;
	} t[] = {
		{ "[\"EVENT\",\"a\",{}]", NULL, NR_ANSWER_EVENT },
		{ " [ \"EOSE\" , \"a\" ] ", NULL, NR_ANSWER_EOSE },
		{ "[\"EOSE\",\"a\",{\"x\":1}]", NULL, NR_ANSWER_EOSE },
		{ "[\"CLOSED\",\"a\"]", NULL, NR_ANSWER_CLOSED },
		{ "[\"CLOSED\",\"a\",\"x\",1,2]", NULL, NR_ANSWER_CLOSED },
		{ "[\"HELLO\",{\"a\":[]}]", NULL, NR_ANSWER_OTHER },
		{ "[\"NEG-ERR\",\"n\",\"blocked: x\",5]", NULL,
		    NR_ANSWER_NEG_ERR },
		{ "", "not a JSON array", NR_ANSWER_OTHER },
		{ "{}", "not a JSON array", NR_ANSWER_OTHER },
		{ "[]", "no verb", NR_ANSWER_OTHER },
		{ "[1]", "no verb", NR_ANSWER_OTHER },
		{ "[\"EVENT\"]", "no subscription id", NR_ANSWER_EVENT },
		{ "[\"EVENT\",\"a\"]", "no event", NR_ANSWER_EVENT },
		{ "[\"EVENT\",\"a\",{}", "not a JSON array",
		    NR_ANSWER_EVENT },
		{ "[\"EOSE\",1]", "no subscription id", NR_ANSWER_EOSE },
		{ "[\"EOSE\",\"a\"]x", "bytes behind the message",
		    NR_ANSWER_EOSE },
		{ "[\"OK\",\"00\",true,\"\"]", "no event id", NR_ANSWER_OK },
		{ "[\"NOTICE\",{}]", "no text", NR_ANSWER_NOTICE },
		{ "[\"AUTH\"]", "no text", NR_ANSWER_AUTH },
		{ "[\"COUNT\",\"a\",{}]", "no count", NR_ANSWER_COUNT },
		{ "[\"COUNT\",\"a\",{\"count\":-1}]",
		    "the count is no number", NR_ANSWER_COUNT },
		{ "[\"NEG-MSG\",\"n\"]", "no message", NR_ANSWER_NEG_MSG },
	};
	struct nr_answer a;
	const char *why;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		why = nr_answer_read(&a, t[i].text, strlen(t[i].text));
		if (t[i].why == NULL)
			assert_null(why);
		else
			assert_string_equal(why, t[i].why);
		assert_int_equal(a.verb, t[i].verb);
	}
}

static void
parse(struct nr_answer *a, const char *text)
{
	assert_null(nr_answer_read(a, text, strlen(text)));
}

static void
test_answer_parts(void **state)
{
	struct nr_answer a;
	char text[600], out[16];

	(void)state;
	parse(&a, "[\"EVENT\",\"s\", {\"id\":1} ] ");
	assert_true(nr_answer_is(&a, "s"));
	assert_memory_equal(a.event.p, "{\"id\":1}", 8);
	snprintf(text, sizeof(text), "[\"OK\",\"%064d\",false,\"pow: 3\"]", 7);
	parse(&a, text);
	assert_int_equal(a.id[31], 7);
	assert_false(a.accepted);
	assert_true(nr_answer_prefix(a.text, "pow"));
	parse(&a, "[\"EOSE\",\"s\",[\"x\",1,\"more\"]]");
	assert_true(a.more && !a.finish);
	snprintf(text, sizeof(text), "[\"COUNT\",\"c\",{\"hll\":\"%0512d\","
	    "\"count\":12,\"approximate\":true}]", 0);
	parse(&a, text);
	assert_true(a.count == 12 && a.approximate && a.has_hll);
	parse(&a, "[\"NEG-ERR\",\"n\",\"blocked: \",99]");
	assert_true(a.has_max && a.max == 99);
	nr_answer_show(out, 6, view("ab\\n\\ud83e\\udd19x"));
	assert_string_equal(out, "ab?");
	nr_answer_show(out, sizeof(out), view("ab\\n\\ud83e\\udd19x"));
	assert_string_equal(out, "ab?\xf0\x9f\xa4\x99x");
}

static void
test_reasons(void **state)
{
	static const struct {
		const char *text;
		int wait;
	} t[] = {
		{ "rate-limited: try again in 30 seconds", 30 },
		{ "rate-limited: slow down, wait 2m", 120 },
		{ "retry after 1500ms", 2 }, { "try again in 1.5 s", 2 },
		{ "try again in 1h", 3600 }, { "try again in 99d", 86400 },
		{ "try again in 1 week", 86400 }, { "again in 2 parsecs", -1 },
		{ "come in 99999999999999999999", 86400 },
		{ "rate-limited: 5 a minute", -1 }, { "", -1 },
	};
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(t) / sizeof(t[0]); i++)
		assert_int_equal(nr_answer_wait(view(t[i].text)), t[i].wait);
	assert_true(nr_answer_prefix(view("auth-required: x"),
	    "auth-required"));
	assert_true(nr_answer_prefix(view("ERROR: auth-required: x"),
	    "auth-required"));
	assert_false(nr_answer_prefix(view("auth-required"),
	    "auth-required"));
}

static void
test_urls(void **state)
{
	static const struct {
		const char *text, *host, *port;
		int tls;
	} t[] = {
		{ "relay.example.com", "relay.example.com", "443", 1 },
		{ "relay.example.com:7777/x", "relay.example.com", "7777", 1 },
		{ "WS://Relay.Example.com", "relay.example.com", "80", 0 },
		{ "localhost", "localhost", "80", 0 },
		{ "localhost:7777", "localhost", "7777", 0 },
		{ "a.localhost", "a.localhost", "80", 0 },
		{ "notlocalhost", "notlocalhost", "443", 1 },
		{ "127.0.0.1:7777", "127.0.0.1", "7777", 0 },
		{ "[::1]:7777", "::1", "7777", 0 },
		{ "10.0.0.1", "10.0.0.1", "443", 1 },
		{ "wss://localhost", "localhost", "443", 1 },
	};
	static const char *const bad[] = {
		"", "http://a", "wss://", "a b", "wss://a/\"x", "a:99999",
		"wss://a/\n", "::1", "a\\b"
	};
	struct nr_url u;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		assert_true(nr_url_parse_operand(&u, t[i].text,
		    strlen(t[i].text)));
		assert_string_equal(u.host, t[i].host);
		assert_string_equal(u.port, t[i].port);
		assert_int_equal(u.tls, t[i].tls);
	}
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_false(nr_url_parse_operand(&u, bad[i],
		    strlen(bad[i])));
}

/* An id that looks like a hash. */
static void
make_id(unsigned char id[32], uint64_t n)
{
	struct nr_rng r = { n };
	uint64_t v;
	size_t i;

	for (i = 0; i < 32; i += 8) {
		v = nr_rng_next(&r);
		memcpy(id + i, &v, 8);
	}
}

static void
test_ids(void **state)
{
	struct nr_idset *s;
	unsigned char id[32];
	uint64_t i;
	int added;

	(void)state;
	assert_int_equal(nr_idset_new(&s, 20000), 0);
	for (i = 0; i < 100000; i++) {
		make_id(id, i);
		assert_int_equal(nr_idset_add(s, id, &added), 0);
		assert_true(added);
		assert_int_equal(nr_idset_add(s, id, &added), 0);
		assert_false(added);
		if (i >= 9999) {
			make_id(id, i - 9999);
			assert_true(nr_idset_has(s, id));
		}
		if (i >= 20000) {
			make_id(id, i - 20000);
			assert_false(nr_idset_has(s, id));
		}
	}
	nr_idset_free(s);
}

static void
test_hll(void **state)
{
	static const unsigned sizes[] = { 0, 1, 10, 100, 1000, 20000 };
	unsigned char a[NR_HLL_REGISTERS], b[NR_HLL_REGISTERS], key[32];
	unsigned i, j, n;
	double e;

	(void)state;
	for (i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		n = sizes[i];
		memset(a, 0, sizeof(a));
		memset(b, 0, sizeof(b));
		/* Two thirds each, so that a third is in both. */
		for (j = 0; j < n; j++) {
			make_id(key, j + 1000);
			if (j % 3 != 0)
				nr_hll_add(a, 12, key);
			if (j % 3 != 1)
				nr_hll_add(b, 12, key);
		}
		nr_hll_merge(a, b);
		e = nr_hll_estimate(a);
		assert_true(e >= n * 0.8 - 0.5 && e <= n * 1.2 + 0.5);
	}
	memset(b, 255, sizeof(b));
	nr_hll_merge(a, b);
	assert_true(isfinite(nr_hll_estimate(a)));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_answers),
		cmocka_unit_test(test_answer_parts),
		cmocka_unit_test(test_reasons),
		cmocka_unit_test(test_urls),
		cmocka_unit_test(test_ids),
		cmocka_unit_test(test_hll),
	};

	return NR_RUN(tests);
}
