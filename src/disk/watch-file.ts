import { type Stats, statSync } from 'node:fs'
import { stat } from 'node:fs/promises'

// Polled: file events do not reach every mount (containers replace whole directories of secrets by a link).
const intervalMs = 2_000

/** Calls `onChange` as {@link watchFiles} does, for one file. */
export const watchFile = (path: string, onChange: () => void): (() => void) => watchFiles([path], onChange)

/**
 * Calls `onChange` when any of these files has changed since now, within some seconds, and on every SIGHUP. Returns what
 * ends the watch. Not `fs.watchFile`: what changes before its first look, some time later, it never tells.
 */
export function watchFiles(paths: readonly string[], onChange: () => void): () => void {
  let seen = paths.map(path => stateOf(statSync(path, { throwIfNoEntry: false }))).join()
  const look = async (): Promise<void> => {
    const now = (await Promise.all(paths.map(path => stat(path).then(stateOf, () => gone)))).join()
    if (now === seen) return
    seen = now
    if (!ended) onChange()
  }
  let ended = false
  let looking = Promise.resolve()
  const timer = setInterval(() => {
    looking = looking.then(look)
  }, intervalMs)
  timer.unref()
  const listener = (): void => onChange()
  process.on('SIGHUP', listener)
  return () => {
    ended = true
    clearInterval(timer)
    process.removeListener('SIGHUP', listener)
  }
}

const gone = 'gone'

/** Another after every change: a file that is written, replaced, gone, or behind another link. */
const stateOf = (stats: Stats | undefined): string =>
  stats === undefined ? gone : [stats.dev, stats.ino, stats.size, stats.mtimeMs, stats.ctimeMs].join()
