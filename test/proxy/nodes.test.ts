import { setTimeout as delay } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { jsonOf, request, requestUpgrade } from '../support/http.js'
import { isProblem } from '../support/problem.js'
import { needs } from '../support/programs.js'
import { startHaproxy, startNginx } from '../support/proxy.js'
import { startServer, type TestServer } from '../support/server.js'
import { openSession, socketUrl } from '../support/socket-client.js'
import { gatePath, mint, tokenFor } from '../support/tokens.js'

const inProtocols = (ticket: string) => ({
  headers: { 'sec-websocket-protocol': `ticketgate.v1.json, ticket.${ticket}` },
})

const startNodes = async (t: Test): Promise<readonly [TestServer, TestServer]> => [
  await startServer(t, { env: { TICKETGATE_NODE: 'gate-1' } }),
  await startServer(t, { env: { TICKETGATE_NODE: 'gate-2' } }),
]

type Start = (t: Test, addresses: Record<string, string>) => Promise<string>

const proxies = {
  nginx: (t, addresses) => startNginx(t, 'nginx-nodes.conf', addresses),
  haproxy: (t, addresses) => startHaproxy(t, 'haproxy-nodes.cfg', addresses),
} as const satisfies Record<string, Start>

t.test("a gate refuses another gate's ticket and does not spend it", async t => {
  const [one, two] = await startNodes(t)
  const ticket = await mint(one.url)
  t.match(ticket, /^gate-1\./)
  isProblem(t, await requestUpgrade(two.url, gatePath(ticket)), '421 wrong_node')
  isProblem(t, await requestUpgrade(two.url, '/channel/', inProtocols(ticket)), '421 wrong_node')
  t.equal((await requestUpgrade(one.url, gatePath(ticket))).status, 101)
})

/** A proxy in front of two gates. */
interface Site {
  readonly proxy: string
  readonly one: TestServer
  readonly two: TestServer
}

async function everyTicketFindsItsGate(t: Test, { proxy, one, two }: Site): Promise<void> {
  for (let round = 0; round < 10; round++)
    for (const [node, { url }] of Object.entries({ 'gate-1': one, 'gate-2': two })) {
      const [first, second] = [await mint(url), await mint(url)]
      t.ok(first.startsWith(`${node}.`))
      t.equal((await requestUpgrade(proxy, gatePath(first, 'red'))).status, 101)
      isProblem(t, await requestUpgrade(proxy, gatePath(first)), '401 ticket_used')
      const opened = await requestUpgrade(proxy, '/channel/red', inProtocols(second))
      t.equal(opened.status, 101)
      t.equal(opened.headers['sec-websocket-protocol'], 'ticketgate.v1.json')
      isProblem(t, await requestUpgrade(proxy, '/channel/', inProtocols(second)), '401 ticket_used')
    }
}

async function oversizedRequestsAreRefused(t: Test, { proxy }: Site): Promise<void> {
  const body = 'x'.repeat(1_000_000)
  for (const path of ['/auth', '/nothing'])
    for (let n = 0; n < 8; n++) {
      const reply = await request(proxy, path, { method: 'POST', body })
      t.equal(reply.status, path === '/auth' ? 413 : 404, path)
    }
  t.equal((await request(proxy, '/healthz')).status, 200)
}

async function cookiesAreDropped(t: Test, { proxy }: Site): Promise<void> {
  const cookies = { cookie: `session=${'x'.repeat(6000)}` }
  const headers = { authorization: `Bearer ${tokenFor('maggie')}`, ...cookies }
  const taken = await request(proxy, '/ws_ticket', { headers })
  t.equal(taken.status, 200)
  const path = gatePath(String(jsonOf(taken).ticket))
  t.equal((await requestUpgrade(proxy, path, { headers: cookies })).status, 101)
}

async function ticketsComeFromBoth(t: Test, { proxy }: Site): Promise<void> {
  const seen = new Set<string>()
  for (let round = 0; round < 20; round++) {
    const ticket = await mint(proxy)
    seen.add(ticket.slice(0, ticket.indexOf('.')))
    const { client, welcome } = await openSession(socketUrl(proxy, gatePath(ticket, 'red')))
    t.match(welcome, { type: 'welcome', user: 'maggie', channel: 'red' })
    t.match(await client.ask({ type: 'ping', id: round }), { type: 'pong', id: round })
    await client.close()
  }
  t.strictSame([...seen].sort(), ['gate-1', 'gate-2'])
}

async function oddTicketsAreRefused(t: Test, { proxy }: Site): Promise<void> {
  const forms = ['', 'x', 'gate-3.AAAA', 'any-gate.AAAA', '.AAAA', 'GATE-1.AAAA', tokenFor('maggie')]
  for (const form of forms)
    for (const reply of [
      await requestUpgrade(proxy, gatePath(form)),
      await requestUpgrade(proxy, '/channel/', inProtocols(form)),
    ])
      t.ok([401, 421].includes(reply.status) && jsonOf(reply).code !== undefined, `${form}: ${reply.status}`)
}

async function twoTicketsAreRefused(t: Test, { proxy, one, two }: Site): Promise<void> {
  const [own, other] = [await mint(one.url), await mint(two.url)]
  isProblem(t, await requestUpgrade(proxy, `${gatePath(own)}&ticket=${other}`), '400 ticket_ambiguous')
  isProblem(t, await requestUpgrade(proxy, gatePath(own), inProtocols(other)), '400 ticket_ambiguous')
  t.equal((await requestUpgrade(proxy, gatePath(own))).status, 101, 'refused tickets are not spent')
  t.equal((await requestUpgrade(proxy, gatePath(other))).status, 101)
}

/** Gets a ticket as soon as the proxy has noticed that a gate is down. */
async function mintAfterOutage(proxy: string): Promise<string> {
  const headers = { authorization: `Bearer ${tokenFor('maggie')}` }
  for (;;) {
    const reply = await request(proxy, '/ws_ticket', { headers })
    if (reply.status === 200) return String(jsonOf(reply).ticket)
    await delay(20)
  }
}

async function deadGateKeepsItsTickets(t: Test, { proxy, one, two }: Site): Promise<void> {
  const [spent, kept] = [await mint(two.url), await mint(two.url)]
  t.equal((await requestUpgrade(proxy, gatePath(spent))).status, 101)
  two.signal('SIGKILL')
  await two.exited
  for (const ticket of [spent, kept])
    for (const reply of [
      await requestUpgrade(proxy, gatePath(ticket)),
      await requestUpgrade(proxy, '/channel/', inProtocols(ticket)),
    ])
      t.ok([502, 503].includes(reply.status), `${reply.status}`)
  for (const ticket of [spent, kept])
    isProblem(
      t,
      await requestUpgrade(one.url, gatePath(ticket)),
      '421 wrong_node',
      'the other gate refuses them',
    )

  const ticket = await mintAfterOutage(proxy)
  t.match(ticket, /^gate-1\./, 'clients get tickets of the other gate')
  t.equal((await requestUpgrade(proxy, gatePath(ticket))).status, 101)

  const again = await startServer(t, { env: { TICKETGATE_NODE: 'gate-2' } })
  for (const late of [spent, kept])
    isProblem(
      t,
      await requestUpgrade(again.url, gatePath(late)),
      '401 ticket_invalid',
      'the restarted gate refuses them',
    )
}

for (const [name, startProxy] of Object.entries(proxies) as [keyof typeof proxies, Start][])
  t.test(`two gates behind ${name}`, needs(name), async t => {
    const [one, two] = await startNodes(t)
    const proxy = await startProxy(t, {
      '10.0.0.1:8080': `127.0.0.1:${one.port}`,
      '10.0.0.2:8080': `127.0.0.1:${two.port}`,
    })
    const site = { proxy, one, two }
    await t.test('every ticket reaches its gate, by query and by subprotocol, and is accepted once', t =>
      everyTicketFindsItsGate(t, site),
    )
    await t.test('oversized requests take no gate out of service', t => oversizedRequestsAreRefused(t, site))
    await t.test('6 KB of cookies are fine, because the gate does not get them', t =>
      cookiesAreDropped(t, site),
    )
    await t.test('tickets come from both gates, and each opens at its own gate', t =>
      ticketsComeFromBoth(t, site),
    )
    await t.test('a ticket without a known gate name is refused', t => oddTicketsAreRefused(t, site))
    await t.test('two tickets of different gates are refused, and not spent', t =>
      twoTicketsAreRefused(t, site),
    )
    await t.test('the tickets of a gate that dies are never accepted again', t =>
      deadGateKeepsItsTickets(t, site),
    )
  })
