#!/bin/sh
# Compressed messages.
. "${0%/*}/lib.sh"
node "$top/tests/node/deflate.mjs"
