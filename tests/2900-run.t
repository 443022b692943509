#!/bin/sh
# make run: a relay with sample events, and what it says to try.
. "${0%/*}/lib.sh"

# As at the repository's root; the store and the port are this test's.
mkdir root && ln -s "$bin" root/build
ln -s "$top/contrib" root/contrib
cd root || exit 1
port=$((20000 + $$ % 10000))

# contrib/run is what make run calls.
(exec contrib/run build $port ../store >../run.out 2>../run.err) &
run=$!
ok 'it becomes ready'			wait_for 10 grep -q '^Ctrl-C' ../run.out
like 'says where'			"serves ws://127.0.0.1:$port" ../run.out

grep '^	' ../run.out | sed 's/^	//' >../hints
is 'three things to try'		3 "$(wc -l <../hints)"
hint() { sed -n "$1p" ../hints; }
rc 0 'the query works as printed'	sh -c "$(hint 1)"
is 'with three events'			3 "$(jq -r .id out | sort -u | wc -l)"
(eval "exec $(hint 2)" >../live 2>../live.err) &
sub=$!
rc 0 'stored events over a websocket' \
    contrib/subscribe -1 "ws://127.0.0.1:$port" '{"kinds":[1],"limit":3}'
nr-export -S ../store -k 1 -l 3 >want
same 'are the same'			want out
ok 'the subscription is live'		wait_for 5 grep -q live ../live.err
# Events that only their parties may read.
private() { nr-export -S ../store --count '{"kinds":[4,1059,21059]}'; }
before=$(private)
rc 0 'the import works as printed'	sh -c "$(hint 3)"
stored=$(jq .stored out)
ok 'and stores events'			test "$stored" -gt 0
stored=$((stored - $(private) + before))
arrived() { [ "$(wc -l <../live)" -ge "$stored" ]; }
ok 'which the subscription prints'	wait_for 5 arrived
nr-verify -q ../live >got
same 'whole'				../live got
kill $sub
count=$(nr-export -S ../store --count)

rc 3 'a busy port: status 3'		contrib/run build $port ../other
like 'is said clearly'			"^run: port $port is in use" err
ok 'and nothing is made'		test ! -e ../other

kill -TERM $run
wait $run
is 'SIGTERM: status 0'			0 $?
like 'the relay has been told'		'stopped$' ../run.err

# On a terminal Ctrl-C ends the relay, and make with status 0.
cat >../terminal.py <<'END'
import os, pty, sys
pid, fd = pty.fork()
if pid == 0:
    os.execvp(sys.argv[1], sys.argv[1:])
seen, told = b'', False
while True:
    try:
        part = os.read(fd, 4096)
    except OSError:
        break
    seen += part
    if b'Ctrl-C here' in seen and not told:
        os.write(fd, b'\x03')
        told = True
sys.stdout.write(seen.decode())
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) % 256)
END
printf 'run:\n\t@contrib/run build %s ../store\n' $port >Makefile
if python3 -c 'import pty; pty.openpty()' 2>err; then
	rc 0 'Ctrl-C on a terminal: make ends with 0' \
	    timeout 20 python3 ../terminal.py make --no-print-directory run
	like 'the relay has stopped'	'nr-serve: info: stopped' out
else
	result 0 "# SKIP no pseudo-terminal: $(tail -1 err)"
	: >out
fi
is 'the store has been kept'		"$count" "$(nr-export -S ../store --count)"
ok 'nothing was made again'		test -z "$(grep 'run: making' out)"
like 'and make run calls the script so' '^	@contrib/run \$B ' "$top/Makefile"

# Nobody is left behind where the script is killed.
(exec contrib/run build $port ../store >../run.out 2>../run.err) &
run=$!
wait_for 10 grep -q '^Ctrl-C' ../run.out
kill -KILL $run
export port
ok 'killed, it leaves no relay' \
    wait_for 5 bash -c '! (exec 3<>/dev/tcp/127.0.0.1/$port) 2>/dev/null'
done_testing
