import { rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { EventStream } from '../support/event-stream.js'
import { openGate } from '../support/gate.js'
import { bearer, jsonOf, metric, request, requestUpgrade } from '../support/http.js'
import { isProblem } from '../support/problem.js'
import { adminKey, startServer, temporaryDirectory } from '../support/server.js'
import { type Client, openSession, socketUrl } from '../support/socket-client.js'
import { gatePath, mint } from '../support/tokens.js'

const preload = new URL('mortal-thread.mjs', import.meta.url).href

/** A server with two threads that the test can make fail. */
async function startMortal(t: Test) {
  const directory = temporaryDirectory(t)
  const server = await startServer(t, {
    env: {
      NODE_OPTIONS: `--import=${preload}`,
      MORTAL_DIRECTORY: directory,
      TICKETGATE_TICKET_TTL_SECONDS: '600',
      TICKETGATE_MAX_CONNECTIONS: '20',
      TICKETGATE_THREADS: '2',
    },
  })
  const line = (msg: string, thread: number): string => `"thread":${thread},"msg":"${msg}"`
  let deaths = 0
  return {
    url: server.url,
    admin: server.admin,
    drain: () => server.stop(),
    /** Makes a thread fail. */
    kill: (thread: number) => writeFileSync(join(directory, `${thread}-${deaths++}`), ''),
    usersFile: join(server.stateDir, 'users.json'),
    timesLogged: (msg: string, thread: number) => server.output().split(line(msg, thread)).length - 1,
    /** Resolves when a thread has logged a message this many times. */
    logged: (msg: string, thread: number, times = 1) => server.logged(line(msg, thread), times),
  }
}

t.test('a thread that dies is replaced, and spent tickets stay spent', async t => {
  const gate = await startMortal(t)
  const spent: string[] = []
  const clients: Client[] = []
  for (let n = 0; n < 16; n++) {
    const ticket = await mint(gate.url)
    clients.push((await openSession(socketUrl(gate.url, gatePath(ticket)))).client)
    spent.push(ticket)
  }
  const unused: string[] = []
  for (let n = 0; n < 8; n++) unused.push(await mint(gate.url))
  const acceptedBefore = await metric(gate, 'ticketgate_handshakes_accepted_total')
  t.equal(acceptedBefore, 16)

  for (const thread of [0, 1]) {
    gate.kill(thread)
    await gate.logged('replacing the thread', thread)
    for (const [index, ticket] of spent.entries()) {
      const reply = await requestUpgrade(gate.url, gatePath(ticket))
      isProblem(t, reply, '401 ticket_used', `ticket ${index} after the death of thread ${thread}`)
    }
    await gate.logged('the replacement thread is serving', thread)
  }
  await Promise.all(clients.map(client => client.closed))
  t.pass('the sockets of a thread close with it')

  for (const [index, ticket] of unused.entries()) {
    const { client } = await openSession(socketUrl(gate.url, gatePath(ticket)))
    isProblem(
      t,
      await requestUpgrade(gate.url, gatePath(ticket)),
      '401 ticket_used',
      `unused ticket ${index}, again`,
    )
    clients.push(client)
  }
  t.pass('unused tickets are valid, whichever thread issued them')
  t.ok(
    (await metric(gate, 'ticketgate_handshakes_accepted_total')) >= acceptedBefore + unused.length,
    'the counts of dead threads are kept',
  )
  // 16 sockets died with their threads. They no longer count towards the cap of 20.
  const more: Client[] = []
  for (let n = unused.length; n < 20; n++)
    more.push((await openSession(socketUrl(gate.url, gatePath(await mint(gate.url))))).client)
  isProblem(t, await requestUpgrade(gate.url, gatePath(await mint(gate.url))), '429 too_many_connections')
  t.equal(jsonOf(await request(gate.admin, '/connections', { headers: bearer(adminKey) })).connections, 20)
  await gate.drain()
  await Promise.all([...clients, ...more].map(client => client.closed))
})

t.test('a failed replacement is retried, one thread at a time, until it succeeds', async t => {
  const gate = await startMortal(t)
  writeFileSync(gate.usersFile, '{')
  gate.kill(0)
  await gate.logged('could not start a thread', 0, 3)
  rmSync(gate.usersFile)
  await gate.logged('the replacement thread is serving', 0)
  const tries = gate.timesLogged('could not start a thread', 0)
  t.equal(gate.timesLogged('replacing the thread', 0), tries + 1)
  gate.kill(0)
  await gate.logged('the replacement thread is serving', 0, 2)
  t.equal(gate.timesLogged('could not start a thread', 0), tries, 'the next replacement succeeds at once')
  await gate.drain()
})

t.test('a drain while a thread is being replaced leaves no thread behind', async t => {
  for (const waitMs of [0, 700]) {
    const gate = await startMortal(t)
    gate.kill(1)
    await gate.logged('replacing the thread', 1)
    await delay(waitMs)
    await gate.drain()
    await t.rejects(request(gate.url, '/healthz'), `drained ${waitMs} ms after the death`)
  }
})

t.test('a gate that is closed while its threads start leaves no thread behind', async t => {
  for (const end of ['close', 'drain'] as const) {
    const gate = await openGate(t, { threads: 2 })
    const [{ url }] = await Promise.all([gate.listen(), gate[end]()])
    await t.rejects(request(url, '/healthz'), end)
  }
})

t.test(
  'readers of events learn that a thread has died, and receive the events of its replacement',
  async t => {
    const gate = await startMortal(t)
    const events = await EventStream.open(t, gate.admin)
    t.match(await events.next(), { type: 'reset', data: { reason: 'start' } })
    const enter = async () => (await openSession(socketUrl(gate.url, gatePath(await mint(gate.url))))).client
    const before = await Promise.all(Array.from({ length: 8 }, enter))
    for (const thread of [0, 1]) gate.kill(thread)
    for (const { closed } of before) await closed
    const told = [...(await events.upTo('reset')), ...(await events.upTo('reset'))]
    t.strictSame(
      told.filter(({ type }) => type === 'reset').map(({ data }) => data.reason),
      ['thread', 'thread'],
    )
    for (const thread of [0, 1]) await gate.logged('the replacement thread is serving', thread)
    await enter()
    t.match((await events.upTo('opened')).at(-1), { data: { user: 'maggie' } })
  },
)
