#!/bin/sh
# The configuration: its file, what goes before what, and reloading.
. "${0%/*}/lib.sh"

says() { like "says: $1" "$1" err; }
check() {
	want=$1 name=$2
	shift 2
	rc "$want" "$name" nr-serve -T "$@"
}

cat >good.conf <<'END'
# comments, quotes, words, lists
name = "a relay"
nip11 = '{"name": "another", "tags": ["a", {"b":[]}], "software":"x"}'
description = ''
max_limit = 1K
listen = {"127.0.0.1:0", "[::1]:0"}
url = wss://relay.example.com
url = {"ws://127.0.0.1:1", 'wss://b.example.com'}
write = auth
private_kinds = "4, 1059"
END
check 0 'a file'			-c good.conf
is 'of which nothing is said' ''	"$(cat out err)"
check 0 'no file'
printf 'include("good.conf")\nmax_filters = 3\n' >more.conf
check 0 'one that includes another'	-c more.conf
bad() {
	printf 'name = x\n%s\n' "$1" >bad.conf
	check 2 "wrong: $1"		-c bad.conf
	says "^nr-serve: bad.conf: line [23]: $2"
	is 'in one line' 1 "$(wc -l <err)"
}
bad 'max_limit = 0'		'max_limit: 0: not from 1 to 1000000'
bad 'max_limit = ten'		'max_limit: ten: not a number'
bad 'max_limt = 5'		".*'max_limt'"
bad 'read = all'		'read: all: not open, auth or members'
bad 'listen = "host"'		'listen: host: not an IP address'
bad 'url = {"ws://a", "b"}'	'url: b: not a ws://'
bad 'private_kinds = "1, x"'	'private_kinds: 1, x: not a list of kinds'
bad 'pubkey = npub1'		'pubkey: npub1: not 64'
bad "nip11 = '{\"a\"}'"		'nip11: .*: not a JSON object'
bad "nip11 = '{\"a\":1,}'"	'nip11: .*: not a JSON object'
bad "nip11 = '{,\"a\":1}'"	'nip11: .*: not a JSON object'
bad "nip11 = '{\"limitation\":{}}'" 'nip11: .*: limitation and'
bad 'log_level = loud'		'log_level: loud: not error, warning'
bad 'log_format = xml'		'log_format: xml: not text or json'
bad 'self = me'			'self: me: not 64'
bad 'max_limit'			'.'
bad 'max_limit = {1'		'.'
bad 'name = "'			'.'
check 2 'not there'			-c nothing.conf
says 'nothing.conf: No such file'
check 2 'a folder'			-c .
check 2 'what does not go together'	--set write=members
says 'members: needed'
check 2 'members without a file'	--set write=members --set members=none
says 'members: none: No such file'
printf '%064d\nnpub1x\n' 0 >list
check 2 'members that are none'		--set members=list
says 'members: list: line 2: not a public key'
head -c 5000 /dev/zero | tr '\0' x >long
check 2 'a line that is no key'		--set members=long
NR_SERVE_MAX_LIMIT=x check 2 'the environment'
says 'environment: max_limit: x: not a number'

# What goes before what.
serve() {
	rm -f ready log
	nr-serve -S store --ready-fd 3 "$@" 3>ready 2>log &
	relay=$!
	wait_for 10 test -s ready
	url=$(sed -n 's/.*serving ws\(.*\)/http\1/p' log | head -1)
}
info() {
	curl -s -H 'Accept: application/nostr+json' "$url" | jq -r "$1"
}
stop() {
	kill "$relay"
	wait "$relay"
	is 'it ends well' 0 $?
}
export NR_SERVE_MAX_FILTERS=4 NR_SERVE_NAME=env NR_SERVE_CONTACT=me
serve -c good.conf --set max_limit=2K
is 'more for the document'		'["a",{"b":[]}] x' "$(info '"\(.tags | tojson) \(.software)"')"
is 'goes before the rest'		another "$(info .name)"
is 'an option goes before the file'	2048 "$(info .limitation.max_limit)"
is 'the environment counts'		me "$(info .contact)"
is 'and the file'			true "$(info .limitation.restricted_writes)"
is 'all addresses are served'		2 "$(grep -c serving log)"
stop
unset NR_SERVE_MAX_FILTERS NR_SERVE_NAME NR_SERVE_CONTACT
serve -c good.conf --listen 127.0.0.1:0
is 'an option replaces a list'		1 "$(grep -c serving log)"
stop
NR_SERVE_LISTEN='127.0.0.1:0 127.0.0.1:0  127.0.0.1:0' serve
is 'a list in the environment has spaces'	3 "$(grep -c serving log)"
stop

# A policy that cannot be run: not one event would be accepted.
echo 'echo' >dull
mkdir folder
while IFS='|' read -r policy why; do
	check 2 "no policy: $policy" --set policy="$policy"
	says "policy: $why\$"
done <<'END'
/no/such/plugin --fast|/no/such/plugin: No such file or directory
no-such-plugin|no-such-plugin: No such file or directory
LEVEL=2 exec no-such-plugin -x; true|no-such-plugin: No such file or directory
./dull|./dull: Permission denied
./folder/|./folder/: Permission denied
./a=b/none rules|./a=b/none: No such file or directory
END
rc 2 'nor does it serve'	timeout 10 nr-serve -S store --listen 127.0.0.1:0 --set policy=./dull
while read -r policy; do
	check 0 "may be one: $policy" --set policy="$policy"
done <<'END'
nr-policy --plugin -f rules
A=1 exec nr-policy --plugin
"$HOME"/no/such/plugin
PATH=/no/such plugin
2>/dev/null cat
cd / && exec no-such-plugin
if true; then cat; fi
f () { cat; }; f
(cat)
END
serve --listen 127.0.0.1:0 -c /dev/null --set policy=cat
stop

# A Unix socket.
echo junk >taken
rc 3 'a path that is taken'	timeout 10 nr-serve -S store --listen "unix:$PWD/taken"
says 'cannot serve unix:.*taken: File exists'
is 'is left alone' junk		"$(cat taken)"
check 2 'a path that is too long' --listen "unix:/$(printf '%0200d' 0)"
says 'the path is too long'
serve --listen "unix:$PWD/sock" --listen 127.0.0.1:0
wait_for 5 test -S sock
ask() {
	curl -s --unix-socket sock -H 'Accept: application/nostr+json' http://relay/ | jq -r .name
}
is 'a Unix socket'		nr-serve "$(ask)"
like 'which the log names'	'serving unix:/.*/sock$' log
rc 3 'that is in use'		timeout 10 nr-serve -S other --listen "unix:$PWD/sock"
says 'Address already in use'
is 'goes on'			nr-serve "$(ask)"
cat >ws.mjs <<'END'
const { default: WebSocket } = await import(process.argv[2])
const ws = new WebSocket('ws+unix://' + process.cwd() + '/sock:/')
ws.on('open', () => ws.send('["REQ","a",{"limit":0}]'))
ws.on('message', m => { if (String(m).startsWith('["EOSE"')) { console.log('eose'); process.exit() } })
END
is 'takes WebSockets' eose	"$(timeout 10 node ws.mjs "$top/tests/node/node_modules/ws/wrapper.mjs")"
kill -9 "$relay"
wait "$relay" 2>/dev/null
ok 'one that was left behind'	test -S sock
serve --listen "unix:$PWD/sock" --listen 127.0.0.1:0
is 'is replaced'		nr-serve "$(ask)"
stop
ok 'and removed in the end'	test ! -e sock

# Reloading.
cat >live.conf <<'END'
name = first
max_limit = 10
read = members
members = "list"
END
printf '%064d\n' 0 >list
serve -c live.conf --listen 127.0.0.1:0
is 'as the file has it'			'first 10' "$(info '"\(.name) \(.limitation.max_limit)"')"
cat >live.conf <<'END'
name = second
max_limit = 20
ping_seconds = 7
END
kill -HUP "$relay"
ok 'it is read again'		wait_for 5 grep -q 'configuration is loaded' log
is 'and holds'			'second 20' "$(info '"\(.name) \(.limitation.max_limit)"')"
like 'but for what needs a restart'	'ping_seconds: needs a restart' log
echo 'max_limit = x' >>live.conf
kill -HUP "$relay"
ok 'one that is wrong'		wait_for 5 grep -q 'stays as it was' log
like 'is told with its line'	'error: live.conf: line 4: max_limit: x' log
is 'and nothing changes'	'second 20' "$(info '"\(.name) \(.limitation.max_limit)"')"
printf 'policy = "%s"\n' "$PWD/dull" >live.conf
kill -HUP "$relay"
ok 'nor with a policy that cannot be run' wait_for 5 sh -c "[ \$(grep -c 'stays as it was' log) = 2 ]"
like 'which is told'		'policy: .*/dull: Permission denied' log
for i in 1 2 3 4 5 6 7 8; do
	echo "name = n$i" >live.conf
	kill -HUP "$relay"
	wait_for 5 sh -c "[ \$(grep -c 'is loaded' log) = $((i + 1)) ]" || break
done
is 'many times'			n8 "$(info .name)"
kill -HUP "$relay"
stop
result 0 'also while it is told to reload'
done_testing
