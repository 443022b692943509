#!/bin/sh
# NIP-77: the relay's side of reconciliation.
. "${0%/*}/lib.sh"
node "$top/tests/node/negentropy.mjs"
