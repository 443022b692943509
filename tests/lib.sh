# lib.sh - the TAP harness of the shell tests; sourced first by each.
#
#	rc STATUS NAME CMD...	run CMD, demand exactly that exit status;
#				its stdout is left in ./out, stderr in ./err
#	same NAME WANT GOT	two files are equal
#	is NAME WANT GOT	two strings are equal
#	like NAME RE FILE	a line of FILE matches the extended RE
#	ok NAME CMD...		CMD succeeds
#	skip_all REASON		nothing here can run
#	need_corpus		skip all where ../shared/corpus is missing
#	done_testing		the plan; call last
#
# Every script runs in a scratch directory of its own that is removed at
# the end, with the programs first in PATH.

set -u
export LC_ALL=C
top=$(cd "${0%/*}/.." && pwd)
bin=${NR_BUILD:-$top/build}
case $bin in /*) ;; *) bin=$top/$bin ;; esac
export PATH="$bin:$bin/tests/tools:$PATH"
corpus=$top/../shared/corpus
unset NR_STORE
# A program that gives up leaves its threads to the system.
export TSAN_OPTIONS="${TSAN_OPTIONS:-report_thread_leaks=0}"
scratch=$(mktemp -d "${TMPDIR:-/tmp}/nr-test.XXXXXX") || exit 1
cd "$scratch" || exit 1
tests=0

cleanup() {
	status=$?
	trap - EXIT
	# A subshell, as in $(jobs -p), has no jobs in dash.
	jobs -p >"$scratch/jobs"
	# shellcheck disable=SC2046
	kill $(cat "$scratch/jobs") 2>/dev/null
	wait 2>/dev/null
	cd / && rm -rf "$scratch"
	exit $status
}
trap cleanup EXIT
trap 'exit 1' INT TERM HUP

note() { printf '%s\n' "$*" | sed 's/^/# /'; }

# Why a test failed goes to stderr, which prove shows.
why() { cut -c1-200 | sed 's/^/# /' >&2; }

result() {
	tests=$((tests + 1))
	if [ "$1" = 0 ]; then
		printf 'ok %d - %s\n' "$tests" "$2"
	else
		printf 'not ok %d - %s\n' "$tests" "$2"
		printf 'not ok %d - %s: %s\n' "$tests" "$2" "${0##*/}" | why
	fi
}

rc() {
	want=$1 name=$2
	shift 2
	"$@" >out 2>err
	got=$?
	if [ "$got" = "$want" ]; then
		result 0 "$name"
	else
		result 1 "$name"
		{
			printf 'status %s, not %s: %s\n' "$got" "$want" "$*"
			head -5 err
		} | why
	fi
}

same() {
	if cmp -s "$2" "$3"; then
		result 0 "$1"
	else
		result 1 "$1"
		diff -u "$2" "$3" | head -20 | why
	fi
}

is() {
	if [ "$2" = "$3" ]; then
		result 0 "$1"
	else
		result 1 "$1"
		printf 'want: %s\ngot:  %s\n' "$2" "$3" | why
	fi
}

like() {
	if grep -Eq -e "$2" "$3"; then
		result 0 "$1"
	else
		result 1 "$1"
		{
			printf 'nothing like: %s\n' "$2"
			head -5 "$3"
		} | why
	fi
}

ok() {
	name=$1
	shift
	if "$@"; then result 0 "$name"; else result 1 "$name"; fi
}

skip_all() {
	printf '1..0 # SKIP %s\n' "$1"
	exit 0
}

need_corpus() {
	[ -r "$corpus/real.jsonl.zst" ] || skip_all "no ../shared/corpus"
}

# Wait up to SECONDS for a command to succeed.
wait_for() {
	tries=$(($1 * 50))
	shift
	until "$@" >/dev/null 2>&1; do
		tries=$((tries - 1))
		[ "$tries" -gt 0 ] || return 1
		sleep 0.02
	done
}

done_testing() {
	printf '1..%d\n' "$tests"
}
