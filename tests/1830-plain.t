#!/bin/sh
# A segment that begins with zstd's magic bytes is text like any other.
. "${0%/*}/lib.sh"

nr-bench gen -q -n 20 --seed 1 >events
mkdir -p s/log
{ printf '(\265/\375 not zstd\n'; cat events; } >s/log/00000001.jsonl
rc 0 'the store opens'		nr-export -S s --count
rc 4 'check names the bad line and goes on'	nr-store -S s check
like 'by its number'		'segment 1, line 1: ' out

done_testing
