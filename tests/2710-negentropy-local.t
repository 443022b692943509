#!/bin/sh
# nr-negentropy between stores, files and commands; options and statuses.
. "${0%/*}/lib.sh"
umask 077
unset NOSTR_SECRET_KEY NR_STORE

nr-bench gen -q -n 3000 --seed 61 --model churn >all
awk 'NR % 10 != 1' all | nr-import -q -S a >sum
awk 'NR % 7 != 2' all | nr-import -q -S b >sum
ids() { nr-export -S "$1" --ids | sort; }
{ nr-export -S a; nr-export -S b; } | nr-import -q -S union >sum
ids union >want
# Deletions of one side reach the other's events only when both have them.
field() { jq -r ".$1" out; }

rc 1 'a dry run: they differ'	nr-negentropy -S a --dry-run ./b
have=$(field have) need=$(field need)
ok 'in both directions'		test "$have" -gt 50 -a "$need" -gt 50
rc 1 'by id'			nr-negentropy -S a --ids ./b
is 'a line for each' "$((have + need))" "$(grep -cE '^(have|need) [0-9a-f]{64}$' out)"
rc 0 'both directions'		nr-negentropy -S a --both --private --protected ./b
rc 0 'once more, for what came by deletions' \
    nr-negentropy -S a --both --private --protected ./b
rc 0 'then nothing differs'	nr-negentropy -S a --dry-run ./b
ids a >got.a
ids b >got.b
same 'the first is the union'	want got.a
same 'the second, too'		want got.b
rc 0 'the first is whole'	nr-store -S a check
rc 0 'the second, too'		nr-store -S b check

rc 0 'a command'	nr-negentropy -S c --exec 'nr-negentropy -S b --stdio'
ids c >got; same 'leads to a store'	want got
rc 0 'a new store'	nr-negentropy -S c --up --private --protected ./new
ids new >got; same 'is filled'		want got
# A request to vanish that is moved is acted upon, as one that is imported.
now=$(date +%s)
draft() { nr-sign -q -K key | nr-import -q -S "$1" >sum; }
printf '%064d\n' 5 >key
printf '{"kind":1,"content":"before","tags":[],"created_at":%d}\n' $((now - 50)) | draft gone
printf '{"kind":62,"content":"","tags":[["relay","ALL_RELAYS"]],"created_at":%d}\n' $((now - 20)) | draft asked
rc 0 'a request to vanish'	nr-negentropy -S gone ./asked
is 'is acted upon'	62 "$(nr-export -S gone | jq .kind)"
rc 0 'and nothing is left'	nr-store -S gone check
printf '{"kind":1,"content":"late","tags":[],"created_at":%d}\n' $((now - 30)) | draft late
rc 0 'what comes after it'	nr-negentropy -S gone ./late
is 'stays away'		62 "$(nr-export -S gone | jq .kind)"

rc 3 'a command that is none'	nr-negentropy -S c --tries 1 --exec 'exit 1'
rc 3 'a command that says nothing'	nr-negentropy -S c --tries 1 --exec true
rc 3 'a command that talks nonsense'	nr-negentropy -S c --tries 1 --exec 'echo hello; cat'
rc 3 'a command that is not there' \
    nr-negentropy -S c --follow --exec nonesuch-command
like 'is not tried for ever'		'ended with status 127' err
rc 3 'a store that cannot be' \
    nr-negentropy -S c --follow --both /proc/nonesuch
like 'neither'				'/proc/nonesuch: ended with status 3' err
rc 2 'a store without a slash'	nr-negentropy -S c b
like 'is no host'		'^nr-negentropy: b: a directory; ./b is meant, or wss://b\?$' err
rc 2 'two peers'		nr-negentropy -S c 127.0.0.1:1 127.0.0.1:2
like 'are one too many'		'one peer only, and this is no filter: 127.0.0.1:2' err
rc 2 'a command and a peer'	nr-negentropy -S c --exec cat ./b
like 'too'			"--exec takes the peer's place, and this is no filter: ./b" err
rc 3 'a command that is an echo' nr-negentropy -S c --tries 1 --exec cat
like 'is no relay'		'cat: it does not answer as a relay would$' err
rc 2 'a file'			nr-negentropy -S c want
rc 2 'a socket'			nr-negentropy -S c unix:/tmp/socket
rc 3 'nobody there'		nr-negentropy -S c --tries 1 127.0.0.1:1
rc 3 'into a new store'		nr-negentropy -S fresh --tries 1 127.0.0.1:1
ok 'leaves none'		test ! -e fresh
mkdir fresh
rc 3 'into a folder'		nr-negentropy -S fresh --tries 1 127.0.0.1:1
ok 'leaves that'		test -d fresh
rc 3 'a store that is not there, upwards'	nr-negentropy -S nowhere --up ./b

# ---- what passes through a command
rc 0 'down through a command'	nr-negentropy -S p --policy-down 'grep "\"kind\":1,"' ./b
nr-export -S b -k 1 --ids | sort >want.p
ids p >got; same 'what it lets pass' want.p got
kind=$(nr-export -S b | jq .kind | sort | uniq -c | sort -rn |
    awk 'NR == 1 { print $2 }')
rc 0 'up through a command' nr-negentropy -S b --up --private --protected \
    --policy-up "grep '\"kind\":$kind,'" ./q
ok 'holds the others'		test "$(field held_up)" -gt 100
ok 'lets some pass'		test "$(nr-export -S q --count)" -gt 10
nr-export -S b -k "$kind" --ids | sort >want.q
ids q >got; same 'what it lets pass'	want.q got
rc 0 'one that lets nothing pass' nr-negentropy -S r --policy-down 'grep nothing' ./b
is 'nothing'			0 "$(nr-export -S r --count)"
is 'as it says'			"$(wc -l <want) 0" "$(jq -r '"\(.held_down) \(.stored)"' out)"
rc 3 'one that ends at once'	nr-negentropy -S r --policy-down true ./b
is 'leaves figures'		failed "$(field status)"
rc 3 'one that fails'		nr-negentropy -S r --policy-down 'cat >/dev/null; exit 7' ./b
is 'does, too'			failed "$(field status)"
like 'and says why'		'exit 7: ended with status 7$' err
rc 3 'one that is not there'	nr-negentropy -S b --policy-up nowhere --up ./q
is 'too'			failed "$(field status)"
like 'is named'			'nowhere: (ended with status 127|it does not read)' err
rc 2 'one for what does not go up' nr-negentropy -S b --policy-up cat ./q
rc 2 'nor down'			nr-negentropy -S b --up --policy-down cat ./q
rc 1 'one that writes nonsense'	nr-negentropy -S r --policy-down 'echo nonsense; cat' ./b
ids r >got; same 'loses nothing by it'	want got
rc 1 'one that changes events'	nr-negentropy -S t --policy-down "sed 's/sig/sig/; s/content.:./&forged /'" ./q
is 'changes nothing'		0 "$(nr-export -S t --count)"

# ---- files
nr-export -S union >events
zstd -q events
head -500 events >some
rc 0 'a file'			nr-negentropy --file some ./b
is 'what it lacks comes to stdout' $(($(wc -l <want) - 500)) "$(wc -l <out)"
cat some out >whole
nr-verify -q <whole >valid
sort whole >got; sort events >want.events
same 'all of them, as they are'	want.events got
ok 'with figures on stderr'	grep -q '"written"' err
rc 0 'compressed, upwards'	nr-negentropy --file events.zst --up --private --protected ./fromfile
ids fromfile >got; same 'all arrives'	want got
rc 1 'from stdin'		sh -c 'nr-negentropy --file - --dry-run ./b <some'
jq -r '"\(.created_at),\(.id)"' some >records
rc 1 'times and ids'		nr-negentropy --records records --dry-run ./b
is 'are compared' "0 $(($(wc -l <want) - 500))" "$(field have) $(field need)"
{ cat some; echo nonsense; } >bad
rc 1 'a bad line'		nr-negentropy --file bad --up ./b
like 'is named'			'bad: line 501: ' err
printf '%s' "$(head -1 some)" >one
rc 1 'a last line without its end'	nr-negentropy --file one --dry-run ./b
is 'counts'			0 "$(field have)"
{ head -c 2000000 /dev/zero | tr '\0' x; echo; head -1 some; } >long
rc 1 'a line that is too long'	nr-negentropy --file long --up ./b
is 'costs itself'		0 "$(field have)"
rc 3 'no file'			nr-negentropy --file nowhere ./b

# ---- usage
rc 2 'an unknown option'	nr-negentropy -Z ./b
rc 2 'no peer'			nr-negentropy -S a
rc 2 'no URL'			nr-negentropy -S a 'http://x'
rc 2 'two sides'		nr-negentropy -S a --file some ./b
rc 2 'two files'		nr-negentropy --records some --file some ./b
rc 2 'nothing to send'		nr-negentropy --records some --up ./b
echo nonsense >nonsense
rc 2 'not an event in it'	nr-negentropy --file nonsense ./b
like 'is said'			'nonsense: not one line of it is an event' err
rc 2 'nor an id'		nr-negentropy --records nonsense ./b
like 'is said'			'nonsense: not one line of it is a time and an id' err
rc 2 'to follow a file'		nr-negentropy --file some --follow ./b
rc 2 'a bad filter'		nr-negentropy -S a ./b '{"kinds":1}'
rc 2 'frames that are too small' nr-negentropy -S a --frame-size 100 ./b
rc 2 'no such time'		nr-negentropy -S a --timeout soon ./b
rc 2 'no CA file'		nr-negentropy -S a --ca-file nowhere ./b
rc 0 '--help'			nr-negentropy --help
rc 0 '--version'		nr-negentropy --version
if [ -w /dev/full ]; then
	full() { nr-negentropy --file some ./b >/dev/full; }
	rc 3 'a full disk'		full
fi
closed() { nr-negentropy --file - --dry-run ./b <&-; }
rc 3 'closed stdin'		closed
is 'no sockets are left' '' "$(find "${TMPDIR:-/tmp}" -maxdepth 1 -name 'nr.??????' -user "$(id -u)" -newer all)"
done_testing
