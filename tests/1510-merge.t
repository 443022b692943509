#!/bin/sh
# Merging new events into the index, by several processes: one goes on
# where another has stopped half-way, and that one finds out.
. "${0%/*}/lib.sh"

waiting() { nr-store -S s stat --json | jq .index.waiting; }
merged() { test "$(waiting)" -eq 0; }

nr-bench gen -q -n 14000 --seed 4 --since 1700000000 --until 1700040000 >events
head -n 5000 events | nr-import -q -nn -S s >sum
is 'an import leaves nothing waiting' 0 "$(waiting)"

tail -n +5001 events | head -n 4500 >some
grow s 100 ready <some &
grower=$!
ok 'a store has grown' wait_for 20 test -e ready
ok 'its events wait' test "$(waiting)" -gt 3000
kill -STOP $grower
tail -n +9501 events >rest
{ head -n 1000 rest; sleep 3; tail -n +1001 rest; } |
    nr-import -q -nn -S s >sum
is 'another process merges them' 0 "$(waiting)"
rc 0 'in order'				nr-store -S s check
nr-export -S s >want
kill -CONT $grower
kill -USR1 $grower
sleep 0.3
rc 0 'the first one spoils nothing'	nr-store -S s check
ok 'and lives on' kill -0 $grower

kill -KILL $grower
wait $grower 2>/dev/null
rc 0 'nor does its end'			nr-store -S s check --full
nr-export -S s >got
same 'all is there'			want got

# Deleted events leave the index with a merge.
rc 0 'some are deleted'			nr-store -q -S s delete -k 1 -u 1700002000
rc 0 'in order'				nr-store -S s check --full
is 'nothing is left of them' 0 "$(nr-store -S s stat --json |
    jq .index.tables.dead.entries)"
nr-export -S s -k 1 -u 1700002000 >out
is 'nor in the answers' 0 "$(wc -l <out)"

done_testing
