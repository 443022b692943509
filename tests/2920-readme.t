#!/bin/sh
# The README: its pipelines work as printed, and it speaks of what is there.
. "${0%/*}/lib.sh"

# As the repository's root, with a build directory that may be written to.
mkdir root root/build
ln -s "$bin"/nr-* root/build/
ln -s "$top/contrib" root/contrib
cd root || exit 1

# What is indented between "Three pipelines" and the next heading, at the
# comments; the relay is one of ours on another port.
build/nr-bench gen -q -n 500 --seed 9 >relay.events
(exec build/nr-serve -S relay.store --listen 127.0.0.1:0 \
    2>relay.err) &
wait_for 10 grep -q serving relay.err
port=$(sed -n 's/.*serving ws:\/\/127\.0\.0\.1:\([0-9]*\)$/\1/p' relay.err)
build/nr-import -q -S relay.store relay.events >out
sed -n '/^Three pipelines/,/^## /p' "$top/README.md" | sed -n 's/^    //p' |
    sed "s/127\.0\.0\.1:7777/127.0.0.1:$port/" |
    awk '/^#/ { n++ } !/^#/ { print >("pipe" n) }'
is 'three pipelines'		3 "$(ls pipe? | wc -l)"
run() { bash -o pipefail "pipe$1"; }
rc 0 'the first works as printed'	run 1
is 'and reads all'		1000 "$(jq .read out)"
n=$(build/nr-export --count)
ok 'and stores them'		test "$n" -gt 500
rc 0 'the second works as printed'	run 2
is 'every event is in it'	"$n" "$(cat out)"
build/nr-export --log >want
zstd -dc backup.jsonl.zst >got
same 'and in the backup'	want got
rc 0 'the third works as printed'	run 3
build/nr-export -S relay.store '{"kinds":[0,3]}' >want
build/nr-export -S mirror.store >got
ok 'there is something to mirror'	test -s want
same 'the mirror holds the same' want got

# What it names.
grep -oE 'make [a-z-]+' "$top/README.md" | sort -u | cut -c6- |
    grep -vxE 'and|events|calls' >targets
ok 'it names targets'		test "$(wc -l <targets)" -gt 6
while read -r t; do
	grep -qE "^([a-z-]+ )*$t( [a-z-]+)*:( |\$)" "$top/Makefile" || echo "$t"
done <targets >missing
is 'each is one of the makefile' '' "$(cat missing)"
sed -n 's/^| `\(nr-[a-z]*\)` .*/\1/p' "$top/README.md" | sort >got
for f in "$top"/cmd/nr-*.c; do basename "$f" .c; done | sort >want
same 'it lists the programs'	want got
grep -oE '\]\([^)]*\)' "$top/README.md" | tr -d '()]' |
    while read -r f; do
	[ -e "$top/$f" ] || [ "$f" = docs/benchmarks.md ] || echo "$f"
done >missing
is 'each link leads somewhere'	'' "$(cat missing)"
sed -n '/^## Layout/,/^## /p' "$top/README.md" |
    sed -n 's/^ .*libnr: \(.*\)/\1/p' | tr -d ' ' | tr , '\n' | sort >got
ls "$top/lib" >want
same 'it lists the folders of lib' want got
done_testing
