import { unwatchFile, watchFile as watch } from 'node:fs'

// Polled: file events do not reach every mount (containers replace whole directories of secrets by a link).
const intervalMs = 2_000

/**
 * Calls `onChange` when a file has changed, within some seconds, and on every SIGHUP.
 * Answers what ends the watch.
 */
export function watchFile(path: string, onChange: () => void): () => void {
  const listener = (): void => onChange()
  watch(path, { interval: intervalMs, persistent: false }, listener)
  process.on('SIGHUP', listener)
  return () => {
    unwatchFile(path, listener)
    process.removeListener('SIGHUP', listener)
  }
}
