/*
 * The relay information document (NIP-11): the configuration, as clients
 * see it.
 */
#include "relay/internal.h"

#include <inttypes.h>
#include <stddef.h>
#include <string.h>

#include "util/err.h"
#include "util/json.h"
#include "util/version.h"
#include "wire/message.h"

/* Members with a text, in the order in which they are written. */
static const struct member {
	const char	*name;
	size_t		 offset;
} member[] = {
	{ "name", offsetof(struct nr_relay_config, name) },
	{ "description", offsetof(struct nr_relay_config, description) },
	{ "banner", offsetof(struct nr_relay_config, banner) },
	{ "icon", offsetof(struct nr_relay_config, icon) },
	{ "pubkey", offsetof(struct nr_relay_config, pubkey) },
	{ "self", offsetof(struct nr_relay_config, self) },
	{ "contact", offsetof(struct nr_relay_config, contact) },
	{ "terms_of_service",
	    offsetof(struct nr_relay_config, terms_of_service) },
	{ "posting_policy",
	    offsetof(struct nr_relay_config, posting_policy) },
	{ "privacy_policy",
	    offsetof(struct nr_relay_config, privacy_policy) },
};

#define NMEMBERS	(sizeof(member) / sizeof(member[0]))

static const char *
text_of(const struct nr_relay_config *c, const struct member *m)
{
	return *(char *const *)(const void *)((const char *)c + m->offset);
}

/* Is there such a member in the operator's own object? */
static int
is_given(const struct nr_relay_config *c, const char *key,
    struct nr_view *value)
{
	struct nr_view name;
	struct nr_json j;

	if (c->nip11 == NULL)
		return 0;
	j.p = c->nip11;
	j.end = j.p + strlen(j.p);
	(void)nr_json_expect(&j, '{');
	while (nr_json_member(&j, &name, value) == 1)
		if (nr_view_is(name, key))
			return 1;
	return 0;
}

/* What a JSON string stands for; nothing where it is something else. */
static int
add_plain(struct nr_buf *b, struct nr_view value)
{
	int rc;

	if (value.len < 2 || value.p[0] != '"')
		return NR_OK;
	if ((rc = nr_buf_reserve(b, value.len)) == NR_OK)
		b->len += nr_json_decode(b->p + b->len, value.p + 1,
		    value.len - 2);
	return rc;
}

int
nr_info_text(struct nr_buf *b, const struct nr_relay_config *c,
    const char *name)
{
	struct nr_view value;
	size_t i;

	if (is_given(c, name, &value))
		return add_plain(b, value);
	for (i = 0; i < NMEMBERS; i++)
		if (strcmp(member[i].name, name) == 0 &&
		    text_of(c, &member[i]) != NULL)
			return nr_buf_adds(b, text_of(c, &member[i]));
	return NR_OK;
}

static int
write_member(struct nr_buf *b, const struct nr_relay_config *c,
    const char *key, const char *value)
{
	struct nr_view other;
	int rc;

	if (value == NULL || is_given(c, key, &other))
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

size_t
nr_info_nips(unsigned nip[NR_INFO_NIPS], const struct nr_relay_config *c)
{
	const struct {
		unsigned nip;
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
		{ 62, 1 },
		{ 67, 1 },
		{ 70, 1 },
		{ 77, c->max_sync > 0 },
	};
	size_t i, n = 0;

	for (i = 0; i < sizeof(list) / sizeof(list[0]); i++)
		if (list[i].is_so)
			nip[n++] = list[i].nip;
	return n;
}

static int
write_nips(struct nr_buf *b, const struct nr_relay_config *c)
{
	unsigned nip[NR_INFO_NIPS];
	size_t i, n = nr_info_nips(nip, c);
	int rc;

	rc = nr_buf_adds(b, "\"supported_nips\":[");
	for (i = 0; rc == NR_OK && i < n; i++)
		rc = nr_buf_addf(b, "%s%u", i > 0 ? "," : "", nip[i]);
	return rc != NR_OK ? rc : nr_buf_adds(b, "],");
}

int
nr_info_write(struct nr_buf *b, const struct nr_relay_config *c)
{
	static const char *const boolean[] = { "false", "true" };
	size_t i;
	int rc;

	rc = nr_buf_adds(b, "{");
	for (i = 0; rc == NR_OK && i < NMEMBERS; i++)
		rc = write_member(b, c, member[i].name,
		    text_of(c, &member[i]));
	if (rc != NR_OK || (rc = write_member(b, c, "version",
	    "nr-serve " NR_VERSION)) != NR_OK ||
	    (rc = given(b, c)) != NR_OK || (rc = write_nips(b, c)) != NR_OK)
		return rc;
	rc = nr_buf_addf(b,
	    "\"limitation\":{\"max_message_length\":%" PRIu64
	    ",\"max_subscriptions\":%" PRIu64 ",\"max_limit\":%" PRIu64
	    ",\"max_subid_length\":%d,\"max_event_tags\":%" PRIu64
	    ",\"max_content_length\":%" PRIu64
	    ",\"min_pow_difficulty\":%" PRIu64
	    ",\"auth_required\":%s,\"payment_required\":false"
	    ",\"restricted_writes\":%s,\"created_at_upper_limit\":%"
	    PRIu64 ",\"default_limit\":%" PRIu64,
	    c->max_message, c->max_subscriptions,
	    c->max_limit, NR_SUBID_CHARS, c->max_event_tags,
	    c->max_content, c->min_pow,
	    boolean[c->read != NR_ACCESS_OPEN && c->write != NR_ACCESS_OPEN],
	    boolean[c->write != NR_ACCESS_OPEN || c->min_pow > 0 ||
	    (c->policy != NULL && (c->policy_asks &
	    NR_ASK_BIT(NR_ASK_NEW)))],
	    c->max_future,
	    c->default_limit < c->max_limit ? c->default_limit :
	    c->max_limit);
	if (rc == NR_OK && c->max_age > 0)
		rc = nr_buf_addf(b, ",\"created_at_lower_limit\":%" PRIu64,
		    c->max_age);
	return rc != NR_OK ? rc : nr_buf_adds(b, "}}");
}
