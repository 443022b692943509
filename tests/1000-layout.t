#!/bin/sh
# A folder of lib/ uses those below it and none above (CONTRIBUTING.md).
. "${0%/*}/lib.sh"

# From the bottom; folders on one line do not use each other.
order='util
event
filter
store
wire
negentropy policy
relay bench client
sync'

printf '%s\n' $order | sort >want
ls "$top/lib" >got
same 'every folder of lib/ has a place'	want got
sed -n '/^    util$/,/^    sync$/s/^    //p' \
    "$top/CONTRIBUTING.md" | tr -d , >got
printf '%s\n' "$order" >want
same 'CONTRIBUTING.md says so too'	want got

cd "$top" || exit 1
includes() { grep -nE '^#[[:space:]]*include[[:space:]]*"' "$@"; }
below=
count=0
printf '%s\n' "$order" >"$scratch/order"
while read -r level; do
	for dir in $level; do
		allowed=$(echo $below $dir | tr ' ' '|')
		includes -r "lib/$dir" >"$scratch/all"
		count=$((count + $(wc -l <"$scratch/all")))
		is "$dir uses ${below:-itself only}" '' \
		    "$(grep -vE "\"($allowed)/[a-z0-9_]+\.h\"" "$scratch/all")"
	done
	below="${below:+$below }$level"
done <"$scratch/order"
ok 'includes were found'		test "$count" -gt 100

# A folder's internal headers are for its own files.
grep -lE '[Ii]nternal to' lib/*/*.h | sed 's,^lib/,,' >"$scratch/internal"
ok 'there are internal headers'		test -s "$scratch/internal"
while read -r h; do
	includes -r cmd lib | grep -v "^lib/${h%/*}/" | grep -F "\"$h\""
done <"$scratch/internal" >"$scratch/borrowed"
is 'no other folder includes one'	'' "$(cat "$scratch/borrowed")"
is 'nothing in lib/ uses cmd/'		'' \
    "$(includes -r lib | grep -E '"(tool|sink|rejects|bench|servelog|storeopt|filteropt|keyopt|relayopt|sieve|req)\.h"')"
is 'nor goes around by ../'		'' "$(includes -r lib cmd | grep -F '"../')"
is 'lib/ never prints or exits'		'' \
    "$(grep -nE '\b(printf|fprintf|puts|exit|perror)\(' lib/*/*.c)"
done_testing
