/*
 * Lines of policies, both ways.  What is read can be written, and means the
 * same when it is read again; what is borrowed lies where it may.
 */
#include "fuzz.h"

#include "policy/protocol.h"
#include "util/err.h"

static int
same(struct nr_view a, struct nr_view b)
{
	return a.len == b.len && (a.len == 0 ||
	    memcmp(a.p, b.p, a.len) == 0);
}

/* Times are written as what they are; others have none. */
static void
write_request(const struct nr_request *q)
{
	struct nr_request_reader r = { .where = 0 };
	struct nr_request again;
	struct nr_buf b = { 0 };
	const char *why;
	char *copy;

	MUST(nr_request_write(&b, q, 1) == NR_OK);
	MUST(memchr(b.p, '\n', b.len) == NULL);
	copy = copy_of(b.p, b.len);
	nr_request_line(&r, copy, b.len);
	MUST(nr_request_next(&r, &again, &why) == 1);
	MUST(again.type == q->type && again.has_seq == q->has_seq &&
	    again.seq == q->seq && again.received == q->received &&
	    again.source == q->source && again.nauthed == q->nauthed &&
	    again.iplen == q->iplen);
	MUST(same(again.event, q->event));
	MUST(again.filters.len == q->filters.len);
	MUST(same(again.source_info, q->source_info));
	MUST(q->nauthed == 0 ||
	    memcmp(again.authed, q->authed, q->nauthed * 32) == 0);
	MUST(nr_request_next(&r, &again, &why) == 0);
	nr_request_reader_free(&r);
	nr_buf_free(&b);
	free(copy);
}

static void
requests(const char *text, size_t size)
{
	struct nr_request_reader r = { .where = 0 };
	struct nr_request q;
	const char *why;
	size_t n = 0;
	int rc;

	nr_request_line(&r, text, size);
	while ((rc = nr_request_next(&r, &q, &why)) != 0) {
		MUST(++n <= size + 1);
		if (rc == 1)
			write_request(&q);
		else
			MUST(why != NULL && *why != '\0');
	}
	nr_request_reader_free(&r);
}

static void
write_decision(const struct nr_decision *d)
{
	struct nr_decision_reader r;
	struct nr_decision again;
	struct nr_buf b = { 0 };

	MUST(memchr(d->msg, '\0', sizeof(d->msg)) != NULL);
	MUST(nr_decision_write(&b, d) == NR_OK);
	MUST(memchr(b.p, '\n', b.len) == NULL);
	nr_decision_line(&r, b.p, b.len);
	MUST(nr_decision_next(&r, &again) == 1);
	MUST(again.action == d->action && again.has_seq == d->has_seq &&
	    again.has_id == d->has_id && strcmp(again.msg, d->msg) == 0);
	MUST(!d->has_seq || again.seq == d->seq);
	MUST(!d->has_id || memcmp(again.id, d->id, 32) == 0);
	MUST(nr_decision_next(&r, &again) == 0);
	nr_buf_free(&b);
}

static void
decisions(const char *text, size_t size)
{
	struct nr_decision_reader r;
	struct nr_decision d;
	size_t n = 0;
	int rc;

	nr_decision_line(&r, text, size);
	while ((rc = nr_decision_next(&r, &d)) != 0) {
		MUST(++n <= size + 1);
		if (rc == 1)
			write_decision(&d);
	}
}

static void
hello(const char *text, size_t size)
{
	struct nr_hello h, again;
	struct nr_buf b = { 0 };

	if (nr_hello_read(&h, text, size) != 1)
		return;
	MUST(nr_hello_write(&b, &h) == NR_OK);
	MUST(nr_hello_read(&again, b.p, b.len) == 1);
	MUST(again.version == h.version && again.asks == h.asks &&
	    again.batch == h.batch);
	nr_buf_free(&b);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = copy_of(data, size);

	hello(text, size);
	requests(text, size);
	decisions(text, size);
	free(text);
	return 0;
}
