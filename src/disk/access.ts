import { statSync } from 'node:fs'
import { dirname, resolve } from 'node:path'

const octal = (mode: number): string => (mode & 0o7777).toString(8).padStart(4, '0')

/**
 * Who may use a path, and who is asking, for the message that says why it could not be used. Of a path that does not
 * exist, or cannot be looked at, it tells about the nearest directory above.
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
      if (at === dirname(at)) return `${path} cannot be looked at${us}`
    }
  }
}

const owner = (uid: number, gid: number | undefined): string => `user ${uid}, group ${gid}`
