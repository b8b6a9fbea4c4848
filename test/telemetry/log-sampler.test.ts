import t from 'tap'
import { LogSampler } from '../../src/telemetry/log-sampler.js'

t.test('ten lines per second of each kind, and the next says how many were omitted', t => {
  const sampler = new LogSampler()
  const start = 1_000_000
  const written = Array.from({ length: 1000 }, () => sampler.take('a', start)).filter(each => each)
  t.strictSame(
    written,
    Array.from({ length: 10 }, () => ({})),
  )
  t.strictSame(sampler.take('b', start), {}, 'another kind is not kept waiting')
  t.equal(sampler.take('a', start + 999), undefined)
  t.strictSame(sampler.take('a', start + 1000), { omitted: 991 })
  t.strictSame(sampler.take('a', start + 1000), {})
  t.end()
})

t.test('what a burst leaves at its end is told, too', async t => {
  const told: [string, number][] = []
  let finish = (): void => {}
  const both = new Promise<void>(resolve => {
    finish = resolve
  })
  const sampler = new LogSampler((kind, omitted) => {
    if (told.push([kind, omitted]) === 2) finish()
  })
  const start = 1_000_000
  for (let n = 0; n < 25; n++) sampler.take('a', start)
  t.strictSame(sampler.take('a', start + 1000), { omitted: 15 }, 'told with a line: not told again')
  for (let n = 0; n < 30; n++) sampler.take('a', start + 1000)
  for (let n = 0; n < 12; n++) sampler.take('b', start)
  const alive = setInterval(() => {}, 1000)
  await both
  clearInterval(alive)
  t.strictSame(told, [
    ['a', 21],
    ['b', 2],
  ])
})
