import { join } from 'node:path'
import { clock } from '../clock.js'
import type { Config } from '../config/schema.js'
import { readTicketKeys } from '../config/ticket-keys.js'
import type { Log } from '../telemetry/log.js'
import type { KeyRing, TicketKey } from '../ticket/key-ring.js'
import { longestTicketSeconds, ownTicketsOnly, type TicketPolicy } from '../ticket/verifier.js'
import { ClockMark } from './clock-mark.js'
import { watchFile } from './watch-file.js'

/** The keys a gate verifies with now, and what it demands of tickets under those of outside minters. */
export interface Keys {
  readonly ring: () => KeyRing
  /** What this gate signs with. */
  readonly signing: () => TicketKey
  readonly policy: TicketPolicy
  close(): void
}

const hasOutsideKeys = (config: Config): boolean =>
  config.ticketKeys !== undefined || config.ticketKeysFile !== undefined

/** The longest time that a ticket of an outside minter can be good here, in milliseconds; undefined where there is none. */
export const longestOutsideMs = (config: Config): number | undefined =>
  hasOutsideKeys(config) ? 1000 * longestTicketSeconds(config.clockSkewSeconds) : undefined

/** The clock mark of a gate as all its threads see it: two 64-bit words. */
export type ClockMarkView = SharedArrayBuffer

/** Which word says when it was born, and which until when it may spend. Unix milliseconds. */
const word = { bornAtMs: 0, untilMs: 1 } as const

/**
 * Keeps the clock mark of this gate; undefined when it needs none: it knows no outside minters, or what was spent outlives
 * it in a store.
 * @throws StartupError `clock_mark_invalid`
 */
export async function keepClockMark(
  config: Config,
  log: Log,
): Promise<{ readonly view: ClockMarkView; close(): void } | undefined> {
  if (!hasOutsideKeys(config) || config.replay === 'redis') return undefined
  const view = new SharedArrayBuffer(16)
  const words = new BigInt64Array(view)
  const clockMark = await ClockMark.open(join(config.stateDir, `clock-${config.node}`), {
    clock,
    onMark: untilMs => void Atomics.store(words, word.untilMs, BigInt(untilMs)),
    onError: error => log.error({ err: error }, 'tickets of outside minters will be refused'),
  })
  Atomics.store(words, word.bornAtMs, BigInt(clockMark.bornAtMs))
  return { view, close: () => clockMark.close() }
}

const ringOf = (keys: readonly TicketKey[]): KeyRing => new Map(keys.map(key => [key.id, key]))

/**
 * Opens the keys of a gate: its own, and beside it the configured ones. With a store that all gates share there are only
 * those, and the first signs.
 */
export function openTicketKeys(
  config: Config,
  bootKey: TicketKey,
  log: Log,
  clockMark: ClockMarkView | undefined,
): Keys {
  const own = { ...ownTicketsOnly, node: config.node ?? '' }
  const skewMs = config.clockSkewSeconds * 1000
  if (config.replay === 'redis') {
    const { keys, close } = openConfiguredKeys(config, log, [])
    return {
      ring: () => keys.ring,
      signing: () => keys.first ?? bootKey,
      // The epoch says which tickets are too old, in place of a clock.
      policy: { ...own, skewMs, earliestOutsideMs: 0, outsideUntilMs: Number.POSITIVE_INFINITY, store: true },
      close,
    }
  }
  if (clockMark === undefined) {
    const ring = ringOf([bootKey])
    return { ring: () => ring, signing: () => bootKey, policy: own, close() {} }
  }
  const { keys, close } = openConfiguredKeys(config, log, [bootKey])
  const words = new BigInt64Array(clockMark)
  return {
    ring: () => keys.ring,
    signing: () => bootKey,
    policy: {
      ...own,
      skewMs,
      earliestOutsideMs: Number(Atomics.load(words, word.bornAtMs)) + skewMs,
      get outsideUntilMs() {
        return Number(Atomics.load(words, word.untilMs))
      },
    },
    close,
  }
}

interface ConfiguredKeys {
  ring: KeyRing
  /** The first of the configured ones. */
  first: TicketKey | undefined
}

/**
 * The configured keys beside `others`. Their file is read again when it changes and on SIGHUP; a broken one changes
 * nothing and is logged.
 */
function openConfiguredKeys(
  config: Config,
  log: Log,
  others: readonly TicketKey[],
): { readonly keys: Readonly<ConfiguredKeys>; close(): void } {
  const read = (): ConfiguredKeys => {
    const configured = readTicketKeys(config)
    return { ring: ringOf([...others, ...configured]), first: configured[0] }
  }
  const keys = read()
  const reload = (): void => {
    try {
      Object.assign(keys, read())
      log.info({ keys: keys.ring.size - others.length }, 'ticket keys read')
    } catch (error) {
      log.error({ err: error }, 'the ticket keys are broken; those read before stay')
    }
  }
  return {
    keys,
    close: config.ticketKeysFile === undefined ? () => {} : watchFile(config.ticketKeysFile, reload),
  }
}
