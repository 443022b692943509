#!/bin/sh
# nr-bench load and compare: faults that are found, and what each mode
# reports.  Whether latencies are true, 1330 asks.
. "${0%/*}/lib.sh"
export NODE_PATH="$top/tests/node/node_modules"

mock() {
	[ -z "${mock-}" ] || { kill $mock; wait $mock; } 2>/dev/null
	: >port
	node "$top/tests/node/answers.mjs" "$1" >port 2>mock.err &
	mock=$!
	wait_for 10 test -s port
	url=ws://127.0.0.1:$(cat port)
}
f() { jq -r "$1" out; }
within() { # NAME FIGURE LEAST MOST
	if awk "BEGIN { exit !($2 >= $3 && $2 <= $4) }"; then result 0 "$1"
	else result 1 "$1"; printf '%s is not from %s to %s\n' "$2" "$3" "$4" | why; fi
}

nr-bench gen -q -n 4000 --seed 14 --since 1700000000 --until 1700100000 |
    jq -c 'select(.kind == 1 and all(.tags[]; .[0] != "expiration"))' >events

mock plain
# These relays have no events that could be asked for by id.
any='{"kinds":[1]}'
rc 0 'at a rate'	nr-bench load query --rate 400 --seconds 2 --warm-up 0.5 --filter "$any" "$url"
within 'the rate'	"$(f .per_second)" 350 410
is 'what warms up is not counted'	800 "$(f .queries)"

# ---- faults
mock wrong
rc 1 'events that do not match'	nr-bench load query -n 200 -f events "$url"
like 'are named'	'wrong: an event that does not match its filter' err
mock lies
rc 3 'an OK for another event'	nr-bench load publish -n 32 --timeout 1 -f events "$url"
like 'is named'		'wrong: an OK for what was not sent' err
is 'and what was not answered' 'true' "$(f '.errors.timeout > 0')"
mock pow
rc 1 'refusals'		nr-bench load publish -n 50 -f events "$url"
is 'are counted by their class' '{"pow":50}' "$(f '.errors | tostring')"
rc 1 'those of the warm-up'	nr-bench load publish --rate 20 --warm-up 1 --seconds 1 -f events "$url"
is 'are not'		true "$(f '.refused == .published and .published <= 20')"
mock closed
rc 1 'CLOSED'		nr-bench load query -n 50 -f events "$url"
is 'likewise'		'{"rate-limited":50}' "$(f '.errors | tostring')"
rc 1 'a CLOSED to those who connect' timeout 15 nr-bench load connect -c 2 -n 4 "$url"
mock spaces
for load in 'publish -f events' "query --filter $any" "count --filter $any" \
    'fanout -c 2 -f events'; do
	rc 0 "answers with spaces: $load" nr-bench load $load -n 50 "$url"
done
is 'delivered, whatever the order'	100 "$(f .deliveries)"

# ---- the end of a run
mock plain
rc 0 'a part of a request'	nr-bench load query --rate 3 --seconds 0.5 --filter "$any" "$url"
is 'is none that is late'	0 "$(f .late)"
rc 0 'as many as wanted, soon'	nr-bench load query --rate 100 -n 20 --seconds 1 --filter "$any" "$url"
is 'none of the others is late'	0 "$(f .late)"
head -n 10 events >ten
rc 0 'a file that ends soon'	nr-bench load publish --rate 100 --seconds 1 -f ten "$url"
is 'likewise'			0 "$(f .late)"
mock late
rc 1 'due long ago is not sent long ago' nr-bench load query -c 2 -w 1 --rate 20 --seconds 4 --timeout 2 --filter "$any" "$url"
ok 'what was not sent is late'	test "$(f .late)" -gt 40
rc 1 'a full lane'	nr-bench load fanout -c 1 -w 1 --rate 20 -n 3 -f events "$url"
within 'is waited for at rest'	"$(f .client_cpu)" 0 0.2
mock mute
rc 3 'no answer at all'		nr-bench load query -c 2 --timeout 1 -f events "$url"
is 'is not our fault'		false "$(f .client_bound)"
echo nothing >nothing
rc 2 'no event in the file'	timeout 20 nr-bench load query -n 1 -f nothing "$url"
kill $mock

# ---- modes
serve() {
	nr-serve -S "$1" --listen 127.0.0.1:0 2>"$1.log" &
	wait_for 10 grep -q serving "$1.log"
	url=ws://$(grep -oE '127.0.0.1:[0-9]+' "$1.log" | head -1)
}
serve a; a=$url
rc 0 'publish at a rate'	nr-bench load publish --rate 500 -n 500 -f events "$a"
is 'all of them'	'500 500' "$(f '"\(.published) \(.accepted)"')"
within 'at that rate'	"$(f .per_second)" 350 510
rc 0 'connect'		nr-bench load connect -c 8 --seconds 1 "$a"
ok 'makes connections'	test "$(f .connects)" -gt 20
rc 0 'mixed'		nr-bench load mixed -c 16 --seconds 1 -f events "$a"
is 'has all parts'	true "$(f '.queries > 0 and .publish.done > 0 and .deliver.done > 0')"
nr-bench load publish -q -f events "$a" >rest
rc 0 'slow'		nr-bench load slow -c 10 --seconds 2 -f events "$a"
is 'tells of before and after'	true "$(f '.queries > 0 and .alone.done > 0')"
rc 0 'slow, with one query'	timeout 20 nr-bench load slow -c 2 -n 1 -f events "$a"
is 'asks it twice'	'1 1' "$(f '"\(.queries) \(.alone.done)"')"
rc 0 'a name of two addresses'	nr-bench load query -n 5 -f events "ws://localhost:${a##*:}"
rc 2 'no rate there'	nr-bench load connect --rate 5 "$a"
rc 2 'no file there'	nr-bench load connect -f events "$a"
rc 2 'no such load'	nr-bench load nothing "$a"

serve b; b=$url
serve c; c=$url
rc 0 'compare'		nr-bench compare --rounds 2 publish -n 200 -f events "$b" "$c"
is 'in turns'		"$b $c $c $b" "$(jq -r 'select(.round) | .url' out | paste -sd ' ')"
is 'nothing twice'	'800 0' "$(jq -s '[.[] | select(.round)] | "\(map(.accepted) | add) \(map(.refused) | add)"' out | tr -d '"')"
is 'medians and ratios' "$b 1 $c" "$(jq -r 'select(.compare) | .url + " " + (if .ratio == 1 then "1" else "" end)' out | paste -sd ' ' | sed 's/ $//; s/ \(ws[^ ]*\) 1$/ \1/')"
rc 2 'compare needs two'	nr-bench compare query -f events "$b"
done_testing
