#!/bin/sh
# A plugin as strfry's users write them: the content decides.
while IFS= read -r line; do
	printf '%s\n' "$line" | jq -c '
	    ["event", "receivedAt", "sourceInfo", "sourceType", "type"] as $known |
	    .event.content as $text | { id: .event.id } +
	    if .type != "new" or (del(.authed) | keys) != $known then
		{ action: "reject", msg: "error: this is not strfry" }
	    elif $text == "who" then
		{ action: "reject", msg: "\(.sourceType) \(.sourceInfo) \(.authed)" }
	    elif $text | startswith("spam") then
		{ action: "reject", msg: "rate-limited: no \"spam\"" }
	    elif $text | startswith("shadow") then { action: "shadowReject" }
	    elif $text | startswith("silly") then
		{ action: "reject", msg: "" }
	    else { action: "accept", msg: null } end'
done
