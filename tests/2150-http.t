#!/bin/sh
# HTTP on nr-serve's port: NIP-11, upgrades, and what is neither.
. "${0%/*}/lib.sh"
node "$top/tests/node/http.mjs"
