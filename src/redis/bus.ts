import { randomBytes } from 'node:crypto'
import type { Redis } from 'ioredis'
import { type Clock, toSeconds } from '../clock.js'
import type { Log } from '../telemetry/log.js'
import type { BusState } from '../telemetry/metrics.js'
import { type Revocation, type Revocations, revocationKey } from '../token/revocation.js'
import type { NodeMessage, Publication } from '../wire/relay.js'
import { connectRedis, type RedisConfig } from './client.js'
import { MessageGaps } from './message-gaps.js'
import { packetOf, packMessage, readPacket } from './packets.js'
import { explain, Reasons } from './reasons.js'
import { SharedRevocations } from './shared-revocations.js'

export interface BusOptions {
  readonly config: RedisConfig
  /** Those of this node: other nodes have to know them, whenever they start. */
  readonly revocations: Revocations
  /**
   * Carries out what other nodes have sent. Called from the first connection on: what Redis keeps is read as soon as there
   * is one.
   */
  readonly receive: (messages: readonly NodeMessage[]) => void
  readonly log: Log
  readonly clock: Clock
}

// How long a start waits for Redis to be read.
const catchUpMs = 2000

// What may wait for Redis: beyond it messages are dropped, and counted.
const maxPendingBytes = 8 * 1024 * 1024

// Messages of one turn of the event loop go out together, but not in packets that hold others up.
const maxPacketBytes = 64 * 1024
const maxPacketRevocations = 256

/** Revocations that are sent again in one second: a Redis that takes none must not keep us busy. */
const maxResent = 16 * maxPacketRevocations

const pingMs = 1000
const silenceMs = 3000
const countEveryPings = 10
const shareEveryPings = 60
const retryShareEveryPings = 10

/**
 * Carries messages to the other nodes, over Redis or Valkey pub/sub. Every message goes out once, packed once, whatever
 * the number of nodes, together with the others of the same turn of the event loop: a packet costs us, Redis and every
 * node far more than a message in it. While Redis is unreachable nothing is kept for later: subscribers of other nodes
 * miss what is published, which both sides count. Revocations are different: they are kept in Redis as well, and sent
 * until Redis has taken them, so they reach every node in the end.
 */
export class RedisBus implements BusState {
  readonly #options: BusOptions
  readonly #publisher: Redis
  readonly #subscriber: Redis
  readonly #own = randomBytes(12).toString('base64url')
  readonly #channel: string
  /** What only this node subscribes to: its own pings. */
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

  /** Revocations that Redis has not taken when they were sent. */
  readonly #unsent = new Map<string, Revocation>()
  #isShareDue = false
  #isSharing = false
  #hasShareFailed = false
  readonly #shareReasons = new Reasons()

  constructor(options: BusOptions) {
    this.#options = options
    const { config, revocations, receive } = options
    // Pub/sub knows no databases, and several deployments may share a server.
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

  /** Messages for the other nodes that could not be sent. */
  get dropped(): number {
    return this.#dropped
  }

  /** Messages of other nodes that did not arrive here. */
  get lost(): number {
    return this.#gaps.lost
  }

  /**
   * Resolves once the revocations that Redis keeps are known here, or cannot be read for now: a gate that listens before
   * would accept revoked tokens.
   */
  caughtUp(): Promise<void> {
    return this.#caughtUp
  }

  /** MUST be given what it may keep: see {@link Publication.data}. */
  send(message: NodeMessage): void {
    if (message.type === 'publish') return this.#publish(message)
    // It has no number, since it is no publication, and it is lost where there is no way.
    if (message.type === 'disconnect') return void this.#post(0, [packMessage(message)]).catch(() => {})
    this.#sendRevocations([message])
    this.#shared.write(message).catch(() => this.#share())
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
    // One that is unreachable now does not hold up the start.
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
      // A ping of ours takes the same way as all else, so it shows that the way is open.
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

  /** Logs why messages do not reach the other nodes: the first reason of an outage, and every other one. */
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

  /** Sends a packet. Rejects when Redis has not taken it, as far as we know. */
  async #post(sent: number, messages: readonly Buffer[]): Promise<void> {
    const bytes = packetOf(this.#own, sent, messages)
    if (this.#pendingBytes + bytes.length > maxPendingBytes) throw new Error('too much waits for Redis')
    this.#pendingBytes += bytes.length
    try {
      await this.#publisher.publish(this.#channel, bytes)
    } finally {
      this.#pendingBytes -= bytes.length
    }
  }

  /** Sends revocations to the other nodes; what Redis does not take is sent again by and by. */
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

  /** Brings the revocations here and in Redis together: at once, or when there is a way, and again if it fails. */
  async #share(): Promise<void> {
    this.#isShareDue = true
    if (this.#isSharing || this.#publisher.status !== 'ready') return
    this.#isSharing = true
    try {
      while (this.#isShareDue) {
        this.#isShareDue = false
        // First: a Redis that is full, or a replica, can still be read.
        const differences = await this.#shared.read(toSeconds(this.#options.clock()))
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
    if (packet === undefined) return this.#options.log.warn('what came over the bus is no message')
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
      this.#subscriber.disconnect(true)
    }
    this.#ping()
    this.#resend()
    this.#pings++
    if (this.#pings % (this.#hasShareFailed ? retryShareEveryPings : shareEveryPings) === 0) this.#share()
    if (this.#pings % countEveryPings !== 0) return
    // Says how many there were, so that a node which missed the last of them learns of it.
    this.#flush()
    this.#post(this.#sent, []).catch(() => {})
    this.#gaps.forgetSilent(nowMs)
  }
}
