/*
 * Matching, narrowing and writing filters.
 */
#include "filter/filter.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "event/tags.h"
#include "filter/sort.h"
#include "util/err.h"
#include "util/hex.h"

const struct nr_filter_limits nr_filter_limits_none = { SIZE_MAX };

static void
tag_free(struct nr_filter_tag *t)
{
	free(t->v);
	free(t->text);
}

void
nr_filter_free(struct nr_filter *f)
{
	size_t i;

	for (i = 0; i < f->ntags; i++)
		tag_free(&f->tags[i]);
	free(f->tags);
	free(f->ids.v);
	free(f->authors.v);
	free(f->kinds);
	memset(f, 0, sizeof(*f));
}

/*
 * Does every condition on tags hold?  One walk over the tags; each
 * condition has a bit, which is why there are 64 at most (52 letters, and
 * those that were added by narrowing are checked in a further walk).
 */
static int
tags_match(const struct nr_filter_tag *cond, size_t n,
    const struct nr_event *ev)
{
	uint64_t want = n >= 64 ? UINT64_MAX : (UINT64_C(1) << n) - 1;
	struct nr_tags it;
	struct nr_tag tag;
	size_t i;
	char letter;

	nr_tags_start(&it, ev->tags);
	while (want != 0 && nr_tags_next(&it, &tag)) {
		if ((letter = nr_tag_letter(&tag)) == 0)
			continue;
		for (i = 0; i < n && i < 64; i++)
			if (cond[i].letter == letter && cond[i].n > 0 &&
			    (want >> i & 1) && bsearch(&tag.value, cond[i].v,
			    cond[i].n, sizeof(tag.value), nr_view_cmp))
				want &= ~(UINT64_C(1) << i);
	}
	if (want != 0)
		return 0;
	return n <= 64 || tags_match(cond + 64, n - 64, ev);
}

int
nr_filter_match(const struct nr_filter *f, const struct nr_event *ev)
{
	uint16_t kind = (uint16_t)ev->kind;

	if ((f->has & NR_FILTER_SINCE) && ev->created_at < f->since)
		return 0;
	if ((f->has & NR_FILTER_UNTIL) && ev->created_at > f->until)
		return 0;
	if ((f->has & NR_FILTER_KINDS) && (f->nkinds == 0 ||
	    !bsearch(&kind, f->kinds, f->nkinds, sizeof(kind), nr_kind_cmp)))
		return 0;
	if ((f->has & NR_FILTER_AUTHORS) &&
	    !nr_keys_has(&f->authors, ev->pubkey))
		return 0;
	if ((f->has & NR_FILTER_IDS) && !nr_keys_has(&f->ids, ev->id))
		return 0;
	return f->ntags == 0 || tags_match(f->tags, f->ntags, ev);
}

int
nr_filter_void(const struct nr_filter *f)
{
	size_t i;

	for (i = 0; i < f->ntags; i++)
		if (f->tags[i].n == 0)
			return 1;
	return ((f->has & NR_FILTER_IDS) && f->ids.n == 0) ||
	    ((f->has & NR_FILTER_AUTHORS) && f->authors.n == 0) ||
	    ((f->has & NR_FILTER_KINDS) && f->nkinds == 0) ||
	    ((f->has & NR_FILTER_UNTIL) && f->until < 0) ||
	    ((f->has & NR_FILTER_SINCE) && (f->has & NR_FILTER_UNTIL) &&
	    f->since > f->until);
}

/* Keep in a what b holds as well, or take b over where a was absent. */
static int
narrow_list(void **a, size_t *na, int has, const void *b, size_t nb,
    size_t size, int (*cmp)(const void *, const void *))
{
	char *p = *a;
	size_t i, n = 0;

	if (!has) {
		if (nb > 0 && (*a = malloc(nb * size)) == NULL)
			return ENOMEM;
		if (nb > 0)
			memcpy(*a, b, nb * size);
		*na = nb;
		return NR_OK;
	}
	for (i = 0; i < *na; i++)
		if (nb > 0 && bsearch(p + i * size, b, nb, size, cmp) != NULL)
			memmove(p + n++ * size, p + i * size, size);
	*na = n;
	return NR_OK;
}

static int
copy_tag(struct nr_filter_tag *to, const struct nr_filter_tag *from)
{
	size_t i, len = 0;

	memset(to, 0, sizeof(*to));
	to->letter = from->letter;
	for (i = 0; i < from->n; i++)
		len += from->v[i].len;
	to->v = malloc(from->n * sizeof(to->v[0]) + 1);
	to->text = malloc(len + 1);
	if (to->v == NULL || to->text == NULL) {
		tag_free(to);
		return ENOMEM;
	}
	for (i = 0, len = 0; i < from->n; i++) {
		memcpy(to->text + len, from->v[i].p, from->v[i].len);
		to->v[i].p = to->text + len;
		to->v[i].len = from->v[i].len;
		len += from->v[i].len;
	}
	to->n = from->n;
	return NR_OK;
}

static int
narrow_tags(struct nr_filter *f, const struct nr_filter *more)
{
	struct nr_filter_tag *t;
	size_t i;
	int rc;

	if (more->ntags == 0)
		return NR_OK;
	t = realloc(f->tags, (f->ntags + more->ntags) * sizeof(*t));
	if (t == NULL)
		return ENOMEM;
	f->tags = t;
	for (i = 0; i < more->ntags; i++) {
		rc = copy_tag(&f->tags[f->ntags], &more->tags[i]);
		if (rc != NR_OK)
			return rc;
		f->ntags++;
	}
	return NR_OK;
}

int
nr_filter_narrow(struct nr_filter *f, const struct nr_filter *more)
{
	void *list;
	int rc = NR_OK;

	if (more->has & NR_FILTER_IDS) {
		list = f->ids.v;
		rc = narrow_list(&list, &f->ids.n, f->has & NR_FILTER_IDS,
		    more->ids.v, more->ids.n, 32, nr_key_cmp);
		f->ids.v = list;
	}
	if (rc == NR_OK && (more->has & NR_FILTER_AUTHORS)) {
		list = f->authors.v;
		rc = narrow_list(&list, &f->authors.n,
		    f->has & NR_FILTER_AUTHORS, more->authors.v,
		    more->authors.n, 32, nr_key_cmp);
		f->authors.v = list;
	}
	if (rc == NR_OK && (more->has & NR_FILTER_KINDS)) {
		list = f->kinds;
		rc = narrow_list(&list, &f->nkinds, f->has & NR_FILTER_KINDS,
		    more->kinds, more->nkinds, sizeof(f->kinds[0]),
		    nr_kind_cmp);
		f->kinds = list;
	}
	if (rc != NR_OK)
		return rc;
	if ((more->has & NR_FILTER_SINCE) &&
	    (!(f->has & NR_FILTER_SINCE) || more->since > f->since))
		f->since = more->since;
	if ((more->has & NR_FILTER_UNTIL) &&
	    (!(f->has & NR_FILTER_UNTIL) || more->until < f->until))
		f->until = more->until;
	if ((more->has & NR_FILTER_LIMIT) &&
	    (!(f->has & NR_FILTER_LIMIT) || more->limit < f->limit))
		f->limit = more->limit;
	f->has |= more->has;
	return narrow_tags(f, more);
}

static int
format_keys(struct nr_buf *b, const char *name, const struct nr_keys *k)
{
	char hex[64];
	size_t i;
	int rc;

	rc = nr_buf_addf(b, "\"%s\":[", name);
	for (i = 0; rc == NR_OK && i < k->n; i++) {
		nr_hex_encode(hex, k->v[i], 32);
		rc = nr_buf_addf(b, "%s\"%.64s\"", i > 0 ? "," : "", hex);
	}
	return rc != NR_OK ? rc : nr_buf_adds(b, "],");
}

static int
format_tag(struct nr_buf *b, const struct nr_filter_tag *t)
{
	size_t i;
	int rc;

	rc = nr_buf_addf(b, "\"#%c\":[", t->letter);
	for (i = 0; rc == NR_OK && i < t->n; i++)
		rc = nr_buf_addf(b, "%s\"%.*s\"", i > 0 ? "," : "",
		    (int)t->v[i].len, t->v[i].p);
	return rc != NR_OK ? rc : nr_buf_adds(b, "],");
}

int
nr_filter_format(struct nr_buf *b, const struct nr_filter *f)
{
	size_t i;
	int rc;

	rc = nr_buf_adds(b, "{");
	if (rc == NR_OK && (f->has & NR_FILTER_IDS))
		rc = format_keys(b, "ids", &f->ids);
	if (rc == NR_OK && (f->has & NR_FILTER_AUTHORS))
		rc = format_keys(b, "authors", &f->authors);
	if (rc == NR_OK && (f->has & NR_FILTER_KINDS)) {
		rc = nr_buf_adds(b, "\"kinds\":[");
		for (i = 0; rc == NR_OK && i < f->nkinds; i++)
			rc = nr_buf_addf(b, "%s%u", i > 0 ? "," : "",
			    f->kinds[i]);
		if (rc == NR_OK)
			rc = nr_buf_adds(b, "],");
	}
	for (i = 0; rc == NR_OK && i < f->ntags; i++)
		rc = format_tag(b, &f->tags[i]);
	if (rc == NR_OK && (f->has & NR_FILTER_SINCE))
		rc = nr_buf_addf(b, "\"since\":%" PRId64 ",", f->since);
	if (rc == NR_OK && (f->has & NR_FILTER_UNTIL))
		rc = nr_buf_addf(b, "\"until\":%" PRId64 ",", f->until);
	if (rc == NR_OK && (f->has & NR_FILTER_LIMIT))
		rc = nr_buf_addf(b, "\"limit\":%" PRIu64 ",", f->limit);
	if (rc != NR_OK)
		return rc;
	if (b->p[b->len - 1] == ',')
		b->len--;
	return nr_buf_adds(b, "}");
}
