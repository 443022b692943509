#!/bin/sh
# TLS by nr-serve itself: certificates, versions, reloading, slow handshakes.
. "${0%/*}/lib.sh"

# A certificate of our own: NAME DAYS, and what it is signed by.
make_cert() {
	name=$1 days=$2
	shift 2
	openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 \
	    -nodes -keyout "$name.key" -out "$name.pem" -days "$days" \
	    -subj "/CN=$name" -addext 'subjectAltName=IP:127.0.0.1,DNS:localhost' \
	    "$@" 2>/dev/null
}
make_cert first 365
make_cert second 10
openssl req -x509 -newkey rsa:2048 -nodes -keyout rsa.key -out rsa.pem \
    -days 100 -subj /CN=rsa 2>/dev/null
openssl req -x509 -newkey rsa:1024 -nodes -keyout weak.key -out weak.pem \
    -days 100 -subj /CN=weak 2>/dev/null
openssl ec -in first.key -aes128 -passout pass:x -out locked.key 2>/dev/null
openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes \
    -keyout leaf.key -subj /CN=leaf -out leaf.csr 2>/dev/null
openssl x509 -req -in leaf.csr -CA first.pem -CAkey first.key -days 30 \
    -out leaf.pem 2>/dev/null
cat leaf.pem first.pem >chain.pem

# What is wrong is told without serving.
check() {
	name=$1 want=$2 text=$3
	shift 3
	rc "$want" "$name" nr-serve -T --listen tls:127.0.0.1:0 "$@"
	[ "$want" = 0 ] || like "says: $text" "^nr-serve: $text" err
}
pair() { echo "--set tls_certificate=$1 --set tls_key=$2"; }
check 'a pair' 0 ''			$(pair first.pem first.key)
check 'a chain' 0 ''			$(pair chain.pem leaf.key)
check 'RSA' 0 ''			$(pair rsa.pem rsa.key)
check 'no certificate' 2 'tls_certificate: needed'
check 'no key' 2 'tls_certificate and tls_key' --set tls_certificate=first.pem
check "another's key" 2 "tls_key: second.key: not the certificate's key" \
    $(pair first.pem second.key)
check 'a key for a certificate' 2 'tls_certificate: first.key: not a chain' \
    $(pair first.key first.key)
check 'a certificate for a key' 2 'tls_key: first.pem: not a PEM key' \
    $(pair first.pem first.pem)
check 'a key with a passphrase' 2 'tls_key: locked.key: not a PEM key' \
    $(pair first.pem locked.key)
check 'no file' 2 'tls_key: none: No such file' $(pair first.pem none)
check 'a weak key' 2 'tls_certificate: weak.pem: too weak' \
    $(pair weak.pem weak.key)
printf 'x' | cat first.pem - leaf.csr >odd.pem
check 'what is behind a chain does not count' 0 '' $(pair odd.pem first.key)
{ cat first.pem; head -3 second.pem; } >torn.pem
check 'a chain that is torn' 2 'tls_certificate: torn.pem: not a chain' \
    $(pair torn.pem first.key)

node "$top/tests/node/tls.mjs" "$tests"
