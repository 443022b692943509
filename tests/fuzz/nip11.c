/*
 * A relay's URL on the first line, its document behind it.  What is borrowed
 * lies within the document; its line means the same; the draft made of both
 * is one; a normal URL is its own normal form.
 */
#include "fuzz.h"

#include "bench/nip11.h"
#include "bench/nip66.h"
#include "event/event.h"
#include "util/err.h"

static struct nr_nip11 info, again;

static void
within(const struct nr_view *v, unsigned n, const char *text, const char *end)
{
	unsigned i;

	for (i = 0; i < n; i++)
		MUST(v[i].len > 0 && v[i].p > text && v[i].p + v[i].len < end);
}

static void
check_flaws(const struct nr_nip11 *d)
{
	const char *p;
	unsigned i;

	MUST(d->nflaws <= NR_NIP11_FLAWS && d->nnips <= NR_NIP11_NIPS);
	MUST(d->object || d->nflaws == 1);
	for (i = 0; i < d->nflaws; i++)
		for (p = d->flaw[i].text; *p != '\0'; p++)
			MUST(*p >= 0x20 && *p < 0x7f);
}

static void
check_line(struct nr_buf *b, const char *text, size_t len)
{
	MUST(nr_nip11_line(b, text, len) == NR_OK);
	MUST(b->len <= len && memchr(b->p, '\n', b->len) == NULL);
	nr_nip11_read(&again, b->p, b->len);
	MUST(again.object && again.nflaws == info.nflaws);
	MUST(again.nnips == info.nnips && again.pow == info.pow);
	MUST(again.ntopics == info.ntopics);
}

static void
check_draft(const struct nr_url *u, struct nr_view document)
{
	static const struct nr_nip66_found found[] = {
		{ 1, 1 }, { 45, 0 }, { 77, 1 }
	};
	struct nr_nip66 n = {
		.url = u, .time = 1700000000, .open_ms = 1, .read_ms = -1,
		.auth = -1, .writes = 1, .info = &info,
		.document = document, .nip = found, .nnips = 3,
		.kind = found, .nkinds = 2
	};
	struct nr_buf b = { 0 };
	struct nr_event ev;
	unsigned has;
	size_t pos;

	MUST(nr_nip66_relay(&b, &n) == NR_OK);
	MUST(memchr(b.p, '\n', b.len) == NULL);
	MUST(nr_event_read_draft(&ev, b.p, b.len, &nr_event_limits_pipe, &has,
	    &pos) == NR_VALID);
	MUST(ev.kind == 30166);
	nr_buf_free(&b);
}

static int
check_url(struct nr_url *u, const char *text, size_t len)
{
	char one[NR_NIP66_URL], two[NR_NIP66_URL];
	struct nr_url v;

	if (!nr_url_parse_operand(u, text, len))
		return 0;
	nr_nip66_url(one, u);
	MUST(nr_url_parse(&v, one, strlen(one)));
	nr_nip66_url(two, &v);
	MUST(strcmp(one, two) == 0);
	return 1;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const uint8_t *lf = memchr(data, '\n', size);
	size_t n = lf != NULL ? (size_t)(lf - data) : 0;
	size_t skip = lf != NULL ? n + 1 : 0;
	char *url = copy_of(data, n), *text = copy_of(data + skip, size - skip);
	struct nr_buf line = { 0 };
	struct nr_url u;
	int known = check_url(&u, url, n);

	size -= skip;
	nr_nip11_read(&info, text, size);
	check_flaws(&info);
	within(info.topic, info.ntopics, text, text + size);
	within(info.language, info.nlanguages, text, text + size);
	if (info.object) {
		check_line(&line, text, size);
		if (known)
			check_draft(&u, (struct nr_view){ line.p, line.len });
	}
	nr_buf_free(&line);
	free(url);
	free(text);
	return 0;
}
