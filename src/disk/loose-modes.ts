import { statSync } from 'node:fs'

const othersAny = 0o007
const othersWrite = 0o002
const groupWrite = 0o020

/** A file that too many users can access. */
export interface LooseFile {
  readonly path: string
  /** Its mode, in octal. */
  readonly mode: string
}

/**
 * Returns each file with secrets that too many users can access: all users can read or write it, or
 * its group can write. Group read is fine: services read files of root that way, and Kubernetes
 * mounts secrets so. Skips files that cannot be inspected, and Windows, which has no such modes.
 */
export const looseModes = (paths: readonly string[]): readonly LooseFile[] =>
  filesWith(paths, othersAny | groupWrite)

/** Likewise, returns each file without secrets that all users or its group can write. */
export const writableByOthers = (paths: readonly string[]): readonly LooseFile[] =>
  filesWith(paths, othersWrite | groupWrite)

function filesWith(paths: readonly string[], bits: number): readonly LooseFile[] {
  if (process.platform === 'win32') return []
  return paths.flatMap(path => {
    const mode = modeOf(path)
    return mode & bits ? [{ path, mode: mode.toString(8).padStart(4, '0') }] : []
  })
}

function modeOf(path: string): number {
  try {
    return statSync(path).mode & 0o777
  } catch {
    return 0
  }
}
