#!/bin/sh
# A relay that reads nothing, and says that it will send nothing more.
. "${0%/*}/lib.sh"
node "$top/tests/node/stuck.mjs"
