#!/bin/sh
# How connections come in: many, too many, and through proxies.
. "${0%/*}/lib.sh"
node "$top/tests/node/accept.mjs"
