// Preloaded by the pauses scenario: from one SIGUSR2 to the next it records what the event loop does
// from timer to timer, and the garbage collections, and then writes them.
import { openSync, readSync, renameSync, writeFileSync } from 'node:fs'
import { constants, PerformanceObserver, performance } from 'node:perf_hooks'

const file = process.env.BENCH_PAUSES_FILE
const everyMs = 1
const kinds = {
  [constants.NODE_PERFORMANCE_GC_MAJOR]: 'major',
  [constants.NODE_PERFORMANCE_GC_MINOR]: 'minor',
  [constants.NODE_PERFORMANCE_GC_INCREMENTAL]: 'incremental',
  [constants.NODE_PERFORMANCE_GC_WEAKCB]: 'weak callbacks',
}

// The kernel's counts of this thread, in nanoseconds: how long it has run, and how long it was ready
// to run but others had the cores. Asking for the CPU time first brings them up to date: otherwise
// they are as of the last clock tick.
const schedstat = openSync(`/proc/self/task/${process.pid}/schedstat`)
const text = Buffer.alloc(64)
const counts = () => {
  process.cpuUsage()
  const line = text.toString('latin1', 0, readSync(schedstat, text, 0, text.length, 0))
  return line.split(' ', 2).map(Number)
}
const eventsSoFar = () => performance.nodeTiming.uvMetricsInfo?.events ?? 0

// Allocated once, so that keeping them makes no garbage.
const fields = 5
const most = 200_000
const ticks = new Float64Array(most * fields)
let size = most

let last = []
const now = () => [performance.now(), ...counts(), eventsSoFar()]
setInterval(() => {
  if (size === most) return
  const [nowMs, ran, waited, events] = now()
  const [lastMs, lastRan, lastWaited, lastEvents] = last
  const tick = [
    nowMs,
    nowMs - lastMs,
    (ran - lastRan) / 1e6,
    (waited - lastWaited) / 1e6,
    events - lastEvents,
  ]
  ticks.set(tick, size++ * fields)
  last = [nowMs, ran, waited, events]
}, everyMs).unref()

let collections = []
const keep = entries => {
  for (const { detail, startTime, duration } of entries)
    collections.push({ kind: kinds[detail.kind], startMs: startTime, ms: duration })
}
const observer = new PerformanceObserver(list => keep(list.getEntries()))
observer.observe({ entryTypes: ['gc'] })

const start = () => {
  size = 0
  collections = []
  last = now()
}

const report = () => {
  const rows = Array.from({ length: size }, (_, n) => [...ticks.subarray(n * fields, (n + 1) * fields)])
  size = most
  keep(observer.takeRecords())
  return { ticks: rows, collections }
}

process.on('SIGUSR2', () => {
  const recorded = size === most ? undefined : report()
  writeFileSync(`${file}.new`, JSON.stringify(recorded ?? {}))
  renameSync(`${file}.new`, file)
  if (recorded === undefined) start()
})
