import { statSync } from 'node:fs'

const othersAny = 0o007
const groupWrite = 0o020

/**
 * Returns the path and mode of each file that too many users can access: all users can read or
 * write it, or its group can write. Group read is fine: services read files of root that way, and
 * Kubernetes mounts secrets so. Skips files that cannot be inspected, and Windows, which has no
 * such modes.
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
