#!/bin/sh
# Authentication, private kinds, rules of access, proof of work.
. "${0%/*}/lib.sh"
node "$top/tests/node/access.mjs"
