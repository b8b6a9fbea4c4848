// Preloaded by the pauses scenario: on SIGUSR2 the process writes how long its event loop has let timers wait since the
// last signal, and what its garbage collector took.
import { openSync, readSync, renameSync, writeFileSync } from 'node:fs'
import { constants, createHistogram, PerformanceObserver } from 'node:perf_hooks'

const file = process.env.BENCH_PAUSES_FILE
const everyMs = 1
const kinds = {
  [constants.NODE_PERFORMANCE_GC_MAJOR]: 'major',
  [constants.NODE_PERFORMANCE_GC_MINOR]: 'minor',
  [constants.NODE_PERFORMANCE_GC_INCREMENTAL]: 'incremental',
  [constants.NODE_PERFORMANCE_GC_WEAKCB]: 'weak callbacks',
}

// The kernel's count of the nanoseconds that this thread has run: unlike the clock, it stands still while others run.
const schedstat = openSync(`/proc/self/task/${process.pid}/schedstat`)
const text = Buffer.alloc(64)
const ranNs = () =>
  Number(text.toString('latin1', 0, readSync(schedstat, text, 0, text.length, 0)).split(' ', 1)[0])

// Two histograms of what has passed from one timer to the next: by the clock, and of this thread's own work.
const [clock, own] = [createHistogram(), createHistogram()]
let [tickedMs, ran] = [performance.now(), ranNs()]
setInterval(() => {
  const [nowMs, now] = [performance.now(), ranNs()]
  clock.record(Math.max(1, Math.round((nowMs - tickedMs) * 1e6)))
  own.record(Math.max(1, now - ran))
  tickedMs = nowMs
  ran = now
}, everyMs).unref()

let collections = []
const keep = entries => {
  for (const { detail, duration } of entries) collections.push({ kind: kinds[detail.kind], ms: duration })
}
const observer = new PerformanceObserver(list => keep(list.getEntries()))
observer.observe({ entryTypes: ['gc'] })

const shares = [50, 90, 99, 99.9, 99.99, 100]
const percentilesOf = histogram => shares.map(share => [share, histogram.percentile(share) / 1e6])

process.on('SIGUSR2', () => {
  keep(observer.takeRecords())
  const pauses = { own: percentilesOf(own), clock: percentilesOf(clock), collections }
  writeFileSync(`${file}.new`, JSON.stringify(pauses))
  renameSync(`${file}.new`, file)
  clock.reset()
  own.reset()
  collections = []
})
