#!/bin/sh
# nr-bench check: no false alarm on nr-serve, and every fault is found.
. "${0%/*}/lib.sh"
node "$top/tests/node/check.mjs"
