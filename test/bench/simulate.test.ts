import { execFileSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { type Costs, type Fleet, steady, storm } from '../../bench/figures/simulate.js'

const costs: Costs = {
  handshakeUs: 100,
  redisClientUs: 0,
  redisClaimUs: 10,
  redisLookUs: 100,
  redisPublishUs: 5,
  redisDeliveryUs: 1,
  socketBytes: 10_000,
  spentBytes: 100,
  redisSpentBytes: 200,
  redisKeptSeconds: 5,
}
const fleet: Fleet = {
  nodes: 10,
  sockets: 1_000_000,
  cores: 1,
  lifeSeconds: 1000,
  ticketSeconds: 10,
  busMessages: 0,
  unrouted: false,
}
const pacing = { spreadSeconds: 0, patienceSeconds: 1e6, backoffSeconds: 1 }

t.test('the load of a steady fleet is computed', async t => {
  t.match(steady(costs, fleet), {
    handshakesPerSecond: 1000,
    first: 'nodeCpu',
    load: { nodeCpu: 0.01, redisClaims: 0, redisBus: 0 },
    spentPerNode: 1000,
    descriptorsPerNode: 100_000,
    nodeMemoryBytes: 1e9 + 1e5,
    redisMemoryBytes: 0,
  })
  const unrouted = steady(costs, { ...fleet, unrouted: true, sockets: 1e9, nodes: 10_000 })
  t.match(unrouted, { first: 'redisClaims', load: { redisClaims: 11 }, redisMemoryBytes: 3e9 })
  t.equal(steady(costs, { ...fleet, busMessages: 1000 }).load.redisBus, 0.015)
})

t.test('a storm of reconnections is simulated', async t => {
  // Nine nodes accept 90,000 handshakes a second, 900 of which would come anyway.
  t.match(storm(costs, fleet, 1, pacing), { wasted: 0, attempts: 100_000 })
  const { seconds } = storm(costs, fleet, 1, pacing)
  t.ok(
    Math.abs(seconds - 100_000 / 89_100) <= 0.1,
    `all reconnect in ${100_000 / 89_100} s, here ${seconds} s`,
  )
  t.ok(Math.abs(storm(costs, fleet, 1, { ...pacing, spreadSeconds: 60 }).seconds - 60) <= 0.1)

  const impatient = storm(costs, fleet, 9, { ...pacing, patienceSeconds: 10 })
  t.ok(impatient.wasted > 1e6 && impatient.seconds > 2 * 90, 'clients that give up waste work')
  const paced = storm(costs, fleet, 9, { ...pacing, patienceSeconds: 10, spreadSeconds: 110 })
  t.equal(paced.wasted, 0)
  t.ok(paced.seconds < impatient.seconds)
  t.equal(
    storm(costs, { ...fleet, sockets: 1e8 }, 1, pacing).seconds,
    Number.POSITIVE_INFINITY,
    'a fleet that is overloaded without a storm never recovers',
  )
})

t.test('--help lists the flags with their defaults', async t => {
  const program = fileURLToPath(new URL('../../bench/figures/simulate.ts', import.meta.url))
  const text = execFileSync(process.execPath, ['--import=tsx', program, '--help'], { encoding: 'utf8' })
  t.match(text, / --sockets .* \(1e7\)\n/)
  t.match(text, / --handshake-us .* \(60 µs\)\n/)
})
