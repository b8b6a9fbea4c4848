import t from 'tap'
import { Refusal } from '../../src/errors.js'
import { BodyReader } from '../../src/http/body-reader.js'

const bytesOf = (text: string): ArrayBuffer => new Uint8Array(Buffer.from(text)).buffer

/** Reads a body in these pieces, the last of which ends it. Returns what was handed over. */
const read = (pieces: readonly string[], maxBytes: number, refusal?: Refusal): string[] => {
  const ends: string[] = []
  const reader = new BodyReader(
    maxBytes,
    {
      done: body => ends.push(body instanceof Refusal ? body.code : body.toString()),
      late: () => ends.push('late'),
    },
    refusal,
  )
  for (const [index, piece] of pieces.entries()) reader.take(bytesOf(piece), index === pieces.length - 1)
  reader.cancel()
  return ends
}

const bytewise = (length: number): string[] => [...'x'.repeat(length)]

t.test('a body is handed over once, whole', async t => {
  const cases = [
    ['nothing', [''], ''],
    ['one piece', ['hello'], 'hello'],
    ['three pieces', ['he', 'll', 'o'], 'hello'],
    ['an end without a piece', ['hello', ''], 'hello'],
    ['as long as allowed', ['x'.repeat(320)], 'x'.repeat(320)],
    ['in as many pieces as allowed', bytewise(10), 'x'.repeat(10)],
    ['one byte too long', ['x'.repeat(321)], 'body_too_large'],
    ['one byte too long, in two pieces', ['x'.repeat(320), 'x'], 'body_too_large'],
    ['one piece too many', bytewise(11), 'body_too_large'],
  ] as const
  for (const [name, pieces, end] of cases) t.strictSame(read(pieces, 320), [end], name)
})

t.test('a refused body is read to its end first, within limits', async t => {
  const refusal = new Refusal('not_found')
  t.strictSame(read(['x', 'y'], 320, refusal), ['not_found'])
  const ends: unknown[] = []
  const reader = new BodyReader(
    320,
    { done: body => ends.push(body), late: () => ends.push('late') },
    refusal,
  )
  const piece = bytesOf('x'.repeat(1024))
  for (let n = 0; n < 1024; n++) reader.take(piece, false)
  t.strictSame(ends, [], 'one mebibyte is read before the refusal')
  reader.take(piece, false)
  t.strictSame(ends, [refusal], 'beyond that, the body is refused at once')
  reader.take(piece, true)
  t.equal(ends.length, 1, 'the refusal is handed over once')
})

t.test('each piece is copied, because uWS reuses its memory', async t => {
  const ends: string[] = []
  const reader = new BodyReader(320, { done: body => ends.push(body.toString()), late: () => {} })
  const piece = new Uint8Array(Buffer.from('hello'))
  reader.take(piece.buffer, false)
  piece.fill(0)
  reader.take(new ArrayBuffer(0), true)
  t.strictSame(ends, ['hello'])
})

t.test('nothing is handed over after a connection has ended', async t => {
  const ends: unknown[] = []
  const reader = new BodyReader(320, { done: body => ends.push(body), late: () => ends.push('late') })
  reader.take(bytesOf('hello'), false)
  reader.cancel()
  reader.take(bytesOf(''), true)
  t.strictSame(ends, [])
})
