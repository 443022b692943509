#!/bin/sh
# A batch that is larger than the space kept free leaves its lines behind
# as a tail when the index cannot be written.  Who opens the store then
# cannot index them either, but can read what was stored before.
[ -z "${NR_INSIDE-}" ] && unshare -m true 2>/dev/null &&
    exec unshare -m env NR_INSIDE=1 sh "$0"
. "${0%/*}/lib.sh"
[ -n "${NR_INSIDE-}" ] || skip_all 'no mount namespace'

nr-bench gen -q -n 12000 --seed 1 >events
head -200 events >some
mount --make-rprivate / || skip_all 'no mounting'
# How large a batch is depends on the time it takes: some of these do it.
for size in 8 9 10; do
	mkdir s && mount -t tmpfs -o size=${size}m none s ||
	    skip_all 'no mounting'
	nr-import -q -S s some >/dev/null
	rc 3 'an import fills the disk'		nr-import -q -S s events
	rc 0 'what was stored before is read'	nr-export -S s --count
	umount s && rmdir s
done

done_testing
