/*
 * What is ours of HTTP: libwebsockets reads requests, these read what is
 * in them, and write what is answered.
 *
 * The first byte, modulo 6, says what the rest is:
 *	0	an Accept header
 *	1	text for a page
 *	2	an X-Forwarded-For header
 *	3	a PROXY header, and what comes behind it
 *	4	the URL of a relay
 *	5	what an operator has configured, a byte 0xff between texts:
 *		the page and the document of NIP-11 for it
 */
#include "fuzz.h"

#include <ctype.h>
#include <strings.h>
#include <time.h>

#include "relay/internal.h"
#include "util/err.h"
#include "util/html.h"
#include "util/times.h"
#include "wire/accept.h"
#include "wire/proxy.h"
#include "wire/url.h"

/* ---- Accept ------------------------------------------------------------------ */

/* The same, by taking a copy to pieces. */
static int
names(const char *header, size_t len, const char *type)
{
	char *copy = copy_of(header, len), *range, *next, *q;
	size_t n = strlen(type), i;
	int found = 0, zero;

	copy = realloc(copy, len + 1);
	MUST(copy != NULL);
	/* Zero bytes are characters like others here. */
	for (i = 0; i < len; i++)
		if (copy[i] == '\0')
			copy[i] = '\1';
	copy[len] = '\0';
	for (range = copy; range != NULL && !found; range = next) {
		if ((next = strchr(range, ',')) != NULL)
			*next++ = '\0';
		range += strspn(range, " \t");
		if (strncasecmp(range, type, n) != 0 ||
		    (range[n] != '\0' && strchr("; \t", range[n]) == NULL))
			continue;
		zero = 0;
		for (q = range + n; *q != '\0'; q++)
			if (strchr("; \t", *q) != NULL && q[1] != '\0' &&
			    tolower((unsigned char)q[1]) == 'q' &&
			    q[2] == '=' && q[3] != '\0') {
				i = strspn(q + 3, "0.");
				zero = i > 0 && strchr("; \t", q[3 + i]);
				break;
			}
		found = !zero;
	}
	free(copy);
	return found;
}

static void
accept_header(const char *p, size_t n)
{
	static const char *const type[] = {
		"application/nostr+json", "text/html", "a"
	};
	size_t i;

	for (i = 0; i < 3; i++)
		MUST(nr_accept_names(p, n, type[i]) == names(p, n, type[i]));
}

/* ---- pages ----------------------------------------------------------------------- */

static void
is_text(const char *p, size_t n, const char *never)
{
	const char *end = p + n;
	size_t len;

	while (p < end) {
		MUST((len = nr_utf8_len(p, end)) > 0);
		MUST((unsigned char)*p >= 0x20 || *p == '\n' || *p == '\t');
		MUST(*p != 0x7f && strchr(never, *p) == NULL);
		p += len;
	}
}

static void
html(const char *p, size_t n)
{
	static const char open[] = "<a href=\"";
	struct nr_buf b = { 0 };
	const char *quote;

	if (n == 0)
		return;
	MUST(nr_html_add(&b, p, n) == 0);
	is_text(b.p, b.len, "<>\"'");
	b.len = 0;
	MUST(nr_html_link(&b, p, n) == 0);
	if (b.len > 0 && b.p[0] == '<') {
		MUST(memcmp(b.p, open, sizeof(open) - 1) == 0);
		quote = memchr(b.p + 9, '"', b.len - 9);
		MUST(quote != NULL);
		is_text(b.p + 9, (size_t)(quote - b.p) - 9, "<>\"'");
		MUST(memcmp(quote, "\" rel=\"noreferrer\">", 19) == 0);
		MUST(strncasecmp(b.p + 9, "http", 4) == 0 ||
		    strncasecmp(b.p + 9, "mailto:", 7) == 0 ||
		    strncasecmp(b.p + 9, "nostr:", 6) == 0);
	} else
		is_text(b.p, b.len, "<>\"'");
	b.len = 0;
	MUST(nr_html_paragraphs(&b, p, n) == 0);
	is_text(b.p, b.len, "\"'");
	nr_buf_free(&b);
}

/* A page of ours has these and no others. */
static int
tag_known(const char *p, size_t n)
{
	static const char *const tag[] = {
		"!doctype", "a", "body", "circle", "code", "dd", "div", "dl",
		"dt", "footer", "g", "h1", "h2", "head", "header", "html",
		"img", "li", "link", "main", "meta", "p", "path", "rect",
		"section", "style", "svg", "title", "ul"
	};
	size_t i;

	for (i = 0; i < sizeof(tag) / sizeof(tag[0]); i++)
		if (strlen(tag[i]) == n && memcmp(tag[i], p, n) == 0)
			return 1;
	return 0;
}

/* Every tag is known, and every value of an attribute ends. */
static void
is_page(const char *p, const char *end)
{
	int quoted = 0;
	const char *t;

	while ((p = memchr(p, '<', (size_t)(end - p))) != NULL) {
		t = ++p;
		if (t < end && *t == '/')
			t++;
		for (p = t; p < end && (isalnum((unsigned char)*p) ||
		    *p == '!'); p++)
			;
		MUST(tag_known(t, (size_t)(p - t)));
		for (; p < end && (quoted || *p != '>'); p++) {
			quoted ^= *p == '"';
			MUST(*p != '<');
		}
		MUST(p < end && !quoted);
	}
}

/* Whatever an operator writes, page and document are what they are. */
static void
configured(const char *p, size_t n)
{
	static const char *const key[] = {
		"name", "description", "contact", "icon", "terms_of_service",
		"url", "nip11", "pubkey", "private_kinds", "min_pow",
		"posting_policy"
	};
	static struct nr_relay r;
	struct nr_relay_config c;
	const char *end = p + n, *stop, *why;
	struct nr_buf b = { 0 };
	char *value;
	struct nr_json j;
	size_t i;

	MUST(nr_relay_config_init(&c) == 0);
	for (i = 0; i < sizeof(key) / sizeof(key[0]) && p < end; i++) {
		stop = memchr(p, 0xff, (size_t)(end - p));
		if (stop == NULL)
			stop = end;
		value = strndup(p, (size_t)(stop - p));
		MUST(value != NULL);
		MUST(nr_relay_config_set(&c, key[i], value, &why) == 0);
		free(value);
		p = stop < end ? stop + 1 : end;
	}
	MUST(nr_info_write(&b, &c) == 0);
	j.p = b.p;
	j.end = b.p + b.len;
	MUST(nr_json_skip(&j, NR_JSON_DEPTH_MAX) == NR_JSON_OK);
	MUST(j.p == j.end);
	r.config = &c;
	r.page_counted = nr_now_ms();	/* there is no store */
	b.len = 0;
	MUST(nr_page_write(&r, &b) == 0);
	MUST(memmem(b.p, b.len, "</style>", 8) != NULL);
	is_page(b.p, b.p + b.len);
	nr_buf_free(&b);
	nr_relay_config_free(&c);
}

/* ---- whose connection ---------------------------------------------------------------- */

static void
forwarded(const char *p, size_t n)
{
	struct nr_network trusted[2];
	struct nr_ip ip, again;
	char text[NR_IP_TEXT], *longer;
	int known;

	MUST(nr_network_parse(&trusted[0], "127.0.0.0/8"));
	MUST(nr_network_parse(&trusted[1], "fd00::/8"));
	known = nr_forwarded_read(&ip, p, n, trusted, 2);
	if (!known)
		return;
	nr_ip_write(text, &ip);
	MUST(nr_ip_parse(&again, text, strlen(text)));
	MUST(nr_ip_same(&ip, &again));
	if (nr_networks_have(trusted, 2, &ip))
		return;
	/* What a client puts in front changes nothing. */
	longer = malloc(n + 8);
	MUST(longer != NULL);
	memcpy(longer, "6.6.6.6,", 8);
	memcpy(longer + 8, p, n);
	MUST(nr_forwarded_read(&again, longer, n + 8, trusted, 2) == 1);
	MUST(nr_ip_same(&ip, &again));
	free(longer);
}

static void
proxy(const char *p, size_t n)
{
	struct nr_proxy out, part;
	int len = nr_proxy_read(&out, p, n), k;
	size_t i;
	char *copy;

	MUST(len >= -1 && len <= NR_PROXY_MAX && (len < 0 || (size_t)len <= n));
	for (i = 0; i < n && i < 300; i++) {
		copy = copy_of(p, i);
		k = nr_proxy_read(&part, copy, i);
		free(copy);
		/* It is known late, not otherwise. */
		if (len > 0)
			MUST(k == ((size_t)len <= i ? len : 0));
		else if (len == 0)
			MUST(k == 0);
		else
			MUST(k <= 0);
	}
}

static void
url(const char *p, size_t n)
{
	char text[sizeof(struct nr_url) + 32];
	struct nr_url u, again;
	int len;

	if (!nr_url_parse(&u, p, n))
		return;
	MUST(nr_url_same(&u, &u));
	len = snprintf(text, sizeof(text), strchr(u.host, ':') != NULL ?
	    "%s://[%s]:%s%s" : "%s://%s:%s%s", u.tls ? "wss" : "ws", u.host,
	    u.port, u.path);
	MUST(nr_url_parse(&again, text, (size_t)len));
	MUST(nr_url_same(&u, &again));
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static void (*const mode[])(const char *, size_t) = {
		accept_header, html, forwarded, proxy, url, configured
	};
	char *text;

	if (size == 0)
		return 0;
	text = copy_of(data + 1, size - 1);
	mode[data[0] % 6](text, size - 1);
	free(text);
	return 0;
}
