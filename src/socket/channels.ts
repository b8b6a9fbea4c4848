// socket/: a WebSocket from its handshake to its end. It decides nothing about tickets: admission
// does.

import type { TicketAdmission } from '../admission/ticket-admission.js'
import type { TokenCheck } from '../admission/token-check.js'
import { type Clock, toSeconds } from '../clock.js'
import type { Config } from '../config/schema.js'
import { routes } from '../protocol.js'
import type { Log } from '../telemetry/log.js'
import type { Counters } from '../telemetry/metrics.js'
import type { Revocation, Revocations } from '../token/revocation.js'
import type { Publication, Relay } from '../wire/relay.js'
import { Application, type GateHandlers } from './application.js'
import { channelEntry } from './channel-entry.js'
import { type ChannelPage, type ChannelQuery, listChannels } from './channel-list.js'
import { ChannelRights } from './channel-rights.js'
import { ChannelTopics, shardCapacity } from './channel-topics.js'
import { ConnectionList, type ConnectionPage, type ConnectionQuery } from './connection-list.js'
import { FanOut } from './fan-out.js'
import { FirstMessageAuth } from './first-message.js'
import { MessageLimits } from './message-limits.js'
import { MessageHandler } from './messages.js'
import { Publisher } from './publisher.js'
import { SessionRenewal } from './renewal.js'
import { type Reach, SocketRevoker } from './revoking.js'
import type { Sockets } from './sockets.js'

export interface ChannelParts {
  readonly config: Config
  readonly sockets: Sockets
  readonly admission: TicketAdmission
  readonly tokens: TokenCheck
  readonly revocations: Pick<Revocations, 'onChannel' | 'keepFor' | 'add'>
  /** Of the application in which the gate runs. */
  readonly handlers: GateHandlers<unknown> | undefined
  /** Where messages go besides the sockets of this thread. */
  readonly relay: Relay
  readonly isDraining: () => boolean
  readonly counters: Counters
  readonly log: Log
  readonly clock: Clock
}

/** `/channel/NAME`: the messages on its sockets. */
export class Channels {
  /** The embedding application, if it has handlers. */
  readonly application: Application | undefined
  readonly #fanOut: FanOut
  readonly #publisher: Publisher
  readonly #revoker: SocketRevoker
  readonly #connections: ConnectionList
  readonly #sockets: Sockets
  readonly #clock: Clock

  /** Adds the route to the sockets. */
  constructor(parts: ChannelParts) {
    const { config, admission, sockets, handlers, relay, isDraining, counters, log, clock } = parts
    const { table, slots, events } = sockets
    const compresses = config.compression !== 'off'
    const capacity = compresses ? shardCapacity.compressed : shardCapacity.plain
    const topics = new ChannelTopics(sockets.portApps, capacity)
    const rights = new ChannelRights(parts.revocations, topics)
    this.#clock = clock
    this.#sockets = sockets
    this.#connections = new ConnectionList({ table, topics, ids: sockets.ids, node: config.node })
    this.#revoker = new SocketRevoker({
      table,
      topics,
      events,
      ids: sockets.ids,
      revocations: parts.revocations,
    })
    this.#fanOut = new FanOut({
      topics,
      compresses,
      maxMessageBytes: config.maxMessageBytes,
      counters,
      // From another version, or anybody else with write access to Redis. The message of the error
      // would quote it.
      onMalformed: error =>
        log.warn({ reason: error instanceof Error ? error.name : 'unknown' }, 'a publication is malformed'),
    })
    const publisher = new Publisher({ fanOut: this.#fanOut, relay, counters, log })
    const application = handlers && new Application({ handlers, publisher, log })
    this.#publisher = publisher
    this.application = application
    const { maxMessageBytes, maxBackpressureBytes, firstMessageSeconds } = config
    const messages = new MessageHandler({
      limits: new MessageLimits({ rate: sockets.messageRate, maxMessageBytes, counters, clock }),
      topics,
      rights,
      events,
      publisher,
      renewal: new SessionRenewal({ admission, table, topics, rights, events, application, clock, log }),
      firstMessage: new FirstMessageAuth({ check: parts.tokens, slots, table, application, isDraining }),
      application,
      log,
    })
    sockets.route({
      path: `${routes.channel}*`,
      entry: channelEntry,
      conversation: messages,
      application,
      maxMessageBytes,
      maxBackpressureBytes,
      firstMessageSeconds,
    })
  }

  /**
   * Delivers a publication from elsewhere to its subscribers here, and returns how many there are.
   */
  deliver(publication: Publication): number {
    return this.#publisher.deliver(publication)
  }

  /** Carries a revocation out on the affected sockets. */
  revoke(revocation: Revocation): Reach {
    return this.#revoker.carryOut(revocation, toSeconds(this.#clock()))
  }

  /** A page of the sockets of this thread. */
  connections(query: ConnectionQuery): Promise<ConnectionPage> {
    return this.#connections.page(query)
  }

  /** A page of the channels to which sockets of this thread are subscribed. */
  channels(query: ChannelQuery): Promise<ChannelPage> {
    return listChannels(this.#sockets.table, query)
  }

  /** Drops all waiting publications. */
  close(): void {
    this.#fanOut.close()
  }
}
