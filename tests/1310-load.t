#!/bin/sh
# nr-bench load: statuses that tell a relay's refusal from its absence.
. "${0%/*}/lib.sh"

nr-bench gen -q -n 3000 --seed 4 >all
jq -c 'select(.kind == 1 and all(.tags[]; .[0] != "expiration"))' all >events
serve() {
	: >log		# not what the last one said
	nr-serve -S "$@" --listen 127.0.0.1:0 2>log &
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
is 'as many as were asked'	'[500,0]' "$(jq -c '[.queries, .missing]' out)"
many() { (ulimit $1 64 && nr-bench load connect -c 100 -n 100 "$url"); }
rc 0 'more connections than the limit at hand'	many -Sn
rc 2 'than there may be at all'			many -n
like 'are told'		'connections: descriptors are limited to 64' err

# Other dumps: members in another order, spaces, compressed, from a pipe.
jq -c '{content, sig, kind, tags, created_at, pubkey, id}' events |
    sed 's/,"/, "/g; s/":/": /g' >foreign
foreign() { nr-bench load publish -f "$@" "$url"; }
rc 0 'events that others have written'	foreign foreign
is 'are the same'	"$(wc -l <events)" "$(jq .known out)"
zstd -q foreign
rc 0 'compressed, too'			foreign foreign.zst
is 'likewise'		"$(wc -l <events)" "$(jq .known out)"
piped() { { echo; cat foreign; } | nr-bench load publish -f - "$url"; }
rc 0 'and by stdin'			piped
is 'all of them'	"$(wc -l <events)" "$(jq .known out)"
here() { nr-bench load query -n 20 -f - "$url" <events; }
rc 0 'stdin may be a file'		here
rest() { { read -r _; nr-bench load publish -f - "$url"; } <events; }
rc 0 'of which some was read'		rest
is 'which does not come again'	"$(($(wc -l <events) - 1))" "$(jq .known out)"
{ head -2 foreign; echo '{"id":1}'; } >torn
rc 2 'what is no event'			foreign torn
like 'is told by its line'		'torn: line 3: .*nr-import' err
rc 2 'nothing at all'			foreign /dev/null
shut() { foreign - <&-; }
rc 3 'no stdin'				shut
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

# What else a relay may be asked for.
nr-bench gen -q -n 3000 --seed 4 >all
nr-import -q -nn -S asked all >/dev/null
ok 'a relay to be asked'	serve asked
rc 0 'pages, to the end'	nr-bench load pages --page 70 "$url"
is 'every event is on one'	true \
    "$(jq --argjson n "$(nr-req -q --all --paginate "$url" 2>err | wc -l)" \
        '.whole and .events >= $n and .events <= $n + 2 * .queries' out)"
rc 0 'of one filter'	nr-bench load pages --page 10 --filter '{"kinds":[7]}' "$url"
is 'nothing else'	true "$(jq --argjson n "$(jq -c 'select(.kind == 7)' \
    all | wc -l)" '.events >= $n - 20 and .events <= $n + 2 * .queries' out)"
rc 0 'one filter'		nr-bench load query -n 50 --filter '{"kinds":[1],"limit":7}' "$url"
is 'asked for again and again'	350 "$(jq .events out)"
rc 0 'reconciliations'		nr-bench load negentropy -n 50 --pid $relay "$url"
is 'so many, and none is wrong'	'[50,0,0]' "$(jq -c '[.queries,.wrong,.refused]' out)"
ok 'and what the relay took'	jq -e '.relay_memory > 100000 and .relay_cpu >= 0' out
stop_relay() { kill $relay; wait $relay; }
stop_relay
ok 'one that is not open'	serve asked --set read=auth
rc 1 'refuses them'		nr-bench load negentropy -n 5 "$url"
is 'all'			5 "$(jq .refused out)"
stop_relay
for bad in 'pages --filter {"limit":3}' 'query --filter [' \
    'publish --filter {}' 'fanout -f all -c 10 --group 3' \
    'query -f all --stalled 2'; do
	# shellcheck disable=SC2086
	rc 2 "no such load: $bad"	nr-bench load $bad ws://127.0.0.1:1
done

# Groups: what is not asked for does not come, and does not go unnoticed.
ok 'a relay for groups'		serve groups
rc 0 'who follows an author'	nr-bench load fanout -c 20 --group 5 -n 30 -f all "$url"
is 'gets what there is'		true "$(jq '.accepted > 10 and .deliveries == 5 * .accepted' out)"
stop_relay

# ---- in turns
serve first && a=$url
serve second && b=$url
rc 1 'a relay that has nothing'		nr-bench load query -n 500 -f events "$b"
like 'may be fast for that'		'by id did not come, nor others' err
both() { nr-bench compare publish --rounds 2 -f - "$@" <events; }
rc 0 'compare takes events from stdin'	both "$a" "$b"
is 'all of them to each'	"$((2 * $(wc -l <events))) 0" \
    "$(jq -s -r '[.[] | select(.round)] | "\(map(.accepted) | add) \(map(.known) | add)"' out)"
rc 0 'again'			both "$a" "$b"
is 'they are known'	"$(wc -l <events)" \
    "$(jq -s 'map(select(.compare)) | .[0].known' out)"
is 'which is not compared'	'[null,null]' \
    "$(jq -sc 'map(select(.compare).ratio)' out)"
serve half
awk 'NR % 2' events >odd
nr-bench load publish -q -f odd "$url" >odd.out
rc 1 'one that has lost events is found'	nr-bench load query -n 500 -f events "$url"
ok 'they are counted'			jq -e '.missing > 20 and .wrong == 0' out
like 'and told'				'events that were asked for by id did not come$' err
# Those that a relay need not have are not missing.
nr-bench gen -q -n 3000 --seed 4 --model churn >churn
serve churned
nr-bench load publish -q -f churn "$url" >churn.out
nr-bench load query -q -n 500 -f churn "$url" >out
is 'nor those that it need not have'	0 "$(jq .missing out)"
rc 3 'one that is dead is found at once' \
    nr-bench compare query --rounds 1 -f events "$a" ws://127.0.0.1:1
like 'by its name'	'nr-bench: ws://127.0.0.1:1: refused: ' err
is 'before the others are loaded'	'' "$(cat out)"
serve closed --set write=auth
rc 1 'one that refuses all'	nr-bench compare publish --rounds 2 -n 40 -f events "$a" "$url"
is 'is not fast'	'[null,null,null,80]' \
    "$(jq -c 'select(.compare and .refused > 0) | [.per_second, .ratio, .p50, .refused]' out)"

rc 0 'the machine'		nr-bench limits -d . -f all
is 'has its limits'		true "$(jq '[.cores, .verify_per_second,
    .copy_bytes_per_second, .sync_per_second, .publish_per_second,
    .query_per_second, .fanout_per_second] | all(. > 0)' out)"
rc 2 'not with what is no event'	nr-bench limits -f /etc/passwd

done_testing
