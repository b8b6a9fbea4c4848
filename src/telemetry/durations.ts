/** Upper bounds of the histogram buckets, in seconds. */
export const bucketSeconds = [
  0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10,
] as const

/**
 * A histogram of durations: the count per bucket, the last bucket being everything above, and the
 * sum.
 */
export interface Durations {
  readonly counts: number[]
  seconds: number
}

export const createDurations = (): Durations => ({
  counts: Array.from({ length: bucketSeconds.length + 1 }, () => 0),
  seconds: 0,
})

/** Counts a duration in milliseconds. */
export function observe(durations: Durations, ms: number): void {
  const seconds = ms / 1000
  let bucket = 0
  while (seconds > (bucketSeconds[bucket] ?? Number.POSITIVE_INFINITY)) bucket++
  durations.counts[bucket] = (durations.counts[bucket] ?? 0) + 1
  durations.seconds += seconds
}

export const sumDurations = (a: Durations, b: Durations): Durations => ({
  counts: a.counts.map((count, bucket) => count + (b.counts[bucket] ?? 0)),
  seconds: a.seconds + b.seconds,
})

/** Frequent operations are sampled: reading the time twice takes 0.15 µs. */
export const sampledOneIn = 16

/** Measures one operation in {@link sampledOneIn}. */
export class Stopwatch {
  readonly #durations: Durations
  #begun = 0

  constructor(durations: Durations) {
    this.#durations = durations
  }

  /** Returns a start time for `stop`, or 0 if this one is not measured. */
  start(): number {
    return this.#begun++ % sampledOneIn === 0 ? performance.now() : 0
  }

  stop(startedMs: number): void {
    if (startedMs !== 0) observe(this.#durations, performance.now() - startedMs)
  }
}
