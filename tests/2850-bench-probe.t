#!/bin/sh
# nr-bench probe: relays that are well, and those with one fault each.
. "${0%/*}/lib.sh"
. "$top/tests/authority.sh"

cert good IP:127.0.0.1 20200101000000Z 20491231000000Z
cert expired IP:127.0.0.1 20200101000000Z 20200201000000Z
cert other DNS:other.example.com 20200101000000Z 20491231000000Z
cert early IP:127.0.0.1 20480101000000Z 20491231000000Z
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes \
    -keyout self.key -out self.pem -days 30 -subj /CN=self \
    -addext subjectAltName=IP:127.0.0.1 2>/dev/null

# ---- the standard five, and usage
url=ws://127.0.0.1:1
probe() { nr-bench probe -q "$@"; }
rc 2 'an unknown option is usage'	probe -Z
rc 2 'no relay'				probe
like 'it says so'			'no relay is given' err
rc 2 'not a relay'			probe http://127.0.0.1
rc 2 'kinds go with --write'		probe --kinds 1 "$url"
rc 2 'not a kind'			probe --write --kinds 1,x "$url"
rc 2 'nor one'				probe --write --kinds 65536 "$url"
rc 2 'nor an empty one'			probe --write --kinds 1, "$url"
rc 2 'too many'				probe --write --kinds "$(seq -s, 65)" "$url"
rc 2 'a monitor has a frequency'	probe --nip66 --monitor "$url"
rc 2 'and writes drafts'		probe --every 1h --monitor "$url"
rc 2 'not a time'			probe --timeout soon "$url"
like 'it says which there are' '--timeout: not a time from 100ms to 10m: soon' err
rc 2 'no time at all'			probe --timeout 0 "$url"
like 'likewise'				'--timeout: not from 100ms to 10m: 0' err
rc 2 'rounds have a bound'		probe --every 32d "$url"
like 'and are told it'			'--every: not from 1s to 31d: 32d' err
rc 2 'jobs have a bound'		probe -j 1001 "$url"
rc 3 'a list that is not there'		probe -f none
printf '# none\n\n' >none
rc 2 'a list of none'			probe -f none
printf '%s\nno relay\n' "$url" >wrong
rc 2 'a list that is wrong'		probe -f wrong
like 'by its line'			'wrong: line 2: not the URL' err
rc 2 'no certificates'			probe --ca-file good.key "$url"
echo '{"kind":1}' >draft
rc 2 'no event'				probe --write --event draft "$url"
openssl rand -hex 32 >key
chmod 600 key
rc 2 'a key of your own keeps its profile' \
    probe --write -K key --kinds 1,0 "$url"
rc 2 'its lists'			probe --write -K key --kinds 10002 "$url"
rc 2 'and all it has published'		probe --write -K key --kinds 62 "$url"
nolf() { printf '%s' "$url" | probe -f -; }
rc 3 'nobody is there: 3; a last line counts' nolf
is 'it was refused' '["connect","refused"]' \
    "$(jq -c '[.error.phase, .error.class]' out)"
closed() { probe "$url" <&-; }
rc 3 'stdin is not needed'		closed
if [ -w /dev/full ]; then
	full() { probe "$url" >/dev/full; }
	rc 3 'a full disk is status 3'	full
	like 'and says so'		'No space' err
fi
rc 0 '--help'				nr-bench probe --help

node "$top/tests/node/probe.mjs" "$tests"
