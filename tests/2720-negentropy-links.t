#!/bin/sh
# nr-negentropy on slow disks and broken links, and with relays that try it on.
. "${0%/*}/lib.sh"
node "$top/tests/node/links.mjs"
