import { readFileSync } from 'node:fs'
import t from 'tap'
import { bearer, jsonOf, postJson, type Reply, request, requestUpgrade } from '../support/http.js'
import { RawConnection, requestText, serverHasRead } from '../support/raw.js'
import { startServer } from '../support/server.js'
import { openSession, socketUrl } from '../support/socket-client.js'
import { gatePath, mintWith, signText, tokenFor } from '../support/tokens.js'

const password = 'canary-password-Kf8Wq2Zx'
const wrongPassword = 'canary-wrong-password-Rt5Yb9'
const secret = 'canary-secret-Vq3n8Zt1Lw6Xc9Rb2Md5Kf7Gh4'
const adminKey = 'canary-admin-key-Pn6Js3Dv'
const wrongAdminKey = 'canary-wrong-admin-key-Ub7Mc1'
const unparsable = 'canary-in-broken-json-Xe4Lo8'

const server = await startServer(t, {
  users: { maggie: password },
  env: {
    TICKETGATE_LOG_LEVEL: 'trace',
    TICKETGATE_JWT_SECRET: secret,
    TICKETGATE_ADMIN_KEY: adminKey,
    TICKETGATE_TICKET_TTL_SECONDS: '60',
  },
})

/** Everything that must not be told, by name; and every reply that was not meant to tell it. */
const canaries = new Map<string, string>([
  ['the password', password],
  ['the password in base64', Buffer.from(`maggie:${password}`).toString('base64')],
  ['a wrong password', wrongPassword],
  ['a wrong password in base64', Buffer.from(`maggie:${wrongPassword}`).toString('base64')],
  ['the secret', secret],
  ['the admin key', adminKey],
  ['a wrong admin key', wrongAdminKey],
  ['a password in broken JSON', unparsable],
])
const bodies: [name: string, text: string][] = []
const keep = (name: string, reply: Reply): Reply => {
  bodies.push([name, reply.text + JSON.stringify(reply.headers)])
  return reply
}
const basic = (pwd: string) => ({
  authorization: `Basic ${Buffer.from(`maggie:${pwd}`).toString('base64')}`,
})

/** Credentials of each kind, all in use. */
interface Credentials {
  readonly token: string
  readonly forged: string
  readonly expired: string
  readonly used: string
  readonly refused: string
  /** A ticket for one channel. */
  readonly bound: string
  /** A ticket that the back end ordered. */
  readonly ours: string
}

type Sent = readonly [name: string, reply: Promise<Reply>]

const sendLogins = (): readonly Sent[] => [
  ['a wrong password', postJson(server.url, '/auth', { user: 'maggie', pwd: wrongPassword })],
  ['an unknown user', postJson(server.url, '/auth', { user: wrongPassword, pwd: wrongPassword })],
  ['a wrong password by Basic', request(server.url, '/auth', { headers: basic(wrongPassword) })],
  ['broken JSON', postJson(server.url, '/auth', `{"user":"maggie","pwd":"${unparsable}`)],
  ['JSON broken at the secret', postJson(server.url, '/auth', `{"pwd":${unparsable}`)],
  ['nothing but the secret', postJson(server.url, '/auth', unparsable)],
  [
    'another content type',
    request(server.url, '/auth', {
      method: 'POST',
      headers: { 'content-type': 'text/plain' },
      body: unparsable,
    }),
  ],
  ['a password of another type', postJson(server.url, '/auth', { user: 'maggie', pwd: [wrongPassword] })],
  ['a password too long', postJson(server.url, '/auth', { user: 'maggie', pwd: wrongPassword.repeat(100) })],
  [
    'a body too large',
    postJson(server.url, '/auth', { user: 'maggie', pwd: wrongPassword.repeat(50_000) }).catch(() => ({
      status: 0,
      headers: {},
      text: '',
    })),
  ],
]

const sendTokens = ({ token, forged, expired }: Credentials): readonly Sent[] => [
  ['a forged token', request(server.url, '/ws_ticket', { headers: bearer(forged) })],
  ['an expired token', request(server.url, '/ws_ticket', { headers: bearer(expired) })],
  ['a token in the query of the mint', request(server.url, `/ws_ticket?token=${token}`)],
  ['a token in the query of nowhere', request(server.url, `/nothing?token=${token}`)],
  ['a token in a path', request(server.url, `/${token}`)],
  ['a token as a channel', request(server.url, `/ws_ticket?channel=${token}%20`, { headers: bearer(token) })],
]

const sendTickets = ({ token, used, refused, bound, ours }: Credentials): readonly Sent[] => {
  const sent = { authorization: `Ticket ${ours}` }
  return [
    ['a token as a ticket', requestUpgrade(server.url, gatePath(token))],
    ['a ticket as a token', request(server.url, '/ws_ticket', { headers: bearer(refused) })],
    ['a ticket in a path', request(server.url, `/nothing/${refused}`)],
    ['a ticket on a plain GET', request(server.url, gatePath(refused))],
    ['a used ticket', requestUpgrade(server.url, gatePath(used))],
    ['a ticket for another channel', requestUpgrade(server.url, gatePath(bound, 'blue'))],
    ['a ticket for a channel that is none', requestUpgrade(server.url, gatePath(bound, 'a%20b'))],
    [
      'a ticket with an origin not allowed',
      requestUpgrade(server.url, gatePath(refused), { headers: { origin: 'https://evil.test' } }),
    ],
    ['a ticket with something behind it', requestUpgrade(server.url, gatePath(`${refused}=`))],
    [
      'a ticket percent-encoded',
      requestUpgrade(server.url, gatePath(`%${refused.charCodeAt(0).toString(16)}${refused.slice(1)}`)),
    ],
    ['two tickets', requestUpgrade(server.url, `${gatePath(refused)}&ticket=${bound}`)],
    [
      'a ticket as the only subprotocol',
      requestUpgrade(server.url, '/channel/', { headers: { 'sec-websocket-protocol': `ticket.${refused}` } }),
    ],
    ['a wrong method', request(server.url, gatePath(refused), { method: 'DELETE' })],
    [
      'a referrer with a ticket',
      request(server.url, '/nothing', { headers: { referer: `${server.url}${gatePath(refused)}` } }),
    ],
    [
      'a ticket in Authorization, for another channel',
      requestUpgrade(server.url, '/channel/blue', { headers: sent }),
    ],
    ['a ticket in Authorization, of nowhere', request(server.url, '/nothing', { headers: sent })],
    ['a ticket in Authorization, for a ticket', request(server.url, '/ws_ticket', { headers: sent })],
    ['what became of a ticket', postJson(server.url, '/ws_ticket/status', { ticket: ours })],
  ]
}

const sendToAdmin = ({ ours }: Credentials): readonly Sent[] => [
  [
    'a ticket as a member of an order',
    postJson(server.admin, '/tickets', { [ours]: 1, user: 'maggie' }, { headers: bearer(adminKey) }),
  ],
  [
    'a ticket in an order',
    postJson(
      server.admin,
      '/tickets',
      { user: 'maggie', expires: ours, channel: ours },
      { headers: bearer(adminKey) },
    ),
  ],
  [
    'a ticket as a parameter',
    request(server.admin, `/connections?after=${ours}`, { headers: bearer(adminKey) }),
  ],
  [
    'a ticket as the admin key',
    request(server.admin, '/connections', { headers: { authorization: `Ticket ${ours}` } }),
  ],
  ['a wrong admin key', request(server.admin, '/metrics', { headers: bearer(wrongAdminKey) })],
  ['an admin key in the query', request(server.admin, `/metrics?key=${adminKey}`)],
  ['an admin key on the public listener', request(server.url, '/metrics', { headers: bearer(adminKey) })],
]

/** A request that uWS itself refuses. */
async function sendMalformed({ token, refused }: Credentials): Promise<void> {
  const connection = await RawConnection.connect(server.url)
  connection.write(
    requestText('GET', `/channel/?ticket=${refused}`, {
      authorization: `Bearer ${token}`,
      'bad name': token,
    }),
  )
  await serverHasRead(server.url)
  bodies.push(['a malformed request', JSON.stringify(connection.arrived())])
  connection.destroy()
}

t.test('secrets go through every route', async t => {
  const login = await postJson(server.url, '/auth', { user: 'maggie', pwd: password })
  t.equal(login.status, 200)
  const token = String(jsonOf(login).token)
  canaries.set('the token', token)
  canaries.set('the signature of the token', token.split('.')[2] ?? '')
  t.equal((await request(server.url, '/auth', { headers: basic(password) })).status, 200)

  const forged = signText('{"alg":"HS256","typ":"JWT"}', '{"sub":"canary"}', 'another')
  canaries.set('a forged token', forged)
  const expired = tokenFor('maggie', { exp: 1 })
  canaries.set('an expired token', expired)
  const tickets: string[] = []
  const take = async (channel?: string): Promise<string> => {
    const { ticket } = await mintWith(server.url, token, channel)
    tickets.push(ticket)
    return ticket
  }
  const used = await take()
  const { client } = await openSession(socketUrl(server.url, gatePath(used)))
  client.send({ type: 'publish', data: password, id: 'a' })
  await client.nextWith({ id: 'a' })
  client.send(`{"type": "publish", "data": "${unparsable}`)
  const malformed = await client.next()
  bodies.push(['the answer to a broken message', JSON.stringify(malformed)])
  const bySubprotocol = await take()
  const protocols = ['ticketgate.v1.json', `ticket.${bySubprotocol}`]
  await (await openSession(socketUrl(server.url, '/channel/'), { protocols })).client.close()
  const refused = await take()
  const bound = await take('red')
  const ordered = await postJson(
    server.admin,
    '/tickets',
    { user: 'maggie', sessionSeconds: 60, channel: 'red' },
    { headers: bearer(adminKey) },
  )
  const ours = String(jsonOf(ordered).ticket)
  tickets.push(ours)

  const credentials = { token, forged, expired, used, refused, bound, ours }
  for (const send of [sendLogins, sendTokens, sendTickets, sendToAdmin])
    for (const [name, reply] of send(credentials)) keep(name, await reply)
  await sendMalformed(credentials)
  await client.close()

  tickets.forEach((ticket, index) => {
    canaries.set(`ticket ${index}`, ticket)
    canaries.set(`the MAC of ticket ${index}`, ticket.slice(-40))
    canaries.set(`ticket ${index} without its ends`, ticket.slice(4, -8))
  })
})

t.test('no error body contains it', async t => {
  for (const [name, text] of bodies)
    for (const [canary, value] of canaries)
      if (text.includes(value)) t.fail(`${name} tells ${canary}: ${text}`)
  t.ok(bodies.length > 30, `${bodies.length} replies searched for ${canaries.size} secrets`)
})

t.test('no metric contains it', async t => {
  for (const path of ['/metrics', '/connections']) {
    const reply = await request(server.admin, path, { headers: bearer(adminKey) })
    t.equal(reply.status, 200, path)
    for (const [canary, value] of canaries) t.notOk(reply.text.includes(value), `${path}: ${canary}`)
  }
})

t.test('no process title or command line contains it', async t => {
  const commandLine =
    readFileSync(`/proc/${server.pid}/cmdline`, 'utf8') + readFileSync(`/proc/${server.pid}/comm`, 'utf8')
  for (const [canary, value] of canaries) t.notOk(commandLine.includes(value), canary)
})

t.test('no log line contains it, at the lowest level, to the end of the process', async t => {
  await server.stop()
  const log = server.output()
  t.match(log, /"level":"(trace|debug|info)"/, 'there is a log')
  t.ok(log.split('\n').length > 20, `of ${log.split('\n').length} lines: what happened is in it`)
  for (const [canary, value] of canaries)
    t.strictSame(
      log.split('\n').filter(line => line.includes(value)),
      [],
      canary,
    )
})
