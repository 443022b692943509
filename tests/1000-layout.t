#!/bin/sh
# Each folder of lib/ uses those below it only.
. "${0%/*}/lib.sh"

order='util event filter store wire relay bench'
below=
for room in $order; do
	below="$below $room"
	grep -ho '#include "[a-z]*/' "$top/lib/$room"/*.[ch] |
	    sed 's/.*"\(.*\)\//\1/' | sort -u >used
	for u in $(cat used); do
		case " $below " in
		*" $u "*) ok "$room may use $u" true ;;
		*) ok "$room may not use $u" false ;;
		esac
	done
done
ls "$top/lib" | sort >got
printf '%s\n' $order | sort >want
same 'there are no other folders'	want got
grep -l '#include "\.\./' "$top"/lib/*/*.[ch] "$top"/cmd/*.[ch] >out
is 'no way around it' '' "$(cat out)"
ok 'lib/ never prints or exits' sh -c "! grep -nE '\\b(printf|fprintf|puts|exit|perror)\\(' $top/lib/*/*.c"

done_testing
