#!/bin/sh
# Clients that neither read nor send any more.
. "${0%/*}/lib.sh"
node "$top/tests/node/halfclosed.mjs"
