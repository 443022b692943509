/*
 * IP addresses, networks, and what proxies say about whom they pass on.
 */
#include "unit.h"

#include <stdio.h>
#include <string.h>

#include "util/rng.h"
#include "wire/proxy.h"

static const char *
shown(const struct nr_ip *a)
{
	static char text[NR_IP_TEXT];

	nr_ip_write(text, a);
	return text;
}

static void
test_addresses(void **state)
{
	static const struct {
		const char *text, *want;	/* NULL: no address */
	} t[] = {
		{ "192.0.2.1", "192.0.2.1" },
		{ "::ffff:192.0.2.1", "192.0.2.1" },
		{ "2001:DB8:0:0::1", "2001:db8::1" },
		{ "::1", "::1" }, { "", NULL }, { "192.0.2", NULL },
		{ "192.0.2.256", NULL }, { "[::1]", NULL },
		{ "fe80::1%eth0", NULL }, { "192.0.2.1 ", NULL },
		{ "0000:0000:0000:0000:0000:0000:0000:0000:0000:0000", NULL },
	};
	struct nr_ip a;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		assert_int_equal(nr_ip_parse(&a, t[i].text,
		    strlen(t[i].text)), t[i].want != NULL);
		if (t[i].want != NULL)
			assert_string_equal(shown(&a), t[i].want);
	}
	assert_int_equal(nr_ip_parse(&a, "1.2.3.4\0", 8), 0);
}

static int
is_in(const char *network, const char *address)
{
	struct nr_network n;
	struct nr_ip a;

	assert_int_equal(nr_network_parse(&n, network), 1);
	assert_int_equal(nr_ip_parse(&a, address, strlen(address)), 1);
	return nr_network_has(&n, &a);
}

static void
test_networks(void **state)
{
	static const char *const bad[] = {
		"", "/8", "10.0.0.0/", "10.0.0.0/33", "10.0.0.1/8",
		"10.0.0.0/8x", "10.0.0.0/-1", "::/129", "2001:db8::1/64",
		"10.0.0.0/08888", "host"
	};
	struct nr_network n;
	struct nr_ip a, b;
	size_t i;

	(void)state;
	assert_true(is_in("10.0.0.0/8", "10.255.0.1"));
	assert_false(is_in("10.0.0.0/8", "11.0.0.1"));
	assert_true(is_in("10.1.2.0/23", "::ffff:10.1.3.4"));
	assert_false(is_in("10.1.2.0/23", "10.1.4.0"));
	assert_true(is_in("192.0.2.1", "192.0.2.1"));
	assert_false(is_in("192.0.2.1", "192.0.2.2"));
	assert_true(is_in("0.0.0.0/0", "192.0.2.1"));
	assert_false(is_in("0.0.0.0/0", "2001:db8::"));
	assert_true(is_in("::/0", "192.0.2.1"));
	assert_true(is_in("2001:db8::/33", "2001:db8:7fff::1"));
	assert_false(is_in("2001:db8::/33", "2001:db8:8000::1"));
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(nr_network_parse(&n, bad[i]), 0);

	assert_int_equal(nr_ip_parse(&a, "2001:db8:1:2:3:4:5:6", 20), 1);
	b = nr_ip_group(&a);
	assert_string_equal(shown(&b), "2001:db8:1:2::");
	assert_int_equal(nr_ip_parse(&a, "192.0.2.77", 10), 1);
	b = nr_ip_group(&a);
	assert_true(nr_ip_same(&a, &b));
	assert_false(nr_ip_is_loopback(&a));
	assert_int_equal(nr_ip_parse(&a, "127.9.9.9", 9), 1);
	assert_true(nr_ip_is_loopback(&a));
	assert_int_equal(nr_ip_parse(&a, "::1", 3), 1);
	assert_true(nr_ip_is_loopback(&a));
}

#define V2	"\r\n\r\n\0\r\nQUIT\n"

static const struct {
	const char *p;
	size_t len;
	int want;		/* what is returned */
	const char *source;	/* NULL: none is said */
} header[] = {
#define H(text, want, source)	{ text, sizeof(text) - 1, want, source }
	H("PROXY TCP4 192.0.2.1 192.0.2.2 1 65535\r\nGET /", 40, "192.0.2.1"),
	H("PROXY TCP6 2001:db8::1 ::1 1 2\r\n", 32, "2001:db8::1"),
	H("PROXY UNKNOWN\r\n", 15, NULL),
	H("PROXY UNKNOWN whatever is said\r\n\r\n", 32, NULL),
	H("PROXY TCP4 2001:db8::1 ::1 1 2\r\n", -1, NULL),
	H("PROXY TCP6 192.0.2.1 192.0.2.2 1 2\r\n", -1, NULL),
	H("PROXY TCP4 192.0.2.1 192.0.2.2 1 65536\r\n", -1, NULL),
	H("PROXY TCP4 192.0.2.1 192.0.2.2 1\r\n", -1, NULL),
	H("PROXY TCP4 192.0.2.1 192.0.2.2 1 2 3\r\n", -1, NULL),
	H("PROXY TCP4  192.0.2.1 192.0.2.2 1 2\r\n", -1, NULL),
	H("PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r.", -1, NULL),
	H("PROXY TCP5 192.0.2.1 192.0.2.2 1 2\r\n", -1, NULL),
	H("PROXY \r\n", -1, NULL),
	H("GET / HTTP/1.1\r\n", -1, NULL),
	H("PROXYTCP4", -1, NULL),
	H(V2 "\x21\x11\0\x0c\xc0\0\2\1\xc0\0\2\2\0\1\0\2GET", 28,
	    "192.0.2.1"),
	/* With something behind the addresses. */
	H(V2 "\x21\x11\0\x0f\xc0\0\2\1\xc0\0\2\2\0\1\0\2\4\0\0", 31,
	    "192.0.2.1"),
	H(V2 "\x21\x21\0\x24\x20\1\r\xb8\0\0\0\0\0\0\0\0\0\0\0\1"
	    "\x20\1\r\xb8\0\0\0\0\0\0\0\0\0\0\0\2\0\1\0\2", 52,
	    "2001:db8::1"),
	H(V2 "\x20\0\0\0", 16, NULL),		/* LOCAL */
	H(V2 "\x20\x11\0\2xy", 18, NULL),
	H(V2 "\x21\0\0\1x", 17, NULL),
	H(V2 "\x21\x11\0\x0b\xc0\0\2\1\xc0\0\2\2\0\1\0", -1, NULL),
	H(V2 "\x22\x11\0\x0c\xc0\0\2\1\xc0\0\2\2\0\1\0\2", -1, NULL),
	H(V2 "\x11\x11\0\x0c\xc0\0\2\1\xc0\0\2\2\0\1\0\2", -1, NULL),
	H(V2 "\x21\x12\0\x0c\xc0\0\2\1\xc0\0\2\2\0\1\0\2", -1, NULL),
	H(V2 "\x21\x11\4\0", -1, NULL),		/* too long */
#undef H
};

static void
test_headers(void **state)
{
	struct nr_proxy h;
	char line[108];
	size_t i, n;

	(void)state;
	for (i = 0; i < sizeof(header) / sizeof(header[0]); i++) {
		assert_int_equal(nr_proxy_read(&h, header[i].p,
		    header[i].len), header[i].want);
		if (header[i].want < 0)
			continue;
		assert_int_equal(h.has_source, header[i].source != NULL);
		if (h.has_source)
			assert_string_equal(shown(&h.source),
			    header[i].source);
		/* Whatever is missing, it only waits. */
		for (n = 0; n < (size_t)header[i].want; n++)
			assert_int_equal(nr_proxy_read(&h, header[i].p, n), 0);
	}
	memset(line, 'x', sizeof(line));
	memcpy(line, "PROXY UNKNOWN ", 14);
	assert_int_equal(nr_proxy_read(&h, line, 106), 0);
	assert_int_equal(nr_proxy_read(&h, line, 107), -1);
	memcpy(line + 105, "\r\n", 2);
	assert_int_equal(nr_proxy_read(&h, line, 108), 107);
	memcpy(line + 105, "x\r\n", 3);
	assert_int_equal(nr_proxy_read(&h, line, 108), -1);
	assert_int_equal(nr_proxy_read(&h, line, 107), -1);
}

/* No bytes make it read beyond them. */
static void
test_any_bytes(void **state)
{
	struct nr_rng rng;
	unsigned char b[64];
	struct nr_proxy h;
	size_t i, j, len;
	int n;

	(void)state;
	rng.state = 77;
	for (i = 0; i < 100000; i++) {
		const size_t at = nr_rng_next(&rng) %
		    (sizeof(header) / sizeof(header[0]));

		len = header[at].len < sizeof(b) ? header[at].len : sizeof(b);
		memcpy(b, header[at].p, len);
		for (j = nr_rng_next(&rng) % 4; j > 0; j--)
			b[nr_rng_next(&rng) % len] =
			    (unsigned char)nr_rng_next(&rng);
		n = nr_proxy_read(&h, b, len);
		assert_true(n >= -1 && n <= (int)len);
	}
}

static void
test_forwarded(void **state)
{
	static const struct {
		const char *list, *want;
	} t[] = {
		{ "192.0.2.1", "192.0.2.1" },
		{ "203.0.113.9, 192.0.2.1", "192.0.2.1" },
		{ "203.0.113.9,192.0.2.1,10.0.0.1 , 127.0.0.1", "192.0.2.1" },
		{ "10.0.0.2, 10.0.0.1", "10.0.0.2" },
		{ "unknown, 10.0.0.1", "10.0.0.1" },
		{ "192.0.2.1, unknown", NULL },
		{ "192.0.2.1:4711", "192.0.2.1" },
		{ "[2001:db8::1]:4711", "2001:db8::1" },
		{ "[2001:db8::1]", "2001:db8::1" },
		{ "2001:db8::1", "2001:db8::1" },
		{ "[2001:db8::1", NULL }, { "", NULL }, { ",", NULL },
		{ "192.0.2.1,", NULL }, { " ", NULL },
	};
	struct nr_network trusted[2];
	struct nr_ip a;
	size_t i;

	(void)state;
	assert_int_equal(nr_network_parse(&trusted[0], "127.0.0.0/8"), 1);
	assert_int_equal(nr_network_parse(&trusted[1], "10.0.0.0/24"), 1);
	for (i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		assert_int_equal(nr_forwarded_read(&a, t[i].list,
		    strlen(t[i].list), trusted, 2), t[i].want != NULL);
		if (t[i].want != NULL)
			assert_string_equal(shown(&a), t[i].want);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_addresses),
		cmocka_unit_test(test_networks),
		cmocka_unit_test(test_headers),
		cmocka_unit_test(test_any_bytes),
		cmocka_unit_test(test_forwarded),
	};

	return NR_RUN(tests);
}
