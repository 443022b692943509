#!/usr/bin/env python3
"""A naive store and query engine to compare with; it shares no code with ours.

  oracle.py live NOW < events	ids that a store must hold after these events
				came in this order at the Unix time NOW, sorted
  oracle.py filters SEED N EVENTS
				N random filters over the events of a file: a
				JSON list of filters a line
  oracle.py answers NOW EVENTS < filters
				for each line of filters the ids that answer it,
				in order, as a JSON list
"""
import json
import random
import sys

LETTERS = 'abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ'


def replaceable(kind):
    return kind in (0, 3) or 10000 <= kind < 20000


def addressable(kind):
    return 30000 <= kind < 40000


def d_tag(event):
    for tag in event['tags']:
        if tag and tag[0] == 'd':
            return tag[1] if len(tag) > 1 else ''
    return ''


def address(event):
    if replaceable(event['kind']):
        return (event['kind'], event['pubkey'], '')
    if addressable(event['kind']):
        return (event['kind'], event['pubkey'], d_tag(event))
    return None


def expiration(event):
    for tag in event['tags']:
        if len(tag) > 1 and tag[0] == 'expiration':
            if tag[1] and all(c in '0123456789' for c in tag[1]):
                return int(tag[1])
    return None


def expired(event, now):
    at = expiration(event)
    return at is not None and at <= now


def hex64(text):
    return len(text) == 64 and all(c in '0123456789abcdef' for c in text)


def parse_address(text):
    part = text.split(':', 2)
    if len(part) < 2 or not part[0] or not part[0].isascii():
        return None
    if not all(c in '0123456789' for c in part[0]) or not hex64(part[1]):
        return None
    kind = int(part[0])
    if not (replaceable(kind) or addressable(kind)):
        return None
    d = part[2] if len(part) > 2 and addressable(kind) else ''
    return (kind, part[1], d)


def recipients(event):
    if event['kind'] != 1059:
        return set()
    return {t[1] for t in event['tags']
            if len(t) > 1 and t[0] == 'p' and hex64(t[1])}


def who_may_delete(event):
    if event['kind'] in (5, 62):
        return set()
    return {event['pubkey']} | recipients(event)


class Store:
    def __init__(self):
        self.live = {}          # id -> event
        self.current = {}       # address -> id
        self.gone_ids = set()   # (id, who deleted it)
        self.gone_addresses = {}  # address -> created_at
        self.vanished = {}      # public key -> created_at

    def kill(self, event):
        del self.live[event['id']]
        where = address(event)
        if where and self.current.get(where) == event['id']:
            del self.current[where]

    def delete(self, request):
        who = request['pubkey']
        for tag in request['tags']:
            if len(tag) < 2:
                continue
            if tag[0] == 'e' and hex64(tag[1]):
                self.gone_ids.add((tag[1], who))
                target = self.live.get(tag[1])
                if target and who in who_may_delete(target):
                    where = address(target)
                    if where:
                        self.gone_addresses[where] = max(
                            self.gone_addresses.get(where, -1),
                            target['created_at'])
                    self.kill(target)
            elif tag[0] == 'a':
                where = parse_address(tag[1])
                if not where or where[1] != who:
                    continue
                upto = max(self.gone_addresses.get(where, -1),
                           request['created_at'])
                self.gone_addresses[where] = upto
                target = self.live.get(self.current.get(where))
                if target and target['created_at'] <= request['created_at']:
                    self.kill(target)

    def has_vanished(self, event):
        return event['kind'] != 62 and any(
            self.vanished.get(who, -1) >= event['created_at']
            for who in {event['pubkey']} | recipients(event))

    def vanish(self, request):
        """Only requests to all relays: that is what nr-import acts upon."""
        if ['relay', 'ALL_RELAYS'] not in [t[:2] for t in request['tags']]:
            return
        who = request['pubkey']
        self.vanished[who] = max(self.vanished.get(who, -1),
                                 request['created_at'])
        for event in [e for e in self.live.values() if self.has_vanished(e)]:
            self.kill(event)

    def put(self, event, now):
        kind = event['kind']
        if 20000 <= kind < 30000 or event['id'] in self.live or \
                self.has_vanished(event):
            return
        if any((event['id'], who) in self.gone_ids
               for who in who_may_delete(event)):
            return
        where = address(event)
        if where:
            if self.gone_addresses.get(where, -1) >= event['created_at']:
                return
            other = self.live.get(self.current.get(where))
            if other:
                if (other['created_at'], event['id']) > \
                        (event['created_at'], other['id']):
                    return
                if expired(event, now):
                    return
                self.kill(other)
        if expired(event, now):
            return
        if kind == 5:
            self.delete(event)
        if kind == 62:
            self.vanish(event)
        self.live[event['id']] = event
        if where:
            self.current[where] = event['id']


def load(path):
    with open(path, encoding='utf-8', newline='\n') as f:
        return [json.loads(line) for line in f]


def cmd_live(now):
    store = Store()
    for line in sys.stdin.buffer:
        store.put(json.loads(line), now)
    for event_id in sorted(store.live):
        if not expired(store.live[event_id], now):
            print(event_id)


def matches(event, f):
    if 'since' in f and event['created_at'] < f['since']:
        return False
    if 'until' in f and event['created_at'] > f['until']:
        return False
    for name, field in (('ids', 'id'), ('authors', 'pubkey'),
                        ('kinds', 'kind')):
        if name in f and event[field] not in f[name]:
            return False
    return all(any(len(t) > 1 and t[0] == key[1] and t[1] in f[key]
                   for t in event['tags'])
               for key in f if key[0] == '#')


def with_sets(f):
    """The filter with its lists as sets, which are quicker to look into."""
    return {k: set(v) if isinstance(v, list) else v for k, v in f.items()}


def random_filter(rng, events):
    """A filter whose parts are taken from the events, so that it hits."""
    f = {}
    some = rng.choices(events, k=rng.choice([1, 1, 2, 5, 20, 60]))
    lead = some[0]
    if rng.random() < 0.08:
        f['ids'] = [e['id'] for e in some]
        if rng.random() < 0.3:
            f['ids'].append('0' * 64)
    if rng.random() < 0.4:
        f['authors'] = [e['pubkey'] for e in some]
    if rng.random() < 0.45:
        f['kinds'] = [e['kind'] for e in some[:rng.choice([1, 1, 2, 9])]]
    if rng.random() < 0.4:
        tags = [t for e in some for t in e['tags']
                if len(t) > 1 and len(t[0]) == 1 and t[0] in LETTERS]
        for letter in {t[0] for t in rng.sample(tags, min(len(tags), 2))}:
            values = [t[1] for t in tags if t[0] == letter]
            if letter in 'ep':
                values = [v for v in values if hex64(v)]
            if values:
                f['#' + letter] = values
    if rng.random() < 0.4:
        at = lead['created_at']
        width = rng.choice([0, 1, 60, 3600, 86400, 864000])
        if rng.random() < 0.6:
            f['since'] = max(0, at - rng.randint(0, width))
        if rng.random() < 0.6:
            f['until'] = at + rng.randint(0, width)
    if rng.random() < 0.97:
        f['limit'] = rng.choice([0, 1, 1, 2, 3, 7, 20, 100, 500])
    if rng.random() < 0.02:
        f[rng.choice(['ids', 'authors', 'kinds', '#t'])] = []
    return f


def cmd_filters(seed, count, path):
    rng = random.Random(seed)
    events = load(path)
    for _ in range(count):
        n = rng.choice([1, 1, 1, 2, 3, 5])
        print(json.dumps([random_filter(rng, events) for _ in range(n)],
                         ensure_ascii=False, separators=(',', ':')))


class Index:
    """Candidates by the most selective part of a filter."""

    def __init__(self, events):
        self.all = sorted(events, key=lambda e: (-e['created_at'], e['id']))
        self.by = {}
        for e in self.all:
            for key in {('i', e['id']), ('a', e['pubkey']), ('k', e['kind'])} \
                    | {('#' + t[0], t[1]) for t in e['tags'] if len(t) > 1}:
                self.by.setdefault(key, []).append(e)

    def candidates(self, f):
        lists = []
        for name, short in (('ids', 'i'), ('authors', 'a'), ('kinds', 'k')):
            if name in f:
                lists.append([(short, v) for v in f[name]])
        for key in f:
            if key[0] == '#':
                lists.append([(key, v) for v in f[key]])
        if not lists:
            return self.all
        best = min(lists, key=lambda keys: sum(
            len(self.by.get(k, ())) for k in keys))
        if len(best) == 1:
            return self.by.get(best[0], [])
        found = {e['id']: e for k in best for e in self.by.get(k, ())}
        return sorted(found.values(), key=lambda e: (-e['created_at'], e['id']))


def cmd_answers(now, path):
    index = Index([e for e in load(path) if not expired(e, now)])
    filled = cut = tied = total = 0
    for line in sys.stdin:
        result = {}
        was_cut = was_tied = False
        for f in map(with_sets, json.loads(line)):
            limit = f.get('limit', float('inf'))
            hits = []           # one more than the limit, to know the cut
            for e in index.candidates(f):
                if len(hits) > limit:
                    break
                if matches(e, f):
                    hits.append(e)
            if 0 < limit < len(hits):
                was_cut = True
                if hits[limit - 1]['created_at'] == hits[limit]['created_at']:
                    was_tied = True
            for e in hits[:int(min(limit, len(hits)))]:
                result[e['id']] = e
        order = sorted(result.values(),
                       key=lambda e: (-e['created_at'], e['id']))
        print(json.dumps([e['id'] for e in order]))
        total += 1
        filled += bool(order)
        cut += was_cut
        tied += was_tied
    print('# %d filters: %d with results, %d cut by a limit, %d with a tie '
          'at the cut' % (total, filled, cut, tied), file=sys.stderr)


if __name__ == '__main__':
    verb, args = sys.argv[1], sys.argv[2:]
    if verb == 'live':
        cmd_live(int(args[0]))
    elif verb == 'filters':
        cmd_filters(int(args[0]), int(args[1]), args[2])
    elif verb == 'answers':
        cmd_answers(int(args[0]), args[1])
