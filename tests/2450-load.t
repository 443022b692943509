#!/bin/sh
# make load in small: what does not depend on a quiet machine.
. "${0%/*}/lib.sh"
export PATH="$bin/tests/bench:$PATH"

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

nr-bench gen -q -n 12000 --authors 60 --seed 5 >events
serve store
rc 0 'nothing is missing'	crowd -n 400 -g 20 -r 200 -s 3 -p $relay -f events "$url"
is 'of what was published'	600 "$(jq .published out)"
is 'to 20 each'			0 "$(jq '.delivered - 20 * .accepted' out)"
# Sanitizers take more.
size=$(jq .bytes_per_connection out)
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
rc 0 'nothing is missing beside them'	crowd -n 200 -g 20 -r 200 -s 3 -k 1 -f events "$url"
is 'and nobody else is lost'	0 "$(jq .lost_connections out)"
kill -KILL $stopped
stop

nr-bench gen -q -n 20000 --authors 1 --seed 7 >one
nr-import -q -nn -S one.store <one >sum
serve one.store
author=$(head -1 one | jq -r .pubkey)
pages -t 1 -l 100 "$author" "$url" >/dev/null
rc 0 'all pages of an author'	pages -t 4 -l 100 "$author" "$url"
note "$(cat out)"
is 'are many'			4 "$(awk '$2 > 30' out | wc -l)"
ok 'and those at the end not slower' awk 'NR == 1 { f = $3 } END { exit $3 > 4 * f + 5 }' out
stop
done_testing
