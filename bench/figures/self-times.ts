import { relative } from 'node:path'
import { fileURLToPath } from 'node:url'

/**
 * The required part of a .cpuprofile: samples are ids of nodes, each with the time since the
 * previous one.
 */
export interface CpuProfile {
  readonly nodes: readonly {
    readonly id: number
    readonly callFrame: { readonly functionName: string; readonly url: string; readonly lineNumber: number }
  }[]
  /** Microseconds of the monotonic clock. */
  readonly startTime: number
  readonly samples: readonly number[]
  readonly timeDeltas: readonly number[]
}

const root = fileURLToPath(new URL('../..', import.meta.url))

/** Self time by function from `begin` on, in microseconds, longest first, without idle time. */
export const selfTimes = (
  { nodes, startTime, samples, timeDeltas }: CpuProfile,
  begin: number,
): [string, number][] => {
  const names = new Map(
    nodes.map(({ id, callFrame: { functionName, url, lineNumber } }) => {
      const file = url.startsWith('file://') ? relative(root, fileURLToPath(url)) : url
      const place = file === '' ? '' : ` ${file.replace(/^node_modules\//, '')}:${lineNumber + 1}`
      return [id, `${functionName || '(anonymous)'}${place}`]
    }),
  )
  const times = new Map<string, number>()
  let at = startTime
  samples.forEach((id, i) => {
    at += timeDeltas[i] ?? 0
    if (at < begin) return
    const name = names.get(id) ?? '(unknown)'
    // A delta is the time up to its sample, so the time after a sample is in the next delta.
    times.set(name, (times.get(name) ?? 0) + (timeDeltas[i + 1] ?? 0))
  })
  times.delete('(idle)')
  return [...times].sort(([, a], [, b]) => b - a)
}
