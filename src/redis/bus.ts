import { randomBytes } from 'node:crypto'
import { Packr } from 'msgpackr'
import { type Clock, toSeconds } from '../clock.js'
import { isChannelName, isUserName } from '../protocol.js'
import type { Log } from '../telemetry/log.js'
import type { BusState } from '../telemetry/metrics.js'
import { isRevocation } from '../token/revocation.js'
import type { Publication, RelayMessage, Revocation } from '../wire/relay.js'
import { connectRedis } from './client.js'
import { compareRevocations, fieldOf, keepRevocations } from './revocations.js'

/** Carries messages to the other nodes, over Redis or Valkey pub/sub. */
export interface Bus extends BusState {
  /** MUST be given what it may keep: see {@link Publication.data}. */
  send(message: RelayMessage): void
  /**
   * Resolves once the revocations that Redis keeps are known here, or cannot be read for now: a gate
   * that listens before that would accept revoked tokens.
   */
  caughtUp(): Promise<void>
  close(): void
}

export interface BusOptions {
  readonly url: string
  /** The revocations of this node that still count: others have to know them, whenever they come. */
  readonly revocations: () => readonly Revocation[]
  /**
   * Carries out what other nodes have sent. An argument, since nothing that arrives may be dropped for
   * want of a receiver: what Redis keeps is read once, as soon as there is a connection.
   */
  readonly receive: (messages: readonly RelayMessage[]) => void
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

const pingMs = 1000
const silenceMs = 3000
const countEveryPings = 10
const shareEveryPings = 60
const retryShareEveryPings = 10
const forgetNodeMs = 60_000

const packr = new Packr({ useRecords: false })

/**
 * `[node, number of messages it has sent, the last of them]`; without a message it only says how many there were.
 * Revocations have no numbers, the number is 0 then: one that does not arrive is said again, so none counts as lost.
 */
type Packet = readonly [from: string, sent: number, ...messages: RelayMessage[]]

/**
 * Opens the bus. Every message goes out once, packed once, whatever the number of nodes, together with the others of the
 * same turn of the event loop: a packet costs us, Redis and every node far more than a message in it. While Redis is away
 * nothing is kept for later: subscribers of other nodes miss what is said, which both sides count. Revocations are no
 * such messages: they are kept in Redis as well, and said until Redis has taken them, so they reach every node in the end.
 */
export function openRedisBus({ url, revocations, receive, log, clock }: BusOptions): Bus {
  const own = randomBytes(12).toString('base64url')
  // Pub/sub knows no databases, and several deployments may share a server.
  const shared = `ticketgate:bus:${new URL(url).pathname.slice(1) || '0'}`
  const mirror = `${shared}:${own}`
  const publisher = connectRedis(url, 'ticketgate-publish', silenceMs)
  const subscriber = connectRedis(url, 'ticketgate-subscribe')

  let settle = (): void => {}
  const caughtUp = new Promise<void>(resolve => {
    settle = resolve
  })
  const patience = setTimeout(settle, catchUpMs)

  // Unknown at first, so that one that never comes up is in the log as well.
  let isUp: boolean | undefined
  let reason: string | undefined
  let closed = false
  let heardMs = performance.now()
  let pendingBytes = 0
  let pings = 0
  let sent = 0
  let dropped = 0
  let lost = 0
  const nodes = new Map<string, { sent: number; heardMs: number }>()
  /** Packed, for the memory that they came in is not ours. */
  let outgoing: Buffer[] = []
  let outgoingBytes = 0
  /** Revocations that Redis has not taken when they were said. */
  const unsaid = new Map<string, Revocation>()
  let isShareAsked = false
  let isSharing = false
  let hasShareFailed = false

  function setUp(next: boolean): void {
    if (next === isUp || closed) return
    isUp = next
    if (next) {
      log.info('Redis carries messages between the nodes')
      share()
    } else log.error({ reason }, 'Redis is away: messages reach the subscribers of this node only')
  }

  function send(message: Publication): void {
    sent++
    if (outgoing.length === 0) setImmediate(flush)
    const packed = packr.pack(message)
    outgoing.push(packed)
    outgoingBytes += packed.length
    if (outgoingBytes >= maxPacketBytes) flush()
  }

  function flush(): void {
    const messages = outgoing
    if (messages.length > 0)
      post(sent, messages).catch(() => {
        dropped += messages.length
      })
    outgoing = []
    outgoingBytes = 0
  }

  /** Sends a packet. Rejects when Redis has not taken it, as far as we know. */
  async function post(count: number, messages: readonly Buffer[]): Promise<void> {
    const bytes = Buffer.concat([
      arrayHead(2 + messages.length),
      packr.pack(own),
      packr.pack(count),
      ...messages,
    ])
    if (pendingBytes + bytes.length > maxPendingBytes) throw new Error('too much waits for Redis')
    pendingBytes += bytes.length
    try {
      await publisher.publish(shared, bytes)
    } finally {
      pendingBytes -= bytes.length
    }
  }

  /** Says revocations to the other nodes; those that Redis has not taken, with the next ping again. */
  function tell(revocations: readonly Revocation[]): void {
    for (let at = 0; at < revocations.length; at += maxPacketRevocations) {
      const some = revocations.slice(at, at + maxPacketRevocations)
      post(
        0,
        some.map(revocation => packr.pack(revocation)),
      ).catch(() => {
        for (const revocation of some) unsaid.set(fieldOf(revocation), revocation)
      })
    }
  }

  /** Brings the revocations here and in Redis together: at once, or when there is a way, and again if it fails. */
  async function share(): Promise<void> {
    isShareAsked = true
    if (isSharing || publisher.status !== 'ready') return
    isSharing = true
    try {
      while (isShareAsked) {
        isShareAsked = false
        await shareOnce()
      }
      hasShareFailed = false
    } catch (error) {
      if (!hasShareFailed && !closed)
        log.warn({ err: error }, 'revocations could not be shared through Redis')
      hasShareFailed = true
      settle()
    }
    isSharing = false
  }

  async function shareOnce(): Promise<void> {
    const differences = await compareRevocations(publisher, revocations(), toSeconds(clock()))
    // Before anything is written: a Redis that is full, or a replica, can still be read.
    if (differences.learnt.length > 0) receive(differences.learnt)
    settle()
    try {
      await keepRevocations(publisher, differences)
    } finally {
      // Those who were up all the time look there rarely. And where it failed, it may have been done all the same, or
      // what is said is all that they can learn.
      tell(differences.lacking)
    }
  }

  publisher.on('ready', () => {
    ping()
    share()
  })
  // One that is unreachable now does not hold up the start.
  publisher.on('close', () => settle())
  subscriber.on('ready', () => {
    heardMs = performance.now()
    subscriber.subscribe(shared, mirror).then(ping, error => {
      reason = error.message
    })
  })
  subscriber.on('error', error => {
    reason = error.message
  })
  subscriber.on('close', () => setUp(false))
  subscriber.on('messageBuffer', (channel: Buffer, bytes: Buffer) => {
    if (channel.toString() !== mirror) return hear(bytes)
    // What we say to ourselves goes the same way as all else, so it shows that the way is open.
    heardMs = performance.now()
    setUp(true)
  })

  function hear(bytes: Buffer): void {
    const packet = unpack(bytes)
    if (packet === undefined) return log.warn('something that is no message came over the bus')
    const [from, count, ...messages] = packet
    if (from === own) return
    const before = count - messages.length
    // Otherwise they have no numbers.
    if (before >= 0) {
      // Of a node not heard before, nothing counts as missed.
      const node = nodes.get(from) ?? { sent: before, heardMs: 0 }
      if (before > node.sent) lost += before - node.sent
      nodes.set(from, { sent: Math.max(count, node.sent), heardMs: performance.now() })
    }
    if (messages.length > 0) receive(messages)
  }

  function ping(): void {
    publisher.publish(mirror, '').catch(() => {})
  }

  const timer = setInterval(() => {
    const nowMs = performance.now()
    if (nowMs - heardMs > silenceMs) {
      setUp(false)
      heardMs = nowMs
      subscriber.disconnect(true)
    }
    ping()
    pings++
    if (unsaid.size > 0 && publisher.status === 'ready') {
      const again = [...unsaid.values()]
      unsaid.clear()
      tell(again)
    }
    if (pings % (hasShareFailed ? retryShareEveryPings : shareEveryPings) === 0) share()
    if (pings % countEveryPings !== 0) return
    flush()
    post(sent, []).catch(() => {})
    for (const [from, node] of nodes) if (nowMs - node.heardMs > forgetNodeMs) nodes.delete(from)
  }, pingMs)
  timer.unref()

  return {
    send(message) {
      if (message.type === 'publish') return send(message)
      tell([message])
      share()
    },
    caughtUp: () => caughtUp,
    close() {
      closed = true
      clearTimeout(patience)
      settle()
      clearInterval(timer)
      flush()
      publisher.disconnect()
      subscriber.disconnect()
    },
    get isUp() {
      return isUp === true
    },
    get dropped() {
      return dropped
    },
    get lost() {
      return lost
    },
  }
}

/** How an array of up to 65,535 begins in MessagePack. */
const arrayHead = (length: number): Buffer =>
  length < 16 ? Buffer.of(0x90 | length) : Buffer.of(0xdc, length >> 8, length & 0xff)

function unpack(bytes: Buffer): Packet | undefined {
  try {
    const packet: unknown = packr.unpack(bytes)
    return isPacket(packet) ? packet : undefined
  } catch {
    return undefined
  }
}

const isPacket = (value: unknown): value is Packet =>
  Array.isArray(value) &&
  typeof value[0] === 'string' &&
  Number.isSafeInteger(value[1]) &&
  value.length >= 2 &&
  value.slice(2).every(isMessage)

function isMessage(value: unknown): value is RelayMessage {
  if (isRevocation(value)) return true
  if (typeof value !== 'object' || value === null) return false
  const { type, channel, encoding, data, user }: Readonly<Record<string, unknown>> = { ...value }
  return (
    type === 'publish' &&
    typeof channel === 'string' &&
    isChannelName(channel) &&
    (encoding === 'json' || encoding === 'msgpack') &&
    data instanceof Uint8Array &&
    (user === undefined || (typeof user === 'string' && isUserName(user)))
  )
}
