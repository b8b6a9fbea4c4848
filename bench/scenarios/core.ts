/**
 * The cost of the parts of a ticket, in this process, without a server: CPU nanoseconds per
 * operation, and the memory of a spent ticket.
 */
import { randomBytes } from 'node:crypto'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { createMemoryReplayCache } from '../../src/replay/memory.js'
import { createSharedReplayMemory } from '../../src/replay/shared.js'
import type { CoreMemory, CoreReport } from '../figures/core.js'
import {
  type CoreRow,
  coreRows,
  expiresAtMs,
  live,
  macRow,
  nowMs,
  type openMemory,
  openShared,
} from './core-rows.js'

function measure(row: CoreRow): number {
  const work = row.prepare()
  collectGarbage()
  // CPU time, so that other work on this machine counts less.
  const before = process.cpuUsage()
  work(row.operations)
  const { user, system } = process.cpuUsage(before)
  return (1000 * (user + system)) / row.operations
}

setFlagsFromString('--expose-gc')
const collectGarbage: () => void = runInNewContext('gc')

/** Memory in use, without garbage. */
function usedBytes(): number {
  collectGarbage()
  collectGarbage()
  const { heapUsed, external, arrayBuffers } = process.memoryUsage()
  return heapUsed + Math.max(external, arrayBuffers)
}

function remember(name: string, open: typeof openMemory | typeof openShared, shared: boolean): CoreMemory {
  const before = usedBytes()
  const cache = open()
  const random = randomBytes(16)
  for (let n = 0; n < live; n++) {
    random.writeUInt32LE(n, 4)
    random.writeUInt32LE(Math.imul(n, 0x9e3779b1) >>> 0, 0)
    if (cache.spend(random.toString('latin1'), expiresAtMs, nowMs) !== 'fresh') throw new Error('not fresh')
  }
  // Shared memory is not part of any heap, so this counts the allocation.
  const bytes = shared ? sharedBytes : usedBytes() - before
  return { cache: name, live: cache.size, bytesPerTicket: bytes / live }
}

const sharedBytes = createSharedReplayMemory({ capacity: live, maxTtlMs: 1000, nowMs }).buffer.byteLength

/** Runs all rows, interleaved round by round. */
export function benchCore(rounds: number, say: (text: string) => void = () => {}): CoreReport {
  const memory = [
    remember('memory (lru-cache)', () => createMemoryReplayCache(live), false),
    remember('shared, both tables, of a capacity of a million', () => openShared(live), true),
  ]
  const all = coreRows()
  const measured = new Map<string, number[]>(all.map(row => [row.name, []]))
  for (let round = 0; round <= rounds; round++) {
    for (const row of all) {
      const ns = measure(row)
      // The first round warms up.
      if (round > 0) measured.get(row.name)?.push(ns)
    }
    say(round === 0 ? 'warm-up' : `round ${round}`)
  }
  const leastOf = (name: string): number => Math.min(...(measured.get(name) ?? []))
  const mac = leastOf(macRow)
  const figures = all.map(({ name, target }) => {
    const sorted = (measured.get(name) ?? []).toSorted((a, b) => a - b)
    const [median = Number.NaN, least = Number.NaN] = [sorted[sorted.length >> 1], sorted[0]]
    return { name, median, least, times: least / mac, ...(target === undefined ? {} : { target }) }
  })
  return { figures, memory }
}
