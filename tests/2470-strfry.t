#!/bin/sh
# Moving from strfry: the page has every key of its configuration and names
# only keys of ours that there are; the steps work.
. "${0%/*}/lib.sh"
page=$top/man/nr-from-strfry.7

# strfry.conf as of 2026-08.
sort >want <<'END_KEYS'
db
dbParams.maxreaders
dbParams.mapsize
dbParams.noReadAhead
events.ephemeralEventsLifetimeSeconds
events.maxEventSize
events.maxNumTags
events.maxTagValSize
events.rejectEphemeralEventsOlderThanSeconds
events.rejectEventsNewerThanSeconds
events.rejectEventsOlderThanSeconds
relay.auth.enabled
relay.auth.restrictReadToInvolvedPubkey
relay.auth.restrictedReadKinds
relay.auth.serviceUrl
relay.autoPingSeconds
relay.bind
relay.compression.enabled
relay.compression.slidingWindow
relay.enableTcpKeepalive
relay.filterValidation.allowedKinds
relay.filterValidation.enabled
relay.filterValidation.maxFiltersPerReq
relay.filterValidation.maxKindsPerFilter
relay.filterValidation.minFiltersPerReq
relay.filterValidation.requireAuthorOrTag
relay.info.banner
relay.info.contact
relay.info.description
relay.info.icon
relay.info.name
relay.info.nips
relay.info.privacy
relay.info.pubkey
relay.info.self
relay.info.terms
relay.logging.dbScanPerf
relay.logging.dumpInAll
relay.logging.dumpInEvents
relay.logging.dumpInReqs
relay.logging.invalidEvents
relay.maxFilterLimit
relay.maxFilterLimitCount
relay.maxPendingOutboundBytes
relay.maxReqFilterSize
relay.maxSubsPerConnection
relay.maxTagsPerFilter
relay.maxWebsocketPayloadSize
relay.negentropy.enabled
relay.negentropy.maxSyncEvents
relay.nofiles
relay.numThreads.ingester
relay.numThreads.negentropy
relay.numThreads.reqMonitor
relay.numThreads.reqWorker
relay.port
relay.queryTimesliceBudgetMicroseconds
relay.realIpHeader
relay.writePolicy.plugin
relay.writePolicy.timeoutSeconds
END_KEYS
sed -n '/^\.Ss Settings/,/^\.Ss Figures/s/^\.It Li //p' "$page" | sort >got
same 'every key, once'			want got
sed -n '/^\.Ss Settings/,/^\.Ss Figures/s/^\.Cm \([a-z_0-9]*\).*/\1/p' "$page" | sort -u >named
ok 'keys of ours are named'		test "$(wc -l <named)" -gt 25
awk '/^\.Sh KEYS/ { on = 1 } on && /^\.It Cm/ { print $3 }' \
    "$top/man/nr-serve.conf.5" | sort >ours
is 'and there are such'	''		"$(comm -23 named ours)"
for m in $(sed -n '/^\.Ss Figures/,/^\.Sh/p' "$page" | grep -o '\bnr_[a-z_]*'); do
	ok "so is $m" grep -q "^\.It Cm $m\$" "$top/man/nr-serve.1"
done

# Where the page says that ours is the same, it is, and where another, that.
python3 "$top/tests/tools/settings.py" source "$top/lib/relay/config.c" >defaults
default() { awk -v k="$1" '$1 == k { print $2 }' defaults; }
is 'defaults: max_event'		$((128 << 10)) "$(default max_event)"
is 'max_future'				900 "$(default max_future)"
is 'max_event_tags'			5000 "$(default max_event_tags)"
is 'max_message'			$((256 << 10)) "$(default max_message)"
is 'max_filters'			20 "$(default max_filters)"
is 'max_tag_value'			$((128 << 10)) "$(default max_tag_value)"
is 'max_age'				0 "$(default max_age)"
is 'ping_seconds'			55 "$(default ping_seconds)"
is 'max_limit'				5000 "$(default max_limit)"
is 'default_limit'			500 "$(default default_limit)"
is 'max_count'				1000000 "$(default max_count)"
is 'max_sync'				1000000 "$(default max_sync)"
is 'max_subscriptions'			100 "$(default max_subscriptions)"
is 'output_close'			$((32 << 20)) "$(default output_close)"

# The steps, with a strfry that has these events: its export goes from the
# oldest to the newest, and --fried adds a member at the end.
nr-bench gen -q -n 2000 --seed 9 --model churn >events
nr-import -q -S was events >sum
nr-export -q -S was --reverse >exported
mkdir bin
cat >bin/strfry <<'END_STRFRY'
#!/bin/sh
case $2 in
--fried)	sed 's/}$/,"fried":"0102ff"}/' exported ;;
--since=*)	tail -500 exported ;;
*)		cat exported ;;
esac
END_STRFRY
chmod +x bin/strfry
export PATH="$PWD/bin:$PATH"
grep -A2 '^strfry export' "$page" | sed '/^\./d; /^--/d' >steps
is 'two of them in the page'		2 "$(grep -c '^strfry export' steps)"
sed "s,/var/lib/nr/,$PWD/,; s/sudo -u nr //" steps >steps.sh
rc 0 'they run'				sh -e steps.sh
nr-export -q -S store --reverse >got
same 'and nothing is lost'		exported got
fried() { strfry export --fried | nr-import -q -n -S fried; }
rc 0 'fried ones'			fried
nr-export -q -S fried --reverse >got
same 'are the same'			exported got
done_testing
