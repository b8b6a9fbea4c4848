import { readFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { WebSocket } from 'ws'
import { expectAnswers, type Opener, type Outcome, startOpener } from '../drivers/opener.js'
import { residentBytes } from '../figures/cpu.js'
import { digits, say } from '../figures/text.js'
import type { Target } from '../targets/target.js'
import { startTicketgate } from '../targets/ticketgate.js'
import type { Users } from '../targets/users.js'
import { payload, ticketWire } from '../targets/wires.js'

// A gate reserves 5 % of its descriptors, and one of its sockets is the publisher's.
const socketsWithin = (descriptors: number): number => Math.floor(descriptors * 0.95) - 1

const startsAtOnce = 4
// Measured. Checked before anything starts.
const gateBytes = 85e6
const connectionBytes = 12_500

const numberIn = (path: string): number => Number(readFileSync(path, 'utf8').trim())

/** A line of /proc/meminfo, in bytes. */
const memory = (name: string): number =>
  Number(new RegExp(`^${name}:\\s+(\\d+) kB$`, 'm').exec(readFileSync('/proc/meminfo', 'utf8'))?.[1]) * 1024

const descriptorLimit = (): number => {
  const limit = /^Max open files\s+(\d+|unlimited)/m.exec(readFileSync('/proc/self/limits', 'utf8'))?.[1]
  return limit === 'unlimited' ? numberIn('/proc/sys/fs/nr_open') : Number(limit)
}

/** Checks the resources that `count` sockets require. */
const checkLimits = (count: number, gates: number): void => {
  const short: string[] = []
  const requireLimit = (what: string, have: number, need: number, fix: string): void => {
    const line = `${what}: ${have.toLocaleString('en')}, needed ${need.toLocaleString('en')}`
    say(`  ${have >= need ? 'enough' : 'SHORT '}  ${line}`)
    if (have < need) short.push(`${line} (${fix})`)
  }
  const limit = descriptorLimit()
  requireLimit(
    'ulimit -n',
    limit,
    Math.min(20_000, Math.ceil(count / 0.95) + 100),
    'ulimit -n 20000, or more',
  )
  requireLimit('fs.nr_open', numberIn('/proc/sys/fs/nr_open'), limit, `sysctl fs.nr_open=${limit}`)
  const open = numberIn('/proc/sys/fs/file-max')
  requireLimit('fs.file-max', open, 2 * count + 200 * gates, `sysctl fs.file-max=${2 * count + 200 * gates}`)
  const [first = 0, last = 0] = readFileSync('/proc/sys/net/ipv4/ip_local_port_range', 'utf8')
    .split(/\s+/)
    .map(Number)
  // Each gate has sixteen source addresses. Every port of them is used once for the sockets, and
  // once to present tickets again.
  const ports = (last - first + 1) * 16
  requireLimit(
    'ports to each gate',
    ports,
    3 * Math.ceil(count / gates),
    "sysctl net.ipv4.ip_local_port_range='1024 65535'",
  )
  requireLimit('kernel.pid_max', numberIn('/proc/sys/kernel/pid_max'), 40 * gates, 'sysctl kernel.pid_max')
  requireLimit(
    'memory, MB',
    Math.floor(memory('MemAvailable') / 1e6),
    Math.ceil((gates * gateBytes + count * connectionBytes) / 1e6),
    'a larger machine, or fewer connections',
  )
  if (short.length > 0) throw new Error(`not enough for ${count} connections:\n  ${short.join('\n  ')}`)
}

/**
 * Connection tracking on loopback, if enabled, must have room for both directions. It is visible
 * only with traffic.
 */
const checkTracking = (count: number): void => {
  let tracked = 0
  let most = 0
  try {
    tracked = numberIn('/proc/sys/net/netfilter/nf_conntrack_count')
    most = numberIn('/proc/sys/net/netfilter/nf_conntrack_max')
  } catch {
    return // not there
  }
  if (tracked > 1_000 && most < 2 * count)
    throw new Error(
      `net.netfilter.nf_conntrack_max: ${most}, needed ${2 * count} (sysctl, or do not track lo)`,
    )
}

interface Cell {
  readonly target: Target
  readonly opener: Opener
  readonly count: number
}

const settings = (count: number): Readonly<Record<string, string>> => ({
  TICKETGATE_TICKET_RATE: 'off',
  TICKETGATE_TOKEN_TTL_SECONDS: '86400',
  // Reserved from the start. Each ticket is spent once.
  TICKETGATE_REPLAY_CAPACITY: String(Math.max(100, count + 100)),
})

/** Runs `work` over the items, several at once. */
const eachOf = async <T, R>(
  items: readonly T[],
  atOnce: number,
  work: (item: T) => Promise<R>,
): Promise<R[]> => {
  const results: R[] = []
  const queue = items.values()
  const worker = async (): Promise<void> => {
    for (const item of queue) results.push(await work(item))
  }
  await Promise.all(Array.from({ length: atOnce }, worker))
  return results
}

/** Publishes one message on each gate and checks that every socket receives it. */
const publishToAll = async ({ target, opener, count }: Cell): Promise<void> => {
  const [line = ''] = await ticketWire.lines(target, 1)
  const socket = new WebSocket(`ws://${target.host}:${target.port}${line}`)
  await new Promise((resolve, reject) => socket.once('message', resolve).once('error', reject))
  socket.send(ticketWire.publication(payload))
  await opener.run(`await ${count}`)
  socket.terminate()
}

const seconds = (sinceMs: number): string => `${((performance.now() - sinceMs) / 1000).toFixed(1)} s`

/** Starts a gate for each of these counts of connections, and an opener for each gate. */
const startCells = (counts: readonly number[], directory: string, users: Users): Promise<Cell[]> =>
  eachOf(counts, startsAtOnce, async count => {
    const target = await startTicketgate(directory, users, {
      settings: settings(count),
      tokenSeconds: 86_000,
    })
    return { target, opener: startOpener(target), count }
  })

/** Opens the sockets of all gates. */
const openCells = async (cells: readonly Cell[], total: number): Promise<void> => {
  const time = performance.now()
  let held = 0
  await eachOf(cells, 2, async ({ target, opener, count }) => {
    const lines = await ticketWire.lines(target, count)
    expectAnswers(await opener.run(`open ${count} 64 0 1`, lines), '101', count)
    held += count
    checkTracking(total)
    say(`  ${held.toLocaleString('en').padStart(9)} held after ${seconds(time)}`)
  })
}

/**
 * Presents every ticket again.
 * @throws Error unless each is refused, and no socket was lost
 */
const presentAgain = async (cells: readonly Cell[]): Promise<void> => {
  const time = performance.now()
  let refused = 0
  const outcomes: Outcome[] = await eachOf(cells, 2, async ({ opener, count }) => {
    const outcome = await opener.run('again 32')
    expectAnswers(outcome, '401 ticket_used', count)
    refused += count
    say(`  ${refused.toLocaleString('en').padStart(9)} refused after ${seconds(time)}`)
    return outcome
  })
  const lost = outcomes.reduce((sum, outcome) => sum + outcome.lost, 0)
  if (lost > 0) throw new Error(`${lost} connections were lost`)
}

/**
 * Opens `total` ticketed sockets over as many gates as the limit on descriptors requires, with one
 * opener each. Proves that every socket is alive, and that every ticket is refused when it is
 * presented again.
 */
export const holdConnections = async (total: number, directory: string, users: Users): Promise<string> => {
  const each = socketsWithin(Math.min(descriptorLimit(), 1_000_000))
  const gates = Math.ceil(total / each)
  say(`${total.toLocaleString('en')} connections take ${gates} gates. The limits:`)
  checkLimits(total, gates)

  const counts = Array.from(
    { length: gates },
    (_, i) => Math.floor(total / gates) + (i < total % gates ? 1 : 0),
  )
  let time = performance.now()
  const cells = await startCells(counts, directory, users)
  say(`${gates} gates started in ${seconds(time)}`)
  await sleep(1_000)
  const resident = (): number => cells.reduce((sum, { target }) => sum + residentBytes(target.child.pid), 0)
  const drivers = (): number => cells.reduce((sum, { opener }) => sum + residentBytes(opener.pid), 0)
  const before = {
    available: memory('MemAvailable'),
    slab: memory('Slab'),
    gates: resident(),
    drivers: drivers(),
  }

  time = performance.now()
  await openCells(cells, total)
  const openedIn = seconds(time)
  await sleep(2_000)
  const per = (bytes: number): string => `${digits(bytes / total)} bytes`
  const [gateGrowth, driverGrowth] = [resident() - before.gates, drivers() - before.drivers]
  const used = before.available - memory('MemAvailable')
  const slab = memory('Slab') - before.slab
  const all = gateGrowth + slab + driverGrowth

  time = performance.now()
  await eachOf(cells, 2, publishToAll)
  const heardIn = seconds(time)
  say(`every one of them heard a message, in ${heardIn}`)

  time = performance.now()
  await presentAgain(cells)
  const refusedIn = seconds(time)

  // Draining this many would take long, to no benefit.
  for (const { target } of cells) process.kill(target.child.pid, 'SIGKILL')
  return [
    '',
    `${total.toLocaleString('en')} ticketed sockets held by ${gates} gates`,
    `opened in                     ${openedIn}, tickets taken included`,
    `gates, RSS                    ${per(gateGrowth)} per connection, ${digits(before.gates / gates / 1e6)} MB each without any`,
    `kernel, both ends             ${per(slab)} per connection (Slab in /proc/meminfo)`,
    `drivers, RSS                  ${per(driverGrowth)} per connection (they keep the tickets)`,
    `all in all                    ${per(all)} per connection, ${digits(all / 1e9)} GB`,
    `MemAvailable fell by          ${per(used)} per connection (it counts inodes and dentries, those of sockets too, as available)`,
    `every socket heard a message  in ${heardIn}`,
    `every ticket shown again      was refused with ticket_used, in ${refusedIn}`,
  ].join('\n')
}
