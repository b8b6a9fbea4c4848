import { join } from 'node:path'
import { clock } from '../clock.js'
import { type Config, readTicketKeys } from '../config.js'
import type { KeyRing, TicketKey } from '../ticket/key-ring.js'
import { longestTicketSeconds, ownTicketsOnly, type TicketPolicy } from '../ticket/verifier.js'
import { openHighWater } from './high-water.js'
import type { Log } from './log.js'
import { watchFile } from './watch-file.js'

/** The keys a gate verifies with now, and what it demands of tickets under those of outside minters. */
export interface Keys {
  readonly ring: () => KeyRing
  readonly policy: TicketPolicy
  close(): void
}

const hasOutsideKeys = (config: Config): boolean =>
  config.ticketKeys !== undefined || config.ticketKeysFile !== undefined

/** The longest time that a ticket can be good here, in milliseconds. */
export const longestTicketMs = (config: Config): number =>
  1000 * (hasOutsideKeys(config) ? longestTicketSeconds(config.clockSkewSeconds) : config.ticketTtlSeconds)

/** The clock mark of a gate as all its threads see it: two 64-bit words, when it was born and until when it may spend. */
export type HighWaterView = SharedArrayBuffer

/**
 * Keeps the clock mark of this gate; undefined when it knows no outside minters and so needs none.
 * @throws StartupError `high_water_invalid`
 */
export async function keepHighWater(
  config: Config,
  log: Log,
): Promise<{ readonly view: HighWaterView; close(): void } | undefined> {
  if (!hasOutsideKeys(config)) return undefined
  const view = new SharedArrayBuffer(16)
  const words = new BigInt64Array(view)
  const highWater = await openHighWater(join(config.stateDir, `clock-${config.node}`), {
    clock,
    onMark: untilMs => void Atomics.store(words, 1, BigInt(untilMs)),
    onError: error => log.error({ err: error }, 'tickets of outside minters will be refused'),
  })
  Atomics.store(words, 0, BigInt(highWater.bornAtMs))
  return { view, close: highWater.close }
}

const ringOf = (keys: readonly TicketKey[]): KeyRing => new Map(keys.map(key => [key.id, key]))

/**
 * Opens the configured keys beside the gate's own. Their file is read again when it changes and on SIGHUP; a broken
 * one changes nothing and is logged.
 */
export function openKeys(
  config: Config,
  bootKey: TicketKey,
  log: Log,
  highWater: HighWaterView | undefined,
): Keys {
  const own = { ...ownTicketsOnly, node: config.node ?? '' }
  if (highWater === undefined) {
    const ring = ringOf([bootKey])
    return { ring: () => ring, policy: own, close() {} }
  }

  let ring = ringOf([bootKey, ...readTicketKeys(config)])
  const reload = (): void => {
    try {
      ring = ringOf([bootKey, ...readTicketKeys(config)])
      log.info({ keys: ring.size - 1 }, 'ticket keys read')
    } catch (error) {
      log.error({ err: error }, 'the ticket keys are broken; those read before stay')
    }
  }
  const words = new BigInt64Array(highWater)
  const skewMs = config.clockSkewSeconds * 1000
  return {
    ring: () => ring,
    policy: {
      ...own,
      skewMs,
      earliestOutsideMs: Number(Atomics.load(words, 0)) + skewMs,
      get outsideUntilMs() {
        return Number(Atomics.load(words, 1))
      },
    },
    close: config.ticketKeysFile === undefined ? () => {} : watchFile(config.ticketKeysFile, reload),
  }
}
