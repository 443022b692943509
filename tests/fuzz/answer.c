/*
 * Relays' messages.  What is taken apart lies within the text; texts can be
 * shown in any room; what is asked of them has an answer.
 */
#include "fuzz.h"

#include "util/json.h"
#include "wire/answer.h"

static void
within(struct nr_view v, const char *text, const char *end)
{
	MUST(v.len == 0 || (v.p > text && v.p + v.len < end));
}

/* Cut to whatever size, it is UTF-8 without control characters. */
static void
show(struct nr_view v)
{
	static const size_t sizes[] = { 1, 2, 5, 17, 300 };
	char out[300];
	const char *p;
	size_t i, n;

	for (i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		memset(out, 'x', sizeof(out));
		nr_answer_show(out, sizes[i], v);
		n = strnlen(out, sizes[i]);
		MUST(n < sizes[i]);
		for (p = out; p < out + n; p += nr_utf8_len(p, out + n)) {
			MUST(nr_utf8_len(p, out + n) > 0);
			MUST((unsigned char)*p >= 0x20 && *p != 0x7f);
		}
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = copy_of(data, size), *end = text + size;
	struct nr_answer a;
	const char *why;
	int wait;

	why = nr_answer_read(&a, text, size);
	MUST(why == NULL || *why != '\0');
	MUST(a.verb <= NR_ANSWER_OTHER);
	if (why == NULL) {
		within(a.name, text, end);
		within(a.subid, text, end);
		within(a.event, text, end);
		within(a.text, text, end);
		MUST(a.verb != NR_ANSWER_EVENT || a.event.p != NULL);
		show(a.name);
		show(a.subid);
		show(a.text);
		wait = nr_answer_wait(a.text);
		MUST(wait >= -1 && wait <= 86400);
		MUST(!nr_answer_prefix(a.text, "blocked") ||
		    memmem(a.text.p, a.text.len, "blocked:", 8) != NULL);
	}
	free(text);
	return 0;
}
