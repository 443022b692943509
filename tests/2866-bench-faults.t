#!/bin/sh
# nr-bench check, load and probe: what a relay can get wrong, switch by
# switch, is found by those whom it concerns, and named.
. "${0%/*}/lib.sh"

nr-bench gen -q -n 2000 --seed 4 |
    jq -c 'select(.kind == 1 and all(.tags[]; .[0] != "expiration"))' >events
node "$top/tests/node/switches.mjs"
