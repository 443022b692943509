/*
 * Where a relay listens.
 */
#include "relay/endpoint.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "util/err.h"

#define BACKLOG	4096	/* the system may have a lower bound */

static int
take_prefix(const char **text, const char *prefix)
{
	size_t n = strlen(prefix);

	if (strncmp(*text, prefix, n) != 0)
		return 0;
	*text += n;
	return 1;
}

/* ADDRESS:PORT; an IPv6 address may have brackets. */
static int
split(struct nr_endpoint *e, const char *p)
{
	const char *colon = strrchr(p, ':'), *end;
	unsigned char ip[16];
	size_t n;

	if (colon == NULL || colon[1] == '\0' || strlen(colon + 1) > 5 ||
	    colon[1 + strspn(colon + 1, "0123456789")] != '\0')
		return 0;
	e->port = (int)strtol(colon + 1, NULL, 10);
	end = colon;
	if (*p == '[' && end - p > 2 && end[-1] == ']') {
		p++;
		end--;
	}
	n = (size_t)(end - p);
	if (e->port > 65535 || n >= NR_ADDRESS_MAX)
		return 0;
	memcpy(e->address, p, n);
	e->address[n] = '\0';
	return inet_pton(AF_INET, e->address, ip) == 1 ||
	    inet_pton(AF_INET6, e->address, ip) == 1;
}

const char *
nr_endpoint_parse(struct nr_endpoint *out, const char *text)
{
	struct nr_endpoint e = { .path = NULL };

	e.proxy = take_prefix(&text, "proxy:");
	e.tls = take_prefix(&text, "tls:");
	if (strncmp(text, "unix:/", 6) == 0) {
		e.path = text + 5;
		if (strlen(e.path) >=
		    sizeof(((struct sockaddr_un *)0)->sun_path))
			return "the path is too long";
	} else if (!split(&e, text))
		return "not an IP address and a port, or unix: and a path";
	*out = e;
	return NULL;
}

socklen_t
nr_endpoint_sockaddr(const struct nr_endpoint *e,
    struct sockaddr_storage *out)
{
	struct sockaddr_in6 in6 = { .sin6_family = AF_INET6 };
	struct sockaddr_in in = { .sin_family = AF_INET };
	struct sockaddr_un un = { .sun_family = AF_UNIX };

	memset(out, 0, sizeof(*out));
	if (e->path != NULL) {
		snprintf(un.sun_path, sizeof(un.sun_path), "%s", e->path);
		memcpy(out, &un, sizeof(un));
		return sizeof(un);
	}
	if (inet_pton(AF_INET, e->address, &in.sin_addr) == 1) {
		in.sin_port = htons((uint16_t)e->port);
		memcpy(out, &in, sizeof(in));
		return sizeof(in);
	}
	(void)inet_pton(AF_INET6, e->address, &in6.sin6_addr);
	in6.sin6_port = htons((uint16_t)e->port);
	memcpy(out, &in6, sizeof(in6));
	return sizeof(in6);
}

int
nr_endpoint_is(const struct nr_endpoint *e, int fd)
{
	struct sockaddr_storage want, is;
	socklen_t len = sizeof(is);

	memset(&is, 0, sizeof(is));
	(void)nr_endpoint_sockaddr(e, &want);
	if (getsockname(fd, (struct sockaddr *)&is, &len) != 0)
		return 0;
	return (e->path != NULL || e->port != 0) &&
	    memcmp(&is, &want, sizeof(is)) == 0;
}

int
nr_endpoint_write(int fd, char out[NR_ENDPOINT_TEXT])
{
	struct sockaddr_storage ss;
	struct sockaddr_in6 in6;
	struct sockaddr_in in;
	struct sockaddr_un un;
	socklen_t len = sizeof(ss);
	char ip[INET6_ADDRSTRLEN];

	memset(&ss, 0, sizeof(ss));
	if (getsockname(fd, (struct sockaddr *)&ss, &len) != 0)
		return 0;
	switch (ss.ss_family) {
	case AF_INET:
		memcpy(&in, &ss, sizeof(in));
		(void)inet_ntop(AF_INET, &in.sin_addr, ip, sizeof(ip));
		snprintf(out, NR_ENDPOINT_TEXT, "%s:%d", ip,
		    ntohs(in.sin_port));
		return 1;
	case AF_INET6:
		memcpy(&in6, &ss, sizeof(in6));
		(void)inet_ntop(AF_INET6, &in6.sin6_addr, ip, sizeof(ip));
		snprintf(out, NR_ENDPOINT_TEXT, "[%s]:%d", ip,
		    ntohs(in6.sin6_port));
		return 1;
	case AF_UNIX:
		memcpy(&un, &ss, sizeof(un));
		snprintf(out, NR_ENDPOINT_TEXT, "unix:%.107s", un.sun_path);
		return un.sun_path[0] == '/';
	}
	return 0;
}

/* What is in the way of a socket with this path?  Only a dead one goes. */
static int
clear_path(const struct nr_endpoint *e)
{
	struct sockaddr_storage at;
	socklen_t len = nr_endpoint_sockaddr(e, &at);
	struct stat st;
	int fd, rc;

	if (lstat(e->path, &st) != 0)
		return errno == ENOENT ? NR_OK : errno;
	if (!S_ISSOCK(st.st_mode))
		return EEXIST;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return errno;
	/* Where its queue is full, there is somebody, too. */
	rc = connect(fd, (struct sockaddr *)&at, len) == 0 ||
	    errno == EAGAIN ? EADDRINUSE : errno;
	close(fd);
	if (rc != ECONNREFUSED)
		return rc;
	return unlink(e->path) == 0 ? NR_OK : errno;
}

void
nr_endpoint_clear(const struct nr_endpoint *e)
{
	if (e->path != NULL)
		(void)clear_path(e);
}

int
nr_endpoint_listen(const struct nr_endpoint *e, int *fd)
{
	struct sockaddr_storage at;
	socklen_t len = nr_endpoint_sockaddr(e, &at);
	int one = 1, rc, s;

	if (e->path != NULL && (rc = clear_path(e)) != NR_OK)
		return rc;
	s = socket(at.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK,
	    0);
	if (s < 0)
		return errno;
	if (e->path == NULL)	/* at once after a restart */
		(void)setsockopt(s, SOL_SOCKET, SO_REUSEADDR, &one,
		    sizeof(one));
	if (bind(s, (struct sockaddr *)&at, len) != 0 ||
	    listen(s, BACKLOG) != 0) {
		rc = errno;
		close(s);
		return rc;
	}
	*fd = s;
	return NR_OK;
}
