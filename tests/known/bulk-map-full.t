#!/bin/sh
# LMDB's map is full while an empty store is filled, or while an index is
# rebuilt: it does not grow there, as it does for other writers.  The map
# is small where there is little address space (ulimit -v).
NR_BUILD=${NR_BUILD:-$(cd "${0%/*}/../.." && pwd)/build}
. "${0%/*}/../lib.sh"

nr-bench gen -q -n 2000 --seed 1 >events
small() { NR_FAULT_MAPSIZE=131072 LD_PRELOAD=$bin/tests/fault.so "$@"; }
rc 0 'filling an empty store'	small nr-import -q -S s events
nr-import -q -S r events
rc 0 'a rebuild'		small nr-store -q -S r reindex

done_testing
