/*
 * Sketches by MinHash with one permutation: the letters' runs are hashed
 * once each, a hash's high part chooses a bin, and a bin keeps its least.
 * Bins that stay empty borrow from the next that is not (Shrivastava, Li:
 * Densifying One Permutation Hashing, 2014).  Three bins are a band.
 */
#include "policy/measure.h"

#include <string.h>

#include "policy/text.h"

#define RUN	6u		/* letters in a shingle */
#define ROWS	3u
#define BINS	(NR_SKETCH_BANDS * ROWS)
#define RUNS_MIN	24u	/* fewer shingles say nothing */
#define FILLED_MIN	9u	/* nor does what repeats itself */

#define BASE	UINT64_C(0x9e3779b97f4a7c15)

struct sketcher {
	uint64_t	least[BINS];
	uint64_t	hash;		/* rolling, of the last RUN letters */
	uint64_t	drop;		/* BASE to the power of RUN */
	unsigned	window[RUN];
	unsigned	at;
	unsigned	letters;
};

static uint64_t
mix(uint64_t z)
{
	z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
	return z ^ z >> 31;
}

static void
add(struct sketcher *s, unsigned c)
{
	uint64_t h;
	unsigned bin;

	s->hash = s->hash * BASE + c - s->window[s->at] * s->drop;
	s->window[s->at] = c;
	s->at = (s->at + 1) % RUN;
	if (++s->letters < RUN)
		return;
	h = mix(s->hash);
	bin = (unsigned)((h >> 32) * BINS >> 32);
	if (h << 32 < s->least[bin])
		s->least[bin] = h << 32;
}

static void
add_text(struct sketcher *s, struct nr_view text)
{
	const char *p = text.p, *end = text.p + text.len;
	unsigned c;

	while (p < end) {
		c = (unsigned char)*p;
		if (c >= 0x80 || c == '\\') {
			c = nr_text_next(&p, end);
			c = nr_text_letter(c) ? nr_fold(c) : 0;
		} else {
			c |= 0x20;
			c = c >= 'a' && c <= 'z' ? c : 0;
			p++;
		}
		if (c != 0)
			add(s, c);
	}
}

static unsigned
filled(const struct sketcher *s)
{
	unsigned i, n = 0;

	for (i = 0; i < BINS; i++)
		n += s->least[i] != UINT64_MAX;
	return n;
}

/* The bin's value, or that of the next which has one, told apart. */
static uint64_t
value(const struct sketcher *s, unsigned bin)
{
	unsigned far = 0;

	while (s->least[(bin + far) % BINS] == UINT64_MAX)
		far++;
	return s->least[(bin + far) % BINS] + far;
}

static void
finish(struct sketcher *s, struct nr_sketch *out)
{
	uint64_t h;
	unsigned i, row;

	for (i = 0; i < NR_SKETCH_BANDS; i++) {
		h = i + 1;
		for (row = 0; row < ROWS; row++)
			h = mix(h * BASE + value(s, i * ROWS + row));
		out->band[i] = h;
	}
	out->n = NR_SKETCH_BANDS;
}

void
nr_sketch(struct nr_sketch *out, const struct nr_event *ev)
{
	struct sketcher s;
	struct nr_pieces it;
	struct nr_piece piece;
	unsigned i;

	memset(out, 0, sizeof(*out));
	memset(&s, 0, sizeof(s));
	memset(s.least, 0xff, sizeof(s.least));
	s.drop = 1;
	for (i = 0; i < RUN; i++)
		s.drop *= BASE;
	nr_pieces_start(&it, ev->content);
	while (nr_pieces_next(&it, &piece))
		if (piece.type == NR_PIECE_TEXT)
			add_text(&s, piece.text);
	if (s.letters >= RUNS_MIN + RUN - 1 && filled(&s) >= FILLED_MIN)
		finish(&s, out);
}

unsigned
nr_sketch_shared(const struct nr_sketch *a, const struct nr_sketch *b)
{
	unsigned i, n = 0;

	if (a->n == 0 || b->n == 0)
		return 0;
	for (i = 0; i < NR_SKETCH_BANDS; i++)
		n += a->band[i] == b->band[i];
	return n;
}
