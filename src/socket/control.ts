import type { BackEndIssuer } from '../admission/back-end-issuer.js'
import type { TicketSpec } from '../admission/ticket-spec.js'
import { type Clock, toSeconds } from '../clock.js'
import { nodesAheadSeconds } from '../config/node-clocks.js'
import type { Config } from '../config/schema.js'
import { longestOutsideMs } from '../disk/gate-keys.js'
import type { RevocationFile } from '../disk/revocation-file.js'
import { Refusal } from '../errors.js'
import { channelNameForm, isChannelName, isSessionId, isUserName, type TicketReply } from '../protocol.js'
import { json } from '../wire/json.js'
import type { Publication, RelayMessage, Revocation } from '../wire/relay.js'

/** Whose sockets and tokens end: those of a user, or of one login session. */
export type Subject = { readonly user: string } | { readonly session: string }

export interface ControlParts {
  readonly config: Config
  readonly file: RevocationFile
  /** Carries messages out in every thread of this gate; returns how many sockets they reached. */
  readonly deliver: (messages: readonly RelayMessage[]) => Promise<number>
  /** Sends messages to the other nodes, if there are any. */
  readonly send: (message: RelayMessage) => void
  readonly clock: Clock
}

/**
 * What the server itself does on its channels and to its sockets: for the admin API, embedding
 * applications, and the other nodes.
 */
export class Control {
  readonly #file: RevocationFile
  readonly #deliver: ControlParts['deliver']
  readonly #send: ControlParts['send']
  readonly #clock: Clock
  #published = 0
  /** How far a revocation reaches into the future, for tokens of nodes whose clocks are ahead. */
  readonly #reachSeconds: number
  readonly #keepSeconds: number

  constructor({ config, file, deliver, send, clock }: ControlParts) {
    this.#file = file
    this.#deliver = deliver
    this.#send = send
    this.#clock = clock
    this.#reachSeconds = reachSeconds(config)
    this.#keepSeconds = keepSeconds(config)
  }

  /** How many publications there were so far. */
  get published(): number {
    return this.#published
  }

  /** Sends publications to all subscribers, on this node and the others; returns how many copies here. */
  publish(publications: readonly Publication[]): Promise<number> {
    this.#published += publications.length
    for (const publication of publications) this.#send(publication)
    return this.#deliver(publications)
  }

  /**
   * Closes all sockets of `subject` with 4403 and revokes its tokens; returns how many sockets.
   * Resolves when that holds in every thread, and over a restart.
   * @throws Refusal `revocations_full`
   */
  async disconnect(subject: Subject): Promise<number> {
    const nowSeconds = toSeconds(this.#clock())
    const revocation: Revocation = {
      type: 'revoke',
      ...('user' in subject
        ? { subject: 'user', name: subject.user }
        : { subject: 'session', name: subject.session }),
      atSeconds: nowSeconds + this.#reachSeconds,
      untilSeconds: nowSeconds + this.#keepSeconds,
    }
    if (this.#file.revocations.add(revocation, nowSeconds) === 'full')
      throw new Refusal('revocations_full', {
        detail: 'So many revocations are kept that there is no room for one more. Nothing was done.',
      })
    this.#send(revocation)
    const disconnected = await this.#deliver([revocation])
    await this.#file.write(revocation)
    return disconnected
  }

  /** Carries out what other nodes have published or revoked. Good from the first moment of a start. */
  receive(messages: readonly RelayMessage[]): void {
    // First: what carries a revocation out keeps it as well, and it would be no news any more.
    for (const message of messages) if (message.type === 'revoke') this.#file.learn(message)
    void this.#deliver(messages)
  }
}

/**
 * Another node dates its tokens by its own clock, which may be ahead: by this much everything that was
 * issued until now is covered. Tokens of an identity provider are taken as issued that much earlier
 * when they are verified.
 */
const reachSeconds = (config: Config): number => (config.login === 'off' ? 0 : nodesAheadSeconds(config))

/**
 * How long a revocation is kept: a token may be as old as allowed, and a ticket that names none as old
 * as a ticket can be. The clock of an identity provider may be ahead when it issues, and its tokens
 * are accepted until it may be behind. A node whose clock is ahead removes from Redis what is over,
 * and a new one that is behind must not miss it.
 */
function keepSeconds(config: Config): number {
  const { clockSkewSeconds, issuers } = config
  const longestSeconds = Math.max(
    config.tokenMaxTtlSeconds + 2 * clockSkewSeconds,
    ...issuers.map(({ maxTtlSeconds, skewSeconds }) => maxTtlSeconds + 2 * skewSeconds),
    Math.ceil((longestOutsideMs(config) ?? 0) / 1000),
    config.ticketTtlSeconds,
  )
  return reachSeconds(config) + longestSeconds + (config.redisUrl !== undefined ? clockSkewSeconds : 0)
}

/** What an embedding application may do to a running gate. */
export interface ServerApi {
  /**
   * Publishes to all subscribers of a channel, without a user; returns how many those are.
   * @throws TypeError for a channel that that cannot exist, or data that JSON cannot express
   */
  publish(channel: string, data: unknown): Promise<number>
  /**
   * Closes all sockets of a user or session with 4403, and revokes their tokens; returns how many sockets.
   * @throws TypeError for a user or session that cannot exist
   */
  disconnect(subject: Subject): Promise<number>
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
  async disconnect(subject) {
    if ('user' in subject ? !isUserName(subject.user) : !isSessionId(subject.session))
      throw new TypeError('subject must be {user} or {session}, the name of one')
    return control.disconnect(subject)
  },
  async issueTicket(spec) {
    const issued = await tickets.issue([{ ...spec }])
    if ('fault' in issued) throw new TypeError(issued.fault)
    // One order, one ticket.
    return issued[0] as TicketReply
  },
})
