import { type Stats, statSync } from 'node:fs'
import { stat } from 'node:fs/promises'

// Polled: file events do not reach every mount (containers replace whole directories of secrets by a link).
const intervalMs = 2_000

/**
 * Calls `onChange` when a file has changed since now, within some seconds, and on every SIGHUP.
 * Answers what ends the watch. Not `fs.watchFile`: what changes before its first look, some time later, it never tells.
 */
export function watchFile(path: string, onChange: () => void): () => void {
  let seen = stateOf(statSync(path, { throwIfNoEntry: false }))
  const look = async (): Promise<void> => {
    const now = stateOf(await stat(path).catch(() => undefined))
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

/** Another after every change: a file that is written, replaced, gone, or behind another link. */
const stateOf = (stats: Stats | undefined): string =>
  stats === undefined ? 'gone' : [stats.dev, stats.ino, stats.size, stats.mtimeMs, stats.ctimeMs].join()
