#!/bin/sh
# Where the disk is full, compacting gives space back, or says that it
# cannot; nothing is lost.
[ -z "${NR_INSIDE-}" ] && unshare -m true 2>/dev/null &&
    exec unshare -m env NR_INSIDE=1 sh "$0"
. "${0%/*}/lib.sh"
[ -n "${NR_INSIDE-}" ] || skip_all 'no mount namespace'

mkdir s
mount --make-rprivate / && mount -t tmpfs -o size=24m none s ||
    skip_all 'no mounting'
nr-bench gen -q -n 5000 --model churn --authors 20 --seed 3 >events
split -l 500 events part.
for f in part.*; do
	nr-import -q -S s --segment 400000 "$f" >/dev/null || break
done
nr-export -S s >before
left() { df --output=avail -k s | tail -1 | tr -d ' '; }

# Less than a segment is left.
dd if=/dev/zero of=s/filler bs=1k count=$(($(left) - 200)) 2>/dev/null
rc 3 'no room for a segment'		nr-store -q -S s compact
like 'is said' 'No space left' err
nr-export -S s >after
same 'nothing is lost'			before after
rm s/filler
# No room for anything, after a while.
for n in 3000 1400; do
	dd if=/dev/zero of=s/filler bs=1k count=$(($(left) - n)) 2>/dev/null
	was=$(left)
	nr-store -q -S s compact --min-dead 1 >out 2>err
	got=$?
	ok "with $n KB it is done or refused" test $got = 0 -o $got = 3
	ok 'and takes no space in the end' test "$(left)" -ge $((was - 1024))
	rm s/filler
	nr-export -S s >after
	same 'nothing is lost'		before after
done
rc 0 'with room it is done'		nr-store -q -S s compact --min-dead 1
rc 0 'check'				nr-store -q -S s check
nr-export -S s >after
same 'nothing is lost'			before after
cd / && umount "$scratch/s"

done_testing
