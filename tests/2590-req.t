#!/bin/sh
# nr-req: every option, every status; relays of all kinds.
. "${0%/*}/lib.sh"

nr-bench gen -q -n 400 --seed 8 >events
nr-import -q -nn -S store <events >sum
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes \
    -keyout own.key -out own.pem -days 30 -subj /CN=own \
    -addext 'subjectAltName=IP:127.0.0.1,DNS:localhost' 2>/dev/null
nr-serve -S store --listen 127.0.0.1:0 --listen tls:127.0.0.1:0 \
    --set tls_certificate=own.pem --set tls_key=own.key \
    --ready-fd 3 3>ready 2>log &
relay=$!
wait_for 10 test -s ready
url=$(sed -n 's,.*serving \(ws:.*\),\1,p' log)
tls=$(sed -n 's,.*serving \(wss:.*\),\1,p' log)
nr-export -S store '{"kinds":[0,1,3,6,7]}' | sort >want
req() { nr-req -q "$@"; }
all() { req -k 0 -k 1 -k 3 -k 6 -k 7 --paginate "$@" | sort; }

# ---- the standard five, and usage
if [ -w /dev/full ]; then
	full() { req "$url" -k 1 >/dev/full; }
	rc 3 'a full disk is status 3'	full
fi
closed() { req "$url" -k 1 -l 1 <&-; }
rc 0 'stdin is not needed'		closed
noout() { req "$url" -k 1 >&-; }
rc 3 'but stdout is'			noout
rc 2 'an unknown option is usage'	nr-req -Z
rc 2 'no relay'				nr-req -k 1
rc 2 'not a relay'			nr-req -k 1 http://127.0.0.1
rc 2 'no filter'			nr-req "$url"
like 'it says what to do'		'takes --all' err
rc 2 'a limit is no filter'		nr-req "$url" -l 5
rc 2 'not a filter'			nr-req "$url" '{"kinds":["x"]}'
rc 2 'not a time'			nr-req "$url" -k 1 --timeout soon
rc 2 'nor a number'			nr-req "$url" -k 1 --total 0
rc 2 'one thing at a time'		nr-req "$url" -k 1 --count --stream
rc 2 'nor two others'			nr-req "$url" -k 1 --count --info
rc 2 'no socket'			nr-req -k 1 unix:/tmp/socket
like 'by its name'			'ws:// and wss:// alone: unix:/tmp' err
rc 0 '--help'				nr-req --help
rc 0 '--version'			nr-req --version

# ---- events
all "$url" >got
same 'page after page'			want got
all --retries 0 "${url#ws://}" >got
same 'ws:// is meant for loopback'	want got
printf '# ours\n\n  %s  # it\n%s/\n' "$url" "$url" >relays
all --relays relays >got
same 'relays from a file, each once'	want got
printf 'no relay\n' >relays
rc 2 'a line that is none'		nr-req -k 1 --relays relays
rc 3 'a file that is not there'		nr-req -k 1 --relays none
rc 0 'filters are alternatives'		req "$url" '{"kinds":[0]}' '{"kinds":[1],"limit":3}'
jq -r .kind out | sort | uniq -c | awk '$2 == 1 { print $1 }' >n
is 'each with its limit'		3 "$(cat n)"
rc 0 'nothing is an answer'		req "$url" -k 9999
is 'and writes nothing'			'' "$(cat out)"
rc 3 'nobody there'			nr-req 127.0.0.1:1 -k 1 --retries 1
like 'each attempt is told'		'cannot connect: Connection refused; again in' err
like 'and the end of it'		'0 events, 0 new: failed: cannot connect' err
rc 1 'one of two'			nr-req -q 127.0.0.1:1 "$url" -k 1 --retries 0
is '-q says nothing'			'' "$(cat err)"
rc 0 '--max-time ends a stream'		req "$url" -k 1 --stream --max-time 500ms
rc 3 'a report that cannot be written'	req "$url" -k 1 --report /nonexistent/x
is 'is found out before anything is asked' 0 "$(wc -l <out)"
rc 2 'a directory is no relay'		req store

# ---- TLS
all --ca-file own.pem "$tls" >got
same 'by TLS, with a CA of its own'	want got
all --ca-file own.pem "$(echo "$tls" | sed s/127.0.0.1/localhost/)" >got
same 'by name'				want got
rc 3 'one that nobody has signed'	nr-req "$tls" -k 1 --retries 0 --report r
is 'is told as that'			tls "$(jq -r .error r)"
like 'and why'				'self-signed' err
rc 3 'another name'			nr-req --ca-file own.pem \
    "$(echo "$tls" | sed s/127.0.0.1/127.0.0.2/)" -k 1 --retries 0
rc 3 'no TLS where it is spoken'	req "$(echo "$tls" | sed s/wss:/ws:/)" -k 1 --retries 0
rc 3 'TLS where it is not'		req "$(echo "$url" | sed s/ws:/wss:/)" -k 1 --retries 0
rc 2 'a CA file that is none'		req --ca-file events "$tls" -k 1

kill $relay
wait $relay

node "$top/tests/node/req.mjs" "$tests"
