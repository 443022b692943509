#!/bin/sh
# Figures and health, on an address of their own.
. "${0%/*}/lib.sh"

serve() {
	rm -f ready log
	nr-serve -S store --listen 127.0.0.1:0 --ready-fd 3 "$@" 3>ready 2>log &
	relay=$!
	wait_for 10 test -s ready
	port=$(sed -n 's/.*serving ws:.*:\([0-9]*\)$/\1/p' log)
	watch=$(sed -n 's/.*metrics at http:.*:\([0-9]*\)$/\1/p' log)
}
get() { curl -s -m 10 "http://127.0.0.1:$1"; }
code() { curl -s -m 10 -o body -w '%{http_code}' "http://127.0.0.1:$@"; }
value() { awk -v n="$1" '$1 == n { print $2 }' figures; }
look() { get "$watch/metrics" >figures; }

serve
is 'nothing of it by default' ''	"$watch"
is 'least of all with the clients'	404 "$(code "$port/metrics")"
kill $relay
wait $relay
serve --set metrics=127.0.0.1:0
ok 'where it is, the log says'		test -n "$watch"
look
is 'every line is a comment or a sample' '' "$(grep -vE \
    '^(# (HELP|TYPE) [a-z_]+ .+|[a-z_]+(\{[a-z]+="[^"]*"(,[a-z]+="[^"]*")*\})? [0-9.]+)$' figures)"
awk '$1 == "#" && $2 == "TYPE" { print $3 }' figures >typed
is 'no figure has two types' ''	"$(sort typed | uniq -d)"
grep -v '^#' figures | sed -n 's/^\([a-z_]*\).*/\1/p' | sed 's/_\(bucket\|sum\|count\)$//' |
    sort -u >sampled
sort typed >got
same 'each has a type'			sampled got
sed -n '/^\.Ss Metrics/,/^\.S[hs] /s/^\.It Cm \([a-z_]*\).*/\1/p' \
    "$top/man/nr-serve.1" | sort >got
sort typed >want
same 'and is explained in the page'	want got
is 'nothing has been stored'		0 "$(value nr_store_events)"
is 'the version'			1 "$(grep -c 'nr_info{version="0' figures)"

nr-bench gen -q -n 500 --seed 3 --since 1600000000 >events
# An older version that comes after a newer one is refused.
nr-bench load publish -q -f events "ws://127.0.0.1:$port" >out 2>err
accepted=$(jq .accepted out)
nr-bench load publish -q -f events "ws://127.0.0.1:$port" >again 2>err
look
is 'accepted' "$accepted" "$(value 'nr_events_total{accepted="true",reason="ok"}')"
ok 'known already' test "$(value 'nr_events_total{accepted="true",reason="duplicate"}')" -gt 400
is 'all of them' 1000 "$(awk '/^nr_events_total/ { n += $2 } END { print n }' figures)"
is 'messages' 1000 "$(value 'nr_messages_total{verb="EVENT"}')"
is 'each with its latency' 1000 "$(value nr_ok_seconds_count)"
is 'in a bucket' 1000 "$(value 'nr_ok_seconds_bucket{le="+Inf"}')"
is 'that add up' '' "$(awk -F'[ ]' '/^nr_ok_seconds_bucket/ {
    if ($2 < last) print; last = $2 }' figures)"
ok 'in batches' test "$(value nr_batch_events_sum)" -ge "$accepted"
ok 'of several' test "$(value nr_batch_events_count)" -lt "$accepted"
kinds() {
	awk -F'[" ]' -v r="$1" '/^nr_kind_events_total/ && $4 == r { print $2, $NF }' figures | sort
}
jq -r 'select(.kind == 1 or .kind == 7 or .kind == 9735) | .kind' events | sort | uniq -c |
    awk '{ print $2, $1 }' >want
kinds ok | grep -E '^(1|7|9735) ' >got
same 'by kind'				want got
is 'that were accepted' "$accepted" "$(kinds ok | awk '{ n += $2 } END { print n }')"
ok 'or known' test "$(kinds duplicate | awk '{ n += $2 } END { print n }')" -gt 400
ok 'or refused' test "$(kinds refused | wc -l)" -gt 0
is 'and the rest by sort' '' "$(awk -F'[" ]' '/^nr_kind_events_total/ { print $2 }' figures |
    grep -vE '^([0-9]+|regular|replaceable|ephemeral|addressable)$')"
ok 'memory of its own' test "$(value nr_anonymous_memory_bytes)" -lt "$(value process_resident_memory_bytes)"
ok 'threads' test "$(value nr_threads)" -gt 3
# The one who asks has a connection.
open=$(ls "/proc/$relay/fd" | wc -l)
ok 'descriptors' test "$(value process_open_fds)" -ge "$open" -a "$(value process_open_fds)" -le $((open + 2))
is 'no query waits' '0 0' "$(value nr_queries_waiting) $(value nr_queries_paused)"
is 'and no event' '0 0' "$(value nr_input_events) $(value nr_input_bytes)"
is 'what is stored' "$(nr-export -S store --count)" "$(value nr_store_events)"
is 'connections in all' 32 "$(value nr_connections_total)"
wait_for 5 sh -c "[ \$(curl -s http://127.0.0.1:$watch/metrics | awk '\$1 == \"nr_connections\" { print \$2 }') = 0 ]"
look
is 'and none now' 0 "$(value nr_connections)"
rc 0 'queries' nr-bench load query -q -n 200 -f events "ws://127.0.0.1:$port"
look
ok 'have theirs' test "$(value nr_query_seconds_count)" -ge 200
is 'and their work' "$(value nr_query_seconds_count)" "$(value nr_query_work_seconds_count)"
ok 'memory' test "$(value process_resident_memory_bytes)" -gt 1000000

is 'health'		200 "$(code "$watch/health")"
is 'is told'		true "$(jq .ready body)"
is 'and not to the pages of others' '' "$(curl -si "http://127.0.0.1:$watch/metrics" | grep -i access-control)"
is 'another path'	404 "$(code "$watch/")"
is 'another method'	405 "$(code "$watch/metrics" -X POST)"
is 'HEAD'		200 "$(code "$watch/metrics" -I)"
ok 'no WebSocket' sh -c "! nr-bench load query -q -n 1 -f events ws://127.0.0.1:$watch/metrics"
kill $relay
wait $relay
is 'it ends well'	0 $?

# When clients should go elsewhere.
serve --set metrics=127.0.0.1:0 --set max_connections=1
"$top/contrib/subscribe" "ws://127.0.0.1:$port" '{"limit":0}' >/dev/null 2>sub.err &
sub=$!
wait_for 5 grep -q live sub.err
is 'a relay that is full: not ready'	503 "$(code "$watch/health")"
is 'and why' 'there are as many connections as there may be' "$(jq -r .why body)"
kill $sub
wait $sub 2>/dev/null
wait_for 5 sh -c "curl -s http://127.0.0.1:$watch/health | grep -q true"
is 'with room again it is'		200 "$(code "$watch/health")"
kill $relay
wait $relay
done_testing
