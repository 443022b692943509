#!/bin/sh
# A small map, as where there is little address space, grows while an empty
# store is filled and while an index is rebuilt.
. "${0%/*}/lib.sh"

preload=$bin/tests/fault.so
# A sanitizer's library must come first.
case $bin in
*-address*) preload="$(${CC:-cc} -print-file-name=libasan.so) $preload" ;;
*-thread*) preload="$(${CC:-cc} -print-file-name=libtsan.so) $preload" ;;
esac
small() { NR_FAULT_MAPSIZE=131072 LD_PRELOAD=$preload "$@"; }

nr-bench gen -q -n 2000 --seed 1 >events
rc 0 'filling an empty store'	small nr-import -q -S s events
nr-import -q -S r events
rc 0 'a rebuild'		small nr-store -q -S r reindex

done_testing
