import { availableParallelism } from 'node:os'
import { clock, toSeconds } from '../clock.js'
import type { Config } from '../config/schema.js'
import { RevocationFile } from '../disk/revocation-file.js'
import { urlOf } from '../http/listener.js'
import { type Bus, openRedisBus } from '../redis/bus.js'
import type { ServerApi } from '../socket/control.js'
import type { Log } from '../telemetry/log.js'

/** What a gate is built of, in one thread or over several. */

// Logins wait for a hash in this queue; a longer one only makes them time out.
export const maxWaitingLogins = 64

/** How many passwords are hashed at a time: libuv has four threads, and the user file wants one now and then. */
export const hashConcurrency = Math.max(1, Math.min(3, availableParallelism()))

/** A running gate. */
export interface Gate extends ServerApi {
  /**
   * Opens the public and the admin listener.
   * @throws StartupError `port_unavailable`
   */
  listen(): Promise<{ readonly url: string; readonly adminUrl: string }>
  /**
   * Takes no new tickets or sockets, closes what is open in paced batches, then the listeners. Resolves when all is
   * closed, at the latest `drainSeconds` later.
   */
  drain(): Promise<void>
  /** Closes at once all that is open, also while it drains. */
  close(): Promise<void>
}

/** Opens the revocations of this gate. */
export const openRevocations = (config: Config, log: Log): Promise<RevocationFile> =>
  RevocationFile.open(config.stateDir, { nowSeconds: () => toSeconds(clock()), log })

/** The way to the other nodes, where there is one. */
export const openBus = (config: Config, log: Log, file: RevocationFile): Bus | undefined =>
  config.redisUrl === undefined
    ? undefined
    : openRedisBus({
        url: config.redisUrl,
        revocations: () => file.revocations.list(toSeconds(clock())),
        log,
        clock,
      })

/** The URL of the public listener, on `port`; behind a proxy browsers use another. */
export const listenerUrl = ({ host, tlsCertFile }: Config, port: number): string =>
  urlOf(tlsCertFile === undefined ? 'http' : 'https', host, port)
