import { statSync } from 'node:fs'

const othersAny = 0o007
const groupWrite = 0o020

/**
 * Which of these files, as their path and mode, users may read or write who should not: anybody, or write the group.
 * A group may read: that is how a service gets a file of root's, and Kubernetes mounts its secrets so. Files that
 * cannot be looked at are left to whoever reads them; Windows has no such modes.
 */
export function looseModes(paths: readonly string[]): { readonly path: string; readonly mode: string }[] {
  if (process.platform === 'win32') return []
  return paths.flatMap(path => {
    const mode = modeOf(path)
    return mode & (othersAny | groupWrite) ? [{ path, mode: mode.toString(8).padStart(4, '0') }] : []
  })
}

function modeOf(path: string): number {
  try {
    return statSync(path).mode & 0o777
  } catch {
    return 0
  }
}
