#!/bin/sh
# Compaction beside a store that has none; with the n-th call failing, or
# killed there; and under load, with readers, killed again and again.
. "${0%/*}/lib.sh"
python3 "$top/tests/tools/compact.py"
