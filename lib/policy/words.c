/*
 * The automaton of a set of words.  Its alphabet is the bytes that words
 * have, numbered, and 0 for all others; a state is a row of the table of
 * transitions, all of which are filled in, so that a byte costs one look.
 */
#include "policy/words.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "policy/text.h"
#include "util/buf.h"
#include "util/err.h"
#include "util/json.h"
#include "util/lines.h"

#define LINE_MAX_BYTES	4096
#define RING		256	/* over NR_WORD_MAX, a power of 2 */
#define ENDS		(UINT32_C(1) << 31)	/* a word may end there */

struct word {
	size_t		at;		/* in text */
	unsigned	len;
	int		whole;
};

struct state {
	uint32_t	fail;		/* its longest suffix that is one */
	uint32_t	end;		/* the word that ends here, from 1 */
	uint32_t	shorter;	/* the next suffix where one ends */
};

struct nr_words {
	struct nr_buf	 text;		/* of all words, folded */
	struct nr_buf	 words;		/* struct word */
	unsigned char	 class[256];
	unsigned	 classes;
	struct state	*state;
	uint32_t	*next;		/* a row of classes for each state */
	uint32_t	 states;
	uint32_t	 most;		/* states that there is room for */
};

int
nr_words_new(struct nr_words **out)
{
	struct nr_words *w = calloc(1, sizeof(*w));

	if (w == NULL)
		return ENOMEM;
	*out = w;
	return NR_OK;
}

void
nr_words_free(struct nr_words *w)
{
	if (w == NULL)
		return;
	nr_buf_free(&w->text);
	nr_buf_free(&w->words);
	free(w->state);
	free(w->next);
	free(w);
}

static const struct word *
word_of(const struct nr_words *w, size_t i)
{
	return (const struct word *)(const void *)w->words.p + i;
}

size_t
nr_words_count(const struct nr_words *w)
{
	return w->words.len / sizeof(struct word);
}

struct nr_view
nr_words_get(const struct nr_words *w, size_t i)
{
	const struct word *word = word_of(w, i);
	struct nr_view v = { w->text.p + word->at, word->len };

	return v;
}

/* The next character of plain text; -1 where it is not UTF-8. */
static long
next_plain(const char **p, const char *end)
{
	size_t n = nr_utf8_len(*p, end);
	long c;

	if (n == 0)
		return -1;
	if (**p != '\\')
		return (long)nr_text_next(p, end);
	c = (unsigned char)**p;
	*p += n;
	return c;
}

/* The word as it is compared; its length, 0 where it is none. */
static size_t
fold_word(char out[NR_WORD_MAX + 5], const char *p, const char *end)
{
	size_t n = 0;
	int space = 0;
	long c;

	while (p < end) {
		if ((c = next_plain(&p, end)) < 0)
			return 0;
		if (nr_text_space((unsigned)c)) {
			space = n > 0;
			continue;
		}
		if (nr_text_nothing((unsigned)c))
			continue;
		if (space)
			out[n++] = ' ';
		space = 0;
		n += nr_text_put(out + n, nr_fold((unsigned)c));
		if (n > NR_WORD_MAX)
			return 0;
	}
	return n;
}

int
nr_words_add(struct nr_words *w, const char *text, size_t len, int whole)
{
	char folded[NR_WORD_MAX + 5];
	struct word word = { w->text.len, 0, whole };
	size_t n;
	int rc;

	if ((n = fold_word(folded, text, text + len)) == 0)
		return NR_EINVAL;
	if (w->text.len + w->words.len > NR_WORDS_MEMORY)
		return EFBIG;
	word.len = (unsigned)n;
	if ((rc = nr_buf_add(&w->text, folded, n)) != NR_OK)
		return rc;
	return nr_buf_add(&w->words, &word, sizeof(word));
}

static int
is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r';
}

/* Cut a comment off, and take the backslash from \#; the new length. */
static size_t
uncomment(char *out, const char *line, size_t len)
{
	size_t i, n = 0;

	for (i = 0; i < len; i++) {
		if (line[i] == '\\' && i + 1 < len && line[i + 1] == '#')
			i++;
		else if (line[i] == '#' && (i == 0 || is_blank(line[i - 1])))
			break;
		out[n++] = line[i];
	}
	while (n > 0 && is_blank(out[n - 1]))
		n--;
	return n;
}

static int
read_all(struct nr_words *w, struct nr_lines *in, int whole)
{
	char text[LINE_MAX_BYTES];
	const char *line;
	size_t len;
	int rc;

	while ((rc = nr_lines_next(in, &line, &len)) == NR_OK) {
		len = uncomment(text, line, len);
		if (len > 0 && (rc = nr_words_add(w, text, len, whole)) !=
		    NR_OK)
			return rc;
	}
	return rc == NR_EOF ? NR_OK : rc == NR_ETOOLONG ? NR_EINVAL : rc;
}

int
nr_words_load(struct nr_words *w, const char *path, int whole,
    uint64_t *lineno)
{
	struct nr_lines in;
	int fd, rc;

	*lineno = 0;
	if ((fd = open(path, O_RDONLY | O_CLOEXEC)) < 0)
		return errno;
	if ((rc = nr_lines_init(&in, fd, LINE_MAX_BYTES, 0)) == NR_OK) {
		rc = read_all(w, &in, whole);
		*lineno = in.lineno;
		nr_lines_free(&in);
	}
	close(fd);
	return rc;
}

static void
number_bytes(struct nr_words *w)
{
	size_t i;

	w->classes = 1;
	for (i = 0; i < w->text.len; i++) {
		unsigned char *class = &w->class[(unsigned char)w->text.p[i]];

		if (*class == 0)
			*class = (unsigned char)w->classes++;
	}
}

static uint32_t *
row(const struct nr_words *w, uint32_t state)
{
	return w->next + (size_t)state * w->classes;
}

/* Room for as many states as the words can have, within bounds. */
static int
make_room(struct nr_words *w)
{
	size_t cost = sizeof(struct state) + w->classes * sizeof(uint32_t);
	size_t most = NR_WORDS_MEMORY / cost;

	if (most > w->text.len + 1)
		most = w->text.len + 1;
	w->state = calloc(most, sizeof(struct state));
	w->next = calloc(most, w->classes * sizeof(uint32_t));
	if (w->state == NULL || w->next == NULL)
		return ENOMEM;
	w->most = (uint32_t)most;
	w->states = 1;
	return NR_OK;
}

/* One word's path; where two are equal, one found anywhere says more. */
static int
insert(struct nr_words *w, size_t i)
{
	const struct word *word = word_of(w, i);
	uint32_t s = 0, *to;
	unsigned k;

	for (k = 0; k < word->len; k++) {
		to = &row(w, s)[w->class[(unsigned char)w->text.p[word->at +
		    k]]];
		if (*to == 0) {
			if (w->states == w->most)
				return EFBIG;
			*to = w->states++;
		}
		s = *to;
	}
	if (w->state[s].end == 0 || (word_of(w, w->state[s].end - 1)->whole &&
	    !word->whole))
		w->state[s].end = (uint32_t)i + 1;
	return NR_OK;
}

/* Capitals are as small letters, which are all that words have. */
static void
number_capitals(struct nr_words *w)
{
	unsigned c;

	for (c = 'A'; c <= 'Z'; c++)
		w->class[c] = w->class[nr_fold(c)];
}

/* So that a search need not look at each state that it passes. */
static void
mark_ends(struct nr_words *w)
{
	size_t i, n = (size_t)w->states * w->classes;
	const struct state *st;

	for (i = 0; i < n; i++) {
		st = &w->state[w->next[i]];
		if (st->end != 0 || st->shorter != 0)
			w->next[i] |= ENDS;
	}
}

/*
 * Breadth first: a state's failure is nearer to the root, so its row is
 * complete, and what the state has no way for goes where that one goes.
 */
static void
link_state(struct nr_words *w, uint32_t s, uint32_t *queue, uint32_t *tail)
{
	struct state *st = &w->state[s];
	const uint32_t *other = row(w, st->fail);
	uint32_t *own = row(w, s);
	unsigned c;

	st->shorter = s == 0 ? 0 : w->state[st->fail].end != 0 ? st->fail :
	    w->state[st->fail].shorter;
	for (c = 0; c < w->classes; c++) {
		if (own[c] == 0) {
			own[c] = s == 0 ? 0 : other[c];
			continue;
		}
		w->state[own[c]].fail = s == 0 ? 0 : other[c];
		queue[(*tail)++] = own[c];
	}
}

int
nr_words_build(struct nr_words *w)
{
	size_t i, n = nr_words_count(w);
	uint32_t *queue, head, tail = 0;
	int rc;

	number_bytes(w);
	if ((rc = make_room(w)) != NR_OK)
		return rc;
	for (i = 0; i < n; i++)
		if ((rc = insert(w, i)) != NR_OK)
			return rc;
	if ((queue = calloc(w->states, sizeof(*queue))) == NULL)
		return ENOMEM;
	link_state(w, 0, queue, &tail);
	for (head = 0; head < tail; head++)
		link_state(w, queue[head], queue, &tail);
	free(queue);
	number_capitals(w);
	mark_ends(w);
	return NR_OK;
}

/* A search: where the last characters could begin a whole word. */
struct search {
	const struct nr_words	*w;
	const char		*p;
	const char		*end;
	uint32_t		 state;		/* perhaps with ENDS */
	unsigned		 n;		/* bytes so far */
	int			 space;		/* was the last one */
	int			 in_word;	/* is the last one of a word */
	unsigned char		 may_begin[RING];
};

static int
of_word(unsigned c)
{
	return (c >= '0' && c <= '9') || c == '_' || nr_text_letter(c);
}

static int
word_goes_on(const struct search *s)
{
	const char *p = s->p;
	unsigned c = ' ';

	while (p < s->end) {
		c = nr_text_next(&p, s->end);
		if (!nr_text_nothing(c))
			break;
		c = ' ';
	}
	return s->in_word && of_word(c);
}

/* The word that ends in this state and may, or -1. */
static long
ending(const struct search *s)
{
	const struct nr_words *w = s->w;
	const struct word *word;
	uint32_t at = s->state & ~ENDS;

	if (w->state[at].end == 0)
		at = w->state[at].shorter;
	for (; at != 0; at = w->state[at].shorter) {
		word = word_of(w, w->state[at].end - 1);
		if (!word->whole ||
		    (s->may_begin[(s->n - word->len) % RING] &&
		    !word_goes_on(s)))
			return (long)w->state[at].end - 1;
	}
	return -1;
}

static void
feed(struct search *s, char byte, int may_begin)
{
	const struct nr_words *w = s->w;

	s->may_begin[s->n++ % RING] = (unsigned char)may_begin;
	s->state = row(w, s->state & ~ENDS)[w->class[(unsigned char)byte]];
}

static void
feed_char(struct search *s, unsigned c)
{
	int was = s->in_word;
	unsigned i, n;
	char bytes[4];

	s->state &= ~ENDS;
	if (nr_text_nothing(c))
		return;
	if (nr_text_space(c)) {
		if (s->space)
			return;
		c = ' ';
	}
	s->space = c == ' ';
	s->in_word = of_word(c);
	n = nr_text_put(bytes, nr_fold(c));
	for (i = 0; i < n; i++)
		feed(s, bytes[i], i == 0 && !(was && s->in_word));
}

/* The letters and digits of ASCII that are next, without a detour. */
static void
feed_run(struct search *s)
{
	const struct nr_words *w = s->w;
	unsigned char c;

	while (s->p < s->end && (s->state & ENDS) == 0) {
		c = (unsigned char)*s->p;
		if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
		    (c >= '0' && c <= '9')))
			break;
		s->may_begin[s->n++ % RING] = !s->in_word;
		s->in_word = 1;
		s->space = 0;
		s->state = row(w, s->state)[w->class[c]];
		s->p++;
	}
}

long
nr_words_find(const struct nr_words *w, struct nr_view text)
{
	struct search s;
	long found = -1;

	memset(&s, 0, sizeof(s));
	s.w = w;
	s.p = text.p;
	s.end = text.p + text.len;
	while (s.p < s.end && found < 0) {
		s.state &= ~ENDS;
		feed_run(&s);
		if ((s.state & ENDS) == 0 && s.p < s.end)
			feed_char(&s, nr_text_next(&s.p, s.end));
		if (s.state & ENDS)
			found = ending(&s);
	}
	return found;
}
