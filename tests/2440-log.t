#!/bin/sh
# The log: levels, JSON lines, slow queries, and what it never has.
. "${0%/*}/lib.sh"
nr-bench gen -q -n 20000 --seed 7 --since 1600000000 | nr-import -q -nn -S store >sum
node "$top/tests/node/log.mjs" "$PWD/store"
