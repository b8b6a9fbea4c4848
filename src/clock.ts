import { getEnvironmentData, setEnvironmentData } from 'node:worker_threads'

/**
 * The one clock. Unix time in milliseconds (with fractions), anchored once on the monotonic clock.
 * It never goes backwards within a process, so stepping the system clock revives no ticket. It
 * follows the system clock ahead: a monotonic clock stands still while the machine sleeps or its
 * virtual machine is paused, and no credential may live on for that long.
 */
export type Clock = () => number

/** What the clock is computed from, all in milliseconds. */
export interface TimeSources {
  /** The Unix time at which the process started, according to the system clock at that time. */
  readonly startedAtMs: number
  /** Since the process started; stands still while the machine sleeps or is paused. */
  monotonicMs(): number
  /** Unix time, as the system clock is set. */
  systemMs(): number
}

/** How many seconds all threads of a process are ahead of the monotonic clock: one 32-bit word. */
type SecondsAdded = Int32Array

const checkEveryMs = 1000

const mostSeconds = 2 ** 31 - 1

export const startClock = (): SecondsAdded => new Int32Array(new SharedArrayBuffer(4))

/**
 * Returns the clock. Within a second, it catches up with a system clock that is a second or more
 * ahead. Nothing tells a machine that slept from a clock that was set, so it believes either: what
 * may have expired is refused. It ignores a system clock that is behind.
 */
export function createClock(
  { startedAtMs, monotonicMs, systemMs }: TimeSources,
  secondsAdded: SecondsAdded,
): Clock {
  let checkAtMs = 0

  function check(ms: number): void {
    checkAtMs = ms + checkEveryMs
    const added = Atomics.load(secondsAdded, 0)
    const missed = Math.floor((systemMs() - startedAtMs - ms) / 1000) - added
    if (missed >= 1) Atomics.compareExchange(secondsAdded, 0, added, Math.min(added + missed, mostSeconds))
  }

  return () => {
    const ms = monotonicMs()
    if (ms >= checkAtMs) check(ms)
    return startedAtMs + ms + Atomics.load(secondsAdded, 0) * 1000
  }
}

const machine: TimeSources = {
  // Not Date.now() minus the monotonic clock: Date.now() is rounded down, so tokens signed
  // elsewhere at this instant would be dated ahead of us.
  startedAtMs: performance.timeOrigin,
  monotonicMs: () => performance.now(),
  systemMs: Date.now,
}

const stateName = 'ticketgate.clock'

/** The state of this process: the first thread creates it, and the threads it starts find it. */
function ofProcess(): SecondsAdded {
  const known = getEnvironmentData(stateName) as SecondsAdded | undefined
  if (known !== undefined) return known
  const state = startClock()
  setEnvironmentData(stateName, state)
  return state
}

export const clock: Clock = createClock(machine, ofProcess())

/**
 * Unix time that does not follow the system clock. It decides what is forgotten on disk and in
 * Redis, where a clock that was set ahead by mistake would do harm beyond this process.
 */
export const steadyClock: Clock = () => machine.startedAtMs + machine.monotonicMs()

/** Converts Unix milliseconds to Unix seconds, rounded down, as clients and JWTs use them. */
export const toSeconds = (unixMs: number): number => Math.floor(unixMs / 1000)
