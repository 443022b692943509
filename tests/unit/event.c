/*
 * The event reader: verdicts with their places, the normal line, both
 * hashes, and that normalising never changes an id.
 */
#include "unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/gen.h"
#include "event/event.h"
#include "event/verify.h"
#include "util/rng.h"

#define H32 "00112233445566778899aabbccddeeff"
#define H64 H32 H32
#define ID "\"id\":\"" H64 "\""
#define PK "\"pubkey\":\"" H64 "\""
#define CA "\"created_at\":1"
#define KI "\"kind\":1"
#define TA "\"tags\":[]"
#define CO "\"content\":\"\""
#define SI "\"sig\":\"" H64 H64 "\""

static const struct nr_event_limits small = {
	.bytes = 1000, .tags = 3, .tag_items = 4, .tag_bytes = 10, .depth = 3
};

static enum nr_verdict
read_it(const char *text, struct nr_event *ev, size_t *pos)
{
	return nr_event_read(ev, text, strlen(text), &small, pos);
}

/* What is wrong stands where the text has a '@', which is taken out. */
static void
test_verdicts(void **state)
{
	static const struct {
		const char *text;
		enum nr_verdict want;
	} t[] = {
		{ "@", NR_BAD_TRUNCATED }, { "  @", NR_BAD_TRUNCATED },
		{ "@garbage", NR_BAD_SYNTAX }, { "@\xff", NR_BAD_SYNTAX },
		{ "@[]", NR_BAD_NOT_OBJECT }, { "@\"x\"", NR_BAD_NOT_OBJECT },
		{ "@12", NR_BAD_NOT_OBJECT }, { "{@", NR_BAD_TRUNCATED },
		{ "{" ID "@", NR_BAD_TRUNCATED },
		{ "{" ID ",@}", NR_BAD_SYNTAX },
		{ "{" ID " @" PK "}", NR_BAD_SYNTAX },
		{ "{@id:1}", NR_BAD_SYNTAX },
		{ "{" ID ",@" ID "}", NR_BAD_DUPLICATE_KEY },
		{ "{" ID ",@\"\\u0069d\":1}", NR_BAD_DUPLICATE_KEY },
		{ "{\"id\":@\"" H32 "\"}", NR_BAD_ID_FORM },
		{ "{\"id\":@null}", NR_BAD_ID_FORM },
		{ "{\"id\":@{}}", NR_BAD_ID_FORM },
		{ "{\"id\":@\"" H32 "00112233445566778899AABBCCDDEEFF\"}",
		  NR_BAD_UPPERCASE },
		{ "{\"id\":@\"" H32 "00112233445566778899aabbccddeefg\"}",
		  NR_BAD_ID_FORM },
		{ "{\"id\":\"@\xff\"}", NR_BAD_UTF8 },
		{ "{\"pubkey\":@1}", NR_BAD_PUBKEY_FORM },
		{ "{\"sig\":@\"" H64 "\"}", NR_BAD_SIG_FORM },
		{ "{\"created_at\":@\"1\"}", NR_BAD_CREATED_AT },
		{ "{\"created_at\":@1.5}", NR_BAD_CREATED_AT },
		{ "{\"created_at\":@-1}", NR_BAD_CREATED_AT_RANGE },
		{ "{\"created_at\":@9223372036854775808}",
		  NR_BAD_CREATED_AT_RANGE },
		{ "{\"created_at\":0@1}", NR_BAD_SYNTAX },
		{ "{\"kind\":@65536}", NR_BAD_KIND_RANGE },
		{ "{\"kind\":@-1}", NR_BAD_KIND_RANGE },
		{ "{\"kind\":@1e99}", NR_BAD_KIND_RANGE },
		{ "{\"kind\":@true}", NR_BAD_KIND },
		{ "{\"kind\":tru@}", NR_BAD_SYNTAX },
		{ "{\"tags\":@{}}", NR_BAD_TAGS },
		{ "{\"tags\":[@1]}", NR_BAD_TAGS },
		{ "{\"tags\":[[@1]]}", NR_BAD_TAG_ITEM },
		{ "{\"tags\":[[\"a\",@null]]}", NR_BAD_TAG_ITEM },
		{ "{\"tags\":[[\"a\" @\"b\"]]}", NR_BAD_SYNTAX },
		{ "{\"tags\":[[\"a\"] @[\"b\"]]}", NR_BAD_SYNTAX },
		{ "{\"tags\":[[],[],[],@[]]}", NR_BAD_TOO_MANY_TAGS },
		{ "{\"tags\":[[\"1\",\"2\",\"3\",\"4\",@\"5\"]]}",
		  NR_BAD_TOO_MANY_ITEMS },
		{ "{\"tags\":[[\"@12345678901\"]]}", NR_BAD_TAG_TOO_LONG },
		{ "{\"tags\":[[\"a\"@", NR_BAD_TRUNCATED },
		{ "{\"tags\":[[\"a\"]@", NR_BAD_TRUNCATED },
		{ "{\"content\":@[]}", NR_BAD_CONTENT },
		{ "{\"content\":\"@\n\"}", NR_BAD_CONTROL },
		{ "{\"content\":\"@\\q\"}", NR_BAD_ESCAPE },
		{ "{\"content\":\"@\\u0000\"}", NR_BAD_NUL },
		{ "{\"content\":\"@\\ud800\"}", NR_BAD_SURROGATE },
		{ "{\"x\":[[[@[]]]]}", NR_BAD_DEPTH },
		{ "{" PK "," CA "," KI "," TA "," CO "," SI "}@",
		  NR_BAD_NO_ID },
		{ "{" ID "," CA "," KI "," TA "," CO "," SI "}@",
		  NR_BAD_NO_PUBKEY },
		{ "{" ID "," PK "," KI "," TA "," CO "," SI "}@",
		  NR_BAD_NO_CREATED_AT },
		{ "{" ID "," PK "," CA "," TA "," CO "," SI "}@",
		  NR_BAD_NO_KIND },
		{ "{" ID "," PK "," CA "," KI "," CO "," SI "}@",
		  NR_BAD_NO_TAGS },
		{ "{" ID "," PK "," CA "," KI "," TA "," SI "}@",
		  NR_BAD_NO_CONTENT },
		{ "{" ID "," PK "," CA "," KI "," TA "," CO "}@",
		  NR_BAD_NO_SIG },
		{ "{}@", NR_BAD_NO_ID },
		{ "{" ID "," PK "," CA "," KI "," TA "," CO "," SI "} @x",
		  NR_BAD_TRAILING },
	};
	struct nr_event ev;
	size_t i, pos, want;

	(void)state;
	for (i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		char text[2000];
		char *mark;
		enum nr_verdict v;

		strcpy(text, t[i].text);
		mark = strchr(text, '@');
		assert_non_null(mark);
		want = (size_t)(mark - text);
		memmove(mark, mark + 1, strlen(mark));
		v = read_it(text, &ev, &pos);
		if (v != t[i].want || pos != want)
			fail_msg("%s: %s at %zu", t[i].text,
			    nr_verdict_name(v), pos);
	}
}

static void
test_too_long(void **state)
{
	char text[1001];
	struct nr_event ev;
	size_t pos;

	(void)state;
	memset(text, ' ', sizeof(text));
	assert_int_equal(nr_event_read(&ev, text, 1001, &small, &pos),
	    NR_BAD_TOO_LONG);
	assert_int_equal(nr_event_read(&ev, text, 1000, &small, &pos),
	    NR_BAD_TRUNCATED);
}

/* Any order, white space, notation and unknown field; one normal line. */
static void
test_normal(void **state)
{
	static const char *const same[] = {
		"{" ID "," PK ",\"created_at\":100," KI ",\"tags\":[[\"a\","
		    "\"/\\n\"],[]],\"content\":\"\xc3\xa9\\u0001\"," SI "}",
		" {\n" SI ",\"x\":{\"id\":[1]}, \"content\" :\"\\u00e9\\u0001\""
		    ",\"tags\":[ [ \"a\" , \"\\/\\u000A\" ] ,[\t]] ,"
		    KI ".0,\"created_at\":1e2," PK "," ID " }\r",
		"{\"\\u006bind\":10e-1,\"cre\\u0061ted_at\":100.0," PK "," SI
		    "," ID ",\"tags\":[[\"a\",\"/\\n\"],[]],\"content\":"
		    "\"\\u00E9\\u0001\"}",
	};
	char line[1200], again[1200];
	struct nr_event ev;
	size_t i, n, pos;

	(void)state;
	for (i = 0; i < sizeof(same) / sizeof(same[0]); i++) {
		assert_int_equal(read_it(same[i], &ev, &pos), NR_VALID);
		assert_int_equal(ev.created_at, 100);
		assert_int_equal(ev.kind, 1);
		assert_int_equal(ev.ntags, 2);
		assert_int_equal((ev.flags & NR_EVENT_NORMAL) != 0, i == 0);
		n = nr_event_normalise(&ev, line);
		assert_int_equal(n, strlen(same[0]));
		assert_memory_equal(line, same[0], n);
		/* Its own outline is recognised, and it stays as it is. */
		assert_true(nr_event_view(&ev, line, n));
		assert_int_equal(ev.created_at, 100);
		assert_int_equal(ev.tags.len, strlen("[[\"a\",\"/\\n\"],[]]"));
		assert_int_equal(nr_event_normalise(&ev, again), n);
		assert_memory_equal(again, line, n);
	}
}

/* A tag may hold what looks like the end of the tags. */
static void
test_view_disguise(void **state)
{
	static const char text[] = "{" ID "," PK "," CA "," KI ",\"tags\":[["
	    "\"],\\\"content\\\":\\\"\",\"content\",\":\"]],\"content\":"
	    "\"],\\\"content\\\":\\\"\"," SI "}";
	struct nr_event a, b;
	size_t pos;

	(void)state;
	assert_int_equal(nr_event_read(&a, text, strlen(text),
	    &nr_event_limits_pipe, &pos), NR_VALID);
	assert_true(nr_event_view(&b, text, strlen(text)));
	assert_ptr_equal(a.tags.p, b.tags.p);
	assert_int_equal(a.tags.len, b.tags.len);
	assert_ptr_equal(a.content.p, b.content.p);
	assert_int_equal(a.content.len, b.content.len);
}

static void
test_view_refuses(void **state)
{
	static const char text[] = "{" ID "," PK "," CA "," KI "," TA "," CO
	    "," SI "}";
	struct nr_event ev;
	size_t n = strlen(text);

	(void)state;
	assert_true(nr_event_view(&ev, text, n));
	while (n-- > 0)
		assert_false(nr_event_view(&ev, text, n));
}

static void
test_peek(void **state)
{
	static const char upper[] = "{\"x\":[{\"id\":\"no\"}],\"id\":"
	    "\"" H32 "00112233445566778899AABBCCDDEEFF\",...";
	const char *id;

	(void)state;
	id = nr_event_peek_id(upper, strlen(upper));
	assert_non_null(id);
	assert_memory_equal(id, H32, 32);
	assert_null(nr_event_peek_id("{\"id\":5}", 8));
	assert_null(nr_event_peek_id("", 0));
	assert_null(nr_event_peek_id("[]", 2));
}

/*
 * The two serialisations: an id over either is accepted where they
 * differ, and nothing else is.
 */
static void
test_two_hashes(void **state)
{
	static const char text[] = "{" ID "," PK "," CA "," KI ",\"tags\":[["
	    "\"\\u0001\"]],\"content\":\"a\\\\u0041\\u001f\\n\"," SI "}";
	unsigned char plain[32], escaped[32];
	struct nr_verifier *v;
	struct nr_event ev;
	size_t pos;

	(void)state;
	assert_int_equal(nr_verifier_new(&v), 0);
	assert_int_equal(nr_event_read(&ev, text, strlen(text),
	    &nr_event_limits_pipe, &pos), NR_VALID);
	nr_event_hash(v, &ev, 0, plain);
	nr_event_hash(v, &ev, 1, escaped);
	assert_memory_not_equal(plain, escaped, 32);
	memcpy(ev.id, plain, 32);
	assert_int_equal(nr_verify_event(v, &ev, NR_TRUST_SIGNATURES),
	    NR_VALID);
	memcpy(ev.id, escaped, 32);
	assert_int_equal(nr_verify_event(v, &ev, NR_TRUST_SIGNATURES),
	    NR_VALID);
	ev.id[0] ^= 1;
	assert_int_equal(nr_verify_event(v, &ev, NR_TRUST_SIGNATURES),
	    NR_BAD_ID);
	assert_int_equal(nr_verify_event(v, &ev, NR_TRUST_ALL), NR_VALID);
	nr_verifier_free(v);
}

/* Generated events are authentic, and every changed bit is noticed. */
static void
test_authentic(void **state)
{
	const struct nr_gen_options o = {
		.model = NR_GEN_CHURN, .seed = 42, .count = 200,
		.authors = 10, .since = 1, .until = 1000
	};
	struct nr_rng rng = { 7 };
	struct nr_buf line = { 0 };
	struct nr_verifier *v;
	struct nr_event ev, bad;
	struct nr_gen *g;
	unsigned author;
	size_t pos;

	(void)state;
	assert_int_equal(nr_gen_new(&g, &o), 0);
	assert_int_equal(nr_verifier_new(&v), 0);
	while (nr_gen_next(g, &line, &author) == 0) {
		nr_gen_sign(g, line.p, line.len, author);
		assert_int_equal(nr_event_read(&ev, line.p, line.len,
		    &nr_event_limits_pipe, &pos), NR_VALID);
		assert_int_equal(nr_verify_event(v, &ev, NR_TRUST_NOTHING),
		    NR_VALID);
		bad = ev;
		bad.sig[nr_rng_below(&rng, 64)] ^=
		    (unsigned char)(1 << nr_rng_below(&rng, 8));
		assert_int_equal(nr_verify_event(v, &bad, NR_TRUST_NOTHING),
		    NR_BAD_SIG);
		bad = ev;
		bad.kind ^= 1;
		assert_int_equal(nr_verify_event(v, &bad, NR_TRUST_NOTHING),
		    NR_BAD_ID);
	}
	nr_buf_free(&line);
	nr_verifier_free(v);
	nr_gen_free(g);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_verdicts),
		cmocka_unit_test(test_too_long),
		cmocka_unit_test(test_normal),
		cmocka_unit_test(test_view_disguise),
		cmocka_unit_test(test_view_refuses),
		cmocka_unit_test(test_peek),
		cmocka_unit_test(test_two_hashes),
		cmocka_unit_test(test_authentic),
	};

	return NR_RUN(tests);
}
