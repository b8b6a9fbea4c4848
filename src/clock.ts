import { uptime } from 'node:os'
import { getEnvironmentData, setEnvironmentData } from 'node:worker_threads'

/**
 * The one clock. Unix time in milliseconds (with fractions), anchored once on the monotonic clock, so that it
 * never goes backwards within a process: stepping the system clock revives no ticket.
 */
export type Clock = () => number

/** What the clock goes by, in milliseconds each. */
export interface TimeSources {
  /** The Unix time at which the process started, by the system clock then. */
  readonly startedAtMs: number
  /** Since the process started; stands still while the machine sleeps. */
  monotonicMs(): number
  /** Since the machine started, its sleep included. NaN where the system does not say. */
  uptimeMs(): number
  /** Unix time, as somebody has set it. */
  systemMs(): number
}

/** What the threads of a process have in common, so that they have one clock, whenever they were started. */
interface ClockState {
  /** How long the machine had been up then, its sleep since not counted. */
  readonly bootedMs: number
  /** How many seconds it has slept since. */
  readonly sleptSeconds: Int32Array
}

const checkEveryMs = 1000

// Some systems tell their uptime in whole seconds.
const leastSleepSeconds = 2

export const startClock = ({ monotonicMs, uptimeMs }: TimeSources): ClockState => ({
  bootedMs: uptimeMs() - monotonicMs(),
  sleptSeconds: new Int32Array(new SharedArrayBuffer(4)),
})

/**
 * Reads the clock. A machine that has slept is noticed by its uptime, within a second of its waking, and the time is made
 * up for: a session shall not outlive its token by a night. No more is, though, than the system clock has gone on by, so
 * neither a step of that nor an odd uptime moves this clock by itself.
 */
export function createClock(
  { startedAtMs, monotonicMs, uptimeMs, systemMs }: TimeSources,
  { bootedMs, sleptSeconds }: ClockState,
): Clock {
  let checkAtMs = 0

  function check(ms: number): void {
    checkAtMs = ms + checkEveryMs
    const slept = Atomics.load(sleptSeconds, 0)
    const behindMs = systemMs() - (startedAtMs + ms + slept * 1000)
    const missedSeconds = Math.floor(Math.min(uptimeMs() - ms - bootedMs - slept * 1000, behindMs) / 1000)
    if (missedSeconds >= leastSleepSeconds)
      Atomics.compareExchange(sleptSeconds, 0, slept, slept + missedSeconds)
  }

  return () => {
    const ms = monotonicMs()
    if (ms >= checkAtMs) check(ms)
    return startedAtMs + ms + Atomics.load(sleptSeconds, 0) * 1000
  }
}

const machine: TimeSources = {
  // Not Date.now() less the monotonic clock: that is rounded down, and tokens signed elsewhere at this instant would be
  // ahead of us.
  startedAtMs: performance.timeOrigin,
  monotonicMs: () => performance.now(),
  uptimeMs() {
    try {
      return uptime() * 1000
    } catch {
      return Number.NaN
    }
  },
  systemMs: Date.now,
}

const stateName = 'ticketgate.clock'

/** The state of this process: the first thread begins it, and those that it starts find it. */
function ofProcess(): ClockState {
  const known = getEnvironmentData(stateName) as ClockState | undefined
  if (known !== undefined) return known
  const state = startClock(machine)
  setEnvironmentData(stateName, state)
  return state
}

export const clock: Clock = createClock(machine, ofProcess())

/** Unix seconds, rounded down, as clients and JWTs have them. */
export const toSeconds = (unixMs: number): number => Math.floor(unixMs / 1000)
