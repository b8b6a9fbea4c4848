// socket/: a WebSocket from its handshake to its end. It decides nothing about tickets: admission
// does.

import type { TemplatedApp } from 'uWebSockets.js'
import type { RetryAfter } from '../admission/refusals.js'
import type { TicketAdmission } from '../admission/ticket-admission.js'
import type { TokenCheck } from '../admission/token-check.js'
import type { Clock } from '../clock.js'
import { maxUnidentified } from '../config/descriptors.js'
import type { Config } from '../config/schema.js'
import type { ClientView } from '../http/client-view.js'
import type { OriginPolicy } from '../http/origins.js'
import type { Server } from '../http/server.js'
import type { ConnectionCaps } from '../limits/caps.js'
import { routes } from '../protocol.js'
import type { Log } from '../telemetry/log.js'
import { type Counters, increment } from '../telemetry/metrics.js'
import type { Revocation } from '../token/revocation.js'
import type { Publication, Relay } from '../wire/relay.js'
import { Application, type GateHandlers } from './application.js'
import { ChannelTopics, shardCapacity } from './channel-topics.js'
import { compressors } from './compression.js'
import { ConnectionSlots } from './connection-slots.js'
import { drainSockets } from './drain.js'
import { FanOut } from './fan-out.js'
import { FirstMessageAuth } from './first-message.js'
import { HandshakeHandler } from './handshake.js'
import { MessageHandler } from './messages.js'
import { Publisher } from './publisher.js'
import { SessionRenewal } from './renewal.js'
import type { Socket, SocketData } from './session.js'
import { SocketTable } from './socket-table.js'

export interface ChannelParts {
  readonly config: Config
  readonly server: Server
  readonly origins: OriginPolicy
  readonly clients: ClientView
  readonly admission: TicketAdmission
  readonly tokens: TokenCheck
  readonly retryAfter: RetryAfter
  readonly caps: ConnectionCaps
  /** Of the application in which the gate runs. */
  readonly handlers: GateHandlers<unknown> | undefined
  /** Where messages go besides this thread's own sockets. */
  readonly relay: Pick<Relay, 'send'>
  readonly isDraining: () => boolean
  readonly counters: Counters
  readonly log: Log
  readonly clock: Clock
}

// A proxy drops what is idle for a minute; uWS pings when a quarter of this is left.
const idleTimeoutSeconds = 60

// A socket may park as much of a message as this, for as long as it likes. uWS drops the connection
// beyond it, without a close frame: so it is more than a message may have, which we check ourselves
// and close with 1009.
const payloadLimit = (maxMessageBytes: number): number => 2 * maxMessageBytes

/** How uWS tells of a message beyond that limit, as it came or unpacked. */
const tooBig = /^Received too big message/

// What uWS reports of a connection that ends without a close frame.
const droppedCode = 1006

/** `/channel/NAME` on a uWS app: what happens to its sockets from their handshake to their end. */
export class Channels {
  readonly #parts: ChannelParts
  readonly #table = new SocketTable()
  readonly #slots: ConnectionSlots
  readonly #application: Application | undefined
  readonly #fanOut: FanOut
  readonly #publisher: Publisher
  readonly #messages: MessageHandler
  readonly #handshakes: HandshakeHandler
  /** Sockets that uWS has dropped for reading too slowly, to be closed. */
  readonly #slow = new Set<Socket>()
  readonly #decoder = new TextDecoder()

  /** Adds the routes to the app. */
  constructor(app: TemplatedApp, parts: ChannelParts) {
    const { config, admission, caps, handlers, relay, isDraining, counters, log, clock } = parts
    const compresses = config.compression !== 'off'
    const table = this.#table
    this.#parts = parts
    this.#slots = new ConnectionSlots(caps, Math.ceil(maxUnidentified / config.threads))
    const topics = new ChannelTopics(app, compresses ? shardCapacity.compressed : shardCapacity.plain)
    this.#fanOut = new FanOut({
      topics,
      compresses,
      maxMessageBytes: config.maxMessageBytes,
      counters,
      // From another version, or whoever else writes to Redis. The message of the error would quote
      // it.
      onMalformed: error =>
        log.warn({ reason: error instanceof Error ? error.name : 'unknown' }, 'a publication is malformed'),
    })
    this.#publisher = new Publisher({ fanOut: this.#fanOut, relay, counters, log })
    this.#application = handlers && new Application({ handlers, publisher: this.#publisher, log })
    const application = this.#application
    this.#messages = new MessageHandler({
      rate: config.messageRate,
      maxMessageBytes: config.maxMessageBytes,
      topics,
      publisher: this.#publisher,
      renewal: new SessionRenewal({ admission, table, topics, application, clock, log }),
      firstMessage: new FirstMessageAuth({
        check: parts.tokens,
        slots: this.#slots,
        table,
        application,
        isDraining,
      }),
      application,
      counters,
      clock,
      log,
    })
    this.#handshakes = new HandshakeHandler({
      ...parts,
      slots: this.#slots,
      // A later ticket may be bound to an address, and what a proxy said of that is gone after the
      // handshake.
      keepsAddress: config.maxConnectionsPerAddress > 0 || config.trustedProxies.length > 0,
      firstMessageSeconds: config.firstMessageSeconds,
      application,
      compression: config.compression,
    })
    this.#route(app)
  }

  /** How many sockets are open. */
  get size(): number {
    return this.#table.size
  }

  /** Sends what was published elsewhere to all who hear it here, and returns how many. */
  deliver(publication: Publication): number {
    return this.#publisher.deliver(publication)
  }

  /** Closes with 4403 all sockets whose authority was revoked, and returns how many. */
  closeRevoked(revocation: Revocation): number {
    return this.#table.closeRevoked(revocation)
  }

  /** Closes every socket whose session has ended at `nowSeconds`. */
  closeExpired(nowSeconds: number): void {
    this.#table.closeExpired(nowSeconds)
  }

  /** Closes all sockets in paced batches. Resolves when none is left, or at the deadline. */
  drain(deadlineMs: number): Promise<void> {
    return drainSockets(this.#table, deadlineMs)
  }

  /** Sends nothing more of what was published. */
  close(): void {
    this.#fanOut.close()
  }

  #route(app: TemplatedApp): void {
    const { config, server } = this.#parts
    const handshakes = this.#handshakes
    const messages = this.#messages
    app.ws<SocketData>(`${routes.channel}*`, {
      idleTimeout: idleTimeoutSeconds,
      maxPayloadLength: payloadLimit(config.maxMessageBytes),
      maxBackpressure: config.maxBackpressureBytes,
      closeOnBackpressureLimit: true,
      compression: compressors[config.compression],
      upgrade: server.handler(exchange => handshakes.upgrade(exchange), { method: 'get' }),
      open: ws => {
        this.#table.add(ws)
        messages.open(ws)
      },
      message: (ws, bytes, isBinary) => messages.message(ws, bytes, isBinary),
      ping: ws => messages.control(ws),
      pong: ws => messages.control(ws),
      dropped: ws => this.#dropped(ws),
      close: (ws, code, reason) => this.#closed(ws, code, reason),
    })
    app.any(
      `${routes.channel}*`,
      server.handler(exchange => handshakes.plain(exchange)),
    )
  }

  #dropped(ws: Socket): void {
    this.#parts.counters.messagesDropped++
    ws.getUserData().session.closeReason = 'slow_reader'
    // uWS stops reading and leaves it at that: what the kernel has of it still arrives, however
    // much it is.
    if (this.#slow.size === 0)
      setImmediate(() => {
        for (const each of this.#slow) each.close()
      })
    this.#slow.add(ws)
  }

  #closed(ws: Socket, code: number, bytes: ArrayBuffer): void {
    this.#slow.delete(ws)
    const session = ws.getUserData().session
    const reason = this.#decoder.decode(bytes)
    session.closeReason ??= code === droppedCode && tooBig.test(reason) ? 'message_too_big' : 'other'
    this.#table.delete(ws)
    this.#slots.release(session)
    increment(this.#parts.counters.connectionsClosed, session.closeReason)
    this.#application?.close(ws, code, reason)
  }
}
