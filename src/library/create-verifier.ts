import { type Clock, clock as processClock } from '../clock.js'
import { retryAfterSeconds } from '../errors.js'
import { isChannelName } from '../protocol.js'
import { outcomeRefusals, type ReplayCache } from '../replay/contract.js'
import { createMemoryReplayCache } from '../replay/memory.js'
import { bindingRefusal } from '../ticket/bindings.js'
import { isNodeName } from '../ticket/codec.js'
import type { KeyRing } from '../ticket/key-ring.js'
import type { AddressLike } from '../ticket/network.js'
import { type TicketPolicy, verifyTicket } from '../ticket/verifier.js'
import { holderOf, type TicketHolder } from './holder.js'
import { requireMembers, requireThat } from './misuse.js'
import { BootKey, readSigningKey, type SigningKey } from './signing-keys.js'
import { TicketError, type TicketErrorCode } from './ticket-error.js'

/** Options of {@link createVerifier}. */
export interface VerifierOptions {
  /** The keys of accepted tickets: a boot key, configured keys, or both. Ids must differ. */
  readonly keys: readonly SigningKey[]
  /**
   * The name of this verifier, which its tickets carry: 1 to 32 of `a-z 0-9 -`. Required with
   * configured keys. No two processes or threads may use one name at a time, since each would
   * accept a ticket once. Within a thread this is enforced: of two verifiers with one name the
   * older one refuses tickets under configured keys (`replay_cache_unavailable`), unless both share
   * one {@link VerifierOptions.replay}. That is final: a `replay` that has lost the name cannot
   * take it back, since it does not know what the other one has spent.
   */
  readonly node?: string | undefined
  /**
   * How far the clocks of issuers elsewhere may be off, either way: 0 to 300.
   * @default 5
   */
  readonly clockSkewSeconds?: number | undefined
  /**
   * The start of the memory of spent tickets, Unix milliseconds: none spent since is forgotten. A
   * ticket under a configured key is refused (`ticket_predates_gate`) unless it was issued at that
   * time plus the clock skew, or later. If a verifier for this node had a larger skew before in
   * this thread, that one counts. Tickets under a boot key are not affected.
   *
   * The default is right unless the system clock is set back, between the start of one process and
   * the start of the next, by more than the time between the end of the first and the start of the
   * second: tickets that the first one spent would count as new. `ticketgate serve` keeps a clock
   * mark on disk against that. To do the same, write a time to disk, accept tickets only until
   * then, and pass the later of the clock and the time found on disk.
   *
   * If a process has a smaller clock skew than the one before it, pass a time that is later by the
   * difference: the first one may have accepted tickets that are dated that much later.
   * @default when the verifier is created
   */
  readonly notBeforeMs?: number | undefined
  /**
   * How many spent tickets are remembered at once: at least tickets per second × their lifetime in
   * seconds. Tickets that do not fit are refused (`replay_cache_full`): none is forgotten before it
   * has expired. About 110 bytes each.
   * @default 100000
   */
  readonly capacity?: number | undefined
  /**
   * The memory of spent tickets, instead of one with that capacity: to share it between verifiers,
   * such as when keys change, or to see how full it is. Verifiers with configured keys that share
   * one must have the same clock skew. A replay cache is refused for a {@link VerifierOptions.node}
   * for which another one has been used since.
   */
  readonly replay?: ReplayCache | undefined
  /**
   * The time in Unix milliseconds. It must not go backwards.
   * @default the clock of the process, which does not
   */
  readonly clock?: Clock | undefined
}

/** How a ticket is presented. A bound ticket is refused if the member it is bound to is absent. */
export interface Presentation {
  /** The channel to open. */
  readonly channel?: string | undefined
  /** The `Origin` header. */
  readonly origin?: string | undefined
  /**
   * The address of the client: `socket.remoteAddress`, or the one that a proxy you trust reports.
   */
  readonly address?: AddressLike | undefined
}

export interface Verifier {
  /**
   * Checks a ticket and spends it. Of all calls with one ticket, only one returns. It never waits.
   * Spending comes last, so a refused ticket is not spent: do everything else that could fail
   * before the call.
   * @returns its holder
   * @throws TicketError with the reason as its `code`
   */
  verify(ticket: string, presentation?: Presentation): TicketHolder
}

/** The memory that spends the tickets of a boot key. */
const memoryOfKey = new WeakMap<BootKey, ReplayCache>()

/** The memory that currently spends tickets under configured keys for a node. */
const memoryOfNode = new Map<string, ReplayCache>()

/**
 * The nodes that a memory has lost to another, so that it no longer knows all of their spent
 * tickets.
 */
const lostNodes = new WeakMap<ReplayCache, Set<string>>()

/**
 * The largest clock skew with which tickets for a node were spent: they may be dated so far ahead
 * of the start of the next memory.
 */
const largestSkewOfNode = new Map<string, number>()

/**
 * The clock skew of the verifiers that share a memory: it decides how long a ticket must be
 * remembered.
 */
const skewOfMemory = new WeakMap<ReplayCache, number>()

/**
 * Verifies single-use tickets and spends them, in memory, without any I/O.
 *
 * @example
 * ```js
 * const verifier = createVerifier({ keys: [key] })
 * try {
 *   const { user, expires } = verifier.verify(ticket, { channel, origin, address })
 * } catch (error) {
 *   if (!(error instanceof TicketError)) throw error
 *   console.log(error.code, error.status, error.retryAfterSeconds)
 * }
 * ```
 *
 * @example Tickets of a back end elsewhere that has the same key
 * ```js
 * const verifier = createVerifier({ keys: [process.env.TICKET_KEY], node: 'gate-1' })
 * ```
 * @throws TypeError that names the option that is missing, unknown or wrong
 */
export function createVerifier(options: VerifierOptions): Verifier {
  const { ring, policy, replay, clock } = resolve(options)

  /** How long a temporary refusal may last. */
  function waitMs(code: TicketErrorCode, nowMs: number): number | undefined {
    if (code === 'replay_cache_full') return replay.roomInMs(nowMs)
    if (code === 'replay_cache_unavailable') return 0
    if (code === 'ticket_predates_gate') return Math.max(policy.skewMs, policy.earliestOutsideMs - nowMs)
    return undefined
  }

  function refusal(code: TicketErrorCode, nowMs: number): TicketError {
    const wait = waitMs(code, nowMs)
    return new TicketError(code, wait === undefined ? undefined : retryAfterSeconds(wait))
  }

  /** Checks everything, and spends nothing. */
  function check(ticket: unknown, { channel, origin, address }: Presentation, nowMs: number) {
    if (typeof ticket !== 'string') return 'ticket_invalid'
    const verified = verifyTicket(ticket, ring, nowMs, policy)
    if (typeof verified === 'string') return verified
    const isName = channel === undefined || (typeof channel === 'string' && isChannelName(channel))
    if (!isName) return 'channel_forbidden'
    return bindingRefusal(verified.claims, { channel, origin, address: () => address }) ?? verified
  }

  return {
    verify(ticket, presentation = {}) {
      const nowMs = clock()
      requireThat(Number.isFinite(nowMs), 'clock', 'a function that returns Unix milliseconds')
      const checked = check(ticket, presentation, nowMs)
      if (typeof checked === 'string') throw refusal(checked, nowMs)
      const holder = holderOf(checked.claims)
      const outcome = replay.spend(checked.nonce, checked.expiresAtMs, nowMs)
      if (outcome !== 'fresh') throw refusal(outcomeRefusals[outcome] ?? 'replay_cache_unavailable', nowMs)
      return holder
    },
  }
}

interface Resolved {
  readonly ring: KeyRing
  readonly policy: TicketPolicy
  readonly replay: ReplayCache
  readonly clock: Clock
}

const optionNames = [
  'keys',
  'node',
  'clockSkewSeconds',
  'notBeforeMs',
  'capacity',
  'replay',
  'clock',
] satisfies (keyof VerifierOptions)[]

const isSkew = (value: unknown): boolean =>
  Number.isFinite(value) && Number(value) >= 0 && Number(value) <= 300

function resolve(options: VerifierOptions): Resolved {
  requireMembers(options, 'options', optionNames)
  const { keys, node = '', clockSkewSeconds = 5, capacity = 100_000, clock = processClock } = options
  requireThat(node === '' || isNodeName(node), 'node', '1 to 32 of a-z 0-9 -')
  requireThat(isSkew(clockSkewSeconds), 'clockSkewSeconds', '0 to 300')
  requireThat(typeof clock === 'function', 'clock', 'a function')
  // A fraction later: a ticket that an earlier verifier accepted in this very millisecond is older.
  const notBeforeMs = options.notBeforeMs ?? Math.floor(clock()) + 1
  requireThat(Number.isFinite(notBeforeMs), 'notBeforeMs', 'in Unix milliseconds')
  requireThat(
    Number.isInteger(capacity) && capacity >= 1 && capacity <= 16_000_000,
    'capacity',
    '1 to 16000000',
  )
  requireThat(
    options.replay === undefined || options.capacity === undefined,
    'capacity',
    'left out when replay is given',
  )
  requireThat(Array.isArray(keys) && keys.length > 0, 'keys', 'a list of at least one key')

  const all = keys.flatMap((key, index) => readSigningKey(key, node, `keys[${index}]`))
  const ring = new Map(all.map(key => [key.id, key]))
  requireThat(ring.size === all.length, 'keys', 'keys with different ids')
  const bootKey = keys.find(key => key instanceof BootKey)
  const hasOutsideKeys = keys.some(key => !(key instanceof BootKey))
  requireThat(
    !hasOutsideKeys || node !== '',
    'node',
    'the name of this verifier when there are configured keys',
  )

  const replay = options.replay ?? createMemoryReplayCache(capacity)
  requireThat(typeof replay.spend === 'function', 'replay', 'a replay cache')
  // All checks come first: a verifier that is refused must not keep a key or a node from others.
  if (bootKey !== undefined) requireForKey(bootKey, replay)
  if (hasOutsideKeys) useForNode(node, replay, clockSkewSeconds)
  if (bootKey !== undefined) memoryOfKey.set(bootKey, replay)

  const skewMs = clockSkewSeconds * 1000
  const largestSkewMs = (largestSkewOfNode.get(node) ?? clockSkewSeconds) * 1000
  return {
    ring,
    replay,
    clock,
    policy: {
      node,
      skewMs,
      earliestOutsideMs: notBeforeMs + largestSkewMs,
      get outsideUntilMs() {
        return memoryOfNode.get(node) === replay ? Number.POSITIVE_INFINITY : 0
      },
    },
  }
}

/** @throws TypeError if the boot key is bound to another memory: it is bound for good */
function requireForKey(bootKey: BootKey, replay: ReplayCache): void {
  const known = memoryOfKey.get(bootKey) ?? replay
  requireThat(
    known === replay,
    'replay',
    'the one of the first verifier with this boot key: use that verifier',
  )
}

/**
 * From now on, only this memory spends tickets under configured keys for a node.
 * @throws TypeError if the memory has lost the node to another, or has another clock skew
 */
function useForNode(node: string, replay: ReplayCache, skewSeconds: number): void {
  requireThat(
    (skewOfMemory.get(replay) ?? skewSeconds) === skewSeconds,
    'clockSkewSeconds',
    'that of the other verifiers with this replay cache',
  )
  requireThat(
    lostNodes.get(replay)?.has(node) !== true,
    'replay',
    'the one that is in use for this node, or a new one: since this one, another has spent tickets for it',
  )
  skewOfMemory.set(replay, skewSeconds)
  const before = memoryOfNode.get(node)
  if (before !== undefined && before !== replay)
    lostNodes.set(before, (lostNodes.get(before) ?? new Set()).add(node))
  memoryOfNode.set(node, replay)
  largestSkewOfNode.set(node, Math.max(skewSeconds, largestSkewOfNode.get(node) ?? 0))
}
