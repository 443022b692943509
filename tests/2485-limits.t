#!/bin/sh
# How much clients may do in a time, and what follows.
. "${0%/*}/lib.sh"
node "$top/tests/node/limits.mjs"
