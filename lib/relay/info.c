/*
 * The relay information document (NIP-11): the configuration, as clients
 * see it.
 */
#include "relay/internal.h"

#include <inttypes.h>
#include <string.h>

#include "util/err.h"
#include "util/json.h"
#include "util/version.h"
#include "wire/message.h"

/* Is there such a member in the operator's own object? */
static int
is_given(const struct nr_relay_config *c, const char *key)
{
	struct nr_view name, value;
	struct nr_json j;

	if (c->nip11 == NULL)
		return 0;
	j.p = c->nip11;
	j.end = j.p + strlen(j.p);
	(void)nr_json_expect(&j, '{');
	while (nr_json_member(&j, &name, &value) == 1)
		if (nr_view_is(name, key))
			return 1;
	return 0;
}

static int
member(struct nr_buf *b, const struct nr_relay_config *c, const char *key,
    const char *value)
{
	int rc;

	if (value == NULL || is_given(c, key))
		return NR_OK;
	if ((rc = nr_buf_addf(b, "\"%s\":", key)) != NR_OK ||
	    (rc = nr_buf_addjson(b, value, strlen(value))) != NR_OK)
		return rc;
	return nr_buf_adds(b, ",");
}

/* What the operator gave, without the braces and with a comma behind. */
static int
given(struct nr_buf *b, const struct nr_relay_config *c)
{
	struct nr_view name, value;
	struct nr_json j;
	int rc = NR_OK;

	if (c->nip11 == NULL)
		return NR_OK;
	j.p = c->nip11;
	j.end = j.p + strlen(j.p);
	(void)nr_json_expect(&j, '{');
	while (rc == NR_OK && nr_json_member(&j, &name, &value) == 1)
		rc = nr_buf_addf(b, "\"%.*s\":%.*s,", (int)name.len, name.p,
		    (int)value.len, value.p);
	return rc;
}

/* What is true of this configuration, in the order of the numbers. */
static int
nips(struct nr_buf *b, const struct nr_relay_config *c)
{
	const struct {
		int	nip;
		int	is_so;
	} list[] = {
		{ 1, 1 },
		{ 4, nr_kind_private(c, 4) },
		{ 9, 1 },
		{ 11, 1 },
		{ 13, c->min_pow > 0 },
		{ 17, nr_kind_private(c, 1059) },
		{ 40, 1 },
		{ 42, 1 },
		{ 45, 1 },
		{ 59, nr_kind_private(c, 1059) },
		{ 67, 1 },
		{ 70, 1 },
	};
	const char *comma = "";
	size_t i;
	int rc;

	rc = nr_buf_adds(b, "\"supported_nips\":[");
	for (i = 0; rc == NR_OK && i < sizeof(list) / sizeof(list[0]); i++) {
		if (!list[i].is_so)
			continue;
		rc = nr_buf_addf(b, "%s%d", comma, list[i].nip);
		comma = ",";
	}
	return rc != NR_OK ? rc : nr_buf_adds(b, "],");
}

int
nr_info_write(struct nr_buf *b, const struct nr_relay_config *c)
{
	static const char *const boolean[] = { "false", "true" };
	int rc;

	if ((rc = nr_buf_adds(b, "{")) != NR_OK ||
	    (rc = member(b, c, "name", c->name)) != NR_OK ||
	    (rc = member(b, c, "description", c->description)) != NR_OK ||
	    (rc = member(b, c, "icon", c->icon)) != NR_OK ||
	    (rc = member(b, c, "pubkey", c->pubkey)) != NR_OK ||
	    (rc = member(b, c, "contact", c->contact)) != NR_OK ||
	    (rc = member(b, c, "version", "nr-serve " NR_VERSION)) !=
	    NR_OK || (rc = given(b, c)) != NR_OK ||
	    (rc = nips(b, c)) != NR_OK)
		return rc;
	return nr_buf_addf(b,
	    "\"limitation\":{\"max_message_length\":%" PRIu64
	    ",\"max_subscriptions\":%" PRIu64 ",\"max_limit\":%" PRIu64
	    ",\"max_subid_length\":%d,\"max_event_tags\":%" PRIu64
	    ",\"min_pow_difficulty\":%" PRIu64
	    ",\"auth_required\":%s,\"payment_required\":false"
	    ",\"restricted_writes\":%s,\"created_at_upper_limit\":%"
	    PRIu64 ",\"default_limit\":%" PRIu64 "}}",
	    c->max_message, c->max_subscriptions,
	    c->max_limit, NR_SUBID_CHARS, c->max_event_tags, c->min_pow,
	    boolean[c->read != NR_ACCESS_OPEN && c->write != NR_ACCESS_OPEN],
	    boolean[c->write != NR_ACCESS_OPEN], c->max_future,
	    c->default_limit < c->max_limit ? c->default_limit :
	    c->max_limit);
}
