#!/bin/sh
# nr-bench load and compare against relays that do what few do: TLS good and
# bad, fragments, pings without end, answers late or twice.
. "${0%/*}/lib.sh"

# A certificate of our own: NAME SUBJECT-ALTERNATIVE-NAME.
cert() {
	openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 \
	    -nodes -keyout "$1.key" -out "$1.pem" -days 30 -subj "/CN=$1" \
	    -addext "subjectAltName=$2" 2>/dev/null
}
cert good IP:127.0.0.1,DNS:localhost
cert other DNS:other.example.com

nr-bench gen -q -n 400 --seed 4 >all
jq -c 'select(.kind == 1 and all(.tags[]; .[0] != "expiration"))' all >events
nr-bench gen -q -n 14000 --seed 5 | grep -F '"kind":1,' >many
node "$top/tests/node/load.mjs" "$tests"
