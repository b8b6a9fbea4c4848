import { PerformanceObserver } from 'node:perf_hooks'
import { type Durations, observe } from './durations.js'

const intervalMs = 100

export interface RuntimeDurations {
  readonly eventLoopDelay: Durations
  readonly garbageCollection: Durations
}

/**
 * Measures how late the timers of this thread are, and how long its garbage collections take, until
 * it is closed. Does not keep the process alive.
 */
export function watchRuntime({ eventLoopDelay, garbageCollection }: RuntimeDurations): { close(): void } {
  let dueMs = performance.now() + intervalMs
  const timer = setInterval(() => {
    const nowMs = performance.now()
    observe(eventLoopDelay, Math.max(0, nowMs - dueMs))
    dueMs = nowMs + intervalMs
  }, intervalMs)
  timer.unref()
  const observer = new PerformanceObserver(list => {
    for (const { duration } of list.getEntries()) observe(garbageCollection, duration)
  })
  observer.observe({ entryTypes: ['gc'] })
  return {
    close() {
      clearInterval(timer)
      observer.disconnect()
    },
  }
}
