/*
 * Messages: JSON arrays whose first element is the verb.
 */
#include "wire/message.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "util/err.h"
#include "util/hex.h"
#include "util/json.h"

/* Characters of valid UTF-8 that is normal text. */
static size_t
characters(const char *p, size_t len)
{
	size_t n = 0, i;

	for (i = 0; i < len; i++) {
		if ((p[i] & 0xc0) == 0x80)
			continue;
		n++;
		if (p[i] == '\\')
			i += p[i + 1] == 'u' ? 5 : 1;
	}
	return n;
}

static const char *
read_subid(struct nr_client_message *m, struct nr_json *j, int *has_sub)
{
	struct nr_view v;
	unsigned flags = 0;

	if (nr_json_expect(j, ',') != NR_JSON_OK)
		return "invalid: subscription id is missing";
	nr_json_space(j);
	if (j->p == j->end || *j->p != '"' ||
	    nr_json_string(j, &v, &flags) != NR_JSON_OK)
		return "invalid: subscription id is not a string";
	m->given = v;
	*has_sub = 1;
	if (v.len == 0)
		return "invalid: subscription id is empty";
	/* An escape of six bytes may stand for one character. */
	if (v.len > 2 * NR_SUBID_BYTES)
		return "invalid: subscription id is too long";
	if (v.len <= sizeof(m->subid))
		m->subid_len = nr_json_normal(m->subid, v.p, v.len);
	else {
		char text[2 * NR_SUBID_BYTES];
		size_t n = nr_json_normal(text, v.p, v.len);

		if (n > sizeof(m->subid))
			return "invalid: subscription id is too long";
		memcpy(m->subid, text, n);
		m->subid_len = n;
	}
	if (characters(m->subid, m->subid_len) > NR_SUBID_CHARS)
		return "invalid: subscription id is longer than 64 "
		    "characters";
	return NULL;
}

/* The event is all that stands before the last bracket. */
static const char *
read_event(struct nr_client_message *m, struct nr_json *j)
{
	const char *end = j->end;

	if (nr_json_expect(j, ',') != NR_JSON_OK)
		return "invalid: event is missing";
	while (end > j->p && strchr(" \n\r\t", end[-1]) != NULL &&
	    end[-1] != '\0')
		end--;
	if (end == j->p || end[-1] != ']')
		return "invalid: message is not a JSON array";
	m->event.p = j->p;
	m->event.len = (size_t)(end - 1 - j->p);
	return NULL;
}

static const char *
read_rest(struct nr_client_message *m, struct nr_json *j)
{
	nr_json_space(j);
	if (m->verb != NR_CLIENT_CLOSE && m->verb != NR_CLIENT_NEG_CLOSE) {
		m->rest.p = j->p;
		m->rest.len = (size_t)(j->end - j->p);
		return NULL;
	}
	if (nr_json_expect(j, ']') != NR_JSON_OK)
		return "invalid: message is not a JSON array";
	nr_json_space(j);
	return j->p == j->end ? NULL : "invalid: bytes behind the message";
}

static enum nr_client_verb
verb_of(struct nr_view name)
{
	static const struct {
		const char		*name;
		enum nr_client_verb	 verb;
	} list[] = {
		{ "REQ", NR_CLIENT_REQ }, { "COUNT", NR_CLIENT_COUNT },
		{ "CLOSE", NR_CLIENT_CLOSE },
		{ "NEG-OPEN", NR_CLIENT_NEG_OPEN },
		{ "NEG-MSG", NR_CLIENT_NEG_MSG },
		{ "NEG-CLOSE", NR_CLIENT_NEG_CLOSE }
	};
	size_t i;

	for (i = 0; i < sizeof(list) / sizeof(list[0]); i++)
		if (nr_view_is(name, list[i].name))
			return list[i].verb;
	return NR_CLIENT_OTHER;
}

void
nr_client_read(struct nr_client_message *m, const char *text, size_t len,
    const char **why, int *has_sub)
{
	struct nr_json j = { text, text + len };
	unsigned flags = 0;

	*has_sub = 0;
	*why = "invalid: message is not a JSON array";
	if (nr_json_expect(&j, '[') != NR_JSON_OK)
		return;
	nr_json_space(&j);
	if (j.p == j.end || *j.p != '"' ||
	    nr_json_string(&j, &m->name, &flags) != NR_JSON_OK)
		return;
	if (nr_view_is(m->name, "EVENT") || nr_view_is(m->name, "AUTH")) {
		m->verb = *m->name.p == 'E' ? NR_CLIENT_EVENT :
		    NR_CLIENT_AUTH;
		*why = read_event(m, &j);
		return;
	}
	m->verb = verb_of(m->name);
	if (m->verb == NR_CLIENT_OTHER) {
		*why = "unsupported: unknown message";
		return;
	}
	if ((*why = read_subid(m, &j, has_sub)) == NULL)
		*why = read_rest(m, &j);
}

int
nr_client_next_filter(struct nr_view *rest)
{
	struct nr_json j = { rest->p, rest->p + rest->len };
	int more;

	nr_json_space(&j);
	if (j.p == j.end || (*j.p != ',' && *j.p != ']'))
		return -1;
	more = *j.p++ == ',';
	nr_json_space(&j);
	rest->p = j.p;
	rest->len = (size_t)(j.end - j.p);
	if (!more && rest->len > 0)
		return -1;
	return more;
}

int
nr_client_neg_message(struct nr_view rest, struct nr_view *hex)
{
	struct nr_json j = { rest.p, rest.p + rest.len };
	unsigned flags = 0;
	struct nr_view v;
	size_t i;

	if (nr_json_expect(&j, ',') != NR_JSON_OK)
		return 0;
	nr_json_space(&j);
	if (j.p == j.end || *j.p != '"' ||
	    nr_json_string(&j, &v, &flags) != NR_JSON_OK ||
	    nr_json_expect(&j, ']') != NR_JSON_OK)
		return 0;
	nr_json_space(&j);
	if (j.p != j.end || v.len % 2 != 0)
		return 0;
	for (i = 0; i < v.len; i++)
		if (!((v.p[i] >= '0' && v.p[i] <= '9') ||
		    (v.p[i] >= 'a' && v.p[i] <= 'f')))
			return 0;
	*hex = v;
	return 1;
}

static int
add_view(struct nr_buf *b, struct nr_view v)
{
	return nr_buf_add(b, v.p, v.len);
}

int
nr_write_ok(struct nr_buf *b, const char id[64], int accepted,
    const char *message)
{
	int rc;

	rc = nr_buf_addf(b, "[\"OK\",\"%.64s\",%s,", id,
	    accepted ? "true" : "false");
	if (rc == NR_OK)
		rc = nr_buf_addjson(b, message, strlen(message));
	return rc != NR_OK ? rc : nr_buf_adds(b, "]");
}

int
nr_write_closed(struct nr_buf *b, struct nr_view subid, const char *message)
{
	int rc;

	if ((rc = nr_buf_adds(b, "[\"CLOSED\",\"")) == NR_OK &&
	    (rc = add_view(b, subid)) == NR_OK &&
	    (rc = nr_buf_adds(b, "\",")) == NR_OK &&
	    (rc = nr_buf_addjson(b, message, strlen(message))) == NR_OK)
		rc = nr_buf_adds(b, "]");
	return rc;
}

int
nr_write_count(struct nr_buf *b, struct nr_view subid, uint64_t count,
    int approximate, const unsigned char *hll)
{
	char hex[512];
	int rc;

	if ((rc = nr_buf_adds(b, "[\"COUNT\",\"")) == NR_OK &&
	    (rc = add_view(b, subid)) == NR_OK)
		rc = nr_buf_addf(b, "\",{\"count\":%" PRIu64 "%s", count,
		    approximate ? ",\"approximate\":true" : "");
	if (rc == NR_OK && hll != NULL) {
		nr_hex_encode(hex, hll, 256);
		rc = nr_buf_addf(b, ",\"hll\":\"%.512s\"", hex);
	}
	return rc != NR_OK ? rc : nr_buf_adds(b, "}]");
}

int
nr_write_notice(struct nr_buf *b, const char *message)
{
	int rc;

	if ((rc = nr_buf_adds(b, "[\"NOTICE\",")) == NR_OK &&
	    (rc = nr_buf_addjson(b, message, strlen(message))) == NR_OK)
		rc = nr_buf_adds(b, "]");
	return rc;
}

static int
start_neg(struct nr_buf *b, const char *verb, struct nr_view subid)
{
	int rc;

	if ((rc = nr_buf_addf(b, "[\"%s\",\"", verb)) == NR_OK &&
	    (rc = add_view(b, subid)) == NR_OK)
		rc = nr_buf_adds(b, "\",");
	return rc;
}

int
nr_write_neg_msg(struct nr_buf *b, struct nr_view subid, const void *message,
    size_t len)
{
	int rc;

	if ((rc = start_neg(b, "NEG-MSG", subid)) != NR_OK ||
	    (rc = nr_buf_reserve(b, 2 * len + 3)) != NR_OK)
		return rc;
	b->p[b->len++] = '"';
	nr_hex_encode(b->p + b->len, message, len);
	b->len += 2 * len;
	return nr_buf_adds(b, "\"]");
}

int
nr_write_neg_err(struct nr_buf *b, struct nr_view subid, const char *why,
    uint64_t most)
{
	int rc;

	if ((rc = start_neg(b, "NEG-ERR", subid)) == NR_OK &&
	    (rc = nr_buf_addjson(b, why, strlen(why))) == NR_OK && most > 0)
		rc = nr_buf_addf(b, ",%" PRIu64, most);
	return rc != NR_OK ? rc : nr_buf_adds(b, "]");
}
