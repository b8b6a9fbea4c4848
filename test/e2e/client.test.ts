import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { fileURLToPath } from 'node:url'
import { build } from 'esbuild'
import type { Page } from 'playwright-core'
import t from 'tap'
import type { Connection, ConnectOptions } from '../../src/client/index.js'
import { openBrowser, openPage } from '../support/browser.js'
import { freePort } from '../support/free-port.js'
import { bearer, type Json, postJson } from '../support/http.js'
import { fileNeeds } from '../support/programs.js'
import { adminKey, startServer, type TestServer } from '../support/server.js'
import { openSession, socketUrl } from '../support/socket-client.js'
import { gatePath, mint, nextSecond, nowSeconds, tokenFor } from '../support/tokens.js'

fileNeeds(t, 'chromium')

/** The globals that this test adds to the page. */
interface Scope {
  readonly connect: (options: ConnectOptions) => Connection
  readonly tokenFromTest: (fresh: boolean) => Promise<string>
  gate: Connection
  events: {
    readonly name: string
    readonly code?: string
    readonly data?: unknown
    readonly expires?: number
  }[]
}

const { outputFiles } = await build({
  stdin: {
    contents: `import { connect } from 'ticketgate/client'; Object.assign(window, { connect })`,
    resolveDir: fileURLToPath(new URL('../..', import.meta.url)),
  },
  bundle: true,
  format: 'esm',
  write: false,
})

// The page has another origin than the gate, as is usual.
const site = createServer((_, response) =>
  response
    .setHeader('content-type', 'text/html')
    .end(`<!doctype html><title>site</title><script type="module">${outputFiles[0]?.text}</script>`),
).listen(0, '127.0.0.1')
await once(site, 'listening')
t.teardown(() => site.close())
const origin = `http://127.0.0.1:${(site.address() as AddressInfo).port}`
const browser = await openBrowser(t)

interface Visit {
  readonly page: Page
  readonly errors: string[]
  /** Resolves when the page has received `count` events of this name. */
  until(name: string, count?: number): Promise<Scope['events'][number] | undefined>
}

/** Opens the page and connects there. */
async function visit(
  server: TestServer,
  options: Partial<ConnectOptions>,
  token: (fresh: boolean) => string | Promise<string> = () => tokenFor('maggie'),
): Promise<Visit> {
  const { page, errors } = await openPage(browser, origin)
  await page.exposeFunction('tokenFromTest', token)
  await page.waitForFunction(() => 'connect' in window)
  await page.evaluate(
    given => {
      const scope = window as unknown as Scope
      scope.events = []
      scope.gate = scope.connect({ ...given, getToken: ({ fresh }) => scope.tokenFromTest(fresh) })
      scope.gate.on('open', ({ expires }) => scope.events.push({ name: 'open', expires }))
      scope.gate.on('message', ({ data }) => scope.events.push({ name: 'message', data }))
      scope.gate.on('renewed', ({ expires }) => scope.events.push({ name: 'renewed', expires }))
      scope.gate.on('retry', ({ error }) => scope.events.push({ name: 'retry', code: error.code }))
      scope.gate.on('lost', ({ channel, error }) =>
        scope.events.push({ name: 'lost', code: error.code, data: channel }),
      )
      scope.gate.on('close', ({ code, message }) => scope.events.push({ name: 'close', code, data: message }))
    },
    { url: server.url, channel: 'lobby', minDelayMs: 50, ...options },
  )
  return {
    page,
    errors,
    async until(name, count = 1) {
      await page.waitForFunction(
        ([wanted, times]) =>
          (window as unknown as Scope).events.filter(event => event.name === wanted).length >= times,
        [name, count] as const,
      )
      const events = await page.evaluate(() => (window as unknown as Scope).events)
      return events.filter(event => event.name === name)[count - 1]
    },
  }
}

const env = { TICKETGATE_ORIGINS: origin }

t.test('opens across origins, receives and publishes', async t => {
  const server = await startServer(t, { env })
  const { page, errors, until } = await visit(server, {})
  await until('open')
  const { client } = await openSession(
    socketUrl(server.url, gatePath(await mint(server.url, 'theo'), 'lobby')),
  )
  client.send({ type: 'publish', data: 'hello page' })
  t.match(await until('message'), { data: 'hello page' })
  await page.evaluate(() => (window as unknown as Scope).gate.publish('hello all'))
  t.match(await client.next(), { type: 'message', data: 'hello all', user: 'maggie' })
  await page.evaluate(() => (window as unknown as Scope).gate.close())
  t.match(await until('close'), { code: 'closed' })
  t.strictSame(errors, [])
  await client.close()
  await page.close()
})

t.test('reconnects after a restart and receives its channels again', async t => {
  const fixed = { ...env, TICKETGATE_PORT: String(await freePort()) }
  const first = await startServer(t, { env: fixed })
  const { page, until } = await visit(first, { maxDelayMs: 500 })
  await page.evaluate(() => (window as unknown as Scope).gate.subscribe('news'))
  await first.stop()
  t.match(await until('retry'), { code: 'draining' })
  const second = await startServer(t, { env: fixed, stateDir: first.stateDir })
  await until('open', 2)
  // A request after the resubscription: once it is answered, so is the resubscription.
  await page.evaluate(() => (window as unknown as Scope).gate.publish('later'))
  const { client } = await openSession(
    socketUrl(second.url, gatePath(await mint(second.url, 'theo'), 'other')),
  )
  client.send({ type: 'publish', channel: 'news', data: 'again' })
  t.match(await until('message'), { data: 'again' })
  await client.close()
  await page.close()
})

t.test('outlives its session with a fresh token, on the same socket', async t => {
  const server = await startServer(t, { env })
  // It is renewed in the last fifth of its life: long enough for a busy machine.
  const { page, until } = await visit(server, {}, fresh =>
    tokenFor('maggie', { exp: nowSeconds() + (fresh ? 600 : 30) }),
  )
  const first = await until('open')
  const renewed = await until('renewed')
  t.ok(Number(renewed?.expires) > Number(first?.expires) + 500)
  const events = await page.evaluate(() => (window as unknown as Scope).events)
  t.notOk(events.some(({ name }) => name === 'retry'))
  t.equal(await page.evaluate(() => (window as unknown as Scope).gate.state), 'open')
  await page.close()
})

t.test('renews when told to, and learns which channels are revoked and why', async t => {
  const server = await startServer(t, { env })
  const { page, until } = await visit(server, {}, async fresh => {
    if (!fresh) return tokenFor('maggie', { iat: nowSeconds() - 1 })
    // A token issued in the second of the revocation would be revoked too.
    await nextSecond()
    return tokenFor('maggie')
  })
  const disconnect = (members: Json) =>
    postJson(server.admin, '/disconnect', members, { headers: bearer(adminKey) })
  await until('open')
  await page.evaluate(() => (window as unknown as Scope).gate.subscribe('news'))
  await disconnect({ user: 'maggie', reauthenticateWithinSeconds: 20 })
  await until('renewed')
  await disconnect({ channel: 'news' })
  t.match(await until('lost'), { code: 'unsubscribed', data: 'news' })
  t.equal(await page.evaluate(() => (window as unknown as Scope).gate.state), 'open')
  await disconnect({ all: true, reason: 'für heute zu' })
  t.match(await until('close'), { code: 'revoked', data: 'The session was revoked: für heute zu' })
  await page.close()
})

t.test('gives up on a refusal that no retry can change, and says which', async t => {
  const server = await startServer(t, { env })
  const nothing = { channels: { publish: [], subscribe: [] } }
  const cases = [
    ['channel_forbidden', { channelOnly: true }, () => tokenFor('maggie', nothing)],
    ['token_invalid', {}, () => 'no.token.here'],
  ] as const
  for (const [code, options, token] of cases) {
    const { page, until } = await visit(server, options, token)
    t.match(await until('close'), { code })
    await page.close()
  }
})

t.test('reconnects at once when the network is back', async t => {
  const fixed = { ...env, TICKETGATE_PORT: String(await freePort()) }
  const first = await startServer(t, { env: fixed })
  // Delays too long for the test to pass by waiting.
  const { page, until } = await visit(first, { minDelayMs: 3_600_000, maxDelayMs: 3_600_000 })
  await until('open')
  await browser.setOffline(true)
  first.signal('SIGKILL')
  await first.exited
  await until('retry')
  await startServer(t, { env: fixed, stateDir: first.stateDir })
  await browser.setOffline(false)
  t.ok(await until('open', 2))
  await page.close()
})
