import { rmSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { outcomeOf, requestUpgrade } from '../support/http.js'
import { createMinter, type Minter } from '../support/minter.js'
import { requestUpgradeUntilAnswered } from '../support/nodes.js'
import { isProblem } from '../support/problem.js'
import { startServer, type TestServer, temporaryDirectory } from '../support/server.js'
import { tally } from '../support/tally.js'
import { gatePath, mint } from '../support/tokens.js'

const skewSeconds = 60
const skewMs = skewSeconds * 1000

/** Dated as far ahead as a minter's clock may be, so that it never predates a gate just started. */
const ahead = (): { issuedAtMs: number } => ({ issuedAtMs: Date.now() + skewMs })

const envOf = (key: string, node = 'gate-1') => ({
  TICKETGATE_NODE: node,
  TICKETGATE_TICKET_KEYS: key,
  TICKETGATE_CLOCK_SKEW_SECONDS: String(skewSeconds),
})

/**
 * Presents a ticket until its date is not in the future: the gate's clock may be a little behind
 * this one.
 */
const present = async (server: TestServer, ticket: string): Promise<string> => {
  let outcome: string
  do outcome = outcomeOf(await requestUpgradeUntilAnswered(server.url, gatePath(ticket)))
  while (outcome === '401 ticket_invalid')
  return outcome
}

t.test('two gates that share a key, each with its own memory, never both accept a ticket', async t => {
  const minter = createMinter(7)
  for (const [threadsOfOne, threadsOfTwo] of [
    ['1', '1'],
    ['1', '2'],
  ] as const) {
    const [one, two] = await Promise.all([
      startServer(t, { env: { ...envOf(minter.key, 'gate-1'), TICKETGATE_THREADS: threadsOfOne } }),
      startServer(t, { env: { ...envOf(minter.key, 'gate-2'), TICKETGATE_THREADS: threadsOfTwo } }),
    ])
    const ticket = minter.mint('gate-1', ahead())
    isProblem(
      t,
      await requestUpgrade(two.url, gatePath(ticket)),
      '421 wrong_node',
      'refused by the other gate before it is spent',
    )
    isProblem(
      t,
      await requestUpgrade(two.url, gatePath(ticket.replace('gate-1', 'gate-2'))),
      '401 ticket_invalid',
    )
    isProblem(t, await requestUpgrade(two.url, gatePath(ticket.replace('gate-1.', ''))), '401 ticket_invalid')
    isProblem(
      t,
      await requestUpgrade(one.url, gatePath(ticket.replace('gate-1', 'gate-2'))),
      '421 wrong_node',
    )
    t.equal(await present(one, ticket), '101', 'the refusals did not spend it')
    t.equal(await present(one, ticket), '401 ticket_used')
    t.equal(await present(two, ticket), '421 wrong_node')

    for (let round = 0; round < 5; round++) {
      const raced = minter.mint('gate-2', ahead())
      const results = await Promise.all(
        Array.from({ length: 40 }, (_, n) => present(n % 2 === 0 ? one : two, raced)),
      )
      t.strictSame(tally(results), { '101': 1, '421 wrong_node': 20, '401 ticket_used': 19 })
    }

    const own = await mint(one.url)
    t.match(own, /^gate-1\./, 'the gates name themselves in their own tickets')
    t.equal(await present(two, own), '421 wrong_node')
    t.equal(await present(one, own), '101')
    await Promise.all([one.stop(), two.stop()])
  }
})

/** Finds the earliest `issuedAt` that a gate accepts, with a fresh ticket for each attempt. */
async function earliestAt(server: TestServer, minter: Minter, node = 'gate-1'): Promise<number> {
  let refusedMs = Date.now() - 100_000
  let acceptedMs = Date.now() + skewMs - 1
  while (acceptedMs - refusedMs > 1) {
    const issuedAtMs = Math.floor((refusedMs + acceptedMs) / 2)
    const result = await present(server, minter.mint(node, { issuedAtMs }))
    if (result === '101') acceptedMs = issuedAtMs
    else if (result === '401 ticket_predates_gate') refusedMs = issuedAtMs
    else throw new Error(result)
  }
  return acceptedMs
}

t.test('ticket_predates_gate applies until exactly the gate’s birth plus the clock skew', async t => {
  const minter = createMinter(7)
  const beforeMs = Date.now()
  const server = await startServer(t, { env: envOf(minter.key) })
  const listeningMs = Date.now()
  const earliestMs = await earliestAt(server, minter)
  const bornAtMs = earliestMs - skewMs
  t.ok(
    bornAtMs >= beforeMs && bornAtMs <= listeningMs + 1,
    'the gate is born between its start and its listening',
  )
  for (let n = 0; n < 3; n++) {
    const refused = await requestUpgrade(
      server.url,
      gatePath(minter.mint('gate-1', { issuedAtMs: earliestMs - 1 })),
    )
    isProblem(t, refused, '401 ticket_predates_gate', 'a millisecond before the edge')
    const wait = Number(refused.headers['retry-after'])
    t.ok(wait >= 1 && wait <= skewSeconds, `Retry-After is ${wait} s, within the skew`)
    t.equal(
      await present(server, minter.mint('gate-1', { issuedAtMs: earliestMs })),
      '101',
      'exactly on the edge',
    )
  }
})

t.test('a minter’s clock may be fast by the skew, but not slow at first', async t => {
  const minter = createMinter(7)
  const server = await startServer(t, { env: envOf(minter.key) })
  const at = (offsetMs: number, ttlSeconds = 3600) =>
    present(server, minter.mint('gate-1', { issuedAtMs: Date.now() + offsetMs, ttlSeconds }))
  t.equal(await at(skewMs), '101', 'fast by the skew')
  const further = minter.mint('gate-1', { issuedAtMs: Date.now() + skewMs + 60_000 })
  isProblem(t, await requestUpgrade(server.url, gatePath(further)), '401 ticket_invalid', 'fast by more')
  t.equal(await at(-skewMs - 10_000, 1), '401 ticket_expired', 'slow by more than the ticket lives')
  t.equal(await at(-skewMs, 3600), '401 ticket_predates_gate', 'slow, and the gate has just started')
  t.equal(
    await present(server, minter.mint('gate-1', { ...ahead(), ttlSeconds: 1 })),
    '101',
    'fast, with a short life',
  )
})

t.test('after a restart, no ticket spent before is accepted', async t => {
  const minter = createMinter(7)
  const env = envOf(minter.key)
  const stateDir = temporaryDirectory(t)
  let server = await startServer(t, { env, stateDir })
  const spent: string[] = []
  for (const end of ['stopped', 'killed', 'killed at once'] as const) {
    for (const ticket of spent) t.equal(await present(server, ticket), '401 ticket_predates_gate', end)
    const ticket = minter.mint('gate-1', ahead())
    // After a stop just before, the birth of the gate may be a few seconds ahead of its clock.
    const accepted = await present(server, ticket)
    if (accepted === '101') spent.push(ticket)
    else t.equal(accepted, '401 ticket_predates_gate')
    if (end === 'stopped') await server.stop()
    else server.signal('SIGKILL')
    await server.exited
    server = await startServer(t, { env, stateDir })
  }
  for (const ticket of spent) t.equal(await present(server, ticket), '401 ticket_predates_gate')
  t.ok(spent.length >= 1)
})

/** The environment of a process whose system clock is slow by `ms`. */
const clockBehind = (ms: number) => {
  const by = Math.ceil(ms)
  const script = `const{now}=Date;Date.now=()=>now()-${by};Object.defineProperty(performance,'timeOrigin',{value:performance.timeOrigin-${by}})`
  return { NODE_OPTIONS: `--import=data:text/javascript,${script}` }
}

t.test('with the mark on disk, setting the clock back across a restart revives no ticket', async t => {
  const minter = createMinter(7)
  const env = envOf(minter.key)
  const first = await startServer(t, { env })
  // The oldest ticket it accepts; a life born earlier would accept it as well.
  const issuedAtMs = await earliestAt(first, minter)
  const bornAtMs = issuedAtMs - skewMs
  const ticket = minter.mint('gate-1', { issuedAtMs })
  t.equal(await present(first, ticket), '101')
  first.signal('SIGKILL')
  await first.exited

  const presentToEarlierLife = async (beforeBirthMs = 4000): Promise<string> => {
    const setBack = await startServer(t, {
      env: { ...env, ...clockBehind(Date.now() - bornAtMs + beforeBirthMs) },
      stateDir: first.stateDir,
    })
    const result = await present(setBack, ticket)
    setBack.signal('SIGKILL')
    await setBack.exited
    return result
  }
  t.equal(await presentToEarlierLife(), '401 ticket_predates_gate')
  t.equal(await presentToEarlierLife(), '401 ticket_predates_gate', 'it is refused in the next life too')
  let last = ''
  // If the start takes longer than the clock is set back, this life is born later after all.
  for (const beforeBirthMs of [4000, 15_000, 40_000]) {
    rmSync(join(first.stateDir, 'clock-gate-1'))
    last = await presentToEarlierLife(beforeBirthMs)
    if (last === '101') break
  }
  t.equal(last, '101', 'without the mark it is accepted a second time')
})

t.test('of two gates with one name and state directory, the older gives way', async t => {
  const minter = createMinter(7)
  const env = envOf(minter.key)
  const older = await startServer(t, { env })
  const spent = minter.mint('gate-1', ahead())
  t.equal(await present(older, spent), '101')
  const younger = await startServer(t, { env, stateDir: older.stateDir })
  const byOlder = async (ticket: string): Promise<string> =>
    outcomeOf(await requestUpgrade(older.url, gatePath(ticket)))
  let result = ''
  do result = await byOlder(minter.mint('gate-1', ahead()))
  while (result !== '503 replay_cache_unavailable')
  await older.logged('another gate has taken over')
  t.equal(await present(younger, spent), '401 ticket_predates_gate')
  const fresh = minter.mint('gate-1', ahead())
  while ((await present(younger, minter.mint('gate-1', ahead()))) === '401 ticket_predates_gate');
  const late = minter.mint('gate-1', ahead())
  const results = [await present(younger, late), await byOlder(late), await byOlder(fresh)]
  t.strictSame(results, ['101', '503 replay_cache_unavailable', '503 replay_cache_unavailable'])
  t.equal(await present(older, await mint(older.url)), '101', 'its own tickets are still accepted')
})

t.test('a ticket with an empty origin is bound to one, so it opens nothing', async t => {
  const minter = createMinter(7)
  const server = await startServer(t, { env: envOf(minter.key) })
  const ticket = minter.mint('gate-1', { ...ahead(), origin: '' })
  t.equal(await present(server, ticket), '403 origin_forbidden')
})
