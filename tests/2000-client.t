#!/bin/sh
# nr-serve against nostr-tools, a client that nobody here wrote.
. "${0%/*}/lib.sh"
node "$top/tests/node/client.mjs"
