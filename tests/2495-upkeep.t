#!/bin/sh
# A relay compacts and scrubs by itself, where it is told to.
. "${0%/*}/lib.sh"

nr-bench gen -q -n 3000 --model churn --authors 30 --seed 4 >events
split -n l/3 events part.
for f in part.*; do nr-import -q -S s --segment 300000 "$f" >/dev/null; done
nr-export -S s >before
jq -r 'select(.kind==1) | "{\"id\":\"" + .id' before | head -20 >doomed
relay() {
	rm -f ready
	mkfifo ready
	nr-serve -S s --listen 127.0.0.1:0 --segment 300000 --ready-fd 3 \
	    "$@" 3>ready 2>relay.err &
	server=$!
	read -r _ <ready
}
dead() { nr-store -S s stat --json | jq .log.dead_bytes; }

# Told not to.
relay --set compact_dead=0 --set scrub_seconds=0
was=$(dead)
nr-store -q -S s delete $(sed 's/.*"/-i /' doomed) >out
is 'events are deleted' 20	"$(grep -c true out)"
ok 'on the disk they are dead lines' test "$(dead)" -gt "$was"
nr-import -q -S s --segment 300000 events >/dev/null
kill $server; wait $server
is 'without being told it compacts nothing' 0 "$(grep -c 'compacted\|scrubbed' relay.err)"
ok 'they are still there'	grep -qFf doomed s/log/0*.jsonl

# Told to scrub.
nr-export -S s >kept
relay --set compact_dead=0 --set scrub_seconds=2
gone() { ! grep -qFf doomed s/log/0*.jsonl; }
ok 'what was deleted is off the disk soon' wait_for 40 gone
kill $server; wait $server
is 'the relay ends well' 0	$?
like 'it says so' 'scrubbed segment [0-9]+: [0-9]+ lines' relay.err
rc 0 'check'			nr-store -q -S s check

# Told to compact.
relay --set compact_dead=20
ok 'segments are rewritten' wait_for 40 sh -c 'ls s/log/*.1.jsonl'
ok 'all that are worth it' wait_for 40 sh -c \
    'test -z "$(nr-store -q -S s compact --dry-run --min-dead 20 1 2)"'
like 'it says so' 'compacted segment [0-9]+: [0-9]+ bytes to [0-9]+' relay.err
rc 0 'nobody else is in the way' nr-import -q -S s --segment 300000 events
nr-export -S s >after
same 'the same events are there' kept after
kill $server; wait $server
is 'the relay ends well' 0	$?
rc 0 'check'			nr-store -q -S s check

done_testing
