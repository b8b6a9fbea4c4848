import t, { type Test } from 'tap'
import { bearer, jsonOf, type RequestOptions, request, requestUpgrade } from '../support/http.js'
import { isProblem } from '../support/problem.js'
import { startServer, type TestServer } from '../support/server.js'
import { openSession, socketUrl } from '../support/socket-client.js'
import { gatePath, nowSeconds, tokenFor } from '../support/tokens.js'

const [home, app] = ['https://example.com', 'https://app.example.com:8443']
const proxy = '127.0.0.1'

/** A client: its address, and the headers it sends. */
interface Client {
  readonly from?: string
  readonly forwarded?: string
  readonly origin?: string
}

const optionsOf = ({ from, forwarded, origin }: Client): RequestOptions => ({
  ...(from === undefined ? {} : { from }),
  headers: {
    ...(forwarded === undefined ? {} : { 'x-forwarded-for': forwarded }),
    ...(origin === undefined ? {} : { origin }),
  },
})

const takeTicket = async (server: TestServer, client: Client, claims = {}, channel = ''): Promise<string> => {
  const { headers, ...options } = optionsOf(client)
  const query = channel === '' ? '' : `?channel=${channel}`
  const reply = await request(server.url, `/ws_ticket${query}`, {
    ...options,
    headers: { ...headers, ...bearer(tokenFor('maggie', claims)) },
  })
  return String(jsonOf(reply).ticket)
}

type Case = readonly [name: string, taker: Client, presenter: Client, expected: string]

const check = async (test: Test, server: TestServer, cases: readonly Case[]): Promise<void> => {
  for (const [name, taker, presenter, expected] of cases) {
    const ticket = await takeTicket(server, taker)
    const reply = await requestUpgrade(server.url, gatePath(ticket), optionsOf(presenter))
    if (expected === '101') test.equal(reply.status, 101, name)
    else {
      isProblem(test, reply, expected, name)
      test.equal(
        (await requestUpgrade(server.url, gatePath(ticket), optionsOf(taker))).status,
        101,
        `${name}: the ticket is not spent`,
      )
    }
  }
}

t.test('bound to an address: X-Forwarded-For counts only if a trusted proxy sends it', async t => {
  const server = await startServer(t, {
    env: { TICKETGATE_BIND: 'address', TICKETGATE_TRUSTED_PROXIES: `${proxy},10.0.0.0/8` },
  })
  const viaProxy = (forwarded: string): Client => ({ from: proxy, forwarded })
  await check(t, server, [
    ['the same address', { from: '127.0.0.2' }, { from: '127.0.0.2' }, '101'],
    ['a neighbouring address', { from: '127.0.0.2' }, { from: '127.0.0.3' }, '403 address_mismatch'],
    ['the same client behind the proxy', viaProxy('203.0.113.9'), viaProxy('203.0.113.9'), '101'],
    [
      'another client behind the proxy',
      viaProxy('203.0.113.9'),
      viaProxy('203.0.113.8'),
      '403 address_mismatch',
    ],
    ['the same client behind two proxies', viaProxy('203.0.113.9'), viaProxy('203.0.113.9, 10.1.2.3'), '101'],
    [
      'a client that forges the header',
      viaProxy('203.0.113.9'),
      { from: '127.0.0.2', forwarded: '203.0.113.9' },
      '403 address_mismatch',
    ],
    [
      'a client that forges it, and a proxy that adds the real address',
      viaProxy('203.0.113.9'),
      viaProxy('203.0.113.9, 203.0.113.8'),
      '403 address_mismatch',
    ],
    [
      'a ticket taken with a forged header is bound to the real address',
      { from: '127.0.0.2', forwarded: '203.0.113.9' },
      { from: '127.0.0.2' },
      '101',
    ],
    [
      'a ticket taken with a forged header is not bound to the forged address',
      { from: '127.0.0.2', forwarded: '203.0.113.9' },
      viaProxy('203.0.113.9'),
      '403 address_mismatch',
    ],
    ['the /64 of an IPv6 client', viaProxy('2001:db8::1'), viaProxy('2001:db8::ffff:1'), '101'],
    ['the next /64', viaProxy('2001:db8::1'), viaProxy('2001:db8:0:1::1'), '403 address_mismatch'],
    ['an IPv4-mapped IPv6 address', viaProxy('203.0.113.9'), viaProxy('::ffff:203.0.113.9'), '101'],
    ['the proxy itself, without a header', viaProxy('203.0.113.9'), { from: proxy }, '403 address_mismatch'],
  ])
})

t.test('bound to an address: the prefix length is configurable', async t => {
  for (const [bits, cases] of [
    [
      '24,128',
      [
        ['203.0.113.9', '203.0.113.250', '101'],
        ['203.0.113.9', '203.0.112.9', '403 address_mismatch'],
        ['2001:db8::1', '2001:db8::1', '101'],
        ['2001:db8::1', '2001:db8::2', '403 address_mismatch'],
      ],
    ],
    [
      '8,48',
      [
        ['203.0.113.9', '203.9.9.9', '101'],
        ['2001:db8:0:1::1', '2001:db8:0:2::1', '101'],
        ['2001:db8:0:1::1', '2001:db8:1:1::1', '403 address_mismatch'],
      ],
    ],
  ] as const) {
    const server = await startServer(t, {
      env: {
        TICKETGATE_BIND: 'address',
        TICKETGATE_BIND_ADDRESS_BITS: bits,
        TICKETGATE_TRUSTED_PROXIES: proxy,
      },
    })
    await check(
      t,
      server,
      cases.map(([taker, presenter, expected]) => [
        `${bits}: ${taker}, ${presenter}`,
        { from: proxy, forwarded: taker },
        { from: proxy, forwarded: presenter },
        expected,
      ]),
    )
    await server.stop()
  }
})

t.test('bound to an origin: only the page that requested the ticket may connect', async t => {
  const server = await startServer(t, { env: { TICKETGATE_BIND: 'origin' } })
  await check(t, server, [
    ['the same page', { origin: home }, { origin: home }, '101'],
    ['another page that may connect', { origin: home }, { origin: app }, '403 origin_forbidden'],
    ['no origin', { origin: home }, {}, '403 origin_forbidden'],
    [
      'a page that may not connect',
      { origin: home },
      { origin: 'https://evil.test' },
      '403 origin_forbidden',
    ],
    ['a ticket taken without an origin is bound to none', {}, { origin: app }, '101'],
  ])
})

t.test('without the setting, a ticket is bound to neither', async t => {
  const server = await startServer(t, { env: { TICKETGATE_TRUSTED_PROXIES: proxy } })
  await check(t, server, [
    ['another address', { from: '127.0.0.2' }, { from: '127.0.0.3' }, '101'],
    ['another origin', { origin: home }, { origin: app }, '101'],
  ])
})

t.test('session, expiry and rights come from the token, under the MAC', async t => {
  const server = await startServer(t)
  const exp = nowSeconds() + 77
  const claims = { sid: 'session-1', exp, channels: { publish: ['chat.*'], subscribe: ['news'] } }
  const ticket = await takeTicket(server, {}, claims)
  const { client, welcome } = await openSession(socketUrl(server.url, gatePath(ticket, 'news')))
  t.match(welcome, { session: 'session-1', user: 'maggie', expires: exp })
  t.match(await client.ask({ type: 'publish', channel: 'news', data: 1, id: 'a' }), {
    code: 'channel_forbidden',
  })
  t.match(await client.ask({ type: 'publish', channel: 'chat.red', data: 1, id: 'b' }), { type: 'ok' })
  t.match(await client.ask({ type: 'subscribe', channel: 'chat.red', id: 'c' }), {
    code: 'channel_forbidden',
  })
  await client.close()
  isProblem(
    t,
    await requestUpgrade(server.url, gatePath(await takeTicket(server, {}, claims), 'blue')),
    '403 channel_forbidden',
  )
  const bound = await takeTicket(server, {}, claims, 'chat.red')
  isProblem(t, await requestUpgrade(server.url, gatePath(bound, 'chat.blue')), '403 channel_forbidden')
  t.equal((await requestUpgrade(server.url, gatePath(bound, 'chat.red'))).status, 101)
  const bytes = Buffer.from(await takeTicket(server, {}, claims), 'base64url')
  for (const word of ['session-1', 'chat.*', 'news', 'maggie']) {
    const at = bytes.indexOf(word)
    t.ok(at > 0, word)
    const changed = Buffer.from(bytes)
    changed[at] = (changed[at] ?? 0) ^ 1
    isProblem(
      t,
      await requestUpgrade(server.url, gatePath(changed.toString('base64url'), 'news')),
      '401 ticket_invalid',
    )
  }
})
