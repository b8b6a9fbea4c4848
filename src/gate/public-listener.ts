import { App, SSLApp } from 'uWebSockets.js'
import { setTimeout as delay } from 'node:timers/promises'
import { createRetryAfter } from '../admission/refusals.js'
import { TicketAdmission } from '../admission/ticket-admission.js'
import { createTokenCheck } from '../admission/token-check.js'
import { clock, toSeconds } from '../clock.js'
import { nodesAheadSeconds } from '../config/node-clocks.js'
import type { Config } from '../config/schema.js'
import type { Keys } from '../disk/gate-keys.js'
import { Refusal } from '../errors.js'
import { createTrustedProxies } from '../http/address.js'
import { maxBodyBytes } from '../http/body.js'
import { type ClientView, createClientView } from '../http/client-view.js'
import { type Listener, listen, type PortSharing } from '../http/listener.js'
import { createOriginPolicy } from '../http/origins.js'
import { createServer } from '../http/server.js'
import { tls12Suites } from '../http/tls.js'
import type { ConnectionCaps } from '../limits/caps.js'
import type { RateLimiter } from '../limits/rate.js'
import { openProviderKeys } from '../providers/provider-keys.js'
import type { RedisReplayCache } from '../redis/replay.js'
import type { StoreReplayCache } from '../replay/contract.js'
import { consoleRoutes } from '../routes/console.js'
import { healthRoute, readyRoute } from '../routes/health.js'
import { authRoute } from '../routes/login.js'
import { type TicketContext, ticketRoute } from '../routes/ticket.js'
import { ticketStatusRoute } from '../routes/ticket-status.js'
import { verifyRoute } from '../routes/verify.js'
import type { GateHandlers } from '../socket/application.js'
import { Channels } from '../socket/channels.js'
import type { Log } from '../telemetry/log.js'
import { type Counters, createCounters, type Snapshot } from '../telemetry/metrics.js'
import { type Address, prefixOf } from '../ticket/address.js'
import { issueTicket } from '../ticket/issuer.js'
import { createTokenIssuer, createTokenVerifier } from '../token/jwt.js'
import { createProviderTokenVerifier, type ProviderKeys } from '../token/provider.js'
import type { Revocations } from '../token/revocation.js'
import type { TokenVerifier } from '../token/verifier.js'
import type { PasswordHasher } from '../users/password.js'
import { openUserStore } from '../users/store.js'
import type { Relay, RelayMessage } from '../wire/relay.js'

/** What a front is given: one thread has its own, several share what one listener would have. */
export interface FrontParts {
  readonly keys: Keys
  readonly replay: StoreReplayCache
  /** The same, where it is in Redis. */
  readonly store: RedisReplayCache | undefined
  readonly caps: ConnectionCaps
  readonly logins: RateLimiter
  readonly tickets: RateLimiter
  readonly hasher: PasswordHasher
  readonly revocations: Revocations
  /** Of the embedding application. */
  readonly handlers: GateHandlers<unknown> | undefined
  /** Whether there is a way to the other nodes now; undefined where there shall be none. */
  readonly isBusUp: (() => boolean) | undefined
  /** Passes on what is published here to the other threads, and nodes. */
  readonly relay: Relay | undefined
}

/** The public listener of one thread. */
export interface Front {
  /** @throws StartupError `port_unavailable` */
  listen(port: number, sharing: PortSharing): Promise<number>
  /** Takes no new tickets or sockets and closes what is open in paced batches; then the listener. Once is enough. */
  drain(): Promise<void>
  /** Closes at once all that is open. */
  close(): void
  snapshot(): Snapshot
  /** Does here what was published or revoked elsewhere; answers how many sockets it reached. */
  deliver(message: RelayMessage): number
}

/**
 * Wires the parts to one uWS app.
 * @throws StartupError `users_file_invalid`, `console_missing`
 */
export async function createFront(config: Config, log: Log, parts: FrontParts): Promise<Front> {
  const { keys, replay, store, caps, hasher, revocations, relay } = parts
  let draining = false
  const isDraining = (): boolean => draining
  const counters = createCounters()
  const node = config.node ?? ''
  const snapshot = (): Snapshot => ({
    counters,
    connections: channels.size,
    loginsPending: hasher.pending,
  })
  const scope = config.threads > 1 ? 'thread' : 'server'
  const page = config.console === 'on' ? consoleRoutes({ scope, snapshot, replay }) : []
  const provider =
    config.jwksUrl === undefined ? undefined : await openProviderKeys(config.jwksUrl, { log, counters })

  const tls = config.tlsCertFile !== undefined && config.tlsKeyFile !== undefined
  const app = tls
    ? SSLApp({
        cert_file_name: config.tlsCertFile,
        key_file_name: config.tlsKeyFile,
        ssl_ciphers: tls12Suites,
      })
    : App()
  const clients = createClientView({
    proxies: createTrustedProxies(config.trustedProxies),
    publicUrl: config.publicUrl,
    tls,
  })
  const origins = createOriginPolicy(config)
  const server = createServer(app, { origins, clients, maxBodyBytes, refused: counters.requestsRefused, log })

  if (provider === undefined) server.route(await openLogin(config, log, { parts, clients, counters }))
  const check = createTokenCheck({
    tokens: tokenVerifier(config, provider),
    revocations,
    limiter: parts.tickets,
  })
  server.route(
    ticketRoute({
      check,
      issue: (claims, nowMs) =>
        issueTicket(claims, {
          key: keys.signing(),
          node,
          nowMs,
          ttlSeconds: config.ticketTtlSeconds,
        }),
      epoch: () => epochOf(store),
      ticketTtlSeconds: config.ticketTtlSeconds,
      bindOrigin: config.bind.includes('origin'),
      context: ticketContext(config, clients),
      isDraining,
      counters,
      clock,
    }),
  )
  server.route(healthRoute)
  server.route(
    readyRoute({
      isDraining,
      hasKeys: () => provider === undefined || provider.current() !== undefined,
      isStoreReady: () => store === undefined || store.state.is === 'ready',
      isBusUp: parts.isBusUp,
    }),
  )

  for (const route of page) server.route(route)

  const admission = new TicketAdmission({ keys, revocations, replay, log })
  server.route(ticketStatusRoute({ admission, limiter: parts.tickets, clients, clock }))

  const retryAfter = createRetryAfter(replay, keys.policy.earliestOutsideMs, clock)
  if (config.verify === 'on')
    server.route(verifyRoute({ admission, retryAfter, origins, clients, isDraining, counters, clock }))
  const channels = new Channels(app, {
    config,
    server,
    origins,
    clients,
    admission,
    tokens: check,
    retryAfter,
    caps,
    handlers: parts.handlers,
    relay,
    isDraining,
    counters,
    log,
    clock,
  })

  function deliver(message: RelayMessage): number {
    if (message.type === 'publish') return channels.deliver(message)
    revocations.add(message, toSeconds(clock()))
    return channels.closeRevoked(message)
  }

  relay?.onMessage(message => void deliver(message))
  app.any(
    '/*',
    server.guarded((res, req) => server.refuse(res, req, new Refusal('not_found'))),
  )

  const sweep = setInterval(() => channels.closeExpired(toSeconds(clock())), 1000)
  sweep.unref()
  let listener: Listener | undefined

  let closed = false
  const closing = new AbortController()
  const pause = (ms: number): Promise<void> =>
    delay(ms, undefined, { signal: closing.signal }).catch(() => {})

  function close(): void {
    // uWS ends the process when it is closed twice.
    if (closed) return
    closed = true
    closing.abort()
    clearInterval(sweep)
    provider?.close()
    relay?.close()
    listener?.close()
    app.close()
  }

  async function drain(): Promise<void> {
    draining = true
    const deadlineMs = config.drainSeconds * 1000
    const startedMs = performance.now()
    log.info({ connections: channels.size, seconds: config.drainSeconds }, 'draining')
    // A proxy that asks `/verify` holds no socket here, and has to see that this server is not ready.
    const isSeen = config.verify === 'on' ? pause(deadlineMs / 10) : undefined
    await Promise.all([channels.drain(deadlineMs), isSeen])
    while (server.pending > 0 && !closed && performance.now() - startedMs < deadlineMs) await pause(20)
    close()
  }

  return {
    async listen(port, sharing) {
      listener = await listen(app, { host: config.host, port, sharing, variable: 'TICKETGATE_PORT', log })
      return listener.port
    },
    drain,
    close,
    deliver,
    snapshot,
  }
}

interface LoginParts {
  readonly parts: FrontParts
  readonly clients: ClientView
  readonly counters: Counters
}

/**
 * The login of the user file.
 * @throws StartupError `users_file_invalid`
 */
async function openLogin(config: Config, log: Log, { parts, clients, counters }: LoginParts) {
  return authRoute({
    users: await openUserStore(config.usersFile, {
      onError: error => log.error({ err: error }, 'the user file is broken; the users read before stay'),
    }),
    hasher: parts.hasher,
    tokens: createTokenIssuer({
      secret: config.jwtSecret,
      issuer: config.jwtIssuer,
      audience: config.jwtAudience,
      ttlSeconds: config.tokenTtlSeconds,
    }),
    revocations: parts.revocations,
    limiter: parts.logins,
    clients,
    counters,
    log,
    clock,
  })
}

/** Verifies our own tokens, or in their place those of an identity provider: never both. */
function tokenVerifier(config: Config, provider: ProviderKeys | undefined): TokenVerifier {
  const policy = {
    issuer: config.jwtIssuer,
    audience: config.jwtAudience,
    maxTtlSeconds: config.tokenMaxTtlSeconds,
  }
  return provider === undefined
    ? createTokenVerifier({
        ...policy,
        secret: config.jwtSecret,
        aheadSeconds: nodesAheadSeconds(config),
      })
    : createProviderTokenVerifier(provider, { ...policy, skewSeconds: config.clockSkewSeconds })
}

/**
 * The epoch of the store in which a ticket will be spent, if there is one.
 * @throws Refusal `replay_cache_unavailable`
 */
function epochOf(store: RedisReplayCache | undefined): Uint8Array | undefined {
  if (store === undefined || store.epoch !== undefined) return store?.epoch
  throw new Refusal('replay_cache_unavailable', {
    detail: 'No ticket would be accepted now; try again.',
    retryAfterSeconds: 1,
  })
}

/** Reads what a ticket is bound to and where it is to be presented; nothing where nothing is asked for. */
function ticketContext(config: Config, clients: ClientView) {
  const bindsAddress = config.bind.includes('address')
  const { v4, v6 } = config.bindAddressBits
  const bound = (address: Address): Uint8Array => prefixOf(address, address.length === 4 ? v4 : v6)
  const publicBase = config.publicUrl?.replace(/^http/, 'ws').replace(/\/+$/, '')
  return (...[res, req]: Parameters<ClientView['address']>): TicketContext => ({
    address: bindsAddress ? bound(clients.address(res, req)) : undefined,
    baseUrl: publicBase ?? (config.production ? '' : clients.ownOrigin(res, req).replace(/^http/, 'ws')),
  })
}
