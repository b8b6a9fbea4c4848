import { randomBytes } from 'node:crypto'
import { Packr } from 'msgpackr'
import { type Clock, toSeconds } from '../clock.js'
import type { Log } from '../ops/log.js'
import { isRevocation } from '../ops/revocation-file.js'
import { isChannelName, isUserName } from '../protocol.js'
import { connectRedis } from './redis-client.js'
import type { Relay, RelayMessage, Revocation } from './relay.js'
import { shareRevocations } from './shared-revocations.js'

/** What is known of the way to the other nodes. */
export interface BusState {
  readonly isUp: boolean
  /** Messages for the other nodes that could not be sent. */
  readonly dropped: number
  /** Messages of other nodes that did not arrive here, by the gaps in their numbers. */
  readonly lost: number
}

/** Carries messages to the other nodes, over Redis or Valkey pub/sub. */
export interface Bus extends Relay, BusState {}

export interface BusOptions {
  readonly url: string
  /** The revocations of this node that still count: others have to know them, whenever they come. */
  readonly revocations: () => readonly Revocation[]
  readonly log: Log
  readonly clock: Clock
}

// What may wait for Redis: beyond it messages are dropped, and counted.
const maxPendingBytes = 8 * 1024 * 1024

const pingMs = 1000
const silenceMs = 3000
const countEveryPings = 10
const shareEveryPings = 60
const forgetNodeMs = 60_000

const packr = new Packr({ useRecords: false })

/** `[node, number of messages it has sent, the message]`; without a message it only says how many there were. */
type Packet = readonly [from: string, sent: number, message?: RelayMessage]

/**
 * Opens the bus. Every message goes out once, packed once, whatever the number of nodes. While Redis is away nothing is
 * kept for later: subscribers of other nodes miss what is said, which both sides count. Revocations are no such messages:
 * they reach every node in the end.
 */
export function openRedisBus({ url, revocations, log, clock }: BusOptions): Bus {
  const own = randomBytes(12).toString('base64url')
  // Pub/sub knows no databases, and several deployments may share a server.
  const shared = `ticketgate:bus:${new URL(url).pathname.slice(1) || '0'}`
  const mirror = `${shared}:${own}`
  const publisher = connectRedis(url, 'ticketgate-publish', silenceMs)
  const subscriber = connectRedis(url, 'ticketgate-subscribe')

  let receive: (message: RelayMessage) => void = () => {}
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

  function setUp(next: boolean): void {
    if (next === isUp || closed) return
    isUp = next
    if (next) {
      log.info('Redis carries messages between the nodes')
      share()
    } else log.error({ reason }, 'Redis is away: messages reach the subscribers of this node only')
  }

  function post(packet: Packet): void {
    const bytes = packr.pack(packet)
    const drop = (): void => {
      if (packet[2] !== undefined) dropped++
    }
    if (pendingBytes + bytes.length > maxPendingBytes) return drop()
    pendingBytes += bytes.length
    publisher.publish(shared, bytes).then(
      () => {
        pendingBytes -= bytes.length
      },
      () => {
        pendingBytes -= bytes.length
        drop()
      },
    )
  }

  function share(): void {
    const nowSeconds = toSeconds(clock())
    shareRevocations(publisher, revocations(), nowSeconds).then(
      ({ learnt, told }) => {
        for (const revocation of learnt) receive(revocation)
        // Those who were up all the time look there rarely.
        for (const revocation of told) post([own, ++sent, revocation])
      },
      error => log.warn({ err: error }, 'the revocations of other nodes could not be read'),
    )
  }

  publisher.on('ready', ping)
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
    const [from, count, message] = packet
    if (from === own) return
    const node = nodes.get(from)
    // Of a node not heard before, nothing counts as missed.
    const expected =
      (node?.sent ?? (message === undefined ? count : count - 1)) + (message === undefined ? 0 : 1)
    if (count > expected) lost += count - expected
    nodes.set(from, { sent: Math.max(count, node?.sent ?? 0), heardMs: performance.now() })
    if (message !== undefined) receive(message)
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
    if (isUp === true && pings % shareEveryPings === 0) share()
    if (pings % countEveryPings !== 0) return
    post([own, sent])
    for (const [from, node] of nodes) if (nowMs - node.heardMs > forgetNodeMs) nodes.delete(from)
  }, pingMs)
  timer.unref()

  return {
    send(message) {
      sent++
      post([own, sent, message])
      if (message.type === 'revoke' && isUp === true) share()
    },
    onMessage(callback) {
      receive = callback
    },
    close() {
      closed = true
      clearInterval(timer)
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
  (value.length === 2 || (value.length === 3 && isMessage(value[2])))

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
