import t from 'tap'
import { refusalCodes } from '../../src/errors.js'
import { observe, Stopwatch } from '../../src/telemetry/durations.js'
import { counterBy } from '../../src/telemetry/exposition.js'
import {
  type CloseReason,
  createCounters,
  idleSnapshot,
  increment,
  type MetricsSources,
  sumSnapshots,
} from '../../src/telemetry/metrics.js'
import { createMetrics } from '../../src/telemetry/prometheus.js'
import { watchRuntime } from '../../src/telemetry/runtime.js'

interface Sample {
  readonly name: string
  readonly labels: string
  readonly value: number
}

interface Exposition {
  readonly samples: readonly Sample[]
  readonly types: ReadonlyMap<string, string>
  readonly helps: ReadonlyMap<string, string>
}

const sampleLine =
  /^(?<name>[a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(?<labels>[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\\n]|\\[\\"n])*"(?:,[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\\n]|\\[\\"n])*")*)\})? (?<value>[-+0-9.eE]+|NaN|[-+]Inf)$/

/** Parses the text format of Prometheus, version 0.0.4. Throws if a line does not conform. */
const parse = (text: string): Exposition => {
  const types = new Map<string, string>()
  const helps = new Map<string, string>()
  const samples: Sample[] = []
  for (const line of text.split('\n')) {
    if (line === '') continue
    const comment = /^# (HELP|TYPE) ([a-zA-Z_:][a-zA-Z0-9_:]*) (.+)$/.exec(line)
    const sample = sampleLine.exec(line)?.groups
    if (comment !== null) (comment[1] === 'HELP' ? helps : types).set(comment[2] ?? '', comment[3] ?? '')
    else if (sample !== undefined)
      samples.push({ name: sample.name ?? '', labels: sample.labels ?? '', value: Number(sample.value) })
    else throw new Error(`not a line of the format: ${line}`)
  }
  return { samples, types, helps }
}

const create = (others: Partial<MetricsSources> = {}) => {
  const counters = createCounters()
  const state = { ...idleSnapshot(counters) }
  const replay = { size: 0, highWater: 0, capacity: 1000 }
  const metrics = createMetrics({
    replay,
    bus: { isUp: true, dropped: 2, lost: 3 },
    store: { state: { is: 'unusable' } },
    tls: true,
    hasTunnels: true,
    maxConnections: () => 1000,
    ...others,
    snapshot: async () => ({ ...state, certificateExpiresAtSeconds: 2_000_000_000 }),
    limiters: () => ({ ticket: { tracked: 5, refusing: 2 }, login_user: undefined }),
  })
  return { counters, state, replay, scrape: async () => parse(await metrics.render()) }
}

const sampleOf = ({ samples }: Exposition, name: string, labels = ''): number | undefined =>
  samples.find(sample => sample.name === name && sample.labels === labels)?.value

/** Dashboards and alerts depend on these names. */
const plain = [
  'process_cpu_seconds_total',
  ...(process.platform === 'linux' ? ['process_max_fds', 'process_open_fds'] : []),
  'process_resident_memory_bytes',
  'process_start_time_seconds',
  'ticketgate_bus_messages_dropped_total',
  'ticketgate_bus_messages_lost_total',
  'ticketgate_bus_up',
  'ticketgate_clock_ahead_seconds',
  'ticketgate_connections',
  'ticketgate_connections_limit',
  'ticketgate_handshakes_accepted_total',
  'ticketgate_log_lines_dropped_total',
  'ticketgate_logins_pending',
  'ticketgate_logins_waiting',
  'ticketgate_messages_dropped_total',
  'ticketgate_messages_published_total',
  'ticketgate_messages_received_total',
  'ticketgate_publications_queued_total',
  'ticketgate_publications_refused_total',
  'ticketgate_replay_cache_capacity',
  'ticketgate_replay_cache_high_water',
  'ticketgate_replay_cache_size',
  'ticketgate_tickets_verified_total',
  'ticketgate_tls_certificate_expiry_timestamp_seconds',
  'ticketgate_tickets_issued_total',
  'ticketgate_tokens_issued_total',
]

const histograms = [
  'ticketgate_event_loop_delay_seconds',
  'ticketgate_gc_duration_seconds',
  'ticketgate_handshake_duration_seconds',
  'ticketgate_login_duration_seconds',
  'ticketgate_password_queue_duration_seconds',
  'ticketgate_replay_claim_duration_seconds',
  'ticketgate_ticket_duration_seconds',
]

const labelled = [
  ['ticketgate_logins_refused_total', 'reason'],
  ['ticketgate_handshakes_refused_total', 'code'],
  ['ticketgate_requests_refused_total', 'code'],
  ['ticketgate_connections_closed_total', 'reason'],
] as const

t.test('all metrics are present from the start, with type and help', async t => {
  const exposition = await create().scrape()
  const names = new Set(exposition.samples.map(({ name }) => name))
  for (const name of plain) t.ok(names.has(name), name)
  for (const name of [...plain, ...labelled.map(([name]) => name)]) {
    t.ok(exposition.helps.has(name), `${name} has a HELP line`)
    t.equal(
      exposition.types.get(name),
      name.endsWith('_total') ? 'counter' : 'gauge',
      `${name} has the right TYPE`,
    )
  }
})

t.test('absent components have no metrics', async t => {
  const { samples, types } = await create({
    bus: undefined,
    store: undefined,
    tls: false,
    hasTunnels: false,
  }).scrape()
  for (const name of [...samples.map(sample => sample.name), ...types.keys()])
    t.notMatch(name, /bus|store|tls|tunnel|replay_claim/, name)
  const unbounded = await create({ maxConnections: () => 0 }).scrape()
  t.notOk(unbounded.types.has('ticketgate_connections_limit'), 'without a limit there is no metric of it')
})

t.test('a duration counts in its bucket and in all larger ones', async t => {
  const { counters, scrape } = create()
  const { login } = counters.durations
  for (const ms of [0, 0.1, 0.11, 30, 99_000]) observe(login, ms)
  const exposition = await scrape()
  const name = 'ticketgate_login_duration_seconds'
  t.equal(exposition.types.get(name), 'histogram')
  const expected = [
    ['_bucket', 'le="0.0001"', 2],
    ['_bucket', 'le="0.00025"', 3],
    ['_bucket', 'le="0.025"', 3],
    ['_bucket', 'le="0.05"', 4],
    ['_bucket', 'le="10"', 4],
    ['_bucket', 'le="+Inf"', 5],
    ['_count', '', 5],
  ] as const
  for (const [suffix, labels, value] of expected)
    t.equal(sampleOf(exposition, name + suffix, labels), value, suffix + labels)
  t.ok(Math.abs((sampleOf(exposition, `${name}_sum`) ?? 0) - 99.03021) < 1e-9)
})

t.test('durations of threads are summed, and a stopwatch measures one in sixteen', async t => {
  const [one, two] = [createCounters(), createCounters()]
  const stopwatch = new Stopwatch(one.durations.handshake)
  for (let n = 0; n < 32; n++) stopwatch.stop(stopwatch.start())
  observe(two.durations.handshake, 1e6)
  const { handshake } = sumSnapshots([idleSnapshot(one), idleSnapshot(two)]).counters.durations
  t.equal(
    handshake.counts.reduce((sum, count) => sum + count, 0),
    3,
  )
  t.equal(handshake.counts.at(-1), 1)
  t.ok(handshake.seconds >= 1000)
  t.equal(one.durations.handshake.counts.at(-1), 0, 'the sum does not change its parts')
})

t.test('label values are escaped', t => {
  t.equal(
    counterBy('x_total', 'reason', 'Help', { 'a"b\\c\nd': 1 }),
    '# HELP x_total Help\n# TYPE x_total counter\nx_total{reason="a\\"b\\\\c\\nd"} 1\n',
  )
  t.end()
})

t.test('late timers and garbage collections are measured', async t => {
  const { durations } = createCounters()
  const runtime = watchRuntime(durations)
  t.teardown(() => runtime.close())
  const total = ({ counts }: { readonly counts: readonly number[] }): number =>
    counts.reduce((sum, count) => sum + count, 0)
  let garbage: unknown[] = []
  while (total(durations.eventLoopDelay) === 0 || total(durations.garbageCollection) === 0) {
    garbage = Array.from({ length: 100_000 }, () => ({}))
    await new Promise(resolve => setImmediate(resolve))
  }
  t.ok(garbage.length > 0)
})

t.test('exactly one state of the store is 1', async t => {
  const { samples } = await create().scrape()
  t.strictSame(
    samples
      .filter(({ name }) => name === 'ticketgate_replay_store_state')
      .map(({ labels, value }) => [labels, value]),
    [
      ['state="ready"', 0],
      ['state="unreachable"', 0],
      ['state="unusable"', 1],
      ['state="evicts"', 0],
      ['state="behind"', 0],
    ],
  )
})

t.test(
  'limits across all threads appear once in the metrics, and limits that are off do not appear',
  async t => {
    const [one, two] = [idleSnapshot(), idleSnapshot()]
    const failing = { logout_failure: { tracked: 3, refusing: 1 } }
    const sum = sumSnapshots([
      one,
      { ...one, limiters: failing },
      { ...two, limiters: failing, loginsWaiting: 4 },
    ])
    t.strictSame(sum.limiters, { logout_failure: { tracked: 6, refusing: 2 } })
    t.equal(sum.loginsWaiting, 4)
    const { samples } = await create().scrape()
    t.strictSame(
      samples.filter(({ name }) => name.startsWith('ticketgate_limiter')).map(each => Object.values(each)),
      [
        ['ticketgate_limiter_tracked', 'limiter="ticket"', 5],
        ['ticketgate_limiter_refusing', 'limiter="ticket"', 2],
      ],
    )
  },
)

t.test('reading the metrics does not change them', async t => {
  const { counters, state, replay, scrape } = create()
  counters.ticketsIssued = 7
  counters.handshakesAccepted = 3
  increment(counters.handshakesRefused, 'ticket_used')
  increment(counters.handshakesRefused, 'ticket_used')
  increment(counters.handshakesRefused, 'draining')
  increment(counters.requestsRefused, 'not_found')
  increment(counters.connectionsClosed, 'other')
  Object.assign(state, { connections: 5, loginsPending: 2 })
  replay.size = 10
  replay.highWater = 20
  const expected = [
    ['ticketgate_tickets_issued_total', '', 7],
    ['ticketgate_tokens_issued_total', '', 0],
    ['ticketgate_handshakes_accepted_total', '', 3],
    ['ticketgate_handshakes_refused_total', 'code="ticket_used"', 2],
    ['ticketgate_handshakes_refused_total', 'code="draining"', 1],
    ['ticketgate_handshakes_refused_total', 'code="not_found"', undefined],
    ['ticketgate_requests_refused_total', 'code="not_found"', 1],
    ['ticketgate_connections_closed_total', 'reason="other"', 1],
    ['ticketgate_connections', '', 5],
    ['ticketgate_logins_pending', '', 2],
    ['ticketgate_replay_cache_size', '', 10],
    ['ticketgate_replay_cache_high_water', '', 20],
    ['ticketgate_replay_cache_capacity', '', 1000],
  ] as const
  for (const scrapes of ['first', 'second', 'third']) {
    const exposition = await scrape()
    for (const [name, labels, value] of expected)
      t.equal(sampleOf(exposition, name, labels), value, `${scrapes}: ${name}`)
  }
  counters.ticketsIssued++
  Object.assign(state, { connections: 4 })
  const later = await scrape()
  t.equal(sampleOf(later, 'ticketgate_tickets_issued_total'), 8)
  t.equal(sampleOf(later, 'ticketgate_connections'), 4)
})

t.test('the number of series is bounded, because labels are codes and reasons', async t => {
  const reasons: CloseReason[] = [
    'session_expired',
    'draining',
    'rate_limited',
    'message_too_big',
    'slow_reader',
    'other',
  ]
  const { counters, scrape } = create()
  const before = (await scrape()).samples.length
  for (let round = 0; round < 100; round++) {
    for (const code of refusalCodes) {
      increment(counters.handshakesRefused, code)
      increment(counters.requestsRefused, code)
    }
    for (const reason of reasons) increment(counters.connectionsClosed, reason)
    increment(counters.loginsRefused, 'unknown_user')
  }
  const { samples } = await scrape()
  t.equal(samples.length, before + 2 * refusalCodes.length + reasons.length + 1)
  for (const [name, label] of labelled) {
    const series = samples.filter(sample => sample.name === name)
    t.ok(
      series.length > 0 &&
        series.every(({ labels, value }) => labels.startsWith(`${label}="`) && value === 100),
      name,
    )
  }
  const ends = histograms.flatMap(name => [`${name}_sum`, `${name}_count`])
  const withLabels = [
    'ticketgate_build_info',
    'ticketgate_replay_store_state',
    'ticketgate_limiter_tracked',
    'ticketgate_limiter_refusing',
    ...labelled.map(([name]) => name),
    ...histograms.map(name => `${name}_bucket`),
  ]
  const names = new Set<string>([...plain, ...ends, ...withLabels])
  const unlabelled = samples.filter(
    ({ name, labels }) => !names.has(name) || (labels !== '' && !withLabels.includes(name)),
  )
  t.strictSame(unlabelled, [], 'there are no other metrics, and no others have labels')
})

t.test('every series occurs once', async t => {
  const { samples } = await create().scrape()
  const keys = samples.map(({ name, labels }) => `${name}{${labels}}`)
  t.equal(new Set(keys).size, keys.length)
})

t.test('two gates in one process count separately', async t => {
  const [one, two] = [create(), create()]
  one.counters.ticketsIssued = 5
  t.equal(sampleOf(await one.scrape(), 'ticketgate_tickets_issued_total'), 5)
  t.equal(sampleOf(await two.scrape(), 'ticketgate_tickets_issued_total'), 0)
})

t.test('the process metrics are plausible', async t => {
  const exposition = await create().scrape()
  t.ok((sampleOf(exposition, 'process_resident_memory_bytes') ?? 0) > 10_000_000)
  t.ok((sampleOf(exposition, 'process_cpu_seconds_total') ?? 0) > 0)
  const startedSeconds = sampleOf(exposition, 'process_start_time_seconds') ?? 0
  t.ok(Math.abs(Date.now() / 1000 - startedSeconds) < 3600)
})
