import type { RefusalCode } from '../errors.js'
import type { LimiterName, LimiterUsages } from '../limits/rates.js'
import type { StoreReplayCache } from '../replay/contract.js'
import { createDurations, type Durations, sumDurations } from './durations.js'

/** Counts of refusals by code. */
export type RefusalCounts = Partial<Record<RefusalCode, number>>

/** Why a WebSocket was closed; `other` = by its client, or by a network failure. */
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
  | 'upstream_closed'
  | 'upstream_failed'
  | 'upstream_slow'
  | 'other'

/** Why a login was refused. The response to the client is the same for the first two. */
export type LoginRefusalReason =
  | 'unknown_user'
  | 'wrong_password'
  | 'address_rate'
  | 'user_rate'
  | 'busy'
  | 'revoked'

/** The measured durations: what users wait for, and what delays them. */
const measured = [
  'login',
  'passwordQueue',
  'ticket',
  'handshake',
  'spend',
  'eventLoopDelay',
  'garbageCollection',
] as const

/** A histogram for each measured duration. */
export type AllDurations = Readonly<Record<(typeof measured)[number], Durations>>

const durationsOf = (each: (name: keyof AllDurations) => Durations): AllDurations =>
  Object.fromEntries(measured.map(name => [name, each(name)])) as Record<keyof AllDurations, Durations>

/**
 * What the server counts: plain numbers, because a labelled counter of a metrics library costs more
 * than a ticket check. They become Prometheus metrics at each scrape.
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
  /** Logout tokens, by reason of refusal, or `done`. */
  logouts: Record<string, number>
  messagesReceived: number
  messagesPublished: number
  messagesDropped: number
  publicationsQueued: number
  publicationsRefused: number
  connectionsClosed: Partial<Record<CloseReason, number>>
  keyFetches: Partial<Record<'ok' | 'failed', number>>
  /** Each of these by tunnel. */
  tunnelsOpened: Record<string, number>
  tunnelsClosed: Record<string, number>
  tunnelDialsFailed: Record<string, number>
  tunnelMessagesFromClients: Record<string, number>
  tunnelMessagesToClients: Record<string, number>
  tunnelPauses: Record<string, number>
  readonly durations: AllDurations
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
  logouts: {},
  messagesReceived: 0,
  messagesPublished: 0,
  messagesDropped: 0,
  publicationsQueued: 0,
  publicationsRefused: 0,
  connectionsClosed: {},
  keyFetches: {},
  tunnelsOpened: {},
  tunnelsClosed: {},
  tunnelDialsFailed: {},
  tunnelMessagesFromClients: {},
  tunnelMessagesToClients: {},
  tunnelPauses: {},
  durations: durationsOf(createDurations),
})

/** Adds one to the count of `key`. */
export function increment<Key extends string>(counts: Partial<Record<Key, number>>, key: Key): void {
  counts[key] = (counts[key] ?? 0) + 1
}

/** The counts of one thread at one instant. */
export interface Snapshot {
  readonly counters: Counters
  readonly connections: number
  /** Password checks that run or wait. */
  readonly loginsPending: number
  readonly loginsWaiting: number
  /** Limits that each thread has for itself. */
  readonly limiters: LimiterUsages
  /** When the served certificate expires, Unix seconds; undefined without TLS. */
  readonly certificateExpiresAtSeconds?: number | undefined
}

/** That of a thread with nothing open. */
export const idleSnapshot = (counters: Counters = createCounters()): Snapshot => ({
  counters,
  connections: 0,
  loginsPending: 0,
  loginsWaiting: 0,
  limiters: {},
})

/** The sum of all threads. */
export const sumSnapshots = (snapshots: readonly Snapshot[]): Snapshot =>
  snapshots.reduce(sum, idleSnapshot())

const sum = (a: Snapshot, b: Snapshot): Snapshot => ({
  counters: sumCounters(a.counters, b.counters),
  connections: a.connections + b.connections,
  loginsPending: a.loginsPending + b.loginsPending,
  loginsWaiting: a.loginsWaiting + b.loginsWaiting,
  limiters: sumLimiters(a.limiters, b.limiters),
  certificateExpiresAtSeconds: earlierOf(a.certificateExpiresAtSeconds, b.certificateExpiresAtSeconds),
})

const earlierOf = (a: number | undefined, b: number | undefined): number | undefined =>
  a === undefined || b === undefined ? (a ?? b) : Math.min(a, b)

function sumLimiters(a: LimiterUsages, b: LimiterUsages): LimiterUsages {
  const sums = { ...a }
  for (const name of Object.keys(b) as LimiterName[]) {
    const [one, other] = [a[name], b[name]]
    sums[name] =
      one === undefined || other === undefined
        ? (one ?? other)
        : { tracked: one.tracked + other.tracked, refusing: one.refusing + other.refusing }
  }
  return sums
}

function sumCounters(a: Counters, b: Counters): Counters {
  const durations = durationsOf(name => sumDurations(a.durations[name], b.durations[name]))
  const sum = { ...a, durations }
  for (const name of Object.keys(a) as (keyof Counters)[])
    if (name !== 'durations') addInto(sum, name, a[name], b[name])
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

/** The state of the bus to the other nodes. */
export interface BusState {
  readonly isUp: boolean
  /** Messages for other nodes that could not be sent. */
  readonly dropped: number
  /** Messages of other nodes that did not arrive, counted by the gaps in their numbers. */
  readonly lost: number
}

/** Whether the store of a replay cache is usable, or why not. */
export const storeStatuses = ['ready', 'unreachable', 'unusable', 'evicts', 'behind'] as const
export type StoreStatus = (typeof storeStatuses)[number]

export interface MetricsSources {
  readonly replay: Pick<StoreReplayCache, 'size' | 'highWater' | 'capacity'>
  /** Undefined if there are no other nodes. */
  readonly bus: BusState | undefined
  /** The replay cache, if it is in Redis. */
  readonly store: { readonly state: { readonly is: StoreStatus } } | undefined
  /** Whether the public listener speaks TLS. */
  readonly tls: boolean
  readonly hasTunnels: boolean
  /** How many sockets may be open; 0 = no cap. */
  readonly maxConnections: () => number
  readonly snapshot: () => Promise<Snapshot>
  /** Limits that hold over all threads. */
  readonly limiters: () => LimiterUsages
}
