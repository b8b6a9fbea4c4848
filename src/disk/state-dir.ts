// disk/: what a gate keeps in files, and how they survive crashes. It decides nothing about a request.

import { constants } from 'node:fs'
import { access } from 'node:fs/promises'
import { dirname, resolve } from 'node:path'
import { StartupError } from '../errors.js'
import type { Log } from '../telemetry/log.js'
import { accessFacts } from './access.js'
import { errnoOf } from './errno.js'

/**
 * Looks whether the state directory can be used. One that cannot be read stops the start, since what is in it counts:
 * users, and revocations. One that cannot be written, or made, is warned about: a server can open sockets without it,
 * but what `/disconnect` revokes cannot be kept, which is better known at the start than in the emergency.
 * @throws StartupError `state_directory_unavailable`
 */
export async function checkStateDirectory(path: string, log: Log): Promise<void> {
  const unreadable = await refusalOf(path, constants.R_OK | constants.X_OK)
  if (unreadable !== undefined && unreadable !== 'ENOENT')
    throw new StartupError(
      'state_directory_unavailable',
      `The state directory ${resolve(path)} cannot be read (${unreadable}): ${accessFacts(path)}. Run as its owner, let this user or group into it, or set TICKETGATE_STATE_DIR.`,
    )
  const unwritable = await unwritableReason(path)
  if (unwritable !== undefined)
    log.warn(
      { path: resolve(path), reason: unwritable, access: accessFacts(path) },
      'the state directory cannot be written, so /disconnect will fail: make it writable, or set TICKETGATE_STATE_DIR',
    )
}

/** Why a directory cannot be written, or made where it is missing; undefined when it can. */
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
