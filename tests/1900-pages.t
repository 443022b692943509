#!/bin/sh
# The manual: well-formed, in agreement with the programs, and with examples
# that work.
. "${0%/*}/lib.sh"

man=$top/man
progs='nr-verify nr-policy nr-import nr-export nr-store nr-serve nr-bench nr-sign nr-publish nr-negentropy nr-req'
# Without what makes letters bold: themselves, a backspace, themselves.
render() { mandoc -T ascii -O width=200 "$1" | sed "s/.$(printf '\b')//g"; }
# A section of a rendered page.
section() { awk -v s="$1" '/^[A-Z]/ { on = $0 == s; next } on'; }
words() { sed 's/ | /|/g' | tr -s ' \n' '\n' | grep -v '^$'; }

for page in "$man"/*.[157]; do
	rc 0 "${page##*/}: well-formed"	mandoc -T lint -W warning "$page"
done
for name in nr.7 nr-store.5 nr-events.5 nr-serve.conf.5; do
	ok "$name: there" test -f "$man/$name"
done

for p in $progs; do
	page=$man/$p.1
	rc 0 "$p --help"		"$p" --help
	sed -n '/^filters are/q; s/^usage: //; p' out | words >want
	render "$page" | section SYNOPSIS | words >got
	same "$p: the synopsis is the usage"	want got
	render "$page" | section 'EXIT STATUS' >got
	like "$p: has its statuses" '[0-4]' got
	# Options in the source against those that the page explains.
	src="$top/cmd/$p.c"
	[ "$p" = nr-bench ] && src=$(echo "$top"/cmd/bench_*.c)
	# Those that several programs share.
	grep -q NR_LONG_KEY $src && src="$src $top/cmd/keyopt.h"
	# shellcheck disable=SC2086
	grep -ho '{ "[a-z0-9-]*", [a-z]*_argument' $src |
	    sed 's/{ "\([^"]*\)".*/--\1/' | sort -u >want
	sed -n 's/^\.It //p' "$page" |
	    grep -o 'Fl -[a-z][a-z0-9-]*' | sed 's/Fl -/--/' | sort -u >got
	grep -v -e '^--help$' -e '^--version$' want >want2
	# Verbs' own options are explained in their text.
	if [ "$p" = nr-store ]; then
		grep -o '^\.Fl -[a-z][a-z-]*' "$page" |
		    sed 's/.Fl -/--/' | sort -u - got >got2 && mv got2 got
	fi
	same "$p: every option is explained, and no other"	want2 got
done

grep -oE '^	\{ "[a-z0-9_]*", (OFFSET|[01],)' "$top/lib/relay/config.c" |
    sed 's/.*"\(.*\)".*/\1/' | sort >want
awk '/^\.Sh KEYS/ { on = 1 } on && /^\.It Cm/ { print $3 }' \
    "$man/nr-serve.conf.5" | sort >got
same 'nr-serve: every key is explained, and no other'	want got
settings() { python3 "$top/tests/tools/settings.py" "$@" | sort; }
settings source "$top/lib/relay/config.c" >want
settings page "$man/nr-serve.conf.5" >got
same 'nr-serve: their defaults and ranges are the real ones'	want got
awk '/^\.It Cm/ { for (i = 3; i <= NF; i++) if ($i != ",") print $i }' \
    "$man/nr-events.5" | sort >got
sed -n 's/^	\[NR_BAD_[A-Z0-9_]*\] = { "\([a-z0-9-]*\)".*/\1/p' \
    "$top/lib/event/verdict.c" | sort >want
same 'nr-events: every reason is explained, and no other'	want got

# ---- examples

mkdir -p w && cd w || exit 1
nr-bench gen -q -n 300 --seed 5 --since 1500000000 >events.jsonl
nr-import -q -S store events.jsonl >sum
port=$((20000 + $$ % 10000))
server=
cleanup_server() { [ -z "$server" ] || kill "$server" 2>/dev/null; }
relay() {
	nr-serve -q -S store --listen "127.0.0.1:$port" &
	server=$!
	wait_for 10 curl -s "http://127.0.0.1:$port"
}
ok 'a relay for the examples' relay
# Each literal line of EXAMPLES; the relay's is the one of this test.
examples() {
	awk '/^\.Sh EXAMPLES/ { on = 1; next } /^\.Sh/ { on = 0 }
	    on && /^\.Dl / { sub(/^\.Dl /, ""); print }' "$1"
}
for page in "$man"/*.[17]; do
	examples "$page" | sed "s/127\.0\.0\.1:7777/127.0.0.1:$port/g" >todo
	ok "${page##*/}: has examples" test -s todo
	while IFS= read -r line <&3; do
		case $line in
		nr-serve\ *)
			# It is running: the options are all that is new.
			rc 0 "${page##*/}: $line"	sh -c "$line -T" ;;
		*)	rc 0 "${page##*/}: $line"	sh -c "set -e; $line" ;;
		esac
	done 3<todo
done
cleanup_server

cd .. || exit 1
done_testing
