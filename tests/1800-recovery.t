#!/bin/sh
# A lock's holder killed or stopped, an index removed under a relay, copies
# of a store in use, a full map, a failing sync, crashed machines.
. "${0%/*}/lib.sh"
python3 "$top/tests/tools/recovery.py"
