/*
 * Filters drawn at random over events.
 */
#include "bench/mix.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "event/tags.h"
#include "util/buf.h"
#include "util/err.h"
#include "util/hex.h"
#include "util/idset.h"
#include "util/rng.h"

#define IDS_MAX		20		/* asked for by one filter */
#define DELETED_MAX	((size_t)1 << 24)

struct nr_mix {
	struct nr_rng	 rng;
	struct nr_view	*line;		/* of the events */
	size_t		 nlines;
	struct nr_buf	 text;
	size_t		*at;		/* where each filter starts in text */
	uint64_t	*events;	/* that it got, UINT64_MAX: not asked */
	uint64_t	*sum;
	unsigned	*least;		/* that it must get */
	unsigned	 n;
	struct nr_idset	*deleted;	/* ids that some event wants gone */
	int		 vanishing;	/* or all events of somebody */
	time_t		 now;
};

/* Remember what an event asks to be removed. */
static int
note_request(struct nr_mix *m, const struct nr_event *ev)
{
	unsigned char id[32];
	struct nr_tags it;
	struct nr_tag tag;
	int added, rc = NR_OK;

	m->vanishing |= ev->kind == NR_KIND_VANISH;
	if (ev->kind != NR_KIND_DELETION)
		return NR_OK;
	nr_tags_start(&it, ev->tags);
	while (rc == NR_OK && nr_tags_next(&it, &tag))
		if (nr_tag_letter(&tag) == 'e' && tag.value.len == 64 &&
		    nr_hex_decode(id, tag.value.p, 32))
			rc = nr_idset_add(m->deleted, id, &added);
	return rc;
}

/* Does a relay that was given all these events have this one? */
static int
must_be_there(const struct nr_mix *m, const struct nr_event *ev)
{
	return !m->vanishing && !nr_kind_request(ev->kind) &&
	    !nr_kind_confidential(ev->kind) &&
	    !nr_kind_replaceable(ev->kind) && !nr_kind_ephemeral(ev->kind) &&
	    !nr_kind_addressable(ev->kind) && ev->created_at <= m->now &&
	    nr_event_expiration(ev) == INT64_MAX && !nr_event_protected(ev) &&
	    !nr_idset_has(m->deleted, ev->id);
}

static int
index_lines(struct nr_mix *m, const char *p, size_t len)
{
	const char *end = p + len, *lf;
	struct nr_event ev;
	size_t cap = 0;
	void *grown;
	int rc;

	for (; p < end; p = lf < end ? lf + 1 : end) {
		if ((lf = memchr(p, '\n', (size_t)(end - p))) == NULL)
			lf = end;
		if (!nr_event_view(&ev, p, (size_t)(lf - p)))
			continue;
		if ((rc = note_request(m, &ev)) != NR_OK)
			return rc;
		if (m->nlines == cap) {
			cap = cap * 2 + 1024;
			grown = realloc(m->line, cap * sizeof(*m->line));
			if (grown == NULL)
				return ENOMEM;
			m->line = grown;
		}
		m->line[m->nlines].p = p;
		m->line[m->nlines++].len = (size_t)(lf - p);
	}
	return m->nlines > 0 ? NR_OK : NR_EINVAL;
}

static void
some_event(struct nr_mix *m, struct nr_event *ev)
{
	struct nr_view v = m->line[nr_rng_below(&m->rng, m->nlines)];

	/* It has been one before. */
	(void)nr_event_view(ev, v.p, v.len);
}

/* A tag of this letter on some event; 0 where none is found soon. */
static int
some_tag(struct nr_mix *m, char letter, struct nr_view *value)
{
	struct nr_event ev;
	struct nr_tags it;
	struct nr_tag tag;
	int tries;

	for (tries = 0; tries < 1000; tries++) {
		some_event(m, &ev);
		nr_tags_start(&it, ev.tags);
		while (nr_tags_next(&it, &tag))
			if (nr_tag_letter(&tag) == letter) {
				*value = tag.value;
				return 1;
			}
	}
	return 0;
}

/* A list of n authors of events, or of ids that are referred to. */
static int
add_keys(struct nr_mix *m, const char *name, uint64_t n, int ids)
{
	struct nr_event ev;
	char hex[64];
	uint64_t i;
	int rc;

	rc = nr_buf_addf(&m->text, "\"%s\":[", name);
	for (i = 0; rc == NR_OK && i < n; i++) {
		some_event(m, &ev);
		nr_hex_encode(hex, ids ? ev.id : ev.pubkey, 32);
		rc = nr_buf_addf(&m->text, "%s\"%.64s\"", i > 0 ? "," : "",
		    hex);
	}
	return rc != NR_OK ? rc : nr_buf_adds(&m->text, "]");
}

/* Some ids of events; how many of these must be there. */
static int
add_ids(struct nr_mix *m, unsigned *least)
{
	unsigned char had[IDS_MAX][32];
	uint64_t n = 1 + nr_rng_below(&m->rng, IDS_MAX), i, k;
	struct nr_event ev;
	char hex[64];
	int rc = nr_buf_adds(&m->text, "{\"ids\":[");

	for (i = 0; rc == NR_OK && i < n; i++) {
		some_event(m, &ev);
		memcpy(had[i], ev.id, 32);
		for (k = 0; memcmp(had[k], ev.id, 32) != 0; k++)
			;
		*least += k == i && must_be_there(m, &ev);
		nr_hex_encode(hex, ev.id, 32);
		rc = nr_buf_addf(&m->text, "%s\"%.64s\"", i > 0 ? "," : "",
		    hex);
	}
	return rc != NR_OK ? rc : nr_buf_adds(&m->text, "]");
}

static int
add_tag(struct nr_mix *m, char letter)
{
	struct nr_view v = { "", 0 };

	(void)some_tag(m, letter, &v);
	return nr_buf_addf(&m->text, "\"#%c\":[\"%.*s\"]", letter,
	    (int)v.len, v.p);
}

static int
add_filter(struct nr_mix *m, unsigned *least)
{
	uint64_t r = nr_rng_below(&m->rng, 100);
	struct nr_buf *b = &m->text;
	struct nr_event ev;
	int rc;

	some_event(m, &ev);
	if (r < 25) {
		rc = nr_buf_adds(b, "{\"kinds\":[0],");
		if (rc == NR_OK)
			rc = add_keys(m, "authors",
			    1 + nr_rng_below(&m->rng, 20), 0);
	} else if (r < 40) {
		rc = nr_buf_adds(b, "{\"kinds\":[1,6],\"limit\":50,");
		if (rc == NR_OK)
			rc = add_keys(m, "authors",
			    50 + nr_rng_below(&m->rng, 251), 0);
	} else if (r < 60) {
		rc = add_ids(m, least);
	} else if (r < 75) {
		rc = nr_buf_adds(b, "{\"kinds\":[7,9735],");
		if (rc == NR_OK)
			rc = add_keys(m, "#e",
			    1 + nr_rng_below(&m->rng, 30), 1);
	} else if (r < 85) {
		rc = nr_buf_adds(b, "{\"kinds\":[1,6,7],\"limit\":50,");
		if (rc == NR_OK)
			rc = add_tag(m, 'p');
	} else if (r < 90)
		rc = nr_buf_addf(b, "{\"kinds\":[1],\"limit\":100,\"until\":%"
		    PRId64, ev.created_at);
	else if (r < 95) {
		rc = nr_buf_adds(b, "{\"limit\":30,");
		if (rc == NR_OK)
			rc = add_tag(m, 't');
	} else
		rc = nr_buf_addf(b, "{\"kinds\":[1],\"limit\":200,\"since\":%"
		    PRId64 ",\"until\":%" PRId64, ev.created_at - 3600,
		    ev.created_at);
	return rc != NR_OK ? rc : nr_buf_adds(b, "}");
}

/* Room for n filters, of which nothing is known yet. */
static struct nr_mix *
new_mix(unsigned n)
{
	struct nr_mix *m = calloc(1, sizeof(*m));

	if (m == NULL)
		return NULL;
	m->n = n;
	m->at = calloc(n + 1, sizeof(*m->at));
	m->events = malloc((size_t)n * sizeof(*m->events));
	m->sum = calloc(n, sizeof(*m->sum));
	m->least = calloc(n, sizeof(*m->least));
	if (m->at == NULL || m->events == NULL || m->sum == NULL ||
	    m->least == NULL || nr_idset_new(&m->deleted, DELETED_MAX) != 0) {
		nr_mix_free(m);
		return NULL;
	}
	memset(m->events, 0xff, (size_t)n * sizeof(*m->events));
	return m;
}

int
nr_mix_new(struct nr_mix **out, const char *events, size_t len, unsigned n,
    uint64_t seed)
{
	struct nr_mix *m = new_mix(n);
	unsigned i;
	int rc;

	if (m == NULL)
		return ENOMEM;
	m->rng.state = seed;
	m->now = time(NULL);
	rc = index_lines(m, events, len);
	for (i = 0; rc == NR_OK && i < n; i++) {
		m->at[i] = m->text.len;
		rc = add_filter(m, &m->least[i]);
	}
	if (rc != NR_OK) {
		nr_mix_free(m);
		return rc;
	}
	m->at[n] = m->text.len;
	*out = m;
	return NR_OK;
}

int
nr_mix_one(struct nr_mix **out, const char *filter)
{
	struct nr_mix *m = new_mix(1);

	if (m == NULL)
		return ENOMEM;
	if (nr_buf_adds(&m->text, filter) != NR_OK) {
		nr_mix_free(m);
		return ENOMEM;
	}
	m->at[1] = m->text.len;
	*out = m;
	return NR_OK;
}

void
nr_mix_free(struct nr_mix *m)
{
	if (m == NULL)
		return;
	nr_buf_free(&m->text);
	free(m->line);
	free(m->at);
	free(m->events);
	free(m->sum);
	free(m->least);
	nr_idset_free(m->deleted);
	free(m);
}

unsigned
nr_mix_pick(struct nr_mix *m, struct nr_view *filter)
{
	unsigned i = (unsigned)nr_rng_below(&m->rng, m->n);

	filter->p = m->text.p + m->at[i];
	filter->len = m->at[i + 1] - m->at[i];
	return i;
}

int
nr_mix_answered(struct nr_mix *m, unsigned i, uint64_t events, uint64_t sum)
{
	if (m->events[i] == UINT64_MAX) {
		m->events[i] = events;
		m->sum[i] = sum;
	}
	return m->events[i] == events && m->sum[i] == sum;
}

unsigned
nr_mix_least(const struct nr_mix *m, unsigned i)
{
	return m->least[i];
}
