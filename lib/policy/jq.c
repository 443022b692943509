/*
 * Expressions by libjq.  Events are built as libjq's values from their
 * normal text, in half the time that its own parser takes.
 */
#include "policy/jq.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jq.h>

#include "policy/jqwords.h"
#include "util/buf.h"
#include "util/err.h"
#include "util/hex.h"
#include "util/json.h"

#define RESULTS_MAX	100000
#define TAG_ITEMS	4	/* of most tags; arrays grow */

/*
 * What stands before every expression.  The functions of libjq that an
 * event could make abort or run wild are checked: strftime with a time
 * that no calendar has, and in global matches an empty one within a
 * character.  Names that begin with _nr_ are our own.
 */
static const char prelude[] =
"def _nr_has($k): has($k);"
"def _nr_event: type == \"object\" and (.tags | type) == \"array\";"
"def tags($name): .tags | map(select(.[0] == $name));"
"def tag($name): first((.tags[] | select(.[0] == $name)), null);"
"def value($name): tag($name)[1];"
"def has($k):"
"  if ($k | type) == \"string\" and _nr_event and (_nr_has($k) | not)"
"  then any(.tags[]; .[0] == $k) else _nr_has($k) end;"
"def hasnt($k): has($k) | not;"
"def has_value($name; $v):"
"  any(.tags[]; .[0] == $name and .[1] == $v);"
"def _nr_strftime($f): strftime($f);"
"def _nr_strflocaltime($f): strflocaltime($f);"
"def _nr_format($f): if ($f | type) == \"string\" then $f"
"  else error(\"a format must be a string\") end;"
"def strftime($f): _nr_format($f) as $f |"
"  if type == \"number\" then gmtime else . end | _nr_strftime($f);"
"def strflocaltime($f): _nr_format($f) as $f |"
"  if type == \"number\" then localtime else . end | _nr_strflocaltime($f);"
"def todateiso8601: strftime(\"%Y-%m-%dT%H:%M:%SZ\");"
"def todate: todateiso8601;"
"def date: .created_at | strftime(\"%Y-%m-%d\");"
"def time: .created_at | strftime(\"%H:%M:%S\");"
"def datetime: .created_at | todate;"
"def _nr_shift($n): .offset += $n |"
"  .captures |= map(if .offset < 0 then . else .offset += $n end);"
"def _nr_at($re; $mode; $from):"
"  if $from == 0 then _match_impl($re; $mode; false)[0]"
"  else .[$from - 1:] | _match_impl(\"(?<=[\\\\s\\\\S])(?:\" + $re + \"\\n\" *"
"      (if $mode | contains(\"x\") then 1 else 0 end) + \")\"; $mode; false)"
"    | if length > 0 then .[0] | _nr_shift($from - 1) else null end"
"  end;"
"def _nr_global($re; $mode):"
"  . as $s | length as $n |"
"  def next($from): if $from > 0 and $from >= $n then empty"
"    else ($s | _nr_at($re; $mode; $from)) as $m |"
"      if $m == null then empty else $m,"
"        next($m.offset + if $m.length > 0 then $m.length else 1 end)"
"      end end;"
"  next(0);"
"def match($re; $mode):"
"  if type == \"string\" and ($mode | type) == \"string\" and"
"    ($mode | contains(\"g\")) and length != utf8bytelength"
"  then _nr_global($re; $mode | split(\"g\") | join(\"\"))"
"  else _match_impl($re; $mode; false)[] end;"
"def match($v): if ($v | type) == \"array\" then match($v[0]; $v[1])"
"  else match($v; null) end;"
"def _nr_named: reduce (.captures[] | select(.name != null)) as $c"
"  ({}; .[$c.name] = $c.string);"
"def capture($re; $mode): match($re; $mode) | _nr_named;"
"def capture($v): match($v) | _nr_named;"
"def scan($re): match($re; \"g\") | if .captures == [] then .string"
"  else [.captures[].string] end;"
"def _nr_cut($s; $all): foreach ($all[], null) as $m ([0, 0];"
"  if $m == null then [.[1], ($s | length)]"
"  else [.[1], $m.offset, $m.offset + $m.length] end"
"  | if length > 2 then [.[0], .[2], $s[.[0]:.[1]]]"
"    else [.[0], .[1], $s[.[0]:.[1]]] end; .[2]);"
"def splits($re; $mode): _nr_cut(.; [match($re; \"g\" + $mode)]);"
"def splits($re): splits($re; null);"
"def split($re; $mode): [splits($re; $mode)];"
"def sub($re; to; $mode): . as $s |"
"  reduce match($re; $mode) as $m ({at: 0, out: \"\"};"
"    .out += $s[.at:$m.offset] + ($m | _nr_named | to)"
"    | .at = $m.offset + $m.length) | .out + $s[.at:];"
"def sub($re; to): sub($re; to; \"\");"
"def gsub($re; to; $mode): sub($re; to; $mode + \"g\");"
"def gsub($re; to): gsub($re; to; \"\");"
"\n";

#define PRELUDE_LINES	1

struct nr_jq {
	jq_state	*jq;
};

enum { ID, PUBKEY, CREATED_AT, KIND, TAGS, CONTENT, SIG, FIELDS };

static const char *const field[FIELDS] = {
	"id", "pubkey", "created_at", "kind", "tags", "content", "sig"
};

struct nr_jq_doc {
	jv		 value;
	jv		 key[FIELDS];
	struct nr_buf	 text;		/* a string without its escapes */
};

/* The first thing that the compiler said. */
struct complaint {
	const char	*text;		/* the expression */
	char		*why;
	size_t		 whylen;
	int		 said;
};

/*
 * Columns.  The compiler repeats the line and puts a blank behind it for
 * each byte before the place.
 */
static unsigned
column(const char *line, size_t linelen, const char *shown)
{
	size_t n = strlen(shown);

	if (n < linelen || memcmp(line, shown, linelen) != 0)
		return 1;
	return (unsigned)(n - linelen) + 1;
}

/* "jq: error: WHAT (hint) at <top-level>, line N:\nLINE" */
static void
complain(struct complaint *c, const char *msg)
{
	static const char head[] = "jq: error: ", at[] = " at <top-level>, line ";
	const char *place = strstr(msg, at), *hint, *line = c->text, *shown;
	unsigned long n, i;
	size_t len;

	if (strncmp(msg, head, strlen(head)) == 0)
		msg += strlen(head);
	if (place == NULL || place < msg) {
		snprintf(c->why, c->whylen, "%s", msg);
		return;
	}
	n = strtoul(place + strlen(at), NULL, 10);
	n = n > PRELUDE_LINES ? n - PRELUDE_LINES : 1;
	for (i = 1; i < n && strchr(line, '\n') != NULL; i++)
		line = strchr(line, '\n') + 1;
	len = strcspn(line, "\n");
	shown = strchr(place, '\n');
	hint = strstr(msg, " (Unix");
	if (hint == NULL || hint > place)
		hint = place;
	snprintf(c->why, c->whylen, "line %lu, column %u: %.*s", n,
	    shown == NULL ? 1 : column(line, len, shown + 1),
	    (int)(hint - msg), msg);
}

static void
on_error(void *arg, jv msg)
{
	struct complaint *c = arg;

	if (!c->said && jv_get_kind(msg) == JV_KIND_STRING) {
		c->said = 1;
		complain(c, jv_string_value(msg));
	}
	jv_free(msg);
}

static void
ignore(void *arg, jv msg)
{
	(void)arg;
	jv_free(msg);
}

static int
compile(jq_state *jq, const char *text, struct complaint *c)
{
	struct nr_buf b = { 0 };
	int rc;

	if (nr_buf_adds(&b, prelude) != NR_OK ||
	    nr_buf_add(&b, text, strlen(text) + 1) != NR_OK) {
		nr_buf_free(&b);
		return ENOMEM;
	}
	jq_set_error_cb(jq, on_error, c);
	rc = jq_compile(jq, b.p) ? NR_OK : NR_EINVAL;
	jq_set_error_cb(jq, ignore, NULL);
	nr_buf_free(&b);
	return rc;
}

int
nr_jq_new(struct nr_jq **out, const char *text, char *why, size_t whylen)
{
	struct complaint c = { text, why, whylen, 0 };
	struct nr_jq *q;
	int rc;

	snprintf(why, whylen, "not an expression");
	if (!nr_jqwords_allowed(text, why, whylen))
		return NR_EINVAL;
	if ((q = calloc(1, sizeof(*q))) == NULL)
		return ENOMEM;
	if ((q->jq = jq_init()) == NULL) {
		free(q);
		return ENOMEM;
	}
	/* libjq 1.6 leaves it uninitialised, and calls it. */
	jq_set_nomem_handler(q->jq, NULL, NULL);
	if ((rc = compile(q->jq, text, &c)) != NR_OK) {
		nr_jq_free(q);
		return rc;
	}
	*out = q;
	return NR_OK;
}

void
nr_jq_free(struct nr_jq *q)
{
	if (q == NULL)
		return;
	jq_teardown(&q->jq);
	free(q);
}

int
nr_jq_doc_new(struct nr_jq_doc **out)
{
	struct nr_jq_doc *d;
	unsigned i;

	if ((d = calloc(1, sizeof(*d))) == NULL)
		return ENOMEM;
	d->value = jv_null();
	for (i = 0; i < FIELDS; i++)
		d->key[i] = jv_string(field[i]);
	*out = d;
	return NR_OK;
}

void
nr_jq_doc_free(struct nr_jq_doc *d)
{
	unsigned i;

	if (d == NULL)
		return;
	jv_free(d->value);
	for (i = 0; i < FIELDS; i++)
		jv_free(d->key[i]);
	nr_buf_free(&d->text);
	free(d);
}

/* The inside of a normal string; d->text has room for it. */
static jv
string_of(struct nr_jq_doc *d, struct nr_view v)
{
	if (memchr(v.p, '\\', v.len) == NULL)
		return jv_string_sized(v.p, (int)v.len);
	return jv_string_sized(d->text.p,
	    (int)nr_json_decode(d->text.p, v.p, v.len));
}

static jv
hex_of(const unsigned char *p, size_t n)
{
	char digit[128];

	nr_hex_encode(digit, p, n);
	return jv_string_sized(digit, (int)(2 * n));
}

/* The tag whose bracket is at j->p; normal text has no white space. */
static jv
tag_of(struct nr_jq_doc *d, struct nr_json *j)
{
	jv tag = jv_array_sized(TAG_ITEMS);
	struct nr_view item;
	unsigned flags = 0;

	for (j->p++; j->p < j->end && *j->p != ']';) {
		if (*j->p == ',')
			j->p++;
		if (nr_json_string(j, &item, &flags) != NR_JSON_OK)
			break;
		tag = jv_array_append(tag, string_of(d, item));
	}
	j->p++;
	return tag;
}

static jv
tags_of(struct nr_jq_doc *d, struct nr_view text)
{
	struct nr_json j = { text.p + 1, text.p + text.len };
	jv tags = jv_array();

	while (j.p < j.end && *j.p != ']') {
		if (*j.p == ',')
			j.p++;
		tags = jv_array_append(tags, tag_of(d, &j));
	}
	return tags;
}

int
nr_jq_doc_event(struct nr_jq_doc *d, const struct nr_event *ev)
{
	jv v[FIELDS];
	unsigned i;
	int rc;

	d->text.len = 0;
	if ((rc = nr_buf_reserve(&d->text, ev->content.len + ev->tags.len)))
		return rc;
	v[ID] = hex_of(ev->id, 32);
	v[PUBKEY] = hex_of(ev->pubkey, 32);
	v[CREATED_AT] = jv_number((double)ev->created_at);
	v[KIND] = jv_number(ev->kind);
	v[TAGS] = tags_of(d, ev->tags);
	v[CONTENT] = string_of(d, ev->content);
	v[SIG] = hex_of(ev->sig, 64);
	jv_free(d->value);
	d->value = jv_object();
	for (i = 0; i < FIELDS; i++)
		d->value = jv_object_set(d->value, jv_copy(d->key[i]), v[i]);
	return NR_OK;
}

int
nr_jq_doc_parse(struct nr_jq_doc *d, const char *json, size_t len)
{
	jv value;

	if (len > INT32_MAX)
		return NR_EINVAL;
	value = jv_parse_sized(json, (int)len);
	if (!jv_is_valid(value)) {
		jv_free(value);
		return NR_EINVAL;
	}
	jv_free(d->value);
	d->value = value;
	return NR_OK;
}

/* 1: true; 0: false; -1: failed; -2: that was all. */
static int
result(jv v)
{
	jv_kind kind = jv_get_kind(v);
	int failed;

	if (kind != JV_KIND_INVALID) {
		jv_free(v);
		return kind != JV_KIND_FALSE && kind != JV_KIND_NULL;
	}
	failed = jv_invalid_has_msg(jv_copy(v));
	jv_free(v);
	return failed ? -1 : -2;
}

int
nr_jq_test(struct nr_jq *q, const struct nr_jq_doc *d)
{
	unsigned i;
	int yes = 0;

	jq_start(q->jq, jv_copy(d->value), 0);
	for (i = 0; i < RESULTS_MAX && yes == 0; i++)
		yes = result(jq_next(q->jq));
	/* Lets go of the input. */
	jq_start(q->jq, jv_null(), 0);
	return yes == -2 ? 0 : yes == 0 ? -1 : yes;
}
