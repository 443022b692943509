/*
 * The JSON scanner: every verdict with its place, numbers in every
 * notation, strings both ways.
 */
#include "unit.h"

#include <stdio.h>
#include <string.h>

#include "util/json.h"
#include "util/rng.h"

static enum nr_json_rc
pass_over(const char *text, size_t len, unsigned depth, size_t *pos)
{
	struct nr_json j = { text, text + len };
	enum nr_json_rc rc = nr_json_skip(&j, depth);

	*pos = (size_t)(j.p - text);
	return rc;
}

static void
test_values(void **state)
{
	static const struct {
		const char *text;
		enum nr_json_rc want;
		size_t pos;
	} t[] = {
		{ "null", NR_JSON_OK, 4 }, { "true", NR_JSON_OK, 4 },
		{ "false", NR_JSON_OK, 5 }, { "  12 ", NR_JSON_OK, 4 },
		{ "-0.5e-3", NR_JSON_OK, 7 }, { "\"\"", NR_JSON_OK, 2 },
		{ "[]", NR_JSON_OK, 2 }, { "{}", NR_JSON_OK, 2 },
		{ "[1,[2,{\"a\":[ ]}] , 3]", NR_JSON_OK, 21 },
		{ "{\"a\":1,\"b\":{\"c\":null}}", NR_JSON_OK, 22 },
		{ "", NR_JSON_TRUNCATED, 0 }, { "nul", NR_JSON_TRUNCATED, 3 },
		{ "nulL", NR_JSON_SYNTAX, 3 }, { "[1,]", NR_JSON_SYNTAX, 3 },
		{ "[1 2]", NR_JSON_SYNTAX, 3 }, { "{1:2}", NR_JSON_SYNTAX, 1 },
		{ "{\"a\" 1}", NR_JSON_SYNTAX, 5 },
		{ "{\"a\":1,}", NR_JSON_SYNTAX, 7 },
		{ "[1}", NR_JSON_SYNTAX, 2 }, { "{\"a\":1]", NR_JSON_SYNTAX, 6 },
		{ "[", NR_JSON_TRUNCATED, 1 }, { "{\"a", NR_JSON_TRUNCATED, 3 },
		{ "01", NR_JSON_SYNTAX, 1 }, { "1.", NR_JSON_TRUNCATED, 2 },
		{ "1.x", NR_JSON_SYNTAX, 2 }, { "1e", NR_JSON_TRUNCATED, 2 },
		{ "1e+", NR_JSON_TRUNCATED, 3 }, { "-", NR_JSON_TRUNCATED, 1 },
		{ "+1", NR_JSON_SYNTAX, 0 }, { "'a'", NR_JSON_SYNTAX, 0 },
		{ "\"a\nb\"", NR_JSON_CONTROL, 2 },
		{ "\"\\x\"", NR_JSON_ESCAPE, 1 },
		{ "\"\\u12g4\"", NR_JSON_ESCAPE, 1 },
		{ "\"\\u12", NR_JSON_TRUNCATED, 1 },
		{ "\"\\", NR_JSON_TRUNCATED, 1 },
		{ "\"\\u0000\"", NR_JSON_NUL, 1 },
		{ "\"\\ud800\"", NR_JSON_SURROGATE, 1 },
		{ "\"\\ud800x\"", NR_JSON_SURROGATE, 1 },
		{ "\"\\ud800\\n\"", NR_JSON_SURROGATE, 1 },
		{ "\"\\ud800\\ud800\"", NR_JSON_SURROGATE, 1 },
		{ "\"\\udc00\\ud800\"", NR_JSON_SURROGATE, 1 },
		{ "\"\\ud83e\\udd19\"", NR_JSON_OK, 14 },
		{ "\"\xc3\xa9\"", NR_JSON_OK, 4 },
		{ "\"\xed\xa0\x80\"", NR_JSON_UTF8, 1 },	/* surrogate */
		{ "\"\xc0\x80\"", NR_JSON_UTF8, 1 },	/* overlong */
		{ "\"\xe0\x80\x80\"", NR_JSON_UTF8, 1 },
		{ "\"\xf0\x80\x80\x80\"", NR_JSON_UTF8, 1 },
		{ "\"\xf4\x90\x80\x80\"", NR_JSON_UTF8, 1 },
		{ "\"\xf5\x80\x80\x80\"", NR_JSON_UTF8, 1 },
		{ "\"a\x80\"", NR_JSON_UTF8, 2 },
		{ "\"\xc3\"", NR_JSON_UTF8, 1 },
		{ "\"\xef\xb7\x91\"", NR_JSON_OK, 5 },	/* non-character */
		{ "\"0123456789abcde\"", NR_JSON_OK, 17 },
	};
	size_t i, pos;

	(void)state;
	for (i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		enum nr_json_rc rc = pass_over(t[i].text, strlen(t[i].text), 64,
		    &pos);

		if (rc != t[i].want || pos != t[i].pos)
			fail_msg("%s: %s at %zu", t[i].text,
			    nr_json_strerror(rc), pos);
	}
	assert_int_equal(pass_over("\"a\0b\"", 5, 64, &pos), NR_JSON_NUL);
	assert_int_equal(pos, 2);
}

static void
test_depth(void **state)
{
	char text[400];
	size_t pos;

	(void)state;
	memset(text, '[', 200);
	memset(text + 200, ']', 200);
	assert_int_equal(pass_over("[[]]", 4, 2, &pos), NR_JSON_OK);
	assert_int_equal(pass_over("[[]]", 4, 1, &pos), NR_JSON_DEPTH);
	assert_int_equal(pos, 1);
	assert_int_equal(pass_over(text, 400, 1000, &pos), NR_JSON_DEPTH);
	assert_int_equal(pos, NR_JSON_DEPTH_MAX);
	assert_int_equal(pass_over(text + 136, 128, 64, &pos), NR_JSON_OK);
}

static void
test_integers(void **state)
{
	static const struct {
		const char *text;
		enum nr_json_rc want;
		int64_t value;
		int plain;
	} t[] = {
		{ "0", NR_JSON_OK, 0, 1 }, { "-0", NR_JSON_OK, 0, 0 },
		{ "7", NR_JSON_OK, 7, 1 }, { "-7", NR_JSON_OK, -7, 1 },
		{ "1e+10", NR_JSON_OK, 10000000000, 0 },
		{ "1E2", NR_JSON_OK, 100, 0 }, { "1.0", NR_JSON_OK, 1, 0 },
		{ "1.5e1", NR_JSON_OK, 15, 0 }, { "0e999", NR_JSON_OK, 0, 0 },
		{ "1000e-3", NR_JSON_OK, 1, 0 },
		{ "0.00120e5", NR_JSON_OK, 120, 0 },
		{ "9223372036854775807", NR_JSON_OK, INT64_MAX, 1 },
		{ "-9223372036854775808", NR_JSON_OK, INT64_MIN, 1 },
		{ "9223372036854775808", NR_JSON_RANGE, 0, 1 },
		{ "99999999999999999999", NR_JSON_RANGE, 0, 1 },
		{ "1e19", NR_JSON_RANGE, 0, 1 },
		{ "1e999999999999999999999", NR_JSON_RANGE, 0, 1 },
		{ "1.5", NR_JSON_FRACTION, 0, 1 },
		{ "1e-1", NR_JSON_FRACTION, 0, 1 },
		{ "1e-999999999999999999999", NR_JSON_FRACTION, 0, 1 },
		{ "100e-3", NR_JSON_FRACTION, 0, 1 },
	};
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		struct nr_json j = { t[i].text, t[i].text + strlen(t[i].text) };
		int64_t v = 0;
		int plain = 1;
		enum nr_json_rc rc = nr_json_int(&j, &v, &plain);

		if (rc != t[i].want || v != t[i].value ||
		    plain != t[i].plain)
			fail_msg("%s: %s, %lld, %d", t[i].text,
			    nr_json_strerror(rc), (long long)v, plain);
		if (rc == NR_JSON_OK)
			assert_ptr_equal(j.p, j.end);
		else
			assert_ptr_equal(j.p, t[i].text);
	}
}

static void
test_strings(void **state)
{
	static const struct {
		const char *text, *normal, *plain;
		unsigned flags;
	} t[] = {
		{ "abc", "abc", "abc", 0 },
		{ "\\n\\\"\\\\\\r\\t\\b\\f", "\\n\\\"\\\\\\r\\t\\b\\f",
		  "\n\"\\\r\t\b\f", NR_JSON_ESCAPED },
		{ "\\/", "/", "/", NR_JSON_ESCAPED | NR_JSON_REWRITE },
		{ "\\u000a", "\\n", "\n", NR_JSON_ESCAPED | NR_JSON_REWRITE },
		{ "\\u0001", "\\u0001", "\001", NR_JSON_ESCAPED },
		{ "\\u001F", "\\u001f", "\037",
		  NR_JSON_ESCAPED | NR_JSON_REWRITE },
		{ "\\u007f", "\177", "\177",
		  NR_JSON_ESCAPED | NR_JSON_REWRITE },
		{ "\\u0022\\u005C", "\\\"\\\\", "\"\\",
		  NR_JSON_ESCAPED | NR_JSON_REWRITE },
		{ "\\u00e9\\u20AC", "\xc3\xa9\xe2\x82\xac",
		  "\xc3\xa9\xe2\x82\xac", NR_JSON_ESCAPED | NR_JSON_REWRITE },
		{ "x\\ud83e\\udd19y", "x\xf0\x9f\xa4\x99y",
		  "x\xf0\x9f\xa4\x99y", NR_JSON_ESCAPED | NR_JSON_REWRITE },
	};
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		char text[64], out[64];
		struct nr_json j;
		struct nr_view v;
		unsigned flags = 0;
		int n = snprintf(text, sizeof(text), "\"%s\"", t[i].text);

		j.p = text;
		j.end = text + n;
		assert_int_equal(nr_json_string(&j, &v, &flags), NR_JSON_OK);
		assert_int_equal(flags, t[i].flags);
		assert_int_equal(nr_json_normal(out, v.p, v.len),
		    strlen(t[i].normal));
		assert_memory_equal(out, t[i].normal, strlen(t[i].normal));
		assert_int_equal(nr_json_decode(out, v.p, v.len),
		    strlen(t[i].plain));
		assert_memory_equal(out, t[i].plain, strlen(t[i].plain));
	}
}

/* A special byte at every place of a string must be seen there. */
static void
test_every_offset(void **state)
{
	static const struct {
		char c;
		enum nr_json_rc want;
	} bad[] = {
		{ '\n', NR_JSON_CONTROL }, { '\x1f', NR_JSON_CONTROL },
		{ '\x80', NR_JSON_UTF8 }, { '\xff', NR_JSON_UTF8 },
		{ '\0', NR_JSON_NUL }, { '\\', NR_JSON_ESCAPE },
	};
	char text[64];
	size_t len, at, i, pos;

	(void)state;
	for (len = 1; len < 40; len++)
		for (at = 0; at < len; at++)
			for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
				memset(text, 'x', sizeof(text));
				text[0] = text[len + 1] = '"';
				text[at + 1] = bad[i].c;
				/* A backslash must not escape the quote. */
				if (bad[i].c == '\\' && at + 1 == len)
					continue;
				assert_int_equal(pass_over(text, len + 2, 1, &pos),
				    bad[i].want);
				assert_int_equal(pos, at + 1);
			}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_values),
		cmocka_unit_test(test_depth),
		cmocka_unit_test(test_integers),
		cmocka_unit_test(test_strings),
		cmocka_unit_test(test_every_offset),
	};

	return NR_RUN(tests);
}
