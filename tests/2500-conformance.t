#!/bin/sh
# What relay-tester asks for, and where relays go wrong, point by point.
. "${0%/*}/lib.sh"
node "$top/tests/node/conformance.mjs"
