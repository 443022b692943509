#!/bin/sh
# nr-policy as a plugin, as a host of plugins, and its files.
. "${0%/*}/lib.sh"

alice=aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa
bob=bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb
ev() {
	jq -nc "{id: \"$(printf %064x "$1")\", pubkey: \"$alice\",
	    created_at: (now | floor), kind: 1, tags: [], content: \"hello\",
	    sig: (\"0\" * 128)} + ${2:-{\}}"
}
# A request as strfry writes it.
req() {
	ev "$1" "${2:-{\}}" | jq -c "{event: ., receivedAt: (now | floor),
	    sourceInfo: \"192.0.2.7\", sourceType: \"IP4\", type: \"new\"} + ${3:-{\}}"
}

# ---- strfry's protocol
cat >rules <<'END'
shadow kind 7
reject "blocked: no \"x\"" tag t "x"
reject "restricted: log in" kind 5 not auth any
reject "blocked: net" ip 192.0.2.0/24 kind 9
END
{
	req 1
	req 2 '{kind: 7}'
	req 3 '{tags: [["t", "x"]]}'
	req 4 '{kind: 5}'
	req 5 '{kind: 5}' "{authed: \"$bob\"}"
	req 6 '{kind: 9}'
} >requests
rc 0 'a plugin'		sh -c 'nr-policy --plugin -f rules <requests'
id() { printf %064x "$1"; }
cat >want <<END
{"id":"$(id 1)","action":"accept","msg":""}
{"id":"$(id 2)","action":"shadowReject","msg":""}
{"id":"$(id 3)","action":"reject","msg":"blocked: no \"x\""}
{"id":"$(id 4)","action":"reject","msg":"restricted: log in"}
{"id":"$(id 5)","action":"accept","msg":""}
{"id":"$(id 6)","action":"reject","msg":"blocked: net"}
END
jq -cS . out >got
jq -cS . want >want.c
same 'answers as strfry reads them' want.c got

# ---- the superset, once the host has said that it knows it
cat >rules <<'END'
reject on read "auth-required: too much" open not auth any
reject on read "blocked: kind" kind { 4 1059 } verb { COUNT }
reject on connect "blocked: you" ip 192.0.2.66
reject "blocked: second" kind 2
END
{
	echo '{"type":"req","seq":1,"verb":"REQ","filters":[{"limit":5}],"sourceType":"IP4","sourceInfo":"192.0.2.1"}'
	echo '{"type":"req","seq":2,"verb":"REQ","filters":[{"kinds":[4]}],"sourceType":"IP4","sourceInfo":"192.0.2.1"}'
	echo '{"type":"req","seq":3,"verb":"COUNT","filters":[{"kinds":[1,4]}],"sourceType":"IP4","sourceInfo":"192.0.2.1"}'
	echo '{"type":"connect","seq":4,"sourceType":"IP4","sourceInfo":"192.0.2.66"}'
	echo '{"type":"connect","seq":5,"sourceType":"IP4","sourceInfo":"192.0.2.67"}'
	echo "[$(req 6 '{kind: 2}' '{seq: 6}'),$(req 6 '{}' '{seq: 7}')]"
} >requests
rc 0 'a host that knows more' sh -c 'NR_POLICY_HOST=1 nr-policy --plugin -f rules <requests'
is 'is greeted'		hello "$(head -1 out | jq -r .type)"
is 'and answered' '1 reject
2 accept
3 reject
4 reject
5 accept
6 reject
7 accept' "$(sed 1d out | jq -r 'if type == "array" then .[] else . end | "\(.seq) \(.action)"')"

# ---- what is no request costs itself
{
	echo nonsense
	echo '{"type":"new"}'
	req 1
	head -c 5000000 /dev/zero | tr '\0' x
	echo
	req 2
	printf '{"type":"new","event":{"id":"%064x","kind":"x"}}\n' 3
} >requests
rc 0 'nonsense'		sh -c 'nr-policy --plugin -f rules <requests'
is 'is passed over' "$(id 1) accept
$(id 2) accept
$(id 3) reject" "$(jq -r '.id + " " + .action' out)"
is 'and told'		4 "$(grep -c 'no request' err)"

req 7 | tr -d '\n' >requests
rc 0 'a last line without its end' sh -c 'nr-policy --plugin -f rules <requests'
is 'is a request'	"$(id 7) accept" "$(jq -r '.id + " " + .action' out)"

# ---- filters: all of them count, and what nobody can read is refused
printf 'reject on read "blocked: open" open\n' >rules
for tail in '{}' '{"kinds":"x"}'; do
	printf '{"type":"req","seq":1,"verb":"REQ","filters":['
	i=0
	while [ $((i += 1)) -le 150 ]; do printf '{"kinds":[1]},'; done
	printf '%s]}\n' "$tail"
done >requests
rc 0 'many filters'	sh -c 'nr-policy --plugin -f rules <requests'
is 'the last one counts' 'reject blocked: open
reject error: the policy cannot read this' "$(jq -r '.action + " " + .msg' out)"

# ---- rules that change while it runs
mkfifo to
echo 'reject "one"' >rules
nr-policy --plugin -f rules <to >answers 2>log &
exec 7>to
ask() {
	n=$(wc -l <answers)
	req "$1" "${2:-{\}}" >&7
	wait_for 10 test_more "$n" && tail -1 answers | jq -r '.action + " " + .msg'
}
test_more() { [ "$(wc -l <answers)" -gt "$1" ]; }
is 'rules'		'reject one' "$(ask 1)"
echo 'reject "two"' >rules.new && mv rules.new rules
ok 'are read again'	wait_for 10 grep -q 'read again' log
is 'and hold'		'reject two' "$(ask 2)"
echo 'reject "three' >rules
ok 'what is wrong is told' wait_for 10 grep -q 'rules:1:8: a string' log
ok 'and what becomes of it' wait_for 10 grep -q 'the rules stay as they are' log
is 'the others stay'	'reject two' "$(ask 3)"
sleep 2.5
is 'it is told once'	1 "$(grep -c 'the rules stay' log)"
printf 'table <l> keys file "list"\nreject "three" kind 1\nreject "no"\naccept\n' >rules
ok 'a list that is not there' wait_for 10 grep -q 'list: No such file' log
: >list
ok 'is seen when it is' wait_for 30 grep -q 'read again, 3 rules' log
is 'with its rules'	'reject three' "$(ask 3)"
printf '%s\n' "$bob" >list
printf 'table <l> keys file "list"\nreject "listed" author <l>\nlimit 2/h by author\n' >rules
ok 'once mended'	wait_for 10 grep -q 'read again, 2 rules' log
is 'they hold'		'accept ' "$(ask 4)"
printf '%s\n' "$bob" "$alice" >list
ok 'a list'		wait_for 10 sh -c '[ "$(grep -c "read again, 2" log)" = 2 ]'
is 'likewise'		'reject listed' "$(ask 5)"
: >list
kill -HUP $!
ok 'a signal'		wait_for 10 sh -c '[ "$(grep -c "read again, 2" log)" = 3 ]'
is 'and limits go on'	'accept 
reject rate-limited: slow down' "$(ask 6; ask 7)"
exec 7>&-
wait $!
is 'the end of input'	0 $?

# ---- what outlasts the program
cat >rules <<'END'
set state "state" 64K
limit 3/d by author
reject "new" new
END
rc 0 'the first time'	sh -c 'nr-policy --plugin -f rules </dev/null'
is 'a file'		'600 65536' "$(stat -c '%a %s' state)"
printf 'set state "state" 64K\nlimit 3/d by author\nscore 1 new\n' >rules.accept
for i in 1 2 3 4 5; do req $i; done >requests
rc 0 'five'		sh -c 'nr-policy --plugin -f rules.accept <requests | grep -c accept'
is 'three pass'		3 "$(cat out)"
rc 1 'none later'	sh -c 'nr-policy --plugin -f rules.accept <requests | grep accept'
ok 'no address or key is in it' sh -c "! grep -qF '192.0.2.7' state && ! grep -qF '$alice' state"
printf 'set state "state" 64K\naccept not new\nreject "new"\n' >rules
req 9 >requests
rc 0 'whoever was accepted' sh -c 'nr-policy --plugin -f rules <requests'
is 'is not new'		accept "$(jq -r .action out)"

# ---- a dry run sees what is known, and changes nothing
printf 'set state "dry" 64K\nlimit 3/d by author\nreject "new" new\n' >rules
{ ev 1; ev 2; } >two
rc 1 'nothing is known'	nr-policy -q -f rules --explain two
ok 'no file is made'	test ! -e dry
printf 'set state "dry" 64K\nlimit 3/d by author\nscore 1 new\n' >rules
rc 0 'two of three'	nr-policy -q -f rules two
rc 1 'a dry run'	nr-policy -q -f rules --explain two
is 'counts from there'	'accept reject' "$(jq -r .action out | paste -sd ' ')"
rc 0 'and counts nothing'	sh -c 'head -1 two | nr-policy -q -f rules'
echo 'my list' >mylist
printf 'set state "mylist"\n' >rules
rc 2 'what is no state'	nr-policy -f rules two
like 'is refused'	'mylist: is something else than the state of a policy' err
is 'and stays'		'my list' "$(cat mylist)"
rc 2 'also by -T'	nr-policy -f rules -T
printf 'set state "dry" 128K\n' >rules
rc 0 'another size'	nr-policy -f rules two
like 'is told'		'dry: is of another size than before' err
# A clock that goes back: an export is newest first.
for i in 9 8 7 6 5 4 3 2 1; do ev $i "{created_at: (1700000000 + $i * 600)}"; done >back
echo 'limit 2/min by author' >rules
rc 0 'backwards'	nr-policy -q -f rules --clock created_at back
rc 2 'no address'	nr-policy -f rules --from 1.2.3 two
rc 2 'no folder'	sh -c 'echo "hold \"nowhere/x\"" >rules; nr-policy -f rules -T'

# ---- hold and learn
cat >rules <<'END'
table <known> keys file "known"
accept author <known>
learn author <known> kind 3
accept author <known>
hold "held.jsonl" kind 1
END
printf '# those we know' >known
{ ev 1; ev 2 '{kind: 3}'; ev 3; ev 4 '{pubkey: "'$bob'"}'; } >events
rc 1 'hold and learn'	nr-policy -f rules -r refused events
is 'what passes'	"$(id 2) $(id 3)" "$(jq -r .id out | paste -sd ' ')"
is 'what is held'	"$(id 1) $(id 4)" "$(jq -r .id held.jsonl | paste -sd ' ')"
is 'held events are private' 600 "$(stat -c %a held.jsonl)"
is 'who is known'	"# those we know
$alice" "$(cat known)"
like 'why'		'"message":"blocked: held until the operator has seen it"' refused
printf 'set hold-max 100\nhold "full.jsonl"\n' >rules
rc 3 'a file that is full' nr-policy -f rules -r refused events
ok 'grows no more'	test ! -s full.jsonl
like 'and that is told'	'error: it cannot be held' refused
printf 'table <known> keys file "known"\nlearn author <known> kind 1\n' >rules
ev 5 '{pubkey: "'$bob'"}' >five
trap '' XFSZ
sh -c 'ulimit -f 0; nr-policy -f rules five 2>&1' | cat >told
trap - XFSZ
like 'what cannot be learnt is refused' 'error: it cannot be learnt' told
is 'and half of nothing is written' "# those we know
$alice" "$(cat known)"
rm held.jsonl
printf 'hold "held.jsonl"\n' >rules
rc 1 'a dry run'	nr-policy -f rules --dry-run events
ok 'holds nothing'	test ! -e held.jsonl
is 'and counts'		'4 4' "$(jq -r 'select(.text) | "\(.matched) \(.decided)"' out)"

# ---- plugins of others
cat >shell.sh <<'END'
#!/bin/sh
# as the documentation of strfry has one
while read -r line; do
	case $line in
	*'"kind":7,'*) printf '{"id":"%s","action":"reject","msg":"blocked: seven"}\n' "$(printf %s "$line" | jq -r .event.id)" ;;
	*) printf '{"id":"%s","action":"accept","msg":""}\n' "$(printf %s "$line" | jq -r .event.id)" ;;
	esac
done
END
cat >python.py <<'END'
import json, sys
for line in sys.stdin:
    e = json.loads(line)["event"]
    a = "shadowReject" if e["kind"] == 8 else "accept"
    print(json.dumps({"id": e["id"], "action": a, "msg": ""}), flush=True)
END
cat >rules <<'END'
exec "sh shell.sh"
exec "python3 python.py" kind { 1 8 9 }
reject "last" kind 9
END
{ ev 1; ev 2 '{kind: 7}'; ev 3 '{kind: 8}'; ev 4 '{kind: 9}'; } >events
rc 1 'a chain'		nr-policy -f rules --explain events
is 'of plugins'		'accept  default
reject blocked: seven rules:1
shadowReject  rules:2
reject last rules:3' "$(jq -r '.action + " " + .message + " " + .rule' out)"
echo 'exec { "sh shell.sh" "python3 python.py" }' >rules
rc 1 'side by side'	nr-policy -f rules --explain events
is 'all have to accept' 'accept reject shadowReject accept' "$(jq -r .action out | paste -sd ' ')"
req 1 | jq -c '. as $r | range(1000, 1500) | . as $i | $r |
    .event.id = "0" * 60 + ($i | tostring)' >requests
rc 0 'as a plugin'	sh -c 'nr-policy --plugin -f rules <requests'
is 'many in flight'	'500 accept' "$(jq -r .action out | sort | uniq -c | sed 's/^ *//')"
for bad in 'exit 0' 'sleep 1000' 'yes nonsense' 'echo {\"id\":\"x\",\"action\":\"accept\"}; cat' 'head -c 100000000 /dev/zero; sleep 100' 'no-such-command'; do
	printf 'reject "before" kind 8\nexec "%s" timeout 300ms kind 1\naccept\n' \
	    "$(printf %s "$bad" | sed 's/["\\]/\\&/g')" >rules
	rc 3 "a plugin that is none: $bad" nr-policy -f rules --explain events
	like 'is told'	'rules:2: error: the policy cannot be asked' err
	is 'fails closed, and the others go on' 'reject error reject before accept' \
	    "$(jq -r '.action + " " + (.message | sub(":.*"; ""))' out | sed -n '1p;3p;4p' | paste -sd ' ' | sed 's/ $//')"
done

# ---- a plugin that hangs, and a host that has deadlines: others go on
printf 'exec "sleep 1000" timeout 20s kind 1\n' >rules
mkfifo in
NR_POLICY_HOST=1 nr-policy --plugin -f rules <in >answers 2>log &
exec 7>in
for i in $(seq 40); do req "$i" '{}' "{seq: $i}"; done >&7
req 41 '{kind: 7}' '{seq: 41}' >&7
ok 'what need not wait' wait_for 15 grep -q '"seq":41}' answers
is 'does not'		2 "$(wc -l <answers)"
exec 7>&-
kill $!
wait $! 2>/dev/null
is 'a signal ends it'	143 $?

# ---- the end, when one of two in a row still answers
cat >later.py <<'END'
import json, sys, time
for line in sys.stdin:
    e = json.loads(line)["event"]
    if e["kind"] == 2:
        open("asked", "w").close()
        time.sleep(1)
    print(json.dumps({"id": e["id"], "action": "accept"}), flush=True)
END
cat >stuck.sh <<'END'
read -r line; echo "$line" >has
trap '' TERM
sleep 1000
END
printf 'exec "python3 later.py" timeout 20s\nexec "sh stuck.sh" timeout 20s\n' >rules
nr-policy --plugin -f rules <in >answers 2>log &
exec 7>in
req 1 >&7
ok 'the second is asked' wait_for 10 test -s has
req 2 '{kind: 2}' >&7
ok 'and the first again' wait_for 10 test -e asked
kill $!
wait $! 2>/dev/null
is 'a signal ends it, too' 143 $?
exec 7>&-
is 'nothing is accepted' '2 reject' "$(jq -r .action answers | sort | uniq -c | sed 's/^ *//')"

# ---- what is let go of does not hold up the others
printf 'exec "sh stuck.sh" timeout 3s kind 1\n' >rules
rm has
nr-policy --plugin -f rules <in >answers 2>log &
exec 7>in
req 1 >&7
ok 'one that hangs'	wait_for 10 test -s has
echo 'accept' >rules
ok 'is not named any more' wait_for 10 grep -q 'read again' log
ok 'it fails'		wait_for 20 test -s answers
req 2 >&7
ok 'the others go on'	wait_for 10 grep -q '"accept"' answers
exec 7>&-
wait $!
is 'to the end'		0 $?
done_testing
