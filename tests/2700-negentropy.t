#!/bin/sh
# nr-negentropy with relays.
. "${0%/*}/lib.sh"
node "$top/tests/node/sync.mjs"
