#!/bin/sh
# Where storing is refused, because space is getting short, deleting still
# has room.
[ -z "${NR_INSIDE-}" ] && unshare -m true 2>/dev/null &&
    exec unshare -m env NR_INSIDE=1 sh "$0"
. "${0%/*}/lib.sh"
[ -n "${NR_INSIDE-}" ] || skip_all 'no mount namespace'

mkdir s
mount --make-rprivate / && mount -t tmpfs -o size=20m none s ||
    skip_all 'no mounting'
nr-bench gen -q -n 20000 --seed 1 >events
split -l 100 events part.
for f in part.*; do
	nr-import -q -S s "$f" >/dev/null 2>full || break
done
like 'the floor is reached'		'too little space is left' full
rc 0 'there is room to delete'		nr-store -S s delete -k 7
is 'and it is done' 0			"$(nr-export -S s -k 7 --count)"
# Less room than was kept, since what came last took some of it: about what
# the deaths themselves need, on record and in the index.
left=$(df --output=avail -k s | tail -1)
dd if=/dev/zero of=s/filler bs=1k count=$((left - 700)) 2>/dev/null
rc 0 'there is room with less'		nr-store -S s delete -k 1
is 'and it is done' 0			"$(nr-export -S s -k 1 --count)"
cd / && umount "$scratch/s"

done_testing
