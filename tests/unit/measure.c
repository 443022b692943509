/*
 * Measures of events, their text, and sketches of it.
 */
#include "unit.h"

#include <stdio.h>
#include <string.h>

#include "policy/measure.h"
#include "policy/text.h"
#include "util/rng.h"

#define NPUB "npub180cvv07tjdrrgpa0j7j7tmnyl2yr6yr7l8j4s3evf6u64th6gkwsyjh6w6"
#define NSEC "nsec1vl029mgpspedva04g90vltkh6fvh240zqtv9k0t9af8935ke9laqsnlfe5"
#define NPROFILE "nprofile1qqsrhuxx8l9ex335q7he0f09aej04zpazpl0ne2cgukyawd24may" \
	"t8gpp4mhxue69uhhytnc9e3k7mgpz4mhxue69uhkg6nzv9ejuumpv34kytnrdaksjlyr9p"

static struct nr_measures
measure(const char *content, const char *tags)
{
	struct nr_measures m;
	struct nr_event ev;

	memset(&ev, 0, sizeof(ev));
	ev.content.p = content;
	ev.content.len = strlen(content);
	ev.tags.p = tags;
	ev.tags.len = strlen(tags);
	nr_measure(&m, &ev);
	return m;
}

static struct nr_sketch
sketch(const char *content)
{
	struct nr_sketch k;
	struct nr_event ev;

	memset(&ev, 0, sizeof(ev));
	ev.content.p = content;
	ev.content.len = strlen(content);
	ev.tags.p = "[]";
	ev.tags.len = 2;
	nr_sketch(&k, &ev);
	return k;
}

static void
test_measures(void **state)
{
	static const struct {
		const char	*content, *tags;
		unsigned	 chars, plain, letters, caps, links, mentions,
				 hashtags;
		int		 nsec;
	} t[] = {
		{ "", "[]", 0, 0, 0, 0, 0, 0, 0, 0 },
		{ "Hello", "[]", 5, 5, 5, 0, 0, 0, 0, 0 },
		{ "a\\nb\\u001f\\\"\\\\", "[]", 6, 6, 2, 0, 0, 0, 0, 0 },
		{ "BUY NOW BUY NOW BUY NOW BUY", "[]", 27, 27, 21, 100, 0, 0,
		    0, 0 },
		{ "BUY NOW BUY NOW buy now buy!", "[]", 28, 28, 21, 57, 0, 0,
		    0, 0 },
		/* Ätsch: 5 characters; Ж and Ω are capitals too */
		{ "\xc3\x84tsch \xd0\x96\xd0\xb6 \xce\xa9\xcf\x89 \xe2\x82\xac "
		    "\xf0\x9f\x98\x80", "[]", 15, 15, 9, 0, 0, 0, 0, 0 },
		{ "\xd0\x96\xd0\x96\xd0\x96\xd0\x96\xd0\x96\xd0\x96\xd0\x96"
		    "\xd0\x96\xd0\x96\xd0\x96\xd0\x96\xd0\x96\xd0\x96\xd0\x96"
		    "\xd0\x96\xd0\x96\xd0\x96\xd0\x96\xd0\x96\xd0\xb6", "[]",
		    20, 20, 20, 95, 0, 0, 0, 0 },
		{ "see https://a.example/x?y=1#z and", "[]", 33, 8, 6, 0, 1, 0,
		    0, 0 },
		{ "HTTP://A.B\\nhttps://c.d\\\"http://e http:// http:/x", "[]",
		    47, 18, 0, 0, 3, 0, 0, 0 },
		{ "hi nostr:" NPUB " and " NPUB "!", "[]", 141, 9, 0, 0, 0, 2,
		    0, 0 },
		{ "\\nnostr:" NPROFILE "\\t" NPUB, "[]", 0, 2, 0, 0, 0, 2, 0,
		    0 },
		{ "npub1 nsec1 1 : nprofile1 :1", "[]", 28, 28, 0, 0, 0, 0, 0,
		    0 },
		{ "", "[[\"p\",\"x\"],[\"p\",\"y\"],[\"p\"],[\"t\",\"z\"]]", 0,
		    0, 0, 0, 0, 2, 1, 0 },
		{ "#a #b c#d ##e #1 #2x \\n#\xc3\xa9 &#39; #", "[]", 32, 32, 0,
		    0, 0, 0, 5, 0 },
		{ "https://x.y/#tag #yes", "[[\"t\",\"yes\"]]", 21, 5, 3, 0,
		    1, 0, 1, 0 },
		{ "my key: " NSEC, "[]", 71, 8, 5, 0, 0, 0, 0, 1 },
		{ "https://x.y/" NSEC "?", "[]", 76, 0, 0, 0, 1, 0, 0, 1 },
		{ "", "[[\"x\",\"y\",\"z\",\"so " NSEC "\"]]", 0, 0, 0, 0, 0,
		    0, 0, 1 },
		/* one letter is wrong */
		{ "nsec1vl029mgpspedva04g90vltkh6fvh240zqtv9k0t9af8935ke9laqsn"
		    "lfe4", "[]", 63, 0, 0, 0, 0, 0, 0, 0 }
	};
	struct nr_measures m;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		m = measure(t[i].content, t[i].tags);
		if (t[i].chars != 0)
			assert_int_equal(m.chars, t[i].chars);
		assert_int_equal(m.plain, t[i].plain);
		if (t[i].letters != 0)
			assert_int_equal(m.letters, t[i].letters);
		assert_int_equal(m.caps, t[i].caps);
		assert_int_equal(m.links, t[i].links);
		assert_int_equal(m.mentions, t[i].mentions);
		assert_int_equal(m.hashtags, t[i].hashtags);
		assert_int_equal(m.nsec, t[i].nsec);
	}
}

/* Folding is the same twice, and keeps the length in UTF-8. */
static void
test_fold(void **state)
{
	unsigned c, f;

	(void)state;
	for (c = 0; c < 0x3000; c++) {
		f = nr_fold(c);
		assert_int_equal(nr_fold(f), f);
		assert_int_equal(f < 0x80, c < 0x80);
		assert_int_equal(f < 0x800, c < 0x800);
		if (f != c)
			assert_int_equal(nr_case_of(f), NR_CASE_SMALL);
	}
	assert_int_equal(nr_fold(0x116), 0x117);	/* Ė */
	assert_int_equal(nr_fold(0x139), 0x13a);	/* Ĺ */
	assert_int_equal(nr_fold(0x13a), 0x13a);
	assert_int_equal(nr_fold(0x38f), 0x3ce);	/* Ώ */
	assert_int_equal(nr_fold(0x401), 0x451);	/* Ё */
	assert_int_equal(nr_fold(0x42f), 0x44f);	/* Я */
}

/* Whatever the bytes are: the pieces are the text, and none overlap. */
static void
test_pieces(void **state)
{
	static const char *const part[] = {
		"https://", "http", ":", "//", "1", "nsec1", "npub", "nostr:",
		NPUB, NSEC, NPROFILE, " ", "\\", "\\n", "#", "a", "\xc3\xa9",
		"\xf0\x9f\x98\x80", "\\u001f", "note1", "\""
	};
	struct nr_rng rng = { 17 };
	struct nr_pieces it;
	struct nr_piece piece;
	char text[4096];
	const char *at;
	unsigned round, i;
	size_t n, len;

	(void)state;
	for (round = 0; round < 3000; round++) {
		text[0] = '\0';
		for (len = i = 0; i < 30; i++) {
			const char *s = part[nr_rng_below(&rng,
			    sizeof(part) / sizeof(part[0]))];

			n = strlen(s);
			if (nr_rng_below(&rng, 10) == 0)
				n = (size_t)nr_rng_below(&rng, n) + 1;
			memcpy(text + len, s, n);
			len += n;
		}
		text[len] = '\0';
		at = text;
		nr_pieces_start(&it, (struct nr_view){ text, len });
		while (nr_pieces_next(&it, &piece)) {
			assert_ptr_equal(piece.text.p, at);
			assert_true(piece.text.len > 0);
			at += piece.text.len;
		}
		assert_ptr_equal(at, text + len);
		measure(text, "[]");
		sketch(text);
	}
}

#define WAVE "Are you still mining for nothing? Our traders made 40% last " \
	"week, join the channel now and claim your free sats before midnight"

static void
test_sketches(void **state)
{
	struct nr_sketch a = sketch(WAVE), b;
	static const char *const same[] = {
		"ARE YOU STILL MINING FOR NOTHING? OUR TRADERS MADE 80% LAST "
		    "WEEK, JOIN THE CHANNEL NOW AND CLAIM YOUR FREE SATS "
		    "BEFORE MIDNIGHT",
		WAVE " https://scam.example/x?ref=77123",
		"nostr:" NPUB " " WAVE " \xf0\x9f\x9a\x80\xf0\x9f\x9a\x80",
		"A r e you...  still\\n\\nmining for nothing?! Our traders "
		    "made 1 % last week - join the channel now and claim your "
		    "free sats before midnight!!! 24"
	};
	size_t i;

	(void)state;
	assert_int_equal(a.n, NR_SKETCH_BANDS);
	assert_int_equal(nr_sketch_shared(&a, &a), NR_SKETCH_BANDS);
	for (i = 0; i < sizeof(same) / sizeof(same[0]); i++) {
		b = sketch(same[i]);
		assert_int_equal(nr_sketch_shared(&a, &b), NR_SKETCH_BANDS);
	}
	b = sketch("Hey Bob! " WAVE);
	assert_true(nr_sketch_shared(&a, &b) >= 3);
	b = sketch("The weather is lovely today, so we walked along the river "
	    "and had a picnic under the old oak trees with all the children");
	assert_int_equal(b.n, NR_SKETCH_BANDS);
	assert_int_equal(nr_sketch_shared(&a, &b), 0);
}

/* Too little to say anything is alike to nothing, not even to itself. */
static void
test_short_texts(void **state)
{
	static const char *const text[] = {
		"", "GM", "good morning nostr", "1234 5678 9012 3456 7890 1234",
		"https://a.example/a-long-path-with-many-words-and-letters/x",
		"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
		"gm gm gm gm gm gm gm gm gm gm gm gm gm gm gm gm gm gm gm gm",
		"nostr:" NPUB " " NPUB
	};
	struct nr_sketch k;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(text) / sizeof(text[0]); i++) {
		k = sketch(text[i]);
		assert_int_equal(k.n, 0);
		assert_int_equal(nr_sketch_shared(&k, &k), 0);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_measures), cmocka_unit_test(test_fold),
		cmocka_unit_test(test_pieces),
		cmocka_unit_test(test_sketches),
		cmocka_unit_test(test_short_texts)
	};

	return NR_RUN(tests);
}
