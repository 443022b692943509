#!/bin/sh
# NIP-01 between nr-serve and clients, message by message.
. "${0%/*}/lib.sh"
node "$top/tests/node/protocol.mjs"
