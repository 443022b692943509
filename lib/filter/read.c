/*
 * Reading a filter: strict, with a reason for each refusal.
 */
#include "filter/filter.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "filter/sort.h"
#include "util/err.h"
#include "util/hex.h"

/* A list that is being read, of elements of one size. */
struct list {
	struct nr_buf	mem;
	size_t		n;
};

struct reader {
	struct nr_filter		*f;
	struct nr_json			*j;
	const struct nr_filter_limits	*limits;
	const char			*why;
	int				 rc;
};

static int
refuse(struct reader *r, const char *why)
{
	r->why = why;
	return 0;
}

static int
no_memory(struct reader *r)
{
	r->rc = ENOMEM;
	return 0;
}

/*
 * What follows a value in a list: 1 another one, 0 the end or a refusal.
 */
static int
more(struct reader *r)
{
	struct nr_json *j = r->j;

	nr_json_space(j);
	if (j->p < j->end && *j->p == ']') {
		j->p++;
		return 0;
	}
	if (j->p == j->end || *j->p != ',')
		return refuse(r, "invalid: filter is not JSON");
	j->p++;
	nr_json_space(j);
	return 1;
}

/* The [ of a list; 1 where a value follows. */
static int
first(struct reader *r)
{
	struct nr_json *j = r->j;

	nr_json_space(j);
	if (j->p == j->end || *j->p != '[')
		return refuse(r, "invalid: filter value is not a list");
	j->p++;
	nr_json_space(j);
	if (j->p < j->end && *j->p == ']') {
		j->p++;
		return 0;
	}
	return 1;
}

static int
one_more(struct reader *r, struct list *l)
{
	if (++l->n > r->limits->values)
		return refuse(r, "invalid: too many values in a filter list");
	return 1;
}

/* A string of the filter, as it stands. */
static int
string(struct reader *r, struct nr_view *out)
{
	struct nr_json *j = r->j;
	unsigned flags = 0;

	if (j->p == j->end || *j->p != '"')
		return refuse(r, "invalid: filter value is not a string");
	if (nr_json_string(j, out, &flags) != NR_JSON_OK)
		return refuse(r, "invalid: filter value is not a valid string");
	return 1;
}

static int
key(struct reader *r, struct list *l)
{
	unsigned char k[32];
	struct nr_view text;

	if (!one_more(r, l) || !string(r, &text))
		return 0;
	if (text.len != 64 || !nr_hex_decode(k, text.p, 32))
		return refuse(r, "invalid: ids and authors in a filter must "
		    "be 64 lower-case hex digits");
	return nr_buf_add(&l->mem, k, 32) == NR_OK ? 1 : no_memory(r);
}

static int
read_keys(struct reader *r, struct nr_keys *out)
{
	struct list l = { { 0 }, 0 };
	int go;

	for (go = first(r); go; go = more(r))
		if (!key(r, &l))
			break;
	out->v = (void *)l.mem.p;
	if (r->why != NULL || r->rc != NR_OK)
		return 0;
	out->n = nr_sort_unique(l.mem.p, l.n, 32, nr_key_cmp);
	return 1;
}

static int
integer(struct reader *r, int64_t *out, const char *why)
{
	struct nr_json *j = r->j;

	nr_json_space(j);
	if (j->p == j->end || nr_json_int(j, out, NULL) != NR_JSON_OK)
		return refuse(r, why);
	return 1;
}

static int
kind(struct reader *r, struct list *l)
{
	uint16_t k;
	int64_t v;

	if (!one_more(r, l) ||
	    !integer(r, &v, "invalid: kinds must be integers"))
		return 0;
	if (v < 0 || v > 65535)
		return refuse(r, "invalid: kinds must be 0 to 65535");
	k = (uint16_t)v;
	return nr_buf_add(&l->mem, &k, sizeof(k)) == NR_OK ? 1 : no_memory(r);
}

static int
read_kinds(struct reader *r)
{
	struct list l = { { 0 }, 0 };
	int go;

	for (go = first(r); go; go = more(r))
		if (!kind(r, &l))
			break;
	r->f->kinds = (void *)l.mem.p;
	if (r->why != NULL || r->rc != NR_OK)
		return 0;
	r->f->nkinds = nr_sort_unique(l.mem.p, l.n, sizeof(uint16_t),
	    nr_kind_cmp);
	return 1;
}

/* A value of a tag's list: its normal text, and the length apart. */
static int
tag_value(struct reader *r, char letter, struct list *lengths,
    struct nr_buf *text)
{
	unsigned char k[32];
	struct nr_view v;
	size_t n;

	if (!one_more(r, lengths) || !string(r, &v))
		return 0;
	if ((letter == 'e' || letter == 'p') &&
	    (v.len != 64 || !nr_hex_decode(k, v.p, 32)))
		return refuse(r, "invalid: #e and #p in a filter must be 64 "
		    "lower-case hex digits");
	if (nr_buf_reserve(text, v.len + 1) != NR_OK)
		return no_memory(r);
	n = nr_json_normal(text->p + text->len, v.p, v.len);
	text->len += n;
	return nr_buf_add(&lengths->mem, &n, sizeof(n)) == NR_OK ? 1 :
	    no_memory(r);
}

/* Give each of the n values its place in the text, then sort them. */
static int
place_values(struct nr_filter_tag *t, const struct list *lengths)
{
	size_t i, len, at = 0;

	t->v = malloc(lengths->n * sizeof(t->v[0]) + 1);
	if (t->v == NULL)
		return ENOMEM;
	for (i = 0; i < lengths->n; i++) {
		memcpy(&len, lengths->mem.p + i * sizeof(len), sizeof(len));
		t->v[i].p = t->text + at;
		t->v[i].len = len;
		at += len;
	}
	t->n = nr_sort_unique(t->v, lengths->n, sizeof(t->v[0]), nr_view_cmp);
	return NR_OK;
}

static int
read_tag(struct reader *r, char letter)
{
	struct list lengths = { { 0 }, 0 };
	struct nr_buf text = { 0 };
	struct nr_filter_tag *t;
	int go;

	t = realloc(r->f->tags, (r->f->ntags + 1) * sizeof(*t));
	if (t == NULL)
		return no_memory(r);
	r->f->tags = t;
	t += r->f->ntags++;
	memset(t, 0, sizeof(*t));
	t->letter = letter;
	for (go = first(r); go; go = more(r))
		if (!tag_value(r, letter, &lengths, &text))
			break;
	t->text = text.p;
	if (r->why == NULL && r->rc == NR_OK)
		r->rc = place_values(t, &lengths);
	nr_buf_free(&lengths.mem);
	return r->why == NULL && r->rc == NR_OK;
}

static int
read_limit(struct reader *r)
{
	int64_t v;

	if (!integer(r, &v, "invalid: limit is not an integer"))
		return 0;
	if (v < 0)
		return refuse(r, "invalid: limit is negative");
	r->f->limit = (uint64_t)v;
	return 1;
}

/* A key that may be given once. */
static int
once(struct reader *r, unsigned bit)
{
	if (r->f->has & bit)
		return refuse(r, "invalid: a filter key is given twice");
	r->f->has |= bit;
	return 1;
}

static int
named(struct nr_view name, const char *s)
{
	return name.len == strlen(s) && memcmp(name.p, s, name.len) == 0;
}

static int
tag_key(struct reader *r, char letter)
{
	size_t i;

	if (!(letter >= 'a' && letter <= 'z') &&
	    !(letter >= 'A' && letter <= 'Z'))
		return refuse(r, "unsupported: only tags of one letter are "
		    "indexed");
	for (i = 0; i < r->f->ntags; i++)
		if (r->f->tags[i].letter == letter)
			return refuse(r,
			    "invalid: a filter key is given twice");
	return read_tag(r, letter);
}

static int
value(struct reader *r, struct nr_view name)
{
	static const char since[] = "invalid: since is not an integer";
	static const char until[] = "invalid: until is not an integer";

	if (named(name, "ids"))
		return once(r, NR_FILTER_IDS) && read_keys(r, &r->f->ids);
	if (named(name, "authors"))
		return once(r, NR_FILTER_AUTHORS) &&
		    read_keys(r, &r->f->authors);
	if (named(name, "kinds"))
		return once(r, NR_FILTER_KINDS) && read_kinds(r);
	if (named(name, "since"))
		return once(r, NR_FILTER_SINCE) &&
		    integer(r, &r->f->since, since);
	if (named(name, "until"))
		return once(r, NR_FILTER_UNTIL) &&
		    integer(r, &r->f->until, until);
	if (named(name, "limit"))
		return once(r, NR_FILTER_LIMIT) && read_limit(r);
	if (name.len == 2 && name.p[0] == '#')
		return tag_key(r, name.p[1]);
	if (name.len > 0 && name.p[0] == '#')
		return refuse(r, "unsupported: only tags of one letter are "
		    "indexed");
	return refuse(r, "unsupported: unknown filter key");
}

static int
member(struct reader *r)
{
	char plain[64];
	struct nr_view name;

	if (!string(r, &name))
		return 0;
	if (name.len > sizeof(plain))
		return refuse(r, "unsupported: unknown filter key");
	name.len = nr_json_decode(plain, name.p, name.len);
	name.p = plain;
	if (nr_json_expect(r->j, ':') != NR_JSON_OK)
		return refuse(r, "invalid: filter is not JSON");
	return value(r, name);
}

static int
object(struct reader *r)
{
	struct nr_json *j = r->j;

	nr_json_space(j);
	if (j->p == j->end || *j->p != '{')
		return refuse(r, "invalid: filter is not a JSON object");
	j->p++;
	nr_json_space(j);
	if (j->p < j->end && *j->p == '}') {
		j->p++;
		return 1;
	}
	for (;;) {
		nr_json_space(j);
		if (!member(r))
			return 0;
		nr_json_space(j);
		if (j->p < j->end && *j->p == '}') {
			j->p++;
			return 1;
		}
		if (j->p == j->end || *j->p != ',')
			return refuse(r, "invalid: filter is not JSON");
		j->p++;
	}
}

int
nr_filter_read(struct nr_filter *out, struct nr_json *j,
    const struct nr_filter_limits *limits, const char **why)
{
	struct nr_filter f = { 0 };
	struct reader r = { .f = &f, .j = j, .limits = limits };

	*why = NULL;
	if (object(&r)) {
		*out = f;
		return NR_OK;
	}
	nr_filter_free(&f);
	*why = r.why;
	return r.rc;
}

int
nr_filter_parse(struct nr_filter *out, const char *json, size_t len,
    const struct nr_filter_limits *limits, const char **why)
{
	struct nr_json j = { json, json + len };
	struct nr_filter f;
	int rc;

	if ((rc = nr_filter_read(&f, &j, limits, why)) != NR_OK || *why)
		return rc;
	nr_json_space(&j);
	if (j.p != j.end) {
		nr_filter_free(&f);
		*why = "invalid: bytes behind the filter";
		return NR_OK;
	}
	*out = f;
	return NR_OK;
}
