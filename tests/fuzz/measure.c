/*
 * What rules weigh of an event: each character is counted once, pieces
 * make up the text, a word taken from the text is found in it, and no
 * event makes libjq end the process.
 */
#include "fuzz.h"

#include "event/event.h"
#include "policy/jq.h"
#include "policy/measure.h"
#include "policy/text.h"
#include "policy/words.h"
#include "util/json.h"

#define WORD_BYTES	40

static const char *const expression[] = {
	".content | gsub(\"[a-c]*\"; \"x\")", "datetime, date, time",
	"[.content | scan(\"\\\\b\")] | length > 3", "has(\"p\") | not",
	".content | [splits(\" *\")] | length > 1",
	".content | test(\"(?<a>[a-z]+) \\\\k<a>\"; \"i\")"
};

#define EXPRESSIONS	(sizeof(expression) / sizeof(expression[0]))

static struct nr_jq *jq[EXPRESSIONS];
static struct nr_jq_doc *doc;

/* libjq points at the end of its stacks only, and see jq.h of fromjson. */
const char *__lsan_default_suppressions(void);

const char *
__lsan_default_suppressions(void)
{
	return "leak:libjq\n";
}

static void
pieces(struct nr_view text)
{
	struct nr_pieces it;
	struct nr_piece piece;
	const char *at = text.p;

	nr_pieces_start(&it, text);
	while (nr_pieces_next(&it, &piece)) {
		MUST(piece.text.p == at && piece.text.len > 0);
		at += piece.text.len;
	}
	MUST(at == text.p + text.len);
}

/* The beginning of plain text, as a word. */
static void
words(struct nr_view content, const char *plain, size_t len)
{
	struct nr_words *w;
	size_t n = 0, one;

	while (n < len && n < WORD_BYTES) {
		MUST((one = nr_utf8_len(plain + n, plain + len)) > 0);
		n += one;
	}
	MUST(nr_words_new(&w) == 0);
	if (nr_words_add(w, plain, n, 0) == 0) {
		MUST(nr_words_build(w) == 0);
		MUST(nr_words_find(w, content) == 0);
	}
	nr_words_free(w);
}

static void
measures(const struct nr_event *ev)
{
	char *plain = malloc(ev->content.len + 1);
	struct nr_measures m;
	struct nr_sketch k;
	size_t len, i, n = 0;

	MUST(plain != NULL);
	len = nr_json_decode(plain, ev->content.p, ev->content.len);
	for (i = 0; i < len; i++)
		n += (plain[i] & 0xc0) != 0x80;
	nr_measure(&m, ev);
	MUST(m.chars == n && m.plain <= m.chars && m.letters <= m.plain);
	MUST(m.caps <= 100 && nr_text_chars(ev->content) == n);
	nr_sketch(&k, ev);
	MUST(k.n == 0 || nr_sketch_shared(&k, &k) == NR_SKETCH_BANDS);
	words(ev->content, plain, len);
	free(plain);
}

static void
ask(const struct nr_event *ev)
{
	char why[100];
	size_t i;

	for (i = 0; i < EXPRESSIONS && doc == NULL; i++)
		MUST(nr_jq_new(&jq[i], expression[i], why, sizeof(why)) == 0);
	MUST(doc != NULL || nr_jq_doc_new(&doc) == 0);
	MUST(nr_jq_doc_event(doc, ev) == 0);
	for (i = 0; i < EXPRESSIONS; i++)
		(void)nr_jq_test(jq[i], doc);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *json = copy_of(data, size), *line;
	struct nr_event ev;
	size_t pos;

	if (nr_event_read(&ev, json, size, &nr_event_limits_pipe, &pos) ==
	    NR_VALID) {
		line = malloc(NR_EVENT_LINE_MAX(size));
		MUST(line != NULL);
		nr_event_normalise(&ev, line);
		pieces(ev.content);
		measures(&ev);
		ask(&ev);
		free(line);
	}
	free(json);
	return 0;
}
