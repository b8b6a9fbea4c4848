import { setTimeout as delay } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { bearer, jsonOf, metric, postJson, type Reply, request } from '../support/http.js'
import { hasRetryAfter, isProblem } from '../support/problem.js'
import { adminKey, development, startServer, type TestServer } from '../support/server.js'
import { tally } from '../support/tally.js'
import { tokenFor } from '../support/tokens.js'

const right = { user: 'maggie', pwd: 'secret' }
const wrong = { user: 'maggie', pwd: 'wrong' }

const login = (server: TestServer, from: string, forwarded?: string | readonly string[], body = wrong) =>
  postJson(server.url, '/auth', body, {
    from,
    headers: forwarded === undefined ? {} : { 'x-forwarded-for': forwarded },
  })

/** Three an hour: no further attempt is allowed during a test. */
const rate = '3/3600'

const isLimited = (t: Test, reply: Reply, name: string): void => {
  isProblem(t, reply, '429 rate_limited', name)
  hasRetryAfter(t, reply, name, 1200)
}

t.test('logins are limited per address, before any password is hashed', async t => {
  const server = await startServer(t, { users: { maggie: 'secret' }, env: { TICKETGATE_LOGIN_RATE: rate } })
  for (let n = 1; n <= 3; n++)
    isProblem(t, await login(server, '127.0.0.2'), '401 bad_credentials', `attempt ${n}`)
  isLimited(t, await login(server, '127.0.0.2'), 'the fourth')
  isLimited(t, await login(server, '127.0.0.2', undefined, right), 'the fourth with the right password')
  const byBasic = await request(server.url, '/auth', {
    from: '127.0.0.2',
    headers: { authorization: `Basic ${Buffer.from('maggie:secret').toString('base64')}` },
  })
  isLimited(t, byBasic, 'by Basic')
  t.equal((await login(server, '127.0.0.3', undefined, right)).status, 200, 'another address is not limited')

  const flood = await Promise.all(Array.from({ length: 300 }, () => login(server, '127.0.0.4')))
  t.strictSame(
    tally(flood.map(({ status }) => status)),
    { '401': 3, '429': 297 },
    'a flood reaches the hash three times and does not fill the queue',
  )
  isLimited(t, await login(server, '127.0.0.2', '203.0.113.9'), 'a forwarded address is ignored')
})

t.test('tickets are limited per user', async t => {
  const server = await startServer(t, { env: { TICKETGATE_TICKET_RATE: rate } })
  const take = (user: string, from: string, claims = {}) =>
    request(server.url, '/ws_ticket', { from, headers: bearer(tokenFor(user, claims)) })
  for (let n = 1; n <= 3; n++) t.equal((await take('maggie', '127.0.0.2')).status, 200, `ticket ${n}`)
  isLimited(t, await take('maggie', '127.0.0.2'), 'the fourth')
  isLimited(t, await take('maggie', '127.0.0.3'), 'from another address')
  isLimited(t, await take('maggie', '127.0.0.2', { jti: 'other' }), 'with another token')
  t.equal((await take('lisa', '127.0.0.2')).status, 200, 'another user is not limited')
  for (let n = 0; n < 5; n++)
    await request(server.url, '/ws_ticket', { headers: bearer(`${tokenFor('bart')}x`) })
  t.equal((await take('bart', '127.0.0.2')).status, 200, 'forged tokens of a user do not count for the user')
})

for (const threads of ['1', '2'])
  t.test(`the metrics count the addresses and users that limits refuse (threads: ${threads})`, async t => {
    const server = await startServer(t, {
      env: { TICKETGATE_LOGIN_RATE: rate, TICKETGATE_TICKET_RATE: 'off', TICKETGATE_THREADS: threads },
    })
    const shown = async (): Promise<readonly string[]> => {
      const { text } = await request(server.admin, '/metrics', { headers: bearer(adminKey) })
      return text.split('\n').filter(line => line.startsWith('ticketgate_limiter'))
    }
    t.equal(await metric(server, 'ticketgate_logins_waiting'), 0)
    for (let n = 0; n < 4; n++) await login(server, '127.0.0.2')
    await login(server, '127.0.0.3')
    t.strictSame(await shown(), [
      'ticketgate_limiter_tracked{limiter="login_address"} 2',
      'ticketgate_limiter_tracked{limiter="login_user"} 1',
      'ticketgate_limiter_refusing{limiter="login_address"} 1',
      'ticketgate_limiter_refusing{limiter="login_user"} 0',
    ])
  })

t.test('a forwarded address from a trusted proxy is used, from the right', async t => {
  const server = await startServer(t, {
    env: {
      TICKETGATE_LOGIN_RATE: '1/3600',
      TICKETGATE_TRUSTED_PROXIES: '127.0.0.1/32,127.0.1.0/24,10.0.0.0/8,2001:db8:1::/48',
    },
  })
  const proxy = '127.0.0.1'
  const status = async (from: string, forwarded?: string | readonly string[]) =>
    (await login(server, from, forwarded)).status
  const cases = [
    ['a client of the proxy', proxy, '203.0.113.1', 401],
    ['the same again', proxy, '203.0.113.1', 429],
    ['the same behind a spoofed entry', proxy, '198.51.100.1, 203.0.113.1', 429],
    ['the same behind another spoofed entry', proxy, '198.51.100.2,203.0.113.1', 429],
    ['the same behind a hundred spoofed entries', proxy, `${'198.51.100.3, '.repeat(100)}203.0.113.1`, 429],
    ['the same before a trusted proxy', proxy, '203.0.113.1, 10.1.2.3', 429],
    ['the same before two trusted proxies', proxy, '203.0.113.1, 10.1.2.3, 10.9.9.9', 429],
    ['the same before a trusted IPv6 proxy', proxy, '203.0.113.1, 2001:db8:1::5', 429],
    ['the same by another trusted proxy', '127.0.1.9', '203.0.113.1', 429],
    ['the same with white space', proxy, ' \t203.0.113.1 ', 429],
    ['the same in two lines, spoofed first', proxy, ['198.51.100.9', '203.0.113.1'], 429],
    ['the same in two lines, a proxy last', proxy, ['203.0.113.1', '10.1.2.3'], 429],
    ['the same mapped into IPv6', proxy, '::ffff:203.0.113.1', 429],
    ['another client', proxy, '203.0.113.2', 401],
    ['an IPv6 client', proxy, '2001:db8:2::1', 401],
    ['the same written at length', proxy, '2001:0DB8:0002:0:0:0:0:1', 429],
    ['an address that is not trusted', '127.0.0.2', '203.0.113.3', 401],
    ['the same with another header', '127.0.0.2', '203.0.113.4', 429],
    ['a client that the untrusted address named', proxy, '203.0.113.3', 401],
  ] as const
  for (const [name, from, forwarded, expected] of cases)
    t.equal(await status(from, forwarded), expected, name)

  await t.test('garbage in place of an address does not evade the limit', async t => {
    const garbage = [
      'unknown',
      '999.1.1.1',
      '1.2.3',
      '0x7f.1',
      '::g',
      '-',
      ',',
      'a'.repeat(3000),
      '203.0.113.77:x',
    ]
    const statuses: number[] = []
    for (const value of garbage) statuses.push(await status(proxy, value))
    t.ok(statuses.filter(s => s === 401).length <= 1, `all count as one address: ${statuses}`)
    t.ok(
      statuses.every(s => s === 401 || s === 429 || s === 400),
      String(statuses),
    )
  })
})

t.test('scheme and host from a trusted proxy make the URL; others are ignored', async t => {
  const server = await startServer(t, {
    env: {
      ...development,
      TICKETGATE_JWT_SECRET: 'development-too-Vq3n8Zt1Lw6Xc9Rb2Md5Kf7',
      TICKETGATE_TRUSTED_PROXIES: '127.0.0.1/32',
    },
    users: { maggie: 'secret' },
  })
  const { token } = jsonOf(await postJson(server.url, '/auth', right)) as { token: string }
  const take = async (from: string) =>
    String(
      jsonOf(
        await request(server.url, '/ws_ticket', {
          from,
          headers: { ...bearer(token), 'x-forwarded-proto': 'https', 'x-forwarded-host': 'edge.example' },
        }),
      ).url,
    )
  t.match(await take('127.0.0.1'), /^wss:\/\/edge\.example\/channel\/\?ticket=/)
  t.match(await take('127.0.0.2'), new RegExp(`^ws://127\\.0\\.0\\.1:${server.port}/`))
})

/** The default limits of logins. */
const asShipped = { TICKETGATE_LOGIN_RATE: undefined }

const metricOf = (server: TestServer, reason: string): Promise<number> =>
  metric(server, `ticketgate_logins_refused_total{reason="${reason}"}`)

/** The outcomes, in order, of guesses at one user from 60 addresses. */
const guess = async (server: TestServer, user: string): Promise<string[]> => {
  const outcomes: string[] = []
  for (let n = 1; n <= 60; n++) {
    const reply = await login(server, `127.0.3.${n}`, undefined, { user, pwd: `guess ${n}` })
    outcomes.push(`${reply.status} ${jsonOf(reply).code}`)
  }
  return outcomes
}

for (const threads of ['1', '2'])
  t.test(
    `guessing one user's password from many addresses is slowed and visible, on ${threads} threads`,
    async t => {
      const users = { maggie: 'secret' }
      const server = await startServer(t, { users, env: { ...asShipped, TICKETGATE_THREADS: threads } })
      const home = '127.0.0.2'
      t.equal((await login(server, home, undefined, right)).status, 200)
      const outcomes = await guess(server, 'maggie')
      t.equal(outcomes[19], '401 bad_credentials')
      // A minute between them from here on; a slow machine may see one more.
      t.ok(outcomes.slice(20).filter(outcome => outcome === '429 rate_limited').length >= 39)
      const strange = await login(server, '127.0.0.9', undefined, right)
      isProblem(t, strange, '429 rate_limited', 'the right password, from an address that is new')
      hasRetryAfter(t, strange, 'a user', 60)
      for (let n = 0; n < 3; n++)
        t.equal(
          (await login(server, home, undefined, right)).status,
          200,
          'and from where the user was before',
        )

      t.strictSame(await guess(server, 'nobody'), outcomes, 'a user that does not exist is no different')

      t.ok((await metricOf(server, 'wrong_password')) >= 20)
      t.ok((await metricOf(server, 'unknown_user')) >= 20)
      t.ok((await metricOf(server, 'user_rate')) >= 79)
      await server.logged(/"level":"warn",.*"user":"maggie",.*logins of this user have failed/)
      await server.logged(/"user":"maggie","reason":"wrong_password",.*"msg":"login refused"/)
      await server.logged(/"reason":"unknown_user",.*"msg":"login refused"/)
      await server.stop()
      t.notMatch(server.output(), /nobody/, 'an unknown name may be a password')
    },
  )

t.test(
  'a successful login counts a tenth, so an untrusted proxy does not lock everybody out at once',
  async t => {
    const server = await startServer(t, {
      users: { maggie: 'secret' },
      env: { TICKETGATE_LOGIN_RATE: '10/3600' },
    })
    for (let n = 1; n <= 25; n++)
      t.equal((await login(server, '127.0.0.2', undefined, right)).status, 200, `login ${n}`)
    for (let n = 1; n <= 7; n++)
      isProblem(t, await login(server, '127.0.0.2'), '401 bad_credentials', `wrong ${n}`)
    isProblem(t, await login(server, '127.0.0.2'), '429 rate_limited', 'and what fails counts whole')
    t.equal(await metricOf(server, 'address_rate'), 1)
  },
)

t.test('a flood from one IPv6 /48 does not lock others out', async t => {
  const server = await startServer(t, {
    users: { maggie: 'secret' },
    env: { ...asShipped, TICKETGATE_TRUSTED_PROXIES: '127.0.0.0/8' },
  })
  let isOver = false
  let busy = 0
  const flood = async (lane: number): Promise<void> => {
    for (let n = 0; !isOver; n++) {
      const client = `2001:db8:7:${(lane * 500 + n).toString(16)}::1`
      const reply = await login(server, '127.0.0.1', client, { user: `nobody-${lane}-${n}`, pwd: 'x' })
      if (reply.status === 503) busy++
    }
  }
  const lanes = Array.from({ length: 100 }, (_, lane) => flood(lane))
  while (busy === 0) await delay(5)
  const rightful = Array.from({ length: 30 }, (_, n) => login(server, '127.0.0.1', `198.51.${n}.7`, right))
  const outcomes = tally((await Promise.all(rightful)).map(({ status }) => status))
  isOver = true
  await Promise.all(lanes)
  t.strictSame(outcomes, { '200': 30 })
  t.ok((await metricOf(server, 'busy')) > 0, 'parts of the flood are refused as busy')
})
