// disk/: the files of a gate, and how they survive crashes. It decides nothing about requests.

import { constants } from 'node:fs'
import { access } from 'node:fs/promises'
import { dirname, resolve } from 'node:path'
import { StartupError } from '../errors.js'
import type { Log } from '../telemetry/log.js'
import { accessFacts } from './access.js'
import { errnoOf } from './errno.js'

/**
 * Checks the state directory. The start fails if it cannot be read, because users and revocations
 * may be in it. It only warns if the directory cannot be created or written: such a server can open
 * sockets, but cannot keep what `/disconnect` revokes.
 * @throws StartupError `state_directory_unavailable`
 */
export async function checkStateDirectory(path: string, log: Log): Promise<void> {
  const unreadable = await refusalOf(path, constants.R_OK | constants.X_OK)
  if (unreadable !== undefined && unreadable !== 'ENOENT')
    throw new StartupError(
      'state_directory_unavailable',
      `The state directory ${resolve(path)} cannot be read (${unreadable}): ${accessFacts(path)}. Run as its owner, give this user or group access, or set TICKETGATE_STATE_DIR.`,
    )
  const unwritable = await unwritableReason(path)
  if (unwritable !== undefined)
    log.warn(
      { path: resolve(path), reason: unwritable, access: accessFacts(path) },
      'the state directory cannot be written, so /disconnect will fail: make it writable, or set TICKETGATE_STATE_DIR',
    )
}

/**
 * Returns why a directory cannot be written, or created if it is missing. Returns undefined if it
 * can.
 */
async function unwritableReason(path: string): Promise<string | undefined> {
  for (let at = resolve(path); ; at = dirname(at)) {
    const reason = await refusalOf(at, constants.W_OK | constants.X_OK)
    if (reason !== 'ENOENT' || at === dirname(at)) return reason
  }
}

async function refusalOf(path: string, mode: number): Promise<string | undefined> {
  try {
    await access(path, mode)
    return undefined
  } catch (error) {
    return errnoOf(error)
  }
}
