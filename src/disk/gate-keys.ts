import { join } from 'node:path'
import { clock } from '../clock.js'
import { atStart } from '../config/at-start.js'
import type { Config } from '../config/schema.js'
import { readTicketKeys } from '../config/ticket-keys.js'
import type { Log } from '../telemetry/log.js'
import type { KeyRing, TicketKey } from '../ticket/key-ring.js'
import { longestTicketSeconds, ownTicketsOnly, type TicketPolicy } from '../ticket/verifier.js'
import { ClockMark } from './clock-mark.js'
import { lookAt, watchFile } from './watch-file.js'

/** The keys that a gate verifies with now, and its policy for tickets of outside minters. */
export interface Keys {
  readonly ring: () => KeyRing
  /** The key that this gate signs with. */
  readonly signing: () => TicketKey
  readonly policy: TicketPolicy
  close(): void
}

const hasOutsideKeys = (config: Config): boolean =>
  config.ticketKeys !== undefined || config.ticketKeysFile !== undefined

/**
 * The longest life of an outside minter's ticket here, in milliseconds. Undefined if there are
 * none.
 */
export const longestOutsideMs = (config: Config): number | undefined =>
  hasOutsideKeys(config) ? 1000 * longestTicketSeconds(config.clockSkewSeconds) : undefined

/** The clock mark of a gate, shared by its threads: two 64-bit words. */
export type ClockMarkView = SharedArrayBuffer

/**
 * Index of the words: the least `issuedAt` of outside tickets, and until when the gate may spend
 * them. Unix milliseconds.
 */
const word = { earliestOutsideMs: 0, untilMs: 1 } as const

/**
 * Keeps the clock mark of this gate. Returns undefined if the gate needs none: it has no outside
 * minters, or spent tickets outlive it in a store.
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
    skewMs: config.clockSkewSeconds * 1000,
    onMark: untilMs => void Atomics.store(words, word.untilMs, BigInt(untilMs)),
    onError: error => log.error({ err: error }, 'tickets of outside minters will be refused'),
  })
  Atomics.store(words, word.earliestOutsideMs, BigInt(clockMark.earliestOutsideMs))
  return { view, close: () => clockMark.close() }
}

const ringOf = (keys: readonly TicketKey[]): KeyRing => new Map(keys.map(key => [key.id, key]))

/**
 * Opens the keys of a gate: its own and the configured ones. If gates share a store, there are only
 * configured keys, and the first of them signs.
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
      // The epoch tells which tickets are too old. No clock does.
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
      earliestOutsideMs: Number(Atomics.load(words, word.earliestOutsideMs)),
      get outsideUntilMs() {
        return Number(Atomics.load(words, word.untilMs))
      },
    },
    close,
  }
}

interface ConfiguredKeys {
  ring: KeyRing
  /** The first configured key. */
  first: TicketKey | undefined
}

/**
 * Opens the configured keys, in addition to `others`. Rereads their file when it changes and on
 * SIGHUP; a broken file changes nothing and is logged.
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
  const { ticketKeysFile } = config
  const since = ticketKeysFile === undefined ? undefined : lookAt([ticketKeysFile])
  const keys = atStart(read)
  const reload = (): void => {
    try {
      Object.assign(keys, read())
      log.info({ keys: keys.ring.size - others.length }, 'ticket keys read')
    } catch (error) {
      log.error({ err: error }, 'the ticket keys are broken: the previous ones stay in use')
    }
  }
  return {
    keys,
    close: ticketKeysFile === undefined ? () => {} : watchFile(ticketKeysFile, reload, since),
  }
}
