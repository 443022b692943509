#!/usr/bin/env node
// A plugin as strfry's users write them: the content decides.
import { createInterface } from 'node:readline'

const known = ['event', 'receivedAt', 'sourceInfo', 'sourceType', 'type']

createInterface({ input: process.stdin, terminal: false }).on('line', line => {
  const { authed, ...req } = JSON.parse(line)
  const text = req.event.content
  const res = { id: req.event.id, action: 'accept' }
  if (req.type !== 'new' || JSON.stringify(Object.keys(req).sort()) !== JSON.stringify(known)) {
    res.action = 'reject'
    res.msg = 'error: this is not strfry'
  } else if (text === 'who') {
    res.action = 'reject'
    res.msg = `${req.sourceType} ${req.sourceInfo} ${authed ?? null}`
  } else if (text.startsWith('spam')) {
    res.action = 'reject'
    res.msg = 'rate-limited: no "spam"'
  } else if (text.startsWith('shadow')) res.action = 'shadowReject'
  else if (text.startsWith('silly')) {
    res.action = 'reject'
    res.msg = ''
  }
  console.log(JSON.stringify(res))
})
