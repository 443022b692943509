/*
 * URLs of relays.
 */
#include "wire/url.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "wire/ip.h"

/* The text up to end, as a string in room bytes; 0 where it is too long. */
static int
copy(char *out, size_t room, const char *from, const char *end)
{
	size_t n = (size_t)(end - from);

	if (n >= room)
		return 0;
	memcpy(out, from, n);
	out[n] = '\0';
	return 1;
}

static int
scheme(struct nr_url *u, const char **p, const char *end)
{
	size_t n = (size_t)(end - *p);

	if (n >= 5 && strncasecmp(*p, "ws://", 5) == 0) {
		u->tls = 0;
		*p += 5;
		return 1;
	}
	if (n >= 6 && strncasecmp(*p, "wss://", 6) == 0) {
		u->tls = 1;
		*p += 6;
		return 1;
	}
	return 0;
}

static int
set_host(struct nr_url *u, const char *p, const char *end)
{
	char *c;

	if (end - p > 2 && *p == '[' && end[-1] == ']') {
		p++;
		end--;
	} else if (memchr(p, ':', (size_t)(end - p)) != NULL)
		return 0;
	if (end > p && end[-1] == '.')
		end--;
	/* A second dot would leave another name each time it is read. */
	if (end == p || end[-1] == '.' || !copy(u->host, sizeof(u->host), p, end))
		return 0;
	for (c = u->host; *c != '\0'; c++) {
		if (*c <= ' ' || *c == 0x7f || strchr("@\\\"<>[]", *c))
			return 0;
		if (*c >= 'A' && *c <= 'Z')
			*c = (char)(*c - 'A' + 'a');
	}
	return 1;
}

static int
set_port(struct nr_url *u, const char *p, const char *end)
{
	long v = 0;

	if (p == end) {
		v = u->tls ? 443 : 80;
	} else {
		for (; p < end; p++) {
			if (*p < '0' || *p > '9')
				return 0;
			if ((v = v * 10 + (*p - '0')) > 65535)
				return 0;
		}
	}
	snprintf(u->port, sizeof(u->port), "%ld", v);
	return 1;
}

static int
set_path(struct nr_url *u, const char *p, const char *end)
{
	const char *query, *fragment = memchr(p, '#', (size_t)(end - p));

	if (fragment != NULL)
		end = fragment;
	query = memchr(p, '?', (size_t)(end - p));
	if (query == NULL)
		while (end > p && end[-1] == '/')
			end--;
	if (p == end || *p != '/')
		return snprintf(u->path, sizeof(u->path), "/%.*s",
		    (int)(end - p), p) < (int)sizeof(u->path);
	return copy(u->path, sizeof(u->path), p, end);
}

int
nr_url_parse(struct nr_url *u, const char *text, size_t len)
{
	const char *p = text, *end = text + len, *host_end, *colon;

	if (!scheme(u, &p, end) || memchr(p, '\0', (size_t)(end - p)))
		return 0;
	for (host_end = p; host_end < end && !strchr("/?#", *host_end);)
		host_end++;
	colon = memrchr(p, ':', (size_t)(host_end - p));
	/* A colon inside brackets is part of an IPv6 address. */
	if (colon != NULL && memchr(colon, ']', (size_t)(host_end - colon)))
		colon = NULL;
	return set_host(u, p, colon != NULL ? colon : host_end) &&
	    set_port(u, colon != NULL ? colon + 1 : host_end, host_end) &&
	    set_path(u, host_end, end);
}

/* Is it this machine: localhost, a name below it, a loopback address? */
static int
is_local(const char *host)
{
	static const char local[] = "localhost";
	size_t n = strlen(host), m = sizeof(local) - 1;
	struct nr_ip ip;

	if (n >= m && strcmp(host + n - m, local) == 0)
		return n == m || host[n - m - 1] == '.';
	return nr_ip_parse(&ip, host, n) && nr_ip_is_loopback(&ip);
}

int
nr_url_parse_operand(struct nr_url *u, const char *text, size_t len)
{
	char full[sizeof("wss://") + sizeof(u->host) + sizeof(u->path) + 16];
	size_t i;
	int n;

	/* It will stand in JSON and in HTTP as it is. */
	for (i = 0; i < len; i++)
		if ((unsigned char)text[i] <= ' ' || text[i] == 0x7f ||
		    text[i] == '"' || text[i] == '\\')
			return 0;
	if (memmem(text, len, "://", 3) != NULL)
		return nr_url_parse(u, text, len);
	n = snprintf(full, sizeof(full), "wss://%.*s", (int)len, text);
	if (n >= (int)sizeof(full) || !nr_url_parse(u, full, (size_t)n))
		return 0;
	if (!is_local(u->host))
		return 1;
	n = snprintf(full, sizeof(full), "ws://%.*s", (int)len, text);
	return nr_url_parse(u, full, (size_t)n);
}

int
nr_url_same(const struct nr_url *a, const struct nr_url *b)
{
	return a->tls == b->tls && strcmp(a->host, b->host) == 0 &&
	    strcmp(a->port, b->port) == 0 && strcmp(a->path, b->path) == 0;
}
