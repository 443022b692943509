#!/bin/sh
# nr-store compact, as it is called.
. "${0%/*}/lib.sh"

nr-bench gen -q -n 3000 --model churn --authors 30 --seed 4 >events
split -n l/3 events part.
for f in part.*; do nr-import -q -S s --segment 300000 "$f" >/dev/null; done
nr-export -S s >before
files() { (cd s/log && cksum 0*.jsonl); }
files >want
rc 0 'compact --dry-run'		nr-store -S s compact --dry-run
like 'says what there is to gain' '^.?"segment":1,"before":[0-9]+,"after":[0-9]+,"lines":[0-9]+' out
cp out dry
files >got
same 'and changes nothing'		want got
rc 2 'a share is a number'		nr-store -S s compact --min-dead x
rc 2 'up to 100'			nr-store -S s compact --min-dead 101
rc 2 'a segment is a number'		nr-store -S s compact one
rc 2 'no filter'			nr-store -S s compact -k 1
rc 0 'nothing to do'			nr-store -S s compact --min-dead 100
is 'is no output' ''			"$(cat out)"
rc 0 'one segment'			nr-store -S s compact 2
is 'and only that' 2			"$(jq -r .segment out)"
is 'is what was said' "$(grep '"segment":2,' dry)" "$(cat out)"
is 'it has a new name' 1 "$(ls s/log/00000002.*jsonl | grep -c '2\.1\.jsonl$')"
nr-export -S s >after
same 'events stay'			before after

# Interrupted.
nr-store -S s compact --rate 20000 >out 2>err & p=$!
ok 'a slow one has begun' wait_for 20 sh -c 'ls s/log/*.tmp'
kill -TERM $p
wait $p 2>/dev/null
is 'it ends by the signal' 143 $?
like 'and says so' 'interrupted$' err
is 'nothing is left of it' '' "$(ls s/log | grep tmp)"
rc 0 'check'				nr-store -q -S s check

# Only what has been deleted, where it is.
cp -r s u
nr-store -q -S u delete -k 1
nr-export -S u >kept
jq -r 'select(.kind==1) | "{\"id\":\"" + .id' before >doomed
ok 'deleted events are on the disk' grep -qFf doomed u/log/0*.jsonl
segments=$(ls u/log/0*.jsonl)
size=$(cat u/log/0*.jsonl | wc -c)
rc 0 'scrub'				nr-store -S u compact --min-dead 100 --scrub
ok 'each of them' test "$(jq -s 'map(.scrubbed)|add' out)" -ge "$(wc -l <doomed)"
ok 'then they are not' sh -c '! grep -qFf doomed u/log/0*.jsonl'
is 'in the same files' "$segments $size" "$(ls u/log/0*.jsonl) $(cat u/log/0*.jsonl | wc -c)"
nr-export -S u >after
same 'the others are'			kept after
rc 0 'check'				nr-store -q -S u check
rc 0 'once more'			nr-store -S u compact --min-dead 100 --scrub
is 'there is nothing to do' ''		"$(cat out)"
nr-store -q -S u reindex
nr-import -q -S u events >/dev/null
nr-export -S u >after
same 'none comes back'			kept after
rc 0 'compacting drops the spaces'	nr-store -q -S u compact --min-dead 0
ok 'all of them' sh -c '! grep -q "^ " u/log/0*.jsonl'

# The last segment, too; what deaths.jsonl says of older stores.
rc 0 'all'				nr-store -S s compact --min-dead 0
is 'no dead bytes are left' 0 "$(nr-store -S s stat --json | jq .log.dead_bytes)"
nr-export -S s >after
same 'events stay'			before after
victim=$(jq -r 'select(.kind==1).id' before | head -1)
printf '{"segment":1,"offset":0,"id":"%s"}\n' "$victim" >>s/log/deaths.jsonl
rc 0 'an older death is heeded'		nr-store -S s stat
rc 0 'by a rebuild as well'		nr-store -S s reindex
is 'it is gone' 0			"$(nr-export -S s -i "$victim" --count)"
cp -r s/log bare && rm s/log/deaths.jsonl && rm -r s/log && mkdir -p t && mv bare t/log
nr-export -S t >after
is 'the log alone is the store' "$(($(wc -l <before) - 1))" "$(wc -l <after)"
rc 0 'new events go to a new segment'	nr-import -q -S t --segment 300000 events
rc 0 'check'				nr-store -q -S t check

# The backup of nr(7): it knows what has been deleted.
nr-bench gen -q -n 400 --seed 9 >some
nr-import -q -S stock some >/dev/null
nr-store -q -S stock delete -k 7 >gone
sed -n '/^mkdir backup/,/^\.Ed/p' "$top/man/nr.7" | sed '/^\./d; s/store\//stock\//g' >steps
rc 0 'a backup by the page'		sh -e steps
nr-export -S stock >want
nr-export -S backup >got
same 'has the same events'		want got
is 'and refuses the same' "$(nr-import -q -S stock some | jq -c 'del(.seconds)')" \
    "$(nr-import -q -S backup some | jq -c 'del(.seconds)')"
ok 'which are some'			test -s gone

done_testing
