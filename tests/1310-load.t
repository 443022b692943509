#!/bin/sh
# nr-bench load: statuses that tell a relay's refusal from its absence.
. "${0%/*}/lib.sh"

nr-bench gen -q -n 3000 --seed 4 >all
jq -c 'select(.kind == 1 and all(.tags[]; .[0] != "expiration"))' all >events
serve() {
	nr-serve -S "$1" --listen 127.0.0.1:0 2>log &
	relay=$!
	wait_for 10 grep -q serving log
	url=ws://$(grep -oE '127.0.0.1:[0-9]+' log | head -1)
}

# ---- usage, verb by verb
for v in check gen load compare probe; do
	rc 0 "$v --help"		nr-bench $v --help
	is 'is about it alone'	"$v" \
	    "$(sed -n 's/^.*nr-bench \([a-z]*\) .*/\1/p' out)"
	rc 2 "$v: an unknown option is usage" nr-bench $v --nonsense
	like 'which the program says'	'nr-bench: unrecognized option' err
	is 'with how to use it'	"$v" \
	    "$(sed -n 's/^usage: nr-bench \([a-z]*\) .*/\1/p' err)"
done

ok 'a relay to be measured'			serve store
rc 0 'all accepted: status 0'	nr-bench load publish -f events "$url"
rc 0 'all answered: status 0'	nr-bench load query -n 500 -f events "$url"
is 'as many as were asked'	500 "$(jq .queries out)"
sed 's/"sig":"....../"sig":"000000/; s/^{"id":"..../{"id":"0000/' events |
    head -3 >bad
rc 1 'a refusal: status 1'	nr-bench load publish -f bad "$url"
is 'is counted'			3 "$(jq .refused out)"
like 'and shown'		'first refusal: .*invalid' err
rc 0 'ws:// is meant for a loopback address' \
    nr-bench load query -n 5 -f events "${url#ws://}"
rc 2 'no URL of a relay: status 2' nr-bench load query -f events http://a
rc 2 'no file: status 2'	nr-bench load query "$url"
rc 3 'nobody there: status 3'	nr-bench load query -f events ws://127.0.0.1:1
like 'and why'	'ws://127.0.0.1:1: refused: Connection refused' err
rc 3 'no such name'	nr-bench load query -f events ws://nobody.invalid
like 'is told'		'invalid: dns: ' err

# It goes away in the middle.
(nr-bench load query --seconds 20 -f events "$url" >cut 2>cut.err
 echo $? >cut.rc) &
load=$!
sleep 1
kill -KILL $relay
wait $load
is 'a relay that goes away: status 3'	3 "$(cat cut.rc)"
ok 'with a report of what was until then' test "$(jq .queries cut)" -gt 0

done_testing
