import { statSync } from 'node:fs'
import { dirname, resolve } from 'node:path'

const octal = (mode: number): string => (mode & 0o7777).toString(8).padStart(4, '0')

/**
 * Describes who may use a path, and which user this process runs as, for error messages. If the
 * path does not exist or cannot be inspected, describes the nearest directory above it.
 */
export function accessFacts(path: string): string {
  const us =
    process.getuid === undefined
      ? ''
      : `; this process runs as ${owner(process.getuid(), process.getgid?.())}`
  for (let at = resolve(path); ; at = dirname(at)) {
    try {
      const { mode, uid, gid } = statSync(at)
      return `${at} has mode ${octal(mode)} and belongs to ${owner(uid, gid)}${us}`
    } catch {
      if (at === dirname(at)) return `${path} cannot be inspected${us}`
    }
  }
}

const owner = (uid: number, gid: number | undefined): string => `user ${uid}, group ${gid}`
