#!/bin/sh
# nr-import, nr-serve and nr-export with their n-th allocation, write, sync, rename,
# truncation, open or map failing, n = 1, 2, 3... until none fires; after
# each the store must be whole.  Here some of them, in make torture (NR_FULL)
# all.
. "${0%/*}/lib.sh"
python3 "$top/tests/tools/faults.py"
