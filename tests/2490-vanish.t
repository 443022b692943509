#!/bin/sh
# Requests to vanish (NIP-62): over sockets, then in an archive.
. "${0%/*}/lib.sh"
node "$top/tests/node/vanish.mjs"
