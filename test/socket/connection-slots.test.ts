import { App, us_socket_local_port } from 'uWebSockets.js'
import t, { type Test } from 'tap'
import { RefusalMemory } from '../../src/admission/refusal-memory.js'
import { createRetryAfter } from '../../src/admission/refusals.js'
import { TicketAdmission } from '../../src/admission/ticket-admission.js'
import { TokenCheck } from '../../src/admission/token-check.js'
import { clock } from '../../src/clock.js'
import { resolveConfig } from '../../src/config/resolve.js'
import { createTrustedProxies } from '../../src/http/address.js'
import { ClientView } from '../../src/http/client-view.js'
import { ForwardingWarnings } from '../../src/http/forwarding-warnings.js'
import { createOriginPolicy } from '../../src/http/origins.js'
import { PortApps } from '../../src/http/port-apps.js'
import { Server } from '../../src/http/server.js'
import { createConnectionCaps } from '../../src/limits/caps.js'
import type { StoreOutcome, StoreReplayCache } from '../../src/replay/contract.js'
import { createMemoryReplayCache } from '../../src/replay/memory.js'
import { Channels } from '../../src/socket/channels.js'
import { Sockets } from '../../src/socket/sockets.js'
import { createLog } from '../../src/telemetry/log.js'
import { createCounters } from '../../src/telemetry/metrics.js'
import { issueTicket } from '../../src/ticket/issuer.js'
import { ownTicketsOnly } from '../../src/ticket/verifier.js'
import { secretIssuers } from '../../src/token/login-token.js'
import { createRevocations } from '../../src/token/revocation.js'
import { TokenVerifier } from '../../src/token/verifier.js'
import { newBootKey } from '../support/boot-key.js'
import { jwtSecret } from '../support/fixtures.js'
import { requestUpgrade } from '../support/http.js'
import { noEvents } from '../support/no-events.js'
import { isProblem } from '../support/problem.js'
import { RawConnection, upgradeText } from '../support/raw.js'
import { open, openSession, socketUrl } from '../support/socket-client.js'
import { gatePath, nowSeconds, tokenFor } from '../support/tokens.js'

type Spend = StoreReplayCache['spend']

/** The view of clients that connect directly, without a proxy. */
const directClients = (log: ReturnType<typeof createLog>): ClientView =>
  new ClientView({
    proxies: createTrustedProxies([]),
    publicUrl: undefined,
    tls: false,
    isUnix: false,
    warnings: new ForwardingWarnings(log),
  })

/** A check that accepts tokens signed with `jwtSecret`, at any rate. */
const tokenCheck = (
  revocations: ReturnType<typeof createRevocations>,
  counters: ReturnType<typeof createCounters>,
  log: ReturnType<typeof createLog>,
): TokenCheck =>
  new TokenCheck({
    tokens: new TokenVerifier(
      secretIssuers({ secrets: [jwtSecret], policy: { maxTtlSeconds: 3600 }, nodesAheadSeconds: 0 }),
      16_384,
    ),
    revocations,
    limiter: { take: () => 0, usage: () => undefined, setRate() {} },
    counters,
    log,
    refusalLevel: 'debug',
  })

/** Starts a server with a cap of one connection and a replay cache that the test controls. */
const start = async (t: Test) => {
  const replay = createMemoryReplayCache(100)
  const key = newBootKey()
  let spend: Spend = replay.spend.bind(replay)
  let draining = false
  const log = createLog('fatal')
  const counters = createCounters()
  const config = resolveConfig({ env: {}, options: { jwtSecret, firstMessageSeconds: 60 } })
  const app = App()
  const clients = directClients(log)
  const origins = createOriginPolicy(config)
  const revocations = createRevocations()
  const admission = new TicketAdmission({
    keys: { ring: () => new Map([[0, key]]), policy: ownTicketsOnly },
    revocations,
    replay: { spend: (...args) => spend(...args), has: () => undefined },
    spendDurations: counters.durations.spend,
    refusals: new RefusalMemory(),
    log,
  })
  const sockets = new Sockets({
    config,
    portApps: new PortApps(app),
    server: new Server(app, { origins, clients, maxBodyBytes: 1024, refused: {}, log, explains: false }),
    origins,
    clients,
    admission,
    retryAfter: createRetryAfter(replay, 0, clock),
    caps: createConnectionCaps({ total: 1, perUser: 0, perAddress: 0 }),
    isDraining: () => draining,
    counters,
    events: noEvents(),
    log,
    clock,
  })
  new Channels({
    config,
    sockets,
    admission,
    revocations,
    tokens: tokenCheck(revocations, counters, log),
    handlers: undefined,
    relay: { send() {} },
    isDraining: () => draining,
    counters,
    log,
    clock,
  })
  const port = await new Promise<number>(resolve => {
    app.listen('127.0.0.1', 0, socket => resolve(socket ? us_socket_local_port(socket) : 0))
  })
  t.teardown(() => app.close())
  return {
    url: `http://127.0.0.1:${port}`,
    sockets,
    replaceSpend(by: Spend) {
      spend = by
    },
    restoreSpend() {
      spend = replay.spend.bind(replay)
    },
    startDraining() {
      draining = true
    },
    path: (): string => {
      const claims = { user: 'maggie', sessionEndsAtSeconds: nowSeconds() + 60 }
      return gatePath(issueTicket(claims, { key, node: '', nowMs: clock(), ttlSeconds: 10 }) ?? '', 'lobby')
    },
  }
}

type Gate = Awaited<ReturnType<typeof start>>

/** Checks that one connection is accepted, and a second is not. */
const hasOneSlot = async (t: Test, { url, path, restoreSpend }: Gate, name: string): Promise<void> => {
  restoreSpend()
  const { client } = await openSession(socketUrl(url, path()))
  isProblem(
    t,
    await requestUpgrade(url, path()),
    '429 too_many_connections',
    `${name}: there is no second slot`,
  )
  await client.close()
}

t.test('a failing replay cache admits nobody, and leaks no connection slot', async t => {
  const gate = await start(t)
  const failures: readonly (readonly [name: string, spend: Spend])[] = [
    [
      'it throws',
      () => {
        throw new Error('thrown by the cache')
      },
    ],
    ['it rejects', () => Promise.reject(new Error('thrown by the cache'))],
  ]
  for (const [name, spend] of failures) {
    gate.replaceSpend(spend)
    for (let n = 0; n < 3; n++)
      isProblem(t, await requestUpgrade(gate.url, gate.path()), '500 internal_error', `${name}, attempt ${n}`)
    await hasOneSlot(t, gate, name)
  }
})

t.test('a refusal by the replay cache leaks no connection slot', async t => {
  const gate = await start(t)
  for (const [outcome, expected] of [
    ['replayed', '401 ticket_used'],
    ['full', '503 replay_cache_full'],
    ['unavailable', '503 replay_cache_unavailable'],
    ['predates', '401 ticket_predates_gate'],
  ] as const)
    for (const result of [outcome, Promise.resolve(outcome)]) {
      gate.replaceSpend(() => result)
      isProblem(t, await requestUpgrade(gate.url, gate.path()), expected)
      await hasOneSlot(t, gate, expected)
    }
})

t.test('a client that leaves while its ticket is being spent leaks no connection slot', async t => {
  const gate = await start(t)
  let settle: (outcome: StoreOutcome) => void = () => {}
  const asked = new Promise<void>(resolve => {
    gate.replaceSpend(() => {
      resolve()
      return new Promise(outcome => {
        settle = outcome
      })
    })
  })
  const connection = await RawConnection.connect(gate.url)
  connection.write(upgradeText(gate.path()))
  await asked
  connection.destroy()
  // The server sees the disconnect before it answers this.
  isProblem(t, await requestUpgrade(gate.url, '/channel/a%20b'), '400 channel_invalid')
  settle('fresh')
  await hasOneSlot(t, gate, 'after the client has left')
})

t.test('a gate that starts to drain while a ticket is being spent admits nobody', async t => {
  const gate = await start(t)
  gate.replaceSpend(() => {
    gate.startDraining()
    return Promise.resolve('fresh')
  })
  isProblem(t, await requestUpgrade(gate.url, gate.path()), '503 draining')
  t.equal(gate.sockets.size, 0)
})

t.test('an unauthenticated socket is not admitted while the gate drains', async t => {
  const gate = await start(t)
  const waiting = await open(socketUrl(gate.url, '/channel/lobby'))
  gate.startDraining()
  waiting.send({ type: 'auth', payload: tokenFor('maggie') })
  const { code, reason } = await waiting.closed
  t.equal(code, 1012)
  t.match(reason, /^retry_after_ms=\d+$/)
})
