#!/bin/sh
# contrib/cron: backup, restore and re-broadcast of a store.
. "${0%/*}/lib.sh"
PATH=$top/contrib/cron:$PATH
unset NR_KEY NOSTR_SECRET_KEY

relay() {
	name=$1
	shift
	nr-serve -S "store.$name" --listen 127.0.0.1:0 "$@" 2>"log.$name" &
	eval "pid_$name=$!"
	wait_for 10 grep -q serving "log.$name"
	eval "url_$name=$(sed -n 's/.*serving \(ws:.*\)$/\1/p' "log.$name")"
}
ids() { nr-export -S "$1" --ids | sort; }
# Backups are named by the second.
later() { was=$(date +%s); while [ "$(date +%s)" = "$was" ]; do sleep 0.1; done; }

nr-bench gen -q -n 400 --seed 31 --since 1500000000 | jq -c 'select((.kind |
    . == 1 or . == 7 or . == 1059) and all(.tags[]; .[0] != "expiration"))' >events
head -150 events | nr-import -q -S main >out
mkdir backup
rc 0 'a backup'				nr-cron backup main backup
is 'says nothing' ''			"$(cat out err)"
is 'is a file and its manifest' 2	"$(ls backup | grep -c '^2.*\.json')"
later
rc 0 'another one'			nr-cron backup main backup
is 'of nothing new leaves no file' 2	"$(ls backup | grep -c '^2.*\.json')"
tail -n +151 events | nr-import -q -S main >out
later
rc 0 'a third'				nr-cron backup main backup
is 'has what is new' "150 $(($(nr-export -S main --count) - 150))" \
    "$(cat backup/2*.json | jq .events | tr '\n' ' ' | sed 's/ $//')"
rc 0 'check'				nr-cron check backup
rc 0 'restore'				nr-cron restore backup restored
ids main >want
ids restored >got
same 'the new store has every event'	want got
rc 0 'once more is no error'		nr-cron restore backup restored

# ---- re-broadcast
relay a
relay b
send() { nr-cron rebroadcast backup "$url_a" "$url_b"; }
kill -STOP "$pid_b"	# it accepts, and says nothing
(exec 2>hung.err; send; echo $? >hung) &
hung=$!
sent() { [ "$(ids store.a | wc -l)" -gt 100 ]; }
ok 'a relay that hangs does not keep the other waiting' wait_for 20 sent
rc 3 'meanwhile there can be no second one'	send
like 'and it is said' 'another nr-cron is at work' err
rc 3 'nor a backup'			nr-cron backup main backup
kill -CONT "$pid_b"
wait $hung
is 'both get everything'		0 "$(cat hung)"
nr-export -S main '{"kinds":[1,7]}' --ids | sort >want
ids store.a >got
same 'but what is private'		want got
ids store.b >got
same 'the other one too'		want got
ls backup/*.place >places
is 'there is a place for each backup' 2	"$(wc -l <places)"
rc 0 'once more'			send
like 'nothing is sent' ' 0 events: ' backup/rebroadcast.log
relay c --set write=auth
rc 1 'a relay that wants to know us'	nr-cron rebroadcast backup "$url_c"
like 'refuses'	'refused \(first: auth-required' err
rm backup/*.place
(umask 077; openssl rand -hex 32 >key)
NR_KEY=key
export NR_KEY
rc 0 'with the key it takes them'	nr-cron rebroadcast backup "$url_c"
unset NR_KEY
ids store.c >got
same 'all of them'			want got

# ---- a signal
relay d
kill -STOP "$pid_d"
(exec nr-cron rebroadcast backup "$url_d" 2>term.err) &
term=$!
free() { flock -n backup/lock true; }
held() { ! free; }
sends() { pgrep -P "$term" nr-publish; }
ok 'it sends'				wait_for 10 sends
ok 'alone'				held
kill -TERM $term
wait $term
is 'SIGTERM ends it'			143 $?
ok 'and what it has started'		free
kill -CONT "$pid_d"

# ---- what goes wrong
first=$(ls backup/*.jsonl.zst | head -1)
cp "$first" whole
head -c 3000 whole >"$first"
rc 1 'a backup that was cut'		nr-cron check backup
like 'is named' "${first##*/}: is not what it was" err
rc 3 'restoring it'			nr-cron restore backup half
ok 'brings the others'	test "$(nr-export -S half --count)" -gt 100
cp whole "$first"
rc 0 '--help is none'			nr-cron --help
is 'and says what there is' 4		"$(grep -c '^usage: nr-cron [a-z]* ' out)"
rc 2 'no verb is usage'			nr-cron
rc 2 'nor is half of one'		nr-cron backup main
rc 2 'nor one without relays'		nr-cron rebroadcast backup
rc 3 'no such store'			nr-cron backup none backup
rc 3 'no such directory'		nr-cron backup main none

# ---- the example: its commands are ones that nr-cron knows
awk '/^[0-9]/ { for (i = 7; i <= NF; i++) printf "%s ", $i; print "" }' \
    "$top/contrib/cron/nr.cron" | sed "s,/var/lib/nr/store,main,
	s,/var/backups/nr,backup,; s,wss://[a-z.]*,$url_a,g" >commands
is 'there are three' 3 "$(wc -l <commands)"
later
while IFS= read -r line; do
	# shellcheck disable=SC2086
	rc 0 "${line%% }"		$line
done <commands
# ---- what is damaged or gone
nr-bench gen -q -n 50 --seed 3 | nr-import -q -S spoilt >sum
mkdir spoiled
rc 0 'another backup'			nr-cron backup spoilt spoiled
for f in spoiled/*.jsonl.zst; do echo x >>"$f"; done
rc 1 'bytes behind the end of a backup'	nr-cron check spoiled
first=$(ls spoiled/*.json)
mv "$first" kept
rc 1 'a backup without its hash'	nr-cron check spoiled
is 'is named, and nothing else' "nr-cron: $first: is gone" "$(cat err)"
mv kept "$first"
rm spoiled/*.jsonl.zst
rc 1 'a backup that is gone'		nr-cron check spoiled
like 'is named'				'is gone' err
rc 1 'no backup to restore'		nr-cron restore spoiled nowhere
done_testing
