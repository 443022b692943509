/*
 * negentropy-harness: our side of the test suite of github.com/hoytech/negentropy,
 * in its lines.
 *
 *	item,TIME,ID	seal	initiate	msg,HEX
 *
 * Answers msg,HEX have,ID need,ID done.  FRAMESIZELIMIT in the environment
 * limits messages.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "negentropy/negentropy.h"
#include "util/err.h"
#include "util/hex.h"

static struct nr_neg_array records;
static struct nr_neg neg;

static _Noreturn void
die(const char *what)
{
	fprintf(stderr, "negentropy-harness: %s\n", what);
	exit(1);
}

static void
must(int rc)
{
	if (rc != NR_OK)
		die(nr_strerror(rc));
}

static void
say(const char *what, const void *bytes, size_t n)
{
	char *hex = malloc(2 * n + 1);

	if (hex == NULL)
		die("out of memory");
	nr_hex_encode(hex, bytes, n);
	printf("%s,%.*s\n", what, (int)(2 * n), hex);
	free(hex);
}

static int
have(void *arg, const struct nr_neg_item *item)
{
	(void)arg;
	say("have", item->id, 32);
	return 0;
}

static int
need(void *arg, const unsigned char id[32])
{
	(void)arg;
	say("need", id, 32);
	return 0;
}

static void
item(const char *text)
{
	unsigned char id[32];
	uint64_t t;
	char *end;

	errno = 0;
	t = strtoumax(text, &end, 10);
	if (errno != 0 || *end != ',' || strlen(end + 1) != 64 ||
	    !nr_hex_decode(id, end + 1, 32))
		die("not an item");
	must(nr_neg_array_add(&records, t, id));
}

static void
seal(void)
{
	const char *limit = getenv("FRAMESIZELIMIT");

	must(nr_neg_array_seal(&records));
	must(nr_neg_init(&neg, &records.set, limit == NULL ? 0 :
	    strtoumax(limit, NULL, 10)));
}

static void
answer(const struct nr_buf *out)
{
	if (neg.limit > 0 && out->len > neg.limit)
		die("a frame is too large");
	say("msg", out->p, out->len);
}

static void
message(const char *hex)
{
	static const struct nr_neg_diff diff = { have, need, NULL };
	size_t n = strlen(hex) / 2;
	unsigned char *bytes = malloc(n + 1);
	struct nr_buf out = { 0 };
	const char *why;
	int rc, done = 0;

	if (bytes == NULL || strlen(hex) % 2 != 0 ||
	    !nr_hex_decode(bytes, hex, n))
		die("not a message");
	rc = nr_neg_reconcile(&neg, bytes, n, &out, neg.initiator ? &diff :
	    NULL, &done, &why);
	if (rc != NR_OK)
		die(why != NULL ? why : nr_strerror(rc));
	if (done)
		puts("done");
	else
		answer(&out);
	nr_buf_free(&out);
	free(bytes);
}

static void
command(const char *line)
{
	struct nr_buf out = { 0 };

	if (strncmp(line, "item,", 5) == 0)
		item(line + 5);
	else if (strcmp(line, "seal") == 0)
		seal();
	else if (strcmp(line, "initiate") == 0) {
		must(nr_neg_initiate(&neg, &out));
		answer(&out);
		nr_buf_free(&out);
	} else if (strncmp(line, "msg", 3) == 0)
		message(line[3] == ',' ? line + 4 : "");
	else
		die("an unknown command");
}

int
main(void)
{
	char *line = NULL;
	size_t cap = 0;
	ssize_t n;

	while ((n = getline(&line, &cap, stdin)) > 0) {
		if (line[n - 1] == '\n')
			line[--n] = '\0';
		if (n > 0)
			command(line);
		fflush(stdout);
	}
	free(line);
	nr_neg_free(&neg);
	nr_neg_array_free(&records);
	return ferror(stdout) != 0;
}
