/*
 * Filters from a command line.  The flags are collected as JSON text and
 * read like any filter, so that the same rules hold for both.
 */
#include "filter/args.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "event/nip19.h"
#include "util/err.h"
#include "util/hex.h"
#include "util/times.h"

void
nr_filter_args_free(struct nr_filter_args *a)
{
	size_t i;

	for (i = 0; i < a->njson; i++)
		nr_filter_free(&a->json[i]);
	free(a->json);
	nr_buf_free(&a->ids);
	nr_buf_free(&a->authors);
	nr_buf_free(&a->kinds);
	for (i = 0; i < 128; i++)
		nr_buf_free(&a->tag[i]);
	memset(a, 0, sizeof(*a));
}

int
nr_filter_args_json(struct nr_filter_args *a, const char *text,
    const char **why)
{
	struct nr_filter *f;
	int rc;

	f = realloc(a->json, (a->njson + 1) * sizeof(*f));
	if (f == NULL)
		return ENOMEM;
	a->json = f;
	rc = nr_filter_parse(&f[a->njson], text, strlen(text),
	    &nr_filter_limits_none, why);
	if (rc == NR_OK && *why == NULL)
		a->njson++;
	return rc;
}

static int
add_string(struct nr_buf *list, const char *s, size_t n)
{
	int rc = NR_OK;

	if (list->len > 0)
		rc = nr_buf_adds(list, ",");
	return rc != NR_OK ? rc : nr_buf_addjson(list, s, n);
}

static int
add_key(struct nr_buf *list, const unsigned char key[32])
{
	char hex[64];

	nr_hex_encode(hex, key, 32);
	return add_string(list, hex, 64);
}

static int
add_tag(struct nr_filter_args *a, char letter, const char *value, size_t n)
{
	struct nr_buf *list = &a->tag[(unsigned char)letter];

	if (list->len == 0)
		a->order[a->norder++] = letter;
	return add_string(list, value, n);
}

static int
add_kind(struct nr_filter_args *a, unsigned kind)
{
	return nr_buf_addf(&a->kinds, "%s%u", a->kinds.len > 0 ? "," : "",
	    kind);
}

static int
is_hex64(const char *s)
{
	unsigned char k[32];

	return strlen(s) == 64 && nr_hex_decode(k, s, 32);
}

/* A public key, in hex or by NIP-19. */
static int
author(struct nr_buf *list, const char *value, const char **why)
{
	struct nr_nip19 n;

	if (is_hex64(value))
		return add_string(list, value, 64);
	if (nr_nip19_decode(&n, value) && (n.type == NR_NIP19_NPUB ||
	    n.type == NR_NIP19_NPROFILE))
		return add_key(list, n.key);
	*why = "not a public key (64 lower-case hex digits, npub, nprofile)";
	return NR_OK;
}

/* An event's id, in hex or by NIP-19. */
static int
event_id(struct nr_buf *list, const char *value, const char **why)
{
	struct nr_nip19 n;

	if (is_hex64(value))
		return add_string(list, value, 64);
	if (nr_nip19_decode(&n, value) && (n.type == NR_NIP19_NOTE ||
	    n.type == NR_NIP19_NEVENT))
		return add_key(list, n.key);
	*why = "not an id (64 lower-case hex digits, note, nevent, "
	    "naddr)";
	return NR_OK;
}

/* -i naddr...: one only, because several would match their mixtures. */
static int
address(struct nr_filter_args *a, const struct nr_nip19 *n, const char **why)
{
	int rc;

	if (a->ids.len > 0 || a->authors.len > 0 || a->kinds.len > 0 ||
	    a->tag['d'].len > 0) {
		*why = "naddr cannot be combined with other ids, authors, "
		    "kinds or d tags";
		return NR_OK;
	}
	rc = add_key(&a->authors, n->author);
	if (rc == NR_OK)
		rc = add_kind(a, n->kind);
	if (rc == NR_OK && nr_kind_addressable(n->kind))
		rc = add_tag(a, 'd', n->d, n->dlen);
	return rc;
}

static int
named_tag(struct nr_filter_args *a, const char *value, const char **why)
{
	if (!isalpha((unsigned char)value[0]) || value[1] != '=') {
		*why = "not LETTER=VALUE";
		return NR_OK;
	}
	if (value[0] == 'e')
		return nr_filter_args_flag(a, 'e', value + 2, 0, why);
	if (value[0] == 'p')
		return nr_filter_args_flag(a, 'p', value + 2, 0, why);
	return add_tag(a, value[0], value + 2, strlen(value + 2));
}

static int
number(const char *value, uint64_t most, uint64_t *out)
{
	char *end;

	if (!isdigit((unsigned char)*value))
		return 0;
	errno = 0;
	*out = strtoumax(value, &end, 10);
	return errno == 0 && *end == '\0' && *out <= most;
}

/* -e and -p: as -t, with NIP-19 names understood. */
static int
reference(struct nr_filter_args *a, char letter, const char *value,
    const char **why)
{
	struct nr_buf one = { 0 };
	int rc;

	rc = letter == 'e' ? event_id(&one, value, why) :
	    author(&one, value, why);
	/* What was added is "..." with its quotes. */
	if (rc == NR_OK && *why == NULL)
		rc = add_tag(a, letter, one.p + 1, one.len - 2);
	nr_buf_free(&one);
	return rc;
}

int
nr_filter_args_flag(struct nr_filter_args *a, int flag, const char *value,
    int64_t now, const char **why)
{
	struct nr_nip19 n;
	uint64_t v;

	*why = NULL;
	switch (flag) {
	case 'a':
		return author(&a->authors, value, why);
	case 'i':
		if (nr_nip19_decode(&n, value) && n.type == NR_NIP19_NADDR)
			return address(a, &n, why);
		return event_id(&a->ids, value, why);
	case 'k':
		if (number(value, 65535, &v))
			return add_kind(a, (unsigned)v);
		*why = "not a kind from 0 to 65535";
		break;
	case 'e':
	case 'p':
		return reference(a, (char)flag, value, why);
	case 'd':
		return add_tag(a, 'd', value, strlen(value));
	case 't':
		return named_tag(a, value, why);
	case 's':
		a->has |= NR_FILTER_SINCE;
		if (!nr_time_parse(&a->since, value, now))
			*why = "not a time";
		break;
	case 'u':
		a->has |= NR_FILTER_UNTIL;
		if (!nr_time_parse(&a->until, value, now))
			*why = "not a time";
		break;
	case 'l':
		a->has |= NR_FILTER_LIMIT;
		if (!number(value, INT64_MAX, &a->limit))
			*why = "not a number";
		break;
	default:
		*why = "unknown flag";
	}
	return NR_OK;
}

static int
add_member(struct nr_buf *b, const char *key, const struct nr_buf *list)
{
	if (list->len == 0)
		return NR_OK;
	return nr_buf_addf(b, "%s\"%s\":[%.*s]", b->len > 1 ? "," : "", key,
	    (int)list->len, list->p);
}

/* The flags as one filter. */
static int
flags_filter(struct nr_filter_args *a, struct nr_filter *out,
    const char **why)
{
	struct nr_buf b = { 0 };
	char key[3] = "#";
	size_t i;
	int rc;

	rc = nr_buf_adds(&b, "{");
	if (rc == NR_OK)
		rc = add_member(&b, "ids", &a->ids);
	if (rc == NR_OK)
		rc = add_member(&b, "authors", &a->authors);
	if (rc == NR_OK)
		rc = add_member(&b, "kinds", &a->kinds);
	for (i = 0; rc == NR_OK && i < a->norder; i++) {
		key[1] = a->order[i];
		rc = add_member(&b, key, &a->tag[(unsigned char)key[1]]);
	}
	if (rc == NR_OK)
		rc = nr_buf_adds(&b, "}");
	if (rc == NR_OK)
		rc = nr_filter_parse(out, b.p, b.len, &nr_filter_limits_none,
		    why);
	nr_buf_free(&b);
	if (rc != NR_OK || *why != NULL)
		return rc;
	out->has |= a->has;
	out->since = a->since;
	out->until = a->until;
	out->limit = a->limit;
	return NR_OK;
}

int
nr_filter_args_finish(struct nr_filter_args *a, struct nr_filter **out,
    size_t *n, const char **why)
{
	struct nr_filter flags, *only;
	size_t i;
	int rc;

	if ((rc = flags_filter(a, &flags, why)) != NR_OK || *why != NULL)
		return rc;
	if (a->njson == 0) {
		if ((only = malloc(sizeof(*only))) == NULL) {
			nr_filter_free(&flags);
			return ENOMEM;
		}
		*only = flags;
		*out = only;
		*n = 1;
		return NR_OK;
	}
	for (i = 0; rc == NR_OK && i < a->njson; i++)
		rc = nr_filter_narrow(&a->json[i], &flags);
	nr_filter_free(&flags);
	if (rc != NR_OK)
		return rc;
	*out = a->json;
	*n = a->njson;
	a->json = NULL;
	a->njson = 0;
	return NR_OK;
}
