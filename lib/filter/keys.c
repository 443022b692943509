/*
 * Sets of keys.
 */
#include "filter/keys.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "event/nip19.h"
#include "filter/sort.h"
#include "util/buf.h"
#include "util/err.h"
#include "util/hex.h"
#include "util/lines.h"

#define LINE_MAX_BYTES	4096
#define WORD_MAX	1024

int
nr_keys_has(const struct nr_keys *k, const unsigned char key[32])
{
	return k->n > 0 &&
	    bsearch(key, k->v, k->n, 32, nr_key_cmp) != NULL;
}

void
nr_keys_take(struct nr_keys *k, void *keys, size_t n)
{
	k->v = keys;
	k->n = nr_sort_unique(keys, n, 32, nr_key_cmp);
}

void
nr_keys_free(struct nr_keys *k)
{
	free(k->v);
	k->v = NULL;
	k->n = 0;
}

static int
parse(struct nr_view v, unsigned char key[32])
{
	struct nr_nip19 n;
	char text[WORD_MAX];

	if (v.len == 64 && nr_hex_decode(key, v.p, 32))
		return 1;
	if (v.len >= sizeof(text) || memchr(v.p, '\0', v.len) != NULL)
		return 0;
	memcpy(text, v.p, v.len);
	text[v.len] = '\0';
	if (!nr_nip19_decode(&n, text) ||
	    (n.type != NR_NIP19_NPUB && n.type != NR_NIP19_NPROFILE))
		return 0;
	memcpy(key, n.key, 32);
	return 1;
}

static int
read_all(struct nr_lines *in, struct nr_buf *b)
{
	unsigned char key[32];
	struct nr_view v;
	const char *line;
	size_t len;
	int rc;

	while ((rc = nr_lines_next(in, &line, &len)) == NR_OK) {
		v = nr_line_item(line, len);
		if (v.len == 0)
			continue;
		if (!parse(v, key))
			return NR_EINVAL;
		if ((rc = nr_buf_add(b, key, 32)) != NR_OK)
			return rc;
	}
	return rc == NR_EOF ? NR_OK : rc == NR_ETOOLONG ? NR_EINVAL : rc;
}

int
nr_keys_load(struct nr_keys *out, const char *path, uint64_t *lineno)
{
	struct nr_buf b = { 0 };
	struct nr_lines in;
	int fd, rc;

	out->v = NULL;
	out->n = 0;
	*lineno = 0;
	if ((fd = open(path, O_RDONLY | O_CLOEXEC)) < 0)
		return errno;
	if ((rc = nr_lines_init(&in, fd, LINE_MAX_BYTES, 0)) == NR_OK) {
		rc = read_all(&in, &b);
		*lineno = in.lineno;
		nr_lines_free(&in);
	}
	close(fd);
	if (rc != NR_OK) {
		nr_buf_free(&b);
		return rc;
	}
	nr_keys_take(out, b.p, b.len / 32);
	return NR_OK;
}
