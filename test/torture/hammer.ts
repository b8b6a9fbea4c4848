/**
 * One thread of a torture run. It mints tickets, and presents them and those of the other threads to
 * the gate that all threads share (`shared`) and to a gate of its own (`memory`), until it is told to
 * stop or is killed.
 */
import { workerData } from 'node:worker_threads'
import { createMemoryReplayCache } from '../../src/replay/memory.js'
import { openSharedReplayCache } from '../../src/replay/shared.js'
import { issueTicket } from '../../src/ticket/issuer.js'
import { bootKeyId, ticketKey } from '../../src/ticket/key-ring.js'
import { type TicketPolicy, type VerifiedTicket, verifyTicket } from '../../src/ticket/verifier.js'
import { newBootKey } from '../support/boot-key.js'
import {
  baseMs,
  capacity,
  createRandom,
  type HammerStart,
  longestTtlSeconds,
  memoryNode,
  type Outcome,
  outcomes,
  recordBirth,
  renew,
  sharedNode,
  skewMs,
  slotBytes,
  slotCount,
  word,
} from './arena.js'

const { arena, life, thread, threads, seed, outsideSecret }: HammerStart = workerData
const { accepted, words, marks } = arena
const slots = Buffer.from(arena.slots.buffer)
const below = createRandom(seed)

const outsideKeyId = 7
const farSeconds = 4_000_000_000

// The clock of this thread. In the product, all threads share one; here each has its own, and it
// jumps.
let offsetMs = life.clockOffsetMs
const realMs = (): number => baseMs + Atomics.load(words, word.nextTicket)
const clock = (): number => realMs() + offsetMs

// Whether this thread can write marks to the disk at present.
let diskWorks = true

/** Sets this thread's clock: mostly about right, else fast or slow, rarely by whole periods. */
function stepClock(): void {
  const kind = below(10)
  const offBy = kind === 0 ? below(9000) - 3000 : kind < 4 ? below(2000) - 1000 : below(40) - 20
  offsetMs = life.clockOffsetMs + offBy
}

function policyOf(node: string, gate: number, bornAtMs: number): TicketPolicy {
  return {
    node,
    skewMs,
    earliestOutsideMs: bornAtMs + skewMs,
    get outsideUntilMs() {
      return Number(Atomics.load(marks, gate))
    },
  }
}

const outsideKeyFor = (node: string) => ticketKey(outsideKeyId, outsideSecret, node)

const gateOf = (
  node: string,
  gate: number,
  bornAtMs: number,
  bootKey: ReturnType<typeof newBootKey>,
  replay: ReturnType<typeof createMemoryReplayCache>,
) => ({
  node,
  gate,
  bootKey,
  ring: new Map([bootKey, outsideKeyFor(node)].map(key => [key.id, key])),
  policy: policyOf(node, gate, bornAtMs),
  replay,
})

const ownNode = memoryNode(thread)
const ownGate = 1 + thread
const shared = gateOf(
  sharedNode,
  0,
  life.bornAtMs,
  ticketKey(bootKeyId, life.bootSecret, sharedNode),
  openSharedReplayCache(life.replay),
)
const own = gateOf(
  ownNode,
  ownGate,
  recordBirth(marks, ownGate, clock()),
  newBootKey(ownNode),
  createMemoryReplayCache(capacity / 3),
)
const minters = [
  ...Array.from({ length: threads }, (_, each) => outsideKeyFor(memoryNode(each))),
  outsideKeyFor(sharedNode),
]

/** Mints the next ticket: under a boot key, or as an outside minter whose clock is wrong. */
function mint(): void {
  const number = Atomics.add(words, word.nextTicket, 1)
  if (number >= arena.tickets) return
  const kind = below(10)
  const gate = kind < 5 ? shared : own
  const isOutside = below(2) === 0
  const elsewhere = below(threads)
  const node = !isOutside || kind < 8 ? gate.node : memoryNode(elsewhere)
  const key = !isOutside
    ? gate.bootKey
    : minters[node === sharedNode ? threads : kind < 8 ? thread : elsewhere]
  if (key === undefined) return
  const text = issueTicket(
    { user: String(number), sessionEndsAtSeconds: farSeconds },
    {
      key,
      node,
      nowMs: isOutside ? realMs() + below(3 * skewMs) - 1.5 * skewMs : clock(),
      ttlSeconds: below(200) === 0 ? 3600 : 1 + below(longestTtlSeconds),
    },
  )
  if (text === undefined) return
  // Another thread may read this slot meanwhile: it then reads no valid ticket, and must be refused.
  const at = (number % slotCount) * slotBytes
  slots[at] = 0
  slots.write(text, at + 1, 'latin1')
  slots[at] = text.length
}

function read(slot: number): string {
  const at = slot * slotBytes
  return slots.toString('latin1', at + 1, at + 1 + (slots[at] ?? 0))
}

function present(text: string, to: typeof shared): Outcome {
  const nowMs = clock()
  if (diskWorks) renew(marks, to.gate, nowMs)
  const verified = verifyTicket(text, to.ring, nowMs, to.policy)
  if (typeof verified === 'string') return verified
  const outcome = to.replay.spend(verified.nonce, verified.expiresAtMs, nowMs)
  if (outcome !== 'fresh') return outcome
  record(verified)
  return 'accepted'
}

function record({ claims }: VerifiedTicket): void {
  const number = Number(claims.user)
  const bit = 1 << (number & 31)
  if ((Atomics.or(accepted, number >> 5, bit) & bit) === 0) return
  Atomics.add(words, word.doubles, 1)
  Atomics.compareExchange(words, word.firstDouble, 0, number)
}

/** Mostly one of the newest tickets, which all threads present at about the same time; else any. */
function pick(): string {
  const newest = Atomics.load(words, word.nextTicket)
  return read((below(4) > 0 ? newest + slotCount - 1 - below(12) : below(slotCount)) % slotCount)
}

function forge(text: string): string {
  const at = below(Math.max(1, text.length))
  return text.slice(0, at) + (text[at] === 'A' ? 'B' : 'A') + text.slice(at + 1)
}

const counted = new Map<Outcome, number>()
const batch = 500
while (Atomics.load(words, word.stop) === 0) {
  if (below(20) === 0) stepClock()
  if (below(20) === 0) diskWorks = below(4) > 0
  for (let n = 0; n < batch; n++) {
    if (below(10) === 0) mint()
    const text = pick()
    const to = text.startsWith(sharedNode) ? shared : own
    const outcome = present(below(50) === 0 ? forge(text) : text, to)
    counted.set(outcome, (counted.get(outcome) ?? 0) + 1)
  }
  for (const [outcome, count] of counted) Atomics.add(arena.counts, outcomes.indexOf(outcome), BigInt(count))
  counted.clear()
}
