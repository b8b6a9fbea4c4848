import { access, constants } from 'node:fs/promises'
import { dirname, resolve } from 'node:path'
import type { Log } from '../telemetry/log.js'
import { errnoOf } from './errno.js'

/**
 * Looks whether the state directory can be written, or made. A server without can open sockets, but what is revoked by
 * `/disconnect` can not be kept: better known at the start than in the emergency.
 */
export async function warnOfReadOnlyState(path: string, log: Log): Promise<void> {
  for (let at = resolve(path); ; at = dirname(at)) {
    try {
      return await access(at, constants.W_OK)
    } catch (error) {
      if (errnoOf(error) === 'ENOENT' && at !== dirname(at)) continue
      log.warn(
        { path, reason: errnoOf(error) },
        'the state directory can not be written, so /disconnect will fail: make it writable, or set TICKETGATE_STATE_DIR',
      )
      return
    }
  }
}
