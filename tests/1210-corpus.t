#!/bin/sh
# The real corpus through the store: the live set is what a naive script
# finds, and every event keeps its id.
. "${0%/*}/lib.sh"
need_corpus

zstdcat "$corpus/real.jsonl.zst" >real
now=$(date +%s)
rc 0 'import of the real corpus'		nr-import -q -S s real
is 'reads everything' 10948 "$(jq .read out)"
note "$(cat out)"
python3 "$top/tests/tools/oracle.py" live "$now" <real >want
rc 0 'export of ids'				nr-export -S s --ids
sort out >got
same 'is the live set of a naive script'	want got
rc 0 'check --full is clean'			nr-store -S s check --full
rc 0 'export'					nr-export -S s
sort real >all; sort out >got
is 'every event is unchanged' "$(wc -l <got)" "$(comm -12 got all | wc -l)"
rc 0 'what was exported verifies'		nr-verify out
nr-export -S s >first
rc 0 'and imports'				nr-import -q -S s2 first
nr-export -S s2 >second
same 'to the same again'			first second
nr-store -q -S s reindex
nr-export -S s >second
same 'as does a rebuild'			first second

# The bytes that sources had become the corpus's form of the same events.
zstdcat "$corpus/raw.jsonl.zst" >raw
rc 0 'import of raw bytes'			nr-import -q -S s3 raw
nr-export -S s3 | sort >got
comm -23 got all >extra
jq -r .id extra 2>/dev/null | sort | comm -12 - want >wrong
: >empty
same 'normalises to the form of the corpus'	empty wrong
is 'all of them are in it' 0 "$(wc -l <extra)"

rc 1 'nothing broken gets in'			nr-import -q -S s4 "$corpus/broken.jsonl.zst"
is 'not one' 0 "$(nr-export -S s4 --count)"

done_testing
