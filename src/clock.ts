import { uptime } from 'node:os'
import { getEnvironmentData, setEnvironmentData } from 'node:worker_threads'

/**
 * The one clock. Unix time in milliseconds (with fractions), anchored once on the monotonic clock,
 * so it never goes backwards within a process: stepping the system clock revives no ticket.
 */
export type Clock = () => number

/** What the clock is computed from, all in milliseconds. */
export interface TimeSources {
  /** The Unix time at which the process started, according to the system clock at that time. */
  readonly startedAtMs: number
  /** Since the process started; stands still while the machine sleeps. */
  monotonicMs(): number
  /** Since the machine started, including sleep. NaN if the system does not report it. */
  uptimeMs(): number
  /** Unix time, as the system clock is set. */
  systemMs(): number
}

/** What the threads of a process share, so that all have the same clock, whenever they start. */
interface ClockState {
  /** How long the machine had been up when the process started. */
  readonly bootedMs: number
  /** How many seconds the machine has slept since. */
  readonly sleptSeconds: Int32Array
}

const checkEveryMs = 1000

// Some systems report their uptime in whole seconds.
const leastSleepSeconds = 2

export const startClock = ({ monotonicMs, uptimeMs }: TimeSources): ClockState => ({
  bootedMs: uptimeMs() - monotonicMs(),
  sleptSeconds: new Int32Array(new SharedArrayBuffer(4)),
})

/**
 * Returns the clock. If the machine has slept, its uptime shows it within a second of waking, and
 * the clock catches up: a session must not outlive its token by a night. It never catches up by
 * more than the system clock has advanced, so neither a step of that clock nor an odd uptime moves
 * this one alone.
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
  // Not Date.now() minus the monotonic clock: Date.now() is rounded down, so tokens signed
  // elsewhere at this instant would be dated ahead of us.
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

/** The state of this process: the first thread creates it, and the threads it starts find it. */
function ofProcess(): ClockState {
  const known = getEnvironmentData(stateName) as ClockState | undefined
  if (known !== undefined) return known
  const state = startClock(machine)
  setEnvironmentData(stateName, state)
  return state
}

export const clock: Clock = createClock(machine, ofProcess())

/** Converts Unix milliseconds to Unix seconds, rounded down, as clients and JWTs use them. */
export const toSeconds = (unixMs: number): number => Math.floor(unixMs / 1000)
