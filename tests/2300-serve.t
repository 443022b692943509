#!/bin/sh
# nr-serve as a process: options, statuses, readiness, the log, the end.
. "${0%/*}/lib.sh"

# A store that is held: somebody who fills it has been stopped.
nr-bench gen -n 30000 -j 2 >events 2>err
(exec nr-import -q -nn -S held <events >/dev/null 2>&1) &
filler=$!
wait_for 5 test -s held/lock
sleep 0.1
kill -STOP $filler
held() { timeout 30 nr-serve -q -S held --listen 127.0.0.1:0; }
(held >held.out 2>held.err; echo $? >held.rc) &
waiter=$!

# How it ends, and what the next one finds.
node "$top/tests/node/drain.mjs" >tap
drained=$?
while IFS= read -r line; do
	case $line in
	'ok '*)		result 0 "${line#*- }" ;;
	'not ok '*)	result 1 "${line#*- }" ;;
	'#'*)		printf '%s\n' "$line" ;;
	esac
done <tap
is 'all of that'			0 $drained

# Where it must not begin to serve.
fails() { timeout 20 nr-serve "$@"; }

# Usage.
rc 0 'help'				nr-serve --help
grep -v '^ ' out | head -1 >first
like 'says how to use it'		'^usage: nr-serve ' first
is 'on stdout'				'' "$(cat err)"
mv out usage
rc 0 'version'				nr-serve --version
like 'says which'			'^nr-serve [0-9]+\.[0-9]+' out
rc 2 'an unknown option'		fails -Z
tail -n "$(wc -l <usage)" err >got
same 'shows the usage'			usage got
rc 2 'an unknown long option'		fails --nonsense
rc 2 'an operand'			fails store
bad() {
	text=$1
	shift
	rc 2 "usage: $*" fails -S unused "$@"
	like "says: $text" "^nr-serve: $text" err
	is 'in one line' 1 "$(wc -l <err)"
}
bad '--set foo=1: there is no key foo'	--set foo=1
bad '--set max_limit: not key=value'	--set max_limit
bad 'max_limit: x: not a number'	--set max_limit=x
bad 'max_limit: : not a number'		--set max_limit=
bad 'max_limit: -1: not a number'	--set max_limit=-1
bad 'max_limit: 0: not from 1 to 1000000'	--set max_limit=0
bad 'max_limit: 99999999999999999999: '	--set max_limit=99999999999999999999
bad 'max_message: 1KB: not a number'	--set max_message=1KB
bad 'pubkey: npub1x: not 64 '		--set pubkey=npub1x
bad 'output_close: less than twice'	--set output_close=4M --set output_pause=3M
bad 'output_close: less than four'	--set output_close=4M --set max_event=2M
bad 'listen: nowhere: not an IP address and a port'	--listen nowhere
bad 'listen: :7777: not an IP address and a port'	--listen :7777
bad 'listen: 127.0.0.1:x: not '		--listen 127.0.0.1:x
bad 'listen: not.an.address:1: not '	--listen not.an.address:1
bad 'listen: 127.0.0.1:7K: not '	--listen 127.0.0.1:7K
bad 'listen: 127.0.0.1:65536: not '	--listen 127.0.0.1:65536
bad '--ready-fd: not a number: x'	--ready-fd x
bad '--ready-fd 99: Bad file descr'	--ready-fd 99
bad '--segment: not from '		--segment 1
ok 'no store is made by mistake'	test ! -e unused

# Places where it cannot be.
denied() {
	name=$1 text=$2
	shift 2
	rc 3 "$name" fails -q "$@"
	like "says: $text" "^nr-serve: .*$text" err
}
: >file
rc 2 'a folder for a configuration' nr-serve -c /tmp
like 'says so'				'^nr-serve: /tmp: Is a directory' err
denied 'a file for a store' 'file: Not a directory' -S file --listen 127.0.0.1:0
denied 'nowhere to make one' 'No such file' -S /nonexistent/a --listen 127.0.0.1:0
denied 'an address that is not ours' '192.0.2.1:0: ' -S s --listen 192.0.2.1:0
if mkdir ro && chmod 555 ro && ! mkdir ro/x 2>/dev/null; then
	denied 'a folder that is not writable' 'Permission denied' \
	    -S ro/s --listen 127.0.0.1:0
else
	denied 'a folder that is not writable' 'proc/s' \
	    -S /proc/s --force --listen 127.0.0.1:0
fi

# Ready, on a descriptor; the log on stderr, and nothing on stdout.
(exec nr-serve -S s --listen 127.0.0.1:0 --ready-fd 5 >s.out 2>s.err 5>s.ready) &
server=$!
ok 'ready'				wait_for 10 test -s s.ready
is 'with a newline'			'0a' "$(od -An -tx1 s.ready | tr -d ' ')"
port=$(sed -n 's/.*serving ws:\/\/127\.0\.0\.1:\([0-9]*\)$/\1/p' s.err)
ok 'the log says where'			test "${port:-0}" -gt 0
denied 'a port in use' "127.0.0.1:$port: Address already in use" \
    -S s2 --listen "127.0.0.1:$port"
ok 'the first one goes on'		kill -0 $server

# Two on one store, and two addresses; -q is quiet.
(exec nr-serve -q -S s --listen 127.0.0.1:0 --listen 127.0.0.1:0 \
    --ready-fd 5 >q.out 2>q.err 5>q.ready) &
second=$!
ok 'a second relay on the store'	wait_for 10 test -s q.ready
rc 3 'reindex beside them'		nr-store -q -S s reindex
kill -TERM $second
wait $second
is 'SIGTERM: status 0'			0 $?
is '-q: no word'			'' "$(cat q.err)"
nr-bench gen -n 10 >ten 2>err
rc 0 'an import beside it'		nr-import -q -S s ten
kill -INT $server
wait $server
is 'SIGINT: status 0'			0 $?
is 'nothing on stdout'			'' "$(cat s.out q.out)"
is 'every line has name and level'	'' \
    "$(grep -Ev '^nr-serve: (info|warning|error): ' s.err)"
nr-export -S s >got
is 'the store is whole'			10 "$(wc -l <got)"

# Stores it must not touch.
nr-import -q -S broken ten >out
truncate -s 1000 broken/log/00000001.jsonl
rc 4 'a damaged store'		fails -q -S broken --listen 127.0.0.1:0
like 'is named'			'^nr-serve: broken: stored data is damaged$' err

# A full disk for the log's words is no reason to end.
if [ -w /dev/full ]; then
	(exec nr-serve -S s --listen 127.0.0.1:0 --ready-fd 5 \
	    2>/dev/full 5>f.ready) &
	server=$!
	ok 'a log that cannot be written' wait_for 10 test -s f.ready
	kill -TERM $server
	wait $server
	is 'is no error'		0 $?
fi

wait $waiter
is 'a store that is held: status 3'	3 "$(cat held.rc)"
like 'says by whom'	'^nr-serve: held: held by nr-import [0-9]+: ' held.err
kill -CONT $filler
wait $filler
is 'who held it goes on'		0 $?
(exec nr-serve -q -S held --listen 127.0.0.1:0 --ready-fd 5 5>h.ready) &
server=$!
ok 'and then it serves'			wait_for 10 test -s h.ready
kill -TERM $server
wait $server
done_testing
