/*
 * The PROXY protocol's header.
 */
#include "wire/proxy.h"

#include <string.h>

#define V1_MAX	107	/* with CR LF */
#define V2_HEAD	16

static const char v1_start[] = "PROXY ";
static const unsigned char v2_start[12] = {
	0x0d, 0x0a, 0x0d, 0x0a, 0x00, 0x0d, 0x0a, 0x51, 0x55, 0x49, 0x54, 0x0a
};

static const unsigned char mapped[12] = { [10] = 0xff, [11] = 0xff };

/* The next word and the one space or the end behind it. */
static int
next_word(const char **p, const char *end, const char **word, size_t *len)
{
	const char *space = memchr(*p, ' ', (size_t)(end - *p));

	*word = *p;
	*len = (size_t)((space != NULL ? space : end) - *p);
	*p = space != NULL ? space + 1 : end;
	return *len > 0;
}

static int
is_port(const char *p, size_t len)
{
	unsigned long v = 0;
	size_t i;

	for (i = 0; i < len; i++) {
		if (p[i] < '0' || p[i] > '9' || i == 5)
			return 0;
		v = 10 * v + (unsigned long)(p[i] - '0');
	}
	return len > 0 && v <= 65535;
}

/* An address of the family that was said. */
static int
is_address(struct nr_ip *out, const char *p, size_t len, int v4)
{
	return nr_ip_parse(out, p, len) &&
	    (memchr(p, ':', len) == NULL) == v4;
}

/* "TCP4 SOURCE DESTINATION PORT PORT", without CR LF. */
static int
v1_line(struct nr_proxy *out, const char *p, const char *end)
{
	struct nr_ip destination;
	const char *word[5];
	size_t len[5];
	int i, v4;

	if (!next_word(&p, end, &word[0], &len[0]))
		return 0;
	out->has_source = 0;
	if (len[0] == 7 && memcmp(word[0], "UNKNOWN", 7) == 0)
		return 1;
	if (len[0] != 4 || memcmp(word[0], "TCP", 3) != 0 ||
	    (word[0][3] != '4' && word[0][3] != '6'))
		return 0;
	v4 = word[0][3] == '4';
	for (i = 1; i < 5; i++)
		if (!next_word(&p, end, &word[i], &len[i]))
			return 0;
	out->has_source = 1;
	return p == end && is_address(&out->source, word[1], len[1], v4) &&
	    is_address(&destination, word[2], len[2], v4) &&
	    is_port(word[3], len[3]) && is_port(word[4], len[4]);
}

static int
read_v1(struct nr_proxy *out, const char *p, size_t len)
{
	size_t n = len < V1_MAX ? len : V1_MAX;
	const char *cr = memchr(p, '\r', n);
	struct nr_proxy h;

	if (cr == NULL)
		return n == V1_MAX ? -1 : 0;
	/* Its LF would be beyond what there may be. */
	if (cr + 1 == p + V1_MAX)
		return -1;
	if (cr + 1 == p + len)
		return 0;
	if (cr[1] != '\n' || !v1_line(&h, p + strlen(v1_start), cr))
		return -1;
	*out = h;
	return (int)(cr + 2 - p);
}

/* The addresses of a version 2 header; 0 where they do not fit. */
static int
v2_source(struct nr_proxy *out, unsigned family, const unsigned char *p,
    size_t len)
{
	out->has_source = 0;
	switch (family) {
	case 0x11:		/* TCP over IPv4 */
		if (len < 12)
			return 0;
		memcpy(out->source.bytes, mapped, sizeof(mapped));
		memcpy(out->source.bytes + 12, p, 4);
		out->has_source = 1;
		return 1;
	case 0x21:		/* TCP over IPv6 */
		if (len < 36)
			return 0;
		memcpy(out->source.bytes, p, 16);
		out->has_source = 1;
		return 1;
	case 0x31:		/* a Unix socket */
		return len >= 216;
	case 0x00:		/* not said */
		return 1;
	}
	return 0;
}

static int
read_v2(struct nr_proxy *out, const unsigned char *p, size_t len)
{
	struct nr_proxy h = { .has_source = 0 };
	size_t body;

	if (len < V2_HEAD)
		return 0;
	body = (size_t)p[14] << 8 | p[15];
	if (p[12] >> 4 != 2 || (p[12] & 15) > 1 ||
	    V2_HEAD + body > NR_PROXY_MAX)
		return -1;
	if (len < V2_HEAD + body)
		return 0;
	/* LOCAL: a proxy that looks whether we are there. */
	if ((p[12] & 15) == 1 && !v2_source(&h, p[13], p + V2_HEAD, body))
		return -1;
	*out = h;
	return (int)(V2_HEAD + body);
}

/* Does it begin like that, as far as it goes? */
static int
begins(const void *p, size_t len, const void *start, size_t n)
{
	return memcmp(p, start, len < n ? len : n) == 0;
}

int
nr_proxy_read(struct nr_proxy *out, const void *p, size_t len)
{
	if (len == 0)
		return 0;
	if (begins(p, len, v1_start, strlen(v1_start)))
		return len <= strlen(v1_start) ? 0 : read_v1(out, p, len);
	if (begins(p, len, v2_start, sizeof(v2_start)))
		return read_v2(out, p, len);
	return -1;
}

/* ---- X-Forwarded-For ------------------------------------------------------- */

/* An address that may have brackets and a port. */
static int
read_hop(struct nr_ip *out, const char *p, size_t len)
{
	const char *colon, *end;

	while (len > 0 && (*p == ' ' || *p == '\t')) {
		p++;
		len--;
	}
	while (len > 0 && (p[len - 1] == ' ' || p[len - 1] == '\t'))
		len--;
	if (len > 2 && *p == '[') {
		end = memchr(p, ']', len);
		return end != NULL &&
		    nr_ip_parse(out, p + 1, (size_t)(end - p - 1));
	}
	if (nr_ip_parse(out, p, len))
		return 1;
	colon = memchr(p, ':', len);
	return colon != NULL && nr_ip_parse(out, p, (size_t)(colon - p));
}

int
nr_forwarded_read(struct nr_ip *out, const char *list, size_t len,
    const struct nr_network *trusted, size_t ntrusted)
{
	const char *comma, *last;
	struct nr_ip a;
	int found = 0;

	for (;;) {
		comma = memrchr(list, ',', len);
		last = comma != NULL ? comma + 1 : list;
		if (!read_hop(&a, last, (size_t)(list + len - last)))
			return found;
		*out = a;
		found = 1;
		if (comma == NULL || !nr_networks_have(trusted, ntrusted, &a))
			return 1;
		len = (size_t)(comma - list);
	}
}
