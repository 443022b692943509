/*
 * Where secret keys come from: text, descriptors, files.  What was read is
 * wiped before anything returns.
 */
#include "event/sign.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "event/nip19.h"
#include "util/err.h"
#include "util/hex.h"

#define TEXT_MAX	256	/* bytes of the line; an nsec has 63 */

static int
is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

int
nr_key_parse(struct nr_key **out, const char *text, size_t len)
{
	unsigned char secret[32];
	char nsec[TEXT_MAX];
	int rc = NR_EKEY;

	while (len > 0 && is_space(text[0])) {
		text++;
		len--;
	}
	while (len > 0 && is_space(text[len - 1]))
		len--;
	if (len == 2 * sizeof(secret) &&
	    nr_hex_decode(secret, text, sizeof(secret)))
		rc = NR_OK;
	else if (len < sizeof(nsec)) {
		memcpy(nsec, text, len);
		nsec[len] = '\0';
		if (nr_nip19_nsec(secret, nsec))
			rc = NR_OK;
		explicit_bzero(nsec, sizeof(nsec));
	}
	if (rc == NR_OK)
		rc = nr_key_new(out, secret);
	explicit_bzero(secret, sizeof(secret));
	return rc;
}

/* A byte at a time, since what follows may be somebody else's. */
static int
read_line(int fd, char *text, size_t size, size_t *len)
{
	ssize_t n;

	for (*len = 0; *len < size; ++*len) {
		while ((n = read(fd, text + *len, 1)) < 0 && errno == EINTR)
			;
		if (n < 0)
			return errno;
		if (n == 0 || text[*len] == '\n')
			return NR_OK;
	}
	return NR_EKEY;
}

int
nr_key_read(struct nr_key **out, int fd)
{
	char text[TEXT_MAX];
	size_t len;
	int rc;

	if ((rc = read_line(fd, text, sizeof(text), &len)) == NR_OK)
		rc = nr_key_parse(out, text, len);
	explicit_bzero(text, sizeof(text));
	return rc;
}

/* May a key be kept in it?  The reasons are ssh's. */
static int
check_file(int fd)
{
	struct stat st;

	if (fstat(fd, &st) != 0)
		return errno;
	if (!S_ISREG(st.st_mode) && !S_ISFIFO(st.st_mode))
		return NR_EKEYTYPE;
	if (st.st_uid != geteuid() && st.st_uid != 0)
		return NR_EKEYOWNER;
	if ((st.st_mode & (S_IRWXG | S_IRWXO)) != 0)
		return NR_EKEYMODE;
	return NR_OK;
}

int
nr_key_read_file(struct nr_key **out, const char *path)
{
	int fd, rc;

	if ((fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY)) < 0)
		return errno;
	if ((rc = check_file(fd)) == NR_OK)
		rc = nr_key_read(out, fd);
	close(fd);
	return rc;
}
