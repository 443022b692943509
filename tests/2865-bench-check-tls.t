#!/bin/sh
# nr-bench check over TLS: trusted, expired, made out to another name.
. "${0%/*}/lib.sh"
. "$top/tests/authority.sh"

cert good IP:127.0.0.1 20200101000000Z 20491231000000Z
cert expired IP:127.0.0.1 20200101000000Z 20200201000000Z
cert other DNS:other.example.com 20200101000000Z 20491231000000Z

# A relay with this certificate; its URL is in $url.
serve() {
	nr-serve -S "store-$1" --listen tls:127.0.0.1:0 \
	    --set "tls_certificate=$1.pem" --set "tls_key=$1.key" \
	    2>"$1.log" &
	wait_for 10 grep -q 'serving wss:' "$1.log"
	url=$(sed -n 's/.* serving \(wss:[^ ]*\)$/\1/p' "$1.log")
}
check() { nr-bench check --ca-file ca.pem --timeout 20s "$@" "$url"; }

serve good
rc 0 'nothing is wrong by wss://'	check --write
is 'and much is tried' yes "$(awk '/^ok/ && !/# SKIP/ { n++ }
    END { print (n > 200 ? "yes" : n) }' out)"
like 'also AUTH'			'^ok .*\(nip42-auth\)$' out
like 'and the document'			'^ok .*\(nip11-served\)$' out
rc 3 'a system that does not know the issuer: status 3' \
    nr-bench check "$url"
like 'is named'				'no connection: untrusted: unable to get' err

serve expired
rc 3 'an expired certificate: status 3'	check
like 'is named'		"^nr-bench: check: $url: no connection: expired: certificate has expired" err
like 'in TAP, too'	'^Bail out! no connection: expired: certificate has expired$' out
rc 3 'as JSON'				check --json
is 'there is no line' '' "$(cat out)"

serve other
rc 3 'a wrong name: status 3'		check
like 'is named'		"no connection: wrong-name: IP address mismatch" err
url=ws://127.0.0.1:${url##*:}
rc 3 'no TLS where there must be'	check
like 'is named'				'no connection: [a-z]+: ' err
url=wss://${url#ws://}
rc 2 'no certificates in a file'	nr-bench check --ca-file good.key "$url"
rc 2 'no file'				nr-bench check --ca-file none "$url"
done_testing
