import { type Stats, statSync } from 'node:fs'
import { stat } from 'node:fs/promises'

// Polls, because file events do not reach every mount. Containers replace whole directories of
// secrets through a link.
const intervalMs = 2_000

/** Like {@link watchFiles}, for one file. */
export const watchFile = (path: string, onChange: () => void, since?: FileStates): (() => void) =>
  watchFiles([path], onChange, since)

/**
 * Calls `onChange` within seconds of a change to any of the files, and on every SIGHUP. Returns a
 * function that ends the watch. `fs.watchFile` would miss changes before its first look.
 *
 * @param since how {@link lookAt} saw the files before they were read: no change after that is
 *   missed, however long it took to read them
 */
export function watchFiles(
  paths: readonly string[],
  onChange: () => void,
  since: FileStates = lookAt(paths),
): () => void {
  let seen = since.join()
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

/** For each file, a text that differs after every change to it. */
export type FileStates = readonly string[]

export const lookAt = (paths: readonly string[]): FileStates =>
  paths.map(path => stateOf(statSync(path, { throwIfNoEntry: false })))

const gone = 'gone'

/** A text that differs after every change: written, replaced, removed, or behind another link. */
const stateOf = (stats: Stats | undefined): string =>
  stats === undefined ? gone : [stats.dev, stats.ino, stats.size, stats.mtimeMs, stats.ctimeMs].join()
