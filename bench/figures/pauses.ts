import { digits } from './text.js'

/**
 * From one timer of an event loop to the next, which is due a millisecond later: when it ended, how
 * long it took by the clock, how long the thread has run, how long it was ready to run while others
 * had the cores, in milliseconds, and how many events it has handled.
 */
export type Tick = readonly [endMs: number, clockMs: number, ownMs: number, waitedMs: number, events: number]

/** A garbage collection, by the clock. */
export interface Collection {
  readonly kind: string
  readonly startMs: number
  readonly ms: number
}

export interface Recorded {
  readonly ticks: readonly Tick[]
  readonly collections: readonly Collection[]
}

/** What a tick was spent on, in milliseconds. */
export interface Pause {
  readonly clockMs: number
  /** The usual time of the events handled, many of which may have come at once. */
  readonly eventsMs: number
  readonly garbageMs: number
  /** The thread's own work beyond these. */
  readonly restMs: number
  /** Others had the cores. */
  readonly waitedMs: number
}

const median = (values: readonly number[]): number =>
  values.toSorted((a, b) => a - b)[values.length >> 1] ?? 0

/** Tells the causes of each tick apart. */
export function causesOf({ ticks, collections }: Recorded): Pause[] {
  const usual = median(ticks.flatMap(([, , ownMs, , events]) => (events >= 5 ? [ownMs / events] : [])))
  let next = 0
  return ticks.map(([endMs, clockMs, ownMs, waitedMs, events]) => {
    let collectedMs = 0
    for (let one = collections[next]; one !== undefined && one.startMs < endMs; one = collections[++next])
      collectedMs += one.ms
    // A collection waits for a core like any other work.
    const garbageMs = Math.max(0, Math.min(collectedMs, clockMs) - Math.min(waitedMs, collectedMs))
    const eventsMs = Math.min(events * usual, Math.max(0, ownMs - garbageMs))
    return { clockMs, eventsMs, garbageMs, restMs: Math.max(0, ownMs - garbageMs - eventsMs), waitedMs }
  })
}

/** How long a pause was that the server itself has caused. */
export const ownPause = ({ garbageMs, restMs }: Pause): number => garbageMs + restMs

const bounds = [1, 2, 5, 10, 20, 50]

/** A histogram as text: how many pauses were longer than each bound, by cause. */
export function pauseTable(pauses: readonly Pause[]): string {
  const columns: readonly (readonly [string, (pause: Pause) => number])[] = [
    ['by the clock', one => one.clockMs],
    ['events at once', one => one.eventsMs],
    ['garbage', one => one.garbageMs],
    ['other work', one => one.restMs],
    ['its own: the last two', ownPause],
    ['waited for a core', one => one.waitedMs],
  ]
  const width = Math.max(...columns.map(([name]) => name.length))
  const lines = columns.map(([name, of]) => {
    const values = pauses.map(of)
    const counts = bounds.map(bound => String(values.filter(ms => ms > bound).length).padStart(6))
    return `${name.padEnd(width)}${counts.join('')}  ${digits(Math.max(0, ...values)).padStart(7)}`
  })
  const head = `${`of ${pauses.length} ticks`.padEnd(width)}${bounds.map(ms => `>${ms}`.padStart(6)).join('')}  longest, ms`
  return [head, ...lines].join('\n')
}
