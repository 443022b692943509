#!/bin/sh
# Expressions of rules say what jq(1) says: some hundred of them, put
# together at random (NR_SEED), over generated events and real ones.
. "${0%/*}/lib.sh"

seed=${NR_SEED:-$(od -An -N2 -tu2 /dev/urandom | tr -d ' ')}
note "NR_SEED=$seed"
python3 - "$seed" >exprs <<'EOF'
import random
import sys

r = random.Random(int(sys.argv[1]))
tags = ['e', 'p', 't', 'd', 'a', 'r', 'nonce', 'relay', '-']
numbers = ['.kind', '.created_at', '(.tags | length)', '(.content | length)',
           '(.content | utf8bytelength)', '(.created_at % 7)',
           '(.tags | map(length) | add // 0)', '(.kind / 1000 | floor)',
           '([.tags[][1]? | strings | length] | max // 0)',
           '(.pubkey | explode | add)']
strings = ['.content', '.pubkey', '.id[0:4]', '(.content | ascii_downcase)',
           '(.tags[0][1] // "")', 'value("%s")' % r.choice(tags),
           '(tag("%s") | tojson)' % r.choice(tags), '(.kind | tostring)',
           '([.tags[][0]?] | join(","))', '"\\(.kind) \\(.content)"',
           '(.content | @base64)', 'date', 'datetime', '.nothing']
patterns = ['a', '[aeiou]{2}', '^[A-Z]', 'https?://', '\\\\d+$', '(the|and)',
            '[^ -~]']


def number():
    return r.choice(['0', '1', '2', '7', '100', '1700000000', '-1', '3.5']
                    + numbers)


def atom():
    p = r.choice(patterns)
    t = r.choice(tags)
    return r.choice([
        lambda: '%s %s %s' % (number(), r.choice(['==', '<', '>=', '!=']),
                              number()),
        lambda: '(%s | test("%s"; "i"))' % (r.choice(strings), p),
        lambda: '(%s | startswith("%s"))' % (r.choice(strings),
                                             r.choice('abc0123')),
        lambda: '(%s | contains("%s"))' % (r.choice(strings),
                                           r.choice('abc0123')),
        lambda: 'has("%s")' % t,
        lambda: 'hasnt("%s")' % t,
        lambda: '(tags("%s") | length) > %d' % (t, r.randrange(4)),
        lambda: 'has_value("%s"; %s)' % (t, r.choice(['"nostr"', '.pubkey',
                                                     '.tags[0][1]'])),
        lambda: 'any(.tags[]; .[0] == "%s")' % t,
        lambda: 'all(.tags[]; length > %d)' % r.randrange(4),
        lambda: '(.tags[] | .[0] == "%s")' % t,
        lambda: '(.kind | IN(0, 1, 3, 5, 7))',
        lambda: '([.content | scan("[a-z]+")] | length) > %d'
                % r.randrange(20),
        lambda: '(.content | sub("%s"; "<\\(.offset // 1)>") | length) > %d'
                % (p, r.randrange(200)),
        lambda: '(.content | gsub("[aeiou]"; "") | length) > %d'
                % r.randrange(200),
        lambda: '([.content | splits(" +")] | length) > %d' % r.randrange(30),
        lambda: '(.content | [match("[a-z]+"; "g").offset] | add // 0) > %d'
                % r.randrange(1000),
        lambda: '(.content | capture("(?<w>[a-z]+)") | .w | length) > %d'
                % r.randrange(5),
        lambda: '(.content | fromjson | type == "object")',
        lambda: '(.created_at | todate | .[11:13]) < "%02d"' % r.randrange(24),
        lambda: '(reduce .tags[] as $t (0; . + ($t | length))) > %d'
                % r.randrange(12),
        lambda: '(.tags | group_by(.[0]) | map(length) | max) > 1',
        lambda: '(.content.x == 1)',
    ])()


def expression(depth):
    if depth == 0 or r.random() < 0.4:
        return atom()
    a, b = expression(depth - 1), expression(depth - 1)
    return r.choice(['(%s) and (%s)', '(%s) or (%s)', '(%s), (%s)',
                     'if %s then %s else empty end', '(%s) // (%s)',
                     '(%s | not) and (%s)', 'try (%s) catch (%s)',
                     'select(%s) | (%s)']) % (a, b)


for _ in range(200):
    print(expression(2))
EOF
ok 'two hundred expressions'	test "$(wc -l <exprs)" -eq 200

# The helpers as nak has them.
cat >helpers.jq <<'EOF'
def tags(n): .tags | map(select(.[0] == n));
def tag(n): tags(n) | .[0];
def value(n): tag(n)[1];
def has(n): (tags(n) | length) > 0;
def hasnt(n): has(n) | not;
def has_value(n; v): v as $v | tags(n) | map(select(.[1] == $v)) | length > 0;
def date: .created_at | gmtime | strftime("%Y-%m-%d");
def datetime: .created_at | gmtime | strftime("%Y-%m-%dT%H:%M:%SZ");
def truth(f): [try (f | select(.) | 1) catch -1][0] // 0;
EOF

# Large programs take jq long to compile.
split -l 20 exprs part.
compare() {
	for part in part.??; do
		{
			cat helpers.jq
			sed 's/.*/truth(&),/; 1s/^/[/; $s/,$/]/' "$part"
			echo '| map(tostring) | join(",")'
		} >"$part.jq"
		jq -r -f "$part.jq" <"$1" >"$part.want"
	done
	paste -d , part.??.want >want
	jq-truth exprs <"$1" >got
	[ -s got ] && cmp -s want got && return
	paste -d '\n' want got | head -2 | why
	return 1
}
nr-bench gen -q -n 1000 --seed "$seed" | awk 'length < 1200' |
    head -n 100 >events
ok 'generated events: the same truths'	compare events
if [ -r "$corpus/real.jsonl.zst" ]; then
	zstdcat "$corpus/real.jsonl.zst" | awk 'length < 1200 && NR % 40 == 0' \
	    >real
	ok 'real events: the same truths'	compare real
fi
for v in -1 0 1; do
	ok "some say $v"	grep -q -e "\\(^\\|,\\)$v" want
done
done_testing
