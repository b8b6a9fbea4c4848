import { randomBytes } from 'node:crypto'
import type { Redis } from 'ioredis'
import { steadyClock, toSeconds } from '../clock.js'
import type { Log } from '../telemetry/log.js'
import type { BusState } from '../telemetry/metrics.js'
import { type Revocation, type Revocations, revocationKey } from '../token/revocation.js'
import type { NodeMessage, Publication, SealedRenewal, SocketDisconnection } from '../wire/relay.js'
import { connectRedis, type RedisConfig } from './client.js'
import { MessageGaps } from './message-gaps.js'
import { packetOf, packMessage, readPacket } from './packets.js'
import { explain, Reasons } from './reasons.js'
import { SharedRevocations } from './shared-revocations.js'

export interface BusOptions {
  readonly config: RedisConfig
  /** The revocations of this node. Every other node must learn of them, whenever it starts. */
  readonly revocations: Revocations
  /**
   * Carries out what other nodes have sent. Called from the first connection on, because Redis is
   * read as soon as there is one.
   */
  readonly receive: (messages: readonly NodeMessage[]) => void
  readonly log: Log
}

// How long the start waits until Redis has been read.
const catchUpMs = 2000

// Limit on what waits for Redis. Beyond it, messages are dropped and counted.
const maxPendingBytes = 8 * 1024 * 1024

// The messages of one turn of the event loop go out together, in packets small enough not to hold
// up others.
const maxPacketBytes = 64 * 1024
const maxPacketRevocations = 256

/**
 * Limit on revocations resent per second: a Redis that accepts none must not keep this process
 * busy.
 */
const maxResent = 16 * maxPacketRevocations

const pingMs = 1000
const silenceMs = 3000
const countEveryPings = 10
const shareEveryPings = 60
const retryShareEveryPings = 10

/**
 * Carries messages to the other nodes over Redis or Valkey pub/sub. Each message is packed and sent
 * once, however many nodes there are, together with the others of the same turn of the event loop:
 * a packet costs all sides far more than one message in it.
 *
 * While Redis is unreachable, publications are not kept: subscribers on other nodes miss them, and
 * both sides count that. Revocations are also kept in Redis and resent until Redis has taken them,
 * so they reach every node in the end.
 */
export class RedisBus implements BusState {
  readonly #options: BusOptions
  readonly #publisher: Redis
  readonly #subscriber: Redis
  readonly #own = randomBytes(12).toString('base64url')
  readonly #channel: string
  /** The channel of this node's own pings, to which only it subscribes. */
  readonly #pingChannel: string
  readonly #shared: SharedRevocations
  readonly #gaps = new MessageGaps()
  readonly #reasons = new Reasons()
  readonly #caughtUp: Promise<void>
  #settle = (): void => {}
  readonly #catchUpTimer: NodeJS.Timeout
  readonly #timer: NodeJS.Timeout
  #isUp = false
  #isClosed = false
  #heardMs = performance.now()
  #pings = 0

  #sent = 0
  #dropped = 0
  #pendingBytes = 0
  #outgoing: Buffer[] = []
  #outgoingBytes = 0

  /** Revocations that Redis did not take when they were sent. */
  readonly #unsent = new Map<string, Revocation>()
  #isShareDue = false
  #isSharing = false
  #hasShareFailed = false
  readonly #shareReasons = new Reasons()

  constructor(options: BusOptions) {
    this.#options = options
    const { config, revocations, receive } = options
    // Pub/sub ignores databases, and several deployments may share a server.
    this.#channel = `ticketgate:bus:${config.redisUrl?.database}`
    this.#pingChannel = `${this.#channel}:${this.#own}`
    this.#publisher = connectRedis(config, 'ticketgate-publish', { socketTimeoutMs: silenceMs })
    this.#subscriber = connectRedis(config, 'ticketgate-subscribe')
    this.#shared = new SharedRevocations({
      client: this.#publisher,
      own: revocations,
      learn: receive,
      onLacking: lacking => this.#sendRevocations(lacking),
    })
    this.#caughtUp = new Promise(resolve => {
      this.#settle = resolve
    })
    this.#catchUpTimer = setTimeout(() => this.#settle(), catchUpMs)
    this.#timer = setInterval(() => this.#tick(), pingMs)
    this.#timer.unref()
    this.#listen()
  }

  /** Whether messages reach the other nodes. */
  get isUp(): boolean {
    return this.#isUp
  }

  /** How many messages for the other nodes could not be sent. */
  get dropped(): number {
    return this.#dropped
  }

  /** How many messages of other nodes did not arrive here. */
  get lost(): number {
    return this.#gaps.lost
  }

  /**
   * Resolves once the revocations in Redis are known here, or if Redis cannot be read for now. A
   * gate that listened earlier would accept revoked tokens.
   */
  caughtUp(): Promise<void> {
    return this.#caughtUp
  }

  /**
   * Sends a message. The caller MUST pass memory that may be kept: see {@link Publication.data}.
   */
  send(message: Publication | Revocation | SocketDisconnection): void {
    if (message.type === 'publish') return this.#publish(message)
    // Not a publication, so it has no number. It is lost if the bus is down.
    if (message.type === 'disconnect') return void this.#post(0, [packMessage(message)]).catch(() => {})
    this.#sendRevocations([message])
    this.#shared.write(message).catch(() => this.#share())
  }

  /** Sends a renewal. Resolves to whether Redis has passed it to another node; it is not resent. */
  async forward(renewal: SealedRenewal): Promise<boolean> {
    if (!this.#isUp) return false
    // Not a publication, so it has no number. This node hears it as well.
    return this.#post(0, [packMessage(renewal)]).then(
      heard => heard > 1,
      () => false,
    )
  }

  close(): void {
    this.#isClosed = true
    clearTimeout(this.#catchUpTimer)
    this.#settle()
    clearInterval(this.#timer)
    this.#flush()
    this.#publisher.disconnect()
    this.#subscriber.disconnect()
  }

  #listen(): void {
    this.#publisher.on('ready', () => {
      this.#ping()
      this.#share()
    })
    this.#publisher.on('error', error => this.#explain(error))
    // An unreachable Redis does not hold up the start.
    this.#publisher.on('close', () => this.#settle())
    this.#subscriber.on('ready', () => {
      this.#heardMs = performance.now()
      this.#subscriber.subscribe(this.#channel, this.#pingChannel).then(
        () => this.#ping(),
        error => this.#explain(error),
      )
    })
    this.#subscriber.on('error', error => this.#explain(error))
    this.#subscriber.on('close', () => this.#setDown())
    this.#subscriber.on('messageBuffer', (channel: Buffer, bytes: Buffer) => {
      if (channel.toString() !== this.#pingChannel) return this.#hear(bytes)
      // This node's own pings take the same way as other messages, so they show that it is open.
      this.#heardMs = performance.now()
      this.#setUp()
    })
  }

  #setUp(): void {
    if (this.#isUp || this.#isClosed) return
    this.#isUp = true
    this.#reasons.clear()
    this.#options.log.info('Redis carries messages between the nodes')
    this.#share()
  }

  #setDown(error: unknown = new Error('the connection was lost')): void {
    if (!this.#isUp || this.#isClosed) return
    this.#isUp = false
    this.#explain(error)
  }

  /** Logs why messages do not reach the other nodes: each reason once per outage. */
  #explain(error: unknown): void {
    const why = explain(error)
    if (this.#isUp || this.#isClosed || !this.#reasons.isNew(why.reason)) return
    this.#options.log.error(
      why,
      'Redis is unusable as a bus: messages reach the subscribers of this node only',
    )
  }

  #publish(message: Publication): void {
    this.#sent++
    if (this.#outgoing.length === 0) setImmediate(() => this.#flush())
    const packed = packMessage(message)
    this.#outgoing.push(packed)
    this.#outgoingBytes += packed.length
    if (this.#outgoingBytes >= maxPacketBytes) this.#flush()
  }

  #flush(): void {
    const messages = this.#outgoing
    if (messages.length > 0)
      this.#post(this.#sent, messages).catch(() => {
        this.#dropped += messages.length
      })
    this.#outgoing = []
    this.#outgoingBytes = 0
  }

  /**
   * Sends a packet. Resolves to the number of nodes that hear it; rejects unless Redis is known to
   * have taken it.
   */
  async #post(sent: number, messages: readonly Buffer[]): Promise<number> {
    const bytes = packetOf(this.#own, sent, messages)
    if (this.#pendingBytes + bytes.length > maxPendingBytes) throw new Error('too much waits for Redis')
    this.#pendingBytes += bytes.length
    try {
      return await this.#publisher.publish(this.#channel, bytes)
    } finally {
      this.#pendingBytes -= bytes.length
    }
  }

  /** Sends revocations to the other nodes. Those that Redis does not take are resent later. */
  #sendRevocations(revocations: readonly Revocation[]): void {
    for (let at = 0; at < revocations.length; at += maxPacketRevocations) {
      const some = revocations.slice(at, at + maxPacketRevocations)
      this.#post(0, some.map(packMessage)).catch(() => {
        for (const revocation of some) this.#unsent.set(revocationKey(revocation), revocation)
      })
    }
  }

  #resend(): void {
    if (this.#unsent.size === 0 || this.#publisher.status !== 'ready') return
    const again: Revocation[] = []
    for (const [key, revocation] of this.#unsent) {
      if (again.length === maxResent) break
      this.#unsent.delete(key)
      again.push(revocation)
    }
    this.#sendRevocations(again)
  }

  /**
   * Synchronises the revocations here and in Redis: now, or once Redis is connected. Retries on
   * failure.
   */
  async #share(): Promise<void> {
    this.#isShareDue = true
    if (this.#isSharing || this.#publisher.status !== 'ready') return
    this.#isSharing = true
    try {
      while (this.#isShareDue) {
        this.#isShareDue = false
        // Reads first: a full Redis, or a replica, can still be read.
        const differences = await this.#shared.read(toSeconds(steadyClock()))
        this.#settle()
        await this.#shared.complete(differences)
      }
      this.#hasShareFailed = false
      this.#shareReasons.clear()
    } catch (error) {
      const why = explain(error)
      if (!this.#isClosed && this.#shareReasons.isNew(why.reason))
        this.#options.log.warn(why, 'revocations could not be shared through Redis')
      this.#hasShareFailed = true
      this.#settle()
    }
    this.#isSharing = false
  }

  #hear(bytes: Buffer): void {
    const packet = readPacket(bytes)
    if (packet === undefined) return this.#options.log.warn('received a malformed packet from the bus')
    const { from, sent, messages } = packet
    if (from === this.#own) return
    if (sent >= messages.length) this.#gaps.hear(from, sent, messages.length, performance.now())
    if (messages.length > 0) this.#options.receive(messages)
  }

  #ping(): void {
    if (this.#publisher.status !== 'ready') return
    this.#publisher.publish(this.#pingChannel, '').catch(error => this.#explain(error))
  }

  #tick(): void {
    const nowMs = performance.now()
    if (nowMs - this.#heardMs > silenceMs) {
      const error = new Error(`no answer for ${silenceMs / 1000} s`)
      if (this.#isUp) this.#setDown(error)
      else if (this.#subscriber.status === 'ready') this.#explain(error)
      this.#heardMs = nowMs
      // While it connects, it retries by itself, and with sentinels this would end that for good.
      if (['connect', 'ready'].includes(this.#subscriber.status)) this.#subscriber.disconnect(true)
    }
    this.#ping()
    this.#resend()
    this.#pings++
    if (this.#pings % (this.#hasShareFailed ? retryShareEveryPings : shareEveryPings) === 0) this.#share()
    if (this.#pings % countEveryPings !== 0) return
    // Tells the other nodes how many there were, so that they notice if they missed the last ones.
    this.#flush()
    this.#post(this.#sent, []).catch(() => {})
    this.#gaps.forgetSilent(nowMs)
  }
}
