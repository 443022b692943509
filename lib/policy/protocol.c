/*
 * Requests and answers as lines of JSON.  Members of requests are written
 * in the order of the alphabet, as strfry does, those of answers as its
 * plugins do.
 */
#include "policy/protocol.h"

#include <errno.h>
#include <string.h>

#include "util/err.h"
#include "util/hex.h"
#include "wire/ip.h"

static const char *const ask_name[NR_ASKS] = {
	[NR_ASK_NEW] = "new", [NR_ASK_REQ] = "req",
	[NR_ASK_CONNECT] = "connect"
};

static const char *const source_name[NR_SOURCES] = {
	[NR_FROM_IP4] = "IP4", [NR_FROM_IP6] = "IP6",
	[NR_FROM_IMPORT] = "Import", [NR_FROM_STREAM] = "Stream",
	[NR_FROM_SYNC] = "Sync", [NR_FROM_STORED] = "Stored",
	[NR_FROM_UNKNOWN] = "?"
};

static const char *const action_name[] = {
	[NR_ACCEPT] = "accept", [NR_REJECT] = "reject",
	[NR_SHADOW_REJECT] = "shadowReject"
};

#define COUNT(a)	(sizeof(a) / sizeof((a)[0]))

/* Which of n names is it?  n where it is none of them. */
static size_t
choose(struct nr_view v, const char *const *name, size_t n)
{
	size_t i;

	for (i = 0; i < n && !nr_view_is(v, name[i]); i++)
		;
	return i;
}

/* ---- writing ------------------------------------------------------------ */

/* Into room that is there. */
static char *
put_bytes(char *o, const void *p, size_t n)
{
	if (n > 0)
		memcpy(o, p, n);
	return o + n;
}

#define PUT(o, literal) put_bytes((o), (literal), sizeof(literal) - 1)

static char *
put_string(char *o, const char *s)
{
	return put_bytes(o, s, strlen(s));
}

static char *
put_uint(char *o, uint64_t v)
{
	char digit[20];
	size_t n = sizeof(digit);

	do
		digit[--n] = (char)('0' + v % 10);
	while ((v /= 10) > 0);
	return put_bytes(o, digit + n, sizeof(digit) - n);
}

/* With its quotes. */
static char *
put_hex(char *o, const unsigned char *p, size_t n)
{
	*o++ = '"';
	nr_hex_encode(o, p, n);
	o += 2 * n;
	*o++ = '"';
	return o;
}

#define HEAD_MAX	384	/* of a request, without what is borrowed */
#define KEY_MAX		67	/* of a key, with quotes and comma */

static char *
put_keys(char *o, const struct nr_request *q, int superset)
{
	unsigned i;

	if (q->nauthed == 0)
		return o;
	o = PUT(o, "\"authed\":");
	o = put_hex(o, q->authed[0], 32);
	*o++ = ',';
	if (!superset)
		return o;
	o = PUT(o, "\"authedAll\":[");
	for (i = 0; i < q->nauthed; i++) {
		if (i > 0)
			*o++ = ',';
		o = put_hex(o, q->authed[i], 32);
	}
	return PUT(o, "],");
}

/* A line break can only stand between the tokens of JSON. */
static char *
put_line(char *o, struct nr_view text)
{
	char *p, *end = put_bytes(o, text.p, text.len);

	for (p = o; p < end; p++)
		if (*p == '\n' || *p == '\r')
			*p = ' ';
	return end;
}

static char *
put_subject(char *o, const struct nr_request *q)
{
	if (q->type == NR_ASK_NEW) {
		o = PUT(o, "\"event\":");
		o = put_bytes(o, q->event.p, q->event.len);
		*o++ = ',';
	} else if (q->type == NR_ASK_REQ) {
		o = PUT(o, "\"filters\":");
		o = put_line(o, q->filters);
		*o++ = ',';
	}
	return o;
}

int
nr_request_write(struct nr_buf *b, const struct nr_request *q, int superset)
{
	size_t start = b->len;
	char *o;
	int rc;

	rc = nr_buf_reserve(b, HEAD_MAX + (q->nauthed + 1) * KEY_MAX +
	    q->event.len + q->filters.len + q->verb.len);
	if (rc != NR_OK)
		return rc;
	o = b->p + b->len;
	*o++ = '{';
	o = put_keys(o, q, superset);
	o = put_subject(o, q);
	o = PUT(o, "\"receivedAt\":");
	o = put_uint(o, (uint64_t)q->received);
	if (superset && q->has_seq) {
		o = PUT(o, ",\"seq\":");
		o = put_uint(o, q->seq);
	}
	o = PUT(o, ",\"sourceInfo\":");
	b->len = (size_t)(o - b->p);
	if ((rc = nr_buf_addjson(b, q->source_info.p,
	    q->source_info.len)) != NR_OK || (rc = nr_buf_reserve(b,
	    HEAD_MAX + q->verb.len)) != NR_OK) {
		b->len = start;
		return rc;
	}
	o = b->p + b->len;
	o = PUT(o, ",\"sourceType\":\"");
	o = put_string(o, source_name[q->source]);
	o = PUT(o, "\",\"type\":\"");
	o = put_string(o, ask_name[q->type]);
	if (q->type == NR_ASK_REQ) {
		o = PUT(o, "\",\"verb\":\"");
		o = put_bytes(o, q->verb.p, q->verb.len);
	}
	o = PUT(o, "\"}");
	b->len = (size_t)(o - b->p);
	return NR_OK;
}

const char *
nr_action_name(enum nr_action action)
{
	return action_name[action];
}

int
nr_decision_write(struct nr_buf *b, const struct nr_decision *d)
{
	size_t start = b->len;
	char *o;
	int rc;

	if ((rc = nr_buf_reserve(b, HEAD_MAX)) != NR_OK)
		return rc;
	o = b->p + b->len;
	*o++ = '{';
	if (d->has_id) {
		o = PUT(o, "\"id\":");
		o = put_hex(o, d->id, 32);
		*o++ = ',';
	}
	o = PUT(o, "\"action\":\"");
	o = put_string(o, action_name[d->action]);
	o = PUT(o, "\",\"msg\":");
	b->len = (size_t)(o - b->p);
	if ((rc = nr_buf_addjson(b, d->msg, strlen(d->msg))) != NR_OK ||
	    (rc = nr_buf_reserve(b, HEAD_MAX)) != NR_OK) {
		b->len = start;
		return rc;
	}
	o = b->p + b->len;
	if (d->has_seq) {
		o = PUT(o, ",\"seq\":");
		o = put_uint(o, d->seq);
	}
	*o++ = '}';
	b->len = (size_t)(o - b->p);
	return NR_OK;
}

int
nr_hello_write(struct nr_buf *b, const struct nr_hello *h)
{
	const char *comma = "";
	unsigned i;
	int rc;

	rc = nr_buf_adds(b, "{\"type\":\"hello\",\"version\":");
	if (rc == NR_OK)
		rc = nr_buf_addf(b, "%u,\"asks\":[", h->version);
	for (i = 0; rc == NR_OK && i < NR_ASKS; i++) {
		if (!(h->asks & NR_ASK_BIT(i)))
			continue;
		rc = nr_buf_addf(b, "%s\"%s\"", comma, ask_name[i]);
		comma = ",";
	}
	return rc != NR_OK ? rc : nr_buf_addf(b, "],\"batch\":%u}", h->batch);
}

/* ---- reading values ----------------------------------------------------- */

/* The text between the quotes of a value that is a string. */
static int
string_of(struct nr_view value, struct nr_view *out, unsigned *flags)
{
	struct nr_json j = { value.p, value.p + value.len };

	return value.len > 0 && *value.p == '"' &&
	    nr_json_string(&j, out, flags) == NR_JSON_OK;
}

static int
uint_of(struct nr_view value, uint64_t *out)
{
	struct nr_json j = { value.p, value.p + value.len };
	int64_t v;

	if (value.len == 0 || nr_json_int(&j, &v, NULL) != NR_JSON_OK ||
	    j.p != j.end || v < 0)
		return 0;
	*out = (uint64_t)v;
	return 1;
}

static int
hash_of(struct nr_view value, unsigned char out[32])
{
	return value.len == 66 && *value.p == '"' &&
	    nr_hex_decode(out, value.p + 1, 32);
}

/* ---- lines -------------------------------------------------------------- */

/* Where in a line its reader is. */
enum { AT_START, IN_ARRAY, AT_OBJECT, AT_END };

static int
next_is(struct nr_json *j, char c)
{
	nr_json_space(j);
	if (j->p == j->end || *j->p != c)
		return 0;
	j->p++;
	return 1;
}

/*
 * Go to the next object of a line: behind its opening brace.
 * Returns  1; 0 at the end of the line; -1 where it is wrong, and ends.
 */
static int
next_object(struct nr_json *j, int *where)
{
	int was = *where, more = was == AT_START;

	if (was == AT_END)
		return 0;
	if (was == AT_START)
		was = next_is(j, '[') ? IN_ARRAY : AT_OBJECT;
	*where = AT_END;
	if (was == IN_ARRAY && !next_is(j, ']')) {
		if (!more && !next_is(j, ','))
			return -1;
		more = 1;
	} else if (was == IN_ARRAY)
		more = 0;
	if (!more) {
		nr_json_space(j);
		return j->p < j->end ? -1 : 0;
	}
	if (!next_is(j, '{'))
		return -1;
	*where = was;
	return 1;
}

/* ---- hello -------------------------------------------------------------- */

static int
read_asks(unsigned *out, struct nr_view value)
{
	struct nr_json j = { value.p, value.p + value.len };
	struct nr_view name;
	unsigned flags = 0;
	size_t i;

	if (nr_json_expect(&j, '[') != NR_JSON_OK)
		return 0;
	*out = NR_ASK_BIT(NR_ASK_NEW);
	for (nr_json_space(&j); *j.p != ']'; nr_json_space(&j)) {
		if (*j.p == ',') {
			j.p++;
			continue;
		}
		if (*j.p != '"' ||
		    nr_json_string(&j, &name, &flags) != NR_JSON_OK)
			return 0;
		/* What later versions ask is not for us to know. */
		if ((i = choose(name, ask_name, NR_ASKS)) < NR_ASKS)
			*out |= NR_ASK_BIT(i);
	}
	return 1;
}

static int
hello_member(struct nr_hello *h, struct nr_view key, struct nr_view value)
{
	uint64_t v;

	if (nr_view_is(key, "version")) {
		if (!uint_of(value, &v) || v == 0 || v > NR_POLICY_VERSION)
			return 0;
		h->version = (unsigned)v;
	} else if (nr_view_is(key, "batch")) {
		if (!uint_of(value, &v) || v == 0)
			return 0;
		h->batch = v > NR_POLICY_BATCH_MAX ? NR_POLICY_BATCH_MAX :
		    (unsigned)v;
	} else if (nr_view_is(key, "asks"))
		return read_asks(&h->asks, value);
	return 1;
}

int
nr_hello_read(struct nr_hello *out, const char *line, size_t len)
{
	struct nr_json j = { line, line + len };
	struct nr_hello h = { 0, NR_ASK_BIT(NR_ASK_NEW), 1 };
	struct nr_view key, value;
	int rc, is = 0, good = 1;

	if (nr_json_expect(&j, '{') != NR_JSON_OK)
		return 0;
	while ((rc = nr_json_member(&j, &key, &value)) == 1) {
		is |= nr_view_is(key, "type") &&
		    nr_view_is(value, "\"hello\"");
		good &= hello_member(&h, key, value);
	}
	nr_json_space(&j);
	if (rc < 0 || j.p != j.end || !is)
		return 0;
	if (!good || h.version == 0)
		return -1;
	*out = h;
	return 1;
}

/* ---- requests ----------------------------------------------------------- */

/* What the members of a request were. */
struct members {
	struct nr_view	type, event, filters, verb, info, source;
	struct nr_view	authed, all, received, seq;
};

static struct nr_view *
member(struct members *m, struct nr_view key)
{
	static const struct {
		const char	*name;
		size_t		 offset;
	} list[] = {
		{ "event", offsetof(struct members, event) },
		{ "receivedAt", offsetof(struct members, received) },
		{ "seq", offsetof(struct members, seq) },
		{ "sourceInfo", offsetof(struct members, info) },
		{ "sourceType", offsetof(struct members, source) },
		{ "type", offsetof(struct members, type) },
		{ "authed", offsetof(struct members, authed) },
		{ "authedAll", offsetof(struct members, all) },
		{ "filters", offsetof(struct members, filters) },
		{ "verb", offsetof(struct members, verb) }
	};
	size_t i;

	for (i = 0; i < COUNT(list); i++)
		if (nr_view_is(key, list[i].name))
			return (struct nr_view *)(void *)((char *)m +
			    list[i].offset);
	return NULL;
}

static int
read_members(struct nr_json *j, struct members *m)
{
	struct nr_view key, value, *at;
	int rc;

	memset(m, 0, sizeof(*m));
	while ((rc = nr_json_member(j, &key, &value)) == 1)
		if ((at = member(m, key)) != NULL)
			*at = value;
	return rc == 0;
}

static const char *
read_event(struct nr_request_reader *r, struct nr_request *q,
    struct nr_view text)
{
	const char *id;
	enum nr_verdict v;
	size_t pos, n;

	v = nr_event_read(&q->ev, text.p, text.len, &nr_event_limits_pipe,
	    &pos);
	if (v != NR_VALID) {
		/* What was read so far says little of it. */
		id = nr_event_peek_id(text.p, text.len);
		if (id != NULL && nr_hex_decode(q->ev.id, id, 32))
			q->event = text;
		return nr_verdict_str(v);
	}
	q->event = text;
	if (nr_event_view_read(&q->ev, text.p, text.len))
		return NULL;
	if (nr_buf_reserve(&r->text, NR_EVENT_LINE_MAX(text.len)) != NR_OK)
		return "out of memory";
	n = nr_event_normalise(&q->ev, r->text.p + r->text.len);
	q->event = (struct nr_view){ r->text.p + r->text.len, n };
	r->text.len += n;
	return NULL;
}

static int
add_key(struct nr_request_reader *r, struct nr_request *q,
    struct nr_view value)
{
	unsigned char key[32];

	if (!hash_of(value, key))
		return 0;
	if (q->nauthed < NR_REQUEST_KEYS)
		memcpy(r->keys[q->nauthed++], key, 32);
	return 1;
}

/* An array of keys; what is in it has been read as JSON before. */
static int
add_keys(struct nr_request_reader *r, struct nr_request *q,
    struct nr_view value)
{
	struct nr_json j = { value.p, value.p + value.len };
	struct nr_view v;

	if (nr_json_expect(&j, '[') != NR_JSON_OK)
		return 0;
	for (nr_json_space(&j); *j.p != ']'; nr_json_space(&j)) {
		if (*j.p == ',') {
			j.p++;
			continue;
		}
		v.p = j.p;
		if (nr_json_skip(&j, NR_JSON_DEPTH_MAX) != NR_JSON_OK)
			return 0;
		v.len = (size_t)(j.p - v.p);
		if (!add_key(r, q, v))
			return 0;
	}
	return 1;
}

/* Nobody is told by null, or by nothing, too. */
static int
read_keys(struct nr_request_reader *r, struct nr_request *q,
    const struct members *m)
{
	q->authed = (const unsigned char (*)[32])r->keys;
	if (m->all.p != NULL)
		return add_keys(r, q, m->all);
	return m->authed.p == NULL || nr_view_is(m->authed, "null") ||
	    nr_view_is(m->authed, "\"\"") || add_key(r, q, m->authed);
}

static int
read_info(struct nr_request_reader *r, struct nr_request *q,
    struct nr_view value)
{
	unsigned flags = 0;
	struct nr_view v;

	if (value.p == NULL)
		return 1;
	if (!string_of(value, &v, &flags))
		return 0;
	q->source_info = v;
	if (!(flags & NR_JSON_ESCAPED))
		return 1;
	if (nr_buf_reserve(&r->text, v.len) != NR_OK)
		return 0;
	q->source_info.p = r->text.p + r->text.len;
	q->source_info.len = nr_json_decode(r->text.p + r->text.len, v.p,
	    v.len);
	r->text.len += q->source_info.len;
	return 1;
}

static void
read_ip(struct nr_request *q)
{
	struct nr_ip ip;

	if ((q->source != NR_FROM_IP4 && q->source != NR_FROM_IP6) ||
	    !nr_ip_parse(&ip, q->source_info.p, q->source_info.len))
		return;
	q->iplen = nr_ip_is_ipv4(&ip) ? 4 : 16;
	memcpy(q->ip, ip.bytes + 16 - q->iplen, q->iplen);
}

static const char *
read_source(struct nr_request_reader *r, struct nr_request *q,
    const struct members *m)
{
	unsigned flags = 0;
	struct nr_view v;
	uint64_t n;

	q->source = NR_FROM_UNKNOWN;
	if (m->source.p != NULL) {
		if (!string_of(m->source, &v, &flags))
			return "sourceType: not a string";
		q->source = (enum nr_source)choose(v, source_name,
		    NR_FROM_UNKNOWN);
	}
	if (!read_info(r, q, m->info))
		return "sourceInfo: not a string";
	read_ip(q);
	if (m->received.p != NULL) {
		if (!uint_of(m->received, &n))
			return "receivedAt: not a time";
		q->received = (int64_t)n;
	}
	return read_keys(r, q, m) ? NULL : "authed: not a public key";
}

static const char *
read_subject(struct nr_request_reader *r, struct nr_request *q,
    const struct members *m)
{
	unsigned flags = 0;

	switch (q->type) {
	case NR_ASK_NEW:
		return m->event.p == NULL ? "no event" :
		    read_event(r, q, m->event);
	case NR_ASK_REQ:
		if (m->filters.p == NULL || *m->filters.p != '[')
			return "no filters";
		q->filters = m->filters;
		return m->verb.p == NULL ||
		    string_of(m->verb, &q->verb, &flags) ? NULL :
		    "verb: not a string";
	default:
		return NULL;
	}
}

void
nr_request_line(struct nr_request_reader *r, const char *line, size_t len)
{
	r->j.p = line;
	r->j.end = line + len;
	r->where = AT_START;
}

/* Room that stays where it is while one request is read. */
static int
make_room(struct nr_request_reader *r, const struct members *m)
{
	r->text.len = 0;
	return nr_buf_reserve(&r->text, NR_EVENT_LINE_MAX(m->event.len) +
	    m->info.len);
}

int
nr_request_next(struct nr_request_reader *r, struct nr_request *q,
    const char **why)
{
	struct nr_view type = { NULL, 0 };
	unsigned flags = 0;
	struct members m;
	size_t ask;
	int rc;

	memset(q, 0, sizeof(*q));
	q->source_info.p = "";
	*why = "not JSON";
	if ((rc = next_object(&r->j, &r->where)) <= 0)
		return rc;
	if (!read_members(&r->j, &m)) {
		r->where = AT_END;
		return -1;
	}
	*why = "no type that is known";
	if (m.type.p == NULL || !string_of(m.type, &type, &flags))
		return -1;
	if (m.seq.p != NULL && !(q->has_seq = uint_of(m.seq, &q->seq))) {
		*why = "seq: not a number";
		return -1;
	}
	if ((ask = choose(type, ask_name, NR_ASKS)) == NR_ASKS)
		return -1;
	q->type = (enum nr_ask)ask;
	*why = "out of memory";
	if (make_room(r, &m) != NR_OK)
		return -1;
	if ((*why = read_subject(r, q, &m)) == NULL)
		*why = read_source(r, q, &m);
	return *why == NULL ? 1 : -1;
}

void
nr_request_reader_free(struct nr_request_reader *r)
{
	nr_buf_free(&r->text);
}

/* ---- answers ------------------------------------------------------------ */

void
nr_decision_line(struct nr_decision_reader *r, const char *line, size_t len)
{
	r->j.p = line;
	r->j.end = line + len;
	r->where = AT_START;
}

/* As much of the text as there is room for. */
static int
read_msg(struct nr_decision *d, struct nr_view value)
{
	struct nr_view v;
	unsigned flags = 0;

	if (nr_view_is(value, "null"))
		return 1;
	if (!string_of(value, &v, &flags))
		return 0;
	nr_json_decode_some(d->msg, sizeof(d->msg), v);
	return 1;
}

struct answer {
	struct nr_view	 id, seq, action, msg;
};

static int
read_answer(struct nr_json *j, struct answer *a)
{
	struct nr_view key, value;
	int rc;

	memset(a, 0, sizeof(*a));
	while ((rc = nr_json_member(j, &key, &value)) == 1) {
		if (nr_view_is(key, "id"))
			a->id = value;
		else if (nr_view_is(key, "seq"))
			a->seq = value;
		else if (nr_view_is(key, "action"))
			a->action = value;
		else if (nr_view_is(key, "msg"))
			a->msg = value;
	}
	return rc == 0;
}

/* The text of a string without escapes; it may be anything else. */
static int
read_action(struct nr_decision *d, struct nr_view value)
{
	struct nr_view v;
	size_t i;

	if (value.len < 2 || *value.p != '"')
		return 0;
	v = (struct nr_view){ value.p + 1, value.len - 2 };
	i = choose(v, action_name, COUNT(action_name));
	if (i == COUNT(action_name))
		return 0;
	d->action = (enum nr_action)i;
	return 1;
}

int
nr_decision_next(struct nr_decision_reader *r, struct nr_decision *d)
{
	struct answer a;
	int rc, good = 1;

	d->has_seq = d->has_id = 0;
	d->action = NR_REJECT;
	d->msg[0] = '\0';
	if ((rc = next_object(&r->j, &r->where)) <= 0)
		return rc;
	if (!read_answer(&r->j, &a)) {
		r->where = AT_END;
		return -1;
	}
	if (a.seq.p != NULL)
		good &= d->has_seq = uint_of(a.seq, &d->seq);
	if (a.id.p != NULL)
		good &= d->has_id = hash_of(a.id, d->id);
	if (a.msg.p != NULL)
		good &= read_msg(d, a.msg);
	good &= read_action(d, a.action);
	return good && (d->has_seq || d->has_id) ? 1 : -1;
}
