#!/bin/sh
# Policy plugins that hang, die, lie and flood; replaced under load.
. "${0%/*}/lib.sh"
node "$top/tests/node/policybad.mjs"
