#!/bin/sh
# nr-serve and nr-import killed under load, NR_KILL_ROUNDS times: what was
# acknowledged is there, once, and nothing else.
. "${0%/*}/lib.sh"
python3 "$top/tests/tools/kill.py"
