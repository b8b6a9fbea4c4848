import t from 'tap'
import { type ConnectionLimits, createConnectionCaps } from '../../src/limits/caps.js'

const off: ConnectionLimits = { total: 0, perUser: 0, perAddress: 0 }

t.test('each cap admits its number, and one more when one has left', async t => {
  const cases = [
    ['in all', { ...off, total: 3 }, false],
    ['per user', { ...off, perUser: 3 }, true],
    ['per address', { ...off, perAddress: 3 }, true],
  ] as const
  for (const [name, limits, anotherFits] of cases) {
    const caps = createConnectionCaps(limits)
    for (let n = 1; n <= 3; n++) t.ok(caps.enter('maggie', 'home'), `${name}: connection ${n} is admitted`)
    t.notOk(caps.enter('maggie', 'home'), `${name}: a fourth is refused`)
    t.equal(caps.open, 3, `${name}: a refused connection is not counted`)
    t.equal(caps.enter('lisa', 'school'), anotherFits, `${name}: another user at another address`)
    if (anotherFits) caps.leave('lisa', 'school')
    caps.leave('maggie', 'home')
    t.ok(caps.enter('maggie', 'home'), `${name}: one has left, so one is admitted`)
    t.notOk(caps.enter('maggie', 'home'), `${name}: but only one`)
    for (let n = 0; n < 2; n++) caps.leave('maggie', 'home')
    const again = [1, 2, 3].map(() => caps.enter('maggie', 'home'))
    t.strictSame(again, [true, true, false], `${name}: two have left, so two are admitted`)
  }
})

t.test('a refused connection counts against none of the caps', async t => {
  const caps = createConnectionCaps({ total: 0, perUser: 1, perAddress: 1 })
  t.ok(caps.enter('maggie', 'home'))
  for (let n = 0; n < 10; n++) t.notOk(caps.enter('lisa', 'home'), 'the address is full')
  for (let n = 0; n < 10; n++) t.notOk(caps.enter('maggie', 'school'), 'the user is full')
  t.ok(caps.enter('lisa', 'school'), 'neither the user nor the address was counted')
  t.equal(caps.open, 2)
})

t.test('each cap counts separately', async t => {
  const caps = createConnectionCaps({ total: 0, perUser: 2, perAddress: 3 })
  t.ok(caps.enter('maggie', 'home') && caps.enter('maggie', 'school'))
  t.notOk(caps.enter('maggie', 'cafe'), 'a user, over addresses')
  t.ok(caps.enter('lisa', 'home') && caps.enter('bart', 'home'))
  t.notOk(caps.enter('homer', 'home'), 'an address, over users')
  t.ok(caps.enter('homer', 'school'))
})

t.test('a user and an address with the same name do not clash', async t => {
  const caps = createConnectionCaps({ total: 0, perUser: 1, perAddress: 1 })
  t.ok(caps.enter('x', 'y'))
  t.notOk(caps.enter('x', 'z'))
  t.notOk(caps.enter('z', 'y'))
  t.ok(caps.enter('y', 'x'))
})

t.test('without caps all are admitted and counted', async t => {
  const caps = createConnectionCaps(off)
  let refused = 0
  for (let n = 0; n < 10_000; n++) if (!caps.enter('maggie', 'home')) refused++
  t.strictSame([refused, caps.open], [0, 10_000])
  for (let n = 0; n < 10_000; n++) caps.leave('maggie', 'home')
  t.equal(caps.open, 0)
})

t.test('after many connections nothing is still counted', async t => {
  const caps = createConnectionCaps({ total: 2, perUser: 1, perAddress: 1 })
  const wrong: number[] = []
  for (let n = 0; n < 5000; n++) {
    const [user, address] = [`user ${n % 7}`, `address ${n % 11}`]
    if (!caps.enter(user, address) || caps.enter(user, 'elsewhere') || caps.enter('another', address))
      wrong.push(n)
    caps.leave(user, address)
  }
  t.strictSame(wrong, [])
  t.equal(caps.open, 0)
})

t.test('an unauthenticated connection counts by address only, and once', async t => {
  const caps = createConnectionCaps({ total: 2, perUser: 1, perAddress: 3 })
  t.ok(caps.enter('maggie', 'home'))
  t.ok(caps.enterUnknown('home') && caps.enterUnknown('home'))
  t.notOk(caps.enterUnknown('home'), 'the address is full')
  t.notOk(caps.enter('lisa', 'home'))
  t.equal(caps.open, 1, 'unauthenticated connections are counted separately')
  t.notOk(caps.identify('maggie'), 'the user is full')
  t.ok(caps.identify('lisa'))
  t.notOk(caps.enterUnknown('home'), 'authenticating does not free room at the address')
  t.notOk(caps.identify('bart'), 'the total is reached')
  caps.leaveUnknown('home')
  caps.leave('lisa', 'home')
  caps.leave('maggie', 'home')
  t.equal(caps.open, 0)
  const again = [1, 2, 3, 4].map(() => caps.enterUnknown('home'))
  t.strictSame(again, [true, true, true, false])
})
