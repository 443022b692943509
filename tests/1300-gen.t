#!/bin/sh
# nr-bench gen: the same options, the same events, on every machine; and a
# relay takes what the network model makes.
. "${0%/*}/lib.sh"

gen() { nr-bench gen "$@"; }
print() { jq -r '"\(.model) \(.version) \(.seed) \(.events) \(.fingerprint)"' err; }

# Another output is another version: raise NR_GEN_VERSION with these.
rc 0 'the network model'	gen -n 2000 --seed 42
is 'is what it was'		'network 2 42 2000 45377e76175adb1ff8c93b25ef64311dd113c1dac345f6f93aed90747a00dbad' "$(print)"
cp out network
is 'the fingerprint is the SHA-256 of the ids' "$(jq -r .fingerprint err)" \
    "$(jq -r .id network | python3 -c 'import hashlib, sys
print(hashlib.sha256(bytes.fromhex(sys.stdin.read())).hexdigest())')"
rc 0 'the churn model'		gen -n 2000 --seed 42 --model churn
is 'likewise'			'churn 2 42 2000 2d3d377c0f7711f5a00aa3bbded7b5fc629998444f6af55d8cc0f6b9e9e8271b' "$(print)"
rc 0 'all are valid'		nr-verify -q <out
rc 0 'in one thread'		gen -n 2000 --seed 42 -j 1
same 'byte for byte'		network out
rc 0 'in three'			gen -n 2000 --seed 42 -j 3
same 'byte for byte'		network out
gen -q -n 2000 --seed 43 >other
is 'another seed, other events'	0 "$(cat network other | jq -r .id | sort | uniq -d | wc -l)"

# ---- what the page says
is 'when they were created'	'1700 1710' "$(jq -s 'map(.created_at / 1e6 | floor) |
    "\(min) \(max)"' network | tr -d '"')"
gen -q -n 500 --since 1600000000 --until 1600000100 >then
is 'or then'			500 "$(jq 'select(.created_at >= 1600000000 and
    .created_at <= 1600000100) | .id' then | wc -l)"
gen -q -n 500 --since 2020-09-13T12:26:40Z --until 2020-09-13T12:28:20Z >date
same 'in dates, too'		then date
gen -q -n 500 --since 30d --until 1h >age
now=$(date +%s)
is 'and by age'			500 "$(jq "select(.created_at >= $now - 30 * 86400 - 600 and
    .created_at <= $now - 3600) | .id" age | wc -l)"
is 'a few authors'		true "$(gen -q -n 500 --authors 3 | jq -s '[.[].pubkey] | unique | length == 3')"
share() { # KIND THOUSANDTHS
	is "kind $1"	true "$(jq -s "(map(select(.kind == $1)) | length) * 1000 / length |
	    . > $2 - 40 and . < $2 + 40" network)"
}
share 1 420; share 7 260; share 9735 70
is 'notes that expire'	true "$(jq -s '[.[] | select(any(.tags[]; .[0] == "expiration"))] |
    length > 5 and all(.[]; .kind == 1)' network)"
is 'do so in a century'	true "$(jq -s '[.[] | .created_at as $t | .tags[] |
    select(.[0] == "expiration") | (.[1] | tonumber) - $t] | min > 36000 * 86400' network)"

# ---- a relay takes them all
nr-serve -S store --listen 127.0.0.1:0 2>log &
wait_for 10 grep -q serving log
url=ws://$(grep -oE '127.0.0.1:[0-9]+' log | head -1)
publish() { nr-publish --private "$url" <network; }
rc 0 'all are accepted'		publish
like 'every one of them'	'2000 events: 2000 accepted' err

# ---- usage
rc 0 'none at all'		gen -n 0
is 'is nothing'			'' "$(cat out)"
rc 2 'no such model'		gen --model real
rc 2 'no number'		gen -n many
rc 2 'no authors'		gen --authors 0
rc 2 'an end before the start'	gen --since 5 --until 4
rc 2 'no time'			gen --since yesterday
like 'which is told'		'since: not a time .*: yesterday' err
rc 2 'no operands'		gen here
rc 2 'an unknown option'	gen -Z
if [ -w /dev/full ]; then
	full() { gen >/dev/full; }
	rc 3 'a full disk is status 3'	full
fi
done_testing
