#!/bin/sh
# What contrib has for operators: nginx in front of nr-serve, and a unit for
# systemd.
. "${0%/*}/lib.sh"
PATH=$PATH:/usr/sbin:/sbin
unit=$top/contrib/systemd/nr-serve.service

# ---- the unit: its commands are ones that nr-serve knows
printf 'name = unit\n' >nr-serve.conf
sed -n 's/^Exec[A-Za-z]*=//p' "$unit" | grep nr-serve |
    sed "s,/usr/local/bin/,,; s,/var/lib/nr/,$PWD/,; s,/etc/nr/,$PWD/,; s/\$/ -T/" >commands
is 'it has commands' 3 "$(wc -l <commands)"
while IFS= read -r line; do
	# shellcheck disable=SC2086
	rc 0 "${line%% /*}"		$line
done <commands
if command -v systemd-analyze >/dev/null; then
	mkdir -p unit
	sed "s,/usr/local/bin/nr-serve,$bin/nr-serve,; /^Documentation/d; /^User=/d; /^Group=/d" \
	    "$unit" >unit/nr-serve.service
	cp "$top/contrib/systemd/nr-serve.socket" unit
	is 'systemd has nothing to say of them' '' \
	    "$(systemd-analyze verify "$PWD/unit/nr-serve.service" "$PWD/unit/nr-serve.socket" 2>&1 |
	    grep -F nr-serve.)"
else
	note 'no systemd-analyze: the unit is not verified'
fi

# ---- nginx
for need in nginx openssl; do
	command -v $need >/dev/null && continue
	note "no $need: its configuration is not tried"
	done_testing
	exit 0
done
rm -f ready
nr-serve -S store --listen 127.0.0.1:0 --ready-fd 3 --set name=behind \
    --set url=wss://relay.example.com 3>ready 2>log &
relay=$!
wait_for 10 test -s ready
back=$(sed -n 's/.*serving ws:.*:\([0-9]*\)$/\1/p' log)
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 \
    -subj /CN=relay.example.com -keyout key.pem -out cert.pem 2>openssl.err
# Ports that are free; nginx cannot choose.
port=$((30000 + $$ % 10000)) plain=$((20000 + $$ % 10000))
mkdir -p tmp
sed -e "s,127\.0\.0\.1:7777,127.0.0.1:$back," -e "s,listen 443 ssl,listen 127.0.0.1:$port ssl," \
    -e "s,listen 80;,listen 127.0.0.1:$plain;," -e '/listen \[::\]/d' \
    -e "s,/etc/letsencrypt/live/relay.example.com/fullchain,$PWD/cert," \
    -e "s,/var/log/nginx/error.log crit,$PWD/nginx.log," \
    -e "s,/etc/letsencrypt/live/relay.example.com/privkey,$PWD/key," \
    "$top/contrib/nginx/nr-serve.conf" >site.conf
user=
[ "$(id -u)" = 0 ] && user='user root;'
cat >nginx.conf <<CONF
$user
daemon off;
worker_processes 1;
pid $PWD/nginx.pid;
error_log $PWD/nginx.log;
events { worker_connections 256; }
http {
	client_body_temp_path $PWD/tmp;
	proxy_temp_path $PWD/tmp;
	fastcgi_temp_path $PWD/tmp;
	uwsgi_temp_path $PWD/tmp;
	scgi_temp_path $PWD/tmp;
	include $PWD/site.conf;
}
CONF
rc 0 'nginx likes its configuration'	nginx -q -t -c "$PWD/nginx.conf" -e "$PWD/nginx.log"
nginx -c "$PWD/nginx.conf" -e "$PWD/nginx.log" &
proxy=$!
get() {
	curl -sk -m 10 --resolve "relay.example.com:$port:127.0.0.1" "$@" \
	    "https://relay.example.com:$port/"
}
ok 'and starts'		wait_for 10 get
is 'NIP-11'		behind "$(get -H 'Accept: application/nostr+json' | jq -r .name)"
get -H 'Accept: text/html' >page
like 'the page'		'<h1>behind</h1>' page
get >out
like 'a line of text'	'This is a Nostr relay' out
get -I -H 'Accept: text/html' >head
like 'with its headers'	'^content-security-policy: default-src' head
is 'plain HTTP is sent on' 301 \
    "$(curl -s -m 10 -o body -w '%{http_code}' -H 'Host: relay.example.com' "http://127.0.0.1:$plain/")"
NODE_TLS_REJECT_UNAUTHORIZED=0 node --no-warnings "$top/tests/node/proxy.mjs" \
    "wss://127.0.0.1:$port" wss://relay.example.com >tap
status=$?
while IFS= read -r line; do
	case $line in
	'ok '*)		result 0 "${line#*- }" ;;
	'not ok '*)	result 1 "${line#*- }" ;;
	esac
done <tap
is 'all of that'	0 $status
kill $relay
wait $relay
is 'the relay ends well' 0 $?
kill $proxy
wait $proxy 2>/dev/null
is 'nginx has seen no error' '' "$(grep -E '\[(error|crit|alert|emerg)\]' nginx.log | grep -v 'prematurely closed')"
done_testing
