import { hash as argon2Hash } from '@node-rs/argon2'
import t from 'tap'
import { createPasswordHasher, maxPasswordBytes } from '../../src/users/password.js'

const password = 'correct horse battery staple'
const roomy = { concurrency: 2, queueLimit: 100 }

t.test('a hash verifies its own password and no other', async t => {
  const hasher = createPasswordHasher(roomy)
  const hash = await hasher.hash(password)
  t.match(hash, /^\$argon2id\$v=19\$m=19456,t=2,p=1\$/)
  t.equal(await hasher.verify(hash, password), true)
  t.equal(await hasher.verify(hash, `${password} `), false)
  t.equal(await hasher.verify(hash, ''), false)
  t.not(await hasher.hash(password), hash, 'each hash has its own salt')
  t.equal(hasher.pending, 0)
})

t.test('a hash with other allowed parameters verifies', async t => {
  const hash = await argon2Hash(password, { memoryCost: 7168, timeCost: 5, parallelism: 1 })
  t.equal(await createPasswordHasher(roomy).verify(hash, password), true)
})

t.test('verifying without a usable hash does the same work and returns false', async t => {
  const hasher = createPasswordHasher({ concurrency: 1, queueLimit: 0 })
  const hash = await hasher.hash(password)
  const cases = [
    ['unknown user', undefined],
    ['not a PHC string', 'letmein'],
    ['truncated', hash.slice(0, -3)],
    ['another function', '$2b$10$N9qo8uLOickgx2ZMRZoMyeIjZAgcfl7p92ldGxad68LJZdL17lhWy'],
    ['gigabytes of memory', hash.replace('m=19456', 'm=4194304')],
  ] as const
  for (const [name, unusable] of cases) {
    const verdict = hasher.verify(unusable, password)
    t.equal(hasher.pending, 1, `${name}: takes a slot`)
    await t.rejects(
      hasher.verify(hash, password),
      { code: 'login_busy' },
      `${name}: keeps the slot while it works`,
    )
    t.equal(await verdict, false, name)
    t.equal(hasher.pending, 0)
  }
})

t.test('a login beyond the queue is refused, and others are not affected', async t => {
  for (const [concurrency, queueLimit] of [
    [1, 2],
    [2, 1],
    [3, 0],
  ] as const) {
    const hasher = createPasswordHasher({ concurrency, queueLimit })
    const accepted = [1, 2, 3].map(n => hasher.hash(`${password}${n}`))
    t.equal(hasher.pending, 3)
    const busy = { code: 'login_busy', status: 503, retryAfterSeconds: 1 }
    await t.rejects(hasher.hash(password), busy)
    await t.rejects(hasher.verify(undefined, password), busy)
    t.equal(hasher.pending, 3)
    t.equal((await Promise.all(accepted)).length, 3)
    t.equal(hasher.pending, 0)
    t.equal(
      await hasher.verify(await hasher.hash(password), password),
      true,
      'there is room again afterwards',
    )
  }
})

t.test('one at a time, passwords are verified in order', async t => {
  const hasher = createPasswordHasher({ concurrency: 1, queueLimit: 10 })
  const done: number[] = []
  await Promise.all([1, 2, 3, 4].map(n => hasher.verify(undefined, password).then(() => done.push(n))))
  t.strictSame(done, [1, 2, 3, 4])
})

t.test('failed work frees its slot', async t => {
  const hasher = createPasswordHasher({ concurrency: 1, queueLimit: 0 })
  await t.rejects(hasher.hash(Symbol('not a password') as unknown as string))
  t.equal(hasher.pending, 0)
})

t.test('an overlong password is refused before hashing', async t => {
  const hasher = createPasswordHasher(roomy)
  const longest = 'é'.repeat(maxPasswordBytes / 2)
  const hash = await hasher.hash(longest)
  t.equal(await hasher.verify(hash, longest), true, 'the longest password is accepted')
  const verdict = hasher.verify(hash, `${longest}x`)
  const hashing = hasher.hash(`${longest}x`)
  t.equal(hasher.pending, 0)
  t.equal(await verdict, false)
  await t.rejects(hashing, RangeError)
})
