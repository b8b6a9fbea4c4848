import { expectAnswers, frameHex, type Opener, withOpener } from '../drivers/opener.js'
import { type DriverRun, type Load, measure } from '../figures/cpu.js'
import { spread } from '../figures/summary.js'
import { digits, say } from '../figures/text.js'
import type { TunnelRow } from '../figures/tunnel.js'
import type { Target } from '../targets/target.js'
import { startWays, type Way, type WayName, type WaysParts } from '../targets/ways.js'
import { ticketWire } from '../targets/wires.js'
import { collecting, settledBytes } from './memory.js'

const connections = 64
const shakes = 4_000
const held = 9_000
const heldBefore = 3_000
const shakenBefore = 4_000
const disconnected = 5_000
// Enough for what a driver takes in a moment, and used before they expire.
const batch = 500
const ticketSeconds = 10
// However small the run: a busy machine needs seconds for a batch.
const fewestSeconds = 4

/** What passes a connection, again and again. */
interface Traffic {
  readonly name: string
  /** What the upstream server does. */
  readonly path: string
  /** What a client sends at once, and how many messages come back for it. */
  readonly frames: string
  readonly answers: number
  /** Messages both ways. */
  readonly messages: number
  readonly times: number
}

const binary = (bytes: number): string => frameHex(new Uint8Array(bytes).fill(120))

const trafficOf = (size: string, bytes: number, burst: number, times: number): Traffic[] => [
  { name: `${size}, there and back`, path: '/echo', frames: binary(bytes), answers: 1, messages: 2, times },
  {
    name: `${size}, to the server, ${burst} at once`,
    path: `/sink/${burst}`,
    frames: binary(bytes).repeat(burst),
    answers: 1,
    messages: burst + 1,
    times,
  },
  {
    name: `${size}, to the client, ${burst} at once`,
    path: `/source/${burst}/${bytes}`,
    frames: binary(2),
    answers: burst,
    messages: burst + 1,
    times,
  },
]

const traffic: readonly Traffic[] = [
  ...trafficOf('64 B', 64, 16, 1_000),
  ...trafficOf('16 KB', 16_384, 4, 100),
]

/** Opens connections, or opens and closes them, with tickets that are used before they expire. */
const connect = async (
  opener: Opener,
  command: 'open' | 'shake',
  count: number,
  linesOf: (count: number) => Promise<string[]>,
): Promise<void> => {
  for (let left = count; left > 0; left -= batch) {
    const lines = await linesOf(Math.min(left, batch))
    const outcome = await opener.run(`${command} ${lines.length} 32 0 1`, lines)
    expectAnswers(outcome, '101', lines.length)
  }
}

const microseconds = ({ serverCpuNs, operations }: Load): number => serverCpuNs / 1000 / operations

/** CPU time per message. */
const relay = (
  way: Way,
  { path, frames, answers, messages, times }: Traffic,
  scale: number,
): Promise<number> =>
  withOpener(way, async opener => {
    await connect(opener, 'open', connections, count => way.lines(path, count))
    const run = async (rounds: number): Promise<DriverRun> => {
      const outcome = await opener.run(`exchange ${rounds} ${answers} ${frames}`)
      return { ...outcome.run, operations: connections * rounds * messages }
    }
    const rounds = Math.max(2, Math.round(times * scale))
    await run(Math.ceil(rounds / 10))
    return microseconds(await measure([way.pid], () => run(rounds)))
  })

/** CPU time per connection: opened, greeted by the upstream server, closed. */
const shake = async (way: Pick<Way, 'host' | 'port' | 'pid'>, lines: readonly string[]): Promise<number> =>
  withOpener(way, async opener => {
    const load = await measure([way.pid], async () => {
      const outcome = await opener.run(`shake ${lines.length} 32 0 1`, lines)
      expectAnswers(outcome, '101', lines.length)
      return outcome.run
    })
    return microseconds(load)
  })

/** Bytes per idle connection, in a fresh process. */
const memory = async (way: Way, scale: number): Promise<number> => {
  const seconds = Math.max(fewestSeconds, Math.round(ticketSeconds * scale))
  const fresh = await way.another({
    NODE_OPTIONS: collecting,
    TICKETGATE_TICKET_TTL_SECONDS: String(seconds),
  })
  try {
    return await withOpener(fresh, async opener => {
      const sized = (command: 'open' | 'shake', size: number): Promise<void> =>
        connect(opener, command, Math.round(size * scale), count => fresh.lines('/echo', count))
      await sized('shake', shakenBefore)
      await sized('open', heldBefore)
      const before = await settledBytes(fresh.pid, seconds)
      await sized('open', held - heldBefore)
      return ((await settledBytes(fresh.pid, seconds)) - before) / ((held - heldBefore) * scale)
    })
  } finally {
    await fresh.stop()
  }
}

/** Milliseconds from `POST /disconnect` until the last of many sockets is closed. */
const disconnect = async (gate: Target, openAll: (opener: Opener) => Promise<void>): Promise<number> =>
  withOpener(gate, async opener => {
    await openAll(opener)
    const begin = performance.now()
    const gone = opener.run('gone')
    const response = await fetch(`http://127.0.0.1:${gate.admin?.port}/disconnect`, {
      method: 'POST',
      headers: { authorization: `Bearer ${gate.admin?.key}`, 'content-type': 'application/json' },
      body: JSON.stringify({ user: 'bench' }),
    })
    if (response.status !== 200) throw new Error(`/disconnect answered ${response.status}`)
    await gone
    return performance.now() - begin
  })

/** Milliseconds until many tunnels, and as many sockets of the gate's own, are closed. */
const disconnectBoth = async (tunnel: Way, scale: number): Promise<TunnelRow> => {
  const count = Math.max(20, Math.round(disconnected * scale))
  const values: Record<string, number> = {}
  for (const name of ['ticketgate', 'own channel'] as const) {
    const fresh = await tunnel.another()
    try {
      const gate = fresh.gate as Target
      const linesOf = (size: number): Promise<string[]> =>
        name === 'ticketgate' ? fresh.lines('/echo', size) : ticketWire.lines(gate, size)
      values[name] = await disconnect(gate, opener => connect(opener, 'open', count, linesOf))
    } finally {
      await fresh.stop()
    }
  }
  return { name: `POST /disconnect, ${count} sockets`, unit: 'ms', values }
}

/** Rounds are interleaved, in the opposite order every other time; the first warms up. */
const playAll = async (ways: readonly Way[], rounds: number, scale: number): Promise<TunnelRow[]> => {
  const measured = new Map<string, Map<string, number[]>>()
  const keep = (row: string, column: string, value: number): void => {
    const columns = measured.get(row) ?? new Map<string, number[]>()
    measured.set(row, columns.set(column, [...(columns.get(column) ?? []), value]))
  }
  for (let round = 0; round <= rounds; round++) {
    const order = round % 2 === 0 ? ways : ways.toReversed()
    const play = async (row: string, step: (way: Way) => Promise<number>): Promise<void> => {
      const figures: string[] = []
      for (const way of order) {
        const value = await step(way)
        figures.push(`${way.name} ${digits(value)}`)
        if (round > 0) keep(row, way.name, value)
      }
      say(`${round === 0 ? 'warm-up' : `round ${round}`}  ${row}: ${figures.join(', ')}`)
    }
    for (const each of traffic) await play(each.name, way => relay(way, each, scale))
    const count = Math.max(50, Math.round(shakes * scale))
    await play('handshake', async way => shake(way, await way.lines('/echo', count)))
    const { gate } = ways.find(way => way.gate !== undefined) as Way
    const own = await shake(
      { ...(gate as Target), pid: gate?.child.pid ?? 0 },
      await ticketWire.lines(gate as Target, count),
    )
    if (round > 0) keep('handshake', 'own channel', own)
  }
  return [...measured].map(([name, columns]) => ({
    name,
    unit: 'server CPU, µs',
    values: Object.fromEntries([...columns].map(([column, values]) => [column, spread(values).median])),
  }))
}

/** Measures what a tunnel costs beside the direct connection and proxies that check nothing. */
export async function measureTunnels(parts: WaysParts, rounds: number, scale: number): Promise<TunnelRow[]> {
  const ways = await startWays(parts)
  try {
    const rows = await playAll(ways, rounds, scale)
    const idle: Partial<Record<WayName, number>> = {}
    for (const way of ways) {
      idle[way.name] = await memory(way, scale)
      say(`idle connection: ${way.name} ${digits(idle[way.name] ?? 0)}`)
    }
    rows.push({ name: 'idle connection', unit: 'RSS, bytes', values: idle })
    const tunnel = ways.find(way => way.gate !== undefined) as Way
    return [...rows, await disconnectBoth(tunnel, scale)]
  } finally {
    for (const way of ways) await way.stop()
  }
}
