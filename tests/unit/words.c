/*
 * Words in text: case, white space, whole words, files, and the same
 * answers as a search for each by itself.
 */
#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "policy/words.h"
#include "util/err.h"
#include "util/rng.h"

static long
find_one(const char *word, int whole, const char *text)
{
	struct nr_view v = { text, strlen(text) };
	struct nr_words *w;
	long i;

	assert_int_equal(nr_words_new(&w), NR_OK);
	assert_int_equal(nr_words_add(w, word, strlen(word), whole), NR_OK);
	assert_int_equal(nr_words_build(w), NR_OK);
	i = nr_words_find(w, v);
	nr_words_free(w);
	return i;
}

static void
test_finds(void **state)
{
	static const struct {
		const char	*word, *text;
		int		 anywhere, whole;
	} t[] = {
		{ "scam", "a scam!", 1, 1 }, { "scam", "SCAM", 1, 1 },
		{ "ScAm", "scam", 1, 1 }, { "scam", "scammer", 1, 0 },
		{ "scam", "ascam", 1, 0 }, { "scam", "scam_", 1, 0 },
		{ "scam", "sca m", 0, 0 }, { "scam", "", 0, 0 },
		{ "scam", "(scam)", 1, 1 }, { "scam", "scam1 scam", 1, 1 },
		{ "scam", "\\nscam\\t", 1, 1 }, { "scam", "nscam", 1, 0 },
		{ "free  sats", "get FREE sats", 1, 1 },
		{ " free sats ", "free\\n\\n \\tsats", 1, 1 },
		{ "free sats", "free\xc2\xa0\xe3\x80\x80sats", 1, 1 },
		{ "free sats", "freesats", 0, 0 },
		{ "free sats", "carefree sats", 1, 0 },
		{ "free sats", "free satss", 1, 0 },
		/* characters that cannot be seen */
		{ "scam", "s\xe2\x80\x8b" "c\xc2\xad" "am\xef\xb8\x8f", 1, 1 },
		{ "scam", "scam\xe2\x80\x8bs", 1, 0 },
		{ "scam", "s\\u0001c\x7f" "a\xcd\x8fm\xe2\x81\xa6", 1, 1 },
		{ "scam", "s\xe1\xa0\x8e" "c\xe2\x80\xae" "a\xf3\xa0\x84\x80"
		    "m\xc2\x85", 1, 1 },
		{ "\xc3\x84RGER", "\xc3\xa4rger", 1, 1 },
		{ "\xc3\xa4rger", "ver\xc3\x84rgert", 1, 0 },
		{ "\xd0\x9a\xd0\xa3\xd0\x9f\xd0\x98", "\xd0\xba\xd1\x83\xd0\xbf"
		    "\xd0\xb8!", 1, 1 },
		{ "\xd0\xba\xd1\x83", "\xd0\x9a\xd0\xa3\xd0\x9f", 1, 0 },
		{ "\xe7\x84\xa1\xe6\x96\x99", "\xe5\xae\x8c\xe7\x84\xa1\xe6\x96"
		    "\x99", 1, 0 },
		{ "\xf0\x9f\x9a\x80", "x\xf0\x9f\x9a\x80y", 1, 1 },
		{ "c++", "c++ c", 1, 1 }, { "c++", "c++x", 1, 1 },
		{ "c++", "xc++", 1, 0 }, { "a\"b\\c", "a\\\"b\\\\c", 1, 1 },
		{ "\\n", "\\\\n", 1, 1 }, { "\\n", "\\n", 0, 0 },
		{ "x", "\\u0001x", 1, 1 }
	};
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		long a = find_one(t[i].word, 0, t[i].text);
		long b = find_one(t[i].word, 1, t[i].text);

		if ((a == 0) != t[i].anywhere || (b == 0) != t[i].whole)
			print_message("# %s in %s: %ld %ld\n", t[i].word,
			    t[i].text, a, b);
		assert_int_equal(a, t[i].anywhere - 1);
		assert_int_equal(b, t[i].whole - 1);
	}
}

static void
test_refuses(void **state)
{
	char big[300];
	struct nr_words *w;

	(void)state;
	memset(big, 'x', sizeof(big));
	assert_int_equal(nr_words_new(&w), NR_OK);
	assert_int_equal(nr_words_add(w, "", 0, 0), NR_EINVAL);
	assert_int_equal(nr_words_add(w, " \t", 2, 0), NR_EINVAL);
	assert_int_equal(nr_words_add(w, "\xe2\x80\x8b", 3, 0), NR_EINVAL);
	assert_int_equal(nr_words_add(w, "\xff", 1, 0), NR_EINVAL);
	assert_int_equal(nr_words_add(w, "a\xc3", 2, 0), NR_EINVAL);
	assert_int_equal(nr_words_add(w, big, NR_WORD_MAX + 1, 0), NR_EINVAL);
	assert_int_equal(nr_words_add(w, big, NR_WORD_MAX, 1), NR_OK);
	assert_int_equal(nr_words_count(w), 1);
	assert_int_equal(nr_words_build(w), NR_OK);
	assert_int_equal(nr_words_find(w, (struct nr_view){ big, 254 }), -1);
	assert_int_equal(nr_words_find(w, (struct nr_view){ big, 255 }), 0);
	assert_int_equal(nr_words_find(w, (struct nr_view){ big, 256 }), -1);
	nr_words_free(w);
	nr_words_free(NULL);
}

/* An empty set finds nothing. */
static void
test_empty(void **state)
{
	struct nr_words *w;

	(void)state;
	assert_int_equal(nr_words_new(&w), NR_OK);
	assert_int_equal(nr_words_build(w), NR_OK);
	assert_int_equal(nr_words_find(w, (struct nr_view){ "abc", 3 }), -1);
	nr_words_free(w);
}

static void
put(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	close(fd);
}

static void
test_file(void **state)
{
	char path[] = "/tmp/nr-words-XXXXXX";
	struct nr_words *w;
	uint64_t line = 7;

	(void)state;
	close(mkstemp(path));
	assert_int_equal(nr_words_new(&w), NR_OK);
	put(path, "# spam\n\nFree  Sats  # a phrase\r\n\\#airdrop\n  c#\t\n"
	    "voil\xc3\xa0\nlast");
	assert_int_equal(nr_words_load(w, path, 1, &line), NR_OK);
	assert_int_equal(nr_words_count(w), 5);
	assert_true(nr_view_is(nr_words_get(w, 0), "free sats"));
	assert_true(nr_view_is(nr_words_get(w, 1), "#airdrop"));
	assert_true(nr_view_is(nr_words_get(w, 2), "c#"));
	assert_true(nr_view_is(nr_words_get(w, 3), "voil\xc3\xa0"));
	assert_true(nr_view_is(nr_words_get(w, 4), "last"));
	nr_words_free(w);
	assert_int_equal(nr_words_new(&w), NR_OK);
	put(path, "good\nb\xff" "d\ngood\n");
	assert_int_equal(nr_words_load(w, path, 0, &line), NR_EINVAL);
	assert_int_equal(line, 2);
	unlink(path);
	assert_int_equal(nr_words_load(w, path, 0, &line), ENOENT);
	nr_words_free(w);
}

static int
word_char(char c)
{
	return c != ' ' && c != '.';
}

/* As the header says, one word at a time, in ASCII. */
static int
naive(const char *word, int whole, const char *text)
{
	const char *p = text;
	size_t n = strlen(word);

	for (; (p = strstr(p, word)) != NULL; p++)
		if (!whole || ((p == text || !word_char(p[-1]) ||
		    !word_char(p[0])) && (!word_char(p[n]) ||
		    p[n] == '\0' || !word_char(p[n - 1]))))
			return 1;
	return 0;
}

static void
random_text(struct nr_rng *rng, char *out, size_t len, int spaces)
{
	static const char letters[] = "aaabbbcd_.";
	size_t i;

	for (i = 0; i < len; i++) {
		out[i] = letters[nr_rng_below(rng, sizeof(letters) - 1)];
		if (spaces && i > 0 && i + 1 < len && out[i - 1] != ' ' &&
		    nr_rng_below(rng, 5) == 0)
			out[i] = ' ';
	}
	out[len] = '\0';
}

static void
test_same_as_naive(void **state)
{
	struct nr_rng rng = { 23 };
	char word[40][12], text[64];
	int whole[40], found[2] = { 0, 0 };
	unsigned round, i, n, k;
	struct nr_words *w;
	struct nr_view v;
	long got;

	(void)state;
	for (round = 0; round < 300; round++) {
		n = 1 + (unsigned)nr_rng_below(&rng, 40);
		assert_int_equal(nr_words_new(&w), NR_OK);
		for (i = 0; i < n; i++) {
			random_text(&rng, word[i], 3 + nr_rng_below(&rng, 6),
			    1);
			whole[i] = nr_rng_below(&rng, 3) > 0;
			assert_int_equal(nr_words_add(w, word[i],
			    strlen(word[i]), whole[i]), NR_OK);
		}
		assert_int_equal(nr_words_build(w), NR_OK);
		for (k = 0; k < 40; k++) {
			random_text(&rng, text, nr_rng_below(&rng, 50), 1);
			v.p = text;
			v.len = strlen(text);
			got = nr_words_find(w, v);
			for (i = 0; i < n && !naive(word[i], whole[i], text);
			    i++)
				;
			assert_int_equal(got >= 0, i < n);
			if (got >= 0)
				assert_true(naive(word[got], whole[got],
				    text));
			found[got >= 0]++;
		}
		nr_words_free(w);
	}
	assert_true(found[0] > 1000 && found[1] > 1000);
}

/* Many words are found; too many are refused, in bounded memory. */
static void
test_many(void **state)
{
	struct nr_rng rng = { 29 };
	struct nr_words *w;
	char word[200], text[64];
	struct nr_view v = { text, 0 };
	unsigned i;
	int rc;

	(void)state;
	assert_int_equal(nr_words_new(&w), NR_OK);
	for (i = 0; i < 20000; i++) {
		snprintf(word, sizeof(word), "w%xq", i * 7919);
		assert_int_equal(nr_words_add(w, word, strlen(word), 1),
		    NR_OK);
	}
	assert_int_equal(nr_words_build(w), NR_OK);
	for (i = 0; i < 20000; i += 97) {
		v.len = (size_t)snprintf(text, sizeof(text), "a W%xQ b",
		    i * 7919);
		assert_int_equal(nr_words_find(w, v), i);
	}
	nr_words_free(w);
	assert_int_equal(nr_words_new(&w), NR_OK);
	for (rc = NR_OK, i = 0; i < 20000 && rc == NR_OK; i++) {
		unsigned k;

		for (k = 0; k < 199; k++)
			word[k] = (char)('a' + nr_rng_below(&rng, 26));
		rc = nr_words_add(w, word, 199, 0);
	}
	if (rc == NR_OK)
		rc = nr_words_build(w);
	assert_int_equal(rc, EFBIG);
	nr_words_free(w);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_finds), cmocka_unit_test(test_refuses),
		cmocka_unit_test(test_empty), cmocka_unit_test(test_file),
		cmocka_unit_test(test_same_as_naive),
		cmocka_unit_test(test_many)
	};

	return NR_RUN(tests);
}
