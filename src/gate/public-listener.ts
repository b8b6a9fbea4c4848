import { App } from 'uWebSockets.js'
import { setTimeout as delay } from 'node:timers/promises'
import type { RefusalMemory } from '../admission/refusal-memory.js'
import { createRetryAfter } from '../admission/refusals.js'
import { TicketAdmission } from '../admission/ticket-admission.js'
import { TicketIssuer } from '../admission/ticket-issuer.js'
import { TokenCheck } from '../admission/token-check.js'
import { clock, toSeconds } from '../clock.js'
import type { LiveSettings } from '../config/live-settings.js'
import type { Config } from '../config/schema.js'
import { unixPathOf } from '../config/unix-path.js'
import type { Keys } from '../disk/gate-keys.js'
import { type FileStates, lookAt } from '../disk/watch-file.js'
import { Refusal } from '../errors.js'
import { createTrustedProxies } from '../http/address.js'
import { maxBodyBytes } from '../http/body.js'
import { CertificateWatch } from '../http/certificate-watch.js'
import { ClientView } from '../http/client-view.js'
import { ForwardingWarnings } from '../http/forwarding-warnings.js'
import type { Listener, PortSharing } from '../http/listener.js'
import type { OriginPolicy } from '../http/origins.js'
import { listenWithPauses } from '../http/paused-listener.js'
import { PortApps } from '../http/port-apps.js'
import { Server } from '../http/server.js'
import { createTlsApp, type TlsFiles, tlsFilesOf } from '../http/tls.js'
import { urlOf } from '../http/url.js'
import { WatchedOrigins } from '../http/watched-origins.js'
import { type ConnectionCaps, connectionLimits } from '../limits/caps.js'
import { FailureLimit } from '../limits/failure-limit.js'
import type { Rates } from '../limits/rates.js'
import type { OpenReplay } from '../redis/open-replay.js'
import { backchannelLogoutRoute, logoutFailureRate } from '../routes/backchannel-logout.js'
import { consoleRoutes } from '../routes/console.js'
import { healthRoute, readyRoute } from '../routes/health.js'
import { authRoute } from '../routes/login.js'
import { renewRoute } from '../routes/renew.js'
import { ticketRoute } from '../routes/ticket.js'
import { ticketStatusRoute } from '../routes/ticket-status.js'
import { verifyRoutes } from '../routes/verify.js'
import type { GateHandlers } from '../socket/application.js'
import type { ChannelPage, ChannelQuery } from '../socket/channel-list.js'
import { Channels } from '../socket/channels.js'
import type { ConnectionPage, ConnectionQuery } from '../socket/connection-list.js'
import type { Reach } from '../socket/revoking.js'
import { type SocketOwner, Sockets } from '../socket/sockets.js'
import type { EventSink } from '../telemetry/events.js'
import type { Log } from '../telemetry/log.js'
import type { Counters, Snapshot } from '../telemetry/metrics.js'
import type { Revocations } from '../token/revocation.js'
import { Tunnels } from '../tunnel/tunnels.js'
import type { PasswordHasher } from '../users/password.js'
import type { Publication, RelayMessage, Revocation } from '../wire/relay.js'
import type { Uplink } from './engine.js'
import type { Identity } from './identity.js'

/** The dependencies of a public listener: its own in one thread, or shared ones. */
export interface PublicListenerParts {
  readonly config: Config
  readonly log: Log
  readonly counters: Counters
  readonly events: EventSink
  readonly identity: Identity
  readonly keys: Keys
  readonly replay: Pick<OpenReplay, 'replay' | 'store'>
  readonly caps: ConnectionCaps
  readonly rates: Rates
  readonly hasher: PasswordHasher
  readonly revocations: Revocations
  /** Why tickets were refused. */
  readonly refusals: RefusalMemory
  /** The handlers of the embedding application. */
  readonly handlers: GateHandlers<unknown> | undefined
  readonly uplink: Uplink
}

/** What the routes and the sockets of a listener share. */
interface Common {
  readonly clients: ClientView
  readonly origins: OriginPolicy
  readonly server: Server
  readonly tokens: TokenCheck
  readonly admission: TicketAdmission
  readonly retryAfter: ReturnType<typeof createRetryAfter>
}

const drainPollMs = 20

/**
 * The public listener of one thread: routes and channels. It is wired here, and decides nothing.
 */
export class PublicListener {
  readonly #parts: PublicListenerParts
  readonly #portApps: PortApps
  /** Undefined without TLS. */
  readonly #certificate: CertificateWatch | undefined
  readonly #origins: WatchedOrigins
  readonly #server: Server
  readonly #sockets: Sockets
  readonly #channels: Channels
  readonly #tunnels: Tunnels
  readonly #sweep: NodeJS.Timeout
  readonly #closing = new AbortController()
  /** Undefined where no identity provider can log users out. */
  readonly #logoutFailures: FailureLimit | undefined
  #listener: Listener | undefined
  #isDraining = false

  /** @throws StartupError `console_missing` */
  constructor(parts: PublicListenerParts) {
    const { config, counters, log } = parts
    this.#parts = parts
    const files = tlsFilesOf(config)
    const since = files === undefined ? [] : lookAt([files.certFile, files.keyFile])
    const app = files === undefined ? App() : createTlsApp(files)
    this.#portApps = new PortApps(app)
    const clients = new ClientView({
      proxies: createTrustedProxies(config.trustedProxies),
      publicUrl: config.publicUrl,
      tls: files !== undefined,
      isUnix: unixPathOf(config.host) !== undefined,
      warnings: new ForwardingWarnings(log),
    })
    const origins = new WatchedOrigins(config, log)
    this.#origins = origins
    this.#server = new Server(app, {
      origins,
      clients,
      maxBodyBytes,
      refused: counters.requestsRefused,
      log,
      explains: !config.production,
      // In development, another program on this host name may not use TLS.
      strictTransport: files !== undefined && config.production,
    })
    const { replay } = parts.replay
    const common: Common = {
      clients,
      origins,
      server: this.#server,
      tokens: new TokenCheck({
        tokens: parts.identity.issuers.tokens,
        revocations: parts.revocations,
        limiter: parts.rates.tickets,
        counters,
        log,
        refusalLevel: config.production ? 'debug' : 'info',
      }),
      admission: new TicketAdmission({ ...parts, replay, spendDurations: counters.durations.spend }),
      retryAfter: createRetryAfter(replay, parts.keys.policy.earliestOutsideMs, clock),
    }
    // A file may come to allow it at any time.
    this.#logoutFailures = config.issuersFile === undefined ? undefined : new FailureLimit(logoutFailureRate)
    this.#openRoutes(common)
    this.#sockets = this.#openSockets(common)
    this.#channels = this.#openChannels(common)
    this.#tunnels = new Tunnels({
      config,
      sockets: this.#sockets,
      clients,
      application: this.#channels.application,
      revocations: parts.revocations,
      counters,
      log,
      clock,
    })
    this.#server.mount(each =>
      each.any(
        '/*',
        this.#server.handler(exchange => this.#server.refuse(exchange, new Refusal('not_found'))),
      ),
    )
    this.#certificate = files && this.#watchCertificate(files, since)
    this.#sweep = setInterval(() => {
      this.#sockets.closeExpired(toSeconds(clock()))
      if (this.#server.pending === 0) this.#portApps.sweep(performance.now())
    }, 1000)
    this.#sweep.unref()
  }

  /**
   * @returns the port
   * @throws StartupError `port_unavailable`
   */
  async listen(port: number, sharing: PortSharing): Promise<number> {
    const { config, log } = this.#parts
    const { host } = config
    const options = { host, port, sharing, variable: 'TICKETGATE_PORT', log }
    this.#listener = await listenWithPauses(this.#portApps.first, options, config.threads)
    return this.#listener.port
  }

  /** Puts settings into effect that can change without a restart. */
  set(settings: LiveSettings): void {
    this.#parts.rates.set(settings)
    this.#sockets.setMessageRate(settings.messageRate)
    this.#parts.caps.setLimits(connectionLimits(settings))
  }

  /**
   * Refuses new tickets and sockets, closes the open ones in paced batches, then closes the
   * listener.
   */
  async drain(): Promise<void> {
    const { config, log } = this.#parts
    this.#isDraining = true
    const deadlineMs = config.drainSeconds * 1000
    const startedMs = performance.now()
    log.info({ connections: this.#sockets.size, seconds: config.drainSeconds }, 'draining')
    // A proxy that asks `/verify` holds no socket here, and must see that this server is not ready.
    const isSeen = config.verify === 'on' ? this.#pause(deadlineMs / 10) : undefined
    await Promise.all([this.#sockets.drain(deadlineMs), isSeen])
    while (this.#isBusy && !this.#isClosed && performance.now() - startedMs < deadlineMs)
      await this.#pause(drainPollMs)
    this.close()
  }

  /** Closes everything at once. Does nothing the second time. */
  close(): void {
    // uWS ends the process if it is closed twice.
    if (this.#isClosed) return
    this.#closing.abort()
    clearInterval(this.#sweep)
    this.#parts.identity.issuers.close()
    this.#listener?.close()
    this.#certificate?.close()
    this.#origins.close()
    this.#channels.close()
    this.#sockets.close()
    this.#portApps.close()
    this.#tunnels.close()
  }

  /** Carries out what was published or revoked elsewhere. Returns how many sockets it reached. */
  deliver(messages: readonly RelayMessage[]): number {
    return messages.reduce((sum, message) => sum + this.#deliverOne(message), 0)
  }

  /** Carries a revocation out. */
  revoke(revocation: Revocation): Reach {
    this.#parts.revocations.add(revocation, toSeconds(clock()))
    return this.#channels.revoke(revocation)
  }

  /** The owner of a socket. Undefined if this thread has no such socket. */
  ownerOf(socket: string): SocketOwner | undefined {
    return this.#sockets.ownerOf(socket)
  }

  /** A page of the sockets of this thread. */
  connections(query: ConnectionQuery): Promise<ConnectionPage> {
    return this.#channels.connections(query)
  }

  /** A page of the channels that sockets of this thread are subscribed to. */
  channels(query: ChannelQuery): Promise<ChannelPage> {
    return this.#channels.channels(query)
  }

  snapshot(): Snapshot {
    const { counters, hasher } = this.#parts
    return {
      counters,
      connections: this.#sockets.size,
      loginsPending: hasher.pending,
      loginsWaiting: hasher.waiting,
      limiters: { logout_failure: this.#logoutFailures?.usage(clock()) },
      certificateExpiresAtSeconds: this.#certificate?.expiresAtSeconds,
    }
  }

  /**
   * Whether a response is pending, or an upstream server has yet to learn that its socket ended.
   */
  get #isBusy(): boolean {
    return this.#server.pending > 0 || this.#tunnels.size > 0
  }

  get #isClosed(): boolean {
    return this.#closing.signal.aborted
  }

  #watchCertificate(files: TlsFiles, since: FileStates): CertificateWatch {
    const server = this.#server
    return new CertificateWatch({
      files,
      since,
      log: this.#parts.log,
      renew: app => this.#portApps.replace(app, () => server.serveOn(app)),
    })
  }

  #deliverOne(message: RelayMessage): number {
    if (message.type === 'publish') return this.#channels.deliver(message)
    if (message.type === 'renew') return this.#tunnels.renew(message)
    const { disconnected, unsubscribed, renewRequired } = this.revoke(message)
    return disconnected + unsubscribed + renewRequired
  }

  #pause(ms: number): Promise<void> {
    return delay(ms, undefined, { signal: this.#closing.signal }).catch(() => {})
  }

  #openRoutes(common: Common): void {
    const { clients, server, tokens, admission } = common
    const { config, counters, identity, keys, log, uplink } = this.#parts
    const { store } = this.#parts.replay
    const isDraining = (): boolean => this.#isDraining
    if (identity.login !== undefined)
      server.route(
        authRoute({
          ...identity.login,
          hasher: this.#parts.hasher,
          revocations: this.#parts.revocations,
          limits: this.#parts.rates.logins,
          clients,
          counters,
          events: this.#parts.events,
          log,
          clock,
        }),
      )
    const issuer = new TicketIssuer({ config, keys, store })
    const { requests } = server
    server.route(
      ticketRoute({ config, check: tokens, issuer, clients, isDraining, counters, clock, log, requests }),
    )
    if (config.tunnels.length > 0)
      server.route(
        renewRoute({
          check: tokens,
          maxTokenBytes: config.maxTokenBytes,
          renew: uplink.renew,
          clock,
        }),
      )
    server.route(ticketStatusRoute({ admission, limiter: this.#parts.rates.tickets, clients, clock }))
    server.route(healthRoute)
    server.route(
      readyRoute({
        isDraining,
        withoutKeys: () => identity.issuers.withoutKeys(),
        isStoreReady: () => store === undefined || store.state.is === 'ready',
        isBusUp: uplink.isBusUp,
      }),
    )
    if (this.#logoutFailures !== undefined)
      server.route(
        backchannelLogoutRoute({
          config,
          issuers: identity.issuers,
          failures: this.#logoutFailures,
          logOut: uplink.logOut,
          clients,
          counters,
          clock,
          log,
        }),
      )
    this.#openVerifyRoutes(common)
    if (config.console === 'on') this.#openConsole(tokens, server)
  }

  #openVerifyRoutes({ admission, clients, origins, retryAfter, server }: Common): void {
    const { config, counters } = this.#parts
    if (config.verify !== 'on') return
    const isDraining = (): boolean => this.#isDraining
    const parts = { admission, retryAfter, origins, clients, isDraining, counters, clock }
    for (const route of verifyRoutes(parts)) server.route(route)
  }

  #openConsole(check: TokenCheck, server: Server): void {
    const { config, identity, uplink } = this.#parts
    const serverSide = {
      adminUrl: urlOf('http', config.adminHost, config.adminPort),
      check,
      publish: (publication: Publication) => {
        this.#channels.deliver(publication)
        uplink.send(publication)
      },
      logOut: uplink.logOut,
      clock,
    }
    for (const route of consoleRoutes({
      hasLogin: identity.login !== undefined,
      scope: config.threads > 1 ? 'thread' : 'server',
      snapshot: () => this.snapshot(),
      replay: this.#parts.replay.replay,
      serverSide: config.production ? undefined : serverSide,
    }))
      server.route(route)
  }

  #openSockets({ admission, clients, origins, retryAfter, server }: Common): Sockets {
    const { caps, config, counters, log } = this.#parts
    return new Sockets({
      config,
      portApps: this.#portApps,
      server,
      origins,
      clients,
      admission,
      retryAfter,
      caps,
      isDraining: () => this.#isDraining,
      counters,
      events: this.#parts.events,
      log,
      clock,
    })
  }

  #openChannels({ admission, tokens }: Common): Channels {
    const { config, counters, handlers, log, uplink } = this.#parts
    return new Channels({
      config,
      sockets: this.#sockets,
      admission,
      tokens,
      revocations: this.#parts.revocations,
      handlers,
      relay: uplink,
      isDraining: () => this.#isDraining,
      counters,
      log,
      clock,
    })
  }
}
