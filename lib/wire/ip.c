/*
 * IP addresses and networks.
 */
#include "wire/ip.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

static const unsigned char mapped[12] = {
	0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff
};

int
nr_ip_parse(struct nr_ip *out, const char *text, size_t len)
{
	char copy[NR_IP_TEXT];
	struct nr_ip a;

	if (len >= sizeof(copy) || memchr(text, '\0', len) != NULL)
		return 0;
	memcpy(copy, text, len);
	copy[len] = '\0';
	memcpy(a.bytes, mapped, sizeof(mapped));
	if (inet_pton(AF_INET, copy, a.bytes + 12) != 1 &&
	    inet_pton(AF_INET6, copy, a.bytes) != 1)
		return 0;
	*out = a;
	return 1;
}

int
nr_ip_of(struct nr_ip *out, const struct sockaddr *sa)
{
	struct sockaddr_in in;
	struct sockaddr_in6 in6;

	switch (sa->sa_family) {
	case AF_INET:
		memcpy(&in, sa, sizeof(in));
		memcpy(out->bytes, mapped, sizeof(mapped));
		memcpy(out->bytes + 12, &in.sin_addr, 4);
		return 1;
	case AF_INET6:
		memcpy(&in6, sa, sizeof(in6));
		memcpy(out->bytes, &in6.sin6_addr, 16);
		return 1;
	}
	return 0;
}

int
nr_ip_is_ipv4(const struct nr_ip *a)
{
	return memcmp(a->bytes, mapped, sizeof(mapped)) == 0;
}

int
nr_ip_is_loopback(const struct nr_ip *a)
{
	static const unsigned char one[16] = { [15] = 1 };

	return nr_ip_is_ipv4(a) ? a->bytes[12] == 127 :
	    memcmp(a->bytes, one, sizeof(one)) == 0;
}

int
nr_ip_same(const struct nr_ip *a, const struct nr_ip *b)
{
	return memcmp(a->bytes, b->bytes, sizeof(a->bytes)) == 0;
}

struct nr_ip
nr_ip_group(const struct nr_ip *a)
{
	struct nr_ip g = *a;

	if (!nr_ip_is_ipv4(a))
		memset(g.bytes + 8, 0, 8);
	return g;
}

void
nr_ip_write(char out[NR_IP_TEXT], const struct nr_ip *a)
{
	int v4 = nr_ip_is_ipv4(a);

	(void)inet_ntop(v4 ? AF_INET : AF_INET6, a->bytes + (v4 ? 12 : 0), out,
	    NR_IP_TEXT);
}

/* The byte's bits that count when the first n of all do. */
static unsigned char
mask(unsigned n, unsigned byte)
{
	if (n >= 8 * byte + 8)
		return 0xff;
	return n <= 8 * byte ? 0 : (unsigned char)(0xff00u >> (n - 8 * byte));
}

/* Digits only, up to most; -1 where it is not that. */
static int
read_bits(const char *p, unsigned most)
{
	unsigned v = 0;

	if (*p == '\0' || strlen(p) > 3)
		return -1;
	for (; *p != '\0'; p++) {
		if (*p < '0' || *p > '9')
			return -1;
		v = 10 * v + (unsigned)(*p - '0');
	}
	return v > most ? -1 : (int)v;
}

int
nr_network_parse(struct nr_network *out, const char *text)
{
	size_t n = strcspn(text, "/");
	struct nr_network net;
	int bits, v4;
	unsigned i;

	if (!nr_ip_parse(&net.at, text, n))
		return 0;
	v4 = memchr(text, ':', n) == NULL;
	bits = v4 ? 32 : 128;
	if (text[n] == '/' &&
	    (bits = read_bits(text + n + 1, (unsigned)bits)) < 0)
		return 0;
	net.bits = (unsigned)bits + (v4 ? 96 : 0);
	for (i = 0; i < 16; i++)
		if (net.at.bytes[i] & ~mask(net.bits, i))
			return 0;
	*out = net;
	return 1;
}

int
nr_network_has(const struct nr_network *n, const struct nr_ip *a)
{
	unsigned i;

	for (i = 0; i < 16; i++)
		if ((a->bytes[i] ^ n->at.bytes[i]) & mask(n->bits, i))
			return 0;
	return 1;
}

int
nr_networks_have(const struct nr_network *n, size_t nn,
    const struct nr_ip *a)
{
	size_t i;

	for (i = 0; i < nn; i++)
		if (nr_network_has(&n[i], a))
			return 1;
	return 0;
}
