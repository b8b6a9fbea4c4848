import { Counter, Gauge, Registry } from 'prom-client'
import type { RefusalCode } from '../errors.js'
import type { StoreReplayCache } from '../replay/contract.js'
import { droppedLogLines } from './log.js'

/** Counts of refusals by code. */
export type RefusalCounts = Partial<Record<RefusalCode, number>>

/** Why a WebSocket was closed; `other` = by its client, or the network. */
export type CloseReason =
  | 'session_expired'
  | 'revoked'
  | 'auth_timeout'
  | 'auth_refused'
  | 'application'
  | 'handler_failed'
  | 'draining'
  | 'rate_limited'
  | 'message_too_big'
  | 'slow_reader'
  | 'other'

/** Why a login was refused. What the client is told does not tell the first two apart. */
export type LoginRefusalReason =
  | 'unknown_user'
  | 'wrong_password'
  | 'address_rate'
  | 'user_rate'
  | 'busy'
  | 'revoked'

/**
 * What the server counts while it works: plain numbers, because a labelled counter of a metrics library costs more
 * than a ticket check. They become Prometheus metrics when somebody asks.
 */
export interface Counters {
  tokensIssued: number
  ticketsIssued: number
  loginsRefused: Partial<Record<LoginRefusalReason, number>>
  handshakesAccepted: number
  ticketsVerified: number
  handshakesRefused: RefusalCounts
  requestsRefused: RefusalCounts
  /** By reason. */
  tokensRefused: Record<string, number>
  messagesReceived: number
  messagesPublished: number
  messagesDropped: number
  publicationsQueued: number
  publicationsRefused: number
  connectionsClosed: Partial<Record<CloseReason, number>>
  keyFetches: Partial<Record<'ok' | 'failed', number>>
}

export const createCounters = (): Counters => ({
  tokensIssued: 0,
  ticketsIssued: 0,
  loginsRefused: {},
  handshakesAccepted: 0,
  ticketsVerified: 0,
  handshakesRefused: {},
  requestsRefused: {},
  tokensRefused: {},
  messagesReceived: 0,
  messagesPublished: 0,
  messagesDropped: 0,
  publicationsQueued: 0,
  publicationsRefused: 0,
  connectionsClosed: {},
  keyFetches: {},
})

/** One more of `key`. */
export function increment<Key extends string>(counts: Partial<Record<Key, number>>, key: Key): void {
  counts[key] = (counts[key] ?? 0) + 1
}

/** What one thread has counted, at one instant. */
export interface Snapshot {
  readonly counters: Counters
  readonly connections: number
  readonly loginsPending: number
  /** When the certificate that is served expires, Unix seconds; undefined without TLS. */
  readonly certificateExpiresAtSeconds?: number | undefined
}

/** All threads together. */
export const sumSnapshots = (snapshots: readonly Snapshot[]): Snapshot => ({
  counters: snapshots.map(({ counters }) => counters).reduce(sumCounters, createCounters()),
  connections: snapshots.reduce((sum, { connections }) => sum + connections, 0),
  loginsPending: snapshots.reduce((sum, { loginsPending }) => sum + loginsPending, 0),
  certificateExpiresAtSeconds: snapshots.reduce(earlierExpiry, undefined),
})

const earlierExpiry = (
  earliest: number | undefined,
  { certificateExpiresAtSeconds: expiry }: Snapshot,
): number | undefined =>
  earliest === undefined || expiry === undefined ? (earliest ?? expiry) : Math.min(earliest, expiry)

function sumCounters(a: Counters, b: Counters): Counters {
  const sum = { ...a }
  for (const name of Object.keys(a) as (keyof Counters)[]) addInto(sum, name, a[name], b[name])
  return sum
}

type Counts = Readonly<Record<string, number>>

function addInto(target: Counters, name: keyof Counters, a: number | Counts, b: number | Counts): void {
  const sum =
    typeof a === 'number' || typeof b === 'number'
      ? Number(a) + Number(b)
      : Object.fromEntries(
          [...Object.keys(a), ...Object.keys(b)].map(key => [key, (a[key] ?? 0) + (b[key] ?? 0)]),
        )
  Object.assign(target, { [name]: sum })
}

/** What is known of the way to the other nodes. */
export interface BusState {
  readonly isUp: boolean
  /** Messages for the other nodes that could not be sent. */
  readonly dropped: number
  /** Messages of other nodes that did not arrive here, by the gaps in their numbers. */
  readonly lost: number
}

/** Whether the store of a replay cache can be relied on, or why not. */
export const storeStatuses = ['ready', 'unreachable', 'unusable', 'evicts', 'behind'] as const
export type StoreStatus = (typeof storeStatuses)[number]

export interface MetricsSources {
  readonly replay: Pick<StoreReplayCache, 'size' | 'highWater' | 'capacity'>
  /** Undefined where there are no other nodes. */
  readonly bus: BusState | undefined
  /** The replay cache, where it is in Redis. */
  readonly store: { readonly state: { readonly is: StoreStatus } } | undefined
  /** Whether the public listener speaks TLS. */
  readonly tls: boolean
  readonly snapshot: () => Promise<Snapshot>
}

export interface Metrics {
  readonly contentType: string
  /** The text of a scrape. */
  render(): Promise<string>
}

/** Prometheus metrics, read from their sources at every scrape. */
export function createMetrics({ replay, bus, store, tls, snapshot }: MetricsSources): Metrics {
  const registry = new Registry()
  let current: Snapshot = { counters: createCounters(), connections: 0, loginsPending: 0 }

  const counter = (name: string, help: string, read: () => number) =>
    registry.registerMetric(
      new Counter({
        name: `ticketgate_${name}`,
        help,
        registers: [],
        collect() {
          this.reset()
          this.inc(read())
        },
      }),
    )
  const counterBy = (
    name: string,
    label: string,
    help: string,
    read: () => Readonly<Record<string, number>>,
  ) =>
    registry.registerMetric(
      new Counter({
        name: `ticketgate_${name}`,
        help,
        labelNames: [label],
        registers: [],
        collect() {
          this.reset()
          for (const [value, count] of Object.entries(read())) this.inc({ [label]: value }, count)
        },
      }),
    )
  const gauge = (name: string, help: string, read: () => number) =>
    registry.registerMetric(
      new Gauge({
        name,
        help,
        registers: [],
        collect() {
          this.set(read())
        },
      }),
    )

  counter('tokens_issued_total', 'Tokens issued by logins', () => current.counters.tokensIssued)
  counterBy('logins_refused_total', 'reason', 'Logins refused, by reason', () => ({
    ...current.counters.loginsRefused,
  }))
  counter('tickets_issued_total', 'Tickets issued', () => current.counters.ticketsIssued)
  counter('handshakes_accepted_total', 'WebSockets opened', () => current.counters.handshakesAccepted)
  counter(
    'tickets_verified_total',
    'Tickets accepted for other servers',
    () => current.counters.ticketsVerified,
  )
  counterBy('handshakes_refused_total', 'code', 'WebSocket handshakes refused, by reason', () => ({
    ...current.counters.handshakesRefused,
  }))
  counterBy('requests_refused_total', 'code', 'HTTP requests refused, by reason', () => ({
    ...current.counters.requestsRefused,
  }))
  counterBy('token_refusals_total', 'reason', 'Tokens refused, by reason', () => ({
    ...current.counters.tokensRefused,
  }))
  counter(
    'messages_received_total',
    'Messages received from clients',
    () => current.counters.messagesReceived,
  )
  counter(
    'messages_published_total',
    'Messages published to channels',
    () => current.counters.messagesPublished,
  )
  counter(
    'messages_dropped_total',
    'Messages that a slow reader did not get',
    () => current.counters.messagesDropped,
  )
  counter(
    'publications_queued_total',
    'Publications that waited, because a turn of the event loop had no room for all their deliveries',
    () => current.counters.publicationsQueued,
  )
  counter(
    'publications_refused_total',
    'Publications that were sent to nobody, because too many waited',
    () => current.counters.publicationsRefused,
  )
  counterBy('connections_closed_total', 'reason', 'WebSockets closed, by reason', () => ({
    ...current.counters.connectionsClosed,
  }))
  counterBy('key_fetches_total', 'outcome', 'Fetches of the keys of the identity provider', () => ({
    ...current.counters.keyFetches,
  }))
  gauge('ticketgate_connections', 'WebSockets open now', () => current.connections)
  gauge('ticketgate_logins_pending', 'Password checks running or waiting', () => current.loginsPending)
  gauge('ticketgate_replay_cache_size', 'Spent tickets remembered now', () => replay.size)
  gauge('ticketgate_replay_cache_high_water', 'Most spent tickets remembered so far', () => replay.highWater)
  gauge('ticketgate_replay_cache_capacity', 'Spent tickets that can be remembered', () => replay.capacity)
  if (tls)
    gauge(
      'ticketgate_tls_certificate_expiry_timestamp_seconds',
      'When the certificate that is served expires, Unix time',
      () => current.certificateExpiresAtSeconds ?? Number.NaN,
    )
  if (bus !== undefined) {
    gauge('ticketgate_bus_up', 'Whether messages reach the other nodes', () => Number(bus.isUp))
    counter(
      'bus_messages_dropped_total',
      'Messages that could not be sent to the other nodes',
      () => bus.dropped,
    )
    counter('bus_messages_lost_total', 'Messages of other nodes that did not arrive here', () => bus.lost)
  }
  if (store !== undefined)
    registry.registerMetric(
      new Gauge({
        name: 'ticketgate_replay_store_state',
        help: 'What Redis is to the replay cache: 1 for the state that it is in; tickets are accepted while it is ready',
        labelNames: ['state'],
        registers: [],
        collect() {
          for (const state of storeStatuses) this.set({ state }, Number(state === store.state.is))
        },
      }),
    )
  counter(
    'log_lines_dropped_total',
    'Log lines that were not written, because their reader is too slow',
    droppedLogLines,
  )
  gauge('process_resident_memory_bytes', 'Resident memory', residentBytes)
  gauge('process_start_time_seconds', 'Start of the process, Unix time', () => performance.timeOrigin / 1000)
  registry.registerMetric(
    new Counter({
      name: 'process_cpu_seconds_total',
      help: 'CPU time used',
      registers: [],
      collect() {
        const { user, system } = process.cpuUsage()
        this.reset()
        this.inc((user + system) / 1e6)
      },
    }),
  )
  return {
    contentType: registry.contentType,
    async render() {
      current = await snapshot()
      return registry.metrics()
    },
  }
}

/** NaN where it can not be told: that takes a file descriptor, and there may be none left. */
function residentBytes(): number {
  try {
    return process.memoryUsage.rss()
  } catch {
    return Number.NaN
  }
}
