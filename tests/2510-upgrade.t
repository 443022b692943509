#!/bin/sh
# Another process takes over: nobody is refused, nothing is lost.
. "${0%/*}/lib.sh"

# As a service: sockets from elsewhere, and what it says.
service() {
	rm -f ports states log
	python3 "$top/tests/tools/activate.py" "$sockets" ports states \
	    nr-serve -S store "$@" 2>log &
	service=$!
	wait_for 10 grep -q READY states
	port=$(head -1 ports)
}
info() {
	curl -s -m 10 -H 'Accept: application/nostr+json' \
	    "http://127.0.0.1:$1" | jq -r .name
}
sockets=1
service
is 'sockets that are given are where it listens' nr-serve "$(info "$port")"
is 'and nowhere else' 1 "$(grep -c serving log)"
is 'it says that it is ready'	'READY=1;MAINPID=PID' "$(grep READY states)"
ok 'and alive'			wait_for 10 grep -q WATCHDOG=1 states
kill -HUP $service
ok 'it reloads'			wait_for 10 grep -q 'is loaded' log
ok 'and says so'		wait_for 10 sh -c 'tail -n +2 states | grep -v WATCHDOG | tail -1 | grep -qx READY=1'
is 'with the time' 1	"$(grep -Ec '^RELOADING=1;MONOTONIC_USEC=[0-9]+$' states)"
kill -TERM $service
wait $service
is 'it ends well' 0 $?
ok 'and said that it would'	grep -q STOPPING=1 states
sockets=2
service --listen 127.0.0.1:0
like 'a socket that is at no address to listen on is left' "serving ws://127.0.0.1:[0-9]" log
is 'there' 1 "$(grep -c serving log)"
is 'nor is it one'	'' "$(grep "serving.*:$port$" log)"
kill -TERM $service
wait $service

node "$top/tests/node/upgrade.mjs" "$tests"
