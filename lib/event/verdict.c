/*
 * The texts of the verdicts.
 */
#include "event/verdict.h"

#include <stddef.h>

static const struct {
	const char *name;
	const char *text;
} table[NR_NVERDICTS] = {
	[NR_VALID] = { "valid", "valid" },
	[NR_BAD_SYNTAX] = { "not-json", "not JSON" },
	[NR_BAD_TRUNCATED] = { "truncated", "JSON ends too early" },
	[NR_BAD_UTF8] = { "not-utf8", "not UTF-8" },
	[NR_BAD_CONTROL] = { "raw-control",
	    "control character not escaped" },
	[NR_BAD_ESCAPE] = { "bad-escape", "unknown escape" },
	[NR_BAD_SURROGATE] = { "lone-surrogate", "lone surrogate" },
	[NR_BAD_NUL] = { "nul", "NUL character" },
	[NR_BAD_DEPTH] = { "too-deep", "nested too deep" },
	[NR_BAD_TRAILING] = { "trailing-bytes", "bytes behind the event" },
	[NR_BAD_NOT_OBJECT] = { "not-an-object", "not a JSON object" },
	[NR_BAD_DUPLICATE_KEY] = { "duplicate-key", "a field is given twice" },
	[NR_BAD_UNKNOWN_KEY] = { "unknown-field", "unknown field" },
	[NR_BAD_NO_ID] = { "no-id", "id is missing" },
	[NR_BAD_NO_PUBKEY] = { "no-pubkey", "pubkey is missing" },
	[NR_BAD_NO_CREATED_AT] = { "no-created-at", "created_at is missing" },
	[NR_BAD_NO_KIND] = { "no-kind", "kind is missing" },
	[NR_BAD_NO_TAGS] = { "no-tags", "tags is missing" },
	[NR_BAD_NO_CONTENT] = { "no-content", "content is missing" },
	[NR_BAD_NO_SIG] = { "no-sig", "sig is missing" },
	[NR_BAD_ID_FORM] = { "id-form", "id is not 64 hexadecimal digits" },
	[NR_BAD_PUBKEY_FORM] = { "pubkey-form",
	    "pubkey is not 64 hexadecimal digits" },
	[NR_BAD_SIG_FORM] = { "sig-form",
	    "sig is not 128 hexadecimal digits" },
	[NR_BAD_UPPERCASE] = { "upper-case",
	    "hexadecimal digits in upper case" },
	[NR_BAD_CREATED_AT] = { "created-at", "created_at is not an integer" },
	[NR_BAD_CREATED_AT_RANGE] = { "created-at-range",
	    "created_at is out of range" },
	[NR_BAD_KIND] = { "kind", "kind is not an integer" },
	[NR_BAD_KIND_RANGE] = { "kind-range", "kind is not 0 to 65535" },
	[NR_BAD_TAGS] = { "tags", "tags is not an array of arrays" },
	[NR_BAD_TAG_ITEM] = { "tag-item", "tag holds what is not a string" },
	[NR_BAD_CONTENT] = { "content", "content is not a string" },
	[NR_BAD_TOO_LONG] = { "too-long", "event too long" },
	[NR_BAD_TOO_MANY_TAGS] = { "too-many-tags", "too many tags" },
	[NR_BAD_TOO_MANY_ITEMS] = { "too-many-items",
	    "too many strings in a tag" },
	[NR_BAD_TAG_TOO_LONG] = { "tag-too-long", "string in a tag too long" },
	[NR_BAD_ID] = { "bad-id", "id does not match" },
	[NR_BAD_PUBKEY] = { "bad-pubkey", "pubkey is not on the curve" },
	[NR_BAD_SIG] = { "bad-signature", "bad signature" },
	[NR_BAD_OTHER_KEY] = { "other-pubkey",
	    "pubkey is not that of the key" },
	[NR_BAD_NO_WORK] = { "no-work",
	    "no proof of work was found in time" },
};

const char *
nr_verdict_str(enum nr_verdict v)
{
	return v < NR_NVERDICTS ? table[v].text : "unknown verdict";
}

const char *
nr_verdict_name(enum nr_verdict v)
{
	return v < NR_NVERDICTS ? table[v].name : "unknown";
}

int
nr_verdict_has_pos(enum nr_verdict v)
{
	return v != NR_VALID && v < NR_BAD_ID &&
	    v != NR_BAD_TOO_LONG &&
	    !(v >= NR_BAD_NO_ID && v <= NR_BAD_NO_SIG);
}
