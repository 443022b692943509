#!/bin/sh
# nr-sign: every option, every status, keys that are refused, proof of work,
# and streams that are not nice.
. "${0%/*}/lib.sh"
umask 077
unset NOSTR_SECRET_KEY

secret=67dea2ed018072d675f5415ecfaed7d2597555e202d85b3d65ea4e58d2d92ffa
public=7e7e9c42a91bfef19fa929e5fda1b72e0ebc1a4c1141673e2794234d86addf4e
nsec=nsec1vl029mgpspedva04g90vltkh6fvh240zqtv9k0t9af8935ke9laqsnlfe5
echo $secret >key
echo '{"kind":7,"created_at":1700000000,"tags":[["e","x"]],"content":"+"}' >draft

# ---- what is signed
sign() { nr-sign -K key <"$1"; }
rc 0 'a draft is signed'		sign draft
cp out event
rc 0 'nr-verify agrees'			nr-verify event
is 'what is there is kept' '[7,1700000000,[["e","x"]],"+"]' \
    "$(jq -c '[.kind,.created_at,.tags,.content]' event)"
is "the pubkey is the key's"		$public "$(jq -r .pubkey event)"
is 'the line is in normal form' id,pubkey,created_at,kind,tags,content,sig \
    "$(jq -r 'keys_unsorted|join(",")' event)"
before=$(date +%s)
echo '{}' >empty
rc 0 'everything may be missing'	sign empty
is 'then it is an empty note'		'[1,[],""]' \
    "$(jq -c '[.kind,.tags,.content]' out)"
ok 'of now'	test "$(jq .created_at out)" -ge "$before" \
    -a "$(jq .created_at out)" -le "$(date +%s)"
sign event >again
is 'an event is signed anew' "$(jq -c 'del(.sig)' event)" \
    "$(jq -c 'del(.sig)' again)"
jq -c '.id="" | .sig=null | .pubkey=""' event >blanks
rc 0 'id, sig and pubkey may be blank'	sign blanks
is 'the event is the same' "$(jq -c 'del(.sig)' event)" "$(jq -c 'del(.sig)' out)"
nownow() { nr-sign -K key --now draft; }
rc 0 '--now'				nownow
ok 'is the time of signing'		test "$(jq .created_at out)" -ge "$before"

nr-bench gen -q -n 3000 --seed 8 | jq -c 'del(.pubkey)' >drafts
nr-bench gen -q -n 300 --seed 8 --model churn | jq -c '{content}' >>drafts
jq -c '[.tags,.content,.kind]' drafts | sed 's/\[null,/[[],/; s/,null]$/,1]/' >want
for j in 1 2 7; do
	nr-sign -K key -j $j drafts >out
	is "-j $j: status"		0 $?
	jq -c '[.tags,.content,.kind]' out >got
	same "-j $j keeps the order"	want got
	nr-verify -q out >ok
	same 'all of them are valid'	out ok
done

# ---- what is refused
{
	cat draft
	echo "{\"pubkey\":\"$secret\"}"
	echo '{"contents":"misspelt"}'
	echo "{\"pubkey\":\"$public\",\"content\":\"mine\"}"
	echo '{"kind":70000}'
	echo '{"kind":1,"kind":2}'
	echo '{"pubkey":"x"}'
	echo '[]'
	echo '{"content":"last"}'
} >mixed
rc 1 'some are refused'			nr-sign -K key -r rej mixed
is 'the others are signed, in order' '+ mine last' \
    "$(jq -r .content out | tr '\n' ' ' | sed 's/ $//')"
is 'and these reported' '2 other-pubkey
3 unknown-field
5 kind-range
6 duplicate-key
7 pubkey-form
8 not-an-object' "$(jq -r '"\(.line) \(.reason)"' rej)"
like 'on stderr too' '^nr-sign: mixed: line 2: pubkey is not that of the key$' err
like 'with the place' '^nr-sign: mixed: line 3, byte 2: unknown field$' err
rc 1 '-q keeps the status'		nr-sign -q -K key mixed
: >nothing
same 'and says nothing'			nothing err
rc 3 'a rejects file that cannot be written' nr-sign -K key -r /nonexistent/x draft
rc 1 '-m sets the limit'		nr-sign -q -m 10 -K key draft
rc 0 '-m takes a unit'			nr-sign -m 1K -K key draft

# ---- keys
for form in $secret "$nsec" "  $nsec  "; do
	printf '%s' "$form" >other
	rc 0 "a key as $(echo $form | cut -c1-4)"	nr-sign -K other draft
	is 'is the same key'		$public "$(jq -r .pubkey out)"
done
printf '%s\nand notes' $secret >other
rc 0 'it is the first line'		nr-sign -K other draft
for mode in 640 604 660 666 644 610; do
	chmod $mode key
	rc 3 "a file of mode $mode is refused"	sign draft
	like 'for that'			'^nr-sign: key: a key file must be closed' err
	same 'and nothing signed'	nothing out
done
for mode in 400 600 700; do
	chmod $mode key
	rc 0 "one of mode $mode is taken"	sign draft
done
chmod 600 key
if [ "$(id -u)" = 0 ]; then
	cp key theirs && chown 12345 theirs
	rc 3 "somebody else's file is refused"	nr-sign -K theirs draft
	like 'for that'			'must belong to you or to root' err
fi
rc 3 'a directory is refused'		nr-sign -K . draft
like 'for that'				'neither a file nor a pipe' err
rc 3 'so is a device'			nr-sign -K /dev/zero draft
rc 3 'one that is missing'		nr-sign -K none draft
ln -s key link
rc 0 'a link counts as what it leads to' nr-sign -K link draft
mkfifo fifo
(cat key >fifo) &
rc 0 'a named pipe is taken'		nr-sign -K fifo draft
for text in '' x "$public$public" "npub180cvv07tjdrrgpa0j7j7tmnyl2yr6yr7l8j4s3evf6u64th6gkwsyjh6w6" \
    0000000000000000000000000000000000000000000000000000000000000000; do
	printf '%s' "$text" >other
	rc 2 "no key: $(printf %s "$text" | cut -c1-8)"	nr-sign -K other draft
	like 'is said'	'^nr-sign: other: no secret key' err
done
head -c 100000 /dev/zero >other
rc 2 'no key: a long line'		nr-sign -K other draft
rc 2 'no key at all'			sh -c 'echo {} | nr-sign'
like 'is said' 'no key: -K, --key-fd or .NOSTR_SECRET_KEY' err
fd() { cat key - <draft | nr-sign --key-fd 0; }
rc 0 '--key-fd 0: drafts follow the key'	fd
is 'the key is right'			$public "$(jq -r .pubkey out)"
fd3() { nr-sign --key-fd 3 draft 3<key; }
rc 0 '--key-fd 3'			fd3
rc 3 'a descriptor that is not open'	nr-sign --key-fd 9 draft
rc 2 'two keys'				nr-sign --key-fd 0 -K key draft
env_() { NOSTR_SECRET_KEY=$nsec nr-sign draft; }
rc 0 'the environment'			env_
is 'has a key too'			$public "$(jq -r .pubkey out)"
# shellcheck disable=SC2097,SC2098
envbad() { NOSTR_SECRET_KEY=x nr-sign draft; }
rc 2 'a wrong one is usage'		envbad
envover() { NOSTR_SECRET_KEY=x nr-sign -K key draft; }
rc 0 '-K stands above it'		envover
cat rej err out | grep -q -e $secret -e "$nsec"
is 'the key is printed nowhere'		1 $?

# While it runs, nobody sees the key.
mkfifo wait
(NOSTR_SECRET_KEY=$secret exec nr-sign <wait >stream) &
run=$!
exec 3>wait
cat draft >&3
ok 'a stream is passed on line by line'	wait_for 5 test -s stream
if [ -r /proc/$run/status ] && [ "$(id -u)" = 0 ]; then
	tr '\0' '\n' <"/proc/$run/environ" >environ
	grep -q $secret environ
	is 'the environment of the process does not show it'	1 $?
fi
owner=$(stat -c %u /proc/$run/mem 2>/dev/null)
is 'nobody but root may look into its memory'	0 "${owner:-0}"
is 'it leaves no core'	0 "$(awk '/^Max core/ { print $5 }' /proc/$run/limits)"
exec 3>&-
wait $run
is 'and it ends well'			0 $?

# ---- proof of work
bits() {	# leading zero bits of each event's id
	jq -r .id "$@" | node -e '
	for (const l of require("fs").readFileSync(0, "utf8").trim().split("\n")) {
		const z = /^0*/.exec(l)[0].length
		console.log(4 * z + (z < 64 ? Math.clz32(parseInt(l[z], 16)) - 28 : 0))
	}'
}
printf '%s\n' '{"created_at":1700000000,"tags":[["nonce","9","9"],["t","a"],[]],"content":"x\u0001\"\\"}' >work
{ cat work; sed 's/"x/"y/' work; echo '{"tags":[],"created_at":5}'; } >works
for j in 1 2 3; do
	rc 0 "--pow with -j $j"		nr-sign -K key --pow 12 -j $j works
	cp out mined
	is 'every id is good enough'	3 "$(bits mined | awk '$1 >= 12' | wc -l)"
	nr-verify mined >ok
	same 'and valid'		mined ok
done
is 'the nonce is the last tag, once, with its target' \
    '[["t","a"],[],"12"]' "$(head -1 mined | jq -c '[.tags[0,1],.tags[2][2]]')"
is 'where it is the only one, too'	'["nonce","12"]' \
    "$(tail -1 mined | jq -c '[.tags[0][0,2]]')"
is 'created_at stays'			'1700000000 1700000000 5' \
    "$(jq .created_at mined | tr '\n' ' ' | sed 's/ $//')"
rc 0 '--now moves it'			nr-sign -K key --pow 10 --now works
is 'to the present'	3 "$(jq "select(.created_at >= $before) | .id" out | wc -l)"
is 'with the work done'	3 "$(bits out | awk '$1 >= 10' | wc -l)"
rc 1 'work that takes too long is given up'	nr-sign -K key --pow 60 --pow-time 100ms -r rej works
is 'each draft for itself' '1 no-work
2 no-work
3 no-work' "$(jq -r '"\(.line) \(.reason)"' rej)"
rc 1 '-P shows it'	nr-sign -q -P -K key --pow 60 --pow-time 1s work
like 'on stderr'	'ids tried, [0-9]+/s' err
rc 2 'too many bits'	nr-sign -K key --pow 65 work
rc 2 'no time'		nr-sign -K key --pow-time x work
(exec nr-sign -K key --pow 64 work >out) &
# A signal before the exec is the shell's, whose trap it loses there.
wait_for 10 grep -q nr-sign /proc/$!/comm
kill -TERM $!
wait $!
is 'it can be interrupted' 143 $?
nr-serve -S store --listen 127.0.0.1:0 --set min_pow=12 2>log &
wait_for 10 grep -q serving log
node "$top/tests/node/sign.mjs" mined drafts key \
    "ws://127.0.0.1:$(sed -n 's/.*serving ws:.*:\([0-9]*\)$/\1/p' log)" >tap
while IFS= read -r line; do
	case $line in
	'ok '*)		result 0 "${line#*- }" ;;
	'not ok '*)	result 1 "${line#*- }" ;;
	esac
done <tap
like 'nostr-tools has been asked'	'^1\.\.' tap

# ---- streams that are not nice
zstd -q drafts -o drafts.zst
rc 0 'zstd is recognised'		nr-sign -K key drafts.zst
is 'and decompressed'			"$(wc -l <drafts)" "$(wc -l <out)"
printf '%s' "$(cat draft)" >notail
rc 0 'a missing last newline loses nothing'	sign notail
is 'and is repaired'			1 "$(wc -l <out)"
{ printf '{"content":"'; head -c 3000000 /dev/zero | tr '\0' x; printf '"}\n'; cat draft; } >long
rc 1 'an over-long line is a reject'	sign long
is 'and the next draft is signed'	1 "$(wc -l <out)"
like 'and is named'			'line 1: event too long' err
printf '\n\n' | cat - draft >blank
rc 0 'empty lines are no drafts'	sign blank
is 'and make no events'			1 "$(wc -l <out)"
rc 0 'no input is no error'		sign nothing
head -c 200000 /dev/urandom >noise
rc 1 'noise is refused'			nr-sign -q -K key noise
rc 3 'a missing file is status 3'	nr-sign -K key draft /nonexistent
if [ -w /dev/full ]; then
	full() { nr-sign -K key drafts >/dev/full; }
	rc 3 'a full disk is status 3'	full
fi
closed() { nr-sign -K key <&-; }
rc 3 'closed stdin is status 3'		closed
noout() { nr-sign -K key draft >&-; }
rc 3 'closed stdout is status 3'	noout
(nr-sign -K key drafts; echo $? >st) | :
is 'a reader that went away ends it as SIGPIPE does' 141 "$(cat st)"
rc 2 'an unknown option is usage'	nr-sign -Z
rc 2 'so is an operand out of range'	nr-sign -j 0
rc 0 '--help'				nr-sign --help
rc 0 '--version'			nr-sign --version
done_testing
