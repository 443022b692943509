#!/bin/sh
# The query engine against a naive one that shares no code with it:
# random filters, single and combined, with limits and windows, the order
# included; once in one go, once interrupted all the time, once backwards.
. "${0%/*}/lib.sh"

seed=${NR_SEED:-$(date +%s)}
note "seed $seed"
now=$(date +%s)
{
	nr-bench gen -q -n 58000 --authors 2000 --seed "$seed" \
	    --since 1700000000 --until 1700040000
	nr-bench gen -q -n 9000 --authors 60 --model churn --seed "$seed" \
	    --since 1700000000 --until 1700040000
} >events
nr-import -q -nn -S s events >sum
# Whoever wrote these is deleted, here and below.
banned=$(sed -n '100~15000p' events | jq -r .pubkey)
# shellcheck disable=SC2046,SC2086
rc 0 'some authors are deleted'	nr-store -q -S s delete $(printf -- '-a %s ' $banned)
nr-export -S s >live
ok 'at least 50,000 events' test "$(wc -l <live)" -ge 50000
oracle="python3 $top/tests/tools/oracle.py"
$oracle filters "$seed" 2000 live >filters
rc 0 'the naive answers'			sh -c "$oracle answers $now live <filters"
cp out want; cp err shares; cat shares
# shellcheck disable=SC2046
set -- $(tr -dc '0-9 \n' <shares)
ok 'most filters have results' test "$2" -gt 1000
ok 'many are cut by a limit' test "$3" -gt 400
ok 'many have ties at the cut' test "$4" -gt 200
rc 0 'our answers'				sh -c "query s $now <filters"
same 'are the same'				want out
rc 0 'our answers, interrupted'			sh -c "query s $now 61 <filters"
same 'are the same'				want out
grep -v limit filters >unlimited
sh -c "query s $now <unlimited" | jq -c reverse >want
rc 0 'our answers, backwards'			sh -c "query s $now 100000 reverse <unlimited"
jq -c . out >got
same 'are the reverse'				want got

# The same from a store that has grown: with events that wait to be merged
# into the index, others that have died since, and a merge that goes on
# meanwhile.
head -n 38000 events | nr-import -q -nn -S g >sum
tail -n +38001 events >rest
grow g 700 ready <rest &
grower=$!
ok 'a store has grown' wait_for 60 test -e ready
# shellcheck disable=SC2046,SC2086
rc 0 'the same are deleted'	nr-store -q -S g delete $(printf -- '-a %s ' $banned)
nr-store -S g stat --json >stat
ok 'events wait to be merged' test "$(jq .index.waiting stat)" -gt 50
ok 'so do dead ones' test "$(jq .index.tables.dead.entries stat)" -gt 20
rc 0 'it is in order'			nr-store -S g check
sh -c "query s $now <filters" >want
rc 0 'our answers'				sh -c "query g $now <filters"
same 'are the same'				want out
nr-store -S s stat --json | jq -c '[.kinds, .authors]' >want.stat
jq -c '[.kinds, .authors]' stat >out
same 'so are kinds and authors'			want.stat out
kill -USR1 $grower
rc 0 'our answers, interrupted, while it merges'	sh -c "query g $now 61 <filters"
same 'are the same'				want out
nr-store -S g stat --json >stat2
ok 'it has merged meanwhile' test "$(jq .index.waiting stat2)" -eq 0
kill -KILL $grower
rc 0 'the killed one left it in order'	nr-store -S g check
nr-export -S g >out
same 'with the same events'			live out

done_testing
