#!/bin/sh
# nr-publish against relays that are slow, wrong, hostile or gone.
. "${0%/*}/lib.sh"
node "$top/tests/node/publish.mjs"
