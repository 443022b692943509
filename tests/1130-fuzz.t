#!/bin/sh
# The fuzz targets without a fuzzer: seeds, what once failed, mutations.
. "${0%/*}/lib.sh"

seed=${NR_SEED:-$(date +%s)}
note "seed $seed"
rc 0 'seeds are made'	"$top/tests/fuzz/seeds" "$bin" seeds
for t in answer:200 auth:100 event:200 filter:200 http:100 measure:8 message:200 \
    negentropy:100 nip11:200 plugin:200 segment:20; do
	name=${t%:*} crashes=$top/tests/fuzz/crashes/${t%:*}
	[ -d "$crashes" ] || crashes=
	# shellcheck disable=SC2086
	rc 0 "$name: nothing breaks its invariant" \
	    "$bin/tests/fuzz/$name" -m "${t#*:}" -s "$seed" "seeds/$name" $crashes
	note "$(cat out)"
	ok "$name: enough of them" test "$(cut -d' ' -f1 out)" -gt 500
done

done_testing
