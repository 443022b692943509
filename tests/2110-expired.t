#!/bin/sh
# Expired versions of replaceable events.
. "${0%/*}/lib.sh"
node "$top/tests/node/expired.mjs"
