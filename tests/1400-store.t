#!/bin/sh
# nr-store, and what a store endures.
. "${0%/*}/lib.sh"

nr-bench gen -q -n 2000 --model churn --authors 30 --seed 4 >events
split -n l/9 events part.
for f in part.*; do nr-import -q -S s --segment 100000 "$f" >/dev/null; done
nr-export -S s >before

rc 0 'stat'					nr-store -S s stat
like 'counts events' '^events +[0-9]+' out
rc 0 'stat --json'				nr-store -S s stat --json
is 'counts the same as export' "$(wc -l <before)" "$(jq .events out)"
is 'kinds add up' "$(jq .events out)" "$(jq '[.kinds[]]|add' out)"
is 'authors are counted' "$(jq -r .pubkey before | sort -u | wc -l)" "$(jq .authors out)"
is 'oldest' "$(jq .created_at before | sort -n | head -1)" "$(jq .oldest out)"
is 'newest' "$(jq .created_at before | sort -n | tail -1)" "$(jq .newest out)"
is 'log bytes' "$(cat s/log/0*.jsonl | wc -c)" "$(jq .log.bytes out)"
is 'log lines' "$(cat s/log/0*.jsonl | wc -l)" "$(jq .log.lines out)"
dead=$(jq .log.dead_bytes out)
is 'dead bytes' "$(($(cat s/log/0*.jsonl | wc -c) - $(wc -c <before)))" "$dead"
rc 0 'check'					nr-store -S s check --full
rc 0 'reindex'					nr-store -S s reindex
nr-export -S s >after
same 'changes nothing'				before after
rc 2 'no verb'					nr-store -S s
rc 2 'unknown verb'				nr-store -S s frobnicate
rc 2 'no filter for stat'			nr-store -S s stat '{}'
rc 3 'no store'					nr-store -S nowhere stat
ok 'and none is made' test ! -e nowhere

rc 2 'delete without a filter'			nr-store -S s delete
rc 0 'delete --dry-run'				nr-store -S s delete --dry-run -k 1
jq -r 'select(.kind==1).id' before | sort >ones
jq -r .id out | sort >got
same 'names what it would delete'		ones got
nr-export -S s >after
same 'and deletes nothing'			before after
rc 0 'delete'					nr-store -S s delete '{"kinds":[1]}'
nr-export -S s >after
jq -c 'select(.kind!=1)' before | jq -r .id >want
jq -r .id after >got
same 'leaves the others'			want got
rc 0 'check after delete'			nr-store -S s check
nr-store -q -S s reindex
nr-export -S s | jq -r .id >got
same 'a rebuild does not bring them back'	want got
nr-import -q -S s events >out
nr-export -S s | jq -r .id >got
same 'nor does an import'			want got

# The log may not be shorter than what was acknowledged.
cp -r s s2
last=$(ls s2/log/0*.jsonl | tail -1)
# A copy is rebuilt: its files are new, nobody can know what they hold.
rc 0 'a copied store opens'			nr-export -S s2 --ids
same 'and is complete'				want out
truncate -s -1000 "$last"
rc 4 'a log cut short is damage'		nr-export -S s2 --count
mv "$last" hidden
rc 4 'a missing segment too'			nr-export -S s2 --count
mv hidden "$last"

# A damaged line is found and named; a rebuild leaves it out.
cp -r s s3
first=$(ls s3/log/*.jsonl | head -1)
printf 'X' | dd of="$first" bs=1 seek=500 conv=notrunc 2>/dev/null
nr-export -S s3 --count >/dev/null
rc 4 'a damaged line'				nr-store -q -S s3 check
like 'is named' 'segment 1, line 1: ' out

# What is appended by hand, or left by a killed writer, is taken in.
cp -r s s4
nr-export -S s4 --count >/dev/null
nr-bench gen -q -n 3 --seed 77 >tail3
last=$(ls s4/log/0*.jsonl | tail -1)
cat tail3 >>"$last"
printf '{"id":"torn' >>"$last"
rc 0 'a log that is longer'			nr-export -S s4 --ids
is 'has its lines indexed' 3 "$(jq -r .id tail3 | grep -cFf - out)"
is 'and what is torn set aside' '{"id":"torn' "$(cat s4/log/*.torn)"
rc 0 'check'					nr-store -S s4 check

# An unknown version is not touched.
cp -r s s5
python3 - <<'P'
import hashlib
b = bytearray(open('s5/state', 'rb').read())
b[:10] = b'nr-store 9'
b[479:511] = hashlib.sha256(bytes(b[:479])).hexdigest()[:32].encode()
open('s5/state', 'wb').write(b)
P
rc 4 'an unknown version'			nr-export -S s5
like 'is named' 'unknown version' err

# Another boot: what was not marked clean is not trusted.
cp -r s s6
nr-export -S s6 --count >/dev/null
epoch() { head -2 "$1/state" | tail -1; }
one=$(epoch s6)
nr-export -S s6 --count >/dev/null
is 'a clean store keeps its index' "$one" "$(epoch s6)"
python3 - <<'P'
import hashlib
b = bytearray(open('s6/state', 'rb').read())
b[:479] = b[:479].replace(b'clean 1', b'clean 0')
i = b.index(b'boot ') + 5
b[i:i + 36] = b'00000000-0000-0000-0000-000000000000'
b[479:511] = hashlib.sha256(bytes(b[:479])).hexdigest()[:32].encode()
open('s6/state', 'wb').write(b)
P
nr-export -S s6 --ids >got
same 'an unclean one of another boot is complete' want got
ok 'and was rebuilt' test "$one" != "$(epoch s6)"
two=$(epoch s6)
head -c 100 s6/state >st && mv st s6/state
nr-export -S s6 --ids >got
same 'a damaged state file' want got
ok 'means rebuild' test "$two" != "$(epoch s6)"

# reindex beside somebody else is busy.
nr-export -S s --log --follow >/dev/null &
p=$!
sleep 0.3
rc 3 'reindex beside a reader'			nr-store -S s reindex
like 'is busy' 'busy' err
kill $p; wait $p 2>/dev/null

done_testing
