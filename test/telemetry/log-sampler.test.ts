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
