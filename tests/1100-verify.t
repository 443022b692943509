#!/bin/sh
# nr-verify: every option, every status, and streams that are not nice.
. "${0%/*}/lib.sh"

nr-bench gen -q -n 300 --seed 3 >good
head -1 good >one
sed 's/"kind":[0-9]*/"kind":999/' one >badid
sed 's/"sig":"....../"sig":"000000/' one >badsig
{ head -2 good; cat badid; sed -n 3p good; cat badsig; tail -n +4 good; } >mixed
cat badid badsig >bad

rc 0 'all valid: status 0'			nr-verify good
same 'valid events pass byte for byte'		good out
verify() { nr-verify <mixed; }
rc 1 'two bad events: status 1'			verify
same 'the good ones pass, in order'		good out
printf '%s\n' 'nr-verify: line 3: id does not match' \
    'nr-verify: line 5: bad signature' >want
same 'the bad ones are named by line'		want err
rc 1 '-v passes the invalid ones'		nr-verify -v mixed
same 'and only them'				bad out
rc 1 '-q keeps the status'			nr-verify -q mixed
: >empty
same 'and says nothing'				empty err
rc 1 'rejects go to a file'			nr-verify -q -r rej mixed
is 'a JSON line for each' "$(printf '3 bad-id\n5 bad-signature')" \
    "$(jq -r '"\(.line) \(.reason)"' rej)"
is 'with the id' "$(jq -r .id one)" "$(jq -r .id rej | sort -u)"
printf '{"id":"\001"}' >ctl
rc 1 'a bad byte is named'			nr-verify -r rej ctl
is 'by its place, from 1' '8 raw-control' "$(jq -r '"\(.byte) \(.reason)"' rej)"
like 'on stderr too' 'ctl: line 1, byte 8: control character' err
rc 3 'a rejects file that cannot be written'	nr-verify -r /nonexistent/x good
for j in 1 3 8; do
	rc 1 "-j $j gives the same"		nr-verify -q -j $j mixed
	same "in the same order with -j $j"	good out
done
rc 0 'several files are one stream'		nr-verify one good
cat one good >want
same 'in their order'				want out
rc 3 'a missing file is status 3'		nr-verify good /nonexistent

zstd -q good -o good.zst
rc 0 'zstd is recognised'			nr-verify good.zst
same 'and decompressed'				good out
cat good.zst good.zst >twice.zst; cat good good >want
frames() { nr-verify <twice.zst; }
rc 0 'several frames too'			frames
same 'are one stream'				want out
head -c 5000 good.zst >cut.zst
rc 3 'compressed input that ends early'		nr-verify cut.zst
{ head -c 2000 good.zst; head -c 8000 /dev/zero; } >dam.zst
rc 3 'damaged compressed input'			nr-verify dam.zst

printf '%s' "$(cat one)" >notail
notail() { nr-verify <notail; }
rc 0 'a missing last newline loses nothing'	notail
same 'and is repaired'				one out
{ printf '{"id":"'; head -c 3000000 /dev/zero | tr '\0' x; printf '"}\n'; cat one; } >long
long() { nr-verify <long; }
rc 1 'an over-long line is a reject'		long
same 'and the next event still passes'		one out
like 'and is named' 'line 1: event too long' err
rc 1 '-m sets the limit'			nr-verify -q -m 100 one
rc 0 '-m takes a unit'				nr-verify -m 4K one
{
	printf '{"id":"%064d","pubkey":"%064d","created_at":1,"kind":1,' 0 0
	printf '"tags":[["t","%01500000d"]],"content":"","sig":"%0128d"}\n' 0 0
} >long
rc 1 'one long string in a tag'			nr-verify -m 4M long
like 'is as long as the event may be'		'id does not match' err
printf '\n\n' | cat - one >blank
rc 0 'empty lines are no events'		nr-verify blank
same 'and pass nowhere'				one out
tr -d '\n' <one | sed 's/$/\r/' >crlf; printf '\n' >>crlf
rc 0 'CR before LF is white space'		nr-verify crlf
rc 0 'no input is no error'			nr-verify empty
same 'nor output'				empty out
head -c 200000 /dev/urandom >noise
rc 1 'noise is refused'				nr-verify -q noise

if [ -w /dev/full ]; then
	full() { nr-verify good >/dev/full; }
	rc 3 'a full disk is status 3'		full
fi
closed() { nr-verify <&-; }
rc 3 'closed stdin is status 3'			closed
noout() { nr-verify good >&-; }
rc 3 'closed stdout is status 3'		noout
(nr-verify good; echo $? >st) | :
is 'a reader that went away ends it as SIGPIPE does' 141 "$(cat st)"
rc 2 'an unknown option is usage'		nr-verify -Z
rc 2 'so is an operand out of range'		nr-verify -j 0
rc 0 '--help'					nr-verify --help
rc 0 '--version'				nr-verify --version

# What arrives is passed on at once, not when a buffer is full.
mkfifo pipe
nr-verify <pipe >stream &
exec 3>pipe
cat one >&3
ok 'a stream is passed on line by line' wait_for 5 cmp one stream
exec 3>&-

done_testing
