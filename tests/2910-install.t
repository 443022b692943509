#!/bin/sh
# make install, make uninstall, and completions that know every option.
. "${0%/*}/lib.sh"

# SAN= and FUZZ= builds install what they built.
make_() { make -s -C "$top" B="$bin" NO_DEPS=1 "$@"; }
at() { make_ DESTDIR="$scratch/root" PREFIX=/opt/nr "$@"; }
rc 0 'make install'			at install
dir=root/opt/nr
nr-bench gen -q -n 20 >events
installed() { PATH="$scratch/$dir/bin:/usr/bin:/bin" nr-verify <events; }
rc 0 'nr-verify runs from there'	installed
same 'and does its work'		events out
for f in "$top"/cmd/nr-*.c; do basename "$f" .c; done >names
ls $dir/bin >got
same 'every program is there'		names got
ls $dir/share/bash-completion/completions >got
same 'with its completions for bash'	names got
sed 's/$/.fish/' names >want
ls $dir/share/fish/vendor_completions.d >got
same 'and for fish'			want got
ok 'and for zsh'		test -f $dir/share/zsh/site-functions/_nr
ok 'licence and README'		test -f $dir/share/doc/nr/LICENSE \
    -a -f $dir/share/doc/nr/README.md
(cd "$top/man" 2>/dev/null && ls ./*.[157] | sed 's/^..//' | sort) >want
find $dir/share/man -type f | sed 's,.*/,,' | sort >got
same 'every page'			want got
for f in $(cat got); do
	[ -f "$dir/share/man/man${f##*.}/$f" ] || echo "$f"
done >misplaced
is 'in its section'			'' "$(cat misplaced)"
rc 0 'make uninstall'			at uninstall
is 'leaves nothing'			'' "$(find root ! -type d)"
rc 0 'twice is no error'		at uninstall

# Completions: no option of a usage is missing, none is made up.
comp=$top/contrib/completions
usage_options() {
	"$1" --help | grep -oE '(^|[][| ])--?[A-Za-z][a-zA-Z0-9-]*' |
	    tr -d '][| ' | while read -r o; do
		case $o in
		--*)	echo "$o" ;;
		-*)	echo "${o#-}" | grep -o . | sed 's/^/-/' ;;
		esac
	done | sort -u
}
complete_words() {	# WORDS... : what bash offers for the last one
	bash -c 'compopt() { :; }; . "$0"; COMP_WORDS=("$@")
	    COMP_CWORD=$(($# - 1)); _nr
	    printf "%s\n" "${COMPREPLY[@]}"' "$comp/nr.bash" "$@"
}
for p in $(cat names); do
	usage_options "$p" >want
	case $p in
	nr-store)	verbs='stat check reindex delete compact' ;;
	nr-bench)	verbs='check gen limits load compare probe' ;;
	*)		verbs= ;;
	esac
	{ complete_words "$p" -
	for v in $verbs; do complete_words "$p" "$v" -; done
	} | sort -u >bash.have
	complete_words "$p" '' | grep -v '^-' | sort >verbs.have
	if [ -n "$verbs" ]; then
		is "bash: $p's verbs" "$(printf '%s\n' $verbs | sort)" \
		    "$(cat verbs.have)"
		is "$p --help has no other verb" "$(printf '%s\n' $verbs | sort)" \
		    "$("$p" --help | sed -n "s/^.*$p \(\[-[A-Za-z]*\] \)*\(\[-S dir\] \)*\(\[--force\] \)*\([a-z]*\).*/\4/p" | sort)"
	fi
	awk -v p="$p)" '/^nr-.*\)$/ { on = $0 == p } on' "$comp/_nr" |
	    grep -oE "'--?[A-Za-z0-9-]+\[" | tr -d "'[" | sort -u >zsh.have
	sed -n "s/^complete -c $p //p" "$comp/nr.fish" | awk '{
		for (i = 1; i < NF; i++) {
			if ($i == "-s") print "-" $(i + 1)
			if ($i == "-l") print "--" $(i + 1)
		} }' | sort -u >fish.have
	ok "$p lists options"		test "$(wc -l <want)" -gt 4
	is "bash: every option of $p"	'' "$(comm -23 want bash.have)"
	same "zsh: the same of $p"	bash.have zsh.have
	same "fish: the same of $p"	bash.have fish.have
	# What is offered, the program knows (and ends in usage after it).
	while read -r o; do
		for v in ${verbs:-''}; do
			"$p" $v "$o" --nonsense --nonsense 2>&1 >/dev/null |
			    grep -qE -e "unrecognized option '$o'" \
			    -e "invalid option -- '${o#-}'" || continue 2
		done
		"$p" "$o" --nonsense --nonsense 2>&1 >/dev/null |
		    grep -qE -e "unrecognized option '$o'" \
		    -e "invalid option -- '${o#-}'" && echo "$o"
	done <bash.have >unknown
	is "$p knows what is offered"	'' "$(cat unknown)"
done
: >somefile
is 'files are offered where files go' somefile \
    "$(complete_words nr-verify somef)"
is 'and directories for a store' root "$(complete_words nr-export -S roo)"
done_testing
