/*
 * The AUTH path: what a client sends to prove that it has a key.
 *
 * Every message gets one answer, which is JSON.  A key is added only by an
 * event of the kind 22242, now, with this connection's challenge and this
 * relay's URL, and signed; and such an event does add it.
 *
 * The first byte says what the rest is:
 *	1	clear: the event's JSON as it comes; set: an event is made,
 *		with a right id and signature, from two bytes that say how
 *		many seconds its time is off and the JSON of its tags
 *	2	of another kind
 *	4	a signature that is wrong
 */
#include "fuzz.h"

#include <secp256k1.h>
#include <secp256k1_extrakeys.h>
#include <secp256k1_schnorrsig.h>
#include <time.h>

#include "event/verify.h"
#include "relay/internal.h"
#include "util/err.h"
#include "util/hex.h"

#define CHALLENGE	"0123456789abcdef0123456789abcdef"
#define OWN_URL		"wss://relay.example.com"

static struct nr_relay relay;
static struct nr_relay_config config;
static struct nr_verifier *verifier;
static secp256k1_context *secp;
static secp256k1_keypair key;
static unsigned char pubkey[32];

static void
no_log(enum nr_log_level level, const char *event, const char *text,
    const char *fields)
{
	(void)level;
	(void)event;
	(void)text;
	(void)fields;
}

static void
begin(void)
{
	static const unsigned char secret[32] = { 1 };
	secp256k1_xonly_pubkey pub;
	const char *why;

	secp = secp256k1_context_create(SECP256K1_CONTEXT_NONE);
	MUST(secp != NULL && secp256k1_keypair_create(secp, &key, secret));
	MUST(secp256k1_keypair_xonly_pub(secp, &pub, NULL, &key));
	MUST(secp256k1_xonly_pubkey_serialize(secp, pubkey, &pub));
	MUST(nr_relay_config_init(&config) == 0);
	MUST(nr_relay_config_set(&config, "url", OWN_URL, &why) == 0);
	MUST(why == NULL && nr_verifier_new(&verifier) == 0);
	/* One key in all inputs must not be too often here. */
	MUST(nr_relay_config_set(&config, "key_connect_rate", "off",
	    &why) == 0 && why == NULL);
	MUST(nr_relay_config_set(&config, "key_connections", "0",
	    &why) == 0 && why == NULL);
	relay.config = &config;
	relay.log = no_log;
	MUST(nr_limits_new(&relay.limits, &relay) == 0);
	MUST(nr_access_new(&relay.access) == 0);
	pthread_mutex_init(&relay.dirty_lock, NULL);
	/* Somebody has been woken: libwebsockets is not there. */
	atomic_init(&relay.woken, 1);
}

/* The event that data asks for, normal and signed, in b. */
static void
make(struct nr_buf *b, const uint8_t *data, size_t size, int64_t *off)
{
	char line[NR_EVENT_LINE_MAX(5000)], *text;
	unsigned char id[32], sig[64];
	struct nr_event ev;
	char hex[129];
	size_t pos;

	*off = (int16_t)(data[1] | data[2] << 8);
	nr_hex_encode(hex, pubkey, 32);
	MUST(nr_buf_addf(b, "{\"id\":\"%064d\",\"pubkey\":\"%.64s\""
	    ",\"created_at\":%lld,\"kind\":%d,\"tags\":%.*s,\"content\":\"\""
	    ",\"sig\":\"%0128d\"}", 0, hex,
	    (long long)(time(NULL) + *off), data[0] & 2 ? 1 : 22242,
	    (int)(size - 3), (const char *)data + 3, 0) == 0);
	if (b->len > 5000 || nr_event_read(&ev, b->p, b->len,
	    &nr_event_limits_pipe, &pos) != NR_VALID)
		return;		/* it goes as it is */
	b->len = nr_event_normalise(&ev, line);
	nr_event_hash(verifier, &ev, 0, id);
	MUST(secp256k1_schnorrsig_sign32(secp, sig, id, &key, NULL));
	if (data[0] & 4)
		sig[40] ^= 1;
	text = line;
	nr_hex_encode(text + 7, id, 32);
	nr_hex_encode(text + b->len - 130, sig, 64);
	pos = b->len;
	b->len = 0;
	MUST(nr_buf_add(b, line, pos) == 0);
}

static int
has(const struct nr_buf *b, const char *text)
{
	return memmem(b->p, b->len, text, strlen(text)) != NULL;
}

/* One frame, with JSON, that begins with one of these. */
static void
check_answer(struct nr_conn *c)
{
	const struct nr_chunk *out = c->out.head;
	struct nr_frame f;
	struct nr_json j;

	MUST(out != NULL && out->next == NULL);
	/* Frames of a client would be masked: this reads those of a relay. */
	MUST(nr_frame_read(&f, (char *)c->out.head->data, out->len, 1 << 20)
	    == 1 && f.total == out->len);
	j.p = f.payload;
	j.end = f.payload + f.len;
	MUST(nr_json_skip(&j, 4) == NR_JSON_OK && j.p == j.end);
	MUST(memcmp(f.payload, "[\"OK\",\"", 7) == 0 ||
	    memcmp(f.payload, "[\"NOTICE\",\"", 11) == 0);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char good[] = "[[\"relay\",\"" OWN_URL "\"],"
	    "[\"challenge\",\"" CHALLENGE "\"]]";
	int64_t off = 0;
	struct nr_buf b = { 0 };
	struct nr_view json;
	struct nr_conn *c;
	int made, proved;

	if (secp == NULL)
		begin();
	if (size < 3)
		return 0;
	made = data[0] & 1;
	if (made)
		make(&b, data, size, &off);
	else
		MUST(nr_buf_add(&b, data + 1, size - 1) == 0);
	c = nr_conn_new(&relay, NULL);
	MUST(c != NULL);
	memcpy(c->challenge, CHALLENGE, sizeof(c->challenge));
	json.p = copy_of(b.p, b.len);
	json.len = b.len;
	nr_access_auth(c, json);
	check_answer(c);

	proved = atomic_load(&c->nkeys) > 0;
	if (proved) {
		MUST(made && !(data[0] & 6) && off >= -602 && off <= 602);
		MUST(memcmp(c->keys[0], pubkey, 32) == 0);
		MUST(has(&b, "[\"challenge\",\"" CHALLENGE "\""));
		MUST(has(&b, "[\"relay\",\""));
	}
	if (made && !(data[0] & 6) && off > -590 && off < 590 &&
	    size - 3 == sizeof(good) - 1 &&
	    memcmp(data + 3, good, size - 3) == 0)
		MUST(proved);
	free((char *)(uintptr_t)json.p);
	nr_buf_free(&b);
	/* The list of those with output holds a reference. */
	while (relay.dirty != NULL) {
		struct nr_conn *next = relay.dirty->next_dirty;

		nr_conn_unref(relay.dirty);
		relay.dirty = next;
	}
	nr_conn_unref(c);
	return 0;
}
