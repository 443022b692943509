/*
 * Filters: what is read, what is refused and why, matching, narrowing,
 * the flags of the command line, NIP-19 names and times.
 */
#include "unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "event/nip19.h"
#include "event/tags.h"
#include "filter/args.h"
#include "filter/filter.h"
#include "util/hex.h"
#include "util/times.h"

#define A "3bf0c63fcb93463407af97a5e5ee64fa883d107ef9e558472c4eb9aaaefa459d"
#define B "7e7e9c42a91bfef19fa929e5fda1b72e0ebc1a4c1141673e2794234d86addf4e"
#define Z "0000000000000000000000000000000000000000000000000000000000000000"

static const char *
why_not(const char *text, const struct nr_filter_limits *limits)
{
	struct nr_filter f;
	const char *why;

	assert_int_equal(nr_filter_parse(&f, text, strlen(text), limits,
	    &why), 0);
	if (why == NULL)
		nr_filter_free(&f);
	return why;
}

static void
test_refusals(void **state)
{
	static const struct {
		const char *text, *why;
	} t[] = {
		{ "", "invalid: filter is not a JSON object" },
		{ "[]", "invalid: filter is not a JSON object" },
		{ "{} x", "invalid: bytes behind the filter" },
		{ "{\"kinds\":[1]", "invalid: filter is not JSON" },
		{ "{\"kinds\":[1}", "invalid: filter is not JSON" },
		{ "{\"kinds\":[1],}", "invalid: filter value is not a string" },
		{ "{\"kinds\":1}", "invalid: filter value is not a list" },
		{ "{\"kinds\":[\"1\"]}", "invalid: kinds must be integers" },
		{ "{\"kinds\":[1.5]}", "invalid: kinds must be integers" },
		{ "{\"kinds\":[-1]}", "invalid: kinds must be 0 to 65535" },
		{ "{\"kinds\":[65536]}", "invalid: kinds must be 0 to 65535" },
		{ "{\"kinds\":[1],\"kinds\":[2]}",
		  "invalid: a filter key is given twice" },
		{ "{\"#t\":[],\"#\\u0074\":[]}",
		  "invalid: a filter key is given twice" },
		{ "{\"ids\":[\"abc\"]}", "invalid: ids and authors in a filter "
		  "must be 64 lower-case hex digits" },
		{ "{\"authors\":[\"" "3BF0C63FCB93463407AF97A5E5EE64FA883D107E"
		  "F9E558472C4EB9AAAEFA459D\"]}", "invalid: ids and authors in "
		  "a filter must be 64 lower-case hex digits" },
		{ "{\"authors\":[1]}", "invalid: filter value is not a string" },
		{ "{\"#e\":[\"x\"]}", "invalid: #e and #p in a filter must be "
		  "64 lower-case hex digits" },
		{ "{\"#p\":[\"\"]}", "invalid: #e and #p in a filter must be "
		  "64 lower-case hex digits" },
		{ "{\"#t\":[\"\\ud800\"]}",
		  "invalid: filter value is not a valid string" },
		{ "{\"#tt\":[]}", "unsupported: only tags of one letter are "
		  "indexed" },
		{ "{\"#1\":[]}", "unsupported: only tags of one letter are "
		  "indexed" },
		{ "{\"since\":\"1\"}", "invalid: since is not an integer" },
		{ "{\"until\":1e30}", "invalid: until is not an integer" },
		{ "{\"limit\":-1}", "invalid: limit is negative" },
		{ "{\"limit\":null}", "invalid: limit is not an integer" },
		{ "{\"search\":\"x\"}", "unsupported: unknown filter key" },
		{ "{\"&t\":[\"x\"]}", "unsupported: unknown filter key" },
		{ "{\"#t\":[\"1\",\"2\",\"3\",\"4\"]}",
		  "invalid: too many values in a filter list" },
	};
	const struct nr_filter_limits three = { 3 };
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		const char *why = why_not(t[i].text, &three);

		if (why == NULL || strcmp(why, t[i].why) != 0)
			fail_msg("%s: %s", t[i].text,
			    why == NULL ? "accepted" : why);
	}
	assert_null(why_not("{}", &three));
	assert_null(why_not(" { \"since\" : -5 , \"until\":9223372036854775807,"
	    "\"limit\":0,\"#Z\":[\"a\",\"\"],\"ids\":[]} ", &three));
}

/* Lists are sorted and repetitions dropped, however they are written. */
static void
test_format(void **state)
{
	static const char text[] = "{\"#t\":[\"b\",\"\\u0061\",\"b\",\"\"],"
	    "\"kinds\":[7,1,7],\"limit\":5,\"ids\":[\"" B "\",\"" A "\"]}";
	static const char want[] = "{\"ids\":[\"" A "\",\"" B "\"],"
	    "\"kinds\":[1,7],\"#t\":[\"\",\"a\",\"b\"],\"limit\":5}";
	struct nr_buf b = { 0 };
	struct nr_filter f;
	const char *why;

	(void)state;
	assert_int_equal(nr_filter_parse(&f, text, strlen(text),
	    &nr_filter_limits_none, &why), 0);
	assert_null(why);
	assert_int_equal(nr_filter_format(&b, &f), 0);
	assert_int_equal(b.len, strlen(want));
	assert_memory_equal(b.p, want, b.len);
	nr_buf_free(&b);
	nr_filter_free(&f);
}

static const char event[] = "{\"id\":\"" A "\",\"pubkey\":\"" B "\","
    "\"created_at\":100,\"kind\":7,\"tags\":[[\"t\",\"a\"],[\"t\",\"b\","
    "\"c\"],[\"p\",\"" A "\"],[\"x\"],[\"q\",\"\"],[\"alt\",\"z\"],"
    "[\"T\",\"\\n\"]],\"content\":\"\",\"sig\":\"" Z Z "\"}";

static int
matches(const char *text)
{
	struct nr_filter f;
	struct nr_event ev;
	const char *why;
	int yes;

	assert_true(nr_event_view(&ev, event, strlen(event)));
	assert_int_equal(nr_filter_parse(&f, text, strlen(text),
	    &nr_filter_limits_none, &why), 0);
	assert_null(why);
	yes = nr_filter_match(&f, &ev);
	/* The view without an end to its tags must say the same. */
	assert_true(nr_event_view_head(&ev, event, strlen(event)));
	assert_int_equal(nr_filter_match(&f, &ev), yes);
	nr_filter_free(&f);
	return yes;
}

static void
test_match(void **state)
{
	static const char *const yes[] = {
		"{}", "{\"ids\":[\"" A "\"]}", "{\"authors\":[\"" B "\"]}",
		"{\"authors\":[\"" A "\",\"" B "\"]}", "{\"kinds\":[1,7]}",
		"{\"since\":100,\"until\":100}", "{\"#t\":[\"a\"]}",
		"{\"#t\":[\"x\",\"b\"]}", "{\"#p\":[\"" A "\"]}",
		"{\"#t\":[\"b\"],\"#p\":[\"" A "\"]}", "{\"#q\":[\"\"]}",
		"{\"#T\":[\"\\u000a\"]}", "{\"limit\":0}", "{\"since\":-1}",
	};
	static const char *const no[] = {
		"{\"ids\":[]}", "{\"kinds\":[]}", "{\"#t\":[]}",
		"{\"ids\":[\"" B "\"]}", "{\"authors\":[\"" A "\"]}",
		"{\"kinds\":[1]}", "{\"since\":101}", "{\"until\":99}",
		"{\"#t\":[\"c\"]}", "{\"#x\":[\"\"]}", "{\"#a\":[\"z\"]}",
		"{\"#t\":[\"a\"],\"#q\":[\"x\"]}", "{\"#T\":[\"a\"]}",
		"{\"until\":-1}",
	};
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(yes) / sizeof(yes[0]); i++)
		if (!matches(yes[i]))
			fail_msg("%s does not match", yes[i]);
	for (i = 0; i < sizeof(no) / sizeof(no[0]); i++)
		if (matches(no[i]))
			fail_msg("%s matches", no[i]);
}

/* What a command line of flags and JSON gives, written as JSON. */
static void
args_give(const char *const *args, const char *want)
{
	struct nr_filter_args a = { 0 };
	struct nr_filter *f;
	struct nr_buf b = { 0 };
	const char *why = NULL;
	size_t i, n;

	for (; *args != NULL && why == NULL; args++) {
		if ((*args)[0] == '{') {
			assert_int_equal(nr_filter_args_json(&a, *args, &why),
			    0);
			continue;
		}
		assert_int_equal(nr_filter_args_flag(&a, (*args)[0],
		    *args + 1, 1000000, &why), 0);
	}
	if (why == NULL) {
		assert_int_equal(nr_filter_args_finish(&a, &f, &n, &why), 0);
	}
	if (why != NULL)
		assert_int_equal(nr_buf_adds(&b, why), 0);
	for (i = 0; why == NULL && i < n; i++) {
		assert_int_equal(nr_filter_format(&b, &f[i]), 0);
		nr_filter_free(&f[i]);
	}
	if (why == NULL)
		free(f);
	if (b.len != strlen(want) || memcmp(b.p, want, b.len) != 0)
		fail_msg("%.*s", (int)b.len, b.p);
	nr_buf_free(&b);
	nr_filter_args_free(&a);
}

#define GIVE(want, ...) \
	args_give((const char *const[]){ __VA_ARGS__, NULL }, (want))

static void
test_args(void **state)
{
	(void)state;
	GIVE("{}", NULL);
	GIVE("{\"kinds\":[1,7]}", "k7", "k1");
	GIVE("{\"authors\":[\"" A "\"]}", "a" A);
	GIVE("{\"authors\":[\"" A "\"]}",
	    "anpub180cvv07tjdrrgpa0j7j7tmnyl2yr6yr7l8j4s3evf6u64th6gkwsyjh6w6");
	GIVE("{\"authors\":[\"" A "\"]}",
	    "anprofile1qqsrhuxx8l9ex335q7he0f09aej04zpazpl0ne2cgukyawd24mayt8g"
	    "pp4mhxue69uhhytnc9e3k7mgpz4mhxue69uhkg6nzv9ejuumpv34kytnrdaksjlyr"
	    "9p");
	GIVE("not a public key (64 lower-case hex digits, npub, nprofile)",
	    "ansec1vl029mgpspedva04g90vltkh6fvh240zqtv9k0t9af8935ke9laqsnlfe5");
	GIVE("{\"#p\":[\"" A "\"]}",
	    "pnpub180cvv07tjdrrgpa0j7j7tmnyl2yr6yr7l8j4s3evf6u64th6gkwsyjh6w6");
	GIVE("{\"#t\":[\"a=b\",\"\\\"\\\\\"],\"#d\":[\"\"]}", "tt=a=b",
	    "tt=\"\\", "d");
	GIVE("not LETTER=VALUE", "ttopic");
	GIVE("not LETTER=VALUE", "t1=x");
	GIVE("not an id (64 lower-case hex digits, note, nevent, naddr)", "ixyz");
	GIVE("not a kind from 0 to 65535", "k65536");
	GIVE("not a kind from 0 to 65535", "k");
	GIVE("not a time", "syesterday");
	GIVE("not a number", "l-1");
	GIVE("{\"since\":996400,\"until\":1000000,\"limit\":0}", "s1h",
	    "unow", "l0");
	/* Flags narrow each JSON filter. */
	GIVE("{\"kinds\":[1],\"limit\":3}{\"kinds\":[],\"limit\":2}",
	    "{\"kinds\":[1,2],\"limit\":9}", "{\"kinds\":[7],\"limit\":2}",
	    "k1", "l3");
	GIVE("{\"#t\":[\"a\"],\"#t\":[\"b\"],\"since\":7}",
	    "{\"#t\":[\"a\"],\"since\":7}", "tt=b", "s5");
	GIVE("unsupported: unknown filter key", "{\"x\":1}");
}

/* naddr: kind 30023, author A, d "hello"; made by hand. */
static void
test_nip19(void **state)
{
	struct nr_nip19 n;

	(void)state;
	assert_true(nr_nip19_decode(&n, "npub10elfcs4fr0l0r8af98jlmgdh9c8tcxj"
	    "vz9qkw038js35mp4dma8qzvjptg"));
	assert_int_equal(n.type, NR_NIP19_NPUB);
	assert_true(nr_nip19_decode(&n, "nsec1vl029mgpspedva04g90vltkh6fvh240z"
	    "qtv9k0t9af8935ke9laqsnlfe5"));
	assert_int_equal(n.type, NR_NIP19_NSEC);
	assert_false(nr_nip19_decode(&n, ""));
	assert_false(nr_nip19_decode(&n, "npub1"));
	assert_false(nr_nip19_decode(&n, A));
	/* One letter changed; upper case; the wrong name. */
	assert_false(nr_nip19_decode(&n, "npub10elfcs4fr0l0r8af98jlmgdh9c8tcx"
	    "jvz9qkw038js35mp4dma8qzvjptq"));
	assert_false(nr_nip19_decode(&n, "NPUB10ELFCS4FR0L0R8AF98JLMGDH9C8TCX"
	    "JVZ9QKW038JS35MP4DMA8QZVJPTG"));
}

static void
test_times(void **state)
{
	static const struct {
		const char *text;
		int ok;
		int64_t want;
	} t[] = {
		{ "0", 1, 0 }, { "1700000000", 1, 1700000000 },
		{ "now", 1, 1000000 }, { "90s", 1, 999910 },
		{ "15m", 1, 999100 }, { "2h", 1, 992800 },
		{ "3d", 1, 740800 }, { "1w", 1, 395200 },
		{ "2023-11-14", 1, 1699920000 },
		{ "2023-11-14T22:13:20Z", 1, 1700000000 },
		{ "2023-11-14T22:13:20", 1, 1700000000 },
		{ "2023-11-14 22:13", 1, 1699999980 },
		{ "2023-11-14T23:13:20+01:00", 1, 1700000000 },
		{ "2023-11-14T20:13:20-02:00", 1, 1700000000 },
		{ "", 0, 0 }, { "x", 0, 0 }, { "1x", 0, 0 }, { "-5", 0, 0 },
		{ "2023-13-01", 0, 0 }, { "2023-11-14T22", 0, 0 },
		{ "99999999999999999999", 0, 0 },
	};
	int64_t got;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		int ok = nr_time_parse(&got, t[i].text, 1000000);

		if (ok != t[i].ok || (ok && got != t[i].want))
			fail_msg("%s: %d %lld", t[i].text, ok,
			    (long long)got);
	}
	assert_true(nr_duration_parse(&got, "250ms"));
	assert_int_equal(got, 250);
	assert_true(nr_duration_parse(&got, "5m"));
	assert_int_equal(got, 300000);
	assert_false(nr_duration_parse(&got, "5y"));
}

static int64_t
expiration_of(const char *tags)
{
	struct nr_event ev = { .tags = { tags, strlen(tags) } };

	return nr_event_expiration(&ev);
}

static void
test_tags(void **state)
{
	static const char ad[] = "30023:" A ":a:b";
	unsigned char key[32];
	struct nr_view d, v;
	struct nr_event ev;
	unsigned kind;

	(void)state;
	assert_int_equal(expiration_of("[]"), INT64_MAX);
	assert_int_equal(expiration_of("[[\"expiration\"]]"), INT64_MAX);
	assert_int_equal(expiration_of("[[\"expiration\",\"x\"],"
	    "[\"expiration\",\"50\"]]"), 50);
	assert_int_equal(expiration_of("[[\"expiration\",\"-5\"]]"),
	    INT64_MAX);
	assert_int_equal(expiration_of("[[\"expiration\",\"99999999999999999"
	    "999\"]]"), INT64_MAX);
	ev.tags.p = "[[\"x\",\"\\\\\"],[\"d\",\"\\\"]\"],[\"d\",\"2\"]]";
	ev.tags.len = strlen(ev.tags.p);
	d = nr_event_d(&ev);
	assert_int_equal(d.len, 3);
	assert_memory_equal(d.p, "\\\"]", 3);
	ev.tags.p = "[[\"d\"],[\"d\",\"2\"],[\"-\"]]";
	ev.tags.len = strlen(ev.tags.p);
	assert_int_equal(nr_event_d(&ev).len, 0);
	assert_true(nr_event_protected(&ev));
	v.p = ad;
	v.len = strlen(ad);
	assert_true(nr_address_parse(v, &kind, key, &d));
	assert_int_equal(kind, 30023);
	assert_int_equal(d.len, 3);
	v.len = 6 + 64;			/* no last colon */
	assert_true(nr_address_parse(v, &kind, key, &d));
	assert_int_equal(d.len, 0);
	v.len = 6 + 63;
	assert_false(nr_address_parse(v, &kind, key, &d));
	v.p = "65536:" A ":";
	v.len = 6 + 65;
	assert_false(nr_address_parse(v, &kind, key, &d));
	v.p = ":" A ":";
	v.len = 66;
	assert_false(nr_address_parse(v, &kind, key, &d));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_refusals),
		cmocka_unit_test(test_format),
		cmocka_unit_test(test_match),
		cmocka_unit_test(test_args),
		cmocka_unit_test(test_nip19),
		cmocka_unit_test(test_times),
		cmocka_unit_test(test_tags),
	};

	return NR_RUN(tests);
}
