import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { isJsonObject } from '../protocol.js'

/**
 * Where a server listens, for health checks that share its environment but not its flags: they
 * would use the wrong address. In the state directory, only if the two addresses differ.
 */
interface ServedAddress {
  /**
   * The address that the environment alone gives. It identifies the server that the record is
   * about.
   */
  readonly instead: string
  readonly url: string
}

const fileIn = (stateDir: string): string => join(stateDir, 'listening.json')

/**
 * Records that a server listens at `url` instead of at `instead`. Errors are ignored, as only
 * health checks depend on it.
 */
export function recordAddress(stateDir: string, { instead, url }: ServedAddress): void {
  try {
    if (instead === url) return rmSync(fileIn(stateDir), { force: true })
    mkdirSync(stateDir, { recursive: true, mode: 0o700 })
    writeFileSync(fileIn(stateDir), `${JSON.stringify({ instead, url })}\n`, { mode: 0o600 })
  } catch {
    // An unwritable state directory has been warned about already.
  }
}

/**
 * Returns where the server listens that the environment alone would place at `instead`. Returns
 * undefined if nothing is recorded.
 */
export function recordedAddress(stateDir: string, instead: string): string | undefined {
  try {
    const note: unknown = JSON.parse(readFileSync(fileIn(stateDir), 'utf8'))
    if (isJsonObject(note) && note.instead === instead && typeof note.url === 'string') return note.url
  } catch {
    // There is no record.
  }
  return undefined
}
