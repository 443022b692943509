#!/bin/sh
# The rules in contrib/policies: what each says of a table of events, and
# that real events go through.
. "${0%/*}/lib.sh"

me=aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa
friend=bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb
stranger=cccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc
bad=dddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddd
cp "$top"/contrib/policies/*.rules .
for f in me members authors; do echo $me >$f; done
echo $bad >banned
: >guests
n=0

# An event with these members; neither id nor signature count.
ev() {
	n=$((n + 1))
	jq -nc --arg me $me --arg friend $friend --arg stranger $stranger \
	    --arg bad $bad "(now | floor) as \$now | {id: \"f$(printf %063x $n)\",
	    pubkey: \$me, created_at: \$now, kind: 1, tags: [],
	    content: \"hello\", sig: (\"0\" * 128)} + $1"
}

# PRESET WANT EVENT [OPTION...]; WANT is accept or a message's first word
t() {
	preset=$1 want=$2
	ev "$3" >event
	name="$preset: $3 ${4:-} ${5:-} ${6:-}"
	shift 3
	nr-policy -q -f "$preset.rules" --explain --source ip4 \
	    --from 192.0.2.1 "$@" event >out 2>err
	is "$name" "$want" "$(jq -r 'if .action == "reject" then
	    .message | sub(":.*"; "") else .action end' out)$(head -3 err)"
}

for p in open personal community dm-inbox outbox archive mirror; do
	rc 0 "$p: in order"	nr-policy -f $p.rules -T
done

loud='content: "BUY THIS NOW https://a.example https://b.example https://c.example https://d.example AND NOTHING ELSE"'
t open accept '{}'
t open accept '{pubkey: $stranger, content: "https://a.example https://b.example"}'
t open blocked '{content: "my key is nsec1vl029mgpspedva04g90vltkh6fvh240zqtv9k0t9af8935ke9laqsnlfe5"}'
t open invalid '{tags: [range(2001) | ["t", "\(.)"]]}'
t open blocked "{$loud}"
t open accept "{id: (\"0\" * 64), $loud}"
t open accept '{kind: 1059, tags: [["p", $me]]}'
t open blocked '{kind: 1059, tags: [["p", $me], ["p", $friend]]}'
t open accept '{kind: 3, tags: [range(500) | ["p", "\(.)"]]}'

t personal accept '{}'
t personal accept '{kind: 30023}'
t personal restricted '{pubkey: $stranger}'
t personal accept '{pubkey: $stranger, tags: [["p", $me]]}'
t personal accept '{pubkey: $stranger, kind: 1059, tags: [["p", $me]]}'
t personal restricted '{pubkey: $stranger, kind: 1059, tags: [["p", $friend]]}'
t personal restricted '{pubkey: $stranger, kind: 0, tags: [["p", $me]]}'
t personal blocked '{pubkey: $stranger, tags: [["p", $me], (range(20) | ["p", "\(.)"])]}'

t community accept '{}'
t community blocked '{pubkey: $bad}'
t community restricted '{pubkey: $friend}'
t community accept '{pubkey: $stranger, kind: 28934}'
t community restricted '{pubkey: $stranger, kind: 28934, created_at: ($now - 3600)}'
t community accept '{kind: 1059}'

t dm-inbox accept '{pubkey: $stranger, kind: 1059, tags: [["p", $me]]}'
t dm-inbox restricted '{pubkey: $stranger, kind: 1059, tags: [["p", $friend]]}'
t dm-inbox blocked '{pubkey: $stranger, kind: 1059, tags: [["p", $me], ["p", $friend]]}'
t dm-inbox accept '{kind: 10050}'
t dm-inbox blocked '{kind: 1}'
t dm-inbox blocked '{kind: 10050, pubkey: $stranger}'

t outbox accept '{}'
t outbox accept '{kind: 10002}'
t outbox restricted '{pubkey: $stranger}'
t outbox blocked '{kind: 4}'

t archive accept '{pubkey: $stranger}'
t archive blocked '{kind: 20001}'
t archive blocked '{tags: [["expiration", "\($now + 86400)"]]}'
t archive accept '{tags: [["expiration", "99999999999"]]}'
t archive blocked '{tags: [["-"]]}'
t archive accept '{tags: [["-"]]}' --auth $me
t archive blocked '{kind: 1059}'

t mirror restricted '{}'
t mirror accept '{}' --source sync
t mirror accept '{}' --source import
t mirror accept '{kind: 62, tags: [["relay", "ALL_RELAYS"]]}'
t mirror restricted '{kind: 62, tags: [["relay", "wss://example.com"]]}'

# ---- what they remember
many() {
	preset=$1 count=$2
	ev "$3" | jq -c --argjson n "$count" '. as $e | range($n) | . as $i |
	    $e | .id = "f" * 60 + (1000 + $i | tostring)' >event
	shift 3
	nr-policy -q -f "$preset.rules" --source ip4 --from 192.0.2.9 \
	    "$@" event | wc -l
}
is 'open: not more than 60 a minute'	60 "$(many open 70 '{}')"
is 'open: by author, of each kind'	30 "$(many open 40 '{kind: 0, pubkey: $friend}')"
is 'personal: strangers are held back'	60 "$(many personal 70 '{pubkey: $stranger, tags: [["p", $me]]}')"
is 'dm-inbox: likewise'			60 "$(many dm-inbox 70 '{pubkey: $stranger, kind: 1059, tags: [["p", $me]]}')"
ev '{kind: 30000, tags: [["d", "guests"], ["p", $friend]]}' >invitation
ev '{kind: 30000, pubkey: $stranger, tags: [["d", "guests"], ["p", $stranger]]}' >>invitation
nr-policy -q -f community.rules invitation >out
is 'community: a member invites'	$friend "$(cat guests)"
t community accept '{pubkey: $friend}'
t community restricted '{pubkey: $friend, kind: 1059}'
t community restricted '{pubkey: $stranger}'
rm -f state
spam='content: "This is the very same text, which some machine writes again and again for many different authors"'
for i in 1 2 3 4 5 6 7 8 9; do
	ev "{pubkey: (\"$i\" * 64), $spam, tags: [range(9) | [\"t\", \"\\(.)\"]]}"
done >event
nr-policy -q -f open.rules event >out
# How many there were is an estimate, under a salt of its own in each state.
ok 'open: texts that come again'	test "$(wc -l <out)" -ge 3 -a "$(wc -l <out)" -le 5

# ---- real events
if [ -r "$corpus/real.jsonl.zst" ]; then
	all=$(zstdcat "$corpus/real.jsonl.zst" | wc -l)
	for p in open personal community dm-inbox outbox archive mirror; do
		rm -f state
		nr-policy -q -f $p.rules -r refused --clock created_at \
		    "$corpus/real.jsonl.zst" >out 2>err
		is "$p: every real event has a verdict" "$all 0" \
		    "$(($(wc -l <out) + $(wc -l <refused))) $(wc -l <err)"
		nr-policy -q -f $p.rules --dry-run --clock created_at \
		    "$corpus/real.jsonl.zst" | jq -s '.[-1]' >sum
		note "$p: $(jq -c . sum)"
		[ $p != open ] || continue	# see above
		nr-policy -q -j 1 -f $p.rules --dry-run --clock created_at \
		    "$corpus/real.jsonl.zst" | jq -s '.[-1]' >again
		same "$p: one thread says the same" sum again
	done
else
	note 'no ../shared/corpus: no real events'
fi
done_testing
