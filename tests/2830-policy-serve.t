#!/bin/sh
# nr-policy as nr-serve's policy: the verdicts that it gives to a pipe, new
# rules under load, and rules for reading and connecting.
. "${0%/*}/lib.sh"
umask 077

serve() { # STORE OPTION...
	rm -f ready
	nr-serve -S "$@" --listen 127.0.0.1:0 --set metrics=127.0.0.1:0 \
	    --ready-fd 3 3>ready 2>log &
	relay=$!
	wait_for 20 test -s ready
	url=$(sed -n 's,.*serving \(ws:.*\),\1,p' log)
	watch=$(sed -n 's,.*metrics at \(http:.*\),\1,p' log)
}
stop() { kill $relay; wait $relay; is 'it ends well' 0 $?; }
figure() { curl -s -m 10 "$watch/metrics" | awk -v n="$1" 'index($0, n " ") == 1 { print $2 }'; }
answers() { curl -s -m 10 "$watch/metrics" | sed -n "s/^nr_policy_answers_total{answer=\"$1\"} //p"; }

nr-bench gen -q -n 6000 --seed 77 --authors 40 | jq -c 'select(
    (.kind == 1 or .kind == 6 or .kind == 7) and all(.tags[]; .[0] != "expiration"))' >events
head -1000 events >some
author=$(head -1 events | jq -r .pubkey)

# ---- the same rules, the same verdicts
cat >rules <<END
reject "blocked: him" author $author
shadow kind 6
reject "restricted: words" jq '.content | length > 900'
score 2 links > 0
score 2 tags > 3
reject "blocked: score" score >= 4
limit 4000/d by kind "rate-limited: enough"
END
nr-policy -q -f rules --source ip4 --from 127.0.0.1 some >offline
serve a --set policy="nr-policy --plugin -f $PWD/rules"
rc 1 'published'	nr-bench load publish -q -c 1 -w 64 -f some "$url"
nr-export -S a --ids | sort >online.ids
jq -r .id offline | sort >offline.ids
same 'what a pipe lets through is what is stored' offline.ids online.ids
nr-policy -q -f rules --explain --source ip4 --from 127.0.0.1 some |
    jq -r .action | sort | uniq -c | awk '{ print $2, $1 }' >want
for a in accept reject shadowReject; do
	printf '%s %s\n' $a "$(answers $a)"
done | sort >got
same 'and as often'	want got
stop

# ---- new rules under load
echo 'accept all label "one"' >rules
serve b --set policy="nr-policy --plugin -f $PWD/rules"
(
	i=0
	while [ ! -e done ]; do
		i=$((i + 1))
		{ echo "accept all label \"n$i\""; seq 500 |
		    sed 's/.*/reject "x" kind 6&000 tag t "&"/; s/kind 6\(.\).*000/kind 6\1/'; } >rules.new
		mv rules.new rules
		[ $((i % 8)) != 0 ] || kill -HUP $relay
		sleep 0.2
	done
) &
changes=$!
rc 0 'publishing while the rules change'	nr-bench load publish -c 8 -w 16 --rate 700 --seconds 6 -f events "$url"
sent=$(jq .published out)
touch done
wait $changes
is 'nothing is refused'	"$sent 0" "$(jq -r '"\(.accepted) \(.refused)"' out)"
is 'and all of it stored'	"$sent" "$(nr-export -S b --count)"
ok 'they were read again'	grep -q 'read again, 501 rules' log
ok 'and the plugin replaced'	test "$(grep -c 'says hello' log)" -gt 2
is 'no answer failed'	'0 0' "$(answers late) $(answers failed)"
stop

# ---- who may read, and who may come
cat >rules <<'END'
reject on read "auth-required: for members" not auth any
reject on read "blocked: too much" open
accept on read all
END
printf '%064d\n' 9 >key
serve b --set policy="nr-policy --plugin -f $PWD/rules" --set 'policy_asks=write' --set 'policy_asks=read'
rc 1 'a stranger reads nothing'	nr-req -q -k 1 -l 5 "$url"
rc 0 'who has logged in does'	nr-req -q -K key -k 1 -l 5 "$url"
is 'so many'		5 "$(wc -l <out)"
rc 1 'but not everything'	nr-req -q -K key --all "$url"
rc 0 'and writes'	nr-bench load publish -q -n 20 -f events "$url"
echo 'reject on connect "blocked: not from here" ip 127.0.0.0/8' >rules
ok 'new rules'		wait_for 10 grep -q 'read again, 1 rule' log
stop
serve b --set policy="nr-policy --plugin -f $PWD/rules" --set 'policy_asks=connect'
rc 3 'nobody comes in'	nr-req -q -k 1 -l 5 "$url"
stop
done_testing
