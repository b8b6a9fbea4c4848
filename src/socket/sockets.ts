import type { TemplatedApp } from 'uWebSockets.js'
import type { RetryAfter } from '../admission/refusals.js'
import type { TicketAdmission } from '../admission/ticket-admission.js'
import type { Clock } from '../clock.js'
import { maxUnidentified } from '../config/descriptors.js'
import type { Config } from '../config/schema.js'
import { unixPathOf } from '../config/unix-path.js'
import type { Rate } from '../config/value-types.js'
import type { ClientView } from '../http/client-view.js'
import { isUnopened, openWhenUpgraded } from '../http/late-upgrade.js'
import type { OriginPolicy } from '../http/origins.js'
import type { PortApps } from '../http/port-apps.js'
import type { Server } from '../http/server.js'
import type { ConnectionCaps } from '../limits/caps.js'
import { LoopStalls } from '../limits/loop-stalls.js'
import { isSameRate } from '../limits/rate.js'
import type { EventSink } from '../telemetry/events.js'
import type { Log } from '../telemetry/log.js'
import { type Counters, increment } from '../telemetry/metrics.js'
import { isOwnSession } from '../ticket/session-id.js'
import type { Application } from './application.js'
import { compressors } from './compression.js'
import { ConnectionSlots } from './connection-slots.js'
import { drainSockets } from './drain.js'
import { type Entry, HandshakeHandler } from './handshake.js'
import { MessageRate } from './message-rate.js'
import { aboutSession, type Socket, type SocketData } from './session.js'
import { SocketEvents } from './socket-events.js'
import { SocketIds } from './socket-ids.js'
import { SocketTable } from './socket-table.js'

export interface SocketsParts {
  readonly config: Config
  readonly portApps: PortApps
  readonly server: Server
  readonly origins: OriginPolicy
  readonly clients: ClientView
  readonly admission: TicketAdmission
  readonly retryAfter: RetryAfter
  readonly caps: ConnectionCaps
  readonly isDraining: () => boolean
  readonly counters: Counters
  readonly events: EventSink
  readonly log: Log
  readonly clock: Clock
}

/** Who opened a socket. */
export interface SocketOwner {
  readonly user: string
  /** Its login session, if its latest token names one. */
  readonly session: string | undefined
}

/** The messages on the sockets of a route. */
export interface Conversation {
  /** It is open; once its user is known, it must be reported to the socket events. */
  open(ws: Socket): void
  message(ws: Socket, bytes: ArrayBuffer, isBinary: boolean): void
  /** A ping or a pong has arrived; uWS has replied to it. */
  control(ws: Socket): void
  /** Some of what was waiting for a slow reader has been sent. */
  drained?(ws: Socket): void
  /** It is closed, and no longer in the table; nothing may be sent on it. */
  closed(ws: Socket, code: number, reason: string): void
}

export interface SocketRoute {
  /** As in uWS: a path, or its start and `/*`. */
  readonly path: string
  readonly entry: Entry
  readonly conversation: Conversation
  /** The embedding application, which decides on handshakes. */
  readonly application: Application | undefined
  readonly maxMessageBytes: number
  /** How many bytes may wait for a slow reader; more are dropped. */
  readonly maxBackpressureBytes: number
  /** First-message auth: the limit in seconds; 0 = off. */
  readonly firstMessageSeconds: number
  /** Other header fields that `entry` reads, in lower case. */
  readonly headers?: ReadonlySet<string>
}

// Proxies drop connections that are idle for a minute; uWS pings when a quarter of this is left.
const idleTimeoutSeconds = 60

// A socket may hold this much of an unfinished message for as long as it likes. Beyond that, uWS
// drops the connection without a close frame. So this exceeds the limit on messages, which we check
// ourselves and close with 1009.
const payloadLimit = (maxMessageBytes: number): number => 2 * maxMessageBytes

/** How uWS reports a message beyond that limit, before or after decompression. */
const tooBig = /^Received too big message/

// What uWS reports of a connection that ends without a close frame.
const droppedCode = 1006

/** All sockets of one thread, of any route, from their handshake to their end. */
export class Sockets {
  readonly table = new SocketTable()
  readonly ids = new SocketIds()
  readonly events: SocketEvents
  readonly slots: ConnectionSlots
  readonly portApps: PortApps
  /** The default for all sockets, unless their route has another. */
  readonly messageRate: MessageRate
  readonly stalls: LoopStalls
  readonly #parts: SocketsParts
  /** Sockets from which uWS has dropped messages because they read too slowly; to be closed. */
  readonly #slow = new Set<Socket>()
  readonly #decoder = new TextDecoder()

  constructor(parts: SocketsParts) {
    this.#parts = parts
    this.portApps = parts.portApps
    this.stalls = new LoopStalls(parts.clock)
    this.messageRate = new MessageRate(parts.config.messageRate, this.stalls)
    this.events = new SocketEvents(parts.events, this.ids)
    this.slots = new ConnectionSlots(parts.caps, Math.ceil(maxUnidentified / parts.config.threads))
  }

  /** Sets the message rate. If it changes, the counts of all sockets start over. */
  setMessageRate(rate: Rate | undefined): void {
    if (isSameRate(rate, this.messageRate.rate)) return
    this.messageRate.set(rate)
    for (const ws of this.table.all()) ws.getUserData().session.arrivalMs = undefined
  }

  /** Stops all measurements. */
  close(): void {
    this.stalls.close()
  }

  /** The number of open sockets. */
  get size(): number {
    return this.table.size
  }

  /**
   * Returns the owner of a socket. Undefined if it is not in this thread, or its user is not known
   * yet.
   */
  ownerOf(id: string): SocketOwner | undefined {
    const number = this.ids.numberOf(id)
    if (number === undefined) return undefined
    const [ws] = this.table.filter(each => each.getUserData().session.socket === number)
    if (ws === undefined || ws.getUserData().session.user === '') return undefined
    const { user, id: session, isFormer } = ws.getUserData().session
    return isFormer || isOwnSession(session) ? { user, session: undefined } : { user, session }
  }

  /** Closes every socket whose session has ended at `nowSeconds`. */
  closeExpired(nowSeconds: number): void {
    this.table.closeExpired(nowSeconds)
  }

  /** Closes all in paced batches. Resolves when none is left, or at the deadline. */
  drain(deadlineMs: number): Promise<void> {
    return drainSockets(this.table, deadlineMs)
  }

  /** Adds a route on which sockets open. */
  route(route: SocketRoute): void {
    const handshakes = this.#handshakesOf(route)
    this.#parts.server.mount(app => this.#addRoute(app, route, handshakes))
  }

  #addRoute(app: TemplatedApp, route: SocketRoute, handshakes: HandshakeHandler): void {
    const { config, portApps, server } = this.#parts
    const { path, conversation, headers } = route
    const portApp = portApps.of(app)
    const open = (ws: Socket): void => {
      portApps.enter(portApp)
      ws.getUserData().session.socket = this.ids.next()
      this.table.add(ws)
      conversation.open(ws)
    }
    app.ws<SocketData>(path, {
      idleTimeout: idleTimeoutSeconds,
      maxPayloadLength: payloadLimit(route.maxMessageBytes),
      maxBackpressure: route.maxBackpressureBytes,
      closeOnBackpressureLimit: true,
      compression: compressors[config.compression],
      upgrade: server.handler(exchange => handshakes.upgrade(exchange), {
        method: 'get',
        ...(headers === undefined ? {} : { headers }),
      }),
      open: ws => openWhenUpgraded(ws, open),
      message: (ws, bytes, isBinary) => conversation.message(ws, bytes, isBinary),
      ping: ws => conversation.control(ws),
      pong: ws => conversation.control(ws),
      dropped: ws => this.#dropped(ws),
      ...(conversation.drained === undefined ? {} : { drain: ws => conversation.drained?.(ws) }),
      close: (ws, code, reason) => {
        if (isUnopened(ws)) return this.slots.release(ws.getUserData().session)
        portApps.leave(portApp)
        this.#closed(ws, code, reason, conversation)
      },
    })
    app.any(
      path,
      server.handler(exchange => handshakes.plain(exchange)),
    )
  }

  #handshakesOf({ entry, application, firstMessageSeconds }: SocketRoute): HandshakeHandler {
    const { config } = this.#parts
    return new HandshakeHandler({
      ...this.#parts,
      entry,
      application,
      firstMessageSeconds,
      slots: this.slots,
      // A later ticket may be bound to an address, and the proxy's header is gone after the
      // handshake.
      keepsAddress:
        config.maxConnectionsPerAddress > 0 ||
        config.trustedProxies.length > 0 ||
        unixPathOf(config.host) !== undefined,
      compression: config.compression,
    })
  }

  #dropped(ws: Socket): void {
    this.#parts.counters.messagesDropped++
    ws.getUserData().session.closeReason = 'slow_reader'
    // uWS only stops reading: what the kernel has received still arrives, however much it is.
    if (this.#slow.size === 0)
      setImmediate(() => {
        for (const each of this.#slow) each.close()
      })
    this.#slow.add(ws)
  }

  #closed(ws: Socket, code: number, bytes: ArrayBuffer, conversation: Conversation): void {
    if (this.#slow.size > 0) this.#slow.delete(ws)
    const session = ws.getUserData().session
    const reason = bytes.byteLength === 0 ? '' : this.#decoder.decode(bytes)
    session.closeReason ??= code === droppedCode && tooBig.test(reason) ? 'message_too_big' : 'other'
    this.table.delete(ws)
    this.slots.release(session)
    increment(this.#parts.counters.connectionsClosed, session.closeReason)
    this.events.closed(session, code, reason)
    const { log } = this.#parts
    if (log.isLevelEnabled('debug'))
      log.debug({ code, reason: session.closeReason, ...aboutSession(session) }, 'socket closed')
    conversation.closed(ws, code, reason)
  }
}
