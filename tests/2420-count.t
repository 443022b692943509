#!/bin/sh
# COUNT, HyperLogLog, and the completeness of what was sent.
. "${0%/*}/lib.sh"
node "$top/tests/node/count.mjs"
