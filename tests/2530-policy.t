#!/bin/sh
# Policy plugins: strfry's run unchanged; who may write, read and connect.
. "${0%/*}/lib.sh"

# The n-th literal text of the examples of nr-policy(7).
literal() {
	awk -v n="$1" '/^\.Sh EXAMPLES/ { on = 1 } /^\.Bd/ && on { i++; next }
	    /^\.Ed/ && i == n { exit } on && i == n' "$top/man/nr-policy.7"
}
literal 1 >known.py
literal 2 >requests
literal 3 >want
ok 'the page has an example'		test -s known.py -a -s requests
python3 known.py <requests >got 2>err
same 'it answers as the page says'	want got

node "$top/tests/node/policy.mjs" "$tests"
