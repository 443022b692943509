# bash completion for nr's programs: options, verbs, files.
# Installed under the names of the programs, or sourced.

_nr() {
	local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]}
	local prog=${COMP_WORDS[0]##*/} verb= words= files= w

	for w in "${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
		case $prog:$w in
		nr-store:stat | nr-store:check | nr-store:reindex | \
		nr-store:delete | nr-store:compact | nr-bench:check | \
		nr-bench:gen | nr-bench:limits | nr-bench:load | \
		nr-bench:compare | nr-bench:probe)
			verb=$w
			break ;;
		esac
	done
	case $prog${verb:+:$verb} in
	nr-verify)
		files=1
		words='-v --invert -j --jobs -m --max-bytes -q --quiet -r
			--rejects --help --version' ;;
	nr-policy)
		files=1
		words='-f --rules -j --jobs -m --max-bytes -q --quiet -r --rejects
			-T --test --auth --clock --dry-run --explain --from --plugin
			--source --help --version' ;;
	nr-import)
		files=1
		words='--force -j --jobs -m --max-bytes --no-live -n
			--no-verify -P --progress -q --quiet -r --rejects
			--segment -S --store --help --version' ;;
	nr-export)
		words='-a -d -e -i -k -l -p -s -t -u --count --cursor
			--explain --follow --force --ids --log --manifest -o
			--output -P --progress -q --quiet -R --reverse -S
			--store -z --zstd --help --version' ;;
	nr-store)
		words='-P --progress -q --quiet --force -S --store --help
			--version stat check reindex delete compact' ;;
	nr-store:stat)
		words='-P --progress -q --quiet --force -S --store --help
			--version --json' ;;
	nr-store:check)
		words='-P --progress -q --quiet --force -S --store --help
			--version --full' ;;
	nr-store:reindex)
		words='-P --progress -q --quiet --force -S --store --help
			--version' ;;
	nr-store:compact)
		words='-P --progress -q --quiet --force -S --store --help
			--version --dry-run --min-dead --rate
			--scrub' ;;
	nr-store:delete)
		words='-P --progress -q --quiet --force -S --store --help
			--version --dry-run -a -d -e -i -k -l -p -s -t -u' ;;
	nr-serve)
		words='-c --config --force --listen -P --progress -q --quiet
			--ready-fd --segment --set -S --store -T --check-config --help --version' ;;
	nr-negentropy)
		words='-a -d -e -i -k -l -p -s -t -u -K --key-file -n
			--no-verify -P --progress -q --quiet -S --store --key-fd
			--both --ca-file --down --dry-run --exec --file --follow
			--frame-size --ids --no-live --policy-down --policy-up
			--private --protected
			--records --stdio --timeout --tries --up --help --version' ;;
	nr-publish)
		words='-j --jobs -K --key-file --key-fd -m --max-bytes -n
			--no-verify -P --progress -q --quiet -r --rejects -w
			--window --attempts --ca-file --deadline --give-up --min
			--patience --private --protected --queue --relays
			--report --resume --timeout --help --version' ;;
	nr-req)
		words='-a -d -e -i -k -l -p -s -t -u --all --ca-file
			--connect-timeout --count --ids-only --info -K
			--key-file --key-fd --max-time -n --no-verify
			--overlap --paginate -q --quiet --relays --report
			--retries --stream --timeout --total --help
			--version' ;;
	nr-sign)
		files=1
		words='-j --jobs -K --key-file --key-fd -m --max-bytes --now
			--pow --pow-time -P --progress -q --quiet -r --rejects
			--help --version' ;;
	nr-bench)
		words='--help --version check gen limits load compare probe' ;;
	nr-bench:check)
		words='--ca-file --json -K --key-fd --key-file --nip -q --quiet
			--timeout --write --help --version' ;;
	nr-bench:gen)
		words='--authors -n --count -j --jobs --model -q --quiet
			--seed --since --until --help --version' ;;
	nr-bench:limits)
		words='-d --directory -f --file --help --version' ;;
	nr-bench:load)
		words='--auth --ca-file --deflate -c --connections -n --count --drip
			--filter --filters -f --file --group -w --in-flight
			--page --pid -q --quiet --rate --seconds --seed
			--stalled --timeout --warm-up --help --version
			publish query count fanout connect mixed slow pages
			negentropy' ;;
	nr-bench:compare)
		words='--auth --ca-file --deflate -c --connections -n --count --drip
			--filter --filters -f --file --group -w --in-flight
			--page --pid -q --quiet --rate --rounds --seconds
			--seed --stalled --timeout --warm-up --help --version
			publish query count fanout connect mixed slow pages
			negentropy' ;;
	nr-bench:probe)
		words='--ca-file --event --every -f --file -j --jobs -K
			--key-file --key-fd --kinds --monitor --nip66 -q
			--quiet --timeout --write --help --version' ;;
	esac
	COMPREPLY=()
	case $prog:$prev in
	*:-S | *:--store)
		compopt -o filenames
		mapfile -t COMPREPLY < <(compgen -d -- "$cur")
		return ;;
	nr-policy:-f | nr-policy:--rules | nr-policy:-r | \
	nr-verify:-r | nr-import:-r | nr-sign:-r | nr-publish:-r | *:--rejects | \
	*:-K | *:--key-file | *:--ca-file | *:--relays | *:--report | \
	*:--resume | nr-bench:-f | nr-bench:--event | \
	*:--file | *:--records | *:-o | *:--output | *:--manifest | *:--cursor | \
	nr-serve:-c | nr-serve:--config)
		compopt -o filenames
		mapfile -t COMPREPLY < <(compgen -f -- "$cur")
		return ;;
	nr-bench:--model)
		mapfile -t COMPREPLY < <(compgen -W 'network churn' -- "$cur")
		return ;;
	nr-policy:--source)
		mapfile -t COMPREPLY < <(compgen -W \
		    'ip4 ip6 import stream sync stored' -- "$cur")
		return ;;
	nr-policy:--clock)
		mapfile -t COMPREPLY < <(compgen -W created_at -- "$cur")
		return ;;
	esac
	if [ -n "$files" ] && [[ $cur != -* ]]; then
		compopt -o filenames
		mapfile -t COMPREPLY < <(compgen -f -- "$cur")
		return
	fi
	mapfile -t COMPREPLY < <(compgen -W "$words" -- "$cur")
}

complete -F _nr nr-verify nr-policy nr-import nr-export nr-store nr-serve nr-bench nr-sign nr-publish nr-negentropy nr-req
