#!/bin/sh
# A batch that is larger than the space kept free leaves its lines behind
# as a tail when the index cannot be written.  Who opens the store then
# must index them, cannot, and gives up: nothing can be read.
[ -n "${NR_INSIDE-}" ] || exec unshare -m env NR_INSIDE=1 sh "$0"
NR_BUILD=${NR_BUILD:-$(cd "${0%/*}/../.." && pwd)/build}
. "${0%/*}/../lib.sh"

mkdir s
mount --make-rprivate / && mount -t tmpfs -o size=8m none s ||
    skip_all 'no mounting'
nr-bench gen -q -n 9000 --seed 1 >events
head -200 events >some
nr-import -q -S s some >/dev/null
rc 3 'an import fills the disk'		nr-import -q -S s events
rc 0 'what was stored before is read'	nr-export -S s --count
cd / && umount "$scratch/s"

done_testing
