/*
 * The lines of policies: what is written is strfry's to the byte where it
 * must be, what is written can be read, and what cannot be meant is refused.
 */
#include "unit.h"

#include <stdio.h>
#include <string.h>

#include "policy/protocol.h"
#include "util/err.h"
#include "util/hex.h"
#include "util/times.h"

#define ID	"00000000000000000000000000000000000000000000000000000000000000aa"
#define KEY	"00000000000000000000000000000000000000000000000000000000000000bb"
#define KEY2	"00000000000000000000000000000000000000000000000000000000000000cc"
#define SIG	ID ID
#define LINE	"{\"id\":\"" ID "\",\"pubkey\":\"" KEY "\",\"created_at\":5," \
	"\"kind\":1,\"tags\":[[\"t\",\"x\"]],\"content\":\"hi\",\"sig\":\"" \
	SIG "\"}"
/* The same as strfry sends it. */
#define SORTED	"{\"content\":\"hi\",\"created_at\":5,\"id\":\"" ID \
	"\",\"kind\":1,\"pubkey\":\"" KEY "\",\"sig\":\"" SIG \
	"\",\"tags\":[[\"t\",\"x\"]]}"

#define VIEW(s)	((struct nr_view){ (s), strlen(s) })

static struct nr_request
request(void)
{
	static unsigned char keys[2][32];
	struct nr_request q = {
		.type = NR_ASK_NEW, .event = VIEW(LINE), .received = 1700,
		.source = NR_FROM_IP4, .source_info = VIEW("203.0.113.9"),
		.authed = (const unsigned char (*)[32])keys, .nauthed = 0,
		.seq = 7, .has_seq = 1
	};

	assert_true(nr_hex_decode(keys[0], KEY, 32));
	assert_true(nr_hex_decode(keys[1], KEY2, 32));
	return q;
}

static void
written(const struct nr_request *q, int superset, const char *want)
{
	struct nr_buf b = { 0 };

	assert_int_equal(nr_request_write(&b, q, superset), NR_OK);
	assert_int_equal(nr_buf_add(&b, "", 1), NR_OK);
	assert_string_equal(b.p, want);
	nr_buf_free(&b);
}

static void
test_request_is_strfrys(void **state)
{
	struct nr_request q = request();

	(void)state;
	written(&q, 0, "{\"event\":" LINE ",\"receivedAt\":1700,"
	    "\"sourceInfo\":\"203.0.113.9\",\"sourceType\":\"IP4\","
	    "\"type\":\"new\"}");
	q.nauthed = 2;
	q.source = NR_FROM_STREAM;
	q.source_info = VIEW("wss://a\"b\n");
	written(&q, 0, "{\"authed\":\"" KEY "\",\"event\":" LINE
	    ",\"receivedAt\":1700,\"sourceInfo\":\"wss://a\\\"b\\n\","
	    "\"sourceType\":\"Stream\",\"type\":\"new\"}");
}

static void
test_superset(void **state)
{
	struct nr_request q = request();

	(void)state;
	q.nauthed = 2;
	written(&q, 1, "{\"authed\":\"" KEY "\",\"authedAll\":[\"" KEY "\",\""
	    KEY2 "\"],\"event\":" LINE ",\"receivedAt\":1700,\"seq\":7,"
	    "\"sourceInfo\":\"203.0.113.9\",\"sourceType\":\"IP4\","
	    "\"type\":\"new\"}");
	q.nauthed = 0;
	q.type = NR_ASK_REQ;
	q.event = VIEW("");
	q.filters = VIEW("[{\r\n\"kinds\":[1]}]");
	q.verb = VIEW("COUNT");
	written(&q, 1, "{\"filters\":[{  \"kinds\":[1]}],\"receivedAt\":1700,"
	    "\"seq\":7,\"sourceInfo\":\"203.0.113.9\",\"sourceType\":\"IP4\","
	    "\"type\":\"req\",\"verb\":\"COUNT\"}");
	q.type = NR_ASK_CONNECT;
	written(&q, 1, "{\"receivedAt\":1700,\"seq\":7,"
	    "\"sourceInfo\":\"203.0.113.9\",\"sourceType\":\"IP4\","
	    "\"type\":\"connect\"}");
}

/* Read the one request of a line. */
static const char *
read_one(struct nr_request_reader *r, struct nr_request *q, const char *line,
    int want)
{
	const char *why;

	nr_request_line(r, line, strlen(line));
	assert_int_equal(nr_request_next(r, q, &why), want);
	return why;
}

static void
test_request_is_read(void **state)
{
	struct nr_request_reader r = { .where = 0 };
	struct nr_request q, want = request();
	struct nr_buf b = { 0 };
	int i;

	(void)state;
	want.nauthed = 2;
	for (i = 0; i < 2; i++) {
		b.len = 0;
		assert_int_equal(nr_request_write(&b, &want, i), NR_OK);
		assert_int_equal(nr_buf_add(&b, "", 1), NR_OK);
		assert_null(read_one(&r, &q, b.p, 1));
		assert_int_equal(q.type, NR_ASK_NEW);
		assert_int_equal(q.has_seq, i);
		assert_int_equal(q.nauthed, i + 1);
		assert_memory_equal(q.authed[0], want.authed[0], 32);
		assert_true(nr_view_is(q.event, LINE));
		assert_int_equal(q.ev.kind, 1);
		assert_int_equal(q.ev.id[31], 0xaa);
		assert_true(nr_view_is(q.ev.content, "hi"));
		assert_int_equal(q.received, 1700);
		assert_int_equal(q.source, NR_FROM_IP4);
		assert_int_equal(q.iplen, 4);
		assert_memory_equal(q.ip, "\xcb\x00\x71\x09", 4);
	}
	assert_null(read_one(&r, &q, "{\"type\":\"new\",\"x\":[{}],"
	    "\"sourceType\":\"IP6\",\"sourceInfo\":\"\\u0032001:db8::1\","
	    "\"receivedAt\":17,\"authed\":\"\",\"event\":" SORTED "}", 1));
	assert_true(nr_view_is(q.event, LINE));
	assert_true(nr_view_is(q.source_info, "2001:db8::1"));
	assert_int_equal(q.iplen, 16);
	assert_int_equal(q.nauthed, 0);
	assert_null(read_one(&r, &q, "{\"type\":\"new\",\"sourceType\":\"?\","
	    "\"authed\":null,\"event\":" LINE "}", 1));
	assert_int_equal(q.source, NR_FROM_UNKNOWN);
	assert_null(read_one(&r, &q, "{\"type\":\"connect\",\"sourceType\":"
	    "\"IP4\"}", 1));
	assert_int_equal(q.iplen, 0);
	assert_null(read_one(&r, &q, "{\"type\":\"req\",\"seq\":3,\"verb\":"
	    "\"REQ\",\"filters\":[{\"kinds\":[1]}]}", 1));
	assert_true(nr_view_is(q.filters, "[{\"kinds\":[1]}]"));
	assert_true(nr_view_is(q.verb, "REQ"));
	nr_buf_free(&b);
	nr_request_reader_free(&r);
}

static void
test_bad_requests(void **state)
{
	static const char *const bad[] = {
		"", "x", "[", "[]x", "{}", "[{}]", "{\"type\":\"new\"",
		"{\"type\":\"new\"}", "{\"type\":\"newer\",\"event\":{}}",
		"{\"type\":\"new\",\"event\":{}}", "{\"type\":1}",
		"{\"type\":\"new\",\"seq\":-1,\"event\":" LINE "}",
		"{\"type\":\"new\",\"sourceType\":4,\"event\":" LINE "}",
		"{\"type\":\"new\",\"sourceInfo\":{},\"event\":" LINE "}",
		"{\"type\":\"new\",\"receivedAt\":\"x\",\"event\":" LINE "}",
		"{\"type\":\"new\",\"authed\":\"me\",\"event\":" LINE "}",
		"{\"type\":\"new\",\"authedAll\":[1],\"event\":" LINE "}",
		"{\"type\":\"req\",\"verb\":\"REQ\"}",
		"{\"type\":\"req\",\"filters\":[],\"verb\":1}"
	};
	struct nr_request_reader r = { .where = 0 };
	struct nr_request q;
	const char *why;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		why = read_one(&r, &q, bad[i], -1);
		assert_non_null(why);
		assert_true(*why != '\0');
	}
	/* What has an id can be answered. */
	read_one(&r, &q, "{\"type\":\"new\",\"seq\":4,\"event\":{\"id\":\"" ID
	    "\",\"kind\":-1}}", -1);
	assert_true(q.event.len > 0 && q.has_seq && q.seq == 4);
	assert_int_equal(q.ev.id[31], 0xaa);
	nr_request_reader_free(&r);
}

static void
test_batches(void **state)
{
	static const char line[] = " [ {\"type\":\"connect\",\"seq\":1} , "
	    "{\"type\":\"other\",\"seq\":2},{\"type\":\"new\",\"seq\":3,"
	    "\"event\":" SORTED "}] ";
	struct nr_request_reader r = { .where = 0 };
	struct nr_request q;
	const char *why;

	(void)state;
	nr_request_line(&r, line, sizeof(line) - 1);
	assert_int_equal(nr_request_next(&r, &q, &why), 1);
	assert_int_equal(q.type, NR_ASK_CONNECT);
	assert_int_equal(nr_request_next(&r, &q, &why), -1);
	assert_int_equal(q.seq, 2);
	assert_int_equal(nr_request_next(&r, &q, &why), 1);
	assert_true(nr_view_is(q.event, LINE) && q.seq == 3);
	assert_int_equal(nr_request_next(&r, &q, &why), 0);
	assert_int_equal(nr_request_next(&r, &q, &why), 0);
	nr_request_line(&r, "[]", 2);
	assert_int_equal(nr_request_next(&r, &q, &why), 0);
	nr_request_line(&r, "[{\"type\":\"connect\"}{}]", 23);
	assert_int_equal(nr_request_next(&r, &q, &why), 1);
	assert_int_equal(nr_request_next(&r, &q, &why), -1);
	assert_int_equal(nr_request_next(&r, &q, &why), 0);
	nr_request_line(&r, "[{\"type\":\"connect\"}", 19);
	assert_int_equal(nr_request_next(&r, &q, &why), 1);
	assert_int_equal(nr_request_next(&r, &q, &why), -1);
	nr_request_line(&r, "{\"type\":\"connect\"} x", 20);
	assert_int_equal(nr_request_next(&r, &q, &why), 1);
	assert_int_equal(nr_request_next(&r, &q, &why), -1);
	nr_request_reader_free(&r);
}

static void
test_decisions(void **state)
{
	static const char text[] = "{\"id\":\"" ID "\",\"action\":"
	    "\"reject\",\"msg\":\"no \\\"x\\\"\",\"seq\":9}";
	struct nr_decision d = { 0 }, back;
	struct nr_decision_reader r;
	struct nr_buf b = { 0 };

	(void)state;
	d.action = NR_REJECT;
	d.has_id = d.has_seq = 1;
	d.seq = 9;
	assert_true(nr_hex_decode(d.id, ID, 32));
	strcpy(d.msg, "no \"x\"");
	assert_int_equal(nr_decision_write(&b, &d), NR_OK);
	assert_int_equal(b.len, sizeof(text) - 1);
	assert_memory_equal(b.p, text, b.len);
	nr_decision_line(&r, b.p, b.len);
	assert_int_equal(nr_decision_next(&r, &back), 1);
	assert_int_equal(back.action, NR_REJECT);
	assert_string_equal(back.msg, "no \"x\"");
	assert_true(back.has_seq && back.seq == 9 && back.has_id);
	assert_memory_equal(back.id, d.id, 32);
	assert_int_equal(nr_decision_next(&r, &back), 0);
	nr_buf_free(&b);
}

static int
decide(struct nr_decision *d, const char *line)
{
	struct nr_decision_reader r;

	nr_decision_line(&r, line, strlen(line));
	return nr_decision_next(&r, d);
}

static void
test_odd_decisions(void **state)
{
	struct nr_decision d;
	char line[6000], *p;
	size_t n;

	(void)state;
	assert_int_equal(decide(&d, " { \"id\" : \"" ID "\" , \"action\":"
	    "\"shadowReject\",\"msg\":null, \"x\":[1,{}] } \r"), 1);
	assert_int_equal(d.action, NR_SHADOW_REJECT);
	assert_string_equal(d.msg, "");
	assert_int_equal(decide(&d, "[{\"seq\":0,\"action\":\"accept\"}]"), 1);
	assert_true(d.has_seq && !d.has_id && d.seq == 0);
	assert_int_equal(decide(&d, "{\"action\":\"accept\"}"), -1);
	assert_int_equal(decide(&d, "{\"id\":\"" ID "\",\"action\":\"yes\"}"),
	    -1);
	assert_true(d.has_id);
	assert_int_equal(decide(&d, "{\"id\":\"" ID "\"}"), -1);
	assert_int_equal(decide(&d, "{\"id\":\"x\",\"action\":\"accept\"}"),
	    -1);
	assert_int_equal(decide(&d, "{\"seq\":\"1\",\"action\":\"accept\"}"),
	    -1);
	assert_int_equal(decide(&d, "accept"), -1);
	assert_int_equal(decide(&d, ""), -1);
	/* Cut between characters. */
	p = line + sprintf(line, "{\"seq\":1,\"action\":\"reject\",\"msg\":"
	    "\"x");
	for (n = 0; n < 400; n++)
		p += sprintf(p, n % 2 ? "\\ud83e\\udd19" : "\xc3\xa9");
	strcpy(p, "\"}");
	assert_int_equal(decide(&d, line), 1);
	n = strlen(d.msg);
	assert_in_range(n, NR_DECISION_MSG - 5, NR_DECISION_MSG - 1);
	assert_true(nr_utf8_len(d.msg + n - 4, d.msg + n) == 4 ||
	    nr_utf8_len(d.msg + n - 2, d.msg + n) == 2);
}

static int
hello(struct nr_hello *h, const char *line)
{
	return nr_hello_read(h, line, strlen(line));
}

static void
test_hello(void **state)
{
	static const char text[] = "{\"type\":\"hello\",\"version\":1,"
	    "\"asks\":[\"new\",\"connect\"],\"batch\":20}";
	struct nr_hello h;
	struct nr_buf b = { 0 };

	(void)state;
	assert_int_equal(hello(&h, text), 1);
	assert_int_equal(h.batch, 20);
	assert_int_equal(h.asks, NR_ASK_BIT(NR_ASK_NEW) |
	    NR_ASK_BIT(NR_ASK_CONNECT));
	assert_int_equal(nr_hello_write(&b, &h), NR_OK);
	assert_int_equal(b.len, sizeof(text) - 1);
	assert_memory_equal(b.p, text, b.len);
	nr_buf_free(&b);
	assert_int_equal(hello(&h, "{\"version\":1,\"type\":\"hello\"}"), 1);
	assert_int_equal(h.asks, NR_ASK_BIT(NR_ASK_NEW));
	assert_int_equal(h.batch, 1);
	assert_int_equal(hello(&h, "{\"version\":1,\"type\":\"hello\","
	    "\"batch\":100000,\"asks\":[\"dream\"]}"), 1);
	assert_int_equal(h.batch, NR_POLICY_BATCH_MAX);
	assert_int_equal(hello(&h, "{\"type\":\"hello\"}"), -1);
	assert_int_equal(hello(&h, "{\"version\":2,\"type\":\"hello\"}"), -1);
	assert_int_equal(hello(&h, "{\"version\":1,\"batch\":0,"
	    "\"type\":\"hello\"}"), -1);
	assert_int_equal(hello(&h, "{\"version\":1,\"asks\":[1],"
	    "\"type\":\"hello\"}"), -1);
	assert_int_equal(hello(&h, "{\"id\":\"" ID "\",\"action\":"
	    "\"accept\"}"), 0);
	assert_int_equal(hello(&h, "hello"), 0);
}

/* Not tested, told: requests read and answers written in a second. */
static void
test_speed(void **state)
{
	struct nr_request_reader r = { .where = 0 };
	struct nr_request q = request();
	struct nr_decision d = { .has_seq = 1 };
	struct nr_buf in = { 0 }, out = { 0 };
	const char *why;
	int64_t begun;
	unsigned i;

	(void)state;
	assert_int_equal(nr_request_write(&in, &q, 1), NR_OK);
	begun = nr_now_ns();
	for (i = 0; i < 100000; i++) {
		nr_request_line(&r, in.p, in.len);
		assert_int_equal(nr_request_next(&r, &q, &why), 1);
		out.len = 0;
		d.seq = q.seq;
		assert_int_equal(nr_decision_write(&out, &d), NR_OK);
	}
	print_message("# %.0f requests of %zu bytes a second\n",
	    1e14 / (double)(nr_now_ns() - begun), in.len);
	nr_buf_free(&in);
	nr_buf_free(&out);
	nr_request_reader_free(&r);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_request_is_strfrys),
		cmocka_unit_test(test_superset),
		cmocka_unit_test(test_request_is_read),
		cmocka_unit_test(test_bad_requests),
		cmocka_unit_test(test_batches),
		cmocka_unit_test(test_decisions),
		cmocka_unit_test(test_odd_decisions),
		cmocka_unit_test(test_hello),
		cmocka_unit_test(test_speed)
	};

	return NR_RUN(tests);
}
