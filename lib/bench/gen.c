/*
 * The models.  One thread writes events and computes their ids, which
 * later events refer to; signing is left to others.
 */
#include "bench/gen.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/evp.h>
#include <secp256k1.h>
#include <secp256k1_extrakeys.h>
#include <secp256k1_schnorrsig.h>

#include "event/event.h"
#include "event/verify.h"
#include "util/err.h"
#include "util/hex.h"
#include "util/rng.h"
#include "util/sha256.h"

/* Past events that new ones may refer to. */
#define RECENT	16384

struct past {
	unsigned char	id[32];
	unsigned	author;
	unsigned	kind;
};

struct nr_gen {
	struct nr_gen_options	 o;
	struct nr_rng		 rng;
	secp256k1_context	*secp;
	secp256k1_keypair	*key;
	unsigned char		(*pubkey)[32];
	struct nr_verifier	*hasher;
	EVP_MD_CTX		*fingerprint;
	struct past		*past;
	uint64_t		 n;
	int			 rc;	/* of the line being written */
	struct nr_buf		*line;
};

static uint64_t
below(struct nr_gen *g, uint64_t n)
{
	return nr_rng_below(&g->rng, n);
}

/* An author, the first ones far more often than the last. */
static unsigned
some_author(struct nr_gen *g)
{
	double u = nr_rng_unit(&g->rng);

	return (unsigned)(u * u * u * g->o.authors);
}

static void
add(struct nr_gen *g, const char *s)
{
	if (g->rc == NR_OK)
		g->rc = nr_buf_adds(g->line, s);
}

static void
add_hex(struct nr_gen *g, const unsigned char *p, size_t n)
{
	char hex[128];

	nr_hex_encode(hex, p, n);
	if (g->rc == NR_OK)
		g->rc = nr_buf_add(g->line, hex, 2 * n);
}

#define addf(g, ...) do {						\
	if ((g)->rc == NR_OK)						\
		(g)->rc = nr_buf_addf((g)->line, __VA_ARGS__);		\
} while (0)

static void
add_word(struct nr_gen *g)
{
	static const char *const syllable[64] = {
		"ba", "be", "bi", "bo", "da", "de", "di", "do", "fa", "fe",
		"ga", "go", "ha", "he", "in", "is", "ka", "ke", "ki", "ko",
		"la", "le", "li", "lo", "ma", "me", "mi", "mo", "na", "ne",
		"ni", "no", "or", "pa", "pe", "pi", "po", "ra", "re", "ri",
		"ro", "sa", "se", "si", "so", "ta", "te", "ti", "to", "un",
		"va", "ve", "vi", "vo", "wa", "we", "ya", "yo", "za", "ze",
		"zi", "zo", "en", "an",
	};
	static const char *const special[16] = {
		"caf\xc3\xa9", "\xe6\x97\xa5\xe6\x9c\xac", "\\\"quoted\\\"",
		"\xf0\x9f\xa4\x99", "na\xc3\xafve", "a\\\\b", "line\\nbreak",
		"\\ttab", "\xd0\xbc\xd0\xb8\xd1\x80", "\xe2\x82\xac""5",
		"https://example.com/a.jpg", "<b>", "'single'",
		"\xf0\x9f\x91\xa9\xe2\x80\x8d\xf0\x9f\x9a\x80", "#tag",
		"\xe2\x80\xa8",
	};
	uint64_t r = nr_rng_next(&g->rng);
	unsigned n;

	if (r % 23 == 0) {
		add(g, special[r >> 32 & 15]);
		return;
	}
	for (n = 1 + (unsigned)(r & 3); n > 0; n--) {
		r >>= 6;
		add(g, syllable[r & 63]);
	}
}

static void
add_words(struct nr_gen *g, uint64_t n)
{
	uint64_t i;

	for (i = 0; i < n; i++) {
		if (i > 0)
			add(g, " ");
		add_word(g);
	}
}

/* Text that looks like base64, as ciphertext does. */
static void
add_noise(struct nr_gen *g, uint64_t n)
{
	static const char set[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklm"
	    "nopqrstuvwxyz0123456789+/";
	char text[64];
	uint64_t r = 0;
	size_t i;

	while (n > 0) {
		for (i = 0; i < sizeof(text) && n > 0; i++, n--) {
			if (i % 10 == 0)
				r = nr_rng_next(&g->rng);
			text[i] = set[r & 63];
			r >>= 6;
		}
		if (g->rc == NR_OK)
			g->rc = nr_buf_add(g->line, text, i);
	}
}

/* A recent event, later ones more often; NULL at the very start. */
static const struct past *
some_past(struct nr_gen *g)
{
	uint64_t have = g->n < RECENT ? g->n : RECENT, back;
	double u = nr_rng_unit(&g->rng);

	if (have == 0)
		return NULL;
	back = 1 + (uint64_t)(u * u * (double)have);
	if (back > have)
		back = have;
	return &g->past[(g->n - back) % RECENT];
}

static const char *
comma(struct nr_gen *g)
{
	return g->line->len > 0 && g->line->p[g->line->len - 1] == '[' ?
	    "" : ",";
}

static void
tag_e(struct nr_gen *g, const unsigned char id[32], const char *mark)
{
	addf(g, "%s[\"e\",\"", comma(g));
	add_hex(g, id, 32);
	if (mark != NULL)
		addf(g, "\",\"\",\"%s", mark);
	add(g, "\"]");
}

static void
tag_p(struct nr_gen *g, unsigned author)
{
	addf(g, "%s[\"p\",\"", comma(g));
	add_hex(g, g->pubkey[author], 32);
	add(g, "\"]");
}

static void
tag_t(struct nr_gen *g)
{
	double u = nr_rng_unit(&g->rng);

	addf(g, "%s[\"t\",\"topic%u\"]", comma(g), (unsigned)(u * u * 300));
}

static void
tags_reply(struct nr_gen *g)
{
	const struct past *root = some_past(g), *parent = some_past(g);

	if (root == NULL)
		return;
	tag_e(g, root->id, "root");
	if (below(g, 2))
		tag_e(g, parent->id, "reply");
	tag_p(g, root->author);
	if (parent->author != root->author)
		tag_p(g, parent->author);
}

/* What a kind's tags and content are. */
static void
tags_of(struct nr_gen *g, unsigned kind, unsigned author, int64_t now)
{
	const struct past *past = some_past(g);
	uint64_t i, n;

	switch (kind) {
	case 1:
		if (below(g, 10) < 6)
			tags_reply(g);
		for (n = below(g, 8); n >= 5; n--)
			tag_t(g);
		break;
	case 3:
		n = 20 + below(g, 601);
		for (i = 0; i < n; i++)
			tag_p(g, some_author(g));
		break;
	case 6:
	case 7:
	case 16:
		if (past == NULL)
			break;
		tag_e(g, past->id, NULL);
		tag_p(g, past->author);
		if (kind != 6)
			addf(g, ",[\"k\",\"%u\"]", past->kind);
		break;
	case 1059:
		tag_p(g, some_author(g));
		break;
	case 9735:
		tag_p(g, some_author(g));
		if (past != NULL && below(g, 4))
			tag_e(g, past->id, NULL);
		add(g, ",[\"bolt11\",\"lnbc");
		add_noise(g, 80);
		add(g, "\"],[\"description\",\"{\\\"kind\\\":9734,"
		    "\\\"content\\\":\\\"");
		add_noise(g, 80);
		add(g, "\\\"}\"]");
		break;
	case 10002:
		for (n = 2 + below(g, 6); n > 0; n--)
			addf(g, "%s[\"r\",\"wss://relay%u.example.com\"%s]",
			    comma(g), (unsigned)below(g, 500),
			    below(g, 3) ? "" : ",\"read\"");
		break;
	case 30023:
		addf(g, "[\"d\",\"article-%u\"],[\"title\",\"",
		    (unsigned)below(g, 20));
		add_words(g, 5);
		add(g, "\"]");
		for (n = below(g, 4); n > 0; n--)
			tag_t(g);
		break;
	case 30078:
		addf(g, "[\"d\",\"app/settings/%u\"]", (unsigned)below(g, 8));
		break;
	default:
		break;
	}
	/* In a hundred years: all can be published whenever that is done. */
	if (kind == 1 && below(g, 50) == 0)
		addf(g, "%s[\"expiration\",\"%lld\"]", comma(g),
		    (long long)now + 86400LL * (36500 +
		    (long long)below(g, 4000)));
	(void)author;
}

static void
content_of(struct nr_gen *g, unsigned kind)
{
	uint64_t n;

	switch (kind) {
	case 0:
		add(g, "{\\\"name\\\":\\\"");
		add_noise(g, 8);
		add(g, "\\\",\\\"about\\\":\\\"");
		add_noise(g, 10 + below(g, 80));
		add(g, "\\\",\\\"picture\\\":\\\"https://example.com/");
		add_noise(g, 24);
		add(g, ".jpg\\\"}");
		break;
	case 1:
		n = below(g, 100);
		add_words(g, n < 75 ? 1 + below(g, 16) :
		    n < 98 ? 10 + below(g, 40) : 80 + below(g, 200));
		break;
	case 7:
		add(g, below(g, 4) ? "+" : "\xf0\x9f\xa4\x99");
		break;
	case 1059:
		add_noise(g, 132 + below(g, 300));
		break;
	case 30023:
		add_words(g, 100 + below(g, 400));
		break;
	case 30078:
		add_noise(g, 50 + below(g, 400));
		break;
	default:
		break;
	}
}

static unsigned
network_kind(struct nr_gen *g)
{
	static const struct {
		unsigned short upto, kind;	/* in thousandths */
	} share[] = {
		{ 420, 1 }, { 680, 7 }, { 720, 6 }, { 770, 0 }, { 790, 3 },
		{ 860, 9735 }, { 920, 1059 }, { 945, 10002 }, { 960, 30023 },
		{ 980, 30078 }, { 1000, 16 },
	};
	uint64_t r = below(g, 1000);
	size_t i = 0;

	while (r >= share[i].upto)
		i++;
	return share[i].kind;
}

/* Single letters, empty and malformed values, repeated tags. */
static void
churn_tags(struct nr_gen *g)
{
	static const char *const odd[] = {
		"[\"e\",\"\"]", "[\"p\",\"npub1xyz\"]", "[\"t\"]",
		"[\"t\",\"\"]", "[]", "[\"x\",\"1\"]", "[\"Z\",\"last\"]",
		"[\"t\",\"topic1\"],[\"t\",\"topic1\"]", "[\"\",\"y\"]",
		"[\"alt\",\"more than a letter\"]", "[\"r\",\"a\",\"b\"]",
		"[\"t\",\"\\u0001\\\"\\\\\"]", "[\"e\",\"E0\"]",
	};
	uint64_t n;

	for (n = below(g, 4); n > 0; n--)
		addf(g, "%s%s", comma(g), odd[below(g,
		    sizeof(odd) / sizeof(odd[0]))]);
	for (n = below(g, 3); n > 0; n--)
		tag_t(g);
	for (n = below(g, 3); n > 0; n--)
		tag_p(g, some_author(g));
	if (below(g, 3) == 0)
		tags_reply(g);
}

/* Deletions by id and by address, of the author's own and of others'. */
static void
churn_deletion(struct nr_gen *g, unsigned author)
{
	const struct past *past;
	uint64_t n, whose;

	for (n = 1 + below(g, 4); n > 0; n--) {
		if (below(g, 3) > 0) {
			past = some_past(g);
			for (whose = 0; whose < 16 && past != NULL &&
			    past->author != author; whose++)
				past = some_past(g);
			if (past != NULL)
				tag_e(g, past->id, NULL);
			continue;
		}
		whose = below(g, 4) ? author : some_author(g);
		addf(g, "%s[\"a\",\"%u:", comma(g), below(g, 3) ?
		    30000 + (unsigned)below(g, 3) :
		    10000 + (unsigned)below(g, 3));
		add_hex(g, g->pubkey[whose], 32);
		addf(g, ":%s\"]", below(g, 2) ? "" : "d1");
	}
}

static unsigned
churn_event(struct nr_gen *g, unsigned author, int64_t now)
{
	uint64_t r = below(g, 100);
	unsigned kind;

	if (r < 40)
		kind = 1;
	else if (r < 50)
		kind = below(g, 2) ? 0 : 3;
	else if (r < 60)
		kind = 10000 + (unsigned)below(g, 3);
	else if (r < 80)
		kind = 30000 + (unsigned)below(g, 3);
	else if (r < 90)
		kind = 5;
	else if (r < 95)
		kind = 20000 + (unsigned)below(g, 3);
	else
		kind = 40000 + (unsigned)below(g, 3);
	addf(g, ",\"kind\":%u,\"tags\":[", kind);
	if (kind == 5)
		churn_deletion(g, author);
	else {
		if (kind >= 30000 && kind < 40000 && below(g, 5))
			addf(g, "[\"d\",\"%s\"]",
			    below(g, 2) ? "" : below(g, 2) ? "d1" : "d:2");
		churn_tags(g);
		if (below(g, 10) == 0)
			addf(g, "%s[\"expiration\",\"%lld\"]", comma(g),
			    (long long)now + (int)below(g, 2000000) - 100);
	}
	add(g, "],\"content\":\"");
	add_words(g, below(g, 12));
	return kind;
}

static unsigned
network_event(struct nr_gen *g, unsigned author, int64_t now)
{
	unsigned kind = network_kind(g);

	addf(g, ",\"kind\":%u,\"tags\":[", kind);
	tags_of(g, kind, author, now);
	add(g, "],\"content\":\"");
	content_of(g, kind);
	return kind;
}

/* The time of event n: rising, with some disorder. */
static int64_t
time_of(struct nr_gen *g)
{
	uint64_t span = (uint64_t)(g->o.until - g->o.since);
	double share = (double)g->n / (double)g->o.count;
	uint64_t at = (uint64_t)(share * (double)span);
	uint64_t jitter = below(g, span / 50 + 1);

	if (at + jitter > span)
		jitter = span - at;
	return g->o.since + (int64_t)(at + jitter);
}

#define ZEROS32	"00000000000000000000000000000000"
#define ZEROS64	ZEROS32 ZEROS32

int
nr_gen_next(struct nr_gen *g, struct nr_buf *line, unsigned *author)
{
	struct past *slot = &g->past[g->n % RECENT];
	struct nr_event ev;
	unsigned who, kind;
	int64_t now;
	int ok;

	if (g->n == g->o.count)
		return NR_EOF;
	who = some_author(g);
	now = time_of(g);
	line->len = 0;
	g->line = line;
	g->rc = NR_OK;
	add(g, "{\"id\":\"" ZEROS64 "\",\"pubkey\":\"");
	add_hex(g, g->pubkey[who], 32);
	addf(g, "\",\"created_at\":%lld", (long long)now);
	kind = g->o.model == NR_GEN_NETWORK ?
	    network_event(g, who, now) : churn_event(g, who, now);
	add(g, "\",\"sig\":\"" ZEROS64 ZEROS64 "\"}");
	if (g->rc != NR_OK)
		return g->rc;
	ok = nr_event_view(&ev, line->p, line->len);
	assert(ok);
	(void)ok;
	nr_event_hash(g->hasher, &ev, 1, slot->id);
	nr_hex_encode(line->p + 7, slot->id, 32);
	slot->author = who;
	slot->kind = kind;
	if (EVP_DigestUpdate(g->fingerprint, slot->id, 32) != 1)
		return ENOMEM;
	g->n++;
	*author = who;
	return nr_buf_adds(line, "\n");
}

int
nr_gen_fingerprint(const struct nr_gen *g, unsigned char out[32])
{
	EVP_MD_CTX *copy = EVP_MD_CTX_new();
	int rc = ENOMEM;

	if (copy != NULL && EVP_MD_CTX_copy_ex(copy, g->fingerprint) == 1 &&
	    EVP_DigestFinal_ex(copy, out, NULL) == 1)
		rc = NR_OK;
	EVP_MD_CTX_free(copy);
	return rc;
}

/* Keys come from the seed by SHA-256, so they are the same everywhere. */
static int
make_keys(struct nr_gen *g)
{
	secp256k1_xonly_pubkey pub;
	struct nr_sha256 *sha;
	unsigned char secret[32];
	char text[64];
	unsigned i;
	int rc, n;

	if ((rc = nr_sha256_new(&sha)) != NR_OK)
		return rc;
	for (i = 0; i < g->o.authors; i++) {
		n = snprintf(text, sizeof(text), "nr-bench key %llu %u",
		    (unsigned long long)g->o.seed, i);
		nr_sha256_start(sha);
		nr_sha256_add(sha, text, (size_t)n);
		nr_sha256_end(sha, secret);
		if (!secp256k1_keypair_create(g->secp, &g->key[i], secret) ||
		    !secp256k1_keypair_xonly_pub(g->secp, &pub, NULL,
		    &g->key[i]) ||
		    !secp256k1_xonly_pubkey_serialize(g->secp, g->pubkey[i],
		    &pub)) {
			rc = EINVAL;	/* one in 2^127 seeds */
			break;
		}
	}
	nr_sha256_free(sha);
	return rc;
}

int
nr_gen_new(struct nr_gen **out, const struct nr_gen_options *o)
{
	struct nr_gen *g;
	int rc = ENOMEM;

	if ((g = calloc(1, sizeof(*g))) == NULL)
		return ENOMEM;
	g->o = *o;
	g->rng.state = o->seed;
	g->secp = secp256k1_context_create(SECP256K1_CONTEXT_NONE);
	g->key = calloc(o->authors, sizeof(*g->key));
	g->pubkey = calloc(o->authors, sizeof(*g->pubkey));
	g->past = calloc(RECENT, sizeof(*g->past));
	g->fingerprint = EVP_MD_CTX_new();
	if (g->secp != NULL && g->key != NULL && g->pubkey != NULL &&
	    g->past != NULL && g->fingerprint != NULL &&
	    EVP_DigestInit_ex(g->fingerprint, EVP_sha256(), NULL) == 1 &&
	    (rc = nr_verifier_new(&g->hasher)) == NR_OK)
		rc = make_keys(g);
	if (rc != NR_OK) {
		nr_gen_free(g);
		return rc;
	}
	*out = g;
	return NR_OK;
}

void
nr_gen_free(struct nr_gen *g)
{
	if (g == NULL)
		return;
	if (g->secp != NULL)
		secp256k1_context_destroy(g->secp);
	EVP_MD_CTX_free(g->fingerprint);
	nr_verifier_free(g->hasher);
	free(g->past);
	free(g->pubkey);
	free(g->key);
	free(g);
}

void
nr_gen_sign(const struct nr_gen *g, char *line, size_t len, unsigned author)
{
	unsigned char id[32], sig[64];
	int ok;

	ok = nr_hex_decode(id, line + 7, 32) &&
	    secp256k1_schnorrsig_sign32(g->secp, sig, id, &g->key[author],
	    NULL);
	assert(ok);
	(void)ok;
	/* The line ends in the 128 digits, "} and the LF. */
	nr_hex_encode(line + len - 3 - 128, sig, 64);
}

int
nr_gen_model_named(enum nr_gen_model *out, const char *name)
{
	if (strcmp(name, "network") == 0)
		*out = NR_GEN_NETWORK;
	else if (strcmp(name, "churn") == 0)
		*out = NR_GEN_CHURN;
	else
		return 0;
	return 1;
}
