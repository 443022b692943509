#!/bin/sh
# After nr-negentropy both sides hold the union, less what rules delete.
. "${0%/*}/lib.sh"
unset NOSTR_SECRET_KEY
python3 "$top/tests/tools/union.py"
