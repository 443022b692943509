#!/bin/sh
# A small map, as where there is little address space, grows while an empty
# store is filled and while an index is rebuilt.
. "${0%/*}/lib.sh"

nr-bench gen -q -n 2000 --seed 1 >events
small() {
	ASAN_OPTIONS=verify_asan_link_order=0 \
	    NR_FAULT_MAPSIZE=131072 LD_PRELOAD=$bin/tests/fault.so "$@"
}
rc 0 'filling an empty store'	small nr-import -q -S s events
nr-import -q -S r events
rc 0 'a rebuild'		small nr-store -q -S r reindex

done_testing
