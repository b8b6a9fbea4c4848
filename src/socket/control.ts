import type { BackEndIssuer } from '../admission/back-end-issuer.js'
import type { TicketSpec } from '../admission/ticket-spec.js'
import { type Clock, toSeconds } from '../clock.js'
import { nodesAheadSeconds } from '../config/node-clocks.js'
import type { Config } from '../config/schema.js'
import type { RevocationFile } from '../disk/revocation-file.js'
import { keepSeconds } from '../disk/revocation-life.js'
import { Refusal } from '../errors.js'
import { channelNameForm, isChannelName, type TicketReply } from '../protocol.js'
import type { RenewalSeal } from '../redis/renewal-seal.js'
import type { EventSink } from '../telemetry/events.js'
import type { Log } from '../telemetry/log.js'
import type { LogoutOrder } from '../token/logout-token.js'
import { keptFor } from '../token/revocation.js'
import { json } from '../wire/json.js'
import type {
  NodeMessage,
  Publication,
  RelayMessage,
  Revocation,
  SealedRenewal,
  SessionRenewed,
  SocketDisconnection,
} from '../wire/relay.js'
import {
  type Disconnection,
  type DisconnectOptions,
  disconnectionMembers,
  readDisconnection,
  type Subject,
} from './disconnection.js'
import { noReach, type Reach } from './revoking.js'
import type { SocketOwner } from './sockets.js'

/** All threads of this gate. */
export interface ControlledSockets {
  /** Carries messages out; returns how many sockets they reached. */
  deliver(messages: readonly RelayMessage[]): Promise<number>
  revoke(revocation: Revocation): Promise<Reach>
  ownerOf(socket: string): Promise<SocketOwner | undefined>
}

export interface ControlParts {
  readonly config: Config
  readonly file: RevocationFile
  readonly engine: ControlledSockets
  /** Sends messages to the other nodes, if there are any. */
  readonly send: (message: Publication | Revocation | SocketDisconnection) => void
  /** Sends a renewal to the other nodes; resolves to whether it is on its way. */
  readonly forward: (renewal: SealedRenewal) => Promise<boolean>
  readonly seal: RenewalSeal
  readonly events: EventSink
  readonly clock: Clock
  readonly log: Log
}

/** Whose tokens are revoked, and which sockets end. */
type Target = Pick<Revocation, 'subject' | 'name' | 'channel' | 'socket'>

/** How sockets end. */
type Ending = Pick<Revocation, 'renewBySeconds' | 'reason'>

/**
 * What the server itself does to its channels and sockets, for the admin API, embedding
 * applications, and other nodes.
 */
export class Control {
  readonly #file: RevocationFile
  readonly #engine: ControlledSockets
  readonly #send: ControlParts['send']
  readonly #forward: ControlParts['forward']
  readonly #seal: RenewalSeal
  readonly #clock: Clock
  readonly #log: Log
  readonly #events: EventSink
  #published = 0
  /**
   * How far a revocation reaches into the future: nodes whose clocks are ahead date their tokens
   * and the tickets of the back end by them.
   */
  readonly #reachSeconds: number
  readonly #keepSeconds: number

  constructor({ config, file, engine, send, forward, seal, events, clock, log }: ControlParts) {
    this.#file = file
    this.#engine = engine
    this.#send = send
    this.#forward = forward
    this.#seal = seal
    this.#clock = clock
    this.#log = log
    this.#events = events
    this.#reachSeconds = nodesAheadSeconds(config)
    this.#keepSeconds = keepSeconds(config)
  }

  /** How many publications there have been. */
  get published(): number {
    return this.#published
  }

  /**
   * Publishes to all subscribers, on this node and the others; returns the number of deliveries
   * here.
   */
  publish(publications: readonly Publication[]): Promise<number> {
    this.#published += publications.length
    for (const publication of publications) this.#send(publication)
    return this.#engine.deliver(publications)
  }

  /**
   * Revokes what was issued before, and ends the sockets that were opened with it. Resolves once
   * the revocation is in force in every thread and survives a restart.
   * @throws Refusal `revocations_full`
   */
  async disconnect(disconnection: Disconnection): Promise<Reach> {
    const { reason, reauthenticateWithinSeconds: withinSeconds } = disconnection
    const nowSeconds = toSeconds(this.#clock())
    const ending: Ending = {
      ...(reason === undefined ? {} : { reason }),
      ...(withinSeconds === undefined ? {} : { renewBySeconds: nowSeconds + withinSeconds }),
    }
    if (!('socket' in disconnection)) return this.#revoke(targetOf(disconnection), ending)
    const { socket } = disconnection
    const reach = await this.#disconnectSocket(socket, ending)
    if (reach === undefined) this.#send({ type: 'disconnect', socket, ...ending })
    return reach ?? noReach
  }

  /**
   * The same for a user who has logged out elsewhere.
   * @param givenUntilSeconds the time of the logout: later tokens are not affected, Unix seconds
   * @throws Refusal `revocations_full`
   */
  logOut(subject: LogoutOrder['subject'], givenUntilSeconds: number): Promise<Reach> {
    return this.#revoke(targetOf(subject), {}, givenUntilSeconds)
  }

  /** Extends sockets in tunnels, here and on the other nodes. */
  async renew(renewed: SessionRenewed): Promise<{ readonly extended: number; readonly forwarded: boolean }> {
    const sealed = this.#seal.seal(renewed, toSeconds(this.#clock()))
    const [extended, forwarded] = await Promise.all([
      this.#engine.deliver([renewed]),
      sealed === undefined ? false : this.#forward(sealed),
    ])
    return { extended, forwarded }
  }

  /** Carries out messages of other nodes. Works from the very start. */
  receive(messages: readonly NodeMessage[]): void {
    const others: RelayMessage[] = []
    for (const received of messages) {
      // Tokens may live longer here than on the node that it is from.
      const message = received.type === 'revoke' ? keptFor(received, this.#keepSeconds) : received
      if (message.type === 'disconnect') this.#disconnectForOthers(message)
      else if (message.type === 'renew') others.push(...this.#opened(message))
      else others.push(message)
      // First, because carrying a revocation out also stores it, so it would no longer be news.
      if (message.type === 'revoke' && this.#file.learn(message)) this.#tell(message)
    }
    this.#engine
      .deliver(others)
      .catch(error => this.#log.error({ err: error }, 'messages of another node could not be carried out'))
  }

  #opened(renewal: SealedRenewal): readonly SessionRenewed[] {
    const renewed = this.#seal.open(renewal, toSeconds(this.#clock()))
    if (renewed === undefined)
      this.#log.warn('a renewal of another node is late, or its MAC is not by a shared key')
    return renewed === undefined ? [] : [renewed]
  }

  async #revoke(target: Target, ending: Ending, givenUntilSeconds?: number): Promise<Reach> {
    const nowSeconds = toSeconds(this.#clock())
    const atSeconds = (givenUntilSeconds ?? nowSeconds) + this.#reachSeconds
    const revocation: Revocation = {
      type: 'revoke',
      ...target,
      ...ending,
      atSeconds,
      untilSeconds: Math.max(atSeconds + this.#keepSeconds, ending.renewBySeconds ?? 0),
    }
    if (this.#file.revocations.add(revocation, nowSeconds) === 'full')
      throw new Refusal('revocations_full', {
        detail: 'The limit on revocations is reached. Nothing was done.',
      })
    this.#send(revocation)
    this.#tell(revocation)
    const reach = await this.#engine.revoke(revocation)
    await this.#file.write(revocation)
    const { subject, name, channel, socket } = target
    this.#log.info({ subject, name, channel, socket, reason: ending.reason, ...reach }, 'revoked')
    return reach
  }

  #tell(revocation: Revocation): void {
    if (this.#events.isOn) this.#events.tell('revoked', revokedFields(revocation))
  }

  /**
   * Undefined if there is no such socket here. Only that socket ends, but earlier tokens open no
   * other.
   */
  async #disconnectSocket(socket: string, ending: Ending): Promise<Reach | undefined> {
    const owner = await this.#engine.ownerOf(socket)
    if (owner === undefined) return undefined
    const { user, session } = owner
    return session === undefined
      ? this.#revoke({ subject: 'user', name: user, socket }, ending)
      : this.#revoke({ subject: 'session', name: session, socket }, ending)
  }

  #disconnectForOthers({ socket, type, ...ending }: SocketDisconnection): void {
    this.#disconnectSocket(socket, ending).catch(error =>
      this.#log.error({ err: error }, 'a socket could not be disconnected for another node'),
    )
  }
}

/** What a disconnection revokes, except for that of a socket, whose owner is not known yet. */
function targetOf(subject: Exclude<Subject, { socket: string }>): Target {
  if ('user' in subject)
    return 'channel' in subject
      ? { subject: 'user_channel', name: subject.user, channel: subject.channel }
      : { subject: 'user', name: subject.user }
  if ('session' in subject) return { subject: 'session', name: subject.session }
  if ('channel' in subject) return { subject: 'channel', name: subject.channel }
  return { subject: 'all', name: '' }
}

/** A revocation in the terms of a disconnection. */
function revokedFields({ subject, name, channel, socket, renewBySeconds, reason }: Revocation) {
  return {
    ...(subject === 'all' ? { all: true as const } : {}),
    ...(subject === 'session' ? { session: name } : {}),
    ...(subject === 'user' || subject === 'user_channel' ? { user: name } : {}),
    ...(subject === 'channel' ? { channel: name } : channel === undefined ? {} : { channel }),
    ...(socket === undefined ? {} : { socket }),
    ...(renewBySeconds === undefined ? {} : { renewBy: renewBySeconds }),
    ...(reason === undefined ? {} : { reason }),
  }
}

/** What an embedding application can do with a running gate. */
export interface ServerApi {
  /**
   * Publishes to all subscribers of a channel, without a user; returns how many those are.
   * @throws TypeError for a channel that that cannot exist, or data that JSON cannot express
   */
  publish(channel: string, data: unknown): Promise<number>
  /**
   * Ends the sockets of a user, a session, a channel or everybody, or one socket, or takes a
   * channel from a user; and revokes the tokens of before. Returns how many sockets that concerns
   * here.
   * @throws TypeError that names the member that is missing, unknown or wrong
   * @throws Refusal `revocations_full`
   */
  disconnect(disconnection: Subject & DisconnectOptions): Promise<number>
  /**
   * Issues a ticket for a user whom the application knows, signed as the gate's own.
   * @throws TypeError that names the member that is missing, unknown or wrong
   * @throws Refusal `draining`, `replay_cache_unavailable`, or `login_busy` for a user who was
   *   disconnected just now
   */
  issueTicket(spec: TicketSpec): Promise<TicketReply>
}

export const serverApi = (control: Control, tickets: BackEndIssuer): ServerApi => ({
  async publish(channel, data) {
    if (!isChannelName(channel)) throw new TypeError(`channel must be ${channelNameForm}`)
    return control.publish([{ type: 'publish', channel, encoding: 'json', data: json.pack(data) }])
  },
  async disconnect(members) {
    const known: readonly string[] = disconnectionMembers
    const unknown = Object.keys(members).find(name => !known.includes(name))
    if (unknown !== undefined) throw new TypeError(`Unknown member ${unknown}.`)
    const disconnection = readDisconnection({ ...members })
    if (typeof disconnection === 'string') throw new TypeError(disconnection)
    const { disconnected, unsubscribed, renewRequired } = await control.disconnect(disconnection)
    return disconnected + unsubscribed + renewRequired
  },
  async issueTicket(spec) {
    const issued = await tickets.issue([{ ...spec }])
    if ('fault' in issued) throw new TypeError(issued.fault)
    // One order, one ticket.
    return issued[0] as TicketReply
  },
})
