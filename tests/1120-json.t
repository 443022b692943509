#!/bin/sh
# The event reader against JSON.parse, on events that are written in many
# ways and damaged.
. "${0%/*}/lib.sh"
nr-bench gen -q -n 300 --seed 31 >events
nr-bench gen -q -n 200 --seed 32 --model churn >>events
node "$top/tests/node/json.mjs" "${NR_SEED:-$(date +%s)}" "${NR_CASES:-30000}" events
