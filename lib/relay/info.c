/*
 * The relay information document (NIP-11): the configuration, as clients
 * see it.
 */
#include "relay/internal.h"

#include <inttypes.h>
#include <string.h>

#include "util/err.h"
#include "util/version.h"
#include "wire/message.h"

static int
member(struct nr_buf *b, const char *key, const char *value)
{
	int rc;

	if (value == NULL)
		return NR_OK;
	if ((rc = nr_buf_addf(b, "\"%s\":", key)) != NR_OK ||
	    (rc = nr_buf_addjson(b, value, strlen(value))) != NR_OK)
		return rc;
	return nr_buf_adds(b, ",");
}

int
nr_info_write(struct nr_buf *b, const struct nr_relay_config *c)
{
	int rc;

	if ((rc = nr_buf_adds(b, "{")) != NR_OK ||
	    (rc = member(b, "name", c->name)) != NR_OK ||
	    (rc = member(b, "description", c->description)) != NR_OK ||
	    (rc = member(b, "icon", c->icon)) != NR_OK ||
	    (rc = member(b, "pubkey", c->pubkey)) != NR_OK ||
	    (rc = member(b, "contact", c->contact)) != NR_OK)
		return rc;
	return nr_buf_addf(b, "\"supported_nips\":[1,9,11,40,70],"
	    "\"version\":\"nr-serve %s\","
	    "\"limitation\":{\"max_message_length\":%" PRIu64
	    ",\"max_subscriptions\":%" PRIu64 ",\"max_limit\":%" PRIu64
	    ",\"max_subid_length\":%d,\"max_event_tags\":%" PRIu64
	    ",\"auth_required\":false,\"payment_required\":false"
	    ",\"restricted_writes\":false,\"created_at_upper_limit\":%"
	    PRIu64 ",\"default_limit\":%" PRIu64 "}}",
	    NR_VERSION, c->max_message, c->max_subscriptions,
	    c->max_limit, NR_SUBID_CHARS, c->max_event_tags, c->max_future,
	    c->default_limit < c->max_limit ? c->default_limit :
	    c->max_limit);
}
