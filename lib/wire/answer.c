/*
 * Messages of relays.
 */
#include "wire/answer.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

#include "util/hex.h"
#include "util/json.h"

/* What stands before a value: a comma.  0 where the message ends. */
static int
more(struct nr_json *j)
{
	struct nr_json at = *j;

	if (nr_json_expect(&at, ',') != NR_JSON_OK)
		return 0;
	nr_json_space(&at);
	*j = at;
	return 1;
}

static int
string(struct nr_json *j, struct nr_view *out)
{
	unsigned flags = 0;

	return more(j) && j->p < j->end && *j->p == '"' &&
	    nr_json_string(j, out, &flags) == NR_JSON_OK;
}

/* One that may be missing, or be something else; nothing then. */
static int
optional_string(struct nr_json *j, struct nr_view *out)
{
	unsigned flags = 0;

	if (!more(j))
		return 1;
	if (j->p < j->end && *j->p == '"')
		return nr_json_string(j, out, &flags) == NR_JSON_OK;
	return nr_json_skip(j, NR_JSON_DEPTH_MAX) == NR_JSON_OK;
}

/* The event is all that stands before the last bracket. */
static const char *
read_event(struct nr_answer *a, struct nr_json *j)
{
	const char *end = j->end;

	if (!string(j, &a->subid))
		return "no subscription id";
	if (!more(j))
		return "no event";
	while (end > j->p && (end[-1] == ' ' || end[-1] == '\n' ||
	    end[-1] == '\r' || end[-1] == '\t'))
		end--;
	if (end == j->p || end[-1] != ']')
		return "not a JSON array";
	a->event.p = j->p;
	a->event.len = (size_t)(end - 1 - j->p);
	j->p = j->end;
	return NULL;
}

static int
word(struct nr_json *j, const char *s)
{
	size_t n = strlen(s);

	if ((size_t)(j->end - j->p) < n || memcmp(j->p, s, n) != 0)
		return 0;
	j->p += n;
	return 1;
}

static const char *
read_ok(struct nr_answer *a, struct nr_json *j)
{
	struct nr_view id;

	if (!string(j, &id) || id.len != 64 ||
	    !nr_hex_decode(a->id, id.p, 32))
		return "no event id";
	if (!more(j))
		return "neither true nor false";
	if (word(j, "true"))
		a->accepted = 1;
	else if (!word(j, "false"))
		return "neither true nor false";
	return optional_string(j, &a->text) ? NULL : "the message is no text";
}

static const char *
read_hints(struct nr_answer *a, struct nr_json *j)
{
	static const char wrong[] = "the hints are no array";
	struct nr_view v;
	unsigned flags = 0;

	if (!more(j))
		return NULL;
	if (j->p == j->end || *j->p != '[')
		return nr_json_skip(j, NR_JSON_DEPTH_MAX) == NR_JSON_OK ?
		    NULL : wrong;
	j->p++;
	nr_json_space(j);
	if (word(j, "]"))
		return NULL;
	for (;;) {
		if (j->p < j->end && *j->p == '"') {
			if (nr_json_string(j, &v, &flags) != NR_JSON_OK)
				return wrong;
			a->finish |= nr_view_is(v, "finish");
			a->more |= nr_view_is(v, "more");
		} else if (nr_json_skip(j, NR_JSON_DEPTH_MAX) != NR_JSON_OK)
			return wrong;
		nr_json_space(j);
		if (word(j, "]"))
			return NULL;
		if (nr_json_expect(j, ',') != NR_JSON_OK)
			return wrong;
		nr_json_space(j);
	}
}

/* One member of COUNT's object; what is not known here does not matter. */
static int
count_member(struct nr_answer *a, struct nr_view key, struct nr_view value,
    int *has_count)
{
	struct nr_json v = { value.p, value.p + value.len };
	int64_t n;

	if (nr_view_is(key, "count")) {
		if (nr_json_int(&v, &n, NULL) != NR_JSON_OK || n < 0)
			return 0;
		a->count = (uint64_t)n;
		*has_count = 1;
	} else if (nr_view_is(key, "approximate"))
		a->approximate = nr_view_is(value, "true");
	else if (nr_view_is(key, "hll") && value.len == 2 * NR_HLL_BYTES + 2 &&
	    nr_hex_decode(a->hll, value.p + 1, NR_HLL_BYTES))
		a->has_hll = 1;
	return 1;
}

static const char *
read_count(struct nr_answer *a, struct nr_json *j)
{
	struct nr_view key, value;
	int has_count = 0, rc;

	if (!string(j, &a->subid))
		return "no subscription id";
	if (!more(j) || j->p == j->end || *j->p != '{')
		return "no count";
	j->p++;
	while ((rc = nr_json_member(j, &key, &value)) == 1)
		if (!count_member(a, key, value, &has_count))
			return "the count is no number";
	return rc == 0 && has_count ? NULL : "no count";
}

static const char *
read_neg_err(struct nr_answer *a, struct nr_json *j)
{
	int64_t n;

	if (!string(j, &a->subid))
		return "no subscription id";
	if (!optional_string(j, &a->text))
		return "the reason is no text";
	if (!more(j))
		return NULL;
	if (j->p < j->end && *j->p >= '0' && *j->p <= '9') {
		if (nr_json_int(j, &n, NULL) != NR_JSON_OK)
			return "the number is none";
		a->has_max = 1;
		a->max = (uint64_t)n;
		return NULL;
	}
	return nr_json_skip(j, NR_JSON_DEPTH_MAX) == NR_JSON_OK ? NULL :
	    "not a JSON array";
}

static const char *
read_subid(struct nr_answer *a, struct nr_json *j)
{
	if (!string(j, &a->subid))
		return "no subscription id";
	if (a->verb == NR_ANSWER_EOSE)
		return read_hints(a, j);
	if (a->verb == NR_ANSWER_CLOSED)
		return optional_string(j, &a->text) ? NULL :
		    "the reason is no text";
	return string(j, &a->text) ? NULL : "no message";
}

static const char *
read_text(struct nr_answer *a, struct nr_json *j)
{
	return string(j, &a->text) ? NULL : "no text";
}

static const struct {
	const char	*name;
	const char	*(*read)(struct nr_answer *, struct nr_json *);
} verbs[] = {
	[NR_ANSWER_EVENT] = { "EVENT", read_event },
	[NR_ANSWER_OK] = { "OK", read_ok },
	[NR_ANSWER_EOSE] = { "EOSE", read_subid },
	[NR_ANSWER_CLOSED] = { "CLOSED", read_subid },
	[NR_ANSWER_NOTICE] = { "NOTICE", read_text },
	[NR_ANSWER_AUTH] = { "AUTH", read_text },
	[NR_ANSWER_COUNT] = { "COUNT", read_count },
	[NR_ANSWER_NEG_MSG] = { "NEG-MSG", read_subid },
	[NR_ANSWER_NEG_ERR] = { "NEG-ERR", read_neg_err },
};

/* What is behind the elements that count: more of them, then the end. */
static const char *
read_end(struct nr_json *j)
{
	if (j->p == j->end)
		return NULL;
	while (more(j))
		if (nr_json_skip(j, NR_JSON_DEPTH_MAX) != NR_JSON_OK)
			return "not a JSON array";
	if (nr_json_expect(j, ']') != NR_JSON_OK)
		return "not a JSON array";
	nr_json_space(j);
	return j->p == j->end ? NULL : "bytes behind the message";
}

const char *
nr_answer_read(struct nr_answer *a, const char *text, size_t len)
{
	struct nr_json j = { text, text + len };
	const char *why;
	unsigned flags = 0;
	size_t i;

	memset(a, 0, sizeof(*a));
	a->text.p = "";
	a->verb = NR_ANSWER_OTHER;
	if (nr_json_expect(&j, '[') != NR_JSON_OK)
		return "not a JSON array";
	nr_json_space(&j);
	if (j.p == j.end || *j.p != '"' ||
	    nr_json_string(&j, &a->name, &flags) != NR_JSON_OK)
		return "no verb";
	for (i = 0; i < NR_ANSWER_OTHER; i++)
		if (nr_view_is(a->name, verbs[i].name))
			break;
	a->verb = (enum nr_answer_verb)i;
	if (i < NR_ANSWER_OTHER && (why = verbs[i].read(a, &j)) != NULL)
		return why;
	return a->verb == NR_ANSWER_EVENT ? NULL : read_end(&j);
}

int
nr_answer_is(const struct nr_answer *a, const char *name)
{
	return nr_view_is(a->subid, name);
}

static struct nr_view
without_error(struct nr_view text)
{
	static const char error[] = "ERROR: ";
	size_t n = sizeof(error) - 1;

	if (text.len >= n && memcmp(text.p, error, n) == 0) {
		text.p += n;
		text.len -= n;
	}
	return text;
}

int
nr_answer_prefix(struct nr_view text, const char *prefix)
{
	size_t n = strlen(prefix);

	text = without_error(text);
	return text.len > n && memcmp(text.p, prefix, n) == 0 &&
	    text.p[n] == ':';
}

/* How many seconds a unit has, by its first letters; 0: it is none. */
static double
unit(const char *p, const char *end)
{
	size_t n = 0;

	while (p < end && (*p == ' ' || *p == '-'))
		p++;
	while (p + n < end && isalpha((unsigned char)p[n]))
		n++;
	if (n == 0)
		return 1;
	if (n == 2 && strncasecmp(p, "ms", 2) == 0)
		return 0.001;
	if (n >= 5 && strncasecmp(p, "milli", 5) == 0)
		return 0.001;
	switch (tolower((unsigned char)*p)) {
	case 's':
		return 1;
	case 'm':
		return 60;
	case 'h':
		return 3600;
	case 'd':
		return 86400;
	case 'w':
		return 7 * 86400;
	default:
		return 0;
	}
}

int
nr_answer_wait(struct nr_view text)
{
	static const char *const words[] = { " in ", "after ", "wait " };
	const char *p, *end = text.p + text.len;
	double v, u, most = 86400;
	size_t i;

	for (i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		p = memmem(text.p, text.len, words[i], strlen(words[i]));
		if (p == NULL)
			continue;
		p += strlen(words[i]);
		if (p == end || !isdigit((unsigned char)*p))
			continue;
		for (v = 0; p < end && isdigit((unsigned char)*p); p++)
			v = v < most ? v * 10 + (*p - '0') : most;
		/* A fraction is rounded up with the rest. */
		if (p + 1 < end && *p == '.' && isdigit((unsigned char)p[1]))
			for (v++, p++; p < end && isdigit((unsigned char)*p);)
				p++;
		if ((u = unit(p, end)) == 0)
			continue;
		v *= u;
		return v >= most ? (int)most : (int)v + (v > (int)v);
	}
	return -1;
}

void
nr_answer_show(char *out, size_t size, struct nr_view text)
{
	nr_json_decode_some(out, size, text);
	for (; *out != '\0'; out++)
		if ((unsigned char)*out < 0x20 || *out == 0x7f)
			*out = '?';
}
