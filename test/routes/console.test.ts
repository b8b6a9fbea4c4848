import { createHash } from 'node:crypto'
import t from 'tap'
import { bearer, jsonOf, postJson, request, requestUpgrade } from '../support/http.js'
import { isProblem } from '../support/problem.js'
import { development, run, startServer } from '../support/server.js'
import { openSession, socketUrl } from '../support/socket-client.js'
import { gatePath, mint } from '../support/tokens.js'

const password = 'canary-password-of-the-demo-user'
const on = { TICKETGATE_CONSOLE: 'on' }

t.test('the console is one document, with a policy that forbids everything else', async t => {
  const server = await startServer(t, { env: development, users: { maggie: password } })
  const { status, headers, text } = await request(server.url, '/')
  t.equal(status, 200)
  t.match(headers, {
    'content-type': 'text/html; charset=utf-8',
    'cache-control': 'no-store',
    'x-content-type-options': 'nosniff',
    'referrer-policy': 'no-referrer',
  })
  const policy = new Map(
    String(headers['content-security-policy'])
      .split('; ')
      .map(directive => directive.split(/ (.*)/) as [string, string]),
  )
  const contents = (tag: string): string[] =>
    [...text.matchAll(new RegExp(`<${tag}[^>]*>([\\s\\S]*?)</${tag}>`, 'g'))].map(
      ([, content = '']) => content,
    )
  for (const [tag, directive] of [
    ['script', 'script-src'],
    ['style', 'style-src'],
  ] as const) {
    const [content = '', ...others] = contents(tag)
    t.strictSame(others, [], `there is one ${tag}`)
    t.ok(content.length > 1000, `the ${tag} is not empty`)
    const hash = createHash('sha256').update(content).digest('base64')
    t.equal(policy.get(directive), `'sha256-${hash}'`, `${directive} allows this ${tag} only`)
  }
  for (const [directive, value] of [
    ['default-src', "'none'"],
    ['connect-src', "'self'"],
    ['img-src', 'data:'],
    ['base-uri', "'none'"],
    ['form-action', "'none'"],
    ['frame-ancestors', "'none'"],
  ] as const)
    t.equal(policy.get(directive), value, directive)
  t.equal(policy.size, 8)
  t.notMatch(text, /\b(?:src|href)=["']?(?:https?:)?\/\//, 'nothing is loaded from elsewhere')
  t.notMatch(text, / style=| on[a-z]+=/, 'nothing inline would be blocked by the policy')
  t.notOk(text.includes(password), 'the password is not in the page')
})

t.test('the figures are correct counts', async t => {
  const server = await startServer(t, { env: on })
  const figures = async () => jsonOf(await request(server.url, '/console/figures'))
  t.strictSame(await figures(), {
    scope: 'server',
    connections: 0,
    tokensIssued: 0,
    ticketsIssued: 0,
    handshakesAccepted: 0,
    handshakesRefused: {},
    requestsRefused: {},
    messagesReceived: 0,
    messagesPublished: 0,
    replay: { size: 0, highWater: 0, capacity: 1_000_000 },
  })
  const ticket = await mint(server.url)
  const { client } = await openSession(socketUrl(server.url, gatePath(ticket)))
  await requestUpgrade(server.url, gatePath(ticket))
  await request(server.url, '/nothing')
  await client.ask({ type: 'publish', data: 1, id: 1 })
  t.match(await figures(), {
    connections: 1,
    ticketsIssued: 1,
    handshakesAccepted: 1,
    handshakesRefused: { ticket_used: 1 },
    requestsRefused: { not_found: 1 },
    messagesReceived: 1,
    messagesPublished: 1,
    replay: { size: 1, highWater: 1 },
  })
  await client.close()
})

t.test('with several threads, each reports its own figures and says so', async t => {
  const server = await startServer(t, { env: { ...on, TICKETGATE_THREADS: '2' } })
  t.equal((await request(server.url, '/')).status, 200)
  t.match(jsonOf(await request(server.url, '/console/figures')), {
    scope: 'thread',
    replay: { capacity: 1_000_000 },
  })
})

t.test('the console is absent if it is off, as in production', async t => {
  for (const env of [{}, { ...development, TICKETGATE_CONSOLE: 'off' }]) {
    const server = await startServer(t, { env })
    for (const path of ['/', '/console/figures', '/console/', '/console/page/main.js'])
      isProblem(t, await request(server.url, path), '404 not_found', path)
  }
})

t.test('other methods are refused', async t => {
  const server = await startServer(t, { env: on })
  for (const path of ['/', '/console/figures'])
    isProblem(t, await request(server.url, path, { method: 'POST' }), '405 method_not_allowed', path)
})

t.test('publishing from the server side requires the right to publish', async t => {
  const server = await startServer(t, { env: development, users: { maggie: password } })
  const added = await run(
    ['user', 'add', 'lisa', '--publish', 'chat.*', '--subscribe', '*', '--password-stdin'],
    { TICKETGATE_STATE_DIR: server.stateDir },
    `${password}\n`,
  )
  t.equal(added.code, 0, added.output)
  const { token } = jsonOf(await postJson(server.url, '/auth', { user: 'lisa', pwd: password }))
  const publish = (channel: string) =>
    postJson(server.url, '/console/publish', { channel, data: 1 }, { headers: bearer(String(token)) })
  t.equal((await publish('chat.one')).status, 200)
  isProblem(t, await publish('news'), '403 channel_forbidden')
})
