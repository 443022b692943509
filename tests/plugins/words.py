#!/usr/bin/env python3
"""A plugin as strfry's users write them: the content decides."""
import json
import sys

KNOWN = {'event', 'receivedAt', 'sourceInfo', 'sourceType', 'type'}

for line in sys.stdin:
    request = json.loads(line)
    text = request['event']['content']
    answer = {'id': request['event']['id'], 'action': 'accept'}
    if request['type'] != 'new' or set(request) - {'authed'} != KNOWN:
        answer.update(action='reject', msg='error: this is not strfry')
    elif text == 'who':
        answer.update(action='reject', msg='%s %s %s' % (
            request['sourceType'], request['sourceInfo'],
            request.get('authed', 'null')))
    elif text.startswith('spam'):
        answer.update(action='reject', msg='rate-limited: no "spam"')
    elif text.startswith('shadow'):
        answer['action'] = 'shadowReject'
    elif text.startswith('silly'):
        answer.update(action='reject', msg='')
    print(json.dumps(answer), flush=True)
