#!/bin/sh
# nr-verify on real events: see ../shared/corpus.
. "${0%/*}/lib.sh"
need_corpus

zstdcat "$corpus/real.jsonl.zst" >real
verify() { zstdcat "$corpus/real.jsonl.zst" | nr-verify; }
rc 0 'all real events are valid'		verify
same 'and pass byte for byte'			real out
is 'all of them' 10948 "$(wc -l <out)"

rc 0 'so are those in their sources'\'' bytes'	nr-verify "$corpus/raw.jsonl.zst"
is 'all of them' 4994 "$(wc -l <out)"

rc 1 'the broken ones are refused'		nr-verify -q -r rej "$corpus/broken.jsonl.zst"
: >empty
same 'every one'				empty out
is 'with a report each' 1032 "$(wc -l <rej)"

# The reason must be one that the corpus lists, most of which are several.
jq -r .why "$corpus/broken.why.jsonl" >why
jq -r .reason rej | paste - why >pairs
awk -F '\t' '
	$1 == "bad-id" && /id mismatch/ { next }
	$1 == "bad-signature" && /bad signature/ { next }
	$1 == "content" && /content not a string/ { next }
	$1 == "created-at" && /created_at not an integer/ { next }
	$1 == "kind" && /kind not an integer/ { next }
	$1 ~ /^(id|pubkey|sig)-form$/ && /not hex of the right length/ { next }
	$1 == "tag-item" && /non-string tag item/ { next }
	$1 == "tags" && /tags not an array/ { next }
	$1 == "upper-case" && /uppercase hex/ { next }
	$1 == "kind-range" { next }	# checked below
	{ print }' pairs >wrong
same 'for a reason that is right'		empty wrong
paste rej /dev/null | jq -r 'select(.reason == "kind-range") | .line' |
    while read -r n; do
	zstdcat "$corpus/broken.jsonl.zst" | sed -n "${n}p" | jq .kind
    done | awk '$1 >= 0 && $1 <= 65535' >wrong
same 'and kinds out of range are'		empty wrong

done_testing
