import t from 'tap'
import { writeNonce } from '../../src/ticket/nonce.js'

const count = 10_000

t.test('ten thousand nonces, over several refills of the pool, are all different', async t => {
  const target = Buffer.alloc(16)
  const seen = new Set<string>()
  const bitsSet = new Array<number>(128).fill(0)
  for (let n = 0; n < count; n++) {
    writeNonce(target, 0)
    seen.add(target.toString('latin1'))
    for (let bit = 0; bit < 128; bit++)
      bitsSet[bit] = (bitsSet[bit] ?? 0) + (((target[bit >> 3] ?? 0) >> (bit & 7)) & 1)
  }
  t.equal(seen.size, count)
  // Twelve standard deviations: a good generator will not exceed this in the life of the universe.
  const worst = Math.max(...bitsSet.map(set => Math.abs(set - count / 2)))
  t.ok(worst < 12 * Math.sqrt(count / 4), `every bit is set about half of the time (worst: ${worst} off)`)
})

t.test('nonces share no half with one another', async t => {
  const bytes = Buffer.alloc(16 * 5000)
  for (let offset = 0; offset < bytes.length; offset += 16) writeNonce(bytes, offset)
  const halves = new Set<string>()
  for (let offset = 0; offset < bytes.length; offset += 8)
    halves.add(bytes.toString('latin1', offset, offset + 8))
  t.equal(halves.size, 10_000)
})

t.test('a nonce is written at its offset, and nowhere else', async t => {
  const target = Buffer.alloc(48, 0xee)
  writeNonce(target, 10)
  t.equal(target.subarray(0, 10).toString('hex'), 'ee'.repeat(10))
  t.equal(target.subarray(26).toString('hex'), 'ee'.repeat(22))
  t.not(target.subarray(10, 26).toString('hex'), 'ee'.repeat(16))
})
