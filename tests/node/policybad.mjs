// Policy plugins that misbehave, die and are replaced, under load.
import { readFileSync, writeFileSync, existsSync } from 'node:fs'
import { ok, is, done, serve, scratch, run, until, Client, Author } from './tap.mjs'

const a = new Author()
const failed = 'error: the policy cannot be asked, try again later'
const conf = scratch('conf')
const configure = (...lines) => writeFileSync(conf, lines.map(l => l + '\n').join(''))
// A plugin that is this script.
let scripts = 0
const script = (text, shell = 'sh') => {
  const file = scratch('script' + ++scripts)
  writeFileSync(file, text + '\n')
  return `policy = "exec ${shell} ${file}"`
}
const reload = async server => {
  const before = server.err.split('is loaded').length
  server.process.kill('SIGHUP')
  return until(() => server.err.split('is loaded').length > before)
}
let n = 0
const event = (text = 'x') => a.sign(1, `${text} ${++n}`)
// Send them all; resolves to the answers by id.
async function publishAll(c, events, ms = 60000) {
  const answers = new Map()
  for (const e of events) c.send('EVENT', e)
  await until(() => {
    c.messages = c.messages.filter(m => m[0] !== 'OK' || !answers.set(m[1], m.slice(2)))
    return answers.size === events.length || c.closed
  }, ms)
  return events.map(e => answers.get(e.id))
}

// ---- each of them: what it was asked is refused, the relay goes on
const hostile = {
  silent: ['plugin silent', 'does not answer'],
  'silent after some': ['plugin -n 5 silent', 'does not answer'],
  'dying at once': ['exit 1', 'ended with status 1'],
  'not there': ['/no/such/plugin 2>/dev/null', 'ended with status 127'],
  'dying in the middle': ['plugin -n 3 die', 'ended with status 7'],
  'killed': ['read x; kill -9 $$', 'ended by signal 9'],
  'lying about ids': ['plugin lie', 'does not answer'],
  'with actions of its own': ['plugin garble', ''],
  'half a line': ['printf \'{"id":"\'; exec sleep 1000', 'does not answer'],
  'talking without end': ['exec yes', 'talks nonsense'],
  'a line of 1 GB': ['tr "\\0" x </dev/zero | head -c 1000000000', 'without an end'],
  'deaf': ['exec <&-; exec sleep 1000', 'has closed its'],
}
for (const [what, [policy, why]] of Object.entries(hostile)) {
  configure(script(policy), 'policy_timeout = 1', 'policy_asks = "write read"')
  const server = await serve(scratch('hostile'), '-c', conf)
  const c = await Client.open(server.url)
  const answers = await publishAll(c, Array.from({ length: 12 }, () => event()), 20000)
  ok(answers.every(x => x && (x[0] ? /-n/.test(policy) : x[1] === failed)) && answers.some(x => !x[0]),
    `${what}: refused`, [answers, server.err])
  // What was sent before its last answer does not count against it.
  ok(await until(() => { if (/-n/.test(policy)) c.send('EVENT', event()); return server.err.includes(why) }, 20000),
    `${what}: the log says why`, server.err)
  if (!/-n/.test(policy)) is((await c.query('r', {})).end, ['CLOSED', 'r', failed], 'reads likewise')
  // Better now.
  configure('policy = "plugin -h accept"')
  await reload(server)
  ok(await until(async () => (await c.publish(event()))?.[0], 20000), 'and with another one it goes on', server.err)
  c.close()
  is(await server.stop(), { code: 0, signal: null }, 'status 0')
}

// ---- answering twice, beside the point, for some only
configure('policy = "plugin -h twice"')
let server = await serve(scratch('odd'), '-c', conf)
let c = await Client.open(server.url), d
ok((await publishAll(c, Array.from({ length: 80 }, () => event()))).every(x => x?.[0]), 'one that says everything twice')
configure('policy = "plugin stray"')
await reload(server)
ok((await publishAll(c, Array.from({ length: 500 }, () => event()))).every(x => x?.[0]), 'or what nobody asked')
configure('policy = "plugin drop"', 'policy_timeout = 1')
await reload(server)
ok(await until(async () => (await publishAll(c, [event(), event(), event(), event()])).some(x => x && !x[0])), 'one that forgets some')
ok((await publishAll(c, [event(), event(), event(), event()])).some(x => x?.[0]), 'is asked again, nevertheless')

// ---- it dies, and comes again by itself
configure('policy = "plugin -n 200 die"', 'policy_timeout = 20')
await reload(server)
let stored = 0, refused = 0
ok(await until(async () => {
  for (const x of await publishAll(c, Array.from({ length: 100 }, () => event())))
    if (x?.[0]) stored++
    else if (x?.[1] === failed) refused++
  return stored > 400
}, 60000), 'one that dies now and then is started again', [stored, refused])
ok(refused > 0, 'what it had then is refused', refused)
c.close()
await server.stop()

// ---- fair: who floods waits for himself
configure('policy = "plugin -t 20 accept"', 'policy_timeout = 60')
server = await serve(scratch('fair'), '-c', conf)
c = await Client.open(server.url)
d = await Client.open(server.url)
const flood = Array.from({ length: 1500 }, () => event('flood'))
let flooded = false
const flooding = publishAll(c, flood).then(x => { flooded = true; return x })
for (let i = 0; i < 3; i++) is((await d.publish(event('other')))?.[0], true, 'beside a flood')
ok(!flooded, 'others are not held up')
ok((await flooding).every(x => x?.[0]), 'and of the flood nothing is lost')

// ---- a slow one: nobody sends more than it can do in time
configure(script(`
import sys, json, time
for line in sys.stdin:
    time.sleep(0.004)
    print(json.dumps({'id': json.loads(line)['event']['id'], 'action': 'accept'}), flush=True)`, 'python3'),
  'policy_timeout = 3')
await reload(server)
await until(() => !/warning/.test(server.err))
const late = (await publishAll(c, Array.from({ length: 1500 }, () => event('slow')))).filter(x => !x?.[0])
is(late, [], 'more events than a slow plugin decides on in its time')

// ---- under load it is replaced, again and again
configure('policy = "plugin -h -b 64 accept"', 'policy_timeout = 60')
await reload(server)
const clients = await Promise.all(Array.from({ length: 4 }, () => Client.open(server.url)))
const all = []
let loading = true, reloads = 0
const load = clients.map(async x => {
  while (loading) {
    const some = Array.from({ length: 50 }, () => event('load'))
    const got = await publishAll(x, some)
    some.forEach((e, i) => all.push([e.id, got[i]]))
  }
})
for (; reloads < 8; reloads++) {
  configure(`policy = "plugin ${reloads % 2 ? '-h -b 64' : '-t 1'} accept"`, 'policy_timeout = 60')
  await reload(server)
  const so = all.length
  await until(() => all.length > so + 200)
}
loading = false
await Promise.all(load)
is(all.filter(([, x]) => !x?.[0]), [], `${all.length} events over ${reloads} reloads: none was refused`)
const exported = await run('nr-export', ['-S', scratch('fair'), '--ids'])
const ids = new Set(exported.out.split('\n'))
is(all.filter(([id]) => !ids.has(id)).length, 0, 'and none was lost')
ok(!/warning/.test(server.err.split('is loaded').slice(3).join('')), 'without a complaint', server.err.slice(-800))
clients.forEach(x => x.close())

// ---- the end: what was asked is decided, stored and answered
const pids = scratch('pids')
const alive = () => readFileSync(pids, 'utf8').trim().split('\n').filter(pid => {
  try { return !/^State:\s*Z/m.test(readFileSync(`/proc/${pid}/status`, 'utf8')) } catch { return false }
})
configure(`policy = "plugin -p ${pids} -t 700 accept"`)
await reload(server)
await until(() => existsSync(pids))
await until(async () => (await run('pgrep', ['-P', String(server.process.pid)])).out.trim().split('\n').length === 1)
const last = event('last')
c.send('EVENT', last)
await c.query('there', { limit: 1 })
server.process.kill('SIGTERM')
is((await c.ok(last.id))?.[2], true, 'what was under way at the end is answered')
is(await server.exited, { code: 0, signal: null }, 'status 0')
ok((await run('nr-export', ['-S', scratch('fair'), '--ids'])).out.includes(last.id), 'and stored')
is(await until(() => alive().length === 0), true, 'its plugins have ended')

// ---- an upgrade: the same for the one that leaves
configure(`policy = "plugin -h -t 300 accept"`, 'upgrade_seconds = 1', 'listen = 127.0.0.1:0')
server = await serve(scratch('fair'), '-c', conf)
c = await Client.open(server.url)
const moving = event('moving')
c.send('EVENT', moving)
await c.query('there', { limit: 1 })
server.process.kill('SIGUSR1')
is((await c.ok(moving.id))?.[2], true, 'what was under way when it leaves is answered')
is(await server.exited, { code: 0, signal: null }, 'and then it ends')

// ---- in the end a plugin that does not want to
configure(script(`trap '' TERM; echo $$ >>${pids}; while :; do sleep 1; done`))
server = await serve(scratch('fair'), '-c', conf)
await until(() => alive().length > 0)
is(await server.stop(), { code: 0, signal: null }, 'one that does not end is ended')
is(await until(() => alive().length === 0), true, 'with its group')
done()
