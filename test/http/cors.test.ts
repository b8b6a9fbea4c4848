import t, { type Test } from 'tap'
import { jsonOf, postJson, type Reply, request, requestUpgrade } from '../support/http.js'
import { isProblem } from '../support/problem.js'
import { allowedOrigin, startServer } from '../support/server.js'
import { gatePath, mint, tokenFor } from '../support/tokens.js'

const server = await startServer(t, { users: { maggie: 'secret' } })
const listed = [allowedOrigin, 'https://app.example.com:8443', 'http://localhost:3000']
const strangers = [
  ['another host', 'https://evil.test'],
  ['a host that begins with the allowed one', 'https://example.com.evil.test'],
  ['a host that ends with the allowed one', 'https://evil-example.com'],
  ['a subdomain', 'https://sub.example.com'],
  ['a shorter host', 'https://example.co'],
  ['a trailing dot', 'https://example.com.'],
  ['another scheme', 'http://example.com'],
  ['another port', 'https://example.com:8443'],
  ['the default port spelled out', 'https://example.com:443'],
  ['without the allowed port', 'https://app.example.com'],
  ['another port of localhost', 'http://localhost:3001'],
  ['upper case', 'https://EXAMPLE.com'],
  ['a trailing slash', 'https://example.com/'],
  ['a path', 'https://example.com/x'],
  ['user information', 'https://example.com@evil.test'],
  ['the null origin', 'null'],
  ['two, separated by a space', 'https://example.com https://evil.test'],
  ['a list', 'https://example.com, https://evil.test'],
  ['the whole list', listed.join(',')],
  ['a file', 'file://'],
  ['an asterisk', '*'],
] as const

const preflight = (path: string, origin: string, method = 'POST'): Promise<Reply> =>
  request(server.url, path, {
    method: 'OPTIONS',
    headers: {
      origin,
      'access-control-request-method': method,
      'access-control-request-headers': 'authorization,content-type',
    },
  })

const isOpenTo = (t: Test, reply: Reply, origin: string, name: string): void => {
  t.equal(reply.headers['access-control-allow-origin'], origin, `${name}: allowed by its exact origin`)
  t.match(reply.headers.vary, /\borigin\b/i, `${name}: varies by Origin`)
}

t.test('a preflight from a listed origin is accepted', async t => {
  for (const origin of listed)
    for (const path of ['/auth', '/ws_ticket']) {
      const name = `${path} from ${origin}`
      const reply = await preflight(path, origin)
      t.match(String(reply.status), /^20[04]$/, name)
      isOpenTo(t, reply, origin, name)
      t.match(reply.headers['access-control-allow-methods'], /\bPOST\b/, name)
      t.match(reply.headers['access-control-allow-methods'], /\bGET\b/, name)
      t.match(reply.headers['access-control-allow-headers'], /\bauthorization\b/i, name)
      t.match(reply.headers['access-control-allow-headers'], /\bcontent-type\b/i, name)
      t.equal(reply.text, '', name)
    }
})

t.test('a preflight from any other origin is not allowed', async t => {
  for (const [name, origin] of strangers)
    for (const path of ['/auth', '/ws_ticket'])
      t.equal(
        (await preflight(path, origin)).headers['access-control-allow-origin'],
        undefined,
        `${name}, ${path}`,
      )
})

t.test('replies and refusals can be read from a listed origin', async t => {
  const headers = { origin: allowedOrigin }
  const login = await postJson(server.url, '/auth', { user: 'maggie', pwd: 'secret' }, { headers })
  t.equal(login.status, 200)
  isOpenTo(t, login, allowedOrigin, 'a login')
  const ticket = await request(server.url, '/ws_ticket', {
    headers: { ...headers, authorization: `Bearer ${tokenFor('maggie')}` },
  })
  t.equal(ticket.status, 200)
  isOpenTo(t, ticket, allowedOrigin, 'a ticket')
  const refusals = [
    ['401', await request(server.url, '/ws_ticket', { headers })],
    ['400', await postJson(server.url, '/auth', '{', { headers })],
    [
      '415',
      await request(server.url, '/auth', {
        method: 'POST',
        headers: { ...headers, 'content-type': 'text/plain' },
        body: 'x',
      }),
    ],
    ['405', await request(server.url, '/auth', { method: 'DELETE', headers })],
  ] as const
  for (const [status, reply] of refusals) {
    t.equal(String(reply.status), status)
    isOpenTo(t, reply, allowedOrigin, `a ${status}`)
  }
  t.match(ticket.headers['access-control-expose-headers'], /retry-after/i)
})

t.test('no response can be read from any other origin', async t => {
  for (const [name, origin] of strangers) {
    const reply = await request(server.url, '/ws_ticket', {
      headers: { origin, authorization: `Bearer ${tokenFor('maggie')}` },
    })
    t.equal(reply.headers['access-control-allow-origin'], undefined, name)
  }
})

t.test('a page cannot log in without a preflight, or use up the logins of its visitor', async t => {
  const { url } = await startServer(t, {
    users: { maggie: 'secret' },
    env: { TICKETGATE_LOGIN_RATE: '1/600' },
  })
  const body = JSON.stringify({ user: 'maggie', pwd: 'secret' })
  // These are what a browser sends for `no-cors`: it drops other types.
  for (const [name, headers] of [
    ['without a type', {}],
    ['as text', { 'content-type': 'text/plain;charset=UTF-8' }],
    ['as a form', { 'content-type': 'application/x-www-form-urlencoded' }],
  ] as const)
    for (const origin of ['https://evil.test', 'null', allowedOrigin]) {
      const reply = await request(url, '/auth', { method: 'POST', headers: { origin, ...headers }, body })
      isProblem(t, reply, '415 unsupported_media_type', `${name}, from ${origin}`)
    }
  isProblem(
    t,
    await request(url, '/auth', { method: 'POST', headers: { origin: 'https://evil.test' } }),
    '415 unsupported_media_type',
    'without a body',
  )
  const login = await request(url, '/auth', { method: 'POST', body })
  t.equal(login.status, 200, 'none of these counted, and a program may omit the type')
})

t.test('a page without a preflight cannot use up the ticket states of its visitor', async t => {
  const { url } = await startServer(t, { env: { TICKETGATE_TICKET_RATE: '1/600' } })
  const ask = (headers: Record<string, string>) =>
    request(url, '/ws_ticket/status', { method: 'POST', headers, body: '{"ticket":"x"}' })
  isProblem(t, await ask({ origin: 'https://evil.test' }), '415 unsupported_media_type')
  isProblem(t, await ask({ 'content-type': 'text/plain' }), '415 unsupported_media_type')
  t.equal((await ask({})).status, 200, 'none of these counted')
  isProblem(t, await ask({}), '429 rate_limited')
})

t.test('a socket from a listed origin, or without Origin, may open', async t => {
  for (const origin of [...listed, undefined]) {
    const headers = origin === undefined ? {} : { origin }
    const reply = await requestUpgrade(server.url, gatePath(await mint(server.url)), { headers })
    t.equal(reply.status, 101, origin ?? 'no origin')
  }
})

t.test('a socket from any other origin is refused, and its ticket is still valid', async t => {
  for (const [name, origin] of strangers) {
    const ticket = await mint(server.url)
    isProblem(
      t,
      await requestUpgrade(server.url, gatePath(ticket), { headers: { origin } }),
      '403 origin_forbidden',
      name,
    )
    t.equal((await requestUpgrade(server.url, gatePath(ticket))).status, 101, `${name}: not spent`)
  }
})

t.test('without a list, only the origin of the public URL is allowed', async t => {
  const alone = await startServer(t, {
    env: { TICKETGATE_ORIGINS: undefined, TICKETGATE_PUBLIC_URL: 'https://gate.example:8443' },
  })
  const cases = [
    ['https://gate.example:8443', 101],
    ['https://gate.example', 403],
    ['http://gate.example:8443', 403],
    ['http://localhost:3000', 403],
    [`http://127.0.0.1:${alone.port}`, 403],
    ['null', 403],
  ] as const
  for (const [origin, status] of cases) {
    const reply = await requestUpgrade(alone.url, gatePath(await mint(alone.url)), { headers: { origin } })
    if (status === 101) t.equal(reply.status, 101, origin)
    else isProblem(t, reply, '403 origin_forbidden', origin)
  }
})

t.test('apps and browser extensions are allowed by exact origin, and tickets are bound to it', async t => {
  const app = 'capacitor://localhost'
  const extension = 'chrome-extension://nkbihfbeogaeaoehlefnkodbefgpgknn'
  const { url } = await startServer(t, {
    env: { TICKETGATE_ORIGINS: `${app},${extension}`, TICKETGATE_BIND: 'origin' },
  })
  const take = (origin: string) =>
    request(url, '/ws_ticket', { headers: { origin, authorization: `Bearer ${tokenFor('maggie')}` } })
  for (const origin of [app, extension]) {
    const reply = await take(origin)
    isOpenTo(t, reply, origin, origin)
    const path = gatePath(String(jsonOf(reply).ticket))
    for (const other of [
      'capacitor://localhost:1',
      'Capacitor://localhost',
      'ionic://localhost',
      'http://localhost',
      'chrome-extension://nkbihfbeogaeaoehlefnkodbefgpgkno',
      origin === app ? extension : app,
    ])
      isProblem(
        t,
        await requestUpgrade(url, path, { headers: { origin: other } }),
        '403 origin_forbidden',
        other,
      )
    t.equal((await requestUpgrade(url, path, { headers: { origin } })).status, 101, origin)
  }
})
