import { randomBytes } from 'node:crypto'
import t from 'tap'
import { createRefusalBuffer, RefusalMemory } from '../../src/admission/refusal-memory.js'
import { refusalCodes } from '../../src/errors.js'

const nonce = (): string => randomBytes(16).toString('latin1')

t.test('the last refusal of a ticket is seen by all that share the memory', async t => {
  const buffer = createRefusalBuffer()
  const [one, other] = [new RefusalMemory(buffer), new RefusalMemory(buffer)]
  const mine = nonce()
  t.equal(one.find(mine), undefined)
  for (const code of refusalCodes) {
    one.note(mine, code)
    t.equal(other.find(mine), code)
    t.equal(other.find(nonce()), undefined, 'another ticket has no refusal')
  }
})

t.test('the memory is bounded: newer entries replace older ones', async t => {
  const memory = new RefusalMemory()
  const first = nonce()
  memory.note(first, 'channel_forbidden')
  let notes = 0
  while (memory.find(first) !== undefined) {
    memory.note(nonce(), 'draining')
    notes++
  }
  t.ok(notes > 0)
  t.equal(createRefusalBuffer().byteLength, 2 ** 19)
})
