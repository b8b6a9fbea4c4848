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

t.test('a gate does not spend the ticket of another', async t => {
  const [one, two] = await startNodes(t)
  const ticket = await mint(one.url)
  t.match(ticket, /^gate-1\./)
  isProblem(t, await requestUpgrade(two.url, gatePath(ticket)), '421 wrong_node')
  isProblem(t, await requestUpgrade(two.url, '/channel/', inProtocols(ticket)), '421 wrong_node')
  t.equal((await requestUpgrade(one.url, gatePath(ticket))).status, 101)
})

for (const [name, startProxy] of Object.entries(proxies) as [keyof typeof proxies, Start][])
  t.test(`two gates behind ${name}`, needs(name), async t => {
    const [one, two] = await startNodes(t)
    const proxy = await startProxy(t, {
      '10.0.0.1:8080': `127.0.0.1:${one.port}`,
      '10.0.0.2:8080': `127.0.0.1:${two.port}`,
    })
    const nodes = { 'gate-1': one, 'gate-2': two }

    await t.test(
      'every ticket finds its gate, in the query and among the subprotocols, and once',
      async t => {
        for (let round = 0; round < 10; round++)
          for (const [node, { url }] of Object.entries(nodes)) {
            const [first, second] = [await mint(url), await mint(url)]
            t.ok(first.startsWith(`${node}.`))
            t.equal((await requestUpgrade(proxy, gatePath(first, 'red'))).status, 101)
            isProblem(t, await requestUpgrade(proxy, gatePath(first)), '401 ticket_used')
            const opened = await requestUpgrade(proxy, '/channel/red', inProtocols(second))
            t.equal(opened.status, 101)
            t.equal(opened.headers['sec-websocket-protocol'], 'ticketgate.v1.json')
            isProblem(t, await requestUpgrade(proxy, '/channel/', inProtocols(second)), '401 ticket_used')
          }
      },
    )

    await t.test('oversized requests take no gate out of service', async t => {
      const body = 'x'.repeat(1_000_000)
      for (const path of ['/auth', '/nothing'])
        for (let n = 0; n < 8; n++) {
          const reply = await request(proxy, path, { method: 'POST', body })
          t.equal(reply.status, path === '/auth' ? 413 : 404, path)
        }
      t.equal((await request(proxy, '/healthz')).status, 200)
    })

    await t.test('6 KB of cookies do no harm, because the gate does not get them', async t => {
      const cookies = { cookie: `session=${'x'.repeat(6000)}` }
      const headers = { authorization: `Bearer ${tokenFor('maggie')}`, ...cookies }
      const taken = await request(proxy, '/ws_ticket', { headers })
      t.equal(taken.status, 200)
      const path = gatePath(String(jsonOf(taken).ticket))
      t.equal((await requestUpgrade(proxy, path, { headers: cookies })).status, 101)
    })

    await t.test('tickets come from both gates, and each opens at its own gate', async t => {
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
    })

    await t.test('an unknown gate name is refused by some gate', async t => {
      const forms = ['', 'x', 'gate-3.AAAA', 'any-gate.AAAA', '.AAAA', 'GATE-1.AAAA', tokenFor('maggie')]
      for (const form of forms)
        for (const reply of [
          await requestUpgrade(proxy, gatePath(form)),
          await requestUpgrade(proxy, '/channel/', inProtocols(form)),
        ])
          t.ok(
            [401, 421].includes(reply.status) && jsonOf(reply).code !== undefined,
            `${form}: ${reply.status}`,
          )
      const [own, other] = [await mint(one.url), await mint(two.url)]
      isProblem(t, await requestUpgrade(proxy, `${gatePath(own)}&ticket=${other}`), '400 ticket_ambiguous')
      isProblem(t, await requestUpgrade(proxy, gatePath(own), inProtocols(other)), '400 ticket_ambiguous')
      t.equal((await requestUpgrade(proxy, gatePath(own))).status, 101, 'and they were not spent')
      t.equal((await requestUpgrade(proxy, gatePath(other))).status, 101)
    })

    await t.test('the tickets of a gate that dies are void, and none is accepted twice', async t => {
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
          'nor does the other take it',
        )

      let minted = await request(proxy, '/ws_ticket', {
        headers: { authorization: `Bearer ${tokenFor('maggie')}` },
      })
      while (minted.status !== 200) {
        await delay(20)
        minted = await request(proxy, '/ws_ticket', {
          headers: { authorization: `Bearer ${tokenFor('maggie')}` },
        })
      }
      const ticket = String(jsonOf(minted).ticket)
      t.match(ticket, /^gate-1\./, 'clients take new ones')
      t.equal((await requestUpgrade(proxy, gatePath(ticket))).status, 101)

      const again = await startServer(t, { env: { TICKETGATE_NODE: 'gate-2' } })
      for (const late of [spent, kept])
        isProblem(
          t,
          await requestUpgrade(again.url, gatePath(late)),
          '401 ticket_invalid',
          'nor its next life',
        )
    })
  })
