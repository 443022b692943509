/*
 * Expressions of jq over events: what is true, what is refused and where,
 * and what must not end the process.
 */
#include "unit.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "event/event.h"
#include "policy/jq.h"
#include "util/err.h"

#define HEX64 "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

#define EVENT(created, tags, content) \
	"{\"id\":\"" HEX64 "\",\"pubkey\":\"" HEX64 "\",\"created_at\":" \
	created ",\"kind\":1,\"tags\":" tags ",\"content\":\"" content \
	"\",\"sig\":\"" HEX64 HEX64 "\"}"

static const char plain[] = EVENT("1700000000",
    "[[\"t\",\"nostr\"],[\"p\",\"abc\",\"wss://x\"],[\"t\",\"jq\"],[\"-\"],"
    "[],[\"content\"]]", "Hello\\n\\\"World\\\" \\\\ \\u0001 \xc3\xa9\xf0\x9f"
    "\x98\x80");

static struct nr_jq *
compile(const char *text)
{
	struct nr_jq *q = NULL;
	char why[256];
	int rc = nr_jq_new(&q, text, why, sizeof(why));

	if (rc != NR_OK)
		print_message("# %s: %s\n", text, why);
	assert_int_equal(rc, NR_OK);
	return q;
}

static struct nr_jq_doc *
doc_of(const char *json)
{
	struct nr_jq_doc *d;
	struct nr_event ev;
	char *line = malloc(NR_EVENT_LINE_MAX(strlen(json)));
	size_t pos;

	assert_int_equal(nr_jq_doc_new(&d), NR_OK);
	assert_int_equal(nr_event_read(&ev, json, strlen(json),
	    &nr_event_limits_pipe, &pos), NR_VALID);
	nr_event_normalise(&ev, line);
	assert_int_equal(nr_jq_doc_event(d, &ev), NR_OK);
	free(line);
	return d;
}

static int
ask(const char *text, const char *event)
{
	struct nr_jq *q = compile(text);
	struct nr_jq_doc *d = doc_of(event);
	int yes = nr_jq_test(q, d);

	/* The same again: nothing is left over. */
	assert_int_equal(nr_jq_test(q, d), yes);
	nr_jq_free(q);
	nr_jq_doc_free(d);
	return yes;
}

static void
test_truth(void **state)
{
	static const struct {
		const char	*text;
		int		 yes;
	} t[] = {
		{ ".kind == 1", 1 }, { ".kind == 2", 0 }, { "null", 0 },
		{ "false", 0 }, { "empty", 0 }, { "0", 1 }, { "\"\"", 1 },
		{ "false, null, 3", 1 }, { "error(\"x\")", -1 },
		{ "false, error(\"x\")", -1 }, { "1, error(\"x\")", 1 },
		{ ".kind.x", -1 }, { "repeat(false)", -1 },
		{ "(.tags | length) == 6", 1 },
		{ ".content == \"Hello\\n\\\"World\\\" \\\\ \\u0001 \\u00e9"
		    "\xf0\x9f\x98\x80\"", 1 },
		{ ".sig == .id + .pubkey", 1 }, { "keys | length == 7", 1 },
		{ "def f: 3; f == 3 # a comment", 1 },
		{ "# first\n.kind == 1\n", 1 },
		{ ".kind == 1 as $x | $x", 1 },
		/* what jq's own words are not */
		{ ".env, .input.debug", 0 }, { "{env: 1, halt : 2} | .env", 1 },
		{ "\"env\" == \"env\"", 1 }, { "\"\\\"\" + \"env\" | . != null",
		    1 }, { "1 # env", 1 }, { "{\"input\": 1} | .input", 1 },
		{ "1 as $env | $env", 1 }, { "\"(\\(\"a)\\(\"b\")\")\" == "
		    "\"(a)b\"", 1 }
	};
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		int yes = ask(t[i].text, plain);

		if (yes != t[i].yes)
			print_message("# %s\n", t[i].text);
		assert_int_equal(yes, t[i].yes);
	}
}

static void
test_helpers(void **state)
{
	static const char *const yes[] = {
		"tags(\"t\") == [[\"t\", \"nostr\"], [\"t\", \"jq\"]]",
		"tags(\"x\") == []", "tag(\"t\") == [\"t\", \"nostr\"]",
		"tag(\"x\") == null", "value(\"p\") == \"abc\"",
		"value(\"-\") == null", "value(\"x\") == null",
		"has(\"t\") and has(\"-\") and (has(\"x\") | not)",
		"hasnt(\"x\") and (hasnt(\"p\") | not)",
		"has_value(\"t\"; \"jq\")",
		"has_value(\"t\"; \"abc\") | not",
		"tags(\"p\", \"x\") | length == 1",
		/* jq's own has */
		"has(\"kind\") and has(\"content\")",
		"({a: 1} | has(\"a\")) and ({a: 1} | has(\"t\") | not)",
		"[1, 2] | has(1) and (has(2) | not)",
		"[.tags[0] | has(0, 1, 2)] == [true, true, false]",
		"({tags: 5} | has(\"tags\")) and ({tags: 5} | has(\"t\") | "
		    "not)",
		"\"kind\" | in({kind: 1})", "0 | in([1])",
		"try ([1] | has(\"a\")) catch \"wrong\" | . == \"wrong\" or "
		    "contains(\"Cannot\")",
		"date == \"2023-11-14\"", "time == \"22:13:20\"",
		"datetime == \"2023-11-14T22:13:20Z\"",
		"(.created_at | todate) == datetime",
		"(.created_at | gmtime | strftime(\"%H\")) == \"22\"",
		"(datetime | fromdate) == .created_at"
	};
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(yes) / sizeof(yes[0]); i++) {
		int got = ask(yes[i], plain);

		if (got != 1)
			print_message("# %s\n", yes[i]);
		assert_int_equal(got, 1);
	}
}

static void
test_errors(void **state)
{
	static const struct {
		const char	*text, *why;
	} t[] = {
		{ "", "empty" }, { " \n\t", "empty" },
		{ ".a | .b +* 3", "line 1, column 10: syntax error, "
		    "unexpected '*'" },
		{ ".a\n | .b +* 3", "line 2, column 8: syntax error" },
		{ ".kind ==", "line 1, column 7: syntax error, unexpected $end"
		    },
		{ ".a and foo(1)", "line 1, column 8: foo/1 is not defined" },
		{ ".a |\n\n $x", "line 3, column 2: $x is not defined" },
		{ "\"\\x\"", "line 1, column 2: Invalid escape" },
		{ "1 )", "line 1, column 3: syntax error" },
		{ "1 +   ", "line 1, column 4: syntax error" },
		{ "input", "line 1, column 1: input cannot be used here" },
		{ "1,\n [inputs]", "line 2, column 3: inputs cannot" },
		{ "env.HOME", "line 1, column 1: env cannot" },
		{ "$ENV.HOME", "line 1, column 1: $ENV cannot" },
		{ "$ ENV.HOME", "line 1, column 3: ENV cannot" },
		{ "$ # c\n\tENV.HOME", "line 2, column 2: ENV cannot" },
		{ "\"a\\(1 + (env|length))\"", "line 1, column 10: env cannot"
		    },
		{ "\"a\\(\"b\\(debug)\")\"", "line 1, column 9: debug cannot"
		    },
		{ "\"a\\(1)\" | halt", "line 1, column 11: halt cannot" },
		{ "import \"a\" as a; 1", "line 1, column 1: import cannot" },
		{ "include \"a\"; 1", "line 1, column 1: include cannot" },
		{ "def f: stderr; f", "line 1, column 8: stderr cannot" },
		{ "\"a\" | modulemeta", "line 1, column 7: modulemeta cannot" },
		{ "\xff", "line 1, column 1: syntax error" }
	};
	struct nr_jq *q = NULL;
	char why[256], deep[512] = "", *big;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		assert_int_equal(nr_jq_new(&q, t[i].text, why, sizeof(why)),
		    NR_EINVAL);
		if (strncmp(why, t[i].why, strlen(t[i].why)) != 0)
			print_message("# %s: %s\n", t[i].text, why);
		assert_memory_equal(why, t[i].why, strlen(t[i].why));
	}
	for (i = 0; i < 100; i++)
		memcpy(deep + 3 * i, "\"\\(", 4);
	assert_int_equal(nr_jq_new(&q, deep, why, sizeof(why)), NR_EINVAL);
	big = malloc(NR_JQ_MAX + 2);
	memset(big, '1', NR_JQ_MAX + 1);
	big[NR_JQ_MAX + 1] = '\0';
	assert_int_equal(nr_jq_new(&q, big, why, sizeof(why)), NR_EINVAL);
	free(big);
	assert_int_equal(nr_jq_new(&q, "(", why, 5), NR_EINVAL);
	assert_true(strlen(why) < 5);
	assert_null(q);
	nr_jq_free(NULL);
	nr_jq_doc_free(NULL);
}

/* With events that anybody may send, these abort in libjq alone. */
static void
test_survives(void **state)
{
	static const char far[] = EVENT("9223372036854775807", "[]",
	    "x\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80xx y");
	static const struct {
		const char	*text;
		int		 yes;
	} t[] = {
		{ "datetime", -1 }, { "date", -1 }, { "time", -1 },
		{ ".created_at | todate", -1 },
		{ ".created_at | strftime(\"%Y\")", -1 },
		{ ".created_at | strflocaltime(\"%Y\")", -1 },
		{ "now | strftime(1)", -1 },
		{ "[.content | match(\"\"; \"g\")] | length == 8", 1 },
		{ "[.content | match(\"x*\"; \"g\") | .string] == "
		    "[\"x\", \"\", \"\", \"\", \"xx\", \"\", \"\"]", 1 },
		{ "[.content | match(\"(?<a>x)\"; \"g\") | .offset, "
		    ".captures[0].offset] == [0, 0, 4, 4, 5, 5]", 1 },
		{ "[.content | match([\"\\\\bx\", \"g\"]) | .offset] == "
		    "[0, 4]", 1 },
		{ "[.content | scan(\"^x\")] == [\"x\"]", 1 },
		{ "[.content | scan(\"(x)(x)\")] == [[\"x\", \"x\"]]", 1 },
		{ "[.content | match(\"X Y # z\"; \"gix\")] | length == 0", 1
		    },
		{ "(.content | gsub(\"x*\"; \"_\") | length) > 0", 1 },
		{ "(.content | gsub(\"x\"; \"ab\")) == "
		    "\"ab\\u00e9\xe2\x82\xac\xf0\x9f\x98\x80" "abab y\"", 1 },
		{ "(\"abc\" | gsub(\"\"; \"x\") | length) > 3", 1 },
		{ "(\"abc\" | gsub(\"^\"; \"x\")) == \"xabc\"", 1 },
		{ "(\"abcb\" | sub(\"(?<l>b)\"; \"<\\(.l)>\")) == "
		    "\"a<b>cb\"", 1 },
		{ "(\"aXbxc\" | [splits(\"x\"; \"i\")]) == "
		    "[\"a\", \"b\", \"c\"]", 1 },
		{ "(\"a, b,c\" | split(\", *\"; null)) == "
		    "[\"a\", \"b\", \"c\"]", 1 },
		{ "\"abc\" | capture(\"(?<x>b)(?<y>c)\") == "
		    "{x: \"b\", y: \"c\"}", 1 },
		{ "[\"a\"] | implode", -1 },
		{ ".content | match(\"(\")", -1 },
		{ ".content | match(\"x\"; \"q\")", -1 },
		{ ".content | fromjson", -1 }, { "1 | match(\"a\"; \"g\")", -1 }
	};
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		int yes = ask(t[i].text, far);

		if (yes != t[i].yes)
			print_message("# %s: %d\n", t[i].text, yes);
		assert_int_equal(yes, t[i].yes);
	}
}

/* An event is the same whoever read it: its text is its own literal. */
static void
test_same_as_parsed(void **state)
{
	static const char *const event[] = {
		plain, EVENT("0", "[]", ""), EVENT("4294967296", "[[]]", "a"),
		EVENT("1", "[[\"\"],[\"a\",\"b\",\"c\",\"d\",\"e\",\"f\",\"g\","
		    "\"h\\n\\\"\"],[\"\\\\\"]]", "\\u001f\\t\\b\\f\\r \\\\( "
		    "\\\\\\\\ \xef\xbf\xbf")
	};
	struct nr_jq_doc *d, *e;
	struct nr_jq *q;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(event) / sizeof(event[0]); i++) {
		char text[2048];

		snprintf(text, sizeof(text), ". == %s", event[i]);
		q = compile(text);
		d = doc_of(event[i]);
		assert_int_equal(nr_jq_doc_new(&e), NR_OK);
		assert_int_equal(nr_jq_test(q, e), 0);
		assert_int_equal(nr_jq_doc_parse(e, event[i],
		    strlen(event[i])), NR_OK);
		assert_int_equal(nr_jq_test(q, d), 1);
		assert_int_equal(nr_jq_test(q, e), 1);
		assert_int_equal(nr_jq_doc_parse(e, "{\"a\":", 5), NR_EINVAL);
		assert_int_equal(nr_jq_test(q, e), 1);
		assert_int_equal(nr_jq_doc_parse(e, "[1]", 3), NR_OK);
		assert_int_equal(nr_jq_test(q, e), 0);
		nr_jq_doc_free(d);
		nr_jq_doc_free(e);
		nr_jq_free(q);
	}
}

static void *
ask_often(void *arg)
{
	struct nr_jq *q, *r;
	struct nr_jq_doc *d;
	char why[100];
	unsigned i;

	(void)arg;
	if (nr_jq_new(&q, ".content | test(\"w[o]+rld\"; \"i\")", why,
	    sizeof(why)) != NR_OK || nr_jq_new(&r, ".content.x", why,
	    sizeof(why)) != NR_OK)
		return NULL;
	d = doc_of(plain);
	for (i = 0; i < 2000; i++)
		if (nr_jq_test(q, d) != 1 || nr_jq_test(r, d) != -1)
			return NULL;
	nr_jq_free(q);
	nr_jq_free(r);
	nr_jq_doc_free(d);
	return arg;
}

static void
test_threads(void **state)
{
	pthread_t t[4];
	unsigned i;
	void *done;

	(void)state;
	for (i = 0; i < 4; i++)
		assert_int_equal(pthread_create(&t[i], NULL, ask_often, t), 0);
	for (i = 0; i < 4; i++) {
		assert_int_equal(pthread_join(t[i], &done), 0);
		assert_ptr_equal(done, t);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_truth), cmocka_unit_test(test_helpers),
		cmocka_unit_test(test_errors), cmocka_unit_test(test_survives),
		cmocka_unit_test(test_same_as_parsed),
		cmocka_unit_test(test_threads)
	};

	return NR_RUN(tests);
}
