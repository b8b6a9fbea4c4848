import { createRequire } from 'node:module'
import { clock } from '../clock.js'
import type { LimiterUsage } from '../limits/rate.js'
import type { LimiterUsages } from '../limits/rates.js'
import { sampledOneIn } from './durations.js'
import { counter, counterBy, expositionType, gauge, gaugeBy, histogram } from './exposition.js'
import { droppedLogLines } from './log.js'
import {
  type BusState,
  type MetricsSources,
  type Snapshot,
  type StoreStatus,
  storeStatuses,
} from './metrics.js'
import { cpuSeconds, maxDescriptors, openDescriptors, residentBytes } from './process.js'

export interface Metrics {
  readonly contentType: string
  /** Returns the text of a scrape. */
  render(): Promise<string>
}

/**
 * Prometheus metrics, read from their sources at every scrape. A part that is off has no metrics.
 */
export function createMetrics(sources: MetricsSources): Metrics {
  const { replay, bus, store, tls, hasTunnels, maxConnections } = sources
  const info = buildInfo()
  const descriptorLimit = maxDescriptors()
  return {
    contentType: expositionType,
    async render() {
      const [snapshot, descriptors] = await Promise.all([sources.snapshot(), openDescriptors()])
      return [
        info,
        ...loginMetrics(snapshot),
        ...limiterMetrics({ ...sources.limiters(), ...snapshot.limiters }),
        ...ticketMetrics(snapshot),
        ...socketMetrics(snapshot, maxConnections()),
        ...messageMetrics(snapshot),
        ...(hasTunnels ? tunnelMetrics(snapshot) : []),
        ...replayMetrics(replay),
        ...(tls ? certificateMetrics(snapshot) : []),
        ...(bus === undefined ? [] : busMetrics(bus)),
        ...(store === undefined ? [] : storeMetrics(snapshot, store.state.is)),
        ...runtimeMetrics(snapshot),
        ...processMetrics(),
        ...descriptorMetrics(descriptors, descriptorLimit),
      ].join('')
    },
  }
}

function buildInfo(): string {
  const require = createRequire(import.meta.url)
  const { version }: { version: string } = require('../../package.json')
  return gauge('ticketgate_build_info', 'Version of ticketgate and of Node', 1, {
    version,
    node: process.versions.node,
  })
}

const loginMetrics = ({ counters, loginsPending, loginsWaiting }: Snapshot): string[] => [
  counter('ticketgate_tokens_issued_total', 'Tokens issued by logins', counters.tokensIssued),
  counterBy('ticketgate_logins_refused_total', 'reason', 'Logins refused, by reason', counters.loginsRefused),
  gauge('ticketgate_logins_pending', 'Password checks running or waiting', loginsPending),
  gauge('ticketgate_logins_waiting', 'Password checks waiting', loginsWaiting),
  histogram(
    'ticketgate_login_duration_seconds',
    'Time from a login to its response, refused ones included',
    counters.durations.login,
  ),
  histogram(
    'ticketgate_password_queue_duration_seconds',
    'Time that a password waited for its check',
    counters.durations.passwordQueue,
  ),
]

function limiterMetrics(limiters: LimiterUsages): string[] {
  const of = (member: keyof LimiterUsage): Record<string, number> =>
    Object.fromEntries(
      Object.entries(limiters).flatMap(([name, usage]) =>
        usage === undefined ? [] : [[name, usage[member]]],
      ),
    )
  return [
    gaugeBy(
      'ticketgate_limiter_tracked',
      'limiter',
      'Addresses or users that have used some of what a limit allows',
      of('tracked'),
    ),
    gaugeBy(
      'ticketgate_limiter_refusing',
      'limiter',
      'Addresses or users that a limit would refuse now',
      of('refusing'),
    ),
  ]
}

const ticketMetrics = ({ counters }: Snapshot): string[] => [
  counter('ticketgate_tickets_issued_total', 'Tickets issued', counters.ticketsIssued),
  counter(
    'ticketgate_tickets_verified_total',
    'Tickets accepted for other servers',
    counters.ticketsVerified,
  ),
  counterBy('ticketgate_token_refusals_total', 'reason', 'Tokens refused, by reason', counters.tokensRefused),
  counterBy('ticketgate_backchannel_logouts_total', 'outcome', 'Logout tokens, by outcome', counters.logouts),
  counterBy(
    'ticketgate_key_fetches_total',
    'outcome',
    'Fetches of the keys of the identity provider',
    counters.keyFetches,
  ),
  counterBy(
    'ticketgate_requests_refused_total',
    'code',
    'HTTP requests refused, by reason',
    counters.requestsRefused,
  ),
  histogram(
    'ticketgate_ticket_duration_seconds',
    `Time that issuing a ticket took, of one in ${sampledOneIn}`,
    counters.durations.ticket,
  ),
]

const socketMetrics = ({ counters, connections }: Snapshot, maxConnections: number): string[] => [
  gauge('ticketgate_connections', 'WebSockets open now', connections),
  ...(maxConnections === 0
    ? []
    : [gauge('ticketgate_connections_limit', 'WebSockets that may be open at once', maxConnections)]),
  counter('ticketgate_handshakes_accepted_total', 'WebSockets opened', counters.handshakesAccepted),
  counterBy(
    'ticketgate_handshakes_refused_total',
    'code',
    'WebSocket handshakes refused, by reason',
    counters.handshakesRefused,
  ),
  counterBy(
    'ticketgate_connections_closed_total',
    'reason',
    'WebSockets closed, by reason',
    counters.connectionsClosed,
  ),
  histogram(
    'ticketgate_handshake_duration_seconds',
    `Time from a handshake to its 101, of one in ${sampledOneIn}`,
    counters.durations.handshake,
  ),
]

const messageMetrics = ({ counters }: Snapshot): string[] => [
  counter('ticketgate_messages_received_total', 'Messages received from clients', counters.messagesReceived),
  counter(
    'ticketgate_messages_published_total',
    'Messages published to channels',
    counters.messagesPublished,
  ),
  counter(
    'ticketgate_messages_dropped_total',
    'Messages dropped because their reader was too slow',
    counters.messagesDropped,
  ),
  counter(
    'ticketgate_publications_queued_total',
    'Publications delayed because one turn of the event loop could not deliver all of them',
    counters.publicationsQueued,
  ),
  counter(
    'ticketgate_publications_refused_total',
    'Publications dropped because too many were waiting',
    counters.publicationsRefused,
  ),
]

const tunnelMetrics = ({ counters }: Snapshot): string[] => [
  gaugeBy(
    'ticketgate_tunnel_connections',
    'tunnel',
    'WebSockets open through a tunnel now',
    Object.fromEntries(
      Object.entries(counters.tunnelsOpened).map(([tunnel, opened]) => [
        tunnel,
        opened - (counters.tunnelsClosed[tunnel] ?? 0),
      ]),
    ),
  ),
  counterBy(
    'ticketgate_tunnel_connections_total',
    'tunnel',
    'WebSockets opened through a tunnel',
    counters.tunnelsOpened,
  ),
  counterBy(
    'ticketgate_tunnel_dial_failures_total',
    'tunnel',
    'Failed connections to the upstream server',
    counters.tunnelDialsFailed,
  ),
  counterBy(
    'ticketgate_tunnel_messages_from_clients_total',
    'tunnel',
    'Messages relayed to upstream servers',
    counters.tunnelMessagesFromClients,
  ),
  counterBy(
    'ticketgate_tunnel_messages_to_clients_total',
    'tunnel',
    'Messages relayed to clients',
    counters.tunnelMessagesToClients,
  ),
  counterBy(
    'ticketgate_tunnel_pauses_total',
    'tunnel',
    'Times that reading from an upstream server was paused for a slow client',
    counters.tunnelPauses,
  ),
]

const replayMetrics = ({ size, highWater, capacity }: MetricsSources['replay']): string[] => [
  gauge('ticketgate_replay_cache_size', 'Spent tickets remembered now', size),
  gauge('ticketgate_replay_cache_high_water', 'Most spent tickets remembered so far', highWater),
  gauge('ticketgate_replay_cache_capacity', 'Spent tickets that can be remembered', capacity),
]

const certificateMetrics = ({ certificateExpiresAtSeconds }: Snapshot): string[] => [
  gauge(
    'ticketgate_tls_certificate_expiry_timestamp_seconds',
    'When the certificate that is served expires, Unix time',
    certificateExpiresAtSeconds ?? Number.NaN,
  ),
]

const busMetrics = ({ isUp, dropped, lost }: BusState): string[] => [
  gauge('ticketgate_bus_up', 'Whether messages reach the other nodes, 1 or 0', Number(isUp)),
  counter(
    'ticketgate_bus_messages_dropped_total',
    'Messages that could not be sent to the other nodes',
    dropped,
  ),
  counter('ticketgate_bus_messages_lost_total', 'Messages of other nodes that did not arrive here', lost),
]

const storeMetrics = ({ counters }: Snapshot, status: StoreStatus): string[] => [
  gaugeBy(
    'ticketgate_replay_store_state',
    'state',
    'State of Redis for the replay cache: 1 for the current one; tickets are accepted while it is ready',
    Object.fromEntries(storeStatuses.map(state => [state, Number(state === status)])),
  ),
  histogram(
    'ticketgate_replay_claim_duration_seconds',
    'Time to spend a ticket in Redis, including the wait',
    counters.durations.spend,
  ),
]

const runtimeMetrics = ({ counters }: Snapshot): string[] => [
  histogram(
    'ticketgate_event_loop_delay_seconds',
    'Delay of a timer in each thread, measured ten times a second',
    counters.durations.eventLoopDelay,
  ),
  histogram(
    'ticketgate_gc_duration_seconds',
    'Garbage collection pauses of each thread',
    counters.durations.garbageCollection,
  ),
  counter(
    'ticketgate_log_lines_dropped_total',
    'Log lines dropped because their reader is too slow',
    droppedLogLines(),
  ),
]

const processMetrics = (): string[] => [
  gauge('process_resident_memory_bytes', 'Resident memory', residentBytes()),
  gauge(
    'ticketgate_clock_ahead_seconds',
    'How far the clock of the process is ahead of the system clock',
    (clock() - Date.now()) / 1000,
  ),
  gauge('process_start_time_seconds', 'Start of the process, Unix time', performance.timeOrigin / 1000),
  counter('process_cpu_seconds_total', 'CPU time used', cpuSeconds()),
]

const descriptorMetrics = (open: number | undefined, limit: number | undefined): string[] => [
  ...(open === undefined ? [] : [gauge('process_open_fds', 'File descriptors open', open)]),
  ...(limit === undefined ? [] : [gauge('process_max_fds', 'File descriptors that may be open', limit)]),
]
