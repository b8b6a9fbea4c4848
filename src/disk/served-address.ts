import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { isJsonObject } from '../protocol.js'

/**
 * Where a server listens, for a health check that is given the same environment and not the same flags: it would ask
 * at the wrong address. Kept in the state directory, only where the two differ.
 */
interface ServedAddress {
  /** The address that the environment alone gives: the health check of another server does not read this. */
  readonly instead: string
  readonly url: string
}

const fileIn = (stateDir: string): string => join(stateDir, 'listening.json')

/** Notes that a server listens at `url`, and not at `instead`. Nothing depends on it but health checks: no error. */
export function recordAddress(stateDir: string, { instead, url }: ServedAddress): void {
  try {
    if (instead === url) return rmSync(fileIn(stateDir), { force: true })
    mkdirSync(stateDir, { recursive: true, mode: 0o700 })
    writeFileSync(fileIn(stateDir), `${JSON.stringify({ instead, url })}\n`, { mode: 0o600 })
  } catch {
    // A state directory that cannot be written has been warned about.
  }
}

/** Where a server listens that the environment alone would have at `instead`; undefined when none has said so. */
export function recordedAddress(stateDir: string, instead: string): string | undefined {
  try {
    const note: unknown = JSON.parse(readFileSync(fileIn(stateDir), 'utf8'))
    if (isJsonObject(note) && note.instead === instead && typeof note.url === 'string') return note.url
  } catch {
    // There is none.
  }
  return undefined
}
