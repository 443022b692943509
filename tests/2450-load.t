#!/bin/sh
# make load in small: what does not depend on a quiet machine.
. "${0%/*}/lib.sh"

serve() {
	rm -f ready
	nr-serve -S "$@" --listen 127.0.0.1:0 --set metrics=127.0.0.1:0 \
	    --ready-fd 3 3>ready 2>log &
	relay=$!
	wait_for 10 test -s ready
	url=$(sed -n 's,.*serving \(ws:.*\),\1,p' log)
	watch=$(sed -n 's,.*metrics at \(http:.*\),\1,p' log)
}
figure() { curl -s -m 10 "$watch/metrics" | awk -v n="$1" '$1 == n { print $2 }'; }
stop() {
	kill $relay
	wait $relay
	is 'it ends well' 0 $?
}

nr-bench gen -q -n 12000 --authors 60 --seed 5 | grep -v expiration >events
serve store
crowd() {
	nr-bench load fanout --group 20 --rate 200 --seconds 3 --pid $relay \
	    -f events "$@" "$url"
}
rc 0 'nothing is missing'	crowd -c 400
is 'of what was published'	true "$(jq '.publish.done | . > 590 and . < 602' out)"
is 'to 20 each'			0 "$(jq '.deliveries - 20 * .accepted' out)"
# Sanitizers take more.
size=$(jq .connection_memory out)
note "a connection takes $size bytes"
case $bin in
*address*|*thread*) ;;
*)	ok 'a connection takes 20 KB at most'	test "$size" -le 20480 ;;
esac
stop

# Two that do not read, one of them stopped, take nothing from the others.
nr-bench gen -q -n 20000 --seed 6 | nr-import -q -nn -S archive >sum
serve archive --set output_pause=64K --set output_close=4M --set max_event=64K
"$top/contrib/subscribe" "$url" '{"limit":5000}' '{"limit":0}' >/dev/null 2>&1 &
stopped=$!
one_connection() { [ "$(figure nr_connections)" = 1 ]; }
wait_for 10 one_connection
kill -STOP $stopped
rc 0 'nothing is missing beside them'	crowd -c 200 --stalled 1
is 'and nobody else is lost'	0 "$(jq .lost_connections out)"
kill -KILL $stopped
stop

nr-bench gen -q -n 20000 --authors 1 --seed 7 >one
nr-import -q -nn -S one.store <one >sum
serve one.store
author=$(head -1 one | jq -r .pubkey)
pages() {
	nr-bench load pages --page 100 --filter "{\"authors\":[\"$author\"]}" \
	    "$url"
}
pages >/dev/null
rc 0 'all pages of an author'	pages
note "$(jq -c .depths out)"
is 'to the last one'		true "$(jq '.whole and .events > 15000' out)"
is 'in ten parts'		10 "$(jq '.depths | length' out)"
is 'of which the last is not slower' true \
    "$(jq '.depths | .[9].p50 <= 4 * .[0].p50 + 5' out)"
stop
done_testing
