/*
 * ip.h - IP addresses and networks.
 *
 * An address is 16 bytes, an IPv4 address as ::ffff:a.b.c.d, so that one
 * client has one form however its packets came.
 */
#ifndef NR_WIRE_IP_H
#define NR_WIRE_IP_H

#include <stddef.h>

#define NR_IP_TEXT	46	/* with the zero byte */

struct sockaddr;

struct nr_ip {
	unsigned char	bytes[16];
};

struct nr_network {
	struct nr_ip	at;
	unsigned		bits;	/* of the 128 that count */
};

/*
 * Read an IPv4 or IPv6 address, without brackets, port or scope.
 * Returns  1, or 0 where text is none.
 */
int	nr_ip_parse(struct nr_ip *out, const char *text, size_t len);

/* The address of a socket.  Returns 0 where it is not IP. */
int	nr_ip_of(struct nr_ip *out, const struct sockaddr *sa);

int	nr_ip_is_ipv4(const struct nr_ip *a);
int	nr_ip_is_loopback(const struct nr_ip *a);
int	nr_ip_same(const struct nr_ip *a,
	    const struct nr_ip *b);

/*
 * What counts as one client: an IPv4 address, or the /64 of an IPv6 one,
 * all of which a customer of any provider has.
 */
struct nr_ip nr_ip_group(const struct nr_ip *a);

/* As text: IPv4 with dots, without the prefix. */
void	nr_ip_write(char out[NR_IP_TEXT],
	    const struct nr_ip *a);

/*
 * Read ADDRESS or ADDRESS/BITS; bits behind those that count must be 0.
 * Returns  1, or 0 where text is neither.
 */
int	nr_network_parse(struct nr_network *out, const char *text);

int	nr_network_has(const struct nr_network *n, const struct nr_ip *a);
int	nr_networks_have(const struct nr_network *n, size_t nn,
	    const struct nr_ip *a);

#endif
