#!/bin/sh
# The language of nr-policy: every construct, and every error.
. "${0%/*}/lib.sh"

alice=aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa
bob=bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb
carol=cccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc
npub=npub1424242424242424242424242424242424242424242424242424qamrcaj
n=0

# An event of alice's with these members; neither id nor signature count.
ev() {
	n=$((n + 1))
	jq -nc "{id: \"$(printf %064x $n)\", pubkey: \"$alice\",
	    created_at: (now | floor), kind: 1, tags: [], content: \"hello\",
	    sig: (\"0\" * 128)} + $1"
}

# NAME WANT RULES EVENT [OPTION...]: what is decided about the event?
t() {
	name=$1 want=$2
	printf '%s\n' "$3" >rules
	ev "$4" >event
	shift 4
	nr-policy -q -f rules --explain "$@" event >out 2>err
	is "$name" "$want" "$(jq -r '.action + (if .message == "" then ""
	    else ": " + .message end)' out)$(head -3 err)"
}
# One condition: does it hold?
c() {
	condition=$1 want=$2 event=$3
	shift 3
	[ "$want" = yes ] && want='reject: R' || want=accept
	t "$condition: $event $*" "$want" "reject \"R\" $condition" "$event" "$@"
}

# ---- order, defaults, actions
t 'no rules'		accept '' '{}'
t 'the first decides'	'reject: one' 'reject "one"
reject "two"' '{}'
t 'accept decides'	accept 'accept kind 1
reject "two"' '{}'
t 'what does not match is passed over' 'reject: two' 'reject "one" kind 2
reject "two"' '{}'
t 'a message of its own' 'reject: blocked: not accepted here' 'reject' '{}'
t 'shadow'		shadowReject shadow '{}'
t 'all conditions'	accept 'reject kind 1 size < 10' '{}'
t 'set default'		'reject: no' 'set default reject "no"' '{}'
t 'set default shadow'	shadowReject 'set default shadow
accept kind 2' '{}'
t 'set default accept'	accept 'set default accept' '{}'
t 'comments'		'reject: # no' '# one
   # two
reject "# no" # three' '{}'
t 'a line that goes on'	'reject: R' 'reject "R" \
  kind 1' '{}'
t 'braces over lines'	'reject: R' 'reject "R" kind {
	5,	# five
	1
}' '{}'
t 'quotes'		'reject: a "b" \ c' 'reject "a \"b\" \\ c"' '{}'
t 'as it stands'	'reject: a \" b' "reject 'a \\\" b'" '{}'
t 'UTF-8'		'reject: nö ✓' 'reject "nö ✓" text "größe"' '{content: "die GRÖSSE, die Größe"}'
t 'for reads only'	accept 'reject on read open' '{}'
t 'for any'		'reject: R' 'reject on any "R" source import' '{}'
t 'a label'		'reject: R' 'reject "R" kind 1 label "my rule"' '{}'
is 'in the report'	'my rule' "$(jq -r .rule out)"
t 'a place'		'reject: R' '
reject "R"   kind   1' '{}'
is 'in the report'	'rules:2 reject "R" kind 1' "$(jq -r '.rule + " " + .text' out)"
t 'scores add up'	'reject: R' 'score 3 kind 1
score 4 content > 2
score 9 kind 2
score -1 all
reject "R" score = 6' '{}'
is 'in the report'	'6 rules:1 rules:2 rules:4' "$(jq -r '"\(.score) " + (.scored | join(" "))' out)"

# ---- conditions
c all			yes '{}'
c 'not all'		no '{}'
c 'kind 1'		yes '{}'
c 'not kind 1'		no '{}'
c 'kind 1-5'		yes '{kind: 5}'
c 'kind 1-5'		no '{kind: 6}'
c 'kind { 3, 7-9 65535 }' yes '{kind: 8}'
c 'kind { 3, 7-9 65535 }' yes '{kind: 65535}'
c 'kind { 3, 7-9 65535 }' no '{kind: 6}'
c 'kind regular'	yes '{}'
c 'kind regular'	no '{kind: 10000}'
c 'kind replaceable'	yes '{kind: 0}'
c 'kind replaceable'	yes '{kind: 19999}'
c 'kind ephemeral'	yes '{kind: 20000}'
c 'kind ephemeral'	no '{kind: 30000}'
c 'kind addressable'	yes '{kind: 30000}'
c 'kind confidential'	yes '{kind: 1059}'
c "author $alice"	yes '{}'
c "author $bob"		no '{}'
c "author { $bob $npub }" yes '{}'
c "id $(printf %064x 7)" no '{}'
c "id $(printf %064x 7)" yes '{id: ("0" * 63 + "7")}'
c 'tag t'		yes '{tags: [["t"]]}'
c 'tag t'		no '{tags: [["tt", "t"], []]}'
c 'tag t "x"'		yes '{tags: [["t", "y"], ["t", "x", "z"]]}'
c 'tag t "x"'		no '{tags: [["t", "xx"], ["t"], ["d", "x"]]}'
c 'tag t { "a \" b" }'	yes '{tags: [["t", "a \" b"]]}'
c 'tag "long name" { "" }' yes '{tags: [["long name", ""]]}'
c 'protected'		yes '{tags: [["-"]]}'
c 'protected'		no '{}'
c 'tags > 2'		yes '{tags: [["a"], [], ["b"]]}'
c 'tags > 2'		no '{tags: [["a"], ["b"]]}'
c 'tags p >= 2'		yes '{tags: [["p"], ["e"], ["p"]]}'
c 'tags p >= 2'		no '{tags: [["p"], ["e"]]}'
c 'size > 400'		no '{}'
c 'size > 400'		yes '{content: ("x" * 100)}'
c 'size <= 1K'		yes '{content: ("x" * 400)}'
c 'size <= 1K'		no '{content: ("x" * 1000)}'
c 'content = 3'		yes '{content: "äöü"}'
c 'content != 3'	no '{content: "a\nb"}'
c 'plain < 9'		yes '{content: "look at https://example.com/very/long"}'
c 'links = 2'		yes '{content: "https://a.example http://b.example"}'
c 'links > 0'		no '{content: "nothing here"}'
c 'mentions >= 3'	yes '{tags: [["p", "1"], ["p", "2"], ["p", "3"]]}'
c 'mentions >= 1'	yes "{content: \"hi nostr:$npub\"}"
c 'hashtags > 1'	yes '{content: "#one #two"}'
c 'hashtags > 1'	no '{tags: [["t", "one"]]}'
c 'caps > 80%'		yes '{content: "THIS IS ALL CAPITALS HERE"}'
c 'caps > 80'		no '{content: "This is no text in capitals"}'
c 'caps > 0'		no '{content: "SHORT"}'
c 'pow >= 8'		yes '{}'
c 'pow >= 8'		no '{id: ("f" * 64)}'
c 'age > 1h'		yes '{created_at: ((now | floor) - 4000)}'
c 'age > 1h'		no '{}'
c 'future > 10m'	yes '{created_at: ((now | floor) + 4000)}'
c 'future > 10m'	no '{}'
c 'expires < 1d'	yes '{tags: [["expiration", "\((now | floor) + 60)"]]}'
c 'expires < 1d'	no '{}'
c 'expires >= 0s'	no '{}'
c 'nsec'		yes '{content: "nsec1vl029mgpspedva04g90vltkh6fvh240zqtv9k0t9af8935ke9laqsnlfe5"}'
c 'nsec'		no '{content: "nsec1vl029mgpspedva04g90vltkh6fvh240zqtv9k0t9af8935ke9laqsnlfe6"}'
c 'text casino'		yes '{content: "Visit our CASINO!"}'
c 'text casino'		no '{content: "casinos"}'
c 'text casino'		yes '{content: "ca\u2066si\u0001no"}'
c 'text "free  money"'	yes '{content: "get Free\nMoney now"}'
c 'text { "a b", "c" }'	no '{content: "a x b, d"}'
c "filter '{\"kinds\":[1],\"#t\":[\"x\"]}'" yes '{tags: [["t", "x"]]}'
c "filter '{\"kinds\":[1],\"#t\":[\"x\"]}'" no '{tags: [["t", "y"]]}'
c "jq '.kind == 1'"	yes '{}'
c "jq '.content | test(\"h.l\")'" yes '{}'
c "jq 'error(\"x\")'"	no '{}'
c "not jq 'error(\"x\")'" yes '{}'
c "jq '.tags | length > 1'" no '{}'
c "jq 'null'"		no '{}'
c "jq 'tag(\"t\")[1] == \"x\"'" yes '{tags: [["e", "1"], ["t", "x"], ["t", "y"]]}'
c "jq 'value(\"t\") == \"x\"'" yes '{tags: [["t", "x"]]}'
c "jq 'tags(\"t\") | length == 2'" yes '{tags: [["t", "x"], ["t", "y"]]}'
c "jq 'has(\"t\")'"	yes '{tags: [["t", "x"]]}'
c "jq 'has(\"t\")'"	no '{}'
c 'source import'	yes '{}'
c 'source { ip4 sync }'	no '{}'
c 'source { ip4 sync }'	yes '{}' --source sync
c 'ip 192.0.2.0/24'	yes '{}' --from 192.0.2.7
c 'ip 192.0.2.0/24'	no '{}' --from 192.0.3.7
c 'ip { 192.0.2.0/24 2001:db8::/32 }' yes '{}' --from 2001:db8::1
c 'ip 0.0.0.0/0'	no '{}'
c 'auth any'		no '{}'
c 'auth any'		yes '{}' --auth "$bob"
c 'auth author'		no '{}' --auth "$bob"
c 'auth author'		yes '{}' --auth "$bob" --auth "$npub"
c "auth { $bob $carol }" yes '{}' --auth "$carol"
c "auth { $bob $carol }" no '{}' --auth "$alice"

# ---- tables
printf '%s\n' "$npub # me" '' "  $bob  " >keys.a
printf '%s\n' "$carol" | zstd -q >keys.b
t 'keys from files'	'reject: R' 'table <k> keys file "keys.a" file "keys.b"
reject "R" author <k>' '{}'
t 'compressed ones'	'reject: R' 'table <k> keys file "keys.a" file "keys.b"
reject "R" author <k>' "{pubkey: \"$carol\"}"
t 'others are not there' accept 'table <k> keys file "keys.a"
reject "R" author <k>' "{pubkey: \"$carol\"}"
t 'file and items'	'reject: R' "table <k> keys file 'keys.a' { $carol }
reject 'R' author <k>" "{pubkey: \"$carol\"}"
t 'keys of tags'	'reject: R' 'table <k> keys file "keys.a"
reject "R" tag p <k>' "{tags: [[\"p\", \"$bob\"]]}"
t 'words of tags'	'reject: R' 'table <w> words { casino }
reject "R" tag title <w>' '{tags: [["title", "The Casino"]]}'
t 'kinds'		'reject: R' 'table <kinds> kinds { 1 ephemeral }
reject "R" kind <kinds>' '{kind: 20001}'
t 'values'		'reject: R' 'table <v> values { b "a c" d }
reject "R" tag t <v>' '{tags: [["t", "a c"]]}'
t 'networks'		'reject: R' 'table <nets> networks { 10.0.0.0/8 192.0.2.1 }
reject "R" ip <nets>' '{}' --from 192.0.2.1
t 'an empty table'	accept 'table <none> keys { }
reject "R" author <none>' '{}'
mkdir -p sub
echo 'reject "inner" kind 1' >sub/inner
echo "$alice" >sub/keys
printf 'table <k> keys file "keys"\ninclude "inner"\n' >sub/outer
t 'include'		'reject: inner' 'include "sub/outer"' '{}'
is 'with its place'	sub/inner:1 "$(jq -r .rule out)"
t 'tables of included files' 'reject: R' 'include "sub/outer"
reject "R" author <k>' '{kind: 5}'

# ---- rates: five of ten, by what they are counted by
many() {
	printf '%s\n' "$1" >rules
	for i in 1 2 3 4 5 6 7 8 9 10; do
		export i
		ev "$2"
	done >event
	shift 2
	nr-policy -q -f rules -r refused "$@" event | wc -l
}
is 'a limit'		5 "$(many 'limit 5/h' '{}')"
is 'its message'	5 "$(grep -c 'rate-limited: slow down' refused)"
is 'a burst'		7 "$(many 'limit 5/h burst 7 by author "slow"' '{}')"
is 'a message of its own' 3 "$(grep -c '"message":"slow"' refused)"
is 'by author'		10 "$(many 'limit 5/h by author' '{pubkey: ("0" * 62 + "\($ENV.i | tonumber + 10)")}')"
is 'by kind'		10 "$(many 'limit 5/h by kind kind 2' '{}')"
is 'by ip'		5 "$(many 'limit 5/h by ip' '{}' --from 192.0.2.1)"
is 'none without one'	10 "$(many 'limit 5/h by ip' '{}')"
is 'by net and author'	5 "$(many 'limit 5/h by net and author' '{}' --from 192.0.2.1)"
is 'by auth'		5 "$(many 'limit 5/h by auth' '{}' --auth "$bob")"
is 'the time of the events' 10 "$(many 'limit 1/s' '{created_at: (1700000000 + ($ENV.i | tonumber) * 2)}' --clock created_at)"
is 'or of now'		1 "$(many 'limit 1/h' '{created_at: (1700000000 + ($ENV.i | tonumber) * 4000)}')"
is 'a dry run counts'	5 "$(many 'limit 5/h' '{}' --dry-run >/dev/null; nr-policy -q -f rules --dry-run event | jq -s '.[0].decided')"

# ---- what is wrong is told with its place
wrong() {
	name=$1 want=$2
	printf "$3" >rules
	nr-policy -f rules -T >out 2>err
	is "$name: status" 2 $?
	is "$name" "nr-policy: rules:$want" "$(head -1 err)"
}
wrong 'no action' '1:1: no action: "allow" (accept, reject, shadow, limit, score, log, hold, learn, exec; or set, table, include)' 'allow kind 1\n'
wrong 'no condition' '2:12: no condition: "knd"' '\nreject "x" knd 1\n'
wrong 'a kind' '1:13: "70000" is not a kind (5, 5-7, regular, replaceable, ephemeral, addressable, confidential)' 'accept kind 70000'
wrong 'a range' '1:15: "7-5" is not a kind (5, 5-7, regular, replaceable, ephemeral, addressable, confidential)' 'accept kind { 7-5 }\n'
wrong 'a key' '1:15: "abc" is not a key (64 hexadecimal digits, npub, note)' 'accept author abc\n'
wrong 'a network' '1:11: "10.0.0.1/8" is not a network (10.0.0.0/8, 2001:db8::/32)' 'accept ip 10.0.0.1/8\n'
wrong 'no comparison' '1:13: < <= > >= = or != is missing before "5"' 'accept size 5\n'
wrong 'no number' '1:15: "x" is not a number (64, 64K)' 'accept size > x\n'
wrong 'no time' '1:14: "5x" is not a time (90s, 15m, 2h, 3d, 1w)' 'accept age > 5x\n'
wrong 'nothing behind' '1:12: a kind (5, 5-7, regular, replaceable, ephemeral, addressable, confidential) is missing before the end of the line' 'accept kind\n'
wrong 'no such table' '1:15: no table <x> above' 'accept author <x>\n'
wrong 'the other type' '2:13: <x> is a table of keys, not of kinds' 'table <x> keys { }\naccept kind <x>\n'
wrong 'a table again' '2:7: there is a table <x> already' 'table <x> keys { }\ntable <x> keys { }\n'
wrong 'a table without type' '1:11: keys, kinds, networks, words or values is missing before "{"' 'table <x> { 1 }\n'
wrong 'a table without name' '1:7: table <name> is missing before "x"' 'table x keys { }\n'
wrong 'a file that is not there' '1:21: nowhere: No such file or directory' 'table <x> keys file "nowhere"\n'
printf '%s\nbad line\n%s\n' "$alice" "$bob" >broken
wrong 'a line of a file' '1:21: broken:2: not one of keys' 'table <x> keys file "broken"\n'
wrong 'a rate' '1:7: "5" is not a rate (20/s, 100/10min, 5/h burst 10)' 'limit 5\n'
wrong 'no rate of 0' '1:7: "0/s" is not a rate (20/s, 100/10min, 5/h burst 10)' 'limit 0/s\n'
wrong 'by what' '1:14: ip, net, author, auth or kind is missing before "x"' 'limit 5/s by x\n'
wrong 'a score' '1:7: score takes from 1 to 1000000, or less than 0' 'score 0\n'
wrong 'a setting' '1:5: no setting: "x" (default, hold-max, state, timeout)' 'set x 5\n'
wrong 'a default' '1:13: accept, reject or shadow is missing before "no"' 'set default no\n'
wrong 'a state too small' '1:11: state takes from 64K to 16G' 'set state "s" 1K\n'
wrong 'a string without end' '1:8: a string that does not end on its line' 'reject "abc\n'
wrong 'an escape' '1:8: a backslash stands before " or \ only' 'reject "a\\n"\n'
wrong 'a brace without end' '1:13: { without }' 'accept kind { 1\n2\n'
wrong 'a brace too many' '1:15: } without {' 'accept kind 1 }\n'
wrong 'a brace in another' '1:17: { inside of { }' 'accept kind { 1 { 2 } }\n'
wrong 'what stands behind' '1:20: "x" stands behind the end' 'set default accept x\n'
wrong 'on what' '1:11: write, read, connect or any is missing before "all"' 'reject on all\n'
wrong 'not of a read' '1:16: size says nothing of a read' 'reject on read size > 5\n'
wrong 'not of a connection' '1:19: kind says nothing of a connect' 'reject on connect kind 1\n'
wrong 'not of a write' '1:8: open says nothing of a write' 'reject open\n'
wrong 'a filter' '1:15: the filter: invalid: filter is not a JSON object' "accept filter '[]'\\n"
wrong 'exec without quotes' '1:6: exec takes "a command"' 'exec cat\n'
wrong 'learn without file' '2:14: <x> has no file to learn into' 'table <x> keys { }\nlearn author <x>\n'
wrong 'include' '1:9: nowhere: No such file or directory' 'include "nowhere"\n'
printf 'include "rules"\n' >rules
rc 2 'include of itself' nr-policy -f rules -T
like 'ends'		'more than 8 files, one in another' err
printf 'accept knd 1\nreject "x" size 1\nkind 5\n' >rules
rc 2 'several errors'	nr-policy -f rules -T
is 'are told at once'	3 "$(grep -c '^nr-policy: rules:[123]:' err)"
printf 'accept jq "["\n' >rules
rc 2 'an expression'	nr-policy -f rules -T
like 'is told'		'^nr-policy: rules:1:11: jq: ' err
printf 'accept kind 1\nreject\n' >rules
rc 0 'what is in order'	nr-policy -f rules -T
like 'is said'		'^nr-policy: rules: 2 rules, in order$' err
rc 2 'no such file'	nr-policy -f nowhere -T
like 'is told'		'^nr-policy: nowhere: No such file' err
rc 2 'which rules?'	nr-policy
rc 2 'plugin and files'	nr-policy -f rules --plugin event


# ---- each time within which duplicates count has its own
for i in $(seq 12); do
	ev "{pubkey: \"$(printf %064x "$i")\", created_at: (1700000000 + $i * 900),
	    content: \"the quick brown fox jumps over the lazy dog and runs away\"}"
done >texts
cat >rules <<'END'
reject "short" duplicates > 1 within 10m
reject "long" duplicates > 1 within 1d
END
rc 1 'two times'	nr-policy -q -f rules --explain --clock created_at texts
is 'are told apart'	long "$(jq -r .message out | grep . | sort -u)"

# ---- more text than one stretch of it
jq -nc '"x" * 2200000' >long
ev '{}' | jq -c --slurpfile s long '.content = $s[0]' >event
printf 'reject "R" content = 2200000 caps = 0%%\n' >rules
rc 1 'a long text'	nr-policy -q -m 4M -f rules event
done_testing
