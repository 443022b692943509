#!/bin/sh
# nr-import and nr-export: every option, every status; what comes out is
# what went in.
. "${0%/*}/lib.sh"

nr-bench gen -q -n 400 --seed 5 >good
head -1 good >one
sed 's/"content":"[^"]*"/"content":"forged"/' one >badid
sed 's/"sig":"....../"sig":"000000/' one >badsig
: >empty

rc 0 'import of valid events'			nr-import -S s good
is 'counts what it read' 400 "$(jq .read out)"
is 'everything is accounted for' 400 \
    "$(jq '.stored+.replaced+.deleted+.expired+.ephemeral' out)"
stored=$(jq .stored out)
rc 0 'a second import stores nothing new'	nr-import -S s good
is 'nothing stored' 0 "$(jq .stored out)"
rc 0 'check finds nothing wrong'		nr-store -S s check --full
rc 0 'export of everything'			nr-export -S s
sort out >got; sort good >all
is 'every line is one of the input' "$(comm -12 got all | wc -l)" "$(wc -l <got)"
jq -r '"\(.created_at) \(.id)"' out >order
sort -k1,1nr -k2,2 order >want
same 'newest first, lowest id first'		want order
cp out fwd
rc 0 '--reverse'				nr-export -S s --reverse
tac fwd >want
same 'is exactly the reverse'			want out
rc 0 '--ids'					nr-export -S s --ids
jq -r .id fwd >want
same 'gives the ids alone'			want out
rc 0 '--count'					nr-export -S s --count
is 'gives their number' "$(wc -l <fwd)" "$(cat out)"
rc 0 'a filter as JSON'				nr-export -S s '{"kinds":[7],"limit":5}'
jq -c 'select(.kind==7)' fwd | head -5 | jq -r .id >want
jq -r .id out >got
same 'gives the newest that match'		want got
rc 0 'the same as flags'			nr-export -S s -k 7 -l 5
jq -r .id out >got
same 'gives the same'				want got
rc 0 'flags narrow JSON'			nr-export -S s -l 3 '{"kinds":[7]}'
is 'to the smaller limit' 3 "$(wc -l <out)"
rc 0 'nothing found is an answer'		nr-export -S s -k 999
same 'an empty one'				empty out
rc 2 'a bad filter is usage'			nr-export -S s '{"kinds":1}'
rc 2 'so is an unsupported one'			nr-export -S s '{"search":"x"}'
rc 2 'and a bad flag'				nr-export -S s -a xyz
rc 0 '--explain'				nr-export -S s --explain -k 7
ok 'is JSON on stderr' jq -e '.plans[0].index == "kind" and .events > 0' err

rc 0 '-z compresses'				nr-export -S s -z
zstd -qdc out >got
same 'the same events'				fwd got
rc 0 '-o with a manifest'			nr-export -S s -o f.jsonl --manifest m
same 'the same events'				fwd f.jsonl
is 'the manifest has their number' "$(wc -l <fwd)" "$(jq .events m)"
is 'and hash' "$(sha256sum <fwd | cut -d' ' -f1)" "$(jq -r .sha256 m)"
rc 0 'the manifest of -z is of the plain text'	nr-export -S s -z -o f.zst --manifest m2
same 'so it is the same'			m m2
rc 3 '-o where nothing can be written'		nr-export -S s -o /nonexistent/x
like 'names the file that was meant' '^nr-export: /nonexistent/x: ' err
mkfifo pipe
cat pipe >got &
rc 0 '-o into a named pipe'			nr-export -S s -o pipe
wait $!
ok 'which stays one'				test -p pipe
nr-export -S s >want
same 'and gets the events'			want got
: >target.jsonl
ln -s target.jsonl link
rc 0 '-o through a symbolic link'		nr-export -S s -o link
ok 'which stays one'				test -h link
same 'to the file'				want target.jsonl
rc 0 '-o - is stdout'				nr-export -S s -o -
same 'with the events'				want out
rc 3 '-o that fails half way' \
	sh -c 'ulimit -f 8; trap "" XFSZ; exec nr-export -S s -o half'
is 'leaves nothing behind' '' "$(ls half* 2>/dev/null)"
mkdir folder
rc 3 'a folder that is no store'		nr-export -S folder
like 'is named so' 'folder: there is no store' err
printf '{"id":"zz"}\n' | nr-import -q -S s -r rejected >out
is 'a reject has its byte' 7 "$(jq .byte rejected)"

rc 0 '--log'					nr-export -S s --log
grep -Ff want out >/dev/null
jq -r .id out | sort >got; sort want >want2
jq -r .id fwd | sort >want2
same 'has the same events'			want2 got
jq -r .id good | grep -Fxf want2 >want
jq -r .id out >got
same 'in the order of arrival'			want got
rc 0 '--cursor starts at the beginning'		nr-export -S s --log --cursor c --ids
same 'the first time'				want out
rc 0 'and goes on from there'			nr-export -S s --log --cursor c --ids
same 'with nothing'				empty out
nr-bench gen -q -n 50 --seed 99 --since 1 --until 9 >more
nr-import -q -S s more >/dev/null
rc 0 'but what is new'				nr-export -S s --log --cursor c --ids
jq -r .id more | sort >want; sort out >got
comm -13 want got >extra
same 'and only that'				empty extra
ok 'all of it that was kept' test "$(wc -l <out)" -gt 30
nr-store -q -S s reindex
rc 2 '--count takes no cursor'			nr-export -S s --count --log --cursor c
rc 0 'a cursor of another epoch starts its segment again' nr-export -S s --log --cursor c --ids
ok 'at least once, never a gap' test "$(wc -l <out)" -gt 400
rc 2 '--cursor needs --log'			nr-export -S s --cursor c
rc 2 '--follow needs --log'			nr-export -S s --follow
rc 2 '--follow has no end for -o'		nr-export -S s --log --follow -o x
echo garbage >c
rc 2 'a damaged cursor is an error'		nr-export -S s --log --cursor c

# --follow passes on what another process stores.
nr-export -S s --log --follow --cursor c2 --ids >stream &
follower=$!
ok 'follow catches up' wait_for 5 test -s stream
nr-bench gen -q -n 1 --seed 123 -q >new
nr-import -q -S s new >/dev/null
ok 'and goes on' wait_for 5 grep -q "$(jq -r .id new)" stream
kill $follower; wait $follower 2>/dev/null
rc 0 'its cursor is where it ended'		nr-export -S s --log --cursor c2 --ids
same 'nothing is left'				empty out

{ cat badid; cat one; cat badsig; } >mixed
rc 1 'bad events: status 1'			nr-import -S s2 mixed
is 'the good one is stored' 1 "$(jq .stored out)"
is 'the reasons are counted' '{"bad-id":1,"bad-signature":1}' "$(jq -c .invalid out)"
like 'and named' 'mixed: line 1: id does not match' err
rc 1 '-r writes rejects'			nr-import -q -S s2 -r rej mixed
is 'a line each' 2 "$(wc -l <rej)"
rc 1 '-n trusts signatures, not ids'		nr-import -q -n -S s3 mixed
is 'so one more is stored' 1 "$(jq .stored out)"
is 'and ids are still checked' '{"bad-id":1}' "$(jq -c .invalid out)"
rc 0 '-nn trusts everything'			nr-import -q -nn -S s4 mixed
rc 4 'and check finds out'			nr-store -q -S s4 check

zstd -qk good
rc 0 'zstd input'				nr-import -S s5 good.zst
is 'is decompressed' "$stored" "$(jq .stored out)"
import() { nr-import -S s6 <good; }
rc 0 'stdin'					import
is 'is the default' "$stored" "$(jq .stored out)"
rc 0 'several files'				nr-import -S s7 one good
is 'are read in turn' 401 "$(jq .read out)"
head -c $(($(wc -c <good.zst) * 3 / 4)) good.zst >cut.zst
rc 3 'input that breaks off'			nr-import -q -S s8 cut.zst
ok 'loses nothing that came before' test "$(nr-export -S s8 --count)" -gt 0
rc 3 'a missing file'				nr-import -q -S s8 /nonexistent
rc 1 '-m sets the limit'			nr-import -q -m 10 -S s9 one
{ printf '{"id":"'; head -c 3000000 /dev/zero | tr '\0' x; printf '"}\n'; cat one; } >long
rc 1 'an over-long line costs itself'		nr-import -q -S s9 long
is 'and nobody else' 1 "$(jq .stored out)"
printf '%s' "$(cat one)" >notail
rc 0 'a missing last newline'			nr-import -q -S s10 notail
is 'costs nothing' 1 "$(jq .stored out)"
rc 0 'nothing to import'			nr-import -q -S s10 empty
rc 0 'segments may be small'			nr-import -q -S s11 --segment 20000 good
ok 'and are then many' test "$(ls s11/log | wc -l)" -gt 5
rc 0 'check'					nr-store -S s11 check
rc 0 'export'					nr-export -S s11
same 'gives the same events'			fwd out

NR_STORE=s; export NR_STORE
rc 0 '$NR_STORE names the store'		nr-export --count
unset NR_STORE
rc 3 'export of a store that is not there'	nr-export -S nowhere
like 'says so' 'nowhere: No such file' err
nr-bench gen -q -n 2000 --seed 7 >many
rc 3 'a file that is not there, after another'	nr-import -q -S s10 many nowhere
is 'what came before it is stored' 2000 "$(jq .read out)"
rc 3 'the same for nr-verify'			nr-verify -q many nowhere
same 'what came before it is passed on'		many out
ok 'and makes none' test ! -e nowhere
rc 0 'the default is ./nostr.store'		nr-import -q one
ok 'which is made' test -d nostr.store/log

if [ -w /dev/full ]; then
	full() { nr-export -S s >/dev/full; }
	rc 3 'export to a full disk'		full
	fullsum() { nr-import -q -S s one >/dev/full; }
	rc 3 'a summary to a full disk'		fullsum
fi
closed() { nr-import -q -S s <&-; }
rc 3 'closed stdin'				closed
noout() { nr-export -S s >&-; }
rc 3 'closed stdout'				noout
(nr-export -S s; echo $? >st) | :
is 'a reader that went away' 141 "$(cat st)"
rc 2 'unknown options'				nr-import -Z
rc 2 'unknown options'				nr-export -Z
rc 0 '--help'					nr-import --help
rc 0 '--version'				nr-export --version

done_testing
