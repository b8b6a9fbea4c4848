import { type Clock, clock as processClock } from '../clock.js'
import { retryAfterSeconds } from '../errors.js'
import { isChannelName } from '../protocol.js'
import { claimRefusals, type ReplayCache } from '../replay/contract.js'
import { createMemoryReplayCache } from '../replay/memory.js'
import { bindingRefusal } from '../ticket/bindings.js'
import { isNodeName } from '../ticket/codec.js'
import type { KeyRing } from '../ticket/key-ring.js'
import type { AddressLike } from '../ticket/network.js'
import { type TicketPolicy, verifyTicket } from '../ticket/verifier.js'
import { holderOf, type TicketHolder } from './holder.js'
import { demand, demandMembers } from './misuse.js'
import { BootKey, readSigningKey, type SigningKey } from './signing-keys.js'
import { TicketError, type TicketErrorCode } from './ticket-error.js'

/** Options of {@link createVerifier}. */
export interface VerifierOptions {
  /** Whose tickets are good: a boot key, configured keys, or both. No two configured ones of one id. */
  readonly keys: readonly SigningKey[]
  /**
   * The name of this verifier, which tickets for it carry: 1 to 32 of `a-z 0-9 -`. Demanded with configured keys.
   * No two processes or threads may have one name at a time, for each would accept a ticket once. Within a thread that
   * is looked after: of two verifiers with one name the elder refuses tickets under configured keys
   * (`replay_cache_unavailable`), unless both have one {@link VerifierOptions.replay}. That is for good: a `replay` that
   * has lost the name to another can not take it back, for it does not know what the other has spent.
   */
  readonly node?: string | undefined
  /**
   * How far the clocks of issuers elsewhere may be off, either way: 0 to 300.
   * @default 5
   */
  readonly clockSkewSeconds?: number | undefined
  /**
   * Since when it is certain that no spent ticket was forgotten, Unix milliseconds. A ticket under a configured key is
   * refused (`ticket_predates_gate`) unless it was issued at that time, plus the clock skew, or later. It does not
   * touch tickets under a boot key.
   *
   * The default is right as long as nobody sets the system clock back between the start of one process and the start
   * of the next, further than the time between the end of the one and the start of the other: tickets that the first
   * one spent would be young again. `ticketgate serve` keeps a mark of its clock on disk against that. To do the same,
   * write down a time, accept only until then, and give here the later of the clock and the time found.
   * @default when the verifier is created
   */
  readonly notBeforeMs?: number | undefined
  /**
   * How many spent tickets are remembered at once, at least tickets a second × their lifetime in seconds. What does
   * not fit is refused (`replay_cache_full`): no ticket is forgotten before it has expired. About 110 bytes each.
   * @default 100000
   */
  readonly capacity?: number | undefined
  /**
   * The memory of what was spent, in place of one of that capacity: for verifiers that share one, as when keys change,
   * or to see how full it is. Those with configured keys must allow one clock skew. One after whose use for a
   * {@link VerifierOptions.node} another was used for it is refused there.
   */
  readonly replay?: ReplayCache | undefined
  /**
   * The time in Unix milliseconds. It must not go backwards.
   * @default the clock of the process, which can not
   */
  readonly clock?: Clock | undefined
}

/** How a ticket is presented. What a ticket is bound to must be given, or it is refused. */
export interface Presentation {
  /** The channel that is to be opened. */
  readonly channel?: string | undefined
  /** The header `Origin`. */
  readonly origin?: string | undefined
  /** The address of the client: `socket.remoteAddress`, or what a proxy you trust says of it. */
  readonly address?: AddressLike | undefined
}

export interface Verifier {
  /**
   * Checks a ticket and spends it. Of all calls with one ticket one returns; it takes no time to speak of and waits
   * for nothing. Spending comes last, so that a refused ticket is not spent; do what else could fail before the call.
   * @returns who presents it
   * @throws TicketError with the reason as its `code`
   */
  verify(ticket: string, presentation?: Presentation): TicketHolder
}

/** The memory that has spent tickets of a boot key. */
const memoryOfKey = new WeakMap<BootKey, ReplayCache>()

/** The memory that spends tickets under configured keys for a node now. */
const memoryOfNode = new Map<string, ReplayCache>()

/** The nodes for which a memory has been followed by another, and of whose tickets it does not know all that are spent. */
const lostNodes = new WeakMap<ReplayCache, Set<string>>()

/** The clock skew that verifiers which share a memory allow: it decides how long a ticket must be remembered. */
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
 * @example Tickets of a backend elsewhere that has the same key
 * ```js
 * const verifier = createVerifier({ keys: [process.env.TICKET_KEY], node: 'gate-1' })
 * ```
 * @throws TypeError that names the option which is missing, unknown or wrong
 */
export function createVerifier(options: VerifierOptions): Verifier {
  const { ring, policy, replay, clock } = resolve(options)

  /** How long until a code may have passed by itself. */
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

  /** Everything but the claim. */
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
      demand(Number.isFinite(nowMs), 'clock', 'a function that gives Unix milliseconds')
      const checked = check(ticket, presentation, nowMs)
      if (typeof checked === 'string') throw refusal(checked, nowMs)
      const holder = holderOf(checked.claims)
      const claimed = replay.claim(checked.nonce, checked.expiresAtMs, nowMs)
      if (claimed !== 'fresh') throw refusal(claimRefusals[claimed] ?? 'replay_cache_unavailable', nowMs)
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
  demandMembers(options, 'options', optionNames)
  const { keys, node = '', clockSkewSeconds = 5, capacity = 100_000, clock = processClock } = options
  demand(node === '' || isNodeName(node), 'node', '1 to 32 of a-z 0-9 -')
  demand(isSkew(clockSkewSeconds), 'clockSkewSeconds', '0 to 300')
  demand(typeof clock === 'function', 'clock', 'a function')
  // A fraction more: what an earlier verifier accepted in this very millisecond is older than this.
  const notBeforeMs = options.notBeforeMs ?? Math.floor(clock()) + 1
  demand(Number.isFinite(notBeforeMs), 'notBeforeMs', 'in Unix milliseconds')
  demand(Number.isInteger(capacity) && capacity >= 1 && capacity <= 16_000_000, 'capacity', '1 to 16000000')
  demand(options.replay === undefined || options.capacity === undefined, 'capacity', 'left out beside replay')
  demand(Array.isArray(keys) && keys.length > 0, 'keys', 'a list of at least one key')

  const all = keys.flatMap((key, index) => readSigningKey(key, node, `keys[${index}]`))
  const ring = new Map(all.map(key => [key.id, key]))
  demand(ring.size === all.length, 'keys', 'of different ids')
  const bootKey = keys.find(key => key instanceof BootKey)
  const hasOutsideKeys = keys.some(key => !(key instanceof BootKey))
  demand(!hasOutsideKeys || node !== '', 'node', 'the name of this verifier when there are configured keys')

  const replay = options.replay ?? createMemoryReplayCache(capacity)
  demand(typeof replay.claim === 'function', 'replay', 'a replay cache')
  if (bootKey !== undefined) {
    const known = memoryOfKey.get(bootKey) ?? replay
    demand(known === replay, 'replay', 'the one of the first verifier with this boot key: use that verifier')
    memoryOfKey.set(bootKey, replay)
  }
  if (hasOutsideKeys) {
    const known = skewOfMemory.get(replay) ?? clockSkewSeconds
    demand(
      known === clockSkewSeconds,
      'clockSkewSeconds',
      'that of the other verifiers with this replay cache',
    )
    demand(
      lostNodes.get(replay)?.has(node) !== true,
      'replay',
      'the one that is in use for this node, or a new one: since this one, another has spent tickets for it',
    )
    skewOfMemory.set(replay, clockSkewSeconds)
    useForNode(node, replay)
  }

  const skewMs = clockSkewSeconds * 1000
  return {
    ring,
    replay,
    clock,
    policy: {
      node,
      skewMs,
      earliestOutsideMs: notBeforeMs + skewMs,
      get outsideUntilMs() {
        return memoryOfNode.get(node) === replay ? Number.POSITIVE_INFINITY : 0
      },
    },
  }
}

/** From now on this memory alone spends tickets under configured keys for a node. */
function useForNode(node: string, replay: ReplayCache): void {
  const before = memoryOfNode.get(node)
  if (before !== undefined && before !== replay)
    lostNodes.set(before, (lostNodes.get(before) ?? new Set()).add(node))
  memoryOfNode.set(node, replay)
}
