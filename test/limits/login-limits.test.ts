import t from 'tap'
import { createLoginLimitsMemory, LoginLimits } from '../../src/limits/login-limits.js'

const nowMs = 1_764_000_000_123.25
const hourMs = 3_600_000
const rates = {
  perAddress: { count: 10, seconds: 60 },
  failuresPerUser: { count: 20, seconds: 1200 },
}

const create = (memory = createLoginLimitsMemory()) => new LoginLimits(rates, memory)

/** Whether an attempt with a wrong password reaches the hash. */
const fails = (limits: LoginLimits, user: string, address: string, atMs = nowMs): boolean => {
  if (limits.waitOfUser(user, address, atMs) > 0) return false
  limits.fail(user, address, atMs)
  return true
}

/** How many of 150 successive attempts with a wrong password reach the hash. */
const failing = (limits: LoginLimits, user: string, addressOf: (n: number) => string, atMs = nowMs): number =>
  Array.from({ length: 150 }, (_, n) => fails(limits, user, addressOf(n), atMs)).filter(Boolean).length

t.test('guesses at one user from anywhere share one bucket, whether the user exists or not', async t => {
  const limits = create()
  t.equal(
    failing(limits, 'maggie', n => `address ${n}`),
    20,
  )
  t.equal(limits.waitOfUser('maggie', 'address 200', nowMs), 60_000, 'the next guess is allowed in a minute')
  t.equal(
    failing(limits, 'theo', n => `address ${n}`),
    20,
    'another user has a bucket of its own',
  )
})

t.test('attempts checked at once all count, and the next waits longer', async t => {
  const limits = create()
  const checked = Array.from({ length: 67 }, (_, n) => limits.waitOfUser('maggie', `address ${n}`, nowMs))
  t.strictSame(new Set(checked), new Set([0]))
  for (let n = 0; n < 67; n++) limits.fail('maggie', `address ${n}`, nowMs)
  t.equal(limits.waitOfUser('maggie', 'address', nowMs), (67 - 20 + 1) * 60_000)
})

t.test('fewer than a hundred guesses at one user are checked in an hour', async t => {
  const limits = create()
  let checked = 0
  for (let at = 0; at < hourMs; at += 1000)
    if (fails(limits, 'maggie', `address ${at}`, nowMs + at)) checked++
  t.ok(checked < 100, `${checked} guesses are checked`)
})

t.test('guesses from elsewhere do not lock users out at their familiar addresses', async t => {
  const limits = create()
  t.equal(limits.waitOfUser('maggie', 'home', nowMs), 0)
  limits.succeed('maggie', 'home', nowMs)
  t.equal(
    failing(limits, 'maggie', n => `address ${n}`),
    20,
  )
  for (let n = 0; n < 50; n++) {
    t.equal(limits.waitOfUser('maggie', 'home', nowMs + n), 0)
    limits.succeed('maggie', 'home', nowMs + n)
  }
  t.ok(limits.waitOfUser('maggie', 'elsewhere', nowMs) > 0)
  t.ok(limits.waitOfUser('theo', 'home', nowMs) === 0, 'only this user is affected')
  t.equal(
    failing(limits, 'theo', () => 'home'),
    20,
  )
})

t.test('guesses from familiar addresses are slowed too', async t => {
  const limits = create()
  limits.succeed('maggie', 'home', nowMs)
  t.equal(
    failing(limits, 'maggie', () => 'home'),
    20,
  )
  t.equal(
    failing(limits, 'maggie', n => `address ${n}`),
    20,
    'and do not count elsewhere',
  )
})

t.test('a successful login gives back nine tenths of its cost', async t => {
  const limits = create()
  let admitted = 0
  for (let n = 0; n < 1000; n++) {
    if (limits.takeAddress('proxy', nowMs) > 0) break
    limits.succeed(`user ${n}`, 'proxy', nowMs)
    admitted++
  }
  t.equal(admitted, 91, 'a finished login costs a tenth, one in progress a whole')
  t.equal(limits.takeAddress('other', nowMs), 0)
  const strict = create()
  let failed = 0
  while (strict.takeAddress('proxy', nowMs) === 0) failed++
  t.equal(failed, 10)
})

t.test('an abandoned attempt costs nothing', async t => {
  const limits = create()
  for (let n = 0; n < 500; n++) {
    t.equal(limits.takeAddress('home', nowMs), 0)
    limits.abandon('home')
  }
})

t.test('threads share all limits', async t => {
  const memory = createLoginLimitsMemory()
  const [one, two] = [create(memory), create(memory)]
  one.succeed('maggie', 'home', nowMs)
  t.equal(
    failing(one, 'maggie', n => `address ${n}`),
    20,
  )
  t.ok(two.waitOfUser('maggie', 'elsewhere', nowMs) > 0)
  t.equal(two.waitOfUser('maggie', 'home', nowMs), 0)
})

t.test('memory is bounded, and the oldest entry is replaced first', async t => {
  const limits = create()
  const later = nowMs + 2 * hourMs
  for (let n = 0; n < 100; n++) limits.succeed('maggie', `old ${n}`, nowMs)
  for (let n = 0; n < 300_000; n++) limits.succeed(`user ${n}`, 'x', nowMs + hourMs)
  for (let n = 0; n < 100; n++) limits.succeed('maggie', `new ${n}`, later)
  failing(limits, 'maggie', n => `address ${n}`, later)
  const known = (name: string): number => {
    let count = 0
    for (let n = 0; n < 100; n++) if (limits.waitOfUser('maggie', `${name} ${n}`, later) === 0) count++
    return count
  }
  t.equal(known('new'), 100, 'all recent addresses are remembered')
  const old = known('old')
  t.ok(old < 70, `old addresses are replaced: ${old} of 100 are left`)
})

t.test('different pairs of user and address never clash, even if joined they are the same text', async t => {
  const limits = create()
  limits.succeed('ab', 'c', nowMs)
  failing(limits, 'a', n => `address ${n}`)
  t.ok(limits.waitOfUser('a', 'bc', nowMs) > 0)
})

t.test('without a rate there is no limit', async t => {
  const limits = new LoginLimits(
    { perAddress: undefined, failuresPerUser: undefined },
    createLoginLimitsMemory(),
  )
  for (let n = 0; n < 1000; n++)
    if (limits.takeAddress('a', nowMs) + limits.waitOfUser('maggie', 'a', nowMs) > 0) t.fail(`${n}`)
  limits.succeed('maggie', 'a', nowMs)
  limits.abandon('a')
  t.equal(limits.waitOfUser('maggie', 'a', nowMs), 0)
})
