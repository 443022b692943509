/*
 * NIP-11, field by field.
 */
#include "bench/nip11.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "util/err.h"
#include "util/hex.h"
#include "util/json.h"

#define NAME_MAX_CHARS	30	/* "SHOULD be less than" */
#define NIP_MAX		0xffff	/* numbers in hexadecimal have been used */

enum type {
	TEXT, KEY, LINK, URI, COUNT, BOOL, OBJECT, LIST
};

struct field {
	const char	*name;
	enum type	 type;
};

static const struct field top[] = {
	{ "name", TEXT }, { "description", TEXT }, { "banner", TEXT },
	{ "icon", TEXT }, { "pubkey", KEY }, { "self", KEY },
	{ "contact", URI }, { "supported_nips", LIST }, { "software", LINK },
	{ "version", TEXT }, { "terms_of_service", TEXT },
	{ "payments_url", TEXT }, { "limitation", OBJECT },
	{ "fees", OBJECT }, { NULL, TEXT }
};

static const struct field limits[] = {
	{ "max_message_length", COUNT }, { "max_subscriptions", COUNT },
	{ "max_limit", COUNT }, { "max_subid_length", COUNT },
	{ "max_event_tags", COUNT }, { "max_content_length", COUNT },
	{ "min_pow_difficulty", COUNT }, { "auth_required", BOOL },
	{ "payment_required", BOOL }, { "restricted_writes", BOOL },
	{ "created_at_lower_limit", COUNT },
	{ "created_at_upper_limit", COUNT }, { "default_limit", COUNT },
	{ NULL, TEXT }
};

static void	add_flaw(struct nr_nip11 *d, enum nr_nip11_weight weight,
		    const char *fmt, ...)
		    __attribute__((format(printf, 3, 4)));

static void
add_flaw(struct nr_nip11 *d, enum nr_nip11_weight weight, const char *fmt,
    ...)
{
	struct nr_nip11_flaw *f;
	va_list ap;

	d->broken |= weight == NR_NIP11_BROKEN;
	if (d->nflaws == NR_NIP11_FLAWS)
		return;
	f = &d->flaw[d->nflaws++];
	f->weight = weight;
	va_start(ap, fmt);
	vsnprintf(f->text, sizeof(f->text), fmt, ap);
	va_end(ap);
}

void
nr_nip11_flaw(struct nr_nip11 *d, enum nr_nip11_weight weight,
    const char *text)
{
	add_flaw(d, weight, "%s", text);
}

/* ---- values */

static int
is_null(struct nr_view v)
{
	return nr_view_is(v, "null");
}

static int
is_text(struct nr_view v)
{
	return v.len >= 2 && v.p[0] == '"';
}

/* Between the quotes. */
static struct nr_view
inside(struct nr_view v)
{
	return (struct nr_view){ v.p + 1, v.len - 2 };
}

static int
read_int(struct nr_view v, int64_t *out)
{
	struct nr_json j = { v.p, v.p + v.len };

	return nr_json_int(&j, out, NULL) == NR_JSON_OK && j.p == j.end;
}

/*
 * The next item of a list whose opening bracket has been read.
 * Returns 1, or 0 behind the closing bracket; the text is known to be JSON.
 */
static int
next_item(struct nr_json *j, struct nr_view *value)
{
	nr_json_space(j);
	if (j->p < j->end && *j->p == ',')
		j->p++;
	nr_json_space(j);
	if (j->p == j->end || *j->p == ']')
		return 0;
	value->p = j->p;
	if (nr_json_skip(j, NR_JSON_DEPTH_MAX) != NR_JSON_OK)
		return 0;
	value->len = (size_t)(j->p - value->p);
	return 1;
}

static size_t
characters(struct nr_view v)
{
	size_t i, n = 0;

	for (i = 0; i < v.len; i++)
		n += ((unsigned char)v.p[i] & 0xc0) != 0x80;
	return n;
}

static int
has_scheme(struct nr_view v)
{
	const char *colon = memchr(v.p, ':', v.len), *p;

	if (colon == NULL || colon == v.p)
		return 0;
	for (p = v.p; p < colon; p++)
		if (!((*p | 32) >= 'a' && (*p | 32) <= 'z') &&
		    !(p > v.p && strchr("0123456789+-.", *p) != NULL))
			return 0;
	return 1;
}

/* ---- fields */

static void
check_text(struct nr_nip11 *d, const char *where, const struct field *f,
    struct nr_view v)
{
	unsigned char key[32];
	struct nr_view s;

	if (!is_text(v)) {
		add_flaw(d, NR_NIP11_BROKEN, "%s%s is no string", where,
		    f->name);
		return;
	}
	s = inside(v);
	if (s.len == 0)
		return;		/* as good as omitted, and common */
	if (f->type == KEY && (s.len != 64 || !nr_hex_decode(key, s.p, 32)))
		add_flaw(d, NR_NIP11_WRONG,
		    "%s%s is no public key in lower-case hexadecimal", where,
		    f->name);
	if (f->type == LINK && !has_scheme(s))
		add_flaw(d, NR_NIP11_WRONG, "%s%s is no URL", where, f->name);
	if (f->type == URI && !has_scheme(s))
		add_flaw(d, NR_NIP11_ADVICE,
		    "%s%s should be a URI, as mailto: or https:", where,
		    f->name);
	if (strcmp(f->name, "name") == 0 && characters(s) >= NAME_MAX_CHARS)
		add_flaw(d, NR_NIP11_ADVICE,
		    "name should have less than %d characters",
		    NAME_MAX_CHARS);
}

static void
check_value(struct nr_nip11 *d, const char *where, const struct field *f,
    struct nr_view v)
{
	int64_t n;

	if (is_null(v)) {
		add_flaw(d, NR_NIP11_ADVICE, "%s%s is null: leave it out",
		    where, f->name);
		return;
	}
	switch (f->type) {
	case COUNT:
		if (!read_int(v, &n))
			add_flaw(d, NR_NIP11_BROKEN, "%s%s is no integer",
			    where, f->name);
		else if (n < 0)
			add_flaw(d, NR_NIP11_WRONG, "%s%s is negative", where,
			    f->name);
		break;
	case BOOL:
		if (!nr_view_is(v, "true") && !nr_view_is(v, "false"))
			add_flaw(d, NR_NIP11_BROKEN,
			    "%s%s is neither true nor false", where, f->name);
		break;
	case OBJECT:
		if (*v.p != '{')
			add_flaw(d, NR_NIP11_BROKEN, "%s%s is no object",
			    where, f->name);
		break;
	case LIST:
		if (*v.p != '[')
			add_flaw(d, NR_NIP11_BROKEN, "%s%s is no list", where,
			    f->name);
		break;
	default:
		check_text(d, where, f, v);
	}
}

static const struct field *
find(const struct field *f, struct nr_view key)
{
	for (; f->name != NULL; f++)
		if (nr_view_is(key, f->name))
			return f;
	return NULL;
}

static void
read_nips(struct nr_nip11 *d, struct nr_view list)
{
	struct nr_json j = { list.p + 1, list.p + list.len };
	struct nr_view v;
	int64_t n;
	int odd = 0;

	while (next_item(&j, &v)) {
		if (!read_int(v, &n) || n < 0 || n > NIP_MAX) {
			odd = 1;
			continue;
		}
		if (nr_nip11_names(d, (unsigned)n))
			add_flaw(d, NR_NIP11_ADVICE,
			    "supported_nips names %u twice", (unsigned)n);
		else if (d->nnips < NR_NIP11_NIPS)
			d->nips[d->nnips++] = (unsigned)n;
	}
	if (odd)
		add_flaw(d, NR_NIP11_BROKEN,
		    "supported_nips holds what is no number of a NIP");
}

static void
read_words(struct nr_view list, struct nr_view *out, unsigned *n)
{
	struct nr_json j = { list.p + 1, list.p + list.len };
	struct nr_view v;

	while (*n < NR_NIP11_WORDS && next_item(&j, &v))
		if (is_text(v) && v.len > 2)
			out[(*n)++] = inside(v);
}

static int
truth(struct nr_view v)
{
	return nr_view_is(v, "true") ? 1 : nr_view_is(v, "false") ? 0 : -1;
}

static void
read_limits(struct nr_nip11 *d, struct nr_view object)
{
	struct nr_json j = { object.p + 1, object.p + object.len };
	const struct field *f;
	struct nr_view key, v;

	while (nr_json_member(&j, &key, &v) == 1) {
		if ((f = find(limits, key)) != NULL)
			check_value(d, "limitation.", f, v);
		if (nr_view_is(key, "auth_required"))
			d->auth = truth(v);
		else if (nr_view_is(key, "payment_required"))
			d->payment = truth(v);
		else if (nr_view_is(key, "restricted_writes"))
			d->restricted = truth(v);
		else if (nr_view_is(key, "min_pow_difficulty"))
			(void)read_int(v, &d->pow);
	}
}

/* {"amount":1000,"unit":"msats",...} */
static void
check_fee(struct nr_nip11 *d, struct nr_view v)
{
	struct nr_json j = { v.p + 1, v.p + v.len };
	struct nr_view key, value;
	int amount = 0, unit = 0;
	int64_t n;

	if (*v.p != '{') {
		add_flaw(d, NR_NIP11_BROKEN, "fees holds what is no object");
		return;
	}
	while (nr_json_member(&j, &key, &value) == 1)
		if (nr_view_is(key, "amount"))
			amount = read_int(value, &n);
		else if (nr_view_is(key, "unit"))
			unit = is_text(value);
	if (!amount || !unit)
		add_flaw(d, NR_NIP11_WRONG,
		    "a fee lacks its amount or its unit");
}

static void
check_fees(struct nr_nip11 *d, struct nr_view object)
{
	struct nr_json j = { object.p + 1, object.p + object.len }, list;
	struct nr_view key, v, fee;

	while (nr_json_member(&j, &key, &v) == 1) {
		if (*v.p != '[') {
			add_flaw(d, NR_NIP11_BROKEN,
			    "fees holds what is no list");
			continue;
		}
		list = (struct nr_json){ v.p + 1, v.p + v.len };
		while (next_item(&list, &fee))
			check_fee(d, fee);
	}
}

static void
read_field(struct nr_nip11 *d, struct nr_view key, struct nr_view v)
{
	const struct field *f = find(top, key);

	if (f != NULL)
		check_value(d, "", f, v);
	if (nr_view_is(key, "supported_nips") && *v.p == '[')
		read_nips(d, v);
	else if (nr_view_is(key, "limitation") && *v.p == '{')
		read_limits(d, v);
	else if (nr_view_is(key, "fees") && *v.p == '{')
		check_fees(d, v);
	else if (nr_view_is(key, "tags") && *v.p == '[')
		read_words(v, d->topic, &d->ntopics);
	else if (nr_view_is(key, "language_tags") && *v.p == '[')
		read_words(v, d->language, &d->nlanguages);
}

/* Is all of it one value?  If not, says why. */
static int
is_json(struct nr_nip11 *d, const char *text, size_t len)
{
	struct nr_json j = { text, text + len };
	enum nr_json_rc rc;

	nr_json_space(&j);
	rc = nr_json_skip(&j, NR_JSON_DEPTH_MAX);
	nr_json_space(&j);
	if (rc == NR_JSON_OK && j.p == j.end)
		return 1;
	add_flaw(d, NR_NIP11_BROKEN, "byte %zu: %s",
	    (size_t)(j.p - text), rc == NR_JSON_OK ?
	    "something follows the document" : nr_json_strerror(rc));
	return 0;
}

void
nr_nip11_read(struct nr_nip11 *d, const char *text, size_t len)
{
	struct nr_json j = { text, text + len };
	struct nr_view key, v;

	memset(d, 0, sizeof(*d));
	d->auth = d->payment = d->restricted = -1;
	d->pow = -1;
	if (!is_json(d, text, len))
		return;
	nr_json_space(&j);
	if (*j.p != '{') {
		add_flaw(d, NR_NIP11_BROKEN, "not a JSON object");
		return;
	}
	d->object = 1;
	j.p++;
	while (nr_json_member(&j, &key, &v) == 1)
		read_field(d, key, v);
}

int
nr_nip11_names(const struct nr_nip11 *d, unsigned nip)
{
	unsigned i;

	for (i = 0; i < d->nnips; i++)
		if (d->nips[i] == nip)
			return 1;
	return 0;
}

int
nr_nip11_line(struct nr_buf *b, const char *text, size_t len)
{
	int quoted = 0, rc;
	size_t i;
	char c;

	if ((rc = nr_buf_reserve(b, len)) != NR_OK)
		return rc;
	for (i = 0; i < len; i++) {
		c = text[i];
		if (!quoted && strchr(" \t\r\n", c) != NULL)
			continue;
		b->p[b->len++] = c;
		if (quoted && c == '\\' && i + 1 < len)
			b->p[b->len++] = text[++i];
		else if (c == '"')
			quoted = !quoted;
	}
	return NR_OK;
}
