import t from 'tap'
import { LogSampler } from '../../src/telemetry/log-sampler.js'

t.test('ten lines per second of each kind are written, and the next says how many were omitted', t => {
  const sampler = new LogSampler()
  const start = 1_000_000
  const written = Array.from({ length: 1000 }, () => sampler.take('a', start)).filter(each => each)
  t.strictSame(
    written,
    Array.from({ length: 10 }, () => ({})),
  )
  t.strictSame(sampler.take('b', start), {}, 'another kind has its own limit')
  t.equal(sampler.take('a', start + 999), undefined)
  t.strictSame(sampler.take('a', start + 1000), { omitted: 991 })
  t.strictSame(sampler.take('a', start + 1000), {})
  t.end()
})

t.test('lines omitted at the end of a burst are reported as well', async t => {
  const reported: [string, number][] = []
  let finish = (): void => {}
  const both = new Promise<void>(resolve => {
    finish = resolve
  })
  const sampler = new LogSampler((kind, omitted) => {
    if (reported.push([kind, omitted]) === 2) finish()
  })
  const start = 1_000_000
  for (let n = 0; n < 25; n++) sampler.take('a', start)
  t.strictSame(
    sampler.take('a', start + 1000),
    { omitted: 15 },
    'the next line reports them, so they are not reported again',
  )
  for (let n = 0; n < 30; n++) sampler.take('a', start + 1000)
  for (let n = 0; n < 12; n++) sampler.take('b', start)
  const alive = setInterval(() => {}, 1000)
  await both
  clearInterval(alive)
  t.strictSame(reported, [
    ['a', 21],
    ['b', 2],
  ])
})
