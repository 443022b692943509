#!/bin/sh
# Bad frames, floods and clients that do not read, against nr-serve.
. "${0%/*}/lib.sh"
node "$top/tests/node/frames.mjs"
