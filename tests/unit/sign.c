/*
 * Keys and signing: BIP-340's key pairs, NIP-19's example, what is no key,
 * and events that the verifier and the reader agree with.
 */
#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "event/pow.h"
#include "event/sign.h"
#include "util/err.h"
#include "util/hex.h"

#define SECRET	"67dea2ed018072d675f5415ecfaed7d2597555e202d85b3d65ea4e58d2d92ffa"
#define NSEC	"nsec1vl029mgpspedva04g90vltkh6fvh240zqtv9k0t9af8935ke9laqsnlfe5"
#define PUBLIC	"7e7e9c42a91bfef19fa929e5fda1b72e0ebc1a4c1141673e2794234d86addf4e"
#define ORDER	"fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141"
#define NOUGHT	"0000000000000000000000000000000000000000000000000000000000000000"

static void
assert_public(struct nr_key *k, const char *want)
{
	char hex[65] = "";

	nr_hex_encode(hex, nr_key_public(k), 32);
	assert_string_equal(hex, want);
	nr_key_free(k);
}

static int
parse(struct nr_key **k, const char *text)
{
	return nr_key_parse(k, text, strlen(text));
}

static void
test_parse(void **state)
{
	static const char *const bad[] = {
		"", " ", "x", NOUGHT, ORDER, SECRET "0", "0" SECRET,
		"67DEA2ED018072D675F5415ECFAED7D2597555E202D85B3D65EA4E58D2D92FFA",
		"npub10elfcs4fr0l0r8af98jlmgdh9c8tcxjvz9qkw038js35mp4dma8qzvjptg",
		"nsec1vl029mgpspedva04g90vltkh6fvh240zqtv9k0t9af8935ke9laqsnlfe6",
		SECRET "\n" SECRET,
	};
	char longer[600];
	struct nr_key *k;
	size_t i;

	(void)state;
	assert_int_equal(parse(&k, SECRET), NR_OK);
	assert_public(k, PUBLIC);
	assert_int_equal(parse(&k, " \t" NSEC "\r\n"), NR_OK);
	assert_public(k, PUBLIC);
	/* BIP-340's first vector. */
	assert_int_equal(parse(&k, "0000000000000000000000000000000000000000"
	    "000000000000000000000003"), NR_OK);
	assert_public(k, "f9308a019258c31049344f85f89d5229b531c845836f99b086"
	    "01f113bce036f9");
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(parse(&k, bad[i]), NR_EKEY);
	memset(longer, '1', sizeof(longer));
	assert_int_equal(nr_key_parse(&k, longer, sizeof(longer)), NR_EKEY);
}

static void
test_read(void **state)
{
	static const char text[] = SECRET "\n{\"draft\"}";
	char rest[32] = "";
	struct nr_key *k;
	int p[2];

	(void)state;
	assert_int_equal(pipe(p), 0);
	assert_int_equal(write(p[1], text, strlen(text)), strlen(text));
	close(p[1]);
	assert_int_equal(nr_key_read(&k, p[0]), NR_OK);
	assert_public(k, PUBLIC);
	/* What follows is for somebody else. */
	assert_int_equal(read(p[0], rest, sizeof(rest) - 1), 9);
	assert_string_equal(rest, "{\"draft\"}");
	assert_int_equal(nr_key_read(&k, p[0]), NR_EKEY);
	close(p[0]);
	assert_int_equal(nr_key_read(&k, p[0]), EBADF);
}

static void
test_file(void **state)
{
	static const struct {
		mode_t	mode;
		int	rc;
	} given[] = {
		{ 0600, NR_OK }, { 0400, NR_OK }, { 0700, NR_OK },
		{ 0640, NR_EKEYMODE }, { 0604, NR_EKEYMODE },
		{ 0620, NR_EKEYMODE }, { 0666, NR_EKEYMODE },
	};
	char path[] = "/tmp/nr-unit-key.XXXXXX";
	struct nr_key *k;
	size_t i;
	int fd;

	(void)state;
	assert_true((fd = mkstemp(path)) >= 0);
	assert_int_equal(write(fd, NSEC, sizeof(NSEC) - 1), sizeof(NSEC) - 1);
	for (i = 0; i < sizeof(given) / sizeof(given[0]); i++) {
		assert_int_equal(fchmod(fd, given[i].mode), 0);
		assert_int_equal(nr_key_read_file(&k, path), given[i].rc);
		if (given[i].rc == NR_OK)
			assert_public(k, PUBLIC);
	}
	assert_int_equal(fchmod(fd, 0600), 0);
	if (fchown(fd, 12345, (gid_t)-1) == 0)
		assert_int_equal(nr_key_read_file(&k, path), NR_EKEYOWNER);
	close(fd);
	unlink(path);
	assert_int_equal(nr_key_read_file(&k, path), ENOENT);
	assert_int_equal(nr_key_read_file(&k, "/tmp"), NR_EKEYTYPE);
	assert_int_equal(nr_key_read_file(&k, "/dev/null"), NR_EKEYTYPE);
}

/* What was signed reads back, and is authentic. */
static void
check_line(struct nr_verifier *v, const char *p, size_t len, unsigned kind)
{
	struct nr_event ev;
	size_t pos;

	assert_int_equal(nr_event_read(&ev, p, len, &nr_event_limits_pipe,
	    &pos), NR_VALID);
	assert_true(ev.flags & NR_EVENT_NORMAL);
	assert_int_equal(ev.kind, kind);
	assert_int_equal(nr_verify_event(v, &ev, NR_TRUST_NOTHING), NR_VALID);
}

static void
test_sign(void **state)
{
	static const struct nr_view tags = { "[[\"t\",\"a\\u0001b\"],[]]", 21 };
	static const struct nr_view none = { "[]", 2 }, text = { "x\\n", 3 };
	static const char auth[] = "[[\"relay\",\"wss://relay.example.com/\"],"
	    "[\"challenge\",\"c\\\"h\"]]";
	unsigned char msg[32] = { 7 }, a[64], b[64];
	struct nr_verifier *v;
	struct nr_buf line = { 0 };
	struct nr_key *k;

	(void)state;
	assert_int_equal(nr_verifier_new(&v), NR_OK);
	assert_int_equal(parse(&k, SECRET), NR_OK);
	assert_int_equal(nr_sign_line(k, v, &line, 1, 1700000000, none, text),
	    NR_OK);
	check_line(v, line.p, line.len, 1);
	line.len = 0;
	assert_int_equal(nr_sign_line(k, v, &line, 65535, INT64_MAX, tags,
	    text), NR_OK);
	check_line(v, line.p, line.len, 65535);
	line.len = 0;
	assert_int_equal(nr_sign_auth(k, v, &line, "wss://relay.example.com/",
	    (struct nr_view){ "c\\\"h", 4 }), NR_OK);
	check_line(v, line.p, line.len, NR_KIND_AUTH);
	assert_non_null(memmem(line.p, line.len, auth, strlen(auth)));
	/* Randomness goes into each. */
	assert_int_equal(nr_key_sign(k, msg, a), NR_OK);
	assert_int_equal(nr_key_sign(k, msg, b), NR_OK);
	assert_memory_not_equal(a, b, sizeof(a));
	assert_int_equal(nr_verify_signature(v, nr_key_public(k), msg, a),
	    NR_VALID);
	assert_int_equal(nr_verify_signature(v, nr_key_public(k), msg, b),
	    NR_VALID);
	nr_buf_free(&line);
	nr_key_free(k);
	nr_key_free(NULL);
	nr_verifier_free(v);
}

static void
test_bits(void **state)
{
	unsigned char id[32] = { 0 };
	unsigned i;

	(void)state;
	assert_int_equal(nr_pow_bits(id), 256);
	for (i = 0; i < 256; i++) {
		memset(id, 0, sizeof(id));
		id[i / 8] = (unsigned char)(0xff >> i % 8);
		assert_int_equal(nr_pow_bits(id), i);
		id[i / 8] = (unsigned char)(0x80 >> i % 8);
		assert_int_equal(nr_pow_bits(id), i);
	}
}

/* A nonce is found for every shape of tags, and not when time is up. */
static void
test_mine(void **state)
{
	static const char *const tags[] = {
		"[]", "[[]]", "[[\"nonce\",\"1\",\"2\"]]", "[[\"nonce\"]]",
		"[[\"a\",\"]\"],[\"nonce\",\"1\"],[\"b\",\"\\\"\"],[]]"
	};
	struct nr_pow_options o = { .threads = 2, .timeout = 60000 };
	struct nr_verifier *v;
	struct nr_event ev;
	struct nr_buf b = { 0 };
	struct nr_key *k;
	unsigned i;

	(void)state;
	assert_int_equal(nr_verifier_new(&v), NR_OK);
	assert_int_equal(parse(&k, SECRET), NR_OK);
	for (i = 0; i < 15; i++) {
		memset(&ev, 0, sizeof(ev));
		memcpy(ev.pubkey, nr_key_public(k), 32);
		ev.flags = NR_EVENT_NORMAL;
		ev.tags = (struct nr_view){ tags[i % 5], strlen(tags[i % 5]) };
		ev.content = (struct nr_view){ "\\u0001x", 7 };
		o.bits = i;
		b.len = 0;
		assert_int_equal(nr_pow_mine(&ev, &b, &o), NR_OK);
		assert_int_equal(nr_sign_event(k, v, &ev), NR_OK);
		assert_true(nr_pow_bits(ev.id) >= i);
		assert_int_equal(nr_verify_event(v, &ev, NR_TRUST_NOTHING),
		    NR_VALID);
		assert_int_equal(ev.created_at, 0);
	}
	o.bits = NR_POW_MAX;
	o.timeout = 1;
	b.len = 0;
	assert_int_equal(nr_pow_mine(&ev, &b, &o), NR_ETIMEOUT);
	nr_buf_free(&b);
	nr_key_free(k);
	nr_verifier_free(v);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_parse),
		cmocka_unit_test(test_read),
		cmocka_unit_test(test_file),
		cmocka_unit_test(test_sign),
		cmocka_unit_test(test_bits),
		cmocka_unit_test(test_mine),
	};

	return NR_RUN(tests);
}
