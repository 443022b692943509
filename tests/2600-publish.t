#!/bin/sh
# nr-publish: every option, every status, what stays at home, and streams
# that are not nice.
. "${0%/*}/lib.sh"
umask 077
unset NOSTR_SECRET_KEY

# Relay NAME [OPTION...]: url_NAME and pid_NAME.
relay() {
	name=$1
	shift
	nr-serve -S "store.$name" --listen "${tls:+tls:}127.0.0.1:0" "$@" \
	    2>"log.$name" &
	eval "pid_$name=$!"
	wait_for 10 grep -q serving "log.$name"
	eval "url_$name=$(sed -n 's/.*serving \(wss*:.*\)$/\1/p' "log.$name")/"
}
tls=
relay a
relay b
relay c --set write=auth
stored() { nr-export -S "store.$1" --ids | sort; }

nr-bench gen -q -n 600 --seed 21 | jq -c 'select((.kind | . == 1 or . == 7)
    and all(.tags[]; .[0] != "expiration"))' >events
head -1 events >one
jq -r .id events | sort >ids
total=$(wc -l <events)

publish() { nr-publish "$@" <events; }
rc 0 'events go to two relays'		publish "$url_a" "$url_b"
cp out lines
stored a >got; same 'the first has them' ids got
stored b >got; same 'and the second' ids got
is 'there is a line for each event and relay' $((2 * total)) "$(wc -l <lines)"
is 'with these fields' 'accepted attempts id line message ms relay' \
    "$(head -1 lines | jq -r 'keys|join(" ")')"
is 'all of them accepted' "$(printf 'true %s\n' "$url_a" "$url_b" | sort)" \
    "$(jq -r '"\(.accepted) \(.relay)"' lines | sort -u)"
is 'the line is that of the input' "$(sed -n 17p events | jq -r .id)" \
    "$(jq -r 'select(.line==17) | .id' lines | sort -u)"
like 'the figures go to stderr' \
    "^nr-publish: $url_a: $total accepted \(0 known before\), 0 refused, 0 unanswered" err
rc 0 '-q'				publish -q "$url_a"
: >empty
same 'says nothing of the events'	empty out
like 'but the figures' "$total accepted \($total known before\)" err
rc 0 '--report'				publish -q --report rep "$url_a" "$url_b"
is 'has a line for each relay, and one for all' "$total $total $total" \
    "$(jq -r '.duplicates // .enough' rep | tr '\n' ' ' | sed 's/ $//')"
ln -s rep rep.link
mkfifo rep.pipe
cat rep.pipe >rep.cat &
cat_=$!
rc 0 'to a pipe'			publish -q --report rep.pipe "$url_a"
wait $cat_
is 'it is written' 2			"$(wc -l <rep.cat)"
ok 'and stays'				test -p rep.pipe
rc 0 'by a link'			publish -q --report rep.link "$url_a"
is 'the file is written' 2		"$(wc -l <rep)"
ok 'and the link stays'			test -h rep.link
rc 2 'a pipe has no place'		publish --resume rep.pipe "$url_a"
# It hangs from there on if it is asked anything.
untouched() { publish "$@" 127.0.0.1:1; }
for o in '--report /nonexistent/x' '--resume /nonexistent/x' '--report store.a' \
    '--resume store.a'; do
	# shellcheck disable=SC2086
	rc 3 "$o cannot be written"	untouched $o
	is 'which is found out before anything is done' 1 "$(wc -l <err)"
done

# ---- relays
bare=${url_a#ws://}
rc 0 'ws:// may be left out for loopback' publish -q "${bare%/}"
rc 0 'a relay that is named twice counts once' publish -q --report rep "$url_a" "$bare" "$url_a"
is 'in the report' 2 "$(wc -l <rep)"
printf '# two\n%s\n\n%s # the second\n' "$url_a" "$url_b" >relays
rc 0 '--relays'				publish -q --report rep --relays relays
is 'takes those of a file' 3 "$(wc -l <rep)"
rc 2 'no relay is usage'		publish
rc 2 'so is no URL'			publish http://example.com
rc 2 'a file is no relay'		publish one "$url_a"
like 'which looks otherwise'		'not a relay as wss://.*: one$' err
rc 2 'nor what may have been one'	publish nonesuch.jsonl "$url_a"
rc 2 'nor is a directory'		publish store.a "$url_a"
like 'whatever it is called'		'a directory, not a relay .*: store.a$' err
rc 2 'and --min of more than there are'	publish --min 2 "$url_a"
like 'as it is said' '^nr-publish: --min 2: of only 1 relay$' err
port=$((20000 + $$ % 10000))
rc 3 'nobody there: status 3'		publish -q --give-up 1s "127.0.0.1:$port"
like 'and why' 'given up: it cannot be reached; last: connect: ' err
rc 3 '--deadline counts for it'		publish -q --deadline 1s "127.0.0.1:$port"
rc 0 'one of two is enough'		publish -q --give-up 1s "127.0.0.1:$port" "$url_a"
rc 1 '--min 2: it is not'		publish -q --give-up 1s --min 2 "127.0.0.1:$port" "$url_a"

# ---- refused, authenticated
rc 1 'a relay that refuses all: status 1' publish "$url_c"
like 'a key would help' 'refused \(first: auth-required: .*\) \(-K gives the key to authenticate by\)' err
is 'as it says' 'false auth-required' \
    "$(jq -r '"\(.accepted) \(.message|sub(":.*";""))"' out | sort -u)"
openssl rand -hex 32 >key
rc 0 '-K: it is told who we are'	publish -K key -q "$url_c"
stored c >got; same 'and takes them' ids got
fd() { nr-publish --key-fd 5 -q "$url_c" 5<key <events; }
rc 0 '--key-fd'				fd
env_() { NOSTR_SECRET_KEY=$(cat key) nr-publish -q "$url_c" <events; }
rc 0 'the environment'			env_
chmod 644 key
rc 3 'a key that others can read is refused' publish -K key -q "$url_c"
chmod 600 key

# ---- what stays at home
{
	for k in 4 13 14 15 1059; do echo "{\"kind\":$k}"; done
	echo '{"kind":22242}'
	echo '{"tags":[["t","x"],["-"]],"content":"protected"}'
	echo '{"content":"public"}'
} | nr-sign -K key >mixed
home() { nr-publish "$@" <mixed; }
rc 0 'private and protected events stay here' home --report rep "$url_a"
is 'the public one goes' 1 "$(wc -l <out)"
is 'the others are counted' '{"private":5,"protected":1,"auth":1}' \
    "$(tail -1 rep | jq -c .kept)"
like 'and told of' '5 private events stayed here' err
rc 0 '--private sends the private ones'	home --private "$url_a"
is 'five more' 6 "$(wc -l <out)"
rc 1 '--protected needs a key'		home --protected "$url_a"
rc 0 'with it the author may'		home --protected -K key "$url_a"
is 'two are sent' 2 "$(wc -l <out)"
is 'an AUTH event never is' 0 \
    "$(home --private --protected "$url_a" 2>err | grep -c "$(jq -r 'select(.kind==22242).id' mixed)")"

# ---- what is sent
jq -c '.content += "x" | .id = "00" + .id[2:]' one >forged
bad() { cat forged one | nr-publish "$@" "$url_a"; }
rc 1 'what is not valid is not sent'	bad -r rej
is 'the other is' 1 "$(wc -l <out)"
is 'it is reported' '1 bad-id' "$(jq -r '"\(.line) \(.reason)"' rej)"
like 'on stderr too' '^nr-publish: line 1: id does not match' err
rc 1 '-n: the relay is asked'		bad -n
is 'and refuses it' 'false invalid' \
    "$(head -1 out | jq -r '"\(.accepted) \(.message|sub(":.*";""))"')"
jq -c '. as $e | {note:"not sent",content,sig} + $e' one | sed 's/,/ , /' >loose
loose() { nr-publish -q "$url_b" <loose; }
rc 0 'an event that is written otherwise'	loose
zstd -q events -o events.zst
zst() { nr-publish -q "$url_a" <events.zst; }
rc 0 'zstd is recognised'		zst
like 'and decompressed' "$total events" err
rc 1 '-m sets the limit'		publish -q -m 100 "$url_a"
for o in '-j 3' '-w 1' '-w 1000' '--queue 1K' '--attempts 1' '--deadline 1h' \
    '--patience 3s' '--timeout 90s' '-P'; do
	# shellcheck disable=SC2086
	rc 0 "$o"			publish $o "$url_a"
	is 'all are accepted' "$total" "$(grep -c '"accepted":true' out)"
done
for o in '-w 0' '-w 1001' '-j 0' '--attempts 0' '--queue x' '--min 0' '--deadline 0' \
    '--timeout x' '--give-up -1' '--patience x' '-m 0'; do
	# shellcheck disable=SC2086
	rc 2 "$o is usage"		publish $o "$url_a"
done

# ---- TLS: a certificate counts where its authority is known
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 \
    -subj /CN=localhost -addext subjectAltName=DNS:localhost \
    -keyout tls.key -out tls.pem 2>openssl.err
tls=1
relay t --set "tls_certificate=$PWD/tls.pem" --set "tls_key=$PWD/tls.key"
tls=wss://localhost:$(sed -n 's/.*serving .*:\([0-9]*\)$/\1/p' log.t)
rc 3 'a certificate that nobody knows'	publish --give-up 2s "$tls"
like 'is why' 'last: tls: ' err
is 'and is told when it is seen, once' 1 \
    "$(sed '/given up/,$d' err | grep -c '^nr-publish: wss:.*/: tls: ')"
rc 0 '--ca-file knows it'		publish -q --ca-file tls.pem "$tls"
rc 2 'what is no certificate'		publish -q --ca-file key "$tls"

# ---- going on
tls=
relay d
resume() { publish --resume place "$url_d"; }
rc 0 '--resume'				resume
is 'the file has the place' "$url_d $total" "$(jq -r '"\(.relay) \(.line)"' place)"
rc 0 'once more'			resume
same 'sends nothing'			empty out
echo '{"content":"one more"}' | nr-sign -K key >more
cat events more >longer
more() { nr-publish --resume place "$url_d" <longer; }
rc 0 'what was added'			more
is 'is all that is sent' "$(jq -r .id more)" "$(jq -r .id out)"
sort -r longer >other
other() { nr-publish --resume place "$url_d" <other; }
rc 2 'another input is refused'		other
like 'and why' 'not the input that it was' err
echo nonsense >place.bad
rc 2 'a file that is none'		publish --resume place.bad "$url_d"

# ---- streams that are not nice
printf '%s' "$(cat one)" >notail
notail() { nr-publish "$url_a" <notail; }
rc 0 'a missing last newline loses nothing' notail
is 'the event is sent' 1 "$(wc -l <out)"
{ printf '{"id":"'; head -c 3000000 /dev/zero | tr '\0' x; printf '"}\n'; cat one; } >long
long() { nr-publish "$url_a" <long; }
rc 1 'an over-long line is a reject'	long
is 'and the next event is sent' 2 "$(jq .line out)"
like 'it is named' 'line 1: event too long' err
nothing() { nr-publish "$url_a" </dev/null; }
rc 0 'no input is no error'		nothing
noise() { head -c 100000 /dev/urandom | nr-publish -q "$url_a"; }
rc 1 'noise is refused'			noise
head -c 5000 events.zst >cut.zst
cutz() { nr-publish -q "$url_a" <cut.zst; }
rc 3 'compressed input that ends early'	cutz
if [ -w /dev/full ]; then
	full() { publish "$url_a" >/dev/full; }
	rc 3 'a full disk is status 3'	full
fi
closed() { nr-publish "$url_a" <&-; }
rc 3 'closed stdin is status 3'		closed
noout() { publish "$url_a" >&-; }
rc 3 'closed stdout is status 3'	noout
(publish "$url_a" 2>err; echo $? >st) | :
is 'a reader that went away ends it as SIGPIPE does' 141 "$(cat st)"
rc 2 'an unknown option is usage'	nr-publish -Z
rc 0 '--help'				nr-publish --help
rc 0 '--version'			nr-publish --version

# A stream: what arrives is sent at once.
mkfifo pipe
(exec nr-publish --resume stream.place "$url_d" "127.0.0.1:$port" <pipe >stream \
    2>stream.err) &
run=$!
exec 3>pipe
nr-bench gen -q -n 3 --seed 5 --since 1700000000 | jq -c 'select(.kind|.<10)' | head -1 >&3
ok 'an event of a stream is sent and told of at once' wait_for 10 test -s stream
ok 'and its place is kept'		wait_for 10 test -s stream.place
resumed() { publish --resume stream.place "$url_d"; }
rc 3 'of which there is one at a time'	resumed
like 'as it is said' '^nr-publish: stream.place: another nr-publish is at work with it$' err
kill -TERM $run
wait $run
is 'SIGTERM ends it'			143 $?
like 'with the figures'			'accepted' stream.err
like 'of what one relay has answered and the other has not' \
    '1 event: 1 accepted by 1 or more, 0 not' stream.err
rc 2 'its place is free then, and of another input' resumed
exec 3>&-
# ---- a key that comes later
head -20 events >twenty
later() { nr-publish -q --resume place "$@" "$url_c" <twenty; }
rc 1 'without a key nothing is taken'	later
openssl rand -hex 32 >later.key
rc 0 'with one it goes on from there'	later -K later.key
is 'and all is' 20 "$(for id in $(jq -r .id twenty); do nr-export -S store.c -i "$id" --ids; done | wc -l)"

done_testing
