#!/bin/sh
# Full disks, on small file systems that are mounted in a namespace of
# their own: for the whole store, for its log, for its index.
. "${0%/*}/lib.sh"
unshare -m true 2>err || skip_all "no mount namespace: $(cat err)"
unshare -m python3 "$top/tests/tools/recovery.py" disk
