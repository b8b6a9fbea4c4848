import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { stringify } from 'yaml'
import { temporaryDirectory } from '../support/fixtures.js'
import { bearer, type Json, jsonOf, metric, type Reply, request } from '../support/http.js'
import { isProblem } from '../support/problem.js'
import { startServer, type TestServer } from '../support/server.js'
import { open, openSession, socketUrl } from '../support/socket-client.js'
import { claimsFor, gatePath, mintWith, signText } from '../support/tokens.js'

const secret = 'rights-tests-share-Vq3n8Zt1Lw6Xc9Rb2Md5Kf7'
const rights = [
  {
    when: { claim: 'realm_access.roles', has: 'trader' },
    publish: ['orders.${sub}'],
    subscribe: ['prices.*', 'orders.${sub}'],
  },
]

const token = (claims: Json = {}): string =>
  signText(
    '{"alg":"HS256","typ":"JWT"}',
    JSON.stringify({ ...claimsFor('maggie'), iss: 'shop', ...claims }),
    secret,
  )

const trader = { realm_access: { roles: ['trader'] } }

interface Setting {
  readonly server: TestServer
  readonly write: (rules: unknown) => void
}

const start = async (t: Test, threads = '1'): Promise<Setting> => {
  const directory = temporaryDirectory(t)
  const secretFile = join(directory, 'secret')
  const file = join(directory, 'issuers.yaml')
  writeFileSync(secretFile, secret)
  const write = (rules: unknown): void =>
    writeFileSync(file, stringify([{ issuer: 'shop', secretFile, rights: rules }]))
  write(rights)
  const server = await startServer(t, {
    env: {
      TICKETGATE_ISSUERS_FILE: file,
      TICKETGATE_JWT_SECRET: undefined,
      TICKETGATE_LOG_LEVEL: 'debug',
      TICKETGATE_DEFAULT_SUBSCRIBE: 'free',
      TICKETGATE_FIRST_MESSAGE_SECONDS: '30',
      TICKETGATE_THREADS: threads,
    },
  })
  return { server, write }
}

const take = ({ url }: TestServer, by: string, channel?: string): Promise<Reply> =>
  request(url, `/ws_ticket${channel === undefined ? '' : `?channel=${channel}`}`, { headers: bearer(by) })

t.test('a token has only the rights that a rule gives it', async t => {
  for (const threads of ['1', '2']) {
    const { server } = await start(t, threads)
    const { ticket } = await mintWith(server.url, token(trader))
    const { client } = await openSession(socketUrl(server.url, gatePath(ticket, 'prices.gold')))
    t.match(await client.ask({ type: 'publish', data: 1, id: 1 }), { code: 'channel_forbidden' })
    t.match(await client.ask({ type: 'publish', channel: 'orders.maggie', data: 1, id: 2 }), { type: 'ok' })
    t.match(await client.ask({ type: 'subscribe', channel: 'orders.theo', id: 3 }), {
      code: 'channel_forbidden',
    })
    await client.close()
    t.equal((await take(server, token(trader), 'orders.maggie')).status, 200)
    for (const channel of ['orders.theo', 'orders.', 'prices', 'free'])
      isProblem(t, await take(server, token(trader), channel), '403 channel_forbidden', channel)
    t.strictSame(await server.stop(), { code: 0, signal: null })
  }
})

t.test('without a right there is no ticket, and the response, the log and the metrics say why', async t => {
  const { server } = await start(t)
  const cases: [name: string, claims: Json, detail: RegExp][] = [
    ['no rule matches', {}, /\(no_rights\): none of the rules/],
    ['its roles do not match', { realm_access: { roles: ['reader'] } }, /\(no_rights\): none of the rules/],
  ]
  for (const [name, claims, detail] of cases) {
    const reply = await take(server, token(claims))
    isProblem(t, reply, '403 channel_forbidden', name)
    t.match(jsonOf(reply).detail, detail, name)
    t.notOk(
      'www-authenticate' in reply.headers,
      'there is no challenge, as another such token would not help',
    )
  }
  const socket = await open(socketUrl(server.url, '/channel/free'))
  socket.send({ type: 'auth', payload: token() })
  t.strictSame(await socket.closed, { code: 4411, reason: 'channel_forbidden' })
  t.equal(await metric(server, 'ticketgate_token_refusals_total{reason="no_rights"}'), 3)
  await server.stop()
  t.match(server.output(), /"code":"channel_forbidden","reason":"no_rights"/)
  t.match(
    server.output(),
    /"msg":"tokens without a channels claim may do what the rules of their issuer give"/,
  )
})

t.test('a subject with a dot or a star does not open the channels of others', async t => {
  const { server, write } = await start(t)
  write([{ publish: ['orders.${sub}', 'orders.${sub}.*'], subscribe: ['user:${sub}:*'] }])
  for (const sub of ['*', 'theo.*', 'theo.1', '.', 'theo.', 'a/../theo', 'theo%2E1', '${user}']) {
    // Until the file is reread, another rule refuses.
    let reply: Reply
    do reply = await take(server, token({ sub }))
    while (/none of the rules/.test(String(jsonOf(reply).detail)) && t.passing())
    isProblem(t, reply, '403 channel_forbidden', sub)
    t.match(jsonOf(reply).detail, /\(no_rights:sub\): .* the claim sub, as a name without dots/, sub)
  }
  isProblem(t, await take(server, token({ sub: 'a:theo' }), 'user:a:theo:x'), '403 channel_forbidden')
  t.equal((await take(server, token({ sub: 'theo' }), 'orders.theo.1')).status, 200)
})

t.test('rights follow changes of the issuers file, even for tokens seen before', async t => {
  const { server, write } = await start(t)
  const kept = token(trader)
  t.equal((await take(server, kept, 'prices.gold')).status, 200)
  t.equal((await take(server, kept, 'prices.gold')).status, 200)
  write([{ subscribe: ['news'] }])
  while ((await take(server, kept, 'news')).status !== 200 && t.passing());
  isProblem(t, await take(server, kept, 'prices.gold'), '403 channel_forbidden')
  write([{ subscribe: ['${sub}*'] }])
  await server.logged(/"level":"error".*issuers\[0\]\.rights\[0\]\.subscribe has/)
  t.equal((await take(server, kept, 'news')).status, 200, 'a broken rule changes nothing')
})
